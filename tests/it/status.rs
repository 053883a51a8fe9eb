//! What HubSpot itself shows of the sync, and that showing it is never a reason to write.

use std::fs;

use serde_json::Value;

use crate::world::World;

const SETTINGS: &str =
    "    status: { last_synced: hublake_synced_at, state: hublake_state, error: hublake_error }
    origin: { property: data_source, value: product-lake }
";

async fn shown() -> World {
    let world = World::new().await;
    world.extend_pipeline("    match: { record_id: contact_id }\n", SETTINGS);
    world
}

fn held(world: &World, id: u64, property: &str) -> Value {
    world.control.record("contacts", id).expect("a seeded contact")["properties"][property].clone()
}

/// Gives the contact at this place among the scores another score.
fn rescore(world: &World, place: usize, score: &str) {
    let scores = fs::read_to_string(world.path("scores.csv")).expect("the scores");
    let line = |(at, line): (usize, &str)| match at == place + 1 {
        false => line.to_owned(),
        true => {
            let mut cells: Vec<&str> = line.split(',').collect();
            cells[1] = score;
            cells.join(",")
        }
    };
    let lines: Vec<String> = scores.lines().enumerate().map(line).collect();
    world.write("scores.csv", &(lines.join("\n") + "\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_stamped_and_a_stamp_is_no_change() {
    let world = shown().await;
    let contacts = world.contacts();
    let first = world.run().await;
    assert_eq!(first["write_back"]["wanted"]["updated"], contacts.len());
    assert_eq!(first["write_back"]["wanted.status"]["wanted"], 0, "nothing is refused");
    let (one, other) = (contacts[3].id, contacts[4].id);
    let at = held(&world, one, "hublake_synced_at");
    assert!(at.as_str().is_some_and(|at| at.ends_with('Z')), "{at}");
    assert_eq!(held(&world, one, "hublake_state"), "synced");
    assert_eq!(held(&world, one, "data_source"), "product-lake");
    let mirrored = format!("select hublake_state from hubspot.contacts where id = {one}");
    assert_eq!(world.value(&mirrored).await, "synced");

    world.control.clear_log();
    for _ in 0..2 {
        world.run().await;
    }
    assert_eq!(world.write_calls(), 0, "a time alone is not worth a write");
    let plan = world.hublake(&["plan", "--detailed-exitcode"]).await;
    assert_eq!(plan.code, 0, "{}", plan.stdout);

    // Somebody else's origin stays; nobody's edit of a stamp is a reason to write.
    world.edit(one, "data_source", "import");
    world.edit(other, "hublake_state", "rejected");
    world.run().await;
    assert_eq!(world.write_calls(), 0);
    rescore(&world, 3, "777");
    rescore(&world, 4, "778");
    world.run().await;
    assert!(world.write_calls() > 0);
    assert_eq!(held(&world, one, "product_score"), "777");
    assert_eq!(held(&world, one, "data_source"), "import");
    assert_eq!(held(&world, other, "hublake_state"), "synced");
    assert_ne!(held(&world, one, "hublake_synced_at"), at);
    assert_eq!(held(&world, contacts[5].id, "hublake_synced_at"), at, "nothing of it has changed");
    world.control.clear_log();
    world.run().await;
    assert_eq!(world.write_calls(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_row_is_told_on_its_record_until_it_is_mended() {
    let world = shown().await;
    let contacts = world.contacts();
    let id = contacts[4].id;
    rescore(&world, 4, "many");
    let first = world.run().await;
    assert_eq!(first["write_back"]["wanted"]["rejected"], 1, "{first}");
    assert_eq!(first["write_back"]["wanted.status"]["updated"], 1, "{first}");
    assert_eq!(held(&world, id, "hublake_state"), "rejected");
    let error = held(&world, id, "hublake_error");
    assert!(error.as_str().is_some_and(|error| error.contains("number")), "{error}");
    assert_eq!(held(&world, id, "hublake_synced_at"), Value::Null, "it never was");
    assert_eq!(held(&world, contacts[5].id, "hublake_state"), "synced");

    world.control.clear_log();
    let second = world.run().await;
    assert_eq!(world.write_calls(), 0, "{second}");
    rescore(&world, 4, "4");
    world.run().await;
    assert_eq!(held(&world, id, "product_score"), "4");
    assert_eq!(held(&world, id, "hublake_state"), "synced");
    assert_eq!(held(&world, id, "hublake_error"), "");
    world.control.clear_log();
    let last = world.run().await;
    assert_eq!(world.write_calls(), 0, "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_property_that_is_somebody_elses_shows_no_status() {
    for (property, reason) in [("lastname", "HubSpot's own"), ("favourite_colour", "there already")]
    {
        let world = World::new().await;
        let new = serde_json::json!({"name": "favourite_colour", "label": "Colour",
            "groupName": "contactinformation", "type": "string", "fieldType": "text"});
        let url = format!("{}/crm/v3/properties/contacts", world.emulator.url());
        let made = reqwest::Client::new().post(url).bearer_auth("test-token").body(new.to_string());
        let made = made.header("content-type", "application/json").send().await.expect("an answer");
        assert_eq!(made.status(), 201);
        let settings = format!("    status: {{ error: {property} }}\n");
        world.extend_pipeline("    match: { record_id: contact_id }\n", &settings);
        world.control.clear_log();
        let ran = world.hublake(&["run"]).await;
        assert_eq!(ran.code, 78, "{}", ran.stderr);
        assert!(ran.stderr.contains(reason) && ran.stderr.contains(property), "{}", ran.stderr);
        assert_eq!(world.write_calls(), 0);
        let planned = world.hublake(&["properties", "plan"]).await;
        assert_eq!(planned.code, 78, "{}", planned.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_properties_are_made_with_the_others_and_plans_hold_them() {
    let world = shown().await;
    assert_eq!(world.hublake(&["extract"]).await.code, 0);
    let planned = world.hublake(&["properties", "plan", "--output", "csv"]).await;
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    for name in ["hublake_synced_at", "hublake_state", "hublake_error", "data_source"] {
        assert!(planned.stdout.contains(name), "{name}: {}", planned.stdout);
    }
    let made = world.hublake(&["properties", "apply"]).await;
    assert_eq!(made.code, 0, "{}", made.stderr);
    let again = world.hublake(&["properties", "plan"]).await;
    assert!(again.stderr.contains("has every property"), "{}", again.stderr);
    // The time of a stored plan is no reason to call it moved.
    let file = world.path("plan.parquet").display().to_string();
    assert_eq!(world.hublake(&["plan", "--out", &file]).await.code, 0);
    let applied = world.hublake(&["apply", &file]).await;
    assert_eq!(applied.code, 0, "{}\n{}", applied.stdout, applied.stderr);
    let results = world.results();
    let run_id = results["run_id"].as_str().expect("a run id");
    let id = world.contacts()[3].id;
    assert_eq!(held(&world, id, "hublake_state"), "synced");
    // A run that is taken back takes its stamps along.
    let undone = world.hublake(&["undo", run_id]).await;
    assert_eq!(undone.code, 0, "{}\n{}", undone.stdout, undone.stderr);
    assert_eq!(held(&world, id, "product_score"), "");
    assert_eq!(held(&world, id, "hublake_state"), "");

    // One shows what the other would contradict.
    let second = "  second:
    object: contacts
    match: { record_id: contact_id }
    status: { state: hublake_state }
    properties: { website: { from: title, policy: fill_empty } }
";
    let pipeline = fs::read_to_string(world.path("pipelines/scores.yml")).expect("a pipeline");
    world.write("pipelines/scores.yml", &format!("{pipeline}{second}"));
    world.write("sql/second.sql", "select contact_id, title from wanted");
    let checked = world.hublake(&["check", "--offline"]).await;
    assert_eq!(checked.code, 78);
    assert!(checked.stderr.contains("one property has one owner"), "{}", checked.stderr);
    let schema = world.hublake(&["schema", "pipeline"]).await;
    assert!(schema.stdout.contains("last_synced"), "{}", schema.stderr);
}
