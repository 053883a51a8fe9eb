//! A lock where there is no file system: numbered epochs in an object store.
//!
//! Every epoch is an object that is created if absent and never changed. Who
//! creates the next epoch holds the lease until the time written in it; renewing
//! is creating another one. So two can never hold it together, on any store that
//! has conditional puts, and a holder that slept through its time finds the next
//! epoch taken when it wakes.
//!
//! Expiry is judged by the reader's clock, with a grace for clocks that differ.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::LakeError;
use super::lock::Holder;

/// Longer than any request may take, since nothing is sent that the lease does
/// not outlive; short enough to wait out.
const LASTS: Duration = Duration::from_secs(120);

/// Often enough that a store may fail for a minute and a half.
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// How far two machines' clocks may differ.
const GRACE: Duration = Duration::from_secs(15);

/// Epochs kept behind the newest one.
const KEPT_EPOCHS: u64 = 2;

/// How long a lease lasts, and whose clock tells.
#[derive(Clone)]
pub(super) struct LeaseTerms {
    pub(super) lasts: Duration,
    pub(super) renew_every: Duration,
    /// µs since 1970 UTC
    pub(super) clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Default for LeaseTerms {
    fn default() -> Self {
        let clock = Arc::new(|| Utc::now().timestamp_micros());
        Self { lasts: LASTS, renew_every: RENEW_EVERY, clock }
    }
}

impl LeaseTerms {
    fn now(&self) -> i64 {
        (self.clock)()
    }
}

/// What an epoch says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Epoch {
    /// The same in all epochs of one lease
    lease_id: Uuid,
    holder: Holder,
    process: Option<Process>,
    /// µs since 1970 UTC
    expires_at: i64,
    /// Given back: the next may begin at once
    released: bool,
}

/// One process among all that ever ran on a machine since it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    /// This start of this machine, and the process namespace in it
    world: String,
    pid: u32,
    /// Clock ticks from the start of the machine to that of the process: tells a
    /// process from a later one with the same number
    started: u64,
}

impl Process {
    fn here() -> Option<Self> {
        let pid = std::process::id();
        Some(Self { world: world()?, pid, started: started(pid)? })
    }

    /// Whether it is certain that the process runs no more: this is its machine
    /// and its namespace, and there is no such process.
    fn is_dead(&self) -> bool {
        Self::here().is_some_and(|here| here.world == self.world)
            && started(self.pid) != Some(self.started)
    }
}

/// Names this start of this machine and the process namespace, where the system
/// tells; containers share the former but not the latter.
fn world() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Field 22 of `/proc/<pid>/stat`; the name before it may hold spaces and brackets.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// A lease held, and renewed by a task until it is dropped or lost.
pub(super) struct Lease {
    book: Book,
    mine: Arc<Mutex<Mine>>,
    renewing: JoinHandle<()>,
}

/// What this process knows of its lease.
#[derive(Debug, Clone)]
struct Mine {
    number: u64,
    epoch: Epoch,
    /// By this process's own steady clock, counted from before the put
    held_until: Instant,
    lost: bool,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("mine", &self.mine).finish_non_exhaustive()
    }
}

impl Lease {
    /// Takes the lease of a pipeline under a folder of the store. A holder proved
    /// dead is succeeded at once. One that may be dead is watched until it renews
    /// (then this is [`LakeError::Locked`]) or its lease runs out.
    pub(super) async fn take(
        store: Arc<dyn ObjectStore>,
        folder: Path,
        pipeline: &str,
        terms: LeaseTerms,
    ) -> Result<Self, LakeError> {
        let book = Book { store, folder, pipeline: pipeline.to_owned(), terms };
        let first = book.newest().await?;
        let latest = match first {
            Some((number, epoch)) if !book.is_free(&epoch) => book.wait_out(number, epoch).await?,
            free => free,
        };
        let next = latest.map_or(1, |(number, _)| number + 1);
        let mine = book.enter(next, Uuid::new_v4(), Holder::here()).await?;
        let mine = Arc::new(Mutex::new(mine));
        let renewing = tokio::spawn(renew(book.clone(), mine.clone()));
        Ok(Self { book, mine, renewing })
    }

    /// Whether it is held and will be for this long, unrenewed.
    pub(super) fn outlives(&self, time: Duration) -> bool {
        let mine = locked(&self.mine);
        // The steady clock stands still while a machine sleeps; the other does not.
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let by_wall = self.book.terms.now().saturating_add(micros) < mine.epoch.expires_at;
        !mine.lost && by_wall && Instant::now() + time < mine.held_until
    }

    /// Gives it back: the next epoch says so.
    pub(super) async fn release(mut self) -> Result<(), LakeError> {
        self.renewing.abort();
        // The task may be in the middle of a put; it must not come after ours.
        let _ = (&mut self.renewing).await;
        let mine = locked(&self.mine).clone();
        self.book.leave(&mine).await?;
        locked(&self.mine).epoch.released = true;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
        let mine = locked(&self.mine).clone();
        if mine.epoch.released {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let book = self.book.clone();
            // Failing, it runs out by itself.
            runtime.spawn(async move { book.leave(&mine).await });
        }
    }
}

async fn renew(book: Book, mine: Arc<Mutex<Mine>>) {
    loop {
        tokio::time::sleep(book.terms.renew_every).await;
        let now = locked(&mine).clone();
        match book.enter(now.number + 1, now.epoch.lease_id, now.epoch.holder).await {
            Ok(renewed) => *locked(&mine) = renewed,
            Err(LakeError::Locked { .. }) => {
                locked(&mine).lost = true;
                return;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(pipeline = book.pipeline, error, "The lease could not be renewed");
            }
        }
    }
}

/// A lock that a panic left behind still guards whole values here.
fn locked(mine: &Mutex<Mine>) -> std::sync::MutexGuard<'_, Mine> {
    mine.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The epochs of one pipeline.
#[derive(Clone)]
struct Book {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    pipeline: String,
    terms: LeaseTerms,
}

impl Book {
    /// The newest epoch there is.
    async fn newest(&self) -> Result<Option<(u64, Epoch)>, LakeError> {
        loop {
            let Some(number) = self.numbers().await?.into_iter().max() else { return Ok(None) };
            let read = async { self.store.get(&self.page(number)).await?.bytes().await };
            match read.await {
                Ok(text) => {
                    let epoch =
                        serde_json::from_slice(&text).map_err(|error| self.failed(error))?;
                    return Ok(Some((number, epoch)));
                }
                // Its holder went on and swept it away: look again.
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    async fn numbers(&self) -> Result<Vec<u64>, LakeError> {
        let listed = self.store.list(Some(&self.folder)).try_collect::<Vec<_>>().await;
        let number = |path: &Path| path.filename()?.strip_suffix(".json")?.parse().ok();
        let listed = listed.map_err(|error| self.failed(error))?;
        Ok(listed.iter().filter_map(|meta| number(&meta.location)).collect())
    }

    fn page(&self, number: u64) -> Path {
        self.folder.clone().join(format!("{number:020}.json"))
    }

    /// Whether the next epoch may begin.
    fn is_free(&self, epoch: &Epoch) -> bool {
        let grace = i64::try_from(GRACE.as_micros()).expect("a few seconds");
        epoch.released
            || epoch.process.as_ref().is_some_and(Process::is_dead)
            || self.terms.now() > epoch.expires_at.saturating_add(grace)
    }

    /// Watches a holder that may be dead. It is alive if it renews.
    async fn wait_out(&self, number: u64, epoch: Epoch) -> Result<Option<(u64, Epoch)>, LakeError> {
        loop {
            tokio::time::sleep(self.terms.renew_every / 2).await;
            match self.newest().await? {
                Some((newest, now)) if newest != number && !self.is_free(&now) => {
                    return Err(self.locked_by(now.holder));
                }
                free if free.as_ref().is_none_or(|(_, now)| self.is_free(now)) => return Ok(free),
                _ => tracing::debug!(
                    pipeline = self.pipeline,
                    holder = %epoch.holder,
                    "Waiting for a lease that may have been left behind"
                ),
            }
        }
    }

    /// Begins an epoch, as a first one or a renewal.
    async fn enter(&self, number: u64, lease_id: Uuid, holder: Holder) -> Result<Mine, LakeError> {
        let (asked, lasts) = (Instant::now(), self.terms.lasts);
        let micros = i64::try_from(lasts.as_micros()).expect("a lease of minutes");
        let epoch = Epoch {
            lease_id,
            holder,
            process: Process::here(),
            expires_at: self.terms.now().saturating_add(micros),
            released: false,
        };
        self.create(number, &epoch).await?;
        // A number may have been swept away and so be free again though others
        // have gone past it: only the newest epoch counts.
        match self.newest().await? {
            Some((newest, other)) if newest > number => Err(self.locked_by(other.holder)),
            _ => {
                self.sweep(number).await;
                Ok(Mine { number, epoch, held_until: asked + lasts, lost: false })
            }
        }
    }

    /// Writes an epoch that must not be there yet. If it is there but our own, the
    /// answer to an earlier try was lost.
    async fn create(&self, number: u64, epoch: &Epoch) -> Result<(), LakeError> {
        let text = serde_json::to_vec(epoch).expect("an epoch is JSON");
        let page = self.page(number);
        match self.store.put_opts(&page, text.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(()),
            Err(StoreError::AlreadyExists { .. }) => match self.newest().await? {
                Some((at, there)) if at == number && there.lease_id == epoch.lease_id => Ok(()),
                Some((_, there)) => Err(self.locked_by(there.holder)),
                None => Err(LakeError::LeaseLost { pipeline: self.pipeline.clone() }),
            },
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn leave(&self, mine: &Mine) -> Result<(), LakeError> {
        // A renewal cut short may have landed, so the newest epoch is looked up.
        let last = match self.newest().await? {
            Some((number, epoch)) if epoch.lease_id == mine.epoch.lease_id => number,
            // Taken over already: there is nothing left to give back.
            _ => return Ok(()),
        };
        let epoch = Epoch { released: true, ..mine.epoch.clone() };
        match self.create(last + 1, &epoch).await {
            Ok(()) | Err(LakeError::Locked { .. }) => self.sweep(last + 1).await,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Removes epochs long past. One that stays does no harm.
    async fn sweep(&self, newest: u64) {
        for number in self.numbers().await.unwrap_or_default() {
            if number + KEPT_EPOCHS <= newest {
                let _ = self.store.delete(&self.page(number)).await;
            }
        }
    }

    fn locked_by(&self, holder: Holder) -> LakeError {
        LakeError::Locked { pipeline: self.pipeline.clone(), holder }
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LakeError {
        LakeError::store(self.folder.to_string(), error)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    /// Terms whose wall clock is tokio's, which tests pause.
    fn terms() -> LeaseTerms {
        let start = Instant::now();
        let clock = move || i64::try_from(start.elapsed().as_micros()).expect("a short test");
        LeaseTerms { lasts: LASTS, renew_every: RENEW_EVERY, clock: Arc::new(clock) }
    }

    async fn take(store: &Arc<dyn ObjectStore>, terms: &LeaseTerms) -> Result<Lease, LakeError> {
        let folder = Path::from("_hublake/locks/usage");
        Lease::take(store.clone(), folder, "usage", terms.clone()).await
    }

    fn memory() -> Arc<dyn ObjectStore> {
        Arc::new(InMemory::new())
    }

    /// Rewrites the newest epoch as some other process would have written it.
    async fn disguise(lease: &Lease, process: Option<Process>) {
        let (number, epoch) = lease.book.newest().await.expect("readable").expect("an epoch");
        let text = serde_json::to_vec(&Epoch { process, ..epoch }).expect("JSON");
        lease.book.store.put(&lease.book.page(number), text.into()).await.expect("stored");
    }

    #[tokio::test(start_paused = true)]
    async fn a_living_holder_keeps_others_out_and_renews() {
        let (store, terms) = (memory(), terms());
        let lease = take(&store, &terms).await.expect("free");
        let error = take(&store, &terms).await.expect_err("held");
        assert!(matches!(error, LakeError::Locked { .. }), "{error:?}");
        tokio::time::sleep(LASTS * 3).await;
        assert!(lease.outlives(LASTS - RENEW_EVERY * 2));
        assert!(!lease.outlives(LASTS));
        let pages = lease.book.numbers().await.expect("listed").len() as u64;
        assert!(pages <= KEPT_EPOCHS + 1, "{pages} epochs are kept");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_given_back_is_free_at_once() {
        let (store, terms) = (memory(), terms());
        take(&store, &terms).await.expect("free").release().await.expect("given back");
        let before = Instant::now();
        let lease = take(&store, &terms).await.expect("free again");
        assert_eq!(before, Instant::now());
        assert_eq!(locked(&lease.mine).number, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_cut_short_does_not_outlive_the_release() {
        let (store, terms) = (memory(), terms());
        let lease = take(&store, &terms).await.expect("free");
        let (number, epoch) = lease.book.newest().await.expect("readable").expect("an epoch");
        // As if the task had been stopped after its put, before it could note it.
        lease.book.create(number + 1, &epoch).await.expect("renewed");
        lease.release().await.expect("given back");
        let before = Instant::now();
        take(&store, &terms).await.expect("free again");
        assert_eq!(before, Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_proved_dead_is_succeeded_at_once() {
        let (store, terms) = (memory(), terms());
        let ghost = take(&store, &terms).await.expect("free");
        ghost.renewing.abort();
        let here = Process::here().expect("this test runs where /proc is");
        assert!(!here.is_dead());
        disguise(&ghost, Some(Process { started: here.started + 1, ..here })).await;
        let before = Instant::now();
        take(&store, &terms).await.expect("taken over");
        assert_eq!(before, Instant::now());
        std::mem::forget(ghost);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_holder_is_waited_out() {
        let (store, terms) = (memory(), terms());
        let ghost = take(&store, &terms).await.expect("free");
        ghost.renewing.abort();
        disguise(&ghost, None).await;
        let before = Instant::now();
        take(&store, &terms).await.expect("taken over");
        assert!(before.elapsed() >= LASTS + GRACE);
        assert!(!ghost.outlives(Duration::ZERO));
        std::mem::forget(ghost);
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_slept_too_long_learns_that_it_lost() {
        let (store, terms) = (memory(), terms());
        let sleeper = take(&store, &terms).await.expect("free");
        let asleep = locked(&sleeper.mine).clone();
        sleeper.renewing.abort();
        disguise(&sleeper, None).await;
        let heir = take(&store, &terms).await.expect("taken over");
        // Long enough that the epoch the sleeper would take next is swept away.
        tokio::time::sleep(RENEW_EVERY * 10).await;
        let epoch = asleep.epoch;
        let renewed = sleeper.book.enter(asleep.number + 1, epoch.lease_id, epoch.holder).await;
        assert!(matches!(renewed, Err(LakeError::Locked { .. })), "{renewed:?}");
        assert!(heir.outlives(Duration::from_secs(60)));
        std::mem::forget(sleeper);
    }
}
