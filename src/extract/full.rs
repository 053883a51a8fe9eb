//! The full sync: everything the list shows, live and archived.
//!
//! List cursors are record ids, so the last cursor committed is where a cut
//! sync goes on. A full sync has a generation, the server time at which its
//! first attempt began; that time becomes the watermark when it completes,
//! since whatever changed later may have been listed before it changed.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::decode::Page;
use super::error::{ExtractError, reading};
use super::mirror::{FULL_STARTED, MirrorSchema, WATERMARK, is_complete};
use super::object::{MAX_URL_LENGTH, ObjectSync, Sink, SyncMode, completion};
use super::selection::next_generation;
use crate::hubspot::{BatchReadQuery, ListQuery};
use crate::lake::Cursor;

/// Records a page: the most the list gives.
const PAGE: u32 = 100;

/// One of the two lists a full sync walks.
struct Walk<'a> {
    archived: bool,
    cursor_id: String,
    generation: i64,
    /// Properties go in the URL, or are filled by batch read.
    names: &'a [String],
    fits_url: bool,
}

pub(super) async fn sync(
    sync: &ObjectSync<'_>,
    schema: &MirrorSchema,
    sink: &mut Sink<'_>,
    server_time: i64,
) -> Result<(), ExtractError> {
    sink.report.full = true;
    let generation = generation(sync, sink, server_time);
    let names = schema.property_names();
    let query = ListQuery { properties: names.clone(), limit: PAGE, archived: true };
    let fits_url = query.url_length(sync.client, sync.object) <= MAX_URL_LENGTH;
    for archived in [false, true] {
        let cursor_id =
            format!("hublake.full.{generation}.{}", if archived { "archived" } else { "live" });
        let walk = Walk { archived, cursor_id, generation, names: &names, fits_url };
        walk_list(sync, &walk, sink).await?;
        if sink.report.interrupted {
            return Ok(());
        }
    }
    let mut cursors = completion(generation);
    let watermark = generation.max(sink.cursor(WATERMARK).unwrap_or(0));
    cursors.push(Cursor { app_id: WATERMARK.to_owned(), value: watermark });
    sink.commit(cursors).await
}

/// The generation to go on with, or a new one.
fn generation(sync: &ObjectSync<'_>, sink: &Sink<'_>, server_time: i64) -> i64 {
    match sink.cursor(FULL_STARTED) {
        Some(begun) if !is_complete(sink.table()) && sync.mode == SyncMode::Auto => begun,
        _ => next_generation(sink.table(), server_time),
    }
}

async fn walk_list(
    sync: &ObjectSync<'_>,
    walk: &Walk<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), ExtractError> {
    let mut after = sink.cursor(&walk.cursor_id).map(|id| id.to_string());
    loop {
        let read = sync.stop.run_until_cancelled(read_page(sync, walk, sink, after.as_deref()));
        let Some(page) = read.await else {
            sink.report.interrupted = true;
            return sink.commit(stopped_cursors(walk, after.as_deref())).await;
        };
        let mut page = page?;
        let next = page.next.take();
        sink.push(page);
        let Some(next) = next else { return Ok(()) };
        if sink.is_full() {
            sink.commit(progress_cursors(walk, &next)).await?;
        }
        after = Some(next);
    }
}

/// What a commit in the middle of a walk says: which generation, how far.
///
/// An `after` that is no number cannot be kept as a Delta transaction; the
/// walk then goes on from the last one that was.
fn progress_cursors(walk: &Walk<'_>, next: &str) -> Vec<Cursor> {
    let begun = Cursor { app_id: FULL_STARTED.to_owned(), value: walk.generation };
    let reached = next.parse().ok().map(|value| Cursor { app_id: walk.cursor_id.clone(), value });
    std::iter::once(begun).chain(reached).collect()
}

/// The same for a walk that is stopped, perhaps before its first page.
fn stopped_cursors(walk: &Walk<'_>, after: Option<&str>) -> Vec<Cursor> {
    after.map_or_else(Vec::new, |after| progress_cursors(walk, after))
}

/// One page of the list, with every selected property.
async fn read_page(
    sync: &ObjectSync<'_>,
    walk: &Walk<'_>,
    sink: &mut Sink<'_>,
    after: Option<&str>,
) -> Result<Page, ExtractError> {
    let names = if walk.fits_url { walk.names.to_vec() } else { vec!["hs_object_id".to_owned()] };
    let query = ListQuery { properties: names, limit: PAGE, archived: walk.archived };
    let body = sync
        .client
        .list_page(sync.object, &query, after)
        .await
        .map_err(reading(sync.object.name()))?;
    sink.report.calls += 1;
    let listed = sink.decode(&body.bytes)?;
    if walk.fits_url || listed.rows.num_rows() == 0 {
        return Ok(listed);
    }
    let mut filled = fill(sync, sink, &listed, walk.names, walk.archived).await?;
    filled.next = listed.next;
    Ok(filled)
}

/// The records of a page again, read by id with the properties that fit no
/// URL. A record that went away in between is missing here and shows up where
/// it went: in the archived list, or as the record it was merged into.
pub(super) async fn fill(
    sync: &ObjectSync<'_>,
    sink: &mut Sink<'_>,
    listed: &Page,
    names: &[String],
    archived: bool,
) -> Result<Page, ExtractError> {
    let ids = listed.rows.column(0).as_primitive::<Int64Type>().values();
    let query = BatchReadQuery {
        ids: ids.iter().map(i64::to_string).collect(),
        id_property: None,
        properties: names.to_vec(),
        archived,
    };
    let body =
        sync.client.batch_read(sync.object, &query).await.map_err(reading(sync.object.name()))?;
    sink.report.calls += 1;
    let mut page = sink.decode(&body.bytes)?;
    page.rejected += listed.rejected;
    Ok(page)
}
