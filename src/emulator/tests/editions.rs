//! Where the dated editions differ from version 3 and 4, and that all paths
//! lead to one store.

use serde_json::json;

use super::*;
use crate::emulator::{ConditionalRule, Rules};

fn names(names: &[&str]) -> std::collections::BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Every row of the list of dated paths: method, legacy path, dated path.
const PATHS: &[(&str, &str, &str)] = &[
    ("GET", "/crm/v3/objects/contacts", "/crm/objects/{ver}/contacts"),
    ("POST", "/crm/v3/objects/contacts", "/crm/objects/{ver}/contacts"),
    ("GET", "/crm/v3/objects/contacts/1", "/crm/objects/{ver}/contacts/1"),
    ("PATCH", "/crm/v3/objects/contacts/1", "/crm/objects/{ver}/contacts/1"),
    ("DELETE", "/crm/v3/objects/contacts/1", "/crm/objects/{ver}/contacts/1"),
    ("POST", "/crm/v3/objects/contacts/batch/read", "/crm/objects/{ver}/contacts/batch/read"),
    ("POST", "/crm/v3/objects/contacts/batch/create", "/crm/objects/{ver}/contacts/batch/create"),
    ("POST", "/crm/v3/objects/contacts/batch/update", "/crm/objects/{ver}/contacts/batch/update"),
    ("POST", "/crm/v3/objects/contacts/batch/upsert", "/crm/objects/{ver}/contacts/batch/upsert"),
    ("POST", "/crm/v3/objects/contacts/batch/archive", "/crm/objects/{ver}/contacts/batch/archive"),
    ("POST", "/crm/v3/objects/contacts/search", "/crm/objects/{ver}/contacts/search"),
    ("POST", "/crm/v3/objects/contacts/merge", "/crm/objects/{ver}/contacts/merge"),
    ("POST", "/crm/v3/objects/contacts/gdpr-delete", "/crm/objects/{ver}/contacts/gdpr-delete"),
    ("GET", "/crm/v3/properties/contacts", "/crm/properties/{ver}/contacts"),
    ("GET", "/crm/v3/properties/contacts/email", "/crm/properties/{ver}/contacts/email"),
    ("PATCH", "/crm/v3/properties/contacts/email", "/crm/properties/{ver}/contacts/email"),
    (
        "POST",
        "/crm/v3/properties/contacts/batch/create",
        "/crm/properties/{ver}/contacts/batch/create",
    ),
    ("POST", "/crm/v3/properties/contacts/batch/read", "/crm/properties/{ver}/contacts/batch/read"),
    (
        "POST",
        "/crm/v3/properties/contacts/batch/archive",
        "/crm/properties/{ver}/contacts/batch/archive",
    ),
    ("GET", "/crm/v3/properties/contacts/groups", "/crm/properties/{ver}/contacts/groups"),
    ("GET", "/crm-object-schemas/v3/schemas", "/crm-object-schemas/{ver}/schemas"),
    ("GET", "/crm/v3/schemas", "/crm-object-schemas/{ver}/schemas"),
    (
        "POST",
        "/crm/v4/associations/contacts/companies/batch/read",
        "/crm/associations/{ver}/contacts/companies/batch/read",
    ),
    (
        "POST",
        "/crm/v4/associations/contacts/companies/batch/create",
        "/crm/associations/{ver}/contacts/companies/batch/create",
    ),
    (
        "POST",
        "/crm/v4/associations/contacts/companies/batch/associate/default",
        "/crm/associations/{ver}/contacts/companies/batch/associate/default",
    ),
    (
        "POST",
        "/crm/v4/associations/contacts/companies/batch/archive",
        "/crm/associations/{ver}/contacts/companies/batch/archive",
    ),
    (
        "POST",
        "/crm/v4/associations/contacts/companies/batch/labels/archive",
        "/crm/associations/{ver}/contacts/companies/batch/labels/archive",
    ),
    (
        "GET",
        "/crm/v4/objects/contacts/1/associations/companies",
        "/crm/objects/{ver}/contacts/1/associations/companies",
    ),
    (
        "PUT",
        "/crm/v4/objects/contacts/1/associations/companies/2",
        "/crm/objects/{ver}/contacts/1/associations/companies/2",
    ),
    (
        "DELETE",
        "/crm/v4/objects/contacts/1/associations/companies/2",
        "/crm/objects/{ver}/contacts/1/associations/companies/2",
    ),
    (
        "PUT",
        "/crm/v4/objects/contacts/1/associations/default/companies/2",
        "/crm/objects/{ver}/contacts/1/associations/default/companies/2",
    ),
    (
        "GET",
        "/crm/v4/associations/contacts/companies/labels",
        "/crm/associations/{ver}/contacts/companies/labels",
    ),
    (
        "PUT",
        "/crm/v4/associations/contacts/companies/labels",
        "/crm/associations/{ver}/contacts/companies/labels",
    ),
    (
        "GET",
        "/crm/v4/associations/definitions/configurations/all",
        "/crm/associations/{ver}/definitions/configurations/all",
    ),
    ("GET", "/crm/v3/owners", "/crm/owners/{ver}"),
    ("GET", "/crm/v3/owners/1", "/crm/owners/{ver}/1"),
    ("GET", "/crm/v3/pipelines/deals", "/crm/pipelines/{ver}/deals"),
    ("PUT", "/crm/v3/pipelines/deals/default", "/crm/pipelines/{ver}/deals/default"),
    ("GET", "/crm/v3/lists", "/crm/lists/{ver}"),
    ("POST", "/crm/v3/lists/search", "/crm/lists/{ver}/search"),
    ("GET", "/crm/v3/imports", "/crm/imports/{ver}"),
    ("POST", "/crm/v3/exports/export/async", "/crm/exports/{ver}/export/async"),
    ("GET", "/crm/v3/limits/custom-properties", "/crm/limits/{ver}/custom-properties"),
    ("GET", "/account-info/v3/details", "/account-info/{ver}/details"),
    (
        "GET",
        "/account-info/v3/api-usage/daily/private-apps",
        "/account-info/{ver}/api-usage/daily/private-apps",
    ),
    ("GET", "/events/v3/events", "/events/event-occurrences/{ver}"),
    ("POST", "/events/v3/send", "/events/custom/{ver}/send"),
    ("POST", "/events/v3/send/batch", "/events/{ver}/send/batch"),
];

#[tokio::test]
async fn every_path_leads_somewhere_in_every_edition() {
    let probe = Probe::quiet().await;
    for (method, legacy, dated) in PATHS {
        for path in
            [*legacy, &dated.replace("{ver}", "2026-03"), &dated.replace("{ver}", "2026-09")]
        {
            let body = (*method != "GET").then(|| json!({}));
            probe.call(method, path, body).await;
        }
    }
    let log = probe.control().log(0);
    for pair in log.calls.chunks(3) {
        assert!(pair.iter().all(|call| call.endpoint == pair[0].endpoint), "{pair:?}");
        assert!(!["nowhere", "wrong_method"].contains(&pair[0].endpoint), "{pair:?}");
    }
}

#[tokio::test]
async fn required_properties_count_in_september_only() {
    let probe = Probe::quiet().await;
    let rules = Rules {
        required: [("contacts".to_owned(), names(&["firstname"]))].into(),
        conditional: vec![ConditionalRule {
            object_type: "contacts".to_owned(),
            property: "state".to_owned(),
            controlled_by: "country".to_owned(),
            values: names(&["Germany"]),
        }],
        ..Rules::default()
    };
    probe.control().set_rules(rules);
    let create = async |edition: &str, properties: Value| {
        probe
            .post(&format!("/crm/objects/{edition}/contacts"), json!({"properties": properties}))
            .await
    };
    for edition in ["v3", "2026-03"] {
        let email = format!("{edition}@x.example");
        assert_eq!(create(edition, json!({"email": email})).await.status, 201, "{edition}");
    }
    let got = create("2026-09", json!({"email": "s@x.example"})).await;
    assert_eq!(got.status, 400);
    assert_eq!(got.json()["errors"][0]["code"], "MISSING_REQUIRED_PROPERTY");
    assert_eq!(got.json()["errors"][0]["message"], "A value for firstname must be provided");
    let german = json!({"email": "g@x.example", "firstname": "G", "country": "Germany"});
    let got = create("2026-09", german).await;
    assert_eq!(got.json()["errors"][0]["code"], "MISSING_CONDITIONAL_REQUIRED_PROPERTY");
    assert_eq!(
        got.json()["errors"][0]["message"],
        "state is required because of a conditional property rule based on [country]"
    );
    let french = json!({"email": "f@x.example", "firstname": "F", "country": "France"});
    let made = create("2026-09", french).await;
    assert_eq!(made.status, 201);
    let one = format!("/crm/objects/2026-09/contacts/{}", id_of(&made.json()));
    let clear = json!({"properties": {"firstname": ""}});
    assert_eq!(probe.call("PATCH", &one, Some(clear)).await.status, 400);
    let other = json!({"properties": {"jobtitle": "X"}});
    assert_eq!(probe.call("PATCH", &one, Some(other)).await.status, 200, "it is set");
    let moved = json!({"properties": {"country": "Germany"}});
    assert_eq!(probe.call("PATCH", &one, Some(moved)).await.status, 400);
    let batch = json!({"inputs": [traced("t", json!({"properties": {"email": "b@x.example"}}))]});
    let got = probe.post("/crm/objects/2026-09/contacts/batch/create", batch).await;
    assert_eq!(got.status, 207);
    assert!(got.text.contains("MISSING_REQUIRED_PROPERTY"), "{}", got.text);
}

#[tokio::test]
async fn a_day_with_a_time_is_normalised_in_september() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let write = async |edition: &str, value: &str| {
        let path = format!("/crm/objects/{edition}/contacts/{id}");
        let body = json!({"properties": {"contract_start": value}});
        probe.call("PATCH", &path, Some(body)).await
    };
    for edition in ["v3", "2026-03"] {
        let got = write(edition, "631168496000").await;
        assert_eq!(got.json()["errors"][0]["code"], "INVALID_DATE", "{edition}");
    }
    let got = write("2026-09", "631168496000").await;
    assert_eq!(
        (got.status, got.json()["properties"]["contract_start"].clone()),
        (200, json!("1990-01-01"))
    );
    let warning = &got.json()["warnings"][0];
    assert_eq!(warning["category"], "PROPERTY_VALUE_NORMALIZED");
    assert_eq!(
        warning["context"],
        json!({"propertyName": "contract_start", "rawValue": "631168496000", "normalizedValue": "631152000000"})
    );
    assert_eq!(write("2026-09", "1990-01-01").await.json().get("warnings"), None);
    let input = traced(
        "t",
        json!({"id": id.to_string(), "properties": {"contract_start": "631168496000"}}),
    );
    let got =
        probe.post("/crm/objects/2026-09/contacts/batch/update", json!({"inputs": [input]})).await;
    assert_eq!(got.json()["results"][0]["warnings"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn september_may_answer_partial_success_as_success() {
    let probe = Probe::quiet().await;
    let read = async |edition: &str| {
        let body = json!({"inputs": [{"id": "5"}]});
        probe.post(&format!("/crm/objects/{edition}/contacts/batch/read"), body).await
    };
    for edition in ["v3", "2026-03", "2026-09"] {
        assert_eq!(read(edition).await.status, 207, "{edition}");
    }
    probe.post("/_emulator/rules", json!({"september_partial_is_success": true})).await;
    assert_eq!(read("2026-03").await.status, 207);
    let got = read("2026-09").await;
    assert_eq!((got.status, got.json()["numErrors"].clone()), (200, json!(1)));
    let bad = json!({"inputs": [traced("t", json!({"properties": {"email": "no"}}))]});
    let got = probe.post("/crm/objects/2026-09/contacts/batch/create", bad).await;
    assert_eq!((got.status, got.json()["numErrors"].clone()), (201, json!(1)));
}

#[tokio::test]
async fn september_answers_other_statuses() {
    let probe = Probe::quiet().await;
    let company = id_of(&probe.get("/crm/v3/objects/companies?limit=1").await.json()["results"][0]);
    let contact = probe.some_contact().await;
    let types = json!([{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]);
    let pair =
        json!({"inputs": [{"from": {"id": contact}, "to": {"id": company}, "types": types}]});
    let many = json!({"inputs": [{"from": {"id": contact}, "to": [{"id": company}]}]});
    for (edition, created, archived) in
        [("v4", 201, 204), ("2026-03", 201, 200), ("2026-09", 200, 200)]
    {
        let path = format!("/crm/associations/{edition}/contacts/companies/batch");
        assert_eq!(
            probe.post(&format!("{path}/create"), pair.clone()).await.status,
            created,
            "{edition}"
        );
        let got = probe.post(&format!("{path}/labels/archive"), json!({"inputs": []})).await;
        assert_eq!(got.status, archived, "{edition}");
        let got = probe.post(&format!("{path}/archive"), many.clone()).await;
        assert_eq!(got.status, archived, "{edition}");
        if archived == 200 {
            assert_eq!(
                (got.json()["status"].clone(), got.json()["results"].clone()),
                (json!("COMPLETE"), json!([]))
            );
        }
    }
    for (edition, created) in [("v3", 201), ("2026-03", 201), ("2026-09", 200)] {
        let name = format!("of_{}", edition.replace('-', "_"));
        let property = json!({"name": name, "label": "L", "type": "string", "fieldType": "text",
            "groupName": "contactinformation"});
        let path = format!("/crm/properties/{edition}/contacts/batch/create");
        assert_eq!(
            probe.post(&path, json!({"inputs": [property]})).await.status,
            created,
            "{edition}"
        );
    }
}

#[tokio::test]
async fn september_wants_to_know_more() {
    let probe = Probe::quiet().await;
    let option = json!([{"label": "A", "value": "a", "hidden": false}]);
    let property = |name: &str| {
        json!({"name": name, "label": "L", "type": "enumeration",
        "fieldType": "select", "groupName": "contactinformation", "options": option})
    };
    assert_eq!(probe.post("/crm/v3/properties/contacts", property("early")).await.status, 201);
    assert_eq!(
        probe.post("/crm/properties/2026-03/contacts", property("spring")).await.status,
        201
    );
    let got = probe.post("/crm/properties/2026-09/contacts", property("autumn")).await;
    assert_eq!(got.status, 400);
    assert!(got.text.contains("[displayOrder]"), "{}", got.text);
    assert_eq!(probe.post("/crm/v3/lists/search", json!({})).await.status, 200);
    assert_eq!(probe.post("/crm/lists/2026-09/search", json!({})).await.status, 400);
    let full = json!({"listIds": [], "processingTypes": []});
    assert_eq!(probe.post("/crm/lists/2026-09/search", full).await.status, 200);
    let details = probe.get("/account-info/2026-09/details").await.json();
    assert!(details["portalName"].is_string() && details["createdAt"].is_string());
    assert_eq!(probe.get("/account-info/2026-03/details").await.json().get("portalName"), None);
}

#[tokio::test]
async fn september_checks_who_may_associate() {
    let probe = Probe::quiet().await;
    let (contact, company) = (
        probe.some_contact().await,
        id_of(&probe.get("/crm/v3/objects/companies?limit=1").await.json()["results"][0]),
    );
    probe
        .post(
            "/_emulator/rules",
            json!({"associations_denied": true, "september_lists_associations": false}),
        )
        .await;
    let put = |edition: &str| {
        format!(
            "/crm/objects/{edition}/contacts/{contact}/associations/default/companies/{company}"
        )
    };
    assert_eq!(probe.call("PUT", &put("v4"), None).await.status, 200);
    let got = probe.call("PUT", &put("2026-09"), None).await;
    assert_eq!(
        (got.status, got.json()["message"].clone()),
        (403, json!("Missing 'Edit Associations' permission."))
    );
    let list =
        |edition: &str| format!("/crm/objects/{edition}/contacts/{contact}/associations/companies");
    assert_eq!(probe.get(&list("2026-03")).await.status, 200);
    assert_eq!(probe.get(&list("2026-09")).await.status, 404, "its description leaves it out");
}
