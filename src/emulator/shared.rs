//! What all connections share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use chrono_tz::Tz;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::account::Account;
use super::config::EmulatorConfig;
use super::faults::Faults;
use super::journal::Journal;
use super::latency::Latency;
use super::limits::{Gate, Limits};
use super::recorder::Recorder;
use super::tokens::Tokens;
use super::webhooks::Hub;

/// Does what may take long. Other tasks of the thread go to another one first,
/// where the runtime has others.
pub(crate) fn at_length<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// The state behind every connection. No lock is held across a wait, and no
/// two are held at once but the gate or the webhooks after the account.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) account: RwLock<Account>,
    gate: Mutex<Gate>,
    journal: Mutex<Journal>,
    pub(crate) faults: Faults,
    pub(crate) hooks: Arc<Hub>,
    tokens: Mutex<Tokens>,
    pub(crate) url_limit: usize,
    latency: Mutex<Latency>,
    seed: u64,
    waits: AtomicU64,
    /// The account as it was once, to go back to.
    snapshot: Mutex<Option<Account>>,
    /// Where exchanges are kept, if they are.
    pub(crate) recorder: Option<Recorder>,
    /// How TLS is spoken, if it is.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

impl Shared {
    /// The state that the settings describe.
    pub(crate) fn new(config: &EmulatorConfig, time_zone: Tz) -> Self {
        let limits = Limits {
            per_ten_seconds: config.limit_per_ten_seconds,
            oauth_per_ten_seconds: config.oauth_limit_per_ten_seconds,
            searches_per_second: config.searches_per_second,
            daily: config.daily_limit,
            association_batches_per_ten_seconds: None,
            retry_after: false,
        };
        let account = Account::new(config, time_zone);
        let (only, now) = (config.token.clone(), account.now());
        Self {
            hooks: account.hooks.clone(),
            account: RwLock::new(account),
            gate: Mutex::new(Gate::new(limits, time_zone)),
            journal: Mutex::default(),
            faults: Faults::new(),
            tokens: Mutex::new(Tokens::new(&config.credentials, only, config.seed, now)),
            url_limit: config.url_limit,
            latency: Mutex::new(config.latency.clone()),
            seed: config.seed,
            waits: AtomicU64::new(0),
            snapshot: Mutex::default(),
            recorder: None,
            tls: None,
        }
    }

    /// The counters of calls.
    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request log.
    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Apps and tokens.
    pub(crate) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long answers take.
    pub(crate) fn latency(&self) -> Latency {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long the next answer takes.
    pub(crate) fn next_wait(&self) -> Duration {
        let turn = self.waits.fetch_add(1, Ordering::Relaxed);
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).draw(self.seed, turn)
    }

    /// Sets how long answers take.
    pub(crate) fn set_latency(&self, latency: Latency) {
        *self.latency.lock().unwrap_or_else(PoisonError::into_inner) = latency;
    }

    /// Keeps the account as it is; an earlier snapshot is forgotten.
    pub(crate) fn take_snapshot(&self) {
        let copy = self.read().clone();
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
    }

    /// Puts the account back as it was when the snapshot was taken, except for
    /// the clock, which does not go back. Tokens are no part of an account.
    /// False if there is no snapshot.
    pub(crate) fn restore_snapshot(&self) -> bool {
        let snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(mut snapshot) = snapshot else { return false };
        let mut account = self.write();
        snapshot.clock = account.clock;
        *account = snapshot;
        true
    }
}
