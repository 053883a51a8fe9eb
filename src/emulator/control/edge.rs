//! Control of what happens between socket and endpoint.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Control, ControlError, parse};
use crate::emulator::call::Call;
use crate::emulator::recorder::RecordError;
use crate::emulator::shared::Shared;

impl Control {
    /// Hands what has been recorded to the system, and says how many
    /// exchanges that are since the start: none if nothing is recorded.
    pub fn flush_recording(&self) -> Result<Option<u64>, RecordError> {
        self.shared.recorder.as_ref().map(|recorder| recorder.flush()).transpose()
    }

    /// Lets go of one held call; false if there is none of that number.
    pub fn release_held(&self, id: u64) -> bool {
        self.shared.faults.release(id)
    }
}

/// Answers the control calls of this part.
pub(super) fn serve(shared: &Shared, call: &Call, path: &[&str]) -> Result<Value, ControlError> {
    match (call.method.as_str(), path) {
        ("GET" | "POST", ["recording"]) => recording(shared),
        ("POST", ["faults", "release"]) => release(shared, call),
        _ => Err(ControlError::Malformed(format!("{} {} is not known", call.method, call.path))),
    }
}

fn recording(shared: &Shared) -> Result<Value, ControlError> {
    let Some(recorder) = &shared.recorder else {
        return Err(ControlError::Malformed("nothing is recorded".to_owned()));
    };
    let flushed = recorder.flush();
    let exchanges =
        flushed.map_err(|error| ControlError::Refused(format!("{error}: {}", error.source)))?;
    Ok(json!({"file": recorder.path().display().to_string(), "exchanges": exchanges}))
}

fn release(shared: &Shared, call: &Call) -> Result<Value, ControlError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Request {
        #[serde(deserialize_with = "super::id")]
        id: u64,
    }
    let Request { id } = parse(call)?;
    match shared.faults.release(id) {
        true => Ok(json!({"held": shared.faults.held()})),
        false => {
            let held: Vec<String> =
                shared.faults.held().iter().map(|call| format!("`{}`", call.id)).collect();
            let held = if held.is_empty() { "none".to_owned() } else { held.join(", ") };
            Err(ControlError::Refused(format!("No call `{id}` is held; held are: {held}")))
        }
    }
}
