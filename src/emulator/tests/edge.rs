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
async fn a_recording_lags_a_moment_behind_without_being_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("traffic.jsonl");
    let probe = Probe::start(recording(&path)).await;
    probe.get("/crm/v3/owners").await;
    let written = async {
        while exchanges(&path).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let patience = std::time::Duration::from_secs(10);
    tokio::time::timeout(patience, written).await.expect("it is written by itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn health_answers_while_somebody_has_the_account() {
    let probe = Probe::quiet().await;
    let shared = probe.control().shared.clone();
    let (taken, is_taken) = std::sync::mpsc::channel();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        let account = shared.write();
        taken.send(()).expect("the test waits");
        let _ = is_done.recv();
        drop(account);
    });
    is_taken.recv().expect("the account is taken");
    let listing = probe.get("/crm/v3/objects/contacts");
    let watch = async {
        let told = probe.get("/_emulator/health").await.json();
        assert_eq!((&told["status"], &told["busy"]), (&json!("ok"), &json!(true)));
        done.send(()).expect("the holder waits");
    };
    let (listed, ()) = futures::join!(listing, watch);
    assert_eq!(listed.status, 200);
    holder.join().expect("the holder ends");
}

#[tokio::test]
async fn what_lies_in_the_way_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a writable file");
    let nowhere = folder.path().join("nowhere").join("traffic.jsonl");
    let told = async |config| {
        let error = Emulator::start(config).await.expect_err("it cannot start");
        std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default()
    };
    let said = told(EmulatorConfig { record: Some(nowhere), ..quiet() }).await;
    assert_eq!(said, "There is no such folder: make it first");
    let said = told(EmulatorConfig { tls: Some(file), ..quiet() }).await;
    assert_eq!(said, "It is a file: name a folder");
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

#[tokio::test]
async fn what_cannot_be_compared_is_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("traffic.jsonl");
    let limited = json!({
        "request": {"method": "GET", "path": "/crm/v3/owners"},
        "response": {"status": 429, "body": {
            "status": "error", "message": "m", "correlationId": "c", "errorType": "RATE_LIMIT",
            "policyName": "TEN_SECONDLY_ROLLING", "groupName": "g",
        }},
    });
    std::fs::write(&path, "no exchange\n").expect("a writable file");
    let report = replay(&path).await.expect("a readable file");
    assert!(report.is_empty() && report.is_different());
    assert_eq!(report.by_endpoint()[0].unreadable, 1);
    let Verdict::Unreadable { reason } = &report.exchanges[0].verdict else { panic!("{report:?}") };
    let said = "it is not JSON; replay wants one object a line with `request` and `response`";
    assert_eq!(reason, said);
    std::fs::write(&path, limited.to_string()).expect("a writable file");
    let report = replay(&path).await.expect("a readable file");
    assert_eq!((report.same, report.is_empty()), (1, false), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_shutdown_does_not_wait_for_a_call_that_lasts() {
    let probe = Probe::quiet().await;
    let shared = probe.control().shared.clone();
    let (taken, is_taken) = std::sync::mpsc::channel();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        let account = shared.write();
        taken.send(()).expect("the test waits");
        let _ = is_done.recv();
        drop(account);
    });
    is_taken.recv().expect("the account is taken");
    let url = format!("{}/crm/v3/objects/contacts", probe.emulator.url());
    let call = tokio::spawn(probe.client.get(url).bearer_auth("test").send());
    let busy = probe.get("/_emulator/health").await.json()["busy"].clone();
    let patience = Duration::from_secs(5);
    let ended = tokio::time::timeout(patience, probe.emulator.shutdown()).await;
    done.send(()).expect("the holder waits");
    holder.join().expect("the holder ends");
    assert!(busy == json!(true) && ended.is_ok());
    let _ = call.await;
}
