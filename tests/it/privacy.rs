//! Forgetting a person: no row of any table, no version of before.

use std::fs::File;

use arrow::array::AsArray;
use hublake::emulator::Values;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::world::{Ran, World, collect_parquet};

/// Where one contact can be met in the test's project.
const PLACES: &[(&str, &str)] = &[
    ("hubspot.contacts", "id"),
    ("hubspot.associations", "from_id"),
    ("wanted", "contact_id"),
    ("wanted_changes", "contact_id"),
    ("system.writes", "record_id"),
    ("system.written", "record_id"),
    ("system.plans", "record_id"),
];

async fn met(world: &World, id: u64) -> Vec<&'static str> {
    let mut places = Vec::new();
    for (table, column) in PLACES {
        let sql = format!("select count(*) from {table} where {column} = {id}");
        if world.value(&sql).await != "0" {
            places.push(*table);
        }
    }
    places
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_person_is_nowhere_and_in_no_version() {
    let world = World::new().await;
    world.run().await;
    // A second version of model and mirror, so that there is a past to forget.
    let contacts = world.contacts();
    let (person, other) = (&contacts[0], &contacts[1]);
    world.edit(person.id, "firstname", "Changed");
    world.write_scores(|place| (place != 5).then_some("lead"));
    world.run().await;
    let everywhere: Vec<&str> = PLACES.iter().map(|(table, _)| *table).collect();
    assert_eq!(met(&world, person.id).await, everywhere, "there is something to forget");
    let before = world.value("select max(_synced_at) from hubspot.contacts").await;
    let others = world.value("select count(*) from hubspot.contacts").await;

    let ran = world.hublake(&["privacy", "purge", &person.id.to_string()]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("hubspot.contacts"), "{}", ran.stdout);

    assert_eq!(met(&world, person.id).await, Vec::<&str>::new());
    assert_eq!(met(&world, other.id).await, everywhere, "others stay");
    let left: u64 =
        world.value("select count(*) from hubspot.contacts").await.parse().expect("a count");
    assert_eq!(left + 1, others.parse::<u64>().expect("a count"));

    let time = format!("{}Z", before.trim_end_matches('Z').replace(' ', "T"));
    let past = world.hublake(&["query", "select 1 from hubspot.contacts", "--as-of", &time]).await;
    assert_ne!(past.code, 0);
    assert!(past.stderr.contains("privacy purge"), "{}", past.stderr);

    let again = world.hublake(&["privacy", "purge", &person.id.to_string()]).await;
    assert_eq!(again.code, 0, "repeating is harmless: {}", again.stderr);
    assert!(again.stderr.contains("No row of the lake is about it"), "{}", again.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_nobody_has_costs_no_history() {
    let world = World::new().await;
    with_models(&world);
    world.run().await;
    let first = world.value("select max(finished_at) from system.runs").await;
    world.edit(world.contacts()[1].id, "firstname", "Changed");
    world.run().await;
    let time = format!("{}Z", first.trim_end_matches('Z').replace(' ', "T"));
    let past = ["query", "select count(*) from hubspot.contacts", "--as-of", &time];
    let (changes, versions) = (count(&world, "names_changes").await, world.hublake(&past).await);
    assert!(changes > 0, "there are changes to lose");
    assert_eq!(versions.code, 0, "there is a past to lose: {}", versions.stderr);

    let ran = purge(&world, 4_711).await;
    assert!(ran.stderr.contains("nothing was changed"), "{}", ran.stderr);
    assert_eq!(count(&world, "names_changes").await, changes);
    let still = world.hublake(&past).await;
    assert_eq!((still.code, still.stdout), (0, versions.stdout), "{}", still.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_run_does_not_tell_of_a_purge_as_of_a_change() {
    let world = World::new().await;
    world.run().await;
    let person = world.contacts()[0].clone();
    world.control.archive_record("contacts", person.id).expect("archived");
    let ran = world.hublake(&["privacy", "purge", &person.id.to_string()]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    world.run().await;
    let sql = format!("select count(*) from wanted_changes where contact_id = {}", person.id);
    assert_eq!(world.value(&sql).await, "0");
}

/// Models that cannot tell whose their rows are, and one that can.
const MODELS: &str = "models:
  names: { materialize: table, key: [firstname], export: { parquet: ./published } }
  first: { materialize: table, key: [contact_id] }
  every_name: { materialize: table }
";

fn with_models(world: &World) {
    let rest = MODELS.strip_prefix("models:\n").expect("the section's name");
    world.extend_pipeline("  wanted: { materialize", rest);
    world.write(
        "sql/names.sql",
        "select distinct firstname from hubspot.contacts where firstname is not null",
    );
    // Each row is one contact's, but bears the greatest name of all.
    world.write(
        "sql/first.sql",
        "select id as contact_id, (select max(firstname) from names where firstname < '{') as last_of_all
         from hubspot.contacts",
    );
    world.write("sql/every_name.sql", "select upper(firstname) as name from names");
}

async fn count(world: &World, from: &str) -> u64 {
    let count = world.value(&format!("select count(*) from {from}")).await;
    count.parse().expect("a count")
}

/// Where a word stands in the tables made of names.
async fn naming(world: &World, word: &str) -> Vec<&'static str> {
    let mut places = Vec::new();
    for (place, column) in [
        ("hubspot.contacts", "firstname"),
        ("names", "firstname"),
        ("names_changes", "firstname"),
        ("every_name", "name"),
        ("first", "last_of_all"),
        ("first_changes", "concat(old, new)"),
    ] {
        let from = format!("{place} where lower({column}) like '%{word}%'");
        if count(world, &from).await > 0 {
            places.push(place);
        }
    }
    places
}

async fn purge(world: &World, id: u64) -> Ran {
    let ran = world.hublake(&["privacy", "purge", &id.to_string()]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran
}

/// The texts of the published files' first column.
fn published(world: &World) -> Vec<String> {
    let mut files = Vec::new();
    collect_parquet(&world.path("published"), &mut files);
    let mut texts = Vec::new();
    for file in files {
        let file = File::open(file).expect("a file");
        let rows = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
        for batch in rows.build().expect("Parquet") {
            let batch = batch.expect("rows");
            let names = batch.column(0).as_string::<i32>();
            texts.extend(names.iter().flatten().map(str::to_owned));
        }
    }
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_that_do_not_say_whose_their_rows_are_forget_too() {
    let world = World::new().await;
    with_models(&world);
    let person = world.contacts()[0].clone();
    world.edit(person.id, "firstname", "zzyzx the first");
    world.run().await;
    world.edit(person.id, "firstname", "zzyzx the second");
    world.run().await;
    assert_eq!(naming(&world, "zzyzx").await.len(), 6, "there is something to forget");
    assert!(published(&world).iter().any(|name| name.contains("zzyzx")));
    let names = count(&world, "names").await;

    let ran = purge(&world, person.id).await;
    assert!(ran.stderr.contains("names, every_name, first"), "{}", ran.stderr);
    assert_eq!(naming(&world, "zzyzx").await, Vec::<&str>::new());
    assert!(!published(&world).iter().any(|name| name.contains("zzyzx")));
    assert_eq!(count(&world, "names").await + 1, names, "the others' names are there");
    assert_eq!(count(&world, "first").await, 299);

    world.control.archive_record("contacts", person.id).expect("archived");
    world.run().await;
    let told: Vec<&str> = naming(&world, "zzyzx").await;
    // HubSpot still shows the archived record; what went is told by nothing.
    assert!(told.iter().all(|place| !place.ends_with("_changes")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_purge_changes_are_told_again_and_others_keep_theirs() {
    let world = World::new().await;
    with_models(&world);
    world.run().await;
    let contacts = world.contacts();
    let (person, other) = (&contacts[0], &contacts[1]);
    let of_other = format!("wanted_changes where contact_id = {}", other.id);
    let before = count(&world, &of_other).await;
    assert!(before > 0);
    purge(&world, person.id).await;
    world.control.archive_record("contacts", person.id).expect("archived");
    assert_eq!(count(&world, &of_other).await, before, "rows of one contact each stay apart");
    assert_eq!(count(&world, "names_changes").await, 0, "nobody can tell whose these were");
    world.edit(other.id, "firstname", "Aaron the Other");
    world.run().await;
    let told = count(&world, "names_changes where firstname = 'Aaron the Other'").await;
    assert_eq!(told, 1, "what changes later is told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_cannot_be_built_is_left_empty() {
    let world = World::new().await;
    with_models(&world);
    let person = world.contacts()[0].clone();
    world.edit(person.id, "firstname", "zzyzx");
    world.run().await;
    world.write("sql/names.sql", "select firstname from hubspot.contacts where firstname > 1 / 0");
    let ran = purge(&world, person.id).await;
    assert!(ran.stderr.contains("`names` could not be built"), "{}", ran.stderr);
    assert_eq!(naming(&world, "zzyzx").await, Vec::<&str>::new());
    assert_eq!(count(&world, "names").await, 0);
    assert_eq!(published(&world), Vec::<String>::new());

    with_models_again(&world);
    world.control.archive_record("contacts", person.id).expect("archived");
    world.run().await;
    assert!(count(&world, "names").await > 0);
    assert_eq!(count(&world, "names_changes").await, 0, "it only restores what was there");
}

fn with_models_again(world: &World) {
    world.write(
        "sql/names.sql",
        "select distinct firstname from hubspot.contacts where firstname is not null",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mentions_in_other_records_are_cleared_or_told_of() {
    let world = World::new().await;
    let person = world.contacts()[0].clone();
    let email = person.email.clone().expect("an address");
    world.run().await;
    let ids = world.query("select id from hubspot.companies order by id limit 3").await;
    let ids: Vec<u64> = ids[1..].iter().map(|id| id.parse().expect("an id")).collect();
    let edit = |id: u64, name: &str| {
        let values = Values::from([("name".to_owned(), name.to_owned())]);
        world.control.edit_record("companies", id, &values).expect("a company");
    };
    edit(ids[0], &email.to_uppercase());
    edit(ids[1], &format!("Friends of {email}"));
    edit(ids[2], &format!("Friends of not-{email}"));
    world.control.advance_clock(std::time::Duration::from_secs(5));
    world.run().await;

    let ran = purge(&world, person.id).await;
    assert!(ran.stderr.contains("`hubspot.companies`: 1 row of other records"), "{}", ran.stderr);
    let line = ran.stdout.lines().find(|line| line.contains("hubspot.companies"));
    let line = line.expect("a line of the table");
    assert!(line.contains(&ids[1].to_string()), "{line}");
    let name = |id: u64| {
        format!("select coalesce(name, 'nothing') from hubspot.companies where id = {id}")
    };
    assert_eq!(world.value(&name(ids[0])).await, "nothing", "the address and nothing else");
    assert_eq!(world.value(&name(ids[1])).await, format!("Friends of {email}"));
    assert_eq!(world.value(&name(ids[2])).await, format!("Friends of not-{email}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creates_go_by_a_unique_value() {
    let world = World::new().await;
    let write_backs = "write_back:
  accounts:
    object: contacts
    match: { account_no: account_no }
    mode: upsert
    properties:
      account_no: { create: { type: string, group: product, label: \"No\", unique: true } }
      firstname: { policy: overwrite }
";
    let rest = write_backs.strip_prefix("write_back:\n").expect("the section's name");
    world.extend_pipeline("  wanted:\n    object", rest);
    world.write(
        "sql/accounts.sql",
        "select 'acct-1' as account_no, 'One' as firstname
         union all select 'acct-2', 'Two'",
    );
    world.run().await;
    world.run().await;
    let id = "select id from hubspot.contacts where account_no = 'acct-1'";
    let id: u64 = world.value(id).await.parse().expect("it was created");
    let creates =
        |key: &str| format!("system.plans where match_key = '{key}' and record_id is null");
    assert!(count(&world, &creates("acct-1")).await > 0, "there is something to forget");

    purge(&world, id).await;
    assert_eq!(count(&world, "system.plans where match_key = 'acct-1'").await, 0);
    assert_eq!(count(&world, "system.writes where match_key = 'acct-1'").await, 0);
    assert!(count(&world, &creates("acct-2")).await > 0, "others stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_one_person_stays_so_when_another_is_forgotten() {
    let world = World::new().await;
    world.extend_pipeline(
        "  wanted: { materialize",
        "  persons: { materialize: identity, identity: { single: [contact] } }\n",
    );
    // Everybody shares an address with a user, and two with one another.
    world.write(
        "sql/persons.sql",
        "select concat('contact:', id) as record, 'email' as kind, lower(email) as identifier
         from hubspot.contacts where email is not null
         union all
         select concat('user:', lower(email)), 'email', lower(email)
         from hubspot.contacts where email is not null",
    );
    world.run().await;
    let contacts = world.contacts();
    let (person, email) = (&contacts[0], contacts[0].email.clone().expect("an address"));
    let clusters = "select record, cluster_id from persons where record not like '%";
    let others = format!("{clusters}{}' and record not like '%{email}' order by 1", person.id);
    let before = world.query(&others).await;
    assert!(before.len() > 100, "there are others");

    purge(&world, person.id).await;
    assert_eq!(world.query(&others).await, before, "everybody keeps their cluster");
    let theirs = format!("where record like '%{}' or record like '%{email}'", person.id);
    for table in ["persons", "persons_changes"] {
        assert_eq!(count(&world, &format!("{table} {theirs}")).await, 0, "{table}");
    }
    let moved = "persons_moves where old_id is not null";
    assert_eq!(count(&world, moved).await, 0, "nothing tells that somebody was there");
    world.control.archive_record("contacts", person.id).expect("archived");
    world.run().await;
    assert_eq!(world.query(&others).await, before);
}
