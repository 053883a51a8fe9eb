//! Single records, lists, and the rules for values.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

async fn walk(probe: &Probe, path: &str) -> Vec<Value> {
    let mut records = Vec::new();
    let mut after = String::new();
    loop {
        let page = probe.get(&format!("{path}&after={after}")).await.json();
        records.extend(page["results"].as_array().expect("results").iter().cloned());
        match page["paging"]["next"]["after"].as_str() {
            Some(next) => after = next.to_owned(),
            None => {
                assert!(page.get("paging").is_none(), "absent, not null");
                return records;
            }
        }
    }
}

#[tokio::test]
async fn a_walk_sees_every_live_record_once_in_order() {
    let probe = Probe::quiet().await;
    let live = walk(&probe, "/crm/v3/objects/contacts?limit=7").await;
    let archived = walk(&probe, "/crm/v3/objects/contacts?limit=100&archived=true").await;
    let ids: Vec<u64> = live.iter().map(id_of).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(live.len() + archived.len(), 300);
    assert!(archived.iter().all(|record| record["archivedAt"].is_string()));
    assert!(ids[0] > u64::from(u32::MAX), "larger than 32 bits");
}

#[tokio::test]
async fn the_same_seed_makes_the_same_account() {
    let (one, two) = (Probe::quiet().await, Probe::quiet().await);
    let path =
        "/crm/v3/objects/contacts?limit=50&properties=email,phone,hs_object_id,contract_start";
    assert_eq!(one.get(path).await.text, two.get(path).await.text);
    let other = Probe::start(EmulatorConfig { seed: 2, ..quiet() }).await;
    assert_ne!(one.get(path).await.text, other.get(path).await.text);
}

#[tokio::test]
async fn values_are_texts_or_null_and_unknown_names_are_dropped() {
    // All names at once are longer than a URL may be.
    let probe = Probe::start(EmulatorConfig { url_limit: 100_000, ..quiet() }).await;
    let names: Vec<String> = probe.get("/crm/v3/properties/contacts").await.json()["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|property| property["name"].as_str().expect("a name").to_owned())
        .collect();
    assert!(names.len() >= 300, "{}", names.len());
    let path = format!("/crm/v3/objects/contacts?limit=100&properties=nope,{}", names.join(","));
    let records = walk(&probe, &path).await;
    for record in &records {
        let properties = record["properties"].as_object().expect("properties");
        assert_eq!(properties.len(), names.len());
        assert!(properties.values().all(|value| value.is_string() || value.is_null()));
        assert!(!properties.contains_key("nope"));
        assert_eq!(record["updatedAt"], properties["lastmodifieddate"]);
        assert!(record["updatedAt"].as_str() < Some("2026-01-01"), "nothing lies ahead of 2026");
    }
    let distinct: BTreeSet<&str> =
        records.iter().filter_map(|record| record["properties"]["firstname"].as_str()).collect();
    assert!(distinct.len() > 30, "names are spread: {distinct:?}");
}

#[tokio::test]
async fn a_list_brings_a_few_properties_unasked() {
    let probe = Probe::quiet().await;
    let page = probe.get("/crm/v3/objects/contacts").await.json();
    assert_eq!(page["results"].as_array().map(Vec::len), Some(10));
    let names: Vec<&String> =
        page["results"][0]["properties"].as_object().expect("properties").keys().collect();
    assert_eq!(
        names,
        ["createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"]
    );
}

#[tokio::test]
async fn page_sizes_are_bounded() {
    let probe = Probe::quiet().await;
    for (query, status) in [
        ("limit=100", 200),
        ("limit=101", 400),
        ("limit=50&propertiesWithHistory=email", 200),
        ("limit=51&propertiesWithHistory=email", 400),
        ("limit=-1", 400),
        ("limit=much", 400),
        ("after=-5", 400),
    ] {
        let got = probe.get(&format!("/crm/v3/objects/contacts?{query}")).await;
        assert_eq!(got.status, status, "{query}");
    }
}

#[tokio::test]
async fn types_go_by_several_names_and_all_editions() {
    let probe = Probe::quiet().await;
    let expected = probe.get("/crm/v3/objects/contacts?limit=3").await.json();
    for path in [
        "/crm/v3/objects/CONTACT",
        "/crm/v3/objects/0-1",
        "/crm/v4/objects/contacts",
        "/crm/objects/v3/contact",
        "/crm/objects/2026-03/contacts",
        "/crm/objects/2026-09/contacts",
    ] {
        assert_eq!(probe.get(&format!("{path}?limit=3")).await.json(), expected, "{path}");
    }
    let got = probe.get("/crm/v3/objects/butterflies").await;
    assert_eq!(got.status, 400);
    assert_eq!(got.json()["message"], "Unable to infer object type from: butterflies");
    assert_eq!(probe.get("/crm/v3/nothing/here").await.status, 404);
    assert_eq!(probe.call("PUT", "/crm/v3/objects/contacts", None).await.status, 405);
}

#[tokio::test]
async fn what_is_not_there_is_404_in_html_unless_json_is_asked_for() {
    let probe = Probe::quiet().await;
    let got = probe.get("/crm/v3/objects/contacts/42").await;
    assert_eq!((got.status, got.json()["message"].as_str()), (404, Some("resource not found")));
    assert_eq!(got.json().get("category"), None);
    let url = format!("{}/crm/v3/objects/contacts/42", probe.emulator.url());
    let request = probe.client.get(url).header("Authorization", "Bearer test");
    let got = probe.send(request).await.expect("an answer");
    assert!(got.text.starts_with("<html>"));
    assert_eq!(got.header("x-hubspot-notfound"), Some("true"));
}

#[tokio::test]
async fn an_email_reads_its_contact() {
    let probe = Probe::quiet().await;
    let people =
        walk(&probe, "/crm/v3/objects/contacts?limit=100&properties=email,hs_additional_emails")
            .await;
    let mut checked = 0;
    for person in &people {
        for name in ["email", "hs_additional_emails"] {
            let Some(emails) = person["properties"][name].as_str() else { continue };
            for email in emails.split(';') {
                let path = format!(
                    "/crm/v3/objects/contacts/{}?idProperty=email",
                    email.to_uppercase().replace('+', "%2B")
                );
                let found = probe.get(&path).await;
                assert_eq!(found.status, 200, "{email}");
                assert_eq!(id_of(&found.json()), id_of(person), "{email}");
            }
            checked += usize::from(name == "hs_additional_emails");
        }
    }
    assert!(checked > 0, "some have additional addresses");
    let got = probe.get("/crm/v3/objects/contacts/x?idProperty=jobtitle").await;
    assert_eq!(
        got.json()["message"],
        "Unable to perform update/upsert by non-unique 0-1 property jobtitle"
    );
    assert_eq!(
        probe.get("/crm/v3/objects/contacts/a@b.example").await.json()["category"],
        "OBJECT_NOT_FOUND"
    );
}

#[tokio::test]
async fn a_create_answers_what_was_written_and_computed() {
    let probe = Probe::quiet().await;
    let body = json!({"properties": {"email": "New.Person@Fresh.example", "numemployees": 7, "jobtitle": ""}});
    let got = probe.post("/crm/v3/objects/contacts", body).await;
    assert_eq!(got.status, 201);
    let record = got.json();
    let location = format!("https://api.hubapi.com/crm/v3/objects/contacts/{}", id_of(&record));
    assert_eq!(got.header("location"), Some(location.as_str()));
    let properties = &record["properties"];
    assert_eq!(properties["email"], "new.person@fresh.example");
    assert_eq!(properties["numemployees"], "7");
    assert_eq!(properties["lifecyclestage"], "lead");
    assert_eq!(properties["hs_object_source"], "INTEGRATION");
    assert!(properties.as_object().is_some_and(|all| all.values().all(|value| !value.is_null())));

    let again = probe
        .post(
            "/crm/v3/objects/contacts",
            json!({"properties": {"email": "NEW.person@fresh.example"}}),
        )
        .await;
    assert_eq!(again.status, 409);
    let message = format!("Contact already exists. Existing ID: {}", id_of(&record));
    assert_eq!(again.json()["message"], message.as_str());
    assert_eq!(again.json()["category"], "CONFLICT");
}

#[tokio::test]
async fn what_a_type_requires_is_required() {
    let probe = Probe::quiet().await;
    let got = probe.post("/crm/v3/objects/tickets", json!({"properties": {"content": "x"}})).await;
    assert_eq!(got.status, 400);
    assert_eq!(got.json()["context"]["properties"], json!(["subject", "hs_pipeline_stage"]));
    let got = probe.post("/crm/v3/objects/contacts", json!({"properties": {"phone": "1"}})).await;
    assert_eq!(got.status, 400);
    let got = probe.post("/crm/v3/objects/contacts", json!({})).await;
    assert!(got.json()["message"].as_str().is_some_and(|text| text.ends_with("[properties]")));
}

#[tokio::test]
async fn a_write_moves_the_modified_date() {
    let probe = Probe::quiet().await;
    let control = probe.control();
    control.stop_clock(true);
    control.advance_clock(Duration::from_secs(60));
    let id = probe.some_contact().await;
    let path = format!("/crm/v3/objects/contacts/{id}");
    let got = probe.call("PATCH", &path, Some(json!({"properties": {"jobtitle": "Chief"}}))).await;
    assert_eq!(got.status, 200);
    assert_eq!(got.json()["properties"]["jobtitle"], "Chief");
    let now = control.record("contacts", id).expect("a record")["updated_at"].clone();
    assert_eq!(probe.get(&path).await.json()["updatedAt"], now);
    assert_eq!(super::super::moment::parse(now.as_str().expect("a time")), Some(control.now()));
}

#[tokio::test]
async fn a_cleared_property_is_echoed_empty_and_reads_null() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let path = format!("/crm/v3/objects/contacts/{id}?properties=jobtitle");
    for value in ["x", ""] {
        let got =
            probe.call("PATCH", &path, Some(json!({"properties": {"jobtitle": value}}))).await;
        assert_eq!(got.json()["properties"]["jobtitle"], value);
    }
    assert_eq!(probe.get(&path).await.json()["properties"]["jobtitle"], Value::Null);
}

#[tokio::test]
async fn a_stage_moves_forward_only_and_says_nothing() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let path = format!("/crm/v3/objects/contacts/{id}?properties=lifecyclestage");
    for (written, held) in [
        ("customer", "customer"),
        ("lead", "customer"),
        ("", ""),
        ("lead", "lead"),
        ("opportunity", "opportunity"),
    ] {
        let body = json!({"properties": {"lifecyclestage": written}});
        assert_eq!(probe.call("PATCH", &path, Some(body)).await.status, 200);
        let stage = probe.get(&path).await.json()["properties"]["lifecyclestage"].clone();
        assert_eq!(stage.as_str().unwrap_or_default(), held, "after {written}");
    }
}

#[tokio::test]
async fn a_leading_semicolon_appends() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let path = format!("/crm/v3/objects/contacts/{id}?properties=product_interests");
    for value in ["api;pricing", ";security;api"] {
        let body = json!({"properties": {"product_interests": value}});
        assert_eq!(probe.call("PATCH", &path, Some(body)).await.status, 200);
    }
    let held = probe.get(&path).await.json()["properties"]["product_interests"].clone();
    assert_eq!(held, "api;pricing;security");
}

#[tokio::test]
async fn all_bad_values_are_named_at_once() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let bad = json!({
        "missing": "1", "hs_object_id": "1", "lifecyclestage": "Lead", "email": "nobody",
        "numemployees": "1e3", "contract_start": "1786334400000", "hs_lead_status": "NEW ",
    });
    let path = format!("/crm/v3/objects/contacts/{id}");
    let got = probe.call("PATCH", &path, Some(json!({"properties": bad}))).await;
    assert_eq!(got.status, 400);
    let body = got.json();
    let codes: BTreeSet<&str> = body["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .filter_map(|error| error["code"].as_str())
        .collect();
    let expected = [
        "INVALID_DATE",
        "INVALID_EMAIL",
        "INVALID_INTEGER",
        "INVALID_OPTION",
        "LEADING_TRAILING_WHITESPACE",
        "PROPERTY_DOESNT_EXIST",
        "READ_ONLY_VALUE",
    ];
    assert_eq!(codes, BTreeSet::from(expected));
}

#[tokio::test]
async fn archiving_is_idempotent_and_shows_in_the_archived_list() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let path = format!("/crm/v3/objects/contacts/{id}");
    for path in [path.as_str(), path.as_str(), "/crm/v3/objects/contacts/1"] {
        assert_eq!(probe.call("DELETE", path, None).await.status, 204);
    }
    assert_eq!(probe.get(&path).await.status, 404);
    let got = probe.get(&format!("{path}?archived=true")).await;
    assert_eq!((got.status, got.json()["archived"].clone()), (200, json!(true)));
    let gone = walk(&probe, "/crm/v3/objects/contacts?limit=100&archived=true").await;
    assert!(gone.iter().any(|record| id_of(record) == id));
    probe.control().restore_record("contacts", id).expect("it is in the bin");
    assert_eq!(probe.get(&path).await.status, 200);
}

#[tokio::test]
async fn a_merge_makes_a_third_record_and_aliases() {
    let probe = Probe::quiet().await;
    let page = probe.get("/crm/v3/objects/contacts?limit=2").await.json();
    let (one, two) = (id_of(&page["results"][0]), id_of(&page["results"][1]));
    let body = json!({"primaryObjectId": one.to_string(), "objectIdToMerge": two.to_string()});
    let got = probe.post("/crm/v3/objects/contacts/merge", body).await;
    assert_eq!(got.status, 200);
    let merged = id_of(&got.json());
    assert!(merged != one && merged != two);
    for id in [one, two, merged] {
        let path = format!(
            "/crm/v3/objects/contacts/{id}?properties=hs_merged_object_ids,hs_additional_emails"
        );
        let record = probe.get(&path).await.json();
        assert_eq!(id_of(&record), merged, "single calls follow");
        assert_eq!(record["properties"]["hs_merged_object_ids"], format!("{one};{two}"));
    }
    let emails: Vec<&str> = page["results"]
        .as_array()
        .expect("two")
        .iter()
        .filter_map(|r| r["properties"]["email"].as_str())
        .collect();
    for email in emails {
        let path = format!("/crm/v3/objects/contacts/{email}?idProperty=email");
        assert_eq!(id_of(&probe.get(&path).await.json()), merged);
    }
    let inputs = json!([{"id": one}, {"id": two}]);
    let got = probe
        .post("/crm/v3/objects/contacts/batch/read", json!({"inputs": inputs, "properties": []}))
        .await;
    assert_eq!(got.status, 200, "no error");
    assert_eq!(got.json()["results"], json!([]), "and no result");
}

#[tokio::test]
async fn seeded_merges_are_as_silent() {
    let probe = Probe::start(EmulatorConfig { contacts: 2_000, ..quiet() }).await;
    let people =
        walk(&probe, "/crm/v3/objects/contacts?limit=100&properties=hs_merged_object_ids").await;
    let merged =
        people.iter().find(|record| record["properties"]["hs_merged_object_ids"].is_string());
    let merged = merged.expect("one in 250 is");
    let former = merged["properties"]["hs_merged_object_ids"].as_str().expect("a text");
    let former: Vec<&str> = former.split(';').collect();
    let read = probe.get(&format!("/crm/v3/objects/contacts/{}", former[0])).await.json();
    assert_eq!(id_of(&read), id_of(merged));
    let inputs: Vec<Value> = former.iter().map(|id| json!({"id": id})).collect();
    let got = probe.post("/crm/v3/objects/contacts/batch/read", json!({"inputs": inputs})).await;
    assert_eq!((got.status, got.json()["results"].clone()), (200, json!([])));
}

#[tokio::test]
async fn a_privacy_deletion_leaves_no_trace() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let got = probe
        .post("/crm/v3/objects/contacts/gdpr-delete", json!({"objectId": id.to_string()}))
        .await;
    assert_eq!(got.status, 204);
    for query in ["", "?archived=true"] {
        assert_eq!(probe.get(&format!("/crm/v3/objects/contacts/{id}{query}")).await.status, 404);
    }
    let gone = walk(&probe, "/crm/v3/objects/contacts?limit=100&archived=true").await;
    assert!(gone.iter().all(|record| id_of(record) != id));
}

#[tokio::test]
async fn history_is_newest_first() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let path = format!("/crm/v3/objects/contacts/{id}?propertiesWithHistory=jobtitle");
    for value in ["one", "two"] {
        probe.call("PATCH", &path, Some(json!({"properties": {"jobtitle": value}}))).await;
    }
    probe
        .control()
        .edit_record("contacts", id, &values(&[("jobtitle", "three")]))
        .expect("an edit");
    let record = probe.get(&path).await.json();
    let history = record["propertiesWithHistory"]["jobtitle"].as_array().expect("history");
    let seen: Vec<(&str, &str)> = history
        .iter()
        .take(3)
        .map(|entry| {
            (entry["value"].as_str().unwrap_or(""), entry["sourceType"].as_str().unwrap_or(""))
        })
        .collect();
    assert_eq!(seen, [("three", "CRM_UI"), ("two", "INTEGRATION"), ("one", "INTEGRATION")]);
}

#[tokio::test]
async fn a_recalculation_leaves_the_modified_date() {
    let probe = Probe::quiet().await;
    let id = probe.some_contact().await;
    let path = format!("/crm/v3/objects/contacts/{id}?properties=num_notes");
    let before = probe.get(&path).await.json();
    probe
        .control()
        .recalculate("contacts", id, &values(&[("num_notes", "99999")]))
        .expect("an edit");
    let after = probe.get(&path).await.json();
    assert_eq!(after["properties"]["num_notes"], "99999");
    assert_eq!(after["updatedAt"], before["updatedAt"]);
}

#[tokio::test]
async fn seeded_contacts_are_those_of_the_account() {
    let config = quiet();
    let probe = Probe::start(config.clone()).await;
    let listed = walk(
        &probe,
        "/crm/v3/objects/contacts?limit=100&properties=email,app_user_id,associatedcompanyid",
    )
    .await;
    let known: Vec<super::super::SeededContact> = super::super::seeded_contacts(&config).collect();
    assert_eq!(known.len(), listed.len());
    for (known, record) in known.iter().zip(&listed) {
        assert_eq!(known.id, id_of(record));
        assert_eq!(known.email.as_deref(), record["properties"]["email"].as_str());
        assert_eq!(Some(known.user_id.as_str()), record["properties"]["app_user_id"].as_str());
    }
}

#[tokio::test]
async fn an_account_goes_back_to_its_snapshot() {
    let probe = Probe::quiet().await;
    let control = probe.control();
    assert!(control.restore_snapshot().is_err(), "none yet");
    let id = probe.some_contact().await;
    let before = control.record("contacts", id).expect("a record");
    control.take_snapshot();
    control.edit_record("contacts", id, &values(&[("jobtitle", "Other")])).expect("an edit");
    let made =
        control.create_record("contacts", &values(&[("email", "n@x.example")])).expect("a create");
    assert_eq!(probe.post("/_emulator/snapshot/restore", json!({})).await.status, 200);
    assert_eq!(control.record("contacts", id), Ok(before));
    assert!(control.record("contacts", made).is_err());
}

#[tokio::test]
async fn custom_types_are_made_and_used() {
    let probe = Probe::quiet().await;
    let schema = json!({
        "name": "licence", "labels": {"singular": "Licence", "plural": "Licences"},
        "requiredProperties": ["key"], "searchableProperties": ["key"], "primaryDisplayProperty": "key",
        "properties": [{"name": "key", "label": "Key", "type": "string", "fieldType": "text"}],
        "associatedObjects": ["CONTACT"],
    });
    let made = probe.post("/crm-object-schemas/v3/schemas", schema.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    assert_eq!(made["fullyQualifiedName"], "p24680135_licence");
    let type_id = made["objectTypeId"].as_str().expect("an id").to_owned();
    assert_eq!(probe.post("/crm/v3/schemas", schema).await.status, 409);
    assert_eq!(
        probe.get("/crm/v3/schemas").await.json()["results"].as_array().map(Vec::len),
        Some(1)
    );

    let path = format!("/crm/v3/objects/{type_id}");
    assert_eq!(probe.post(&path, json!({"properties": {}})).await.status, 400);
    let record = probe.post(&path, json!({"properties": {"key": "K-1"}})).await;
    assert_eq!(record.status, 201, "{}", record.text);
    let listed = probe.get("/crm/v3/objects/p24680135_licence?properties=key").await.json();
    assert_eq!(listed["results"][0]["properties"]["key"], "K-1");
    let path_of_type = format!("/crm/v3/schemas/{type_id}");
    let change = json!({"description": "What may be used"});
    let changed = probe.call("PATCH", &path_of_type, Some(change)).await.json();
    assert_eq!(changed["description"], "What may be used");
    assert_eq!(changed.get("properties"), None, "a change answers the type alone");
    let delete = path_of_type;
    assert_eq!(probe.call("DELETE", &delete, None).await.status, 400, "it has a record");
    probe.call("DELETE", &format!("{path}/{}", id_of(&record.json())), None).await;
    assert_eq!(probe.call("DELETE", &delete, None).await.status, 204);
    assert_eq!(probe.get("/crm/v3/schemas").await.json()["results"], json!([]));
}

#[tokio::test]
async fn lists_take_members_and_page_with_encoded_cursors() {
    let probe = Probe::quiet().await;
    let made = probe
        .post(
            "/crm/v3/lists",
            json!({"name": "A", "objectTypeId": "0-1", "processingType": "MANUAL"}),
        )
        .await;
    assert_eq!(made.status, 200);
    let id = made.json()["list"]["listId"].as_str().expect("an id").to_owned();
    let page = probe.get("/crm/v3/objects/contacts?limit=5").await.json();
    let mut ids: Vec<u64> =
        page["results"].as_array().expect("results").iter().map(id_of).collect();
    ids.push(42);
    let add = format!("/crm/v3/lists/{id}/memberships/add");
    let got = probe.call("PUT", &add, Some(json!(ids))).await.json();
    assert_eq!(got["recordsIdsAdded"].as_array().map(Vec::len), Some(5));
    assert_eq!(got["recordIdsMissing"], json!(["42"]));
    assert_eq!(probe.call("PUT", &add, Some(json!(ids[..5]))).await.json(), json!({}));

    let path = format!("/crm/v3/lists/{id}/memberships?limit=3");
    let first = probe.get(&path).await.json();
    let after = first["paging"]["next"]["after"].as_str().expect("more");
    assert!(after.ends_with("%3D%3D"), "encoded already: {after}");
    let second = probe.get(&format!("{path}&after={after}")).await.json();
    assert_eq!(second["results"].as_array().map(Vec::len), Some(2));
    let twice = probe.get(&format!("{path}&after={}", after.replace('%', "%25"))).await;
    assert_eq!(twice.status, 400, "encoding it again breaks paging");
    assert_eq!(
        probe.get("/crm/v3/lists/-1").await.json()["subCategory"],
        "ListError.LIST_ID_DOES_NOT_EXIST"
    );
}

#[tokio::test]
async fn the_link_echoes_the_query_and_moves_the_cursor() {
    let probe = Probe::quiet().await;
    let link = async |query: &str| {
        let page = probe.get(&format!("/crm/v3/objects/contacts?{query}")).await.json();
        let next = page["paging"]["next"].clone();
        let after = next["after"].as_str().expect("a cursor").to_owned();
        (next["link"].as_str().expect("a link").to_owned(), after)
    };
    let base = "https://api.hubapi.com/crm/objects/v3/contacts?";
    let (told, after) = link("properties=email,city&limit=2&offset_param=after").await;
    let query = "properties=email%2Ccity&limit=2&offset_param=after";
    assert_eq!(told, format!("{base}{query}&after={after}"));
    let (told, next) = link(&format!("limit=2&after={after}&unheard=of%20it")).await;
    assert_ne!(next, after);
    assert_eq!(told, format!("{base}limit=2&after={next}&unheard=of+it"));
}
