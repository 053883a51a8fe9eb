//! Custom object types.

use serde_json::json;

use super::*;

const SCHEMAS: &str = "/crm-object-schemas/v3/schemas";

fn schema(name: &str) -> Value {
    json!({
        "name": name, "labels": {"singular": "Licence", "plural": "Licences"},
        "requiredProperties": ["key"], "searchableProperties": ["key"],
        "primaryDisplayProperty": "key", "secondaryDisplayProperties": ["seats"],
        "properties": [
            {"name": "key", "label": "Key", "type": "string", "fieldType": "text", "hasUniqueValue": true},
            {"name": "seats", "label": "Seats", "type": "number", "fieldType": "number"},
            {"name": "note", "label": "Note", "type": "string", "fieldType": "text"},
        ],
        "associatedObjects": ["CONTACT"],
    })
}

#[tokio::test]
async fn a_type_goes_by_id_and_qualified_name_everywhere() {
    let probe = Probe::quiet().await;
    let made = probe.post(SCHEMAS, schema("licence")).await.json();
    let full = made["fullyQualifiedName"].as_str().expect("a name").to_owned();
    let id = made["objectTypeId"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("2-") && full == "p24680135_licence");
    let contact = probe.some_contact().await;
    let record = json!({"properties": {"key": "K-1", "seats": "5"}});
    let licence = id_of(&probe.post(&format!("/crm/v3/objects/{full}"), record).await.json());
    let found = json!({"query": "k-1"});
    let short = "p_licence".to_owned();
    for name in [&id, &full, &short] {
        for path in [
            format!("/crm/v3/objects/{name}"),
            format!("/crm/v3/objects/{name}/{licence}?properties=key"),
            format!("/crm/v3/objects/{name}/K-1?idProperty=key"),
            format!("/crm/v3/properties/{name}"),
            format!("/crm/v3/properties/{name}/key"),
            format!("/crm/v3/properties/{name}/groups"),
            format!("/crm/v3/pipelines/{name}"),
            format!("/crm/v4/associations/{name}/contacts/labels"),
            format!("/crm/v4/objects/{name}/{licence}/associations/contacts"),
            format!("{SCHEMAS}/{name}"),
            format!("/crm/v3/schemas/{name}"),
        ] {
            let got = probe.get(&path).await;
            assert_eq!(got.status, 200, "{path}: {}", got.text);
        }
        let got = probe.post(&format!("/crm/v3/objects/{name}/search"), found.clone()).await.json();
        assert_eq!(got["total"], 1, "{name}");
        let list =
            json!({"name": format!("L {name}"), "objectTypeId": name, "processingType": "MANUAL"});
        let got = probe.post("/crm/v3/lists", list).await.json();
        assert_eq!(got["list"]["objectTypeId"], id.as_str());
        let pipeline = json!({"label": format!("P {name}"), "displayOrder": 0,
            "stages": [{"label": "Open", "displayOrder": 0}]});
        assert_eq!(probe.post(&format!("/crm/v3/pipelines/{name}"), pipeline).await.status, 201);
    }
    let put = format!("/crm/v4/objects/contacts/{contact}/associations/default/{full}/{licence}");
    assert_eq!(probe.call("PUT", &put, None).await.status, 200);
    let whole = format!("/crm/v3/objects/contacts/{contact}?associations={id}");
    let inline = probe.get(&whole).await.json()["associations"].clone();
    assert_eq!(inline[&full]["results"][0]["id"], licence.to_string());
    assert_eq!(probe.get("/crm/v3/objects/licence").await.status, 400, "a bare name is no name");
    let filter =
        json!({"propertyName": format!("associations.{full}"), "operator": "EQ", "value": "1"});
    let body = json!({"filterGroups": [{"filters": [filter]}]});
    assert_eq!(probe.post("/crm/v3/objects/contacts/search", body).await.status, 400);
}

#[tokio::test]
async fn a_schema_must_make_sense() {
    let probe = Probe::quiet().await;
    let many: Vec<String> = vec!["key".to_owned(); 21];
    for (field, value) in [
        ("name", json!("no-hyphen")),
        ("labels", json!({"singular": "Only"})),
        ("primaryDisplayProperty", json!("nope")),
        ("requiredProperties", json!(["nope"])),
        ("searchableProperties", json!(many)),
        ("associatedObjects", json!(["BUTTERFLY"])),
        (
            "properties",
            json!([{"name": "Bad Name", "label": "B", "type": "string", "fieldType": "text"}]),
        ),
    ] {
        let mut body = schema("licence");
        body[field] = value;
        if field == "properties" {
            for name in ["requiredProperties", "searchableProperties", "secondaryDisplayProperties"]
            {
                body[name] = json!([]);
            }
            body["primaryDisplayProperty"] = Value::Null;
        }
        assert_eq!(probe.post(SCHEMAS, body.clone()).await.status, 400, "{field}");
    }
    assert_eq!(probe.get(SCHEMAS).await.json()["results"], json!([]), "nothing is left behind");
    assert_eq!(probe.post(SCHEMAS, schema("licence")).await.status, 201);
}

#[tokio::test]
async fn a_type_is_deleted_purged_and_made_again() {
    let probe = Probe::quiet().await;
    probe.post(SCHEMAS, schema("licence")).await;
    let one = format!("{SCHEMAS}/p24680135_licence");
    let record = json!({"properties": {"key": "K"}});
    let path = "/crm/v3/objects/p24680135_licence";
    let id = id_of(&probe.post(path, record).await.json());
    assert_eq!(probe.call("DELETE", &one, None).await.status, 400, "it has a record");
    assert_eq!(
        probe.call("DELETE", &format!("{one}?archived=true"), None).await.status,
        404,
        "not archived"
    );
    probe.call("DELETE", &format!("{path}/{id}"), None).await;
    assert_eq!(probe.call("DELETE", &one, None).await.status, 204);
    assert_eq!(probe.get(path).await.status, 400, "it is gone");
    assert_eq!(
        probe.get(&format!("{SCHEMAS}?archived=true")).await.json()["results"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(probe.post(SCHEMAS, schema("licence")).await.status, 409, "its name is not free");
    assert_eq!(probe.call("DELETE", &format!("{one}?archived=true"), None).await.status, 204);
    assert_eq!(probe.get(&format!("{SCHEMAS}?archived=true")).await.json()["results"], json!([]));
    assert_eq!(probe.post(SCHEMAS, schema("licence")).await.status, 201);
    assert_eq!(probe.get(path).await.json()["results"], json!([]), "without what it held");
}

#[tokio::test]
async fn a_schema_is_changed_and_associated() {
    let probe = Probe::quiet().await;
    probe.post(SCHEMAS, schema("licence")).await;
    let one = format!("{SCHEMAS}/p24680135_licence");
    let change = json!({"labels": {"singular": "Seat", "plural": "Seats"}, "requiredProperties": [],
        "description": "d"});
    let got = probe.call("PATCH", &one, Some(change)).await.json();
    assert_eq!(
        (got["labels"]["plural"].clone(), got["name"].clone()),
        (json!("Seats"), json!("licence"))
    );
    let got = probe.call("PATCH", &one, Some(json!({"clearDescription": true}))).await.json();
    assert_eq!(got["description"], Value::Null);
    let bad = json!({"searchableProperties": ["nope"]});
    assert_eq!(probe.call("PATCH", &one, Some(bad)).await.status, 400);
    let link = json!({"fromObjectTypeId": "p24680135_licence", "toObjectTypeId": "0-3", "name": "sold_with"});
    let made = probe.post(&format!("{one}/associations"), link).await;
    assert_eq!((made.status, made.json()["name"].clone()), (201, json!("sold_with")));
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let labels = "/crm/v4/associations/p24680135_licence/deals/labels";
    assert_eq!(probe.get(labels).await.json()["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(probe.call("DELETE", &format!("{one}/associations/{id}"), None).await.status, 204);
    assert_eq!(probe.get(labels).await.json()["results"], json!([]));
    assert_eq!(probe.call("DELETE", &format!("{one}/associations/{id}"), None).await.status, 404);
    let property = "/crm/v3/properties/p24680135_licence";
    let got = probe.call("DELETE", &format!("{property}/seats"), None).await;
    assert_eq!(got.json()["subCategory"], "PropertyValidationError.CANNOT_DELETE_PROPERTY_IN_USE");
    assert_eq!(probe.call("DELETE", &format!("{property}/note"), None).await.status, 204);
}

#[tokio::test]
async fn not_every_account_has_custom_types_and_none_has_many() {
    let probe = Probe::quiet().await;
    probe.post("/_emulator/rules", json!({"unavailable": ["schemas"]})).await;
    assert_eq!(probe.post(SCHEMAS, schema("licence")).await.status, 403);
    probe.call("DELETE", "/_emulator/rules", None).await;
    for at in 0..10 {
        assert_eq!(probe.post(SCHEMAS, schema(&format!("kind_{at}"))).await.status, 201);
    }
    assert_eq!(probe.post(SCHEMAS, schema("kind_11")).await.status, 400);
    let standard = probe.get(&format!("{SCHEMAS}/contacts")).await.json();
    assert_eq!(standard["metaType"], "HUBSPOT");
    assert_eq!(standard["associations"][0]["cardinality"], "ONE_TO_MANY");
    assert_eq!(probe.call("DELETE", &format!("{SCHEMAS}/contacts"), None).await.status, 400);
    assert_eq!(
        probe.call("PATCH", &format!("{SCHEMAS}/contacts"), Some(json!({}))).await.status,
        400
    );
}
