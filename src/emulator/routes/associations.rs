//! Associations, version 4.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::objects::{KindRequest, Reference, record_text};
use super::{Batch, associations_v3, batch_status, type_of};
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::{Answer, Call, Reply, Text};
use crate::emulator::errors::{Refusal, Refused};
use crate::emulator::paths::Edition;
use crate::emulator::render::Shown;

const MOST_READ: usize = 1_000;
const MOST_CREATED: usize = 2_000;
/// `from`s of an archive (`unverified`).
const MOST_ARCHIVED: usize = 100;
/// Associates of one record that come at once.
const PAGE: usize = 500;

/// `POST …/batch/read`
pub(super) fn batch_read(account: &Account, call: &Call) -> Answer {
    if associations_v3::is_asked(call) {
        return associations_v3::read(account, call);
    }
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
    Ok(batch_reply(account, call, 200, results, errors))
}

/// `GET /crm/v4/objects/{from}/{id}/associations/{to}`
pub(super) fn of_record(account: &Account, call: &Call) -> Answer {
    if associations_v3::is_asked(call) {
        return associations_v3::of_record(account, call);
    }
    if call.edition == Edition::September2026 && !account.rules.september_lists_associations {
        return Err(Refusal::not_found(call.json_wanted).into());
    }
    let from = type_of(account, call.name(0))?;
    let to = type_of(account, call.name(2))?;
    let id =
        account.live_id(from, call.name(1)).ok_or_else(|| Refusal::not_found(call.json_wanted))?;
    let limit = call.query_limit(PAGE as u64, PAGE as u64)?;
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
    /// A body without inputs is an empty batch here (recorded: 201).
    #[derive(Deserialize)]
    struct Pairs {
        #[serde(default)]
        inputs: Vec<PairRequest>,
    }
    if associations_v3::is_asked(call) {
        return associations_v3::create(account, call);
    }
    check_permission(account, call)?;
    let (from, to) = pair_of_types(account, call)?;
    let request: Pairs = call.json()?;
    check_size(request.inputs.len(), MOST_CREATED)?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &request.inputs {
        let ids = [&input.from.id.0, &input.to.id.0];
        if let Some(id) = ids.into_iter().find(|id| id.parse::<u64>().is_err()) {
            errors.push(bad_identifier(id));
            continue;
        }
        let kinds: Vec<u32> = input.types.iter().map(|kind| kind.association_type_id).collect();
        match checked_pair(account, from, to, (&input.from, &input.to), &kinds) {
            Ok((id, other)) => {
                account.associate(from, id, to, other, &kinds);
                results.push(created(account, from, id, to, other, &kinds));
            }
            Err(message) => errors.push(invalid_entry(&message)),
        }
    }
    account.shuffle(&mut results);
    let status = if call.edition == Edition::September2026 { 200 } else { 201 };
    Ok(batch_reply(account, call, status, results, errors))
}

/// `POST …/batch/associate/default`
pub(super) fn batch_default(account: &mut Account, call: &Call) -> Answer {
    check_permission(account, call)?;
    let (from, to) = pair_of_types(account, call)?;
    let request: Batch<PairRequest> = call.json()?;
    check_size(request.inputs.len(), MOST_CREATED)?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &request.inputs {
        match checked_pair(account, from, to, (&input.from, &input.to), &[]) {
            Ok((id, other)) => results.extend(make_default(account, from, id, to, other)),
            Err(message) => errors.push(invalid_entry(&message)),
        }
    }
    Ok(batch_reply(account, call, 200, results, errors))
}

/// `POST …/batch/archive`
pub(super) fn batch_archive(account: &mut Account, call: &Call) -> Answer {
    if associations_v3::is_asked(call) {
        return associations_v3::archive(account, call);
    }
    check_permission(account, call)?;
    #[derive(Deserialize)]
    struct Input {
        from: Reference,
        to: Vec<Reference>,
    }
    let (from, to) = pair_of_types(account, call)?;
    let request: Batch<Input> = call.json()?;
    check_size(request.inputs.len(), MOST_ARCHIVED)?;
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
    check_permission(account, call)?;
    let (from, to) = pair_of_types(account, call)?;
    let request: Batch<PairRequest> = call.json()?;
    for input in &request.inputs {
        let kinds: Vec<u32> = input.types.iter().map(|kind| kind.association_type_id).collect();
        if let Ok((id, other)) = checked_pair(account, from, to, (&input.from, &input.to), &kinds) {
            account.unlabel(from, id, to, other, &kinds);
        }
    }
    Ok(archived_reply(account, call))
}

/// `PUT …/associations/default/{to}/{toId}`
pub(super) fn pair_default(account: &mut Account, call: &Call) -> Answer {
    check_permission(account, call)?;
    let (from, id, to, other) = pair_of_path(account, call)?;
    let results = make_default(account, from, id, to, other);
    Ok(batch_reply(account, call, 200, results, Vec::new()))
}

/// `PUT …/associations/{to}/{toId}`
pub(super) fn pair_create(account: &mut Account, call: &Call) -> Answer {
    check_permission(account, call)?;
    let (from, id, to, other) = pair_of_path(account, call)?;
    let kinds: Vec<KindRequest> = call.json_objects()?;
    let kinds: Vec<u32> = kinds.iter().map(|kind| kind.association_type_id).collect();
    check_kinds(account, (from, id, to, other), &kinds).map_err(Refusal::invalid)?;
    account.associate(from, id, to, other, &kinds);
    Ok(Reply::json(201, &created(account, from, id, to, other, &kinds)))
}

/// `PUT /crm/v3/objects/{from}/{id}/associations/{to}/{toId}/{type}`, version
/// 3: the type is a name or a number, and the answer is the record.
pub(super) fn pair_create_named(account: &mut Account, call: &Call) -> Answer {
    check_permission(account, call)?;
    let (from, id, to, other) = pair_of_path(account, call)?;
    let kind = account.kind_named(from, to, call.name(4));
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
    check_permission(account, call)?;
    if let Ok((from, id, to, other)) = pair_of_path(account, call) {
        match account.kind_named(from, to, call.name(4)) {
            Some(kind) => account.unlabel(from, id, to, other, &[kind]),
            None => account.dissociate(from, id, to, other),
        }
    }
    Ok(Reply::nothing())
}

/// The two object types that a path names first.
pub(super) fn pair_of_types(account: &Account, call: &Call) -> Result<(TypeAt, TypeAt), Refused> {
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
pub(super) fn checked_pair(
    account: &Account,
    from: TypeAt,
    to: TypeAt,
    (from_side, to_side): (&Reference, &Reference),
    kinds: &[u32],
) -> Result<(u64, u64), String> {
    let live = |at: TypeAt, id: &str| {
        let shouted = account.tables[at].object_type.shouted();
        account.live_id(at, id).ok_or_else(|| format!("{shouted}={id} is not valid"))
    };
    let (id, other) = (live(from, &from_side.id.0)?, live(to, &to_side.id.0)?);
    if from == to && id == other {
        return Err(format!("Object {id} cannot be associated to itself ({id})"));
    }
    check_kinds(account, (from, id, to, other), kinds)?;
    Ok((id, other))
}

/// What is wrong with the kinds of a pair: unknown, or one too many for the
/// record.
fn check_kinds(
    account: &Account,
    (from, id, to, other): (TypeAt, u64, TypeAt, u64),
    kinds: &[u32],
) -> Result<(), String> {
    for kind in kinds {
        if account.associations.kind(from, to, *kind).is_none() {
            return Err(format!("Association type {kind} does not exist"));
        }
        let Some(most) = account.associations.limit(from, to, *kind) else { continue };
        let all = account.associates(from, id, to);
        let same =
            |(associate, held): &(&u64, &Vec<u32>)| **associate != other && held.contains(kind);
        if all.iter().filter(same).count() as u64 >= most {
            return Err(format!(
                "Object {id} has {most} associations of type {kind}, which is the limit"
            ));
        }
    }
    Ok(())
}

/// 2026-09 checks whether the user may edit associations.
pub(super) fn check_permission(account: &Account, call: &Call) -> Result<(), Refused> {
    match account.rules.associations_denied && call.edition == Edition::September2026 {
        true => Err(Refusal::new(403, "Missing 'Edit Associations' permission.").into()),
        false => Ok(()),
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

/// The entry for a record that is associated with none.
pub(super) fn none_associated(account: &Account, from: TypeAt, id: &str, to: TypeAt) -> Value {
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
        "message": format!("{id} is not a valid ID"),
        "context": {"id": [id]},
    })
}

/// The entry for a pair that cannot be.
pub(super) fn invalid_entry(message: &str) -> Value {
    json!({"status": "error", "category": "VALIDATION_ERROR", "message": message})
}

/// Refuses a batch that is too large.
pub(super) fn check_size(inputs: usize, most: usize) -> Result<(), Refused> {
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
            batch_reply(account, call, 200, Vec::new(), Vec::new())
        }
    }
}

/// A batch answer, `COMPLETE` always.
pub(super) fn batch_reply(
    account: &Account,
    call: &Call,
    status: u16,
    results: Vec<Value>,
    errors: Vec<Value>,
) -> Reply {
    let mut body = json!({"status": "COMPLETE", "results": results});
    let status = batch_status(account, call, status, !errors.is_empty());
    if !errors.is_empty() {
        body["numErrors"] = json!(errors.len());
        body["errors"] = json!(errors);
    }
    body["startedAt"] = json!(account.now_text());
    body["completedAt"] = json!(account.now_text());
    Reply::json(status, &body)
}
