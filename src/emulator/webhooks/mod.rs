//! Webhooks: who hears of the account's changes, what they are told, and how
//! it gets there. Section 14 of the API reference.
//!
//! A change is turned into events at once, under the lock of the account, by
//! the functions in `events`; a background task, `delivery`, sends them. The
//! journal, from which the same events can be pulled, is not imitated.

mod delivery;
mod events;
mod queue;
mod rules;
mod signature;
mod subscriptions;

pub use queue::{PendingWebhook, WebhookDelivery};
pub use rules::{WebhookRules, WebhookSignatures};
pub use subscriptions::{WebhookApp, WebhookSubscription};

pub(crate) use delivery::run;
pub(crate) use events::Hand;
pub(crate) use queue::{App, State};
#[cfg(test)]
pub(crate) use signature::{sign_v1, sign_v3};
pub(crate) use subscriptions::{
    Action, EventType, MOST as MOST_SUBSCRIPTIONS, Settings, Subscription, is_type_id, target,
};

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::config::EmulatorConfig;
use events::Happening;

/// The secret of apps that were given none.
pub const SECRET: &str = "11111111-2222-4333-8444-555555555555";

/// Everything about webhooks, shared by the account, which feeds it, and the
/// task that delivers. Its lock is taken after the account's, never before.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Whether any event could be heard by anybody.
    listening: AtomicBool,
    state: Mutex<State>,
    /// There may be something to send.
    work: Notify,
    /// Something was sent, or never will be.
    progress: Notify,
}

impl Hub {
    /// A hub nobody listens to yet.
    pub(crate) fn new(config: &EmulatorConfig) -> Self {
        let secret = config.webhook_secret.clone().unwrap_or_else(|| SECRET.to_owned());
        Self {
            listening: AtomicBool::new(false),
            state: Mutex::new(State::new(config.seed, secret, config.webhook_rules.clone())),
            work: Notify::new(),
            progress: Notify::new(),
        }
    }

    /// Whether events are wanted.
    pub(crate) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// Makes the events that apps hear of a happening.
    fn tell(&self, happening: &Happening<'_>) {
        if self.lock().tell(happening, Instant::now()) {
            self.work.notify_one();
        }
    }

    /// Changes what is kept, and lets the courier see to it.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let done = change(&mut state);
        self.listening.store(state.is_listening(), Ordering::Relaxed);
        drop(state);
        self.wake();
        done
    }

    /// Reads what is kept.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Lets the courier look again: a clock or a setting has changed.
    pub(crate) fn wake(&self) {
        self.work.notify_one();
        self.progress.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
