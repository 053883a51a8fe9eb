//! The mirror takes what HubSpot answers: values read before a decision, values
//! returned by a write.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, MapBuilder,
    MapFieldNames, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::compute::{cast, concat_batches, interleave};
use arrow::datatypes::{
    DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use futures::StreamExt;

use super::error::{LoadError, While};
use super::ledger;
use super::outcome::Outcome;
use crate::lake::{Changes, Cursor, Lake, Table, TableName, TableSpec};
use crate::objects::ObjectType;
use crate::objects::values::{Parsed, parse_bool, parse_date, parse_datetime, parse_number};

const DOING: &str = "bringing HubSpot's answers into the mirror";

/// Records brought into the mirror by one commit.
pub(crate) const PATCHES_PER_COMMIT: usize = 20_000;

/// The columns of a mirror table that are no properties.
const ENVELOPE: [&str; 9] = [
    "id",
    "created_at",
    "updated_at",
    "archived",
    "archived_at",
    "merged_into",
    "_vanished_at",
    "_synced_at",
    "_rescued",
];

/// The last `_synced_at` given out in a mirror, strictly rising, by which the
/// tables derived from it know what they have applied.
const SYNCED: &str = "hublake.synced";

/// How far a pipeline's ledger has come into a mirror.
fn applied_cursor(pipeline: &str) -> String {
    format!("hublake.writes.{pipeline}")
}

/// The mirror's column of a property.
pub(crate) fn column_name(property: &str) -> String {
    if ENVELOPE.contains(&property) { format!("property_{property}") } else { property.to_owned() }
}

/// The mirror table of an object type.
pub(crate) fn table_name(object: &ObjectType) -> TableName {
    TableName::hubspot(object.table_name())
}

/// Some values of one record as HubSpot answered them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Patch {
    pub(crate) id: i64,
    /// µs since 1970; known for every patch that counts. Of a patch that only
    /// archives, when that was.
    pub(crate) updated_at: i64,
    /// When the record was archived, µs since 1970.
    pub(crate) archived_at: Option<i64>,
    /// µs since 1970.
    pub(crate) created_at: Option<i64>,
    pub(crate) properties: BTreeMap<String, Option<String>>,
}

/// Lays patches over the mirror's rows and stores the result with the cursors.
/// A patch that is not newer than the row is dropped; of two patches of one
/// record the newer values win. A record the mirror has never seen becomes a row of the
/// values known. Returns the rows stored.
pub(crate) async fn apply(
    mirror: &mut Table,
    patches: Vec<Patch>,
    now: i64,
    cursors: &[Cursor],
) -> Result<u64, LoadError> {
    let mut patches = merged(patches);
    let ids = Int64Array::from_iter_values(patches.keys().copied());
    let keys = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
    let keys = RecordBatch::try_new(Arc::new(keys), vec![Arc::new(ids)]).during(DOING)?;
    let found = mirror.lookup(&keys).await.during(DOING)?;
    found.iter().for_each(|rows| drop_stale(rows, &mut patches));
    if patches.is_empty() {
        mirror.commit_cursors(cursors).await.during(DOING)?;
        return Ok(0);
    }
    let synced = now.max(mirror.cursor(SYNCED).unwrap_or(0) + 1);
    let rows = overlay(&mirror.schema(), &found, &patches, synced)?;
    let changes = Changes {
        rows: vec![rows],
        newer_by: Some("updated_at".to_owned()),
        ignore: vec!["_synced_at".to_owned()],
        ..Changes::default()
    };
    let synced = Cursor { app_id: SYNCED.to_owned(), value: synced };
    let cursors: Vec<Cursor> = cursors.iter().cloned().chain([synced]).collect();
    let counts = mirror.upsert(changes, &cursors).await.during(DOING)?;
    Ok(counts.inserted + counts.updated)
}

/// Brings the entries of a pipeline's ledger that the mirror has not seen into
/// it, so that a kill between a write and its commit here loses nothing.
pub(crate) async fn catch_up(
    lake: &Lake,
    pipeline: &str,
    object: &ObjectType,
    writes: &Table,
    now: i64,
) -> Result<(), LoadError> {
    let Some(mut mirror) = open(lake, object).await? else { return Ok(()) };
    let applied = mirror.cursor(&applied_cursor(pipeline)).unwrap_or(0);
    let last = ledger::last_stamp(writes, pipeline);
    if last <= applied {
        return Ok(());
    }
    let mut rows = ledger::entries_after(writes, pipeline, Some(object.name()), applied).await?;
    let mut patches = Vec::new();
    while let Some(batch) = rows.next().await {
        patches.extend(ledger::decode(&batch.during(DOING)?)?.into_iter().filter_map(patch_of));
        if patches.len() >= PATCHES_PER_COMMIT {
            apply(&mut mirror, std::mem::take(&mut patches), now, &[]).await?;
        }
    }
    let cursor = Cursor { app_id: applied_cursor(pipeline), value: last };
    apply(&mut mirror, patches, now, &[cursor]).await?;
    Ok(())
}

/// What a ledger entry says of its record.
fn patch_of(entry: ledger::Kept) -> Option<Patch> {
    let answered = entry
        .properties
        .into_iter()
        .filter_map(|(name, property)| Some((name, Some(property.returned?))));
    let is_archived = entry.outcome == Outcome::Archived.name();
    let archived_at = is_archived.then_some(entry.written_at);
    Some(Patch {
        id: entry.record_id?,
        updated_at: entry.updated_at.or(archived_at)?,
        archived_at,
        created_at: entry.created_at,
        properties: answered.collect(),
    })
}

/// Opens the mirror of an object type that does not exist yet, empty: the rows
/// of a first plan then all are new, and the first extract fills it.
pub(crate) async fn open_empty(
    lake: &Lake,
    object: &ObjectType,
    properties: &[(String, DataType)],
) -> Result<Table, LoadError> {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let map_key = Arc::new(Field::new("key", DataType::Utf8, false));
    let map_value = Arc::new(Field::new("value", DataType::Utf8, true));
    let mut fields = vec![Field::new("id", DataType::Int64, true)];
    fields.extend(
        properties
            .iter()
            .map(|(name, data_type)| Field::new(column_name(name), data_type.clone(), true)),
    );
    fields.extend([
        Field::new("created_at", time(), true),
        Field::new("updated_at", time(), true),
        Field::new("archived", DataType::Boolean, true),
        Field::new("archived_at", time(), true),
        Field::new("merged_into", DataType::Int64, true),
        Field::new("_vanished_at", time(), true),
        Field::new("_synced_at", time(), true),
        Field::new_map("_rescued", "entries", map_key, map_value, false, true),
    ]);
    let spec = TableSpec {
        name: table_name(object),
        schema: Arc::new(Schema::new(fields)),
        key: vec!["id".to_owned()],
        partition_by: Vec::new(),
    };
    lake.open_or_create(&spec).await.during(DOING)
}

/// Adds the columns of properties just created, so that what is written to
/// them shows at once; extract would add them with its next run.
pub(crate) async fn add_columns(
    lake: &Lake,
    object: &ObjectType,
    new: &[(String, DataType)],
) -> Result<(), LoadError> {
    let Some(mirror) = open(lake, object).await? else { return Ok(()) };
    let schema = mirror.schema();
    let missing = new.iter().filter(|(name, _)| schema.index_of(&column_name(name)).is_err());
    let added: Vec<_> = missing
        .map(|(name, data_type)| Arc::new(Field::new(column_name(name), data_type.clone(), true)))
        .collect();
    if added.is_empty() {
        return Ok(());
    }
    let fields: Vec<_> = schema.fields().iter().cloned().chain(added).collect();
    let spec = TableSpec {
        name: table_name(object),
        schema: Arc::new(Schema::new(fields)),
        key: vec!["id".to_owned()],
        partition_by: Vec::new(),
    };
    lake.open_or_create(&spec).await.during(DOING)?;
    Ok(())
}

/// Forgets the patches of records that the mirror knows as new or newer.
fn drop_stale(rows: &RecordBatch, patches: &mut BTreeMap<i64, Patch>) {
    let (Some(ids), Some(times)) = (rows.column_by_name("id"), rows.column_by_name("updated_at"))
    else {
        return;
    };
    let (ids, times) =
        (ids.as_primitive::<Int64Type>(), times.as_primitive::<TimestampMicrosecondType>());
    for (id, stored) in ids.iter().zip(times) {
        if let (Some(id), Some(stored)) = (id, stored)
            && patches
                .get(&id)
                .is_some_and(|patch| patch.updated_at <= stored && patch.archived_at.is_none())
        {
            patches.remove(&id);
        }
    }
}

/// The mirror of an object, if it was ever extracted.
pub(crate) async fn open(lake: &Lake, object: &ObjectType) -> Result<Option<Table>, LoadError> {
    lake.table(&table_name(object)).await.during(DOING)
}

/// One patch per record, the newer values over the older.
fn merged(mut patches: Vec<Patch>) -> BTreeMap<i64, Patch> {
    patches.sort_by_key(|patch| patch.updated_at);
    let mut by_id: BTreeMap<i64, Patch> = BTreeMap::new();
    for patch in patches {
        match by_id.get_mut(&patch.id) {
            None => drop(by_id.insert(patch.id, patch)),
            Some(before) => {
                before.updated_at = patch.updated_at;
                before.created_at = patch.created_at.or(before.created_at);
                before.archived_at = patch.archived_at.or(before.archived_at);
                before.properties.extend(patch.properties);
            }
        }
    }
    by_id
}

/// The rows of the patched records: stored values, patched values over them.
fn overlay(
    schema: &SchemaRef,
    found: &[RecordBatch],
    patches: &BTreeMap<i64, Patch>,
    now: i64,
) -> Result<RecordBatch, LoadError> {
    let found = conform(schema, found)?;
    let laid = Laid::new(schema, &found, patches);
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate() {
        let stored = found.column(at);
        columns.push(match field.name().as_str() {
            "id" => laid.envelope(stored, |patch| Some(patch.id))?,
            // HubSpot's answer to an archive tells no modified date.
            "updated_at" => laid.times(stored, |patch| {
                Some(patch.updated_at).filter(|_| patch.archived_at.is_none())
            })?,
            "archived_at" => laid.times(stored, |patch| patch.archived_at)?,
            "created_at" => laid.times(stored, |patch| patch.created_at)?,
            "_synced_at" => laid.times(stored, |_| Some(now))?,
            "archived" => laid.archived(stored)?,
            "_rescued" => laid.rescued(stored)?,
            "merged_into" | "_vanished_at" => laid.untouched(stored)?,
            name => laid.property(stored, name)?,
        });
    }
    RecordBatch::try_new(schema.clone(), columns).during(DOING)
}

fn conform(schema: &SchemaRef, found: &[RecordBatch]) -> Result<RecordBatch, LoadError> {
    let conform = |batch: &RecordBatch| {
        let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
            Some(column) => cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        };
        let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(schema.clone(), columns)
    };
    let batches = found.iter().map(conform).collect::<Result<Vec<_>, _>>().during(DOING)?;
    concat_batches(schema, &batches).during(DOING)
}

/// A record's patch and the stored row it lies on, in the order of the result.
struct Laid<'a> {
    rows: Vec<(&'a Patch, Option<usize>)>,
    /// Property name by mirror column, for the patched properties.
    properties: HashMap<String, &'a str>,
    /// What the patched values' columns cannot hold exactly, by result row.
    rescues: Vec<BTreeMap<String, Option<String>>>,
}

impl<'a> Laid<'a> {
    fn new(schema: &SchemaRef, found: &RecordBatch, patches: &'a BTreeMap<i64, Patch>) -> Self {
        let ids = found.column_by_name("id").map(|ids| ids.as_primitive::<Int64Type>());
        let places: HashMap<i64, usize> =
            ids.into_iter().flat_map(|ids| ids.values().iter().copied().zip(0..)).collect();
        let rows: Vec<_> =
            patches.values().map(|patch| (patch, places.get(&patch.id).copied())).collect();
        let names = patches.values().flat_map(|patch| patch.properties.keys());
        let properties = names.map(|name| (column_name(name), name.as_str())).collect();
        let rescues = rows.iter().map(|(patch, _)| rescues(schema, patch)).collect();
        Self { rows, properties, rescues }
    }

    /// Picks the patched value where there is one, else the stored one, else null.
    fn pick(
        &self,
        stored: &ArrayRef,
        patched: &ArrayRef,
        is_patched: impl Fn(usize, &Patch) -> bool,
    ) -> Result<ArrayRef, LoadError> {
        let nothing = new_null_array(stored.data_type(), 1);
        let place = |(row, (patch, at)): (usize, &(&Patch, Option<usize>))| match at {
            _ if is_patched(row, patch) => (1, row),
            Some(at) => (0, *at),
            None => (2, 0),
        };
        let places: Vec<_> = self.rows.iter().enumerate().map(place).collect();
        interleave(&[stored.as_ref(), patched.as_ref(), nothing.as_ref()], &places).during(DOING)
    }

    fn untouched(&self, stored: &ArrayRef) -> Result<ArrayRef, LoadError> {
        self.pick(stored, &new_null_array(stored.data_type(), self.rows.len()), |_, _| false)
    }

    fn envelope(
        &self,
        stored: &ArrayRef,
        value: impl Fn(&Patch) -> Option<i64>,
    ) -> Result<ArrayRef, LoadError> {
        let patched: ArrayRef =
            Arc::new(self.rows.iter().map(|(patch, _)| value(patch)).collect::<Int64Array>());
        self.pick(stored, &patched, |_, patch| value(patch).is_some())
    }

    fn times(
        &self,
        stored: &ArrayRef,
        value: impl Fn(&Patch) -> Option<i64>,
    ) -> Result<ArrayRef, LoadError> {
        let times =
            self.rows.iter().map(|(patch, _)| value(patch)).collect::<TimestampMicrosecondArray>();
        let patched: ArrayRef = Arc::new(times.with_timezone("UTC"));
        self.pick(stored, &patched, |_, patch| value(patch).is_some())
    }

    /// A record that answers is live; a stored mark stays, for extract to judge.
    /// One that was archived is so marked.
    fn archived(&self, stored: &ArrayRef) -> Result<ArrayRef, LoadError> {
        let archived = self.rows.iter().map(|(patch, _)| Some(patch.archived_at.is_some()));
        let patched: ArrayRef = Arc::new(archived.collect::<BooleanArray>());
        let known: Vec<bool> = self.rows.iter().map(|(_, at)| at.is_some()).collect();
        self.pick(stored, &patched, |row, patch| !known[row] || patch.archived_at.is_some())
    }

    fn property(&self, stored: &ArrayRef, column: &str) -> Result<ArrayRef, LoadError> {
        let Some(name) = self.properties.get(column) else {
            return self.untouched(stored);
        };
        let texts = self.rows.iter().map(|(patch, _)| patch.properties.get(*name)?.as_deref());
        let patched =
            typed(texts.map(|text| text.filter(|text| !text.is_empty())), stored.data_type());
        self.pick(stored, &patched, |_, patch| patch.properties.contains_key(*name))
    }

    fn rescued(&self, stored: &ArrayRef) -> Result<ArrayRef, LoadError> {
        if self.rescues.iter().all(BTreeMap::is_empty) {
            return self.untouched(stored);
        }
        let maps = stored.as_map_opt();
        let fields =
            MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
        let mut builder = MapBuilder::new(Some(fields), StringBuilder::new(), StringBuilder::new());
        for ((_, at), rescues) in self.rows.iter().zip(&self.rescues) {
            let mut entries =
                at.zip(maps).map_or_else(BTreeMap::new, |(at, maps)| map_entries(maps, at));
            for (name, text) in rescues {
                match text {
                    Some(text) => drop(entries.insert(name.clone(), text.clone())),
                    None => drop(entries.remove(name)),
                }
            }
            for (name, text) in &entries {
                builder.keys().append_value(name);
                builder.values().append_value(text);
            }
            builder.append(!entries.is_empty()).during(DOING)?;
        }
        cast(&(Arc::new(builder.finish()) as ArrayRef), stored.data_type()).during(DOING)
    }
}

/// Per patched property whose column may lose something: the text to keep, or
/// `None` to forget an older one.
fn rescues(schema: &SchemaRef, patch: &Patch) -> BTreeMap<String, Option<String>> {
    let rescue = |(name, text): (&String, &Option<String>)| {
        let field = schema.field_with_name(&column_name(name)).ok()?;
        if field.data_type() == &DataType::Utf8 {
            return None;
        }
        let text = text.as_deref().filter(|text| !text.is_empty());
        let lost = text.filter(|text| loses(text, field.data_type()));
        Some((name.clone(), lost.map(str::to_owned)))
    };
    patch.properties.iter().filter_map(rescue).collect()
}

fn map_entries(maps: &arrow::array::MapArray, row: usize) -> BTreeMap<String, String> {
    if maps.is_null(row) {
        return BTreeMap::new();
    }
    let entries = maps.value(row);
    let (names, texts) =
        (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
    names
        .iter()
        .zip(texts)
        .filter_map(|(name, text)| Some((name?.to_owned(), text?.to_owned())))
        .collect()
}

fn loses(text: &str, data_type: &DataType) -> bool {
    match data_type {
        DataType::Float64 => parse_number(text).loses(),
        DataType::Boolean => parse_bool(text).loses(),
        DataType::Date32 => parse_date(text).loses(),
        DataType::Timestamp(..) => parse_datetime(text).loses(),
        _ => false,
    }
}

/// Texts as a column of one of the mirror's property types; what does not
/// parse is null here and kept by [`rescues`].
fn typed<'a>(texts: impl Iterator<Item = Option<&'a str>>, data_type: &DataType) -> ArrayRef {
    fn read<T>(text: Option<&str>, parse: fn(&str) -> Parsed<T>) -> Option<T> {
        parse(text?).value()
    }
    match data_type {
        DataType::Float64 => {
            Arc::new(texts.map(|text| read(text, parse_number)).collect::<Float64Array>())
        }
        DataType::Boolean => {
            Arc::new(texts.map(|text| read(text, parse_bool)).collect::<BooleanArray>())
        }
        DataType::Date32 => {
            Arc::new(texts.map(|text| read(text, parse_date)).collect::<Date32Array>())
        }
        DataType::Timestamp(..) => {
            let times =
                texts.map(|text| read(text, parse_datetime)).collect::<TimestampMicrosecondArray>();
            Arc::new(times.with_timezone("UTC"))
        }
        _ => Arc::new(texts.collect::<StringArray>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror_schema() -> SchemaRef {
        let time =
            || DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
        let entry = Field::new_struct(
            "key_value",
            vec![
                Field::new("key", DataType::Utf8, false),
                Field::new("value", DataType::Utf8, true),
            ],
            false,
        );
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("score", DataType::Float64, true),
            Field::new("jobtitle", DataType::Utf8, true),
            Field::new("created_at", time(), true),
            Field::new("updated_at", time(), true),
            Field::new("archived", DataType::Boolean, true),
            Field::new("_synced_at", time(), true),
            Field::new("_rescued", DataType::Map(Arc::new(entry), false), true),
        ]))
    }

    fn patch(id: i64, updated_at: i64, properties: &[(&str, Option<&str>)]) -> Patch {
        let property =
            |(name, value): &(&str, Option<&str>)| ((*name).to_owned(), value.map(str::to_owned));
        Patch {
            archived_at: None,
            id,
            updated_at,
            created_at: None,
            properties: properties.iter().map(property).collect(),
        }
    }

    /// Lays patches over the rows that earlier patches made.
    fn lay(found: &[RecordBatch], patches: Vec<Patch>) -> RecordBatch {
        overlay(&mirror_schema(), found, &merged(patches), 1_000).expect("overlaid")
    }

    fn scores(rows: &RecordBatch) -> Vec<Option<f64>> {
        rows.column(1).as_primitive::<arrow::datatypes::Float64Type>().iter().collect()
    }

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else() {
        let stored =
            lay(&[], vec![patch(1, 10, &[("score", Some("1")), ("jobtitle", Some("CTO"))])]);
        let rows = lay(
            &[stored],
            vec![patch(1, 20, &[("score", Some("2.50"))]), patch(2, 20, &[("jobtitle", Some(""))])],
        );
        assert_eq!(scores(&rows), [Some(2.5), None]);
        assert_eq!(
            rows.column(2).as_string::<i32>().iter().collect::<Vec<_>>(),
            [Some("CTO"), None]
        );
        assert!(!rows.column(5).as_boolean().value(1), "a record that answers is live");
    }

    #[test]
    fn what_a_column_cannot_hold_is_rescued_and_later_forgotten() {
        let lost = lay(&[], vec![patch(1, 10, &[("score", Some("1;2"))])]);
        let rescued = map_entries(lost.column(7).as_map(), 0);
        assert_eq!((scores(&lost), rescued["score"].as_str()), (vec![None], "1;2"));
        let rows = lay(&[lost], vec![patch(1, 20, &[("score", Some("3"))])]);
        assert_eq!(scores(&rows), [Some(3.0)]);
        assert!(map_entries(rows.column(7).as_map(), 0).is_empty());
    }

    #[test]
    fn of_two_patches_the_newer_values_win() {
        let newer = patch(1, 20, &[("score", Some("2"))]);
        let older = patch(1, 10, &[("score", Some("1")), ("jobtitle", Some("CTO"))]);
        let both = merged(vec![newer, older]);
        assert_eq!(both[&1], patch(1, 20, &[("score", Some("2")), ("jobtitle", Some("CTO"))]));
    }

    #[test]
    fn a_patch_that_is_not_newer_is_dropped() {
        let stored = lay(&[], vec![patch(1, 10, &[]), patch(2, 10, &[])]);
        let mut patches = merged(vec![patch(1, 10, &[]), patch(2, 11, &[])]);
        drop_stale(&stored, &mut patches);
        assert_eq!(patches.into_keys().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_property_named_like_an_envelope_column_has_a_prefix() {
        assert_eq!(column_name("archived"), "property_archived");
        assert_eq!(column_name("jobtitle"), "jobtitle");
    }
}
