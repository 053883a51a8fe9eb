//! Properties and their groups.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Batch, type_of};
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::{Answer, Call, Reply};
use crate::emulator::errors::{Refusal, Refused};
use crate::emulator::paths::Edition;
use crate::emulator::schema::{Choice, Group, Property};
use crate::emulator::seed::plan::Kind;

const MOST_UNIQUE: usize = 10;

/// `GET /crm/v3/properties/{t}`
pub(super) fn list(account: &Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let archived = call.query_flag("archived");
    let shown = account.tables[at]
        .catalogue
        .iter()
        .filter(|(_, property)| property.archived.is_some() == archived);
    let results: Vec<Value> = shown.map(|(_, property)| property.to_json()).collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `GET /crm/v3/properties/{t}/{name}`
pub(super) fn read(account: &Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let archived = call.query_flag("archived");
    let found = account.tables[at].catalogue.find_any(call.name(1));
    match found.filter(|(_, property)| property.archived.is_some() == archived) {
        Some((_, property)) => Ok(Reply::json(200, &property.to_json())),
        None => Err(unknown(call.name(1))),
    }
}

/// An option in a request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChoiceRequest {
    label: String,
    value: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    hidden: bool,
}

/// The body of a create.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewRequest {
    name: String,
    label: String,
    #[serde(rename = "type")]
    kind: String,
    field_type: String,
    group_name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    options: Vec<ChoiceRequest>,
    #[serde(default)]
    has_unique_value: bool,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    form_field: bool,
    #[serde(default)]
    display_order: Option<i64>,
    #[serde(default)]
    external_options: bool,
}

/// `POST /crm/v3/properties/{t}`
pub(super) fn create(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let request: NewRequest = call.json()?;
    let name = request.name.clone();
    let location = format!("https://api.hubapi.com/crm/v3/properties/{}/{name}", call.name(0));
    let body = add(account, at, request)?;
    Ok(Reply::json(201, &body).with("Location", location))
}

/// `POST /crm/v3/properties/{t}/batch/create`
pub(super) fn batch_create(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let request: Batch<NewRequest> = call.json()?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in request.inputs {
        match add(account, at, input) {
            Ok(mut body) => {
                // Recorded: the batch leaves these out, the single call not.
                if let Some(body) = body.as_object_mut() {
                    body.remove("createdAt");
                    body.remove("archived");
                }
                results.push(body);
            }
            Err(refusal) => errors.push(refusal.into_entry(None)),
        }
    }
    let status = if call.edition == Edition::September2026 { 200 } else { 201 };
    Ok(batch_reply(account, status, results, errors))
}

/// `POST /crm/v3/properties/{t}/batch/read`
pub(super) fn batch_read(account: &Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let request: Batch<Named> = call.json()?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &request.inputs {
        match account.tables[at].catalogue.find(&input.name) {
            Some((_, property)) => results.push(property.to_json()),
            None => errors.push(unknown(&input.name).into_entry(None)),
        }
    }
    Ok(batch_reply(account, 200, results, errors))
}

/// `POST /crm/v3/properties/{t}/batch/archive`
pub(super) fn batch_archive(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let request: Batch<Named> = call.json()?;
    for input in &request.inputs {
        archive_one(account, at, &input.name)?;
    }
    Ok(Reply::nothing())
}

/// Something named in a batch.
#[derive(Deserialize)]
struct Named {
    name: String,
}

/// `PATCH /crm/v3/properties/{t}/{name}`: options replace those there were.
pub(super) fn update(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        label: Option<String>,
        #[serde(rename = "type")]
        kind: Option<String>,
        field_type: Option<String>,
        group_name: Option<String>,
        description: Option<String>,
        options: Option<Vec<ChoiceRequest>>,
        hidden: Option<bool>,
        form_field: Option<bool>,
        display_order: Option<i64>,
    }
    let at = type_of(account, call.name(0))?;
    let request: Request = call.json()?;
    let now = account.now();
    let catalogue = &account.tables[at].catalogue;
    let (_, found) = catalogue.find(call.name(1)).ok_or_else(|| unknown(call.name(1)))?;
    let mut property = found.clone();
    if let Some(kind) = &request.kind {
        property.kind = kind_of(kind)?;
    }
    if let Some(options) = request.options {
        property.options = choices(options);
    }
    property.label = request.label.unwrap_or(property.label);
    property.field_type = request.field_type.unwrap_or(property.field_type);
    property.group = request.group_name.unwrap_or(property.group);
    property.description = request.description.unwrap_or(property.description);
    property.hidden = request.hidden.unwrap_or(property.hidden);
    property.form_field = request.form_field.unwrap_or(property.form_field);
    property.display_order = request.display_order.unwrap_or(property.display_order);
    property.updated = now;
    check_options(&property)?;
    let body = property.to_json();
    account.tables[at].catalogue.add(property);
    Ok(Reply::json(200, &body))
}

/// `DELETE /crm/v3/properties/{t}/{name}`
pub(super) fn archive(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    archive_one(account, at, call.name(1))?;
    Ok(Reply::nothing())
}

fn archive_one(account: &mut Account, at: TypeAt, name: &str) -> Result<(), Refused> {
    let now = account.now();
    let live =
        account.tables[at].catalogue.find_mut(name).filter(|property| property.archived.is_none());
    let Some(property) = live else { return Err(unknown(name)) };
    if !property.custom {
        let message = format!("Property {name} is defined by HubSpot and cannot be deleted");
        return Err(Refusal::invalid(message).into());
    }
    property.archived = Some(now);
    Ok(())
}

/// Creates a property; an archived one of that name comes back.
pub(super) fn add(
    account: &mut Account,
    at: TypeAt,
    request: NewRequest,
) -> Result<Value, Refused> {
    let now = account.now();
    let catalogue = &account.tables[at].catalogue;
    if catalogue.find(&request.name).is_some() {
        let message = format!("A property named '{}' already exists.", request.name);
        return Err(Refusal::new(409, message)
            .category("OBJECT_ALREADY_EXISTS")
            .sub_category("Properties.PROPERTY_WITH_NAME_EXISTS")
            .context("propertyName", [request.name])
            .into());
    }
    check_name(&request.name)?;
    if !catalogue.groups.iter().any(|group| group.name == request.group_name && !group.archived) {
        let message = format!("Property group {} does not exist", request.group_name);
        return Err(Refusal::invalid(message).into());
    }
    let unique =
        catalogue.iter().filter(|(_, property)| property.custom && property.unique).count();
    if request.has_unique_value && unique >= MOST_UNIQUE {
        let message = format!("At most {MOST_UNIQUE} properties can have unique values");
        return Err(Refusal::invalid(message).into());
    }
    let kind = kind_of(&request.kind)?;
    let fresh = Property::new(&request.name, kind, &request.field_type, &request.group_name, now);
    let property = Property {
        label: request.label,
        description: request.description.unwrap_or_default(),
        options: choices(request.options),
        unique: request.has_unique_value,
        owner: request.external_options,
        hidden: request.hidden,
        form_field: request.form_field,
        display_order: request.display_order.unwrap_or(-1),
        usable_from: now + account.property_lag,
        ..fresh
    };
    check_options(&property)?;
    let body = property.to_json();
    account.tables[at].catalogue.add(property);
    Ok(body)
}

fn check_name(name: &str) -> Result<(), Refused> {
    let lower = |letter: char| letter.is_ascii_lowercase();
    let allowed = |letter: char| lower(letter) || letter.is_ascii_digit() || letter == '_';
    if name.starts_with(lower) && name.chars().all(allowed) && name.len() <= 100 {
        return Ok(());
    }
    let message =
        format!("The property name {name} is invalid: use lower-case letters, digits and _");
    Err(Refusal::invalid(message).into())
}

fn check_options(property: &Property) -> Result<(), Refused> {
    let mut values: Vec<&str> =
        property.options.iter().map(|option| option.value.as_str()).collect();
    values.sort_unstable();
    if property.kind == Kind::Flag && values != ["false", "true"] {
        let message = "Boolean properties must have exactly two options: true and false";
        return Err(Refusal::invalid(message).sub_category("INVALID_BOOLEAN_OPTION").into());
    }
    let before = values.len();
    values.dedup();
    if values.len() < before {
        return Err(Refusal::invalid("Property options must have distinct values").into());
    }
    Ok(())
}

fn kind_of(text: &str) -> Result<Kind, Refused> {
    let refusal = || Refusal::invalid(format!("Unknown property type: {text}")).into();
    Kind::of_wire(text).ok_or_else(refusal)
}

fn choices(options: Vec<ChoiceRequest>) -> Vec<Choice> {
    let choice = |option: ChoiceRequest| Choice {
        label: option.label,
        value: option.value,
        description: option.description.unwrap_or_default(),
        hidden: option.hidden,
    };
    options.into_iter().map(choice).collect()
}

fn unknown(name: &str) -> Refused {
    Refusal::missing(format!("Property {name} does not exist"))
        .context("propertyName", [name])
        .into()
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

/// `GET /crm/v3/properties/{t}/groups`
pub(super) fn groups(account: &Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let live = account.tables[at].catalogue.groups.iter().filter(|group| !group.archived);
    let results: Vec<Value> = live.map(Group::to_json).collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `POST /crm/v3/properties/{t}/groups`
pub(super) fn group_create(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        name: String,
        label: String,
        #[serde(default)]
        display_order: Option<i64>,
    }
    let at = type_of(account, call.name(0))?;
    let request: Request = call.json()?;
    let groups = &mut account.tables[at].catalogue.groups;
    if groups.iter().any(|group| group.name == request.name && !group.archived) {
        let message = format!("A property group named '{}' already exists.", request.name);
        return Err(Refusal::new(409, message).category("OBJECT_ALREADY_EXISTS").into());
    }
    let display_order = request.display_order.unwrap_or(-1);
    let group = Group { name: request.name, label: request.label, display_order, archived: false };
    let body = group.to_json();
    groups.retain(|other| other.name != group.name);
    groups.push(group);
    Ok(Reply::json(201, &body))
}

/// `GET /crm/v3/properties/{t}/groups/{name}`
pub(super) fn group_read(account: &Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let groups = &account.tables[at].catalogue.groups;
    match groups.iter().find(|group| group.name == call.name(1) && !group.archived) {
        Some(group) => Ok(Reply::json(200, &group.to_json())),
        None => Err(unknown_group(call.name(1))),
    }
}

/// `PATCH /crm/v3/properties/{t}/groups/{name}`
pub(super) fn group_update(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        label: Option<String>,
        display_order: Option<i64>,
    }
    let at = type_of(account, call.name(0))?;
    let request: Request = call.json()?;
    let group = live_group(account, at, call.name(1))?;
    group.label = request.label.unwrap_or(std::mem::take(&mut group.label));
    group.display_order = request.display_order.unwrap_or(group.display_order);
    Ok(Reply::json(200, &group.to_json()))
}

/// `DELETE /crm/v3/properties/{t}/groups/{name}`: only when it is empty.
pub(super) fn group_archive(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let name = call.name(1);
    let catalogue = &account.tables[at].catalogue;
    let used =
        catalogue.iter().any(|(_, property)| property.group == name && property.archived.is_none());
    if used {
        let inner =
            json!({"status": "error", "message": "Group has active properties"}).to_string();
        return Err(Refusal::invalid(inner)
            .sub_category("PropertyGroupError.GROUP_WITH_ACTIVE_PROPERTIES")
            .into());
    }
    live_group(account, at, name)?.archived = true;
    Ok(Reply::nothing())
}

fn live_group<'a>(
    account: &'a mut Account,
    at: TypeAt,
    name: &str,
) -> Result<&'a mut Group, Refused> {
    let groups = &mut account.tables[at].catalogue.groups;
    let found = groups.iter_mut().find(|group| group.name == name && !group.archived);
    found.ok_or_else(|| unknown_group(name))
}

fn unknown_group(name: &str) -> Refused {
    Refusal::missing(format!("Property group {name} does not exist")).into()
}
