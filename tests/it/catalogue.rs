//! `hublake docs`: what stands on the page.

use std::collections::BTreeSet;
use std::fs;

use crate::world::World;

/// What follows a text, up to a quote, each time that it occurs.
fn quoted<'a>(page: &'a str, before: &str) -> Vec<&'a str> {
    let parts = page.split(before).skip(1);
    parts.map(|part| part.split('"').next().unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_tells_of_tables_models_tests_and_write_backs() {
    let world = World::new().await;
    world.write(
        "sql/wanted.sql",
        "-- One row: a contact's <b>score</b>, if it has one.
select contacts.id as contact_id, contacts.jobtitle, nullif(scores.score, 7) as score, scores.title, scores.stage
from hubspot.contacts as contacts
inner join usage.scores as scores on lower(contacts.email) = scores.email
where contacts.archived is not true",
    );
    let ran = world.hublake(&["run"]).await;
    assert_eq!(ran.code, 4, "a test fails: {}", ran.stderr);

    let ran = world.hublake(&["docs", "--out", world.path("site").to_str().expect("text")]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let page = fs::read_to_string(ran.stdout.trim()).expect("it says where the page is");

    let ids: BTreeSet<&str> = quoted(&page, "id=\"").into_iter().collect();
    let broken: Vec<&str> =
        quoted(&page, "href=\"#").into_iter().filter(|link| !ids.contains(link)).collect();
    assert!(broken.is_empty(), "{broken:?}");
    for table in ["wanted", "usage.scores", "hubspot.contacts", "system.runs"] {
        assert!(ids.contains(format!("t-{}", table.replace('.', "-")).as_str()), "{table}");
    }
    assert!(page.contains("One row: a contact&#39;s &lt;b&gt;score&lt;/b&gt;, if it has one."));
    assert!(!page.contains("<b>score"), "SQL is text and nothing else");
    let test = "<li class=\"bad\"><code>not_null(score)</code>";
    assert!(page.contains(test), "a failing test is seen");
    assert!(page.contains("<li class=\"good\"><code>unique(contact_id)</code>"));
    let column =
        "<tr data-column=\"jobtitle\"><td><code>jobtitle</code></td><td>text</td><td>Job Title";
    assert_eq!(
        page.matches(column).count(),
        2,
        "the mirror's and the model's column bear the label"
    );
    assert!(page.contains("fill_empty") && page.contains("forward_only: subscriber → lead"));
    assert_eq!(page.matches("<path class=\"e\"").count(), 3, "two tables, a model, a write-back");
    assert!(!page.contains("http://") && !page.contains("https://"), "nothing is fetched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_that_never_ran_has_a_page_too() {
    let world = World::new().await;
    let ran = world.hublake(&["docs"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let page = fs::read_to_string(world.path("target/docs/index.html")).expect("the page");
    assert!(page.contains("Nothing has run yet."));
    assert!(page.contains("Its columns are not known: "), "the mirror is not there");
    assert!(page.contains("<tr data-column=\"score\">"), "but the source's columns are");

    world.write("taken", "");
    let ran = world.hublake(&["docs", "--out", world.path("taken").to_str().expect("text")]).await;
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("taken` could not be written"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_model_is_told_on_the_page_and_beside_it() {
    let world = World::new().await;
    world.write("sql/more.sql", "select titel <> 'x' as odd\nfrom usage.scores\n");
    let ran = world.hublake(&["docs"]).await;
    assert_eq!(ran.code, 0, "the page is written: {}", ran.stderr);
    let page = fs::read_to_string(ran.stdout.trim()).expect("it says where the page is");
    for text in [&ran.stderr, &page] {
        for words in ["sql/more.sql:1:8", "`titel`", "did you mean `title`?"] {
            assert!(text.contains(words), "{words}: {}", ran.stderr);
        }
    }
}
