//! The emulator called over a socket, as any client would.

mod associations;
mod bad_input;
mod batches;
mod conformance;
mod control;
mod edge;
mod editions;
mod events;
mod faults;
mod fuzz;
mod keeping;
mod labels;
mod limits;
mod lists;
mod oauth;
mod objects;
#[path = "../../../tests/it/openapi/mod.rs"]
mod openapi;
mod pipelines;
mod properties;
mod recordings;
mod schemas;
mod scopes;
mod search;
mod seed;
mod tls;
mod types;
mod webhooks;

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use self::openapi::{Answered, Checked, Descriptions};
use super::{Control, Emulator, EmulatorConfig, Limits, Sowing, Values};

/// An emulator and a plain client.
struct Probe {
    emulator: Emulator,
    client: reqwest::Client,
}

/// What came back.
struct Got {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The answer held against HubSpot's description of the call, where there
    /// are descriptions.
    fn checked(&self, method: &str, path: &str) -> Checked {
        let answered = Answered {
            method,
            path,
            status: self.status,
            content_type: self.header("content-type"),
            body: &self.text,
        };
        Descriptions::found().map_or_else(Checked::default, |found| found.check(&answered))
    }
}

/// A small account without lag and with generous limits.
fn quiet() -> EmulatorConfig {
    EmulatorConfig {
        contacts: 300,
        companies: 40,
        deals: 60,
        tickets: 20,
        index_lag: Duration::ZERO,
        wrong_totals: false,
        limit_per_ten_seconds: 100_000,
        searches_per_second: 100_000,
        ..EmulatorConfig::default()
    }
}

impl Probe {
    async fn start(config: EmulatorConfig) -> Self {
        let emulator = Emulator::start(config).await.expect("a free port");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { emulator, client }
    }

    async fn quiet() -> Self {
        Self::start(quiet()).await
    }

    fn control(&self) -> Control {
        self.emulator.control()
    }

    async fn try_call(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Got, reqwest::Error> {
        let method = method.parse().expect("a method");
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.emulator.url()))
            .header("Accept", "application/json")
            .header("Authorization", "Bearer test");
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        self.send(request).await
    }

    /// Sends a request by the client that made it, and holds the answer against
    /// HubSpot's descriptions.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Got, reqwest::Error> {
        let faults = self.faults_fired();
        let (client, request) = request.build_split();
        let request = request?;
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let got = read(client.execute(request).await?).await?;
        // What a fault answers is the test's own making, and HEAD has no body.
        let is_told = method != "HEAD" && !path.starts_with("/_emulator");
        if self.faults_fired() == faults && is_told {
            let mistakes = got.checked(&method, &path).mistakes;
            assert!(mistakes.is_empty(), "{}\n{}", mistakes.join("\n"), got.text);
        }
        Ok(got)
    }

    fn faults_fired(&self) -> u64 {
        self.control().faults().iter().map(|rule| rule.fired).sum()
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Got {
        self.try_call(method, path, body).await.expect("an answer")
    }

    async fn get(&self, path: &str) -> Got {
        self.call("GET", path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Got {
        self.call("POST", path, Some(body)).await
    }

    /// The first live contact's id.
    async fn some_contact(&self) -> u64 {
        let page = self.get("/crm/v3/objects/contacts?limit=1").await.json();
        id_of(&page["results"][0])
    }
}

async fn read(response: reqwest::Response) -> Result<Got, reqwest::Error> {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await?;
    Ok(Got { status, headers, text })
}

fn id_of(record: &Value) -> u64 {
    record["id"].as_str().and_then(|id| id.parse().ok()).expect("a record with an id")
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn traced(trace: &str, mut input: Value) -> Value {
    input["objectWriteTraceId"] = json!(trace);
    input
}
