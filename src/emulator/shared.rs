//! What all connections share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use chrono_tz::Tz;

use super::account::Account;
use super::config::EmulatorConfig;
use super::faults::Faults;
use super::journal::Journal;
use super::limits::{Gate, Limits};
use super::recorder::Recorder;
use super::webhooks::Hub;

/// The state behind every connection. No lock is held across a wait, and no
/// two are held at once but the gate or the webhooks after the account.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) account: RwLock<Account>,
    gate: Mutex<Gate>,
    journal: Mutex<Journal>,
    pub(crate) faults: Faults,
    pub(crate) hooks: Arc<Hub>,
    pub(crate) token: Option<String>,
    pub(crate) url_limit: usize,
    latency: Mutex<Duration>,
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
            searches_per_second: config.searches_per_second,
            daily: config.daily_limit,
        };
        let account = Account::new(config, time_zone);
        Self {
            hooks: account.hooks.clone(),
            account: RwLock::new(account),
            gate: Mutex::new(Gate::new(limits, time_zone)),
            journal: Mutex::default(),
            faults: Faults::new(),
            token: config.token.clone(),
            url_limit: config.url_limit,
            latency: Mutex::new(config.latency),
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

    /// How long answers take.
    pub(crate) fn latency(&self) -> Duration {
        *self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how long answers take.
    pub(crate) fn set_latency(&self, latency: Duration) {
        *self.latency.lock().unwrap_or_else(PoisonError::into_inner) = latency;
    }

    /// Keeps the account as it is; an earlier snapshot is forgotten.
    pub(crate) fn take_snapshot(&self) {
        let copy = self.read().clone();
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
    }

    /// Puts the account back as it was when the snapshot was taken, except for
    /// the clock, which does not go back. False if there is no snapshot.
    pub(crate) fn restore_snapshot(&self) -> bool {
        let snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(mut snapshot) = snapshot else { return false };
        let mut account = self.write();
        snapshot.clock = account.clock;
        *account = snapshot;
        true
    }
}
