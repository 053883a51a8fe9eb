//! Tables as a whole: their columns, versions, types, upkeep and export.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::builder::{MapBuilder, StringBuilder};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use datafusion::prelude::{SessionContext, col, lit};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::testing::{
    Person, contents, ids, memory_lake, people, person_schema, person_spec, stored_people,
};
use super::*;

fn cursor(app_id: &str, value: i64) -> Cursor {
    Cursor { app_id: app_id.into(), value }
}

fn policy(history: Duration) -> MaintenancePolicy {
    MaintenancePolicy {
        history,
        compact_after_files: 3,
        checkpoint_every: 5,
        ..MaintenancePolicy::new(&LakeConfig::default())
    }
}

#[tokio::test]
async fn a_table_is_made_once_and_found_again() {
    let lake = memory_lake();
    assert!(lake.table(&person_spec().name).await.expect("looked").is_none());
    let made = lake.open_or_create(&person_spec()).await.expect("made");
    assert_eq!((made.version(), made.row_count(), made.data_files()), (0, 0, 0));
    assert_eq!(made.schema(), person_schema());
    let found = lake.open_or_create(&person_spec()).await.expect("found");
    assert_eq!(found.version(), 0, "nothing to change, nothing committed");
    assert_eq!(lake.tables().await.expect("listed"), [TableName::hubspot("people")]);
    let other = TableSpec { key: vec!["name".into()], ..person_spec() };
    let error = lake.open_or_create(&other).await.expect_err("another key");
    assert!(matches!(error, LakeError::LayoutDiffers { what: "key", .. }), "{error}");
}

#[tokio::test]
async fn the_protocol_stays_low() {
    let table = memory_lake().open_or_create(&person_spec()).await.expect("made");
    let protocol = table.state().protocol();
    assert_eq!((protocol.min_reader_version(), protocol.min_writer_version()), (1, 2));
}

#[tokio::test]
async fn new_columns_are_added_and_old_ones_stay() {
    let lake = memory_lake();
    let mut table = lake.open_or_create(&person_spec()).await.expect("made");
    table.append(&[people(&[Person::new(1, "Ada", 1)])], &[cursor("a", 1)]).await.expect("rows");
    let id = Field::new("id", DataType::Int64, true);
    let schema = Schema::new(vec![id, Field::new("city", DataType::Utf8, true)]);
    let spec = TableSpec { schema: Arc::new(schema), ..person_spec() };
    let mut table = lake.open_or_create(&spec).await.expect("widened");
    assert_eq!(table.schema().fields().len(), 6);
    assert_eq!(table.cursor("a"), Some(1));
    let row = RecordBatch::try_from_iter([
        ("city", Arc::new(StringArray::from(vec!["Turin"])) as ArrayRef),
        ("id", Arc::new(Int64Array::from(vec![2])) as ArrayRef),
    ]);
    let changes = Changes { rows: vec![row.expect("a batch")], ..Changes::default() };
    table.upsert(changes, &[]).await.expect("merged");
    let rows = contents(&table).await;
    let cities = rows.column_by_name("city").expect("the column").as_string::<i32>();
    let mut cities: Vec<_> = cities.iter().collect();
    cities.sort_unstable();
    assert_eq!(cities, [None, Some("Turin")]);
    let again = lake.open_or_create(&spec).await.expect("opened");
    assert_eq!(again.version(), table.version());
}

#[tokio::test]
async fn cursors_survive_checkpoints_and_reopening() {
    let lake = memory_lake();
    let mut table = lake.open_or_create(&person_spec()).await.expect("made");
    for value in 1..=7 {
        let app_id = if value % 2 == 0 { "even" } else { "odd" };
        table.commit_cursors(&[cursor(app_id, value)]).await.expect("moved");
    }
    let report = table.maintain(&policy(Duration::from_secs(3600))).await.expect("kept up");
    assert!(report.checkpointed);
    table.commit_cursors(&[cursor("even", 8), cursor("odd", 3)]).await.expect("moved");
    let found = lake.table(table.name()).await.expect("readable").expect("there");
    assert_eq!((found.cursor("even"), found.cursor("odd")), (Some(8), Some(7)));
    assert_eq!(found.cursor("neither"), None);
    let before = found.at_version(3).await.expect("an old version");
    assert_eq!((before.cursor("even"), before.cursor("odd")), (Some(2), Some(3)));
}

#[tokio::test]
async fn a_handle_catches_up_with_other_writers() {
    let lake = memory_lake();
    let mut writer = lake.open_or_create(&person_spec()).await.expect("made");
    let mut reader = writer.clone();
    writer.append(&[people(&[Person::new(1, "Ada", 1)])], &[cursor("a", 4)]).await.expect("rows");
    assert_eq!((reader.row_count(), reader.cursor("a")), (0, None));
    reader.refresh().await.expect("caught up");
    assert_eq!((reader.row_count(), reader.cursor("a")), (1, Some(4)));
}

#[tokio::test]
async fn time_travel_by_version_and_by_time() {
    let mut table = memory_lake().open_or_create(&person_spec()).await.expect("made");
    let (old, new) = (Person::new(1, "old", 1), Person::new(1, "new", 2));
    table.append(&[people(std::slice::from_ref(&old))], &[]).await.expect("rows");
    let version = table.version();
    let changes = Changes { rows: vec![people(std::slice::from_ref(&new))], ..Changes::default() };
    table.upsert(changes, &[]).await.expect("merged");
    let then = table.at_version(version).await.expect("an old version");
    assert_eq!(stored_people(&then).await, [old]);
    assert_eq!(stored_people(&table).await, [new]);
    let error = table.at_version(99).await.expect_err("not yet written");
    assert!(matches!(error, LakeError::NoSuchVersion { .. }), "{error:?}");
    let later = table.at_time(i64::MAX / 1_000_000).await;
    assert!(matches!(later, Err(LakeError::NoSuchVersion { .. })), "long before the table");
    let now = chrono::Utc::now().timestamp_micros() + 60_000_000;
    let latest = table.at_time(now).await.expect("the newest version");
    assert_eq!(latest.version(), table.version());
}

#[tokio::test]
async fn scans_project_filter_and_keep_plain_types() {
    let mut table = memory_lake().open_or_create(&person_spec()).await.expect("made");
    let rows: Vec<_> = (0..10).map(|id| Person::new(id, &format!("p{id}"), id)).collect();
    table.append(&[people(&rows)], &[]).await.expect("rows");
    let some = table.scan(Some(&["name", "id"]), Some(col("id").gt(lit(7_i64)))).await;
    let some: Vec<_> = some.expect("a scan").try_collect().await.expect("rows");
    assert_eq!(some.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    let fields = some[0].schema();
    assert_eq!(fields.field(0), &Field::new("name", DataType::Utf8, true));
    let error = table.scan(Some(&["nmae"]), None).await.err().expect("a wrong name");
    assert!(error.to_string().contains("`name`"), "{error}");

    let context = SessionContext::new();
    let provider = table.provider().await.expect("a provider");
    assert_eq!(provider.schema(), table.schema());
    context.register_table("people", provider).expect("registered");
    let counted = context.sql("select name from people where id = 3 and name = 'p3'").await;
    let counted = counted.expect("a plan").collect().await.expect("rows");
    assert_eq!(counted[0].column(0).as_string::<i32>().value(0), "p3");
}

#[tokio::test]
async fn streams_append_and_replace_in_one_commit() {
    let mut table = memory_lake().open_or_create(&person_spec()).await.expect("made");
    let mut source = memory_lake().open_or_create(&person_spec()).await.expect("made");
    let rows = [Person::new(1, "a", 1), Person::new(2, "b", 1)];
    source.append(&[people(&rows)], &[]).await.expect("rows");
    let stream = || async { source.scan(None, None).await.expect("a scan") };
    assert_eq!(table.append_stream(stream().await, &[]).await.expect("appended"), 2);
    assert_eq!(table.append_stream(stream().await, &[]).await.expect("appended"), 2);
    assert_eq!((table.version(), table.row_count()), (2, 4));
    assert_eq!(table.replace(stream().await, &[cursor("m", 1)]).await.expect("replaced"), 2);
    assert_eq!((table.version(), table.row_count()), (3, 2));
    assert_eq!(table.cursor("m"), Some(1));
}

#[tokio::test]
async fn a_type_changes_in_one_commit_and_old_versions_keep_theirs() {
    let lake = memory_lake();
    let map = Field::new_map(
        "_rescued",
        "entries",
        Field::new("keys", DataType::Utf8, false),
        Field::new("values", DataType::Utf8, true),
        false,
        true,
    );
    let id = Field::new("id", DataType::Int64, true);
    let schema =
        Arc::new(Schema::new(vec![id, Field::new("amount", DataType::Float64, true), map]));
    let spec = TableSpec { schema: schema.clone(), ..person_spec() };
    let mut table = lake.open_or_create(&spec).await.expect("made");
    let mut rescued = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    rescued.append(false).expect("a row");
    rescued.keys().append_value("amount");
    rescued.values().append_value("1;2");
    rescued.append(true).expect("a row");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(Float64Array::from(vec![Some(1.5), None])),
        Arc::new(rescued.finish()),
    ];
    table
        .append(&[RecordBatch::try_new(schema, columns).expect("a batch")], &[])
        .await
        .expect("rows");

    let to_text = FieldChange {
        name: "amount".into(),
        new_type: DataType::Utf8,
        rescue: Some("_rescued".into()),
    };
    let version = table.version();
    table.change_types(std::slice::from_ref(&to_text)).await.expect("changed");
    assert_eq!(table.version(), version + 1);
    let rows = contents(&table).await;
    let amounts: Vec<_> = rows.column(1).as_string::<i32>().iter().collect();
    assert_eq!(amounts, [None, Some("1;2")], "from the rescued text, never from the number");
    assert_eq!(rows.column(2).null_count(), 2);
    table.change_types(&[to_text]).await.expect("already so");
    assert_eq!(table.version(), version + 1);

    let then = contents(&table.at_version(version).await.expect("an old version")).await;
    assert_eq!(then.column(1).as_primitive::<Float64Type>().value(0), 1.5);
}

#[tokio::test]
async fn upkeep_compacts_checkpoints_and_sweeps_what_history_does_not_need() {
    let lake = memory_lake();
    let mut table = lake.open_or_create(&person_spec()).await.expect("made");
    for id in 0..6 {
        table
            .append(&[people(&[Person::new(id, "p", 1)])], &[cursor("a", id)])
            .await
            .expect("rows");
    }
    let orphan = lake.path("hubspot/people/part-orphan.zstd.parquet");
    lake.store().put(&orphan, "litter".into()).await.expect("stored");
    let (before, version) = (stored_people(&table).await, table.version());

    let keep = policy(Duration::from_secs(3600));
    let report = table.maintain(&keep).await.expect("kept up");
    let expected = MaintenanceReport { files_compacted: 6, checkpointed: true, files_removed: 0 };
    assert_eq!(report, expected);
    assert_eq!((table.data_files(), table.version()), (1, version + 1));
    assert_eq!(stored_people(&table).await, before);
    assert_eq!(stored_people(&table.at_version(version).await.expect("kept")).await, before);
    assert_eq!(table.cursor("a"), Some(5));
    let report = table.maintain(&keep).await.expect("kept up");
    assert_eq!(report, MaintenanceReport::default(), "nothing is due");

    table.commit_cursors(&[cursor("a", 19)]).await.expect("moved");
    let in_a_while = chrono::Utc::now().timestamp_millis() + 1_000_000;
    let files = maintain::StoredFiles::of(&table).await.expect("listed");
    let removed = maintain::sweep(&table, &files, in_a_while, in_a_while).await.expect("swept");
    assert_eq!(removed, 7, "six compacted files and one of a commit that never was");
    let found = lake.table(table.name()).await.expect("readable").expect("there");
    assert_eq!(stored_people(&found).await, before);
    assert_eq!(found.cursor("a"), Some(19));
}

#[tokio::test]
async fn an_export_is_replaced_whole() {
    let lake = memory_lake();
    let mut table = lake.open_or_create(&person_spec()).await.expect("made");
    table.append(&[people(&[Person::new(1, "a", 1)])], &[]).await.expect("rows");
    let first = table.export_parquet("memory:///public/people").await.expect("exported");
    table.append(&[people(&[Person::new(2, "b", 1)])], &[]).await.expect("rows");
    let second = table.export_parquet("memory:///public/people").await.expect("exported");
    assert_eq!((first.rows, second.rows, second.version), (1, 2, 2));
    let folder = object_store::path::Path::from("public/people");
    let listed = lake.store().list_with_delimiter(Some(&folder)).await.expect("listed");
    assert_eq!(listed.common_prefixes.len(), 1);
    assert!(second.url.path().contains(listed.common_prefixes[0].as_ref()));
    let manifest = lake.store().get(&folder.join("manifest.json")).await.expect("a manifest");
    let manifest: serde_json::Value =
        serde_json::from_slice(&manifest.bytes().await.expect("read")).expect("JSON");
    assert_eq!(manifest["rows"], 2);
    assert_eq!(manifest["files"].as_array().map(Vec::len), Some(second.files));
}

#[tokio::test]
async fn lookups_answer_all_columns_of_the_keys_there_are() {
    let mut table = memory_lake().open_or_create(&person_spec()).await.expect("made");
    for chunk in 0..3 {
        let rows: Vec<_> = (0..100).map(|id| Person::new(chunk * 100 + id, "p", 1)).collect();
        table.append(&[people(&rows)], &[]).await.expect("rows");
    }
    let found = table.lookup(&ids(&[5, 250, 999])).await.expect("looked up");
    let found: Vec<_> = found
        .iter()
        .flat_map(|rows| {
            rows.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
        })
        .collect();
    assert_eq!(BTreeSet::from_iter(found), BTreeSet::from([5, 250]));
    assert!(table.lookup(&ids(&[])).await.expect("looked up").is_empty());
    let nameless = TableSpec { name: TableName::system("runs"), key: Vec::new(), ..person_spec() };
    let log = memory_lake().open_or_create(&nameless).await.expect("made");
    assert!(matches!(log.lookup(&ids(&[1])).await, Err(LakeError::NoKey { .. })));
}
