//! Promise 3: `kill -9` at every commit and every send, then a run, and the
//! lake and the account are as if nothing had happened.
//!
//! The process is held at the point by the store or by the emulator, not by a
//! clock, and ended there.

use std::collections::BTreeMap;

use arrow::util::pretty::pretty_format_batches;
use hublake::emulator::{Fault, FaultAction};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::s3::{Hold, S3};
use crate::world::{World, kill};

/// What must be the same in the end: HubSpot's values and the lake's rows.
#[derive(Debug, PartialEq)]
struct End {
    account: BTreeMap<u64, Value>,
    contacts_in_account: usize,
    tables: BTreeMap<&'static str, Vec<String>>,
}

/// Business columns only: stamps and ids of runs differ.
const QUERIES: [(&str, &str); 5] = [
    (
        "contacts",
        "select id, email, firstname, jobtitle, lifecyclestage, product_score, archived from hubspot.contacts order by id",
    ),
    ("companies", "select id, name, domain, archived from hubspot.companies order by id"),
    (
        "associations",
        "select from_id, to_id, type_id, label from hubspot.associations order by 1, 2, 3",
    ),
    ("model", "select * from wanted order by contact_id"),
    ("changes", "select op, contact_id, count(*) from wanted_changes group by 1, 2 order by 2, 1"),
];

/// Properties that say when something happened, not what.
const WHEN: [&str; 3] = ["lastmodifieddate", "hs_lastmodifieddate", "hs_object_source_id"];

async fn end_of(world: &World) -> End {
    let mut tables = BTreeMap::new();
    for (name, sql) in QUERIES {
        tables.insert(name, world.query(sql).await);
    }
    let mut account = world.account();
    for values in account.values_mut() {
        let values = values.as_object_mut().expect("properties by name");
        WHEN.iter().for_each(|name| drop(values.remove(*name)));
        // The day a stage was reached, as HubSpot fills it in.
        values.retain(|name, _| !name.starts_with("hs_lifecyclestage_"));
    }
    let contacts_in_account = world.count_contacts().await;
    End { account, contacts_in_account, tables }
}

/// A world whose lake lies in a store that can be held.
async fn world_on(s3: &S3) -> World {
    World::with_lake(&s3.settings()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_commit_the_next_run_finishes_the_work() {
    let s3 = S3::start().await;
    let undisturbed = world_on(&s3).await;
    undisturbed.run().await;
    let commits = s3.commits();
    let expected = end_of(&undisturbed).await;
    drop(undisturbed);
    assert!(commits.len() >= 10, "a run makes many commits: {commits:?}");

    for (nth, key) in commits.iter().enumerate() {
        // Whether the store had the commit or not takes turns, so that every
        // kind of commit meets both in the course of the walk.
        let when = if nth % 2 == 0 { Hold::Before } else { Hold::After };
        let s3 = S3::start().await;
        let world = world_on(&s3).await;
        s3.hold_commit(nth, when);
        let child = world.start(&["run"]);
        s3.wait_held().await;
        kill(child).await;
        s3.release();
        world.run().await;
        assert_eq!(end_of(&world).await, expected, "after a kill {when:?} commit {nth}, {key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_send_the_next_run_finishes_the_work() {
    let undisturbed = World::new().await;
    undisturbed.run().await;
    let expected = end_of(&undisturbed).await;
    drop(undisturbed);

    let sends = [
        ("GET", "*/objects/*contacts", 1),
        ("POST", "*/associations/*", 0),
        ("POST", "*/properties/*", 0),
        ("POST", "*/batch/read", 0),
        ("POST", "*/batch/update", 0),
        ("POST", "*/batch/update", 1),
        ("POST", "*/batch/update", 2),
    ];
    for (method, path, skip) in sends {
        for action in [FaultAction::Hold, FaultAction::ApplyThenHold] {
            let world = World::new().await;
            let fault = Fault {
                method: Some(method.to_owned()),
                path: path.to_owned(),
                action: action.clone(),
                skip,
                times: Some(1),
            };
            world.control.add_fault(fault);
            let child = world.start(&["run"]);
            world.control.wait_for_held().await;
            kill(child).await;
            world.control.clear_faults();
            world.run().await;
            assert_eq!(
                end_of(&world).await,
                expected,
                "after a kill at {method} {path} {skip}, {action:?}"
            );
        }
    }
}

/// The objects of a store in which a word stands: rows of data files, and the log.
fn naming(s3: &S3, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (key, object) in s3.objects() {
        let text = if key.ends_with(".parquet") {
            let rows = ParquetRecordBatchReaderBuilder::try_new(object).expect("Parquet");
            let rows: Result<Vec<_>, _> = rows.build().expect("Parquet").collect();
            pretty_format_batches(&rows.expect("rows")).expect("texts").to_string()
        } else {
            String::from_utf8_lossy(&object).into_owned()
        };
        if text.contains(word) {
            found.push(key);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_killed_at_any_commit_is_finished_by_the_next() {
    let s3 = S3::start().await;
    let world = world_on(&s3).await;
    let contacts = world.contacts();
    let word = |at: usize| format!("zzyzx{at}x");
    let people = 8;
    for (at, contact) in contacts.iter().enumerate().take(people) {
        world.edit(contact.id, "firstname", &word(at));
    }
    world.run().await;
    let purge = |at: usize| ["privacy".to_owned(), "purge".to_owned(), contacts[at].id.to_string()];
    let before = s3.commits().len();
    assert!(naming(&s3, &word(0)).len() >= 2, "there is something to forget");
    let args = purge(0);
    let ran = world.hublake(&args.each_ref().map(String::as_str)).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(naming(&s3, &word(0)), Vec::<String>::new());
    let commits = s3.commits()[before..].to_vec();
    // The mirror goes last; whom it was about is known up to there.
    let mirror = commits.iter().rposition(|key| key.contains("/contacts/"));
    let mirror = mirror.expect("the note that the purge has come to its end");
    let purged = commits[..mirror].iter().rposition(|key| key.contains("/contacts/"));
    let purged = purged.expect("the mirror is purged");
    let evenly = (1..people - 2).map(|nth| nth * purged / (people - 2));
    let points = evenly.chain([purged, mirror]).enumerate();
    for (nth, commit) in points {
        let at = nth + 1;
        let when = if nth % 2 == 0 { Hold::After } else { Hold::Before };
        s3.hold_commit(commit, when);
        let args = purge(at);
        let args = args.each_ref().map(String::as_str);
        let child = world.start(&args);
        s3.wait_held().await;
        kill(child).await;
        s3.release();
        let ran = world.hublake(&args).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let left = naming(&s3, &word(at));
        assert_eq!(left, Vec::<String>::new(), "after a kill {when:?} commit {commit}");
    }
    assert!(naming(&s3, &contacts[people].id.to_string()).len() >= 2, "others stay");

    // Whichever purge comes next finishes one that was cut, and then it is over.
    s3.hold_commit(mirror, Hold::Before);
    let args = purge(people + 1);
    let child = world.start(&args.each_ref().map(String::as_str));
    s3.wait_held().await;
    kill(child).await;
    s3.release();
    let other = ["privacy", "purge", "4711", "--object", "companies"];
    let finished = world.hublake(&other).await;
    assert!(finished.stderr.contains("has been finished"), "{}", finished.stderr);
    let nothing = world.hublake(&other).await;
    assert!(nothing.stderr.contains("nothing was changed"), "{}", nothing.stderr);
}
