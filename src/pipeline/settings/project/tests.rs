use std::fs;

use tempfile::TempDir;

use super::super::{pipeline_schema, project_schema};
use super::*;

/// A sound project of one pipeline, for tests to spoil.
const SOUND: &[(&str, &str)] = &[
    (
        "hublake.yml",
        "lake: { url: ./lake }\n\
         hubspot: { portal_id: 1234567 }\n\
         sources:\n  events: { parquet: ./usage/events }\n\
         vars: { window_days: 28 }\n",
    ),
    (
        "pipelines/usage.yml",
        "schedule: { cron: \"*/15 * * * *\", time_zone: Europe/Berlin }\n\
         extract:\n  contacts: { properties: all }\n  deals:\n\
         models:\n  contact_usage:\n    materialize: table\n    key: [contact_id]\n    tests:\n      - unique: [contact_id]\n\
         write_back:\n  contact_usage:\n    object: contacts\n    match: { record_id: contact_id }\n    properties:\n\
         \x20     jobtitle: { from: title, policy: fill_empty }\n",
    ),
    (
        "sql/contact_usage.sql",
        "select id as contact_id, jobtitle as title\nfrom hubspot.contacts, usage.events\n",
    ),
    ("sql/helper.sql", "select 1 as one\n"),
];

/// The sound project with some files changed or added.
fn project(changes: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in SOUND.iter().chain(changes) {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
        fs::write(path, text).expect("a writable file");
    }
    dir
}

fn no_environment(_: &str) -> Option<String> {
    None
}

fn problems(changes: &[(&str, &str)]) -> Vec<String> {
    let dir = project(changes);
    let error = Project::load_with(dir.path(), &no_environment).expect_err("a spoilt project");
    error.problems.iter().map(Problem::to_string).collect()
}

#[test]
fn a_sound_project_is_read_whole() {
    let dir = project(&[]);
    let project = Project::load_with(dir.path(), &no_environment).expect("a sound project");
    assert_eq!(project.config.hubspot.portal_id, Some(1_234_567));
    let pipeline = project.pipeline("usage").expect("named after its file");
    assert_eq!(pipeline.extract.objects.keys().collect::<Vec<_>>(), ["contacts", "deals"]);
    assert_eq!(project.models.keys().collect::<Vec<_>>(), ["contact_usage", "helper"]);
    assert_eq!(project.graph.in_order().count(), 2);
    assert_eq!(project.models["helper"].config, ModelConfig::default());
}

#[test]
fn an_unknown_key_names_file_line_and_the_nearest_key() {
    let found = problems(&[("hublake.yml", "lake: { url: ./lake }\nhubspot:\n  portalid: 5\n")]);
    assert_eq!(
        found,
        ["hublake.yml:3:3: `hubspot.portalid`: Unknown key `portalid`: did you mean `portal_id`?"]
    );
}

#[test]
fn one_run_names_the_mistakes_of_every_file() {
    let found = problems(&[
        ("hublake.yml", "lak: {}\nengine: { memory_limit: 1GB }\n"),
        ("pipelines/other.yml", "extract: [contacts]\nmodells: {}\n"),
        ("pipelines/third.yaml", ""),
    ]);
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(found[0].starts_with("hublake.yml:1:1: `lak`: Unknown key"), "{found:#?}");
    assert!(found[1].starts_with("hublake.yml:2:"), "{found:#?}");
    assert!(found[2].starts_with("pipelines/other.yml:1:"), "{found:#?}");
    assert!(found[3].starts_with("pipelines/other.yml:2:1: `modells`"), "{found:#?}");
    assert!(found[4].contains("rename it"), "{found:#?}");
}

#[test]
fn sections_are_checked_against_each_other() {
    let found = problems(&[(
        "pipelines/other.yml",
        "extract:\n  contcats: {}\n\
         models:\n  contact_usage: { materialize: incremental }\n  contct_usage: {}\n\
         write_back:\n  helper:\n    object: companies\n    match: { record_id: id }\n    properties:\n\
         \x20     name: { policy: overwrite }\n\
         \x20 contact_usage:\n    object: contacts\n    match: { record_id: id }\n    properties:\n\
         \x20     jobtitle: { policy: overwrite }\n",
    )]);
    for (line, key, part) in [
        (2, "extract.contcats", "did you mean `contacts`"),
        (4, "models.contact_usage.materialize", "needs a `key`"),
        (5, "models.contct_usage", "did you mean `contact_usage`"),
        (8, "write_back.helper.object", "extracted by no pipeline"),
    ] {
        let start = format!("pipelines/other.yml:{line}:");
        let hit = found.iter().any(|problem| {
            problem.starts_with(&start)
                && problem.contains(&format!("`{key}`"))
                && problem.contains(part)
        });
        assert!(hit, "{line} {key} {part}: {found:#?}");
    }
    assert!(
        found.iter().any(|problem| problem.contains("configures this model already")),
        "{found:#?}"
    );
    assert!(
        found.iter().any(|problem| problem.contains("one property has one owner")),
        "{found:#?}"
    );
}

#[test]
fn tables_that_cannot_exist_are_named_with_the_line_of_the_query() {
    let found = problems(&[
        ("sql/a.sql", "select *\nfrom usage.event\n"),
        ("sql/b.sql", "select * from hubspot.companies"),
    ]);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0]
            .starts_with("sql/a.sql:2:6: Unknown table `usage.event`: did you mean `usage.events`")
    );
    assert!(found[1].contains("ask for it under `extract`"), "{found:#?}");
}

#[test]
fn mistakes_in_sql_are_settings_mistakes() {
    let found =
        problems(&[("sql/a.sql", "select 1;\nselect 2"), ("sql/Bad-Name.sql", "select 1 as a")]);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("cannot be the name of a table"), "{found:#?}");
    assert!(found[1].starts_with("sql/a.sql:2:1: A model is one `select`"), "{found:#?}");
}

#[test]
fn variables_come_from_the_environment_and_must_be_set() {
    let changes = [(
        "hublake.yml",
        "lake: { url: \"s3://${BUCKET}/lake\" }\nsources:\n  events: { csv: \"${HOME_OF_EVENTS}\" }\n",
    )];
    let dir = project(&changes);
    let lookup = |name: &str| match name {
        "BUCKET" => Some("acme".to_owned()),
        "HOME_OF_EVENTS" => Some("./a.csv".to_owned()),
        "HUBLAKE_HUBSPOT_BASE_URL" => Some("http://127.0.0.1:9".to_owned()),
        _ => None,
    };
    let project = Project::load_with(dir.path(), &lookup).expect("all variables are set");
    assert_eq!(project.config.lake.url, "s3://acme/lake");
    assert_eq!(project.config.hubspot.base_url, "http://127.0.0.1:9");
    let found = problems(&changes);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].starts_with("hublake.yml:1:14: `lake.url`: The environment variable `BUCKET`"),
        "{found:#?}"
    );
}

#[test]
fn a_secret_in_the_place_of_its_reference_is_not_repeated() {
    let found = problems(&[("hublake.yml", "hubspot:\n  token: pat-eu1-secret\n")]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("hublake.yml:2:") && found[0].contains("`hubspot.token`"),
        "{found:#?}"
    );
    assert!(!found[0].contains("pat-eu1"), "{found:#?}");
}

#[test]
fn a_folder_without_a_project_says_how_to_make_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let error = Project::load_with(dir.path(), &no_environment).expect_err("no project");
    assert!(error.to_string().contains("hublake init"), "{error}");
}

#[test]
fn tests_in_files_are_read_from_the_project() {
    let with_test = |path: &str| {
        format!("models:\n  helper:\n    tests:\n      - sql: {path}\n        severity: warn\n")
    };
    let dir = project(&[
        ("pipelines/other.yml", &with_test("sql/tests/none.sql")),
        ("sql/tests/none.sql", "select * from helper where one > 1"),
    ]);
    let project = Project::load_with(dir.path(), &no_environment).expect("the file is there");
    let Rule::Sql { text, .. } = &project.models["helper"].config.tests[0].rule else {
        panic!("an SQL test");
    };
    assert!(text.starts_with("select * from helper"));
    let found = problems(&[("pipelines/other.yml", &with_test("sql/tests/absent.sql"))]);
    assert!(
        found[0].starts_with("pipelines/other.yml:4:") && found[0].contains("absent.sql"),
        "{found:#?}"
    );
}

#[test]
fn schemas_of_both_files_are_published() {
    for (schema, section) in [(project_schema(), "sources"), (pipeline_schema(), "write_back")] {
        let text = serde_json::to_string(&schema).expect("a schema is JSON");
        assert!(text.contains(section) && text.contains("additionalProperties"), "{text}");
    }
}

#[test]
fn the_repository_is_a_sound_project() {
    let project = Project::load_with(Path::new(env!("CARGO_MANIFEST_DIR")), &no_environment);
    let project = project.unwrap_or_else(|error| panic!("{error}"));
    let pipeline = project.pipeline("usage").expect("the one pipeline");
    assert!(pipeline.write_back.contains_key("contact_write_back"));
}

#[test]
fn all_object_types_are_asked_for_in_three_forms() {
    let read = |text: &str| {
        let dir = project(&[("pipelines/all.yml", text)]);
        let project = Project::load_with(dir.path(), &no_environment).expect("a sound project");
        project.pipeline("all").expect("named after its file").extract.clone()
    };
    assert!(read("extract: all\n").all.is_some());
    assert!(read("extract: { all: }\n").all.is_some());
    let extract = read(
        "extract:\n  all: { except: [emails, calls], associations: all }\n  contacts: {}\n  \
         lists: { memberships: true, reconcile: weekly }\n",
    );
    assert_eq!(extract.all.expect("all").except, ["emails", "calls"]);
    assert!(extract.lists.is_some_and(|lists| lists.memberships));
    assert_eq!(extract.objects.keys().collect::<Vec<_>>(), ["contacts"]);
    assert!(read("extract:\n").objects.is_empty());
    let schema = serde_json::to_string(&pipeline_schema()).expect("JSON");
    for word in ["ExtractAllConfig", "except", "memberships", "history"] {
        assert!(schema.contains(word), "{word}");
    }
}

#[test]
fn all_object_types_are_checked() {
    let found = problems(&[(
        "pipelines/all.yml",
        "extract:\n  all:\n    except: [emials, contacts]\n    properties: [usage_*, email]\n    \
         excpt: []\n  contacts: {}\n  lists: { membership: true }\n",
    )]);
    assert_eq!(found.len(), 2, "unknown keys come first: {found:#?}");
    assert!(found[0].contains("all.yml:5:") && found[0].contains("did you mean `except`"));
    assert!(found[1].contains("all.yml:7:") && found[1].contains("did you mean `memberships`"));
    let found = problems(&[(
        "pipelines/all.yml",
        "extract:\n  all:\n    except: [emials, contacts]\n    properties: [usage_*, email]\n  \
         contacts: {}\n",
    )]);
    for (line, part) in [
        (3, "did you mean `emails`"),
        (3, "drop one of the two"),
        (4, "under the key of the object that has it"),
    ] {
        let start = format!("pipelines/all.yml:{line}:");
        let hit = found.iter().any(|one| one.starts_with(&start) && one.contains(part));
        assert!(hit, "{line} {part}: {found:#?}");
    }
}

#[test]
fn models_may_read_what_all_brings_and_nothing_else() {
    let all = ("pipelines/all.yml", "extract: { all: { except: [emails] } }\n");
    let sound = project(&[
        all,
        (
            "sql/wide.sql",
            "select 1 as one from hubspot.quotes, hubspot.p12_licence, hubspot.schemas\n",
        ),
    ]);
    Project::load_with(sound.path(), &no_environment).expect("tables that may come");
    for table in ["emails", "lists", "list_memberships", "property_history", "contcats"] {
        let sql = format!("select 1 as one from hubspot.{table}\n");
        let found = problems(&[all, ("sql/wide.sql", &sql)]);
        assert!(found[0].contains("ask for it under `extract`"), "{table}: {found:#?}");
    }
}
