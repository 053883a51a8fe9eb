mod incremental;
mod memory;
mod rules;

use std::path::Path;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use tempfile::TempDir;

use super::*;
use crate::lake::{Changes, Lake, LakeConfig};
use crate::transform::{
    EngineConfig, Materialization, ModelConfig, ModelDefinition, ModelTest, Rule, Severity,
    TestOutcome,
};

/// A lake in a temporary folder, and models over one usage table `t`.
struct Project {
    dir: TempDir,
    definitions: Vec<ModelDefinition>,
}

fn keyed(key: &[&str]) -> ModelConfig {
    ModelConfig {
        materialize: Materialization::Table,
        key: key.iter().map(|column| (*column).to_owned()).collect(),
        ..ModelConfig::default()
    }
}

impl Project {
    fn new(models: &[(&str, &str, ModelConfig)]) -> Self {
        let mut project =
            Self { dir: tempfile::tempdir().expect("a temporary folder"), definitions: Vec::new() };
        project.set_models(models);
        project
    }

    fn set_models(&mut self, models: &[(&str, &str, ModelConfig)]) {
        let define = |(name, sql, config): &(&str, &str, ModelConfig)| ModelDefinition {
            name: (*name).into(),
            file: format!("sql/{name}.sql").into(),
            sql: (*sql).into(),
            config: config.clone(),
        };
        self.definitions = models.iter().map(define).collect();
    }

    async fn lake(&self) -> Lake {
        Lake::open(&LakeConfig::default(), self.dir.path()).await.expect("a writable folder")
    }

    /// An engine whose `usage.t` holds the rows of a query.
    async fn engine(&self, rows: &str) -> Engine {
        let models = Models::parse(self.definitions.clone()).expect("sound models");
        let lake = self.lake().await;
        let mut engine =
            Engine::new(&EngineConfig::default(), lake, Arc::new(models), BTreeMap::new())
                .expect("an engine");
        let rows = SessionContext::new().sql(rows).await.expect("valid SQL");
        let schema = Arc::new(rows.schema().as_arrow().clone());
        let batches = rows.collect().await.expect("constant rows");
        let table = MemTable::try_new(schema, vec![batches]).expect("rows of one schema");
        engine.register_source("t", Arc::new(table));
        engine
    }

    async fn build(&self, run_id: &str, rows: &str) -> BuildReport {
        build(&self.engine(rows).await, &options(run_id)).await
    }

    async fn shown(&self, sql: &str) -> String {
        let engine = self.engine("select 1 as unused").await;
        let rows = engine.query(sql, None).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let batches: Vec<_> = rows.try_collect().await.expect("readable rows");
        pretty_format_batches(&batches).expect("printable rows").to_string()
    }

    /// Every Parquet file of the models, by path.
    fn data_files(&self) -> Vec<String> {
        let mut files = Vec::new();
        collect_files(&self.dir.path().join("lake/models"), &mut files);
        files.retain(|path| path.ends_with(".parquet"));
        files.sort();
        files
    }
}

fn collect_files(dir: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        match path.is_dir() {
            true => collect_files(&path, files),
            false => files.push(path.to_string_lossy().into_owned()),
        }
    }
}

fn options(run_id: &str) -> BuildOptions {
    BuildOptions {
        run_id: run_id.into(),
        run_started_at: 1_773_144_000_000_000,
        ..BuildOptions::default()
    }
}

fn only(report: &BuildReport) -> &ModelReport {
    assert_eq!(report.models.len(), 1);
    let model = &report.models[0];
    assert!(!matches!(model.status, ModelStatus::Failed(_)), "{:?}", model.status);
    model
}

const PEOPLE: &str = "select * from usage.t";

fn people(rows: &str) -> String {
    format!("select column1 as id, column2 as plan, column3 as score from (values {rows})")
}

#[tokio::test]
async fn a_second_build_of_the_same_rows_stores_nothing() {
    let project = Project::new(&[("m", PEOPLE, keyed(&["id"]))]);
    let rows = people("(1, 'free', 0.5), (2, null, 1.5)");
    let first = project.build("r1", &rows).await;
    assert!(matches!(only(&first).status, ModelStatus::Built));
    assert_eq!((only(&first).rows, only(&first).inserted), (Some(2), 2));
    let files = project.data_files();
    let second = project.build("r2", &rows).await;
    assert!(matches!(only(&second).status, ModelStatus::Unchanged), "{:?}", only(&second));
    assert_eq!((only(&second).rows, only(&second).changes()), (Some(2), 0));
    assert_eq!(project.data_files(), files);
}

#[tokio::test]
async fn only_differences_are_stored_and_recorded() {
    let project = Project::new(&[("m", PEOPLE, keyed(&["id"]))]);
    project.build("r1", &people("(1, 'free', 0.5), (2, 'team', 1.5), (3, 'team', 2.5)")).await;
    let report =
        project.build("r2", &people("(1, 'free', 0.5), (2, 'free', 9.0), (4, null, 0.0)")).await;
    let model = only(&report);
    assert_eq!((model.inserted, model.updated, model.deleted), (1, 1, 1));
    let rows = project.shown("select * from m order by id").await;
    let expected = "\
+----+------+-------+
| id | plan | score |
+----+------+-------+
| 1  | free | 0.5   |
| 2  | free | 9.0   |
| 4  |      | 0.0   |
+----+------+-------+";
    assert_eq!(rows, expected);
    let changes = project
        .shown("select op, id, changed_columns, old, new from m_changes where run_id = 'r2' order by id")
        .await;
    let expected = "\
+--------+----+------------------+------------------------------------+------------------------------------+
| op     | id | changed_columns  | old                                | new                                |
+--------+----+------------------+------------------------------------+------------------------------------+
| update | 2  | [\"plan\",\"score\"] | {\"id\":2,\"plan\":\"team\",\"score\":1.5} | {\"id\":2,\"plan\":\"free\",\"score\":9.0} |
| delete | 3  |                  | {\"id\":3,\"plan\":\"team\",\"score\":2.5} |                                    |
| insert | 4  |                  |                                    | {\"id\":4,\"plan\":null,\"score\":0.0}   |
+--------+----+------------------+------------------------------------+------------------------------------+";
    assert_eq!(changes, expected);
    let first = project
        .shown("select count(*) as n from m_changes where run_id = 'r1' and op = 'insert'")
        .await;
    assert!(first.contains("| 3 |"), "{first}");
}

#[tokio::test]
async fn changes_that_a_dead_run_stored_but_did_not_record_are_caught_up() {
    let project = Project::new(&[("m", PEOPLE, keyed(&["id"]))]);
    project.build("r1", &people("(1, 'free', 0.5), (2, 'team', 1.5)")).await;
    let rows = people("(1, 'team', 0.5)");
    // What a run leaves behind that dies after the model's commit: the model moved, its changes not.
    let source = SessionContext::new().sql(&rows).await.expect("valid SQL").collect().await;
    let updated = source.expect("constant rows");
    let name = TableName::model("m");
    let mut table = project.lake().await.table(&name).await.expect("readable").expect("built");
    let changed = Changes { rows: updated, ..Changes::default() };
    table.upsert(changed, &[]).await.expect("a writable lake");
    let report = project.build("r2", &people("(1, 'team', 0.5), (2, 'team', 1.5)")).await;
    assert!(matches!(only(&report).status, ModelStatus::Unchanged));
    let sql = "select run_id, op, id, changed_columns from m_changes where op <> 'insert'";
    let changes = project.shown(sql).await;
    assert!(changes.contains("| r2     | update | 1  | [\"plan\"]        |"), "{changes}");
    let again = project.build("r3", &people("(1, 'team', 0.5), (2, 'team', 1.5)")).await;
    assert_eq!(only(&again).changes(), 0);
    assert_eq!(project.shown(sql).await, changes);
}

#[tokio::test]
async fn a_key_that_does_not_identify_rows_changes_nothing() {
    let project = Project::new(&[("m", PEOPLE, keyed(&["id"]))]);
    project.build("r1", &people("(1, 'free', 0.5)")).await;
    let report =
        project.build("r2", &people("(1, 'a', 0.5), (1, 'b', 0.5), (null, 'c', 0.5)")).await;
    let ModelStatus::Failed(error) = &report.models[0].status else { panic!("{report:?}") };
    let text = error.to_string();
    assert!(
        text.contains("rows with a null in it: 1, rows that repeat an earlier row's: 1"),
        "{text}"
    );
    assert!(project.shown("select plan from m").await.contains("| free |"));
}

#[tokio::test]
async fn a_table_without_a_key_is_replaced_when_its_content_differs() {
    let project = Project::new(&[("m", PEOPLE, keyed(&[]))]);
    let rows = people("(1, 'a', 0.5), (1, 'a', 0.5), (2, null, 0.5)");
    project.build("r1", &rows).await;
    let files = project.data_files();
    let reordered = people("(2, null, 0.5), (1, 'a', 0.5), (1, 'a', 0.5)");
    assert!(matches!(only(&project.build("r2", &reordered).await).status, ModelStatus::Unchanged));
    assert_eq!(project.data_files(), files);
    let fewer = people("(2, null, 0.5), (1, 'a', 0.5)");
    let report = project.build("r3", &fewer).await;
    assert_eq!((only(&report).rows, only(&report).deleted), (Some(2), 1));
    assert!(project.shown("select count(*) as n from m").await.contains("| 2 |"));
}

#[tokio::test]
async fn later_models_read_what_earlier_ones_have_just_stored() {
    let project = Project::new(&[
        ("a", PEOPLE, keyed(&["id"])),
        ("b", "select id, score * 2 as score from v", keyed(&["id"])),
        ("v", "select id, score from a where plan is not null", ModelConfig::default()),
        ("c", "select op, count(*) as n from a_changes group by op", keyed(&["op"])),
    ]);
    project.build("r1", &people("(1, 'free', 1.0), (2, null, 1.0)")).await;
    project.build("r2", &people("(1, 'free', 5.0), (2, null, 1.0)")).await;
    assert!(project.shown("select score from b").await.contains("| 10.0  |"));
    assert!(project.shown("select op, n from c order by op").await.contains("| update | 1 |"));
}

#[tokio::test]
async fn a_failure_stops_only_what_depends_on_it() {
    let project = Project::new(&[
        ("broken", "select cast(plan as bigint) as id from usage.t", keyed(&["id"])),
        ("child", "select * from broken", ModelConfig::default()),
        ("sound", "select id from usage.t", keyed(&["id"])),
    ]);
    let report = project.build("r1", &people("(1, 'free', 1.0)")).await;
    let models = Models::parse(project.definitions.clone()).expect("sound models");
    assert!(matches!(report.model("broken").expect("tried").status, ModelStatus::Failed(_)));
    let reason = report.stop_reason(&models, "child").expect("its parent failed");
    assert!(reason.sentence.contains("`broken`") && !reason.is_test, "{reason:?}");
    assert_eq!(report.stop_reason(&models, "sound"), None);
    assert!(report.has_failures());
}

#[tokio::test]
async fn models_over_unavailable_tables_are_skipped() {
    let project = Project::new(&[
        ("a", PEOPLE, keyed(&["id"])),
        ("b", "select * from a", ModelConfig::default()),
    ]);
    let unavailable = BTreeMap::from([(TableName::usage("t"), "it is absent".to_owned())]);
    let options = BuildOptions { unavailable, ..options("r1") };
    let report = build(&project.engine(&people("(1, 'a', 1.0)")).await, &options).await;
    for name in ["a", "b"] {
        let ModelStatus::Skipped { because } = &report.model(name).expect("reported").status else {
            panic!("{report:?}");
        };
        assert!(because.contains("`usage.t`: it is absent"), "{because}");
    }
}

#[tokio::test]
async fn only_the_models_named_are_built_on_what_is_stored() {
    let project = Project::new(&[
        ("a", PEOPLE, keyed(&["id"])),
        ("b", "select id from a", keyed(&["id"])),
        ("c", "select id from a", keyed(&["id"])),
    ]);
    let options = BuildOptions { only: Some(["b".to_owned()].into()), ..options("r1") };
    let report = build(&project.engine(&people("(1, 'a', 1.0)")).await, &options).await;
    let names: Vec<_> = report.models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["b"]);
    assert!(matches!(report.models[0].status, ModelStatus::Failed(_)), "`a` is not built yet");
    let options = BuildOptions { only: Some(["a".to_owned()].into()), ..options };
    build(&project.engine(&people("(1, 'a', 1.0)")).await, &options).await;
    let options = BuildOptions { only: Some(["b".to_owned()].into()), ..options };
    let report = build(&project.engine(&people("(2, 'a', 1.0)")).await, &options).await;
    assert_eq!(only(&report).rows, Some(1));
}

#[tokio::test]
async fn tests_count_and_keep_the_rows_that_break_them() {
    let test = |rule, severity| ModelTest { name: None, rule, severity };
    let accepted = crate::transform::AcceptedValues {
        column: "plan".into(),
        values: vec!["free".into(), "team".into()],
    };
    let sql = Rule::Sql { file: None, text: "select * from m where score > 100".into() };
    let config = ModelConfig {
        tests: vec![
            test(Rule::NotNull(vec!["plan".into()]), Severity::Warn),
            test(Rule::Unique(vec!["plan".into()]), Severity::Error),
            test(Rule::AcceptedValues(accepted), Severity::Error),
            test(sql, Severity::Error),
        ],
        ..keyed(&["id"])
    };
    let project = Project::new(&[("m", PEOPLE, config)]);
    let rows = people("(1, 'free', 1.0), (2, 'free', 1.0), (3, null, 1.0), (4, 'gold', 1.0)");
    let report = project.build("r1", &rows).await;
    let failures: Vec<_> = only(&report)
        .tests
        .iter()
        .map(|test| match &test.outcome {
            TestOutcome::Passed => (test.rule.as_str(), 0, test.stops()),
            TestOutcome::Failed { rows, sample } => {
                assert!(!sample.is_empty());
                (test.rule.as_str(), *rows, test.stops())
            }
            TestOutcome::Broken(error) => panic!("{error:?}"),
        })
        .collect();
    let expected = [
        ("not_null(plan)", 1, false),
        ("unique(plan)", 1, true),
        ("accepted_values(plan)", 1, true),
        ("sql", 0, false),
    ];
    assert_eq!(failures, expected);
    assert!(only(&report).stop_reason().expect("a test stops").contains("unique(plan)"));
}

#[tokio::test]
async fn columns_come_go_and_change_type() {
    let mut project = Project::new(&[("m", PEOPLE, keyed(&["id"]))]);
    project.build("r1", &people("(1, 'free', 1.5), (2, 'team', 2.0)")).await;
    let sql = "select id, cast(score as bigint) as score, plan is null as unpaid from usage.t";
    project.set_models(&[("m", sql, keyed(&["id"]))]);
    let report = project.build("r2", &people("(1, 'free', 1.5), (2, null, 2.0)")).await;
    assert_eq!(only(&report).rows, Some(2));
    let rows = project.shown("select id, plan, score, unpaid from m order by id").await;
    for line in ["| 1  |      | 1     | false  |", "| 2  |      | 2     | true   |"] {
        assert!(rows.contains(line), "{rows}");
    }
    let again = project.build("r3", &people("(1, 'free', 1.5), (2, null, 2.0)")).await;
    assert_eq!(only(&again).changes(), 0);
}

#[tokio::test]
async fn a_new_type_need_not_hold_the_old_values() {
    let mut project = Project::new(&[("m", PEOPLE, keyed(&["id"]))]);
    project.build("r1", &people("(1, 'free', 1.5), (2, '7', 2.0)")).await;
    project.set_models(&[("m", "select id, id + 5 as plan from usage.t", keyed(&["id"]))]);
    let report = project.build("r2", &people("(1, 'free', 1.5), (2, '7', 2.0)")).await;
    assert_eq!(only(&report).rows, Some(2));
    let rows = project.shown("select id, plan + 1 as plan from m order by id").await;
    assert!(rows.contains("| 1  | 7    |") && rows.contains("| 2  | 8    |"), "{rows}");
    let again = project.build("r3", &people("(1, 'free', 1.5), (2, '7', 2.0)")).await;
    assert_eq!(only(&again).changes(), 0);
}

#[tokio::test]
async fn a_table_that_changes_altogether_is_written_anew() {
    let project =
        Project::new(&[("m", "select id, id % 7 + shift as score from usage.t", keyed(&["id"]))]);
    let rows = |shift: i64| {
        format!("select value as id, {shift} as shift from generate_series(1, 120000)")
    };
    project.build("r1", &rows(0)).await;
    let report = project.build("r2", &rows(1)).await;
    assert_eq!((only(&report).rows, only(&report).updated), (Some(120_000), 120_000));
    let sums = project.shown("select sum(score) - sum(id % 7) as n from m").await;
    assert!(sums.contains("| 120000 |"), "{sums}");
    let changes = project.shown("select count(*) as n from m_changes where op = 'update'").await;
    assert!(changes.contains("| 120000 |"), "{changes}");
}

#[tokio::test]
async fn a_join_that_does_not_fit_in_memory_is_sorted_instead() {
    let sql = "select a.id, b.text from usage.t as a inner join usage.t as b on a.id = b.id";
    let project = Project::new(&[("m", sql, keyed(&["id"]))]);
    let rows = "select value as id, repeat(cast(value as varchar), 50) as text \
         from generate_series(1, 400000)";
    let mut engine = project.engine("select 1 as unused").await;
    let config = EngineConfig {
        memory_limit: "64MiB".to_owned().try_into().expect("a size"),
        threads: Some(2),
        ..EngineConfig::default()
    };
    engine = Engine::new(&config, project.lake().await, engine.models().clone(), BTreeMap::new())
        .expect("an engine");
    let rows = SessionContext::new().sql(rows).await.expect("valid SQL").into_view();
    engine.register_source("t", rows);
    let report = build(&engine, &options("r1")).await;
    assert_eq!(only(&report).rows, Some(400_000));
}

#[tokio::test]
async fn a_view_read_after_a_build_sees_the_run_s_time() {
    let sql = "select id, $run_started_at as at from usage.t";
    let project = Project::new(&[("m", sql, ModelConfig::default())]);
    let engine = project.engine(&people("(1, 'free', 1.5)")).await;
    build(&engine, &options("r1")).await;
    let rows = engine.read_model("m").await.expect("a view");
    let batches: Vec<_> = rows.try_collect().await.expect("readable rows");
    let shown = pretty_format_batches(&batches).expect("printable rows").to_string();
    assert!(shown.contains("2026-03-10T12:00:00Z"), "{shown}");
}

#[tokio::test]
async fn rows_that_fail_late_do_not_quote_values_either() {
    let project = Project::new(&[]);
    let engine = project.engine(&people("(1, 'hunter2', 1.5)")).await;
    let rows = engine.query("select cast(plan as bigint) as n from usage.t", None).await;
    let error = match rows {
        Ok(rows) => format!("{:?}", rows.try_collect::<Vec<_>>().await.expect_err("no number")),
        Err(error) => format!("{error:?}"),
    };
    assert!(error.contains("cannot be read as the type") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn the_past_can_be_queried() {
    let project = Project::new(&[("m", PEOPLE, keyed(&["id"]))]);
    project.build("r1", &people("(1, 'free', 1.5)")).await;
    let lake = project.lake().await;
    let table = lake.table(&TableName::model("m")).await.expect("readable").expect("built");
    let before = chrono::Utc::now().timestamp_micros();
    project.build("r2", &people("(1, 'team', 1.5)")).await;
    let engine = project.engine("select 1 as unused").await;
    let rows = engine.query("select plan from m", Some(before)).await.expect("a version of then");
    let batches: Vec<_> = rows.try_collect().await.expect("readable rows");
    let shown = pretty_format_batches(&batches).expect("printable rows").to_string();
    assert!(shown.contains("| free |"), "version {}: {shown}", table.version());
}
