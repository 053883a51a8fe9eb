//! Every recorded exchange must be understood. The recordings lie beside the
//! repository; where they are absent the test says so and passes.

use std::path::PathBuf;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::answer::flaw_of;
use super::api_error::{ApiError, BatchError};
use super::definitions::NewProperty;
use super::query::ListQuery;
use super::records::Record;
use super::scripted::{Step, scripted};
use super::transport::{Answer, Reply};
use crate::objects::{ObjectType, PropertyType};

#[tokio::test(start_paused = true)]
async fn every_recorded_answer_is_understood() {
    let Some(folder) = recordings() else {
        println!("skipped: no recordings in `$HUBLAKE_SHARED` or `../shared`");
        return;
    };
    let mut understood = 0;
    for file in ["captaincontrat_v3_v4.jsonl", "dlt_v3.jsonl"] {
        let lines = std::fs::read_to_string(folder.join(file)).expect("a readable recording");
        for (number, line) in lines.lines().enumerate() {
            let exchange: Value = serde_json::from_str(line).expect("a line of JSON");
            understand(&exchange, &format!("{file}:{}", number + 1)).await;
            understood += 1;
        }
    }
    assert_eq!(understood, 114, "every line of both recordings");
}

fn recordings() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("HUBLAKE_SHARED").map_or_else(beside, PathBuf::from);
    let folder = shared.join("hubspot-recordings");
    folder.is_dir().then_some(folder)
}

async fn understand(exchange: &Value, place: &str) {
    let (body, reply) = (&exchange["response"]["body"], reply_of(&exchange["response"]));
    if reply.status >= 300 {
        return understand_error(&reply, body, place);
    }
    let answer = if body.is_null() { Answer::Nothing } else { Answer::Json };
    let flaw = flaw_of(&reply, answer);
    assert!(flaw.is_none(), "{place}: {flaw:?}");
    for error in body["errors"].as_array().into_iter().flatten() {
        assert!(BatchError::from_wire(error).category.is_some(), "{place}: {error}");
    }
    let path = exchange["request"]["path"].as_str().expect("a path");
    let created = body.get("fieldType").is_some();
    match path.trim_start_matches("/crm/v3/").split('/').collect::<Vec<_>>()[..] {
        ["objects", _] | ["objects", _, "search"] if body.get("results").is_some() => {
            understand_page(reply, body, place).await;
        }
        ["objects", ..] if body.get("properties").is_some() => understand_record(body, place),
        ["owners"] => understand_owners(reply, body, place).await,
        ["properties", _] if created => understand_property(reply, body, place).await,
        _ => {}
    }
}

fn understand_error(reply: &Reply, body: &Value, place: &str) {
    let error = ApiError::parse(reply.status, &reply.body);
    let texts = [
        ("category", error.category.as_deref()),
        ("subCategory", error.sub_category.as_deref()),
        ("correlationId", error.correlation_id.as_deref()),
        ("message", body.is_object().then_some(error.message.as_str())),
    ];
    for (field, text) in texts {
        assert_eq!(text, body[field].as_str(), "{place}: {field}");
    }
    let errors = body["errors"].as_array().map_or(0, Vec::len);
    assert_eq!(error.errors.len(), errors, "{place}");
}

async fn understand_page(reply: Reply, body: &Value, place: &str) {
    let (client, _) = scripted([Step::Answer(reply)]);
    let query = ListQuery { properties: vec![], limit: 100, archived: false };
    let page = client.list_page(&ObjectType::CONTACTS, &query, None).await.expect(place);
    let records = page.records().expect(place).results;
    let recorded = body["results"].as_array().expect("results");
    assert_eq!(records.len(), recorded.len(), "{place}");
    for (record, recorded) in records.iter().zip(recorded) {
        assert_same(record, recorded, place);
    }
}

fn understand_record(body: &Value, place: &str) {
    let record: Record = serde_json::from_value(body.clone()).expect(place);
    assert_same(&record, body, place);
}

fn assert_same(record: &Record, recorded: &Value, place: &str) {
    assert_eq!(Some(record.id.to_string().as_str()), recorded["id"].as_str(), "{place}");
    let properties = recorded["properties"].as_object().expect("properties");
    assert_eq!(record.properties.len(), properties.len(), "{place}");
    for (name, value) in properties {
        assert_eq!(record.properties[name].as_deref(), value.as_str(), "{place}: {name}");
    }
    assert_eq!(record.created_at.is_some(), recorded.get("createdAt").is_some(), "{place}");
    assert_eq!(record.updated_at.is_some(), recorded.get("updatedAt").is_some(), "{place}");
}

async fn understand_owners(reply: Reply, body: &Value, place: &str) {
    let (client, _) = scripted([Step::Answer(reply)]);
    let owners = client.owners(false).await.expect(place);
    let recorded = body["results"].as_array().expect("results");
    assert_eq!(owners.len(), recorded.len(), "{place}");
    for (owner, recorded) in owners.iter().zip(recorded) {
        assert_eq!(Some(owner.id.as_str()), recorded["id"].as_str(), "{place}");
        assert_eq!(owner.user_id, recorded["userId"].as_i64(), "{place}");
        assert_eq!(owner.email.as_deref(), recorded["email"].as_str(), "{place}");
    }
}

async fn understand_property(reply: Reply, body: &Value, place: &str) {
    let (client, _) = scripted([Step::Answer(reply)]);
    let text = |field: &str| body[field].as_str().expect("a text").to_owned();
    let wanted = NewProperty {
        name: text("name"),
        label: text("label"),
        property_type: PropertyType::from_wire(&text("type")),
        field_type: text("fieldType"),
        group_name: text("groupName"),
        description: String::new(),
        options: vec![],
        has_unique_value: false,
    };
    let created = client.create_property(&ObjectType::TICKETS, &wanted).await.expect(place);
    assert_eq!(
        (created.name, created.label, created.property_type, created.group_name),
        (wanted.name, wanted.label, wanted.property_type, wanted.group_name),
        "{place}"
    );
}

/// The reply as it came. Encoding headers are left out: bodies are recorded
/// decoded.
fn reply_of(response: &Value) -> Reply {
    let mut headers = HeaderMap::new();
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().map(HeaderValue::from_str);
        if let (Ok(name), Some(Ok(value))) = (name.parse::<HeaderName>(), value) {
            headers.insert(name, value);
        }
    }
    let body = match &response["body"] {
        Value::Null => String::new(),
        Value::String(page) => page.clone(),
        json => json.to_string(),
    };
    let status = response["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    Reply { status: status.expect("a status"), headers, body: body.into() }
}
