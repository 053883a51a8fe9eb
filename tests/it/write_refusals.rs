//! What can go wrong between a plan and HubSpot's answer: each row ends as a counted
//! outcome, with a sentence that tells a person what to do.

use hublake::emulator::{Fault, FaultAction};
use hublake::hubspot::{Client, HubSpotConfig};
use hublake::load::{self, Counts};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::load::{Row, UPDATES, USAGE, World, row};

async fn delete_property(world: &World, name: &str) {
    let url = format!("{}/crm/v3/properties/contacts/{name}", world.emulator_url());
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.delete(url).bearer_auth("token").send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_deleted_between_plan_and_apply_rejects_its_rows_and_no_others() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    leads[..3].iter().for_each(|id| world.edit(*id, "jobtitle", ""));
    world.extract().await;
    world.run("r0", &[row(leads[0], 1.0)]).await;
    let titled = Row { score: None, title: Some("CTO".into()), ..row(leads[2], 0.0) };
    let rows = [row(leads[0], 2.0), row(leads[1], 2.0), titled];
    let plan = world.plan("r1", &rows).await;
    delete_property(&world, "usage_score").await;

    let report = world.apply("r1", &plan, CancellationToken::new()).await;
    assert!(report.counts.close(), "{:?}", report.counts);
    assert_eq!((report.counts.updated, report.counts.rejected), (1, 2), "{:?}", report.counts);
    assert_eq!(world.value(leads[2], "jobtitle").as_deref(), Some("CTO"));
    let rejects = load::rejects(&world.lake, true).await.expect("readable");
    assert_eq!(rejects.len(), 2);
    assert!(rejects.iter().all(|r| r.message.contains("usage_score")), "{rejects:?}");

    // The next run makes it again, as the settings declare it, and the one after that
    // sees that what the rows were refused for has changed.
    world.extract().await;
    let next = world.run("r2", &rows).await;
    assert_eq!(next.created_properties, ["usage_score"]);
    world.extract().await;
    world.run("r3", &rows).await;
    assert_eq!(world.value(leads[1], "usage_score").as_deref(), Some("2"));
    assert_eq!(load::rejects(&world.lake, true).await.expect("readable"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_or_the_day_lost_in_the_middle_defers_the_rest() {
    let scopes = vec!["crm.objects.contacts.write".to_owned()];
    let daily = json!({"status": "error", "message": "You have reached your daily limit.",
        "errorType": "RATE_LIMIT", "category": "RATE_LIMITS", "policyName": "DAILY",
        "correlationId": "c"});
    let cases = [
        (FaultAction::ScopesMissing { scopes }, "crm.objects.contacts.write"),
        (FaultAction::Refuse { status: 429, body: Some(daily), retry_after: None }, "day"),
    ];
    for (action, words) in cases {
        let mut world = World::new(USAGE).await;
        let leads = world.leads().await;
        world.run("r0", &[row(leads[0], 0.0)]).await;
        // A batch that is refused whole is sent in halves: one before, one after.
        let rows: Vec<Row> = leads[..6].iter().map(|id| row(id, 7.0)).collect();
        let refused = json!({"status": "error", "message": "Something is wrong",
            "category": "VALIDATION_ERROR"});
        let first = FaultAction::Refuse { status: 400, body: Some(refused), retry_after: None };
        let fault = |action, skip, times| Fault {
            method: Some("POST".into()),
            path: UPDATES.into(),
            action,
            skip,
            times,
        };
        world.control().add_fault(fault(first, 0, Some(1)));
        world.control().add_fault(fault(action.clone(), 1, None));
        let plan = world.plan("r1", &rows).await;
        let report = world.apply("r1", &plan, CancellationToken::new()).await;
        let counts = report.counts;
        assert!(counts.close(), "{counts:?}");
        assert_eq!(counts.updated + counts.deferred, 6, "{action:?}: {counts:?}");
        assert!(counts.deferred >= 3, "{action:?}: {counts:?}");
        let told = report.stopped_by.map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains(words), "{told}");

        world.control().clear_faults();
        // Another process, on another day.
        let settings = HubSpotConfig { base_url: world.emulator_url(), ..Default::default() };
        world.client = Client::new(&settings, "token".to_owned().into()).expect("a client");
        let next = world.run("r2", &rows).await;
        assert_eq!(next.counts.updated, counts.deferred, "{:?}", next.counts);
        leads[..6]
            .iter()
            .for_each(|id| assert_eq!(world.value(*id, "usage_score").as_deref(), Some("7")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_hubspot_silently_ignores_is_told_of_once_and_stays_whose_it_was() {
    // HubSpot takes a stage that goes back and keeps the one it has.
    let settings = USAGE.replace(
        "policy: { forward_only: [subscriber, lead, marketingqualifiedlead, salesqualifiedlead, opportunity, customer] }",
        "policy: overwrite",
    );
    let settings = format!("{settings}on_absent: clear\nguards: {{ min_rows: 0 }}\n");
    let world = World::new(&settings).await;
    let leads = world.leads().await;
    world.edit(leads[0], "lifecyclestage", "customer");
    world.extract().await;
    let back = Row { stage: Some("subscriber".into()), ..row(leads[0], 1.0) };
    world.run("r1", std::slice::from_ref(&back)).await;
    assert_eq!(world.value(leads[0], "lifecyclestage").as_deref(), Some("customer"));

    let writes = world.writes();
    let again = world.run("r2", std::slice::from_ref(&back)).await;
    assert_eq!(again.counts, Counts { wanted: 1, kept: 1, ..Counts::default() });
    assert_eq!(world.writes(), writes, "it is not sent for ever");

    // The row leaves the model: what a person has there is not ours to empty.
    world.extract().await;
    world.run("r3", &[row(leads[1], 1.0)]).await;
    assert_eq!(world.value(leads[0], "lifecyclestage").as_deref(), Some("customer"));
    assert_eq!(world.value(leads[0], "usage_score"), None, "what we set there is");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_no_values_and_records_that_are_gone_are_told_of_in_sentences() {
    let world = World::new(USAGE).await;
    let leads = world.leads().await;
    world.control().archive_record("contacts", leads[0]).expect("archived");
    world.control().merge_records("contacts", leads[2], leads[1]).expect("merged");
    world.extract().await;
    let rows = [
        row(leads[0], 1.0),
        row(4_711, 1.0),
        row(leads[3], f64::INFINITY),
        row(leads[4], f64::NAN),
        Row { stage: Some("no such stage".into()), ..row(leads[5], 1.0) },
        Row { title: Some("x".repeat(65_537)), ..row(leads[6], 1.0) },
        Row { id: None, score: Some(1.0), ..Row::default() },
        row(leads[1], 3.0),
    ];
    let report = world.run("r1", &rows).await;
    assert_eq!(report.counts, Counts { wanted: 8, updated: 1, rejected: 7, ..Counts::default() });
    let rejects = load::rejects(&world.lake, true).await.expect("readable");
    for (key, words) in [
        (leads[0].to_string(), "archived"),
        ("4711".to_owned(), "no record"),
        (leads[3].to_string(), "number"),
        (leads[4].to_string(), "number"),
        (leads[5].to_string(), "option"),
        (leads[6].to_string(), "65,536"),
        (String::new(), "key"),
    ] {
        let reject = rejects.iter().find(|reject| reject.match_key == key).expect(&key);
        assert!(reject.message.to_lowercase().contains(words), "{key}: {}", reject.message);
    }
}
