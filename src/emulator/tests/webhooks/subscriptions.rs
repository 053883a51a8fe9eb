//! Settings and subscriptions over the API.

use super::*;

#[tokio::test]
async fn settings_are_kept_changed_and_cleared() {
    let probe = orderly().await;
    let missing = probe.get(SETTINGS).await;
    assert_eq!(
        (missing.status, missing.json()["category"].clone()),
        (404, json!("OBJECT_NOT_FOUND"))
    );

    let body =
        json!({"targetUrl": "http://127.0.0.1:9/x", "throttling": {"maxConcurrentRequests": 10}});
    let put = probe.call("PUT", SETTINGS, Some(body.clone())).await;
    assert_eq!(put.status, 200);
    let first = put.json();
    assert_eq!(first["targetUrl"], body["targetUrl"]);
    assert_eq!(first["throttling"], body["throttling"]);
    probe.control().advance_clock(Duration::from_secs(1));
    let put = probe.call("PUT", SETTINGS, Some(body.clone())).await.json();
    assert_eq!(put["createdAt"], first["createdAt"]);
    assert_ne!(put["updatedAt"], first["updatedAt"]);
    assert_eq!(probe.get("/webhooks/2026-03/54321/settings").await.json(), put);
    assert_eq!(probe.get("/app-webhooks/2026-09/54321/settings").await.json(), put);
    assert_eq!(probe.get("/webhooks/2026-09/54321/settings").await.status, 404);

    assert_eq!(probe.call("DELETE", SETTINGS, None).await.status, 204);
    assert_eq!(probe.get(SETTINGS).await.status, 404);
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let probe = orderly().await;
    for (body, words) in [
        (json!({"targetUrl": "http://127.0.0.1:9/"}), "throttling"),
        (json!({"throttling": {"maxConcurrentRequests": 10}}), "targetUrl"),
        (
            json!({"targetUrl": "http://127.0.0.1:9/", "throttling": {"maxConcurrentRequests": 5}}),
            "greater than 5",
        ),
        (
            json!({"targetUrl": "https://example.com/", "throttling": {"maxConcurrentRequests": 10}}),
            "never calls out",
        ),
        (
            json!({"targetUrl": "http://127.0.0.1:9/", "throttling": {"maxConcurrentRequests": 10, "period": "DAILY"}}),
            "period",
        ),
    ] {
        let got = probe.call("PUT", SETTINGS, Some(body)).await;
        assert_eq!((got.status, got.json()["category"].clone()), (400, json!("VALIDATION_ERROR")));
        assert!(
            got.json()["message"].as_str().is_some_and(|text| text.contains(words)),
            "{}",
            got.text
        );
    }
    assert_eq!(probe.get("/webhooks/v3/myapp/settings").await.status, 404);
}

#[tokio::test]
async fn a_developers_key_serves_and_none_does_not() {
    let probe = Probe::start(EmulatorConfig { token: Some("secret".to_owned()), ..quiet() }).await;
    let url = format!("{}{SUBSCRIPTIONS}", probe.emulator.url());
    let bare = probe.send(probe.client.get(&url)).await.expect("an answer");
    assert_eq!(
        (bare.status, bare.json()["category"].clone()),
        (401, json!("INVALID_AUTHENTICATION"))
    );
    let keyed = probe.client.get(format!("{url}?hapikey=demo")).send().await.expect("an answer");
    assert_eq!(keyed.status().as_u16(), 200);
    assert_eq!(probe.get(SUBSCRIPTIONS).await.status, 200, "any bearer token serves too");
    let elsewhere = format!("{}/crm/v3/owners?hapikey=demo", probe.emulator.url());
    assert_eq!(probe.client.get(elsewhere).send().await.expect("an answer").status().as_u16(), 401);
}

#[tokio::test]
async fn subscriptions_are_made_read_changed_and_deleted() {
    let probe = orderly().await;
    let made = probe
        .post(
            SUBSCRIPTIONS,
            json!({"eventType": "contact.propertyChange", "propertyName": "email"}),
        )
        .await;
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!(made["active"], false, "not in force unless told so");
    assert_eq!(made["propertyName"], "email");
    assert_eq!(made.get("objectTypeId"), None);
    let generic = json!({"eventType": "object.creation", "objectTypeId": "2-345", "active": true});
    let generic = probe.post("/app-webhooks/2026-09/54321/subscriptions", generic).await.json();
    assert_eq!(
        (generic["objectTypeId"].clone(), generic["active"].clone()),
        (json!("2-345"), json!(true))
    );

    let path = format!("{SUBSCRIPTIONS}/{}", made["id"].as_str().expect("an id"));
    assert_eq!(probe.get(&path).await.json(), made);
    let patched = probe.call("PATCH", &path, Some(json!({"active": true}))).await;
    assert_eq!((patched.status, patched.json()["active"].clone()), (200, json!(true)));
    assert!(patched.json()["updatedAt"].is_string());
    let all = probe.get("/webhooks/2026-03/54321/subscriptions").await.json();
    assert_eq!(all["results"], json!([patched.json(), generic]));
    assert_eq!(probe.get("/webhooks/v3/99/subscriptions").await.json(), json!({"results": []}));

    assert_eq!(probe.call("DELETE", &path, None).await.status, 204);
    for (method, body) in
        [("GET", None), ("DELETE", None), ("PATCH", Some(json!({"active": true})))]
    {
        let got = probe.call(method, &path, body).await;
        assert_eq!(
            (got.status, got.json()["category"].clone()),
            (404, json!("OBJECT_NOT_FOUND")),
            "{method}"
        );
    }
}

#[tokio::test]
async fn subscriptions_that_cannot_be_are_refused() {
    let probe = orderly().await;
    let taken = json!({"eventType": "deal.creation"});
    assert_eq!(probe.post(SUBSCRIPTIONS, taken.clone()).await.status, 201);
    for (body, words) in [
        (json!({"active": true}), "eventType"),
        (json!({"eventType": "contact.explosion"}), "contact.explosion"),
        (json!({"eventType": "product.associationChange"}), "product.associationChange"),
        (json!({"eventType": "event.completed"}), "event.completed"),
        (json!({"eventType": "contact.propertyChange"}), "propertyName is required"),
        (json!({"eventType": "contact.creation", "propertyName": "email"}), "propertyName is only"),
        (json!({"eventType": "object.creation"}), "objectTypeId is required"),
        (
            json!({"eventType": "object.creation", "objectTypeId": "contacts"}),
            "Invalid objectTypeId",
        ),
        (json!({"eventType": "contact.creation", "objectTypeId": "0-1"}), "objectTypeId is only"),
        (taken, "already"),
    ] {
        let got = probe.post(SUBSCRIPTIONS, body).await;
        assert_eq!((got.status, got.json()["category"].clone()), (400, json!("VALIDATION_ERROR")));
        assert!(
            got.json()["message"].as_str().is_some_and(|text| text.contains(words)),
            "{}",
            got.text
        );
    }
    let newer = json!({"eventType": "event.completed"});
    assert_eq!(probe.post("/webhooks/2026-03/54321/subscriptions", newer).await.status, 201);
}

#[tokio::test]
async fn an_app_has_a_thousand_subscriptions_and_no_more() {
    let probe = orderly().await;
    for turn in 0..1_000 {
        let body = json!({"eventType": "deal.propertyChange", "propertyName": format!("p{turn}")});
        assert_eq!(probe.post(SUBSCRIPTIONS, body).await.status, 201, "{turn}");
    }
    assert_eq!(probe.post(SUBSCRIPTIONS, json!({"eventType": "deal.creation"})).await.status, 400);
    let other = "/webhooks/v3/5/subscriptions";
    assert_eq!(probe.post(other, json!({"eventType": "deal.creation"})).await.status, 201);
}

#[tokio::test]
async fn a_batch_switches_many_and_names_the_missing() {
    let probe = orderly().await;
    let id =
        |got: Got| got.json()["id"].as_str().and_then(|id| id.parse::<u64>().ok()).expect("an id");
    let one = id(probe.post(SUBSCRIPTIONS, json!({"eventType": "deal.creation"})).await);
    let two = id(probe.post(SUBSCRIPTIONS, json!({"eventType": "deal.deletion"})).await);
    let path = format!("{SUBSCRIPTIONS}/batch/update");
    let inputs = json!({"inputs": [{"id": one, "active": true}, {"id": two, "active": true}]});
    let all = probe.post(&path, inputs).await;
    assert_eq!((all.status, all.json()["status"].clone()), (200, json!("COMPLETE")));
    let active = |body: &Value| {
        body["results"].as_array().expect("results").iter().all(|each| each["active"] == true)
    };
    assert!(active(&all.json()));
    let some = probe
        .post(&path, json!({"inputs": [{"id": 7, "active": true}, {"id": two, "active": false}]}))
        .await;
    assert_eq!(some.status, 207);
    assert_eq!(some.json()["numErrors"], 1);
    assert_eq!(some.json()["errors"][0]["context"]["ids"], json!(["7"]));
    assert_eq!(some.json()["results"][0]["id"], two.to_string());
    let many: Vec<Value> = (0..101).map(|id| json!({"id": id, "active": true})).collect();
    assert_eq!(probe.post(&path, json!({"inputs": many})).await.status, 400);
}

#[tokio::test]
async fn the_journal_is_said_not_to_be_there() {
    let probe = orderly().await;
    for (method, path) in [
        ("GET", "/webhooks-journal/journal/v4/earliest"),
        ("GET", "/webhooks-journal/journal-local/2026-03/offset/9/next"),
        ("POST", "/webhooks-journal/subscriptions/2026-09"),
    ] {
        let got = probe.call(method, path, None).await;
        assert_eq!(got.status, 501, "{method} {path}");
        assert!(got.text.contains("journal"), "{}", got.text);
    }
}

#[tokio::test]
async fn an_app_through_the_api_hears_what_is_active() {
    let (probe, receiver) = (orderly().await, Receiver::start().await);
    let settings = json!({"targetUrl": receiver.url, "throttling": {"maxConcurrentRequests": 10}});
    probe.call("PUT", SETTINGS, Some(settings)).await;
    let made = probe.post(SUBSCRIPTIONS, json!({"eventType": "contact.creation"})).await.json();
    // Somebody listens, though not to contacts.
    let other = json!({"eventType": "deal.creation", "active": true});
    assert_eq!(probe.post(SUBSCRIPTIONS, other).await.status, 201);
    probe.post("/crm/v3/objects/contacts", create("a@example.com")).await;
    let path = format!("{SUBSCRIPTIONS}/{}", made["id"].as_str().expect("an id"));
    probe.call("PATCH", &path, Some(json!({"active": true}))).await;
    let heard =
        id_of(&probe.post("/crm/v3/objects/contacts", create("b@example.com")).await.json());
    probe.control().flush_webhooks().await;
    let events = receiver.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["objectId"], heard);
    assert_eq!(events[0]["subscriptionId"].to_string(), made["id"].as_str().expect("an id"));
    let body = &receiver.requests()[0];
    let signature =
        crate::emulator::webhooks::sign_v1(crate::emulator::webhooks::SECRET, body.body.as_bytes());
    assert_eq!(body.header("x-hubspot-signature"), signature, "signed with the secret of all apps");
}

#[tokio::test]
async fn changes_of_subscriptions_may_take_their_time() {
    let (probe, receiver) = hearing(Vec::new()).await;
    let control = probe.control();
    let minutes = |count: u64| Duration::from_secs(60 * count);
    control.set_webhook_rules(WebhookRules { settings_lag_ms: 300_000, ..patient() });
    let made = probe
        .post(SUBSCRIPTIONS, json!({"eventType": "contact.creation", "active": true}))
        .await
        .json();
    let id = made["id"].as_str().expect("an id");
    let heard = async |email: &str| {
        receiver.forget();
        probe.post("/crm/v3/objects/contacts", create(email)).await;
        control.flush_webhooks().await;
        receiver.events().len()
    };
    assert_eq!(probe.get(SUBSCRIPTIONS).await.json()["results"][0]["id"], id, "it is told at once");
    control.advance_clock(minutes(4));
    assert_eq!(heard("a@example.com").await, 0);
    control.advance_clock(minutes(1));
    assert_eq!(heard("b@example.com").await, 1);
    let path = format!("{SUBSCRIPTIONS}/{id}");
    assert_eq!(probe.call("DELETE", &path, None).await.status, 204);
    assert_eq!(heard("c@example.com").await, 1);
    control.advance_clock(minutes(5));
    assert_eq!(heard("d@example.com").await, 0);
}
