//! One writer per pipeline.
//!
//! In a local folder the operating system keeps the lock, and drops it with the
//! process that held it, however that died. Elsewhere it is a lease.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::lease::{Lease, LeaseTerms};
use super::{Lake, LakeError};

/// The right to write for one pipeline. Dropping it gives it back.
#[derive(Debug)]
pub struct Lock {
    pipeline: String,
    grip: Grip,
}

#[derive(Debug)]
enum Grip {
    /// Locked as long as it is open
    File {
        _open: File,
    },
    Lease(Lease),
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Machine
    pub host: String,
    /// Process
    pub pid: u32,
    /// When it was taken, µs since 1970 UTC
    pub since: i64,
}

impl Holder {
    /// This process, from now on.
    pub(super) fn here() -> Self {
        let since = Utc::now().timestamp_micros();
        Self { host: host_name(), pid: std::process::id(), since }
    }
}

fn host_name() -> String {
    let named = fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned());
    let named = named.ok().or_else(|| std::env::var("HOSTNAME").ok());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown host".into())
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on `{}`", self.pid, self.host)?;
        match DateTime::from_timestamp_micros(self.since) {
            Some(since) => write!(f, " since {}", since.to_rfc3339_opts(SecondsFormat::Secs, true)),
            None => Ok(()),
        }
    }
}

impl Lock {
    pub(super) async fn take(lake: &Lake, pipeline: &str) -> Result<Self, LakeError> {
        let file_name = utf8_percent_encode(pipeline, NON_ALPHANUMERIC).to_string();
        let grip = match lake.folder() {
            Some(folder) => lock_file(&folder.join("_hublake/locks"), &file_name, pipeline)?,
            None => {
                let path = lake.path(&format!("_hublake/locks/{file_name}"));
                let store = lake.store().clone();
                Grip::Lease(Lease::take(store, path, pipeline, LeaseTerms::default()).await?)
            }
        };
        Ok(Self { pipeline: pipeline.to_owned(), grip })
    }

    /// The pipeline it is for.
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// Whether the lock is held and will be for this long even if it cannot be
    /// renewed: nothing may be sent whose timeout is longer.
    pub fn still_held(&self, lasting: Duration) -> bool {
        match &self.grip {
            Grip::File { .. } => true,
            Grip::Lease(lease) => lease.outlives(lasting),
        }
    }

    /// Gives the lock back and waits until that is stored.
    pub async fn release(self) -> Result<(), LakeError> {
        match self.grip {
            Grip::File { .. } => Ok(()),
            Grip::Lease(lease) => lease.release().await,
        }
    }
}

/// Locks a file. Who holds it stands in a file beside, since on some systems a
/// locked file cannot be read.
fn lock_file(folder: &Path, name: &str, pipeline: &str) -> Result<Grip, LakeError> {
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let path = folder.join(format!("{name}.lock"));
    let card = folder.join(format!("{name}.holder.json"));
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let open = open.map_err(failed(&path))?;
    match open.try_lock() {
        Ok(()) => {
            let text = serde_json::to_vec(&Holder::here()).expect("a holder is JSON");
            fs::write(&card, text).map_err(failed(&card))?;
            Ok(Grip::File { _open: open })
        }
        Err(TryLockError::WouldBlock) => {
            Err(LakeError::Locked { pipeline: pipeline.to_owned(), holder: read_card(&card) })
        }
        Err(TryLockError::Error(error)) => Err(failed(&path)(error)),
    }
}

fn read_card(card: &Path) -> Holder {
    let holder = fs::read(card).ok().and_then(|text| serde_json::from_slice(&text).ok());
    // Between taking the lock and writing the card, or where the card is unreadable.
    holder.unwrap_or_else(|| Holder { host: host_name(), pid: 0, since: i64::MAX })
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> LakeError {
    let path: PathBuf = path.to_owned();
    |source| LakeError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::LakeConfig;

    #[tokio::test]
    async fn a_folder_has_one_writer_per_pipeline() {
        let project = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(&LakeConfig::default(), project.path()).await.expect("a lake");
        let lock = lake.lock("usage/daily").await.expect("free");
        assert!(lock.still_held(Duration::from_secs(3600)));
        let error = lake.lock("usage/daily").await.expect_err("taken");
        let LakeError::Locked { pipeline, holder } = &error else { panic!("{error:?}") };
        assert_eq!((pipeline.as_str(), holder.pid), ("usage/daily", std::process::id()));
        assert!(error.is_retryable());
        lake.lock("other").await.expect("another pipeline is free");
        lock.release().await.expect("released");
        lake.lock("usage/daily").await.expect("free again");
    }

    #[test]
    fn a_holder_reads_as_a_sentence() {
        let holder = Holder { host: "build-7".into(), pid: 42, since: 1_700_000_000_000_000 };
        assert_eq!(holder.to_string(), "process 42 on `build-7` since 2023-11-14T22:13:20Z");
    }
}
