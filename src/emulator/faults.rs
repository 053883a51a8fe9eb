//! Faults on order: which calls go wrong, how, and how often.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::wildcards::fits;

/// A rule for calls that go wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// The method, in capitals; none matches every method.
    #[serde(default)]
    pub method: Option<String>,
    /// The path, in which `*` stands for any characters, `/` included.
    pub path: String,
    /// What happens.
    #[serde(flatten)]
    pub action: FaultAction,
    /// How many matching calls go well first.
    #[serde(default)]
    pub skip: u64,
    /// How many matching calls go wrong; none means all.
    #[serde(default = "once")]
    pub times: Option<u64>,
}

fn once() -> Option<u64> {
    Some(1)
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum FaultAction {
    /// Answer without doing anything.
    Refuse {
        /// The status of the answer.
        status: u16,
        /// Its body; without one, what the status usually comes with: HTML
        /// for 413, 414 and those of gateways, HubSpot's JSON for the others.
        #[serde(default)]
        body: Option<Value>,
        /// Seconds to put into `Retry-After`; 477 has 60 unless told.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// 403, naming the scopes.
    ScopesMissing {
        /// The scopes of which one is needed.
        scopes: Vec<String>,
    },
    /// 423: records are locked by heavy writing. HubSpot's body is not
    /// published.
    Locked,
    /// 477: the account is moving between data centres. HubSpot's body is not
    /// published.
    Migrating {
        /// Seconds to put into `Retry-After`; up to a day.
        retry_after: u64,
    },
    /// Do it, then answer something else, as a gateway that lost patience.
    ApplyThen {
        /// The status of the answer.
        status: u16,
    },
    /// Do it, then close the connection without an answer.
    ApplyThenDrop,
    /// Do it, then keep the answer until it is let go.
    ApplyThenHold,
    /// Close the connection without doing anything.
    Drop,
    /// Keep the call, not yet done, until it is let go.
    Hold,
    /// Do it, and answer late.
    Late {
        /// By how many milliseconds.
        ms: u64,
    },
    /// Do it, and send only half of the answer.
    Truncate,
    /// Do it, and send the answer in pieces.
    SlowBody {
        /// Milliseconds between two pieces.
        ms: u64,
    },
    /// Do it, and call the answer HTML.
    WrongContentType,
    /// Answer with any text, without doing anything, as something on the way
    /// to HubSpot may.
    Answer {
        /// The status of the answer.
        status: u16,
        /// Its body; empty unless given.
        #[serde(default)]
        body: String,
        /// Its content type; HTML unless given.
        #[serde(default)]
        content_type: Option<String>,
    },
    /// Do it, and answer with JSON of your own: an error under 200, say.
    ApplyThenAnswer {
        /// The status of the answer.
        status: u16,
        /// Its body; empty unless given.
        #[serde(default)]
        body: Option<Value>,
    },
}

/// A call that is being held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldCall {
    /// Its number among all held calls.
    pub id: u64,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Whether it has been done already.
    pub applied: bool,
}

/// A rule and what it has seen.
#[derive(Clone, Debug, Serialize)]
pub struct FaultState {
    /// The rule.
    #[serde(flatten)]
    pub fault: Fault,
    /// How many calls matched.
    pub matched: u64,
    /// How many calls went wrong by it.
    pub fired: u64,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<FaultState>,
    held: BTreeMap<u64, Waiting>,
    next_held: u64,
}

#[derive(Debug)]
struct Waiting {
    call: HeldCall,
    /// Whether it has been let go, and only has to notice.
    free: bool,
}

/// The rules in force and the calls they hold.
#[derive(Debug)]
pub(crate) struct Faults {
    state: Mutex<State>,
    /// Counts releases; held calls wait for it to change.
    released: watch::Sender<u64>,
    /// Counts calls that came to be held.
    holding: watch::Sender<u64>,
}

impl Faults {
    /// No faults.
    pub(crate) fn new() -> Self {
        let state = Mutex::default();
        Self { state, released: watch::Sender::new(0), holding: watch::Sender::new(0) }
    }

    /// Adds a rule behind those there are.
    pub(crate) fn add(&self, fault: Fault) {
        self.lock().rules.push(FaultState { fault, matched: 0, fired: 0 });
    }

    /// Removes all rules and lets go of the calls they hold.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.rules.clear();
        state.held.values_mut().for_each(|waiting| waiting.free = true);
        drop(state);
        self.released.send_modify(|turn| *turn += 1);
    }

    /// Lets go of one call; false if it is not held.
    pub(crate) fn release(&self, id: u64) -> bool {
        let mut state = self.lock();
        let Some(waiting) = state.held.get_mut(&id).filter(|waiting| !waiting.free) else {
            return false;
        };
        waiting.free = true;
        drop(state);
        self.released.send_modify(|turn| *turn += 1);
        true
    }

    /// The rules in force.
    pub(crate) fn rules(&self) -> Vec<FaultState> {
        self.lock().rules.clone()
    }

    /// The calls being held, oldest first.
    pub(crate) fn held(&self) -> Vec<HeldCall> {
        let state = self.lock();
        let held = state.held.values().filter(|waiting| !waiting.free);
        held.map(|waiting| waiting.call.clone()).collect()
    }

    /// Waits until at least one call is held.
    pub(crate) async fn wait_for_held(&self) -> Vec<HeldCall> {
        let mut holding = self.holding.subscribe();
        loop {
            let held = self.held();
            if !held.is_empty() || holding.changed().await.is_err() {
                return held;
            }
        }
    }

    /// What goes wrong with a call: the first rule that matches decides.
    pub(crate) fn strike(&self, method: &str, path: &str) -> Option<FaultAction> {
        let mut state = self.lock();
        for rule in &mut state.rules {
            let same_method = rule.fault.method.as_deref().is_none_or(|wanted| wanted == method);
            if !same_method || !fits(path, &rule.fault.path) {
                continue;
            }
            rule.matched += 1;
            let spent = rule.fault.times.is_some_and(|times| rule.fired >= times);
            if rule.matched > rule.fault.skip && !spent {
                rule.fired += 1;
                return Some(rule.fault.action.clone());
            }
        }
        None
    }

    /// Holds a call until it, or all, are let go. If the caller goes away, the
    /// future is dropped and the call is no longer held.
    pub(crate) async fn hold(&self, method: &str, path: &str, applied: bool) {
        let mut released = self.released.subscribe();
        let guard = self.enter(method, path, applied);
        self.holding.send_modify(|count| *count += 1);
        // The sender lives as long as `self`: an error cannot occur.
        while self.is_held(guard.id) && released.changed().await.is_ok() {}
        drop(guard);
    }

    fn is_held(&self, id: u64) -> bool {
        self.lock().held.get(&id).is_some_and(|waiting| !waiting.free)
    }

    fn enter(&self, method: &str, path: &str, applied: bool) -> Leave<'_> {
        let mut state = self.lock();
        state.next_held += 1;
        let id = state.next_held;
        let call = HeldCall { id, method: method.to_owned(), path: path.to_owned(), applied };
        state.held.insert(id, Waiting { call, free: false });
        Leave { faults: self, id }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a call off the list of held ones.
struct Leave<'a> {
    faults: &'a Faults,
    id: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.faults.lock().held.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(path: &str, skip: u64, times: Option<u64>) -> Fault {
        let action = FaultAction::Refuse { status: 502, body: None, retry_after: None };
        Fault { method: Some("POST".to_owned()), path: path.to_owned(), action, skip, times }
    }

    #[test]
    fn a_rule_skips_and_then_counts_down() {
        let faults = Faults::new();
        faults.add(refuse("*/batch/*", 1, Some(2)));
        let strikes: Vec<bool> =
            (0..5).map(|_| faults.strike("POST", "/x/batch/y").is_some()).collect();
        assert_eq!(strikes, [false, true, true, false, false]);
        assert!(faults.strike("GET", "/x/batch/y").is_none());
    }

    #[tokio::test]
    async fn held_calls_are_seen_and_let_go() {
        let faults = std::sync::Arc::new(Faults::new());
        let held = tokio::spawn({
            let faults = faults.clone();
            async move { faults.hold("POST", "/x", false).await }
        });
        assert_eq!(faults.wait_for_held().await[0].path, "/x");
        faults.clear();
        held.await.expect("the held call ends");
        assert!(faults.held().is_empty());
    }

    #[tokio::test]
    async fn held_calls_are_let_go_one_by_one() {
        let faults = std::sync::Arc::new(Faults::new());
        let hold = |path: &'static str| {
            let faults = faults.clone();
            tokio::spawn(async move { faults.hold("POST", path, false).await })
        };
        let (first, second) = (hold("/1"), hold("/2"));
        while faults.held().len() < 2 {
            tokio::task::yield_now().await;
        }
        let id = faults.held().iter().find(|call| call.path == "/2").map_or(0, |call| call.id);
        assert!(faults.release(id) && !faults.release(id));
        second.await.expect("the second call ends");
        assert_eq!(faults.held().len(), 1);
        assert!(!first.is_finished());
        faults.clear();
        first.await.expect("the first call ends");
    }

    #[test]
    fn rules_read_from_json() {
        let text = r#"{"path": "*", "action": "late", "ms": 5, "times": null}"#;
        let fault: Fault = serde_json::from_str(text).expect("a rule");
        assert_eq!(fault.action, FaultAction::Late { ms: 5 });
        assert_eq!(fault.times, None);
        let text = r#"{"path": "*", "action": "apply_then_drop"}"#;
        let fault: Fault = serde_json::from_str(text).expect("a rule");
        assert_eq!((fault.action, fault.times), (FaultAction::ApplyThenDrop, Some(1)));
    }
}
