//! Pipelines and their stages, and what records may be in.

use serde_json::json;

use super::*;

const DEALS: &str = "/crm/v3/pipelines/deals";

fn stage(label: &str, probability: &str) -> Value {
    json!({"label": label, "displayOrder": 0, "metadata": {"probability": probability}})
}

fn pipeline(label: &str, stages: Value) -> Value {
    json!({"label": label, "displayOrder": 5, "stages": stages})
}

#[tokio::test]
async fn a_pipeline_is_made_changed_and_deleted() {
    let probe = Probe::quiet().await;
    let stages = json!([stage("Begun", "0.1"), stage("Won", "1.0")]);
    let made = probe.post(DEALS, pipeline("Partners", stages.clone())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    assert_eq!(
        made["stages"][1]["metadata"],
        json!({"probability": "1.0", "isClosed": "true"}),
        "values are texts, and the end is worked out"
    );
    assert_eq!(probe.post(DEALS, pipeline("Partners", stages)).await.status, 409);
    let id = made["id"].as_str().expect("an id");
    let one = format!("{DEALS}/{id}");
    let got = probe.call("PATCH", &one, Some(json!({"label": "Resellers"}))).await;
    assert_eq!((got.status, got.json()["label"].clone()), (200, json!("Resellers")));
    let replaced = pipeline("Resellers", json!([stage("Only", "0.5")]));
    let got = probe.call("PUT", &one, Some(replaced)).await.json();
    assert_eq!(got["stages"].as_array().map(Vec::len), Some(1), "others go");
    let audit = probe.get(&format!("{one}/audit")).await.json();
    assert_eq!(audit["results"][0]["action"], "UPDATE");
    assert_eq!(audit["results"][2]["action"], "CREATE");
    assert_eq!(probe.call("DELETE", &one, None).await.status, 204);
    assert_eq!(probe.get(&one).await.json()["category"], "OBJECT_NOT_FOUND");
    let got = probe.call("PATCH", &one, Some(json!({"archived": false}))).await;
    assert_eq!((got.status, probe.get(&one).await.status), (200, 200), "it comes back");
}

#[tokio::test]
async fn a_stage_is_made_changed_and_deleted() {
    let probe = Probe::quiet().await;
    let path = format!("{DEALS}/default/stages");
    let made = probe.post(&path, stage("Legal", "0.95")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let one = format!("{path}/{}", made.json()["id"].as_str().expect("an id"));
    let change = json!({"metadata": {"probability": 0.0}, "label": "Never"});
    let got = probe.call("PATCH", &one, Some(change)).await.json();
    assert_eq!(got["metadata"], json!({"probability": "0.0", "isClosed": "true"}));
    let got = probe.call("PUT", &one, Some(stage("Legal", "0.95"))).await.json();
    assert_eq!(got["metadata"]["isClosed"], "false");
    assert_eq!(probe.post(&path, stage("Legal", "0.1")).await.status, 409);
    let audit = probe.get(&format!("{one}/audit")).await.json();
    assert_eq!(audit["results"].as_array().map(Vec::len), Some(3));
    assert_eq!(probe.call("DELETE", &one, None).await.status, 204);
    assert_eq!(probe.get(&one).await.status, 404);
    let listed = probe.get(&path).await.json();
    assert_eq!(listed["results"].as_array().map(Vec::len), Some(7));
}

#[tokio::test]
async fn stages_say_what_their_type_wants_to_know() {
    let probe = Probe::quiet().await;
    for metadata in [json!({}), json!({"probability": "2"}), json!({"probability": "likely"})] {
        let bad = json!({"label": "S", "displayOrder": 0, "metadata": metadata});
        assert_eq!(probe.post(DEALS, pipeline("P", json!([bad]))).await.status, 400, "{bad}");
    }
    let tickets = "/crm/v3/pipelines/tickets/0/stages";
    let state = |state: &str| json!({"label": state, "displayOrder": 9, "metadata": {"ticketState": state}});
    assert_eq!(probe.post(tickets, state("MAYBE")).await.status, 400);
    let got = probe.post(tickets, state("CLOSED")).await;
    assert_eq!((got.status, got.json()["metadata"]["isClosed"].clone()), (201, json!("true")));
    let many = |count: usize| -> Vec<Value> {
        (0..count).map(|at| json!({"label": format!("S{at}"), "displayOrder": at})).collect()
    };
    let path = "/crm/v3/pipelines/orders";
    assert_eq!(probe.post(path, pipeline("Long", json!(many(31)))).await.status, 400);
    assert_eq!(probe.post(path, pipeline("Long", json!(many(30)))).await.status, 201);
}

#[tokio::test]
async fn what_is_in_use_goes_only_when_nobody_looks() {
    let probe = Probe::quiet().await;
    for path in [
        "/crm/pipelines/2026-09/deals/default",
        "/crm/pipelines/2026-09/deals/default/stages/closedwon",
    ] {
        let got = probe.call("DELETE", path, None).await;
        assert_eq!(got.status, 400, "{path}");
        let body = got.json();
        assert_eq!(body["subCategory"], "PipelineError.STAGE_ID_IN_USE");
        let stages = body["context"]["stageIds"].as_array().expect("stages");
        assert!(stages.contains(&json!("closedwon")));
        assert!(body["context"]["objectIds"][0].is_string());
    }
    let one = format!("{DEALS}/default");
    for key in ["validateReferencesBeforeDelete", "validateDealStageUsagesBeforeDelete"] {
        assert_eq!(probe.call("DELETE", &format!("{one}?{key}=true"), None).await.status, 400);
    }
    assert_eq!(probe.call("DELETE", &one, None).await.status, 204);
}

#[tokio::test]
async fn a_record_is_in_a_stage_of_its_pipeline() {
    let probe = Probe::quiet().await;
    let deal = |pipeline: &str, stage: &str| json!({"properties": {"dealname": "D", "pipeline": pipeline, "dealstage": stage}});
    let path = "/crm/v3/objects/deals";
    let got = probe.post(path, deal("default", "renewalwon")).await;
    assert_eq!(got.json()["errors"][0]["code"], "INVALID_OPTION", "{}", got.text);
    let made = probe.post(path, deal("renewals", "renewalwon")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let one = format!("{path}/{}", id_of(&made.json()));
    let staged = |stage: &str| json!({"properties": {"dealstage": stage}});
    assert_eq!(probe.call("PATCH", &one, Some(staged("closedwon"))).await.status, 400);
    assert_eq!(probe.call("PATCH", &one, Some(staged("renewallost"))).await.status, 200);
    let moved = json!({"properties": {"pipeline": "default", "dealstage": "closedwon"}});
    assert_eq!(probe.call("PATCH", &one, Some(moved)).await.status, 200);
}

#[tokio::test]
async fn a_stage_brings_what_hangs_on_it() {
    let probe = Probe::quiet().await;
    let deal = json!({"properties": {"dealname": "D", "pipeline": "default",
        "dealstage": "contractsent", "amount": "1000.00"}});
    let made = probe.post("/crm/v3/objects/deals", deal).await.json();
    let properties = &made["properties"];
    assert_eq!(
        properties["hs_deal_stage_probability"],
        "0.90000000000000002220446049250313080847263336181640625"
    );
    assert_eq!(
        (&properties["hs_is_closed"], &properties["hs_is_closed_won"]),
        (&json!("false"), &json!("false"))
    );
    assert_eq!(properties["amount_in_home_currency"], "1000.00");
    let one = format!("/crm/v3/objects/deals/{}", id_of(&made));
    let won = json!({"properties": {"dealstage": "closedwon"}});
    probe.call("PATCH", &one, Some(won)).await;
    let shown = "properties=hs_is_closed_won,hs_deal_stage_probability,hs_closed_won_date";
    let read = probe.get(&format!("{one}?{shown}")).await.json();
    assert_eq!(read["properties"]["hs_is_closed_won"], "true");
    assert_eq!(read["properties"]["hs_deal_stage_probability"], "1");
    assert!(read["properties"]["hs_closed_won_date"].is_string());
}
