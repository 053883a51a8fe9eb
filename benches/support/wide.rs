//! A table as wide as contacts are: some columns full, some of few values,
//! some mostly empty.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use hublake::lake::{Changes, Lake, LakeConfig, Table, TableName, TableSpec};

const TEXT_COLUMNS: usize = 34;
const NUMBER_COLUMNS: usize = 15;
const FLAG_COLUMNS: usize = 6;
const BATCH_ROWS: i64 = 50_000;

/// A table of that many rows in a lake under a folder.
pub(crate) async fn table(folder: &std::path::Path, rows: i64) -> Table {
    let spec = TableSpec {
        name: TableName::hubspot("contacts"),
        schema: schema(),
        key: vec!["id".into()],
        partition_by: Vec::new(),
    };
    let lake = Lake::open(&LakeConfig::default(), folder).await.expect("a lake");
    let mut table = lake.open_or_create(&spec).await.expect("a table");
    let mut merge = table.merge().expect("a keyed table");
    for start in (0..rows).step_by(usize::try_from(BATCH_ROWS).expect("a batch")) {
        let ids: Vec<_> = (start..rows.min(start + BATCH_ROWS)).collect();
        merge.push(changes(&ids, 0)).await.expect("rows");
    }
    merge.commit(&[]).await.expect("a commit");
    table
}

/// New values of these rows, as a sync would bring them.
pub(crate) fn changes(ids: &[i64], round: i64) -> Changes {
    Changes {
        rows: vec![contacts(ids, round)],
        deletes: None,
        newer_by: Some("updated_at".into()),
        ignore: vec!["_synced_at".into()],
    }
}

pub(crate) fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![Field::new("id", DataType::Int64, true)];
    let mut add = |kind: &str, count, data_type: &DataType| {
        fields
            .extend((0..count).map(|n| Field::new(format!("{kind}_{n}"), data_type.clone(), true)));
    };
    add("text", TEXT_COLUMNS, &DataType::Utf8);
    add("number", NUMBER_COLUMNS, &DataType::Float64);
    add("flag", FLAG_COLUMNS, &DataType::Boolean);
    for name in ["created_at", "updated_at", "_vanished_at", "_synced_at"] {
        fields.push(Field::new(name, time.clone(), true));
    }
    Arc::new(Schema::new(fields))
}

fn contacts(ids: &[i64], round: i64) -> RecordBatch {
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids.to_vec()))];
    let value = |id: i64, column: usize| {
        let seed = id.unsigned_abs().wrapping_mul(64) + column as u64;
        fastrand::Rng::with_seed(seed ^ round.unsigned_abs() << 48).u64(..)
    };
    for column in 0..TEXT_COLUMNS {
        let text = |id: &i64| match (column % 4, value(*id, column)) {
            (0, value) => Some(format!("{value:x}")),
            (1, value) => Some(format!("option {}", value % 20)),
            (2, value) => {
                (value % 3 == 0).then(|| format!("person.{}@example.com", value % 99_991))
            }
            (_, value) => (value % 20 == 0).then(|| format!("note {value}")),
        };
        columns.push(Arc::new(ids.iter().map(text).collect::<StringArray>()));
    }
    for column in 0..NUMBER_COLUMNS {
        let number = |id: &i64| {
            let value = value(*id, TEXT_COLUMNS + column);
            (value % 2 == 0).then(|| (value % 100_000) as f64 / 4.0)
        };
        columns.push(Arc::new(ids.iter().map(number).collect::<Float64Array>()));
    }
    for column in 0..FLAG_COLUMNS {
        let flag = |id: &i64| Some(value(*id, TEXT_COLUMNS + NUMBER_COLUMNS + column) % 5 == 0);
        columns.push(Arc::new(ids.iter().map(flag).collect::<BooleanArray>()));
    }
    let start = 1_700_000_000_000_000;
    let times = |time: &dyn Fn(i64) -> Option<i64>| -> ArrayRef {
        let times = ids.iter().map(|id| time(*id)).collect::<TimestampMicrosecondArray>();
        Arc::new(times.with_timezone("UTC"))
    };
    columns.push(times(&|id| Some(start + id * 1_000_000)));
    columns.push(times(&|id| Some(start + id * 1_000_000 + round)));
    columns.push(times(&|_| None));
    columns.push(times(&|_| Some(start + round)));
    RecordBatch::try_new(schema(), columns).expect("columns of the schema")
}
