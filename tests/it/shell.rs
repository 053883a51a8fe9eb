//! `hublake shell` fed by a pipe.

use std::io::Write;
use std::process::Stdio;

use crate::world::{Ran, World};

async fn shell(world: &World, args: &[&str], script: &str) -> Ran {
    let mut command = world.command(args);
    let script = script.to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("hublake can be started");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(script.as_bytes()).expect("the shell reads");
        drop(stdin);
        child.wait_with_output().expect("hublake ends")
    });
    Ran::from(ran.await.expect("waiting does not panic"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_is_answered_statement_by_statement_in_the_form_it_asks_for() {
    let world = World::new().await;
    let script = "-- two lines, one statement\nselect count(*) as n,\n  ';' as s from usage.scores;\n\
                  \\o json\nselect 1 as one; select 2 as two;\n\\o csv\n\\d usage.scores\nselect 3 as three";
    let ran = shell(&world, &["shell", "--output", "csv"], script).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let answer = format!("{},;", world.contacts().len());
    assert_eq!(lines[..4], ["n,s", answer.as_str(), "{\"one\":1}", "{\"two\":2}"]);
    assert_eq!(lines[4..6], ["column,type,nullable", "email,Utf8,true"]);
    assert_eq!(lines[lines.len() - 2..], ["three", "3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_is_told_the_rest_is_done_and_the_process_says_so() {
    let world = World::new().await;
    let script = "select emial from usage.scores;\n\\x\nselect 7 as seven;\n\\q\nselect 8;\n";
    let ran = shell(&world, &["shell", "-o", "csv"], script).await;
    assert_eq!(ran.code, 64, "{}", ran.stderr);
    assert!(ran.stderr.contains("emial") && ran.stderr.contains("`\\x`"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "seven\n7\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_listed_and_the_past_can_be_asked() {
    let world = World::new().await;
    world.run().await;
    let ran = shell(&world, &["shell", "-o", "csv"], "\\d\n").await;
    for table in ["hubspot.contacts", "usage.scores", "wanted", "system.runs"] {
        assert!(ran.stdout.lines().any(|line| line == table), "{table}: {}", ran.stdout);
    }
    let script = "select count(*) from hubspot.contacts;";
    let ran = shell(&world, &["shell", "--as-of", "2020-01-01"], script).await;
    assert_ne!(ran.code, 0, "there was no lake then: {}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_is_an_unknown_table() {
    let world = World::new().await;
    assert_eq!(world.hublake(&["extract"]).await.code, 0);
    let found = world.hublake(&["query", "select id from hubspot.contacts"]).await;
    assert_eq!(found.code, 0, "{}", found.stderr);
    for path in
        ["'/tmp/plan.parquet'", "\"../hubspot/contacts\"", "hubspot.\"../hubspot/contacts\""]
    {
        let ran = world.hublake(&["query", &format!("select * from {path}")]).await;
        assert_eq!(ran.code, 78, "{path}: {}{}", ran.stdout, ran.stderr);
        assert!(!ran.stderr.contains("report this"), "{path}: {}", ran.stderr);
    }
}
