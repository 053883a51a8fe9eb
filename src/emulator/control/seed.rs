//! Control of what the account is made of.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Control, ControlError, parse};
use crate::emulator::call::Call;
use crate::emulator::keeping::Origin;
use crate::emulator::shared::Shared;

/// What an account is to be made of; what is not said stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sowing {
    /// The seed.
    pub seed: Option<u64>,
    /// Contacts.
    pub contacts: Option<u64>,
    /// Companies.
    pub companies: Option<u64>,
    /// Deals.
    pub deals: Option<u64>,
    /// Tickets.
    pub tickets: Option<u64>,
    /// Notes, tasks, calls, meetings and emails together.
    pub activities: Option<u64>,
    /// Custom properties per object type.
    #[serde(alias = "extra_properties")]
    pub properties: Option<u64>,
}

impl Control {
    /// Begins again with a fresh account: everything that was created or
    /// changed is gone. The clock goes on, and limits, rules, faults, the log
    /// and a snapshot taken before stay.
    pub fn seed(&self, sowing: &Sowing) -> Result<(), ControlError> {
        sow(&self.shared, sowing).map(|_| ())
    }
}

/// `GET` tells what the account is made of, `POST` makes another one.
pub(super) fn seed(shared: &Shared, call: &Call) -> Result<Value, ControlError> {
    let origin = match call.method.as_str() {
        "POST" if call.body.is_empty() => {
            return Err(ControlError::Malformed(
                "it takes all records away: say `{}` to begin again with as many".to_owned(),
            ));
        }
        "POST" => {
            // What `GET` tells may be posted back.
            let mut fields: Map<String, Value> = parse(call)?;
            let portal_id = shared.read().portal_id;
            if fields.remove("portal_id").is_some_and(|given| given != portal_id) {
                let why = format!("The account stays `{portal_id}` while the emulator runs");
                return Err(ControlError::Refused(why));
            }
            let sowing = serde_json::from_value(Value::Object(fields));
            sow(shared, &sowing.map_err(|error| ControlError::Malformed(error.to_string()))?)?
        }
        _ => shared.read().origin.clone(),
    };
    Ok(json!(origin))
}

fn sow(shared: &Shared, sowing: &Sowing) -> Result<Origin, ControlError> {
    let mut account = shared.write();
    let origin = account.origin.sown(sowing);
    let why = |(setting, most)| ControlError::Refused(format!("`{setting}` may be at most {most}"));
    origin.too_large().map_or(Ok(()), |excess| Err(why(excess)))?;
    account.begin_again(&origin);
    Ok(origin)
}
