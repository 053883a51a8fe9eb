//! Search: operators, limits, lag.

use serde_json::json;

use super::*;

const SEARCH: &str = "/crm/v3/objects/contacts/search";

async fn search(probe: &Probe, body: Value) -> Got {
    probe.post(SEARCH, body).await
}

fn filter(name: &str, operator: &str, value: &str) -> Value {
    json!({"propertyName": name, "operator": operator, "value": value})
}

async fn count(probe: &Probe, filters: Value) -> u64 {
    let got = search(probe, json!({"filterGroups": [{"filters": filters}], "limit": 1})).await;
    assert_eq!(got.status, 200, "{}", got.text);
    got.json()["total"].as_u64().expect("a total")
}

#[tokio::test]
async fn a_window_by_keyset_sees_every_record_once() {
    let probe = Probe::quiet().await;
    let (low, high) = ("1700000000000", "1767225600000");
    let window = json!({"propertyName": "lastmodifieddate", "operator": "BETWEEN", "value": low, "highValue": high});
    let mut last = 0;
    let mut seen = 0;
    loop {
        let filters = json!([window, filter("hs_object_id", "GT", &last.to_string())]);
        let sorts = json!([{"propertyName": "hs_object_id", "direction": "ASCENDING"}]);
        let body = json!({"filterGroups": [{"filters": filters}], "sorts": sorts, "limit": 20, "properties": ["email"]});
        let page = search(&probe, body).await.json();
        let records = page["results"].as_array().expect("results").clone();
        let Some(record) = records.last() else { break };
        for record in &records {
            assert!(id_of(record) > last);
            last = id_of(record);
            let modified = record["properties"]["lastmodifieddate"].as_str().expect("always there");
            assert!(
                super::super::moment::parse(modified).is_some_and(|at| at >= 1_700_000_000_000)
            );
        }
        last = id_of(record);
        seen += records.len() as u64;
    }
    assert_eq!(seen, count(&probe, json!([window])).await);
    assert!(seen > 100);
}

#[tokio::test]
async fn a_change_shows_only_after_the_lag() {
    let probe = Probe::start(EmulatorConfig { index_lag: Duration::from_secs(3), ..quiet() }).await;
    let control = probe.control();
    control.stop_clock(true);
    let id = probe.some_contact().await;
    control.edit_record("contacts", id, &values(&[("jobtitle", "Unheard of")])).expect("an edit");
    let created = control
        .create_record("contacts", &values(&[("email", "late@x.example")]))
        .expect("a create");
    let job = json!([filter("jobtitle", "EQ", "unheard OF")]);
    let email = json!([filter("email", "EQ", "late@x.example")]);
    let window = json!([filter("lastmodifieddate", "GTE", &control.now().to_string())]);
    for filters in [&job, &email, &window] {
        assert_eq!(count(&probe, filters.clone()).await, 0);
    }
    control.advance_clock(Duration::from_millis(2_999));
    assert_eq!(count(&probe, job.clone()).await, 0);
    control.advance_clock(Duration::from_millis(1));
    assert_eq!(count(&probe, job).await, 1);
    assert_eq!(count(&probe, window).await, 2);

    control.archive_record("contacts", created).expect("it is live");
    let got = search(&probe, json!({"filterGroups": [{"filters": email}]})).await.json();
    assert_eq!(
        (got["total"].clone(), got["results"].clone()),
        (json!(1), json!([])),
        "counted, not shown"
    );
    control.advance_clock(Duration::from_secs(3));
    assert_eq!(count(&probe, email).await, 0);
}

#[tokio::test]
async fn operators() {
    let probe = Probe::quiet().await;
    let all = count(&probe, json!([])).await;
    let email = json!({"propertyName": "email", "operator": "HAS_PROPERTY"});
    let none = json!({"propertyName": "email", "operator": "NOT_HAS_PROPERTY"});
    let with = count(&probe, json!([email])).await;
    assert!(with < all && with > all / 2);
    assert_eq!(with + count(&probe, json!([none])).await, all);

    let customers = count(&probe, json!([filter("lifecyclestage", "EQ", "customer")])).await;
    assert!(customers > 0);
    assert_eq!(
        count(&probe, json!([filter("lifecyclestage", "EQ", "Customer")])).await,
        0,
        "enums keep case"
    );
    assert_eq!(
        count(&probe, json!([filter("lifecyclestage", "NEQ", "customer")])).await,
        all - customers
    );
    let either =
        json!({"propertyName": "lifecyclestage", "operator": "IN", "values": ["customer", "lead"]});
    let neither = json!({"propertyName": "lifecyclestage", "operator": "NOT_IN", "values": ["customer", "lead"]});
    assert_eq!(count(&probe, json!([either])).await + count(&probe, json!([neither])).await, all);

    let lower = json!({"propertyName": "city", "operator": "IN", "values": ["berlin"]});
    let upper = json!({"propertyName": "city", "operator": "IN", "values": ["Berlin"]});
    assert!(count(&probe, json!([lower])).await > 0);
    assert_eq!(count(&probe, json!([upper])).await, 0, "IN wants lower case");
    assert!(count(&probe, json!([filter("city", "EQ", "BERLIN")])).await > 0, "EQ does not care");

    let low = count(&probe, json!([filter("numemployees", "LT", "2500")])).await;
    let high = count(&probe, json!([filter("numemployees", "GTE", "2500")])).await;
    let has =
        count(&probe, json!([{"propertyName": "numemployees", "operator": "HAS_PROPERTY"}])).await;
    assert_eq!(low + high, has);
    assert!(count(&probe, json!([filter("email", "CONTAINS_TOKEN", "*keller*")])).await > 0);
    assert!(count(&probe, json!([filter("jobtitle", "CONTAINS_TOKEN", "sales")])).await > 0);
    assert_eq!(count(&probe, json!([filter("jobtitle", "CONTAINS_TOKEN", "sale")])).await, 0);
}

#[tokio::test]
async fn associates_can_be_asked_for() {
    let probe = Probe::quiet().await;
    let company = id_of(&probe.get("/crm/v3/objects/companies?limit=1").await.json()["results"][0]);
    let found =
        count(&probe, json!([filter("associations.company", "EQ", &company.to_string())])).await;
    let path = format!("/crm/v4/objects/companies/{company}/associations/contacts");
    let listed = probe.get(&path).await.json()["results"].as_array().map(Vec::len);
    assert_eq!(Some(found as usize), listed);
    assert!(found > 1);
}

#[tokio::test]
async fn words_are_looked_for() {
    let probe = Probe::quiet().await;
    let got = search(
        &probe,
        json!({"query": "keller", "limit": 100, "properties": ["lastname", "email"]}),
    )
    .await;
    let records = got.json()["results"].as_array().expect("results").clone();
    assert!(!records.is_empty());
    assert!(
        records
            .iter()
            .all(|record| record["properties"].to_string().to_lowercase().contains("keller"))
    );
}

#[tokio::test]
async fn limits_are_kept() {
    let probe = Probe::quiet().await;
    let one = filter("email", "EQ", "x");
    let group = |size: usize| json!({"filters": vec![one.clone(); size]});
    for (body, status) in [
        (json!({"filterGroups": vec![group(1); 5]}), 200),
        (json!({"filterGroups": vec![group(1); 6]}), 400),
        (json!({"filterGroups": [group(6), group(6), group(6)]}), 200),
        (json!({"filterGroups": [group(7)]}), 400),
        (json!({"filterGroups": [group(6), group(6), group(6), group(1)]}), 400),
        (json!({"limit": 200}), 200),
        (json!({"limit": 201}), 400),
        (json!({"limit": 100, "after": "9900"}), 200),
        (json!({"limit": 100, "after": 9901}), 400),
        (json!({"sorts": ["email", "city"]}), 400),
        (json!({"sorts": ["nope"]}), 400),
        (json!({"filterGroups": [{"filters": [filter("nope", "EQ", "x")]}]}), 400),
        (json!({"filterGroups": [{"filters": [filter("email", "LIKE", "x")]}]}), 400),
        (json!({"filterGroups": [{"filters": [filter("email", "EQ", " ")]}]}), 400),
        (json!({"properties": vec!["x"; 1_000]}), 400),
    ] {
        let got = search(&probe, body.clone()).await;
        assert_eq!(got.status, status, "{body}: {}", got.text);
    }
}

#[tokio::test]
async fn pages_go_by_offset() {
    let probe = Probe::quiet().await;
    let body = |after: u64| {
        let sorts = json!([{"propertyName": "createdate", "direction": "DESCENDING"}]);
        json!({"sorts": sorts, "limit": 200, "after": after.to_string()})
    };
    let first = search(&probe, body(0)).await.json();
    assert_eq!(first["paging"], json!({"next": {"after": "200"}}));
    let second = search(&probe, body(200)).await.json();
    assert!(second.get("paging").is_none());
    let total = first["total"].as_u64().expect("a total");
    let shown = [&first, &second].map(|page| page["results"].as_array().map_or(0, Vec::len) as u64);
    assert_eq!(shown.iter().sum::<u64>(), total);
    let dates: Vec<&str> = first["results"]
        .as_array()
        .expect("results")
        .iter()
        .filter_map(|r| r["createdAt"].as_str())
        .collect();
    assert!(dates.windows(2).all(|pair| pair[0] >= pair[1]));
}

#[tokio::test]
async fn totals_are_now_and_then_wrong() {
    let config = EmulatorConfig { wrong_totals: true, ..quiet() };
    let right = super::super::seeded_contacts(&config).count() as u64;
    let probe = Probe::start(config).await;
    let mut wrong = 0;
    for limit in 1..=100 {
        let total = search(&probe, json!({"limit": limit})).await.json()["total"].as_u64();
        assert!(total >= Some(right));
        wrong += usize::from(total != Some(right));
    }
    assert!((1..40).contains(&wrong), "{wrong} of 100");
}

#[tokio::test]
async fn a_bulk_edit_stamps_one_millisecond() {
    let probe = Probe::quiet().await;
    let control = probe.control();
    let edited =
        control.bulk_edit("contacts", 150, &values(&[("jobtitle", "Bulk")])).expect("an edit");
    assert_eq!(edited, 150);
    let body =
        json!({"filterGroups": [{"filters": [filter("jobtitle", "EQ", "bulk")]}], "limit": 200});
    let records = search(&probe, body).await.json()["results"].as_array().expect("results").clone();
    assert_eq!(records.len(), 150);
    assert!(records.iter().all(|record| record["updatedAt"] == records[0]["updatedAt"]));
}

#[tokio::test]
async fn odd_searches_are_refused() {
    let probe = Probe::quiet().await;
    let one = filter("email", "EQ", "x");
    for body in [
        json!({"filters": vec![one.clone(); 7]}),
        json!({"filters": [filter("createdate", "GT", "yesterday")]}),
        json!({"filters": [filter("numemployees", "GT", "many")]}),
        json!({"filters": [{"propertyName": "email", "operator": "EQ"}]}),
        json!({"filters": [{"propertyName": "email", "operator": "IN", "value": "x"}]}),
        json!({"filters": [{"propertyName": "createdate", "operator": "BETWEEN", "value": "1"}]}),
        json!({"after": "-1"}),
        json!({"query": "q".repeat(3_001)}),
    ] {
        assert_eq!(search(&probe, body.clone()).await.status, 400, "{body}");
    }
    let blank = search(&probe, json!({"filters": [filter("phone", "EQ", "")]})).await.json();
    assert_eq!(
        blank["message"],
        "value must be non-empty and non-blank, if specified {propertyName: 'phone'}"
    );
    let epoch = json!({"filters": [filter("lastmodifieddate", "GTE", "0")]});
    assert_eq!(search(&probe, epoch.clone()).await.status, 500);
    probe.post("/_emulator/rules", json!({"epoch_filter_fails": false})).await;
    assert_eq!(search(&probe, epoch).await.status, 200);
    for (of, name, status) in [
        ("emails", "hs_email_html", 400),
        ("emails", "hs_body_preview", 400),
        ("notes", "hs_body_preview_html", 400),
        ("notes", "hs_body_preview", 200),
    ] {
        let has = json!({"filters": [{"propertyName": name, "operator": "HAS_PROPERTY"}]});
        let got = probe.post(&format!("/crm/v3/objects/{of}/search"), has).await;
        assert_eq!(got.status, status, "{of} {name}");
    }
}

#[tokio::test]
async fn times_are_taken_both_ways_and_between_includes_its_ends() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let record = probe.get(&format!("/crm/v3/objects/contacts/{id}")).await.json();
    let iso = record["updatedAt"].as_str().expect("a time");
    let millis = super::super::moment::parse(iso).expect("a time").to_string();
    let exact = count(&probe, json!([filter("lastmodifieddate", "EQ", iso)])).await;
    assert!(exact > 0);
    assert_eq!(count(&probe, json!([filter("lastmodifieddate", "EQ", &millis)])).await, exact);
    let between = json!({"propertyName": "lastmodifieddate", "operator": "BETWEEN", "value": millis, "highValue": iso});
    assert_eq!(count(&probe, json!([between])).await, exact);
    assert_eq!(
        count(&probe, json!([filter("email", "NOT_CONTAINS_TOKEN", "*@*")])).await,
        count(&probe, json!([{"propertyName": "email", "operator": "NOT_HAS_PROPERTY"}])).await
    );
    let all = count(&probe, json!([])).await;
    let negated = json!([filter("email", "NEQ", "nobody@x.example")]);
    assert_eq!(count(&probe, negated.clone()).await, all, "matches what has none");
    probe.post("/_emulator/rules", json!({"negations_match_empty": false})).await;
    assert!(count(&probe, negated).await < all);
}

#[tokio::test]
async fn every_type_is_searched_with_its_own_defaults() {
    let probe = Probe::quiet().await;
    for (of, names) in [
        (
            "contacts",
            vec![
                "createdate",
                "email",
                "firstname",
                "hs_object_id",
                "lastmodifieddate",
                "lastname",
            ],
        ),
        ("companies", vec!["createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"]),
        (
            "deals",
            vec![
                "amount",
                "closedate",
                "createdate",
                "dealname",
                "dealstage",
                "hs_lastmodifieddate",
                "hs_object_id",
                "pipeline",
            ],
        ),
        (
            "tickets",
            vec![
                "content",
                "createdate",
                "hs_lastmodifieddate",
                "hs_object_id",
                "hs_pipeline",
                "hs_pipeline_stage",
                "hs_ticket_category",
                "hs_ticket_priority",
                "subject",
            ],
        ),
    ] {
        let got = probe.post(&format!("/crm/v3/objects/{of}/search"), json!({})).await.json();
        let properties = got["results"][0]["properties"].as_object().expect("properties");
        assert_eq!(properties.keys().collect::<Vec<_>>(), names, "{of}");
        assert_eq!(got["results"].as_array().map(Vec::len), Some(10));
        let ids: Vec<u64> = got["results"].as_array().expect("results").iter().map(id_of).collect();
        assert!(ids.is_sorted(), "{of}: oldest first");
    }
    probe
        .control()
        .create_record("companies", &values(&[("name", "Zyx"), ("domain", "zyx.example")]))
        .expect("one");
    let found =
        probe.post("/crm/v3/objects/companies/search", json!({"query": "ZYX"})).await.json();
    assert_eq!(found["total"], 1);
}
