//! Properties and their groups.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Batch, batch_status, type_of};
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::{Answer, Call, Reply};
use crate::emulator::errors::{Refusal, Refused};
use crate::emulator::merges::RECYCLED;
use crate::emulator::paths::Edition;
use crate::emulator::schema::{Choice, Group, NOT_SENSITIVE, Property};
use crate::emulator::seed::plan::Kind;

const MOST_UNIQUE: usize = 10;
/// Custom properties of one type, and of all.
pub(super) const MOST_PER_TYPE: usize = 1_000;
pub(super) const MOST_PROPERTIES: usize = 10_000;
const MOST_INPUTS: usize = 100;
/// What the answer to a batch of new properties leaves out (recorded).
const UNTOLD_BY_BATCH: [&str; 5] =
    ["createdAt", "updatedAt", "createdUserId", "updatedUserId", "archived"];

/// `GET /crm/v3/properties/{t}`
pub(super) fn list(account: &Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let archived = call.query_flag("archived");
    let sensitivity = call.query("dataSensitivity").unwrap_or_else(|| NOT_SENSITIVE.to_owned());
    let wanted = |property: &Property| {
        is_shown(account, property, archived) && property.sensitivity == sensitivity
    };
    let shown = account.tables[at].catalogue.iter().filter(|(_, property)| wanted(property));
    let results: Vec<Value> = shown.map(|(_, property)| definition(account, property)).collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `GET /crm/v3/properties/{t}/{name}`
pub(super) fn read(account: &Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let archived = call.query_flag("archived");
    let found = account.tables[at].catalogue.find_any(call.name(1));
    match found.filter(|(_, property)| is_shown(account, property, archived)) {
        Some((_, property)) => Ok(Reply::json(200, &definition(account, property))),
        None => Err(unknown(call.name(1))),
    }
}

/// Whether readers see a property; archived ones are kept for ninety days.
fn is_shown(account: &Account, property: &Property, archived: bool) -> bool {
    match property.archived {
        Some(at) => archived && !is_forgotten(account, at),
        None => !archived,
    }
}

fn is_forgotten(account: &Account, archived: i64) -> bool {
    archived + RECYCLED < account.now()
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
    #[serde(default)]
    display_order: Option<i64>,
}

/// 2026-09 wants an order of every option.
fn check_orders(options: &[ChoiceRequest], edition: Edition) -> Result<(), Refused> {
    let unordered = options.iter().any(|option| option.display_order.is_none());
    if edition == Edition::September2026 && unordered {
        let message = "Invalid input JSON on line 1, column 1. Some required fields were not set: \
                       [displayOrder]";
        return Err(Refusal::invalid(message).into());
    }
    Ok(())
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
    #[serde(default)]
    referenced_object_type: Option<String>,
    #[serde(default)]
    calculation_formula: Option<String>,
    #[serde(default)]
    data_sensitivity: Option<String>,
}

/// `POST /crm/v3/properties/{t}`
pub(super) fn create(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let request: NewRequest = call.json()?;
    let name = request.name.clone();
    let location = format!("https://api.hubapi.com/crm/v3/properties/{}/{name}", call.name(0));
    let body = add(account, at, request, call.edition)?;
    Ok(Reply::json(201, &body).with("Location", location))
}

/// `POST /crm/v3/properties/{t}/batch/create`
pub(super) fn batch_create(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let request: Batch<NewRequest> = call.json()?;
    check_size(request.inputs.len())?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in request.inputs {
        match add(account, at, input, call.edition) {
            Ok(mut body) => {
                // Recorded: the batch leaves these out, the single call not.
                if let Some(body) = body.as_object_mut() {
                    for name in UNTOLD_BY_BATCH {
                        body.remove(name);
                    }
                }
                results.push(body);
            }
            Err(refusal) => errors.push(refusal.into_entry(None)),
        }
    }
    let status = if call.edition == Edition::September2026 { 200 } else { 201 };
    Ok(batch_reply(account, call, status, results, errors))
}

/// `POST /crm/v3/properties/{t}/batch/read`
pub(super) fn batch_read(account: &Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        inputs: Vec<Named>,
        #[serde(default)]
        archived: bool,
        #[serde(default)]
        data_sensitivity: Option<String>,
    }
    let request: Request = call.json()?;
    check_size(request.inputs.len())?;
    let sensitivity = request.data_sensitivity.as_deref().unwrap_or(NOT_SENSITIVE);
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in &request.inputs {
        let found = account.tables[at].catalogue.find_any(&input.name);
        let shown = found.filter(|(_, property)| {
            is_shown(account, property, request.archived) && property.sensitivity == sensitivity
        });
        match shown {
            Some((_, property)) => results.push(definition(account, property)),
            None => errors.push(unknown(&input.name).into_entry(None)),
        }
    }
    Ok(batch_reply(account, call, 200, results, errors))
}

/// `POST /crm/v3/properties/{t}/batch/archive`
pub(super) fn batch_archive(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let request: Batch<Named> = call.json()?;
    check_size(request.inputs.len())?;
    let known = |input: &&Named| account.tables[at].catalogue.find(&input.name).is_some();
    let names: Vec<String> =
        request.inputs.iter().filter(known).map(|input| input.name.clone()).collect();
    // All or none; a name that is not there is gone already.
    names.iter().try_for_each(|name| check_archivable(account, at, name))?;
    for name in &names {
        archive_one(account, at, name)?;
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
        calculation_formula: Option<String>,
    }
    let at = type_of(account, call.name(0))?;
    let request: Request = call.json()?;
    let now = account.now();
    let catalogue = &account.tables[at].catalogue;
    let (_, found) = catalogue.find(call.name(1)).ok_or_else(|| unknown(call.name(1)))?;
    let mut property = found.clone();
    if !property.custom {
        let message = format!("Property {} is defined by HubSpot and is read only", property.name);
        return Err(Refusal::invalid(message).into());
    }
    if let Some(group) = &request.group_name {
        check_group(account, at, group)?;
    }
    if let Some(options) = &request.options {
        check_orders(options, call.edition)?;
    }
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
    if property.formula.is_some() {
        property.formula = request.calculation_formula.or(property.formula);
    }
    property.updated = now;
    check_options(&property)?;
    check_field_type(&property)?;
    let body = definition(account, &property);
    account.tables[at].catalogue.add(property);
    Ok(Reply::json(200, &body))
}

/// `DELETE /crm/v3/properties/{t}/{name}`
pub(super) fn archive(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    archive_one(account, at, call.name(1))?;
    Ok(Reply::nothing())
}

/// A definition as the service of the account's time shows it.
pub(super) fn definition(account: &Account, property: &Property) -> Value {
    let mut body = property.to_json();
    if let (false, Some(body)) = (account.era.has_sensitivity(), body.as_object_mut()) {
        body.remove("dataSensitivity");
    }
    body
}

fn archive_one(account: &mut Account, at: TypeAt, name: &str) -> Result<(), Refused> {
    check_archivable(account, at, name)?;
    let now = account.now();
    if let Some(property) = account.tables[at].catalogue.find_mut(name) {
        property.archived = Some(now);
    }
    Ok(())
}

fn check_archivable(account: &Account, at: TypeAt, name: &str) -> Result<(), Refused> {
    let Some((_, property)) = account.tables[at].catalogue.find(name) else {
        return Err(unknown(name));
    };
    if !property.custom {
        let message = format!("Property {name} is defined by HubSpot and cannot be deleted");
        return Err(Refusal::invalid(message).into());
    }
    if let Some(user) = account.user_of(at, name) {
        let message = format!("Property {name} cannot be deleted: it is used in {user}");
        return Err(Refusal::invalid(message)
            .sub_category("PropertyValidationError.CANNOT_DELETE_PROPERTY_IN_USE")
            .context("propertyName", [name])
            .into());
    }
    Ok(())
}

/// Creates a property; an archived one of that name comes back.
pub(super) fn add(
    account: &mut Account,
    at: TypeAt,
    request: NewRequest,
    edition: Edition,
) -> Result<Value, Refused> {
    let now = account.now();
    let catalogue = &account.tables[at].catalogue;
    if catalogue.find(&request.name).is_some() {
        let message = format!("A property named '{}' already exists.", request.name);
        return Err(Refusal::new(409, message)
            .category("OBJECT_ALREADY_EXISTS")
            .sub_category("Properties.PROPERTY_WITH_NAME_EXISTS")
            .context("name", [request.name])
            .into());
    }
    check_name(&request.name)?;
    check_group(account, at, &request.group_name)?;
    check_orders(&request.options, edition)?;
    check_room(account, at)?;
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
        owner: request.external_options
            && request.referenced_object_type.is_none_or(|of| of == "OWNER"),
        read_only: request.field_type == FORMULA,
        formula: request.calculation_formula.filter(|_| request.field_type == FORMULA),
        sensitivity: request.data_sensitivity.unwrap_or_else(|| NOT_SENSITIVE.to_owned()),
        hidden: request.hidden,
        form_field: request.form_field,
        display_order: request.display_order.unwrap_or(-1),
        usable_from: now + account.property_lag,
        ..fresh
    };
    check_options(&property)?;
    check_field_type(&property)?;
    let body = definition(account, &property);
    let table = &mut account.tables[at];
    let former = table.catalogue.find_any(&property.name);
    match former.and_then(|(slot, former)| Some((slot, former.archived?))) {
        // Too old to come back: only the name does.
        Some((slot, archived)) if archived + RECYCLED < now => {
            table.catalogue.add(property);
            table.forget(slot);
        }
        _ => {
            table.catalogue.add(property);
        }
    }
    Ok(body)
}

fn check_group(account: &Account, at: TypeAt, name: &str) -> Result<(), Refused> {
    let groups = &account.tables[at].catalogue.groups;
    match groups.iter().any(|group| group.name == name && !group.archived) {
        true => Ok(()),
        false => {
            let message = format!("Property group {name} does not exist");
            Err(Refusal::invalid(message).into())
        }
    }
}

fn check_room(account: &Account, at: TypeAt) -> Result<(), Refused> {
    let of_type = account.custom_properties(at);
    let all: usize = (0..account.tables.len()).map(|at| account.custom_properties(at)).sum();
    let refuse = |limit: usize, of: &str| {
        let message = format!("The limit of {limit} custom properties {of} is reached");
        Err(Refusal::invalid(message).into())
    };
    match (of_type >= MOST_PER_TYPE, all >= MOST_PROPERTIES) {
        (true, _) => refuse(MOST_PER_TYPE, "per object type"),
        (_, true) => refuse(MOST_PROPERTIES, "in all"),
        _ => Ok(()),
    }
}

fn check_size(inputs: usize) -> Result<(), Refused> {
    if inputs <= MOST_INPUTS {
        return Ok(());
    }
    let message = format!(
        "The maximum number of inputs supported in a batch request is {MOST_INPUTS}. Please \
         reduce the number of items and try again"
    );
    Err(Refusal::invalid(message).into())
}

/// The `fieldType` of properties whose values are worked out.
const FORMULA: &str = "calculation_equation";

/// Which `fieldType` goes with which `type`; section 9 of the API reference.
fn check_field_type(property: &Property) -> Result<(), Refused> {
    let fits: &[&str] = match property.kind {
        Kind::Text => &["text", "textarea", "html", "phonenumber", "file", FORMULA],
        Kind::Number => &["number", FORMULA],
        Kind::Flag => &["booleancheckbox", FORMULA],
        Kind::Choice => &["select", "radio", "checkbox", "booleancheckbox", FORMULA],
        Kind::Day | Kind::Moment => &["date"],
    };
    let field_type = property.field_type.as_str();
    if !fits.contains(&field_type) {
        let kind = property.kind.wire();
        let message = format!("The field type {field_type} does not go with the type {kind}");
        return Err(Refusal::invalid(message).into());
    }
    match field_type == FORMULA && property.formula.is_none() {
        true => Err(Refusal::invalid("A calculated property needs a calculationFormula").into()),
        false => Ok(()),
    }
}

impl Account {
    /// How many properties of a type the account made itself.
    pub(super) fn custom_properties(&self, at: TypeAt) -> usize {
        let all = self.tables[at].catalogue.iter();
        all.filter(|(_, property)| property.custom && property.archived.is_none()).count()
    }
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

fn batch_reply(
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
