//! A run taken back: every value nobody touched since, nothing else, and no
//! harm wherever it is cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::Utc;
use hublake::emulator::{Fault, FaultAction};
use hublake::load::{
    self, ApplyReport, ApplyRequest, Counts, FinishRequest, GuardsConfig, LoadError, PlanSummary,
    Policy, UndoPart, UndoRequest, WriteBackConfig,
};
use hublake::objects::{ObjectType, PropertyDefinition};
use tokio_util::sync::CancellationToken;

use crate::load::{CREATES, Row, SIGN_UPS, UPDATES, USAGE, World, row};
use crate::s3::{Hold, S3};
use crate::world::{self, kill};

async fn definitions(world: &World) -> Vec<PropertyDefinition> {
    world.client.properties(&ObjectType::CONTACTS, false).await.expect("properties")
}

async fn apply(
    world: &World,
    run_id: &str,
    config: &WriteBackConfig,
    plan: &PlanSummary,
    accepted: &BTreeSet<load::Guard>,
) -> Result<ApplyReport, LoadError> {
    apply_until(world, run_id, config, plan, accepted, CancellationToken::new()).await
}

async fn apply_until(
    world: &World,
    run_id: &str,
    config: &WriteBackConfig,
    plan: &PlanSummary,
    accepted: &BTreeSet<load::Guard>,
    stop: CancellationToken,
) -> Result<ApplyReport, LoadError> {
    let definitions = definitions(world).await;
    let request = ApplyRequest {
        run_id,
        pipeline: "usage",
        config,
        plan,
        definitions: &definitions,
        accepted,
        dry_run: false,
        stop,
        may_send: None,
    };
    load::apply(&world.lake, &world.client, request).await
}

async fn part(world: &World, undone: &str) -> UndoPart {
    world.catch_up().await;
    let mut parts = load::undo_parts(&world.lake, undone).await.expect("a readable ledger");
    assert_eq!(parts.len(), 1, "{parts:?}");
    parts.remove(0)
}

async fn plan_undo(world: &World, run_id: &str, undone: &str, archive: bool) -> PlanSummary {
    plan_undo_at(world, run_id, undone, archive, Utc::now().timestamp_micros()).await
}

async fn plan_undo_at(
    world: &World,
    run_id: &str,
    undone: &str,
    archive: bool,
    now: i64,
) -> PlanSummary {
    let part = part(world, undone).await;
    let definitions = definitions(world).await;
    let request = UndoRequest {
        run_id,
        undone,
        part: &part,
        config: &part.config(GuardsConfig::default(), None),
        archive_created: archive,
        definitions: &definitions,
        accepted: &BTreeSet::new(),
        index_lag: Duration::from_secs(60),
        now,
        stop: CancellationToken::new(),
    };
    let plan = load::plan_undo(&world.lake, &world.client, request).await.expect("planned");
    assert!(plan.counts.close(), "{:?}", plan.counts);
    plan
}

/// What an undo writes first: what an earlier one owes.
async fn finish(world: &World, run_id: &str) -> Option<Counts> {
    world.catch_up().await;
    let definitions = definitions(world).await;
    let request = FinishRequest {
        run_id,
        pipeline: "usage",
        write_back: "contact_usage",
        definitions: &definitions,
        now: Utc::now().timestamp_micros(),
        stop: CancellationToken::new(),
    };
    let finish = load::plan_finish(&world.lake, &world.client, request).await.expect("planned")?;
    let report = apply(world, run_id, &finish.config, &finish.plan, &BTreeSet::new()).await;
    load::finished(&world.lake, "usage", &finish).await.expect("noted");
    Some(report.expect("applied").counts)
}

pub(crate) async fn undo(world: &World, run_id: &str, undone: &str, archive: bool) -> Counts {
    finish(world, run_id).await;
    let plan = plan_undo(world, run_id, undone, archive).await;
    let config = part(world, undone).await.config(GuardsConfig::default(), None);
    let accepted = [load::Guard::MaxArchives].into();
    let report = apply(world, run_id, &config, &plan, &accepted).await.expect("applied");
    assert!(report.counts.close(), "{:?}", report.counts);
    report.counts
}

fn staged(id: u64, stage: &str) -> Row {
    Row { stage: Some(stage.into()), ..row(id, 1.0) }
}

/// A world whose leads have each a score of 1 from a run `r0`.
async fn scored() -> (World, Vec<u64>) {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    let rows: Vec<Row> = leads.iter().map(|id| row(id, 1.0)).collect();
    world.run("r0", &rows).await;
    (world, leads)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_restores_every_value_that_nobody_touched_since() {
    let (world, leads) = scored().await;
    leads[..4].iter().for_each(|id| world.edit(*id, "jobtitle", ""));
    world.extract().await;
    let titled = |id: &u64| Row { title: Some("CTO".into()), ..row(id, 2.0) };
    let rows: Vec<Row> = leads[..4].iter().map(titled).collect();
    world.run("r1", &rows).await;
    // One value edited by a person, one written again by a later run.
    world.edit(leads[1], "usage_score", "77");
    world.run("r2", &[row(leads[2], 3.0)]).await;

    let counts = undo(&world, "u1", "r1", false).await;
    let expected = Counts { wanted: 4, updated: 4, conflicts: 2, ..Counts::default() };
    assert_eq!(counts, expected, "two values stay");
    let score = |at: usize| world.value(leads[at], "usage_score");
    assert_eq!(score(0).as_deref(), Some("1"));
    assert_eq!(score(1).as_deref(), Some("77"), "a person's edit stays");
    assert_eq!(score(2).as_deref(), Some("3"), "a later run's value stays");
    assert_eq!(score(3).as_deref(), Some("1"));
    assert!(leads[..4].iter().all(|id| world.value(*id, "jobtitle").is_none()));

    let again = undo(&world, "u2", "r1", false).await;
    assert_eq!(again.updated, 0, "a second undo finds nothing: {again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_alone_is_in_the_plan_with_its_reason() {
    let (world, leads) = scored().await;
    world.run("r1", &[row(leads[0], 2.0), row(leads[1], 2.0), row(leads[2], 2.0)]).await;
    world.edit(leads[0], "usage_score", "77");
    world.run("r2", &[row(leads[1], 3.0)]).await;
    world.control().archive_record("contacts", leads[2]).expect("archived");
    let writes = world.writes();
    let plan = plan_undo(&world, "u1", "r1", false).await;
    assert_eq!(plan.counts, Counts { wanted: 3, kept: 3, ..Counts::default() });
    assert_eq!(world.writes(), writes, "a plan writes nothing");
    let rows = load::planned_rows(&world.lake, "u1", "contact_usage", 10).await.expect("readable");
    let why: BTreeMap<Option<i64>, String> = rows
        .into_iter()
        .map(|row| {
            let of_value = row.changes.get("usage_score").and_then(|change| change.reason.clone());
            (row.record_id, row.reason.or(of_value).unwrap_or_default())
        })
        .collect();
    let why = |at: usize| why[&Some(leads[at] as i64)].as_str();
    assert!(why(0).contains("changed in HubSpot"), "{}", why(0));
    assert!(why(1).contains("later run"), "{}", why(1));
    assert!(why(2).contains("no longer shows"), "{}", why(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_plan_archives_nothing_that_was_touched_since() {
    let world = World::new(SIGN_UPS).await;
    let minutes_ago = |minutes: i64| Utc::now().timestamp_micros() - minutes * 60_000_000;
    let made = world.plan_at("r1", &[row("new@example.com", 1.0)], minutes_ago(60)).await;
    world.apply("r1", &made, CancellationToken::new()).await;
    let plan = plan_undo_at(&world, "u1", "r1", true, minutes_ago(30)).await;
    assert_eq!(plan.counts, Counts { wanted: 1, archived: 1, ..Counts::default() });
    let config = part(&world, "r1").await.config(GuardsConfig::default(), None);
    let accepted = [load::Guard::MaxArchives].into();
    let report = apply(&world, "u1", &config, &plan, &accepted).await.expect("applied");
    assert_eq!(report.counts, Counts { wanted: 1, deferred: 1, ..Counts::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_value_that_was_given_back_is_theirs_again() {
    let mut world = World::new(USAGE).await;
    world.config.on_absent = load::OnAbsent::Clear;
    world.config.guards.min_rows = Some(1);
    world.config.properties.get_mut("jobtitle").expect("declared").policy = Some(Policy::Overwrite);
    let leads = world.leads().await;
    leads[..2].iter().for_each(|id| world.edit(*id, "jobtitle", "CEO"));
    world.extract().await;
    let titled = |id: &u64| Row { title: Some("Chief".into()), ..row(id, 1.0) };
    let rows: Vec<Row> = leads[..2].iter().map(titled).collect();
    world.run("r1", &rows).await;
    assert_eq!(world.value(leads[0], "jobtitle").as_deref(), Some("Chief"));
    undo(&world, "u1", "r1", false).await;
    assert_eq!(world.value(leads[0], "jobtitle").as_deref(), Some("CEO"));
    world.run("r2", &[row(leads[1], 1.0)]).await;
    assert_eq!(world.value(leads[0], "jobtitle").as_deref(), Some("CEO"), "not ours to clear");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_undo_empties_may_be_filled_again_and_what_a_person_empties_may_not() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    leads[..2].iter().for_each(|id| world.edit(*id, "jobtitle", ""));
    world.extract().await;
    let titled = |id: &u64| Row { title: Some("Chief".into()), ..row(*id, 1.0) };
    let rows: Vec<Row> = leads[..2].iter().map(titled).collect();
    world.run("r1", &rows).await;
    assert_eq!(world.value(leads[0], "jobtitle").as_deref(), Some("Chief"));
    undo(&world, "u1", "r1", false).await;
    assert_eq!(world.value(leads[0], "jobtitle").unwrap_or_default(), "");
    world.run("r2", &rows).await;
    assert_eq!(world.value(leads[0], "jobtitle").as_deref(), Some("Chief"));
    world.edit(leads[1], "jobtitle", "");
    world.run("r3", &rows).await;
    assert_eq!(world.value(leads[1], "jobtitle").unwrap_or_default(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_after_an_undo_does_not_take_it_for_a_persons_edit() {
    let mut world = World::new(USAGE).await;
    let yields = world.config.properties.get_mut("usage_score").expect("declared");
    yields.policy = Some(Policy::Yield);
    let lead = world.leads().await[0];
    world.run("r0", &[row(lead, 1.0)]).await;
    world.run("r1", &[row(lead, 2.0)]).await;
    undo(&world, "u1", "r1", false).await;
    assert_eq!(world.value(lead, "usage_score").as_deref(), Some("1"));
    let quiet = world.run("r2", &[row(lead, 1.0)]).await;
    assert_eq!(quiet.counts, Counts { wanted: 1, unchanged: 1, ..Counts::default() });
    let wanted = world.run("r3", &[row(lead, 2.0)]).await;
    let expected = Counts { wanted: 1, updated: 1, ..Counts::default() };
    assert_eq!(wanted.counts, expected, "what the model still wants is written again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_goes_back_in_two_requests_that_are_both_in_the_ledger() {
    let (world, leads) = scored().await;
    let rows: Vec<Row> = leads[..3].iter().map(|id| staged(*id, "customer")).collect();
    world.run("r1", &rows).await;
    let writes = world.writes();
    let counts = undo(&world, "u1", "r1", false).await;
    assert_eq!(counts, Counts { wanted: 3, updated: 3, ..Counts::default() });
    assert_eq!(world.writes() - writes, 2);
    let stages: Vec<_> = leads[..3].iter().map(|id| world.value(*id, "lifecyclestage")).collect();
    assert!(stages.iter().all(|stage| stage.as_deref() == Some("lead")), "{stages:?}");
    assert_eq!(ledger_of(&world, "u1").await, ["cleared 3", "updated 3"]);
    assert_eq!(finish(&world, "r2").await, None, "nothing is owed");

    // The undo is a run like any other, and forward one request is enough.
    let back = undo(&world, "u2", "u1", false).await;
    assert_eq!(back, Counts { wanted: 3, updated: 3, ..Counts::default() });
    assert_eq!(world.value(leads[0], "lifecyclestage").as_deref(), Some("customer"));
    assert_eq!(ledger_of(&world, "u2").await, ["updated 3"]);
}

/// Outcomes of a run in the ledger, counted.
async fn ledger_of(world: &World, run_id: &str) -> Vec<String> {
    let name = hublake::lake::TableName::system("writes");
    let writes = world.lake.table(&name).await.expect("a lake").expect("a ledger");
    let context = datafusion::prelude::SessionContext::new();
    context.register_table("writes", writes.provider().await.expect("a table")).expect("new");
    let sql = format!(
        "select outcome || ' ' || cast(rows as varchar) from (select outcome, count(*) as rows \
         from writes where run_id = '{run_id}' group by outcome) order by 1"
    );
    let rows = context.sql(&sql).await.expect("SQL").collect().await.expect("rows");
    let text = |batch: &arrow::array::RecordBatch| {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8);
        let column = column.expect("text");
        let column: &arrow::array::StringArray = arrow::array::AsArray::as_string(&column);
        column.iter().flatten().map(str::to_owned).collect::<Vec<_>>()
    };
    rows.iter().flat_map(text).collect()
}

/// Runs an undo and cuts it off at the n-th batch of updates.
async fn cut_off(world: &World, undone: &str, skip: u32, action: FaultAction) {
    let plan = plan_undo(world, "u1", undone, false).await;
    let config = part(world, undone).await.config(GuardsConfig::default(), None);
    let control = world.control();
    control.add_fault(Fault {
        method: Some("POST".into()),
        path: UPDATES.into(),
        action,
        skip: skip.into(),
        times: Some(1),
    });
    let accepted = BTreeSet::new();
    tokio::select! {
        _ = apply(world, "u1", &config, &plan, &accepted) => panic!("the answer is held"),
        _ = control.wait_for_held() => {}
    }
    control.clear_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_an_undo_is_cut_off_the_next_run_brings_stages_to_their_end() {
    for (skip, action) in [
        (0, FaultAction::Hold),
        (0, FaultAction::ApplyThenHold),
        (1, FaultAction::Hold),
        (1, FaultAction::ApplyThenHold),
    ] {
        let (world, leads) = scored().await;
        let lead = leads[0];
        world.run("r1", &[staged(lead, "customer")]).await;
        cut_off(&world, "r1", skip, action.clone()).await;

        // The next run, whose model has no word on stages, finishes what was begun.
        finish(&world, "r2").await;
        let next = world.run("r2", &[row(lead, 1.0)]).await;
        assert!(next.counts.close());
        let stage = world.value(lead, "lifecyclestage");
        // The first request, let go after the cut, may still be carried out.
        let begun = (skip, &action) != (0, &FaultAction::Hold);
        assert!(!begun || stage.as_deref() == Some("lead"), "{stage:?} after {skip}, {action:?}");
        let writes = world.writes();
        let again = finish(&world, "r3").await;
        assert!(!begun || (again.is_none() && world.writes() == writes), "the debt is paid once");

        // The undo repeated ends where an undisturbed one does.
        undo(&world, "u2", "r1", false).await;
        assert_eq!(
            world.value(lead, "lifecyclestage").as_deref(),
            Some("lead"),
            "{skip} {action:?}"
        );
    }
}

/// What somebody else had set stays theirs, whichever run puts it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_the_next_run_gives_back_is_not_hublakes() {
    let (mut world, leads) = scored().await;
    world.run("r1", &[staged(leads[0], "customer")]).await;
    cut_off(&world, "r1", 0, FaultAction::ApplyThenHold).await;
    assert!(finish(&world, "r2").await.is_some());
    assert_eq!(world.value(leads[0], "lifecyclestage").as_deref(), Some("lead"));
    world.config.on_absent = load::OnAbsent::Clear;
    world.config.guards.min_rows = Some(1);
    world.run("r3", &[row(leads[1], 1.0)]).await;
    assert_eq!(world.value(leads[0], "lifecyclestage").as_deref(), Some("lead"));
}

/// Nothing is owed to a record that an undo never came to.
#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_a_person_empties_stays_empty() {
    let (world, leads) = scored().await;
    world.run("r1", &[staged(leads[0], "customer"), staged(leads[1], "customer")]).await;
    let plan = plan_undo(&world, "u1", "r1", false).await;
    let config = part(&world, "r1").await.config(GuardsConfig::default(), None);
    let stop = CancellationToken::new();
    stop.cancel();
    let report = apply_until(&world, "u1", &config, &plan, &BTreeSet::new(), stop).await;
    assert_eq!(report.expect("an orderly end").counts.deferred, 2);
    world.edit(leads[0], "lifecyclestage", "");
    assert_eq!(finish(&world, "r2").await, None);
    assert_eq!(world.value(leads[0], "lifecyclestage").unwrap_or_default(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_written_by_a_run_that_was_cut_off_goes_back_too() {
    let (world, leads) = scored().await;
    let plan = world.plan("r1", &[row(leads[0], 2.0), row(leads[1], 2.0)]).await;
    world.fault(UPDATES, FaultAction::ApplyThenHold);
    let control = world.control();
    tokio::select! {
        _ = world.apply("r1", &plan, CancellationToken::new()) => panic!("the answer is held"),
        _ = control.wait_for_held() => {}
    }
    control.clear_faults();
    world.edit(leads[1], "usage_score", "77");
    let counts = undo(&world, "u1", "r1", false).await;
    assert_eq!(counts, Counts { wanted: 2, updated: 1, kept: 1, ..Counts::default() });
    assert_eq!(world.value(leads[0], "usage_score").as_deref(), Some("1"));
    assert_eq!(world.value(leads[1], "usage_score").as_deref(), Some("77"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_was_never_applied_has_nothing_to_take_back() {
    let (world, leads) = scored().await;
    world.plan("r1", &[row(leads[0], 2.0)]).await;
    world.edit(leads[0], "usage_score", "2");
    let counts = undo(&world, "u1", "r1", false).await;
    assert_eq!(counts, Counts::default());
    assert_eq!(world.value(leads[0], "usage_score").as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_the_run_created_are_archived_only_when_asked_for() {
    let world = World::new(SIGN_UPS).await;
    world.run("r1", &[row("a@example.com", 1.0), row("b@example.com", 1.0)]).await;
    let left = undo(&world, "u1", "r1", false).await;
    assert_eq!(left, Counts { wanted: 2, kept: 2, ..Counts::default() });

    let b = record_of(&world, "b@example.com").await.expect("created");
    world.edit(b, "usage_score", "9");
    let plan = plan_undo(&world, "u2", "r1", true).await;
    assert_eq!(plan.counts, Counts { wanted: 2, archived: 1, kept: 1, ..Counts::default() });
    let config = part(&world, "r1").await.config(GuardsConfig::default(), None);
    let refused = apply(&world, "u2", &config, &plan, &BTreeSet::new()).await;
    assert!(matches!(refused, Err(LoadError::Guard { .. })), "archiving is off unless accepted");
    let counts = undo(&world, "u3", "r1", true).await;
    assert_eq!(counts, Counts { wanted: 2, archived: 1, kept: 1, ..Counts::default() });
    assert_eq!(record_of(&world, "a@example.com").await, None);
    assert_eq!(record_of(&world, "b@example.com").await, Some(b), "somebody works with it");

    let again = world.run("r2", &[row("a@example.com", 1.0)]).await;
    let expected = Counts { wanted: 1, created: 1, ..Counts::default() };
    assert_eq!(again.counts, expected, "the mirror knows that the record is gone");
}

/// The live contact with an email, as HubSpot answers by that key.
async fn record_of(world: &World, email: &str) -> Option<u64> {
    let query = hublake::hubspot::BatchReadQuery {
        ids: vec![email.to_owned()],
        id_property: Some("email".to_owned()),
        properties: vec!["email".to_owned()],
        archived: false,
    };
    let body = world.client.batch_read(&ObjectType::CONTACTS, &query).await.expect("an answer");
    let found = body.records().expect("records").results;
    found.first().map(|record| record.id.0 as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_cut_off_is_no_obstacle() {
    let world = World::new(SIGN_UPS).await;
    world.run("r0", &[row("first@example.com", 0.0)]).await;
    world.fault(CREATES, FaultAction::ApplyThenDrop);
    world.run("r1", &[row("a@example.com", 1.0)]).await;
    let counts = undo(&world, "u1", "r1", true).await;
    assert_eq!(counts, Counts { wanted: 1, archived: 1, ..Counts::default() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_shows_an_undo_and_carries_it_out() {
    let world = world::World::new().await;
    let before = world.account();
    let results = world.run().await;
    let run_id = results["run_id"].as_str().expect("a run id").to_owned();
    let edited = world.contacts()[0].id;
    world.edit(edited, "product_score", "999");
    world.control.clear_log();

    let shown = world.hublake(&["undo", &run_id, "--plan"]).await;
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stderr.contains("writes again what the models still want"), "{}", shown.stderr);
    assert_eq!(world.write_calls(), 0);

    let undone = world.hublake(&["undo", &run_id]).await;
    assert_eq!(undone.code, 0, "{}\n{}", undone.stdout, undone.stderr);
    let (kept, left) = ("1 records are left as they are", "1 values of records");
    assert!(undone.stderr.contains(kept) || undone.stderr.contains(left), "{}", undone.stderr);
    let held = |id: u64, name: &str| {
        let record = world.control.record("contacts", id).expect("a seeded contact");
        record["properties"][name].as_str().unwrap_or_default().to_owned()
    };
    for (id, values) in &before {
        for name in ["product_score", "jobtitle", "lifecyclestage"] {
            let found = values[name].as_str().unwrap_or_default();
            let expected = if (*id, name) == (edited, "product_score") { "999" } else { found };
            assert_eq!(held(*id, name), expected, "{name} of {id}");
        }
    }
    let undo_id = world.results()["run_id"].as_str().expect("a run id").to_owned();
    let listed = world.hublake(&["runs", "list", "--output", "csv"]).await;
    assert!(
        listed.stdout.contains(&undo_id) && listed.stdout.contains(",undo,"),
        "{}",
        listed.stdout
    );
    world.control.clear_log();
    let unknown = world.hublake(&["undo", "no-such-run"]).await;
    assert_eq!(unknown.code, 78, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("No run `no-such-run` is recorded"), "{}", unknown.stderr);
    assert_eq!(world.control.log(0).calls.len(), 0, "the lake knows");
    assert_eq!(world.hublake(&["plan"]).await.code, 0);
    let listed = world.hublake(&["runs", "list", "--limit", "1", "--output", "csv"]).await;
    let row = listed.stdout.lines().nth(1).expect("a run");
    assert!(row.contains(",plan,") && row.contains("Z,,,,"), "nothing was written: {row}");

    let again = world.run().await;
    let run_id = again["run_id"].as_str().expect("a run id");
    let differs = world.hublake(&["runs", "diff", &undo_id, run_id, "--output", "csv"]).await;
    assert_eq!(differs.code, 0, "{}", differs.stderr);
    assert!(
        differs.stdout.lines().any(|line| line.contains("product_score")),
        "{}",
        differs.stdout
    );
    let same = world.hublake(&["runs", "diff", run_id, run_id]).await;
    assert!(same.stderr.contains("the same"), "{}{}", same.stdout, same.stderr);
}

/// A run on a lake whose commits can be held; some of its stages move forward.
async fn ran_on(s3: &S3) -> (world::World, String) {
    let world = world::World::with_lake(&s3.settings()).await;
    for contact in world.contacts().iter().take(3) {
        world.edit(contact.id, "lifecyclestage", "subscriber");
    }
    let results = world.run().await;
    let run_id = results["run_id"].as_str().expect("a run id").to_owned();
    (world, run_id)
}

/// What the write-back writes, by record.
fn written(world: &world::World) -> BTreeMap<u64, [String; 3]> {
    let value = |values: &serde_json::Value, name: &str| {
        values[name].as_str().unwrap_or_default().to_owned()
    };
    let names = ["product_score", "jobtitle", "lifecyclestage"];
    let of = |(id, values): (u64, serde_json::Value)| (id, names.map(|name| value(&values, name)));
    world.account().into_iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_commit_an_undo_is_finished_by_the_next() {
    let s3 = S3::start().await;
    let (undisturbed, run_id) = ran_on(&s3).await;
    let before = s3.commits().len();
    let undone = undisturbed.hublake(&["undo", &run_id]).await;
    assert_eq!(undone.code, 0, "{}", undone.stderr);
    let commits = s3.commits()[before..].to_vec();
    assert!(commits.len() >= 5, "an undo makes several commits: {commits:?}");
    let expected = written(&undisturbed);
    let cleared = "select count(*) from system.writes where outcome = 'cleared'";
    assert_ne!(undisturbed.value(cleared).await, "0", "some stages move back");
    drop(undisturbed);

    for (nth, key) in commits.iter().enumerate() {
        let when = if nth % 2 == 0 { Hold::Before } else { Hold::After };
        let s3 = S3::start().await;
        let (world, run_id) = ran_on(&s3).await;
        s3.hold_commit(nth, when);
        let child = world.start(&["undo", &run_id]);
        s3.wait_held().await;
        kill(child).await;
        s3.release();
        let again = world.hublake(&["undo", &run_id]).await;
        assert_eq!(again.code, 0, "after a kill {when:?} commit {nth}, {key}: {}", again.stderr);
        assert_eq!(written(&world), expected, "after a kill {when:?} commit {nth}, {key}");
    }
}

/// A run that moved some stages, whose undo was killed between the two requests.
async fn half_undone() -> (world::World, Vec<u64>, String) {
    let world = world::World::new().await;
    let some: Vec<u64> = world.contacts().iter().take(3).map(|contact| contact.id).collect();
    some.iter().for_each(|id| world.edit(*id, "lifecyclestage", "subscriber"));
    let run_id = world.run().await["run_id"].as_str().expect("a run id").to_owned();
    world.control.add_fault(Fault {
        method: Some("POST".into()),
        path: UPDATES.into(),
        action: FaultAction::ApplyThenHold,
        skip: 0,
        times: Some(1),
    });
    let child = world.start(&["undo", &run_id]);
    world.control.wait_for_held().await;
    kill(child).await;
    world.control.clear_faults();
    (world, some, run_id)
}

fn stages(world: &world::World, of: &[u64]) -> Vec<String> {
    let all = written(world);
    of.iter().map(|id| all[id][2].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_finished_of_an_undo_is_not_taken_back_with_the_run() {
    let (world, some, _) = half_undone().await;
    assert!(stages(&world, &some).contains(&String::new()), "emptied, and not written yet");
    // A plan made before the debt is paid does not fit what is there afterwards.
    let planned = world.hublake(&["plan"]).await;
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    let applied = world.hublake(&["apply"]).await;
    assert_eq!(applied.code, 5, "{}", applied.stderr);
    assert!(applied.stderr.contains("finished first"), "{}", applied.stderr);
    let (paid, counts) = (stages(&world, &some), world.results()["write_back"].clone());
    assert!(!paid.contains(&String::new()), "{paid:?}");
    assert!(
        counts["wanted"].is_object() && counts["wanted (undo finished)"].is_object(),
        "{counts}"
    );
    let run_id = world.results()["run_id"].as_str().expect("a run id").to_owned();
    let undone = world.hublake(&["undo", &run_id]).await;
    assert_eq!(stages(&world, &some), paid, "{}", undone.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_is_finished_though_its_write_back_has_left_the_settings() {
    let (world, some, _) = half_undone().await;
    let pipeline = std::fs::read_to_string(world.path("pipelines/scores.yml")).expect("a file");
    let (before, _) = pipeline.split_once("write_back:").expect("a section");
    let other = "write_back:\n  other:\n    object: companies\n    match: { record_id: id }\n    \
                 properties: { description: { from: name, policy: fill_empty } }\n";
    world.write("pipelines/scores.yml", &format!("{before}{other}"));
    world.write("sql/other.sql", "select id, name from hubspot.companies where false\n");
    world.run().await;
    assert!(!stages(&world, &some).contains(&String::new()), "{:?}", stages(&world, &some));
}
