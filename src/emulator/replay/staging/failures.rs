//! Failures that do not hang on the account's records. All of them come out
//! of the emulator's own limits, scopes and faults.

use serde_json::Value;

use super::texts;
use crate::emulator::call::Call;
use crate::emulator::faults::{Fault, FaultAction};
use crate::emulator::replay::exchange::Exchange;
use crate::emulator::shared::Shared;

/// The credentials to send: what the recording had, if it had any.
pub(crate) fn token(exchange: &Exchange) -> Option<String> {
    // The service says so of none, and of one it cannot read.
    let is_unread = exchange.answer["category"] == "INVALID_AUTHENTICATION";
    match exchange.header("authorization").filter(|_| exchange.status != 401 || !is_unread) {
        Some(token) => Some(token.to_owned()),
        None if exchange.status == 401 && (is_unread || exchange.has_headers()) => None,
        // API keys in the query, as until 2022, count as a token.
        None => Some("Bearer recorded".to_owned()),
    }
}

/// Orders the failure of a recorded status; whether it is one.
pub(super) fn order(shared: &Shared, call: &Call, exchange: &Exchange) -> bool {
    let recorded = &exchange.answer;
    let action = match exchange.status {
        429 => {
            let mut gate = shared.gate();
            let message = recorded["message"].as_str().unwrap_or_default().to_lowercase();
            match recorded["policyName"].as_str() {
                Some("DAILY") => gate.limits.daily = 0,
                None if message.contains("daily") => gate.limits.daily = 0,
                _ => (gate.limits.per_ten_seconds, gate.limits.searches_per_second) = (0, 0),
            }
            return true;
        }
        403 => FaultAction::ScopesMissing { scopes: scopes(recorded) },
        status @ (423 | 477 | 500..) => {
            FaultAction::Refuse { status, body: None, retry_after: None }
        }
        401 if recorded["category"] == "EXPIRED_AUTHENTICATION" => {
            FaultAction::Refuse { status: 401, body: None, retry_after: None }
        }
        401 => return true,
        _ => return false,
    };
    let path = call.path.clone();
    shared.faults.add(Fault { method: None, path, action, skip: 0, times: None });
    true
}

fn scopes(recorded: &Value) -> Vec<String> {
    texts(&recorded["errors"][0]["context"]["requiredGranularScopes"])
}
