//! What happens to the rest of a batch: section 6 of the API reference.

use serde_json::json;

use super::*;

const CREATE: &str = "/crm/v3/objects/contacts/batch/create";
const UPDATE: &str = "/crm/v3/objects/contacts/batch/update";
const UPSERT: &str = "/crm/v3/objects/contacts/batch/upsert";
const READ: &str = "/crm/v3/objects/contacts/batch/read";

fn person(email: &str) -> Value {
    json!({"properties": {"email": email}})
}

fn ids(got: &Got) -> Vec<u64> {
    got.json()["results"].as_array().expect("results").iter().map(id_of).collect()
}

async fn contacts(probe: &Probe, count: usize) -> Vec<u64> {
    ids(&probe.get(&format!("/crm/v3/objects/contacts?limit={count}")).await)
}

#[tokio::test]
async fn a_read_gathers_the_missing_in_one_error() {
    let probe = Probe::quiet().await;
    let mut asked = contacts(&probe, 20).await;
    asked.extend([1, 2]);
    let inputs: Vec<Value> = asked.iter().map(|id| json!({"id": id.to_string()})).collect();
    let got = probe.post(READ, json!({"inputs": inputs, "properties": ["email"]})).await;
    assert_eq!(got.status, 207);
    let body = got.json();
    assert_eq!((body["status"].clone(), body["numErrors"].clone()), (json!("COMPLETE"), json!(1)));
    assert_eq!(body["errors"][0]["category"], "OBJECT_NOT_FOUND");
    assert_eq!(body["errors"][0]["context"]["ids"], json!(["1", "2"]));
    let mut found = ids(&got);
    assert_ne!(found, asked[..20], "in another order");
    found.sort_unstable();
    assert_eq!(found, asked[..20]);
}

#[tokio::test]
async fn a_hundred_inputs_are_the_most() {
    let probe = Probe::quiet().await;
    let inputs: Vec<Value> =
        (0..101).map(|at| json!({"id": at.to_string(), "properties": {}})).collect();
    for path in [READ, UPDATE, UPSERT, CREATE, "/crm/v3/objects/contacts/batch/archive"] {
        let got = probe.post(path, json!({"inputs": inputs})).await;
        assert_eq!(
            (got.status, got.json()["category"].clone()),
            (400, json!("VALIDATION_ERROR")),
            "{path}"
        );
    }
    let body = json!({"inputs": inputs[..51], "propertiesWithHistory": ["email"]});
    assert_eq!(probe.post(READ, body).await.status, 400);
}

#[tokio::test]
async fn a_batch_that_is_refused_as_a_whole_writes_nothing() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await.to_string();
    let input =
        |id: &str| json!({"id": id, "objectWriteTraceId": id, "properties": {"jobtitle": "Half"}});
    let inputs = json!({"inputs": [input(&id), input("12345")]});
    let got = probe.post("/crm/v3/objects/contacts/batch/upsert", inputs).await;
    assert_eq!(got.status, 400, "{}", got.text);
    let path = format!("/crm/v3/objects/contacts/{id}?properties=jobtitle");
    assert_ne!(probe.get(&path).await.json()["properties"]["jobtitle"], "Half");
}

#[tokio::test]
async fn without_trace_ids_one_bad_input_sinks_the_batch() {
    let probe = Probe::quiet().await;
    let bad = json!({"properties": {"email": "b@new.example", "missing": "1"}});
    let got = probe.post(CREATE, json!({"inputs": [person("a@new.example"), bad]})).await;
    assert_eq!(got.status, 400);
    assert_eq!(
        probe.get("/crm/v3/objects/contacts/a@new.example?idProperty=email").await.status,
        404
    );

    let created = ids(&probe.post(CREATE, json!({"inputs": [person("a@new.example")]})).await)[0];
    let got = probe
        .post(CREATE, json!({"inputs": [person("c@new.example"), person("A@new.example")]}))
        .await;
    assert_eq!(got.status, 409);
    assert_eq!(got.json()["message"], format!("Contact already exists. Existing ID: {created}"));
    assert_eq!(
        probe.get("/crm/v3/objects/contacts/c@new.example?idProperty=email").await.status,
        404
    );

    let twins = json!({"inputs": [person("t@new.example"), person("T@new.example")]});
    assert_eq!(probe.post(CREATE, twins).await.status, 409);
}

#[tokio::test]
async fn with_trace_ids_on_all_the_good_ones_are_written() {
    let probe = Probe::quiet().await;
    let first = ids(&probe.post(CREATE, json!({"inputs": [person("a@new.example")]})).await)[0];
    let inputs = json!([
        traced("t1", person("b@new.example")),
        traced("t2", person("a@new.example")),
        traced("t3", json!({"properties": {"email": "c@new.example", "missing": "1"}})),
        traced("t4", person("d@new.example")),
        traced("t5", person("d@new.example")),
    ]);
    let got = probe.post(CREATE, json!({"inputs": inputs})).await;
    assert_eq!(got.status, 207);
    let body = got.json();
    let mut traces: Vec<&str> = body["results"]
        .as_array()
        .expect("results")
        .iter()
        .filter_map(|r| r["objectWriteTraceId"].as_str())
        .collect();
    traces.sort_unstable();
    assert_eq!(traces, ["t1", "t4"]);
    assert_eq!(body["numErrors"], 3);
    let error = |trace: &str| {
        let all = body["errors"].as_array().expect("errors").iter();
        all.filter(|error| error["context"]["objectWriteTraceId"] == json!([trace])).count()
    };
    assert_eq!([error("t2"), error("t3"), error("t5")], [1, 1, 1]);
    assert_eq!(body["errors"][0]["context"]["existingId"], json!([first.to_string()]));
    assert_eq!(body["errors"][0]["category"], "CONFLICT");
    let text = body["errors"][1]["message"].as_str().unwrap_or_default();
    assert!(text.starts_with("Property values were not valid: [{\"isValid\":false"));
}

#[tokio::test]
async fn one_input_without_a_trace_id_is_enough_to_sink_it() {
    let probe = Probe::quiet().await;
    let bad = json!({"properties": {"email": "b@new.example", "missing": "1"}});
    let inputs = json!([traced("t1", bad), person("a@new.example")]);
    assert_eq!(probe.post(CREATE, json!({"inputs": inputs})).await.status, 400);
}

#[tokio::test]
async fn results_come_in_another_order() {
    let probe = Probe::quiet().await;
    let emails: Vec<String> = (0..30).map(|at| format!("p{at}@order.example")).collect();
    let inputs: Vec<Value> = emails.iter().map(|email| person(email)).collect();
    let got = probe.post(CREATE, json!({"inputs": inputs})).await;
    assert_eq!(got.status, 201);
    let body = got.json();
    let back: Vec<&str> = body["results"]
        .as_array()
        .expect("results")
        .iter()
        .filter_map(|record| record["properties"]["email"].as_str())
        .collect();
    assert_eq!(back.len(), 30);
    assert_ne!(back, emails);
}

#[tokio::test]
async fn the_same_id_twice_is_refused() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await.to_string();
    let input = |trace: &str| traced(trace, json!({"id": id, "properties": {"jobtitle": "x"}}));
    let got = probe.post(UPDATE, json!({"inputs": [input("a"), input("b")]})).await;
    assert_eq!(got.status, 400);
    assert_eq!(
        got.json()["message"],
        format!("Duplicate IDs found in batch input: [{id}]. IDs must be unique")
    );
    assert_eq!(got.json()["context"]["ids"], json!([id]));
}

#[tokio::test]
async fn an_update_tells_of_unknown_ids_and_keeps_quiet_of_merged_ones() {
    let probe = Probe::quiet().await;
    let known = contacts(&probe, 3).await;
    probe.control().merge_records("contacts", known[1], known[2]).expect("two live records");
    let input =
        |trace: &str, id: &str| traced(trace, json!({"id": id, "properties": {"jobtitle": "x"}}));
    let inputs = json!([
        input("a", &known[0].to_string()),
        input("b", &known[1].to_string()),
        input("c", "12"),
        input("d", "someone@somewhere.example"),
    ]);
    let got = probe.post(UPDATE, json!({"inputs": inputs})).await;
    assert_eq!(got.status, 207);
    assert_eq!(ids(&got), [known[0]]);
    let errors = got.json()["errors"].clone();
    assert_eq!(errors.as_array().map(Vec::len), Some(1));
    assert_eq!(errors[0]["context"], json!({"ids": ["12"], "objectWriteTraceId": ["c"]}));

    let alone = json!({"inputs": [input("b", &known[1].to_string())]});
    let got = probe.post(UPDATE, alone).await;
    assert_eq!((got.status, ids(&got).len()), (200, 0), "merged away: nothing, and no error");
}

#[tokio::test]
async fn a_unique_value_held_by_another_is_400_on_update() {
    let probe = Probe::quiet().await;
    let known = contacts(&probe, 2).await;
    probe
        .control()
        .edit_record("contacts", known[1], &values(&[("email", "taken@x.example")]))
        .expect("an edit");
    let path = format!("/crm/v3/objects/contacts/{}", known[0]);
    let got =
        probe.call("PATCH", &path, Some(json!({"properties": {"email": "Taken@x.example"}}))).await;
    assert_eq!(got.status, 400);
    let text = got.json()["message"].as_str().unwrap_or_default().to_owned();
    assert!(
        text.ends_with(&format!(
            "propertyName=email, value=taken@x.example}} on {}. {} already has that value.",
            known[0], known[1]
        )),
        "{text}"
    );
}

#[tokio::test]
async fn an_upsert_creates_and_updates_by_email() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let both = values(&[("email", "main@x.example"), ("hs_additional_emails", "old@x.example")]);
    probe.control().edit_record("contacts", id, &both).expect("an edit");
    let input = |trace: &str, email: &str, job: &str| {
        let properties = json!({"email": email, "jobtitle": job});
        traced(trace, json!({"id": email, "idProperty": "email", "properties": properties}))
    };
    let inputs =
        json!([input("a", "OLD@x.example", "second"), input("b", "New@x.example", "first")]);
    let got = probe.post(UPSERT, json!({"inputs": inputs})).await;
    assert_eq!(got.status, 200, "{}", got.text);
    let body = got.json();
    let result = |trace: &str| {
        let mut all = body["results"].as_array().expect("results").iter();
        all.find(|r| r["objectWriteTraceId"] == trace).cloned().expect("a result")
    };
    assert_eq!((id_of(&result("a")), result("a")["new"].clone()), (id, json!(false)));
    assert_eq!(result("a")["properties"]["email"], "main@x.example", "the primary one stays");
    assert_eq!(result("b")["new"], json!(true));
    assert_eq!(result("b")["properties"]["email"], "new@x.example");

    let refused = json!({"inputs": [{"id": "x", "idProperty": "jobtitle", "properties": {}}]});
    let got = probe.post(UPSERT, refused).await;
    assert_eq!(
        got.json()["message"],
        "Unable to perform update/upsert by non-unique 0-1 property jobtitle"
    );
}

#[tokio::test]
async fn an_upsert_by_a_unique_property_of_ones_own() {
    let probe = Probe::quiet().await;
    let property = json!({"name": "ext_key", "label": "Key", "type": "string", "fieldType": "text",
        "groupName": "companyinformation", "hasUniqueValue": true});
    assert_eq!(probe.post("/crm/v3/properties/companies", property).await.status, 201);
    let input = json!({"id": "K-1", "idProperty": "ext_key", "properties": {"name": "One", "ext_key": "K-1"}});
    let path = "/crm/v3/objects/companies/batch/upsert";
    let first = probe.post(path, json!({"inputs": [input]})).await;
    let second = probe.post(path, json!({"inputs": [input]})).await;
    assert_eq!(first.json()["results"][0]["new"], json!(true));
    assert_eq!(second.json()["results"][0]["new"], json!(false));
    assert_eq!(ids(&first), ids(&second));
}

#[tokio::test]
async fn archiving_takes_any_ids() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let body = json!({"inputs": [{"id": id.to_string()}, {"id": "1"}, {"id": "x"}]});
    let got = probe.post("/crm/v3/objects/contacts/batch/archive", body).await;
    assert_eq!((got.status, got.text.as_str()), (204, ""));
    assert_eq!(probe.get(&format!("/crm/v3/objects/contacts/{id}")).await.status, 404);
}

#[tokio::test]
async fn bodies_of_the_wrong_shape_are_refused_in_hubspots_words() {
    let probe = Probe::quiet().await;
    let got = probe.post(CREATE, json!({})).await;
    assert_eq!((got.status, got.json()["category"].clone()), (400, json!("VALIDATION_ERROR")));
    assert!(
        got.json()["message"]
            .as_str()
            .is_some_and(|text| text.ends_with("Some required fields were not set: [inputs]"))
    );
    let got = probe.post(CREATE, json!([1])).await;
    assert_eq!(got.status, 400);
    assert!(
        got.json()["message"]
            .as_str()
            .is_some_and(|text| text.contains("Cannot deserialize value of type"))
    );
    assert_eq!(got.json().get("category"), None);
}

#[tokio::test]
async fn one_unique_value_for_two_inputs_sinks_an_untraced_batch() {
    let probe = Probe::quiet().await;
    let path = "/crm/v3/objects/companies/batch";
    let company = |name: &str, key: &str| json!({"properties": {"name": name, "account_key": key}});
    let body = json!({"inputs": [company("A", "same"), company("B", "same")]});
    let got = probe.post(&format!("{path}/create"), body).await;
    assert_eq!((got.status, got.json()["category"].clone()), (400, json!("VALIDATION_ERROR")));
    let read = json!({"idProperty": "account_key", "inputs": [{"id": "same"}]});
    assert_eq!(
        probe.post(&format!("{path}/read"), read.clone()).await.status,
        207,
        "nothing was written"
    );
    let traced_ones = [traced("a", company("A", "same")), traced("b", company("B", "same"))];
    let got = probe.post(&format!("{path}/create"), json!({"inputs": traced_ones})).await;
    assert_eq!((got.status, got.json()["numErrors"].clone()), (207, json!(1)));
    assert_eq!(probe.post(&format!("{path}/read"), read).await.status, 200);
    let control = probe.control();
    let made: Vec<u64> = ["C", "D"]
        .iter()
        .map(|name| control.create_record("companies", &values(&[("name", name)])).expect("one"))
        .collect();
    let input = |id: u64| json!({"id": id.to_string(), "properties": {"account_key": "shared"}});
    let body = json!({"inputs": [input(made[0]), input(made[1])]});
    assert_eq!(probe.post(&format!("{path}/update"), body).await.status, 400);
}

#[tokio::test]
async fn a_batch_has_one_key() {
    let probe = Probe::quiet().await;
    let input =
        |id: &str, key: &str| json!({"id": id, "idProperty": key, "properties": {"city": "X"}});
    let mixed = json!({"inputs": [input("a@x.example", "email"), input("u-1", "app_user_id")]});
    assert_eq!(probe.post("/crm/v3/objects/contacts/batch/upsert", mixed).await.status, 400);
    let one = json!({"inputs": [input("a@x.example", "email"), input("b@x.example", "email")]});
    assert_eq!(probe.post("/crm/v3/objects/contacts/batch/upsert", one).await.status, 200);
}
