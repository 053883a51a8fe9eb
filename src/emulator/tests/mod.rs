//! The emulator called over a socket, as any client would.

mod associations;
mod bad_input;
mod batches;
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

use super::{Control, Emulator, EmulatorConfig, Sowing, Values};

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
        read(request.send().await?).await
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
