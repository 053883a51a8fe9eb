//! Associations, version 4.

use serde_json::json;

use super::*;

const CONTACT_COMPANY: &str = "/crm/v4/associations/contacts/companies/batch";

async fn first(probe: &Probe, object_type: &str) -> u64 {
    id_of(&probe.get(&format!("/crm/v3/objects/{object_type}?limit=1")).await.json()["results"][0])
}

fn pair(from: u64, to: u64, kind: Option<u32>) -> Value {
    let types: Vec<Value> = kind
        .map(|kind| json!({"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind}))
        .into_iter()
        .collect();
    json!({"from": {"id": from}, "to": {"id": to}, "types": types})
}

async fn kinds(probe: &Probe, contact: u64) -> Vec<(u64, Vec<u64>)> {
    let body = probe
        .get(&format!("/crm/v4/objects/contacts/{contact}/associations/companies"))
        .await
        .json();
    let entry = |entry: &Value| {
        let mut types: Vec<u64> = entry["associationTypes"]
            .as_array()
            .expect("types")
            .iter()
            .filter_map(|kind| kind["typeId"].as_u64())
            .collect();
        types.sort_unstable();
        (entry["toObjectId"].as_u64().expect("a number"), types)
    };
    body["results"].as_array().expect("results").iter().map(entry).collect()
}

#[tokio::test]
async fn seeded_pairs_agree_in_both_directions() {
    let probe = Probe::quiet().await;
    for (from, to) in [
        ("contacts", "companies"),
        ("deals", "companies"),
        ("deals", "contacts"),
        ("contacts", "tickets"),
    ] {
        let mut there = all_pairs(&probe, from, to).await;
        let mut back: Vec<(u64, u64)> =
            all_pairs(&probe, to, from).await.into_iter().map(|(one, two)| (two, one)).collect();
        there.sort_unstable();
        back.sort_unstable();
        assert_eq!(there, back, "{from} {to}");
        assert!(!there.is_empty(), "{from} {to}");
    }
}

async fn all_pairs(probe: &Probe, from: &str, to: &str) -> Vec<(u64, u64)> {
    let mut pairs = Vec::new();
    let mut after = String::new();
    loop {
        let page =
            probe.get(&format!("/crm/v3/objects/{from}?limit=100&after={after}")).await.json();
        let inputs: Vec<Value> = page["results"]
            .as_array()
            .expect("results")
            .iter()
            .map(|r| json!({"id": r["id"]}))
            .collect();
        let path = format!("/crm/v4/associations/{from}/{to}/batch/read");
        let read = probe.post(&path, json!({"inputs": inputs})).await.json();
        for result in read["results"].as_array().expect("results") {
            let id: u64 =
                result["from"]["id"].as_str().and_then(|id| id.parse().ok()).expect("a text");
            let others = result["to"].as_array().expect("to").iter();
            pairs.extend(others.map(|other| (id, other["toObjectId"].as_u64().expect("a number"))));
        }
        match page["paging"]["next"]["after"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return pairs,
        }
    }
}

#[tokio::test]
async fn none_is_an_error_of_a_207() {
    let probe = Probe::quiet().await;
    let contact = probe
        .control()
        .create_record("contacts", &values(&[("email", "lone@x.example")]))
        .expect("a contact");
    let body = json!({"inputs": [{"id": contact}, {"id": "x"}]});
    let got = probe.post(&format!("{CONTACT_COMPANY}/read"), body).await;
    assert_eq!(got.status, 207);
    let body = got.json();
    assert_eq!(body["results"], json!([]));
    assert_eq!(body["errors"][0]["subCategory"], "crm.associations.NO_ASSOCIATIONS_FOUND");
    assert_eq!(
        body["errors"][0]["message"],
        format!("No company is associated with contact {contact}.")
    );
    assert_eq!(body["errors"][0]["context"]["fromObjectId"], json!([contact.to_string()]));
    assert_eq!(body["errors"][1]["subCategory"], "crm.associations.INVALID_IDENTIFIER");
    let inputs: Vec<Value> = (0..1_001).map(|id| json!({"id": id})).collect();
    assert_eq!(
        probe.post(&format!("{CONTACT_COMPANY}/read"), json!({"inputs": inputs})).await.status,
        400
    );
}

#[tokio::test]
async fn paging_is_per_input() {
    let probe = Probe::start(EmulatorConfig { contacts: 4_000, companies: 4, ..quiet() }).await;
    let company = first(&probe, "companies").await;
    let mut seen = Vec::new();
    let mut input = json!({"id": company.to_string()});
    loop {
        let body = json!({"inputs": [input]});
        let page =
            probe.post("/crm/v4/associations/companies/contacts/batch/read", body).await.json();
        let result = &page["results"][0];
        let others = result["to"].as_array().expect("to").iter();
        seen.extend(others.map(|other| other["toObjectId"].as_u64().expect("a number")));
        match result["paging"]["next"]["after"].as_str() {
            Some(after) => input["after"] = json!(after),
            None => break,
        }
    }
    assert!(seen.len() > 1_000, "{}", seen.len());
    seen.sort_unstable();
    seen.dedup();
    let whole = probe.get("/crm/v3/objects/companies?limit=1&associations=contacts").await.json();
    let inline = &whole["results"][0]["associations"]["contacts"];
    assert_eq!(inline["results"].as_array().map(Vec::len), Some(100));
    assert!(inline["paging"]["next"]["after"].is_string(), "that page is easy to lose");
}

#[tokio::test]
async fn the_first_company_becomes_primary_and_the_primary_moves() {
    let probe = Probe::quiet().await;
    let control = probe.control();
    let contact = control
        .create_record("contacts", &values(&[("email", "new@x.example")]))
        .expect("a contact");
    let company = |name: &str| {
        control.create_record("companies", &values(&[("name", name)])).expect("a company")
    };
    let (one, two) = (company("One"), company("Two"));
    let create = format!("{CONTACT_COMPANY}/create");
    let got = probe.post(&create, json!({"inputs": [pair(contact, one, Some(279))]})).await;
    assert_eq!((got.status, got.json()["results"][0]["labels"].clone()), (201, json!([])));
    assert_eq!(kinds(&probe, contact).await, [(one, vec![1, 279])]);
    probe.post(&create, json!({"inputs": [pair(contact, two, Some(279))]})).await;
    assert_eq!(kinds(&probe, contact).await, [(one, vec![1, 279]), (two, vec![279])]);
    let got = probe.post(&create, json!({"inputs": [pair(contact, two, Some(1))]})).await;
    assert_eq!(got.json()["results"][0]["labels"], json!(["Primary Company"]));
    assert_eq!(kinds(&probe, contact).await, [(one, vec![279]), (two, vec![1, 279])]);
    let path = format!("/crm/v3/objects/contacts/{contact}?properties=associatedcompanyid");
    assert_eq!(probe.get(&path).await.json()["properties"]["associatedcompanyid"], two.to_string());
}

#[tokio::test]
async fn archiving_is_quiet_and_works_on_seeded_pairs() {
    let probe = Probe::quiet().await;
    let (contact, company) = all_pairs(&probe, "contacts", "companies").await[0];
    let body =
        json!({"inputs": [{"from": {"id": contact}, "to": [{"id": company}, {"id": 1234}]}]});
    let got = probe.post(&format!("{CONTACT_COMPANY}/archive"), body.clone()).await;
    assert_eq!((got.status, got.text.as_str()), (204, ""));
    assert!(kinds(&probe, contact).await.is_empty());
    assert!(!all_pairs(&probe, "companies", "contacts").await.contains(&(company, contact)));
    let dated =
        probe.post("/crm/associations/2026-03/contacts/companies/batch/archive", body).await;
    assert_eq!((dated.status, dated.json()["status"].clone()), (200, json!("COMPLETE")));
}

#[tokio::test]
async fn bad_pairs_are_errors_of_a_207() {
    let probe = Probe::quiet().await;
    let (contact, company) = (first(&probe, "contacts").await, first(&probe, "companies").await);
    let create = format!("{CONTACT_COMPANY}/create");
    for (input, message) in [
        (pair(contact, 1234, Some(279)), "COMPANY=1234 is not valid".to_owned()),
        (pair(1234, company, Some(279)), "CONTACT=1234 is not valid".to_owned()),
    ] {
        let got = probe.post(&create, json!({"inputs": [input]})).await;
        assert_eq!((got.status, got.json()["errors"][0]["message"].clone()), (207, json!(message)));
        assert_eq!(got.json()["status"], "COMPLETE");
    }
    let same = json!({"inputs": [pair(contact, contact, Some(449))]});
    let got = probe.post("/crm/v4/associations/contacts/contacts/batch/create", same).await;
    let message = format!("Object {contact} cannot be associated to itself ({contact})");
    assert_eq!(got.json()["errors"][0]["message"], message.as_str());
}

#[tokio::test]
async fn labels_replace_each_other_and_hang_on_the_default() {
    let probe = Probe::quiet().await;
    let control = probe.control();
    let contact = control
        .create_record("contacts", &values(&[("email", "new@x.example")]))
        .expect("a contact");
    let company =
        control.create_record("companies", &values(&[("name", "One")])).expect("a company");
    let label =
        |name: &str| json!({"name": name, "label": name, "inverseLabel": format!("{name} of")});
    let path = "/crm/v4/associations/contacts/companies/labels";
    let mut ids = Vec::new();
    for name in ["billing", "legal"] {
        let got = probe.post(path, label(name)).await.json();
        assert_eq!(got["results"][1]["label"], format!("{name} of"));
        ids.push(got["results"][0]["typeId"].as_u64().expect("an id") as u32);
    }
    assert_eq!(probe.post(path, label("no-hyphen")).await.status, 400);
    let put = format!("/crm/v4/objects/contacts/{contact}/associations/companies/{company}");
    for id in &ids {
        let types = json!([{"associationCategory": "USER_DEFINED", "associationTypeId": id}]);
        assert_eq!(probe.call("PUT", &put, Some(types)).await.status, 201);
    }
    let held = kinds(&probe, contact).await[0].1.clone();
    assert!(held.contains(&u64::from(ids[1])) && !held.contains(&u64::from(ids[0])), "{held:?}");
    let archive = json!({"inputs": [pair(contact, company, Some(279))]});
    probe.post(&format!("{CONTACT_COMPANY}/labels/archive"), archive).await;
    assert!(kinds(&probe, contact).await.is_empty(), "without the default no label remains");
}

#[tokio::test]
async fn a_create_can_bring_associations() {
    let probe = Probe::quiet().await;
    let company = first(&probe, "companies").await;
    let types = json!([{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]);
    let link = json!([{"to": {"id": company.to_string()}, "types": types}]);
    let body = json!({"properties": {"email": "linked@x.example"}, "associations": link});
    let contact = id_of(&probe.post("/crm/v3/objects/contacts", body).await.json());
    assert_eq!(kinds(&probe, contact).await[0].0, company);
    let nowhere = json!([{"to": {"id": "5"}, "types": types}]);
    let body = json!({"properties": {"email": "nowhere@x.example"}, "associations": nowhere});
    assert_eq!(probe.post("/crm/v3/objects/contacts", body).await.status, 400);
}
