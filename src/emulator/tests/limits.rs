//! Credentials, limits, headers, URL length.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_token_is_needed() {
    let probe = Probe::start(EmulatorConfig { token: Some("secret".to_owned()), ..quiet() }).await;
    let url = format!("{}/crm/v3/objects/contacts", probe.emulator.url());
    let got = probe.send(probe.client.get(&url)).await.expect("an answer");
    assert_eq!(
        (got.status, got.json()["category"].clone()),
        (401, json!("INVALID_AUTHENTICATION"))
    );
    assert_eq!(got.header("x-hubspot-auth-failure"), Some("401 Unauthorized"));
    assert_eq!(got.header("x-hubspot-ratelimit-max"), None);
    assert_eq!(got.header("x-hubspot-correlation-id"), got.json()["correlationId"].as_str());

    let wrong = probe.client.get(&url).header("Authorization", "Bearer other");
    let got = probe.send(wrong).await.expect("an answer");
    assert_eq!(
        (got.status, got.json()["category"].clone()),
        (401, json!("EXPIRED_AUTHENTICATION"))
    );
    assert!(got.json()["context"]["expire time"][0].is_string());

    let right = probe.client.get(&url).header("Authorization", "Bearer secret");
    assert_eq!(probe.send(right).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn the_burst_limit_is_kept_and_told() {
    let probe = Probe::start(EmulatorConfig { limit_per_ten_seconds: 3, ..quiet() }).await;
    let control = probe.control();
    control.stop_clock(true);
    for left in ["2", "1", "0"] {
        let got = probe.get("/crm/v3/owners").await;
        assert_eq!(got.header("x-hubspot-ratelimit-remaining"), Some(left));
        assert_eq!(got.header("x-hubspot-ratelimit-max"), Some("3"));
        assert_eq!(got.header("x-hubspot-ratelimit-interval-milliseconds"), Some("10000"));
    }
    let got = probe.get("/crm/v3/owners").await;
    assert_eq!(got.status, 429);
    assert_eq!(got.json()["policyName"], "TEN_SECONDLY_ROLLING");
    assert_eq!(got.json()["errorType"], "RATE_LIMIT");
    assert_eq!(got.header("retry-after"), None);
    control.advance_clock(Duration::from_secs(10));
    assert_eq!(probe.get("/crm/v3/owners").await.status, 200);
    let log = control.log(0);
    assert_eq!((log.refused_for_rate, log.most_in_ten_seconds), (1, 4));
    assert_eq!(log.counts["owners.list"], [(200, 4), (429, 1)].into());
}

#[tokio::test]
async fn searches_are_counted_by_the_second_and_tell_nothing() {
    let probe = Probe::start(EmulatorConfig { searches_per_second: 2, ..quiet() }).await;
    probe.control().stop_clock(true);
    let search = || probe.post("/crm/v3/objects/deals/search", json!({}));
    for _ in 0..2 {
        let got = search().await;
        assert_eq!(got.status, 200);
        assert!(got.headers.keys().all(|name| !name.as_str().contains("ratelimit")));
    }
    let got = search().await;
    assert_eq!((got.status, got.json()["category"].clone()), (429, json!("RATE_LIMITS")));
    assert_eq!(got.json().get("policyName"), None);
    assert_eq!(got.header("retry-after"), None);
    probe.control().advance_clock(Duration::from_secs(1));
    assert_eq!(search().await.status, 200);
}

#[tokio::test]
async fn the_day_has_an_end() {
    let probe = Probe::start(EmulatorConfig { daily_limit: 2, ..quiet() }).await;
    probe.get("/crm/v3/owners").await;
    let usage = probe.get("/account-info/v3/api-usage/daily/private-apps").await.json();
    assert_eq!(usage["results"][0]["currentUsage"], 2);
    assert_eq!(usage["results"][0]["usageLimit"], 2);
    let got = probe.get("/crm/v3/owners").await;
    assert_eq!((got.status, got.json()["policyName"].clone()), (429, json!("DAILY")));
    probe.control().advance_clock(Duration::from_secs(86_400));
    assert_eq!(probe.get("/crm/v3/owners").await.status, 200);
}

#[tokio::test]
async fn long_urls_are_414_in_html() {
    let probe = Probe::quiet().await;
    let path = format!("/crm/v3/objects/contacts?properties={}", "a,".repeat(5_000));
    let got = probe.get(&path).await;
    assert_eq!(got.status, 414);
    assert!(got.text.contains("<title>414 Request-URI Too Large</title>"));
}

#[tokio::test]
async fn the_account_tells_who_it_is() {
    let probe = Probe::start(EmulatorConfig { portal_id: 4711, ..quiet() }).await;
    for path in ["/account-info/v3/details", "/account-info/2026-03/details"] {
        let details = probe.get(path).await.json();
        assert_eq!(details["portalId"], 4711);
        assert_eq!(details["timeZone"], "US/Eastern");
    }
}

#[tokio::test]
async fn an_unknown_time_zone_is_refused() {
    let config = EmulatorConfig { time_zone: "Mars/Olympus".to_owned(), ..quiet() };
    let error = Emulator::start(config).await.err().map(|error| error.to_string());
    assert_eq!(
        error.as_deref(),
        Some("`Mars/Olympus` is not a time zone: use an IANA name such as `Europe/Berlin`")
    );
}

#[tokio::test]
async fn the_control_side_is_free_and_speaks_json() {
    let probe = Probe::start(EmulatorConfig { limit_per_ten_seconds: 0, ..quiet() }).await;
    assert_eq!(probe.get("/_emulator/health").await.json()["status"], "ok");
    let limits = probe.post("/_emulator/limits", json!({"per_ten_seconds": 50})).await.json();
    assert_eq!(limits["per_ten_seconds"], 50);
    let created = probe
        .post("/_emulator/records/contacts", json!({"properties": {"email": "c@x.example"}}))
        .await;
    let id = created.json()["id"].as_str().expect("an id").to_owned();
    let edited = probe
        .post(
            &format!("/_emulator/records/contacts/{id}"),
            json!({"properties": {"lifecyclestage": "customer"}}),
        )
        .await;
    assert_eq!(edited.status, 200);
    let back = json!({"properties": {"lifecyclestage": "lead"}});
    probe.post(&format!("/_emulator/records/contacts/{id}"), back).await;
    let record = probe.get(&format!("/_emulator/record/contacts/{id}")).await.json();
    assert_eq!(record["properties"]["lifecyclestage"], "lead", "a person may move it back");
    assert_eq!(probe.get("/_emulator/record/contacts/1").await.status, 404);
    assert_eq!(probe.get("/_emulator/nothing").await.status, 400);
    assert_eq!(probe.get("/_emulator/log").await.json()["total"], 0);
}
