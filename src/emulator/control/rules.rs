//! Control calls for the account's own rules.

use serde_json::{Value, json};

use super::{Control, ControlError};
use crate::emulator::call::Call;
use crate::emulator::rules::Rules;
use crate::emulator::shared::Shared;

impl Control {
    /// The rules in force.
    pub fn rules(&self) -> Rules {
        self.shared.read().rules.clone()
    }

    /// Puts other rules in force.
    pub fn set_rules(&self, rules: Rules) {
        self.shared.write().rules = rules;
    }
}

/// `GET` tells the rules, `POST` changes those that it names, `DELETE` goes
/// back to the usual ones.
pub(super) fn rules(shared: &Shared, call: &Call) -> Result<Value, ControlError> {
    let malformed = |error: serde_json::Error| ControlError::Malformed(error.to_string());
    let mut account = shared.write();
    match call.method.as_str() {
        "DELETE" => account.rules = Rules::default(),
        "POST" => {
            let changes: serde_json::Map<String, Value> =
                serde_json::from_slice(&call.body).map_err(malformed)?;
            let mut all = json!(account.rules);
            for (name, value) in changes {
                all[name.as_str()] = value;
            }
            account.rules = serde_json::from_value(all).map_err(malformed)?;
        }
        _ => {}
    }
    Ok(json!(account.rules))
}
