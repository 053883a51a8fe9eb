//! Recorded exchanges, and whether the harness would see a difference.

use std::path::Path;

use serde_json::{Value, json};

use crate::emulator::replay::replay_text;
use crate::emulator::{ReplayReport, Verdict};

/// One exchange for every row of the notes on observed traffic that shows a
/// body; written by hand.
const ROWS: &str = include_str!("../../../tests/fixtures/recordings/observed_rows.jsonl");
const CAPTAINCONTRAT: &str =
    include_str!("../../../tests/fixtures/recordings/captaincontrat_v3_v4.jsonl");

async fn replayed(text: &str) -> ReplayReport {
    replay_text(Path::new("a test"), text).await
}

fn different(report: &ReplayReport) -> Vec<String> {
    let told = report.exchanges.iter().filter_map(|exchange| match &exchange.verdict {
        Verdict::Different { differences } => {
            Some(format!("{} {}: {differences:?}", exchange.line, exchange.path))
        }
        Verdict::Unreadable { reason } => Some(format!("{}: {reason}", exchange.line)),
        _ => None,
    });
    told.collect()
}

#[tokio::test]
async fn every_observed_row_comes_out_the_same() {
    let report = replayed(ROWS).await;
    assert_eq!(different(&report), [""; 0]);
    assert_eq!(report.same, ROWS.lines().count());
    assert_eq!(report.assuming, 0);
}

#[tokio::test]
async fn the_recordings_come_out_the_same() {
    let report = replayed(CAPTAINCONTRAT).await;
    assert_eq!(different(&report), [""; 0]);
    assert_eq!((report.same, report.not_imitated, report.contradictory), (102, 2, 3));
}

/// Nothing recorded is given back: an answer with another key, or without
/// one, does not come out.
#[tokio::test]
async fn an_altered_recording_does_not_come_out() {
    let alter = |change: fn(&mut serde_json::Map<String, Value>)| {
        let mut lines = Vec::new();
        for line in ROWS.lines().chain(CAPTAINCONTRAT.lines()) {
            let mut exchange: Value = serde_json::from_str(line).expect("an exchange");
            let Some(body) = exchange["response"]["body"].as_object_mut() else { continue };
            if !body.is_empty() {
                change(body);
                lines.push(exchange.to_string());
            }
        }
        lines.join("\n")
    };
    let added = alter(|body| {
        body.insert("never_sent".to_owned(), json!(1));
    });
    let report = replayed(&added).await;
    assert_eq!(report.same, 0, "{:?}", report.by_endpoint());
    // A member of another type, at the end of every answer.
    let retyped = alter(|body| {
        let last = body.keys().next_back().cloned().unwrap_or_default();
        body.insert(last, json!({"never": {"sent": true}}));
    });
    let report = replayed(&retyped).await;
    assert_eq!(report.same, 0, "{:?}", report.by_endpoint());
}

#[tokio::test]
async fn another_status_does_not_come_out() {
    let created = r#"{"request":{"method":"POST","path":"/crm/v3/lists","body":{"name":"L","objectTypeId":"0-1","processingType":"MANUAL"}},"response":{"status":201,"body":null}}"#;
    let report = replayed(created).await;
    let told = different(&report).join(" ");
    assert!(told.contains("the status is 200, recorded 201"), "{told}");
}

#[tokio::test]
async fn a_bad_line_is_told_and_the_others_run() {
    let text = "\u{feff}{\"request\":{\"method\":\"GET\",\"path\":\"https://api.hubapi.com/crm/v3/lists?x=1\"},\"response\":{\"status\":200,\"body\":\"{\\\"lists\\\":[]}\"},\"more\":1}\n\nnothing\n{\"request\":{\"method\":\"GET\",\"path\":\"/contacts/v1/lists\"},\"response\":{\"status\":200}}\r\n";
    let report = replayed(text).await;
    let counts = (report.same, report.unreadable, report.not_imitated, report.different);
    assert_eq!(counts, (1, 1, 1, 0), "{:?}", different(&report));
    let lines: Vec<usize> = report.exchanges.iter().map(|exchange| exchange.line).collect();
    assert_eq!(lines, [1, 3, 4]);
    let endpoints: Vec<String> =
        report.by_endpoint().into_iter().map(|tally| tally.endpoint).collect();
    assert!(endpoints.contains(&"/contacts/v1".to_owned()), "{endpoints:?}");
    assert!(report.is_different());
}

/// What an account calculates by itself is said, not swallowed.
#[tokio::test]
async fn assumptions_are_told() {
    let product = r#"{"request":{"method":"POST","path":"/crm/v3/objects/products","body":{"properties":{"name":"A"}}},"response":{"status":201,"headers":{"Date":"Thu, 13 Jun 2024 07:45:13 GMT"},"body":{"id":"1","properties":{"createdate":"2024-06-13T07:45:13.779Z","hs_lastmodifieddate":"2024-06-13T07:45:13.779Z","hs_object_id":"1","hs_object_source":"INTEGRATION","hs_object_source_id":"1","hs_object_source_label":"INTEGRATION","margin_of_ours":"7","name":"A"},"createdAt":"2024-06-13T07:45:13.779Z","updatedAt":"2024-06-13T07:45:13.779Z","archived":false}}}"#;
    let report = replayed(product).await;
    assert_eq!((report.same, report.assuming), (1, 1), "{:?}", different(&report));
    assert_eq!(report.exchanges[0].assumed, ["margin_of_ours"]);
    // But no account lacks an id.
    let without = product.replace("\"hs_object_id\":\"1\",", "");
    assert_eq!(replayed(&without).await.different, 1);
}

/// Recordings come from anywhere: what makes no sense is told, and no more.
#[tokio::test]
async fn nonsense_is_survived() {
    let huge = u64::MAX.to_string();
    let mut lines = Vec::new();
    for (turn, line) in ROWS.lines().enumerate() {
        let mut exchange: Value = serde_json::from_str(line).expect("an exchange");
        // The answer to another question, ids beyond counting, no bodies.
        let other = ROWS.lines().nth((turn * 7 + 3) % 70).unwrap_or(line);
        let other: Value = serde_json::from_str(other).expect("an exchange");
        let mut swapped = exchange.clone();
        swapped["response"] = other["response"].clone();
        lines.push(swapped.to_string());
        lines.push(line.replace("\"1\"", &format!("\"{huge}\"")).replace("\"5\"", &huge));
        exchange["request"]["body"] = json!([huge, null, {"inputs": 5, "properties": [1]}]);
        lines.push(exchange.to_string());
        exchange["response"]["body"] = json!({"results": [{"id": huge, "properties": []}, 5]});
        lines.push(exchange.to_string());
    }
    let report = replayed(&lines.join("\n")).await;
    assert_eq!(report.exchanges.len(), 4 * ROWS.lines().count());
    assert!(report.different > 0);
}
