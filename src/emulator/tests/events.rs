//! Custom events, limits, and what is not imitated.

use serde_json::json;

use super::*;

fn event(contact: u64, at: &str) -> Value {
    json!({"eventName": "pe24680135_signup", "objectId": contact.to_string(), "occurredAt": at,
        "properties": {"plan": "team"}})
}

#[tokio::test]
async fn events_are_sent_and_read_back() {
    let probe = Probe::quiet().await;
    let contact = probe.some_contact().await;
    for at in ["2026-05-01T10:00:00Z", "2026-05-02T10:00:00Z"] {
        assert_eq!(probe.post("/events/v3/send", event(contact, at)).await.status, 204);
    }
    let path = format!("/events/v3/events?objectType=contact&objectId={contact}");
    let all = probe.get(&path).await.json();
    assert_eq!(all["results"][0]["occurredAt"], "2026-05-02T10:00:00.000Z", "newest first");
    assert_eq!(all["results"][0]["eventType"], "pe24680135_signup");
    assert_eq!(all["results"][0]["properties"]["plan"], "team");
    let late = probe.get(&format!("{path}&occurredAfter=2026-05-02T00:00:00Z")).await.json();
    assert_eq!(late["results"].as_array().map(Vec::len), Some(1));
    let first = probe.get(&format!("{path}&limit=1")).await.json();
    let after = first["paging"]["next"]["after"].as_str().expect("more");
    assert!(after.contains("%3D"), "encoded already: {after}");
    let rest = probe.get(&format!("{path}&limit={}&after={after}", u64::MAX)).await;
    assert_eq!(rest.json()["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(probe.get(&format!("{path}&limit=0")).await.status, 400);
    let second = probe.get(&format!("{path}&limit=1&after={after}")).await.json();
    assert_eq!(second["results"][0]["occurredAt"], "2026-05-01T10:00:00.000Z");
    assert!(second.get("paging").is_none());
    let types = probe.get("/events/v3/events/event-types").await.json();
    assert_eq!(types["eventTypes"], json!(["pe24680135_signup"]));
    let nobody = probe.post("/events/v3/send", event(7, "2026-05-01T10:00:00Z")).await;
    assert_eq!(nobody.status, 204, "matched or not");
    let email = json!({"eventName": "pe24680135_signup", "email": "nobody@x.example"});
    assert_eq!(probe.post("/events/v3/send", email).await.status, 204);
    assert_eq!(
        probe.get("/events/v3/events").await.json()["results"].as_array().map(Vec::len),
        Some(2)
    );
}

#[tokio::test]
async fn an_event_sent_twice_counts_once() {
    let probe = Probe::quiet().await;
    let mut one = event(probe.some_contact().await, "2026-05-01T10:00:00Z");
    one["uuid"] = json!("u-1");
    probe.post("/events/custom/2026-09/send", one.clone()).await;
    probe.post("/events/2026-03/send/batch", json!({"inputs": [one]})).await;
    assert_eq!(
        probe.get("/events/event-occurrences/2026-03").await.json()["results"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn batches_of_events_are_bounded() {
    let probe = Probe::quiet().await;
    let contact = probe.some_contact().await;
    let many =
        |count: usize| json!({"inputs": vec![event(contact, "2026-05-01T10:00:00Z"); count]});
    assert_eq!(probe.post("/events/v3/send/batch", many(500)).await.status, 204);
    assert_eq!(probe.post("/events/v3/send/batch", many(501)).await.status, 400);
    let mut long = event(contact, "2026-05-01T10:00:00Z");
    long["properties"]["plan"] = json!("x".repeat(257));
    assert_eq!(probe.post("/events/v3/send", long).await.status, 400);
    assert_eq!(probe.post("/events/v3/send", event(contact, "soon")).await.status, 400);
    let nameless = probe.post("/events/v3/send", json!({"objectId": "1"})).await;
    assert!(nameless.text.contains("[eventName]"), "{}", nameless.text);
}

#[tokio::test]
async fn events_are_defined() {
    let probe = Probe::quiet().await;
    let path = "/events/v3/event-definitions";
    let definition =
        json!({"label": "Seat added", "name": "seat_added", "primaryObject": "COMPANY"});
    let made = probe.post(path, definition.clone()).await;
    assert_eq!(
        (made.status, made.json()["fullyQualifiedName"].clone()),
        (201, json!("pe24680135_seat_added"))
    );
    assert_eq!(probe.post(path, definition).await.status, 409);
    assert_eq!(probe.get(path).await.json()["results"].as_array().map(Vec::len), Some(1));
    let company = id_of(&probe.get("/crm/v3/objects/companies?limit=1").await.json()["results"][0]);
    let sent = json!({"eventName": "pe24680135_seat_added", "objectId": company});
    probe.post("/events/v3/send", sent).await;
    let read = probe.get("/events/v3/events?objectType=companies").await.json();
    assert_eq!(read["results"][0]["objectType"], "COMPANY");
    let one = format!("{path}/pe24680135_seat_added");
    assert_eq!(probe.get(&one).await.status, 200);
    assert_eq!(probe.call("DELETE", &one, None).await.status, 204);
    assert_eq!(probe.get(&one).await.status, 404);
}

#[tokio::test]
async fn limits_are_told() {
    let probe = Probe::quiet().await;
    let path = "/crm/v3/limits/custom-properties";
    let usage = |body: &Value| body["byObjectType"][0]["usage"].as_u64().expect("a number");
    let before = probe.get(path).await.json();
    assert_eq!(
        (before["byObjectType"][0]["limit"].clone(), before["overallLimit"].clone()),
        (json!(1_000), json!(10_000))
    );
    let property = json!({"name": "one_more", "label": "L", "type": "string", "fieldType": "text",
        "groupName": "contactinformation"});
    probe.post("/crm/v3/properties/contacts", property).await;
    assert_eq!(usage(&probe.get(path).await.json()), usage(&before) + 1);
    for path in ["calculated-properties", "custom-object-types", "records"] {
        assert_eq!(probe.get(&format!("/crm/v3/limits/{path}")).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn imports_and_exports_are_refused_clearly() {
    let probe = Probe::quiet().await;
    for (method, path) in [
        ("POST", "/crm/v3/imports"),
        ("GET", "/crm/v3/imports/5"),
        ("POST", "/crm/v3/exports/export/async"),
        ("GET", "/crm/v3/exports/export/async/tasks/5/status"),
        ("GET", "/crm/exports/2026-03/export/5"),
    ] {
        let got = probe.call(method, path, None).await;
        assert_eq!(got.status, 501, "{path}");
        assert!(got.text.contains("does not imitate"), "{}", got.text);
    }
}
