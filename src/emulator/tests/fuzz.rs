//! Calls nobody would make on purpose. Whatever comes in, the answer is
//! HubSpot's: no panic, no hang, no 500, and the account goes on.
//!
//! The seed is fixed, so that every run tries the same; more cases than the
//! usual are tried with `HUBLAKE_FUZZ_CASES=100000`.

mod sockets;

use std::sync::Arc;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::json;

use super::super::call::{Call, Reply};
use super::super::paths::{self, Edition};
use super::super::shared::Shared;
use super::super::{control, server};
use super::*;

const CASES: u32 = 400;

fn runner(share: u32) -> TestRunner {
    let told = std::env::var("HUBLAKE_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok());
    TestRunner::new(Config {
        cases: told.unwrap_or(CASES) / share,
        rng_seed: RngSeed::Fixed(0x0b5e_55ed),
        failure_persistence: None,
        ..Config::default()
    })
}

/// A small account; ids of its contacts and companies stand in for `$0`, `$1`
/// and so on wherever they occur in a call.
fn account() -> (Arc<Shared>, Vec<String>) {
    let config = EmulatorConfig { contacts: 30, companies: 10, deals: 10, tickets: 4, ..quiet() };
    let shared = Arc::new(Shared::new(&config, chrono_tz::UTC));
    let ids = {
        let account = shared.read();
        let of = |name: &str| {
            let at = account.type_at(name).expect("a type");
            account.tables[at].walk(0).filter(|view| view.is_live()).map(|view| view.id)
        };
        of("contacts").take(3).chain(of("companies").take(2)).map(|id| id.to_string()).collect()
    };
    (shared, ids)
}

fn with_ids(text: &str, ids: &[String]) -> String {
    let put = |text: String, (at, id): (usize, &String)| text.replace(&format!("${at}"), id);
    ids.iter().enumerate().fold(text.to_owned(), put)
}

/// Texts that have broken parsers before.
fn junk_text() -> impl Strategy<Value = String> {
    let known = select(vec![
        "",
        " ",
        "0",
        "-1",
        "1e5",
        "NaN",
        "inf",
        "-inf",
        "null",
        "true",
        "\u{0}",
        "\u{feff}",
        "é",
        "👩‍👩‍👧",
        "مرحبا",
        ";",
        ";a;b",
        "a,b",
        "%",
        "%zz",
        "%00",
        "%ff%fe",
        "..",
        "*",
        "'",
        "\"",
        "\\",
        "$0",
        "$1",
        "$2",
        "$3",
        "$4",
        "contacts",
        "0-1",
        "0-2",
        "2-1",
        "email",
        "domain",
        "hs_object_id",
        "createdate",
        "lastmodifieddate",
        "closedate",
        "amount",
        "lifecyclestage",
        "hs_additional_emails",
        "associations.contact",
        "associations.",
        "Contact",
        "p1_x",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "-9223372036854775808",
        "99999999999999999999999999",
        "0.00000000000000000001",
        "8640000000000001",
        "-62135596800001",
        "253402300800000",
        "+292278994-08-17T07:12:55.807Z",
        "-262144-01-01",
        "0000-00-00",
        "2020-02-30",
        "2020-13-01T99:99:99Z",
        "12345678901==",
        "x@y.example",
        "X+1@Y.example",
        "<script>",
        "${jndi:x}",
        "1;2",
        "NOT_A_THING",
    ]);
    prop_oneof![
        60 => known.prop_map(str::to_owned),
        4 => any::<String>(),
        1 => (1_usize..70_000).prop_map(|length| "é".repeat(length)),
    ]
}

fn junk_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        select(vec![i64::MIN, i64::MAX, -1]).prop_map(Value::from),
        select(vec![0, 1, 100, 101, u64::MAX]).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        junk_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((member(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Names of members that some endpoint reads.
fn member() -> impl Strategy<Value = String> {
    let names = "inputs id properties idProperty filterGroups filters propertyName operator value \
                 highValue values sorts direction query limit after associations to from types \
                 associationCategory associationTypeId objectWriteTraceId primaryObjectId \
                 objectIdToMerge objectId name label type fieldType groupName options hidden \
                 displayOrder hasUniqueValue labels singular plural requiredProperties \
                 searchableProperties primaryDisplayProperty associatedObjects toObjectTypeId \
                 listIds count offset processingType processingTypes objectTypeId filterBranch \
                 filterBranchType filterBranches operation recordIdsToAdd recordIdsToRemove \
                 propertiesWithHistory inverseLabel email firstname dealname dealstage amount \
                 closedate advance_ms stopped daily latency_ms first action path status ms";
    let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    prop_oneof![9 => select(names), 1 => junk_text()]
}

/// Bodies that are right for the endpoints whose paths end so.
fn templates() -> Vec<(&'static str, Value)> {
    let contact = json!({"email": "new@x.example", "firstname": "Ünï", "lifecyclestage": "lead"});
    let kind = json!({"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279});
    let link = json!([{"to": {"id": "$3"}, "types": [kind]}]);
    let property = json!({"name": "colour", "label": "Colour", "type": "enumeration",
        "fieldType": "select", "groupName": "contactinformation",
        "options": [{"label": "Red", "value": "red", "displayOrder": 0}]});
    let filter = |name: &str, operator: &str| {
        json!({"propertyName": name, "operator": operator, "value": "1546300800000",
            "highValue": "1893456000000", "values": ["$0", "a"]})
    };
    let pair = json!({"from": {"id": "$0"}, "to": {"id": "$3"}, "types": [kind]});
    vec![
        ("objects/*", json!({"properties": contact, "associations": link})),
        ("objects/*/*", json!({"properties": contact})),
        (
            "batch/read",
            json!({"inputs": [{"id": "$0"}, {"id": "$1"}], "properties": ["email", "nothing"]}),
        ),
        (
            "batch/read",
            json!({"inputs": [{"id": "a@x.example"}], "idProperty": "email", "propertiesWithHistory": ["email"]}),
        ),
        ("batch/read", json!({"inputs": [{"name": "email"}, {"name": "nothing"}]})),
        (
            "objects/*/batch/create",
            json!({"inputs": [{"properties": contact}, {"properties": {"firstname": "B"}}]}),
        ),
        (
            "objects/*/batch/create",
            json!({"inputs": [{"properties": contact, "objectWriteTraceId": "a"},
            {"properties": {"nothing": "B"}, "objectWriteTraceId": "b", "associations": link}]}),
        ),
        (
            "batch/update",
            json!({"inputs": [{"id": "$0", "properties": {"jobtitle": "x", "closedate": "1786334400000"}}]}),
        ),
        (
            "batch/update",
            json!({"inputs": [{"id": "$0", "properties": {"email": "a@b.example"}, "objectWriteTraceId": "t"},
            {"id": "7", "properties": {"firstname": "x"}, "objectWriteTraceId": "u"}]}),
        ),
        (
            "batch/upsert",
            json!({"inputs": [{"id": "new@x.example", "idProperty": "email", "properties": contact}]}),
        ),
        (
            "batch/upsert",
            json!({"inputs": [{"id": "u1", "idProperty": "app_user_id", "properties": contact, "objectWriteTraceId": "t"}]}),
        ),
        ("batch/archive", json!({"inputs": [{"id": "$0"}, {"id": "1"}]})),
        ("batch/archive", json!({"inputs": [{"name": "colour"}]})),
        ("batch/create", json!({"inputs": [property, property]})),
        ("batch/create", json!({"inputs": [pair, pair]})),
        ("associate/default", json!({"inputs": [pair]})),
        ("batch/archive", json!({"inputs": [{"from": {"id": "$0"}, "to": [{"id": "$3"}]}]})),
        ("labels/archive", json!({"inputs": [pair]})),
        ("associations/*/*/*", json!([kind])),
        ("associations/*/*", json!([kind, kind])),
        ("labels", json!({"label": "Boss", "name": "boss", "inverseLabel": "Report"})),
        ("merge", json!({"primaryObjectId": "$0", "objectIdToMerge": "$1"})),
        ("gdpr-delete", json!({"objectId": "$2"})),
        ("gdpr-delete", json!({"objectId": "a@x.example", "idProperty": "email"})),
        (
            "objects/*/search",
            json!({"filterGroups": [{"filters": [filter("createdate", "BETWEEN"), filter("hs_object_id", "EQ")]},
            {"filters": [filter("email", "HAS_PROPERTY")]}], "limit": 3, "after": "1",
            "sorts": [{"propertyName": "createdate", "direction": "DESCENDING"}]}),
        ),
        (
            "objects/*/search",
            json!({"filterGroups": [{"filters": [filter("lastmodifieddate", "BETWEEN"), filter("lastmodifieddate", "LT"), filter("hs_object_id", "GT")]}]}),
        ),
        (
            "objects/*/search",
            json!({"filters": [filter("associations.company", "IN")], "sorts": ["-email"], "query": "a"}),
        ),
        (
            "objects/*/search",
            json!({"filterGroups": [{"filters": [filter("email", "IN"), filter("firstname", "CONTAINS_TOKEN"), filter("amount", "NEQ")]}],
            "properties": ["email"]}),
        ),
        ("properties/*", property.clone()),
        (
            "properties/*/*",
            json!({"label": "Colour", "options": [{"label": "Blue", "value": "blue"}], "type": "enumeration"}),
        ),
        ("groups", json!({"name": "mine", "label": "Mine", "displayOrder": 1})),
        ("groups/*", json!({"label": "Mine", "displayOrder": -1})),
        (
            "schemas",
            json!({"name": "car", "labels": {"singular": "Car", "plural": "Cars"}, "requiredProperties": ["name"],
            "properties": [{"name": "name", "label": "Name", "type": "string", "fieldType": "text"}], "associatedObjects": ["CONTACT"]}),
        ),
        (
            "schemas/*",
            json!({"labels": {"singular": "Car"}, "searchableProperties": ["name"], "requiredProperties": []}),
        ),
        (
            "schemas/*/associations",
            json!({"fromObjectTypeId": "0-1", "toObjectTypeId": "0-2", "name": "x"}),
        ),
        (
            "lists",
            json!({"name": "mine", "objectTypeId": "0-1", "processingType": "DYNAMIC",
            "filterBranch": {"filterBranchType": "OR", "filterBranches": [{"filterBranchType": "AND", "filters": [{"operation": {}}]}]}}),
        ),
        ("lists", json!({"name": "mine", "objectTypeId": "0-1", "processingType": "MANUAL"})),
        (
            "lists/search",
            json!({"query": "m", "count": 2, "offset": 1, "listIds": ["1"], "processingTypes": ["MANUAL"]}),
        ),
        ("memberships/add", json!(["$0", "$1"])),
        ("memberships/remove", json!(["$0", "$1"])),
        ("add-and-remove", json!({"recordIdsToAdd": ["$0"], "recordIdsToRemove": ["$1"]})),
        ("clock", json!({"advance_ms": 1_000, "stopped": true, "index_lag_ms": 5})),
        ("limits", json!({"per_ten_seconds": 1_000_000, "daily": 1_000_000_000, "latency_ms": 0})),
        (
            "faults",
            json!([{"path": "*", "action": "refuse", "status": 502, "skip": 1, "times": 2}]),
        ),
        ("release", json!({"id": 1})),
        ("records/contacts", json!({"properties": contact})),
        ("records/contacts/$0", json!({"properties": {"jobtitle": "x"}, "touch": false})),
        ("bulk-edit/contacts", json!({"first": 3, "properties": {"jobtitle": "x"}})),
        ("merge/contacts", json!({"primary": 1, "other": 2})),
    ]
}

/// A change to a body: where, and what becomes of that part.
#[derive(Clone, Debug)]
enum Mutation {
    Replace(usize, Value),
    Remove(usize),
    Multiply(usize, usize),
    Add(usize, String, Value),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = 0_usize..64;
    // Ends of what can be counted, as texts and as numbers: nearly everything
    // that is summed or sliced is told by the caller as one of them.
    let end = prop_oneof![
        select(vec!["18446744073709551615", "9223372036854775807", "-9223372036854775808", "NaN"])
            .prop_map(Value::from),
        select(vec![0, u64::MAX, i64::MAX as u64]).prop_map(Value::from),
        select(vec![i64::MIN, -1]).prop_map(Value::from),
        select(vec![f64::MAX, f64::MIN_POSITIVE, 0.5]).prop_map(Value::from),
    ];
    prop_oneof![
        4 => (place.clone(), end).prop_map(|(at, value)| Mutation::Replace(at, value)),
        4 => (place.clone(), junk_value()).prop_map(|(at, value)| Mutation::Replace(at, value)),
        2 => place.clone().prop_map(Mutation::Remove),
        1 => (place.clone(), 0_usize..130).prop_map(|(at, times)| Mutation::Multiply(at, times)),
        2 => (place, member(), junk_value()).prop_map(|(at, name, value)| Mutation::Add(at, name, value)),
    ]
}

/// All parts of a body, by pointer.
fn pointers(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            pointers(member, format!("{at}/{name}"), out);
        }),
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .for_each(|(turn, element)| pointers(element, format!("{at}/{turn}"), out)),
        _ => {}
    }
    out.push(at);
}

fn mutated(mut body: Value, mutations: &[Mutation]) -> Value {
    for mutation in mutations {
        let mut all = Vec::new();
        pointers(&body, String::new(), &mut all);
        let (Mutation::Replace(at, _)
        | Mutation::Remove(at)
        | Mutation::Multiply(at, _)
        | Mutation::Add(at, ..)) = mutation;
        let pointer = &all[at % all.len()];
        let Some(part) = body.pointer_mut(pointer) else { continue };
        match mutation {
            Mutation::Replace(_, value) => *part = value.clone(),
            Mutation::Multiply(_, times) => *part = Value::Array(vec![part.clone(); *times]),
            Mutation::Add(_, name, value) => match part {
                Value::Object(members) => {
                    members.insert(name.clone(), value.clone());
                }
                Value::Array(elements) => elements.push(value.clone()),
                _ => {}
            },
            Mutation::Remove(_) => {
                let (outer, name) = pointer.rsplit_once('/').unwrap_or_default();
                match body.pointer_mut(outer) {
                    Some(Value::Object(members)) => {
                        members.remove(name);
                    }
                    Some(Value::Array(elements)) => {
                        elements.pop();
                    }
                    _ => {}
                }
            }
        }
    }
    body
}

/// What to send: the right shape with changes, or anything.
#[derive(Clone, Debug)]
enum Content {
    /// A template of the path's, counted round.
    Shaped(usize, Vec<Mutation>),
    Raw(Vec<u8>),
}

impl Content {
    fn bytes(&self, path: &str) -> Vec<u8> {
        match self {
            Self::Raw(bytes) => bytes.clone(),
            Self::Shaped(turn, mutations) => {
                let all = templates();
                let of_path: Vec<&Value> = all
                    .iter()
                    .filter(|(end, _)| path.ends_with(end))
                    .map(|(_, template)| template)
                    .collect();
                let template = match of_path.get(turn % of_path.len().max(1)) {
                    Some(template) => (*template).clone(),
                    None => all[turn % all.len()].1.clone(),
                };
                mutated(template, mutations).to_string().into_bytes()
            }
        }
    }
}

fn content() -> impl Strategy<Value = Content> {
    let shaped = (0_usize..100, prop::collection::vec(mutation(), 0..4))
        .prop_map(|(turn, mutations)| Content::Shaped(turn, mutations));
    let raw = prop_oneof![
        2 => junk_value().prop_map(|value| value.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (1_usize..5_000).prop_map(|depth| "[".repeat(depth).into_bytes()),
        1 => (1_usize..500).prop_map(|depth| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)).into_bytes()),
        1 => select(vec![
            &b""[..], b"{", b"null", b"{\"inputs\":[],\"inputs\":[]}", b"{\"limit\":1e999}",
            b"{\"properties\":{\"email\":\"\xff\xfe\"}}", b"{\"properties\":{\"a\":\"\\ud800\"}}",
            b"\xef\xbb\xbf{}", b"{\"properties\":{\"amount\":1e-400}}", b"{\"after\":-1,\"limit\":-1}",
            b"{\"limit\":99999999999999999999999}", b"{} {}", b"// x\n{}",
        ]).prop_map(<[u8]>::to_vec),
    ];
    prop_oneof![4 => shaped, 1 => raw.prop_map(Content::Raw)]
}

/// An endpoint's method, its path with anything for its placeholders, and the
/// path as the table has it.
fn target() -> impl Strategy<Value = (String, String, &'static str)> {
    // Searches have the richest bodies: they come up more often.
    let searches = std::iter::repeat_n(("POST", "objects/*/search"), 8);
    let known: Vec<(&str, &'static str)> = paths::all().chain(searches).collect();
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"];
    let types = vec!["contacts", "companies", "deals", "0-1", "CONTACT", "tickets"];
    let encoded =
        |text: String| utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string().replace("%24", "$");
    let junk = prop_oneof![
        2 => junk_text().prop_map(encoded),
        1 => junk_text().prop_map(|text| text.chars().filter(char::is_ascii_graphic).take(40).collect()),
    ];
    // What comes first is a type as a rule, and with a wrong one little is
    // ever reached.
    let first = prop_oneof![9 => select(types.clone()).prop_map(str::to_owned), 1 => junk.clone()];
    let name = prop_oneof![
        1 => select(types).prop_map(str::to_owned),
        6 => select(vec!["$0", "$1", "$3", "1", "email", "279"]).prop_map(str::to_owned),
        2 => junk,
    ];
    let names = (first, prop::collection::vec(name, 8));
    let version =
        select(vec!["v3", "v3", "v3", "v3", "v3", "v4", "2026-03", "2026-09", "v1", "v9", ""]);
    let other = prop_oneof![12 => Just(None), 1 => select(methods.to_vec()).prop_map(Some)];
    (select(known), names, version, other, 0_u8..30).prop_map(
        |((method, pattern), (first, names), version, other, bend)| {
            let mut names = std::iter::once(first).chain(names);
            let filled: Vec<String> = pattern
                .split('/')
                .map(|part| match part {
                    "*" => names.next().unwrap_or_default(),
                    part => part.to_owned(),
                })
                .collect();
            let path = filled.join("/");
            let path = match bend {
                0 => format!("/crm/{version}//{path}/"),
                1 => format!("/{path}"),
                2 => format!("/crm/{version}/{path}/{}", names.next().unwrap_or_default()),
                _ => format!("/crm/{version}/{path}"),
            };
            (other.unwrap_or(method).to_owned(), path, pattern)
        },
    )
}

fn query() -> impl Strategy<Value = String> {
    let names = "limit after properties propertiesWithHistory associations archived idProperty \
                 listIds includeFilters listName email userId offset count hapikey x";
    let names: Vec<&str> = names.split_whitespace().collect();
    let raw = prop_oneof![
        3 => junk_text().prop_map(|text| utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string().replace("%24", "$")),
        1 => junk_text(),
    ];
    prop::collection::vec((select(names), raw), 0..4).prop_map(|pairs| {
        let pairs = pairs.into_iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<String>>().join("&")
    })
}

#[derive(Clone)]
struct Shot {
    method: String,
    path: String,
    query: String,
    body: Vec<u8>,
    content_type: Option<&'static str>,
    accept: Option<&'static str>,
    token: bool,
}

fn shot() -> impl Strategy<Value = Shot> {
    let json = "application/json";
    let content_types = vec![
        Some(json),
        Some(json),
        Some(json),
        Some(json),
        Some(json),
        Some(json),
        Some(json),
        Some("application/json; charset=utf-8"),
        None,
        Some("text/plain"),
        Some(";;;"),
        Some("application/x-www-form-urlencoded"),
        Some(""),
    ];
    let accepts = vec![Some("application/json"), Some("*/*"), None, Some("text/html")];
    (target(), query(), content(), select(content_types), select(accepts), 0_u8..16).prop_map(
        |((method, path, pattern), query, content, content_type, accept, turn)| {
            let body = content.bytes(pattern);
            Shot { method, path, query, body, content_type, accept, token: turn > 0 }
        },
    )
}

impl std::fmt::Debug for Shot {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { method, path, query, content_type, accept, token, .. } = self;
        write!(out, "{method} {path}?{query} {content_type:?} {accept:?} {token} ")?;
        out.write_str(&String::from_utf8_lossy(&self.body))
    }
}

impl Shot {
    fn call(&self, ids: &[String]) -> Call {
        let body = match std::str::from_utf8(&self.body) {
            Ok(text) => Bytes::from(with_ids(text, ids)),
            Err(_) => Bytes::from(self.body.clone()),
        };
        Call {
            method: self.method.clone(),
            path: with_ids(&self.path, ids),
            query: with_ids(&self.query, ids),
            body,
            json_wanted: self.accept.is_some_and(|accept| accept.contains("json")),
            correlation_id: uuid::Uuid::now_v7().to_string(),
            edition: Edition::Legacy,
            names: Vec::new(),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let kind = self.content_type.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind)));
        let accept = self.accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept)));
        let token = self.token.then(|| (AUTHORIZATION, HeaderValue::from_static("Bearer fuzz")));
        headers.extend(kind.into_iter().chain(accept).chain(token));
        headers
    }
}

/// Whether an answer is one that HubSpot could have given.
fn check(path: &str, reply: &Reply) -> Result<(), TestCaseError> {
    let text = String::from_utf8_lossy(&reply.body);
    let shown = || format!("{} for {path}: {text}", reply.status);
    // What is known and not imitated says so.
    prop_assert!((200..500).contains(&reply.status) || reply.status == 501, "{}", shown());
    if reply.status == 204 {
        prop_assert!(reply.body.is_empty(), "{}", shown());
        return Ok(());
    }
    if !reply.content_type.contains("json") {
        // The consent page is for people.
        let page = path.ends_with("/authorize");
        prop_assert!(page || matches!(reply.status, 404 | 413 | 414), "{}", shown());
        prop_assert!(text.starts_with("<html>"), "{}", shown());
        return Ok(());
    }
    let Ok(body) = serde_json::from_slice::<Value>(&reply.body) else {
        return Err(TestCaseError::fail(format!("no JSON: {}", shown())));
    };
    if reply.status >= 400 {
        prop_assert!(body["message"].is_string(), "{}", shown());
        if !path.contains("oauth") {
            prop_assert_eq!(&body["status"], "error", "{}", shown());
            prop_assert!(body["correlationId"].is_string(), "{}", shown());
        }
    }
    if reply.status == 207 {
        prop_assert!(body["errors"].is_array(), "{}", shown());
    }
    Ok(())
}

fn check_account(shared: &Shared) -> Result<(), TestCaseError> {
    prop_assert!(!shared.account.is_poisoned());
    for of in ["contacts", "companies"] {
        let shot = Shot {
            method: "GET".to_owned(),
            path: format!("/crm/v3/objects/{of}"),
            query: "limit=100&archived=false".to_owned(),
            body: Vec::new(),
            content_type: None,
            accept: None,
            token: true,
        };
        let reply = run(shared, &shot, &[])?;
        prop_assert_eq!(reply.status, 200);
        let page: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        prop_assert!(page["results"].is_array());
    }
    Ok(())
}

fn run(shared: &Shared, shot: &Shot, ids: &[String]) -> Result<Reply, TestCaseError> {
    let call = shot.call(ids);
    let length = call.path.len() + call.query.len() + 1;
    let served =
        futures::executor::block_on(server::process(shared, &shot.headers(), length, call));
    served.reply.ok_or_else(|| TestCaseError::fail("no answer"))
}

#[test]
fn any_call_is_answered_as_hubspot_would() {
    let shots = prop::collection::vec(shot(), 1..12);
    let tried = runner(1).run(&shots, |shots| {
        let (shared, ids) = account();
        for shot in &shots {
            let reply = run(&shared, shot, &ids)?;
            check(&shot.path, &reply)?;
        }
        check_account(&shared)
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn any_control_call_is_answered() {
    let rooms = "health record/contacts/$0 records/contacts records/contacts/$0 restore/contacts/$0 \
                 bulk-edit/contacts merge/contacts snapshot snapshot/restore clock limits faults \
                 faults/release log recording record records nothing / //";
    let rooms: Vec<String> = rooms.split_whitespace().map(str::to_owned).collect();
    let methods = select(vec!["GET", "POST", "DELETE", "PUT"]);
    let calls = prop::collection::vec((methods, select(rooms), query(), content()), 1..12);
    let tried = runner(2).run(&calls, |calls| {
        let (shared, ids) = account();
        for (method, room, query, content) in &calls {
            let shot = Shot {
                method: (*method).to_owned(),
                path: format!("{}/{room}", control::PREFIX),
                query: query.clone(),
                body: content.bytes(room),
                content_type: None,
                accept: None,
                token: false,
            };
            let call = shot.call(&ids);
            let reply = futures::executor::block_on(control::answer(&shared, &call));
            check(&shot.path, &reply)?;
        }
        shared.faults.clear();
        shared.gate().limits = super::super::Limits {
            per_ten_seconds: 1_000,
            oauth_per_ten_seconds: 1_000,
            searches_per_second: 1_000,
            daily: u64::MAX,
            association_batches_per_ten_seconds: None,
            retry_after: false,
        };
        check_account(&shared)
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}
