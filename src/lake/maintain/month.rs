//! A month of runs every 15 minutes, on a clock of its own.
//!
//! Files are a thousandth as large as otherwise, and so is the table: one of 300 MB
//! in files of 64 MiB is one of 300 KB in files of 64 KiB. What reading costs is
//! counted in bytes and requests, not in time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use url::Url;

use crate::lake::testing::{Person, people, person_spec, stored_people};
use crate::lake::writer::FileSizes;
use crate::lake::{Changes, Lake, LakeConfig, MaintenancePolicy, Table};

const ROWS: i64 = 4_000;
const RUNS: i64 = 30 * 96;
const RUN_MILLIS: i64 = 15 * 60 * 1_000;
/// Rows edited in a run; four in five among the newest hundredth.
const EDITS: usize = 10;
/// The log's size goes by runs and not by bytes, so that it is counted apart:
/// 3 MB a month. Here it also keeps who was taken out for the whole month, since
/// delta-rs forgets that by a clock of its own.
const LOG_BYTES_A_RUN: u64 = 1_000;
/// A request to an object store takes as long as reading this much: 20 ms at
/// 50 MB/s, a thousandth of it here.
const REQUEST_BYTES: u64 = 1_000;

/// A store in memory that dates objects by the test's clock and counts reads.
#[derive(Debug)]
struct Month {
    inner: InMemory,
    clock: Arc<AtomicI64>,
    dates: Arc<Mutex<HashMap<Path, i64>>>,
    read: AtomicU64,
    requests: AtomicU64,
}

impl Month {
    fn date(&self, location: &Path) {
        let now = self.clock.load(Ordering::Relaxed);
        self.dates.lock().expect("no panic").insert(location.clone(), now);
    }

    /// Bytes of the data files, and of the log.
    async fn stored(&self) -> (u64, u64) {
        let files: Vec<_> = self.inner.list(None).try_collect().await.expect("a list");
        let (log, data): (Vec<_>, Vec<_>) =
            files.iter().partition(|file| file.location.as_ref().contains("_delta_log"));
        let bytes = |files: Vec<&ObjectMeta>| files.iter().map(|file| file.size).sum();
        (bytes(data), bytes(log))
    }
}

fn dated(dates: &Mutex<HashMap<Path, i64>>, mut meta: ObjectMeta) -> ObjectMeta {
    let date = dates.lock().expect("no panic").get(&meta.location).copied();
    if let Some(date) = date.and_then(DateTime::<Utc>::from_timestamp_millis) {
        meta.last_modified = date;
    }
    meta
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store with a clock")
    }
}

#[async_trait]
impl ObjectStore for Month {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = self.inner.put_opts(location, payload, options).await?;
        self.date(location);
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.date(location);
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut got = self.inner.get_opts(location, options).await?;
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.read.fetch_add(got.range.end - got.range.start, Ordering::Relaxed);
        got.meta = dated(&self.dates, got.meta);
        Ok(got)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let dates = self.dates.clone();
        self.inner.list(prefix).map_ok(move |meta| dated(&dates, meta)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        listed.objects = listed.objects.into_iter().map(|meta| dated(&self.dates, meta)).collect();
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.date(to);
        Ok(())
    }
}

fn lake(clock: &Arc<AtomicI64>) -> (Lake, Arc<Month>) {
    let store = Arc::new(Month {
        inner: InMemory::new(),
        clock: clock.clone(),
        dates: Arc::default(),
        read: AtomicU64::new(0),
        requests: AtomicU64::new(0),
    });
    let url = Url::parse("memory:///lake/").expect("a URL");
    let config = LakeConfig::default();
    let ours = clock.clone();
    let now = Arc::new(move || ours.load(Ordering::Relaxed));
    let sizes = FileSizes { target: 64 * 1024, compact_below: 16 * 1024, gather_below: 8 * 1024 };
    let folder = std::path::Path::new(".");
    let lake = Lake::timed(store.clone(), url, &config, folder, now, sizes).expect("a lake");
    (lake, store)
}

fn row(id: i64, round: i64) -> Person {
    let word = fastrand::Rng::with_seed((id << 16 ^ round).unsigned_abs()).u128(..);
    Person { score: Some(round as f64), ..Person::new(id, &format!("{word:x}"), round + 1) }
}

fn edited(random: &mut fastrand::Rng) -> BTreeSet<i64> {
    let newest = ROWS - ROWS / 100;
    let mut ids = BTreeSet::new();
    while ids.len() < EDITS {
        ids.insert(if random.u8(..5) < 4 { random.i64(newest..ROWS) } else { random.i64(..ROWS) });
    }
    ids
}

/// What reading all rows of a table costs.
async fn read_cost(table: &Table, store: &Month) -> u64 {
    let before = (store.read.load(Ordering::Relaxed), store.requests.load(Ordering::Relaxed));
    stored_people(table).await;
    let bytes = store.read.load(Ordering::Relaxed) - before.0;
    bytes + (store.requests.load(Ordering::Relaxed) - before.1) * REQUEST_BYTES
}

#[tokio::test]
async fn a_month_of_small_edits_costs_little_to_keep_and_to_read() {
    let clock = Arc::new(AtomicI64::new(Utc::now().timestamp_millis()));
    let ((aged, store), (new, fresh_store)) = (lake(&clock), lake(&clock));
    let mut table = aged.open_or_create(&person_spec()).await.expect("a table");
    let mut held: BTreeMap<i64, i64> = (0..ROWS).map(|id| (id, 0)).collect();
    let all: Vec<_> = (0..ROWS).map(|id| row(id, 0)).collect();
    table.append(&[people(&all)], &[]).await.expect("rows");
    // Below the floor history is not cut; a thousandth of it would be 64 KiB.
    let policy =
        MaintenancePolicy { history_floor: 0, ..MaintenancePolicy::new(&LakeConfig::default()) };
    let mut random = fastrand::Rng::with_seed(1);
    let (mut most, mut most_log, mut most_files) = (0, 0, 0);
    for round in 1..=RUNS {
        clock.fetch_add(RUN_MILLIS, Ordering::Relaxed);
        let ids = edited(&mut random);
        let rows: Vec<_> = ids.iter().map(|id| row(*id, round)).collect();
        held.extend(ids.into_iter().map(|id| (id, round)));
        let changes = Changes {
            rows: vec![people(&rows)],
            newer_by: Some("updated_at".into()),
            ..Changes::default()
        };
        table.upsert(changes, &[]).await.expect("merged");
        table.maintain(&policy).await.expect("looked after");
        let (data, log) = store.stored().await;
        (most, most_log) = (most.max(data), most_log.max(log));
        most_files = most_files.max(table.data_files());
    }
    let stored = stored_people(&table).await;
    assert!(
        stored.iter().eq(held
            .iter()
            .map(|(id, round)| row(*id, *round))
            .collect::<Vec<_>>()
            .iter())
    );

    let mut fresh = new.open_or_create(&person_spec()).await.expect("a table");
    fresh.append(&[people(&stored)], &[]).await.expect("rows");
    let (live, _) = fresh_store.stored().await;
    let table = aged.table(table.name()).await.expect("a lake").expect("a table");
    let costs = (read_cost(&table, &store).await, read_cost(&fresh, &fresh_store).await);
    eprintln!(
        "stored {most} of {live} live, log {most_log}, read {costs:?}, {} files, most {most_files}",
        table.data_files()
    );
    assert!(most <= 5 * live, "{most} bytes stored, {live} live");
    assert!(most_log <= LOG_BYTES_A_RUN * RUNS.unsigned_abs(), "{most_log} bytes of log");
    assert!(costs.0 as f64 <= 1.5 * costs.1 as f64, "reading costs {costs:?}");
}
