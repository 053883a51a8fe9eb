//! Decoding a page of 100 contacts with 100 properties into Arrow, against a
//! JSON parser merely validating the same bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hublake::extract::{MirrorSchema, decode_page};
use hublake::objects::{ObjectType, PropertyDefinition, PropertyType};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

const RECORDS: usize = 100;
const PROPERTIES: usize = 100;

/// A mix like that of a contact: mostly text and empty, some of each other type.
fn property_type(at: usize) -> PropertyType {
    match at % 10 {
        0 | 1 => PropertyType::Number,
        2 => PropertyType::DateTime,
        3 => PropertyType::Bool,
        4 => PropertyType::Date,
        5 => PropertyType::Enumeration,
        _ => PropertyType::String,
    }
}

fn value(record: usize, at: usize) -> Value {
    if (record + at).is_multiple_of(3) {
        return Value::Null;
    }
    let text = match property_type(at) {
        PropertyType::Number => format!("{}.5", record * at),
        PropertyType::DateTime => format!("2026-01-{:02}T09:30:00.{:03}Z", record % 28 + 1, at),
        PropertyType::Bool => at.is_multiple_of(2).to_string(),
        PropertyType::Date => format!("2026-02-{:02}", record % 28 + 1),
        PropertyType::Enumeration => "marketingqualifiedlead".to_owned(),
        _ => format!("Some text of record {record} in property {at}"),
    };
    Value::String(text)
}

fn page() -> Vec<u8> {
    let record = |record: usize| {
        let named = |at| (format!("property_number_{at:03}"), value(record, at));
        let properties: Map<String, Value> = (0..PROPERTIES).map(named).collect();
        json!({
            "id": (51_854_903_510 + record).to_string(),
            "properties": properties,
            "createdAt": "2025-06-01T14:31:48.469Z",
            "updatedAt": "2026-07-07T20:27:17.947Z",
            "archived": false,
        })
    };
    let results: Vec<Value> = (0..RECORDS).map(record).collect();
    let page = json!({ "results": results, "paging": { "next": { "after": "51854903611" } } });
    serde_json::to_vec(&page).expect("a page is JSON")
}

fn definition(at: usize) -> PropertyDefinition {
    PropertyDefinition {
        name: format!("property_number_{at:03}"),
        label: String::new(),
        property_type: property_type(at),
        field_type: "text".to_owned(),
        group_name: String::new(),
        description: String::new(),
        options: Vec::new(),
        calculated: false,
        external_options: false,
        has_unique_value: false,
        read_only_value: false,
        hubspot_defined: false,
        hidden: false,
        archived: false,
        data_sensitivity: None,
        created_at: None,
        updated_at: None,
    }
}

fn decode(criterion: &mut Criterion) {
    let body = page();
    let definitions: Vec<PropertyDefinition> = (0..PROPERTIES).map(definition).collect();
    let schema = MirrorSchema::new(&ObjectType::CONTACTS, &definitions);
    let mut group = criterion.benchmark_group("page of 100 contacts, 100 properties");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("decode into Arrow", |bencher| {
        bencher.iter(|| decode_page(&schema, black_box(&body), 1).expect("a page"));
    });
    group.bench_function("validate with serde_json", |bencher| {
        bencher.iter(|| serde_json::from_slice::<IgnoredAny>(black_box(&body)).expect("JSON"));
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
