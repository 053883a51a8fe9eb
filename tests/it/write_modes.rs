//! What a row may do to HubSpot besides updating: create only, archive only,
//! and leave; rejects tried again or given up.

use std::collections::BTreeSet;
use std::time::Duration;

use hublake::emulator::FaultAction;
use hublake::load::{self, Counts, Guard, Mode, RejectFilter};
use hublake::objects::ObjectType;

use crate::load::{CREATES, Row, SIGN_UPS, UPDATES, USAGE, World, row};
use crate::world;

const LEAVERS: &str = r#"
object: contacts
match: { email: id }
mode: archive
guards: { max_archives: 2 }
properties: {}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn create_makes_what_is_missing_and_changes_nothing() {
    let mut world = World::new(SIGN_UPS).await;
    world.config.mode = Mode::Create;
    let rows = |score: f64| [row("a@example.com", score), row("b@example.com", 1.0)];
    let first = world.run("r1", &rows(1.0)).await;
    assert_eq!(first.counts, Counts { wanted: 2, created: 2, ..Counts::default() });
    let writes = world.writes();
    let second = world.run("r2", &rows(5.0)).await;
    assert_eq!(second.counts, Counts { wanted: 2, unchanged: 1, kept: 1, ..Counts::default() });
    assert_eq!(world.writes(), writes);
}

#[tokio::test(flavor = "multi_thread")]
async fn create_leaves_a_record_alone_that_the_mirror_had_not_seen() {
    let mut world = World::new(SIGN_UPS).await;
    world.config.mode = Mode::Create;
    world.run("r0", &[row("first@example.com", 0.0)]).await;
    let values = [("email".to_owned(), "late@example.com".to_owned())].into();
    let id = world.control().create_record("contacts", &values).expect("created");
    let report = world.run("r1", &[row("late@example.com", 5.0)]).await;
    assert_eq!(report.counts, Counts { wanted: 1, kept: 1, ..Counts::default() });
    assert_eq!(world.value(id, "usage_score"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_only_row_whose_answer_was_lost_is_created_once() {
    for action in [FaultAction::ApplyThenDrop, FaultAction::Drop] {
        let mut world = World::new(SIGN_UPS).await;
        world.config.mode = Mode::Create;
        world.run("r0", &[row("first@example.com", 0.0)]).await;
        world.fault(CREATES, action.clone());
        let report = world.run("r1", &[row("a@example.com", 5.0)]).await;
        let expected = Counts { wanted: 1, created: 1, ..Counts::default() };
        assert_eq!(report.counts, expected, "{action:?}");
        let again = world.run("r2", &[row("a@example.com", 5.0)]).await;
        assert_eq!(again.counts.unchanged, 1, "{action:?}");
    }
}

/// A world in which hublake has created two contacts, and archives.
async fn with_two_created() -> World {
    let mut world = World::new(SIGN_UPS).await;
    world.run("r0", &[row("a@example.com", 1.0), row("b@example.com", 1.0)]).await;
    world.config = serde_saphyr::from_str(LEAVERS).expect("valid settings");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn archive_takes_only_what_hublake_created() {
    let world = with_two_created().await;
    let values = [("email".to_owned(), "person@example.com".to_owned())].into();
    let theirs = world.control().create_record("contacts", &values).expect("created");
    world.extract().await;
    let rows = [row("a@example.com", 0.0), row("person@example.com", 0.0), row("no@x.de", 0.0)];
    let report = world.run("r1", &rows).await;
    let expected = Counts { wanted: 3, archived: 1, kept: 1, rejected: 1, ..Counts::default() };
    assert_eq!(report.counts, expected);
    let theirs = world.control().record("contacts", theirs).expect("there");
    assert!(theirs["archived_at"].is_null(), "{theirs}");

    let calls = |world: &World| world.control().log(0).calls.len();
    let (before, files) = (calls(&world), world.data_files());
    let again = world.run("r2", &rows).await;
    let expected = Counts { wanted: 3, unchanged: 1, kept: 1, rejected: 1, ..Counts::default() };
    assert_eq!(again.counts, expected);
    assert!(calls(&world) - before <= 3, "only definitions are asked for");
    assert_eq!(world.data_files(), files, "a quiet run stored something");
}

#[tokio::test(flavor = "multi_thread")]
async fn archiving_is_off_unless_the_guard_allows_some() {
    let mut world = with_two_created().await;
    world.config.guards.max_archives = None;
    let plan = world.plan("r1", &[row("a@example.com", 0.0)]).await;
    let refused: Vec<Guard> = plan.refusals().map(|verdict| verdict.guard).collect();
    assert_eq!(refused, [Guard::MaxArchives]);
    let verdict = plan.refusals().next().expect("refused");
    assert_eq!((verdict.found, verdict.limit.as_str()), (1, "0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_whose_answer_was_lost_is_looked_for() {
    for action in
        [FaultAction::ApplyThenDrop, FaultAction::ApplyThen { status: 502 }, FaultAction::Drop]
    {
        let world = with_two_created().await;
        world.fault("*/contacts/batch/archive", action.clone());
        let report = world.run("r1", &[row("a@example.com", 0.0)]).await;
        let expected = Counts { wanted: 1, archived: 1, ..Counts::default() };
        assert_eq!(report.counts, expected, "{action:?}");
    }
}

/// A write-back that clears what is ours once its row has left.
async fn clearing() -> (World, Vec<u64>) {
    let mut world = World::new(USAGE).await;
    world.config.on_absent = load::OnAbsent::Clear;
    world.config.guards.min_rows = Some(1);
    let leads = world.leads().await;
    leads[..3].iter().for_each(|id| world.edit(*id, "jobtitle", ""));
    world.extract().await;
    let titled = |id: &u64| Row { title: Some("CTO".into()), ..row(id, 1.0) };
    let rows: Vec<Row> = leads[..3].iter().map(titled).collect();
    world.run("r0", &rows).await;
    (world, leads)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_leaves_the_model_takes_our_values_along_and_no_others() {
    let (world, leads) = clearing().await;
    world.edit(leads[1], "jobtitle", "Founder");
    let left = world.run("r1", &[row(leads[0], 1.0)]).await;
    let expected =
        Counts { wanted: 3, unchanged: 1, updated: 2, conflicts: 1, ..Counts::default() };
    assert_eq!(left.counts, expected);
    assert_eq!(world.value(leads[0], "usage_score").as_deref(), Some("1"));
    assert_eq!(world.value(leads[1], "usage_score"), None);
    assert_eq!(world.value(leads[1], "jobtitle").as_deref(), Some("Founder"));
    assert_eq!(
        (world.value(leads[2], "usage_score"), world.value(leads[2], "jobtitle")),
        (None, None)
    );

    let writes = world.writes();
    let quiet = world.run("r2", &[row(leads[0], 1.0)]).await;
    assert_eq!((quiet.counts.updated, world.writes()), (0, writes));

    let back = world.run("r3", &[row(leads[0], 1.0), row(leads[2], 4.0)]).await;
    assert_eq!(back.counts.updated, 1, "a row that comes back is written again");
    assert_eq!(world.value(leads[2], "usage_score").as_deref(), Some("4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_left_do_not_pass_for_rows_of_the_model() {
    let (world, _) = clearing().await;
    let plan = world.plan("r1", &[]).await;
    assert_eq!(plan.counts.updated, 3, "{:?}", plan.counts);
    let refused: Vec<Guard> = plan.refusals().map(|verdict| verdict.guard).collect();
    assert_eq!(refused, [Guard::MinRows]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_met_by_another_address_has_not_left() {
    let mut world = World::new(SIGN_UPS).await;
    world.config.on_absent = load::OnAbsent::Clear;
    world.config.guards.min_rows = Some(1);
    let values = [("email", "main@x.de"), ("hs_additional_emails", "more@x.de;third@x.de")];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let id = world.control().create_record("contacts", &values).expect("created");
    world.extract().await;
    world.run("r0", &[row("main@x.de", 1.0)]).await;
    world.run("r1", &[row("more@x.de", 1.0)]).await;
    assert_eq!(world.value(id, "usage_score").as_deref(), Some("1"));
    let left = world.run("r2", &[row("else@x.de", 1.0)]).await;
    let expected = Counts { wanted: 2, created: 1, updated: 1, ..Counts::default() };
    assert_eq!(left.counts, expected, "one record, however many addresses");
    assert_eq!(world.value(id, "usage_score"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_sent_again_when_somebody_asks() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    world.run("r0", &[row(leads[9], 0.0)]).await;
    let refuse = || {
        let body = serde_json::json!({ "status": "error", "message": "No", "category": "VALIDATION_ERROR" });
        FaultAction::Refuse { status: 400, body: Some(body), retry_after: None }
    };
    let rows = [row(leads[0], 1.0)];
    world.fault(UPDATES, refuse());
    assert_eq!(world.run("r1", &rows).await.counts.rejected, 1);
    let writes = world.writes();
    assert_eq!(world.run("r2", &rows).await.counts.rejected, 1);
    assert_eq!(world.writes(), writes, "it rests");

    let meant = RejectFilter { keys: vec![leads[0].to_string()], ..RejectFilter::default() };
    let dropped = load::drop_rejects(&world.lake, &meant).await.expect("dropped");
    assert_eq!(dropped.len(), 1);
    assert_eq!(load::rejects(&world.lake, true).await.expect("readable"), []);
    let any = RejectFilter { status: load::RejectStatus::Any, ..meant };
    load::retry_rejects(&world.lake, &any).await.expect("marked");
    let other = RejectFilter { write_back: Some("other".into()), ..RejectFilter::default() };
    assert_eq!(load::find_rejects(&world.lake, &other).await.expect("readable"), []);

    let again = world.run("r3", &rows).await;
    assert_eq!(again.counts, Counts { wanted: 1, updated: 1, ..Counts::default() });
    assert_eq!(load::rejects(&world.lake, true).await.expect("readable"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_wait_for_a_property_that_was_just_created() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    let clock = format!("{}/_emulator/clock", world.emulator_url());
    let lag = serde_json::json!({ "property_lag_ms": 700 });
    let request = reqwest::Client::new().post(clock).body(lag.to_string());
    let request = request.header("content-type", "application/json");
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success());
    let rows: Vec<Row> = leads[..5].iter().map(|id| row(id, 1.0)).collect();
    let report = tokio::time::timeout(Duration::from_secs(60), world.run("r1", &rows)).await;
    let counts = report.expect("waits are bounded").counts;
    assert_eq!(counts, Counts { wanted: 5, updated: 5, ..Counts::default() });
    let written: BTreeSet<_> =
        leads[..5].iter().map(|id| world.value(*id, "usage_score")).collect();
    assert_eq!(written, [Some("1".to_owned())].into());
}

/// Subjects of the tasks that hublake made.
async fn tasks(world: &World) -> Vec<String> {
    let object = ObjectType::parse("tasks").expect("a standard type");
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let url = format!(
            "{}/crm/v3/objects/{}?limit=100&properties=hs_task_subject{}",
            world.emulator_url(),
            object.name(),
            after.map_or(String::new(), |after| format!("&after={after}"))
        );
        let answer = reqwest::Client::new().get(url).bearer_auth("token").send().await;
        let body = answer.expect("an answer").bytes().await.expect("a body");
        let page: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        for record in page["results"].as_array().expect("records") {
            let subject = record["properties"]["hs_task_subject"].as_str().unwrap_or_default();
            if subject.starts_with("hublake:") {
                found.push(subject.to_owned());
            }
        }
        match page["paging"]["next"]["after"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return found,
        }
    }
}

/// Tells of the rejects of a run, `late` after now.
async fn tell(world: &World, run_id: &str, late: Duration) -> Result<load::Told, load::LoadError> {
    let config = load::TaskConfig { owner: "Alma@hublake-demo.example".into() };
    let request = load::TaskRequest {
        run_id,
        pipeline: "usage",
        write_back: "contact_usage",
        config: &config,
        index_lag: Duration::from_secs(60),
        now: chrono::Utc::now().timestamp_micros() + late.as_micros() as i64,
    };
    load::tell_of_rejects(&world.lake, &world.client, request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_task_tells_of_a_runs_rejects_and_a_quiet_run_makes_none() {
    let world = World::new(USAGE).await;
    let lead = world.leads().await[0];
    let told = |run_id: &'static str| tell(&world, run_id, Duration::ZERO);
    world.run("r1", &[row(lead, 1.0)]).await;
    assert_eq!(told("r1").await.expect("told"), load::Told::Nothing);

    let rows = [row(lead, 1.0), row("<b>4711</b>", 1.0), row(4_712, 1.0)];
    world.run("r2", &rows).await;
    assert_eq!(told("r2").await.expect("told"), load::Told::Task { rows: 2 });
    assert_eq!(told("r2").await.expect("told"), load::Told::Nothing);
    world.run("r3", &rows).await;
    assert_eq!(told("r3").await.expect("told"), load::Told::Nothing);
    assert_eq!(tasks(&world).await, ["hublake: 2 rows of contact_usage refused (run r2)"]);

    let more = [rows.as_slice(), &[row(4_713, 1.0)]].concat();
    world.run("r4", &more).await;
    assert_eq!(told("r4").await.expect("told"), load::Told::Task { rows: 1 });
    assert_eq!(tasks(&world).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_answer_was_lost_is_there_once() {
    for (action, is_made) in [(FaultAction::ApplyThenDrop, true), (FaultAction::Drop, false)] {
        let world = World::new(USAGE).await;
        world.control().set_index_lag(Duration::ZERO);
        world.run("r1", &[row(4_711, 1.0)]).await;
        world.fault("*/tasks/batch/create", action.clone());
        assert!(tell(&world, "r1", Duration::ZERO).await.is_err(), "{action:?}");
        let soon = tell(&world, "r2", Duration::ZERO).await.expect("told");
        let expected = if is_made { load::Told::Nothing } else { load::Told::Later };
        assert_eq!(soon, expected, "{action:?}");
        tell(&world, "r3", Duration::from_secs(120)).await.expect("told");
        assert_eq!(tasks(&world).await.len(), 1, "{action:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_shown_row_by_row_and_as_a_page() {
    let world = world::World::new().await;
    let bad = world.hublake(&["plan", "--where", "colour = 'red'"]).await;
    assert_eq!(bad.code, 64, "{}", bad.stderr);
    let page = world.path("plan.html");
    let page_arg = page.to_str().expect("a path of UTF-8");
    let condition = "property = 'product_score' and action = 'update'";
    let args = ["plan", "--where", condition, "--output", "csv", "--html", page_arg];
    let shown = world.hublake(&args).await;
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert_eq!(lines.len(), world.contacts().len() + 1, "a line per contact and the header");
    assert!(lines[1..].iter().all(|line| line.contains("product_score")), "{}", lines[1]);
    assert!(shown.stderr.contains("calls to write"), "{}", shown.stderr);
    let html = std::fs::read_to_string(page).expect("a page");
    assert!(html.contains("product_score") && html.ends_with("</html>\n"), "{html}");

    let nobody = world.hublake(&["rejects", "drop", "no-such-key"]).await;
    assert_eq!(nobody.code, 78, "{}", nobody.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declared_properties_are_made_and_looked_over_on_their_own() {
    let world = world::World::new().await;
    let planned = world.hublake(&["properties", "plan", "--output", "csv"]).await;
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    assert!(planned.stdout.contains("contacts,product_score,create"), "{}", planned.stdout);
    assert_eq!(world.write_calls(), 0);
    let made = world.hublake(&["properties", "apply"]).await;
    assert_eq!(made.code, 0, "{}", made.stderr);
    let again = world.hublake(&["properties", "plan"]).await;
    assert!(again.stderr.contains("has every property"), "{}{}", again.stdout, again.stderr);
    world.run().await;
    let audit = world.hublake(&["properties", "audit", "--output", "csv"]).await;
    assert_eq!(audit.code, 0, "{}", audit.stderr);
    let line = audit.stdout.lines().find(|line| line.contains(",product_score,"));
    let cells: Vec<&str> = line.expect("a line").split(',').collect();
    let filled: f64 = cells[4].parse().expect("a share");
    assert!((90.0..=100.0).contains(&filled) && cells[3] == "wanted" && !cells[5].is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_archives_nothing_that_hublake_did_not_create() {
    let world = world::World::new().await;
    let pipeline = "extract: { contacts: { properties: [email] } }\nwrite_back:\n  wanted:\n    object: contacts\n    \
                    match: { record_id: contact_id }\n    mode: archive\n    guards: { max_archives: 1000 }\n";
    world.write("pipelines/scores.yml", pipeline);
    let results = world.run().await;
    let counts = &results["write_back"]["wanted"];
    let contacts = world.contacts().len() as u64;
    assert_eq!(
        (counts["wanted"].as_u64(), counts["kept"].as_u64()),
        (Some(contacts), Some(contacts))
    );
    assert_eq!(world.write_calls(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_passed_by_hand_is_on_record_with_its_figures() {
    let world = world::World::new().await;
    let pipeline = std::fs::read_to_string(world.path("pipelines/scores.yml")).expect("a pipeline");
    let guarded = format!("{pipeline}    guards: {{ max_changed: 10% }}\n");
    world.write("pipelines/scores.yml", &guarded);
    let stopped = world.hublake(&["run"]).await;
    assert_eq!(stopped.code, 5, "{}", stopped.stderr);
    let passed = world.hublake(&["run", "--accept-guard", "max_changed"]).await;
    assert_eq!(passed.code, 0, "{}", passed.stderr);
    let accepted = &world.results()["accepted_guards"][0];
    assert_eq!((&accepted["guard"], &accepted["limit"]), (&"max_changed".into(), &"10%".into()));
    assert_eq!(accepted["found"].as_u64(), Some(world.contacts().len() as u64));
    let sql = "select count(*) from system.runs where results like '%\"limit\": \"10%'";
    assert_eq!(world.value(sql).await, "1", "system.runs has it too");
}
