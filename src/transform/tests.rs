//! SQL tested as SQL, over tables held in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use super::catalog::{Catalog, ModelTimes, Origin, Tables};
use super::engine::SessionSettings;
use super::parameters::{RunTimes, literals};
use super::query::{Query, TableRef};
use super::*;
use crate::lake::TableName;

/// 2026-03-10 12:00 UTC.
const NOON: i64 = 1_773_144_000_000_000;

fn definitions(sources: &[(&str, &str)]) -> Vec<ModelDefinition> {
    let define = |(name, sql): &(&str, &str)| ModelDefinition {
        name: (*name).into(),
        file: format!("sql/{name}.sql").into(),
        sql: (*sql).into(),
        config: ModelConfig::default(),
    };
    sources.iter().map(define).collect()
}

pub(super) fn models(sources: &[(&str, &str)]) -> Arc<Models> {
    Arc::new(Models::parse(definitions(sources)).expect("sound models"))
}

fn vars() -> BTreeMap<String, VarValue> {
    BTreeMap::from([
        ("qualified_from_active_days".into(), VarValue::Integer(2)),
        ("activated_from_features".into(), VarValue::Integer(2)),
        ("greeting".into(), VarValue::Text("it's".into())),
    ])
}

pub(super) fn catalog(models: Arc<Models>) -> Catalog {
    let session = SessionSettings::new(&EngineConfig::default()).expect("a temporary folder");
    let tables = Tables {
        models,
        sources: BTreeMap::new(),
        vars: vars(),
        times: ModelTimes::default(),
        origin: Origin::Schemas(BTreeMap::new()),
    };
    Catalog::new(&session, tables)
}

/// Puts the rows of a query under a table's name.
async fn fill(catalog: &Catalog, schema: &str, name: &str, sql: &str) {
    let rows = SessionContext::new().sql(sql).await.expect("valid SQL");
    let batches = rows.collect().await.expect("constant rows");
    let table = MemTable::try_new(batches[0].schema(), vec![batches]).expect("rows of one schema");
    let table_ref = TableRef { schema: Some(schema.into()), name: name.into() };
    catalog.replace(&table_ref, Arc::new(table)).expect("a free name");
}

pub(super) async fn rows(catalog: &Catalog, sql: &str) -> Result<Vec<RecordBatch>, TransformError> {
    let query = Query::parse(Path::new("query"), sql)?;
    let frame = catalog.plan(&query, &literals(&vars(), None)).await?;
    frame.collect().await.map_err(|error| TransformError::running("The query", error))
}

pub(super) async fn shown(catalog: &Catalog, sql: &str) -> String {
    let batches = rows(catalog, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    pretty_format_batches(&batches).expect("printable rows").to_string()
}

fn repository_models() -> Arc<Models> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let files = std::fs::read_dir(folder).expect("the repository's models");
    let paths = files.map(|file| file.expect("a readable folder").path());
    let texts: Vec<(String, String)> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "sql"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("a readable file"))
        })
        .collect();
    let texts: Vec<_> = texts.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
    models(&texts)
}

/// The tables that every text of SQL tests reads.
const BUSINESS: &str = "business.txt";

/// The texts of `tests/sql`, by file name, read when the tests run.
fn texts() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let files = std::fs::read_dir(folder).expect("the SQL tests");
    let paths = files.map(|file| file.expect("a readable folder").path());
    let texts = paths.map(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).expect("a readable file"))
    });
    texts.collect()
}

/// Runs a text of SQL tests against the repository's models, at a time of the
/// run. Blocks are parted by empty lines: `table NAME` and the query that fills
/// it; `identity NAME`, to resolve a model's edges; `rows`, a query, `----` and
/// what it prints; `#` and a remark. Returns what was found where it differs.
async fn run_text(business: &str, text: &str, run_started_at: i64) -> Vec<String> {
    let catalog = catalog(repository_models());
    for model in catalog.tables.models.in_order() {
        catalog.tables.times.set(model.name(), RunTimes { run_started_at, last_run_at: None });
    }
    let blocks = business.split("\n\n").chain(text.split("\n\n"));
    let mut differing = Vec::new();
    for block in blocks.map(str::trim).filter(|block| !block.starts_with('#')) {
        let (head, body) = block.split_once('\n').unwrap_or((block, ""));
        match head.split_once(' ') {
            Some(("table", name)) => {
                let (schema, table) = name.split_once('.').expect("a table has a schema");
                fill(&catalog, schema, table, body).await;
            }
            Some(("identity", model)) => super::identity::tests::fill(&catalog, model).await,
            _ => {
                assert_eq!(head, "rows", "unknown block: {block}");
                let (query, expected) = body.split_once("\n----\n").expect("a query and its rows");
                let found = shown(&catalog, query).await;
                if found != expected {
                    differing.push(format!("{query}\n----\n{found}"));
                }
            }
        }
    }
    differing
}

async fn run_texts(run_started_at: i64) {
    let mut texts = texts();
    let business = texts.remove(BUSINESS).expect("the tables of the tests");
    let mut differing = Vec::new();
    for (name, text) in &texts {
        let found = run_text(&business, text, run_started_at).await;
        differing.extend(found.into_iter().map(|found| format!("{name}:\n{found}")));
    }
    assert!(differing.is_empty(), "Rows found instead, in {}", differing.join("\n\n"));
}

#[tokio::test]
async fn the_repository_s_models_join_people_to_their_usage() {
    run_texts(NOON).await;
}

#[tokio::test]
async fn later_on_the_same_day_nothing_has_changed() {
    run_texts(NOON + 11 * 3_600_000_000).await;
}

#[test]
fn every_model_of_the_repository_is_tested_and_says_what_a_row_is() {
    let (models, texts) = (repository_models(), texts());
    for model in models.in_order() {
        let read = format!("from {}", model.name());
        assert!(texts.values().any(|text| text.contains(&read)), "{} is not tested", model.name());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(model.file());
        let text = std::fs::read_to_string(path).expect("a readable file");
        assert!(text.starts_with("-- One row: "), "{} does not say", model.name());
    }
}

#[tokio::test]
async fn parameters_are_typed_before_planning() {
    let models = models(&[(
        "m",
        "select $run_started_at as started, $last_run_at as last, $greeting as greeting, \
         $qualified_from_active_days + 1 as days",
    )]);
    let catalog = catalog(models.clone());
    catalog.tables.times.set("m", RunTimes { run_started_at: NOON, last_run_at: None });
    let model = models.get("m").expect("the one model");
    let frame = catalog.plan_model(model).await.expect("a sound model");
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let types: Vec<_> =
        frame.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(types, [utc.clone(), utc, DataType::Utf8, DataType::Int64]);
    let shown = shown(&catalog, "select * from m").await;
    assert!(
        shown.contains("| 2026-03-10T12:00:00Z | 1970-01-01T00:00:00Z | it's     | 3    |"),
        "{shown}"
    );
}

fn people() -> BTreeMap<TableName, KnownTable> {
    let fields = vec![
        Field::new("id", DataType::Int64, true),
        Field::new("email", DataType::Utf8, true),
        Field::new("lifecyclestage", DataType::Utf8, true),
        Field::new("born", DataType::Date32, true),
        Field::new("member", DataType::Boolean, true),
    ];
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    BTreeMap::from([(TableName::hubspot("contacts"), KnownTable::sure(schema))])
}

async fn outcome(sql: &str) -> CheckOutcome {
    let models = models(&[("m", sql)]);
    let checks = check(&EngineConfig::default(), &models, &vars(), &people()).await;
    checks.expect("an engine").remove(0).outcome
}

#[tokio::test]
async fn sql_mistakes_say_line_and_the_names_that_are_right() {
    for (sql, line, parts) in [
        (
            "select id,\n  lifecyclestge\nfrom hubspot.contacts",
            Some(2),
            vec!["Unknown column `lifecyclestge`", "did you mean `lifecyclestage`", "`email`"],
        ),
        (
            "select id\nfrom hubspot.contacts\nwhere c.id = 1",
            Some(3),
            vec!["Unknown column `c.id`"],
        ),
        ("select id\nfrom modl", Some(2), vec!["Unknown table `modl`", "`hubspot.contacts`"]),
        (
            "select id\nfrom hubspt.contacts",
            Some(2),
            vec!["Unknown table `hubspt.contacts`", "did you mean `hubspot.contacts`"],
        ),
        ("select\n$run_startd_at as t", Some(2), vec!["Unknown parameter", "`$run_started_at`"]),
        ("select lowr(email) as e\nfrom hubspot.contacts", Some(1), vec!["not valid"]),
        (
            "select id, id as x\nfrom hubspot.contacts as a, hubspot.contacts as b",
            None,
            vec!["more than one"],
        ),
    ] {
        let CheckOutcome::Wrong(error) = outcome(sql).await else { panic!("{sql} was taken") };
        let TransformError::Sql { place, .. } = &error else { panic!("{sql}: {error:?}") };
        if line.is_some() {
            assert_eq!(place.map(|place| place.line), line, "{sql}: {error}");
        }
        for part in parts {
            assert!(error.to_string().contains(part), "{sql}: {error}");
        }
    }
}

/// Types that do not go together, which the engine itself gives no place for.
#[tokio::test]
async fn a_type_clash_says_where_it_is() {
    for (sql, place) in [
        ("select id\nfrom hubspot.contacts\nwhere id > 0\n  and member = born", "4:7"),
        ("select id from hubspot.contacts\nwhere born in (true)", "2:7"),
        ("select id,\n  sum(member) as n\nfrom hubspot.contacts group by id", "2:"),
        ("select id,\n  born + member as n\nfrom hubspot.contacts", "2:3"),
        (
            "select id from (\n  select id, born - 'x' * member as n\n  from hubspot.contacts) as t",
            "2:",
        ),
        ("select id,\n  lowr(email) as e\nfrom hubspot.contacts", "2:3"),
        ("select id,\n  date_trunc(born) as e\nfrom hubspot.contacts", "2:"),
        (
            "select a.id\nfrom hubspot.contacts as a\njoin hubspot.contacts as b\n  on a.born = b.member",
            "4:6",
        ),
        (
            "with t as (select id from hubspot.contacts)\nselect id from t\nwhere case when id then 1 end = born",
            "3:",
        ),
        ("select id,\n  born * 2 as n\nfrom hubspot.contacts", "2:3"),
        (
            "select id,\n  case when id > 0 then born else member end as n\nfrom hubspot.contacts",
            "2:",
        ),
        ("select id from hubspot.contacts\nwhere email", "2:7"),
        (
            "select id from hubspot.contacts\nwhere member in (select born from hubspot.contacts)",
            "2:7",
        ),
        (
            "select id from hubspot.contacts\nunion all select 1\nunion all select 2\nunion all select member from hubspot.contacts",
            "4:18",
        ),
        // Parameters are replaced by text that stands in no file.
        (
            "select $qualified_from_active_days as n,\n  $run_started_at as t,\n  born * 2 as d\nfrom hubspot.contacts",
            "3:3",
        ),
    ] {
        let CheckOutcome::Wrong(error) = outcome(sql).await else { panic!("{sql} was taken") };
        let told = error.to_string();
        assert!(told.starts_with(&format!("sql/m.sql:{place}")), "{sql}: {told}: {}", error.told());
    }
}

/// The engine reads texts as what they are compared with, and fails on the rows
/// it meets.
#[tokio::test]
async fn a_text_that_is_no_number_or_date_is_found_before_it_runs() {
    for (condition, place, text) in [
        ("id >= 'hot'", "2:7", "'hot'"),
        ("born > 'yesterday'", "2:7", "'yesterday'"),
        ("id > 0 and\n 'x' <> id", "3:9", "'x'"),
        ("id in (\n '1', 'one')", "2:7", "'one'"),
        ("id between 1 and 'many'", "2:7", "'many'"),
        ("id > $greeting", "2:7", "it's"),
    ] {
        let sql = format!("select id from hubspot.contacts\nwhere {condition}");
        let CheckOutcome::Wrong(error) = outcome(&sql).await else { panic!("{sql} was taken") };
        let told = error.to_string();
        assert!(told.starts_with(&format!("sql/m.sql:{place}: ")), "{sql}: {told}");
        assert!(told.contains(text), "{sql}: {told}");
    }
    for (condition, doubts) in [
        ("id = '5' and born > '2026-01-01'", 0),
        ("email = 'hot' and try_cast(email as bigint) = id", 0),
        ("id > 0 and\n email = id", 1),
        ("born in (email)\n or id = lower(email)", 2),
    ] {
        let sql = format!("select id from hubspot.contacts\nwhere {condition}");
        let CheckOutcome::Sound { doubts: found, .. } = outcome(&sql).await else {
            panic!("{sql} was refused")
        };
        assert_eq!(found.len(), doubts, "{sql}: {found:?}");
    }
    let join =
        "select a.id from hubspot.contacts as a\njoin hubspot.contacts as b\n  on a.email = b.id";
    let CheckOutcome::Sound { doubts, .. } = outcome(join).await else { panic!("refused") };
    let [doubt] = doubts.as_slice() else { panic!("{doubts:?}") };
    let told = doubt.to_string();
    assert!(
        told.starts_with("sql/m.sql:3:6: ") && told.contains("try_cast(… as bigint)"),
        "{told}"
    );
}

#[tokio::test]
async fn a_column_that_no_account_can_bring_is_a_mistake_before_the_account_is_known() {
    let open = people().into_iter();
    let open = open.map(|(name, table)| (name, KnownTable { names_are_sure: false, ..table }));
    let open: BTreeMap<_, _> = open.collect();
    let sources = [
        ("closed", "select id as contact_id from hubspot.contacts"),
        ("wide", "select * from hubspot.contacts"),
        ("a", "select\n  contact_idd\nfrom closed"),
        ("b", "with t as (select id from hubspot.contacts)\nselect idd from t"),
        ("c", "select seats from wide"),
        ("d", "select seats from hubspot.contacts"),
        // The first may be there, the second cannot.
        ("e", "select wide.seats,\n  closed.seats as more\nfrom wide cross join closed"),
        ("f", "select seats + 1 as seats from hubspot.contacts"),
    ];
    let models = models(&sources);
    let checks = check(&EngineConfig::default(), &models, &vars(), &open).await;
    for found in checks.expect("an engine") {
        let wrong = match found.name.as_str() {
            "a" => Some("sql/a.sql:2:3: "),
            "b" => Some("sql/b.sql:2:8: "),
            "e" => Some("sql/e.sql:2:3: "),
            _ => None,
        };
        match (&found.outcome, wrong) {
            (CheckOutcome::Wrong(error), Some(place)) => {
                assert!(error.to_string().starts_with(place), "{}: {error}", found.name);
            }
            (CheckOutcome::Sound { .. }, None) if ["closed", "wide"].contains(&&*found.name) => {}
            (CheckOutcome::Unsure(_), None) => {}
            (outcome, _) => panic!("{}: {outcome:?}", found.name),
        }
    }
}

#[tokio::test]
async fn columns_that_cannot_be_stored_say_where_they_are_selected() {
    for (sql, place) in [
        ("select id,\n  null as nothing\nfrom hubspot.contacts", "2:11"),
        (
            "with t as (\n  select id, now() - now() as span from hubspot.contacts\n)\nselect * from t",
            "2:31",
        ),
        ("select id,\n  id + 1\nfrom hubspot.contacts", "2:3"),
    ] {
        let CheckOutcome::Wrong(error) = outcome(sql).await else { panic!("{sql} was taken") };
        let told = error.to_string();
        assert!(told.starts_with(&format!("sql/m.sql:{place}: Column")), "{sql}: {told}");
        assert!(error.told().starts_with("Column"), "{}", error.told());
    }
}

#[tokio::test]
async fn what_is_not_known_for_sure_is_no_mistake_yet() {
    let assumed = |names_are_sure, types_are_sure| {
        let known = people()
            .into_iter()
            .map(|(name, table)| (name, KnownTable { names_are_sure, types_are_sure, ..table }));
        known.collect::<BTreeMap<_, _>>()
    };
    let models = models(&[
        ("a", "select seats from hubspot.contacts"),
        ("b", "select seats from a"),
        ("c", "select id from hubspot.contacts where born = member"),
        ("d", "select null as nothing from hubspot.contacts"),
    ]);
    let config = EngineConfig::default();
    for (names, types, expected) in [
        (true, true, ["wrong", "behind", "wrong", "wrong"]),
        (false, true, ["unsure", "behind", "wrong", "wrong"]),
        (true, false, ["wrong", "behind", "unsure", "wrong"]),
    ] {
        let checks = check(&config, &models, &vars(), &assumed(names, types)).await;
        let found = checks.expect("an engine").into_iter().map(|check| match check.outcome {
            CheckOutcome::Wrong(_) => "wrong",
            CheckOutcome::Unsure(_) => "unsure",
            CheckOutcome::Behind { .. } => "behind",
            CheckOutcome::Sound { .. } | CheckOutcome::Waiting { .. } => "other",
        });
        assert_eq!(found.collect::<Vec<_>>(), expected, "{names} {types}");
    }
}

#[tokio::test]
async fn tests_are_planned_as_models_are() {
    let mut definitions =
        definitions(&[("m", "select id, email from hubspot.contacts"), ("o", "select 1 as id")]);
    let to = |column: &str| {
        Rule::Relationships(Relationships {
            column: "id".into(),
            to: "o".into(),
            to_column: Some(column.into()),
        })
    };
    let sql = |text: &str| Rule::Sql { file: None, text: text.into() };
    definitions[0].config.tests = [
        to("id"),
        to("idd"),
        sql("select id from m where emial is null"),
        sql("delete from m"),
        sql("select id from m join usage.later using (id)"),
    ]
    .map(ModelTest::error)
    .into();
    let models = Arc::new(Models::parse(definitions).expect("sound models"));
    let checks = check(&EngineConfig::default(), &models, &vars(), &people()).await;
    let tests = &checks.expect("an engine")[0].tests;
    let wrong: Vec<_> = tests.iter().map(|(position, error)| (*position, error.told())).collect();
    assert_eq!(wrong.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(wrong[0].1.contains("did you mean"), "{wrong:?}");
    assert!(wrong[1].1.contains("did you mean `email`"), "{wrong:?}");
}

#[tokio::test]
async fn columns_need_plain_names_and_lake_types() {
    for (sql, parts) in [
        ("select id + 1 from hubspot.contacts", vec!["Column 1", "`as`"]),
        (
            "select a.id, b.id from hubspot.contacts as a, hubspot.contacts as b",
            vec!["Column 2", "earlier"],
        ),
        ("select null as nothing", vec!["`nothing`", "cast(null as text)"]),
        ("select interval '1 day' as span", vec!["`span`", "extract(epoch from span)"]),
        ("select cast('10:00' as time) as at", vec!["cast(at as text)"]),
    ] {
        let CheckOutcome::Wrong(error) = outcome(sql).await else { panic!("{sql} was taken") };
        for part in parts {
            assert!(error.to_string().contains(part), "{sql}: {error}");
        }
    }
}

#[tokio::test]
async fn a_model_over_a_table_nobody_knows_waits() {
    let models = models(&[
        ("a", "select * from hubspot.deals"),
        ("b", "select * from a"),
        ("c", "select id from hubspot.contacts"),
    ]);
    let checks =
        check(&EngineConfig::default(), &models, &vars(), &people()).await.expect("an engine");
    let waiting = |check: &ModelCheck| match &check.outcome {
        CheckOutcome::Waiting { tables } => tables.clone(),
        _ => Vec::new(),
    };
    let found: Vec<_> = checks.iter().map(|check| (check.name.as_str(), waiting(check))).collect();
    let deals = vec!["hubspot.deals".to_owned()];
    assert_eq!(found, [("a", deals.clone()), ("b", deals), ("c", vec![])]);
}

#[tokio::test]
async fn settings_that_name_no_column_are_found_by_check() {
    let mut definitions = definitions(&[("m", "select id from hubspot.contacts")]);
    definitions[0].config.key = vec!["contact_id".into()];
    definitions[0].config.materialize = Materialization::Table;
    let models = Arc::new(Models::parse(definitions).expect("a sound model"));
    let checks =
        check(&EngineConfig::default(), &models, &vars(), &people()).await.expect("an engine");
    let CheckOutcome::Wrong(error) = &checks[0].outcome else { panic!("{checks:?}") };
    assert!(error.to_string().contains("`key[0]` names the column `contact_id`"), "{error}");
}

#[tokio::test]
async fn failures_on_data_do_not_quote_the_data() {
    let catalog = catalog(models(&[]));
    fill(&catalog, "usage", "t", "select column1 as secret from (values ('hunter2'), ('3'))").await;
    let error = rows(&catalog, "select cast(secret as bigint) as n from usage.t").await;
    let error = error.expect_err("one value is no number");
    let told = format!("{error:?} {error}");
    assert!(told.contains("cannot be read as the type") && !told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn queries_change_nothing() {
    let catalog = catalog(models(&[]));
    for sql in [
        "create table t as select 1",
        "copy (select 1) to 'x.csv'",
        "set a = b",
        "explain select 1",
    ] {
        let error = rows(&catalog, sql).await.expect_err(sql);
        assert!(error.to_string().contains("Only a `select`"), "{sql}: {error}");
    }
}
