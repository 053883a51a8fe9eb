//! Associations, version 4.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::objects::{KindRequest, Reference, record_text};
use super::{Batch, type_of};
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::{Answer, Call, Reply, Text};
use crate::emulator::errors::{Refusal, Refused};
use crate::emulator::paths::Edition;
use crate::emulator::render::Shown;

const MOST_READ: usize = 1_000;
const MOST_CREATED: usize = 2_000;
/// Associates of one record that come at once.
const PAGE: usize = 500;

/// `POST …/batch/read`
pub(super) fn batch_read(account: &Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    struct Input {
        id: Text,
        #[serde(default)]
        after: Option<Text>,
    }
    let (from, to) = pair_of_types(account, call)?;
    let request: Batch<Input> = call.json()?;
    check_size(request.inputs.len(), MOST_READ)?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &request.inputs {
        let Ok(id) = input.id.0.parse::<u64>() else {
            errors.push(bad_identifier(&input.id.0));
            continue;
        };
        let after = input.after.as_ref().and_then(|after| after.0.parse().ok()).unwrap_or(0);
        let associates = account.associates(from, id, to);
        if associates.is_empty() {
            errors.push(none_associated(account, from, &input.id.0, to));
            continue;
        }
        let (page, next) = page(account, from, to, &associates, after, PAGE);
        let mut result = json!({"from": {"id": input.id.0}, "to": page});
        if let Some(next) = next {
            result["paging"] = paging(account, from, &input.id.0, to, next);
        }
        results.push(result);
    }
    account.shuffle(&mut results);
    Ok(batch_reply(account, 200, results, errors))
}

/// `GET /crm/v4/objects/{from}/{id}/associations/{to}`
pub(super) fn of_record(account: &Account, call: &Call) -> Answer {
    let from = type_of(account, call.name(0))?;
    let to = type_of(account, call.name(2))?;
    let id =
        account.live_id(from, call.name(1)).ok_or_else(|| Refusal::not_found(call.json_wanted))?;
    let limit = call.query_number("limit")?.unwrap_or(PAGE as u64).clamp(1, PAGE as u64);
    let after = call.query_number("after")?.unwrap_or(0);
    let associates = account.associates(from, id, to);
    let (page, next) = page(account, from, to, &associates, after, limit as usize);
    let mut body = json!({"results": page});
    if let Some(next) = next {
        body["paging"] = paging(account, from, &id.to_string(), to, next);
    }
    Ok(Reply::json(200, &body))
}

/// A pair in the body of a batch.
#[derive(Deserialize)]
struct PairRequest {
    from: Reference,
    to: Reference,
    #[serde(default)]
    types: Vec<KindRequest>,
}

/// `POST …/batch/create`
pub(super) fn batch_create(account: &mut Account, call: &Call) -> Answer {
    let (from, to) = pair_of_types(account, call)?;
    let request: Batch<PairRequest> = call.json()?;
    check_size(request.inputs.len(), MOST_CREATED)?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &request.inputs {
        let kinds: Vec<u32> = input.types.iter().map(|kind| kind.association_type_id).collect();
        match checked_pair(account, from, to, input, &kinds) {
            Ok((id, other)) => {
                account.associate(from, id, to, other, &kinds);
                results.push(created(account, from, id, to, other, &kinds));
            }
            Err(message) => errors.push(invalid_entry(&message)),
        }
    }
    account.shuffle(&mut results);
    let status = if call.edition == Edition::September2026 { 200 } else { 201 };
    Ok(batch_reply(account, status, results, errors))
}

/// `POST …/batch/associate/default`
pub(super) fn batch_default(account: &mut Account, call: &Call) -> Answer {
    let (from, to) = pair_of_types(account, call)?;
    let request: Batch<PairRequest> = call.json()?;
    check_size(request.inputs.len(), MOST_CREATED)?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &request.inputs {
        match checked_pair(account, from, to, input, &[]) {
            Ok((id, other)) => results.extend(make_default(account, from, id, to, other)),
            Err(message) => errors.push(invalid_entry(&message)),
        }
    }
    Ok(batch_reply(account, 200, results, errors))
}

/// `POST …/batch/archive`
pub(super) fn batch_archive(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    struct Input {
        from: Reference,
        to: Vec<Reference>,
    }
    let (from, to) = pair_of_types(account, call)?;
    let request: Batch<Input> = call.json()?;
    for input in &request.inputs {
        let Some(id) = account.live_id(from, &input.from.id.0) else { continue };
        for other in &input.to {
            if let Some(other) = account.live_id(to, &other.id.0) {
                account.dissociate(from, id, to, other);
            }
        }
    }
    Ok(archived_reply(account, call))
}

/// `POST …/batch/labels/archive`
pub(super) fn labels_archive(account: &mut Account, call: &Call) -> Answer {
    let (from, to) = pair_of_types(account, call)?;
    let request: Batch<PairRequest> = call.json()?;
    for input in &request.inputs {
        let kinds: Vec<u32> = input.types.iter().map(|kind| kind.association_type_id).collect();
        if let Ok((id, other)) = checked_pair(account, from, to, input, &kinds) {
            account.unlabel(from, id, to, other, &kinds);
        }
    }
    Ok(archived_reply(account, call))
}

/// `PUT …/associations/default/{to}/{toId}`
pub(super) fn pair_default(account: &mut Account, call: &Call) -> Answer {
    let (from, id, to, other) = pair_of_path(account, call)?;
    let results = make_default(account, from, id, to, other);
    Ok(batch_reply(account, 200, results, Vec::new()))
}

/// `PUT …/associations/{to}/{toId}`
pub(super) fn pair_create(account: &mut Account, call: &Call) -> Answer {
    let (from, id, to, other) = pair_of_path(account, call)?;
    let kinds: Vec<KindRequest> = call.json()?;
    let kinds: Vec<u32> = kinds.iter().map(|kind| kind.association_type_id).collect();
    if let Some(kind) =
        kinds.iter().find(|kind| account.associations.kind(from, to, **kind).is_none())
    {
        return Err(Refusal::invalid(format!("Association type {kind} does not exist")).into());
    }
    account.associate(from, id, to, other, &kinds);
    Ok(Reply::json(201, &created(account, from, id, to, other, &kinds)))
}

/// `PUT /crm/v3/objects/{from}/{id}/associations/{to}/{toId}/{type}`, version
/// 3: the type is a name or a number, and the answer is the record.
pub(super) fn pair_create_named(account: &mut Account, call: &Call) -> Answer {
    let (from, id, to, other) = pair_of_path(account, call)?;
    let kind = call
        .name(4)
        .parse()
        .ok()
        .filter(|kind| account.associations.kind(from, to, *kind).is_some());
    account.associate(from, id, to, other, kind.as_slice());
    let shown = Shown {
        slots: account.tables[from].catalogue.select(std::iter::empty()),
        history: Vec::new(),
        associations: vec![to],
        nulls: true,
    };
    let view = account.tables[from].live(id);
    let view = view.ok_or_else(|| Refusal::not_found(call.json_wanted))?;
    Ok(Reply::raw(200, record_text(account, from, &view, &shown)))
}

/// `DELETE …/associations/{to}/{toId}`, with or without a type behind
pub(super) fn pair_archive(account: &mut Account, call: &Call) -> Answer {
    if let Ok((from, id, to, other)) = pair_of_path(account, call) {
        account.dissociate(from, id, to, other);
    }
    Ok(Reply::nothing())
}

/// `GET …/labels`
pub(super) fn labels(account: &Account, call: &Call) -> Answer {
    let (from, to) = pair_of_types(account, call)?;
    let kinds = account.associations.kinds(from, to);
    let results: Vec<Value> = kinds
        .iter()
        .map(|kind| json!({"category": kind.category, "typeId": kind.id, "label": kind.label}))
        .collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `POST …/labels`
pub(super) fn label_create(account: &mut Account, call: &Call) -> Answer {
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
    if request.name.contains('-') || request.name.starts_with(|first: char| first.is_ascii_digit())
    {
        return Err(Refusal::invalid(format!("Invalid association name: {}", request.name)).into());
    }
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

fn pair_of_types(account: &Account, call: &Call) -> Result<(TypeAt, TypeAt), Refused> {
    Ok((type_of(account, call.name(0))?, type_of(account, call.name(1))?))
}

fn pair_of_path(account: &Account, call: &Call) -> Result<(TypeAt, u64, TypeAt, u64), Refused> {
    let from = type_of(account, call.name(0))?;
    let to = type_of(account, call.name(2))?;
    let missing = || Refused::from(Refusal::not_found(call.json_wanted));
    let id = account.live_id(from, call.name(1)).ok_or_else(missing)?;
    let other = account.live_id(to, call.name(3)).ok_or_else(missing)?;
    Ok((from, id, to, other))
}

/// Both ids of a pair, or what is wrong with it.
fn checked_pair(
    account: &Account,
    from: TypeAt,
    to: TypeAt,
    pair: &PairRequest,
    kinds: &[u32],
) -> Result<(u64, u64), String> {
    let live = |at: TypeAt, id: &str| {
        let shouted = account.tables[at].object_type.shouted();
        account.live_id(at, id).ok_or_else(|| format!("{shouted}={id} is not valid"))
    };
    let (id, other) = (live(from, &pair.from.id.0)?, live(to, &pair.to.id.0)?);
    if from == to && id == other {
        return Err(format!("Object {id} cannot be associated to itself ({id})"));
    }
    let unknown = kinds.iter().find(|kind| account.associations.kind(from, to, **kind).is_none());
    match unknown {
        Some(kind) => Err(format!("Association type {kind} does not exist")),
        None => Ok((id, other)),
    }
}

fn make_default(
    account: &mut Account,
    from: TypeAt,
    id: u64,
    to: TypeAt,
    other: u64,
) -> Vec<Value> {
    account.associate(from, id, to, other, &[]);
    let mut results = Vec::new();
    for (from, id, to, other) in [(from, id, to, other), (to, other, from, id)] {
        let plain = account.associations.kinds(from, to).iter().find(|kind| kind.label.is_none());
        let Some(kind) = plain else { continue };
        results.push(json!({
            "from": {"id": id.to_string()},
            "to": {"id": other.to_string()},
            "associationSpec": {
                "associationCategory": kind.category,
                "associationTypeId": kind.id,
            },
        }));
    }
    results
}

/// One page of a record's associates, and where the next begins.
fn page(
    account: &Account,
    from: TypeAt,
    to: TypeAt,
    associates: &BTreeMap<u64, Vec<u32>>,
    after: u64,
    size: usize,
) -> (Vec<Value>, Option<u64>) {
    let mut rest = associates.range(after..);
    let entries = rest.by_ref().take(size).map(|(other, kinds)| {
        let mut types: Vec<Value> = kinds
            .iter()
            .filter_map(|kind| {
                let kind = account.associations.kind(from, to, *kind)?;
                Some(json!({"category": kind.category, "typeId": kind.id, "label": kind.label}))
            })
            .collect();
        // Their order is not stable (observed): find the primary by label.
        account.shuffle(&mut types);
        json!({"toObjectId": other, "associationTypes": types})
    });
    let page = entries.collect();
    (page, rest.next().map(|(other, _)| *other))
}

fn paging(account: &Account, from: TypeAt, id: &str, to: TypeAt, after: u64) -> Value {
    let (from, to) =
        (&account.tables[from].object_type.plural, &account.tables[to].object_type.plural);
    let link = format!(
        "https://api.hubapi.com/crm/v4/objects/{from}/{id}/associations/{to}?after={after}"
    );
    json!({"next": {"after": after.to_string(), "link": link}})
}

fn created(
    account: &Account,
    from: TypeAt,
    id: u64,
    to: TypeAt,
    other: u64,
    kinds: &[u32],
) -> Value {
    let label = |kind: &u32| {
        let kind = account.associations.kind(from, to, *kind)?;
        // Recorded: types 1 and 2 answer another label than they read with.
        match kind.id {
            1 | 2 => Some("Primary Company".to_owned()),
            _ => kind.label.clone(),
        }
    };
    let labels: Vec<String> = kinds.iter().filter_map(label).collect();
    json!({
        "fromObjectTypeId": account.tables[from].object_type.type_id,
        "fromObjectId": id,
        "toObjectTypeId": account.tables[to].object_type.type_id,
        "toObjectId": other,
        "labels": labels,
    })
}

fn none_associated(account: &Account, from: TypeAt, id: &str, to: TypeAt) -> Value {
    let (from, to) =
        (&account.tables[from].object_type.singular, &account.tables[to].object_type.singular);
    json!({
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": format!("No {to} is associated with {from} {id}."),
        "context": {"fromObjectId": [id], "fromObjectType": [from], "toObjectType": [to]},
    })
}

fn bad_identifier(id: &str) -> Value {
    json!({
        "status": "error",
        "category": "VALIDATION_ERROR",
        "subCategory": "crm.associations.INVALID_IDENTIFIER",
        "message": format!("The id {id} is not valid."),
        "context": {"id": [id]},
    })
}

fn invalid_entry(message: &str) -> Value {
    json!({"status": "error", "category": "VALIDATION_ERROR", "message": message})
}

fn check_size(inputs: usize, most: usize) -> Result<(), Refused> {
    if inputs <= most {
        return Ok(());
    }
    let message = format!(
        "The maximum number of inputs supported in a batch request is {most}. Please reduce the \
         number of items and try again"
    );
    Err(Refusal::invalid(message).into())
}

fn archived_reply(account: &Account, call: &Call) -> Reply {
    match call.edition {
        Edition::Legacy => Reply::nothing(),
        Edition::March2026 | Edition::September2026 => {
            batch_reply(account, 200, Vec::new(), Vec::new())
        }
    }
}

fn batch_reply(account: &Account, status: u16, results: Vec<Value>, errors: Vec<Value>) -> Reply {
    let mut body = json!({"status": "COMPLETE", "results": results});
    let status = if errors.is_empty() { status } else { 207 };
    if !errors.is_empty() {
        body["numErrors"] = json!(errors.len());
        body["errors"] = json!(errors);
    }
    body["startedAt"] = json!(account.now_text());
    body["completedAt"] = json!(account.now_text());
    Reply::json(status, &body)
}
