//! What hangs on records, through the program: associations, a custom object
//! with its links, a static list, custom events.

use std::collections::{BTreeMap, BTreeSet};

use hublake::emulator::{Fault, FaultAction};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, kill};

/// Labels by pair; the unlabelled type as an empty text.
type Pairs = BTreeMap<(u64, u64), BTreeSet<String>>;

const LABEL: &str = "Product user";

const LINKS: &str = r#"
extract:
  contacts: { properties: [email, firstname] }
  companies: { properties: [name, domain] }
write_back:
  wanted:
    object: contacts
    match: { record_id: contact_id }
    associate:
      companies: { by: company_id, label: { name: product_user, label: "Product user" }, exclusive: true }
"#;

const LISTS: &str = r#"
extract:
  contacts: { properties: [email, firstname] }
  companies: { properties: [name, domain] }
write_back:
  wanted:
    object: contacts
    match: { record_id: contact_id }
    list: { name: "Active in product", create: true }
    event: { name: pe24680135_reached, key: event_key, occurred_at: reached_at, properties: { plan: plan } }
"#;

const USAGE: &str = r#"
extract:
  contacts: { properties: [email, firstname] }
  companies: { properties: [name, domain] }
  p24680135_product_usage: {}
write_back:
  wanted:
    object: p24680135_product_usage
    match: { usage_key: usage_key }
    mode: upsert
    create:
      schema: { singular: "Product usage", plural: "Product usages", display: usage_key }
    properties:
      usage_key: { create: { type: string, group: product_usage, label: "Key", unique: true } }
      active_days: { create: { type: number, group: product_usage, label: "Active days" } }
    associate:
      contacts: { by: contact_id }
      companies: { by: company_id }
"#;

/// A world whose write-backs are these, over `usage.scores` as it lies, and
/// that waits for no index.
async fn world(pipeline: &str) -> World {
    let world = World::new().await;
    let settings = format!(
        "lake: {{ url: ./lake }}\nhubspot:\n  base_url: {}\n  token: {{ file: token }}\n  burst_limit: 10000\n  \
         index_lag_secs: 0\nsources:\n  scores: {{ csv: ./scores.csv }}\n",
        world.emulator.url()
    );
    world.write("hublake.yml", &settings);
    world.write("pipelines/scores.yml", pipeline);
    world.write("sql/wanted.sql", "select * from usage.scores\n");
    world
}

impl World {
    /// A call as a person's browser makes it.
    async fn person(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{path}", self.emulator.url());
        let client = reqwest::Client::new();
        let mut request = client.request(method, url).bearer_auth("test-token");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let bytes = answer.bytes().await.expect("a body");
        assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// The associations of some records in HubSpot.
    async fn pairs(&self, from: &str, to: &str, ids: &[u64]) -> Pairs {
        let inputs: Vec<Value> = ids.iter().map(|id| json!({"id": id.to_string()})).collect();
        let path = format!("/crm/v4/associations/{from}/{to}/batch/read");
        let read = self.person(Method::POST, &path, Some(json!({"inputs": inputs}))).await;
        let mut pairs = Pairs::new();
        for result in read["results"].as_array().into_iter().flatten() {
            let from: u64 = result["from"]["id"].as_str().expect("an id").parse().expect("an id");
            for other in result["to"].as_array().into_iter().flatten() {
                let key = (from, other["toObjectId"].as_u64().expect("an id"));
                for kind in other["associationTypes"].as_array().into_iter().flatten() {
                    let label = kind["label"].as_str().unwrap_or_default().to_owned();
                    pairs.entry(key).or_default().insert(label);
                }
            }
        }
        pairs
    }

    /// Live companies of the account.
    async fn companies(&self) -> Vec<u64> {
        let page = self.person(Method::GET, "/crm/v3/objects/companies?limit=30", None).await;
        let id = |record: &Value| record["id"].as_str().expect("an id").parse().expect("an id");
        page["results"].as_array().expect("companies").iter().map(id).collect()
    }

    fn some_contacts(&self, count: usize) -> Vec<u64> {
        self.contacts().iter().take(count).map(|contact| contact.id).collect()
    }

    fn write_pairs(&self, pairs: &[(u64, u64)]) {
        let mut csv = String::from("contact_id,company_id\n");
        pairs.iter().for_each(|(contact, company)| csv.push_str(&format!("{contact},{company}\n")));
        self.write("scores.csv", &csv);
    }
}

/// The figures of one part, which have to close.
fn counts(results: &Value, part: &str) -> BTreeMap<String, u64> {
    let figures = results["write_back"][part].as_object();
    let figures = figures.unwrap_or_else(|| panic!("no {part} in {}", results["write_back"]));
    let counts: BTreeMap<String, u64> = figures
        .iter()
        .map(|(name, count)| (name.clone(), count.as_u64().expect("a count")))
        .collect();
    let outcomes: u64 = counts
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "wanted" | "conflicts"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(counts["wanted"], outcomes, "{part}: {counts:?}");
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn associations_are_added_beside_what_is_there_and_the_next_run_is_quiet() {
    let world = world(LINKS).await;
    let (contacts, companies) = (world.some_contacts(20), world.companies().await);
    let before = world.pairs("contacts", "companies", &contacts).await;
    let wanted: Vec<(u64, u64)> =
        contacts.iter().enumerate().map(|(at, contact)| (*contact, companies[at % 10])).collect();
    world.write_pairs(&wanted);
    let first = counts(&world.run().await, "wanted.companies");
    assert_eq!((first["wanted"], first["created"] + first["updated"]), (20, 20), "{first:?}");
    let after = world.pairs("contacts", "companies", &contacts).await;
    for pair in &wanted {
        assert!(after[pair].contains(LABEL), "{pair:?}: {:?}", after[pair]);
    }
    for (pair, labels) in &before {
        assert!(labels.is_subset(&after[pair]), "{pair:?} lost some of {labels:?}");
    }

    world.control.clear_log();
    let second = counts(&world.run().await, "wanted.companies");
    assert_eq!(second["unchanged"], 20, "{second:?}");
    assert_eq!(world.write_calls(), 0);
    let files = world.data_files("hubspot");
    counts(&world.run().await, "wanted.companies");
    assert_eq!(world.write_calls(), 0);
    assert_eq!(world.data_files("hubspot"), files, "a quiet run adds no file under hubspot/");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_hublake_made_is_taken_back_and_what_a_person_took_stays_away() {
    let world = world(LINKS).await;
    let (contacts, companies) = (world.some_contacts(4), world.companies().await);
    let free = free_companies(&world, &contacts, &companies).await;
    let (old, new, theirs) = (free[0], free[1], free[2]);
    world.write_pairs(&contacts.iter().map(|contact| (*contact, old)).collect::<Vec<_>>());
    world.run().await;

    // A person associates one contact, and takes away what hublake made of another.
    let path =
        format!("/crm/v4/objects/contacts/{}/associations/default/companies/{theirs}", contacts[0]);
    world.person(Method::PUT, &path, None).await;
    let path = format!("/crm/v4/objects/contacts/{}/associations/companies/{old}", contacts[1]);
    world.person(Method::DELETE, &path, None).await;
    let wanted = [(contacts[0], new), (contacts[1], old), (contacts[2], old), (contacts[3], old)];
    world.write_pairs(&wanted);
    // What a person did shows in no modified date: everything is listed again.
    let ran = world.hublake(&["extract", "--full"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let moved = counts(&world.run().await, "wanted.companies");
    assert_eq!((moved["created"], moved["archived"], moved["kept"]), (1, 1, 1), "{moved:?}");
    assert_eq!(moved["conflicts"], 1, "{moved:?}");
    let after = world.pairs("contacts", "companies", &contacts).await;
    assert!(after[&(contacts[0], new)].contains(LABEL));
    assert!(!after.contains_key(&(contacts[0], old)), "hublake's own is taken back");
    assert!(after.contains_key(&(contacts[0], theirs)), "a person's stays");
    assert!(!after.contains_key(&(contacts[1], old)), "what a person took away stays away");
    world.control.clear_log();
    counts(&world.run().await, "wanted.companies");
    assert_eq!(world.write_calls(), 0);
}

/// Companies that none of the contacts is associated with.
async fn free_companies(world: &World, contacts: &[u64], companies: &[u64]) -> Vec<u64> {
    let taken = world.pairs("contacts", "companies", contacts).await;
    let is_free = |company: &&u64| !taken.keys().any(|(_, other)| other == *company);
    companies.iter().filter(is_free).copied().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_row_sinks_no_other_and_a_lost_answer_is_resolved() {
    let world = world(LINKS).await;
    let (contacts, companies) = (world.some_contacts(30), world.companies().await);
    let mut wanted: Vec<(u64, u64)> =
        contacts.iter().map(|contact| (*contact, companies[0])).collect();
    wanted[7].1 = 999_999_999;
    wanted.push((999_999_998, companies[0]));
    world.write_pairs(&wanted);
    world.control.add_fault(Fault {
        method: Some("POST".to_owned()),
        path: "*/associations/*/batch/create".to_owned(),
        action: FaultAction::ApplyThenDrop,
        skip: 0,
        times: Some(1),
    });
    let ran = counts(&world.run().await, "wanted.companies");
    assert_eq!((ran["created"] + ran["updated"], ran["rejected"]), (29, 2), "{ran:?}");
    let after = world.pairs("contacts", "companies", &contacts).await;
    let linked = wanted.iter().filter(|pair| after.get(*pair).is_some_and(|l| l.contains(LABEL)));
    assert_eq!(linked.count(), 29);
    let rejects = world.query("select match_key, category from system.rejects order by 1").await;
    assert_eq!(rejects.len(), 3, "{rejects:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_custom_object_is_created_filled_and_linked_by_one_run() {
    let world = world(USAGE).await;
    let (contacts, companies) = (world.some_contacts(12), world.companies().await);
    let mut csv = String::from("usage_key,active_days,contact_id,company_id\n");
    for (at, contact) in contacts.iter().enumerate() {
        csv.push_str(&format!("{contact}-2026-01,{},{contact},{}\n", at + 1, companies[at % 5]));
    }
    world.write("scores.csv", &csv);
    let planned = world.hublake(&["plan"]).await;
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    assert!(
        planned.stdout.contains("new object type p24680135_product_usage"),
        "{}",
        planned.stdout
    );

    let first = world.run().await;
    assert_eq!(counts(&first, "wanted")["created"], 12);
    for part in ["wanted.contacts", "wanted.companies"] {
        assert_eq!(counts(&first, part)["created"], 12, "{part}");
    }
    world.control.clear_log();
    let second = world.run().await;
    assert_eq!(world.write_calls(), 0);
    for part in ["wanted", "wanted.contacts", "wanted.companies"] {
        assert_eq!(counts(&second, part)["unchanged"], 12, "{part}");
    }
    let months =
        "select count(*) from hubspot.p24680135_product_usage where active_days is not null";
    assert_eq!(world.value(months).await, "12");
    let of_contacts = world.pairs("contacts", "p24680135_product_usage", &contacts).await;
    assert_eq!(of_contacts.len(), 12, "every contact has its month");
}

/// These contacts have reached something, each with an event of its own.
fn write_reached(world: &World, of: &[u64]) {
    let mut csv = String::from("contact_id,event_key,reached_at,plan\n");
    of.iter().for_each(|id| csv.push_str(&format!("{id},k-{id},2026-01-02T03:04:05Z,pro\n")));
    world.write("scores.csv", &csv);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_follows_the_model_and_an_event_is_sent_once() {
    let world = world(LISTS).await;
    let contacts = world.some_contacts(10);
    let write = |of: &[u64]| write_reached(&world, of);
    write(&contacts[..8]);
    let first = world.run().await;
    assert_eq!(counts(&first, "wanted.list")["created"], 8);
    assert_eq!(counts(&first, "wanted.event")["created"], 8);
    let list = world
        .person(Method::GET, "/crm/v3/lists/object-type-id/0-1/name/Active%20in%20product", None)
        .await["list"]["listId"]
        .as_str()
        .expect("a list")
        .to_owned();
    let members = async || -> BTreeSet<u64> {
        let path = format!("/crm/v3/lists/{list}/memberships?limit=250");
        let page = world.person(Method::GET, &path, None).await;
        let id =
            |member: &Value| member["recordId"].as_str().expect("an id").parse().expect("an id");
        page["results"].as_array().expect("members").iter().map(id).collect()
    };
    assert_eq!(members().await, contacts[..8].iter().copied().collect());

    world.control.clear_log();
    let second = world.run().await;
    assert_eq!(world.write_calls(), 0, "nothing is added or sent again");
    assert_eq!(counts(&second, "wanted.event")["unchanged"], 8);

    // A person adds one; the model loses two and gains one.
    let path = format!("/crm/v3/lists/{list}/memberships/add");
    world.person(Method::PUT, &path, Some(json!([contacts[9].to_string()]))).await;
    write(&[&contacts[2..8], &contacts[8..9]].concat());
    let third = counts(&world.run().await, "wanted.list");
    assert_eq!((third["created"], third["archived"], third["unchanged"]), (1, 2, 6), "{third:?}");
    assert_eq!(members().await, contacts[2..].iter().copied().collect(), "a person's member stays");
    let events = world
        .person(Method::GET, "/events/v3/events?eventType=pe24680135_reached&limit=100", None)
        .await;
    assert_eq!(events["results"].as_array().expect("events").len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_records_may_have_one_event_key() {
    let world = world(LISTS).await;
    let contacts = world.some_contacts(2);
    let mut csv = String::from("contact_id,event_key,reached_at,plan\n");
    contacts.iter().for_each(|id| csv.push_str(&format!("{id},gold,2026-01-02T03:04:05Z,pro\n")));
    world.write("scores.csv", &csv);
    assert_eq!(counts(&world.run().await, "wanted.event")["created"], 2);
    let path = "/events/v3/events?eventType=pe24680135_reached&limit=100";
    let events = world.person(Method::GET, path, None).await;
    assert_eq!(events["results"].as_array().expect("events").len(), 2);
}

/// The list of [`LISTS`] and who is in it.
async fn list_members(world: &World) -> (String, BTreeSet<u64>) {
    let path = "/crm/v3/lists/object-type-id/0-1/name/Active%20in%20product";
    let found = world.person(Method::GET, path, None).await;
    let list = found["list"]["listId"].as_str().expect("a list").to_owned();
    let path = format!("/crm/v3/lists/{list}/memberships?limit=250");
    let page = world.person(Method::GET, &path, None).await;
    let id = |member: &Value| member["recordId"].as_str().expect("an id").parse().expect("an id");
    (list, page["results"].as_array().expect("members").iter().map(id).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_takes_away_and_puts_back_is_theirs_and_a_list_made_anew_is_filled() {
    let world = world(LISTS).await;
    let contacts = world.some_contacts(6);
    write_reached(&world, &contacts);
    world.run().await;
    let (list, members) = list_members(&world).await;
    assert_eq!(members.len(), 6);
    let one = || Some(json!([contacts[0].to_string()]));
    let path = format!("/crm/v3/lists/{list}/memberships");
    world.person(Method::PUT, &format!("{path}/remove"), one()).await;
    write_reached(&world, &contacts[1..]);
    world.run().await;
    world.person(Method::PUT, &format!("{path}/add"), one()).await;
    let last = counts(&world.run().await, "wanted.list");
    assert_eq!((last["archived"], last["unchanged"]), (0, 5), "{last:?}");
    assert_eq!(list_members(&world).await.1, members, "the member is the person's now");

    world.person(Method::DELETE, &format!("/crm/v3/lists/{list}"), None).await;
    let anew = counts(&world.run().await, "wanted.list");
    assert_eq!((anew["created"], anew["kept"]), (5, 0), "{anew:?}");
    let (another, members) = list_members(&world).await;
    assert_ne!(another, list);
    assert_eq!(members, contacts[1..].iter().copied().collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hangs_on_records_waits_where_the_records_failed() {
    let clash = "properties: { numemployees: { from: plan, policy: overwrite, \
                 create: { type: datetime, group: g, label: L } } }";
    let world = world(&LISTS.replace("    list:", &format!("    {clash}\n    list:"))).await;
    write_reached(&world, &world.some_contacts(3));
    let ran = world.hublake(&["run"]).await;
    assert_eq!(ran.code, 78, "{}", ran.stderr);
    assert!(ran.stderr.contains("Write-back `wanted` failed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`wanted.list` was not begun"), "{}", ran.stderr);
    assert_eq!(world.write_calls(), 0);
}

async fn undone(world: &World, run: &Value) -> Value {
    let id = run["run_id"].as_str().expect("a run id");
    let ran = world.hublake(&["undo", id]).await;
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    world.results()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_gives_associations_back_that_nobody_touched_since() {
    let world = world(LINKS).await;
    let (contacts, companies) = (world.some_contacts(4), world.companies().await);
    let free = free_companies(&world, &contacts, &companies).await;
    let (old, new) = (free[0], free[1]);
    let before = world.pairs("contacts", "companies", &contacts).await;
    let shared = *before.keys().next().expect("a seeded association");
    let mut wanted: Vec<(u64, u64)> = contacts.iter().map(|contact| (*contact, old)).collect();
    world.write_pairs(&[wanted.as_slice(), &[shared]].concat());
    let first = world.run().await;
    let linked = world.pairs("contacts", "companies", &contacts).await;
    assert!(linked[&shared].contains(LABEL) && linked[&shared].len() > 1);

    // The model moves one; a person takes another away.
    wanted[2].1 = new;
    world.write_pairs(&[wanted.as_slice(), &[shared]].concat());
    let second = world.run().await;
    assert_eq!(counts(&second, "wanted.companies")["archived"], 1);
    let path = format!("/crm/v4/objects/contacts/{}/associations/companies/{old}", contacts[1]);
    world.person(Method::DELETE, &path, None).await;

    // A look changes nothing.
    let id = second["run_id"].as_str().expect("a run id");
    world.control.clear_log();
    let looked = world.hublake(&["undo", id, "--plan"]).await;
    assert_eq!((looked.code, world.write_calls()), (0, 0), "{}", looked.stderr);
    let back = counts(&undone(&world, &second).await, "wanted.companies");
    assert_eq!((back["created"], back["archived"]), (1, 1), "{back:?}");
    let now = world.pairs("contacts", "companies", &contacts).await;
    assert!(now[&(contacts[2], old)].contains(LABEL) && !now.contains_key(&(contacts[2], new)));

    let back = counts(&undone(&world, &first).await, "wanted.companies");
    assert_eq!((back["archived"], back["kept"], back["unchanged"]), (3, 1, 1), "{back:?}");
    let mut after = world.pairs("contacts", "companies", &contacts).await;
    assert!(after.remove(&(contacts[2], old)).is_some(), "it was written since");
    assert_eq!(after, before, "all else is as it was, the other labels of a pair too");
    world.control.clear_log();
    counts(&undone(&world, &first).await, "wanted.companies");
    assert_eq!(world.write_calls(), 0, "there is nothing more to take back");

    // What the model still wants is written again, though no modified date told of it.
    let again = counts(&world.run().await, "wanted.companies");
    assert_eq!((again["created"] + again["updated"], again["archived"]), (4, 1), "{again:?}");
    let now = world.pairs("contacts", "companies", &contacts).await;
    for pair in wanted.iter().filter(|(contact, _)| *contact != contacts[1]) {
        assert!(now[pair].contains(LABEL), "{pair:?}");
    }
}

/// Some contacts that a run has associated with a company, and the mirror knows it.
async fn mirrored(count: usize) -> (World, Vec<u64>, u64, Value) {
    let extracted = LINKS.replacen(
        "{ properties: [email, firstname] }",
        "{ properties: [email, firstname], associations: [companies] }",
        1,
    );
    let world = world(&extracted).await;
    let (contacts, companies) = (world.some_contacts(count), world.companies().await);
    let company = free_companies(&world, &contacts, &companies).await[0];
    world.write_pairs(&contacts.iter().map(|contact| (*contact, company)).collect::<Vec<_>>());
    let first = world.run().await;
    assert_eq!(world.hublake(&["extract", "--full"]).await.code, 0);
    (world, contacts, company, first)
}

/// The mirror's associations follow what is taken back, and not what is only
/// looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_takes_links_out_of_the_mirror_once_they_are_gone() {
    let (world, contacts, company, first) = mirrored(4).await;
    let ids = contacts.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let mirrored = format!(
        "select count(distinct from_id) from hubspot.associations where to_id = {company} and from_id in ({ids})"
    );
    assert_eq!(world.value(&mirrored).await, "4");
    let run = first["run_id"].as_str().expect("a run id");
    assert_eq!(world.hublake(&["undo", run, "--plan"]).await.code, 0);
    assert_eq!(world.value(&mirrored).await, "4", "a look changes nothing");
    let told = world.hublake(&["explain", "contacts", &contacts[0].to_string()]).await.stdout;
    assert!(told.contains("wanted.companies") && told.contains(LABEL), "{told}");
    undone(&world, &first).await;
    assert_eq!(world.value(&mirrored).await, "0");
    let again = counts(&world.run().await, "wanted.companies");
    assert_eq!(again["created"], 4, "{again:?}");
}

/// A stored plan whose pairs got other labels meanwhile: the counts close.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_of_links_is_planned_again_where_they_moved() {
    let world = world(LINKS).await;
    let (contacts, companies) = (world.some_contacts(4), world.companies().await);
    let company = free_companies(&world, &contacts, &companies).await[0];
    let associate = async |contact: u64| {
        let path =
            format!("/crm/v4/objects/contacts/{contact}/associations/default/companies/{company}");
        world.person(Method::PUT, &path, None).await;
    };
    associate(contacts[0]).await;
    world.write_pairs(&contacts.iter().map(|contact| (*contact, company)).collect::<Vec<_>>());
    let file = world.path("plan.parquet").display().to_string();
    assert_eq!(world.hublake(&["plan", "--out", &file]).await.code, 0);
    associate(contacts[1]).await;
    world.person(Method::DELETE, &format!("/crm/v3/objects/contacts/{}", contacts[2]), None).await;
    let moved = world.hublake(&["apply", &file]).await;
    assert_eq!(moved.code, 5, "{}", moved.stderr);
    let applied = world.hublake(&["apply", &file, "--replan"]).await;
    assert_eq!(applied.code, 0, "{}\n{}", applied.stdout, applied.stderr);
    let counts = counts(&world.results(), "wanted.companies");
    assert_eq!((counts["created"], counts["updated"]), (1, 2), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_gives_members_back_and_leaves_events() {
    let world = world(LISTS).await;
    let contacts = world.some_contacts(10);
    let write = |of: &[u64]| write_reached(&world, of);
    write(&contacts[..8]);
    let first = world.run().await;
    write(&contacts[2..9]);
    let second = world.run().await;
    let path = "/crm/v3/lists/object-type-id/0-1/name/Active%20in%20product";
    let list = world.person(Method::GET, path, None).await["list"]["listId"].clone();
    let path = format!("/crm/v3/lists/{}/memberships", list.as_str().expect("a list"));
    let members = async || -> BTreeSet<u64> {
        let page = world.person(Method::GET, &format!("{path}?limit=250"), None).await;
        let id =
            |member: &Value| member["recordId"].as_str().expect("an id").parse().expect("an id");
        page["results"].as_array().expect("members").iter().map(id).collect()
    };
    let id = second["run_id"].as_str().expect("a run id");
    let ran = world.hublake(&["undo", id]).await;
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(told.contains("`wanted.event` was not taken back"), "{told}");
    let back = counts(&world.results(), "wanted.list");
    assert_eq!((back["created"], back["archived"]), (2, 1), "{back:?}");
    assert_eq!(members().await, contacts[..8].iter().copied().collect());

    // A person takes one out and puts one in.
    let one = Some(json!([contacts[5].to_string()]));
    world.person(Method::PUT, &format!("{path}/remove"), one).await;
    let one = Some(json!([contacts[9].to_string()]));
    world.person(Method::PUT, &format!("{path}/add"), one).await;
    let back = counts(&undone(&world, &first).await, "wanted.list");
    assert_eq!((back["archived"], back["kept"], back["unchanged"]), (5, 2, 1), "{back:?}");
    let left = [contacts[0], contacts[1], contacts[9]];
    assert_eq!(members().await, left.into_iter().collect());
    // The first two are hublake's own again, and go with the model; a person's stays.
    world.run().await;
    // What a person took out stays out.
    let mut left: BTreeSet<u64> = contacts[2..].iter().copied().collect();
    left.remove(&contacts[5]);
    assert_eq!(members().await, left);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_send_of_a_link_the_next_run_finishes_the_work() {
    let sends = [
        (LINKS, "POST", "*/labels"),
        (LINKS, "POST", "*/associations/*/batch/create"),
        (LISTS, "POST", "*/lists/*"),
        (LISTS, "PUT", "*/memberships/*"),
        (LISTS, "POST", "*/send/batch"),
    ];
    for (pipeline, method, path) in sends {
        for action in [FaultAction::Hold, FaultAction::ApplyThenHold] {
            let world = world(pipeline).await;
            let (contacts, companies) = (world.some_contacts(5), world.companies().await);
            let company = free_companies(&world, &contacts, &companies).await[0];
            let mut csv = String::from("contact_id,company_id,event_key,reached_at,plan\n");
            for id in &contacts {
                csv.push_str(&format!("{id},{company},k-{id},2026-01-02T03:04:05Z,pro\n"));
            }
            world.write("scores.csv", &csv);
            world.control.add_fault(Fault {
                method: Some(method.to_owned()),
                path: path.to_owned(),
                action: action.clone(),
                skip: 0,
                times: Some(1),
            });
            let child = world.start(&["run"]);
            world.control.wait_for_held().await;
            kill(child).await;
            world.control.clear_faults();
            world.run().await;
            let at = format!("after a kill at {path}, {action:?}");
            match pipeline == LINKS {
                true => {
                    let pairs = world.pairs("contacts", "companies", &contacts).await;
                    for contact in &contacts {
                        assert!(pairs[&(*contact, company)].contains(LABEL), "{at}");
                    }
                }
                false => {
                    let path = "/events/v3/events?eventType=pe24680135_reached&limit=100";
                    let events = world.person(Method::GET, path, None).await;
                    assert_eq!(events["results"].as_array().expect("events").len(), 5, "{at}");
                    let named = "/crm/v3/lists/object-type-id/0-1/name/Active%20in%20product";
                    let list = world.person(Method::GET, named, None).await;
                    let path = format!(
                        "/crm/v3/lists/{}/memberships",
                        list["list"]["listId"].as_str().expect("an id")
                    );
                    let members = world.person(Method::GET, &path, None).await;
                    assert_eq!(members["results"].as_array().expect("members").len(), 5, "{at}");
                }
            }
            // What the cut-off run made is known as hublake's own.
            let other = world.some_contacts(6)[5];
            let head = "contact_id,company_id,event_key,reached_at,plan";
            let row = format!("{other},{company},k-{other},2026-01-02T03:04:05Z,pro");
            world.write("scores.csv", &format!("{head}\n{row}\n"));
            let results = world.run().await;
            if pipeline == LISTS {
                assert_eq!(counts(&results, "wanted.list")["archived"], 5, "{at}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_send_of_an_undo_of_links_the_next_undo_finishes_the_work() {
    for (pipeline, path) in [(LINKS, "*/batch/archive"), (LISTS, "*/memberships/*")] {
        for action in [FaultAction::Hold, FaultAction::ApplyThenHold] {
            let world = world(pipeline).await;
            let (contacts, companies) = (world.some_contacts(3), world.companies().await);
            let company = free_companies(&world, &contacts, &companies).await[0];
            match pipeline == LINKS {
                true => {
                    world.write_pairs(&contacts.iter().map(|id| (*id, company)).collect::<Vec<_>>())
                }
                false => write_reached(&world, &contacts),
            }
            let run = world.run().await["run_id"].as_str().expect("a run id").to_owned();
            let at = format!("after a kill at {path}, {action:?}");
            world.control.add_fault(Fault {
                method: None,
                path: path.to_owned(),
                action,
                skip: 0,
                times: Some(1),
            });
            let child = world.start(&["undo", &run]);
            world.control.wait_for_held().await;
            kill(child).await;
            world.control.clear_faults();
            let again = world.hublake(&["undo", &run]).await;
            assert_eq!(again.code, 0, "{at}: {}", again.stderr);
            match pipeline == LINKS {
                true => {
                    let pairs = world.pairs("contacts", "companies", &contacts).await;
                    assert!(!pairs.keys().any(|(_, other)| *other == company), "{at}: {pairs:?}");
                }
                false => assert_eq!(list_members(&world).await.1, BTreeSet::new(), "{at}"),
            }
            // What was taken back is made again as the model wants it, and once.
            let part = if pipeline == LINKS { "wanted.companies" } else { "wanted.list" };
            let counts = counts(&world.run().await, part);
            assert_eq!((counts["created"], counts["kept"]), (3, 0), "{at}: {counts:?}");
        }
    }
}

/// A kill just after HubSpot took links back: the mirror does not tell the next run
/// that they are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_killed_undo_of_links_the_next_run_makes_them_again() {
    let (world, contacts, company, first) = mirrored(3).await;
    let run = first["run_id"].as_str().expect("a run id");
    world.control.add_fault(Fault {
        method: None,
        path: "*/batch/archive".to_owned(),
        action: FaultAction::ApplyThenHold,
        skip: 0,
        times: Some(1),
    });
    let child = world.start(&["undo", run]);
    world.control.wait_for_held().await;
    kill(child).await;
    world.control.clear_faults();
    world.run().await;
    let pairs = world.pairs("contacts", "companies", &contacts).await;
    for contact in &contacts {
        let labels = pairs.get(&(*contact, company));
        assert!(labels.is_some_and(|labels| labels.contains(LABEL)), "{pairs:?}");
    }
    let quiet = counts(&world.run().await, "wanted.companies");
    assert_eq!(quiet["unchanged"], 3, "{quiet:?}");
}
