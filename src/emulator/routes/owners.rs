//! Owners.

use serde_json::{Value, json};

use crate::emulator::account::Account;
use crate::emulator::call::{Answer, Call, Reply};
use crate::emulator::errors::Refusal;
use crate::emulator::people::Owner;

const PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 500;

/// `GET /crm/v3/owners`
pub(super) fn list(account: &Account, call: &Call) -> Answer {
    let limit = call.query_limit(PAGE, LARGEST_PAGE)?;
    let after = call.query_number("after")?.unwrap_or(0);
    let archived = call.query_flag("archived");
    let email = call.query("email").map(|email| email.to_lowercase());
    let wanted = |owner: &&Owner| {
        owner.archived == archived
            && owner.id >= after
            && email.as_ref().is_none_or(|email| owner.email == *email)
    };
    let mut owners: Vec<&Owner> = account.owners.iter().filter(wanted).collect();
    owners.sort_by_key(|owner| owner.id);
    let page: Vec<Value> =
        owners.iter().take(limit as usize).map(|owner| owner.to_json()).collect();
    let mut body = json!({"results": page});
    if let Some(next) = owners.get(limit as usize) {
        let after = next.id.to_string();
        let link = format!("https://api.hubapi.com/crm/v3/owners?limit={limit}&after={after}");
        body["paging"] = json!({"next": {"after": after, "link": link}});
    }
    Ok(Reply::json(200, &body))
}

/// `GET /crm/v3/owners/{id}?idProperty=id|userId`
pub(super) fn read(account: &Account, call: &Call) -> Answer {
    let archived = call.query_flag("archived");
    let by_user = call.query("idProperty").is_some_and(|name| name == "userId");
    let id: Option<u64> = call.name(0).parse().ok();
    let found = account.owners.iter().find(|owner| {
        let own = if by_user { owner.user_id } else { owner.id };
        owner.archived == archived && Some(own) == id
    });
    match found {
        Some(owner) => Ok(Reply::json(200, &owner.to_json())),
        None => Err(Refusal::not_found(call.json_wanted).into()),
    }
}
