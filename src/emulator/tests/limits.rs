//! Credentials, limits, headers, URL length.

use serde_json::json;

use super::super::{Fault, FaultAction, Limits, OAuthApp};
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
    assert_eq!(probe.get("/_emulator/nothing").await.status, 404);
    assert_eq!(probe.get("/_emulator/log").await.json()["total"], 0);
}

/// A call with another token than usual.
async fn get_with(probe: &Probe, token: &str, path: &str) -> Got {
    let request = probe.client.get(format!("{}{path}", probe.emulator.url())).bearer_auth(token);
    read(request.send().await.expect("an answer")).await.expect("a body")
}

#[tokio::test]
async fn every_private_app_has_its_own_burst_and_all_share_the_day() {
    let limits = EmulatorConfig { limit_per_ten_seconds: 2, daily_limit: 3, ..quiet() };
    let probe = Probe::start(limits).await;
    probe.control().stop_clock(true);
    let owners = "/crm/v3/owners";
    for token in ["a", "a", "b"] {
        assert_eq!(get_with(&probe, token, owners).await.status, 200);
    }
    let got = get_with(&probe, "b", owners).await;
    assert_eq!((got.status, got.json()["policyName"].clone()), (429, json!("DAILY")));
}

#[tokio::test]
async fn oauth_apps_share_one_burst_and_are_told_of_no_day() {
    let probe = Probe::start(EmulatorConfig { daily_limit: 1, ..quiet() }).await;
    let control = probe.control();
    control.stop_clock(true);
    assert_eq!(control.limits().oauth_per_ten_seconds, 110);
    control.set_limits(Limits { oauth_per_ten_seconds: 2, ..control.limits() });
    let installed =
        OAuthApp { refresh_token: Some("na1-kept".to_owned()), ..OAuthApp::new("app-1", "s3cret") };
    control.declare_app(installed);
    let refresh = async || {
        let form =
            "grant_type=refresh_token&client_id=app-1&client_secret=s3cret&refresh_token=na1-kept";
        let url = format!("{}/oauth/v3/token", probe.emulator.url());
        let got = probe.client.post(url).body(form).send().await.expect("an answer");
        let got = read(got).await.expect("a body").json();
        got["access_token"].as_str().expect("a token").to_owned()
    };
    for (token, left) in [(refresh().await, "1"), (refresh().await, "0")] {
        let got = get_with(&probe, &token, "/crm/v3/owners").await;
        assert_eq!(got.status, 200);
        assert_eq!(got.header("x-hubspot-ratelimit-max"), Some("2"));
        assert_eq!(got.header("x-hubspot-ratelimit-remaining"), Some(left));
        assert_eq!(got.header("x-hubspot-ratelimit-daily"), None);
        assert_eq!(got.header("x-hubspot-ratelimit-daily-remaining"), None);
    }
    let got = get_with(&probe, &refresh().await, "/crm/v3/owners").await;
    assert_eq!(
        (got.status, got.json()["policyName"].clone()),
        (429, json!("TEN_SECONDLY_ROLLING"))
    );
    let got = probe.get("/crm/v3/owners").await;
    assert_eq!(got.status, 200, "the day is still whole");
    assert_eq!(got.header("x-hubspot-ratelimit-daily-remaining"), Some("0"));
}

#[tokio::test]
async fn bodies_of_429() {
    let limits = EmulatorConfig { limit_per_ten_seconds: 0, searches_per_second: 0, ..quiet() };
    let probe = Probe::start(limits).await;
    let got = probe.get("/crm/v3/owners").await;
    let body = got.json();
    assert_eq!(
        body,
        json!({
            "status": "error",
            "message": "You have reached your ten_secondly_rolling limit.",
            "correlationId": body["correlationId"],
            "errorType": "RATE_LIMIT",
            "policyName": "TEN_SECONDLY_ROLLING",
            "groupName": "publicapi:private-apps-api-calls",
            "requestId": body["requestId"],
        })
    );
    assert!(body["requestId"].is_string());
    assert!(got.headers.keys().all(|name| !name.as_str().contains("ratelimit")));
    let got = probe.post("/crm/v3/objects/deals/search", json!({})).await;
    let body = got.json();
    assert_eq!(
        body,
        json!({
            "status": "error",
            "message": "You have reached your secondly limit.",
            "correlationId": body["correlationId"],
            "category": "RATE_LIMITS",
        })
    );
    assert!(got.headers.keys().all(|name| !name.as_str().contains("ratelimit")));
}

#[tokio::test]
async fn retry_after_comes_on_request() {
    let config = EmulatorConfig {
        limit_per_ten_seconds: 1,
        searches_per_second: 1,
        time_zone: "UTC".to_owned(),
        ..quiet()
    };
    let probe = Probe::start(config).await;
    let control = probe.control();
    control.stop_clock(true);
    let set = probe.post("/_emulator/limits", json!({"retry_after": true})).await.json();
    assert_eq!(set["retry_after"], true);
    probe.get("/crm/v3/owners").await;
    control.advance_clock(Duration::from_millis(2_500));
    assert_eq!(probe.get("/crm/v3/owners").await.header("retry-after"), Some("8"));
    probe.post("/crm/v3/objects/deals/search", json!({})).await;
    let got = probe.post("/crm/v3/objects/deals/search", json!({})).await;
    assert_eq!((got.status, got.header("retry-after")), (429, Some("1")));
    probe.post("/_emulator/limits", json!({"daily": 0})).await;
    let day = 86_400_000;
    let left = (day - control.now() % day + 999) / 1_000;
    assert_eq!(probe.get("/crm/v3/owners").await.header("retry-after"), Some(&*left.to_string()));
}

#[tokio::test]
async fn missing_scopes_on_order_tell_nothing_of_limits() {
    let probe = Probe::quiet().await;
    let action = FaultAction::ScopesMissing { scopes: vec!["crm.lists.read".to_owned()] };
    let path = "/crm/v3/lists*".to_owned();
    probe.control().add_fault(Fault { method: None, path, action, skip: 0, times: Some(1) });
    let got = probe.get("/crm/v3/lists").await;
    assert_eq!(got.status, 403);
    assert!(got.headers.keys().all(|name| !name.as_str().contains("ratelimit")));
    assert!(probe.get("/crm/v3/lists").await.header("x-hubspot-ratelimit-max").is_some());
}

#[tokio::test]
async fn association_batches_may_have_their_own_budget() {
    let probe = Probe::start(EmulatorConfig { limit_per_ten_seconds: 1, ..quiet() }).await;
    probe.control().stop_clock(true);
    let read = "/crm/v4/associations/contacts/deals/batch/read";
    let inputs = json!({"inputs": [{"id": "1"}]});
    assert_eq!(probe.post(read, inputs.clone()).await.status, 207);
    assert_eq!(probe.post(read, inputs.clone()).await.status, 429, "as any other call");
    let own = json!({"association_batches_per_ten_seconds": 1});
    assert_eq!(
        probe.post("/_emulator/limits", own).await.json()["association_batches_per_ten_seconds"],
        1
    );
    let got = probe.post(read, inputs.clone()).await;
    assert_eq!((got.status, got.header("x-hubspot-ratelimit-max")), (207, None));
    assert_eq!(probe.post(read, inputs).await.json()["policyName"], "TEN_SECONDLY_ROLLING");
    let none = json!({"association_batches_per_ten_seconds": null});
    let limits = probe.post("/_emulator/limits", none).await.json();
    assert_eq!(limits["association_batches_per_ten_seconds"], Value::Null);
}

#[tokio::test]
async fn the_day_is_reset_at_midnight_of_the_accounts_zone() {
    let config =
        EmulatorConfig { daily_limit: 2, time_zone: "Asia/Kathmandu".to_owned(), ..quiet() };
    let probe = Probe::start(config).await;
    let control = probe.control();
    control.stop_clock(true);
    let usage = probe.get("/account-info/v3/api-usage/daily/private-apps").await.json();
    let resets = usage["results"][0]["resetsAt"].as_str().expect("a time").to_owned();
    assert!(resets.ends_with("T18:15:00Z"), "{resets}");
    let resets = chrono::DateTime::parse_from_rfc3339(&resets).expect("a time").timestamp_millis();
    assert_eq!(probe.get("/crm/v3/owners").await.status, 200);
    control.advance_clock(Duration::from_millis((resets - control.now() - 1) as u64));
    assert_eq!(probe.get("/crm/v3/owners").await.status, 429);
    control.advance_clock(Duration::from_millis(1));
    assert_eq!(probe.get("/crm/v3/owners").await.status, 200);
}

#[tokio::test]
async fn latency_is_ordered_in_several_forms() {
    let latency = "20ms..2s".parse().expect("a range");
    let probe = Probe::start(EmulatorConfig { latency, ..quiet() }).await;
    let limits = probe.get("/_emulator/limits").await.json();
    assert_eq!(limits["latency"], json!({"p0_ms": 20, "p100_ms": 2_000}));
    assert_eq!(limits["latency_ms"], 1_010);
    let percentiles = json!({"p50_ms": 80, "p95_ms": 300, "p99_ms": 1_500});
    for (order, told, median) in [
        (json!({"latency": percentiles}), percentiles.clone(), 80),
        (json!({"latency": "1s..3s"}), json!({"p0_ms": 1_000, "p100_ms": 3_000}), 2_000),
        (json!({"latency_ms": 7}), json!({"p50_ms": 7}), 7),
        (json!({"latency_ms": 0}), json!({"p50_ms": 0}), 0),
    ] {
        let limits = probe.post("/_emulator/limits", order).await.json();
        assert_eq!((&limits["latency"], &limits["latency_ms"]), (&told, &json!(median)));
    }
    for wrong in [json!({"latency": "soon"}), json!({"latency": {"p95_ms": 2, "p99_ms": 1}})] {
        assert_eq!(probe.post("/_emulator/limits", wrong).await.status, 400);
    }
    let started = std::time::Instant::now();
    probe.control().set_latency(Duration::from_millis(30));
    assert_eq!(probe.get("/crm/v3/owners").await.status, 200);
    assert!(started.elapsed() >= Duration::from_millis(30));
    assert_eq!(probe.get("/_emulator/health").await.json()["latency_ms"], 30);
}
