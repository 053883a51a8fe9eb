//! The control calls there are.

use serde_json::{Value, json};

use super::ControlError;
use crate::emulator::call::Call;

/// The calls under `/_emulator`: methods, path, what it does. `*` stands for
/// one segment.
const CALLS: [(&str, &str, &str); 27] = [
    ("GET", "", "this list"),
    ("GET", "health", "is it up; portal, clock, changed records"),
    ("POST", "records/*", "creates a record as a person would"),
    ("GET POST DELETE", "records/*/*", "all that is known of a record; changes it; archives it"),
    ("GET", "record/*/*", "the same as records, read only"),
    ("POST", "restore/*/*", "brings an archived record back"),
    ("POST", "bulk-edit/*", "gives the first so many records the same values"),
    ("POST", "merge/*", "merges two records into a third"),
    ("POST", "snapshot", "keeps the account"),
    ("POST", "snapshot/restore", "puts the kept account back"),
    ("GET POST", "clock", "the clock; moves it forward, stops it"),
    ("GET POST", "limits", "limits and latency"),
    ("GET POST DELETE", "faults", "what goes wrong"),
    ("POST", "faults/release", "lets one held call go"),
    ("GET POST", "seed", "what the account is made of; begins again"),
    ("GET POST DELETE", "rules", "rules of the account, readings of unclear ones"),
    ("GET POST", "credentials", "apps and tokens"),
    ("GET DELETE", "log", "the calls so far"),
    ("GET POST", "recording", "writes what was recorded to the file"),
    ("GET POST DELETE", "webhooks", "apps that hear of changes"),
    ("GET POST", "webhooks/rules", "how webhooks are delivered"),
    ("POST", "webhooks/fire", "sends a list of events as it is"),
    ("POST", "webhooks/pause", "holds events back"),
    ("POST", "webhooks/resume", "lets them go"),
    ("POST", "webhooks/flush", "sends what is due and waits"),
    ("GET DELETE", "webhooks/pending", "the events that wait"),
    ("GET DELETE", "webhooks/deliveries", "the requests made"),
];

/// Forgets what failed before; it has no other method.
const RETRIES: (&str, &str, &str) =
    ("DELETE", "webhooks/retries", "forgets events that failed before");

fn calls() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    CALLS.iter().chain(std::iter::once(&RETRIES))
}

/// Refuses a path or a method that no control call has.
pub(super) fn check(call: &Call, path: &[&str]) -> Result<(), ControlError> {
    let fits = |pattern: &str| {
        let wanted: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
        let same = |(part, given): (&&str, &&str)| *part == "*" || part == given;
        wanted.len() == path.len() && wanted.iter().zip(path).all(same)
    };
    let Some((methods, ..)) = calls().find(|(_, pattern, _)| fits(pattern)) else {
        let known: Vec<&str> = calls().map(|(_, pattern, _)| *pattern).skip(1).collect();
        return Err(ControlError::UnknownCall {
            path: call.path.clone(),
            known: known.join("`, `"),
        });
    };
    match methods.split(' ').any(|method| method == call.method) {
        true => Ok(()),
        false => Err(ControlError::WrongMethod {
            method: call.method.clone(),
            path: call.path.clone(),
            taken: methods.replace(' ', "`, `"),
        }),
    }
}

/// `GET /_emulator`.
pub(super) fn index() -> Value {
    let told = |(methods, path, does): &(&str, &str, &str)| {
        json!({
            "path": format!("{}/{path}", super::PREFIX).trim_end_matches('/'),
            "methods": methods.split(' ').collect::<Vec<&str>>(),
            "does": does,
        })
    };
    json!({"manual": "docs/emulator.md", "calls": calls().map(told).collect::<Vec<Value>>()})
}

/// The name that a misspelt one was meant to be, if one is near.
pub(super) fn nearest<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = all.into_iter().map(|known| (distance(name, known), known));
    let (distance, known) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + name.chars().count() / 3).then_some(known)
}

/// `: did you mean …?`, or nothing.
pub(super) fn hint<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, all).map_or_else(String::new, |known| format!(": did you mean `{known}`?"))
}

/// How many letters must be added, taken away or replaced.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.chars().enumerate() {
        let mut line = vec![row + 1];
        for (column, against) in other.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != *against);
            line.push(replaced.min(above[column + 1] + 1).min(line[column] + 1));
        }
        above = line;
    }
    above[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_if_it_is_near() {
        assert_eq!(nearest("timse", ["path", "times", "skip"]), Some("times"));
        assert_eq!(nearest("contact", ["companies", "contacts"]), Some("contacts"));
        assert_eq!(nearest("zebra", ["path", "times"]), None);
    }
}
