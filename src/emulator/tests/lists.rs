//! Lists: who is on them and how they are found.

use serde_json::json;

use super::*;

async fn list(probe: &Probe, name: &str, processing: &str) -> String {
    let mut body = json!({"name": name, "objectTypeId": "0-1", "processingType": processing});
    if processing == "DYNAMIC" {
        body["filterBranch"] =
            json!({"filterBranchType": "OR", "filterBranches": [], "filters": []});
    }
    let made = probe.post("/crm/v3/lists", body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    made.json()["list"]["listId"].as_str().expect("an id").to_owned()
}

async fn contacts(probe: &Probe, count: usize) -> Vec<String> {
    let page = probe.get(&format!("/crm/v3/objects/contacts?limit={count}")).await.json();
    let records = page["results"].as_array().expect("results").iter();
    records.map(|record| id_of(record).to_string()).collect()
}

async fn add(probe: &Probe, list: &str, ids: &[String]) -> Got {
    probe.call("PUT", &format!("/crm/v3/lists/{list}/memberships/add"), Some(json!(ids))).await
}

#[tokio::test]
async fn a_dynamic_list_is_not_changed_by_hand() {
    let probe = Probe::quiet().await;
    let none = json!({"name": "N", "objectTypeId": "0-1", "processingType": "DYNAMIC"});
    assert_eq!(probe.post("/crm/v3/lists", none).await.status, 400, "filters are its members");
    let dynamic = list(&probe, "D", "DYNAMIC").await;
    let manual = list(&probe, "M", "MANUAL").await;
    let ids = contacts(&probe, 2).await;
    assert_eq!(add(&probe, &dynamic, &ids).await.status, 400);
    let path = format!("/crm/v3/lists/{dynamic}/memberships");
    for (method, path) in [
        ("PUT", format!("{path}/remove")),
        ("PUT", format!("{path}/add-from/{manual}")),
        ("DELETE", path.clone()),
    ] {
        assert_eq!(probe.call(method, &path, Some(json!(ids))).await.status, 400, "{path}");
    }
    let filters =
        json!({"filterBranch": {"filterBranchType": "OR", "filterBranches": [], "filters": []}});
    let update = |id: &str| format!("/crm/v3/lists/{id}/update-list-filters");
    let got = probe.call("PUT", &update(&dynamic), Some(filters.clone())).await;
    assert_eq!(
        (got.status, got.json()["updatedList"]["filterBranch"]["filterBranchOperator"].clone()),
        (200, json!("OR"))
    );
    assert_eq!(probe.call("PUT", &update(&manual), Some(filters)).await.status, 400);
    let snapshot = list(&probe, "S", "SNAPSHOT").await;
    assert_eq!(add(&probe, &snapshot, &ids).await.status, 200);
}

#[tokio::test]
async fn one_list_takes_the_members_of_another() {
    let probe = Probe::quiet().await;
    let (one, two) = (list(&probe, "One", "MANUAL").await, list(&probe, "Two", "MANUAL").await);
    let ids = contacts(&probe, 3).await;
    add(&probe, &one, &ids).await;
    let path = format!("/crm/v3/lists/{two}/memberships");
    assert_eq!(probe.call("PUT", &format!("{path}/add-from/{one}"), None).await.status, 204);
    assert_eq!(probe.get(&path).await.json()["results"].as_array().map(Vec::len), Some(3));
    let change = json!({"recordIdsToAdd": ["7"], "recordIdsToRemove": [ids[0]]});
    let got = probe.call("PUT", &format!("{path}/add-and-remove"), Some(change)).await.json();
    assert_eq!(got, json!({"recordIdsRemoved": [ids[0]], "recordIdsMissing": ["7"]}));
    let of = probe.get(&format!("/crm/v3/lists/records/0-1/{}/memberships", ids[1])).await.json();
    assert_eq!(of["results"].as_array().map(Vec::len), Some(2));
    let inputs = json!({"inputs": [{"objectTypeId": "0-1", "recordId": ids[0]}]});
    let got = probe.post("/crm/v3/lists/records/memberships/batch/read", inputs).await.json();
    assert_eq!(got["results"][0]["listMemberships"][0]["listId"], one);
    assert_eq!(probe.call("DELETE", &path, None).await.status, 204);
    assert_eq!(probe.get(&path).await.json()["results"], json!([]));
}

#[tokio::test]
async fn members_come_by_id_or_by_joining() {
    let probe = Probe::quiet().await;
    probe.control().stop_clock(true);
    let id = list(&probe, "J", "MANUAL").await;
    let mut ids = contacts(&probe, 5).await;
    ids.reverse();
    for member in &ids {
        probe.control().advance_clock(Duration::from_secs(1));
        add(&probe, &id, std::slice::from_ref(member)).await;
    }
    let mut joined = Vec::new();
    let mut after = String::new();
    for _ in 0..5 {
        let path = format!("/crm/v3/lists/{id}/memberships/join-order?limit=2{after}");
        let page = probe.get(&path).await.json();
        let page_ids = page["results"].as_array().expect("results").iter();
        joined.extend(page_ids.filter_map(|entry| entry["recordId"].as_str().map(str::to_owned)));
        let Some(next) = page["paging"]["next"]["after"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(joined, ids);
    let by_id = probe.get(&format!("/crm/v3/lists/{id}/memberships")).await.json();
    ids.reverse();
    let listed: Vec<&str> = by_id["results"]
        .as_array()
        .expect("results")
        .iter()
        .filter_map(|entry| entry["recordId"].as_str())
        .collect();
    assert_eq!(listed, ids);
    assert_eq!(probe.get(&format!("/crm/v3/lists/{id}/memberships?limit=251")).await.status, 400);
}

#[tokio::test]
async fn a_total_may_lie() {
    let probe = Probe::start(EmulatorConfig { wrong_totals: true, ..quiet() }).await;
    let ids = contacts(&probe, 3).await;
    let mut totals = Vec::new();
    for at in 0..4 {
        let id = list(&probe, &format!("L{at}"), "MANUAL").await;
        add(&probe, &id, &ids).await;
        let page = probe.get(&format!("/crm/v3/lists/{id}/memberships")).await.json();
        assert_eq!(page["results"].as_array().map(Vec::len), Some(3));
        totals.push(page["total"].as_u64().expect("a number"));
    }
    assert!(totals.contains(&0) && totals.contains(&3), "{totals:?}");
}

#[tokio::test]
async fn lists_are_found_renamed_deleted_and_restored() {
    let probe = Probe::quiet().await;
    let (one, two) =
        (list(&probe, "Alpha", "MANUAL").await, list(&probe, "Beta", "SNAPSHOT").await);
    let again = json!({"name": "Alpha", "objectTypeId": "CONTACT", "processingType": "MANUAL"});
    let got = probe.post("/crm/v3/lists", again).await;
    assert_eq!(
        (got.status, got.json()["subCategory"].clone()),
        (400, json!("ILS.DUPLICATE_LIST_NAMES"))
    );
    let rename = format!("/crm/v3/lists/{two}/update-list-name?listName=Alpha");
    assert_eq!(probe.call("PUT", &rename, None).await.status, 400);
    let search = |body: Value| probe.post("/crm/v3/lists/search", body);
    assert_eq!(search(json!({"query": "alp"})).await.json()["total"], 1);
    assert_eq!(
        search(json!({"processingTypes": ["SNAPSHOT"]})).await.json()["lists"][0]["listId"],
        two.as_str()
    );
    assert_eq!(search(json!({"listIds": [one]})).await.json()["total"], 1);
    let page = search(json!({"count": 1, "offset": 0})).await.json();
    assert_eq!((page["hasMore"].clone(), page["offset"].clone()), (json!(true), json!(1)));
    let by_name = "/crm/v3/lists/object-type-id/0-1/name/Beta";
    assert_eq!(probe.get(by_name).await.json()["list"]["listId"], two.as_str());
    let got = probe.post("/crm/v3/lists/idmapping", json!([one, "777"])).await.json();
    assert_eq!(got["legacyListIdsToIdsMapping"][0]["listId"], one.as_str());
    assert_eq!(got["missingLegacyListIds"], json!(["777"]));
    let mapped = probe.get(&format!("/crm/v3/lists/idmapping?legacyListId={one}")).await.json();
    assert_eq!(mapped["listId"], one.as_str());
    let path = format!("/crm/v3/lists/{one}");
    assert_eq!(probe.call("DELETE", &path, None).await.status, 204);
    assert_eq!(probe.get(&path).await.status, 404);
    assert_eq!(probe.call("PUT", &format!("{path}/restore"), None).await.status, 204);
    assert_eq!(probe.get(&path).await.json()["list"]["name"], "Alpha");
}
