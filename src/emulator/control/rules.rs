//! Control calls for the account's own rules.

use serde_json::{Value, json};

use super::index::hint;
use super::{Control, ControlError};
use crate::emulator::account::Account;
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
            let mut rules: Rules = serde_json::from_value(all).map_err(malformed)?;
            known(&account, &mut rules)?;
            account.rules = rules;
        }
        _ => {}
    }
    Ok(json!(account.rules))
}

/// Puts object types by the names that the rules go by, and refuses types and
/// properties that the account does not have.
fn known(account: &Account, rules: &mut Rules) -> Result<(), ControlError> {
    for by_type in [&mut rules.required, &mut rules.in_use] {
        for (name, properties) in std::mem::take(by_type) {
            let plural = plural(account, &name)?;
            for property in &properties {
                has_property(account, &plural, property)?;
            }
            by_type.entry(plural).or_default().extend(properties);
        }
    }
    for rule in &mut rules.conditional {
        rule.object_type = plural(account, &rule.object_type)?;
        has_property(account, &rule.object_type, &rule.property)?;
        has_property(account, &rule.object_type, &rule.controlled_by)?;
    }
    let unavailable = std::mem::take(&mut rules.unavailable);
    // Custom object types as a whole are a matter of the subscription too.
    let named = unavailable.into_iter().map(|name| match name.as_str() {
        "schemas" => Ok(name),
        _ => plural(account, &name),
    });
    rules.unavailable = named.collect::<Result<_, _>>()?;
    Ok(())
}

fn plural(account: &Account, name: &str) -> Result<String, ControlError> {
    if let Some(at) = account.type_at(name) {
        return Ok(account.tables[at].object_type.plural.clone());
    }
    let all = account.tables.iter().map(|table| table.object_type.plural.as_str());
    let hint = hint(name, all);
    Err(ControlError::Refused(format!("`{name}` is not an object type of the account{hint}")))
}

fn has_property(account: &Account, plural: &str, name: &str) -> Result<(), ControlError> {
    let Some(at) = account.type_at(plural) else { return Ok(()) };
    let catalogue = &account.tables[at].catalogue;
    if catalogue.find(name).is_some() {
        return Ok(());
    }
    let hint = hint(name, catalogue.iter().map(|(_, property)| property.name.as_str()));
    Err(ControlError::Refused(format!("`{plural}` have no property `{name}`{hint}")))
}
