//! Faults on order.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::{Fault, FaultAction};
use super::*;

fn fault(path: &str, action: FaultAction) -> Fault {
    Fault { method: None, path: path.to_owned(), action, skip: 0, times: Some(1) }
}

async fn job(probe: &Probe, id: u64) -> String {
    let record = probe.control().record("contacts", id).expect("a record");
    record["properties"]["jobtitle"].as_str().unwrap_or_default().to_owned()
}

/// One PATCH under a fault, and what became of the record.
async fn patch_under(action: FaultAction) -> (Result<Got, reqwest::Error>, bool) {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    probe.control().add_fault(fault("/crm/v3/objects/contacts/*", action));
    let path = format!("/crm/v3/objects/contacts/{id}");
    let body = json!({"properties": {"jobtitle": "Written"}});
    let got = probe.try_call("PATCH", &path, Some(body)).await;
    let applied = job(&probe, id).await == "Written";
    (got, applied)
}

#[tokio::test]
async fn refusing_does_nothing() {
    let body = Some(json!({"status": "error", "message": "locked"}));
    let (got, applied) =
        patch_under(FaultAction::Refuse { status: 423, body, retry_after: Some(2) }).await;
    let got = got.expect("an answer");
    assert_eq!((got.status, got.json()["message"].clone(), applied), (423, json!("locked"), false));
    assert_eq!(got.header("retry-after"), Some("2"));
}

#[tokio::test]
async fn a_gateway_may_lose_patience_after_the_deed() {
    let (got, applied) = patch_under(FaultAction::ApplyThen { status: 524 }).await;
    assert_eq!((got.expect("an answer").status, applied), (524, true));
}

#[tokio::test]
async fn connections_are_dropped_before_or_after_the_deed() {
    let (got, applied) = patch_under(FaultAction::Drop).await;
    assert!(got.is_err() && !applied);
    let (got, applied) = patch_under(FaultAction::ApplyThenDrop).await;
    assert!(got.is_err() && applied);
}

#[tokio::test]
async fn a_truncated_body_breaks_off() {
    let (got, applied) = patch_under(FaultAction::Truncate).await;
    assert!(got.is_err() && applied);
}

/// A client that takes the answer's head must get it: a connection that only
/// closes is another fault.
#[tokio::test]
async fn a_truncated_body_comes_with_its_head_and_half_of_what_that_promises() {
    let probe = Probe::quiet().await;
    for limit in [1, 100] {
        probe.control().add_fault(fault("*", FaultAction::Truncate));
        let head = format!(
            "GET /crm/v3/objects/contacts?limit={limit} HTTP/1.1\r\nHost: x\r\n\
             Authorization: Bearer test\r\n\r\n"
        );
        let mut stream =
            TcpStream::connect(("127.0.0.1", probe.emulator.port())).await.expect("a socket");
        stream.write_all(head.as_bytes()).await.expect("a call");
        let mut told = Vec::new();
        // The end may come as a reset.
        let _ = stream.read_to_end(&mut told).await;
        let told = String::from_utf8_lossy(&told);
        let (head, body) = told.split_once("\r\n\r\n").expect("a head");
        let head = head.to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let promised = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let promised: usize = promised.and_then(|text| text.parse().ok()).expect("a length");
        assert_eq!(body.len(), promised / 2);
    }
}

#[tokio::test]
async fn a_body_may_come_in_pieces_or_under_a_wrong_name() {
    let (got, _) = patch_under(FaultAction::SlowBody { ms: 1 }).await;
    assert_eq!(got.expect("an answer").json()["properties"]["jobtitle"], "Written");
    let (got, _) = patch_under(FaultAction::WrongContentType).await;
    assert_eq!(got.expect("an answer").header("content-type"), Some("text/html"));
}

#[tokio::test]
async fn scopes_can_be_missing() {
    let scopes = vec!["crm.objects.deals.read".to_owned()];
    let (got, _) = patch_under(FaultAction::ScopesMissing { scopes }).await;
    let got = got.expect("an answer");
    assert_eq!((got.status, got.json()["category"].clone()), (403, json!("MISSING_SCOPES")));
    assert_eq!(
        got.json()["errors"][0]["context"]["requiredGranularScopes"],
        json!(["crm.objects.deals.read"])
    );
}

#[tokio::test]
async fn locked_records_and_moving_accounts_have_names() {
    let probe = Probe::quiet().await;
    let order = json!([
        {"path": "/crm/v3/owners", "action": "locked"},
        {"path": "/crm/v3/owners", "action": "migrating", "retry_after": 3600},
    ]);
    probe.post("/_emulator/faults", order).await;
    let got = probe.get("/crm/v3/owners").await;
    assert_eq!((got.status, got.header("retry-after")), (423, None));
    let got = probe.get("/crm/v3/owners").await;
    assert_eq!((got.status, got.header("retry-after")), (477, Some("3600")));
    assert_eq!(got.json()["status"], "error");
    assert_eq!(probe.get("/crm/v3/owners").await.status, 200);
}

#[tokio::test]
async fn a_held_call_is_seen_and_let_go() {
    for (action, applied) in [(FaultAction::Hold, false), (FaultAction::ApplyThenHold, true)] {
        let probe = Probe::quiet().await;
        let control = probe.control();
        let id = probe.some_contact().await;
        control.add_fault(fault("*/contacts/*", action));
        let path = format!("/crm/v3/objects/contacts/{id}");
        let call = probe.call("PATCH", &path, Some(json!({"properties": {"jobtitle": "Written"}})));
        let watch = async {
            let held = control.wait_for_held().await;
            assert_eq!((held.len(), held[0].applied), (1, applied));
            assert_eq!(job(&probe, id).await == "Written", applied);
            control.clear_faults();
        };
        let (got, ()) = futures::join!(call, watch);
        assert_eq!(got.status, 200);
        assert_eq!(job(&probe, id).await, "Written");
        assert!(control.held().is_empty());
    }
}

#[tokio::test]
async fn a_client_that_dies_while_held_leaves_the_list() {
    let probe = std::sync::Arc::new(Probe::quiet().await);
    let control = probe.control();
    let id = probe.some_contact().await;
    control.add_fault(fault("*/contacts/*", FaultAction::Hold));
    let call = tokio::spawn({
        let probe = probe.clone();
        let body = json!({"properties": {"jobtitle": "Written"}});
        async move {
            probe
                .try_call("PATCH", &format!("/crm/v3/objects/contacts/{id}"), Some(body))
                .await
                .is_ok()
        }
    });
    control.wait_for_held().await;
    call.abort();
    while !control.held().is_empty() {
        tokio::task::yield_now().await;
    }
    control.clear_faults();
    assert_ne!(job(&probe, id).await, "Written", "what was held was never done");
}

#[tokio::test]
async fn faults_are_ordered_as_json() {
    let probe = Probe::quiet().await;
    let order = json!([
        {"method": "GET", "path": "/crm/v3/owners*", "action": "refuse", "status": 502, "skip": 1, "times": 2},
        {"path": "*/deals*", "action": "late", "ms": 1},
    ]);
    let state = probe.post("/_emulator/faults", order).await.json();
    assert_eq!(state["faults"].as_array().map(Vec::len), Some(2));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(probe.get("/crm/v3/owners").await.status);
    }
    assert_eq!(statuses, [200, 502, 502, 200]);
    assert_eq!(probe.get("/crm/v3/objects/deals").await.status, 200);
    let state = probe.get("/_emulator/faults").await.json();
    assert_eq!(
        (state["faults"][0]["matched"].clone(), state["faults"][0]["fired"].clone()),
        (json!(4), json!(2))
    );
    assert_eq!(probe.call("DELETE", "/_emulator/faults", None).await.json()["faults"], json!([]));
    let bad = probe.post("/_emulator/faults", json!({"path": "*", "action": "explode"})).await;
    assert_eq!(bad.status, 400);
}

#[tokio::test]
async fn each_status_has_its_usual_body() {
    let probe = Probe::quiet().await;
    for (status, html, said) in [
        (413, true, "<title>413 Request Entity Too Large</title>"),
        (414, true, "<title>414 Request-URI Too Large</title>"),
        (502, true, "<title>502 Bad Gateway</title>"),
        (503, true, "<title>503 Service Temporarily Unavailable</title>"),
        (504, true, "<title>504 Gateway Time-out</title>"),
        (524, true, "<title>524 A timeout occurred</title>"),
        (401, false, "EXPIRED_AUTHENTICATION"),
        (423, false, "locked"),
        (429, false, "TEN_SECONDLY_ROLLING"),
        (477, false, "moved"),
        (500, false, "internal error"),
    ] {
        let action = FaultAction::Refuse { status, body: None, retry_after: None };
        probe.control().add_fault(fault("*/owners", action));
        let got = probe.get("/crm/v3/owners").await;
        assert_eq!((got.status, got.text.starts_with("<html>")), (status, html), "{status}");
        assert!(got.text.contains(said), "{}", got.text);
        assert_eq!(got.header("retry-after"), (status == 477).then_some("60"), "{status}");
        assert!(html || got.json()["correlationId"].is_string(), "{status}");
    }
    let action = FaultAction::Refuse { status: 477, body: None, retry_after: Some(3_600) };
    probe.control().add_fault(fault("*/owners", action));
    assert_eq!(probe.get("/crm/v3/owners").await.header("retry-after"), Some("3600"));
}

#[tokio::test]
async fn a_deed_may_be_answered_by_nothing_or_by_an_error_under_200() {
    let (got, applied) =
        patch_under(FaultAction::ApplyThenAnswer { status: 200, body: None }).await;
    let got = got.expect("an answer");
    assert_eq!((got.status, got.text.as_str(), applied), (200, "", true));
    let body = Some(json!({"status": "error", "message": "internal error"}));
    let (got, applied) = patch_under(FaultAction::ApplyThenAnswer { status: 200, body }).await;
    let got = got.expect("an answer");
    assert_eq!((got.status, got.json()["status"].clone(), applied), (200, json!("error"), true));
}

#[tokio::test]
async fn something_on_the_way_may_answer_instead() {
    let body = "error code: 502".to_owned();
    let content_type = Some("text/plain".to_owned());
    let (got, applied) =
        patch_under(FaultAction::Answer { status: 502, body: body.clone(), content_type }).await;
    let got = got.expect("an answer");
    assert_eq!((got.status, &got.text, applied), (502, &body, false));
    assert_eq!(got.header("content-type"), Some("text/plain"));
    let text = r#"{"path": "*", "action": "answer", "status": 200}"#;
    let parsed: Fault = serde_json::from_str(text).expect("a fault");
    let empty = FaultAction::Answer { status: 200, body: String::new(), content_type: None };
    assert_eq!(parsed.action, empty);
}

#[tokio::test]
async fn held_calls_are_let_go_one_by_one() {
    let probe = Probe::quiet().await;
    let control = probe.control();
    let rule = Fault { times: None, ..fault("/crm/v3/owners*", FaultAction::Hold) };
    control.add_fault(rule);
    let watch = async {
        while control.held().len() < 2 {
            tokio::task::yield_now().await;
        }
        let held = control.held();
        let second = held.iter().find(|call| call.path.ends_with("/2")).expect("a held call");
        let told = probe.post("/_emulator/faults/release", json!({"id": second.id})).await.json();
        assert_eq!(told["held"].as_array().map(Vec::len), Some(1));
        assert_eq!(control.held().len(), 1);
        let again = probe.post("/_emulator/faults/release", json!({"id": second.id})).await;
        assert_eq!(again.status, 400);
        assert!(control.release_held(control.held()[0].id));
    };
    let (first, second, ()) =
        futures::join!(probe.get("/crm/v3/owners"), probe.get("/crm/v3/owners/2"), watch);
    assert_eq!((first.status, second.status), (200, 404));
}
