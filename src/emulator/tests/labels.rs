//! Kinds of association, their limits, and version 3 of associations.

use serde_json::json;

use super::*;

const LABELS: &str = "/crm/v4/associations/contacts/companies/labels";

fn label(name: &str) -> Value {
    json!({"name": name, "label": name, "inverseLabel": format!("{name} of")})
}

async fn pair(probe: &Probe) -> (u64, u64) {
    let control = probe.control();
    let contact = control.create_record("contacts", &values(&[("email", "l@x.example")]));
    let company = control.create_record("companies", &values(&[("name", "L")]));
    (contact.expect("a contact"), company.expect("a company"))
}

async fn labels_of(probe: &Probe, path: &str) -> Vec<String> {
    let listed = probe.get(path).await.json();
    let all = listed["results"].as_array().expect("results").iter();
    all.filter_map(|kind| kind["label"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_label_is_renamed_and_deleted_in_both_directions() {
    let probe = Probe::quiet().await;
    let made = probe.post(LABELS, label("legal")).await.json();
    let id = made["results"][0]["typeId"].as_u64().expect("an id");
    let change = json!({"associationTypeId": id, "label": "Lawyer", "inverseLabel": "Client"});
    assert_eq!(probe.call("PUT", LABELS, Some(change)).await.status, 204);
    assert!(labels_of(&probe, LABELS).await.contains(&"Lawyer".to_owned()));
    let back = "/crm/v4/associations/companies/contacts/labels";
    assert!(labels_of(&probe, back).await.contains(&"Client".to_owned()));

    let (contact, company) = pair(&probe).await;
    let put = format!("/crm/v4/objects/contacts/{contact}/associations/companies/{company}");
    let types = json!([{"associationCategory": "USER_DEFINED", "associationTypeId": id}]);
    assert_eq!(probe.call("PUT", &put, Some(types)).await.status, 201);
    assert_eq!(probe.call("DELETE", &format!("{LABELS}/{id}"), None).await.status, 204);
    assert!(!labels_of(&probe, back).await.contains(&"Client".to_owned()));
    let list = format!("/crm/v4/objects/contacts/{contact}/associations/companies");
    let left = probe.get(&list).await.json();
    let kinds = left["results"][0]["associationTypes"].as_array().expect("still associated");
    assert!(kinds.iter().all(|kind| kind["typeId"] != json!(id)), "{kinds:?}");
    assert_eq!(probe.call("DELETE", &format!("{LABELS}/279"), None).await.status, 400);
    assert_eq!(probe.call("DELETE", &format!("{LABELS}/{id}"), None).await.status, 404);
}

#[tokio::test]
async fn a_pair_of_types_has_ten_labels_with_decent_names() {
    let probe = Probe::quiet().await;
    for name in ["a-b", "1st", ""] {
        assert_eq!(probe.post(LABELS, label(name)).await.status, 400, "{name}");
    }
    for at in 0..10 {
        assert_eq!(probe.post(LABELS, label(&format!("l{at}"))).await.status, 200);
    }
    assert_eq!(probe.post(LABELS, label("l3")).await.status, 400, "taken");
    assert_eq!(probe.post(LABELS, label("eleventh")).await.status, 400);
    let back = "/crm/v4/associations/companies/contacts/labels";
    assert_eq!(probe.post(back, label("eleventh")).await.status, 400, "from either side");
}

#[tokio::test]
async fn a_kind_can_be_limited() {
    let probe = Probe::quiet().await;
    let path = "/crm/v4/associations/definitions/configurations/contacts/companies";
    let limit = |most: u64| json!({"inputs": [{"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": most}]});
    assert_eq!(probe.post(&format!("{path}/batch/update"), limit(1)).await.status, 207, "none yet");
    let got = probe.post(&format!("{path}/batch/create"), limit(2)).await;
    assert_eq!(
        (got.status, got.json()["results"][0]["userEnforcedMaxToObjectIds"].clone()),
        (201, json!(2))
    );
    assert_eq!(probe.post(&format!("{path}/batch/update"), limit(1)).await.status, 200);
    let all = probe.get("/crm/v4/associations/definitions/configurations/all").await.json();
    assert_eq!(all["results"][0]["typeId"], 279);
    let dated = "/crm/associations/2026-03/definitions/configurations/contacts/companies";
    assert_eq!(probe.get(dated).await.json()["results"][0]["userEnforcedMaxToObjectIds"], 1);

    let (contact, company) = pair(&probe).await;
    let other = probe.control().create_record("companies", &values(&[("name", "M")])).expect("one");
    let create = async |company: u64| {
        let types = json!([{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]);
        let input = json!({"from": {"id": contact}, "to": {"id": company}, "types": types});
        let path = "/crm/v4/associations/contacts/companies/batch/create";
        probe.post(path, json!({"inputs": [input]})).await.status
    };
    assert_eq!(
        (create(company).await, create(company).await, create(other).await),
        (201, 201, 207)
    );
    assert_eq!(probe.post(&format!("{path}/batch/purge"), limit(1)).await.status, 204);
    assert_eq!(create(other).await, 201);
}

#[tokio::test]
async fn a_report_of_high_usage_is_mailed() {
    let probe = Probe::quiet().await;
    let owner = probe.get("/crm/v3/owners?limit=1").await.json();
    let user = owner["results"][0]["userId"].as_u64().expect("a number");
    let path = "/crm/v4/associations/usage/high-usage-report";
    let got = probe.post(&format!("{path}/{user}"), json!({})).await;
    assert_eq!(
        (got.status, got.json()["userEmail"].clone()),
        (200, owner["results"][0]["email"].clone())
    );
    assert_eq!(probe.post(&format!("{path}/1"), json!({})).await.status, 404);
}

#[tokio::test]
async fn version_three_speaks_of_names() {
    let probe = Probe::quiet().await;
    let (contact, company) = pair(&probe).await;
    let path = "/crm/v3/associations/contacts/companies";
    let types = probe.get(&format!("{path}/types")).await.json();
    assert!(
        types["results"]
            .as_array()
            .expect("types")
            .contains(&json!({"id": "1", "name": "contact_to_company"}))
    );
    let of = |kind: &str| json!({"inputs": [{"from": {"id": contact}, "to": {"id": company}, "type": kind}]});
    let got = probe.post(&format!("{path}/batch/create"), of("contact_to_company")).await;
    assert_eq!(
        (got.status, got.json()["results"][0]["type"].clone()),
        (200, json!("contact_to_company"))
    );
    assert_eq!(probe.post(&format!("{path}/batch/create"), of("nonsense")).await.status, 207);
    let read = json!({"inputs": [{"id": contact.to_string()}]});
    let got = probe.post(&format!("{path}/batch/read"), read.clone()).await.json();
    let to = got["results"][0]["to"].as_array().expect("to");
    assert!(
        to.contains(&json!({"id": company.to_string(), "type": "contact_to_company_unlabeled"}))
    );
    let one = format!("/crm/v3/objects/contacts/{contact}/associations/companies");
    assert_eq!(probe.get(&one).await.json()["results"].as_array().map(Vec::len), Some(2));
    let got = probe.post(&format!("{path}/batch/archive"), of("contact_to_company")).await;
    assert_eq!(got.status, 204);
    assert_eq!(probe.get(&one).await.json()["results"].as_array().map(Vec::len), Some(1));
    probe.post(&format!("{path}/batch/archive"), of("contact_to_company_unlabeled")).await;
    let got = probe.post(&format!("{path}/batch/read"), read).await;
    assert_eq!(
        (got.status, got.json()["errors"][0]["subCategory"].clone()),
        (207, json!("crm.associations.NO_ASSOCIATIONS_FOUND"))
    );
}

#[tokio::test]
async fn version_three_pages_with_encoded_cursors() {
    let probe = Probe::start(EmulatorConfig { contacts: 2_000, companies: 4, ..quiet() }).await;
    let company = probe.get("/crm/v3/objects/companies?limit=1").await.json();
    let path = format!(
        "/crm/v3/objects/companies/{}/associations/contacts",
        id_of(&company["results"][0])
    );
    let mut seen = std::collections::BTreeSet::new();
    let mut after = String::new();
    for _ in 0..100 {
        let page = probe.get(&format!("{path}?limit=100{after}")).await.json();
        let ids = page["results"].as_array().expect("results").iter();
        seen.extend(ids.filter_map(|entry| entry["id"].as_str().map(str::to_owned)));
        let Some(next) = page["paging"]["next"]["after"].as_str() else { break };
        assert!(next.ends_with("%3D%3D"), "encoded already: {next}");
        after = format!("&after={next}");
    }
    let whole = path.replace("/v3/", "/v4/");
    let listed = probe.get(&whole).await.json();
    assert!(seen.len() >= listed["results"].as_array().map_or(0, Vec::len));
    assert!(seen.len() > 200, "{}", seen.len());
}

#[tokio::test]
async fn a_lead_needs_somebody_and_goes_with_the_last() {
    let probe = Probe::quiet().await;
    let (contact, _) = pair(&probe).await;
    let bare = json!({"properties": {"hs_lead_name": "L"}});
    assert_eq!(probe.post("/crm/v3/objects/leads", bare).await.status, 400);
    let types = json!([{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 578}]);
    let body = json!({"properties": {"hs_lead_name": "L"},
        "associations": [{"to": {"id": contact}, "types": types}]});
    let made = probe.post("/crm/v3/objects/leads", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let lead = format!("/crm/v3/objects/leads/{}", id_of(&made.json()));
    assert_eq!(probe.get(&lead).await.status, 200);
    let pair =
        format!("/crm/v4/objects/contacts/{contact}/associations/leads/{}", id_of(&made.json()));
    assert_eq!(probe.call("DELETE", &pair, None).await.status, 204);
    assert_eq!(probe.get(&lead).await.status, 404);
}

#[tokio::test]
async fn counts_follow_associations_and_leave_the_modified_date() {
    let probe = Probe::quiet().await;
    let (contact, company) = pair(&probe).await;
    probe.control().advance_clock(Duration::from_secs(5));
    let path = format!(
        "/crm/v3/objects/companies/{company}?properties=num_associated_contacts,hs_num_open_deals"
    );
    let before = probe.get(&path).await.json();
    let put =
        format!("/crm/v4/objects/contacts/{contact}/associations/default/companies/{company}");
    assert_eq!(probe.call("PUT", &put, None).await.status, 200);
    let types = json!([{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 341}]);
    let deal = json!({"properties": {"dealname": "D", "pipeline": "default", "dealstage": "qualifiedtobuy"},
        "associations": [{"to": {"id": company}, "types": types}]});
    let deal = id_of(&probe.post("/crm/v3/objects/deals", deal).await.json());
    let after = probe.get(&path).await.json();
    assert_eq!(after["properties"]["num_associated_contacts"], "1");
    assert_eq!(after["properties"]["hs_num_open_deals"], "1");
    assert_eq!(after["updatedAt"], before["updatedAt"]);
    let lost = json!({"properties": {"dealstage": "closedlost"}});
    probe.call("PATCH", &format!("/crm/v3/objects/deals/{deal}"), Some(lost)).await;
    assert_eq!(probe.get(&path).await.json()["properties"]["hs_num_open_deals"], "0");
    probe.call("DELETE", &format!("/crm/v3/objects/contacts/{contact}"), None).await;
    assert_eq!(probe.get(&path).await.json()["properties"]["num_associated_contacts"], "0");
}

#[tokio::test]
async fn a_merge_keeps_one_primary_and_hands_over_the_rest() {
    let probe = Probe::quiet().await;
    let control = probe.control();
    let make = |of: &str, name: &str, value: &str| {
        control.create_record(of, &values(&[(name, value)])).expect("a record")
    };
    let contacts =
        [make("contacts", "email", "a@x.example"), make("contacts", "email", "b@x.example")];
    let companies = [make("companies", "name", "A"), make("companies", "name", "B")];
    for (contact, company) in contacts.iter().zip(&companies) {
        let put =
            format!("/crm/v4/objects/contacts/{contact}/associations/default/companies/{company}");
        assert_eq!(probe.call("PUT", &put, None).await.status, 200);
    }
    let list = json!({"name": "L", "objectTypeId": "0-1", "processingType": "MANUAL"});
    probe.post("/crm/v3/lists", list).await;
    probe.call("PUT", "/crm/v3/lists/1/memberships/add", Some(json!(contacts))).await;
    let survivor = control.merge_records("contacts", contacts[0], contacts[1]).expect("a merge");
    let members = probe.get("/crm/v3/lists/1/memberships").await.json();
    assert_eq!(members["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(members["results"][0]["recordId"], survivor.to_string());
    let path = format!("/crm/v4/objects/contacts/{survivor}/associations/companies");
    let listed = probe.get(&path).await.json();
    let listed = listed["results"].as_array().expect("results").clone();
    assert_eq!(listed.len(), 2);
    let primary = |entry: &&Value| entry["associationTypes"].to_string().contains("Primary");
    assert_eq!(listed.iter().filter(primary).count(), 1, "{listed:?}");
    let one = format!("/crm/v3/objects/contacts/{survivor}?properties=associatedcompanyid");
    let of = async || probe.get(&one).await.json()["properties"]["associatedcompanyid"].clone();
    assert_eq!(of().await, companies[0].to_string());
    let merged = control.merge_records("companies", companies[0], companies[1]).expect("a merge");
    assert_eq!(of().await, merged.to_string(), "it follows the merge of companies");
    let count = format!("/crm/v3/objects/companies/{merged}?properties=num_associated_contacts");
    assert_eq!(probe.get(&count).await.json()["properties"]["num_associated_contacts"], "1");
    control.archive_record("companies", merged).expect("a record");
    assert_eq!(of().await, Value::Null);
    control.archive_record("contacts", survivor).expect("a record");
    assert_eq!(probe.get("/crm/v3/lists/1/memberships").await.json()["results"], json!([]));
}
