//! The main job end to end: promises 1, 2, 4 and 5 of a run.

use serde_json::Value;

use crate::world::World;

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

fn assert_counts_close(results: &Value) {
    for (name, o) in results["objects"].as_object().expect("objects by name") {
        let parts = ["inserted", "updated", "unchanged", "rejected"].map(|part| number(&o[part]));
        assert_eq!(number(&o["read"]), parts.iter().sum::<u64>(), "{name}: {o}");
    }
    for (name, w) in results["write_back"].as_object().expect("write-backs by name") {
        let parts = [
            "unchanged",
            "created",
            "updated",
            "archived",
            "kept",
            "rejected",
            "deferred",
            "unknown",
        ];
        assert_eq!(
            number(&w["wanted"]),
            parts.map(|part| number(&w[part])).iter().sum::<u64>(),
            "{name}: {w}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_brings_every_record_in_and_every_score_out() {
    let world = World::new().await;
    let results = world.run().await;
    assert_counts_close(&results);
    assert_eq!(results["schema_version"], 1);
    assert_eq!(number(&results["objects"]["contacts"]["read"]), 300);
    let wanted = world.contacts().len() as u64;
    assert_eq!(number(&results["write_back"]["wanted"]["updated"]), wanted);
    assert_eq!(world.value("select count(*) from hubspot.contacts").await, "300");
    for (place, contact) in world.contacts().iter().enumerate() {
        let held = world.control.record("contacts", contact.id).expect("a seeded contact");
        assert_eq!(
            held["properties"]["product_score"],
            (place % 50).to_string(),
            "contact {}",
            contact.id
        );
    }
    let mirrored =
        world.value("select count(*) from hubspot.contacts where product_score is not null").await;
    assert_eq!(mirrored, wanted.to_string(), "the mirror takes what HubSpot answered");
    assert_eq!(world.value("select count(*) from system.writes").await, wanted.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runs_after_a_run_are_quiet() {
    let world = World::new().await;
    world.run().await;
    world.control.clear_log();
    let second = world.run().await;
    assert_counts_close(&second);
    assert_eq!(world.write_calls(), 0, "right after a run that wrote, nothing is written");
    let wanted = number(&second["write_back"]["wanted"]["wanted"]);
    let settled = number(&second["write_back"]["wanted"]["unchanged"])
        + number(&second["write_back"]["wanted"]["kept"]);
    assert_eq!(settled, wanted, "{second}");

    let before = ["hubspot", "models", "system"].map(|folder| world.data_files(folder));
    let third = world.run().await;
    assert_eq!(world.write_calls(), 0);
    let after = ["hubspot", "models", "system"].map(|folder| world.data_files(folder));
    assert_eq!(before[0], after[0], "a quiet run adds no file under hubspot/");
    assert_eq!(before[1], after[1], "a quiet run adds no file under models/");
    assert!(
        after[2].len() <= before[2].len() + 1,
        "at most one file under system/: {:?} {:?}",
        before[2],
        after[2]
    );
    assert_eq!(third["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_record_arrives_through_search() {
    let world = World::new().await;
    world.run().await;
    let id = world.contacts()[5].id;
    world.edit(id, "firstname", "Renamed");
    world.control.clear_log();
    let results = world.run().await;
    let name =
        world.value(&format!("select firstname from hubspot.contacts where id = {id}")).await;
    assert_eq!(name, "Renamed");
    let listed = world
        .control
        .log(0)
        .counts
        .get("objects.list")
        .map_or(0, |by_status| by_status.values().sum::<u64>());
    assert!(listed <= 2, "an incremental run lists no pages, only asks for the time: {listed}");
    assert!(number(&results["calls"]["search"]) >= 2, "{results}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persons_edit_survives_where_the_policy_says_so() {
    let world = World::new().await;
    world.run().await;
    let contacts = world.contacts();
    let (edited, moved_on) = (contacts[3].id, contacts[4].id);
    world.edit(edited, "jobtitle", "Head of Everything");
    world.edit(moved_on, "lifecyclestage", "customer");
    world.write_scores(|_| Some("subscriber"));
    world.run().await;
    let held = |id: u64, property: &str| {
        world.control.record("contacts", id).expect("a seeded contact")["properties"][property]
            .clone()
    };
    assert_eq!(held(edited, "jobtitle"), "Head of Everything", "fill_empty never overwrites");
    assert_eq!(held(moved_on, "lifecyclestage"), "customer", "a stage never moves back");
    let overwritten = contacts[7].id;
    world.edit(overwritten, "product_score", "999");
    world.run().await;
    assert_eq!(held(overwritten, "product_score"), "7", "overwrite takes its own property back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_plan_can_be_looked_at_and_applied() {
    let world = World::new().await;
    let plan = world.hublake(&["plan", "--detailed-exitcode", "--output", "json"]).await;
    assert_eq!(plan.code, 2, "{}", plan.stderr);
    let summary: Value =
        serde_json::from_str(plan.stdout.lines().next().expect("a plan")).expect("JSON");
    assert_eq!(world.write_calls(), 0, "a plan writes nothing to HubSpot");
    world.control.clear_log();
    let unknown = world.hublake(&["apply", "nope"]).await;
    assert_eq!(unknown.code, 78, "{}", unknown.stderr);
    assert_eq!(world.control.log(0).calls.len(), 0, "the lake knows");
    let run_id = summary["run_id"].as_str().expect("a run id");
    let applied = world.hublake(&["apply", run_id]).await;
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    assert_counts_close(&world.results());
    let quiet = world.hublake(&["plan", "--detailed-exitcode"]).await;
    assert_eq!(quiet.code, 0, "{}\n{}", quiet.stdout, quiet.stderr);
    let again = world.hublake(&["apply", run_id]).await;
    assert_eq!(again.code, 5, "an applied plan is out of date: {}", again.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_prints_its_answer_and_nothing_else() {
    let world = World::new().await;
    world.run().await;
    let sql = "select lifecyclestage, count(*) from hubspot.contacts group by 1 order by 2 desc";
    let ran = world.hublake(&["query", sql, "--output", "csv"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "lifecyclestage,count(*)");
    let total: u64 = lines[1..]
        .iter()
        .map(|line| line.rsplit(',').next().expect("a count").parse::<u64>().expect("a number"))
        .sum();
    assert_eq!(total, 300);
}

/// The first write-back's writes are stored in the mirror, and associations are
/// then behind it, by nothing but these: that must not close the second's gate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_back_does_not_close_the_gate_of_the_next() {
    let world = World::new().await;
    let pipeline = std::fs::read_to_string(world.path("pipelines/scores.yml")).expect("a pipeline");
    // Of one object they are written in order of their names.
    let second = "  with_company:
    object: contacts
    match: { record_id: contact_id }
    properties:
      companies_known: { from: companies, create: { type: number, group: product, label: \"Companies\" } }
";
    world.write("pipelines/scores.yml", &format!("{pipeline}{second}"));
    world.write(
        "sql/with_company.sql",
        "select from_id as contact_id, count(distinct to_id) as companies
         from hubspot.associations
         where from_type = 'contacts' and to_type = 'companies'
         group by from_id",
    );
    let results = world.run().await;
    let linked = world.value("select count(*) from with_company").await;
    let written = |name: &str| number(&results["write_back"][name]["updated"]);
    assert!(written("wanted") > 0, "the mirror has moved");
    assert!(written("with_company") > 0);
    assert_eq!(written("with_company").to_string(), linked);

    // The next run finds both to have nothing to do, and neither to be closed.
    let results = world.run().await;
    for name in ["wanted", "with_company"] {
        assert_eq!(number(&results["write_back"][name]["updated"]), 0, "{name}");
    }
}
