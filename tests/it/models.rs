//! Models, their tests and what depends on them, in a run.

use serde_json::Value;

use crate::world::World;

/// Puts a text in the place of another in the pipeline.
fn edit(world: &World, from: &str, to: &str) {
    let text = std::fs::read_to_string(world.path("pipelines/scores.yml")).expect("settings");
    assert!(text.contains(from), "{from}");
    world.write("pipelines/scores.yml", &text.replace(from, to));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_test_stops_the_write_back_keeps_the_rows_and_exits_4() {
    let world = World::new().await;
    edit(&world, "{ unique: [contact_id] }", "{ sql: \"select * from wanted where score = 7\" }");
    let ran = world.hublake(&["run"]).await;
    assert_eq!(ran.code, 4, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(world.write_calls(), 0);
    let found = world
        .value("select min(rows_found) = count(*) and count(*) > 0 from system.test_failures")
        .await;
    assert_eq!(found, "true");
    let rows =
        world.query("select distinct row from system.test_failures where test = 'sql'").await;
    assert!(rows[1..].iter().all(|row| row.contains("score")), "{rows:?}");
    assert!(!ran.stderr.contains("Engineer"), "values are not for logs: {}", ran.stderr);
    // The same test as a warning says so and stops nothing.
    edit(&world, "where score = 7\" }", "where score = 7\", severity: warn }");
    let ran = world.hublake(&["run"]).await;
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(world.write_calls() > 0);
    let problems = world.results()["problems"].to_string();
    assert!(problems.contains("Warning: test `sql` of model `wanted`"), "{problems}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_fails_stops_only_what_depends_on_it() {
    let world = World::new().await;
    world.write(
        "sql/broken.sql",
        "select id, cast(name as bigint) as name\nfrom hubspot.companies\n",
    );
    world.write("sql/behind.sql", "select id, cast(name as varchar) as name from broken\n");
    edit(&world, "models:\n", "models:\n  broken: { materialize: table, key: [id] }\n");
    let write_back = "write_back:\n  behind:\n    object: companies\n    match: { record_id: id }\n    \
                      properties:\n      name: { policy: overwrite }\n";
    edit(&world, "write_back:\n", write_back);
    let ran = world.hublake(&["run"]).await;
    assert_eq!(ran.code, 1, "{}\n{}", ran.stdout, ran.stderr);
    let results = world.results();
    let problems = results["problems"].to_string();
    for part in
        ["Model `broken` failed", "Model `behind` was not built", "Write-back `behind` did not run"]
    {
        assert!(problems.contains(part), "{part}: {problems}");
    }
    let written = results["write_back"]["wanted"]["updated"].as_u64();
    assert_eq!(written, Some(world.contacts().len() as u64), "{results}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn build_takes_what_is_named_and_what_the_plus_signs_add() {
    let world = World::new().await;
    world.write("sql/emails.sql", "select id, email from hubspot.contacts\n");
    world.write("sql/domains.sql", "select id, split_part(email, '@', 2) as domain from emails\n");
    let extracted = world.hublake(&["extract"]).await;
    assert_eq!(extracted.code, 0, "{}", extracted.stderr);
    for (selection, built) in [
        ("domains", &["domains"][..]),
        ("+domains", &["domains", "emails"]),
        ("emails+", &["domains", "emails"]),
        ("wanted", &["wanted"]),
    ] {
        let ran = world.hublake(&["build", selection, "--output", "json"]).await;
        assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
        let results: Value = serde_json::from_str(&ran.stdout).expect("results as JSON");
        let models = results["models"].as_object().expect("models").keys().cloned();
        assert_eq!(models.collect::<Vec<_>>(), built, "{selection}");
    }
    let ran = world.hublake(&["build", "+domain"]).await;
    assert_eq!(ran.code, 78);
    assert!(ran.stderr.contains("did you mean `domains`"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incremental_model_keeps_what_a_source_forgets() {
    let world = World::new().await;
    world.write(
        "sql/seen.sql",
        "select email, score, $run_started_at as seen_at\nfrom usage.scores\n",
    );
    edit(&world, "models:\n", "models:\n  seen: { materialize: incremental, key: [email] }\n");
    world.run().await;
    let all = world.value("select count(*) from seen").await;
    world.write("scores.csv", "email,score,title,stage\nnew@example.com,1,Engineer,lead\n");
    let ran = world.hublake(&["build", "seen"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let more: u64 = world.value("select count(*) from seen").await.parse().expect("a count");
    assert_eq!(more, all.parse::<u64>().expect("a count") + 1);
    let changes = world.value("select count(*) from seen_changes where op = 'delete'").await;
    assert_eq!(changes, "0");
    let ran = world.hublake(&["build", "--full", "seen"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(world.value("select count(*) from seen").await, "1");
}
