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
    let probe =
        Probe::start(EmulatorConfig { property_lag: Duration::from_millis(500), ..quiet() }).await;
    probe.control().stop_clock(true);
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
