//! Kinds of association: their labels, and how many of one kind a record may
//! have.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::associations::{batch_reply, check_permission, invalid_entry, pair_of_types};
use super::{Batch, type_of};
use crate::emulator::account::Account;
use crate::emulator::associations::{Kind, TypeAt};
use crate::emulator::call::{Answer, Call, Reply};
use crate::emulator::errors::{Refusal, Refused};

/// Labels that an account may give a pair of types.
const MOST_LABELS: usize = 10;

/// `GET …/labels`
pub(super) fn list(account: &Account, call: &Call) -> Answer {
    let (from, to) = pair_of_types(account, call)?;
    let kinds = account.associations.kinds(from, to);
    let results: Vec<Value> = kinds
        .iter()
        .map(|kind| json!({"category": kind.category, "typeId": kind.id, "label": kind.label}))
        .collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `GET /crm/v3/associations/{from}/{to}/types`
pub(super) fn types(account: &Account, call: &Call) -> Answer {
    let (from, to) = pair_of_types(account, call)?;
    let entry = |kind: &Kind| {
        let name = account.kind_name(from, to, kind.id);
        json!({"id": kind.id.to_string(), "name": name})
    };
    let results: Vec<Value> = account.associations.kinds(from, to).iter().map(entry).collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `POST …/labels`: answers the ids of both directions.
pub(super) fn create(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        name: String,
        label: String,
        #[serde(default)]
        inverse_label: Option<String>,
    }
    let (from, to) = pair_of_types(account, call)?;
    let request: Request = call.json()?;
    check_name(&request.name)?;
    check_room(account, from, to, &request.name, &request.label)?;
    let ids = account.associations.new_kind_ids();
    let label = Some(request.label.as_str());
    account.associations.add_pair(from, to, ids, "USER_DEFINED", &request.name, label);
    if let Some(inverse) = &request.inverse_label {
        account.associations.relabel(to, from, ids[1], inverse);
    }
    let entry =
        |id: u32, label: &str| json!({"category": "USER_DEFINED", "typeId": id, "label": label});
    let inverse = request.inverse_label.as_deref().unwrap_or(&request.label);
    let results = [entry(ids[0], &request.label), entry(ids[1], inverse)];
    Ok(Reply::json(200, &json!({"results": results})))
}

fn check_name(name: &str) -> Result<(), Refused> {
    let digit = |first: char| first.is_ascii_digit();
    if name.is_empty() || name.contains('-') || name.starts_with(digit) {
        return Err(Refusal::invalid(format!("Invalid association name: {name}")).into());
    }
    Ok(())
}

/// A pair of labels counts once, whichever direction was asked for.
fn check_room(
    account: &Account,
    from: TypeAt,
    to: TypeAt,
    name: &str,
    label: &str,
) -> Result<(), Refused> {
    let own = account.associations.kinds(from, to).iter().filter(|kind| kind.is_own_label());
    let names: BTreeSet<&str> = own.clone().map(|kind| kind.name.as_str()).collect();
    if names.contains(name) || own.clone().any(|kind| kind.label.as_deref() == Some(label)) {
        let message = format!("An association label named {name} or {label} exists already");
        return Err(Refusal::invalid(message).into());
    }
    if names.len() >= MOST_LABELS {
        let message = format!("At most {MOST_LABELS} labels are allowed between two object types");
        return Err(Refusal::invalid(message).into());
    }
    Ok(())
}

/// `PUT …/labels`: the name stays.
pub(super) fn update(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        association_type_id: u32,
        label: String,
        #[serde(default)]
        inverse_label: Option<String>,
    }
    let (from, to) = pair_of_types(account, call)?;
    let request: Request = call.json()?;
    let inverse = own_label(account, from, to, request.association_type_id)?.inverse;
    account.associations.relabel(from, to, request.association_type_id, &request.label);
    if let Some(label) = &request.inverse_label {
        account.associations.relabel(to, from, inverse, label);
    }
    Ok(Reply::nothing())
}

/// `DELETE …/labels/{typeId}`: in both directions, and off all pairs, which
/// stay associated.
pub(super) fn archive(account: &mut Account, call: &Call) -> Answer {
    let (from, to) = pair_of_types(account, call)?;
    let id = call.name(2).parse().unwrap_or_default();
    own_label(account, from, to, id)?;
    account.associations.remove_kind(from, to, id);
    Ok(Reply::nothing())
}

fn own_label(account: &Account, from: TypeAt, to: TypeAt, id: u32) -> Result<&Kind, Refused> {
    let missing = || Refusal::missing(format!("Association type {id} does not exist"));
    let kind = account.associations.kind(from, to, id).ok_or_else(missing)?;
    match kind.is_own_label() {
        true => Ok(kind),
        false => {
            let message = format!("Association type {id} is defined by HubSpot");
            Err(Refusal::invalid(message).into())
        }
    }
}

/// `GET …/definitions/configurations/all`
pub(super) fn all_limits(account: &Account) -> Answer {
    let limits = account.associations.limits();
    let results: Vec<Value> = limits
        .filter_map(|((from, to, id), most)| limit_json(account, (*from, *to, *id), *most))
        .collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `GET …/definitions/configurations/{from}/{to}`
pub(super) fn limits(account: &Account, call: &Call) -> Answer {
    let pair = pair_of_types(account, call)?;
    let limits = account.associations.limits().filter(|((from, to, _), _)| (*from, *to) == pair);
    let results: Vec<Value> = limits
        .filter_map(|((from, to, id), most)| limit_json(account, (*from, *to, *id), *most))
        .collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

fn limit_json(
    account: &Account,
    (from, to, id): (TypeAt, TypeAt, u32),
    most: u64,
) -> Option<Value> {
    let kind = account.associations.kind(from, to, id)?;
    let mut entry = json!({
        "category": kind.category,
        "typeId": id,
        "userEnforcedMaxToObjectIds": most,
    });
    if let Some(label) = &kind.label {
        entry["label"] = json!(label);
    }
    Some(entry)
}

/// A limit in a request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LimitRequest {
    #[allow(dead_code, reason = "read so that a body without it is refused")]
    category: String,
    type_id: u32,
    #[serde(default)]
    max_to_object_ids: Option<u64>,
}

/// `POST …/definitions/configurations/{from}/{to}/batch/create` and `update`
pub(super) fn limits_set(account: &mut Account, call: &Call, new: bool) -> Answer {
    let (from, to) = pair_of_types(account, call)?;
    let request: Batch<LimitRequest> = call.json()?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &request.inputs {
        let (id, most) = (input.type_id, input.max_to_object_ids);
        let known = account.associations.kind(from, to, id).is_some();
        let limited = account.associations.limit(from, to, id).is_some();
        let Some(most) = most.filter(|most| *most > 0 && known && limited != new) else {
            let message = format!("The limit of association type {id} cannot be set");
            errors.push(invalid_entry(&message));
            continue;
        };
        account.associations.set_limit(from, to, id, Some(most));
        results.extend(limit_json(account, (from, to, id), most));
    }
    Ok(batch_reply(account, call, if new { 201 } else { 200 }, results, errors))
}

/// `POST …/definitions/configurations/{from}/{to}/batch/purge`
pub(super) fn limits_purge(account: &mut Account, call: &Call) -> Answer {
    let (from, to) = pair_of_types(account, call)?;
    let request: Batch<LimitRequest> = call.json()?;
    for input in &request.inputs {
        account.associations.set_limit(from, to, input.type_id, None);
    }
    Ok(Reply::nothing())
}

/// `POST …/usage/high-usage-report/{userId}`: the report itself is mailed.
pub(super) fn usage_report(account: &Account, call: &Call) -> Answer {
    let user = call.name(0).parse::<u64>().ok();
    let owner = account.owners.iter().find(|owner| Some(owner.user_id) == user);
    let owner =
        owner.ok_or_else(|| Refusal::missing(format!("User {} does not exist", call.name(0))))?;
    let body = json!({
        "userId": owner.user_id,
        "userEmail": owner.email,
        "enqueueTime": account.now_text(),
    });
    Ok(Reply::json(200, &body))
}

/// A schema's own association is removed by its id.
pub(super) fn remove(account: &mut Account, at: TypeAt, id: &str, call: &Call) -> Answer {
    check_permission(account, call)?;
    let id: u32 = id.parse().unwrap_or_default();
    let to = (0..account.tables.len())
        .find(|to| account.associations.kind(at, *to, id).is_some_and(Kind::is_own));
    let missing = || Refusal::missing(format!("Association {} does not exist", call.name(1)));
    let to = to.ok_or_else(missing)?;
    type_of(account, account.name_of(to))?;
    account.associations.remove_kind(at, to, id);
    Ok(Reply::nothing())
}
