//! Properties, groups, owners, pipelines.

use serde_json::json;

use super::*;

fn number(name: &str) -> Value {
    json!({"name": name, "label": "Active days", "type": "number", "fieldType": "number",
        "groupName": "contactinformation", "description": "d"})
}

#[tokio::test]
async fn a_property_is_made_used_archived_and_made_again() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let path = format!("/crm/v3/objects/contacts/{id}");
    let write = || probe.call("PATCH", &path, Some(json!({"properties": {"active_days": "5"}})));
    assert_eq!(write().await.json()["errors"][0]["code"], "PROPERTY_DOESNT_EXIST");

    let got = probe.post("/crm/v3/properties/contacts", number("active_days")).await;
    assert_eq!(got.status, 201, "{}", got.text);
    assert!(
        got.header("location").is_some_and(|location| location.ends_with("/contacts/active_days"))
    );
    assert_eq!(got.json()["dataSensitivity"], "non_sensitive");
    assert_eq!(write().await.status, 200);

    let again = probe.post("/crm/v3/properties/contacts", number("active_days")).await;
    assert_eq!(
        (again.status, again.json()["subCategory"].clone()),
        (409, json!("Properties.PROPERTY_WITH_NAME_EXISTS"))
    );
    let one = "/crm/v3/properties/contacts/active_days";
    assert_eq!(probe.call("DELETE", one, None).await.status, 204);
    assert_eq!(probe.get(one).await.json()["category"], "OBJECT_NOT_FOUND");
    assert_eq!(probe.get(&format!("{one}?archived=true")).await.status, 200);
    assert_eq!(probe.post("/crm/v3/properties/contacts", number("active_days")).await.status, 201);
    let read = probe.get(&format!("{path}?properties=active_days")).await.json();
    assert_eq!(read["properties"]["active_days"], "5", "values come back with it");
}

#[tokio::test]
async fn a_new_property_takes_a_moment() {
    let probe = Probe::quiet().await;
    let order = json!({"stopped": true, "property_lag_ms": 500});
    assert_eq!(probe.post("/_emulator/clock", order).await.json()["property_lag_ms"], 500);
    let id = probe.some_contact().await;
    probe.post("/crm/v3/properties/contacts", number("slow_one")).await;
    let path = format!("/crm/v3/objects/contacts/{id}");
    let write = || probe.call("PATCH", &path, Some(json!({"properties": {"slow_one": "5"}})));
    assert_eq!(write().await.status, 400);
    probe.control().advance_clock(Duration::from_millis(500));
    assert_eq!(write().await.status, 200);
}

#[tokio::test]
async fn options_are_replaced_as_a_whole() {
    let probe = Probe::quiet().await;
    let option =
        |value: &str| json!({"label": value, "value": value, "displayOrder": 0, "hidden": false});
    let body = json!({"name": "colour", "label": "Colour", "type": "enumeration", "fieldType": "select",
        "groupName": "contactinformation", "options": [option("red"), option("blue")]});
    assert_eq!(probe.post("/crm/v3/properties/contacts", body).await.status, 201);
    let path = "/crm/v3/properties/contacts/colour";
    let got = probe.call("PATCH", path, Some(json!({"options": [option("green")]}))).await;
    assert_eq!(got.status, 200);
    let values: Vec<Value> = got.json()["options"]
        .as_array()
        .expect("options")
        .iter()
        .map(|o| o["value"].clone())
        .collect();
    assert_eq!(values, [json!("green")]);
    let twice = json!({"options": [option("a"), option("a")]});
    assert_eq!(probe.call("PATCH", path, Some(twice)).await.status, 400);
}

#[tokio::test]
async fn bad_definitions_are_refused() {
    let probe = Probe::quiet().await;
    for (change, value) in [
        ("name", json!("Upper")),
        ("name", json!("1st")),
        ("type", json!("colour")),
        ("groupName", json!("nowhere")),
        ("type", json!("bool")),
    ] {
        let mut body = number("fine_name");
        body[change] = value;
        assert_eq!(
            probe.post("/crm/v3/properties/contacts", body.clone()).await.status,
            400,
            "{body}"
        );
    }
    assert_eq!(probe.call("DELETE", "/crm/v3/properties/contacts/email", None).await.status, 400);
}

#[tokio::test]
async fn batches_of_properties() {
    let probe = Probe::quiet().await;
    let path = "/crm/v3/properties/deals/batch";
    let mut body = number("deal_days");
    body["groupName"] = json!("dealinformation");
    let got = probe.post(&format!("{path}/create"), json!({"inputs": [body, body]})).await;
    assert_eq!((got.status, got.json()["numErrors"].clone()), (207, json!(1)));
    assert_eq!(got.json()["results"][0].get("createdAt"), None, "recorded so");
    let names = json!({"inputs": [{"name": "deal_days"}, {"name": "nope"}]});
    let got = probe.post(&format!("{path}/read"), names).await;
    assert_eq!((got.status, got.json()["results"][0]["name"].clone()), (207, json!("deal_days")));
    let got =
        probe.post(&format!("{path}/archive"), json!({"inputs": [{"name": "deal_days"}]})).await;
    assert_eq!(got.status, 204);
}

#[tokio::test]
async fn groups() {
    let probe = Probe::quiet().await;
    let path = "/crm/v3/properties/contacts/groups";
    let group = json!({"name": "product_usage", "label": "Product usage"});
    assert_eq!(probe.post(path, group.clone()).await.status, 201);
    assert_eq!(probe.post(path, group).await.status, 409);
    let one = format!("{path}/product_usage");
    let got = probe.call("PATCH", &one, Some(json!({"label": "Usage"}))).await;
    assert_eq!(got.json()["label"], "Usage");
    let mut property = number("in_group");
    property["groupName"] = json!("product_usage");
    probe.post("/crm/v3/properties/contacts", property).await;
    let got = probe.call("DELETE", &one, None).await;
    assert_eq!(got.json()["subCategory"], "PropertyGroupError.GROUP_WITH_ACTIVE_PROPERTIES");
    probe.call("DELETE", "/crm/v3/properties/contacts/in_group", None).await;
    assert_eq!(probe.call("DELETE", &one, None).await.status, 204);
    assert_eq!(probe.get(&one).await.status, 404);
}

#[tokio::test]
async fn owners_page_and_hide_those_who_left() {
    let probe = Probe::quiet().await;
    let all = probe.get("/crm/v3/owners").await.json();
    assert_eq!(all["results"].as_array().map(Vec::len), Some(8));
    assert!(all["results"][0]["id"].is_string() && all["results"][0]["userId"].is_u64());
    let first = probe.get("/crm/v3/owners?limit=5").await.json();
    let after = first["paging"]["next"]["after"].as_str().expect("more");
    let second = probe.get(&format!("/crm/v3/owners?limit=5&after={after}")).await.json();
    assert_eq!(second["results"].as_array().map(Vec::len), Some(3));
    let left = probe.get("/crm/v3/owners?archived=true").await.json();
    assert_eq!(left["results"][0]["userId"], Value::Null);
    let user = all["results"][0]["userId"].as_u64().expect("a number");
    let got = probe.get(&format!("/crm/v3/owners/{user}?idProperty=userId")).await.json();
    assert_eq!(got["id"], all["results"][0]["id"]);
}

#[tokio::test]
async fn stages_belong_to_pipelines_and_deals_to_stages() {
    let probe = Probe::quiet().await;
    let pipelines = probe.get("/crm/v3/pipelines/deals").await.json();
    assert_eq!(
        pipelines["results"][0]["stages"][0]["metadata"],
        json!({"isClosed": "false", "probability": "0.2"})
    );
    let tickets = probe.get("/crm/pipelines/2026-03/tickets").await.json();
    assert_eq!(tickets["results"][0]["stages"][3]["metadata"]["ticketState"], "CLOSED");
    let deal = |stage: &str| json!({"properties": {"dealname": "D", "dealstage": stage, "amount": "1000.00"}});
    let got = probe.post("/crm/v3/objects/deals", deal("closedwon")).await;
    assert_eq!(got.json()["context"]["properties"], json!(["pipeline"]), "there are two");
    let gone = probe.call("DELETE", "/crm/v3/pipelines/deals/renewals", None).await;
    assert_eq!(gone.status, 204);
    let got = probe.post("/crm/v3/objects/deals", deal("closedwon")).await;
    assert_eq!(got.json()["properties"]["pipeline"], "default");
    assert_eq!(got.json()["properties"]["amount"], "1000.00", "decimals keep their text");
    let got = probe.post("/crm/v3/objects/deals", deal("Closed Won")).await;
    assert_eq!(got.json()["errors"][0]["code"], "INVALID_OPTION");
}

#[tokio::test]
async fn an_archived_property_is_kept_for_ninety_days() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let path = format!("/crm/v3/objects/contacts/{id}");
    let of = "/crm/v3/properties/contacts";
    let one = format!("{of}/active_days");
    probe.post(of, number("active_days")).await;
    probe.call("PATCH", &path, Some(json!({"properties": {"active_days": "5"}}))).await;
    probe.call("DELETE", &one, None).await;
    let again = probe.call("DELETE", &one, None).await;
    assert_eq!(again.status, 404, "once is enough");
    assert!(probe.get(&format!("{of}?archived=true")).await.text.contains("active_days"));
    probe.control().advance_clock(Duration::from_secs(91 * 86_400));
    assert_eq!(probe.get(&format!("{one}?archived=true")).await.status, 404);
    assert!(!probe.get(&format!("{of}?archived=true")).await.text.contains("active_days"));
    assert_eq!(probe.post(of, number("active_days")).await.status, 201);
    let read = probe.get(&format!("{path}?properties=active_days")).await.json();
    assert_eq!(read["properties"]["active_days"], Value::Null, "only the name comes back");
}

#[tokio::test]
async fn what_is_in_use_is_not_deleted() {
    let probe = Probe::quiet().await;
    let of = "/crm/v3/properties/contacts";
    for name in ["told", "counted", "filtered", "free"] {
        probe.post(of, number(name)).await;
    }
    probe.post("/_emulator/rules", json!({"in_use": {"contacts": ["told"]}})).await;
    let mut formula = number("sum");
    formula["fieldType"] = json!("calculation_equation");
    assert_eq!(probe.post(of, formula.clone()).await.status, 400, "it needs a formula");
    formula["calculationFormula"] = json!("counted * 2");
    let made = probe.post(of, formula).await.json();
    assert_eq!(
        (made["calculated"].clone(), made["calculationFormula"].clone()),
        (json!(true), json!("counted * 2"))
    );
    let filters = json!([{"filterType": "PROPERTY", "property": "filtered", "operation": {}}]);
    let list = json!({"name": "L", "objectTypeId": "0-1", "processingType": "DYNAMIC",
        "filterBranch": {"filterBranchType": "AND", "filterBranches": [], "filters": filters}});
    assert_eq!(probe.post("/crm/v3/lists", list).await.status, 200);
    for name in ["told", "counted", "filtered"] {
        let got = probe.call("DELETE", &format!("{of}/{name}"), None).await;
        assert_eq!(
            (got.status, got.json()["subCategory"].clone()),
            (400, json!("PropertyValidationError.CANNOT_DELETE_PROPERTY_IN_USE")),
            "{name}"
        );
    }
    let batch = json!({"inputs": [{"name": "free"}, {"name": "told"}]});
    assert_eq!(probe.post(&format!("{of}/batch/archive"), batch).await.status, 400);
    assert_eq!(probe.get(&format!("{of}/free")).await.status, 200, "all or none");
    let batch = json!({"inputs": [{"name": "free"}, {"name": "never_was"}]});
    assert_eq!(probe.post(&format!("{of}/batch/archive"), batch).await.status, 204);
    let id = probe.some_contact().await;
    let write = json!({"properties": {"sum": "5"}});
    let got = probe.call("PATCH", &format!("/crm/v3/objects/contacts/{id}"), Some(write)).await;
    assert_eq!(got.json()["errors"][0]["code"], "READ_ONLY_VALUE");
}

#[tokio::test]
async fn definitions_have_their_rules() {
    let probe = Probe::quiet().await;
    let of = "/crm/v3/properties/contacts";
    for (kind, field_type) in [
        ("string", "number"),
        ("number", "text"),
        ("bool", "checkbox"),
        ("date", "text"),
        ("enumeration", "text"),
        ("string", "hologram"),
    ] {
        let mut body = number("odd");
        (body["type"], body["fieldType"]) = (json!(kind), json!(field_type));
        if kind == "bool" {
            body["options"] =
                json!([{"label": "Y", "value": "true"}, {"label": "N", "value": "false"}]);
        }
        assert_eq!(probe.post(of, body).await.status, 400, "{kind} {field_type}");
    }
    let mut flag = number("flag");
    (flag["type"], flag["fieldType"]) = (json!("bool"), json!("booleancheckbox"));
    let got = probe.post(of, flag.clone()).await;
    assert_eq!(got.json()["subCategory"], "INVALID_BOOLEAN_OPTION");
    flag["options"] = json!([{"label": "Y", "value": "true"}, {"label": "N", "value": "false"}]);
    assert_eq!(probe.post(of, flag).await.status, 201);
    for at in 0..12 {
        let mut body = number(&format!("unique_{at}"));
        (body["type"], body["fieldType"]) = (json!("string"), json!("text"));
        body["hasUniqueValue"] = json!(true);
        // One of the ten is there from the start.
        assert_eq!(probe.post(of, body).await.status, if at < 9 { 201 } else { 400 }, "{at}");
    }
    let one = format!("{of}/flag");
    probe.call("PATCH", &one, Some(json!({"hasUniqueValue": true}))).await;
    assert_eq!(probe.get(&one).await.json()["hasUniqueValue"], false, "only at creation");
    let got = probe.call("PATCH", &format!("{of}/email"), Some(json!({"label": "Mail"}))).await;
    assert_eq!(got.status, 400, "HubSpot's own");
    let nested =
        probe.call("DELETE", &format!("{of}/groups/contactinformation"), None).await.json();
    let inner: Value =
        serde_json::from_str(nested["message"].as_str().expect("a text")).expect("JSON in it");
    assert_eq!(inner["status"], "error");
    let mut owner = number("second_owner");
    (owner["type"], owner["fieldType"]) = (json!("enumeration"), json!("select"));
    (owner["externalOptions"], owner["referencedObjectType"]) = (json!(true), json!("OWNER"));
    let made = probe.post(of, owner).await.json();
    assert_eq!(
        (made["options"].clone(), made["referencedObjectType"].clone()),
        (json!([]), json!("OWNER"))
    );
}

#[tokio::test]
async fn sensitive_properties_are_listed_apart() {
    let probe = Probe::quiet().await;
    let of = "/crm/v3/properties/contacts";
    let mut body = number("blood_type");
    body["dataSensitivity"] = json!("sensitive");
    assert_eq!(probe.post(of, body).await.json()["dataSensitivity"], "sensitive");
    assert!(!probe.get(of).await.text.contains("blood_type"));
    let apart = probe.get(&format!("{of}?dataSensitivity=sensitive")).await.json();
    assert_eq!(apart["results"].as_array().map(Vec::len), Some(1));
    let read = |sensitivity: &str| {
        let body = json!({"archived": false, "dataSensitivity": sensitivity, "inputs": [{"name": "blood_type"}]});
        probe.post("/crm/v3/properties/contacts/batch/read", body)
    };
    assert_eq!((read("sensitive").await.status, read("non_sensitive").await.status), (200, 207));
    let many: Vec<Value> = (0..101).map(|at| json!({"name": format!("p{at}")})).collect();
    let path = format!("{of}/batch/read");
    assert_eq!(probe.post(&path, json!({"archived": false, "inputs": many})).await.status, 400);
}

#[tokio::test]
async fn a_type_has_a_thousand_custom_properties() {
    let probe = Probe::start(EmulatorConfig { extra_properties: 994, ..quiet() }).await;
    let of = "/crm/v3/properties/contacts";
    let mut made = 0;
    for at in 0..10 {
        let got = probe.post(of, number(&format!("more_{at}"))).await;
        made += usize::from(got.status == 201);
        assert!(matches!(got.status, 201 | 400), "{}", got.text);
    }
    assert!(made < 10, "{made}");
}

#[tokio::test]
async fn a_calculated_property_follows_what_it_is_made_of() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let of = "/crm/v3/properties/contacts";
    probe.post(of, number("days")).await;
    let mut formula = number("weeks");
    formula["fieldType"] = json!("calculation_equation");
    formula["calculationFormula"] = json!("days / 7");
    assert_eq!(probe.post(of, formula).await.status, 201);
    let path = format!("/crm/v3/objects/contacts/{id}");
    let shown = format!("{path}?properties=weeks");
    assert_eq!(probe.get(&shown).await.json()["properties"]["weeks"], Value::Null);
    probe.call("PATCH", &path, Some(json!({"properties": {"days": "21"}}))).await;
    assert_eq!(probe.get(&shown).await.json()["properties"]["weeks"], "3");
    let filter = json!({"propertyName": "weeks", "operator": "GTE", "value": "3"});
    let found = probe.post("/crm/v3/objects/contacts/search", json!({"filters": [filter]})).await;
    assert_eq!(found.json()["total"], 1);
    let change = json!({"calculationFormula": "days * 2"});
    probe.call("PATCH", &format!("{of}/weeks"), Some(change)).await;
    assert_eq!(probe.get(&shown).await.json()["properties"]["weeks"], "42");
}
