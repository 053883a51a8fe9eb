//! Decoding a page of 100 contacts with 100 properties into Arrow, against a
//! JSON parser merely validating the same bytes. `parsers/` compares parsers.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hublake::extract::{MirrorSchema, decode_page};
use hublake::objects::{ObjectType, PropertyDefinition, PropertyType};
use serde::de::IgnoredAny;

#[path = "support/page.rs"]
mod page;

use page::Kind;

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As HubSpot's types have it.
fn property_type(at: usize) -> PropertyType {
    match page::kind(at) {
        Kind::Text => PropertyType::String,
        Kind::Number => PropertyType::Number,
        Kind::DateTime => PropertyType::DateTime,
        Kind::Bool => PropertyType::Bool,
        Kind::Date => PropertyType::Date,
        Kind::Enumeration => PropertyType::Enumeration,
    }
}

fn definition(at: usize) -> PropertyDefinition {
    PropertyDefinition {
        name: page::name(at),
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
    let body = page::page();
    let definitions: Vec<PropertyDefinition> = (0..page::PROPERTIES).map(definition).collect();
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
