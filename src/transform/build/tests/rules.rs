//! What tests find, and where it is kept.

use super::*;
use crate::transform::{AcceptedValues, FreshWithin, Relationships, RowCount};

fn with_tests(rules: Vec<Rule>) -> ModelConfig {
    ModelConfig { tests: rules.into_iter().map(ModelTest::error).collect(), ..keyed(&["id"]) }
}

fn not_null(column: &str) -> Rule {
    Rule::NotNull(vec![column.to_owned()])
}

/// Each test's name and the rows that break it.
fn found(report: &BuildReport, model: &str) -> Vec<(String, u64)> {
    let tests = &report.model(model).expect("built").tests;
    let broken = |outcome: &TestOutcome| match outcome {
        TestOutcome::Passed => 0,
        TestOutcome::Failed { rows, .. } => *rows,
        TestOutcome::Broken(error) => panic!("{error:?}"),
    };
    tests.iter().map(|test| (test.rule.clone(), broken(&test.outcome))).collect()
}

async fn kept(project: &Project) -> String {
    project
        .shown(
            "select model, test, position, severity, rows_found, row \
             from system.test_failures order by model, test, position",
        )
        .await
}

#[tokio::test]
async fn every_rule_finds_the_rows_that_break_it() {
    let to = |to: &str, to_column: &str| {
        Rule::Relationships(Relationships {
            column: "plan".into(),
            to: to.into(),
            to_column: Some(to_column.into()),
        })
    };
    let count = |min, max| Rule::RowCount(RowCount { min, max });
    let fresh = |within: &str| {
        Rule::FreshWithin(FreshWithin { column: "at".into(), within: within.into() })
    };
    let m = with_tests(vec![
        to("plans", "name"),
        count(Some(3), Some(4)),
        count(Some(5), None),
        count(None, Some(3)),
        fresh("1d"),
        fresh("11h"),
        Rule::Sql { file: None, text: "select * from m, plans where at > $run_started_at".into() },
    ]);
    let sql = "select id, plan, cast('2026-03-10T00:30:00Z' as timestamp) as at from usage.t";
    let plans = "select distinct plan as name from usage.t where plan <> 'gold'";
    // `plans` comes after `m` in order of name, and its test reads it all the same.
    let project = Project::new(&[("m", sql, m), ("plans", plans, keyed(&["name"]))]);
    let rows = people("(1, 'free', 1.0), (2, 'free', 1.0), (3, null, 1.0), (4, 'gold', 1.0)");
    let report = project.build("r1", &rows).await;
    let broken: Vec<u64> = found(&report, "m").into_iter().map(|(_, rows)| rows).collect();
    assert_eq!(broken, [1, 0, 1, 1, 0, 1, 0], "{report:?}");
    let shown = kept(&project).await;
    assert!(shown.contains("| m     | relationships(plan -> plans.name) | 1 "), "{shown}");
    assert!(shown.contains("\"plan\":\"gold\""), "{shown}");
    assert!(shown.contains("{\"newest\":\"2026-03-10T00:30:00Z\"}"), "{shown}");
}

#[tokio::test]
async fn an_empty_model_is_not_fresh() {
    let rule = Rule::FreshWithin(FreshWithin { column: "at".into(), within: "1d".into() });
    let sql = "select id, cast(null as timestamp) as at from usage.t";
    let project = Project::new(&[("m", sql, with_tests(vec![rule]))]);
    let report = project.build("r1", &people("(1, 'free', 1.0)")).await;
    assert_eq!(found(&report, "m")[0].1, 1);
}

#[tokio::test]
async fn offending_rows_are_kept_until_they_are_mended() {
    let project = Project::new(&[("m", PEOPLE, with_tests(vec![not_null("plan")]))]);
    project.build("r1", &people("(1, 'free', 1.0)")).await;
    let lake = project.lake().await;
    let name = TableName::system("test_failures");
    assert!(lake.table(&name).await.expect("readable").is_none(), "nothing failed, nothing kept");
    let bad = people("(1, 'free', 1.0), (2, null, 1.0), (3, null, 2.0)");
    project.build("r2", &bad).await;
    let expected = "\
+-------+----------------+----------+----------+------------+----------------------------------+
| model | test           | position | severity | rows_found | row                              |
+-------+----------------+----------+----------+------------+----------------------------------+
| m     | not_null(plan) | 1        | error    | 2          | {\"id\":2,\"plan\":null,\"score\":1.0} |
| m     | not_null(plan) | 2        | error    | 2          | {\"id\":3,\"plan\":null,\"score\":2.0} |
+-------+----------------+----------+----------+------------+----------------------------------+";
    assert_eq!(kept(&project).await, expected);
    let version = |table: &crate::lake::Table| table.version();
    let table = lake.table(&name).await.expect("readable").expect("kept");
    project.build("r3", &bad).await;
    let again = lake.table(&name).await.expect("readable").expect("kept");
    assert_eq!(version(&again), version(&table), "the same failures write nothing");
    project.build("r4", &people("(1, 'free', 1.0), (2, null, 1.0)")).await;
    assert!(!kept(&project).await.contains("\"id\":3"));
    project.build("r5", &people("(1, 'free', 1.0)")).await;
    assert!(!kept(&project).await.contains("not_null"));
}

#[tokio::test]
async fn no_more_rows_are_kept_than_a_person_looks_at() {
    let project = Project::new(&[("m", PEOPLE, with_tests(vec![not_null("plan")]))]);
    let rows = "select value as id, cast(null as varchar) as plan, 1.0 as score \
                from generate_series(1, 5000)";
    let report = project.build("r1", rows).await;
    assert_eq!(found(&report, "m")[0].1, 5_000);
    let shown = project
        .shown("select count(*) as n, max(rows_found) as found, max(row) as row from system.test_failures")
        .await;
    assert!(shown.contains("| 100 | 5000  |"), "{shown}");
}

#[tokio::test]
async fn a_test_that_cannot_run_stops_as_a_failed_one_does() {
    let sql = |severity| ModelTest {
        name: Some("no strangers".into()),
        rule: Rule::Sql { file: None, text: "select * from nowhere".into() },
        severity,
    };
    for (severity, stops) in [(Severity::Error, true), (Severity::Warn, false)] {
        let config = ModelConfig { tests: vec![sql(severity)], ..keyed(&["id"]) };
        let project = Project::new(&[("m", PEOPLE, config)]);
        let report = project.build("r1", &people("(1, 'free', 1.0)")).await;
        let test = &only(&report).tests[0];
        assert!(matches!(test.outcome, TestOutcome::Broken(_)));
        assert_eq!((test.rule.as_str(), test.stops()), ("no strangers", stops));
    }
}

#[tokio::test]
async fn columns_that_are_no_times_cannot_be_fresh() {
    let rule = Rule::FreshWithin(FreshWithin { column: "plan".into(), within: "1d".into() });
    let project = Project::new(&[("m", PEOPLE, with_tests(vec![rule]))]);
    let report = project.build("r1", &people("(1, 'free', 1.0)")).await;
    let ModelStatus::Failed(error) = &report.models[0].status else { panic!("{report:?}") };
    assert_eq!(error.setting(), Some("tests[0].fresh_within.column"));
}

#[test]
fn accepted_values_name_their_column() {
    let accepted = AcceptedValues { column: "plan".into(), values: Vec::new() };
    assert_eq!(Rule::AcceptedValues(accepted).to_string(), "accepted_values(plan)");
}
