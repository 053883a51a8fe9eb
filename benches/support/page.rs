//! A page of contacts as HubSpot answers it, for benches that read JSON.

use serde_json::{Map, Value, json};

/// Records on the page.
pub(crate) const RECORDS: usize = 100;
/// Properties of each.
pub(crate) const PROPERTIES: usize = 100;

/// What a property holds. A contact is mostly text and empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what its name says")]
pub(crate) enum Kind {
    Text,
    Number,
    DateTime,
    Bool,
    Date,
    Enumeration,
}

/// What the property of this place holds.
pub(crate) fn kind(at: usize) -> Kind {
    match at % 10 {
        0 | 1 => Kind::Number,
        2 => Kind::DateTime,
        3 => Kind::Bool,
        4 => Kind::Date,
        5 => Kind::Enumeration,
        _ => Kind::Text,
    }
}

/// The name of the property of this place.
pub(crate) fn name(at: usize) -> String {
    format!("property_number_{at:03}")
}

fn value(record: usize, at: usize) -> Value {
    if (record + at).is_multiple_of(3) {
        return Value::Null;
    }
    let text = match kind(at) {
        Kind::Number => format!("{}.5", record * at),
        Kind::DateTime => format!("2026-01-{:02}T09:30:00.{:03}Z", record % 28 + 1, at),
        Kind::Bool => at.is_multiple_of(2).to_string(),
        Kind::Date => format!("2026-02-{:02}", record % 28 + 1),
        Kind::Enumeration => "marketingqualifiedlead".to_owned(),
        Kind::Text => format!("Some text of record {record} in property {at}"),
    };
    Value::String(text)
}

/// The page's bytes.
pub(crate) fn page() -> Vec<u8> {
    let record = |record: usize| {
        let named = |at| (name(at), value(record, at));
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
