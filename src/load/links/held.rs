//! What is known of links before a decision: `hubspot.associations` and what
//! hublake made itself, parted by record.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{
    DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use datafusion::execution::DiskManager;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{col, lit};
use futures::StreamExt;

use super::decide::{Entry, Group, Last, Type};
use super::part::Part;
use crate::hubspot::Association;
use crate::lake::{Changes, Lake, Table, TableName};
use crate::load::error::{LoadError, While};
use crate::load::plan::spill::{Bucket, Buckets};
use crate::load::plan::wanted::Aliases;
use crate::load::written::INTENDED;
use crate::objects::{AssociationCategory, AssociationType, ObjectType, RecordId};

const DOING: &str = "reading associations";

/// The key of `hubspot.associations`.
const KEY: [&str; 6] = ["from_type", "to_type", "from_id", "to_id", "category", "type_id"];

/// The mirror's associations, where there are any.
pub(crate) async fn mirror(lake: &Lake) -> Result<Option<Table>, LoadError> {
    lake.table(&TableName::hubspot("associations")).await.during(DOING)
}

/// Columns of a bucket of held links: record, other record, category, type, label.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("from_id", DataType::Int64, true),
        Field::new("to_id", DataType::Int64, true),
        Field::new("category", DataType::Utf8, true),
        Field::new("type_id", DataType::Int64, true),
        Field::new("label", DataType::Utf8, true),
    ]))
}

/// The associations of a pair of types.
fn of_pair(from: &ObjectType, to: &ObjectType) -> Expr {
    col("from_type").eq(lit(from.name())).and(col("to_type").eq(lit(to.name())))
}

/// Parts the associations of a pair of types by record.
pub(crate) async fn part(
    mirror: Option<&Table>,
    from: &ObjectType,
    to: &ObjectType,
    count: usize,
    disk: Arc<DiskManager>,
) -> Result<Vec<Bucket>, LoadError> {
    let mut buckets = Buckets::new(schema(), count, disk);
    if let Some(mirror) = mirror {
        let columns = ["from_id", "to_id", "category", "type_id", "label"];
        let mut rows = mirror.scan(Some(&columns), Some(of_pair(from, to))).await.during(DOING)?;
        while let Some(batch) = rows.next().await {
            let batch = batch.during(DOING)?;
            let batch = RecordBatch::try_new(schema(), batch.columns().to_vec()).during(DOING)?;
            let hashes = ids(&batch, 0).values().iter().map(|id| *id as u64).collect::<Vec<_>>();
            buckets.push(batch, &hashes)?;
        }
    }
    buckets.finish()
}

/// Parts the members of a list by record.
pub(crate) fn part_members(
    members: &[i64],
    count: usize,
    disk: Arc<DiskManager>,
) -> Result<Vec<Bucket>, LoadError> {
    let mut buckets = Buckets::new(schema(), count, disk);
    let same = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value; members.len()])) };
    let none: ArrayRef = Arc::new(StringArray::new_null(members.len()));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(members.to_vec())), same(0), none.clone(), same(0), none];
    let batch = RecordBatch::try_new(schema(), columns).during(DOING)?;
    let hashes: Vec<u64> = members.iter().map(|id| *id as u64).collect();
    buckets.push(batch, &hashes)?;
    buckets.finish()
}

fn ids(batch: &RecordBatch, column: usize) -> &Int64Array {
    batch.column(column).as_primitive::<Int64Type>()
}

fn text(batch: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let texts: &StringArray = batch.column(column).as_string();
    texts.is_valid(row).then(|| texts.value(row).to_owned())
}

/// Puts a bucket of held links into the groups; `all` makes groups of records
/// that have none yet.
pub(crate) fn into_groups(batch: &RecordBatch, groups: &mut BTreeMap<i64, Group>, all: bool) {
    for row in 0..batch.num_rows() {
        let (from, to) = (ids(batch, 0).value(row), ids(batch, 1).value(row));
        let group = match all {
            true => Some(groups.entry(from).or_insert_with(|| Group::of(from))),
            false => groups.get_mut(&from),
        };
        let Some(group) = group else { continue };
        let kind = (
            text(batch, 2, row).unwrap_or_default(),
            ids(batch, 3).value(row),
            text(batch, 4, row),
        );
        group.held.entry(to).or_default().insert(kind);
    }
}

/// What hublake made, and how many things in all.
pub(crate) struct Made {
    pub(crate) buckets: Vec<Bucket>,
    pub(crate) count: u64,
}

fn made_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("record_id", DataType::Int64, true),
        Field::new("property", DataType::Utf8, true),
        Field::new("state", DataType::Utf8, true),
        Field::new("value", DataType::Utf8, true),
        Field::new("before", DataType::Utf8, true),
        Field::new("written_at", DataType::Int64, true),
    ]))
}

/// Parts what hublake made by record; the entries of a merged-away record go to
/// the record that holds it now.
pub(crate) async fn made(
    written: Option<&Table>,
    part: &Part,
    aliases: &Aliases,
    count: usize,
    disk: Arc<DiskManager>,
) -> Result<Made, LoadError> {
    let mut buckets = Buckets::new(made_schema(), count, disk);
    let mut made = 0;
    if let Some(written) = written {
        let filter = col("object").eq(lit(part.ledger_object()));
        let columns = ["record_id", "property", "state", "value", "before", "written_at"];
        let mut rows = written.scan(Some(&columns), Some(filter)).await.during(DOING)?;
        while let Some(batch) = rows.next().await {
            let batch = batch.during(DOING)?;
            let holders: Int64Array =
                ids(&batch, 0).unary(|id| aliases.get(&id).copied().unwrap_or(id));
            let times = batch.column(5).as_primitive::<TimestampMicrosecondType>();
            let mut columns = batch.columns().to_vec();
            columns[0] = Arc::new(holders.clone());
            columns[5] = Arc::new(times.reinterpret_cast::<Int64Type>());
            let batch = RecordBatch::try_new(made_schema(), columns).during(DOING)?;
            let is_made = |row: &usize| {
                text(&batch, 2, *row).as_deref() != Some(INTENDED)
                    && text(&batch, 3, *row).is_some_and(|value| !value.is_empty())
            };
            made += (0..batch.num_rows()).filter(is_made).count() as u64;
            let hashes: Vec<u64> = holders.values().iter().map(|id| *id as u64).collect();
            buckets.push(batch, &hashes)?;
        }
    }
    Ok(Made { buckets: buckets.finish()?, count: made })
}

/// Puts a bucket of what hublake made into the groups; ids of merged-away
/// others are followed.
pub(crate) fn made_into_groups(
    batch: &RecordBatch,
    part: &Part,
    aliases: &HashMap<i64, i64>,
    groups: &mut BTreeMap<i64, Group>,
    all: bool,
) {
    for row in 0..batch.num_rows() {
        let record = ids(batch, 0).value(row);
        let group = match all {
            true => Some(groups.entry(record).or_insert_with(|| Group::of(record))),
            false => groups.get_mut(&record),
        };
        let (Some(group), Some(property)) = (group, text(batch, 1, row)) else { continue };
        let property = match part.other(&property).and_then(|other| aliases.get(&other)) {
            Some(holder) => part.property(*holder),
            None => property,
        };
        let entry = Entry {
            value: text(batch, 3, row).unwrap_or_default(),
            before: text(batch, 4, row).unwrap_or_default(),
            at: ids(batch, 5).value(row),
        };
        let last = group.last.entry(property).or_insert_with(Last::default);
        let slot = match text(batch, 2, row).as_deref() == Some(INTENDED) {
            true => &mut last.intended,
            false => &mut last.written,
        };
        if slot.as_ref().is_none_or(|known| known.at < entry.at) {
            *slot = Some(entry);
        }
    }
}

impl Group {
    pub(crate) fn of(record: i64) -> Self {
        Self { record, ..Self::default() }
    }
}

/// What is held, as HubSpot answered it.
pub(crate) fn rows_of(held: &HashMap<i64, BTreeMap<i64, BTreeSet<Type>>>) -> Vec<Association> {
    let pairs = held
        .iter()
        .flat_map(|(from, others)| others.iter().map(move |(to, types)| ((*from, *to), types)));
    let row = |((from, to), types): ((i64, i64), &BTreeSet<Type>)| {
        let row = |(category, type_id, label): &Type| Association {
            from: RecordId(from),
            to: RecordId(to),
            association: AssociationType {
                category: AssociationCategory::from_wire(category.as_str()),
                type_id: *type_id,
                label: label.clone(),
            },
        };
        types.iter().map(row).collect::<Vec<_>>()
    };
    pairs.flat_map(row).collect()
}

/// Brings what was read of some records into the mirror: their associations of
/// this pair of types are replaced, in one commit. Rows that stay as they are
/// are not stored again.
pub(crate) async fn refresh(
    mirror: &mut Table,
    (from, to): (&ObjectType, &ObjectType),
    covered: &[i64],
    found: &[Association],
    now: i64,
) -> Result<(), LoadError> {
    let (Some(first), Some(last)) = (covered.iter().min(), covered.iter().max()) else {
        return Ok(());
    };
    let filter = of_pair(from, to).and(col("from_id").between(lit(*first), lit(*last)));
    let asked: HashSet<i64> = covered.iter().copied().collect();
    let fresh: HashSet<(i64, i64, &str, i64)> = found
        .iter()
        .map(|a| (a.from.0, a.to.0, a.association.category.as_str(), a.association.type_id))
        .collect();
    let mut gone = Vec::new();
    let mut rows = mirror.scan(Some(&KEY), Some(filter)).await.during(DOING)?;
    while let Some(batch) = rows.next().await {
        let batch = batch.during(DOING)?;
        let is_gone = |row: &u32| {
            let row = *row as usize;
            let category = text(&batch, 4, row).unwrap_or_default();
            let id = ids(&batch, 2).value(row);
            let key = (id, ids(&batch, 3).value(row), category.as_str(), ids(&batch, 5).value(row));
            asked.contains(&id) && !fresh.contains(&key)
        };
        let rows: UInt32Array = (0..batch.num_rows() as u32).filter(is_gone).collect();
        if !rows.is_empty() {
            gone.push(take_record_batch(&batch, &rows).during(DOING)?);
        }
    }
    let deletes = match gone.first() {
        Some(first) => Some(arrow::compute::concat_batches(&first.schema(), &gone).during(DOING)?),
        None => None,
    };
    let rows = vec![association_rows((from, to), found, now)?];
    let ignore = vec!["_synced_at".to_owned()];
    let changes = Changes { rows, deletes, newer_by: None, ignore };
    mirror.upsert(changes, &[]).await.during(DOING)?;
    Ok(())
}

/// Takes pairs out of the mirror; with a label given, only that of theirs.
pub(crate) async fn forget(
    mirror: &mut Table,
    (from, to): (&ObjectType, &ObjectType),
    pairs: &HashSet<(i64, i64)>,
    label: Option<&str>,
) -> Result<(), LoadError> {
    let records = pairs.iter().map(|(record, _)| *record);
    let (Some(first), Some(last)) = (records.clone().min(), records.max()) else {
        return Ok(());
    };
    let filter = of_pair(from, to).and(col("from_id").between(lit(first), lit(last)));
    let columns = [&KEY[..], &["label"]].concat();
    let mut gone = Vec::new();
    let mut rows = mirror.scan(Some(&columns), Some(filter)).await.during(DOING)?;
    while let Some(batch) = rows.next().await {
        let batch = batch.during(DOING)?;
        let is_gone = |row: &u32| {
            let row = *row as usize;
            let is_meant = label.is_none() || text(&batch, KEY.len(), row).as_deref() == label;
            is_meant && pairs.contains(&(ids(&batch, 2).value(row), ids(&batch, 3).value(row)))
        };
        let rows: UInt32Array = (0..batch.num_rows() as u32).filter(is_gone).collect();
        let keys = batch.project(&[0, 1, 2, 3, 4, 5]).during(DOING)?;
        gone.push(take_record_batch(&keys, &rows).during(DOING)?);
    }
    let Some(first) = gone.first() else { return Ok(()) };
    let deletes = arrow::compute::concat_batches(&first.schema(), &gone).during(DOING)?;
    if deletes.num_rows() > 0 {
        let changes = Changes { deletes: Some(deletes), ..Changes::default() };
        mirror.upsert(changes, &[]).await.during(DOING)?;
    }
    Ok(())
}

fn association_rows(
    (from, to): (&ObjectType, &ObjectType),
    found: &[Association],
    now: i64,
) -> Result<RecordBatch, LoadError> {
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; found.len()])) };
    let numbers = |get: fn(&Association) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(found.iter().map(get)))
    };
    let categories: StringArray =
        found.iter().map(|a| Some(a.association.category.as_str())).collect();
    let labels: StringArray = found.iter().map(|a| a.association.label.as_deref()).collect();
    let stamps = TimestampMicrosecondArray::from_value(now, found.len()).with_timezone("UTC");
    let schema = Schema::new(vec![
        Field::new("from_type", DataType::Utf8, true),
        Field::new("to_type", DataType::Utf8, true),
        Field::new("from_id", DataType::Int64, true),
        Field::new("to_id", DataType::Int64, true),
        Field::new("category", DataType::Utf8, true),
        Field::new("type_id", DataType::Int64, true),
        Field::new("label", DataType::Utf8, true),
        Field::new(
            "_synced_at",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
    ]);
    let columns: Vec<ArrayRef> = vec![
        same(from.name()),
        same(to.name()),
        numbers(|a| a.from.0),
        numbers(|a| a.to.0),
        Arc::new(categories),
        numbers(|a| a.association.type_id),
        Arc::new(labels),
        Arc::new(stamps),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).during(DOING)
}
