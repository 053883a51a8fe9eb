//! A recorded exchange, in whatever form its recorder wrote it.
//!
//! The form is `request` {`method`, `path`, `query`, `headers`, `body`} and
//! `response` {`status`, `headers`, `body`}. Recorders differ in the rest:
//! paths come as whole URLs, queries as texts or lists of pairs, headers as
//! lists, bodies as texts, JSON or nothing. All of these are understood.

use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::Datelike;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::emulator::call::Call;
use crate::emulator::computed::Era;
use crate::emulator::moment;
use crate::emulator::paths::{Edition, Endpoint, Route};

/// From when on records carry `url`.
const URLS: i32 = 202501;

/// What was asked and what was answered.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) method: String,
    /// Percent-encoded as it was, without host and query.
    pub(super) path: String,
    query: String,
    headers: Option<Vec<(String, String)>>,
    request: Value,
    pub(super) status: u16,
    response_headers: Vec<(String, String)>,
    /// The answer, texts that hold JSON parsed.
    pub(super) answer: Value,
    /// Whether the recorder kept only the answer.
    body_only: bool,
}

impl Exchange {
    /// Reads a line; what is missing is said in plain words.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let no_json = |_| {
            "it is not JSON; replay wants one object a line with `request` and `response`"
                .to_owned()
        };
        let value: Value = serde_json::from_str(line).map_err(no_json)?;
        let request = value.get("request").filter(|part| part.is_object());
        let request = request.ok_or("it has no `request`")?;
        let response = value.get("response").filter(|part| part.is_object());
        let response = response.ok_or("it has no `response`")?;
        let method = request["method"].as_str().ok_or("its `request` has no `method`")?;
        let target = ["path", "url", "uri"].iter().find_map(|name| request[*name].as_str());
        let target = target.ok_or("its `request` has no `path`")?;
        let (path, in_path) = split_target(target);
        let query = query_text(&request["query"]);
        let query = if query.is_empty() { in_path.to_owned() } else { query };
        let status = status(&response["status"]).ok_or("its `response` has no `status`")?;
        let told = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let unknown = told("note").contains("query not recorded");
        let bare = told("capture").contains("body") || request["query"].is_null();
        Ok(Self {
            method: method.to_uppercase(),
            path,
            body_only: query.is_empty() && (unknown || bare),
            query,
            headers: pairs(&request["headers"]),
            request: body(&request["body"]),
            status,
            response_headers: pairs(&response["headers"]).unwrap_or_default(),
            answer: parsed(body(&response["body"])),
        })
    }

    /// The request as a call.
    pub(super) fn call(&self) -> Call {
        let accept = self.header("accept").unwrap_or("*/*");
        Call {
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            body: self.body(),
            json_wanted: accept.contains("json"),
            correlation_id: "00000000-0000-0000-0000-000000000000".to_owned(),
            edition: Edition::Legacy,
            names: Vec::new(),
        }
    }

    /// Puts in what the request must have asked for, seen by the answer, where
    /// the recorder kept the answer only. Says why if that cannot be known.
    pub(super) fn complete(&self, route: Route, call: &mut Call) -> Result<(), String> {
        if call.query.is_empty() && self.body_only {
            call.query = self.implied_query();
        }
        let Route::To(endpoint) = route else { return Ok(()) };
        if !(200..300).contains(&self.status) || !call.body.is_empty() {
            return Ok(());
        }
        let results = self.answer["results"].as_array();
        let implied = match endpoint {
            Endpoint::Search => json!({
                "properties": self.named("properties"),
                "limit": results.map_or(10, |results| results.len().clamp(1, 200)),
            }),
            Endpoint::BatchRead => {
                let input = |record: &Value| json!({"id": record["id"]});
                let inputs: Vec<Value> = results.into_iter().flatten().map(input).collect();
                json!({"properties": self.named("properties"), "inputs": inputs})
            }
            Endpoint::AssociationsRead => {
                let input = |result: &Value| json!({"id": result["from"]["id"]});
                let inputs: Vec<Value> = results.into_iter().flatten().map(input).collect();
                json!({"inputs": inputs})
            }
            Endpoint::Create
            | Endpoint::BatchCreate
            | Endpoint::Update
            | Endpoint::BatchUpdate
            | Endpoint::BatchUpsert
            | Endpoint::PropertyCreate
            | Endpoint::PropertyBatchCreate
            | Endpoint::ListCreate => return Err("the request's body was not kept".to_owned()),
            _ => return Ok(()),
        };
        call.body = Bytes::from(implied.to_string());
        Ok(())
    }

    /// A header of the request, whatever its case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        find(self.headers.as_deref().unwrap_or_default(), name)
    }

    /// Whether the recording has headers at all.
    pub(super) fn has_headers(&self) -> bool {
        self.headers.is_some()
    }

    /// Whether a proxy stood between recorder and service that answers every
    /// success with a body as 200: Nango's does, and names itself.
    pub(super) fn is_proxied(&self) -> bool {
        let told = |(name, value): &(String, String)| {
            [name, value].iter().any(|text| text.to_lowercase().contains("x-nango"))
        };
        self.response_headers.iter().any(told)
    }

    /// When it was answered: by the `Date` of the answer and the newest time
    /// in it, a second later, so that all of it had happened.
    pub(super) fn moment(&self) -> Option<i64> {
        let date = find(&self.response_headers, "date");
        let date = date.and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok());
        let told = date.map(|date| date.timestamp_millis());
        told.max(newest(&self.answer)).map(|moment| moment + 1_000)
    }

    /// Which month's service answered. What records show of their time comes
    /// before what the clock says.
    pub(super) fn era(&self) -> Era {
        let told = self.moment().and_then(month_of).unwrap_or(Era::NOW.0);
        let many = self.answer["results"].as_array().into_iter().flatten();
        let records: Vec<&Value> =
            many.chain([&self.answer]).filter(|record| record["properties"].is_object()).collect();
        let with_url = records.iter().any(|record| record.get("url").is_some());
        Era(match (records.is_empty(), with_url) {
            (true, _) => told,
            (false, true) => told.max(URLS),
            (false, false) => told.min(URLS - 1),
        })
    }

    /// Length of path and query.
    pub(super) fn uri_length(&self, query: &str) -> usize {
        self.path.len() + query.len()
    }

    /// The names under a member of the answer's records.
    fn named(&self, member: &str) -> Vec<String> {
        let many = self.answer["results"].as_array().into_iter().flatten();
        let objects =
            many.chain([&self.answer]).filter_map(|record| record.get(member)?.as_object());
        let names: BTreeSet<&String> = objects.flat_map(Map::keys).collect();
        names.into_iter().cloned().collect()
    }

    fn implied_query(&self) -> String {
        let mut query = Vec::new();
        for member in ["properties", "propertiesWithHistory", "associations"] {
            let names = self.named(member);
            if !names.is_empty() {
                query.push(format!("{member}={}", names.join(",")));
            }
        }
        let results = self.answer["results"].as_array();
        let shown = results.map_or(0, Vec::len);
        if shown > 10 || self.answer["paging"]["next"].is_object() && shown > 0 {
            query.push(format!("limit={}", shown.min(100)));
        }
        let archived = |record: &Value| record["archived"] == json!(true);
        if results.is_some_and(|results| !results.is_empty() && results.iter().all(archived))
            || archived(&self.answer)
        {
            query.push("archived=true".to_owned());
        }
        query.join("&")
    }

    fn body(&self) -> Bytes {
        let is_form = self.header("content-type").is_some_and(|kind| kind.contains("form-url"));
        match &self.request {
            Value::Null => Bytes::new(),
            Value::String(text) => Bytes::from(text.clone()),
            body @ Value::Object(_) if is_form => Bytes::from(query_text(body)),
            body => Bytes::from(body.to_string()),
        }
    }
}

/// A target as path and query, host and fragment taken off.
fn split_target(target: &str) -> (String, &str) {
    let target = target.trim().split('#').next().unwrap_or_default();
    let local = match target.split_once("://") {
        Some((_, rest)) => rest.find(['/', '?']).map_or("", |at| &rest[at..]),
        None => target,
    };
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    (format!("/{}", path.trim_start_matches('/')), query)
}

/// A query as it travels: a text, an object, or pairs.
fn query_text(query: &Value) -> String {
    if let Value::String(text) = query {
        return text.trim_start_matches('?').to_owned();
    }
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut parts = Vec::new();
    for (name, value) in members(query) {
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in values.into_iter().filter(|value| !value.is_null()) {
            parts.push(format!("{}={}", encode(&name), encode(&text_of(&value))));
        }
    }
    parts.join("&")
}

/// Names and values of an object, of a list of pairs, of a list of `{name,
/// value}`, or of a flat list.
fn members(value: &Value) -> Vec<(String, Value)> {
    let named = |entry: &Value| {
        let name = entry.get("name").or_else(|| entry.get("key"))?.as_str()?;
        Some((name.to_owned(), entry["value"].clone()))
    };
    match value {
        Value::Object(members) => members.clone().into_iter().collect(),
        Value::Array(entries) if entries.iter().all(Value::is_string) => {
            let pairs = entries.chunks_exact(2);
            pairs.map(|pair| (text_of(&pair[0]), pair[1].clone())).collect()
        }
        Value::Array(entries) => {
            let pair = |entry: &Value| match entry.as_array().map(Vec::as_slice) {
                Some([name, value]) => Some((text_of(name), value.clone())),
                _ => named(entry),
            };
            entries.iter().filter_map(pair).collect()
        }
        _ => Vec::new(),
    }
}

/// Headers, whatever their form; none if there are none.
fn pairs(value: &Value) -> Option<Vec<(String, String)>> {
    if value.is_null() {
        return None;
    }
    let line = |(name, value): (String, Value)| match value {
        Value::Array(values) => {
            (name, values.iter().map(text_of).collect::<Vec<String>>().join(", "))
        }
        value => (name, text_of(&value)),
    };
    Some(members(value).into_iter().map(line).collect())
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// A body; `{"string": …}` is how some recorders wrap a text.
fn body(value: &Value) -> Value {
    match value {
        Value::Object(members) => match members.get("string") {
            Some(text @ Value::String(_)) if members.len() <= 2 => text.clone(),
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}

fn parsed(body: Value) -> Value {
    match body {
        Value::String(text) if text.trim().is_empty() => Value::Null,
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        body => body,
    }
}

fn status(value: &Value) -> Option<u16> {
    match value {
        Value::Object(members) => status(members.get("code")?),
        Value::String(text) => text.split(' ').next()?.parse().ok(),
        value => value.as_u64().and_then(|status| status.try_into().ok()),
    }
    .filter(|status| (100..600).contains(status))
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The newest time in an answer's envelopes.
fn newest(body: &Value) -> Option<i64> {
    const TIMES: [&str; 4] = ["createdAt", "updatedAt", "startedAt", "completedAt"];
    match body {
        Value::Object(members) => {
            let times = TIMES.iter().filter_map(|name| members.get(*name)?.as_str());
            let own = times.filter_map(moment::parse);
            members.values().filter_map(newest).chain(own).max()
        }
        Value::Array(elements) => elements.iter().filter_map(newest).max(),
        _ => None,
    }
}

/// A moment as 202208.
fn month_of(moment: i64) -> Option<i32> {
    let time = chrono::DateTime::from_timestamp_millis(moment)?;
    Some(time.year() * 100 + time.month() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(request: &str, response: &str) -> Exchange {
        Exchange::parse(&format!("{{\"request\":{request},\"response\":{response}}}"))
            .expect("an exchange")
    }

    #[test]
    fn paths_and_queries_come_in_any_form() {
        for request in [
            r#"{"method":"get","path":"/crm/v3/owners","query":{"limit":5,"email":"a@b"}}"#,
            r#"{"method":"GET","path":"/crm/v3/owners?limit=5&email=a%40b","query":{}}"#,
            r#"{"method":"GET","url":"https://api.hubapi.com/crm/v3/owners?limit=5&email=a%40b"}"#,
            r#"{"method":"GET","path":"crm/v3/owners","query":"?limit=5&email=a%40b"}"#,
            r#"{"method":"GET","path":"/crm/v3/owners","query":[["limit","5"],["email","a@b"]]}"#,
            r#"{"method":"GET","path":"/crm/v3/owners","query":[{"name":"limit","value":5},{"name":"email","value":"a@b"}]}"#,
        ] {
            let exchange = exchange(request, r#"{"status":200}"#);
            let call = exchange.call();
            assert_eq!((call.method.as_str(), call.path.as_str()), ("GET", "/crm/v3/owners"));
            assert_eq!(call.query("limit").as_deref(), Some("5"), "{request}");
            assert_eq!(call.query("email").as_deref(), Some("a@b"), "{request}");
        }
    }

    #[test]
    fn headers_and_bodies_come_in_any_form() {
        for headers in [
            r#"{"ACCEPT":"application/json","content-type":["application/x-www-form-urlencoded"]}"#,
            r#"[["Accept","application/json"],["Content-Type","application/x-www-form-urlencoded"]]"#,
            r#"["Accept","application/json","Content-Type","application/x-www-form-urlencoded"]"#,
        ] {
            let request = format!(
                "{{\"method\":\"POST\",\"path\":\"/oauth/v1/token\",\"headers\":{headers},\"body\":{{\"grant_type\":\"refresh_token\"}}}}"
            );
            let exchange =
                exchange(&request, r#"{"status":{"code":200},"body":{"string":"{\"a\":1}"}}"#);
            assert!(exchange.call().json_wanted);
            assert_eq!(exchange.call().body, "grant%5Ftype=refresh%5Ftoken");
            assert_eq!(exchange.answer, json!({"a": 1}));
        }
    }

    #[test]
    fn what_is_no_exchange_says_why() {
        for (line, reason) in [
            ("[]", "it has no `request`"),
            (r#"{"request":{"method":"GET","path":"/"}}"#, "it has no `response`"),
            (r#"{"request":{"path":"/"},"response":{}}"#, "its `request` has no `method`"),
            (
                r#"{"request":{"method":"GET","path":"/"},"response":{"status":9}}"#,
                "its `response` has no `status`",
            ),
        ] {
            assert_eq!(Exchange::parse(line).err().as_deref(), Some(reason));
        }
    }

    #[test]
    fn its_time_is_told_by_date_by_times_and_by_what_records_show() {
        let request = r#"{"method":"GET","path":"/"}"#;
        for (response, era) in [
            (r#"{"status":200,"headers":{"date":"Mon, 08 Aug 2022 14:48:45 GMT"}}"#, 202208),
            (r#"{"status":200,"body":{"startedAt":"2024-11-01T10:36:31.602Z"}}"#, 202411),
            (
                r#"{"status":200,"body":{"properties":{},"updatedAt":"2026-01-01T10:36:31.602Z"}}"#,
                202500,
            ),
            (
                r#"{"status":200,"body":{"properties":{},"updatedAt":"2024-01-01T10:36:31.602Z","url":""}}"#,
                202501,
            ),
            (r#"{"status":204}"#, Era::NOW.0),
        ] {
            assert_eq!(exchange(request, response).era(), Era(era), "{response}");
        }
    }
}
