//! Faults as JSON: what `POST /_emulator/faults` understands, and why not.

use serde_json::{Map, Value, json};

use super::index::{hint, nearest};
use super::{ControlError, parse};
use crate::emulator::call::Call;
use crate::emulator::errors::JSON;
use crate::emulator::faults::Fault;
use crate::emulator::shared::Shared;

/// Each action with an example of it; the fields after the first two are its
/// own.
const ACTIONS: [&str; 15] = [
    r#"{"path": "*", "action": "refuse", "status": 502, "body": {"message": "no"}, "retry_after": 1}"#,
    r#"{"path": "*", "action": "scopes_missing", "scopes": ["crm.objects.deals.read"]}"#,
    r#"{"path": "*", "action": "locked"}"#,
    r#"{"path": "*", "action": "migrating", "retry_after": 60}"#,
    r#"{"path": "*", "action": "apply_then", "status": 524}"#,
    r#"{"path": "*", "action": "apply_then_drop"}"#,
    r#"{"path": "*", "action": "apply_then_hold"}"#,
    r#"{"path": "*", "action": "apply_then_answer", "status": 200, "body": {"status": "error"}}"#,
    r#"{"path": "*", "action": "drop"}"#,
    r#"{"path": "*", "action": "hold"}"#,
    r#"{"path": "*", "action": "late", "ms": 500}"#,
    r#"{"path": "*", "action": "truncate"}"#,
    r#"{"path": "*", "action": "slow_body", "ms": 50}"#,
    r#"{"path": "*", "action": "wrong_content_type"}"#,
    r#"{"path": "*", "action": "answer", "status": 502, "body": "<html>", "content_type": "text/html"}"#,
];

/// Fields that every fault may have.
const COMMON: [&str; 5] = ["method", "path", "action", "skip", "times"];

/// What `GET` tells beside them; posted back, it says nothing.
const TOLD: [&str; 2] = ["matched", "fired"];

/// Fields of an action that may be left out.
const OPTIONAL: [&str; 3] = ["body", "content_type", "retry_after"];

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// `GET`, `POST`, `DELETE /_emulator/faults`.
pub(super) fn faults(shared: &Shared, call: &Call) -> Result<Value, ControlError> {
    match call.method.as_str() {
        "POST" => {
            let list = match parse::<Value>(call)? {
                Value::Array(list) => list,
                one => vec![one],
            };
            // All or none.
            let parsed: Result<Vec<Fault>, ControlError> = list.into_iter().map(fault).collect();
            parsed?.into_iter().for_each(|fault| shared.faults.add(fault));
        }
        "DELETE" => shared.faults.clear(),
        _ => {}
    }
    Ok(json!({"faults": shared.faults.rules(), "held": shared.faults.held()}))
}

fn fault(value: Value) -> Result<Fault, ControlError> {
    let wrong = |text: String| Err(ControlError::Refused(text));
    let Value::Object(mut fields) = value else {
        return wrong(format!("A fault is an object, such as `{}`", ACTIONS[10]));
    };
    fields.retain(|name, _| !TOLD.contains(&name.as_str()));
    let Some(action) = fields.get("action").and_then(Value::as_str).map(str::to_owned) else {
        return wrong(format!("A fault needs `action`, such as `{}`", ACTIONS[10]));
    };
    let examples: Vec<(Map<String, Value>, &str)> =
        ACTIONS.iter().filter_map(|text| Some((serde_json::from_str(text).ok()?, *text))).collect();
    let names: Vec<&str> =
        examples.iter().filter_map(|(example, _)| example["action"].as_str()).collect();
    let Some((example, text)) = examples.iter().find(|(example, _)| example["action"] == action)
    else {
        let all = names.join("`, `");
        return wrong(match nearest(&action, names) {
            Some(near) => format!("There is no action `{action}`: did you mean `{near}`?"),
            None => format!("There is no action `{action}`: use one of `{all}`"),
        });
    };
    let own: Vec<&str> = example.keys().skip(2).map(String::as_str).collect();
    let takes = |name: &str| COMMON.contains(&name) || own.contains(&name);
    if let Some(name) = fields.keys().find(|name| !takes(name)) {
        let all = COMMON.into_iter().chain(own.iter().copied());
        let hint = hint(name, all);
        return wrong(format!("Action `{action}` takes no `{name}`{hint}"));
    }
    let needed = own.iter().chain(&["path"]).filter(|name: &&&str| {
        // `refuse` may say when to come back; `migrating` must.
        !OPTIONAL.contains(name) || (action == "migrating" && **name == "retry_after")
    });
    if let Some(name) = needed.into_iter().find(|name| !fields.contains_key(**name)) {
        return wrong(format!("Action `{action}` needs `{name}`, such as `{text}`"));
    }
    check_common(&mut fields).map_err(ControlError::Refused)?;
    keep_kind(&action, &mut fields);
    serde_json::from_value(Value::Object(fields)).or_else(|error| {
        wrong(format!("Action `{action}` cannot be read, {error}: it looks like `{text}`"))
    })
}

fn check_common(fields: &mut Map<String, Value>) -> Result<(), String> {
    if let Some(Value::String(method)) = fields.get_mut("method") {
        method.make_ascii_uppercase();
        if !METHODS.contains(&method.as_str()) {
            return Err(format!(
                "`{method}` is not a method: use one of `{}`",
                METHODS.join("`, `")
            ));
        }
    }
    if let Some(path) = fields.get("path").and_then(Value::as_str) {
        if path.contains('?') {
            return Err(format!(
                "No call fits the path `{path}`: paths are compared without the query, so leave \
                 out all from `?` on"
            ));
        }
        if !path.starts_with(['/', '*']) {
            return Err(format!("No call fits the path `{path}`: start it with `/` or `*`"));
        }
    }
    // An answer below 200 is none: another one follows it.
    match fields.get("status").map(Value::as_u64) {
        Some(status) if status.is_none_or(|status| !(200..=599).contains(&status)) => {
            Err(format!("`{}` is not the status of an answer: use 200 to 599", fields["status"]))
        }
        _ => Ok(()),
    }
}

/// A text is sent as it is, anything else as JSON.
fn keep_kind(action: &str, fields: &mut Map<String, Value>) {
    if action != "answer" {
        return;
    }
    if let Some(body) = fields.get_mut("body").filter(|body| !body.is_string()) {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let kind = if body.is_null() { "text/html" } else { JSON };
        *body = Value::String(text);
        fields.entry("content_type").or_insert_with(|| json!(kind));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_a_fault() {
        for text in ACTIONS {
            fault(serde_json::from_str(text).expect("JSON")).expect(text);
        }
    }
}
