//! The seeded account: as large, as dirty and as connected as real ones.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;

use super::*;
use crate::emulator::SnapshotError;
use crate::emulator::account::Account;
use crate::emulator::record::View;
use crate::emulator::schema::Property;
use crate::emulator::seed::plan::Kind;
use crate::emulator::write::emails;

fn account(contacts: u64, extra_properties: usize) -> Account {
    let config = EmulatorConfig {
        contacts,
        companies: contacts / 6,
        deals: contacts / 4,
        tickets: contacts / 10,
        activities: contacts,
        extra_properties,
        ..quiet()
    };
    Account::new(&config, Tz::UTC)
}

#[tokio::test]
async fn no_account_is_larger_than_ids_can_count() {
    for (config, told) in [
        (EmulatorConfig { contacts: 5_000_000_000, ..quiet() }, "at most 50000000 contacts"),
        (EmulatorConfig { extra_properties: 70_000, ..quiet() }, "at most 10000 properties"),
    ] {
        let error = Emulator::start(config).await.expect_err("too much");
        assert!(error.to_string().ends_with(told), "{error}");
    }
}

fn views<'a>(account: &'a Account, plural: &str) -> Vec<View<'a>> {
    let at = account.type_at(plural).expect("a type");
    account.tables[at].walk(0).collect()
}

/// Every value of every property of a type, with the property.
fn each_value(account: &Account, plural: &str, mut check: impl FnMut(&Property, &str)) {
    let mut value = String::new();
    for view in views(account, plural) {
        for (slot, property) in view.catalogue.iter() {
            value.clear();
            if view.push(slot, &mut value) {
                check(property, &value);
            }
        }
    }
}

const TYPES: [&str; 13] = [
    "contacts",
    "companies",
    "deals",
    "tickets",
    "notes",
    "tasks",
    "calls",
    "meetings",
    "emails",
    "products",
    "line_items",
    "quotes",
    "leads",
];

#[test]
fn no_two_contacts_share_an_address_in_any_case() {
    let account = account(8_000, 0);
    let at = account.type_at("contacts").expect("contacts");
    let (slot, _) = account.tables[at].catalogue.find("email").expect("email");
    let mut seen = BTreeSet::new();
    let mut forms = BTreeMap::<&str, usize>::new();
    for view in views(&account, "contacts") {
        for (turn, email) in emails(&view).enumerate() {
            assert!(seen.insert(email.clone()), "{email} twice");
            assert_eq!(email, email.to_lowercase());
            if view.is_live() {
                let holder = account.holder(at, slot, &email.to_uppercase());
                assert_eq!(holder.map(|view| view.id), Some(view.id), "{email}");
            }
            let local = email.split('@').next().expect("a local part");
            let form = match turn {
                0 if local.contains('+') => "tagged",
                0 if !local.contains('.') => "dotless",
                0 => "plain",
                _ => "additional",
            };
            *forms.entry(form).or_default() += 1;
        }
    }
    assert_eq!(forms.len(), 4, "{forms:?}");
    assert!(forms.values().all(|count| *count > 20), "{forms:?}");
}

#[test]
fn values_are_such_as_the_service_can_hold() {
    let account = account(600, 600);
    for plural in TYPES {
        each_value(&account, plural, |property, value| {
            let name = &property.name;
            assert!(!value.contains('\0'), "{plural} {name}");
            assert!(value.len() <= 65_536, "{plural} {name}: {} bytes", value.len());
            match property.kind {
                Kind::Number => {
                    let plain = value.chars().all(|one| one.is_ascii_digit() || ".-".contains(one));
                    // Declared a number, but textual: only where the account
                    // made the property, and in the one recorded case.
                    let excused = property.custom || name == "hs_hd_ticket_ids";
                    assert!(plain || excused, "{plural} {name}: {value}");
                }
                Kind::Flag => assert!(["true", "false"].contains(&value), "{plural} {name}"),
                Kind::Day => assert_eq!(value.len(), 10, "{plural} {name}: {value}"),
                Kind::Moment => {
                    assert!(value.parse::<chrono::DateTime<chrono::Utc>>().is_ok(), "{value}");
                }
                Kind::Text | Kind::Choice => {}
            }
        });
    }
}

#[test]
fn the_dirt_of_real_accounts_is_there() {
    let account = account(3_000, 120);
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    let mut order: BTreeMap<BTreeSet<String>, BTreeSet<String>> = BTreeMap::new();
    for plural in ["contacts", "companies", "notes"] {
        each_value(&account, plural, |property, value| {
            let mut note = |what, is: bool| *found.entry(what).or_default() += usize::from(is);
            let has = |wanted: &[char]| value.contains(wanted);
            note("blank", value.is_empty());
            note("trailing space", value.len() > 1 && value.ends_with(' '));
            note("leading space", value.len() > 1 && value.starts_with(' '));
            note("line", has(&['\n']) && has(&['\t', '\u{85}', '\u{b}', '\r']));
            note("next line", has(&['\u{85}']));
            note("zero width", has(&['\u{200b}', '\u{200d}', '\u{feff}']));
            note("combining", has(&['\u{301}', '\u{308}']));
            note("emoji", value.chars().any(|one| ('\u{1f300}'..='\u{1faff}').contains(&one)));
            note("right to left", value.chars().any(|one| ('\u{590}'..='\u{6ff}').contains(&one)));
            note("ideographs", value.chars().any(|one| ('\u{4e00}'..='\u{9fff}').contains(&one)));
            note("markup", value.starts_with("<div"));
            note("huge", value.len() > 10_000);
            let number = property.kind == Kind::Number;
            note("textual number", number && value.contains([';', 'a', ',']));
            note("long number", number && value.trim_start_matches('-').len() > 17);
            note("number beyond a double", number && value == "9007199254740993");
            note("trailing zero", number && value.contains('.') && value.ends_with('0'));
            let day = property.kind == Kind::Day;
            note("first day", day && value == "1970-01-01");
            note("last day", day && value == "9999-12-31");
            let options = !property.options.is_empty() && property.kind == Kind::Choice;
            let known = |one: &str| property.options.iter().any(|option| option.value == one);
            note("retired option", options && value.split(';').any(|one| !known(one)));
            note("www", property.name == "domain" && value.starts_with("www."));
            let capital = value.starts_with(|one: char| one.is_ascii_uppercase());
            note("capital domain", property.name == "domain" && capital);
            let free = ["postbox.example", "webmail.test", "freepost.example"];
            note("free-mail company", property.name == "domain" && free.contains(&value));
            if property.holds_many() && value.contains(';') {
                let parts: BTreeSet<String> = value.split(';').map(str::to_owned).collect();
                order.entry(parts).or_default().insert(value.to_owned());
            }
        });
    }
    let missing: Vec<_> = found.iter().filter(|(_, count)| **count == 0).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(order.values().any(|orders| orders.len() > 1), "the order of choices shifts");
}

#[test]
fn very_many_records_share_one_moment_and_few_change_often() {
    let account = account(30_000, 0);
    let mut moments: BTreeMap<i64, usize> = BTreeMap::new();
    for view in views(&account, "contacts") {
        *moments.entry(view.modified()).or_default() += 1;
    }
    let mut largest: Vec<usize> = moments.values().copied().collect();
    largest.sort_unstable_by(|left, right| right.cmp(left));
    assert!(largest[0] > 1_000 && largest[1] > 500, "{:?}", &largest[..3]);
    let last = *moments.keys().next_back().expect("moments");
    let since = |days: i64| -> usize {
        moments.range(last - days * 86_400_000..).map(|(_, count)| count).sum()
    };
    // As many in the last day as in a usual month.
    assert!(since(1) > 1_000, "{}", since(1));
    assert!(since(30) < 12_500, "{}", since(30));
}

#[tokio::test]
async fn merged_and_twice_merged_records_are_seeded() {
    let probe = Probe::start(EmulatorConfig { contacts: 6_000, ..quiet() }).await;
    let account = account_of(&probe);
    let mut chains = BTreeSet::new();
    let survivors: Vec<(u64, String, String)> = views(&account, "contacts")
        .into_iter()
        .filter(View::is_live)
        .filter_map(|view| {
            let vids = view.named("hs_calculated_merged_vids");
            Some((view.id, view.named("hs_merged_object_ids")?, vids?))
        })
        .collect();
    for (id, former, vids) in survivors.iter().take(40) {
        let former: Vec<&str> = former.split(';').collect();
        assert_eq!(vids.split(';').count(), former.len());
        chains.insert(former.len());
        for one in former {
            let path = format!("/crm/v3/objects/contacts/{one}");
            assert_eq!(id_of(&probe.get(&path).await.json()), *id, "{one}");
            assert!(one.parse::<u64>().expect("an id") < *id, "the survivor is a third record");
        }
    }
    assert_eq!(chains, BTreeSet::from([2, 4]));
    let archived = probe.get("/crm/v3/objects/contacts?archived=true&limit=100").await.json();
    assert!(!archived["results"].as_array().expect("results").is_empty());
}

fn account_of(probe: &Probe) -> Account {
    probe.control().shared.read().clone()
}

#[tokio::test]
async fn every_seeded_type_can_be_walked_and_its_associations_read_from_both_ends() {
    let probe = Probe::quiet().await;
    for plural in TYPES {
        let page = probe.get(&format!("/crm/v3/objects/{plural}?limit=5")).await.json();
        assert!(!page["results"].as_array().expect("results").is_empty(), "{plural}");
    }
    let pairs = [
        ("notes", "contacts", "0-1", "0-46"),
        ("emails", "companies", "0-2", "0-49"),
        ("tasks", "deals", "0-3", "0-27"),
        ("line_items", "deals", "0-3", "0-8"),
        ("quotes", "deals", "0-3", "0-14"),
        ("leads", "contacts", "0-1", "0-136"),
    ];
    for (from, to, to_id, from_id) in pairs {
        let page = probe.get(&format!("/crm/v3/objects/{from}?limit=100")).await.json();
        let mut checked = 0;
        for record in page["results"].as_array().expect("results").iter().take(40) {
            let id = id_of(record);
            let path = format!("/crm/v4/objects/{from}/{id}/associations/{to_id}");
            let there = probe.get(&path).await.json();
            let Some(other) = there["results"][0]["toObjectId"].as_u64() else { continue };
            let path = format!("/crm/v4/objects/{to}/{other}/associations/{from_id}?limit=500");
            let back = probe.get(&path).await.json();
            let back = back["results"].as_array().expect("results");
            assert!(back.iter().any(|one| one["toObjectId"] == id), "{from} {id} {to} {other}");
            checked += 1;
        }
        assert!(checked > 0, "{from} {to}");
    }
}

#[tokio::test]
async fn activities_hang_together() {
    let probe = Probe::quiet().await;
    let path = "/crm/v3/objects/emails?limit=100&properties=hs_email_to_email,hs_timestamp,\
                hs_email_text,hs_body_preview&associations=contacts";
    let page = probe.get(path).await.json();
    let mut checked = 0;
    for email in page["results"].as_array().expect("results") {
        assert!(email["properties"]["hs_timestamp"].is_string());
        let text = email["properties"]["hs_email_text"].as_str().expect("a body");
        let preview = email["properties"]["hs_body_preview"].as_str().expect("a preview");
        assert!(text.starts_with(preview) && preview.chars().count() <= 200);
        let Some(contact) = email["associations"]["contacts"]["results"][0]["id"].as_str() else {
            continue;
        };
        let path = format!("/crm/v3/objects/contacts/{contact}?properties=email");
        let contact = probe.get(&path).await.json();
        assert_eq!(contact["properties"]["email"], email["properties"]["hs_email_to_email"]);
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
    let path = "/crm/v3/objects/line_items?limit=20&properties=price,quantity,amount,\
                hs_product_id,name";
    for item in probe.get(path).await.json()["results"].as_array().expect("results") {
        let number = |name: &str| -> f64 {
            item["properties"][name].as_str().and_then(|text| text.parse().ok()).expect("a number")
        };
        let amount = number("price") * number("quantity");
        assert!((amount - number("amount")).abs() < 0.005, "{item}");
        let product = item["properties"]["hs_product_id"].as_str().expect("a product");
        let path = format!("/crm/v3/objects/products/{product}?properties=name");
        let found = probe.get(&path).await;
        assert!(
            found.status == 404 || found.json()["properties"]["name"] == item["properties"]["name"]
        );
    }
}

#[tokio::test]
async fn six_hundred_properties_of_ones_own_can_be_asked_for() {
    let config = EmulatorConfig { extra_properties: 600, contacts: 120, ..quiet() };
    let probe = Probe::start(config).await;
    for plural in ["contacts", "deals", "notes"] {
        let of = format!("/crm/v3/properties/{plural}");
        let properties = probe.get(&of).await.json();
        let properties = properties["results"].as_array().expect("results");
        assert!(properties.len() > 600, "{plural}");
        let groups = probe.get(&format!("{of}/groups")).await.json();
        let groups: BTreeSet<&str> = groups["results"]
            .as_array()
            .expect("results")
            .iter()
            .filter_map(|group| group["name"].as_str())
            .collect();
        for property in properties {
            let group = property["groupName"].as_str().expect("a group");
            assert!(groups.contains(group), "{plural} {group}");
        }
        let names: Vec<&Value> = properties.iter().map(|property| &property["name"]).collect();
        let page = probe.get(&format!("/crm/v3/objects/{plural}?limit=20")).await.json();
        let inputs: Vec<Value> = page["results"]
            .as_array()
            .expect("results")
            .iter()
            .map(|record| json!({"id": record["id"]}))
            .collect();
        let body = json!({"inputs": inputs, "properties": names});
        let read = probe.post(&format!("/crm/v3/objects/{plural}/batch/read"), body).await.json();
        let record = read["results"][0]["properties"].as_object().expect("properties");
        assert_eq!(record.len(), properties.len());
        let empty = record.values().filter(|value| value.is_null()).count();
        assert!(empty * 2 > record.len(), "most are empty: {empty} of {}", record.len());
    }
}

#[tokio::test]
async fn an_unchanged_record_reads_the_same_after_another_property_changed() {
    let probe = Probe::quiet().await;
    let names = "firstname,lastname,message,city,hs_lead_status,hs_analytics_first_url,state";
    let path = format!("/crm/v3/objects/contacts?limit=50&properties={names}");
    let before = probe.get(&path).await.json();
    for record in before["results"].as_array().expect("results") {
        let change = values(&[("fax", "1")]);
        probe.control().edit_record("contacts", id_of(record), &change).expect("a record");
    }
    let after = probe.get(&path).await.json();
    for (one, other) in before["results"]
        .as_array()
        .expect("results")
        .iter()
        .zip(after["results"].as_array().expect("results"))
    {
        let mut expected = one["properties"].clone();
        expected["lastmodifieddate"] = other["properties"]["lastmodifieddate"].clone();
        assert_eq!(expected, other["properties"]);
    }
}

#[tokio::test]
async fn a_search_repeated_sees_what_was_changed_in_between() {
    let probe = Probe::quiet().await;
    let body = |from: u64| {
        json!({
            "filterGroups": [{"filters": [
                {"propertyName": "city", "operator": "EQ", "value": "Osaka"},
                {"propertyName": "hs_object_id", "operator": "GT", "value": from.to_string()},
            ]}],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "limit": 200,
        })
    };
    let search = "/crm/v3/objects/contacts/search";
    let ids = |page: Value| -> Vec<u64> {
        page["results"].as_array().expect("results").iter().map(id_of).collect()
    };
    let all = ids(probe.post(search, body(0)).await.json());
    assert!(all.len() > 4, "{all:?}");
    // Again, and from every one of them on: each page is a tail of the first.
    for (turn, from) in all.iter().enumerate() {
        let page = probe.post(search, body(*from)).await.json();
        assert_eq!(page["total"], all.len() as u64 - turn as u64 - 1);
        assert_eq!(ids(page), all[turn + 1..]);
    }
    let moved = values(&[("city", "Leeds")]);
    probe.control().edit_record("contacts", all[1], &moved).expect("a record");
    let fewer = ids(probe.post(search, body(0)).await.json());
    assert_eq!(fewer, [&all[..1], &all[2..]].concat());
    // A change that does not move the modified date counts too.
    let moved = values(&[("city", "Graz")]);
    probe.control().recalculate("contacts", all[0], &moved).expect("a record");
    assert_eq!(ids(probe.post(search, body(0)).await.json()), all[2..]);
    probe.control().archive_record("contacts", all[2]).expect("a record");
    assert_eq!(ids(probe.post(search, body(all[1])).await.json()), all[3..]);
}

#[tokio::test]
async fn a_search_sees_what_becomes_visible_while_nothing_is_written() {
    let probe = Probe::start(EmulatorConfig { index_lag: Duration::from_secs(5), ..quiet() }).await;
    let control = probe.control();
    control.stop_clock(true);
    let id = probe.some_contact().await;
    control.edit_record("contacts", id, &values(&[("city", "Atlantis")])).expect("a record");
    let filter = json!({"propertyName": "city", "operator": "EQ", "value": "Atlantis"});
    let body = json!({"filterGroups": [{"filters": [filter]}]});
    let search = "/crm/v3/objects/contacts/search";
    for _ in 0..2 {
        assert_eq!(probe.post(search, body.clone()).await.json()["total"], 0);
    }
    control.advance_clock(Duration::from_secs(6));
    for _ in 0..2 {
        assert_eq!(probe.post(search, body.clone()).await.json()["total"], 1);
    }
}

#[tokio::test]
async fn an_account_begins_again() {
    let probe = Probe::quiet().await;
    let create = json!({"properties": {"email": "new@x.example"}});
    assert_eq!(probe.post("/crm/v3/objects/contacts", create.clone()).await.status, 201);
    let before = probe.get("/crm/v3/objects/contacts?limit=100").await.json();
    let kept = probe.emulator.snapshot();
    let now = probe.control().now();

    let sown = json!({"seed": 5, "contacts": 30, "properties": 12});
    let made = probe.post("/_emulator/seed", sown).await.json();
    assert_eq!((&made["contacts"], &made["companies"]), (&json!(30), &json!(40)));
    let page = probe.get("/crm/v3/objects/contacts?limit=100&archived=false").await.json();
    assert!(page["results"].as_array().expect("results").len() <= 30);
    assert_ne!(page["results"][0]["properties"], before["results"][0]["properties"]);
    assert!(probe.get("/crm/v3/properties/contacts/onboarding_score").await.status == 200);
    assert_eq!(probe.post("/crm/v3/objects/contacts", create).await.status, 201, "she is gone");
    assert!(probe.control().now() >= now, "the clock does not go back");

    // A snapshot tells of the account as it was sown last.
    let after = EmulatorConfig { seed: 5, contacts: 30, extra_properties: 12, ..quiet() };
    let restore = Some(probe.emulator.snapshot());
    let revived = Probe::start(EmulatorConfig { restore, ..after.clone() }).await;
    let path = "/crm/v3/objects/contacts/new@x.example?idProperty=email";
    assert_eq!(revived.get(path).await.status, 200);
    let refused = Emulator::start(EmulatorConfig { restore: Some(kept), ..after }).await;
    let error = refused.expect_err("another account's snapshot");
    let setting = |error| match error {
        crate::emulator::EmulatorError::Snapshot(SnapshotError::OtherSettings {
            setting, ..
        }) => Some(setting),
        _ => None,
    };
    assert_eq!(setting(error), Some("seed"));

    let control = probe.control();
    let sowing = Sowing { seed: Some(1), contacts: Some(300), ..Sowing::default() };
    control.seed(&Sowing { properties: Some(0), ..sowing }).expect("a size that fits");
    let again = probe.get("/crm/v3/objects/contacts?limit=100").await.json();
    assert_eq!(again["results"], before["results"], "the same settings give the same account");
    let much = Sowing { contacts: Some(u64::MAX), ..Sowing::default() };
    assert!(control.seed(&much).is_err());
    assert_eq!(probe.post("/_emulator/seed", json!({"contact": 3})).await.status, 400);
}
