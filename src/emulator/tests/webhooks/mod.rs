//! Webhooks: subscriptions over the API, events, delivery to a receiver on
//! the loopback interface.

mod delivery;
mod events;
mod subscriptions;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap as Headers, StatusCode};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::emulator::{
    EmulatorError, WebhookApp, WebhookRules, WebhookSignatures, WebhookSubscription,
};

const SECRET: &str = "a-client-secret";

/// One request that a receiver got.
#[derive(Clone, Debug)]
struct Request {
    headers: Headers,
    body: String,
}

impl Request {
    fn events(&self) -> Vec<Value> {
        serde_json::from_str(&self.body).expect("a list of events")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

#[derive(Default)]
struct Inbox {
    requests: Mutex<Vec<Request>>,
    /// What to answer, in turn; then 204.
    answers: Mutex<VecDeque<u16>>,
    /// Whether to keep silent until let go.
    silent: Mutex<bool>,
    let_go: Notify,
    arrived: Notify,
}

/// A receiver of webhooks.
struct Receiver {
    inbox: Arc<Inbox>,
    url: String,
    server: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(
    State(inbox): State<Arc<Inbox>>,
    headers: Headers,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let body = String::from_utf8(body.to_vec()).expect("a text");
    lock(&inbox.requests).push(Request { headers, body });
    inbox.arrived.notify_one();
    if *lock(&inbox.silent) {
        inbox.let_go.notified().await;
    }
    let status = lock(&inbox.answers).pop_front().unwrap_or(204);
    // Of interest to those who follow redirects.
    (StatusCode::from_u16(status).expect("a status"), [("location", "/elsewhere")])
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receiver {
    async fn start() -> Self {
        let inbox = Arc::new(Inbox::default());
        let router = Router::new().fallback(receive).with_state(inbox.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hubspot", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a server");
        });
        Self { inbox, url, server }
    }

    fn requests(&self) -> Vec<Request> {
        lock(&self.inbox.requests).clone()
    }

    fn events(&self) -> Vec<Value> {
        self.requests().iter().flat_map(Request::events).collect()
    }

    fn forget(&self) {
        lock(&self.inbox.requests).clear();
    }

    fn answer(&self, statuses: &[u16]) {
        lock(&self.inbox.answers).extend(statuses);
    }

    fn app(&self, subscriptions: Vec<WebhookSubscription>) -> WebhookApp {
        let client_secret = Some(SECRET.to_owned());
        WebhookApp { app_id: 54_321, client_secret, ..WebhookApp::new(&self.url) }
            .subscribed(subscriptions)
    }
}

/// In order and once, and no hurry on a busy machine.
fn patient() -> WebhookRules {
    WebhookRules { answer_within_ms: 60_000, ..WebhookRules::kind() }
}

/// A quiet account with a stopped clock, delivering in order and once.
async fn orderly() -> Probe {
    let config = EmulatorConfig { webhook_rules: patient(), ..quiet() };
    let probe = Probe::start(config).await;
    probe.control().stop_clock(true);
    probe
}

/// The same with an app that has these subscriptions.
async fn hearing(subscriptions: Vec<WebhookSubscription>) -> (Probe, Receiver) {
    let (probe, receiver) = (orderly().await, Receiver::start().await);
    probe.control().set_webhook_app(&receiver.app(subscriptions)).expect("an app");
    (probe, receiver)
}

fn on(event_type: &str) -> WebhookSubscription {
    WebhookSubscription::to(event_type)
}

fn keys(event: &Value) -> Vec<&str> {
    event.as_object().expect("an event").keys().map(String::as_str).collect()
}

fn create(email: &str) -> Value {
    json!({"properties": {"email": email, "lastname": "Smith"}})
}

const SETTINGS: &str = "/webhooks/v3/54321/settings";
const SUBSCRIPTIONS: &str = "/webhooks/v3/54321/subscriptions";
