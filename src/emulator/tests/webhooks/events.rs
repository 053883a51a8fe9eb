//! Which events a change makes, and what they look like.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// While the clock runs, of which the other tests see nothing.
#[tokio::test]
async fn what_happens_at_once_has_one_moment_on_a_running_clock() {
    let subscriptions = vec![on("contact.creation"), on("contact.propertyChange")];
    let (probe, receiver) = hearing(subscriptions).await;
    let control = probe.control();
    control.stop_clock(false);
    control.pause_webhooks(true);
    let names = ["firstname", "lastname", "jobtitle", "city", "state", "zip", "phone", "website"];
    let all: Values = names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
    for _ in 0..500 {
        control.create_record("contacts", &all).expect("a record");
    }
    control.pause_webhooks(false);
    control.flush_webhooks().await;
    let mut moments: BTreeMap<u64, BTreeSet<i64>> = BTreeMap::new();
    for event in receiver.events() {
        let id = event["objectId"].as_u64().expect("an id");
        moments.entry(id).or_default().insert(event["occurredAt"].as_i64().expect("a time"));
    }
    for (id, moments) in &mut moments {
        let record = control.record("contacts", *id).expect("the record");
        let entered = &record["properties"]["hs_v2_date_entered_current_stage"];
        assert_eq!(record["created_at"], *entered);
        let created = record["created_at"].as_str().and_then(crate::emulator::moment::parse);
        moments.extend(created);
    }
    assert_eq!(moments.len(), 500);
    assert!(moments.values().all(|moments| moments.len() == 1), "{moments:?}");
}

#[tokio::test]
async fn a_creation_and_its_first_values_share_a_moment() {
    let subscriptions = vec![
        on("contact.creation"),
        on("contact.propertyChange").property("lastname"),
        on("object.propertyChange").of_type("0-1").property("lastname"),
        on("contact.propertyChange").property("lastmodifieddate"),
        on("contact.propertyChange").property("hs_object_source"),
    ];
    let (probe, receiver) = hearing(subscriptions).await;
    let id = id_of(&probe.post("/crm/v3/objects/contacts", create("ada@example.com")).await.json());
    probe.control().flush_webhooks().await;
    let events = receiver.events();
    assert_eq!(events.len(), 3, "{events:?}");
    let common = [
        "eventId",
        "subscriptionId",
        "portalId",
        "appId",
        "occurredAt",
        "subscriptionType",
        "attemptNumber",
        "objectId",
    ];
    let after = |rest: &[&'static str]| [&common, rest].concat();
    assert_eq!(keys(&events[0]), after(&["changeFlag", "changeSource", "sourceId"]));
    assert_eq!(
        keys(&events[1]),
        after(&["propertyName", "propertyValue", "changeSource", "sourceId"])
    );
    assert_eq!(
        keys(&events[2]),
        after(&[
            "objectTypeId",
            "propertyName",
            "propertyValue",
            "isSensitive",
            "changeSource",
            "sourceId"
        ])
    );
    for event in &events {
        assert_eq!(event["objectId"], id);
        assert_eq!(event["occurredAt"], probe.control().now());
        assert_eq!(event["portalId"], 24_680_135);
        assert_eq!(event["appId"], 54_321);
        assert_eq!(event["attemptNumber"], 0);
        // An echo of the app's own write.
        assert_eq!(event["changeSource"], "INTEGRATION");
        assert_eq!(event["sourceId"], "54321");
    }
    assert_eq!(events[0]["changeFlag"], "CREATED");
    assert_eq!(events[1]["propertyValue"], "Smith");
    assert_eq!(events[2]["objectTypeId"], "0-1");
}

#[tokio::test]
async fn seeded_records_make_no_events() {
    let (probe, receiver) = hearing(WebhookSubscription::everything()).await;
    probe.get("/crm/v3/objects/contacts?limit=100").await;
    probe.post("/crm/v3/objects/contacts/search", json!({})).await;
    assert!(probe.control().flush_webhooks().await);
    assert_eq!(receiver.requests().len(), 0);
    assert_eq!(probe.control().pending_webhooks(), []);
}

#[tokio::test]
async fn values_are_texts_and_times_milliseconds() {
    let subscriptions = vec![on("deal.propertyChange")];
    let (probe, receiver) = hearing(subscriptions).await;
    let group = json!({"name": "due", "label": "Due", "type": "date", "fieldType": "date", "groupName": "dealinformation"});
    assert_eq!(probe.post("/crm/v3/properties/deals", group).await.status, 201);
    let deals = probe.get("/crm/v3/objects/deals?limit=1").await.json();
    let path = format!("/crm/v3/objects/deals/{}", id_of(&deals["results"][0]));
    let write = |values: Value| probe.call("PATCH", &path, Some(json!({"properties": values})));
    assert_eq!(
        write(json!({"amount": 12.5, "closedate": "2026-05-01T10:00:00Z", "due": "2026-05-02"}))
            .await
            .status,
        200
    );
    // Nothing changes, so nothing is told.
    write(json!({"amount": "12.5"})).await;
    write(json!({"due": ""})).await;
    probe.control().flush_webhooks().await;
    let told: Vec<(Value, Value)> = receiver
        .events()
        .iter()
        .map(|event| (event["propertyName"].clone(), event["propertyValue"].clone()))
        .collect();
    let expected =
        [("amount", "12.5"), ("closedate", "1777629600000"), ("due", "1777680000000"), ("due", "")];
    assert_eq!(told, expected.map(|(name, value)| (json!(name), json!(value))));
}

#[tokio::test]
async fn people_and_bulk_edits_are_told_apart_and_recalculations_are_silent() {
    let (probe, receiver) = hearing(vec![on("contact.propertyChange").property("lastname")]).await;
    let control = probe.control();
    let id = probe.some_contact().await;
    control.edit_record("contacts", id, &values(&[("lastname", "Hand")])).expect("an edit");
    control.recalculate("contacts", id, &values(&[("lastname", "Machine")])).expect("a change");
    assert_eq!(control.bulk_edit("contacts", 3, &values(&[("lastname", "Many")])), Ok(3));
    control.flush_webhooks().await;
    let told: Vec<(Value, Value)> = receiver
        .events()
        .iter()
        .map(|event| (event["changeSource"].clone(), event["sourceId"].clone()))
        .collect();
    let (person, bulk) = (json!("userId:5555888"), json!("CRM_UI_BULK_ACTION"));
    let mut expected = vec![(json!("CRM_UI"), person.clone())];
    expected.extend(std::iter::repeat_n((bulk, person), 3));
    assert_eq!(told, expected);
}

#[tokio::test]
async fn deletion_restore_and_privacy_deletion_are_told() {
    let (probe, receiver) =
        hearing(vec![on("contact.deletion"), on("contact.restore"), on("contact.privacyDeletion")])
            .await;
    let control = probe.control();
    let id = probe.some_contact().await;
    let path = format!("/crm/v3/objects/contacts/{id}");
    probe.call("DELETE", &path, None).await;
    // It is gone already: nothing more to tell.
    probe.call("DELETE", &path, None).await;
    control.restore_record("contacts", id).expect("an archived record");
    control.archive_record("contacts", id).expect("a live record");
    control.restore_record("contacts", id).expect("an archived record");
    probe.post("/crm/v3/objects/contacts/gdpr-delete", json!({"objectId": id.to_string()})).await;
    control.flush_webhooks().await;
    let events = receiver.events();
    let told: Vec<(&str, &str, Option<&str>)> = events
        .iter()
        .map(|event| {
            let text = |key: &str| event[key].as_str();
            let flag = text("changeFlag");
            (
                text("subscriptionType").expect("a type"),
                text("changeSource").expect("a source"),
                flag,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("contact.deletion", "INTEGRATION", Some("DELETED")),
            ("contact.restore", "CRM_UI", None),
            ("contact.deletion", "CRM_UI", Some("DELETED")),
            ("contact.restore", "CRM_UI", None),
            ("contact.privacyDeletion", "INTEGRATION", Some("DELETED")),
            ("contact.deletion", "INTEGRATION", Some("DELETED")),
        ]
    );
    assert!(events.iter().all(|event| event["objectId"] == id));
    assert_eq!(events[1].get("sourceId"), None);
}

#[tokio::test]
async fn a_merge_names_all_three_records() {
    let (probe, receiver) = hearing(WebhookSubscription::everything()).await;
    let control = probe.control();
    let make = |more: &[(&str, &str)]| {
        control.create_record("contacts", &values(more)).expect("a contact")
    };
    let primary = make(&[("email", "a@example.com")]);
    let other = make(&[("email", "b@example.com"), ("lastname", "Smith"), ("firstname", "Bo")]);
    control.flush_webhooks().await;
    receiver.forget();
    let id = control.merge_records("contacts", primary, other).expect("a merge");
    control.flush_webhooks().await;
    let events = receiver.events();
    assert_eq!(events.len(), 1, "{events:?}");
    let event = &events[0];
    assert_eq!(event["subscriptionType"], "contact.merge");
    assert_eq!(event["objectId"], id);
    assert_eq!(event["newObjectId"], id);
    assert_eq!(event["primaryObjectId"], primary);
    assert_eq!(event["mergedObjectIds"], json!([other]));
    assert_eq!(event["numberOfPropertiesMoved"], 2);
    assert_eq!(event["changeSource"], "CRM_UI");
    assert_eq!(event.get("sourceId"), None);
}

#[tokio::test]
async fn associations_are_told_on_both_sides_and_primary_twice() {
    let subscriptions = vec![
        on("contact.associationChange"),
        on("company.associationChange"),
        on("object.associationChange").of_type("0-2"),
    ];
    let (probe, receiver) = hearing(subscriptions).await;
    let control = probe.control();
    let contact = control
        .create_record("contacts", &values(&[("email", "a@example.com")]))
        .expect("a contact");
    let company =
        control.create_record("companies", &values(&[("name", "Acme")])).expect("a company");
    let path =
        format!("/crm/v4/objects/contacts/{contact}/associations/default/companies/{company}");
    assert_eq!(probe.call("PUT", &path, None).await.status, 200);
    // It is there already.
    probe.call("PUT", &path, None).await;
    control.flush_webhooks().await;
    let events = receiver.events();
    assert_eq!(events.len(), 6, "{events:?}");
    let of = |kind: &str, primary: bool| -> &Value {
        let mut found = events.iter().filter(|event| {
            event["subscriptionType"] == kind && event["isPrimaryAssociation"] == primary
        });
        found.next().expect("an event")
    };
    for primary in [true, false] {
        let classic = of("contact.associationChange", primary);
        assert_eq!(classic["associationType"], "CONTACT_TO_COMPANY");
        assert_eq!(
            (classic["fromObjectId"].clone(), classic["toObjectId"].clone()),
            (json!(contact), json!(company))
        );
        assert_eq!(classic["associationRemoved"], false);
        assert_eq!(classic.get("objectId"), None);
        assert_eq!(classic.get("associationTypeId"), None);
        let back = of("company.associationChange", primary);
        assert_eq!(back["associationType"], "COMPANY_TO_CONTACT");
        assert_eq!(
            (back["fromObjectId"].clone(), back["toObjectId"].clone()),
            (json!(company), json!(contact))
        );
        let generic = of("object.associationChange", primary);
        assert_eq!(
            (generic["fromObjectTypeId"].clone(), generic["toObjectTypeId"].clone()),
            (json!("0-2"), json!("0-1"))
        );
        assert_eq!(generic["associationTypeId"], if primary { 2 } else { 280 });
        assert_eq!(generic["associationCategory"], "HUBSPOT_DEFINED");
        assert_eq!(generic.get("associationType"), None);
    }
    receiver.forget();
    let path = format!("/crm/v4/objects/companies/{company}/associations/contacts/{contact}");
    assert_eq!(probe.call("DELETE", &path, None).await.status, 204);
    control.flush_webhooks().await;
    let events = receiver.events();
    assert_eq!(events.len(), 6, "{events:?}");
    assert!(events.iter().all(|event| event["associationRemoved"] == true));
}

#[tokio::test]
async fn custom_objects_are_heard_of_through_object_events() {
    let (probe, receiver) = hearing(Vec::new()).await;
    let schema = json!({
        "name": "contact", "labels": {"singular": "Licence", "plural": "Licences"},
        "requiredProperties": [], "properties": [{"name": "key", "label": "Key", "type": "string", "fieldType": "text"}],
    });
    let made = probe.post("/crm-object-schemas/v3/schemas", schema).await.json();
    let type_id = made["objectTypeId"].as_str().expect("an id");
    let subscriptions = vec![
        on("object.creation").of_type(type_id),
        on("object.propertyChange").of_type(type_id).property("key"),
        on("contact.creation"),
    ];
    probe.control().set_webhook_app(&receiver.app(subscriptions)).expect("an app");
    probe.post(&format!("/crm/v3/objects/{type_id}"), json!({"properties": {"key": "k"}})).await;
    probe.control().flush_webhooks().await;
    let told: Vec<Value> =
        receiver.events().iter().map(|event| event["subscriptionType"].clone()).collect();
    assert_eq!(told, ["object.creation", "object.propertyChange"]);
}
