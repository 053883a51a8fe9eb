//! Usage sources as a project has them: discovered, explained, bad, copied.

use serde_json::Value;

use crate::world::World;

/// Adds to the settings of the one source that the world has.
fn amend(world: &World, scores: &str) {
    let settings = std::fs::read_to_string(world.path("hublake.yml")).expect("settings");
    let kept = settings.split("  scores:").next().expect("settings begin").to_owned();
    world.write("hublake.yml", &format!("{kept}  scores: {scores}\n"));
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discover_shows_properties_and_columns_and_what_to_pin() {
    let world = World::new().await;
    let ran = world.hublake(&["discover", "--output", "json"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let found = rows(&ran.stdout);
    let column = |table: &str, column: &str| {
        let found = found.iter().find(|row| row["table"] == table && row["column"] == column);
        found.unwrap_or_else(|| panic!("{table}.{column} is not in {}", ran.stdout)).clone()
    };
    let stage = column("hubspot.contacts", "lifecyclestage");
    assert!(
        stage["declared"].as_str().is_some_and(|declared| declared.starts_with("enumeration/"))
    );
    assert_eq!(stage["selected"], true);
    assert!(
        stage["options"].as_str().is_some_and(|options| options.contains("\"lead\"")),
        "{stage}"
    );
    assert_eq!(column("hubspot.contacts", "phone")["selected"], false);
    // Nobody extracts deals; they are shown all the same.
    assert_eq!(column("hubspot.deals", "amount")["selected"], false);
    assert_eq!(column("usage.scores", "score")["type"], "integer");
    let stored = "select count(*) from hubspot.properties where object_type = 'deals'";
    assert_ne!(world.value(stored).await, "0");
    let listed = "select column, type, pinned from system.sources order by position";
    assert_eq!(world.query(listed).await[1..3], ["email,text,false", "score,integer,false"]);

    // For sources alone nobody is asked for a token.
    std::fs::remove_file(world.path("token")).expect("the token was there");
    let ran = world.hublake(&["discover", "sources"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("    scores:\n      types:\n        email: text\n        score: integer"),
        "{}",
        ran.stderr
    );
    amend(
        &world,
        "{ csv: ./scores.csv, types: { email: text, score: number, title: text, stage: text } }",
    );
    let ran = world.hublake(&["discover", "sources"]).await;
    assert!(!ran.stderr.contains("types:"), "all is pinned: {}", ran.stderr);
    assert_eq!(world.query(listed).await[2], "score,number,true");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_does_not_parse_stops_what_reads_it_or_is_told_and_counted() {
    let world = World::new().await;
    let good = std::fs::read_to_string(world.path("scores.csv")).expect("scores");
    world.write("scores/a.csv", &good);
    let many: String = (0..1_100).map(|n| format!("n{n}@acme.test,1,x,lead\n")).collect();
    world.write(
        "scores/b.csv",
        &format!("email,score,title,stage\n{many}late@acme.test,many,x,lead\n"),
    );
    amend(&world, "{ csv: ./scores }");
    let ran = world.hublake(&["run"]).await;
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("scores/b.csv"), "the file is named: {}", ran.stderr);
    assert!(!ran.stderr.contains("late@acme.test"), "a value is told: {}", ran.stderr);
    assert_eq!(world.write_calls(), 0);
    let ran = world.hublake(&["query", "select sum(score) from usage.scores"]).await;
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stderr.contains("scores/b.csv"), "{}", ran.stderr);

    amend(&world, "{ csv: ./scores, on_bad_file: skip }");
    let ran = world.hublake(&["run"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("is read without a file") && ran.stderr.contains("scores/b.csv"),
        "{}",
        ran.stderr
    );
    assert_eq!(world.results()["sources"]["scores"]["skipped_files"], 1);
    assert_ne!(world.write_calls(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_source_is_a_table_of_the_lake() {
    let world = World::new().await;
    let csv =
        |rows: &str| world.write("scores.csv", &format!("email,score,title,stage,version\n{rows}"));
    csv("a@acme.test,1,x,lead,1\nb@acme.test,2,x,lead,2\n");
    amend(
        &world,
        "{ csv: ./scores.csv, copy: { cursor: version, key: [email], full_compare: daily } }",
    );
    let ran = world.hublake(&["query", "select * from usage.scores"]).await;
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stderr.contains("hublake extract"), "{}", ran.stderr);
    let ran = world.hublake(&["extract"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("copy scores"), "{}", ran.stdout);
    csv("a@acme.test,9,x,lead,3\n");
    assert_eq!(world.run().await["sources"]["scores"]["copied"]["updated"], 1);
    assert_eq!(
        world.query("select email, score from usage.scores order by 1").await[1..],
        ["a@acme.test,9", "b@acme.test,2"]
    );
    // All is read when it is asked for, and what is gone goes.
    let ran = world.hublake(&["extract", "--full"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(world.value("select count(*) from usage.scores").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_explained() {
    let world = World::new().await;
    let plan =
        world.query("EXPLAIN select email from usage.scores where score > 3").await.join("\n");
    assert!(plan.contains("physical_plan") && plan.contains("scores.csv"), "{plan}");
    let ran = world.hublake(&["query", "explain analyze\nselect emial from usage.scores"]).await;
    assert_eq!(ran.code, 78, "{}", ran.stdout);
    assert!(ran.stderr.contains("line 2") || ran.stderr.contains(":2"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_built_in_names_the_flag() {
    let world = World::new().await;
    amend(&world, "{ clickhouse: { url: \"http://127.0.0.1:1\", table: t } }");
    let ran = world.hublake(&["check", "--offline"]).await;
    if cfg!(feature = "clickhouse") {
        assert!(ran.stderr.contains("scores"), "{}", ran.stderr);
    } else {
        assert_eq!(ran.code, 78, "{}", ran.stderr);
        for word in ["hublake.yml", "scores.clickhouse", "--features clickhouse"] {
            assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
        }
    }
}
