//! That answers are held against HubSpot's descriptions, and truly so.
//!
//! The checking itself is done for every answer, in [`Probe::send`].

use std::collections::HashSet;

use super::super::{DeclaredToken, Fault, FaultAction, OAuthApp};
use super::openapi::EXCEPTIONS;
use super::*;

fn mistakes(method: &str, path: &str, status: u16, body: &Value) -> Option<Vec<String>> {
    let answered = Answered {
        method,
        path,
        status,
        content_type: Some("application/json;charset=utf-8"),
        body: &body.to_string(),
    };
    Some(Descriptions::found()?.check(&answered).mistakes)
}

#[test]
fn a_misspelt_member_or_a_wrong_type_is_found() {
    let record = |id: Value| {
        json!({
            "id": id, "properties": {"email": null}, "archived": false,
            "createdAt": "2024-01-01T00:00:00.000Z", "updatedAt": "2024-01-01T00:00:00.000Z",
        })
    };
    let page = |record: Value| json!({"results": [record]});
    let found = |method: &str, path: &str, status: u16, body: Value| {
        mistakes(method, path, status, &body).map(|found| found.len())
    };
    let list = "/crm/v3/objects/contacts";
    let right = found("GET", list, 200, page(record(json!("1"))));
    let Some(0) = right else { return assert_eq!(right, None, "a right answer is refused") };
    assert_eq!(found("GET", list, 200, page(record(json!(1)))), Some(1));
    assert_eq!(found("GET", list, 201, page(record(json!("1")))), Some(1));
    let mut misspelt = record(json!("1"));
    misspelt["updateAt"] = misspelt["updatedAt"].take();
    assert_eq!(found("GET", list, 200, page(misspelt)), Some(2));
    let mut late = record(json!("1"));
    late["updatedAt"] = json!("1704067200000");
    assert_eq!(found("GET", list, 200, page(late)), Some(1));
    assert_eq!(found("DELETE", "/crm/v3/objects/contacts/1", 204, json!({})), Some(1));
    let dated = "/crm/objects/2026-09/0-1";
    assert_eq!(found("GET", dated, 200, page(record(json!(1)))), Some(1));
    assert_eq!(found("GET", "/crm/v3/tunnels", 200, json!({})), Some(1));
    let error = json!({"status": "error", "message": "x", "corelationId": "y"});
    assert_eq!(found("GET", "/crm/v3/owners", 409, error), Some(3));
}

#[tokio::test]
async fn every_exception_is_needed() {
    if Descriptions::found().is_none() {
        return;
    }
    let probe = Probe::start(EmulatorConfig { daily_limit: 1_000, ..quiet() }).await;
    let contact = probe.some_contact().await;
    let company = probe.get("/crm/v3/objects/companies?limit=1").await.json();
    let company = id_of(&company["results"][0]);
    let pair = json!({
        "from": {"id": contact}, "to": {"id": company},
        "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}],
    });
    let mut missing = pair.clone();
    missing["to"]["id"] = json!("1");
    let custom = json!({
        "name": "boat", "labels": {"singular": "Boat", "plural": "Boats"},
        "requiredProperties": ["name"],
        "properties": [{"name": "name", "label": "Name", "type": "string", "fieldType": "text"}],
        "associatedObjects": ["CONTACT"],
    });
    let list =
        |name: &str| json!({"name": name, "objectTypeId": "0-1", "processingType": "MANUAL"});
    let list_made = probe.post("/crm/v3/lists", list("one")).await.json();
    let members = format!(
        "/crm/v3/lists/{}/memberships/add",
        list_made["list"]["listId"].as_str().expect("a list")
    );
    let record = format!("/crm/v3/objects/contacts/{contact}");
    let associations = "/crm/v4/associations/contacts/companies/batch";
    let dated = "/crm/associations/2026-03/contacts/companies/batch/archive";
    let pairs = json!({"inputs": [{"from": {"id": contact}, "to": [{"id": company}]}]});
    let read = json!({"inputs": [{"id": contact}]});
    let mut loose = list("loose");
    loose["processingType"] = json!("DYNAMIC");
    loose["filterBranch"] = json!({
        "filterBranchType": "AND", "filterBranches": [],
        "filters": [{"filterType": "PROPERTY", "property": "email", "operation": {}}],
    });
    let long = format!("/crm/v3/objects/contacts?properties={}", "x".repeat(9_000));
    let calls = [
        ("GET", record.as_str(), None),
        ("GET", "/crm/v3/objects/contacts?limit=3&properties=phone,nobody", None),
        ("POST", &format!("{associations}/create"), Some(json!({"inputs": [pair, missing]}))),
        (
            "POST",
            &format!("{associations}/read"),
            Some(json!({"inputs": [{"id": contact}, {"id": "1"}]})),
        ),
        ("POST", dated, Some(pairs)),
        ("PUT", &format!("{record}/associations/companies/{company}/279"), None),
        ("GET", "/crm/v3/properties/contacts", None),
        ("POST", "/crm-object-schemas/v3/schemas", Some(custom)),
        ("GET", "/crm/v3/owners?archived=true", None),
        ("POST", "/crm/v3/lists", Some(list("another"))),
        ("POST", "/crm/v3/lists/search", None),
        ("POST", "/crm/v3/lists", Some(loose)),
        (
            "POST",
            "/crm/v3/lists/records/memberships/batch/read",
            Some(json!({"inputs": [{"objectTypeId": "0-1", "recordId": contact.to_string()}]})),
        ),
        (
            "POST",
            "/crm-object-schemas/v3/schemas/p24680135_boat/associations",
            Some(
                json!({"fromObjectTypeId": "p24680135_boat", "toObjectTypeId": "0-2", "name": "b"}),
            ),
        ),
        ("POST", "/crm/v3/associations/contacts/companies/batch/read", Some(read.clone())),
        (
            "POST",
            "/crm/objects/2026-09/contacts/batch/read",
            Some(json!({"inputs": [{"id": "1"}]})),
        ),
        (
            "PATCH",
            &format!("/crm/objects/2026-09/contacts/{contact}"),
            Some(json!({"properties": {"contract_start": "631168496000"}})),
        ),
        (
            "POST",
            "/crm/properties/2026-09/contacts/batch/create",
            Some(json!({"inputs": [{
                "name": "conforming", "label": "C", "type": "string", "fieldType": "text",
                "groupName": "contactinformation",
            }]})),
        ),
        ("GET", "/account-info/2026-09/details", None),
        (
            "POST",
            "/webhooks/2026-03/54321/subscriptions",
            Some(json!({"eventType": "event.completed"})),
        ),
        ("POST", "/crm/v3/exports/export/async", Some(json!({}))),
        (
            "PUT",
            "/webhooks/v3/54321/settings",
            Some(json!({
                "targetUrl": "http://127.0.0.1:9/never",
                "throttling": {"maxConcurrentRequests": 10, "period": "SECONDLY"},
            })),
        ),
        ("GET", "/webhooks-journal/journal/v4/earliest", None),
        ("GET", "/crm/v3/object-library/enablement/0-162", None),
        ("GET", "/crm/v3/limits/custom-properties", None),
        ("GET", "/events/v3/event-definitions", None),
        ("PUT", &members, Some(json!([contact.to_string()]))),
        ("GET", "/crm/v3/objects/contacts/1", None),
        ("GET", "/crm/v4/objects/contacts/1/associations/companies", None),
        ("GET", "/crm/v3/nothing/here", None),
        ("GET", "/crm/v3/objects/butterflies", None),
        ("PUT", "/crm/v3/objects/contacts", None),
        ("GET", &long, None),
    ];
    let denied = json!({
        "associations_denied": true, "september_lists_associations": false,
        "september_partial_is_success": true,
    });
    probe.post("/_emulator/rules", denied).await;
    let denied =
        format!("/crm/objects/2026-09/contacts/{contact}/associations/default/companies/{company}");
    let mut used = HashSet::new();
    used.extend(probe.call("PUT", &denied, None).await.checked("PUT", &denied).used);
    for (method, path, body) in calls {
        used.extend(probe.call(method, path, body).await.checked(method, path).used);
    }
    // HTML, for want of a word about JSON.
    let path = "/crm/v3/objects/contacts/1";
    let plain = probe.client.get(format!("{}{path}", probe.emulator.url())).bearer_auth("test");
    used.extend(probe.send(plain).await.expect("an answer").checked("GET", path).used);
    for status in [477, 502] {
        let action = FaultAction::Refuse { status, body: None, retry_after: None };
        let path = "/crm/v3/owners".to_owned();
        probe.control().add_fault(Fault { method: None, path, action, skip: 0, times: Some(1) });
        used.extend(probe.get("/crm/v3/owners").await.checked("GET", "/crm/v3/owners").used);
    }
    let control = probe.control();
    control.declare_app(OAuthApp::new("app", "secret"));
    control.declare_token(DeclaredToken::private_app("pat", &["oauth"]));
    control.approve_at_once(true);
    let info = "/oauth/v2/private-apps/get/access-token-info";
    for (path, body) in [
        (info, json!({"tokenKey": "pat"})),
        ("/oauth/v1/token", json!({})),
        ("/oauth/v3/token", json!({})),
    ] {
        used.extend(probe.post(path, body).await.checked("POST", path).used);
    }
    let stays = reqwest::redirect::Policy::none();
    let browser = reqwest::Client::builder().no_proxy().redirect(stays).build().expect("a client");
    let path = "/oauth/authorize";
    let asked = "client_id=app&redirect_uri=https%3A%2F%2Fapp.example&scope=oauth";
    let page = browser.get(format!("{}{path}?{asked}", probe.emulator.url()));
    used.extend(probe.send(page).await.expect("an answer").checked("GET", path).used);
    let limits = Limits { per_ten_seconds: 1, ..probe.control().limits() };
    probe.control().set_limits(limits);
    used.extend(probe.get("/crm/v3/owners").await.checked("GET", "/crm/v3/owners").used);
    let unused: Vec<_> = EXCEPTIONS.iter().filter(|exception| !used.contains(exception)).collect();
    assert!(unused.is_empty(), "nothing needs {unused:#?}");
}
