//! Pipelines and stages.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::type_of;
use crate::emulator::account::Account;
use crate::emulator::associations::TypeAt;
use crate::emulator::call::{Answer, Call, Reply};
use crate::emulator::errors::{Refusal, Refused};
use crate::emulator::paths::Edition;
use crate::emulator::pipelines::{Audit, Pipeline, Stage};
use crate::emulator::write::stage_properties;

/// Records that a refusal names at most.
const MOST_NAMED: usize = 20;

/// `GET /crm/v3/pipelines/{t}`: all of them, never paged.
pub(super) fn list(account: &Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let live = account.pipelines[at].iter().filter(|pipeline| !pipeline.archived);
    let results: Vec<Value> = live.map(Pipeline::to_json).collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `GET /crm/v3/pipelines/{t}/{pipelineId}`
pub(super) fn read(account: &Account, call: &Call) -> Answer {
    Ok(Reply::json(200, &find(account, call)?.to_json()))
}

/// `GET /crm/v3/pipelines/{t}/{pipelineId}/stages`
pub(super) fn stages(account: &Account, call: &Call) -> Answer {
    let results: Vec<Value> = find(account, call)?.live_stages().map(Stage::to_json).collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `GET /crm/v3/pipelines/{t}/{pipelineId}/stages/{stageId}`
pub(super) fn stage(account: &Account, call: &Call) -> Answer {
    let pipeline = find(account, call)?;
    match pipeline.live_stages().find(|stage| stage.id == call.name(2)) {
        Some(stage) => Ok(Reply::json(200, &stage.to_json())),
        None => Err(no_stage(call)),
    }
}

/// `GET …/{pipelineId}/audit`
pub(super) fn audit(account: &Account, call: &Call) -> Answer {
    let pipeline = find_any(account, call)?;
    Ok(Reply::json(200, &audit_json(account, pipeline, &pipeline.id)))
}

/// `GET …/stages/{stageId}/audit`
pub(super) fn stage_audit(account: &Account, call: &Call) -> Answer {
    let pipeline = find_any(account, call)?;
    match pipeline.stages.iter().any(|stage| stage.id == call.name(2)) {
        true => Ok(Reply::json(200, &audit_json(account, pipeline, call.name(2)))),
        false => Err(no_stage(call)),
    }
}

fn audit_json(account: &Account, pipeline: &Pipeline, id: &str) -> Value {
    let of = pipeline.audit.iter().filter(|entry| entry.of == id);
    let results: Vec<Value> = of.map(|entry| entry.to_json(account.portal_id)).collect();
    json!({"results": results})
}

/// A stage in a request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StageRequest {
    label: String,
    display_order: i64,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    stage_id: Option<String>,
}

/// A pipeline in a request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PipelineRequest {
    label: String,
    display_order: i64,
    stages: Vec<StageRequest>,
    #[serde(default)]
    pipeline_id: Option<String>,
}

/// `POST /crm/v3/pipelines/{t}`
pub(super) fn create(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let request: PipelineRequest = call.json()?;
    check_label(account, at, None, &request.label)?;
    let id = request.pipeline_id.unwrap_or_else(|| new_id(account));
    if account.pipelines[at].iter().any(|pipeline| pipeline.id == id) {
        return Err(taken("pipeline", &id));
    }
    let stages = made(account, at, request.stages)?;
    check_room(account, at, stages.len())?;
    let now = account.now();
    let mut pipeline = Pipeline::new(&id, &request.label, request.display_order, stages, now);
    pipeline.note(&id, "CREATE", now);
    let body = pipeline.to_json();
    account.pipelines[at].push(pipeline);
    account.refresh_stage_options(at);
    Ok(Reply::json(201, &body))
}

/// `PUT /crm/v3/pipelines/{t}/{pipelineId}`: stages that are not named again
/// by their ids go.
pub(super) fn replace(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let id = find(account, call)?.id.clone();
    let request: PipelineRequest = call.json()?;
    check_label(account, at, Some(&id), &request.label)?;
    let kept: BTreeSet<String> =
        request.stages.iter().filter_map(|stage| stage.stage_id.clone()).collect();
    let old = find(account, call)?.live_stages().map(|stage| stage.id.clone());
    let gone: Vec<String> = old.filter(|stage| !kept.contains(stage)).collect();
    check_unused(account, call, at, &id, &gone)?;
    let others = stages_of_others(account, at, &id);
    let stages = built(account, at, request.stages, &others)?;
    check_room(account, at, stages.len())?;
    let pipeline = find_mut(account, call)?;
    pipeline.label = request.label;
    pipeline.display_order = request.display_order;
    pipeline.stages = stages;
    touched(account, call, at, None, "UPDATE")
}

/// `PATCH /crm/v3/pipelines/{t}/{pipelineId}`
pub(super) fn update(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Change {
        label: Option<String>,
        display_order: Option<i64>,
        archived: Option<bool>,
    }
    let at = type_of(account, call.name(0))?;
    let change: Change = call.json()?;
    let id = find_any(account, call)?.id.clone();
    if let Some(label) = &change.label {
        check_label(account, at, Some(&id), label)?;
    }
    if change.archived == Some(true) {
        check_pipeline_unused(account, call, at, &id)?;
    }
    let pipeline = find_any_mut(account, call)?;
    pipeline.label = change.label.unwrap_or(std::mem::take(&mut pipeline.label));
    pipeline.display_order = change.display_order.unwrap_or(pipeline.display_order);
    pipeline.archived = change.archived.unwrap_or(pipeline.archived);
    touched(account, call, at, None, "UPDATE")
}

/// `DELETE /crm/v3/pipelines/{t}/{pipelineId}`
pub(super) fn archive(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let id = find(account, call)?.id.clone();
    check_pipeline_unused(account, call, at, &id)?;
    find_mut(account, call)?.archived = true;
    touched(account, call, at, None, "DELETE")?;
    Ok(Reply::nothing())
}

/// `POST …/{pipelineId}/stages`
pub(super) fn stage_create(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let request: StageRequest = call.json()?;
    let pipeline = find(account, call)?;
    if pipeline.live_stages().any(|stage| stage.label == request.label) {
        return Err(taken("stage", &request.label));
    }
    check_room(account, at, pipeline.live_stages().count() + 1)?;
    let stages = made(account, at, vec![request])?;
    let ids: Vec<String> = stages.iter().map(|stage| stage.id.clone()).collect();
    find_mut(account, call)?.stages.extend(stages);
    let reply = touched(account, call, at, ids.first().map(String::as_str), "CREATE")?;
    Ok(Reply { status: 201, ..reply })
}

/// `PUT …/stages/{stageId}`
pub(super) fn stage_replace(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let request: StageRequest = call.json()?;
    let metadata = completed(account, at, request.metadata)?;
    let stage = stage_mut(account, call)?;
    stage.label = request.label;
    stage.display_order = request.display_order;
    stage.metadata = metadata;
    touched(account, call, at, Some(call.name(2)), "UPDATE")
}

/// `PATCH …/stages/{stageId}`
pub(super) fn stage_update(account: &mut Account, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Change {
        label: Option<String>,
        display_order: Option<i64>,
        metadata: Option<Map<String, Value>>,
        archived: Option<bool>,
    }
    let at = type_of(account, call.name(0))?;
    let change: Change = call.json()?;
    let pipeline = find(account, call)?.id.clone();
    if change.archived == Some(true) {
        check_unused(account, call, at, &pipeline, &[call.name(2).to_owned()])?;
    }
    let held = stage_mut(account, call)?.metadata.clone();
    let metadata = match change.metadata {
        Some(metadata) => {
            let all = held.into_iter().filter(|(name, _)| name != "isClosed").chain(metadata);
            completed(account, at, all.collect())?
        }
        None => held,
    };
    let stage = stage_mut(account, call)?;
    stage.label = change.label.unwrap_or(std::mem::take(&mut stage.label));
    stage.display_order = change.display_order.unwrap_or(stage.display_order);
    stage.archived = change.archived.unwrap_or(stage.archived);
    stage.metadata = metadata;
    touched(account, call, at, Some(call.name(2)), "UPDATE")
}

/// `DELETE …/stages/{stageId}`
pub(super) fn stage_archive(account: &mut Account, call: &Call) -> Answer {
    let at = type_of(account, call.name(0))?;
    let pipeline = find(account, call)?.id.clone();
    stage_mut(account, call)?;
    check_unused(account, call, at, &pipeline, &[call.name(2).to_owned()])?;
    stage_mut(account, call)?.archived = true;
    touched(account, call, at, Some(call.name(2)), "DELETE")?;
    Ok(Reply::nothing())
}

/// Notes what was done, and answers what was changed.
fn touched(
    account: &mut Account,
    call: &Call,
    at: TypeAt,
    stage: Option<&str>,
    action: &str,
) -> Answer {
    let now = account.now();
    let pipeline = find_any_mut(account, call)?;
    let id = stage.unwrap_or(&pipeline.id).to_owned();
    pipeline.note(&id, action, now);
    pipeline.updated = now;
    let mut body = pipeline.to_json();
    if let Some(stage) = pipeline.stages.iter_mut().find(|other| Some(other.id.as_str()) == stage) {
        stage.updated = now;
        body = stage.to_json();
    }
    account.refresh_stage_options(at);
    Ok(Reply::json(200, &body))
}

fn made(account: &Account, at: TypeAt, requests: Vec<StageRequest>) -> Result<Vec<Stage>, Refused> {
    let known = stages_of_others(account, at, "");
    built(account, at, requests, &known)
}

/// Stages as they are kept; no id and no label may come twice.
fn built(
    account: &Account,
    at: TypeAt,
    requests: Vec<StageRequest>,
    known: &BTreeSet<String>,
) -> Result<Vec<Stage>, Refused> {
    let now = account.now();
    let mut stages: Vec<Stage> = Vec::new();
    for request in requests {
        let id = request.stage_id.unwrap_or_else(|| new_id(account));
        let same = |stage: &Stage| stage.id == id || stage.label == request.label;
        if known.contains(&id) || stages.iter().any(same) {
            return Err(taken("stage", &request.label));
        }
        let metadata = Value::Object(completed(account, at, request.metadata)?);
        stages.push(Stage::new(&id, &request.label, request.display_order, metadata, now));
    }
    Ok(stages)
}

fn stages_of_others(account: &Account, at: TypeAt, pipeline: &str) -> BTreeSet<String> {
    let others = account.pipelines[at].iter().filter(|other| other.id != pipeline);
    others.flat_map(|other| &other.stages).map(|stage| stage.id.clone()).collect()
}

/// Metadata as it is kept: texts, with what the type demands, and with
/// whether the stage ends a record's way.
fn completed(
    account: &Account,
    at: TypeAt,
    metadata: Map<String, Value>,
) -> Result<Map<String, Value>, Refused> {
    let text = |(name, value): (String, Value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name, json!(text))
    };
    let mut kept: Map<String, Value> = metadata.into_iter().map(text).collect();
    let said = |name: &str| kept.get(name).and_then(Value::as_str);
    let closed = match account.name_of(at) {
        "deals" => {
            let probability = said("probability").and_then(|text| text.parse::<f64>().ok());
            let Some(probability) = probability.filter(|p| (0.0..=1.0).contains(p)) else {
                let message = "Stage metadata must have a probability between 0.0 and 1.0";
                return Err(Refusal::invalid(message).into());
            };
            Some(probability == 0.0 || probability == 1.0)
        }
        "tickets" => match said("ticketState") {
            None => Some(false),
            Some("OPEN") => Some(false),
            Some("CLOSED") => Some(true),
            Some(other) => {
                let message = format!("ticketState must be OPEN or CLOSED, was {other}");
                return Err(Refusal::invalid(message).into());
            }
        },
        _ => None,
    };
    if let Some(closed) = closed {
        kept.entry("isClosed").or_insert(json!(closed.to_string()));
    }
    if account.name_of(at) == "tickets" {
        kept.entry("ticketState").or_insert(json!("OPEN"));
    }
    Ok(kept)
}

fn check_label(
    account: &Account,
    at: TypeAt,
    own: Option<&str>,
    label: &str,
) -> Result<(), Refused> {
    let same = |pipeline: &Pipeline| {
        pipeline.label == label && !pipeline.archived && Some(pipeline.id.as_str()) != own
    };
    if account.pipelines[at].iter().any(same) { Err(taken("pipeline", label)) } else { Ok(()) }
}

/// Stages of a pipeline: 100 for deals, tickets and custom types, else 30.
fn check_room(account: &Account, at: TypeAt, stages: usize) -> Result<(), Refused> {
    let custom = account.tables[at].object_type.custom.is_some();
    let most = if custom || matches!(account.name_of(at), "deals" | "tickets") { 100 } else { 30 };
    if stages <= most {
        return Ok(());
    }
    Err(Refusal::invalid(format!("A pipeline has at most {most} stages")).into())
}

fn check_pipeline_unused(
    account: &Account,
    call: &Call,
    at: TypeAt,
    id: &str,
) -> Result<(), Refused> {
    let pipeline = account.pipelines[at].iter().find(|pipeline| pipeline.id == id);
    let stages: Vec<String> = pipeline
        .into_iter()
        .flat_map(Pipeline::live_stages)
        .map(|stage| stage.id.clone())
        .collect();
    check_unused(account, call, at, id, &stages)
}

/// Refuses to drop stages that records are in: on 2026-09 always, before only
/// when asked to look.
fn check_unused(
    account: &Account,
    call: &Call,
    at: TypeAt,
    pipeline: &str,
    stages: &[String],
) -> Result<(), Refused> {
    let asked = ["validateReferencesBeforeDelete", "validateDealStageUsagesBeforeDelete"];
    if call.edition != Edition::September2026 && !asked.iter().any(|key| call.query_flag(key)) {
        return Ok(());
    }
    let [pipeline_name, stage_name] = stage_properties(account.name_of(at));
    let mut used = BTreeSet::new();
    let mut records = Vec::new();
    for view in account.tables[at].walk(0).filter(|view| view.is_live()) {
        let Some(stage) = view.named(stage_name).filter(|stage| stages.contains(stage)) else {
            continue;
        };
        if view.named(pipeline_name).is_some_and(|other| other != pipeline) {
            continue;
        }
        used.insert(stage);
        if records.len() < MOST_NAMED {
            records.push(view.id.to_string());
        }
    }
    if used.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = used.into_iter().collect();
    let message = format!("Stage IDs: {ids:?} are being referenced by object IDs: {records:?}");
    Err(Refusal::invalid(message.replace('"', ""))
        .sub_category("PipelineError.STAGE_ID_IN_USE")
        .context("stageIds", ids)
        .context("objectIds", records)
        .into())
}

fn new_id(account: &Account) -> String {
    (90_000_000 + account.throw().below(900_000_000)).to_string()
}

fn taken(what: &str, name: &str) -> Refused {
    // The words for a name that is taken are not published.
    let message = format!("A {what} named {name} already exists");
    Refusal::new(409, message).category("CONFLICT").into()
}

fn no_stage(call: &Call) -> Refused {
    Refusal::missing(format!("Stage {} does not exist", call.name(2))).into()
}

fn no_pipeline(call: &Call) -> Refused {
    Refusal::missing(format!("Pipeline {} does not exist", call.name(1))).into()
}

fn find_any<'a>(account: &'a Account, call: &Call) -> Result<&'a Pipeline, Refused> {
    let at = type_of(account, call.name(0))?;
    let found = account.pipelines[at].iter().find(|pipeline| pipeline.id == call.name(1));
    found.ok_or_else(|| no_pipeline(call))
}

fn find<'a>(account: &'a Account, call: &Call) -> Result<&'a Pipeline, Refused> {
    let found = find_any(account, call)?;
    if found.archived { Err(no_pipeline(call)) } else { Ok(found) }
}

fn find_any_mut<'a>(account: &'a mut Account, call: &Call) -> Result<&'a mut Pipeline, Refused> {
    let at = type_of(account, call.name(0))?;
    let found = account.pipelines[at].iter_mut().find(|pipeline| pipeline.id == call.name(1));
    found.ok_or_else(|| no_pipeline(call))
}

fn find_mut<'a>(account: &'a mut Account, call: &Call) -> Result<&'a mut Pipeline, Refused> {
    find(account, call)?;
    find_any_mut(account, call)
}

fn stage_mut<'a>(account: &'a mut Account, call: &Call) -> Result<&'a mut Stage, Refused> {
    let pipeline = find_mut(account, call)?;
    let live = pipeline.stages.iter_mut().filter(|stage| !stage.archived);
    live.into_iter().find(|stage| stage.id == call.name(2)).ok_or_else(|| no_stage(call))
}

impl Pipeline {
    fn note(&mut self, of: &str, action: &str, at: i64) {
        self.audit.insert(0, Audit { of: of.to_owned(), action: action.to_owned(), at });
    }
}
