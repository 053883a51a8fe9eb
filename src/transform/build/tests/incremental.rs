//! Models that are added to.

use super::*;

/// Rows with a day of change; the model takes those since its last build.
const SINCE: &str = "select id, plan, at from usage.t where at > $last_run_at";

fn incremental() -> ModelConfig {
    ModelConfig { materialize: Materialization::Incremental, ..keyed(&["id"]) }
}

fn project() -> Project {
    Project::new(&[("m", SINCE, incremental())])
}

/// `(id, plan, day)`, each changed on a day of March 2026.
fn rows(rows: &[(i64, &str, u32)]) -> String {
    let row = |(id, plan, day): &(i64, &str, u32)| format!("({id}, '{plan}', '2026-03-{day:02}')");
    let rows: Vec<_> = rows.iter().map(row).collect();
    format!(
        "select column1 as id, column2 as plan, arrow_cast(column3, 'Timestamp(Microsecond, Some(\"UTC\"))') as at \
         from (values {})",
        rows.join(", ")
    )
}

/// A run at noon of a day of March 2026.
fn on_day(run_id: &str, day: i64) -> BuildOptions {
    let first = 1_772_366_400_000_000; // 2026-03-01 12:00 UTC
    BuildOptions { run_started_at: first + (day - 1) * 86_400_000_000, ..options(run_id) }
}

async fn build_on(project: &Project, run_id: &str, day: i64, table: &str) -> BuildReport {
    build(&project.engine(table).await, &on_day(run_id, day)).await
}

async fn built_at(project: &Project) -> Option<i64> {
    let table = project.lake().await.table(&TableName::model("m")).await.expect("readable");
    table.expect("built").cursor(BUILT)
}

#[tokio::test]
async fn the_first_build_takes_everything_and_the_next_what_is_new() {
    let project = project();
    let first = rows(&[(1, "free", 1), (2, "team", 2)]);
    let report = build_on(&project, "r1", 5, &first).await;
    assert_eq!((only(&report).rows, only(&report).inserted), (Some(2), 2));
    // Row 1 is gone from the source, row 2 is new, row 4 is older than the last build.
    let next = rows(&[(2, "free", 6), (3, "team", 7), (4, "late", 4)]);
    let report = build_on(&project, "r2", 8, &next).await;
    let model = only(&report);
    assert_eq!((model.rows, model.inserted, model.updated, model.deleted), (Some(3), 1, 1, 0));
    let shown = project.shown("select id, plan from m order by id").await;
    let expected = "\
+----+------+
| id | plan |
+----+------+
| 1  | free |
| 2  | free |
| 3  | team |
+----+------+";
    assert_eq!(shown, expected);
    let changes = project
        .shown("select op, id, changed_columns from m_changes where run_id = 'r2' order by id")
        .await;
    let expected = "\
+--------+----+-----------------+
| op     | id | changed_columns |
+--------+----+-----------------+
| update | 2  | [\"plan\",\"at\"]   |
| insert | 3  |                 |
+--------+----+-----------------+";
    assert_eq!(changes, expected);
}

#[tokio::test]
async fn with_nothing_new_only_the_cursor_moves() {
    let project = project();
    let table = rows(&[(1, "free", 1)]);
    build_on(&project, "r1", 2, &table).await;
    let (files, before) = (project.data_files(), built_at(&project).await);
    let report = build_on(&project, "r2", 3, &table).await;
    assert!(matches!(only(&report).status, ModelStatus::Unchanged), "{report:?}");
    assert_eq!(project.data_files(), files);
    assert!(built_at(&project).await > before);
    let moved = built_at(&project).await;
    build_on(&project, "r3", 1, &table).await;
    assert_eq!(built_at(&project).await, moved, "a clock that went back moves nothing");
}

#[tokio::test]
async fn a_table_taken_away_is_built_from_the_beginning() {
    let project = project();
    let table = rows(&[(1, "free", 1), (2, "team", 2)]);
    build_on(&project, "r1", 5, &table).await;
    std::fs::remove_dir_all(project.dir.path().join("lake/models")).expect("the model's folder");
    let report = build_on(&project, "r2", 6, &table).await;
    assert_eq!(only(&report).rows, Some(2));
}

#[tokio::test]
async fn a_full_build_forgets_what_the_model_computes_no_more() {
    let project = project();
    build_on(&project, "r1", 5, &rows(&[(1, "free", 1), (2, "team", 2)])).await;
    let table = rows(&[(2, "team", 2), (3, "late", 3)]);
    let options = BuildOptions { full: true, ..on_day("r2", 6) };
    let report = build(&project.engine(&table).await, &options).await;
    let model = only(&report);
    assert_eq!((model.rows, model.inserted, model.deleted), (Some(2), 1, 1));
    let report = build_on(&project, "r3", 7, &table).await;
    assert_eq!(only(&report).changes(), 0);
}

#[tokio::test]
async fn changes_of_a_dead_run_are_caught_up_with_the_rows_it_left() {
    let project = project();
    build_on(&project, "r1", 5, &rows(&[(1, "free", 1), (2, "team", 2)])).await;
    // What a run leaves behind that dies after the model's commit.
    let source = rows(&[(2, "free", 6)]);
    let source = SessionContext::new().sql(&source).await.expect("valid SQL").collect().await;
    let mut table =
        project.lake().await.table(&TableName::model("m")).await.expect("readable").expect("built");
    let changed = Changes { rows: source.expect("constant rows"), ..Changes::default() };
    table.upsert(changed, &[]).await.expect("a writable lake");
    build_on(&project, "r2", 8, &rows(&[(3, "team", 7)])).await;
    let changes = project
        .shown("select op, id, run_id from m_changes where run_id <> 'r1' order by id")
        .await;
    assert!(changes.contains("| update | 2  | r2     |"), "{changes}");
    assert!(changes.contains("| insert | 3  | r2     |"), "{changes}");
    assert!(!changes.contains("delete"), "{changes}");
}

#[tokio::test]
async fn more_changes_than_are_merged_replace_the_table() {
    let sql =
        "select id, shift from usage.t where id > 10 or $last_run_at < timestamp '2000-01-01'";
    let project = Project::new(&[("m", sql, incremental())]);
    let rows = |shift: i64| {
        format!("select value as id, {shift} as shift from generate_series(1, 110000)")
    };
    build_on(&project, "r1", 1, &rows(0)).await;
    let report = build_on(&project, "r2", 2, &rows(1)).await;
    assert_eq!((only(&report).rows, only(&report).updated), (Some(110_000), 109_990));
    let sums = project.shown("select sum(shift) as n, count(distinct id) as ids from m").await;
    assert!(sums.contains("| 109990 | 110000 |"), "{sums}");
    let changes = project.shown("select count(*) as n from m_changes where op = 'update'").await;
    assert!(changes.contains("| 109990 |"), "{changes}");
}

#[tokio::test]
async fn a_key_that_comes_twice_adds_nothing() {
    let project = project();
    build_on(&project, "r1", 5, &rows(&[(1, "free", 1)])).await;
    let report = build_on(&project, "r2", 8, &rows(&[(1, "a", 6), (1, "b", 7)])).await;
    assert!(matches!(report.models[0].status, ModelStatus::Failed(TransformError::Key { .. })));
    let before = built_at(&project).await;
    let report = build_on(&project, "r3", 9, &rows(&[(1, "b", 7)])).await;
    assert_eq!(only(&report).updated, 1, "what the failed build saw is seen again");
    assert!(built_at(&project).await > before);
}
