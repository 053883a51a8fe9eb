//! Reads what HubSpot types loosely: ids as strings or numbers, times with any
//! number of digits, lists that are sometimes a single value.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::objects::RecordId;

/// The microseconds since 1970 (UTC) of an envelope time: ISO 8601 with any
/// number of fractional digits, or epoch milliseconds.
pub(super) fn micros(text: &str) -> Option<i64> {
    let zoned = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"));
    if let Ok(time) = zoned {
        return Some(time.timestamp_micros());
    }
    if let Ok(time) = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f") {
        return Some(time.and_utc().timestamp_micros());
    }
    text.parse::<i64>().ok()?.checked_mul(1_000)
}

/// The microseconds since 1970 (UTC) of an HTTP date.
pub(super) fn http_date_micros(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc2822(text).ok().map(|time| time.timestamp_micros())
}

/// The text of a scalar; `None` for null. Lists and maps keep their JSON.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The texts of a list; a scalar counts as a list of one.
pub(super) fn texts_of(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(text_of).collect(),
        scalar => text_of(scalar).into_iter().collect(),
    }
}

/// A field that may hold a string or any other scalar.
pub(super) fn text_field(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name).and_then(text_of)
}

/// A `context` object: texts by key, whatever shape its values have.
pub(super) fn context_of(fields: &Map<String, Value>) -> BTreeMap<String, Vec<String>> {
    match fields.get("context") {
        Some(Value::Object(context)) => {
            context.iter().map(|(key, value)| (key.clone(), texts_of(value))).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// Deserialises a time that may be absent, null or malformed: what no column
/// can use is `None`.
pub(super) fn optional_micros<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    Ok(Option::<Text>::deserialize(d)?.and_then(|text| micros(&text.0)))
}

/// Deserialises a text that may be absent, null, or another scalar.
pub(super) fn optional_text<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Text>::deserialize(d)?.map(|text| text.0))
}

/// Deserialises a field whose null means the same as its absence.
pub(super) fn or_default<'de, D, T>(d: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// Deserialises a record id from a string or a number.
pub(super) fn record_id<'de, D: Deserializer<'de>>(d: D) -> Result<RecordId, D::Error> {
    Text::deserialize(d)?.0.parse().map_err(serde::de::Error::custom)
}

/// A scalar as text: the string itself, or the JSON text of a number or bool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Text;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string, a number or a bool")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Text, E> {
                Ok(Text(text))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read_with_any_number_of_digits() {
        let second = 1_651_568_400_000_000;
        for (text, expected) in [
            ("2022-05-03T09:00:00Z", second),
            ("2022-05-03T09:00:00.5Z", second + 500_000),
            ("2022-05-03T09:00:00.123Z", second + 123_000),
            ("2022-05-03T09:00:00.123456Z", second + 123_456),
            ("2022-05-03T11:00:00+02:00", second),
            ("2022-05-03T11:00:00.000+0200", second),
            ("2022-05-03T09:00:00.000", second),
            ("1651568400000", second),
            ("1970-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(micros(text), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "2022-13-01T00:00:00Z", "9223372036854775807"] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    #[test]
    fn the_date_header_is_read() {
        let time = http_date_micros("Mon, 08 Aug 2022 14:48:45 GMT");
        assert_eq!(time, micros("2022-08-08T14:48:45Z"));
        assert_eq!(http_date_micros("soon"), None);
    }

    #[test]
    fn a_context_is_read_whatever_shape_its_values_have() {
        let fields = json!({"context": {
            "ids": ["1", 2], "expire time": "x", "none": null, "links": {"scopes": "url"}
        }});
        let context = context_of(fields.as_object().expect("an object"));
        assert_eq!(context["ids"], ["1", "2"]);
        assert_eq!(context["expire time"], ["x"]);
        assert!(context["none"].is_empty());
        assert_eq!(context["links"], [r#"{"scopes":"url"}"#]);
    }
}
