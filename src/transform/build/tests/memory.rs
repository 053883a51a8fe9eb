//! Models over more rows than memory holds.

use super::*;

/// The least that settings allow, and less than the table here takes.
const LITTLE: &str = "64MiB";

fn size(text: &str) -> crate::transform::MemorySize {
    text.to_owned().try_into().expect("a size")
}

/// An engine with little memory over a table of 300,000 rows of some 400 bytes.
async fn engine(project: &Project, config: EngineConfig) -> Engine {
    let models = project.engine("select 1 as unused").await.models().clone();
    let lake = project.lake().await;
    let mut engine = Engine::new(&config, lake, models, BTreeMap::new()).expect("an engine");
    // In no order: 300007 is prime, so that no id comes twice.
    let rows = "select value * 7919 % 300007 as id, value % 1000 as place, \
                repeat(cast(value % 9973 as varchar), 100) as text from generate_series(1, 300000)";
    let rows = SessionContext::new().sql(rows).await.expect("valid SQL").into_view();
    engine.register_source("t", rows);
    engine
}

fn little(project: &Project) -> EngineConfig {
    EngineConfig {
        memory_limit: size(LITTLE),
        threads: Some(2),
        spill_folder: Some(project.dir.path().join("spill")),
        ..EngineConfig::default()
    }
}

fn table() -> ModelConfig {
    ModelConfig { materialize: Materialization::Table, ..ModelConfig::default() }
}

fn failure(report: &BuildReport) -> String {
    let ModelStatus::Failed(error) = &report.models[0].status else { panic!("{report:?}") };
    format!("{error}; {}", error.advice())
}

#[tokio::test]
async fn a_sort_and_a_grouping_that_do_not_fit_are_spilled_and_right() {
    let project = Project::new(&[
        ("sorted", "select id, text from usage.t", keyed(&["id"])),
        (
            "grouped",
            "select id, text, count(*) as n, sum(place) as places from usage.t group by id, text",
            keyed(&["id"]),
        ),
    ]);
    let engine = engine(&project, little(&project)).await;
    let report = build(&engine, &options("r1")).await;
    for model in &report.models {
        assert!(matches!(model.status, ModelStatus::Built), "{model:?}");
        assert_eq!(model.rows, Some(300_000));
    }
    let shown = project
        .shown(
            "select (select sum(length(text)) from sorted) as letters, sum(n) as n, \
             sum(places) as places, count(distinct text) as texts from grouped",
        )
        .await;
    let letters: u64 = (1..=300_000_u64).map(|id| 100 * (id % 9973).to_string().len() as u64).sum();
    let places: u64 = (1..=300_000_u64).map(|id| id % 1000).sum();
    assert!(letters > size(LITTLE).bytes() as u64, "it would have fit");
    assert!(shown.contains(&format!("| {letters} | 300000 | {places} | 9973  |")), "{shown}");
    let left = std::fs::read_dir(project.dir.path().join("spill")).expect("the folder was made");
    let left: Vec<_> = left
        .flat_map(|folder| std::fs::read_dir(folder.expect("an entry").path()))
        .flatten()
        .collect();
    assert!(left.is_empty(), "temporary files go: {left:?}");
}

#[tokio::test]
async fn what_cannot_be_spilled_says_what_to_raise() {
    let sql = "select max(a.text || b.text) as text from usage.t as a cross join usage.t as b";
    let project = Project::new(&[("m", sql, table())]);
    let engine = engine(&project, little(&project)).await;
    let told = failure(&build(&engine, &options("r1")).await);
    assert!(told.contains("Model `m` needs more memory than `engine.memory_limit`"), "{told}");
    assert!(told.contains("Raise `engine.memory_limit`"), "{told}");
}

/// DataFusion 55 reads one side of such a join again when it does not fit, and
/// panics where that side cannot be read twice.
#[tokio::test]
async fn a_fault_of_the_engine_s_own_is_an_error_and_no_crash() {
    let sql = "select a.id from usage.t as a inner join usage.t as b \
               on a.id < b.id and a.text < b.text limit 1";
    let project = Project::new(&[("m", sql, table()), ("n", "select 1 as id", table())]);
    let engine = engine(&project, little(&project)).await;
    let report = build(&engine, &options("r1")).await;
    let told = failure(&report);
    assert!(told.contains("Model `m`") && told.contains("`engine.memory_limit`"), "{told}");
    assert!(matches!(report.models[1].status, ModelStatus::Built), "{report:?}");
}

#[tokio::test]
async fn a_full_spill_folder_says_what_to_raise() {
    let project = Project::new(&[("m", "select id, text from usage.t", keyed(&["id"]))]);
    let config = EngineConfig { spill_limit: size("1MiB"), ..little(&project) };
    let told = failure(&build(&engine(&project, config).await, &options("r1")).await);
    assert!(told.contains("Model `m` needs more room on disk"), "{told}");
    assert!(told.contains("`engine.spill_limit`"), "{told}");
}

#[tokio::test]
async fn a_spill_folder_that_is_a_file_is_named() {
    let project = Project::new(&[]);
    let file = project.dir.path().join("spill");
    std::fs::write(&file, "").expect("a writable folder");
    let error = Engine::new(
        &little(&project),
        project.lake().await,
        Arc::new(Models::default()),
        BTreeMap::new(),
    );
    let error = error.expect_err("a file is no folder");
    assert!(error.to_string().contains("engine.spill_folder"), "{error}");
    assert!(error.is_settings());
}
