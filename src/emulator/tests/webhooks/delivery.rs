//! How events travel, and what a test can do about it.

use super::*;

#[tokio::test]
async fn a_delivery_is_signed_both_ways_and_looks_recorded() {
    let (probe, receiver) = hearing(vec![on("contact.creation")]).await;
    let rules = WebhookRules { timestamp_by_emulator_clock: true, ..patient() };
    probe.control().set_webhook_rules(rules.clone());
    probe.post("/crm/v3/objects/contacts", create("ada@example.com")).await;
    assert!(probe.control().flush_webhooks().await);
    let request = &receiver.requests()[0];
    let now = probe.control().now();
    let v1 = crate::emulator::webhooks::sign_v1(SECRET, request.body.as_bytes());
    let v3 = crate::emulator::webhooks::sign_v3(
        SECRET,
        "POST",
        &receiver.url,
        request.body.as_bytes(),
        now,
    );
    assert_eq!(request.header("x-hubspot-signature"), v1);
    assert_eq!(request.header("x-hubspot-signature-version"), "v1");
    assert_eq!(request.header("x-hubspot-request-timestamp"), now.to_string());
    assert_eq!(request.header("x-hubspot-signature-v3"), v3);
    assert_eq!(request.header("content-type"), "application/json");
    assert!(request.header("user-agent").starts_with("HubSpot Connect 2.0"));

    let skewed =
        WebhookRules { timestamp_skew_ms: -300_001, signatures: WebhookSignatures::V3, ..rules };
    probe.control().set_webhook_rules(skewed);
    probe.post("/crm/v3/objects/contacts", create("bob@example.com")).await;
    probe.control().flush_webhooks().await;
    let request = &receiver.requests()[1];
    assert_eq!(request.header("x-hubspot-signature"), "");
    assert_eq!(request.header("x-hubspot-request-timestamp"), (now - 300_001).to_string());
}

#[tokio::test]
async fn requests_hold_at_most_a_hundred_events() {
    let (probe, receiver) = hearing(vec![on("contact.propertyChange").property("lastname")]).await;
    let control = probe.control();
    control.pause_webhooks(true);
    control.bulk_edit("contacts", 250, &values(&[("lastname", "Many")])).expect("an edit");
    assert!(!control.flush_webhooks().await, "they are held back");
    assert_eq!((receiver.requests().len(), control.pending_webhooks().len()), (0, 250));
    control.pause_webhooks(false);
    assert!(control.flush_webhooks().await);
    let mut sizes: Vec<usize> =
        receiver.requests().iter().map(|request| request.events().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
    let deliveries = control.webhook_deliveries(0);
    assert!(deliveries.iter().all(|each| (each.status, each.attempt) == (Some(204), 0)));
    assert_eq!(deliveries.iter().map(|each| each.events).sum::<usize>(), 250);
    assert!(control.webhook_deliveries(2).len() == 1);
}

#[tokio::test]
async fn at_most_so_many_requests_are_in_flight() {
    let (probe, receiver) = hearing(vec![on("contact.propertyChange").property("lastname")]).await;
    let control = probe.control();
    *lock(&receiver.inbox.silent) = true;
    let mut app = receiver.app(vec![on("contact.propertyChange").property("lastname")]);
    app.max_concurrent_requests = 2;
    control.set_webhook_app(&app).expect("an app");
    control.pause_webhooks(true);
    control.bulk_edit("contacts", 290, &values(&[("lastname", "Many")])).expect("an edit");
    control.pause_webhooks(false);
    let flushed = async { assert!(control.flush_webhooks().await) };
    let watched = async {
        while receiver.requests().len() < 2 {
            receiver.inbox.arrived.notified().await;
        }
        // The third waits for one of the two.
        assert_eq!(control.pending_webhooks().len(), 90);
        *lock(&receiver.inbox.silent) = false;
        receiver.inbox.let_go.notify_waiters();
    };
    tokio::join!(flushed, watched);
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test]
async fn whatever_is_not_2xx_is_tried_again_ten_times_in_a_day() {
    let (probe, receiver) = hearing(vec![on("contact.creation")]).await;
    let control = probe.control();
    receiver.answer(&[500, 400, 301, 404, 503, 429, 500, 500, 500, 500, 500]);
    probe.post("/crm/v3/objects/contacts", create("ada@example.com")).await;
    control.flush_webhooks().await;
    let start = control.now();
    let mut attempts = vec![0];
    for attempt in 1..=10 {
        // Not before its time.
        control.flush_webhooks().await;
        assert_eq!(receiver.requests().len(), attempt);
        let pending = control.pending_webhooks();
        let due = pending[0].due_at.expect("a time");
        assert!(due > control.now());
        control.advance_clock(Duration::from_millis((due - control.now()) as u64));
        control.flush_webhooks().await;
        let last = receiver.requests().pop().expect("a request");
        attempts.push(last.events()[0]["attemptNumber"].as_u64().expect("a number"));
    }
    assert_eq!(attempts, (0..=10).collect::<Vec<u64>>());
    assert!(control.now() - start <= 24 * 3_600_000);
    assert_eq!(control.pending_webhooks(), []);
    let deliveries = control.webhook_deliveries(0);
    assert_eq!(deliveries.last().map(|last| (last.given_up, last.retry_at)), Some((1, None)));
    assert_eq!(deliveries[2].status, Some(301), "a redirect is not followed");
}

#[tokio::test]
async fn retries_share_requests_with_fresh_events() {
    let (probe, receiver) = hearing(vec![on("contact.creation")]).await;
    let control = probe.control();
    receiver.answer(&[500]);
    probe.post("/crm/v3/objects/contacts", create("a@example.com")).await;
    control.flush_webhooks().await;
    let attempts = || -> Vec<Value> {
        let last = receiver.requests().pop().expect("a request");
        last.events().iter().map(|event| event["attemptNumber"].clone()).collect()
    };
    probe.post("/crm/v3/objects/contacts", create("b@example.com")).await;
    control.flush_webhooks().await;
    assert_eq!(attempts(), [0], "the other one is not due");
    control.pause_webhooks(true);
    control.advance_clock(Duration::from_secs(3_600));
    probe.post("/crm/v3/objects/contacts", create("c@example.com")).await;
    control.pause_webhooks(false);
    control.flush_webhooks().await;
    assert_eq!(attempts(), [1, 0]);
}

#[tokio::test]
async fn a_slow_receiver_counts_as_failed_and_holds_up_no_shutdown() {
    let (probe, receiver) = hearing(vec![on("contact.creation")]).await;
    let control = probe.control();
    *lock(&receiver.inbox.silent) = true;
    control.set_webhook_rules(WebhookRules { answer_within_ms: 30, ..patient() });
    probe.post("/crm/v3/objects/contacts", create("a@example.com")).await;
    assert!(control.flush_webhooks().await);
    let delivery = &control.webhook_deliveries(0)[0];
    assert_eq!(delivery.status, None);
    assert!(delivery.error.as_deref().is_some_and(|text| text.contains("within 30 ms")));
    assert!(delivery.retry_at.is_some());
    assert_eq!(control.drop_webhook_retries(), 1);
    assert_eq!(control.pending_webhooks(), []);

    let patient = WebhookRules { answer_within_ms: 3_600_000, ..patient() };
    control.set_webhook_rules(patient);
    receiver.forget();
    probe.post("/crm/v3/objects/contacts", create("b@example.com")).await;
    while receiver.requests().is_empty() {
        receiver.inbox.arrived.notified().await;
    }
    let shutdown = probe.emulator.shutdown();
    tokio::time::timeout(Duration::from_secs(60), shutdown).await.expect("an end");
    assert!(!control.flush_webhooks().await, "nothing is sent any more");
}

#[tokio::test]
async fn nobody_at_the_other_end_is_a_failure_too() {
    let (probe, receiver) = hearing(vec![on("contact.creation")]).await;
    let control = probe.control();
    // Nobody but the system may listen on so low a port.
    let url = "http://127.0.0.1:1/".to_owned();
    let app = WebhookApp { target_url: url, ..receiver.app(vec![on("contact.creation")]) };
    control.set_webhook_app(&app).expect("an app");
    probe.post("/crm/v3/objects/contacts", create("a@example.com")).await;
    assert!(control.flush_webhooks().await);
    assert_eq!(control.webhook_deliveries(0)[0].status, None);
    assert_eq!(control.pending_webhooks()[0].attempt, 1);
    // Without settings nothing is ever sent.
    assert_eq!(probe.call("DELETE", SETTINGS, None).await.status, 204);
    assert_eq!(control.pending_webhooks(), []);
}

/// What a receiver sees of a hundred changes, sent while held back.
async fn hundred(rules: WebhookRules) -> Vec<Value> {
    let (probe, receiver) = hearing(vec![on("contact.propertyChange").property("lastname")]).await;
    let control = probe.control();
    control.set_webhook_rules(rules);
    control.pause_webhooks(true);
    control.bulk_edit("contacts", 90, &values(&[("lastname", "Many")])).expect("an edit");
    control.pause_webhooks(false);
    control.flush_webhooks().await;
    let mut requests = receiver.requests();
    // Two requests in flight may arrive either way: the full one was first.
    requests.sort_by_key(|request| std::cmp::Reverse(request.events().len()));
    requests.iter().flat_map(Request::events).collect()
}

#[tokio::test]
async fn doubles_and_disorder_follow_from_the_seed() {
    let orderly = hundred(patient()).await;
    let ids = |events: &[Value], key: &str| -> Vec<u64> {
        events.iter().map(|event| event[key].as_u64().expect("a number")).collect()
    };
    assert!(ids(&orderly, "objectId").is_sorted());
    assert_eq!(orderly.len(), 90);
    let disorderly = WebhookRules { disorder_percent: 30, ..patient() };
    let disorderly = hundred(disorderly).await;
    assert!(!ids(&disorderly, "objectId").is_sorted(), "some fall behind");
    assert_eq!(disorderly.len(), 90);

    let unkind = WebhookRules {
        duplicate_percent: 10,
        disorder_percent: 30,
        shared_event_id_percent: 20,
        missing_source_percent: 20,
        ..WebhookRules::default()
    };
    let first = hundred(unkind.clone()).await;
    assert!(first.len() > 90, "some come twice");
    let mut objects = ids(&first, "objectId");
    objects.sort_unstable();
    objects.dedup();
    assert_eq!(objects.len(), 90, "none is lost");
    let mut event_ids = ids(&first, "eventId");
    event_ids.sort_unstable();
    event_ids.dedup();
    assert!(event_ids.len() < 90, "two objects share an event's id");
    assert!(first.iter().any(|event| event.get("sourceId").is_none()));
    let without_time = |events: Vec<Value>| -> Vec<Value> {
        let strip = |mut event: Value| {
            event["occurredAt"] = json!(0);
            event
        };
        events.into_iter().map(strip).collect()
    };
    assert_eq!(without_time(first), without_time(hundred(unkind).await));
}

#[test]
fn unkindness_is_the_default() {
    let rules = EmulatorConfig::default().webhook_rules;
    assert!(rules.duplicate_percent > 0 && rules.disorder_percent > 0);
    assert_eq!(rules.answer_within_ms, 5_000);
}

#[tokio::test]
async fn lists_are_fired_as_they_are() {
    let (probe, receiver) = hearing(Vec::new()).await;
    let control = probe.control();
    receiver.answer(&[500]);
    let events = vec![json!({"eventId": 1, "attemptNumber": 4, "x": "ü"}), json!(["no event"])];
    control.fire_webhooks(54_321, events.clone()).expect("an app");
    control.flush_webhooks().await;
    assert_eq!(receiver.events(), events);
    control.advance_clock(Duration::from_secs(7_200));
    control.flush_webhooks().await;
    let again: Vec<Value> = receiver.events().split_off(2);
    assert!(again.contains(&json!({"eventId": 1, "attemptNumber": 5, "x": "ü"})), "{again:?}");
    assert!(again.contains(&events[1]));
    assert!(control.fire_webhooks(7, events).is_err(), "nobody to tell");
}

#[tokio::test]
async fn a_snapshot_taken_back_keeps_who_hears() {
    let (probe, receiver) = hearing(vec![on("contact.creation")]).await;
    let control = probe.control();
    control.take_snapshot();
    control.restore_snapshot().expect("a snapshot");
    probe.post("/crm/v3/objects/contacts", create("a@example.com")).await;
    control.flush_webhooks().await;
    assert_eq!(receiver.events().len(), 1);
}

#[tokio::test]
async fn everything_can_be_done_from_outside() {
    let (probe, receiver) = (orderly().await, Receiver::start().await);
    let root = "/_emulator/webhooks";
    let app = json!({"app_id": 9, "client_secret": SECRET, "target_url": receiver.url});
    assert_eq!(probe.post(root, app).await.status, 200);
    let overview = probe.get(root).await.json();
    assert_eq!(overview["apps"][0]["settings"]["targetUrl"], json!(receiver.url));
    assert_eq!(overview["apps"][0]["subscriptions"].as_array().map(Vec::len), Some(36));
    for bad in [
        json!({"target_url": "https://example.com/"}),
        json!({"target_url": receiver.url, "subscriptions": [{"event_type": "x"}]}),
        json!({"target_url": receiver.url, "subscriptions": [{"event_type": "object.creation"}]}),
        json!({"target_url": receiver.url, "surprise": 1}),
    ] {
        assert_eq!(probe.post(root, bad).await.status, 400);
    }
    let at = |path: &str| format!("{root}/{path}");
    probe.post(&at("pause"), json!({})).await;
    probe.post("/_emulator/records/contacts", create("a@example.com")).await;
    assert_eq!(probe.post(&at("flush"), json!({})).await.json()["quiet"], false);
    let pending = probe.get(&at("pending")).await.json();
    assert_eq!(pending["pending"][0]["event"]["subscriptionType"], "contact.creation");
    probe.post(&at("resume"), json!({})).await;
    receiver.answer(&[500]);
    assert_eq!(probe.post(&at("flush"), json!({})).await.json()["quiet"], true);
    let deliveries = probe.get(&at("deliveries?since=0")).await.json();
    assert_eq!(deliveries["deliveries"][0]["status"], 500);
    let dropped = probe.call("DELETE", &at("retries"), None).await.json();
    assert!(dropped["dropped"].as_u64().is_some_and(|count| count > 1));
    probe.call("DELETE", &at("deliveries"), None).await;
    assert_eq!(probe.get(&at("deliveries")).await.json()["deliveries"], json!([]));

    receiver.forget();
    probe.post(&at("fire"), json!({"events": [{"eventId": 7}]})).await;
    probe.post(&at("flush"), json!({})).await;
    assert_eq!(receiver.requests()[0].body, r#"[{"eventId":7}]"#);
    let rules = probe.post(&at("rules"), json!({"duplicate_percent": 50})).await.json();
    assert_eq!(rules["duplicate_percent"], 50);
    assert_eq!(probe.get(&at("rules")).await.json(), rules);
    probe.call("DELETE", root, None).await;
    assert_eq!(probe.post(&at("fire"), json!({"events": []})).await.status, 400);
    assert_eq!(probe.get(&at("nothing")).await.status, 404);
}

#[tokio::test]
async fn an_app_may_be_there_from_the_start() {
    let receiver = Receiver::start().await;
    let config = EmulatorConfig {
        webhooks: Some(WebhookApp::new(&receiver.url)),
        webhook_secret: Some(SECRET.to_owned()),
        ..quiet()
    };
    let probe = Probe::start(config.clone()).await;
    probe.post("/crm/v3/objects/contacts", create("a@example.com")).await;
    probe.control().flush_webhooks().await;
    let first = &receiver.requests()[0];
    let signature = crate::emulator::webhooks::sign_v1(SECRET, first.body.as_bytes());
    assert_eq!(first.header("x-hubspot-signature"), signature);

    let elsewhere = WebhookApp::new("https://example.com/hook");
    let refused = Emulator::start(EmulatorConfig { webhooks: Some(elsewhere), ..config }).await;
    let Err(EmulatorError::Webhooks(error)) = refused else { panic!("it never calls out") };
    assert!(error.to_string().contains("never calls out"));
}
