//! Control calls that make no sense, and why.

use serde_json::json;

use super::*;

/// The status of a refused control call and its message.
async fn refused(probe: &Probe, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
    let got = probe.call(method, &format!("/_emulator{path}"), body).await;
    let message = got.json()["message"].as_str().unwrap_or_default().to_owned();
    (got.status, message)
}

#[tokio::test]
async fn the_calls_there_are_are_told() {
    let probe = Probe::quiet().await;
    let index = probe.get("/_emulator").await.json();
    let calls = index["calls"].as_array().expect("a list");
    assert!(calls.iter().any(|call| call["path"] == "/_emulator/webhooks/pause"));
    let (status, message) = refused(&probe, "GET", "/webhooks/pauze", None).await;
    assert!(status == 404 && message.contains("`webhooks/pause`"), "{status} {message}");
    let (status, message) = refused(&probe, "PUT", "/faults", Some(json!({}))).await;
    let said = "`/_emulator/faults` does not take PUT: use `GET`, `POST`, `DELETE`";
    assert_eq!((status, message.as_str()), (405, said));
}

#[tokio::test]
async fn every_call_told_is_served() {
    let probe = Probe::quiet().await;
    let index = probe.get("/_emulator").await.json();
    for call in index["calls"].as_array().expect("a list") {
        let path = call["path"].as_str().expect("a path").replace('*', "1");
        for method in call["methods"].as_array().expect("a list") {
            let method = method.as_str().expect("a method");
            let got = probe.call(method, &path, Some(json!({}))).await;
            assert!(got.status != 405 && !got.text.contains("is not known"), "{method} {path}");
            assert!(!got.text.contains("There is no control call"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn faults_that_make_no_sense_are_refused() {
    let probe = Probe::quiet().await;
    let cases = [
        (json!({"path": "*", "action": "late", "ms": 1, "timse": 3}), "did you mean `times`?"),
        (json!({"path": "*", "action": "late"}), "Action `late` needs `ms`, such as `{\"path\""),
        (json!({"path": "*", "action": "trunkate"}), "did you mean `truncate`?"),
        (json!({"path": "*", "action": "drop", "method": "FETCH"}), "`FETCH` is not a method"),
        (json!({"path": "/a?b=1", "action": "drop"}), "without the query"),
        (json!({"path": "crm/*", "action": "drop"}), "start it with `/` or `*`"),
        (json!({"path": "*", "action": "refuse", "status": 600}), "use 200 to 599"),
        (json!({"path": "*", "action": "refuse", "status": 99}), "use 200 to 599"),
        (json!({"action": "drop"}), "needs `path`"),
        (json!({"path": "*", "action": "migrating"}), "needs `retry_after`"),
        (json!({"path": "*", "action": "late", "ms": "soon"}), "cannot be read"),
        (json!("drop"), "A fault is an object"),
    ];
    for (order, said) in cases {
        let (status, message) = refused(&probe, "POST", "/faults", Some(order.clone())).await;
        assert!(status == 400 && message.contains(said), "{order}: {message}");
    }
    assert!(probe.control().faults().is_empty());
    let order = json!({"path": "*", "action": "drop", "method": "get", "times": 0});
    let told = probe.post("/_emulator/faults", order).await.json();
    assert_eq!(told["faults"][0]["method"], "GET");
    let again = probe.post("/_emulator/faults", told["faults"].clone()).await;
    assert_eq!(again.json()["faults"].as_array().map(Vec::len), Some(2), "{}", again.text);
}

#[tokio::test]
async fn bodies_of_faults_keep_their_kind() {
    let probe = Probe::quiet().await;
    for action in ["refuse", "answer", "apply_then_answer"] {
        for (body, text, kind) in [
            (json!("<html>no"), "<html>no", "text/html"),
            (json!("error code: 502"), "error code: 502", "text/plain"),
            (json!({"message": "no"}), "{\"message\":\"no\"}", "application/json"),
        ] {
            let order = json!({"path": "*", "action": action, "status": 502, "body": body});
            probe.post("/_emulator/faults", order).await;
            let got = probe.get("/crm/v3/owners").await;
            let told = got.header("content-type").unwrap_or_default();
            assert_eq!((got.status, got.text.as_str()), (502, text), "{action}");
            assert!(told.starts_with(kind), "{action}: {told}");
        }
    }
}

#[tokio::test]
async fn what_is_told_is_taken() {
    let probe = Probe::quiet().await;
    let page = probe.get("/crm/v3/objects/contacts?limit=3").await.json();
    let id = |at: usize| page["results"][at]["id"].clone();
    let pair = json!({"primary": id(0), "other": id_of(&page["results"][1])});
    assert_eq!(probe.post("/_emulator/merge/contacts", pair).await.status, 200);
    for path in ["/_emulator/seed", "/_emulator/limits", "/_emulator/rules"] {
        let told = probe.get(path).await.json();
        let again = probe.post(path, told.clone()).await;
        assert_eq!((again.status, again.json()), (200, told), "{path}");
    }
    let (status, _) = refused(&probe, "POST", "/seed", None).await;
    assert_eq!(status, 400, "an empty body begins nothing");
    let (status, message) = refused(&probe, "POST", "/seed", Some(json!({"portal_id": 1}))).await;
    assert!(status == 400 && message.contains("24680135"), "{message}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_words() {
    let probe = Probe::quiet().await;
    let live = probe.some_contact().await;
    let cases = [
        ("POST", "/clock", Some(json!({"advance_ms": -1})), "The clock does not go back"),
        ("GET", "/log?since=yesterday", None, "`since` is a number, not `yesterday`"),
        ("GET", "/webhooks/deliveries?since=-1", None, "`since` is a number, not `-1`"),
        (
            "POST",
            "/faults/release",
            Some(json!({"id": 99})),
            "No call `99` is held; held are: none",
        ),
        ("POST", "/rules", Some(json!({"unavailable": ["dels"]})), "did you mean `deals`?"),
        (
            "POST",
            "/rules",
            Some(json!({"required": {"contacts": ["emial"]}})),
            "`contacts` have no property `emial`: did you mean `email`?",
        ),
        ("POST", "/webhooks/pause", Some(json!({"pause": false})), "unknown field `pause`"),
    ];
    for (method, path, body, said) in cases {
        let (status, message) = refused(&probe, method, path, body).await;
        assert!(status == 400 && message.contains(said), "{path}: {status} {message}");
    }
    let path = format!("/restore/contacts/{live}");
    let (status, message) = refused(&probe, "POST", &path, None).await;
    assert!(status == 400 && message.contains("is live already"), "{message}");
    let told = probe.post("/_emulator/rules", json!({"unavailable": ["deal"]})).await.json();
    assert_eq!(told["unavailable"], json!(["deals"]), "by the name that the rules go by");
    assert_eq!(probe.post("/_emulator/webhooks/pause", json!({})).await.json()["paused"], true);
    let going = probe.post("/_emulator/webhooks/pause", json!({"paused": false})).await;
    assert_eq!(going.json()["paused"], false);
    assert_eq!(probe.get("/_emulator/webhooks").await.json()["paused"], false);
}
