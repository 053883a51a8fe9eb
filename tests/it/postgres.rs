//! Usage tables in a real PostgreSQL server, as hublake's users have them.
//!
//! `tests/postgres/with_server.sh` starts one; `.ci/run` runs these tests with it.

use std::process::Command;

use crate::world::{Ran, World};

const NEEDS: &str = "tests/postgres/with_server.sh names the server in this variable";

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: {NEEDS}"))
}

/// Runs SQL as the owner of the tables.
fn psql(sql: &str) {
    let url = variable("HUBLAKE_TEST_POSTGRES");
    let done = Command::new("psql").args([&url, "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]).output();
    let done = done.expect("psql can be run");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A project whose source `app` is a table of a schema of its own.
async fn world(schema: &str, tls: &str, rest: &str) -> World {
    let world = World::new().await;
    psql(&format!(
        "drop schema if exists {schema} cascade; create schema {schema}; \
         create table {schema}.workspaces (id bigint primary key, name text, seats integer, \
           price numeric(10,2), active boolean, plan varchar(20), tags text[], extra jsonb, \
           ref uuid, created date, updated_at timestamptz); \
         insert into {schema}.workspaces values \
           (1, 'Acme', 5, 99.90, true, 'pro', '{{a,b}}', '{{\"k\": 1}}', \
            '11111111-2222-3333-4444-555555555555', '2026-01-01', '2026-01-05 08:00:00+01'), \
           (2, 'Bolt', 7, 0, false, 'free', null, null, null, '2026-01-02', '2026-01-06 09:30:00Z'), \
           (3, null, null, null, null, null, null, null, null, null, null)"
    ));
    write_source(&world, schema, tls, rest);
    world
}

fn write_source(world: &World, schema: &str, tls: &str, rest: &str) {
    let settings = std::fs::read_to_string(world.path("hublake.yml")).expect("settings");
    let kept = settings.split("  app:").next().expect("settings begin").to_owned();
    world.write("app_url", &variable("HUBLAKE_TEST_POSTGRES"));
    world.write(
        "hublake.yml",
        &format!(
            "{kept}  app:\n    postgres: {{ url: {{ file: app_url }}, table: {schema}.workspaces, {tls} }}\n{rest}"
        ),
    );
}

fn verified() -> String {
    format!("tls: verify_full, ca_file: {}", variable("HUBLAKE_TEST_POSTGRES_CA"))
}

fn assert_secret(ran: &Ran) {
    let password = variable("HUBLAKE_TEST_POSTGRES_PASSWORD");
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains(&password), "the password is told: {text}");
        assert!(!text.contains("postgres://"), "the URL is told: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: tests/postgres/with_server.sh starts one"]
async fn a_table_is_read_over_tls_with_its_types() {
    let world = world("types", &verified(), "").await;
    let rows = world
        .query("select id, name, seats, price, active, plan, extra, ref, created, updated_at from usage.app order by id")
        .await;
    let uuid = "11111111-2222-3333-4444-555555555555";
    let json = "\"{\"\"k\"\":1}\"";
    assert_eq!(
        rows[1].replace(": 1", ":1"),
        format!("1,Acme,5,99.90,true,pro,{json},{uuid},2026-01-01,2026-01-05T07:00:00Z")
    );
    assert_eq!(rows[2], "2,Bolt,7,0.00,false,free,,,2026-01-02,2026-01-06T09:30:00Z");
    assert_eq!(rows[3], "3,,,,,,,,,");
    assert_eq!(world.value("select count(*) from usage.app").await, "3");
    let joined = "select count(*) from usage.app as a inner join usage.app as b on a.id = b.id";
    assert_eq!(world.value(joined).await, "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: tests/postgres/with_server.sh starts one"]
async fn filters_projections_and_limits_reach_the_server() {
    let world = world("pushdown", &verified(), "").await;
    let plan = world
        .query("explain select name from usage.app where updated_at >= timestamp '2026-01-06T00:00:00Z' and seats > 1 limit 5")
        .await
        .join("\n");
    assert!(plan.contains("DatabaseScan: PostgreSQL"), "{plan}");
    for part in ["name", "updated_at", "seats", "LIMIT 5"] {
        assert!(plan.contains(part), "{part} is not in {plan}");
    }
    assert!(!plan.contains("FilterExec") && !plan.contains("\"\"price\"\""), "{plan}");
    let found = "select id from usage.app where updated_at >= timestamp '2026-01-06T00:00:00Z'";
    assert_eq!(world.query(found).await[1..], ["2"]);
    assert_eq!(
        world.query("select id from usage.app where created = date '2026-01-01'").await[1..],
        ["1"]
    );
    assert_eq!(world.query("select id from usage.app where price > 1.5").await[1..], ["1"]);
    assert_eq!(world.query("select id from usage.app where not active").await[1..], ["2"]);
    // Text is ordered by us, and our functions are unknown to the server.
    assert_eq!(world.query("select id from usage.app where name > 'B'").await[1..], ["2"]);
    assert_eq!(
        world.query("select id from usage.app where lower(name) like 'ac%'").await[1..],
        ["1"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: tests/postgres/with_server.sh starts one"]
async fn the_session_can_only_read_and_a_statement_ends_in_time() {
    let world = world("bounds", &format!("{}, statement_timeout: 300ms", verified()), "").await;
    // A view that writes, and one that takes its time, are what a careless owner has.
    psql(
        "create table bounds.log (at timestamptz); \
         create function bounds.note() returns bigint language plpgsql volatile as \
           $$ begin insert into bounds.log values (now()); return 1; end $$; \
         create view bounds.writes as select bounds.note() as n; \
         create view bounds.sleeps as select 1 as n from pg_sleep(30)",
    );
    let settings = std::fs::read_to_string(world.path("hublake.yml")).expect("settings");
    for (view, word) in [("writes", "read-only"), ("sleeps", "timeout")] {
        world.write(
            "hublake.yml",
            &settings.replace("bounds.workspaces", &format!("bounds.{view}")),
        );
        let ran = world.hublake(&["query", "select n from usage.app"]).await;
        assert_ne!(ran.code, 0, "{}", ran.stdout);
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
        assert_secret(&ran);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: tests/postgres/with_server.sh starts one"]
async fn what_is_wrong_is_told_without_the_url_and_its_password() {
    let world = world("wrong", &verified(), "").await;
    let query = ["query", "select * from usage.app"];
    let url = variable("HUBLAKE_TEST_POSTGRES");
    let told = async |words: &[&str]| {
        let ran = world.hublake(&query).await;
        assert_ne!(ran.code, 0, "{}", ran.stdout);
        for word in words {
            assert!(ran.stderr.contains(word), "{word} is not in {}", ran.stderr);
        }
        assert_secret(&ran);
        assert!(!ran.stderr.contains("not-the-one"), "{}", ran.stderr);
    };
    // No certificate of the server's is known to the system.
    write_source(&world, "wrong", "tls: verify_full", "");
    told(&["usage.app", "certificate"]).await;
    write_source(&world, "wrong", &verified(), "");
    let (scheme, rest) = url.split_once("hublake:").expect("a user");
    let (_, place) = rest.split_once('@').expect("a host");
    world.write("app_url", &format!("{scheme}hublake:not-the-one@{place}"));
    told(&["password"]).await;
    world.write("app_url", &url.replace("/postgres", "/absent"));
    told(&["absent"]).await;
    write_source(&world, "nowhere", &verified(), "");
    told(&["nowhere.workspaces"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: tests/postgres/with_server.sh starts one"]
async fn a_table_is_copied_incrementally_by_every_run() {
    let copy = "    copy: { cursor: updated_at, key: [id], full_compare: never }\n";
    let world = world("copied", &verified(), copy).await;
    // Arrays and JSON are lists and text in the lake.
    let first = world.run().await;
    let counts = &first["sources"]["app"]["copied"];
    assert_eq!(
        (counts["read"].as_u64(), counts["inserted"].as_u64()),
        (Some(3), Some(3)),
        "{counts}"
    );
    assert_eq!(world.value("select count(*) from usage.app").await, "3");
    let files = world.data_files("usage").len();
    psql(
        "update copied.workspaces set seats = 6, updated_at = '2026-01-06 09:31:00Z' where id = 1; \
         insert into copied.workspaces (id, name, updated_at) values (4, 'Late', '2026-01-06 09:25:00Z')",
    );
    let next = world.run().await;
    let counts = &next["sources"]["app"]["copied"];
    assert_eq!(counts["inserted"].as_u64(), Some(1), "{counts}");
    assert_eq!(counts["updated"].as_u64(), Some(1), "{counts}");
    assert!(world.data_files("usage").len() <= files + 1);
    assert_eq!(world.value("select seats from usage.app where id = 1").await, "6");
    let quiet = world.run().await;
    assert_eq!(quiet["sources"]["app"]["copied"]["updated"].as_u64(), Some(0));
    // The server goes; the copy stays, and what writes from it waits.
    world.write("app_url", "postgres://hublake:not-the-one@127.0.0.1:1/postgres");
    let ran = world.hublake(&["run"]).await;
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("`usage.app` was not copied"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("not-the-one"), "{}", ran.stderr);
    assert_eq!(world.value("select count(*) from usage.app").await, "4");
}
