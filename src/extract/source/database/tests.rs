//! A SQLite file, read as a table.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::context::SessionContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion_table_providers_common::sql::db_connection_pool::{
    DbConnectionPool, JoinPushDown, Mode,
};
use datafusion_table_providers_sqlite::pool::SqliteConnectionPool;
use tempfile::TempDir;

use super::FileDatabase;
use crate::extract::source::{
    ColumnType, CopyConfig, FullCompare, Source, SourceConfig, SourceError, copy_source,
};
use crate::lake::{Lake, LakeConfig};

const SCHEMA: &str = "create table users (id integer primary key, email text, score real, \
                      joined datetime, active boolean, raw blob, \"odd name\" varchar(20))";

async fn execute(file: &Path, statements: &[&str]) {
    let path = file.to_string_lossy();
    let pool = SqliteConnectionPool::new(
        &path,
        Mode::File,
        JoinPushDown::Disallow,
        Vec::new(),
        Duration::from_secs(5),
    );
    let connection = pool.await.expect("a file").connect().await.expect("a connection");
    for statement in statements {
        let done = connection.as_async().expect("a session").execute(statement, &[]).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

async fn users() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let rows = "insert into users values \
                (1, 'ada@acme.test', 1, '2026-01-01 08:00:00', 1, x'00ff', null), \
                (2, 'BEA@acme.test', 2.5, '2026-01-02 08:00:00', 0, null, 'x'), \
                (3, null, null, null, null, null, 'y')";
    execute(&dir.path().join("app.db"), &[SCHEMA, rows]).await;
    dir
}

fn sqlite(table: &str) -> SourceConfig {
    let sqlite = Some(FileDatabase { file: "app.db".into(), table: table.into() });
    SourceConfig { sqlite, ..SourceConfig::default() }
}

async fn open(dir: &TempDir, config: &SourceConfig) -> Result<Source, SourceError> {
    Source::open("users", config, dir.path(), Arc::new(RuntimeEnv::default())).await
}

async fn rows(source: &Source, sql: &str) -> String {
    let context = SessionContext::new();
    context.register_table("t", source.provider()).expect("a free name");
    let batches = context.sql(sql).await.expect("valid SQL").collect().await.expect("rows");
    pretty_format_batches(&batches).expect("printable rows").to_string()
}

#[tokio::test]
async fn a_table_is_read_with_the_types_it_declares_or_holds() {
    let dir = users().await;
    let source = open(&dir, &sqlite("users")).await.expect("a table");
    let types: Vec<String> = source
        .schema()
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    let expected = [
        "id Int64",
        "email Utf8",
        "score Float64",
        "joined Utf8",
        "active Int64",
        "raw Binary",
        "odd name Utf8",
    ];
    assert_eq!(types, expected);
    let shown =
        rows(&source, "select id, email, score, joined, active, \"odd name\" from t order by id")
            .await;
    for line in [
        "| 1  | ada@acme.test | 1.0   | 2026-01-01 08:00:00 | 1      |          |",
        "| 2  | BEA@acme.test | 2.5   | 2026-01-02 08:00:00 | 0      | x        |",
        "| 3  |               |       |                     |        | y        |",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(rows(&source, "select count(*) as n from t").await.contains("| 3 |"));
}

#[tokio::test]
async fn projections_limits_and_safe_filters_reach_the_database() {
    let dir = users().await;
    let source = open(&dir, &sqlite("users")).await.expect("a table");
    let plan =
        rows(&source, "explain select email from t where id >= 2 and score < 9 limit 1").await;
    let scan = plan.lines().find(|line| line.contains("DatabaseScan: SQLite")).expect("a scan");
    assert!(scan.contains("`email`") && !scan.contains("`joined`"), "{plan}");
    assert!(scan.contains("`id` >= 2"), "{plan}");
    let plan = rows(&source, "explain select email from t where id >= 2 limit 1").await;
    assert!(plan.contains("LIMIT 1") && !plan.contains("FilterExec"), "{plan}");
    // Text is compared by us, whatever a collation says: here it is pushed and checked.
    let plan = rows(&source, "explain select id from t where email = 'bea@acme.test'").await;
    assert!(plan.contains("FilterExec") && plan.contains("`email` = 'bea@acme.test'"), "{plan}");
    let plan = rows(&source, "explain select id from t where email > 'a' limit 1").await;
    assert!(plan.contains("FilterExec") && !plan.contains("`email` >"), "{plan}");
    let shown = rows(&source, "select id from t where email <> 'ada@acme.test' and id > 0").await;
    assert!(shown.contains("| 2  |") && !shown.contains("| 1  |"), "{shown}");
}

#[tokio::test]
async fn the_file_is_not_touched_and_what_is_wrong_is_named() {
    let dir = users().await;
    let before = std::fs::read(dir.path().join("app.db")).expect("the file");
    let source = open(&dir, &sqlite("users")).await.expect("a table");
    assert_eq!(source.row_count().await.expect("rows"), 3);
    assert_eq!(std::fs::read(dir.path().join("app.db")).expect("the file"), before);
    let beside = std::fs::read_dir(dir.path()).expect("a folder").count();
    assert_eq!(beside, 1, "a journal was made");
    let error = open(&dir, &sqlite("people")).await.expect_err("no such table");
    assert!(error.to_string().contains("`people`"), "{error}");
    let mut absent = sqlite("users");
    absent.sqlite = Some(FileDatabase { file: "none.db".into(), table: "users".into() });
    let error = open(&dir, &absent).await.expect_err("no such file");
    assert!(error.to_string().contains("none.db"), "{error}");
    assert!(!dir.path().join("none.db").exists(), "reading made a file");
}

#[tokio::test]
async fn a_column_of_mixed_values_fails_and_drops_no_row() {
    let dir = users().await;
    execute(&dir.path().join("app.db"), &["insert into users (id, score) values (4, 'plenty')"])
        .await;
    let source = open(&dir, &sqlite("users")).await.expect("a table");
    let context = SessionContext::new();
    context.register_table("t", source.provider()).expect("a free name");
    let read = context.sql("select score from t").await.expect("valid SQL").collect().await;
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test]
async fn a_sqlite_table_is_copied_by_a_time_that_is_text() {
    let dir = users().await;
    let lake = Lake::open(&LakeConfig::default(), dir.path()).await.expect("a lake");
    let config = SourceConfig {
        types: BTreeMap::from([("joined".into(), ColumnType::Timestamp)]),
        ..sqlite("users")
    };
    let copy = CopyConfig {
        cursor: "joined".into(),
        key: vec!["id".into()],
        overlap: None,
        full_compare: FullCompare::Daily,
    };
    let now = chrono::Utc::now().timestamp_micros();
    let source = open(&dir, &config).await.expect("a table");
    let first = copy_source(&lake, &source, &copy, false, now).await.expect("a copy");
    assert_eq!((first.read, first.inserted), (3, 3));
    execute(
        &dir.path().join("app.db"),
        &[
            "update users set score = 9, joined = '2026-01-03 08:00:00' where id = 1",
            "delete from users where id = 2",
        ],
    )
    .await;
    let source = open(&dir, &config).await.expect("a table");
    let next = copy_source(&lake, &source, &copy, false, now + 1).await.expect("a copy");
    assert_eq!((next.updated, next.deleted), (1, 0));
    let day = 24 * 60 * 60 * 1_000_000;
    let daily = copy_source(&lake, &source, &copy, false, now + day).await.expect("a copy");
    assert_eq!((daily.read, daily.unchanged, daily.deleted), (2, 2, 1));
}
