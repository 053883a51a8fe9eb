use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write(dir: &TempDir, path: &str, text: &str) {
    let path = dir.path().join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
    fs::write(path, text).expect("a writable file");
}

fn write_parquet(dir: &TempDir, path: &str, ids: &[i64]) {
    let path = dir.path().join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
    let names = StringArray::from_iter_values(ids.iter().map(|id| format!("u{id}")));
    let columns: [(&str, ArrayRef); 2] =
        [("id", Arc::new(Int64Array::from(ids.to_vec()))), ("name", Arc::new(names))];
    let batch = RecordBatch::try_from_iter(columns).expect("two columns of one length");
    let file = fs::File::create(path).expect("a writable file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a schema");
    writer.write(&batch).expect("a batch");
    writer.close().expect("a footer");
}

async fn open(dir: &Path, config: SourceConfig) -> Result<Source, SourceError> {
    assert_eq!(config.validate(), []);
    Source::open("events", &config, dir, Arc::new(RuntimeEnv::default())).await
}

fn parquet(place: &str) -> SourceConfig {
    SourceConfig { parquet: Some(place.into()), ..SourceConfig::default() }
}

fn csv(place: &str) -> SourceConfig {
    SourceConfig { csv: Some(place.into()), ..SourceConfig::default() }
}

async fn rows(source: &Source, sql: &str) -> String {
    let context = session(&source.runtime);
    context.register_table("t", source.provider()).expect("a free name");
    let batches =
        context.sql(sql).await.expect("valid SQL").collect().await.expect("readable rows");
    pretty_format_batches(&batches).expect("printable rows").to_string()
}

#[tokio::test]
async fn a_folder_of_parquet_files_is_one_table_with_its_folders_as_columns() {
    let dir = folder();
    write_parquet(&dir, "events/day=2026-01-01/a.parquet", &[1, 2]);
    write_parquet(&dir, "events/day=2026-01-02/b.parquet", &[3]);
    write(&dir, "events/_SUCCESS", "");
    let config = SourceConfig {
        partition_by: vec![PartitionColumn::Name("day".into())],
        ..parquet("./events")
    };
    let source = open(dir.path(), config).await.expect("a readable folder");
    assert_eq!(source.row_count().await.expect("footers"), 3);
    assert_eq!(
        source.schema().field_with_name("day").expect("a column").data_type(),
        &DataType::Utf8
    );
    let shown =
        rows(&source, "select day, count(*) as n from t where day > '2026-01-01' group by day")
            .await;
    assert!(shown.contains("| 2026-01-02 | 1 |"), "{shown}");
}

#[tokio::test]
async fn text_files_are_read_with_the_types_given() {
    let dir = folder();
    write(&dir, "w.csv", "id;plan;seats\n007;N/A;5\n008;\"pro;max\";\n");
    let config = SourceConfig {
        delimiter: ';',
        null_values: vec!["N/A".into()],
        types: BTreeMap::from([("id".into(), ColumnType::Text)]),
        ..csv("w.csv")
    };
    let source = open(dir.path(), config).await.expect("a readable file");
    let shown = rows(&source, "select id, plan, seats + 1 as seats from t order by id").await;
    for line in ["| 007 |         | 6     |", "| 008 | pro;max |       |"] {
        assert!(shown.contains(line), "{shown}");
    }
}

#[tokio::test]
async fn json_lines_are_read_whatever_their_ending() {
    for ending in ["ndjson", "jsonl", "json"] {
        let dir = folder();
        write(&dir, &format!("e/a.{ending}"), "{\"id\": 1, \"ok\": true}\n{\"id\": 2}\n");
        let config = SourceConfig { ndjson: Some("e".into()), ..SourceConfig::default() };
        let source = open(dir.path(), config).await.expect("a readable folder");
        assert_eq!(source.row_count().await.expect("lines"), 2, "{ending}");
    }
}

#[tokio::test]
async fn absent_and_empty_sources_are_named() {
    let dir = folder();
    write(&dir, "other/readme.txt", "nothing");
    write(&dir, "header.csv", "id,name\n");
    for place in ["nowhere", "other", "nowhere/"] {
        let error = open(dir.path(), parquet(place)).await.expect_err("no Parquet file there");
        assert!(matches!(error, SourceError::Absent { .. }), "{place}: {error:?}");
        assert!(error.to_string().contains("`events`"), "{error}");
    }
    let error = open(dir.path(), csv("header.csv")).await.expect_err("a header only");
    assert!(matches!(error, SourceError::Empty { .. }), "{error:?}");
    write_parquet(&dir, "none/a.parquet", &[]);
    let error = open(dir.path(), parquet("none")).await.expect_err("a footer only");
    assert!(matches!(error, SourceError::Empty { .. }), "{error:?}");
}

#[tokio::test]
async fn mixed_endings_and_wrong_columns_are_refused() {
    let dir = folder();
    write(&dir, "m/a.csv", "id\n1\n");
    write(&dir, "m/b.csv.gz", "");
    let error = open(dir.path(), csv("m")).await.expect_err("two endings");
    assert!(error.to_string().contains("`.csv` and `.csv.gz`"), "{error}");
    let source = open(dir.path(), csv("m/*.csv")).await.expect("a pattern for one ending");
    assert_eq!(source.row_count().await.expect("lines"), 1);
    let types = BTreeMap::from([("idd".into(), ColumnType::Text)]);
    let config = SourceConfig { types, ..csv("m/a.csv") };
    let error = open(dir.path(), config).await.expect_err("no such column");
    assert!(error.to_string().contains("`idd`"), "{error}");
    let partition_by = vec![PartitionColumn::Name("day".into())];
    write(&dir, "p/month=1/a.csv", "id\n1\n");
    let error = open(dir.path(), SourceConfig { partition_by, ..csv("p") }).await;
    assert!(matches!(error, Err(SourceError::Unreadable { .. })), "{error:?}");
}

#[tokio::test]
async fn compressed_files_are_read_by_their_ending() {
    for (ending, compression) in [("gz", "gzip"), ("zst", "zstd")] {
        let dir = folder();
        for (file, format) in [("a.csv", "csv"), ("b.ndjson", "json")] {
            let path = dir.path().join(format!("{file}.{ending}"));
            let sql = format!(
                "copy (select * from (values (1, 'free'), (2, 'pro')) as v(id, plan)) to '{}' \
                 stored as {format} options ('format.compression' '{compression}')",
                path.display()
            );
            let written = SessionContext::new().sql(&sql).await.expect("a plan").collect().await;
            written.expect("a file");
        }
        let ndjson = Some(format!("b.ndjson.{ending}"));
        let ndjson = SourceConfig { ndjson, ..SourceConfig::default() };
        for config in [csv(&format!("a.csv.{ending}")), ndjson] {
            let source = open(dir.path(), config).await.expect("a readable file");
            let shown = rows(&source, "select plan from t where id = 2").await;
            assert!(shown.contains("| pro"), "{shown}");
        }
    }
}

#[tokio::test]
async fn partitions_that_a_filter_excludes_are_not_opened() {
    let dir = folder();
    write_parquet(&dir, "events/day=2026-01-01/a.parquet", &[1, 2]);
    write_parquet(&dir, "events/day=2026-01-02/b.parquet", &[3]);
    let day = BTreeMap::from([("day".to_owned(), ColumnType::Date)]);
    let config =
        SourceConfig { partition_by: vec![PartitionColumn::Typed(day)], ..parquet("events") };
    let source = open(dir.path(), config).await.expect("a readable folder");
    // Columns are known by now; a file that is opened again would be missed.
    fs::remove_file(dir.path().join("events/day=2026-01-01/a.parquet")).expect("a file");
    let plan = rows(&source, "explain select id from t where day > date '2026-01-01'").await;
    assert!(plan.contains("day=2026-01-02") && !plan.contains("day=2026-01-01/"), "{plan}");
}

#[tokio::test]
async fn a_delta_table_is_read_at_its_newest_version() {
    use crate::lake::{Lake, LakeConfig, TableName, TableSpec};
    let dir = folder();
    let lake = Lake::open(&LakeConfig::default(), dir.path()).await.expect("a lake");
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let batch = RecordBatch::try_from_iter([("id", ids)]).expect("a column");
    let spec = TableSpec {
        name: TableName::usage("events"),
        schema: batch.schema(),
        key: Vec::new(),
        partition_by: Vec::new(),
    };
    let mut table = lake.open_or_create(&spec).await.expect("a table");
    table.append(&[batch], &[]).await.expect("rows");
    let delta = |place: &str| SourceConfig { delta: Some(place.into()), ..SourceConfig::default() };
    let source = open(dir.path(), delta("lake/usage/events")).await.expect("a table");
    assert_eq!((source.kind(), source.row_count().await.expect("rows")), ("Delta", 2));
    let error = open(dir.path(), delta("lake/usage/absent")).await.expect_err("no table");
    assert!(matches!(error, SourceError::Absent { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_that_does_not_parse_is_named_or_skipped() {
    let dir = folder();
    write_parquet(&dir, "p/a.parquet", &[1, 2]);
    write(&dir, "p/broken.parquet", "PAR1 this is no footer");
    let error = open(dir.path(), parquet("p")).await.expect_err("a broken file");
    assert!(error.to_string().contains("p/broken.parquet"), "{error}");
    let skip = |config| SourceConfig { on_bad_file: OnBadFile::Skip, ..config };
    let source = open(dir.path(), skip(parquet("p"))).await.expect("the rest");
    assert_eq!(source.skipped().len(), 1);
    assert!(source.skipped()[0].path.ends_with("p/broken.parquet"));
    assert_eq!(source.row_count().await.expect("rows"), 2);
    assert!(rows(&source, "select * from t limit 1").await.contains("| u1"));

    // Text that goes wrong in its middle, past what is looked at for the types.
    let good: String = (0..1_200).map(|id| format!("{id},x\n")).collect();
    write(&dir, "c/a.csv", &format!("id,name\n{good}"));
    write(&dir, "c/b.csv", &format!("id,name\n{good}seven,x\n"));
    let source = open(dir.path(), csv("c")).await.expect("types are guessed from the first rows");
    let bad = source.bad_files().await.expect("a list");
    assert_eq!(bad.len(), 1);
    assert!(bad[0].path.ends_with("c/b.csv"), "{bad:?}");
    let source = open(dir.path(), skip(csv("c"))).await.expect("the rest");
    assert_eq!(source.row_count().await.expect("rows"), 1_200);
    assert_eq!(source.skipped(), bad);
}

#[tokio::test]
async fn a_csv_file_with_its_columns_in_another_order_is_not_read_as_if_they_were_not() {
    let dir = folder();
    write(&dir, "c/a.csv", "id,name\n1,Ada\n");
    write(&dir, "c/b.csv", "name,id\nBea,2\n");
    let error = open(dir.path(), csv("c")).await.expect_err("two orders");
    for word in ["c/b.csv", "`name,id`", "`id,name`"] {
        assert!(error.to_string().contains(word), "{error}");
    }
}
