//! Associations, version 3: a kind goes by a name, and there are no labels.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::associations::{
    batch_reply, check_permission, check_size, checked_pair, invalid_entry, none_associated,
    pair_of_types,
};
use super::objects::Reference;
use super::{Batch, type_of};
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::{Answer, Call, Reply, Text};
use crate::emulator::computed::Era;
use crate::emulator::errors::{Refusal, Refused};

const MOST_READ: usize = 1_000;
const MOST_WRITTEN: usize = 2_000;
const PAGE: usize = 100;
const LARGEST_PAGE: u64 = 500;

/// Whether a path is of version 3, where the same paths answer otherwise.
pub(super) fn is_asked(call: &Call) -> bool {
    call.path.split('/').any(|segment| segment == "v3")
}

/// `POST /crm/v3/associations/{from}/{to}/batch/read`
pub(super) fn read(account: &Account, call: &Call) -> Answer {
    let (from, to) = pair_of_types(account, call)?;
    let request: Batch<Reference> = call.json()?;
    check_size(request.inputs.len(), MOST_READ)?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &request.inputs {
        let id = input.id.0.parse::<u64>().unwrap_or_default();
        let associates = account.associates(from, id, to);
        if associates.is_empty() {
            errors.push(none_associated(account, from, &input.id.0, to));
            continue;
        }
        let (page, next) = page(account, from, to, &associates, 0, PAGE);
        let mut result = json!({"from": {"id": input.id.0}, "to": page});
        if let Some(next) = next {
            result["paging"] = paging(account, from, id, to, next);
        }
        results.push(result);
    }
    account.shuffle(&mut results);
    Ok(batch_reply(account, call, 200, results, errors))
}

/// `GET /crm/v3/objects/{from}/{id}/associations/{to}`: the cursor inside the
/// JSON is percent-encoded already (recorded).
pub(super) fn of_record(account: &Account, call: &Call) -> Answer {
    let (from, to) = (type_of(account, call.name(0))?, type_of(account, call.name(2))?);
    let id =
        account.live_id(from, call.name(1)).ok_or_else(|| Refusal::not_found(call.json_wanted))?;
    let limit = call.query_limit(PAGE as u64, LARGEST_PAGE)?;
    let after = match call.query("after") {
        Some(after) => cursor_id(&after)?,
        None => 0,
    };
    let associates = account.associates(from, id, to);
    let (page, next) = page(account, from, to, &associates, after, limit as usize);
    let mut body = json!({"results": page});
    if let Some(next) = next {
        body["paging"] = paging(account, from, id, to, next);
    }
    Ok(Reply::json(200, &body))
}

fn page(
    account: &Account,
    from: TypeAt,
    to: TypeAt,
    associates: &BTreeMap<u64, Vec<u32>>,
    after: u64,
    size: usize,
) -> (Vec<Value>, Option<u64>) {
    let mut rest = associates.range(after..);
    let entries = rest.by_ref().take(size).flat_map(|(other, kinds)| {
        let id = other.to_string();
        kinds.iter().map(move |kind| json!({"id": id, "type": account.kind_name(from, to, *kind)}))
    });
    let page = entries.collect();
    (page, rest.next().map(|(other, _)| *other))
}

fn paging(account: &Account, from: TypeAt, id: u64, to: TypeAt, next: u64) -> Value {
    let (from, to) = (account.name_of(from), account.name_of(to));
    let after = utf8_percent_encode(&format!("{next}=="), NON_ALPHANUMERIC).to_string();
    let link = format!(
        "https://api.hubapi.com/crm/v3/objects/{from}/{id}/associations/{to}?after={after}"
    );
    json!({"next": {"after": after, "link": link}})
}

fn cursor_id(after: &str) -> Result<u64, Refused> {
    let id = after.strip_suffix("==").and_then(|id| id.parse().ok());
    id.ok_or_else(|| Refusal::invalid(format!("Invalid paging cursor: {after}")).into())
}

/// A pair with the name or the number of its kind.
#[derive(Deserialize)]
struct Pair {
    from: Reference,
    to: Reference,
    #[serde(rename = "type")]
    kind: Text,
}

/// `POST /crm/v3/associations/{from}/{to}/batch/create`: 201 until August
/// 2025, 200 since (observed).
pub(super) fn create(account: &mut Account, call: &Call) -> Answer {
    check_permission(account, call)?;
    let (from, to) = pair_of_types(account, call)?;
    let request: Batch<Pair> = call.json()?;
    check_size(request.inputs.len(), MOST_WRITTEN)?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &request.inputs {
        match checked(account, from, to, input) {
            Ok((id, other, kind)) => {
                // A name is added to those there are.
                let mut kinds = account.pair(from, id, to, other);
                kinds.push(kind);
                kinds.dedup();
                account.associate(from, id, to, other, &kinds);
                results.push(json!({
                    "from": {"id": id.to_string()},
                    "to": {"id": other.to_string()},
                    "type": input.kind.0,
                }));
            }
            Err(message) => errors.push(invalid_entry(&message)),
        }
    }
    let status = if account.era < Era(2025) { 201 } else { 200 };
    Ok(batch_reply(account, call, status, results, errors))
}

/// `POST /crm/v3/associations/{from}/{to}/batch/archive`
pub(super) fn archive(account: &mut Account, call: &Call) -> Answer {
    check_permission(account, call)?;
    let (from, to) = pair_of_types(account, call)?;
    let request: Batch<Pair> = call.json()?;
    for input in &request.inputs {
        if let Ok((id, other, kind)) = checked(account, from, to, input) {
            account.unlabel(from, id, to, other, &[kind]);
        }
    }
    Ok(Reply::nothing())
}

fn checked(
    account: &Account,
    from: TypeAt,
    to: TypeAt,
    pair: &Pair,
) -> Result<(u64, u64, u32), String> {
    let name = pair.kind.0.as_str();
    let kind = account.kind_named(from, to, name);
    let kind = kind.ok_or_else(|| format!("Association type {name} does not exist"))?;
    let (id, other) = checked_pair(account, from, to, (&pair.from, &pair.to), &[kind])?;
    Ok((id, other, kind))
}
