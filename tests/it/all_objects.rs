//! `extract: all`: every type the account has, and what becomes of those it
//! lacks.

use hublake::emulator::{Fault, FaultAction, Values};
use serde_json::{Value, json};

use crate::world::{Ran, World};

const ALL: &str = "extract:\n  all: { except: [emails, p24680135_hidden] }\n  \
                   contacts: { properties: [email] }\n";

fn refuse(path: &str, action: FaultAction) -> Fault {
    Fault { method: None, path: path.to_owned(), action, skip: 0, times: None }
}

fn no_scope(scope: &str) -> FaultAction {
    FaultAction::ScopesMissing { scopes: vec![scope.to_owned()] }
}

fn uninferred() -> FaultAction {
    let body = json!({
        "status": "error",
        "message": "Unable to infer object type from: carts",
        "correlationId": "0190-test",
    });
    FaultAction::Refuse { status: 400, body: Some(body), retry_after: None }
}

/// A world whose only pipeline extracts so.
async fn world(extract: &str) -> World {
    let world = World::new().await;
    std::fs::remove_file(world.path("sql/wanted.sql")).expect("the model was there");
    world.write("pipelines/scores.yml", extract);
    for name in ["licence", "hidden"] {
        make_type(&world, name).await;
    }
    world
}

/// A custom object type with one record.
async fn make_type(world: &World, name: &str) {
    let body = json!({
        "name": name, "labels": {"singular": name, "plural": name},
        "primaryDisplayProperty": "title", "requiredProperties": [], "searchableProperties": [],
        "secondaryDisplayProperties": [],
        "properties": [{"name": "title", "label": "Title", "type": "string", "fieldType": "text"}],
        "associatedObjects": ["CONTACT"],
    });
    let url = format!("{}/crm-object-schemas/v3/schemas", world.emulator.url());
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.post(url).bearer_auth("test-token").body(body.to_string());
    let answer =
        request.header("Content-Type", "application/json").send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    let values = Values::from([("title".to_owned(), "One".to_owned())]);
    let made = world.control.create_record(&format!("p24680135_{name}"), &values);
    made.expect("a record of the new type");
}

fn lines<'r>(ran: &'r Ran, part: &str) -> Vec<&'r str> {
    ran.stderr.lines().filter(|line| line.contains(part)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_brings_every_type_and_tells_of_the_absent_once() {
    let world = world(ALL).await;
    world.control.add_fault(refuse("*/properties/*leads", no_scope("crm.schemas.leads.read")));
    world.control.add_fault(refuse("*/properties/*carts", uninferred()));
    world.control.add_fault(refuse("*/objects/*quotes*", no_scope("crm.objects.quotes.read")));
    let ran = world.hublake(&["run"]).await;
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let told = lines(&ran, "Left out, since");
    assert_eq!(told.len(), 1, "{}", ran.stderr);
    for word in ["leads", "crm.schemas.leads.read", "carts", "quotes", "crm.objects.quotes.read"] {
        assert!(told[0].contains(word), "{word}: {told:?}");
    }
    let results = world.results();
    assert_eq!(results["status"], "succeeded");
    let objects = results["objects"].as_object().expect("objects");
    for absent in ["leads", "carts", "quotes", "emails", "p24680135_hidden"] {
        assert!(!objects.contains_key(absent), "{absent}");
    }
    assert!(objects.len() > 25, "{:?}", objects.keys());
    assert_eq!(objects["deals"]["read"], Value::from(20));
    assert_eq!(world.value("select title from hubspot.p24680135_licence").await, "One");
    let schemas = world.value("select count(*) from hubspot.schemas where not archived").await;
    assert_eq!(schemas, "2");
    let stages = world.value("select count(distinct object_type) from hubspot.pipelines").await;
    assert!(stages.parse::<u64>().is_ok_and(|types| types >= 2), "{stages}");

    // A quiet run is quiet for all of them.
    let before = world.data_files("hubspot");
    let again = world.hublake(&["run"]).await;
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(world.data_files("hubspot"), before);

    // Named, it fails as it always did.
    world.write("pipelines/scores.yml", &format!("{ALL}  leads: {{}}\n"));
    let ran = world.hublake(&["run"]).await;
    assert_eq!(ran.code, 77, "{}", ran.stderr);
    assert!(!lines(&ran, "`leads` was not read").is_empty(), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_pipelines_of_a_type_that_nobody_named_are_told_and_fail_nothing() {
    let world = world(ALL).await;
    world.control.add_fault(refuse("*/pipelines/*deals", no_scope("crm.pipelines.deals.read")));
    let ran = world.hublake(&["extract"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let told = lines(&ran, "Left out, since");
    assert_eq!(told.len(), 1, "{}", ran.stderr);
    for word in ["`pipelines of deals`", "crm.pipelines.deals.read"] {
        assert!(told[0].contains(word), "{word}: {told:?}");
    }
    assert_eq!(world.value("select count(*) from hubspot.deals").await, "20");
    world.write("pipelines/scores.yml", &format!("{ALL}  deals: {{}}\n"));
    assert_eq!(world.hublake(&["extract"]).await.code, 77, "named, it is a failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_without_custom_objects_is_told_once_too() {
    let world = world(ALL).await;
    world.control.add_fault(refuse("*/schemas*", no_scope("crm.schemas.custom.read")));
    let ran = world.hublake(&["extract"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let told = lines(&ran, "Left out, since");
    assert!(told.len() == 1 && told[0].contains("crm.schemas.custom.read"), "{}", ran.stderr);
    // A model that reads them makes their absence a failure.
    world.write("sql/types.sql", "select name from hubspot.schemas\n");
    assert_eq!(world.hublake(&["run"]).await.code, 77);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_understands_all_with_and_without_the_account() {
    let world = world(ALL).await;
    world.control.add_fault(refuse("*/properties/*leads", no_scope("crm.schemas.leads.read")));
    world.write("sql/licences.sql", "select title from hubspot.p24680135_licence\n");
    let offline = world.hublake(&["check", "--offline"]).await;
    assert_eq!(offline.code, 0, "{}", offline.stderr);
    let online = world.hublake(&["check"]).await;
    assert_eq!(online.code, 0, "{}", online.stderr);
    assert_eq!(lines(&online, "object: leads is left out").len(), 1, "{}", online.stderr);
    assert_eq!(lines(&online, "p24680135_licence has").len(), 1, "{}", online.stderr);
    assert!(lines(&online, "emails").is_empty(), "{}", online.stderr);
    // One object by name, and one that is left out.
    assert_eq!(world.hublake(&["extract", "p24680135_licence"]).await.code, 0);
    let unknown = world.hublake(&["extract", "emails"]).await;
    assert_eq!(unknown.code, 78, "{}", unknown.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_back_does_not_run_on_a_table_that_failed() {
    let world = World::new().await;
    let pipeline = std::fs::read_to_string(world.path("pipelines/scores.yml")).expect("a pipeline");
    let with_all = pipeline.replace(
        "extract:\n",
        "extract:\n  all: { except: [emails] }\n  lists: { memberships: true }\n  \
         deals: { history: [dealstage] }\n",
    );
    world.write("pipelines/scores.yml", &with_all);
    let model = std::fs::read_to_string(world.path("sql/wanted.sql")).expect("a model");
    let reading = |table: &str| {
        let clause = format!("\nand (select count(*) from hubspot.{table}) >= 0");
        format!("{}{clause}\n", model.trim_end())
    };
    world.hublake(&["extract"]).await;
    for (table, path) in [
        ("quotes", "*/properties/*quotes"),
        ("list_memberships", "*/lists/*search"),
        ("property_history", "*/deals/batch/read"),
        ("associations", "*/associations/*"),
        ("schemas", "*/schemas*"),
    ] {
        world.write("sql/wanted.sql", &reading(table));
        world.control.add_fault(refuse(path, no_scope("crm.some.read")));
        // Something of each is due.
        let deals = world.value("select min(id) from hubspot.deals").await;
        let edit = Values::from([("dealname".to_owned(), format!("For {table}"))]);
        let id = deals.parse().expect("an id");
        world.control.edit_record("deals", id, &edit).expect("a seeded deal");
        world.edit(world.contacts()[2].id, "firstname", table);
        world.control.clear_log();
        let ran = world.hublake(&["run"]).await;
        assert_eq!(world.write_calls(), 0, "{table}: {}", ran.stderr);
        let gated = lines(&ran, "did not run");
        assert_eq!(gated.len(), 1, "{table}: {}", ran.stderr);
        world.control.clear_faults();
    }
    let ran = world.hublake(&["run"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(world.write_calls() > 0, "and then it runs");
}
