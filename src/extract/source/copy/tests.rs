//! Copies of a CSV file into a lake in a folder.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::runtime_env::RuntimeEnv;
use tempfile::TempDir;

use super::super::{ColumnType, SourceConfig};
use super::*;
use crate::lake::LakeConfig;

/// 2026-01-02T00:00:00Z.
const NOW: i64 = 1_767_312_000_000_000;
const MINUTE: i64 = 60_000_000;

struct World {
    dir: TempDir,
    lake: Lake,
    config: CopyConfig,
}

impl World {
    async fn new(full_compare: FullCompare) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let lake = Lake::open(&LakeConfig::default(), dir.path()).await.expect("a lake");
        let config = CopyConfig {
            cursor: "seen".into(),
            key: vec!["id".into()],
            overlap: None,
            full_compare,
        };
        Self { dir, lake, config }
    }

    fn write(&self, rows: &str) {
        fs::write(self.dir.path().join("events.csv"), rows).expect("a writable file");
    }

    async fn source(&self) -> Source {
        let config = SourceConfig {
            csv: Some("events.csv".into()),
            types: BTreeMap::from([("seen".into(), ColumnType::Timestamp)]),
            ..SourceConfig::default()
        };
        let runtime = Arc::new(RuntimeEnv::default());
        Source::open("events", &config, self.dir.path(), runtime).await.expect("a readable file")
    }

    async fn try_copy(&self, now: i64) -> Result<CopyReport, SourceError> {
        copy_source(&self.lake, &self.source().await, &self.config, false, now).await
    }

    async fn copy(&self, now: i64) -> CopyReport {
        self.try_copy(now).await.expect("a copy")
    }

    async fn table(&self) -> Table {
        self.lake.table(&TableName::usage("events")).await.expect("a lake").expect("a copy")
    }

    async fn stored(&self) -> Vec<String> {
        let rows = self.table().await.scan(None, None).await.expect("a scan");
        let rows: Vec<RecordBatch> = rows.try_collect().await.expect("rows");
        let shown = pretty_format_batches(&rows).expect("printable rows").to_string();
        let lines = shown.lines().skip(3).filter(|line| line.starts_with("| "));
        let cells = |line: &str| {
            line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(",")
        };
        let mut lines: Vec<String> = lines.map(cells).collect();
        lines.sort();
        lines
    }
}

fn counts(report: &CopyReport) -> [u64; 5] {
    [report.read, report.inserted, report.updated, report.unchanged, report.deleted]
}

#[tokio::test]
async fn only_what_is_new_is_read_and_late_rows_are_met_in_the_overlap() {
    let world = World::new(FullCompare::Never).await;
    world
        .write("id,plan,seen\n1,free,2026-01-01T08:00:00Z\n2,free,2026-01-01T12:00:00Z\n3,free,\n");
    let first = world.copy(NOW).await;
    assert_eq!((counts(&first), first.whole), ([3, 3, 0, 0, 0], true));
    let version = world.table().await.version();

    // Nothing new: the last row and the one without a cursor are read, nothing is written.
    let again = world.copy(NOW + MINUTE).await;
    assert_eq!((counts(&again), again.whole), ([2, 0, 0, 2, 0], false));
    assert_eq!(world.table().await.version(), version);

    // One row changed; one was committed late, five minutes behind the newest; one came
    // even later than the overlap, and is not seen; a deleted row stays.
    world.write(
        "id,plan,seen\n2,pro,2026-01-01T13:00:00Z\n3,free,\n4,late,2026-01-01T11:55:00Z\n\
         5,too late,2026-01-01T11:00:00Z\n",
    );
    let next = world.copy(NOW + 2 * MINUTE).await;
    assert_eq!(counts(&next), [3, 1, 1, 1, 0]);
    assert_eq!(
        world.stored().await,
        [
            "1,free,2026-01-01T08:00:00Z",
            "2,pro,2026-01-01T13:00:00Z",
            "3,free,",
            "4,late,2026-01-01T11:55:00Z"
        ]
    );
}

#[tokio::test]
async fn a_daily_comparison_deletes_what_is_gone_and_finds_what_no_cursor_shows() {
    let world = World::new(FullCompare::Daily).await;
    world.write("id,plan,seen\n1,free,2026-01-01T08:00:00Z\n2,free,2026-01-01T12:00:00Z\n");
    world.copy(NOW).await;
    world.write("id,plan,seen\n2,pro,2026-01-01T01:00:00Z\n");
    let hourly = world.copy(NOW + 60 * MINUTE).await;
    assert_eq!((counts(&hourly), hourly.whole), ([0, 0, 0, 0, 0], false));
    let daily = world.copy(NOW + DAY_MICROS).await;
    assert_eq!((counts(&daily), daily.whole), ([1, 0, 1, 0, 1], true));
    assert_eq!(world.stored().await, ["2,pro,2026-01-01T01:00:00Z"]);
}

#[tokio::test]
async fn a_row_dated_into_the_future_hides_no_later_one() {
    let world = World::new(FullCompare::Never).await;
    world.write("id,plan,seen\n1,free,9999-01-01T00:00:00Z\n");
    world.copy(NOW).await;
    world.write("id,plan,seen\n1,free,9999-01-01T00:00:00Z\n2,free,2026-01-02T00:01:00Z\n");
    assert_eq!(counts(&world.copy(NOW + 2 * MINUTE).await), [2, 1, 0, 1, 0]);
}

#[tokio::test]
async fn a_column_that_comes_in_has_every_row_read_once_even_after_a_cut() {
    let world = World::new(FullCompare::Never).await;
    world.write("id,plan,seen\n1,free,2026-01-01T08:00:00Z\n2,free,2026-01-01T12:00:00Z\n");
    world.copy(NOW).await;
    world.write(
        "id,plan,seen,seats\n1,free,2026-01-01T08:00:00Z,5\n2,free,2026-01-01T12:00:00Z,6\n",
    );
    // The cut: the column is there, no row has been read.
    let source = world.source().await;
    let copy = Copy { source: &source, config: &world.config, now: NOW + MINUTE };
    let schema = copy.schema().expect("columns");
    copy.table(&world.lake, &schema).await.expect("a table with the new column");
    let next = world.copy(NOW + 2 * MINUTE).await;
    assert_eq!((counts(&next), next.whole), ([2, 0, 2, 0, 0], true));
    assert_eq!(
        world.stored().await,
        ["1,free,2026-01-01T08:00:00Z,5", "2,free,2026-01-01T12:00:00Z,6"]
    );
    assert!(!world.copy(NOW + 3 * MINUTE).await.whole);
}

#[tokio::test]
async fn what_cannot_be_copied_says_why() {
    let mut world = World::new(FullCompare::Never).await;
    world.write("id,plan,seen\n1,free,2026-01-01T08:00:00Z\n1,pro,2026-01-01T09:00:00Z\n");
    let said = |error: SourceError| format!("{error} {}", error.advice());
    let twice = said(world.try_copy(NOW).await.expect_err("a key that repeats"));
    assert!(twice.contains("`id`"), "{twice}");
    assert_eq!(world.table().await.row_count(), 0);
    world.config.cursor = "plan".into();
    let text = said(world.try_copy(NOW).await.expect_err("a cursor of text"));
    assert!(text.contains("`plan`") && text.contains("Utf8"), "{text}");
    world.config.cursor = "sen".into();
    let unknown = said(world.try_copy(NOW).await.expect_err("no such column"));
    assert!(unknown.contains("`sen`") && unknown.contains("`seen`"), "{unknown}");
    world.config = CopyConfig {
        cursor: "id".into(),
        overlap: Some(Overlap::Time(DEFAULT_OVERLAP)),
        ..world.config
    };
    let overlap = said(world.try_copy(NOW).await.expect_err("a length of time for a number"));
    assert!(overlap.contains("`copy.overlap`"), "{overlap}");
}

#[test]
fn how_far_behind_is_read_again_depends_on_what_the_cursor_counts() {
    let minutes = |count: u64| Some(Overlap::Time(Period::seconds(count * 60)));
    assert_eq!(CursorKind::Time.behind(NOW, None), NOW - 10 * MINUTE);
    assert_eq!(CursorKind::Time.behind(NOW, minutes(1)), NOW - MINUTE);
    assert_eq!(CursorKind::Day.behind(20_000, minutes(60)), 19_999);
    assert_eq!(CursorKind::Day.behind(20_000, minutes(60 * 24)), 19_998);
    assert_eq!(CursorKind::Number.behind(700, None), 700);
    assert_eq!(CursorKind::Number.behind(700, Some(Overlap::Steps(50))), 650);
}
