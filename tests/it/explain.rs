//! `hublake explain`: one record's journey, from what the lake holds.

use serde_json::Value;

use crate::world::{Ran, World};

async fn explain(world: &World, args: &[&str]) -> Ran {
    let args: Vec<&str> = ["explain", "contacts"].iter().chain(args).copied().collect();
    world.hublake(&args).await
}

/// The steps that are told as JSON: part, name, value, detail.
async fn steps(world: &World, record: &str) -> Vec<[String; 4]> {
    let ran = explain(world, &[record, "--output", "json"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let step = |line: &str| {
        let step: Value = serde_json::from_str(line).expect("a step a line");
        ["part", "name", "value", "detail"]
            .map(|name| step[name].as_str().unwrap_or_default().to_owned())
    };
    ran.stdout.lines().map(step).collect()
}

fn has(steps: &[[String; 4]], part: &str, name: &str, value: &str, detail: &str) -> bool {
    steps.iter().any(|step| {
        step[0] == part && step[1] == name && step[2] == value && step[3].contains(detail)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_s_journey_is_told_from_the_mirror_to_the_last_write() {
    let world = World::new().await;
    world.extend_pipeline(
        "  wanted: { materialize",
        "  persons: { materialize: identity, identity: { exclude: { email: [\"noreply@*\"] } } }\n",
    );
    world.write(
        "sql/persons.sql",
        "select concat('contact:', id) as record, 'email' as kind, lower(email) as identifier
         from hubspot.contacts where email is not null
         union all select concat('user:', email), 'email', email from usage.scores;",
    );
    let contacts = world.contacts();
    let (person, email) = (&contacts[3], contacts[3].email.clone().expect("an address"));
    world.edit(person.id, "jobtitle", "Chief");
    world.edit(person.id, "firstname", &"x".repeat(500));
    world.run().await;

    let id = person.id.to_string();
    let told = steps(&world, &id).await;
    let expected = [
        ("record", "jobtitle", "Chief", "Job Title"),
        ("record", "product_score", "3", ""),
        ("identity", "persons", &format!("user:{email}"), &format!("email {email}")),
        ("model", "wanted.score", "3", ""),
        ("plan", "wanted.product_score", "(empty) → 3", "write"),
        ("plan", "wanted.jobtitle", "Chief → Engineer", "keep: "),
        ("write", "wanted.product_score", "3", ""),
        ("write", "wanted", "updated", "run "),
    ];
    for (part, name, value, detail) in expected {
        assert!(has(&told, part, name, value, detail), "{part} {name} {value}: {told:#?}");
    }
    assert!(!told.iter().any(|step| step[1] == "wanted.jobtitle" && step[0] == "write"));

    let by_email = steps(&world, &email.to_uppercase()).await;
    assert_eq!(by_email, told, "an email leads to the same record");
    let people = explain(&world, &[&id]).await.stdout;
    assert!(people.starts_with(&format!("contact {id}\n")), "{people}");
    assert!(people.contains("What the last plan decided"), "{people}");
    assert!(people.contains("x… (500 characters)"), "a long value is cut short: {people}");
    assert!(told.iter().any(|step| step[2].len() == 500), "and whole as JSON");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merged_and_archived_records_and_those_that_are_not_there() {
    let world = World::new().await;
    let none = explain(&world, &["51"]).await;
    assert_eq!(none.code, 1, "{}", none.stderr);
    assert!(none.stderr.contains("No `contacts` have been extracted"), "{}", none.stderr);

    world.run().await;
    let contacts = world.contacts();
    let survivor = world.control.merge_records("contacts", contacts[0].id, contacts[1].id);
    let survivor = survivor.expect("merged").to_string();
    world.control.archive_record("contacts", contacts[2].id).expect("archived");
    world.control.advance_clock(std::time::Duration::from_secs(5));
    let ran = world.hublake(&["run", "--full"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let merged = explain(&world, &[&contacts[1].id.to_string()]).await;
    assert_eq!(merged.code, 0, "{}", merged.stderr);
    assert!(merged.stdout.contains(&format!("! {} was merged into {survivor}", contacts[1].id)));
    assert!(merged.stdout.starts_with(&format!("contact {survivor}\n")), "{}", merged.stdout);
    let archived = explain(&world, &[&contacts[2].id.to_string()]).await;
    assert!(archived.stdout.contains("! It is archived in HubSpot"), "{}", archived.stdout);

    let calls = world.control.log(0).total;
    for (args, code, words) in [
        (vec!["7"], 1, "has no record `7` of `contacts`"),
        (vec!["Ann"], 64, "`Ann` is no record id and no email"),
        (vec!["Ann", "--by", "firstnam"], 64, "did you mean `firstname`?"),
    ] {
        let ran = explain(&world, &args).await;
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.stderr);
    }
    assert_eq!(world.control.log(0).total, calls, "HubSpot is not asked");
}
