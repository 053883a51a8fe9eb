//! Which properties a mirror holds, and since when it holds them whole.
//!
//! A column is only as good as the rows read while its property was selected.
//! The table therefore keeps, per property, a count of how often it has been
//! taken into the selection and out of it: odd while it is in. A property that
//! comes in, and may hold values older than what has been read, needs a new
//! full sync; so does one whose type has changed.

use super::error::{ExtractError, storing};
use super::incremental::CLOCK_SKEW;
use super::mirror::{FULL_STARTED, MirrorSchema, WATERMARK, is_complete};
use super::object::ObjectSync;
use crate::lake::{Cursor, FieldChange, Table};

/// The cursor that counts a property's comings and goings.
fn column_cursor(property: &str) -> String {
    format!("hublake.column.{property}")
}

fn is_held(table: &Table, property: &str) -> bool {
    table.cursor(&column_cursor(property)).is_some_and(|turns| turns % 2 == 1)
}

/// Opens or creates the mirror, with every selected column in its type.
///
/// A new full sync is begun in the commit that notes the new selection, and
/// *before* the columns change: a cut in between leaves a table that knows it
/// is incomplete.
pub(super) async fn prepare_table(
    sync: &ObjectSync<'_>,
    schema: &MirrorSchema,
    server_time: i64,
) -> Result<Table, ExtractError> {
    let spec = schema.table_spec();
    let failed = || storing(&spec.name);
    let stored = sync.lake.table(&spec.name).await.map_err(failed())?;
    if let Some(mut table) = stored {
        let retyped = retyped_columns(&table, schema);
        let mut cursors = turns(&table, sync, schema);
        if !retyped.is_empty() || lacks_old_values(&table, sync, schema) {
            let value = next_generation(&table, FULL_STARTED, server_time);
            cursors.push(Cursor { app_id: FULL_STARTED.to_owned(), value });
        }
        table.commit_cursors(&cursors).await.map_err(failed())?;
        if !retyped.is_empty() {
            tracing::info!(table = %spec.name, columns = retyped.len(), "Property types changed, rewriting the mirror");
            table.change_types(&retyped).await.map_err(failed())?;
        }
        return sync.lake.open_or_create(&spec).await.map_err(failed());
    }
    let mut table = sync.lake.open_or_create(&spec).await.map_err(failed())?;
    let cursors = turns(&table, sync, schema);
    table.commit_cursors(&cursors).await.map_err(failed())?;
    Ok(table)
}

/// The counts of the properties that come in or go out with this selection.
fn turns(table: &Table, sync: &ObjectSync<'_>, schema: &MirrorSchema) -> Vec<Cursor> {
    let wanted = |name: &str| schema.properties().iter().any(|column| column.property == name);
    let turned = sync.definitions.iter().filter(|d| is_held(table, &d.name) != wanted(&d.name));
    turned
        .map(|definition| {
            let app_id = column_cursor(&definition.name);
            let value = table.cursor(&app_id).unwrap_or(0) + 1;
            Cursor { app_id, value }
        })
        .collect()
}

/// Columns whose property has another type than the table's column.
fn retyped_columns(table: &Table, schema: &MirrorSchema) -> Vec<FieldChange> {
    let stored = table.schema();
    let differs = |column: &str, wanted| {
        stored.field_with_name(column).is_ok_and(|field| field.data_type() != wanted)
    };
    schema
        .properties()
        .iter()
        .filter(|wanted| differs(&wanted.column, &wanted.data_type))
        .map(|wanted| FieldChange {
            name: wanted.column.clone(),
            new_type: wanted.data_type.clone(),
            rescue: Some("_rescued".to_owned()),
        })
        .collect()
}

/// Whether a property that comes in may hold values set before what has been
/// read: then only listing everything finds them. A property made since cannot.
fn lacks_old_values(table: &Table, sync: &ObjectSync<'_>, schema: &MirrorSchema) -> bool {
    let read_from = if is_complete(table) { WATERMARK } else { FULL_STARTED };
    // Where no full sync has begun, the one that now begins reads everything.
    let Some(read_from) = table.cursor(read_from) else { return false };
    // The next search begins that much before the watermark anyway.
    let searched_from = read_from - CLOCK_SKEW.as_millis() as i64;
    let read_from = searched_from.saturating_mul(1000);
    let coming = schema.properties().iter().filter(|column| !is_held(table, &column.property));
    coming
        .map(|column| sync.definitions.iter().find(|d| d.name == column.property))
        .any(|found| found.and_then(|d| d.created_at).is_none_or(|created| created <= read_from))
}

/// A generation that is later than any before it, by the cursor that says
/// which was begun last.
pub(super) fn next_generation(table: &Table, started: &str, server_time: i64) -> i64 {
    server_time.max(table.cursor(started).map_or(0, |last| last + 1))
}
