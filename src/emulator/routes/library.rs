//! What the account may have and how much of it, and what is not imitated.

use serde_json::{Value, json};

use super::properties::{MOST_PER_TYPE, MOST_PROPERTIES};
use super::schemas::MOST_TYPES;
use super::type_of;
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::{Answer, Call, Reply};
use crate::emulator::errors::Refusal;

/// Calculated properties of an Enterprise account.
const MOST_FORMULAS: usize = 200;
const MOST_RECORDS: usize = 15_000_000;

/// Types that must be switched on per account; section 10 of the API
/// reference. Here they are, unless a rule makes them unavailable.
const OPTIONAL: [&str; 4] = ["appointments", "courses", "listings", "services"];

/// `GET /crm/v3/limits/custom-properties`
pub(super) fn property_limits(account: &Account) -> Answer {
    let usage: Vec<usize> = types(account).map(|at| account.custom_properties(at)).collect();
    let entry = |(at, usage): (TypeAt, &usize)| {
        let mut entry = labelled(account, at, *usage);
        entry["limit"] = json!(MOST_PER_TYPE);
        entry["percentage"] = json!(percentage(*usage, MOST_PER_TYPE));
        entry
    };
    let entries: Vec<Value> = types(account).zip(&usage).map(entry).collect();
    Ok(Reply::json(200, &overall(entries, usage.iter().sum(), MOST_PROPERTIES)))
}

/// `GET /crm/v3/limits/calculated-properties`
pub(super) fn formula_limits(account: &Account) -> Answer {
    let formulas = |at: TypeAt| {
        let all = account.tables[at].catalogue.iter();
        all.filter(|(_, property)| property.formula.is_some() && property.archived.is_none())
            .count()
    };
    let usage: Vec<usize> = types(account).map(formulas).collect();
    let entries = types(account).zip(&usage).map(|(at, usage)| labelled(account, at, *usage));
    Ok(Reply::json(200, &overall(entries.collect(), usage.iter().sum(), MOST_FORMULAS)))
}

/// `GET /crm/v3/limits/custom-object-types`
pub(super) fn type_limits(account: &Account) -> Answer {
    let custom = |at: &TypeAt| account.tables[*at].object_type.custom.is_some();
    let usage = types(account).filter(custom).count();
    let percentage = percentage(usage, MOST_TYPES);
    let body = json!({"limit": MOST_TYPES, "usage": usage, "percentage": percentage});
    Ok(Reply::json(200, &body))
}

/// `GET /crm/v3/limits/records`
pub(super) fn record_limits(account: &Account) -> Answer {
    let entry = |at: TypeAt| {
        let usage = account.tables[at].walk(0).filter(|view| view.is_live()).count();
        let mut entry = labelled(account, at, usage);
        entry["limit"] = json!(MOST_RECORDS);
        entry["percentage"] = json!(percentage(usage, MOST_RECORDS));
        entry
    };
    let is_custom = |at: &TypeAt| account.tables[*at].object_type.custom.is_some();
    let (custom, standard): (Vec<TypeAt>, Vec<TypeAt>) = types(account).partition(is_custom);
    let custom: Vec<Value> = custom.into_iter().map(entry).collect();
    let usage: u64 = custom.iter().filter_map(|entry| entry["usage"].as_u64()).sum();
    let standard: Vec<Value> = standard.into_iter().map(entry).collect();
    Ok(Reply::json(
        200,
        &json!({
            "hubspotDefinedObjectTypes": standard,
            "customObjectTypes": {
                "byObjectType": custom,
                "overallLimit": MOST_RECORDS,
                "overallUsage": usage,
                "overallPercentage": percentage(usage as usize, MOST_RECORDS),
            },
        }),
    ))
}

/// `GET /crm/v3/object-library/enablement`
pub(super) fn enablement(account: &Account) -> Answer {
    let known = |name: &&str| account.type_at(name).map(|at| enabled(account, at));
    let results: Vec<Value> = OPTIONAL.iter().filter_map(known).collect();
    Ok(Reply::json(200, &json!({"objects": results})))
}

/// `GET /crm/v3/object-library/enablement/{objectTypeId}`
pub(super) fn enablement_of(account: &Account, call: &Call) -> Answer {
    let name = call.name(0);
    let at = account.type_at(name).ok_or_else(|| Refusal::unknown_type(name))?;
    Ok(Reply::json(200, &enabled(account, at)))
}

/// 501 for what nobody here has built, instead of a lie.
pub(super) fn not_imitated(what: &str) -> Answer {
    let message = format!("The emulator does not imitate {what}");
    Err(Refusal::new(501, message).category("NOT_IMPLEMENTED").into())
}

fn enabled(account: &Account, at: TypeAt) -> Value {
    let type_id = &account.tables[at].object_type.type_id;
    json!({"objectTypeId": type_id, "enablement": !account.is_unavailable(at)})
}

fn types(account: &Account) -> impl Iterator<Item = TypeAt> {
    (0..account.tables.len()).filter(|at| type_of(account, account.name_of(*at)).is_ok())
}

fn labelled(account: &Account, at: TypeAt, usage: usize) -> Value {
    let object_type = &account.tables[at].object_type;
    json!({
        "objectTypeId": object_type.type_id,
        "pluralLabel": object_type.label(&object_type.plural, "plural"),
        "singularLabel": object_type.label(&object_type.singular, "singular"),
        "usage": usage,
    })
}

fn overall(entries: Vec<Value>, usage: usize, limit: usize) -> Value {
    json!({
        "byObjectType": entries,
        "overallLimit": limit,
        "overallUsage": usage,
        "overallPercentage": percentage(usage, limit),
    })
}

fn percentage(usage: usize, limit: usize) -> f64 {
    usage as f64 * 100.0 / limit as f64
}
