//! Lists and memberships, version 3.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Batch, type_of};
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::{Answer, Call, Reply, Text};
use crate::emulator::errors::{Refusal, Refused};
use crate::emulator::lists::{List, Processing};
use crate::emulator::moment;
use crate::emulator::paths::Edition;

const PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 250;
const SEARCH_PAGE: u64 = 20;
const LARGEST_SEARCH_PAGE: u64 = 500;
/// Ids that can be mapped at once, members that one list takes from another.
const MOST_MAPPED: usize = 10_000;
const MOST_TAKEN: usize = 100_000;

/// `POST /crm/v3/lists`: 200, not 201.
pub(super) fn create(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        name: Option<String>,
        object_type_id: Option<String>,
        processing_type: Option<String>,
        filter_branch: Option<Map<String, Value>>,
    }
    let request: Request = call.json()?;
    let required = [
        ("name", &request.name),
        ("objectTypeId", &request.object_type_id),
        ("processingType", &request.processing_type),
    ];
    let unset: Vec<&str> =
        required.into_iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
    let (Some(name), Some(type_id), Some(processing)) =
        (request.name, request.object_type_id, request.processing_type)
    else {
        return Err(Refusal::invalid(format!(
            "Invalid input JSON on line 1, column {}. Some required fields were not set: [{}]",
            call.body.len(),
            unset.join(", ")
        ))
        .into());
    };
    let of = type_of(account, &type_id)?;
    let type_id = account.tables[of].object_type.type_id.clone();
    let processing = Processing::of_wire(&processing)
        .ok_or_else(|| Refusal::invalid(format!("Unknown processingType: {processing}")))?;
    check_name(account, of, &name, None)?;
    // Which filters there are decides who is on it.
    if processing == Processing::Dynamic && request.filter_branch.is_none() {
        let message = "A filterBranch is required for lists of processing type DYNAMIC";
        return Err(Refusal::invalid(message).into());
    }
    let now = account.now();
    let id = account.new_list_id();
    let list = List {
        id,
        name,
        of,
        type_id,
        processing,
        filter_branch: request.filter_branch.map(completed),
        created: now,
        updated: now,
        members: Default::default(),
    };
    let body = json!({"list": list.to_json()});
    account.lists.insert(id, list);
    Ok(Reply::json(200, &body))
}

fn check_name(account: &Account, of: TypeAt, name: &str, own: Option<u64>) -> Result<(), Refused> {
    let same = |list: &List| list.name == name && list.of == of && Some(list.id) != own;
    if account.lists.values().any(same) {
        let message = format!("A list named '{name}' already exists.");
        return Err(Refusal::invalid(message).sub_category("ILS.DUPLICATE_LIST_NAMES").into());
    }
    Ok(())
}

/// A filter branch as it comes back: with the operators filled in.
fn completed(mut branch: Map<String, Value>) -> Value {
    if let Some(kind) = branch.get("filterBranchType").filter(|kind| !kind.is_null()).cloned() {
        branch.insert("filterBranchOperator".to_owned(), kind);
    }
    let filters = branch.get_mut("filters").and_then(Value::as_array_mut);
    for filter in filters.into_iter().flatten() {
        if let Some(operation) = filter.get_mut("operation").and_then(Value::as_object_mut) {
            operation.entry("includeObjectsWithNoValueSet").or_insert(json!(false));
        }
    }
    let inner = branch.get_mut("filterBranches").and_then(Value::as_array_mut);
    for branch in inner.into_iter().flatten() {
        if let Value::Object(members) = branch {
            *branch = completed(std::mem::take(members));
        }
    }
    Value::Object(branch)
}

/// `GET /crm/v3/lists?listIds=`: nothing unless ids are named.
pub(super) fn by_ids(account: &Account, call: &Call) -> Answer {
    let ids: Vec<u64> =
        call.query_list("listIds").iter().filter_map(|id| id.parse().ok()).collect();
    let lists: Vec<Value> = ids.iter().filter_map(|id| account.lists.get(id)).map(sized).collect();
    Ok(Reply::json(200, &json!({"lists": lists})))
}

fn sized(list: &List) -> Value {
    let mut body = list.to_json();
    body["size"] = json!(list.members.len());
    body
}

/// `GET /crm/v3/lists/{listId}`
pub(super) fn read(account: &Account, call: &Call) -> Answer {
    Ok(Reply::json(200, &json!({"list": shown(find(account, call.name(0))?, call)})))
}

/// A list, with its filters only if they are asked for.
fn shown(list: &List, call: &Call) -> Value {
    let mut body = list.to_json();
    if !call.query_flag("includeFilters")
        && let Some(body) = body.as_object_mut()
    {
        body.remove("filterBranch");
    }
    body
}

/// `GET /crm/v3/lists/object-type-id/{typeId}/name/{name}`
pub(super) fn by_name(account: &Account, call: &Call) -> Answer {
    let of = type_of(account, call.name(0))?;
    let name = call.name(1);
    match account.lists.values().find(|list| list.of == of && list.name == name) {
        Some(list) => Ok(Reply::json(200, &json!({"list": shown(list, call)}))),
        None => Err(Refusal::missing(format!("List does not exist with name {name}.")).into()),
    }
}

/// `PUT /crm/v3/lists/{listId}/update-list-name?listName=`
pub(super) fn rename(account: &mut Account, call: &Call) -> Answer {
    let now = account.now();
    let (id, of) = (find(account, call.name(0))?.id, find(account, call.name(0))?.of);
    if let Some(name) = call.query("listName") {
        check_name(account, of, &name, Some(id))?;
    }
    let list = find_mut(account, call.name(0))?;
    list.name = call.query("listName").unwrap_or(std::mem::take(&mut list.name));
    list.updated = now;
    Ok(Reply::json(200, &json!({"updatedList": list.to_json()})))
}

/// `DELETE /crm/v3/lists/{listId}`
pub(super) fn archive(account: &mut Account, call: &Call) -> Answer {
    let id = find(account, call.name(0))?.id;
    let list = account.lists.remove(&id);
    account.archived_lists.extend(list.map(|list| (id, list)));
    Ok(Reply::nothing())
}

/// `PUT /crm/v3/lists/{listId}/restore`
pub(super) fn restore(account: &mut Account, call: &Call) -> Answer {
    let id = call.name(0).parse().unwrap_or_default();
    if !account.lists.contains_key(&id) {
        let list = account.archived_lists.remove(&id).ok_or_else(|| unknown(call.name(0)))?;
        account.lists.insert(id, list);
    }
    Ok(Reply::nothing())
}

/// `PUT /crm/v3/lists/{listId}/update-list-filters`: of lists that have some.
/// The emulator keeps filters and counts nobody in by them.
pub(super) fn update_filters(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        filter_branch: Map<String, Value>,
    }
    let request: Request = call.json()?;
    let now = account.now();
    let list = find_mut(account, call.name(0))?;
    if list.processing != Processing::Dynamic {
        let message = format!("List {} has no filters that could be changed.", list.id);
        return Err(Refusal::invalid(message).into());
    }
    list.filter_branch = Some(completed(request.filter_branch));
    list.updated = now;
    Ok(Reply::json(200, &json!({"updatedList": list.to_json()})))
}

/// `GET /crm/v3/lists/idmapping?legacyListId=`: here old ids are new ids.
pub(super) fn id_mapping(account: &Account, call: &Call) -> Answer {
    let legacy = call.query("legacyListId").unwrap_or_default();
    let list = find(account, &legacy)?;
    Ok(Reply::json(200, &mapping(list)))
}

/// `POST /crm/v3/lists/idmapping`
pub(super) fn id_mappings(account: &Account, call: &Call) -> Answer {
    let ids = bare_ids(call)?;
    if ids.len() > MOST_MAPPED {
        let message = format!("At most {MOST_MAPPED} ids can be mapped at once");
        return Err(Refusal::invalid(message).into());
    }
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for id in &ids {
        match find(account, &id.0) {
            Ok(list) => found.push(mapping(list)),
            Err(_) => missing.push(id.0.clone()),
        }
    }
    let body = json!({"legacyListIdsToIdsMapping": found, "missingLegacyListIds": missing});
    Ok(Reply::json(200, &body))
}

fn mapping(list: &List) -> Value {
    let id = list.id.to_string();
    json!({"legacyListId": id, "listId": id})
}

/// `POST /crm/v3/lists/search`: pages by offset, not by cursor.
pub(super) fn search(account: &Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    #[derive(Default)]
    struct Request {
        query: Option<String>,
        count: Option<u64>,
        offset: Option<u64>,
        list_ids: Option<Vec<Text>>,
        processing_types: Option<Vec<String>>,
        sort: Option<String>,
        object_type_id: Option<String>,
    }
    if call.body.is_empty() {
        return Err(Refusal::new(400, "validation error")
            .field("errors", json!(["The request body may not be null"]))
            .into());
    }
    let request: Request = call.json()?;
    if call.edition == Edition::September2026 {
        let named = [
            ("listIds", request.list_ids.is_some()),
            ("processingTypes", request.processing_types.is_some()),
        ];
        let unset: Vec<&str> =
            named.iter().filter(|(_, set)| !set).map(|(name, _)| *name).collect();
        if !unset.is_empty() {
            return Err(Refusal::invalid(format!(
                "Invalid input JSON on line 1, column {}. Some required fields were not set: [{}]",
                call.body.len(),
                unset.join(", ")
            ))
            .into());
        }
    }
    let list_ids = request.list_ids.unwrap_or_default();
    let processing_types = request.processing_types.unwrap_or_default();
    let query = request.query.unwrap_or_default().to_lowercase();
    let wanted = |list: &&List| {
        let id = Text(list.id.to_string());
        list.name.to_lowercase().contains(&query)
            && (list_ids.is_empty() || list_ids.contains(&id))
            && request.object_type_id.as_ref().is_none_or(|of| *of == list.type_id)
            && (processing_types.is_empty()
                || processing_types
                    .iter()
                    .any(|kind| Processing::of_wire(kind) == Some(list.processing)))
    };
    let mut found: Vec<&List> = account.lists.values().filter(wanted).collect();
    if request.sort.is_some_and(|sort| sort.to_uppercase().contains("NAME")) {
        found.sort_by(|one, other| one.name.cmp(&other.name));
    }
    let offset = request.offset.unwrap_or(0).min(found.len() as u64) as usize;
    let count = request.count.unwrap_or(SEARCH_PAGE).min(LARGEST_SEARCH_PAGE) as usize;
    let end = offset.saturating_add(count).min(found.len());
    let lists: Vec<Value> = found[offset..end].iter().map(|list| searched(account, list)).collect();
    Ok(Reply::json(
        200,
        &json!({
            "offset": end,
            "hasMore": end < found.len(),
            "lists": lists,
            "total": found.len(),
        }),
    ))
}

fn searched(account: &Account, list: &List) -> Value {
    let mut body = list.to_json();
    if let Some(body) = body.as_object_mut() {
        for name in ["filterBranch", "listPermissions", "membershipSettings"] {
            body.remove(name);
        }
        if !account.era.search_tells_who_changed_lists() {
            body.remove("updatedById");
        }
    }
    body["additionalProperties"] = json!({
        "hs_list_reference_count": "0",
        "hs_list_size": list.members.len().to_string(),
    });
    body
}

/// `GET /crm/v3/lists/{listId}/memberships`: the cursor inside the JSON is
/// percent-encoded already, and the total may be wrong (both recorded).
pub(super) fn memberships(account: &Account, call: &Call) -> Answer {
    let list = find(account, call.name(0))?;
    let limit = call.query_limit(PAGE, LARGEST_PAGE)?;
    let from = match call.query("after") {
        Some(after) => cursor_id(&after)?,
        None => 0,
    };
    let by_joining = call.path.ends_with("/join-order");
    let mut members: Vec<(u64, i64)> = list.members.iter().map(|(id, at)| (*id, *at)).collect();
    if by_joining {
        members.sort_by_key(|(id, at)| (*at, *id));
    }
    // The cursor of the first order is an id, that of the other a place.
    let start = match by_joining {
        true => (from as usize).min(members.len()),
        false => members.partition_point(|(id, _)| *id < from),
    };
    let end = start.saturating_add(limit as usize).min(members.len());
    let entry = |(id, at): &(u64, i64)| json!({"membershipTimestamp": moment::exact(*at), "recordId": id.to_string()});
    let page: Vec<Value> = members[start..end].iter().map(entry).collect();
    let mut body = json!({"results": page});
    if let Some((next, _)) = members.get(end) {
        let after = cursor(if by_joining { end as u64 } else { *next });
        let link = format!(
            "https://api.hubapi.com/crm/lists/v3/{}/memberships?limit={limit}&after={after}",
            list.id
        );
        body["paging"] = json!({"next": {"after": after, "link": link}});
    }
    // Recorded: a total of 0 beside 25 results.
    let wrong = account.wrong_totals && (list.id + from).is_multiple_of(4);
    body["total"] = json!(if wrong { 0 } else { members.len() });
    Ok(Reply::json(200, &body))
}

/// An id as a cursor that must not be encoded again.
fn cursor(id: u64) -> String {
    utf8_percent_encode(&format!("{id}=="), NON_ALPHANUMERIC).to_string()
}

fn cursor_id(after: &str) -> Result<u64, Refused> {
    let id = after.strip_suffix("==").and_then(|id| id.parse().ok());
    id.ok_or_else(|| Refusal::invalid(format!("Invalid paging cursor: {after}")).into())
}

/// `PUT …/memberships/add`
pub(super) fn add(account: &mut Account, call: &Call) -> Answer {
    let ids = bare_ids(call)?;
    change_members(account, call.name(0), &ids, &[])
}

/// `PUT …/memberships/remove`
pub(super) fn remove(account: &mut Account, call: &Call) -> Answer {
    let ids = bare_ids(call)?;
    change_members(account, call.name(0), &[], &ids)
}

/// `PUT …/memberships/add-and-remove`
pub(super) fn add_and_remove(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    #[derive(Default)]
    struct Request {
        record_ids_to_add: Vec<Text>,
        record_ids_to_remove: Vec<Text>,
    }
    let request: Request = call.json()?;
    change_members(account, call.name(0), &request.record_ids_to_add, &request.record_ids_to_remove)
}

/// `PUT …/memberships/add-from/{sourceListId}`
pub(super) fn add_from(account: &mut Account, call: &Call) -> Answer {
    check_open(find(account, call.name(0))?)?;
    let (of, source) = (find(account, call.name(0))?.of, find(account, call.name(1))?);
    if source.of != of {
        return Err(Refusal::invalid("Both lists must be of one object type").into());
    }
    if source.members.len() > MOST_TAKEN {
        let message = format!("The source list has more than {MOST_TAKEN} members");
        return Err(Refusal::invalid(message).into());
    }
    let now = account.now();
    let ids: Vec<u64> = source.members.keys().copied().collect();
    let members = &mut find_mut(account, call.name(0))?.members;
    for id in ids {
        members.entry(id).or_insert(now);
    }
    Ok(Reply::nothing())
}

fn check_open(list: &List) -> Result<(), Refused> {
    if list.is_open() {
        return Ok(());
    }
    let message = format!("List {} does not allow manual changes of its members.", list.id);
    Err(Refusal::invalid(message).into())
}

/// `DELETE …/memberships`
pub(super) fn remove_all(account: &mut Account, call: &Call) -> Answer {
    check_open(find(account, call.name(0))?)?;
    find_mut(account, call.name(0))?.members.clear();
    Ok(Reply::nothing())
}

/// A bare array of ids; anything else is refused in the parser's words.
fn bare_ids(call: &Call) -> Result<Vec<Text>, Refused> {
    call.json_texts().map_err(|_| {
        let message = "Invalid input JSON on line 1, column 2: Cannot deserialize value of type \
                       `java.lang.String` from Object value (token `JsonToken.START_OBJECT`)";
        Refused::from(Refusal::new(400, message))
    })
}

fn change_members(account: &mut Account, id: &str, add: &[Text], remove: &[Text]) -> Answer {
    let list = find(account, id)?;
    check_open(list)?;
    let (list_id, of, now) = (list.id, list.of, account.now());
    let (mut added, mut removed, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    let known: Vec<(&Text, Option<u64>)> =
        add.iter().map(|id| (id, account.live_id(of, &id.0))).collect();
    let Some(list) = account.lists.get_mut(&list_id) else { return Ok(Reply::nothing()) };
    for (text, id) in known {
        match id {
            Some(id) if list.members.insert(id, now).is_none() => added.push(id.to_string()),
            Some(_) => {}
            None => missing.push(text.0.clone()),
        }
    }
    for text in remove {
        match text.0.parse::<u64>().ok().and_then(|id| list.members.remove(&id)) {
            Some(_) => removed.push(text.0.clone()),
            None => missing.push(text.0.clone()),
        }
    }
    account.shuffle(&mut added);
    account.shuffle(&mut removed);
    // The spelling differs between the two, and what is empty is left out.
    let mut body = Map::new();
    for (name, ids) in
        [("recordsIdsAdded", added), ("recordIdsRemoved", removed), ("recordIdsMissing", missing)]
    {
        if !ids.is_empty() {
            body.insert(name.to_owned(), json!(ids));
        }
    }
    Ok(Reply::json(200, &Value::Object(body)))
}

/// `GET /crm/v3/lists/records/{typeId}/{recordId}/memberships`
pub(super) fn of_record(account: &Account, call: &Call) -> Answer {
    let of = type_of(account, call.name(0))?;
    let id: u64 = call.name(1).parse().unwrap_or_default();
    let results = lists_of(account, of, id);
    Ok(Reply::json(200, &json!({"results": results, "total": results.len()})))
}

/// `POST /crm/v3/lists/records/memberships/batch/read`
pub(super) fn of_records(account: &Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        object_type_id: String,
        record_id: Text,
    }
    let request: Batch<Input> = call.json()?;
    let mut results = Vec::new();
    for input in &request.inputs {
        let of = type_of(account, &input.object_type_id)?;
        let id = input.record_id.0.parse().unwrap_or_default();
        results.push(json!({
            "objectTypeId": account.tables[of].object_type.type_id,
            "recordId": input.record_id.0,
            "listMemberships": lists_of(account, of, id),
        }));
    }
    Ok(Reply::json(
        200,
        &json!({
            "status": "COMPLETE",
            "results": results,
            "startedAt": account.now_text(),
            "completedAt": account.now_text(),
        }),
    ))
}

fn lists_of(account: &Account, of: TypeAt, id: u64) -> Vec<Value> {
    let on = account.lists.values().filter(|list| list.of == of);
    on.filter_map(|list| {
        let at = moment::exact(*list.members.get(&id)?);
        Some(json!({
            "listId": list.id.to_string(),
            "listVersion": 1,
            "firstAddedTimestamp": at,
            "lastAddedTimestamp": at,
        }))
    })
    .collect()
}

fn find<'a>(account: &'a Account, id: &str) -> Result<&'a List, Refused> {
    let found = id.parse::<u64>().ok().and_then(|id| account.lists.get(&id));
    found.ok_or_else(|| unknown(id))
}

fn find_mut<'a>(account: &'a mut Account, id: &str) -> Result<&'a mut List, Refused> {
    let found = id.parse::<u64>().ok().and_then(|id| account.lists.get_mut(&id));
    found.ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Refused {
    Refusal::missing(format!("List does not exist with ID {id}."))
        .context("listId", [id])
        .sub_category("ListError.LIST_ID_DOES_NOT_EXIST")
        .into()
}
