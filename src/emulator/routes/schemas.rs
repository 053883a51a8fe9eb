//! Custom object types.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::labels;
use super::properties::NewRequest;
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::{Answer, Call, Reply};
use crate::emulator::errors::{Refusal, Refused};
use crate::emulator::moment;
use crate::emulator::object_types::{Custom, ObjectType};
use crate::emulator::seed::draw::{Draw, salt};

/// Properties of a type that its search looks into.
const MOST_SEARCHABLE: usize = 20;
/// Associates of one record, as the published example has it.
const MOST_ASSOCIATED: u64 = 50_000;
/// Custom types of an account.
pub(super) const MOST_TYPES: usize = 10;

/// `GET /crm-object-schemas/v3/schemas`: custom types only.
pub(super) fn list(account: &Account, call: &Call) -> Answer {
    let archived = call.query_flag("archived");
    let wanted = |at: &TypeAt| {
        let object_type = &account.tables[*at].object_type;
        let custom = object_type.custom.as_ref().filter(|_| !object_type.is_purged());
        custom.is_some_and(|custom| custom.archived.is_some() == archived)
    };
    let results: Vec<Value> =
        (0..account.tables.len()).filter(wanted).map(|at| schema_json(account, at)).collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `GET …/schemas/{objectType}`
pub(super) fn read(account: &Account, call: &Call) -> Answer {
    let at = find(account, call)?;
    Ok(Reply::json(200, &schema_json(account, at)))
}

/// The body of a create.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    name: String,
    labels: Map<String, Value>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    primary_display_property: Option<String>,
    #[serde(default)]
    secondary_display_properties: Vec<String>,
    #[serde(default)]
    required_properties: Vec<String>,
    #[serde(default)]
    searchable_properties: Vec<String>,
    #[serde(default)]
    properties: Vec<SchemaProperty>,
    #[serde(default)]
    associated_objects: Vec<String>,
}

/// A property of a new type; its group goes without saying.
#[derive(Deserialize)]
struct SchemaProperty {
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// `POST …/schemas`: all is judged before anything is made.
pub(super) fn create(account: &mut Account, call: &Call) -> Answer {
    let request: Request = call.json()?;
    check_room(account)?;
    check_name(&request.name)?;
    check_labels(&request.labels)?;
    let plural = format!("p{}_{}", account.portal_id, request.name);
    if account.type_at(&plural).or(account.archived_type(&plural)).is_some() {
        let message = format!("An object type named '{}' already exists.", request.name);
        return Err(Refusal::new(409, message).category("OBJECT_ALREADY_EXISTS").into());
    }
    let of = |name: &String| super::type_of(account, name);
    let others: Vec<TypeAt> =
        request.associated_objects.iter().map(of).collect::<Result<_, _>>()?;
    let named: Vec<&str> = request
        .properties
        .iter()
        .filter_map(|property| property.fields.get("name")?.as_str())
        .collect();
    let shown = Shown {
        primary: request.primary_display_property.as_deref(),
        secondary: &request.secondary_display_properties,
        required: &request.required_properties,
        searchable: &request.searchable_properties,
    };
    shown.check(|name| named.contains(&name) || name.starts_with("hs_"))?;
    let now = account.now();
    let number = 3_453_000 + Draw::of(account.portal_id, salt(&request.name), 0).below(9_000_000);
    let custom = Custom {
        labels: Value::Object(request.labels),
        description: request.description,
        primary: request.primary_display_property,
        secondary: request.secondary_display_properties,
        created: now,
        archived: None,
    };
    let object_type = ObjectType::custom(
        &plural,
        &request.name,
        &format!("2-{number}"),
        request.searchable_properties,
        custom,
    );
    let group = object_type.group();
    let at = account.add_type(object_type);
    for mut property in request.properties {
        property.fields.entry("groupName").or_insert_with(|| json!(group));
        let parsed = serde_json::from_value::<NewRequest>(Value::Object(property.fields));
        let made = parsed
            .map_err(|error| Refusal::invalid(error.to_string()).into())
            .and_then(|parsed| super::properties::add(account, at, parsed, call.edition));
        if let Err(refused) = made {
            account.remove_last_type();
            return Err(refused);
        }
    }
    account.tables[at].object_type.required = request.required_properties;
    for other in others {
        add_kind(account, at, other, None);
    }
    Ok(Reply::json(201, &schema_json(account, at)))
}

fn check_name(name: &str) -> Result<(), Refused> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let first = name.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if first && name.chars().all(allowed) && name.len() <= 100 {
        return Ok(());
    }
    let message = format!("The name {name} is invalid: use letters, digits and _");
    Err(Refusal::invalid(message).into())
}

/// Only an Enterprise account has custom types, and not many.
fn check_room(account: &Account) -> Result<(), Refused> {
    if account.rules.unavailable.contains("schemas") {
        return Err(Refusal::not_subscribed("custom objects").into());
    }
    let own = account.tables.iter().filter(|table| {
        let object_type = &table.object_type;
        object_type.custom.is_some() && object_type.is_live()
    });
    if own.count() >= MOST_TYPES {
        let message = format!("At most {MOST_TYPES} custom object types are allowed");
        return Err(Refusal::invalid(message).into());
    }
    Ok(())
}

fn check_labels(labels: &Map<String, Value>) -> Result<(), Refused> {
    let set = |name: &str| labels.get(name).and_then(Value::as_str).is_some_and(|l| !l.is_empty());
    if set("singular") && set("plural") {
        return Ok(());
    }
    let message = "Invalid input JSON on line 1, column 1. Some required fields were not set: \
                   [labels.singular, labels.plural]";
    Err(Refusal::invalid(message).into())
}

/// What a schema says of its properties.
struct Shown<'a> {
    primary: Option<&'a str>,
    secondary: &'a [String],
    required: &'a [String],
    searchable: &'a [String],
}

impl Shown<'_> {
    /// Refuses what names no property, and too much to search.
    fn check(&self, known: impl Fn(&str) -> bool) -> Result<(), Refused> {
        let many = self.secondary.iter().chain(self.required).chain(self.searchable);
        let mut all = self.primary.into_iter().chain(many.map(String::as_str));
        if let Some(name) = all.find(|name| !known(name)) {
            let message = format!("Property {name} does not exist");
            return Err(Refusal::invalid(message).context("propertyName", [name]).into());
        }
        if self.searchable.len() > MOST_SEARCHABLE {
            let message = format!("At most {MOST_SEARCHABLE} properties can be searched");
            return Err(Refusal::invalid(message).into());
        }
        Ok(())
    }
}

/// `PATCH …/schemas/{objectType}`: the name stays.
pub(super) fn update(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Change {
        labels: Option<Map<String, Value>>,
        description: Option<String>,
        #[serde(default)]
        clear_description: bool,
        primary_display_property: Option<String>,
        secondary_display_properties: Option<Vec<String>>,
        required_properties: Option<Vec<String>>,
        searchable_properties: Option<Vec<String>>,
    }
    let at = find_own(account, call)?;
    let change: Change = call.json()?;
    if let Some(labels) = &change.labels {
        check_labels(labels)?;
    }
    let shown = Shown {
        primary: change.primary_display_property.as_deref(),
        secondary: change.secondary_display_properties.as_deref().unwrap_or_default(),
        required: change.required_properties.as_deref().unwrap_or_default(),
        searchable: change.searchable_properties.as_deref().unwrap_or_default(),
    };
    shown.check(|name| account.tables[at].catalogue.find(name).is_some())?;
    let object_type = &mut account.tables[at].object_type;
    object_type.required =
        change.required_properties.unwrap_or(std::mem::take(&mut object_type.required));
    object_type.searchable =
        change.searchable_properties.unwrap_or(std::mem::take(&mut object_type.searchable));
    if let Some(custom) = &mut object_type.custom {
        custom.labels = change.labels.map_or(custom.labels.take(), Value::Object);
        let kept = custom.description.take().filter(|_| !change.clear_description);
        custom.description = change.description.or(kept);
        custom.primary = change.primary_display_property.or(custom.primary.take());
        custom.secondary =
            change.secondary_display_properties.unwrap_or(std::mem::take(&mut custom.secondary));
    }
    Ok(Reply::json(200, &definition_json(account, at)))
}

/// `DELETE …/schemas/{objectType}`: only when no record is left. With
/// `archived=true` the archived one goes for good, and its name is free.
pub(super) fn archive(account: &mut Account, call: &Call) -> Answer {
    let archived = call.query_flag("archived");
    let at = match archived {
        true => account.archived_type(call.name(0)).ok_or_else(|| unknown(call))?,
        false => find_own(account, call)?,
    };
    if account.tables[at].walk(0).any(|view| view.is_live()) {
        let message = "Object type still has records: delete them first";
        return Err(Refusal::invalid(message).into());
    }
    let now = account.now();
    let object_type = &mut account.tables[at].object_type;
    if archived {
        // The place stays taken, as everything names types by their place.
        object_type.plural = format!("purged {}", object_type.type_id);
        object_type.type_id.insert_str(0, "purged ");
    }
    if let Some(custom) = &mut object_type.custom {
        custom.archived = Some(now);
    }
    Ok(Reply::nothing())
}

/// `POST …/schemas/{objectType}/associations`
pub(super) fn associate(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        to_object_type_id: String,
        #[serde(default)]
        name: Option<String>,
    }
    let at = find_own(account, call)?;
    let request: Request = call.json()?;
    let to = super::type_of(account, &request.to_object_type_id)?;
    let id = add_kind(account, at, to, request.name.as_deref()).to_string();
    let entry = kinds_json(account, at).into_iter().find(|entry| entry["id"] == id.as_str());
    Ok(Reply::json(201, &entry.unwrap_or_default()))
}

/// `DELETE …/schemas/{objectType}/associations/{associationId}`
pub(super) fn dissociate(account: &mut Account, call: &Call) -> Answer {
    let at = find_own(account, call)?;
    labels::remove(account, at, call.name(1), call)
}

/// Makes two types associable; returns the id from the first to the second.
fn add_kind(account: &mut Account, at: TypeAt, to: TypeAt, name: Option<&str>) -> u32 {
    let ids = account.associations.new_kind_ids();
    let singular = |at: TypeAt| account.tables[at].object_type.singular.clone();
    let usual = format!("{}_to_{}", singular(at), singular(to));
    let name = name.unwrap_or(&usual);
    account.associations.add_pair(at, to, ids, "USER_DEFINED", name, None);
    ids[0]
}

fn find(account: &Account, call: &Call) -> Result<TypeAt, Refused> {
    super::type_of(account, call.name(0))
}

/// The custom type that the path names; HubSpot's own are as they are.
fn find_own(account: &Account, call: &Call) -> Result<TypeAt, Refused> {
    let at = find(account, call)?;
    match account.tables[at].object_type.custom.is_some() {
        true => Ok(at),
        false => {
            let message = format!("Object type {} is defined by HubSpot", call.name(0));
            Err(Refusal::invalid(message).into())
        }
    }
}

fn unknown(call: &Call) -> Refused {
    Refusal::missing(format!("Object type {} does not exist", call.name(0))).into()
}

fn schema_json(account: &Account, at: TypeAt) -> Value {
    let table = &account.tables[at];
    let object_type = &table.object_type;
    let custom = object_type.custom.as_ref();
    let born = custom.map_or(0, |custom| custom.created);
    let live = table.catalogue.iter().filter(|(_, property)| property.archived.is_none());
    let properties: Vec<Value> =
        live.map(|(_, property)| super::properties::definition(account, property)).collect();
    let times = match custom {
        Some(_) => moment::exact(born),
        None => moment::trimmed(born),
    };
    let labels = match custom {
        Some(custom) => custom.labels.clone(),
        None => standard_labels(&object_type.singular, &object_type.plural),
    };
    let (primary, secondary) = match custom {
        Some(custom) => (custom.primary.clone(), custom.secondary.clone()),
        None => standard_display(&object_type.default_properties),
    };
    let mut body = json!({
        "labels": labels,
        "requiredProperties": object_type.required,
        "searchableProperties": object_type.searchable,
        "primaryDisplayProperty": primary,
        "secondaryDisplayProperties": secondary,
        "archived": custom.is_some_and(|custom| custom.archived.is_some()),
        "restorable": true,
        "metaType": if custom.is_some() { "PORTAL_SPECIFIC" } else { "HUBSPOT" },
        "id": object_type.type_id.trim_start_matches("2-").trim_start_matches("0-"),
        "fullyQualifiedName": match custom {
            Some(_) => object_type.plural.clone(),
            None => object_type.shouted(),
        },
        "createdAt": times,
        "updatedAt": times,
        "objectTypeId": object_type.type_id,
        "properties": properties,
        "associations": kinds_json(account, at),
        "name": match custom {
            Some(_) => object_type.singular.clone(),
            None => object_type.shouted(),
        },
    });
    if let Some(description) = custom.and_then(|custom| custom.description.clone()) {
        body["description"] = json!(description);
    }
    if account.era.has_sensitivity() {
        body["allowsSensitiveProperties"] = json!(false);
    }
    body
}

/// `Line item`, `Line items`.
fn standard_labels(singular: &str, plural: &str) -> Value {
    let label = |name: &str| {
        let mut label = name.replace('_', " ");
        if let Some(first) = label.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        label
    };
    json!({"singular": label(singular), "plural": label(plural)})
}

/// The property a record is shown by, and those beside it.
fn standard_display(defaults: &[String]) -> (Option<String>, Vec<String>) {
    (defaults.first().cloned(), defaults.iter().skip(1).take(2).cloned().collect())
}

/// The type alone, which is what a change of it answers: `ObjectTypeDefinition`
/// in HubSpot's description.
fn definition_json(account: &Account, at: TypeAt) -> Value {
    let mut definition = schema_json(account, at);
    if let Some(members) = definition.as_object_mut() {
        for absent in ["properties", "associations", "metaType", "allowsSensitiveProperties"] {
            members.shift_remove(absent);
        }
    }
    definition["portalId"] = json!(account.portal_id);
    definition
}

fn kinds_json(account: &Account, at: TypeAt) -> Vec<Value> {
    let type_id = |at: TypeAt| account.tables[at].object_type.type_id.clone();
    let mut entries = Vec::new();
    for other in 0..account.tables.len() {
        for kind in account.associations.kinds(at, other) {
            let most = account.associations.limit(at, other, kind.id);
            let mut entry = json!({
                "id": kind.id.to_string(),
                "fromObjectTypeId": type_id(at),
                "toObjectTypeId": type_id(other),
                "name": kind.name,
                "cardinality": "ONE_TO_MANY",
                "inverseCardinality": "ONE_TO_MANY",
                "createdAt": null,
                "updatedAt": null,
            });
            // Documented today; in 2022 they were not there.
            if account.era.has_sensitivity() {
                entry["hasUserEnforcedMaxToObjectIds"] = json!(most.is_some());
                entry["hasUserEnforcedMaxFromObjectIds"] = json!(false);
                entry["maxToObjectIds"] = json!(most.unwrap_or(MOST_ASSOCIATED));
                entry["maxFromObjectIds"] = json!(MOST_ASSOCIATED);
            }
            entries.push(entry);
        }
    }
    entries
}
