//! An account that goes on in another emulator.

use super::*;
use crate::emulator::{EmulatorError, SnapshotError};

const CONTACTS: &str = "/crm/v3/objects/contacts";
const SHOWN: &str = "properties=email,lastname,tier,shoe_size,account_key,app_user_id,\
                     associatedcompanyid,hs_merged_object_ids,hs_additional_emails";

/// An account on which search lags and totals err, its clock stopped.
async fn unkind() -> Probe {
    let probe = Probe::start(config(None)).await;
    probe.control().stop_clock(true);
    probe
}

fn config(restore: Option<Vec<u8>>) -> EmulatorConfig {
    EmulatorConfig {
        index_lag: Duration::from_secs(3),
        wrong_totals: true,
        extra_properties: 3,
        restore,
        ..quiet()
    }
}

/// The account as a new emulator makes it of its snapshot.
async fn revived(probe: &Probe) -> Probe {
    Probe::start(config(Some(probe.emulator.snapshot()))).await
}

fn text(probe: &Probe) -> String {
    String::from_utf8(probe.emulator.snapshot()).expect("JSON is a text")
}

async fn ids(probe: &Probe, object_type: &str) -> Vec<u64> {
    let page = probe.get(&format!("/crm/v3/objects/{object_type}?limit=20")).await.json();
    page["results"].as_array().into_iter().flatten().map(id_of).collect()
}

/// A call that must do what it asks for.
async fn done(probe: &Probe, method: &str, path: &str, body: Value) -> Value {
    let got = probe.call(method, path, Some(body)).await;
    assert!(matches!(got.status, 200..=204), "{method} {path}: {} {}", got.status, got.text);
    serde_json::from_str(&got.text).unwrap_or_default()
}

fn property(name: &str, kind: &str, field_type: &str, group: &str) -> Value {
    let options = match kind {
        "enumeration" => {
            json!([{"label": "Gold", "value": "gold"}, {"label": "Tin", "value": "tin"}])
        }
        _ => json!([]),
    };
    json!({"name": name, "label": name, "type": kind, "fieldType": field_type,
        "groupName": group, "options": options})
}

/// Properties made, changed, archived and made again; a group; an object type.
async fn change_schema(probe: &Probe) {
    let of = "/crm/v3/properties/contacts";
    done(probe, "POST", &format!("{of}/groups"), json!({"name": "ours", "label": "Ours"})).await;
    done(probe, "POST", of, property("tier", "enumeration", "select", "ours")).await;
    let mut badge = property("badge", "string", "text", "ours");
    badge["hasUniqueValue"] = json!(true);
    done(probe, "POST", of, badge).await;
    done(probe, "POST", of, property("shoe_size", "number", "number", "ours")).await;
    let options = json!([{"label": "Gold!", "value": "gold"}, {"label": "Tin", "value": "tin"}]);
    done(probe, "PATCH", &format!("{of}/tier"), json!({"options": options})).await;
    done(probe, "DELETE", &format!("{of}/shoe_size"), json!({})).await;
    // A seeded one: its seeded values do not come back with its name.
    done(probe, "DELETE", &format!("{of}/onboarding_score"), json!({})).await;
    done(probe, "POST", of, property("onboarding_score", "string", "text", "ours")).await;
    let schema = json!({
        "name": "licence", "labels": {"singular": "Licence", "plural": "Licences"},
        "primaryDisplayProperty": "key", "requiredProperties": ["key"],
        "searchableProperties": ["key"], "associatedObjects": ["CONTACT"],
        "properties": [{"name": "key", "label": "Key", "type": "string", "fieldType": "text"}],
    });
    done(probe, "POST", "/crm-object-schemas/v3/schemas", schema).await;
    let mut twice = property("shoes", "number", "calculation_equation", "ours");
    twice["calculationFormula"] = json!("tier * 2");
    done(probe, "POST", of, twice).await;
    let stages = json!([{"label": "Only", "displayOrder": 0, "metadata": {"probability": "0.5"}}]);
    let pipeline = json!({"label": "Partners", "displayOrder": 2, "stages": stages});
    done(probe, "POST", "/crm/v3/pipelines/deals", pipeline.clone()).await;
    done(probe, "POST", "/crm/v3/pipelines/p24680135_licence", pipeline).await;
}

/// Records created, edited, archived, merged and deleted for good.
async fn change_records(probe: &Probe, contacts: &[u64]) {
    let (control, [one, two, three, four, five, ..]) = (probe.control(), contacts) else {
        panic!("too few contacts")
    };
    let changes = json!({"properties": {"lastname": "Ünal", "tier": "gold", "badge": "B-1"}});
    done(probe, "PATCH", &format!("{CONTACTS}/{one}"), changes).await;
    control.recalculate("contacts", *one, &values(&[("lastname", "Silent")])).expect("a record");
    let fresh = json!({"properties": {"email": "new@x.example", "tier": "tin"}});
    done(probe, "POST", CONTACTS, fresh).await;
    control.archive_record("contacts", *two).expect("a record");
    control.merge_records("contacts", *three, *four).expect("two records");
    let gone = json!({"objectId": five.to_string()});
    done(probe, "POST", &format!("{CONTACTS}/gdpr-delete"), gone).await;
    let sent = json!({"eventName": "pe1_seen", "objectId": one.to_string(), "uuid": "u-1"});
    done(probe, "POST", "/events/v3/send", sent).await;
    let key = json!({"properties": {"key": "K-1"}});
    done(probe, "POST", "/crm/v3/objects/p24680135_licence", key).await;
}

/// A label, a pair that has it, a pair less, and a list.
async fn change_links(probe: &Probe, contact: u64, company: u64) {
    let labels = "/crm/v4/associations/contacts/companies/labels";
    let label = json!({"name": "payer", "label": "Payer", "inverseLabel": "Paid by"});
    let made = done(probe, "POST", labels, label).await;
    let kind = &made["results"][0]["typeId"];
    let types = json!([{"associationCategory": "USER_DEFINED", "associationTypeId": kind}]);
    let pair = format!("/crm/v4/objects/contacts/{contact}/associations/companies/{company}");
    done(probe, "PUT", &pair, types).await;
    let limit = json!({"category": "USER_DEFINED", "typeId": kind, "maxToObjectIds": 3});
    let limits = "/crm/v4/associations/definitions/configurations/contacts/companies";
    done(probe, "POST", &format!("{limits}/batch/create"), json!({"inputs": [limit]})).await;
    let list = json!({"name": "VIP", "objectTypeId": "0-1", "processingType": "MANUAL"});
    done(probe, "POST", "/crm/v3/lists", list).await;
    let add = "/crm/v3/lists/1/memberships/add";
    done(probe, "PUT", add, json!([contact.to_string()])).await;
}

/// Asks both accounts the same and wants the same bytes.
async fn assert_same(left: &Probe, right: &Probe, method: &str, path: &str, body: Option<Value>) {
    let (one, other) =
        (left.call(method, path, body.clone()).await, right.call(method, path, body).await);
    assert_eq!((one.status, one.text), (other.status, other.text), "{method} {path}");
}

async fn assert_same_account(left: &Probe, right: &Probe, contacts: &[u64]) {
    let mut paths = vec![
        "/crm/v3/objects/p24680135_licence?properties=key".to_owned(),
        "/crm-object-schemas/v3/schemas".to_owned(),
        "/crm/v3/lists/1/memberships".to_owned(),
        "/crm/v4/associations/contacts/companies/labels".to_owned(),
        "/crm/v4/associations/definitions/configurations/all".to_owned(),
        "/crm/v3/pipelines/deals".to_owned(),
        "/crm/v3/pipelines/p24680135_licence".to_owned(),
        "/events/v3/events".to_owned(),
    ];
    for archived in ["", "&archived=true"] {
        paths.push(format!("{CONTACTS}?limit=100&{SHOWN}&associations=companies{archived}"));
        paths.push(format!("/crm/v3/properties/contacts?{archived}"));
    }
    paths.push("/crm/v3/properties/contacts/groups".to_owned());
    for id in contacts {
        paths.push(format!("{CONTACTS}/{id}?propertiesWithHistory=lastname,tier,onboarding_score"));
        paths.push(format!("/crm/v4/objects/contacts/{id}/associations/companies"));
    }
    for path in paths {
        let (one, other) = (left.get(&path).await, right.get(&path).await);
        assert_eq!(one.status, other.status, "{path}");
        // A refusal carries the number of its call.
        if one.status == 200 {
            assert_eq!(one.text, other.text, "{path}");
        }
    }
    let sorts = json!([{"propertyName": "lastmodifieddate", "direction": "DESCENDING"}]);
    let search = json!({"filterGroups": [], "sorts": sorts, "limit": 100, "properties": ["tier"]});
    for _ in 0..10 {
        assert_same(left, right, "POST", &format!("{CONTACTS}/search"), Some(search.clone())).await;
    }
}

#[tokio::test]
async fn an_account_goes_on_in_another_emulator() {
    let before = unkind().await;
    let (contacts, companies) = (ids(&before, "contacts").await, ids(&before, "companies").await);
    change_schema(&before).await;
    change_records(&before, &contacts).await;
    before.control().advance_clock(Duration::from_secs(2));
    change_links(&before, contacts[0], companies[0]).await;
    before.control().advance_clock(Duration::from_secs(2));

    let after = revived(&before).await;
    assert_eq!(after.control().now(), before.control().now());
    assert_eq!(text(&after), text(&before), "it can be kept again");
    assert_same_account(&before, &after, &contacts).await;

    for probe in [&before, &after] {
        probe.control().advance_clock(Duration::from_secs(5));
    }
    let taken = json!({"properties": {"badge": "B-1"}});
    let other = format!("{CONTACTS}/{}", contacts[7]);
    for probe in [&before, &after] {
        let got = probe.call("PATCH", &other, Some(taken.clone())).await;
        assert_eq!(got.status, 400, "a unique value is still taken: {}", got.text);
    }
    let deleted = "/crm/v3/objects/contacts/gdpr-delete";
    for probe in [&before, &after] {
        let nobody = json!({"objectId": "nobody@x.example", "idProperty": "email"});
        assert_eq!(probe.post(deleted, nobody).await.status, 204);
    }
    let again = revived(&after).await;
    let nobody = json!({"properties": {"email": "nobody@x.example"}});
    assert_eq!(again.post(CONTACTS, nobody).await.status, 400, "it is still blocked");
    let fresh = json!({"properties": {"email": "newer@x.example", "tier": "gold"}});
    assert_same(&before, &after, "POST", CONTACTS, Some(fresh)).await;
    let key = json!({"properties": {"key": "K-2"}});
    assert_same(&before, &after, "POST", "/crm/v3/objects/p24680135_licence", Some(key)).await;
    let label = json!({"name": "user", "label": "User"});
    let labels = "/crm/v4/associations/contacts/companies/labels";
    assert_same(&before, &after, "POST", labels, Some(label)).await;
    let list = json!({"name": "Two", "objectTypeId": "0-1", "processingType": "MANUAL"});
    assert_same(&before, &after, "POST", "/crm/v3/lists", Some(list)).await;
    assert_same_account(&before, &after, &contacts).await;
    assert_eq!(text(&after), text(&before));
}

#[tokio::test]
async fn an_untouched_account_keeps_no_record() {
    let probe = unkind().await;
    let kept: Value = serde_json::from_slice(&probe.emulator.snapshot()).expect("JSON");
    for of in kept["types"].as_array().expect("types") {
        let parts: Vec<&String> = of.as_object().expect("a type").keys().collect();
        assert_eq!(parts, ["name", "next_id"]);
    }
    let again = revived(&probe).await;
    assert_same_account(&probe, &again, &ids(&probe, "contacts").await).await;
}

/// What starting says to a snapshot that was tampered with.
async fn refusal(change: impl FnOnce(&mut Value)) -> SnapshotError {
    let probe = unkind().await;
    let id = probe.some_contact().await;
    probe.control().edit_record("contacts", id, &values(&[("city", "Köln")])).expect("a record");
    let mut kept: Value = serde_json::from_slice(&probe.emulator.snapshot()).expect("JSON");
    change(&mut kept);
    match Emulator::start(config(Some(kept.to_string().into_bytes()))).await {
        Err(EmulatorError::Snapshot(error)) => error,
        other => panic!("started, or not for the snapshot: {other:?}"),
    }
}

#[tokio::test]
async fn a_snapshot_that_does_not_fit_is_refused() {
    let says = async |change: fn(&mut Value)| refusal(change).await.to_string();
    assert_eq!(
        says(|kept| kept["origin"]["contacts"] = json!(7)).await,
        "The snapshot cannot be restored: it was taken with `contacts` at `7`, and this account \
         is started with `300`"
    );
    assert_eq!(
        says(|kept| kept["types"][0]["name"] = json!("ghosts")).await,
        "The snapshot cannot be restored: the account has no object type `ghosts`"
    );
    let later = says(|kept| *kept = json!({"format": 3, "something": "new"})).await;
    assert!(later.contains("its format is `3`"), "{later}");
    let garbled = refusal(|kept| *kept = json!([])).await;
    assert!(matches!(garbled, SnapshotError::Unreadable(_)), "{garbled}");
}

#[tokio::test]
async fn a_record_of_a_snapshot_must_make_sense() {
    fn record(kept: &mut Value) -> &mut Value {
        let records = kept["types"][0]["records"].as_object_mut().expect("records");
        records.values_mut().next().expect("the edited one")
    }
    let unknown =
        refusal(|kept| record(kept)["versions"][0]["property"] = json!("no_such_thing")).await;
    assert!(unknown.to_string().ends_with("no property `no_such_thing`"), "{unknown}");
    let circle = refusal(|kept| record(kept)["merged_into"] = json!(1)).await;
    assert!(matches!(circle, SnapshotError::MergedBackwards(_)), "{circle}");
}
