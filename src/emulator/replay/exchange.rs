//! A recorded exchange.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use crate::emulator::call::Call;
use crate::emulator::computed::Era;
use crate::emulator::paths::Edition;

/// What was asked and what was answered.
#[derive(Debug, Deserialize)]
pub(super) struct Exchange {
    pub(super) request: Request,
    pub(super) response: Response,
    #[serde(default)]
    note: Option<String>,
}

/// The recorded request.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    #[serde(default)]
    query: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) body: Value,
}

/// The recorded answer.
#[derive(Debug, Deserialize)]
pub(super) struct Response {
    pub(super) status: u16,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) body: Value,
}

impl Exchange {
    /// The request as a call.
    pub(super) fn call(&self) -> Call {
        let accept = self.header("accept").unwrap_or("*/*");
        Call {
            method: self.request.method.to_uppercase(),
            path: self.request.path.clone(),
            query: self.query(),
            body: self.body(),
            json_wanted: accept.contains("json"),
            correlation_id: "00000000-0000-0000-0000-000000000000".to_owned(),
            edition: Edition::Legacy,
            names: Vec::new(),
        }
    }

    /// A header of the request, whatever its case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.request.headers.iter().flatten();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether the recording has headers at all.
    pub(super) fn has_headers(&self) -> bool {
        self.request.headers.is_some()
    }

    /// The year it was recorded in: by the `Date` of the answer, else by the
    /// newest time in it.
    pub(super) fn year(&self) -> i32 {
        let mut headers = self.response.headers.iter().flatten();
        let date = headers.find(|(name, _)| name.eq_ignore_ascii_case("date"));
        let told = date.and_then(|(_, date)| date.split(' ').nth(3)?.parse().ok());
        told.or_else(|| newest_year(&self.response.body)).unwrap_or(Era::NOW.0)
    }

    /// What the answer shows that the request must have asked for, where the
    /// recorder kept no query.
    fn implied_query(&self) -> String {
        let unknown = self.note.as_deref().is_some_and(|note| note.contains("query not recorded"));
        let body = self.recorded_body();
        let Some(records) = body["results"].as_array().filter(|_| unknown) else {
            return String::new();
        };
        let names = |member: &str| {
            let objects = records.iter().filter_map(|record| record[member].as_object());
            let names: BTreeSet<&String> = objects.flat_map(|object| object.keys()).collect();
            names.into_iter().cloned().collect::<Vec<String>>().join(",")
        };
        let mut query = format!("properties={}", names("properties"));
        for member in ["propertiesWithHistory", "associations"] {
            let names = names(member);
            if !names.is_empty() {
                query.push_str(&format!("&{member}={names}"));
            }
        }
        query
    }

    /// Length of path and query.
    pub(super) fn uri_length(&self) -> usize {
        self.request.path.len() + self.query().len()
    }

    /// The body, texts that hold JSON parsed.
    pub(super) fn recorded_body(&self) -> Value {
        match &self.response.body {
            Value::String(text) if text.is_empty() => Value::Null,
            Value::String(text) => {
                serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
            }
            body => body.clone(),
        }
    }

    fn query(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut parts = Vec::new();
        for (name, value) in self.request.query.iter().flatten() {
            let values = match value {
                Value::Array(values) => values.clone(),
                value => vec![value.clone()],
            };
            for value in values {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                parts.push(format!("{}={}", encode(name), encode(&text)));
            }
        }
        if parts.is_empty() { self.implied_query() } else { parts.join("&") }
    }

    fn body(&self) -> Bytes {
        match &self.request.body {
            Value::Null => Bytes::new(),
            Value::String(text) => Bytes::from(text.clone()),
            body => Bytes::from(body.to_string()),
        }
    }
}

/// The year of the newest envelope time in an answer.
fn newest_year(body: &Value) -> Option<i32> {
    match body {
        Value::Object(members) => {
            let own = members.get("updatedAt").and_then(Value::as_str);
            let own = own.and_then(|time| time.get(..4)?.parse().ok());
            members.values().filter_map(newest_year).chain(own).max()
        }
        Value::Array(elements) => elements.iter().filter_map(newest_year).max(),
        _ => None,
    }
}
