//! What tokens may do, and how it is said that they may not.

use serde_json::json;

use super::super::{Credentials, DeclaredToken};
use super::*;

/// A private app with these scopes asks.
async fn ask(probe: &Probe, scopes: &[&str], method: &str, path: &str, body: Value) -> Got {
    probe.control().declare_token(DeclaredToken::private_app("pat", scopes));
    let mut request = probe
        .client
        .request(method.parse().expect("a method"), format!("{}{path}", probe.emulator.url()))
        .header("Accept", "application/json")
        .bearer_auth("pat");
    if !body.is_null() {
        request = request.header("Content-Type", "application/json").body(body.to_string());
    }
    read(request.send().await.expect("an answer")).await.expect("a body")
}

/// Whether the scope opens what nothing else does.
async fn opens(probe: &Probe, scope: &str, method: &str, path: &str, body: Value) -> bool {
    let shut = ask(probe, &["oauth", "unrelated"], method, path, body.clone()).await;
    assert_eq!(shut.status, 403, "{method} {path} without scopes: {}", shut.text);
    ask(probe, &[scope], method, path, body).await.status != 403
}

#[tokio::test]
async fn objects_are_read_and_written_by_their_own_scopes() {
    let probe = Probe::quiet().await;
    let batch = json!({"inputs": []});
    for (object_type, name) in [
        ("contacts", "contacts"),
        ("0-3", "deals"),
        ("COMPANY", "companies"),
        ("tickets", "tickets"),
        ("notes", "contacts"),
        ("emails", "contacts"),
        ("taxes", "line_items"),
        ("goal_targets", "goals"),
        ("commerce_payments", "commercepayments"),
        ("leads", "leads"),
    ] {
        let (read, write) =
            (format!("crm.objects.{name}.read"), format!("crm.objects.{name}.write"));
        let at = |rest: &str| format!("/crm/v3/objects/{object_type}{rest}");
        for (method, path, body) in [
            ("GET", at(""), Value::Null),
            ("GET", at("/1"), Value::Null),
            ("POST", at("/search"), json!({})),
            ("POST", at("/batch/read"), batch.clone()),
        ] {
            assert!(opens(&probe, &read, method, &path, body.clone()).await, "{path}");
            assert_eq!(ask(&probe, &[&write], method, &path, body).await.status, 403, "{path}");
        }
        for (method, path, body) in [
            ("POST", at(""), json!({"properties": {}})),
            ("PATCH", at("/1"), json!({"properties": {}})),
            ("DELETE", at("/1"), Value::Null),
            ("POST", at("/batch/create"), batch.clone()),
            ("POST", at("/batch/update"), batch.clone()),
            ("POST", at("/batch/upsert"), batch.clone()),
            ("POST", at("/batch/archive"), batch.clone()),
            ("POST", at("/merge"), json!({})),
        ] {
            assert!(opens(&probe, &write, method, &path, body.clone()).await, "{path}");
            assert_eq!(ask(&probe, &[&read], method, &path, body).await.status, 403, "{path}");
        }
    }
}

#[tokio::test]
async fn wide_and_sensitive_scopes_open_objects_too() {
    let probe = Probe::quiet().await;
    for (scope, object_type) in [
        ("tickets", "tickets"),
        ("e-commerce", "line_items"),
        ("e-commerce", "products"),
        ("e-commerce", "quotes"),
        ("crm.objects.contacts.sensitive.read.v2", "contacts"),
        ("crm.objects.deals.highly_sensitive.read.v2", "deals"),
    ] {
        let path = format!("/crm/objects/2026-03/{object_type}");
        assert!(opens(&probe, scope, "GET", &path, Value::Null).await, "{scope}");
    }
}

#[tokio::test]
async fn custom_types_share_one_scope() {
    let probe = Probe::quiet().await;
    let schema = json!({
        "name": "licence",
        "labels": {"singular": "Licence", "plural": "Licences"},
        "requiredProperties": [],
        "primaryDisplayProperty": "key",
        "properties": [{"name": "key", "label": "Key", "type": "string", "fieldType": "text"}],
        "associatedObjects": [],
    });
    let made = probe.post("/crm-object-schemas/v3/schemas", schema).await;
    let id = made.json()["objectTypeId"].as_str().expect("an id").to_owned();
    let path = format!("/crm/v3/objects/{id}");
    assert!(opens(&probe, "crm.objects.custom.read", "GET", &path, Value::Null).await);
    let path = format!("/crm/v3/properties/{id}");
    assert!(opens(&probe, "crm.schemas.custom.read", "GET", &path, Value::Null).await);
    let got = ask(&probe, &[], "GET", &path, Value::Null).await.json();
    let inner = id.strip_prefix("2-").expect("a custom id");
    assert_eq!(
        got["message"],
        format!(
            "You do not have permissions to view object type ObjectTypeId{{metaTypeId=2, \
             innerId={inner}}} in portal 24680135 (requires one of [custom-object-read])"
        )
    );
}

#[tokio::test]
async fn other_areas_have_scopes_of_their_own() {
    let probe = Probe::quiet().await;
    for (scope, method, path) in [
        ("crm.objects.owners.read", "GET", "/crm/v3/owners"),
        ("crm.lists.read", "GET", "/crm/v3/lists"),
        ("crm.lists.read", "POST", "/crm/v3/lists/search"),
        ("crm.lists.write", "POST", "/crm/v3/lists"),
        ("crm.lists.write", "DELETE", "/crm/v3/lists/1"),
        ("crm.schemas.contacts.read", "GET", "/crm/v3/properties/contacts"),
        ("crm.schemas.contacts.read", "POST", "/crm/v3/properties/contacts/batch/read"),
        ("crm.schemas.contacts.write", "POST", "/crm/v3/properties/contacts"),
        ("crm.schemas.contacts.write", "PATCH", "/crm/v3/properties/contacts/groups/x"),
        ("crm.schemas.deals.write", "POST", "/crm/v3/properties/deals/batch/archive"),
        ("crm.schemas.custom.read", "GET", "/crm-object-schemas/v3/schemas"),
        ("crm.schemas.custom.write", "POST", "/crm-object-schemas/v3/schemas"),
        ("crm.schemas.contacts.read", "GET", "/crm-object-schemas/v3/schemas/contacts"),
        ("crm.objects.deals.read", "GET", "/crm/v3/pipelines/deals"),
        ("crm.schemas.deals.read", "GET", "/crm/v3/pipelines/deals/default/stages"),
    ] {
        let body = if method == "GET" { Value::Null } else { json!({}) };
        assert!(opens(&probe, scope, method, path, body).await, "{scope} {method} {path}");
    }
    let got = ask(&probe, &[], "GET", "/account-info/v3/details", Value::Null).await;
    assert_eq!(got.status, 200, "private apps have `oauth`");
}

#[tokio::test]
async fn associations_need_both_sides() {
    let probe = Probe::quiet().await;
    let (contacts, deals) = ("crm.objects.contacts.read", "crm.objects.deals.read");
    let inputs = json!({"inputs": [{"id": "1"}]});
    for (method, path, body) in [
        ("POST", "/crm/v4/associations/contacts/deals/batch/read", inputs),
        ("GET", "/crm/v4/objects/contacts/1/associations/deals", Value::Null),
        ("GET", "/crm/v4/associations/contacts/deals/labels", Value::Null),
        ("GET", "/crm/v3/objects/contacts?associations=deals", Value::Null),
    ] {
        for one in [contacts, deals] {
            let got = ask(&probe, &[one], method, path, body.clone()).await;
            let lacking = if one == deals { contacts } else { deals };
            let named = &got.json()["errors"][0]["context"]["requiredGranularScopes"][0];
            assert_eq!((got.status, named), (403, &json!(lacking)), "{path}");
        }
        let both = ask(&probe, &[contacts, deals], method, path, body).await;
        assert_ne!(both.status, 403, "{path}");
    }
    let link = json!([{
        "to": {"id": "1"},
        "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 4}],
    }]);
    let one = json!({"properties": {}, "associations": link});
    let write = ["crm.objects.contacts.write", "crm.objects.deals.write"];
    for (path, body) in [
        ("/crm/v3/objects/contacts", one.clone()),
        ("/crm/v3/objects/contacts/batch/create", json!({"inputs": [one]})),
    ] {
        let got = ask(&probe, &write[..1], "POST", path, body.clone()).await;
        let named = &got.json()["errors"][0]["context"]["requiredGranularScopes"][0];
        assert_eq!((got.status, named), (403, &json!(write[1])), "{path}");
        assert_ne!(ask(&probe, &write, "POST", path, body).await.status, 403, "{path}");
    }
    let path = "/crm/v4/objects/contacts/1/associations/default/deals/2";
    assert_eq!(ask(&probe, &[contacts, deals], "PUT", path, Value::Null).await.status, 403);
    assert_ne!(ask(&probe, &write, "PUT", path, Value::Null).await.status, 403);
}

#[tokio::test]
async fn what_emails_say_has_a_scope_of_its_own() {
    let probe = Probe::quiet().await;
    let contacts = "crm.objects.contacts.read";
    let plain = "/crm/v3/objects/emails?properties=hs_email_subject";
    assert_eq!(ask(&probe, &[contacts], "GET", plain, Value::Null).await.status, 200);
    let body = json!({"properties": ["hs_email_html"]});
    for (method, path, body) in [
        ("GET", "/crm/v3/objects/emails?properties=hs_email_text", Value::Null),
        ("POST", "/crm/v3/objects/emails/search", body),
    ] {
        let got = ask(&probe, &[contacts], method, path, body.clone()).await;
        let named = &got.json()["errors"][0]["context"]["requiredGranularScopes"];
        assert_eq!((got.status, named), (403, &json!(["sales-email-read"])));
        let both = [contacts, "sales-email-read"];
        assert_eq!(ask(&probe, &both, method, path, body).await.status, 200);
    }
}

#[tokio::test]
async fn the_objects_api_names_scopes_twice_and_tells_nothing_of_limits() {
    let probe = Probe::quiet().await;
    let got = ask(&probe, &["oauth"], "GET", "/crm/v3/objects/deals", Value::Null).await;
    let body = got.json();
    assert_eq!((got.status, &body["category"]), (403, &json!("MISSING_SCOPES")));
    assert_eq!(
        body["message"],
        "This app hasn't been granted all required scopes to make this call. Read more about \
         required scopes here: https://developers.hubspot.com/scopes."
    );
    let error = &body["errors"][0];
    assert_eq!(error["message"], "One or more of the following scopes are required.");
    assert_eq!(
        error["context"],
        json!({
            "requiredScopes": ["deals-read"],
            "requiredGranularScopes": [
                "crm.objects.deals.read",
                "crm.objects.deals.sensitive.read.v2",
                "crm.objects.deals.highly_sensitive.read.v2",
            ],
        })
    );
    assert_eq!(body["links"], json!({"scopes": "https://developers.hubspot.com/scopes"}));
    assert!(got.headers.keys().all(|name| !name.as_str().contains("ratelimit")));
}

#[tokio::test]
async fn the_schemas_api_names_scopes_in_its_context() {
    let probe = Probe::quiet().await;
    let got = ask(&probe, &["oauth"], "GET", "/crm-object-schemas/v3/schemas", Value::Null).await;
    let body = got.json();
    assert_eq!(got.status, 403);
    assert_eq!(
        body,
        json!({
            "status": "error",
            "message": "One or more of the following scopes are required.",
            "correlationId": body["correlationId"],
            "context": {
                "requiredGranularScopes": ["custom-object-read"],
                "links": ["https://developers.hubspot.com/scopes"],
            },
            "category": "MISSING_SCOPES",
        })
    );
    assert!(got.headers.keys().all(|name| !name.as_str().contains("ratelimit")));
}

#[tokio::test]
async fn the_properties_api_has_no_category_and_counts() {
    let probe = Probe::quiet().await;
    let before = probe.control().limits().daily;
    let got = ask(&probe, &["oauth"], "GET", "/crm/v3/properties/contacts", Value::Null).await;
    let body = got.json();
    assert_eq!(got.status, 403);
    assert_eq!(
        body,
        json!({
            "status": "error",
            "message": "You do not have permissions to view object type \
                        ObjectTypeId{legacyObjectType=CONTACT} in portal 24680135 (requires one \
                        of [contacts-read])",
            "correlationId": body["correlationId"],
        })
    );
    assert_eq!(got.header("x-hubspot-ratelimit-remaining"), Some("99999"));
    assert_eq!(got.header("x-hubspot-ratelimit-daily-remaining"), Some(&*(before - 1).to_string()));
}

#[tokio::test]
async fn a_missing_scope_shuts_one_object_only() {
    let tokens = vec![DeclaredToken::private_app("pat", &["crm.objects.contacts.read"])];
    let credentials = Credentials { tokens, ..Credentials::default() };
    let probe = Probe::start(EmulatorConfig { credentials, ..quiet() }).await;
    for (path, status) in [
        ("/crm/v3/objects/contacts", 200),
        ("/crm/v3/objects/deals", 403),
        ("/crm/v3/objects/x", 400),
    ] {
        let request = probe.client.get(format!("{}{path}", probe.emulator.url()));
        let got = request.bearer_auth("pat").send().await.expect("an answer");
        assert_eq!(got.status().as_u16(), status, "{path}");
    }
    assert_eq!(probe.get("/crm/v3/objects/deals").await.status, 200, "another token");
}
