//! `hublake check` finds a project's mistakes before anything runs, each with
//! its file and line, without a token and without a network.

use crate::world::{Ran, World};

/// Runs `check --offline` with no token to be found.
async fn check(world: &World) -> Ran {
    let _ = std::fs::remove_file(world.path("token"));
    let ran = world.hublake(&["check", "--offline"]).await;
    assert_eq!(world.control.log(0).total, 0, "nothing was asked of HubSpot");
    ran
}

fn assert_found(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, 78, "{}\n{}", ran.stdout, ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "`{word}` is not in: {}", ran.stderr);
    }
}

/// The model of [`World`] with a part of its text replaced.
fn model(from: &str, to: &str) -> String {
    let text = "select contacts.id as contact_id,\n  scores.score,\n  scores.title,\n  scores.stage\n\
                from hubspot.contacts as contacts\n\
                inner join usage.scores as scores on lower(contacts.email) = scores.email\n\
                where contacts.archived is not true\n";
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_project_is_sound_before_its_first_extract() {
    let world = World::new().await;
    let ran = check(&world).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("All is well"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("not checked"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misspelt_column_is_named_with_its_place_and_the_nearest() {
    let world = World::new().await;
    world.write("sql/wanted.sql", &model("scores.title", "scores.titel"));
    assert_found(&check(&world).await, &["sql/wanted.sql:3:3: ", "`scores.titel`", "`title`"]);
    // The mirror's columns are known from the selection, although there is no lake yet.
    world.write("sql/wanted.sql", &model("contacts.email", "contacts.emial"));
    assert_found(&check(&world).await, &["sql/wanted.sql:6:44: ", "`contacts.emial`", "`email`"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_table_is_named_with_its_place_and_the_nearest() {
    let world = World::new().await;
    world.write("sql/wanted.sql", &model("usage.scores", "usage.score"));
    assert_found(
        &check(&world).await,
        &["sql/wanted.sql:6:12: ", "`usage.score`", "`usage.scores`"],
    );
    world.write("sql/wanted.sql", &model("hubspot.contacts", "hubspot.contact"));
    assert_found(&check(&world).await, &["sql/wanted.sql:5:6: ", "`hubspot.contacts`"]);
    world.write("sql/wanted.sql", &model("hubspot.contacts", "hubspt.contacts"));
    assert_found(&check(&world).await, &["sql/wanted.sql:5:6: ", "`hubspot.contacts`"]);
    world.write("sql/wanted.sql", &model("", ""));
    world.write("sql/more.sql", "select *\nfrom wantd\n");
    assert_found(&check(&world).await, &["sql/more.sql:2:6: ", "`wantd`", "`wanted`"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cycle_is_shown_with_its_path_and_places() {
    let world = World::new().await;
    world.write("sql/a.sql", "select *\nfrom b\n");
    world.write("sql/b.sql", "select *\n\nfrom a\n");
    let words = ["sql/a.sql:2:6: ", "`a` -> `b` -> `a`", "sql/b.sql:3:6"];
    assert_found(&check(&world).await, &words);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_clash_in_sql_is_named_with_its_place() {
    let world = World::new().await;
    let clash = model(
        "is not true",
        "= contacts.createdate_of\n  and contacts.archived = contacts.updated_at",
    );
    let clash = clash.replace("= contacts.createdate_of", "is not true");
    world.write("sql/wanted.sql", &clash);
    assert_found(&check(&world).await, &["sql/wanted.sql:8:7: ", "Boolean", "Timestamp"]);
    world
        .write("sql/wanted.sql", &model("scores.score", "sum(contacts.archived) over () as score"));
    assert_found(&check(&world).await, &["sql/wanted.sql:2:", "sum"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_is_no_number_is_named_before_a_row_stops_the_run() {
    let world = World::new().await;
    world
        .write("sql/wanted.sql", &model("is not true", "is not true\n  and scores.score > 'high'"));
    assert_found(&check(&world).await, &["sql/wanted.sql:8:7: ", "'high'", "Int64"]);
    // Columns may fit after all: that is told, and no mistake.
    world.write(
        "sql/wanted.sql",
        &model("is not true", "is not true\n  and scores.title <> contacts.id"),
    );
    let ran = check(&world).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for words in ["! sql/wanted.sql:8:7: ", "`try_cast(… as bigint)`", "is open"] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_does_not_fit_its_property_is_named_with_the_key_s_line() {
    let world = World::new().await;
    world.write("sql/wanted.sql", &model("scores.score", "scores.title as score"));
    let words = [
        "pipelines/scores.yml:15:",
        "write_back.wanted.properties.product_score.from",
        "`number`",
        "try_cast(score as double)",
    ];
    assert_found(&check(&world).await, &words);
    world.write("sql/wanted.sql", &model("contacts.id as", "contacts.created_at as"));
    assert_found(&check(&world).await, &["pipelines/scores.yml:13:", "Record ids"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_name_no_column_are_named_with_their_line() {
    let world = World::new().await;
    world.write("sql/wanted.sql", &model("contact_id", "contact"));
    let ran = check(&world).await;
    assert_found(
        &ran,
        &["pipelines/scores.yml:9:", "`models.wanted.key[0]`", "did you mean `contact`"],
    );
    world.write("sql/wanted.sql", &model("scores.stage", "scores.stage as stag"));
    let words =
        ["pipelines/scores.yml:17:", "properties.lifecyclestage.from", "did you mean `stag`"];
    assert_found(&check(&world).await, &words);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_no_table_holds_are_refused_with_the_cast_to_write() {
    let world = World::new().await;
    for (column, cast) in [
        ("null", "cast(null as text)"),
        ("contacts.updated_at - contacts.created_at", "extract(epoch from title)"),
        ("cast('10:00' as time)", "cast(title as text)"),
    ] {
        world.write("sql/wanted.sql", &model("scores.title", &format!("{column} as title")));
        assert_found(&check(&world).await, &["sql/wanted.sql:3:", "`title`", cast]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tests_are_checked_with_the_models() {
    let world = World::new().await;
    let pipeline = std::fs::read_to_string(world.path("pipelines/scores.yml")).expect("settings");
    let old = "{ unique: [contact_id] }";
    for (test, words) in [
        (
            "{ relationships: { column: contact_id, to: hubspot.contcts, to_column: id } }",
            &["relationships.to", "hubspot.contacts"][..],
        ),
        (
            "{ relationships: { column: contact_id, to: hubspot.companies, to_column: idd } }",
            &["tests[0]", "idd"],
        ),
        ("{ sql: \"select * from wanted where scoer < 0\" }", &["tests[0]", "`scoer`", "`score`"]),
        (
            "{ fresh_within: { column: title, within: 2d } }",
            &["tests[0].fresh_within.column", "times"],
        ),
        ("{ fresh_within: { column: title, within: soon } }", &["within", "`soon`"]),
        ("{ row_count: {} }", &["row_count", "`min`"]),
        ("{ uniqe: [contact_id] }", &["uniqe", "unique"]),
    ] {
        world.write("pipelines/scores.yml", &pipeline.replace(old, test));
        let ran = check(&world).await;
        assert_found(&ran, words);
        assert_found(&ran, &["pipelines/scores.yml:9:"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_property_that_the_account_has_otherwise_is_named_where_it_is_declared() {
    let world = World::new().await;
    let pipeline = std::fs::read_to_string(world.path("pipelines/scores.yml")).expect("settings");
    let place = "      jobtitle: { from: title";
    let declared =
        "      numemployees: { from: stage, create: { type: string, group: g, label: L } }\n";
    world.write("pipelines/scores.yml", &pipeline.replace(place, &format!("{declared}{place}")));
    assert_eq!(check(&world).await.code, 0, "nobody knows without the account");
    world.write("token", "test-token");
    let ran = world.hublake(&["check"]).await;
    let words = ["pipelines/scores.yml:16:", "numemployees", "It is declared as `string`"];
    assert_found(&ran, &words);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_all_a_property_may_be_the_account_s_own() {
    let world = World::new().await;
    let pipeline = std::fs::read_to_string(world.path("pipelines/scores.yml")).expect("settings");
    world.write(
        "pipelines/scores.yml",
        &pipeline.replace("[email, firstname, jobtitle, lifecyclestage]", "all"),
    );
    world.write("sql/wanted.sql", &model("scores.title", "contacts.favourite_tea as title"));
    let ran = check(&world).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("favourite_tea") && ran.stderr.contains("may have it"),
        "{}",
        ran.stderr
    );
    // No property of an account comes into a `with` that names its columns.
    let text = "with people as (\n  select id as contact_id, email from hubspot.contacts\n)\n\
                select contact_idd\nfrom people\n";
    world.write("sql/more.sql", text);
    assert_found(&check(&world).await, &["sql/more.sql:4:8: ", "did you mean `contact_id`"]);
    std::fs::remove_file(world.path("sql/more.sql")).expect("it was there");
    // The account says that it has not.
    world.write("token", "test-token");
    let ran = world.hublake(&["check"]).await;
    assert_found(&ran, &["sql/wanted.sql:3:", "favourite_tea"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_source_is_known_as_it_was_last() {
    let world = World::new().await;
    world.run().await;
    world.control.clear_log();
    std::fs::remove_file(world.path("scores.csv")).expect("the source was there");
    world.write("sql/wanted.sql", &model("scores.title", "scores.titel"));
    assert_found(&check(&world).await, &["as they were last", "`scores.titel`", "`title`"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_cannot_be_is_told_although_the_model_has_to_wait() {
    let world = World::new().await;
    std::fs::remove_file(world.path("scores.csv")).expect("the source was there");
    let sql = "select s.email\nfrom usage.scores as s\ninner join wantd on true\n  \
               inner join hubspt.contacts as c on true\n";
    world.write("sql/more.sql", sql);
    let ran = check(&world).await;
    assert_found(&ran, &["sql/more.sql:3:12: ", "`wantd`", "`wanted`"]);
    assert_found(&ran, &["sql/more.sql:4:14: ", "`hubspt.contacts`", "`hubspot.contacts`"]);
    // A model whose tables can all be waits, and is no mistake.
    world.write("sql/more.sql", "select email from usage.scores\n");
    let ran = check(&world).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("Model `more` was not checked"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_a_link_or_an_event_wants_is_named_with_the_key_s_line() {
    let world = World::new().await;
    let pipeline = std::fs::read_to_string(world.path("pipelines/scores.yml")).expect("settings");
    let links = "    associate: { companies: { by: stge } }\n    event: { name: pe1_used, key: titel, \
                 occurred_at: scor, properties: { plan: stag } }\n";
    world.write("pipelines/scores.yml", &format!("{pipeline}{links}"));
    let ran = check(&world).await;
    let at = |path: &str| format!("write_back.wanted.{path}`");
    for (path, column, meant) in [
        ("associate.companies.by", "stge", "stage"),
        ("event.key", "titel", "title"),
        ("event.occurred_at", "scor", "score"),
        ("event.properties.plan", "stag", "stage"),
    ] {
        let words = [
            "pipelines/scores.yml:18:",
            &at(path),
            &format!("no column `{column}`: did you mean `{meant}`"),
        ];
        assert_found(&ran, &words);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sum_of_texts_is_the_query_s_mistake_and_not_the_engine_s() {
    let world = World::new().await;
    world.write("sql/wanted.sql", &model("scores.score", "sum(scores.title) over () as score"));
    let ran = check(&world).await;
    assert_found(&ran, &["sql/wanted.sql:2:", "`sum` takes no value of type `Utf8`", "try_cast"]);
    assert!(!ran.stderr.contains("DataFusion"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("Internal error"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_where_its_place_belongs_is_told_what_to_write() {
    let world = World::new().await;
    let settings = std::fs::read_to_string(world.path("hublake.yml")).expect("settings");
    assert!(settings.contains("{ file: token }"), "{settings}");
    world.write("hublake.yml", &settings.replace("{ file: token }", "pat-abc"));
    let ran = check(&world).await;
    assert_found(&ran, &["hublake.yml:", "hubspot.token", "`{ env: NAME }`", "`{ file: PATH }`"]);
    assert!(!ran.stderr.contains("pat-abc"), "{}", ran.stderr);
}
