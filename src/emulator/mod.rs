//! A stand-in HubSpot: an account in memory behind the real paths, for tests,
//! demos, benches and anybody's CI.
//!
//! It shares no wire type with hublake's client, so that a field both misspell
//! fails instead of agreeing with itself. What it imitates was read off
//! HubSpot's guides and off recorded exchanges; where the two differ, it
//! follows the recordings. It is unkind on purpose: search lags behind, totals
//! are at times wrong, batches answer in another order than they were asked.
//!
//! Doors: [`Emulator`] runs one, [`Control`] changes the account as a person
//! would and orders faults, [`seeded_contacts`] tells who lives in an account.

mod account;
mod associations;
mod call;
mod clock;
mod computed;
mod config;
mod control;
mod errors;
mod events;
mod faults;
mod formulas;
mod found;
mod gateway;
mod habits;
mod intake;
mod journal;
mod keeping;
mod latency;
mod limits;
mod linking;
mod lists;
mod merges;
mod moment;
mod oauth;
mod object_types;
mod opening;
mod paths;
mod people;
mod pipelines;
mod proxy;
mod record;
mod recorder;
mod render;
mod replay;
mod residents;
mod rollups;
mod routes;
mod rules;
mod schema;
mod scopes;
mod search;
mod seed;
mod sending;
mod server;
mod shared;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;
mod transport;
mod values;
mod webhooks;
mod wildcards;
mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use config::EmulatorConfig;
pub use control::{Control, ControlError, Sowing, Values};
pub use faults::{Fault, FaultAction, FaultState, HeldCall};
pub use journal::{CallLog, LoggedCall, TokenCalls};
pub use keeping::SnapshotError;
pub use latency::{Latency, LatencyError};
pub use limits::Limits;
pub use recorder::RecordError;
pub use replay::{EndpointTally, ReplayError, ReplayReport, Replayed, Verdict, replay};
pub use rules::{ConditionalRule, Rules};
pub use tls::TlsError;
pub use tokens::{CredentialError, Credentials, DeclaredToken, OAuthApp, TokenKind};
pub use webhooks::{
    PendingWebhook, SECRET as DEFAULT_WEBHOOK_SECRET, WebhookApp, WebhookDelivery, WebhookRules,
    WebhookSignatures, WebhookSubscription,
};

use account::Account;
use keeping::Origin;
use recorder::Recorder;
use shared::Shared;

/// How long a shutdown waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why an emulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// The port cannot be had.
    #[error("Cannot listen on 127.0.0.1:{port}: give another `--port`, or 0 for any free one")]
    Bind {
        /// The port asked for.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The port is not for everybody.
    #[error("Ports below 1024, such as {port}, need root: give another `--port`, or start as root")]
    Privileged {
        /// The port asked for.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The time zone is unknown.
    #[error("`{0}` is not a time zone: use an IANA name such as `Europe/Berlin`")]
    TimeZone(String),
    /// More is asked for than an account can be made of.
    #[error("An account has at most {most} {setting}")]
    TooLarge {
        /// What is too much.
        setting: &'static str,
        /// How much there can be.
        most: u64,
    },
    /// The snapshot to go on from does not parse or does not fit.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The file to record to cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The certificates for TLS cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The app that is to hear of changes makes no sense.
    #[error(transparent)]
    Webhooks(ControlError),
}

/// A running emulator. Dropping it stops it.
#[derive(Debug)]
pub struct Emulator {
    port: u16,
    ca_file: Option<PathBuf>,
    control: Control,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    courier: JoinHandle<()>,
}

impl Emulator {
    /// Listens on 127.0.0.1 and serves in the background of the runtime.
    pub async fn start(config: EmulatorConfig) -> Result<Self, EmulatorError> {
        let time_zone = time_zone(&config)?;
        if let Some((setting, most)) = Origin::of(&config).too_large() {
            return Err(EmulatorError::TooLarge { setting, most });
        }
        let bind_error = |source: io::Error| match config.port {
            port @ 1..1024 if source.kind() == io::ErrorKind::PermissionDenied => {
                EmulatorError::Privileged { port, source }
            }
            port => EmulatorError::Bind { port, source },
        };
        let listener = TcpListener::bind(("127.0.0.1", config.port)).await.map_err(bind_error)?;
        let port = listener.local_addr().map_err(bind_error)?.port();
        let mut shared = Shared::new(&config, time_zone);
        shared.recorder = config.record.as_deref().map(Recorder::open).transpose()?;
        let tls = config.tls.as_deref().map(tls::prepare).transpose()?;
        let ca_file = config.tls.as_deref().map(tls::ca_file);
        shared.tls = tls;
        let shared = Arc::new(shared);
        if let Some(bytes) = &config.restore {
            keeping::restore(&mut shared.write(), bytes)?;
        }
        let control = Control { shared: shared.clone() };
        if let Some(app) = &config.webhooks {
            control.set_webhook_app(app).map_err(EmulatorError::Webhooks)?;
        }
        let (stop, stopped) = watch::channel(false);
        let courier = tokio::spawn(webhooks::run(shared.clone(), stopped.clone()));
        let server = tokio::spawn(transport::run(listener, shared, stopped));
        Ok(Self { port, ca_file, control, stop, server, courier })
    }

    /// Where it listens, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The certificate that clients must trust to speak TLS with it; none
    /// when it speaks none.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A handle to change the account and to order faults.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Everything in which the account differs from the one its settings
    /// describe, as JSON for [`EmulatorConfig::restore`]: records, properties,
    /// object types, associations, lists, the clock and all counters. Faults,
    /// the call log, webhooks, tokens, and what settings govern are not part of
    /// it.
    pub fn snapshot(&self) -> Vec<u8> {
        keeping::keep(&self.control.shared.read())
    }

    /// Stops listening, cuts what is in flight, and waits until that is done,
    /// but no longer than a second: what runs through a million records cannot
    /// be cut.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // A server that panicked has nothing left to stop; `Drop` flushes
        // what was recorded.
        let both = async { (&mut self.server).await.is_ok() && (&mut self.courier).await.is_ok() };
        let _ = tokio::time::timeout(PATIENCE, both).await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // A failure has been logged; who wants it asks for it before.
        let _ = self.control.flush_recording();
    }
}

fn time_zone(config: &EmulatorConfig) -> Result<Tz, EmulatorError> {
    config.time_zone.parse().map_err(|_| EmulatorError::TimeZone(config.time_zone.clone()))
}

/// A contact of a fresh account, as a table of product usage would know her.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeededContact {
    /// The contact's record id.
    pub id: u64,
    /// Her address; some have none.
    pub email: Option<String>,
    /// The id under which a product knows her: the property `app_user_id`.
    pub user_id: String,
    /// Her company's record id.
    pub company_id: Option<u64>,
    /// Her company's domain.
    pub company_domain: Option<String>,
    /// Her company's key in a product: the property `account_key`.
    pub account_key: Option<String>,
}

/// The live contacts of the account that these settings make, by id, without
/// starting an emulator.
pub fn seeded_contacts(config: &EmulatorConfig) -> impl Iterator<Item = SeededContact> {
    let account = Account::new(config, Tz::UTC);
    account.seeded_contacts()
}
