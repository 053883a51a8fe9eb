//! What goes wrong in users' hands: each ends with its exit code and a sentence
//! that names the thing.

use hublake::emulator::{Fault, FaultAction};
use serde_json::Value;

use crate::world::{Ran, World};

fn assert_says(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{}\n{}", ran.stdout, ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "`{word}` is not in: {}", ran.stderr);
    }
}

fn refuse(path: &str, action: FaultAction) -> Fault {
    Fault { method: None, path: path.to_owned(), action, skip: 0, times: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_key_is_named_with_its_place_and_the_nearest() {
    let world = World::new().await;
    world.write("pipelines/scores.yml", "extract:\n  contacts:\n    propertys: all\n");
    let ran = world.hublake(&["check", "--offline"]).await;
    assert_says(&ran, 78, &["scores.yml", "3", "propertys", "properties"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_token_says_where_it_was_looked_for() {
    let world = World::new().await;
    std::fs::remove_file(world.path("token")).expect("the token was there");
    assert_says(&world.hublake(&["run"]).await, 77, &["token"]);
    let settings = format!("hubspot: {{ base_url: {} }}\n", world.emulator.url());
    world.write("hublake.yml", &settings);
    world.write("pipelines/scores.yml", "extract: { contacts: {} }\n");
    std::fs::remove_file(world.path("sql/wanted.sql")).expect("the model was there");
    assert_says(&world.hublake(&["run"]).await, 77, &["HUBSPOT_ACCESS_TOKEN"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_and_a_wrong_portal_end_with_77() {
    let world = World::new().await;
    world.write("token", "another-token");
    let ran = world.hublake(&["run"]).await;
    assert_says(&ran, 77, &["401"]);
    assert!(!ran.stderr.contains("another-token"), "a token is never printed: {}", ran.stderr);
    world.write("token", "test-token");
    let settings = std::fs::read_to_string(world.path("hublake.yml")).expect("settings");
    world.write("hublake.yml", &settings.replace("hubspot:\n", "hubspot:\n  portal_id: 1\n"));
    assert_says(&world.hublake(&["run"]).await, 77, &["`1`", "24680135"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_scope_is_named_and_the_other_objects_go_on() {
    let world = World::new().await;
    let scopes = vec!["crm.objects.companies.read".to_owned()];
    world.control.add_fault(refuse("*/objects/*companies*", FaultAction::ScopesMissing { scopes }));
    let ran = world.hublake(&["run"]).await;
    assert_says(&ran, 77, &["companies", "crm.objects.companies.read"]);
    assert_eq!(world.value("select count(*) from hubspot.contacts").await, "300");
    let results = world.results();
    assert_eq!(
        results["write_back"]["wanted"]["wanted"].as_u64(),
        Some(world.contacts().len() as u64),
        "{results}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_back_waits_for_a_completed_sync_of_all_it_reads() {
    let world = World::new().await;
    world.control.add_fault(refuse(
        "*/objects/*contacts",
        FaultAction::Refuse { status: 400, body: None, retry_after: None },
    ));
    let ran = world.hublake(&["run"]).await;
    assert_ne!(ran.code, 0);
    assert_eq!(
        world.write_calls(),
        0,
        "nothing is written on an incomplete mirror: {}",
        ran.stderr
    );
    world.control.clear_faults();
    world.run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_or_empty_source_is_named_and_stops_its_write_backs() {
    let world = World::new().await;
    world.write("scores.csv", "email,score,title,stage\n");
    let ran = world.hublake(&["run"]).await;
    assert_says(&ran, 1, &["scores"]);
    std::fs::remove_file(world.path("scores.csv")).expect("the source was there");
    assert_says(&world.hublake(&["run"]).await, 1, &["usage.scores", "scores.csv"]);
    assert_eq!(world.write_calls(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_sql_is_named_by_file_line_and_columns() {
    let world = World::new().await;
    world.run().await;
    world.write("sql/wanted.sql", "select id as contact_id,\n  scoore as score, '' as title, '' as stage\nfrom hubspot.contacts\n");
    let ran = world.hublake(&["run"]).await;
    assert_says(&ran, 78, &["wanted.sql", "2", "scoore", "email"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_that_cannot_be_written_fails_before_anything_is_fetched() {
    let s3 = crate::s3::S3::start().await;
    let world = World::with_lake(&s3.settings()).await;
    s3.refuse_writes(true);
    let ran = world.hublake(&["run"]).await;
    assert_says(&ran, 1, &["written", "s3://"]);
    assert_eq!(world.control.log(0).total, 0, "nothing was fetched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_on_one_lake_is_told_to_come_back() {
    let world = World::new().await;
    world.control.add_fault(Fault {
        method: Some("GET".to_owned()),
        path: "*/objects/*contacts".to_owned(),
        action: FaultAction::Hold,
        skip: 0,
        times: Some(1),
    });
    let mut first = world.start(&["run"]);
    world.control.wait_for_held().await;
    assert_says(&world.hublake(&["run"]).await, 75, &["locked"]);
    world.control.clear_faults();
    let status = tokio::task::spawn_blocking(move || first.wait())
        .await
        .expect("no panic")
        .expect("an ended process");
    assert!(status.success(), "the first run was not disturbed");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_a_run_commits_exits_130_and_the_next_goes_on() {
    let world = World::new().await;
    world.control.add_fault(Fault {
        method: Some("GET".to_owned()),
        path: "*/objects/*contacts".to_owned(),
        action: FaultAction::Hold,
        skip: 2,
        times: Some(1),
    });
    let child = world.start(&["run"]);
    world.control.wait_for_held().await;
    let sent = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill");
    assert!(sent.success());
    world.control.clear_faults();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output())
        .await
        .expect("no panic")
        .expect("ended");
    assert_says(&Ran::from(output), 130, &["Stopp"]);
    assert_eq!(world.results()["status"], Value::from("interrupted"));
    world.run().await;
    assert_eq!(world.value("select count(*) from hubspot.contacts").await, "300");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_line_that_makes_no_sense_exits_64() {
    let world = World::new().await;
    assert_eq!(world.hublake(&["run", "--no-such-flag"]).await.code, 64);
    assert_eq!(world.hublake(&["--help"]).await.code, 0);
    assert_says(&world.hublake(&["run", "nothing"]).await, 78, &["nothing", "scores"]);
}
