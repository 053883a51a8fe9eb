use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::{
    BuildReport, Engine, EngineConfig, ModelDefinition, ModelStatus, Models, build,
};
use super::graph::Graph;
use super::*;
use crate::lake::LakeConfig;

/// Resolves a model's edges and puts the clusters under its name.
pub(in crate::transform) async fn fill(catalog: &Catalog, model: &str) {
    let models = catalog.tables.models.clone();
    let model = models.get(model).expect("a model of this name");
    let (mut graph, _memory) = edges::read(catalog, model).await.expect("edges");
    graph.sort();
    let config = IdentityConfig::default();
    let resolution = Resolution::new(&graph, &config);
    let assignment = Assignment::new(&graph, &resolution, &Former::new(), 0);
    let rows = tables::clusters(&graph, &assignment).expect("rows");
    let table = MemTable::try_new(rows[0].schema(), vec![rows]).expect("rows of one schema");
    let name = TableRef { schema: None, name: model.name().to_owned() };
    catalog.replace(&name, Arc::new(table)).expect("a free name");
}

/// A row of a model: record, kind and identifier, why it is left out.
type Row<'a> = (&'a str, &'a str, &'a str);

fn graph(rows: &[Row<'_>]) -> Graph {
    let mut graph = Graph::default();
    for (record, kind, value) in rows {
        let identifier = (!value.is_empty()).then_some((*kind, *value));
        graph.add(Some(record), identifier, None);
    }
    graph.sort();
    graph
}

struct Resolved {
    ids: BTreeMap<String, i64>,
    excluded: Vec<(String, String, &'static str)>,
    conflicts: RecordBatch,
    highest: i64,
}

fn resolve(rows: &[Row<'_>], config: &IdentityConfig, former: &Former, highest: i64) -> Resolved {
    let graph = graph(rows);
    let resolution = Resolution::new(&graph, config);
    let assignment = Assignment::new(&graph, &resolution, former, highest);
    let ids = assignment.ids.iter().enumerate();
    let excluded = resolution.excluded.iter().map(|(edge, reason, _)| {
        let name = match reason {
            resolve::Reason::Rule => "rule",
            resolve::Reason::Degree => "degree",
            resolve::Reason::ClusterSize => "cluster_size",
        };
        (graph.record(edge.record).to_owned(), graph.identifier(edge.identifier).1.to_owned(), name)
    });
    Resolved {
        ids: ids.map(|(record, id)| (graph.record(record as u32).to_owned(), *id)).collect(),
        excluded: excluded.collect(),
        conflicts: tables::conflicts(&graph, &resolution, &assignment, config).expect("rows"),
        highest: assignment.highest,
    }
}

fn former(ids: &BTreeMap<String, i64>) -> Former {
    ids.iter().map(|(record, id)| (record.clone(), *id)).collect()
}

fn ids<const N: usize>(expected: [(&str, i64); N]) -> BTreeMap<String, i64> {
    expected.map(|(record, id)| (record.to_owned(), id)).into()
}

#[test]
fn records_that_share_identifiers_are_one_cluster() {
    let rows = [
        ("d", "email", "x"),
        ("a", "email", "x"),
        ("b", "phone", "x"),
        ("b", "email", "y"),
        ("c", "phone", "x"),
        ("a", "phone", "z"),
        ("e", "email", ""),
    ];
    let found = resolve(&rows, &IdentityConfig::default(), &Former::new(), 0);
    assert_eq!(found.ids, ids([("a", 1), ("d", 1), ("b", 2), ("c", 2), ("e", 3)]));
}

#[test]
fn the_oldest_id_survives_a_merge_and_the_larger_part_keeps_it_on_a_split() {
    let config = IdentityConfig::default();
    let apart = [("a", "k", "1"), ("b", "k", "1"), ("c", "k", "2")];
    let first = resolve(&apart, &config, &Former::new(), 0);
    assert_eq!(first.ids, ids([("a", 1), ("b", 1), ("c", 2)]));
    let joined = [("a", "k", "1"), ("b", "k", "1"), ("c", "k", "1"), ("d", "k", "1")];
    let merged = resolve(&joined, &config, &former(&first.ids), first.highest);
    assert_eq!(merged.ids, ids([("a", 1), ("b", 1), ("c", 1), ("d", 1)]));
    let moved = assign::moves(&former(&first.ids), &former(&merged.ids));
    let merge = assign::Moved { op: assign::Move::Merge, old: 2, new: Some(1), records: 1 };
    assert_eq!(moved, [merge]);

    // Three stay together, one goes: it gets an id that was never given before.
    let parted = [("a", "k", "2"), ("b", "k", "1"), ("c", "k", "1"), ("d", "k", "1")];
    let split = resolve(&parted, &config, &former(&merged.ids), merged.highest);
    assert_eq!(split.ids, ids([("a", 3), ("b", 1), ("c", 1), ("d", 1)]));
    let moved = assign::moves(&former(&merged.ids), &former(&split.ids));
    let part = assign::Moved { op: assign::Move::Split, old: 1, new: Some(3), records: 1 };
    assert_eq!(moved, [part]);

    // Two halves: the one with the first name keeps it.
    let halves = [("a", "k", "1"), ("b", "k", "2"), ("c", "k", "2"), ("d", "k", "1")];
    let halved = resolve(&halves, &config, &former(&merged.ids), merged.highest);
    assert_eq!(halved.ids, ids([("a", 1), ("d", 1), ("b", 3), ("c", 3)]));

    let gone = resolve(&[("e", "k", "1")], &config, &former(&split.ids), split.highest);
    assert_eq!(gone.ids, ids([("e", 4)]), "no id comes back");
    let moved = assign::moves(&former(&split.ids), &former(&gone.ids));
    let retired =
        |old, records| assign::Moved { op: assign::Move::Retired, old, new: None, records };
    assert_eq!(moved, [retired(1, 3), retired(3, 1)]);
}

#[test]
fn identifiers_that_join_too_much_are_left_out_with_the_reason() {
    let config = IdentityConfig {
        max_degree: 3,
        max_cluster: 3,
        exclude: BTreeMap::from([("email".to_owned(), vec!["no-reply@*".to_owned()])]),
        ..IdentityConfig::default()
    };
    let rows = [
        // Four records share `all`, which is one too many.
        ("a", "k", "all"),
        ("b", "k", "all"),
        ("c", "k", "all"),
        ("d", "k", "all"),
        // Five in a cluster is two too many: `abc` goes, and the pairs stay.
        ("a", "k", "abc"),
        ("b", "k", "abc"),
        ("c", "k", "abc"),
        ("c", "k", "cd"),
        ("d", "k", "cd"),
        ("d", "email", "no-reply@acme.test"),
        ("a", "email", "no-reply@acme.test"),
    ];
    let found = resolve(&rows, &config, &Former::new(), 0);
    assert_eq!(found.ids, ids([("a", 1), ("b", 2), ("c", 3), ("d", 3)]));
    let reasons: BTreeSet<_> =
        found.excluded.iter().map(|(_, value, reason)| (value.as_str(), *reason)).collect();
    let expected = [("abc", "cluster_size"), ("all", "degree"), ("no-reply@acme.test", "rule")];
    assert_eq!(reasons, expected.into());
}

#[test]
fn a_cluster_with_two_values_of_a_single_identifier_is_a_conflict() {
    let config = IdentityConfig { single: vec!["contact".to_owned()], ..IdentityConfig::default() };
    let rows = [
        ("c1", "contact", "1"),
        ("c2", "contact", "2"),
        ("c1", "email", "x"),
        ("c2", "email", "x"),
        ("c3", "contact", "3"),
        ("c3", "email", "y"),
        ("c3", "email", "z"),
    ];
    let found = resolve(&rows, &config, &Former::new(), 0);
    let shown = pretty_format_batches(&[found.conflicts]).expect("printable rows").to_string();
    assert_eq!(
        shown,
        "+------------+---------+-------------+----------+\n\
         | cluster_id | kind    | identifiers | examples |\n\
         +------------+---------+-------------+----------+\n\
         | 1          | contact | 2           | 1, 2     |\n\
         +------------+---------+-------------+----------+"
    );
}

/// Clusters as sets of records, found by walking from record to record.
fn walked(
    rows: &[(String, String, String)],
    out: &BTreeSet<(String, String)>,
) -> BTreeSet<BTreeSet<String>> {
    let live: Vec<_> =
        rows.iter().filter(|(r, _, v)| !out.contains(&(r.clone(), v.clone()))).collect();
    let mut clusters = BTreeSet::new();
    for (start, _, _) in rows {
        let mut cluster = BTreeSet::from([start.clone()]);
        loop {
            let borne: BTreeSet<_> = live
                .iter()
                .filter(|(r, _, _)| cluster.contains(r))
                .map(|(_, k, v)| (k, v))
                .collect();
            let more = live.iter().filter(|(_, k, v)| borne.contains(&(k, v)));
            let larger: BTreeSet<_> =
                more.map(|(r, _, _)| r.clone()).chain(cluster.clone()).collect();
            if larger == cluster {
                break;
            }
            cluster = larger;
        }
        clusters.insert(cluster);
    }
    clusters
}

prop_compose! {
    fn row()(record in 0u8..14, value in 0u8..12) -> (String, String, String) {
        // One kind for each value, so that a value names its identifier.
        let kind = if value % 2 == 0 { "email" } else { "phone" };
        (format!("r{record}"), kind.to_owned(), format!("v{value}"))
    }
}

fn clusters(ids: &BTreeMap<String, i64>) -> BTreeSet<BTreeSet<String>> {
    let mut clusters: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    for (record, id) in ids {
        clusters.entry(*id).or_default().insert(record.clone());
    }
    clusters.into_values().collect()
}

proptest! {
    #[test]
    fn the_order_of_the_edges_does_not_matter(
        (rows, shuffled) in prop::collection::vec(row(), 1..40)
            .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        repeated in 0usize..40,
        known in prop::collection::btree_map("r[0-9]", 1i64..6, 0..10),
        max_degree in 2usize..5,
        max_cluster in 2usize..6,
    ) {
        let config = IdentityConfig {
            max_degree,
            max_cluster,
            single: vec!["email".to_owned()],
            exclude: BTreeMap::from([("phone".to_owned(), vec!["v1*".to_owned()])]),
        };
        let known = former(&known);
        fn borrowed(rows: &[(String, String, String)]) -> Vec<Row<'_>> {
            rows.iter().map(|(r, k, v)| (r.as_str(), k.as_str(), v.as_str())).collect()
        }
        let mut twice = shuffled.clone();
        twice.extend(shuffled.iter().take(repeated).cloned());
        let one = resolve(&borrowed(&rows), &config, &known, 3);
        let other = resolve(&borrowed(&twice), &config, &known, 3);
        prop_assert_eq!(&one.ids, &other.ids);
        prop_assert_eq!(&one.excluded, &other.excluded);
        prop_assert_eq!(&one.conflicts, &other.conflicts);

        // What is left joins as a plain walk finds it, and no cluster is too large.
        let out = one.excluded.iter().map(|(r, v, _)| (r.clone(), v.clone())).collect();
        let found = clusters(&one.ids);
        prop_assert_eq!(&found, &walked(&rows, &out));
        prop_assert!(found.iter().all(|cluster| cluster.len() <= max_cluster));

        // With nothing changed, nothing moves.
        let again = resolve(&borrowed(&rows), &config, &former(&one.ids), one.highest);
        prop_assert_eq!(&again.ids, &one.ids);
        prop_assert_eq!(again.highest, one.highest);
        prop_assert!(assign::moves(&former(&one.ids), &former(&again.ids)).is_empty());
    }
}

/// A lake with one such model over the rows of `usage.t`.
struct Project {
    dir: TempDir,
}

impl Project {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    async fn engine(&self, rows: &str) -> Engine {
        let sql = "select record, kind, identifier from usage.t";
        let config = ModelConfig {
            materialize: Materialization::Identity,
            identity: Some(IdentityConfig { max_degree: 3, ..IdentityConfig::default() }),
            ..ModelConfig::default()
        };
        let define = |name: &str, sql: &str, config: ModelConfig| ModelDefinition {
            name: name.into(),
            file: format!("sql/{name}.sql").into(),
            sql: sql.into(),
            config,
        };
        let reader = "select count(*) as records, (select count(*) from id_map_excluded) as excluded from id_map";
        let table = ModelConfig { materialize: Materialization::Table, ..ModelConfig::default() };
        let models =
            Models::parse([define("a_reader", reader, table), define("id_map", sql, config)]);
        let models = Arc::new(models.expect("sound models"));
        let lake =
            Lake::open(&LakeConfig::default(), self.dir.path()).await.expect("a writable folder");
        let mut engine = Engine::new(&EngineConfig::default(), lake, models, BTreeMap::new())
            .expect("an engine");
        let rows = SessionContext::new().sql(rows).await.expect("valid SQL");
        let schema = Arc::new(rows.schema().as_arrow().clone());
        let batches = rows.collect().await.expect("constant rows");
        let table = MemTable::try_new(schema, vec![batches]).expect("rows of one schema");
        engine.register_source("t", Arc::new(table));
        engine
    }

    /// Builds over edges written `record:identifier`.
    async fn build(&self, run_id: &str, edges: &str) -> BuildReport {
        let rows: Vec<_> = edges
            .split(' ')
            .map(|edge| edge.split_once(':').expect("an edge"))
            .map(|(record, identifier)| format!("('{record}', 'k', '{identifier}')"))
            .collect();
        let rows = format!(
            "select column1 as record, column2 as kind, column3 as identifier from (values {})",
            rows.join(", ")
        );
        let options = BuildOptions {
            run_id: run_id.into(),
            run_started_at: 1_773_144_000_000_000,
            ..BuildOptions::default()
        };
        let report = build(&self.engine(&rows).await, &options).await;
        for model in &report.models {
            assert!(!matches!(model.status, ModelStatus::Failed(_)), "{:?}", model.status);
        }
        report
    }

    /// The rows of a query, a line each, columns parted by a space.
    async fn lines(&self, sql: &str) -> Vec<String> {
        let engine = self.engine("select 1 as unused").await;
        let rows = engine.query(sql, None).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let batches: Vec<_> = rows.try_collect().await.expect("readable rows");
        let shown = pretty_format_batches(&batches).expect("printable rows").to_string();
        let rows = shown.lines().skip(3).filter(|line| line.starts_with('|'));
        rows.map(|line| line.replace('|', " ").split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    fn folder(&self, table: &str) -> PathBuf {
        self.dir.path().join("lake/models").join(table)
    }
}

fn files(dir: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        match path.is_dir() {
            true => files(&path, found),
            false => drop(found.insert(path)),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let mut found = BTreeSet::new();
    files(from, &mut found);
    for file in found {
        let target = to.join(file.strip_prefix(from).expect("a file of the folder"));
        std::fs::create_dir_all(target.parent().expect("a folder")).expect("a writable folder");
        std::fs::copy(file, target).expect("a writable folder");
    }
}

const MOVES: &str =
    "select run_id, op, old_id, new_id, records from id_map_moves order by run_id, old_id, new_id";

#[tokio::test]
async fn clusters_and_all_that_is_told_of_them_are_tables() {
    let project = Project::new();
    let report = project.build("r1", "a:1 b:1 c:2 d:2 e:3 a:9 b:9 c:9 d:9").await;
    let order: Vec<_> = report.models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(order, ["id_map", "a_reader"], "readers of any of its tables come later");
    let clusters = "select record, cluster_id from id_map order by record";
    assert_eq!(project.lines(clusters).await, ["a 1", "b 1", "c 2", "d 2", "e 3"]);
    assert_eq!(project.lines("select * from a_reader").await, ["5 4"]);
    let excluded = "select record, identifier, reason from id_map_excluded order by record";
    assert_eq!(project.lines(excluded).await[0], "a 9 degree");
    assert_eq!(project.lines(MOVES).await, [] as [&str; 0]);

    project.build("r2", "a:1 b:1 c:1 d:1 e:3").await;
    assert_eq!(project.lines(clusters).await, ["a 1", "b 4", "c 2", "d 5", "e 3"], "four share it");
    project.build("r3", "a:1 b:1 c:1 d:2 f:4").await;
    assert_eq!(project.lines(clusters).await, ["a 1", "b 1", "c 1", "d 5", "f 6"]);
    let moves = project.lines(MOVES).await;
    let expected =
        ["r2 split 1 4 1", "r2 split 2 5 1", "r3 merge 2 1 1", "r3 retired 3 1", "r3 merge 4 1 1"];
    assert_eq!(moves, expected);

    let mut before = BTreeSet::new();
    files(&project.dir.path().join("lake/models"), &mut before);
    project.build("r4", "f:4 d:2 c:1 b:1 a:1").await;
    let mut after = BTreeSet::new();
    files(&project.dir.path().join("lake/models"), &mut after);
    assert_eq!(before, after, "a quiet build writes nothing");
}

#[tokio::test]
async fn moves_that_a_run_could_not_record_are_recorded_by_the_next() {
    let project = Project::new();
    project.build("r1", "a:1 b:2 c:3").await;
    let kept = tempfile::tempdir().expect("a temporary folder");
    copy(&project.folder("id_map_moves"), kept.path());
    project.build("r2", "a:1 b:1 c:3").await;
    let moved = project.lines(MOVES).await;
    assert_eq!(moved, ["r2 merge 2 1 1"]);
    // As if the run had died between the two commits.
    std::fs::remove_dir_all(project.folder("id_map_moves")).expect("a writable folder");
    copy(kept.path(), &project.folder("id_map_moves"));
    assert_eq!(project.lines(MOVES).await, [] as [&str; 0]);
    project.build("r3", "a:1 b:1 c:3").await;
    assert_eq!(project.lines(MOVES).await, ["r3 merge 2 1 1"]);
    project.build("r4", "a:1 b:1 c:3").await;
    assert_eq!(project.lines(MOVES).await.len(), 1);
    // As if the very first run had died before it made that table.
    std::fs::remove_dir_all(project.folder("id_map_moves")).expect("a writable folder");
    project.build("r5", "a:1 b:1 c:1").await;
    assert_eq!(project.lines(MOVES).await, ["r5 merge 3 1 1"]);
}

#[tokio::test]
async fn an_id_that_went_does_not_come_back_in_a_later_run() {
    let project = Project::new();
    project.build("r1", "a:1 b:2").await;
    project.build("r2", "a:1").await;
    project.build("r3", "a:1 c:3").await;
    let clusters = "select record, cluster_id from id_map order by record";
    assert_eq!(project.lines(clusters).await, ["a 1", "c 3"]);
}

#[tokio::test]
async fn columns_that_are_no_edges_are_told_before_anything_runs() {
    for (sql, part) in [
        ("select record, kind from usage.t", "`identifier`"),
        ("select record, kind, [identifier] as identifier from usage.t", "text"),
    ] {
        let config =
            ModelConfig { materialize: Materialization::Identity, ..ModelConfig::default() };
        let models = Models::parse([ModelDefinition {
            name: "id_map".into(),
            file: "sql/id_map.sql".into(),
            sql: sql.into(),
            config,
        }]);
        let edges = ["record", "kind", "identifier"]
            .map(|name| arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Utf8, true));
        let schema = Arc::new(arrow::datatypes::Schema::new(edges.to_vec()));
        let known = super::super::KnownTable::sure(schema as SchemaRef);
        let known = BTreeMap::from([(TableName::usage("t"), known)]);
        let models = Arc::new(models.expect("a sound model"));
        let checks =
            super::super::check(&EngineConfig::default(), &models, &BTreeMap::new(), &known).await;
        let outcome = checks.expect("an engine").remove(0).outcome;
        let super::super::CheckOutcome::Wrong(error) = outcome else { panic!("{sql} was taken") };
        assert!(error.to_string().contains(part), "{sql}: {error}");
    }
}
