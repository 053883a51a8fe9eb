//! Forgetting a person: no row of any table, no version of before.

use crate::world::World;

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
    assert!(again.stderr.contains("No row was about it"), "{}", again.stderr);
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
