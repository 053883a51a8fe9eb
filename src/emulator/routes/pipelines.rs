//! Pipelines and stages.

use serde_json::{Value, json};

use super::type_of;
use crate::emulator::account::Account;
use crate::emulator::call::{Answer, Call, Reply};
use crate::emulator::errors::{Refusal, Refused};
use crate::emulator::pipelines::{Pipeline, Stage};

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
    let results: Vec<Value> = find(account, call)?.stages.iter().map(Stage::to_json).collect();
    Ok(Reply::json(200, &json!({"results": results})))
}

/// `GET /crm/v3/pipelines/{t}/{pipelineId}/stages/{stageId}`
pub(super) fn stage(account: &Account, call: &Call) -> Answer {
    let pipeline = find(account, call)?;
    match pipeline.stages.iter().find(|stage| stage.id == call.name(2)) {
        Some(stage) => Ok(Reply::json(200, &stage.to_json())),
        None => Err(Refusal::missing(format!("Stage {} does not exist", call.name(2))).into()),
    }
}

fn find<'a>(account: &'a Account, call: &Call) -> Result<&'a Pipeline, Refused> {
    let at = type_of(account, call.name(0))?;
    let id = call.name(1);
    let found =
        account.pipelines[at].iter().find(|pipeline| pipeline.id == id && !pipeline.archived);
    found.ok_or_else(|| Refusal::missing(format!("Pipeline {id} does not exist")).into())
}
