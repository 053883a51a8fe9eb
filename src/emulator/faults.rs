//! Faults on order: which calls go wrong, how, and how often.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

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
        /// Its body; without one, a gateway's HTML for 5xx, else a plain error.
        #[serde(default)]
        body: Option<Value>,
        /// Seconds to put into `Retry-After`.
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
    /// Do it, then keep the answer until the faults are cleared.
    ApplyThenHold,
    /// Close the connection without doing anything.
    Drop,
    /// Keep the call, not yet done, until the faults are cleared.
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
    held: BTreeMap<u64, HeldCall>,
    next_held: u64,
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
        self.lock().rules.clear();
        self.released.send_modify(|turn| *turn += 1);
    }

    /// The rules in force.
    pub(crate) fn rules(&self) -> Vec<FaultState> {
        self.lock().rules.clone()
    }

    /// The calls being held, oldest first.
    pub(crate) fn held(&self) -> Vec<HeldCall> {
        self.lock().held.values().cloned().collect()
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

    /// Holds a call until the faults are cleared. If the caller goes away, the
    /// future is dropped and the call is no longer held.
    pub(crate) async fn hold(&self, method: &str, path: &str, applied: bool) {
        let mut released = self.released.subscribe();
        let guard = self.enter(method, path, applied);
        self.holding.send_modify(|count| *count += 1);
        // The sender lives as long as `self`: an error cannot occur.
        let _ = released.changed().await;
        drop(guard);
    }

    fn enter(&self, method: &str, path: &str, applied: bool) -> Leave<'_> {
        let mut state = self.lock();
        state.next_held += 1;
        let id = state.next_held;
        let call = HeldCall { id, method: method.to_owned(), path: path.to_owned(), applied };
        state.held.insert(id, call);
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

/// Whether a path fits a pattern in which `*` stands for any characters.
fn fits(path: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let head = parts.next().unwrap_or_default();
    let Some(mut rest) = path.strip_prefix(head) else { return false };
    let Some(tail) = pattern.rsplit_once('*').map(|(_, tail)| tail) else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    path.len() >= head.len() + tail.len() && path.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(path: &str, skip: u64, times: Option<u64>) -> Fault {
        let action = FaultAction::Refuse { status: 502, body: None, retry_after: None };
        Fault { method: Some("POST".to_owned()), path: path.to_owned(), action, skip, times }
    }

    #[test]
    fn patterns() {
        assert!(fits("/crm/v3/objects/contacts/batch/update", "*/batch/*"));
        assert!(fits("/crm/v3/objects/contacts", "/crm/v3/objects/contacts"));
        assert!(!fits("/crm/v3/objects/contacts/1", "/crm/v3/objects/contacts"));
        assert!(fits("/a/b", "*"));
        assert!(!fits("/a/b", "/a/*/c"));
        assert!(!fits("ab", "ab*b"));
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
