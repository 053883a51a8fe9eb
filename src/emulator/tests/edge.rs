//! What happens between socket and endpoint.

use std::path::Path;

use serde_json::json;

use super::super::{EmulatorError, Fault, FaultAction, Verdict, replay};
use super::*;

fn exchanges(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a recording");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn recording(path: &Path) -> EmulatorConfig {
    EmulatorConfig { record: Some(path.to_owned()), ..quiet() }
}

#[tokio::test]
async fn exchanges_are_recorded_as_the_harness_reads_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("traffic.jsonl");
    let probe = Probe::start(recording(&path)).await;
    let contact = probe.some_contact().await;
    let note = json!({"properties": {"jobtitle": "two\nlines"}});
    probe.call("PATCH", &format!("/crm/v3/objects/contacts/{contact}"), Some(note.clone())).await;
    probe.get("/crm/v3/objects/contacts?properties=email&properties=firstname&limit=2").await;
    probe.call("DELETE", "/crm/v3/objects/contacts/1", None).await;
    let client = &probe.client;
    let url = probe.emulator.url();
    let html = client.get(format!("{url}/crm/v3/objects/contacts/9?access_token=s3cr3t"));
    html.bearer_auth("s3cr3t").send().await.expect("an answer");
    let form = client.post(format!("{url}/oauth/v1/token")).bearer_auth("s3cr3t");
    let form = form.header("Content-Type", "application/x-www-form-urlencoded");
    let form = form.body("grant_type=refresh_token&refresh_token=s3cr3t&client_secret=s3cr3t");
    form.send().await.expect("an answer");
    assert_eq!(probe.control().flush_recording().expect("a writable file"), Some(6));

    let all = exchanges(&path);
    assert_eq!(all.len(), 6, "control calls are no exchanges");
    assert_eq!(all[0]["request"]["headers"]["authorization"], "Bearer recorded");
    assert_eq!(all[1]["request"]["body"], note);
    assert_eq!(all[1]["response"]["body"]["properties"]["jobtitle"], "two\nlines");
    let query = json!({"properties": ["email", "firstname"], "limit": "2"});
    assert_eq!((&all[2]["request"]["query"], &all[2]["request"]["body"]), (&query, &Value::Null));
    assert_eq!(
        (&all[3]["response"]["status"], &all[3]["response"]["body"]),
        (&json!(204), &Value::Null)
    );
    assert!(all[4]["response"]["body"].as_str().is_some_and(|body| body.starts_with("<html>")));
    assert_eq!(
        all[5]["request"]["body"],
        "grant_type=refresh_token&refresh_token=recorded&client_secret=recorded"
    );
    assert!(!std::fs::read_to_string(&path).expect("a recording").contains("s3cr3t"));

    let report = replay(&path).await.expect("a recording");
    assert_eq!(report.exchanges.len(), 6);
    for replayed in &report.exchanges {
        assert!(matches!(replayed.verdict, Verdict::Same | Verdict::NotImitated), "{replayed:?}");
    }
}

#[tokio::test]
async fn a_recording_is_gone_on_with_and_ends_with_the_emulator() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("traffic.jsonl");
    for turn in 1..=2 {
        let probe = Probe::start(recording(&path)).await;
        let action = FaultAction::Truncate;
        let fault =
            Fault { method: None, path: "*/deals".to_owned(), action, skip: 0, times: None };
        probe.control().add_fault(fault);
        let broken = probe.try_call("GET", "/crm/v3/objects/deals", None).await;
        assert!(broken.is_err(), "half an answer is no exchange");
        probe.get("/crm/v3/owners").await;
        probe.emulator.shutdown().await;
        assert_eq!(exchanges(&path).len(), turn);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = Emulator::start(recording(folder.path())).await.err();
    assert!(matches!(error, Some(EmulatorError::Record(_))), "{error:?}");
    let text = error.map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(text, format!("Cannot record to `{}`", folder.path().display()));
}

/// Writing to `/dev/full` fails as writing to a full disk does.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_told_and_calls_go_on() {
    let probe = Probe::start(recording(Path::new("/dev/full"))).await;
    assert_eq!(probe.get("/crm/v3/owners").await.status, 200);
    let error = probe.control().flush_recording().expect_err("a full disk");
    assert_eq!(error.to_string(), "Cannot record to `/dev/full`");
    assert_eq!(probe.get("/crm/v3/owners").await.status, 200);
    let told = probe.get("/_emulator/recording").await;
    assert_eq!(told.status, 400);
    assert!(told.text.contains("/dev/full"), "{}", told.text);
}

#[tokio::test]
async fn the_log_tells_tokens_apart() {
    let probe = Probe::quiet().await;
    probe.control().stop_clock(true);
    for (token, path) in [("a", "owners"), ("a", "owners"), ("b", "owners")] {
        let url = format!("{}/crm/v3/{path}", probe.emulator.url());
        probe.client.get(url).bearer_auth(token).send().await.expect("an answer");
    }
    probe.client.get(probe.emulator.url()).send().await.expect("an answer");
    for _ in 0..3 {
        probe.post("/crm/v3/objects/deals/search", json!({})).await;
    }
    let log = probe.get("/_emulator/log?since=5").await.json();
    assert_eq!((&log["total"], &log["most_in_ten_seconds"]), (&json!(7), &json!(4)));
    assert_eq!(log["most_searches_in_a_second"], 3);
    assert_eq!(log["calls"].as_array().map(Vec::len), Some(2));
    let mut totals: Vec<u64> = log["tokens"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, calls)| calls["total"].as_u64())
        .collect();
    totals.sort_unstable();
    assert_eq!(totals, [1, 2, 3], "two tokens and the probe's own");
}
