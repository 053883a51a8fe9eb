//! One record, or a page of them.

use serde::Deserialize;
use serde_json::{Map, Value};
use url::form_urlencoded::{self, Serializer};

use super::associations::check_permission;
use super::{type_of, type_to_write};
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::{Answer, Call, Reply, Text, plain_values};
use crate::emulator::computed::ECHOED;
use crate::emulator::errors::{Refusal, Refused};
use crate::emulator::moment;
use crate::emulator::record::{Source, View};
use crate::emulator::render::{Extra, Shown};
use crate::emulator::schema::Slot;
use crate::emulator::search::SearchRequest;
use crate::emulator::seed::draw::salt;
use crate::emulator::table::Found;
use crate::emulator::write::Checked;

/// The types whose records can be merged; section 5 of the API reference.
const MERGED: [&str; 4] = ["contacts", "companies", "deals", "tickets"];
const MOST_IDENTITIES: usize = 250;
const PAGE: u64 = 10;
const LARGEST_PAGE: u64 = 100;
const LARGEST_HISTORY_PAGE: u64 = 50;

/// `GET /crm/v3/objects/{t}`
pub(super) fn list(account: &Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let shown = shown_by_query(account, at, call)?;
    let limit = page_size(call, &shown)?;
    let from = call.query_number("after")?.unwrap_or(0);
    let archived = call.query_flag("archived");

    let wanted = |view: &View<'_>| match archived {
        true => !view.is_gone() && view.archived().is_some() && !account.is_past_recycling(view),
        false => view.is_live(),
    };
    let mut views = account.tables[at].walk(from).filter(wanted);
    let mut out = String::with_capacity(limit as usize * (shown.slots.len() * 40 + 300));
    out.push_str("{\"results\":[");
    let mut last = 0;
    let page = views.by_ref().take(limit as usize).inspect(|view| last = view.id);
    account.push_records(at, page, &shown, &mut out);
    out.push(']');
    if last > 0 && views.next().is_some() {
        push_next(&mut out, &account.tables[at].object_type.plural, call, last + 1);
    }
    out.push('}');
    Ok(Reply::raw(200, out))
}

fn page_size(call: &Call, shown: &Shown) -> Result<u64, Refused> {
    let largest = if shown.history.is_empty() { LARGEST_PAGE } else { LARGEST_HISTORY_PAGE };
    call.query_limit(PAGE, largest)
}

/// The cursor is the last id plus one; the link shows an inner path that
/// nobody should follow, and echoes the query, known keys or not (all
/// observed).
fn push_next(out: &mut String, plural: &str, call: &Call, after: u64) {
    let cursor = after.to_string();
    let mut query = Serializer::new(String::new());
    let mut placed = false;
    for (name, value) in form_urlencoded::parse(call.query.as_bytes()) {
        let is_cursor = name == "after";
        placed |= is_cursor;
        query.append_pair(&name, if is_cursor { &cursor } else { &value });
    }
    if !placed {
        query.append_pair("after", &cursor);
    }
    let query = query.finish();
    out.push_str(&format!(
        ",\"paging\":{{\"next\":{{\"after\":\"{after}\",\"link\":\"https://api.hubapi.com/crm/objects/v3/{plural}?{query}\"}}}}"
    ));
}

/// `GET /crm/v3/objects/{t}/{id}`
pub(super) fn read(account: &Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let shown = shown_by_query(account, at, call)?;
    let archived = call.query_flag("archived");
    let view = one(account, at, call)?;
    if view.archived().is_some() != archived || account.is_past_recycling(&view) {
        return Err(Refusal::not_found(call.json_wanted).into());
    }
    Ok(Reply::raw(200, record_text(account, at, &view, &shown)))
}

/// `POST /crm/v3/objects/{t}/search`
pub(super) fn search(account: &Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let length = String::from_utf8_lossy(&call.body).chars().count();
    if account.search_body_limit.is_some_and(|limit| length > limit) {
        return Err(Refusal::invalid("The request body is too long.").into());
    }
    let request: SearchRequest = call.json()?;
    let shown = Shown {
        slots: select(account, at, &request.properties),
        history: Vec::new(),
        associations: Vec::new(),
        nulls: true,
    };
    let digest = salt(&String::from_utf8_lossy(&call.body));
    let page = account.search(at, &request, digest)?;
    let mut out = String::with_capacity(page.records.len() * (shown.slots.len() * 40 + 300));
    out.push_str(&format!("{{\"total\":{},\"results\":[", page.total));
    account.push_records(at, page.records.iter().copied(), &shown, &mut out);
    out.push(']');
    if let Some(next) = page.next {
        out.push_str(&format!(",\"paging\":{{\"next\":{{\"after\":\"{next}\"}}}}"));
    }
    out.push('}');
    Ok(Reply::raw(200, out))
}

/// The body of a create.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateRequest {
    #[serde(deserialize_with = "plain_values")]
    pub(super) properties: Map<String, Value>,
    #[serde(default)]
    pub(super) associations: Option<Vec<NewAssociation>>,
    #[serde(default)]
    pub(super) object_write_trace_id: Option<Text>,
}

/// An association made together with its record.
#[derive(Deserialize)]
pub(crate) struct NewAssociation {
    pub(crate) to: Reference,
    pub(crate) types: Vec<KindRequest>,
}

/// A record named by its id.
#[derive(Clone, Deserialize)]
pub(crate) struct Reference {
    pub(crate) id: Text,
}

/// A kind of association.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KindRequest {
    #[allow(dead_code, reason = "read so that a body without it is refused")]
    pub(crate) association_category: String,
    pub(crate) association_type_id: u32,
}

/// `POST /crm/v3/objects/{t}`
pub(super) fn create(account: &mut Account, call: &Call) -> Answer {
    let at = type_to_write(account, call.name(0))?;
    let request: CreateRequest = call.json()?;
    let links = request.associations.unwrap_or_default();
    if !links.is_empty() {
        check_permission(account, call)?;
    }
    let checked = account
        .check_create(at, &request.properties, call.edition)
        .and_then(|checked| Ok((checked, account.check_links(at, &links)?)));
    let (Checked { draft, warnings }, links) =
        checked.map_err(|fault| fault.refusal(account, at))?;
    let written: Vec<Slot> = draft.iter().map(|(slot, _)| *slot).collect();
    let id = account.create(at, draft, Source::Api);
    account.link(at, id, links);
    let plural = &account.tables[at].object_type.plural;
    let location = format!("https://api.hubapi.com/crm/v3/objects/{plural}/{id}");
    let extra = Extra { warnings: &warnings, ..Extra::default() };
    let text = echo(account, at, id, written, &extra);
    Ok(Reply::raw(201, text).with("Location", location))
}

/// `PATCH /crm/v3/objects/{t}/{id}`
pub(super) fn update(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    struct Request {
        #[serde(deserialize_with = "plain_values")]
        properties: Map<String, Value>,
    }
    let at = type_to_write(account, call.name(0))?;
    let request: Request = call.json()?;
    let view = one(account, at, call)?;
    if view.archived().is_some() {
        return Err(Refusal::not_found(call.json_wanted).into());
    }
    let id = view.id;
    let Checked { draft, warnings } = account
        .check_update(at, &view, &request.properties, call.edition)
        .map_err(|fault| fault.refusal(account, at))?;
    let written = draft.iter().map(|(slot, _)| *slot).collect();
    account.update(at, id, draft, Source::Api);
    let extra = Extra { warnings: &warnings, ..Extra::default() };
    Ok(Reply::raw(200, echo(account, at, id, written, &extra)))
}

/// `DELETE /crm/v3/objects/{t}/{id}`: 204 also for what is not there.
pub(super) fn archive(account: &mut Account, call: &Call) -> Answer {
    let at = type_to_write(account, call.name(0))?;
    if let Ok(id) = call.name(1).parse() {
        account.archive(at, id);
    }
    Ok(Reply::nothing())
}

/// `POST /crm/v3/objects/{t}/merge`
pub(super) fn merge(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        primary_object_id: Text,
        object_id_to_merge: Text,
    }
    let at = type_to_write(account, call.name(0))?;
    // Of other types it is not known that they can be merged.
    if !MERGED.contains(&account.name_of(at)) {
        let shouted = account.tables[at].object_type.shouted();
        return Err(Refusal::invalid(format!("{shouted} objects cannot be merged")).into());
    }
    let request: Request = call.json()?;
    let live = |text: &Text| {
        let id = text.0.parse().ok()?;
        match account.tables[at].find(id) {
            Found::Live(view) | Found::Merged(view) => Some(view.id),
            Found::Archived(_) | Found::Nothing => None,
        }
    };
    let pair = (live(&request.primary_object_id), live(&request.object_id_to_merge));
    let (Some(primary), Some(other)) = pair else {
        return Err(Refusal::not_found(call.json_wanted).into());
    };
    if primary == other {
        return Err(Refusal::invalid("Cannot merge an object with itself.").into());
    }
    if account.identities(at, primary) + account.identities(at, other) > MOST_IDENTITIES {
        let message = format!("Cannot have more than {MOST_IDENTITIES} identities on a profile");
        return Err(Refusal::new(414, message).into());
    }
    let id = account.merge(at, primary, other);
    let shown = shown_by_query(account, at, call)?;
    let view = account.tables[at].live(id).ok_or_else(|| Refusal::not_found(call.json_wanted))?;
    Ok(Reply::raw(200, record_text(account, at, &view, &shown)))
}

/// `POST /crm/v3/objects/{t}/gdpr-delete`
pub(super) fn gdpr_delete(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        object_id: Text,
        #[serde(default)]
        id_property: Option<String>,
    }
    let at = type_of(account, call.name(0))?;
    if account.name_of(at) != "contacts" {
        return Err(Refusal::not_found(call.json_wanted).into());
    }
    let request: Request = call.json()?;
    let found = account.find_by(at, &request.object_id.0, request.id_property.as_deref())?;
    let found = found.map(|view| view.id);
    // An address goes on the block list even when nobody had it.
    if request.id_property.as_deref() == Some("email") {
        account.blocked_emails.insert(request.object_id.0.to_lowercase());
    }
    if let Some(id) = found {
        account.gdpr_delete(at, id);
    }
    Ok(Reply::nothing())
}

/// The record that a path means, merges followed.
fn one<'a>(account: &'a Account, at: TypeAt, call: &Call) -> Result<View<'a>, Refused> {
    let id_property = call.query("idProperty");
    if id_property.is_none() && call.name(1).parse::<u64>().is_err() {
        let message = format!("Object not found.  objectId are usually numeric. {}", call.name(1));
        return Err(Refusal::missing(message.trim_end_matches(call.name(1)).trim_end()).into());
    }
    let found = account.find_by(at, call.name(1), id_property.as_deref())?;
    found.ok_or_else(|| Refusal::not_found(call.json_wanted).into())
}

/// A record as JSON.
pub(super) fn record_text(account: &Account, at: TypeAt, view: &View<'_>, shown: &Shown) -> String {
    let mut out = String::with_capacity(1024);
    account.push_record(at, view, shown, &Extra::default(), &mut out);
    out
}

/// A record as the write that changed it answers: what was written, and what
/// the server computed beside it; never a property without a value.
pub(super) fn echo(
    account: &Account,
    at: TypeAt,
    id: u64,
    written: Vec<Slot>,
    extra: &Extra<'_>,
) -> String {
    let catalogue = &account.tables[at].catalogue;
    let own = account.echoed(at, id, &written);
    let known = ECHOED.iter().filter_map(|name| catalogue.find(name)).map(|(slot, _)| slot);
    let unasked = catalogue.always.into_iter().chain(known).chain(own.shown);
    let unasked = unasked.filter(|slot| !own.hidden.contains(slot));
    let mut slots: Vec<Slot> = written.iter().copied().chain(unasked).collect();
    slots.sort_by(|left, right| catalogue.at(*left).name.cmp(&catalogue.at(*right).name));
    slots.dedup();
    let shown = Shown { slots, history: Vec::new(), associations: Vec::new(), nulls: false };
    let mut out = String::with_capacity(1024);
    if let Some(view) = account.tables[at].live(id) {
        account.push_record(at, &view, &shown, extra, &mut out);
    }
    out
}

/// The slots of the named properties, or the type's own few.
pub(super) fn select(account: &Account, at: TypeAt, names: &[String]) -> Vec<Slot> {
    let table = &account.tables[at];
    let names = if names.is_empty() { &table.object_type.default_properties } else { names };
    table.catalogue.select(names.iter().map(String::as_str))
}

fn shown_by_query(account: &Account, at: TypeAt, call: &Call) -> Result<Shown, Refused> {
    let names = call.query_list("associations");
    let associations: Result<Vec<TypeAt>, Refused> =
        names.iter().map(|name| type_of(account, name)).collect();
    Ok(Shown {
        slots: select(account, at, &call.query_list("properties")),
        history: history_slots(account, at, &call.query_list("propertiesWithHistory")),
        associations: associations?,
        nulls: true,
    })
}

/// The slots of properties asked for with their history.
pub(super) fn history_slots(account: &Account, at: TypeAt, names: &[String]) -> Vec<Slot> {
    let catalogue = &account.tables[at].catalogue;
    names.iter().filter_map(|name| catalogue.find(name)).map(|(slot, _)| slot).collect()
}

impl Account {
    /// The record under an id or a unique value, archived ones and survivors
    /// of merges included.
    pub(crate) fn find_by(
        &self,
        at: TypeAt,
        id: &str,
        id_property: Option<&str>,
    ) -> Result<Option<View<'_>>, Refused> {
        let Some(name) = id_property.filter(|name| *name != "hs_object_id") else {
            let Ok(id) = id.parse() else { return Ok(None) };
            return Ok(match self.tables[at].find(id) {
                Found::Live(view) | Found::Archived(view) | Found::Merged(view) => Some(view),
                Found::Nothing => None,
            });
        };
        let slot = self.unique_slot(at, name, "update/upsert")?;
        Ok(self.holder(at, slot, id))
    }

    /// The slot of a property that can stand for an id.
    pub(crate) fn unique_slot(&self, at: TypeAt, name: &str, doing: &str) -> Result<Slot, Refused> {
        let table = &self.tables[at];
        match table.catalogue.find(name) {
            Some((slot, property)) if property.unique => Ok(slot),
            _ => Err(Refusal::invalid(format!(
                "Unable to perform {doing} by non-unique {} property {name}",
                table.object_type.type_id
            ))
            .into()),
        }
    }

    /// When a batch is answered.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now()
    }

    /// A time as answers show it.
    pub(crate) fn now_text(&self) -> String {
        moment::exact(self.clock.now())
    }
}
