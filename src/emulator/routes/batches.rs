//! A hundred records at a time.
//!
//! Section 6 of the API reference tells what happens to the rest of a batch
//! when one input is bad: everything hangs on whether every input carries an
//! `objectWriteTraceId`.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::associations::check_permission;
use super::objects::{CreateRequest, Reference, echo, history_slots, select};
use super::{Batch, batch_status, type_of, type_to_write};
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::{Answer, Call, Reply, Text, objects, plain_values};
use crate::emulator::errors::{Refusal, Refused};
use crate::emulator::paths::Edition;
use crate::emulator::record::{Source, View};
use crate::emulator::render::{Extra, Shown, push_batch_times};
use crate::emulator::schema::Slot;
use crate::emulator::table::{Change, Found};
use crate::emulator::write::{Checked, Fault};

const MOST: usize = 100;
const MOST_WITH_HISTORY: usize = 50;

/// `POST …/batch/read`
pub(super) fn read(account: &Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        #[serde(deserialize_with = "objects")]
        inputs: Vec<Reference>,
        #[serde(default)]
        properties: Vec<String>,
        #[serde(default)]
        properties_with_history: Vec<String>,
        #[serde(default)]
        id_property: Option<String>,
    }
    let at = type_of(account, call.name(0))?;
    let request: Request = call.json()?;
    let history = history_slots(account, at, &request.properties_with_history);
    check_size(request.inputs.len(), !history.is_empty())?;
    let archived = call.query_flag("archived");
    let shown = Shown {
        slots: select(account, at, &request.properties),
        history,
        associations: Vec::new(),
        nulls: true,
    };
    let mut views: BTreeMap<u64, View<'_>> = BTreeMap::new();
    let mut missing = Vec::new();
    for input in &request.inputs {
        match sought(account, at, &input.id.0, request.id_property.as_deref())? {
            Sought::Found(view)
                if view.archived().is_some() == archived && !account.is_past_recycling(&view) =>
            {
                views.insert(view.id, view);
            }
            // Ids that were merged away are no error: they are just not there.
            Sought::MergedAway => {}
            _ => missing.push(input.id.0.clone()),
        }
    }
    let mut views: Vec<View<'_>> = views.into_values().collect();
    account.shuffle(&mut views);
    let mut text = String::with_capacity(views.len() * (shown.slots.len() * 40 + 300));
    account.push_records(at, views.into_iter(), &shown, &mut text);
    let errors = match missing.is_empty() {
        true => Vec::new(),
        false => vec![could_not_get(account, at, &missing, &[])],
    };
    Ok(batch_reply(account, call, 200, vec![text], errors))
}

/// `POST …/batch/create`
pub(super) fn create(account: &mut Account, call: &Call) -> Answer {
    let at = type_to_write(account, call.name(0))?;
    let request: Batch<CreateRequest> = call.json()?;
    check_size(request.inputs.len(), false)?;
    let traces: Vec<Option<String>> =
        request.inputs.iter().map(|input| text(&input.object_write_trace_id)).collect();
    let all_traced = traces.iter().all(Option::is_some);

    let mut errors = Vec::new();
    let mut texts = Vec::new();
    if request.inputs.iter().any(|input| input.associations.is_some()) {
        check_permission(account, call)?;
    }
    if !all_traced {
        refuse_any_fault(account, at, &request.inputs, call.edition)?;
    }
    for (input, trace) in request.inputs.into_iter().zip(traces) {
        let links = input.associations.unwrap_or_default();
        let checked = account
            .check_create(at, &input.properties, call.edition)
            .and_then(|checked| Ok((checked, account.check_links(at, &links)?)));
        match checked {
            Ok((Checked { draft, warnings }, links)) => {
                let written: Vec<Slot> = draft.iter().map(|(slot, _)| *slot).collect();
                let id = account.create(at, draft, Source::Api);
                account.link(at, id, links);
                let extra = Extra { trace_id: trace.as_deref(), new: None, warnings: &warnings };
                texts.push(echo(account, at, id, written, &extra));
            }
            Err(fault) => {
                errors.push(fault.entry(account, at, trace.as_deref().unwrap_or_default()))
            }
        }
    }
    account.shuffle(&mut texts);
    Ok(batch_reply(account, call, 201, texts, errors))
}

/// Without trace ids nothing is written unless everything can be.
fn refuse_any_fault(
    account: &Account,
    at: TypeAt,
    inputs: &[CreateRequest],
    edition: Edition,
) -> Result<(), Refused> {
    let mut claims = Claims::default();
    for input in inputs {
        let links = input.associations.as_deref().unwrap_or_default();
        let checked = account
            .check_create(at, &input.properties, edition)
            .and_then(|checked| account.check_links(at, links).map(|_| checked))
            .map_err(|fault| fault.refusal(account, at))?;
        claims.add(account, at, 0, &checked.draft)?;
    }
    Ok(())
}

/// Unique values that the inputs of one batch ask for.
#[derive(Default)]
struct Claims(HashMap<(Slot, String), u64>);

impl Claims {
    /// Refuses a value that another input asks for too.
    fn add(
        &mut self,
        account: &Account,
        at: TypeAt,
        writer: u64,
        draft: &[Change],
    ) -> Result<(), Refused> {
        for (slot, value) in draft.iter().filter(|(_, value)| !value.is_empty()) {
            let property = account.tables[at].catalogue.at(*slot);
            if !property.unique {
                continue;
            }
            let Some(holder) = self.0.insert((*slot, value.to_lowercase()), writer) else {
                continue;
            };
            if property.name == "email" && writer == 0 {
                let refusal = Refusal::new(409, "Contact already exists").category("CONFLICT");
                return Err(refusal.into());
            }
            let (name, value) = (property.name.clone(), value.clone());
            let fault = Fault::NotUnique { name, value, writer, holder };
            return Err(fault.refusal(account, at).into());
        }
        Ok(())
    }
}

/// Whether one batch may have several keys is not known: group by key.
fn check_one_key(inputs: &[WriteRequest]) -> Result<(), Refused> {
    let keys: HashSet<Option<&str>> =
        inputs.iter().map(|input| input.id_property.as_deref()).collect();
    match keys.len() > 1 {
        true => Err(Refusal::invalid("All inputs of a batch must have the same idProperty").into()),
        false => Ok(()),
    }
}

/// An input of an update or upsert.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WriteRequest {
    id: Text,
    #[serde(default)]
    id_property: Option<String>,
    #[serde(deserialize_with = "plain_values")]
    properties: Map<String, Value>,
    #[serde(default)]
    object_write_trace_id: Option<Text>,
}

/// What becomes of one input.
enum Step {
    Update(u64, Checked),
    Create(Checked),
    Faulty(Fault),
    Missing,
    /// Merged away, or an email where an id should be: nothing happens, and
    /// nothing is said.
    Silent,
}

/// `POST …/batch/update`
pub(super) fn update(account: &mut Account, call: &Call) -> Answer {
    let edition = call.edition;
    let plan = |account: &Account, at: TypeAt, input: &WriteRequest| {
        let named = input.id_property.as_deref();
        if let Some(name) = named {
            // An update by email is refused too (`live`).
            if name == "email" {
                return Err(non_unique(account, at, name));
            }
            account.unique_slot(at, name, "update/upsert")?;
        }
        if named.is_none() && input.id.0.parse::<u64>().is_err() {
            return Ok(Step::Silent);
        }
        Ok(match sought(account, at, &input.id.0, named)? {
            Sought::Found(view) if view.is_live() => {
                step_update(account, at, &view, input, edition)
            }
            Sought::MergedAway => Step::Silent,
            _ => Step::Missing,
        })
    };
    write_batch(account, call, false, plan)
}

/// `POST …/batch/upsert`
pub(super) fn upsert(account: &mut Account, call: &Call) -> Answer {
    let edition = call.edition;
    let plan = |account: &Account, at: TypeAt, input: &WriteRequest| {
        let Some(name) = input.id_property.as_deref() else {
            return Ok(match sought(account, at, &input.id.0, None)? {
                Sought::Found(view) if view.is_live() => {
                    step_update(account, at, &view, input, edition)
                }
                _ => return Err(non_unique(account, at, "hs_object_id")),
            });
        };
        let slot = account.unique_slot(at, name, "update/upsert")?;
        if let Some(view) = account.holder(at, slot, &input.id.0) {
            return Ok(step_update(account, at, &view, input, edition));
        }
        let mut properties = input.properties.clone();
        properties.entry(name).or_insert_with(|| json!(input.id.0));
        // An upsert brings no associations, and a lead cannot be without.
        let created = account
            .check_create(at, &properties, edition)
            .and_then(|checked| account.check_links(at, &[]).map(|_| checked));
        Ok(match created {
            Ok(checked) => Step::Create(checked),
            Err(fault) => Step::Faulty(fault),
        })
    };
    write_batch(account, call, true, plan)
}

fn step_update(
    account: &Account,
    at: TypeAt,
    view: &View<'_>,
    input: &WriteRequest,
    edition: Edition,
) -> Step {
    let mut properties = input.properties.clone();
    // The key names the record; a secondary address must not become primary.
    if let Some(name) = &input.id_property
        && properties
            .get(name)
            .and_then(Value::as_str)
            .is_some_and(|value| value.eq_ignore_ascii_case(&input.id.0))
    {
        properties.remove(name);
    }
    match account.check_update(at, view, &properties, edition) {
        Ok(checked) => Step::Update(view.id, checked),
        Err(fault) => Step::Faulty(fault),
    }
}

fn write_batch(
    account: &mut Account,
    call: &Call,
    upsert: bool,
    plan: impl Fn(&Account, TypeAt, &WriteRequest) -> Result<Step, Refused>,
) -> Answer {
    let at = type_to_write(account, call.name(0))?;
    let request: Batch<WriteRequest> = call.json()?;
    check_size(request.inputs.len(), false)?;
    check_distinct(&request.inputs)?;
    check_one_key(&request.inputs)?;
    let all_traced = request.inputs.iter().all(|input| input.object_write_trace_id.is_some());
    // What refuses the whole batch does so before anything is written, with
    // trace ids too.
    let mut claims = Claims::default();
    for input in &request.inputs {
        let step = plan(account, at, input)?;
        if !all_traced {
            match step {
                Step::Faulty(fault) => return Err(fault.refusal(account, at).into()),
                Step::Update(id, checked) => claims.add(account, at, id, &checked.draft)?,
                Step::Create(checked) => claims.add(account, at, 0, &checked.draft)?,
                Step::Missing | Step::Silent => {}
            }
        }
    }
    let (mut texts, mut errors) = (Vec::new(), Vec::new());
    let (mut missing, mut missing_traces) = (Vec::new(), Vec::new());
    for input in &request.inputs {
        let trace = text(&input.object_write_trace_id);
        let trace_id = trace.as_deref();
        match plan(account, at, input)? {
            Step::Update(id, Checked { draft, warnings }) => {
                let new = upsert.then_some(false);
                let extra = Extra { trace_id, new, warnings: &warnings };
                let written = draft.iter().map(|(slot, _)| *slot).collect();
                account.update(at, id, draft, Source::Api);
                texts.push(echo(account, at, id, with_key(account, at, input, written), &extra));
            }
            Step::Create(Checked { draft, warnings }) => {
                let extra = Extra { trace_id, new: Some(true), warnings: &warnings };
                let written = draft.iter().map(|(slot, _)| *slot).collect();
                let id = account.create(at, draft, Source::Api);
                texts.push(echo(account, at, id, written, &extra));
            }
            Step::Faulty(fault) => {
                errors.push(fault.entry(account, at, trace.as_deref().unwrap_or_default()))
            }
            Step::Missing => {
                missing.push(input.id.0.clone());
                missing_traces.extend(trace);
            }
            Step::Silent => {}
        }
    }
    if !missing.is_empty() {
        errors.push(could_not_get(account, at, &missing, &missing_traces));
    }
    account.shuffle(&mut texts);
    Ok(batch_reply(account, call, 200, texts, errors))
}

/// The key property is echoed even when it was only the key.
fn with_key(
    account: &Account,
    at: TypeAt,
    input: &WriteRequest,
    mut written: Vec<Slot>,
) -> Vec<Slot> {
    let key = input.id_property.as_deref().and_then(|name| account.tables[at].catalogue.find(name));
    written.extend(key.map(|(slot, _)| slot));
    written
}

/// `POST …/batch/archive`: 204 whatever the ids are.
pub(super) fn archive(account: &mut Account, call: &Call) -> Answer {
    let at = type_to_write(account, call.name(0))?;
    let request: Batch<Reference> = call.json()?;
    check_size(request.inputs.len(), false)?;
    for input in &request.inputs {
        if let Ok(id) = input.id.0.parse() {
            account.archive(at, id);
        }
    }
    Ok(Reply::nothing())
}

enum Sought<'a> {
    Found(View<'a>),
    MergedAway,
    Nothing,
}

fn sought<'a>(
    account: &'a Account,
    at: TypeAt,
    id: &str,
    id_property: Option<&str>,
) -> Result<Sought<'a>, Refused> {
    if id_property.is_some_and(|name| name != "hs_object_id") {
        let found = account.find_by(at, id, id_property)?;
        return Ok(found.map_or(Sought::Nothing, Sought::Found));
    }
    let Ok(id) = id.parse() else { return Ok(Sought::Nothing) };
    Ok(match account.tables[at].find(id) {
        Found::Live(view) | Found::Archived(view) => Sought::Found(view),
        Found::Merged(_) => Sought::MergedAway,
        Found::Nothing => Sought::Nothing,
    })
}

fn non_unique(account: &Account, at: TypeAt, name: &str) -> Refused {
    let type_id = &account.tables[at].object_type.type_id;
    let message =
        format!("Unable to perform update/upsert by non-unique {type_id} property {name}");
    Refusal::invalid(message).into()
}

fn check_size(inputs: usize, history: bool) -> Result<(), Refused> {
    if history && inputs > MOST_WITH_HISTORY {
        return Err(Refusal::invalid(format!(
            "The maximum number of inputs supported in a batch request for property histories is \
             {MOST_WITH_HISTORY}. Please reduce the number of items and try again"
        ))
        .into());
    }
    if inputs > MOST {
        return Err(Refusal::invalid(format!(
            "The maximum number of inputs supported in a batch request is {MOST}. Please reduce \
             the number of items and try again"
        ))
        .into());
    }
    Ok(())
}

fn check_distinct(inputs: &[WriteRequest]) -> Result<(), Refused> {
    let mut seen = HashSet::new();
    let twice: Vec<String> = inputs
        .iter()
        .map(|input| input.id.0.to_lowercase())
        .filter(|id| !seen.insert(id.clone()))
        .collect();
    if twice.is_empty() {
        return Ok(());
    }
    let message =
        format!("Duplicate IDs found in batch input: [{}]. IDs must be unique", twice.join(", "));
    Err(Refusal::invalid(message).context("ids", twice).into())
}

/// One entry for all ids that are not there.
fn could_not_get(account: &Account, at: TypeAt, ids: &[String], traces: &[String]) -> Value {
    let shouted = account.tables[at].object_type.shouted();
    let mut entry = json!({
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": format!(
            "Could not get some {shouted} objects, they may be deleted or not exist. Check that ids are valid."
        ),
        "context": {"ids": ids},
    });
    if !traces.is_empty() {
        entry["context"]["objectWriteTraceId"] = json!(traces);
    }
    entry
}

/// A batch answer, `COMPLETE` always.
fn batch_reply(
    account: &Account,
    call: &Call,
    status: u16,
    results: Vec<String>,
    errors: Vec<Value>,
) -> Reply {
    let status = batch_status(account, call, status, !errors.is_empty());
    let mut out = format!("{{\"status\":\"COMPLETE\",\"results\":[{}]", results.join(","));
    if !errors.is_empty() {
        out.push_str(&format!(",\"numErrors\":{},\"errors\":{}", errors.len(), json!(errors)));
    }
    push_batch_times(&mut out, account.now(), account.now());
    out.push('}');
    Reply::raw(status, out)
}

fn text(text: &Option<Text>) -> Option<String> {
    text.as_ref().map(|text| text.0.clone())
}
