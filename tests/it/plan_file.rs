//! A plan put by in a file and carried out later: what nobody touched since, as it
//! was looked at; nothing where the world has moved.

use std::fs;

use hublake::emulator::{Emulator, EmulatorConfig, Fault, FaultAction};
use serde_json::Value;

use crate::world::{Ran, World, kill};

const FILE: &str = "plan.parquet";

async fn planned(world: &World) -> String {
    let file = world.path(FILE).display().to_string();
    let ran = world.hublake(&["plan", "--out", &file]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("hublake apply {file}")), "{}", ran.stderr);
    world.control.clear_log();
    file
}

fn held(world: &World, id: u64, property: &str) -> Value {
    world.control.record("contacts", id).expect("a seeded contact")["properties"][property].clone()
}

fn refused(world: &World, ran: &Ran, code: i32, told: &[&str]) {
    assert_eq!(ran.code, code, "{}\n{}", ran.stdout, ran.stderr);
    let all = format!("{}{}", ran.stdout, ran.stderr);
    told.iter().for_each(|text| assert!(all.contains(text), "{text}: {all}"));
    assert_eq!(world.write_calls(), 0, "nothing is sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plans_file_is_applied_once() {
    let world = World::new().await;
    let file = planned(&world).await;
    let applied = world.hublake(&["apply", &file]).await;
    assert_eq!(applied.code, 0, "{}\n{}", applied.stdout, applied.stderr);
    let contacts = world.contacts();
    let counts = &world.results()["write_back"]["wanted"];
    assert_eq!(counts["updated"], contacts.len(), "{counts}");
    for (place, contact) in contacts.iter().enumerate() {
        assert_eq!(held(&world, contact.id, "product_score"), (place % 50).to_string());
    }
    world.control.clear_log();
    let again = world.hublake(&["apply", &file]).await;
    refused(&world, &again, 5, &["applied before", "make a new plan"]);
    let replanned = world.hublake(&["apply", &file, "--replan"]).await;
    refused(&world, &replanned, 5, &["applied before"]);
    // What was looked at along the way is nobody's plan to apply.
    let run = world.run().await;
    assert_eq!(run["write_back"]["wanted"]["updated"], 0);
    assert_eq!(world.write_calls(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_refused_where_the_world_has_moved_and_planned_again_on_request() {
    let world = World::new().await;
    let contacts = world.contacts();
    let file = planned(&world).await;
    let (edited, rescored, gone) = (contacts[3].id, contacts[4].id, contacts[5].id);
    world.edit(edited, "jobtitle", "Somebody's Own");
    // The model wants another score of one contact, and no longer has another.
    let scores = fs::read_to_string(world.path("scores.csv")).expect("the scores");
    let mut lines: Vec<String> = scores.lines().map(str::to_owned).collect();
    lines[5] = lines[5].replacen(",4,", ",4444,", 1);
    lines.remove(6);
    world.write("scores.csv", &(lines.join("\n") + "\n"));
    let moved = world.hublake(&["apply", &file]).await;
    let told = [
        "3 rows of write-back `wanted` have moved",
        &format!("record {edited}: `jobtitle` is no longer to be written"),
        &format!("record {rescored}: the model wants another `product_score`"),
        &format!("record {gone}: nothing is left to do"),
        "--replan",
    ];
    refused(&world, &moved, 5, &told);
    assert!(!world.results().to_string().contains("4444"), "values stay out of the results");
    assert_eq!(world.results()["write_back"]["wanted"]["updated"], 0);
    // The plan that was made to look is not the newest plan.
    let plans = world.value("select count(*) from system.runs where plans <> '[]'").await;
    assert_eq!(plans, "1");

    let replanned = world.hublake(&["apply", &file, "--replan"]).await;
    assert_eq!(replanned.code, 0, "{}\n{}", replanned.stdout, replanned.stderr);
    assert!(format!("{}{}", replanned.stdout, replanned.stderr).contains("planned again"));
    let counts = world.results()["write_back"]["wanted"].clone();
    assert_eq!(counts["updated"], contacts.len() - 1, "{counts}");
    assert_eq!(counts["unchanged"], 1, "{counts}");
    assert_eq!(held(&world, edited, "jobtitle"), "Somebody's Own");
    assert_eq!(held(&world, edited, "product_score"), "3");
    assert_eq!(held(&world, rescored, "product_score"), "4444");
    assert_eq!(held(&world, gone, "product_score"), Value::Null);
    assert_eq!(held(&world, contacts[6].id, "product_score"), "6");
    world.control.clear_log();
    let second = world.run().await;
    assert_eq!(world.write_calls(), 0, "{second}");
}

/// What is new since is the next plan's: nobody has looked at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_new_since_is_left_to_the_next_plan() {
    let world = World::new().await;
    let scores = fs::read_to_string(world.path("scores.csv")).expect("the scores");
    let fewer: Vec<&str> = scores.lines().take(11).collect();
    world.write("scores.csv", &(fewer.join("\n") + "\n"));
    let file = planned(&world).await;
    world.write("scores.csv", &scores);
    let applied = world.hublake(&["apply", &file]).await;
    assert_eq!(applied.code, 0, "{}\n{}", applied.stdout, applied.stderr);
    assert_eq!(world.results()["write_back"]["wanted"]["updated"], 10);
    let contacts = world.contacts();
    assert_eq!(held(&world, contacts[9].id, "product_score"), "9");
    assert_eq!(held(&world, contacts[10].id, "product_score"), Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_this_lakes_plan_is_refused() {
    let world = World::new().await;
    let file = planned(&world).await;
    let whole = fs::read(&file).expect("the file");

    let absent = world.path("absent.parquet").display().to_string();
    refused(&world, &world.hublake(&["apply", &absent]).await, 1, &["absent.parquet"]);
    let damage: [(&str, Vec<u8>); 4] = [
        ("empty", Vec::new()),
        ("text", b"not a plan at all".to_vec()),
        ("cut off", whole[..whole.len() / 2].to_vec()),
        ("headless", [&whole[whole.len() / 2..], &whole[..whole.len() / 2]].concat()),
    ];
    for (what, bytes) in damage {
        fs::write(&file, bytes).expect("a file");
        let ran = world.hublake(&["apply", &file]).await;
        refused(&world, &ran, 78, &["no whole Parquet file", "hublake plan --out"]);
        assert!(!ran.stderr.contains("panicked"), "{what}: {}", ran.stderr);
    }
    // Another Parquet file: one of the lake's own.
    fs::copy(&world.data_files("hubspot/contacts")[0], &file).expect("a file");
    refused(&world, &world.hublake(&["apply", &file]).await, 78, &["no plan"]);

    // The plan of one run under the name of another: its rows are others.
    fs::write(&file, &whole).expect("a file");
    let runs = world.query("select distinct run_id from system.plans").await;
    let other = World::new().await;
    let there = planned(&other).await;
    fs::copy(&there, &file).expect("a file");
    let foreign = world.hublake(&["apply", &file]).await;
    refused(&world, &foreign, 5, &["lake knows nothing"]);
    let theirs = other.query("select distinct run_id from system.plans").await;
    let renamed = fs::read(&there).expect("a file");
    let renamed = replaced(&renamed, theirs[1].as_bytes(), runs[1].as_bytes());
    fs::write(&file, renamed).expect("a file");
    let ran = world.hublake(&["apply", &file]).await;
    refused(&world, &ran, 5, &["not those that the lake has"]);

    // The whole file still is what it was.
    fs::write(&file, &whole).expect("a file");
    assert_eq!(world.hublake(&["apply", &file]).await.code, 0);
}

/// Both are of one length, so that the file stays whole.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while at + from.len() <= bytes.len() {
        if &bytes[at..at + from.len()] == from {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
        at += 1;
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_for_another_account_is_refused() {
    let world = World::new().await;
    let file = planned(&world).await;
    let config = EmulatorConfig {
        portal_id: 42,
        contacts: 300,
        token: Some("test-token".to_owned()),
        ..EmulatorConfig::default()
    };
    let elsewhere = Emulator::start(config).await.expect("an emulator on a free port");
    let settings = fs::read_to_string(world.path("hublake.yml")).expect("the settings");
    world.write("hublake.yml", &settings.replace(&world.emulator.url(), &elsewhere.url()));
    let ran = world.hublake(&["apply", &file]).await;
    refused(&world, &ran, 5, &["portal `24680135`", "`42`"]);
    let log = elsewhere.control().log(0);
    assert!(log.calls.iter().all(|call| call.method == "GET"), "nothing is written there");
}

/// Looking at an undo asks for none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_apply_takes_no_undo_for_the_newest_plan() {
    let world = World::new().await;
    let first = world.run().await;
    let run_id = first["run_id"].as_str().expect("a run id");
    let looked = world.hublake(&["undo", run_id, "--plan"]).await;
    assert_eq!(looked.code, 0, "{}", looked.stderr);
    world.control.clear_log();
    let before = world.account();
    let bare = world.hublake(&["apply"]).await;
    refused(&world, &bare, 5, &["out of date"]);
    assert_eq!(world.account(), before);
    // By its id it is carried out, but not planned again by models.
    let sql = "select distinct run_id from system.plans order by 1 desc limit 1";
    let undo = world.value(sql).await;
    let replanned = world.hublake(&["apply", &undo, "--replan"]).await;
    refused(&world, &replanned, 5, &["hublake undo"]);
    let carried = world.hublake(&["apply", &undo]).await;
    assert_eq!(carried.code, 0, "{}\n{}", carried.stdout, carried.stderr);
    assert!(world.write_calls() > 0);
    assert_eq!(held(&world, world.contacts()[3].id, "product_score"), "");
}

/// A file's plan belongs to the run that made it; what another run sent of it before
/// it was killed is that run's to take back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apply_that_was_killed_is_taken_back_by_its_own_id() {
    let world = World::new().await;
    let before = world.account();
    let file = planned(&world).await;
    world.control.add_fault(Fault {
        method: Some("POST".into()),
        path: "*/contacts/batch/update".into(),
        action: FaultAction::ApplyThenHold,
        skip: 1,
        times: Some(1),
    });
    let child = world.start(&["apply", &file]);
    world.control.wait_for_held().await;
    // The others' outcomes reach the ledger in a commit of their own.
    let asked = ["query", "select run_id from system.writes limit 1", "-o", "csv"];
    while world.hublake(&asked).await.stdout.lines().count() < 2 {}
    kill(child).await;
    world.control.clear_faults();
    let run_id = world.value("select min(run_id) from system.writes").await;
    let undone = world.hublake(&["undo", &run_id]).await;
    assert_eq!(undone.code, 0, "{}\n{}", undone.stdout, undone.stderr);
    for (id, values) in &before {
        let held = |name: &str| held(&world, *id, name).as_str().unwrap_or_default().to_owned();
        for name in ["product_score", "jobtitle", "lifecyclestage"] {
            assert_eq!(held(name), values[name].as_str().unwrap_or_default(), "{name} of {id}");
        }
    }
}
