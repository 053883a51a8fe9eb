//! What every command that moves data opens first: the lake, then HubSpot.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::board::ProgressBoard;
use super::error::PipelineError;
use super::settings::Project;
use crate::hubspot::{AccountDetails, Client};
use crate::lake::{Lake, Lock};
use crate::load::MaySend;

/// The one lock of a lake: two runs of different pipelines share its mirrors.
const LOCK: &str = "lake";

/// A lake held for writing, and the account it is kept in step with.
pub struct Session<'p> {
    /// The project.
    pub project: &'p Project,
    /// The lake, locked for this process.
    pub lake: Lake,
    /// HubSpot.
    pub client: Client,
    /// The account behind the token.
    pub account: AccountDetails,
    /// Asks for an orderly end.
    pub stop: CancellationToken,
    /// What is being read, for whoever shows it.
    pub progress: ProgressBoard,
    lock: Arc<Lock>,
}

impl<'p> Session<'p> {
    /// Opens everything a run needs, in the order in which failing is cheap:
    /// the token, the lake, its lock, and only then HubSpot.
    ///
    /// # Errors
    /// No token, a lake that cannot be written, another run on it, a token
    /// that HubSpot refuses, or one of another portal.
    pub async fn open(
        project: &'p Project,
        stop: CancellationToken,
    ) -> Result<Self, PipelineError> {
        let client = connect(project)?;
        let lake = Lake::open(&project.config.lake, &project.dir).await?;
        lake.check_writable().await?;
        let lock = lock(&lake).await?;
        let account = stop
            .run_until_cancelled(check_account(project, &client))
            .await
            .ok_or(PipelineError::Interrupted)??;
        tracing::debug!(portal = account.portal_id, lake = %lake.url(), "Opened the account and the lake");
        Ok(Self {
            project,
            lake,
            progress: ProgressBoard::new(&client),
            client,
            account,
            stop,
            lock: Arc::new(lock),
        })
    }

    /// Whether a batch may still be sent: only while the lake is ours for longer
    /// than the request can take. A machine that slept may have lost it.
    pub(super) fn may_send(&self) -> MaySend {
        let lock = self.lock.clone();
        let lasting = Duration::from_secs(self.project.config.hubspot.request_timeout_secs);
        Arc::new(move || lock.still_held(lasting))
    }

    /// What comes of `work`, or nothing once somebody has asked for the end.
    ///
    /// For work that may be dropped at any point: reads, and commits of what can
    /// be read again.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(work).await
    }

    /// Gives the lake back.
    ///
    /// # Errors
    /// The lock's object could not be removed; it then ends by itself.
    pub async fn close(self) -> Result<(), PipelineError> {
        match Arc::into_inner(self.lock) {
            Some(lock) => Ok(lock.release().await?),
            None => Ok(()),
        }
    }
}

/// Takes the lake for this process.
///
/// # Errors
/// Another run has it.
pub async fn lock(lake: &Lake) -> Result<Lock, PipelineError> {
    Ok(lake.lock(LOCK).await?)
}

/// A client of the account the settings name, not yet spoken to.
///
/// # Errors
/// No token where the settings look for it, or settings that make no sense.
pub fn connect(project: &Project) -> Result<Client, PipelineError> {
    let settings = &project.config.hubspot;
    let token = settings.token_ref().resolve(&project.dir).map_err(PipelineError::Token)?;
    Ok(Client::new(settings, token)?)
}

/// Asks HubSpot whose token this is.
///
/// # Errors
/// The token is refused, or belongs to another portal than the settings name.
pub async fn check_account(
    project: &Project,
    client: &Client,
) -> Result<AccountDetails, PipelineError> {
    let account = client.account().await?;
    match project.config.hubspot.portal_id {
        Some(expected) if expected != account.portal_id => {
            Err(PipelineError::WrongPortal { expected, actual: account.portal_id })
        }
        _ => Ok(account),
    }
}
