//! Which JSON parser for a page of records? `cargo run --release` here answers.
//!
//! One page of 100 contacts with 100 properties, the one of `../decode.rs`, is
//! validated by each parser, and taken into Arrow text builders by each that can
//! drive a visitor, so that the parser is all that differs. arrow-json takes it
//! into the nested arrays it makes by itself: columns of text, still to be cast.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{Array, StringBuilder};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::json::ReaderBuilder;
use criterion::{BatchSize, Criterion, Throughput};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

#[path = "../../support/page.rs"]
mod page;

fn main() {
    let body = page::page();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("page of 100 contacts, 100 properties");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("validate: serde_json", |bencher| {
        bencher.iter(|| serde_json::from_slice::<IgnoredAny>(black_box(&body)).expect("JSON"));
    });
    group.bench_function("validate: sonic-rs", |bencher| {
        bencher.iter(|| sonic_rs::from_slice::<IgnoredAny>(black_box(&body)).expect("JSON"));
    });
    let mut buffers = simd_json::Buffers::new(body.len());
    group.bench_function("validate: simd-json, to a tape", |bencher| {
        // It writes into its input, which therefore has to be copied.
        bencher.iter_batched_ref(
            || body.clone(),
            |body| {
                let tape = simd_json::to_tape_with_buffers(black_box(body), &mut buffers);
                black_box(tape.expect("JSON").0.len())
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("into builders: serde_json", |bencher| {
        bencher.iter(|| rows(&mut serde_json::Deserializer::from_slice(black_box(&body))));
    });
    group.bench_function("into builders: serde_json, UTF-8 checked once", |bencher| {
        bencher.iter(|| {
            let text = std::str::from_utf8(black_box(&body)).expect("UTF-8");
            rows(&mut serde_json::Deserializer::from_str(text))
        });
    });
    group.bench_function("into builders: sonic-rs", |bencher| {
        bencher.iter(|| rows(&mut sonic_rs::Deserializer::from_slice(black_box(&body))));
    });
    group.bench_function("into builders: simd-json", |bencher| {
        bencher.iter_batched_ref(
            || body.clone(),
            |body| {
                let mut json = simd_json::Deserializer::from_slice(black_box(body)).expect("JSON");
                rows(&mut json)
            },
            BatchSize::SmallInput,
        );
    });
    let schema = Arc::new(nested());
    group.bench_function("into nested arrays: arrow-json", |bencher| {
        bencher.iter(|| {
            let builder = ReaderBuilder::new(schema.clone()).with_coerce_primitive(true);
            let mut decoder = builder.build_decoder().expect("a decoder");
            decoder.decode(black_box(&body)).expect("JSON");
            decoder.flush().expect("a batch").expect("one row").num_rows()
        });
    });
    group.finish();
    criterion.final_summary();
}

/// The page as arrow-json sees it: one row that holds a list of records.
fn nested() -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let properties: Fields = (0..page::PROPERTIES).map(|at| text(&page::name(at))).collect();
    let record = Fields::from(vec![
        text("id"),
        Field::new("properties", DataType::Struct(properties), true),
        text("createdAt"),
        text("updatedAt"),
        Field::new("archived", DataType::Boolean, true),
    ]);
    let item = Arc::new(Field::new("item", DataType::Struct(record), true));
    Schema::new(vec![Field::new("results", DataType::List(item), true)])
}

/// Takes the page's values into one builder a property; how many there were.
fn rows<'de, D: Deserializer<'de, Error: std::fmt::Debug>>(json: D) -> usize {
    let mut builders: Vec<StringBuilder> =
        (0..page::PROPERTIES).map(|_| StringBuilder::new()).collect();
    Page(&mut builders).deserialize(json).expect("a page");
    builders.iter_mut().map(|builder| builder.finish().len()).sum()
}

struct Page<'b>(&'b mut Vec<StringBuilder>);
struct Records<'b>(&'b mut Vec<StringBuilder>);
struct Record<'b>(&'b mut Vec<StringBuilder>);
struct Properties<'b>(&'b mut Vec<StringBuilder>);
struct Value<'b>(&'b mut StringBuilder);

/// A seed that reads an object, and what it does with each key.
macro_rules! object {
    ($seed:ident, $key:ident, $map:ident, $this:ident => $read:expr) => {
        impl<'de> DeserializeSeed<'de> for $seed<'_> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
                json.deserialize_map(self)
            }
        }
        impl<'de> Visitor<'de> for $seed<'_> {
            type Value = ();
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut $map: A) -> Result<(), A::Error> {
                let $this = self;
                while let Some($key) = $map.next_key::<&'de str>()? {
                    $read
                }
                Ok(())
            }
        }
    };
}

object!(Page, key, map, this => match key {
    "results" => map.next_value_seed(Records(this.0))?,
    _ => { map.next_value::<IgnoredAny>()?; }
});
object!(Record, key, map, this => match key {
    "properties" => map.next_value_seed(Properties(this.0))?,
    _ => { map.next_value::<IgnoredAny>()?; }
});

impl<'de> DeserializeSeed<'de> for Properties<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Properties<'_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("properties")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // All records of the page have the same properties in the same order.
        for builder in self.0.iter_mut() {
            black_box(map.next_key::<&'de str>()?);
            map.next_value_seed(Value(builder))?;
        }
        while map.next_entry::<&'de str, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Records<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("records")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Record(self.0))?.is_some() {}
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text or null")
    }
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.append_value(text);
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.append_null();
        Ok(())
    }
}
