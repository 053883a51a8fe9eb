//! The functions as SQL sees them, and the examples of `docs/sql.md`.

use proptest::prelude::*;

use super::super::tests::{catalog, models, shown};
use super::{domain, email};

fn docs() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sql.md");
    std::fs::read_to_string(file).expect("a readable file")
}

/// The text of a fenced block, and what follows it.
fn fenced<'a>(text: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let (_, rest) = text.split_once(&format!("```{kind}\n"))?;
    rest.split_once("\n```")
}

#[tokio::test]
async fn every_example_of_the_docs_prints_what_the_docs_say() {
    let catalog = catalog(models(&[]));
    let docs = docs();
    let (mut rest, mut seen, mut differing) = (docs.as_str(), 0, Vec::new());
    while let Some((query, after)) = fenced(rest, "sql") {
        let (expected, after) = fenced(after, "text").expect("an example is followed by its rows");
        let found = shown(&catalog, query).await;
        if found != expected {
            differing.push(format!("{query}\n{found}"));
        }
        (rest, seen) = (after, seen + 1);
    }
    assert!(differing.is_empty(), "Rows found instead:\n{}", differing.join("\n\n"));
    for function in super::all() {
        let name = function.name();
        assert!(docs.contains(&format!("### `{name}(")), "{name} is not in docs/sql.md");
    }
    assert!(seen >= super::all().len(), "only {seen} examples were found");
}

#[tokio::test]
async fn every_encoding_of_text_gives_the_same_and_null_gives_null() {
    let catalog = catalog(models(&[]));
    for (call, expected) in [
        ("email_normalize(V)", "ann.lee@googlemail.com"),
        ("email_key(V)", "annlee@gmail.com"),
        ("email_domain(V)", "googlemail.com"),
        ("registrable_domain(V)", "googlemail.com"),
        ("is_free_email(V)", "true"),
        ("hs_split(V)", "[Ann.Lee@GoogleMail.com]"),
        ("hs_timestamp(V)", ""),
        ("stage_rank(V, ['x', 'ann.lee@googlemail.com'])", "2"),
        ("stage_rank('lead', hs_split(V))", ""),
    ] {
        for encoding in ["Utf8", "LargeUtf8", "Utf8View", "Dictionary(Int32, Utf8)"] {
            let value = format!("arrow_cast(v, '{encoding}')");
            let sql = format!(
                "select {} as r from (values ('Ann.Lee@GoogleMail.com'), (null)) as t(v)",
                call.replace('V', &value)
            );
            let rows = shown(&catalog, &sql).await;
            let cells: Vec<&str> =
                rows.lines().skip(3).map(|line| line.trim_matches(['|', ' '])).collect();
            assert_eq!(cells[..2], [expected, ""], "{sql}");
            // A constant takes another road.
            let constant = format!(
                "select {} as r, {} as n",
                call.replace('V', &format!("arrow_cast('Ann.Lee@GoogleMail.com', '{encoding}')")),
                call.replace('V', "null")
            );
            let rows = shown(&catalog, &constant).await;
            let cells: Vec<&str> =
                rows.lines().nth(3).expect("a row").split('|').map(str::trim).collect();
            assert_eq!(cells[1..3], [expected, ""], "{constant}");
        }
    }
}

#[tokio::test]
async fn times_come_from_text_numbers_and_dates() {
    let catalog = catalog(models(&[]));
    let sql = "select hs_timestamp(1773144000000) as a, hs_timestamp(cast(1773144000000 as double)) as b, \
               hs_timestamp(cast('2026-03-10' as date)) as c, hs_timestamp('1773144000000') as d, \
               hs_timestamp(cast('2026-03-10T12:00:00' as timestamp)) as e";
    let rows = shown(&catalog, sql).await;
    assert_eq!(rows.matches("2026-03-10T12:00:00Z").count(), 4, "{rows}");
    assert_eq!(rows.matches("2026-03-10T00:00:00Z").count(), 1, "{rows}");
}

#[tokio::test]
async fn wrong_arguments_are_told_when_planning() {
    let catalog = catalog(models(&[]));
    for sql in [
        "select email_key(1) as k",
        "select hs_timestamp(true) as t",
        "select stage_rank('lead', 'lead') as r",
        "select stage_rank(1, ['lead']) as r",
    ] {
        let error = super::super::tests::rows(&catalog, sql).await.expect_err(sql);
        assert!(matches!(error, crate::transform::TransformError::Sql { .. }), "{sql}: {error:?}");
    }
}

proptest! {
    #[test]
    fn nothing_typed_makes_them_fail(text in "\\PC{0,24}|[a-z@.:/<>+ -]{0,24}") {
        let mut scratch = String::new();
        if let Some(once) = email::normalised(&text, &mut scratch).map(str::to_owned) {
            let mut scratch = String::new();
            prop_assert_eq!(email::normalised(&once, &mut scratch), Some(once.as_str()));
        }
        let mut scratch = String::new();
        if let Some(once) = email::key(&text, &mut scratch).map(str::to_owned) {
            let mut scratch = String::new();
            prop_assert_eq!(email::key(&once, &mut scratch), Some(once.as_str()));
        }
        let mut scratch = String::new();
        if let Some(once) = domain::registrable(&text, &mut scratch).map(str::to_owned) {
            let mut scratch = String::new();
            prop_assert_eq!(domain::registrable(&once, &mut scratch), Some(once.as_str()));
        }
    }
}
