//! Committing: actions and cursors together, or not at all.

use std::collections::HashMap;

use deltalake::DeltaTableError;
use deltalake::checkpoints::create_checkpoint;
use deltalake::kernel::transaction::{
    CommitBuilder, CommitProperties, TableReference, TransactionError,
};
use deltalake::kernel::{Action, Transaction};
use deltalake::protocol::DeltaOperation;
use uuid::Uuid;

use super::log::{COMMIT_ID, LogDigest};
use super::{Cursor, LakeError, Table};

/// Tries of a commit that does not depend on what others committed meanwhile.
const ATTEMPTS: usize = 10;

/// A table that is only ever committed to still gets a checkpoint this often, so
/// that opening it stays quick. Upkeep writes them more often.
const CHECKPOINT_EVERY: u64 = 100;

/// What to do when another writer committed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnConflict {
    /// The actions were made from what the table held: they are void
    Fail,
    /// The actions hold whatever the table holds: commit after the other
    Retry,
}

impl Table {
    /// Commits actions, and those cursors that move forward. With neither there is
    /// no commit. On success the handle stands at the new version.
    ///
    /// # Errors
    /// [`LakeError::Conflict`] when another writer came first; nothing is visible.
    /// Any other error may leave it open whether the commit landed, though it is
    /// looked for before one is returned.
    pub(super) async fn commit(
        &mut self,
        mut actions: Vec<Action>,
        operation: DeltaOperation,
        cursors: &[Cursor],
        on_conflict: OnConflict,
    ) -> Result<(), LakeError> {
        let now = self.lake().now();
        for action in &mut actions {
            if let Action::Remove(removed) = action {
                removed.deletion_timestamp = Some(now);
            }
        }
        let commit_id = Uuid::new_v4().to_string();
        let schema = self.schema();
        let mut attempt = 1;
        loop {
            let moving = self.moving(cursors);
            if actions.is_empty() && moving.is_empty() {
                return Ok(());
            }
            let tried = self.try_commit(&actions, &operation, &moving, &commit_id).await;
            let Err(error) = tried else { return Ok(()) };
            // A put can be applied though its answer is lost; then it is our own
            // commit that is in the way of the second try.
            let landed = self.landed(&commit_id).await;
            if matches!(landed, Ok(true)) {
                return Ok(());
            }
            if !is_conflict(&error) {
                return Err(self.place().failed("committing")(error));
            }
            landed?;
            let may_retry = on_conflict == OnConflict::Retry && attempt < ATTEMPTS;
            if !may_retry || self.schema() != schema {
                return Err(LakeError::Conflict {
                    table: self.place().table.clone(),
                    url: self.place().url.to_string(),
                    source: error.into(),
                });
            }
            attempt += 1;
        }
    }

    async fn try_commit(
        &mut self,
        actions: &[Action],
        operation: &DeltaOperation,
        moving: &[Transaction],
        commit_id: &str,
    ) -> Result<(), DeltaTableError> {
        // No hooks: they run after the commit and would make it look failed.
        let properties = CommitProperties::default()
            .with_max_retries(0)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false))
            .with_application_transactions(moving.to_vec());
        let metadata = HashMap::from([(COMMIT_ID.to_owned(), commit_id.into())]);
        let commit = CommitBuilder::from(properties)
            .with_app_metadata(metadata)
            .with_actions(actions.to_vec())
            .build(
                Some(self.state() as &dyn TableReference),
                self.delta().log_store(),
                operation.clone(),
            );
        let landed = commit.into_prepared_commit_future().await?.await?;
        let version = landed.version;
        let snapshot = landed.await?.snapshot;
        self.advance(snapshot, moving);
        if version % CHECKPOINT_EVERY == 0 {
            self.checkpoint().await;
        }
        Ok(())
    }

    /// Cursors that move forward from where they stand, as Delta writes them. The
    /// greatest wins where one is named twice.
    fn moving(&self, cursors: &[Cursor]) -> Vec<Transaction> {
        let now = self.lake().now();
        let mut moving: HashMap<&str, i64> = HashMap::new();
        for Cursor { app_id, value } in cursors {
            let at = moving.get(app_id.as_str()).copied().or_else(|| self.cursor(app_id));
            if at.is_none_or(|at| *value > at) {
                moving.insert(app_id, *value);
            }
        }
        let mut moving: Vec<_> = moving
            .into_iter()
            .map(|(app_id, value)| Transaction::new_with_last_update(app_id, value, Some(now)))
            .collect();
        moving.sort_by(|left, right| left.app_id.cmp(&right.app_id));
        moving
    }

    /// Moves to the newest version and tells whether this commit is in the log.
    async fn landed(&mut self, commit_id: &str) -> Result<bool, LakeError> {
        let mut since = LogDigest::default();
        self.catch_up(&mut since).await?;
        Ok(since.commit_ids.contains(commit_id))
    }

    /// Writes a checkpoint of this version. It only saves later readers time, so
    /// failing at it is no failure. Returns whether it was written.
    pub(super) async fn checkpoint(&self) -> bool {
        let written = self.write_checkpoint().await;
        if let Err(error) = &written {
            let error = error as &dyn std::error::Error;
            tracing::warn!(table = %self.name(), error, "No checkpoint could be written");
        }
        written.is_ok()
    }

    /// Writes a checkpoint of this version, where what follows depends on it.
    pub(super) async fn write_checkpoint(&self) -> Result<(), LakeError> {
        let written = create_checkpoint(self.delta(), None).await;
        written.map_err(self.place().failed("writing a checkpoint"))
    }
}

fn is_conflict(error: &DeltaTableError) -> bool {
    matches!(
        error,
        DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction {
                source: TransactionError::MaxCommitAttempts(_)
                    | TransactionError::VersionAlreadyExists(_)
                    | TransactionError::CommitConflict(_)
            }
    )
}
