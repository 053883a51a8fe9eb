//! What holds for every object type: names, what a create must set, what can
//! be deleted and come back.

use serde_json::json;

use super::*;

/// Section 10 of the API reference, with what a create must set.
const TYPES: &[(&str, &str, &[&str])] = &[
    ("contacts", "0-1", &["email"]),
    ("companies", "0-2", &["domain"]),
    // A stage is documented as required, but two recorded accounts took deals without.
    ("deals", "0-3", &["dealname", "pipeline"]),
    ("tickets", "0-5", &["subject", "hs_pipeline_stage", "hs_pipeline"]),
    ("products", "0-7", &["name"]),
    ("line_items", "0-8", &[]),
    ("quotes", "0-14", &["hs_title", "hs_expiration_date"]),
    ("communications", "0-18", &["hs_timestamp", "hs_communication_channel_type"]),
    ("tasks", "0-27", &["hs_timestamp"]),
    ("notes", "0-46", &["hs_timestamp"]),
    ("meetings", "0-47", &["hs_timestamp"]),
    ("calls", "0-48", &["hs_timestamp"]),
    ("emails", "0-49", &["hs_timestamp", "hs_email_direction"]),
    ("invoices", "0-53", &["hs_currency"]),
    ("marketing_events", "0-54", &[]),
    ("subscriptions", "0-69", &["hs_name"]),
    ("goal_targets", "0-74", &[]),
    ("discounts", "0-84", &[]),
    ("fees", "0-85", &[]),
    ("taxes", "0-86", &[]),
    ("commerce_payments", "0-101", &[]),
    ("users", "0-115", &[]),
    ("postal_mail", "0-116", &["hs_timestamp"]),
    ("orders", "0-123", &["hs_order_name"]),
    ("carts", "0-142", &[]),
    ("services", "0-162", &["hs_name", "hs_pipeline", "hs_pipeline_stage"]),
    ("courses", "0-410", &["hs_course_name"]),
    ("listings", "0-420", &["hs_name"]),
    ("appointments", "0-421", &["hs_appointment_name"]),
    ("projects", "0-970", &["hs_name", "hs_pipeline", "hs_pipeline_stage"]),
];

fn value(name: &str) -> &str {
    match name {
        "email" => "new@types.example",
        "dealstage" => "qualifiedtobuy",
        "pipeline" => "default",
        "hs_pipeline" => "0",
        "hs_pipeline_stage" => "1",
        "hs_timestamp" | "hs_expiration_date" => "2026-01-05T10:00:00Z",
        "hs_email_direction" => "EMAIL",
        _ => "x",
    }
}

#[tokio::test]
async fn every_type_has_its_names_and_wants_its_properties() {
    let probe = Probe::quiet().await;
    for (plural, id, required) in TYPES {
        let all: serde_json::Map<String, Value> =
            required.iter().map(|name| ((*name).to_owned(), json!(value(name)))).collect();
        let path = format!("/crm/v3/objects/{plural}");
        for left_out in *required {
            let mut some = all.clone();
            some.remove(*left_out);
            let got = probe.post(&path, json!({"properties": some})).await;
            // One pipeline goes without saying.
            let pipeline = *plural == "tickets" && *left_out == "hs_pipeline";
            assert_eq!(got.status == 400, !pipeline, "{plural} without {left_out}: {}", got.text);
        }
        let made = probe.post(&path, json!({"properties": all})).await;
        assert!(made.status == 201 || *plural == "contacts", "{plural}: {}", made.text);
        let singular = match *plural {
            "companies" => "company".to_owned(),
            "taxes" => "tax".to_owned(),
            other => other.trim_end_matches('s').to_owned(),
        };
        for name in [*id, &plural.to_uppercase(), &singular, &singular.to_uppercase()] {
            let got = probe.get(&format!("/crm/v3/objects/{name}?limit=1")).await;
            assert_eq!(got.status, 200, "{name}: {}", got.text);
        }
        let created = match *plural {
            "contacts" | "companies" | "deals" | "tickets" | "products" | "line_items" => {
                "createdate"
            }
            _ => "hs_createdate",
        };
        let listed = probe.get(&format!("{path}?limit=1")).await.json();
        let properties = &listed["results"][0]["properties"];
        assert!(
            properties[created].is_string() && properties["hs_object_id"].is_string(),
            "{plural}"
        );
        let modified =
            if *plural == "contacts" { "lastmodifieddate" } else { "hs_lastmodifieddate" };
        assert!(properties[modified].is_string(), "{plural}");
    }
    let unknown = probe.get("/crm/v3/objects/butterflies").await;
    assert_eq!(
        (unknown.status, unknown.json()["message"].clone()),
        (400, json!("Unable to infer object type from: butterflies"))
    );
    let unknown = probe.get("/crm/v3/objects/contacts?associations=butterflies").await;
    assert_eq!(unknown.status, 400, "{}", unknown.text);
}

#[tokio::test]
async fn feedback_is_read_only() {
    let probe = Probe::quiet().await;
    let path = "/crm/v3/objects/feedback_submissions";
    assert_eq!(probe.get(path).await.status, 200);
    for (method, path, body) in [
        ("POST", path.to_owned(), json!({"properties": {}})),
        ("PATCH", format!("{path}/5"), json!({"properties": {}})),
        ("DELETE", format!("{path}/5"), Value::Null),
        ("POST", format!("{path}/batch/create"), json!({"inputs": []})),
        ("POST", format!("{path}/batch/upsert"), json!({"inputs": []})),
    ] {
        let got = probe.call(method, &path, Some(body)).await;
        assert_eq!(
            (got.status, got.json()["category"].clone()),
            (403, json!("MISSING_SCOPES")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_type_may_not_be_paid_for() {
    let probe = Probe::quiet().await;
    let got = probe.post("/_emulator/rules", json!({"unavailable": ["leads", "services"]})).await;
    assert_eq!(got.status, 200, "{}", got.text);
    let got = probe.get("/crm/v3/objects/leads").await;
    assert_eq!((got.status, got.json()["category"].clone()), (403, json!("MISSING_SCOPES")));
    assert!(got.json()["message"].as_str().is_some_and(|text| text.contains("subscription")));
    assert_eq!(probe.get("/crm/v3/objects/contacts").await.status, 200);
    let library = "/crm/v3/object-library/enablement";
    assert_eq!(probe.get(&format!("{library}/0-162")).await.json()["enablement"], false);
    assert_eq!(probe.get(&format!("{library}/0-410")).await.json()["enablement"], true);
    assert_eq!(probe.get(library).await.status, 200);
    probe.call("DELETE", "/_emulator/rules", None).await;
    assert_eq!(probe.get("/crm/v3/objects/leads").await.status, 200);
    assert_eq!(probe.post("/_emulator/rules", json!({"nonsense": 1})).await.status, 400);
}

#[tokio::test]
async fn the_recycle_bin_is_emptied_after_ninety_days() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let path = format!("/crm/v3/objects/contacts/{id}");
    probe.call("DELETE", &path, None).await;
    let archived = format!("{path}?archived=true");
    let batch = json!({"inputs": [{"id": id.to_string()}]});
    probe.control().advance_clock(Duration::from_secs(89 * 86_400));
    assert_eq!(probe.get(&archived).await.status, 200);
    let read = "/crm/v3/objects/contacts/batch/read?archived=true";
    assert_eq!(probe.post(read, batch.clone()).await.status, 200);
    probe.control().advance_clock(Duration::from_secs(2 * 86_400));
    assert_eq!(probe.get(&archived).await.status, 404);
    assert_eq!(probe.post(read, batch).await.status, 207);
    assert!(probe.control().restore_record("contacts", id).is_err());
    let bin = probe.get("/crm/v3/objects/contacts?archived=true&limit=100").await.json();
    let ids: Vec<u64> = bin["results"].as_array().expect("results").iter().map(id_of).collect();
    assert!(!ids.contains(&id) && !ids.is_empty(), "what the seed archived stays");
}

#[tokio::test]
async fn a_purged_address_is_blocked() {
    let probe = Probe::quiet().await;
    let contact = json!({"properties": {"email": "gone@x.example"}});
    let id = id_of(&probe.post("/crm/v3/objects/contacts", contact.clone()).await.json());
    let purge = "/crm/v3/objects/contacts/gdpr-delete";
    assert_eq!(probe.post(purge, json!({"objectId": id.to_string()})).await.status, 204);
    assert_eq!(
        probe.get(&format!("/crm/v3/objects/contacts/{id}?archived=true")).await.status,
        404
    );
    assert!(probe.control().restore_record("contacts", id).is_err(), "for good");
    assert_eq!(probe.post("/crm/v3/objects/contacts", contact.clone()).await.status, 400);
    let nobody = json!({"objectId": "Nobody@x.example", "idProperty": "email"});
    assert_eq!(probe.post(purge, nobody).await.status, 204);
    let other = json!({"properties": {"email": "nobody@x.example"}});
    assert_eq!(probe.post("/crm/v3/objects/contacts", other).await.status, 400);
    let rules = crate::emulator::Rules { purged_emails_blocked: false, ..probe.control().rules() };
    probe.control().set_rules(rules);
    assert_eq!(probe.post("/crm/v3/objects/contacts", contact).await.status, 201);
    assert_eq!(
        probe.post("/crm/v3/objects/companies/gdpr-delete", json!({"objectId": "1"})).await.status,
        404
    );
}

#[tokio::test]
async fn a_merge_has_its_limits() {
    let probe = Probe::quiet().await;
    let emails: Vec<String> = (0..248).map(|at| format!("a{at}@x.example")).collect();
    let control = probe.control();
    let many = control
        .create_record(
            "contacts",
            &values(&[("email", "many@x.example"), ("hs_additional_emails", &emails.join(";"))]),
        )
        .expect("a contact");
    let one =
        control.create_record("contacts", &values(&[("email", "one@x.example")])).expect("one");
    let body = json!({"primaryObjectId": many.to_string(), "objectIdToMerge": one.to_string()});
    let got = probe.post("/crm/v3/objects/contacts/merge", body).await;
    assert_eq!(
        (got.status, got.json()["message"].clone()),
        (414, json!("Cannot have more than 250 identities on a profile"))
    );
    let note = json!({"primaryObjectId": "1", "objectIdToMerge": "2"});
    assert_eq!(probe.post("/crm/v3/objects/notes/merge", note).await.status, 400);
}

#[tokio::test]
async fn merges_chain_and_old_ids_lead_on() {
    let probe = Probe::quiet().await;
    let control = probe.control();
    let make =
        |email: &str| control.create_record("contacts", &values(&[("email", email)])).expect("one");
    let (one, two, three) = (make("one@x.example"), make("two@x.example"), make("three@x.example"));
    let first = control.merge_records("contacts", one, two).expect("a merge");
    let last = control.merge_records("contacts", first, three).expect("a merge");
    let path = format!(
        "/crm/v3/objects/contacts/{one}?properties=hs_merged_object_ids,hs_calculated_merged_vids"
    );
    let got = probe.get(&path).await.json();
    assert_eq!(id_of(&got), last);
    let merged = got["properties"]["hs_merged_object_ids"].as_str().expect("ids");
    assert!(
        [one, two, first, three]
            .iter()
            .all(|id| merged.split(';').any(|held| held == id.to_string()))
    );
    let vids = got["properties"]["hs_calculated_merged_vids"].as_str().expect("pairs");
    assert!(vids.starts_with(&format!("{first}:")) && !vids.contains(&one.to_string()), "{vids}");
}

#[tokio::test]
async fn history_has_a_depth() {
    let probe = Probe::quiet().await;
    let control = probe.control();
    let contact = probe.some_contact().await;
    let company = id_of(&probe.get("/crm/v3/objects/companies?limit=1").await.json()["results"][0]);
    for (of, id, most) in [("contacts", contact, 45), ("companies", company, 20)] {
        for turn in 0..60 {
            control.advance_clock(Duration::from_secs(1));
            control
                .edit_record(of, id, &values(&[("city", &format!("C{turn}"))]))
                .expect("an edit");
        }
        let got = probe
            .get(&format!("/crm/v3/objects/{of}/{id}?propertiesWithHistory=city"))
            .await
            .json();
        let history = got["propertiesWithHistory"]["city"].as_array().expect("a history");
        assert!(history.len() <= most + 1 && history.len() >= most, "{of}: {}", history.len());
        assert_eq!(history[0]["value"], "C59");
    }
}

#[tokio::test]
async fn a_unique_property_reads_its_record() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let path = format!("/crm/v3/objects/contacts/{id}?properties=app_user_id");
    let key = probe.get(&path).await.json()["properties"]["app_user_id"]
        .as_str()
        .expect("a key")
        .to_owned();
    let got = probe.get(&format!("/crm/v3/objects/contacts/{key}?idProperty=app_user_id")).await;
    assert_eq!(id_of(&got.json()), id);
    let body = json!({"idProperty": "app_user_id", "inputs": [{"id": key}, {"id": "u-none"}]});
    let got = probe.post("/crm/v3/objects/contacts/batch/read", body).await;
    assert_eq!((got.status, id_of(&got.json()["results"][0])), (207, id));
    let got = probe.get(&format!("/crm/v3/objects/contacts/{key}?idProperty=city")).await;
    assert_eq!(got.status, 400);
}

#[tokio::test]
async fn a_contact_brings_what_follows_from_it() {
    let probe = Probe::quiet().await;
    let body = json!({"properties": {"email": "ada@Calc.example", "phone": "+49 30 1234567"}});
    let made = probe.post("/crm/v3/objects/contacts", body).await.json();
    let properties = &made["properties"];
    assert_eq!(properties["hs_email_domain"], "calc.example");
    assert_eq!(properties["lifecyclestage"], "lead");
    assert!(properties["hs_lifecyclestage_lead_date"].is_string());
    assert_eq!(properties["hs_searchable_calculated_phone_number"], "9301234567");
}

#[tokio::test]
async fn a_deal_may_be_given_its_create_date() {
    let probe = Probe::quiet().await;
    let deal = json!({"properties": {"dealname": "Old", "pipeline": "default",
        "dealstage": "qualifiedtobuy", "createdate": "2020-02-03T04:05:06Z"}});
    let made = probe.post("/crm/v3/objects/deals", deal).await.json();
    assert_eq!(made["properties"]["createdate"], "2020-02-03T04:05:06Z");
    let filter =
        json!({"propertyName": "createdate", "operator": "EQ", "value": "2020-02-03T04:05:06Z"});
    let found =
        probe.post("/crm/v3/objects/deals/search", json!({"filters": [filter]})).await.json();
    assert_eq!(id_of(&found["results"][0]), id_of(&made));
    let contact =
        json!({"properties": {"email": "c@x.example", "createdate": "2020-02-03T04:05:06Z"}});
    let got = probe.post("/crm/v3/objects/contacts", contact).await;
    assert_eq!(got.json()["errors"][0]["code"], "READ_ONLY_VALUE");
}

#[tokio::test]
async fn a_person_signs_what_she_changes() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    probe.control().edit_record("contacts", id, &values(&[("city", "Ulm")])).expect("an edit");
    let path = format!("/crm/v3/objects/contacts/{id}?propertiesWithHistory=city");
    let newest = probe.get(&path).await.json()["propertiesWithHistory"]["city"][0].clone();
    assert_eq!(
        (&newest["sourceType"], newest["updatedByUserId"].as_u64()),
        (&json!("CRM_UI"), Some(5_555_888))
    );
}

#[tokio::test]
async fn users_are_records_too() {
    let probe = Probe::quiet().await;
    let owners = probe.get("/crm/v3/owners").await.json();
    let owner = &owners["results"][0];
    let names = "properties=hs_email,hs_given_name,hs_internal_user_id,hubspot_owner_id";
    let users = probe.get(&format!("/crm/v3/objects/users?{names}")).await.json();
    assert_eq!(
        users["results"].as_array().map(Vec::len),
        owners["results"].as_array().map(Vec::len)
    );
    let email = owner["email"].as_str().expect("an email");
    let one = probe
        .get(&format!("/crm/v3/objects/0-115/{email}?idProperty=hs_email&{names}"))
        .await
        .json();
    assert_eq!(one["properties"]["hubspot_owner_id"], owner["id"]);
    assert_eq!(one["properties"]["hs_internal_user_id"], owner["userId"].to_string());
    let path = format!("/crm/v3/objects/users/{}", id_of(&one));
    let write = |name: &str| json!({"properties": {name: "X"}});
    assert_eq!(probe.call("PATCH", &path, Some(write("hs_job_title"))).await.status, 200);
    assert_eq!(probe.call("PATCH", &path, Some(write("hs_given_name"))).await.status, 400);
    let by_mail = probe.get(&format!("/crm/v3/owners?email={}", email.to_uppercase())).await.json();
    assert_eq!(by_mail["results"].as_array().map(Vec::len), Some(1));
    let team = owners["results"]
        .as_array()
        .expect("owners")
        .iter()
        .find(|owner| owner["teams"].is_array());
    assert_eq!(team.expect("somebody in a team")["teams"][0]["primary"], true);
    let gone = probe.get("/crm/v3/owners?archived=true").await.json()["results"][0].clone();
    let path = format!("/crm/v3/owners/{}", gone["id"].as_str().expect("an id"));
    assert_eq!(
        (probe.get(&path).await.status, probe.get(&format!("{path}?archived=true")).await.status),
        (404, 200)
    );
}
