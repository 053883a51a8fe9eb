//! Cursors, read from the Delta log.
//!
//! delta-rs answers for one application id at a time, each time from storage.
//! A table has many cursors and is asked for them without waiting, so they are
//! read once: from the newest checkpoint, then from the commits after it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::Deserialize;

use super::LakeError;
use super::error::Place;
use super::reader::open_parquet;

/// Commits read at once.
const PARALLEL_READS: usize = 8;

const LOG: &str = "_delta_log";

/// The key under which a commit carries an id of its own.
pub(super) const COMMIT_ID: &str = "hublakeCommit";

/// What commits say about cursors, and which commits they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LogDigest {
    /// Newest value of each application transaction
    pub(super) cursors: BTreeMap<String, i64>,
    /// Ids of commits made by this program
    pub(super) commit_ids: HashSet<String>,
}

/// Reads the log of one table.
pub(super) struct LogReader<'a> {
    /// The table's own store: paths start at its root
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) place: &'a Place,
}

impl LogReader<'_> {
    /// The cursors of the table at a version.
    pub(super) async fn cursors_at(
        &self,
        version: u64,
    ) -> Result<BTreeMap<String, i64>, LakeError> {
        let mut digest = LogDigest::default();
        let next = match self.checkpoint_before(version).await? {
            Some((checkpoint, parts)) => {
                for part in parts {
                    self.read_checkpoint(&part, &mut digest).await?;
                }
                checkpoint + 1
            }
            None => 0,
        };
        self.read_commits(next, version, &mut digest).await?;
        Ok(digest.cursors)
    }

    /// Adds commits `first` to `last`, both included, to a digest.
    pub(super) async fn read_commits(
        &self,
        first: u64,
        last: u64,
        digest: &mut LogDigest,
    ) -> Result<(), LakeError> {
        let commits = futures::stream::iter(first..=last).map(|version| self.read_commit(version));
        let mut commits = commits.buffered(PARALLEL_READS);
        while let Some(text) = commits.try_next().await? {
            digest_commit(&text, digest).map_err(self.place.failed("reading its log"))?;
        }
        Ok(())
    }

    async fn read_commit(&self, version: u64) -> Result<String, LakeError> {
        let path = Path::from_iter([LOG, &format!("{version:020}.json")]);
        let read = async {
            let bytes = self.store.get(&path).await?.bytes().await?;
            Ok::<_, object_store::Error>(String::from_utf8_lossy(&bytes).into_owned())
        };
        read.await.map_err(self.place.failed("reading its log"))
    }

    /// The newest whole checkpoint that is not after `version`, with its parts.
    async fn checkpoint_before(
        &self,
        version: u64,
    ) -> Result<Option<(u64, Vec<ObjectMeta>)>, LakeError> {
        let log = Path::from(LOG);
        let hint = self.checkpoint_hint().await.filter(|hint| *hint <= version).unwrap_or(0);
        let offset = Path::from_iter([LOG, &format!("{hint:020}")]);
        let mut found: BTreeMap<u64, (usize, Vec<ObjectMeta>)> = BTreeMap::new();
        let mut listed = self.store.list_with_offset(Some(&log), &offset);
        while let Some(meta) = listed.next().await {
            let meta = meta.map_err(self.place.failed("listing its log"))?;
            let name = meta.location.filename().and_then(checkpoint_name);
            if let Some((at, parts)) = name
                && at <= version
            {
                let entry = found.entry(at).or_insert_with(|| (parts, Vec::new()));
                entry.1.push(meta);
            }
        }
        let whole = found.into_iter().rev().find(|(_, (parts, files))| files.len() >= *parts);
        Ok(whole.map(|(at, (_, files))| (at, files)))
    }

    /// Where `_last_checkpoint` points; only a place to start looking from.
    pub(super) async fn checkpoint_hint(&self) -> Option<u64> {
        #[derive(Deserialize)]
        struct Hint {
            version: u64,
        }
        let path = Path::from_iter([LOG, "_last_checkpoint"]);
        let bytes = self.store.get(&path).await.ok()?.bytes().await.ok()?;
        serde_json::from_slice::<Hint>(&bytes).ok().map(|hint| hint.version)
    }

    async fn read_checkpoint(
        &self,
        part: &ObjectMeta,
        digest: &mut LogDigest,
    ) -> Result<(), LakeError> {
        let file = open_parquet(self.store.clone(), part.location.clone(), part.size);
        let file = file.await.map_err(self.place.failed("reading its checkpoint"))?;
        let stream = file.roots(&["txn"]).map_err(self.place.failed("reading its checkpoint"))?;
        let batches: Vec<_> =
            stream.try_collect().await.map_err(self.place.failed("reading its checkpoint"))?;
        for batch in batches {
            let Some(txn) = batch.column_by_name("txn").and_then(|txn| txn.as_struct_opt()) else {
                continue;
            };
            let app_ids = txn.column_by_name("appId").and_then(|ids| ids.as_string_opt::<i32>());
            let versions =
                txn.column_by_name("version").and_then(|v| v.as_primitive_opt::<Int64Type>());
            if let (Some(app_ids), Some(versions)) = (app_ids, versions) {
                let pairs = app_ids.iter().zip(versions);
                let pairs = pairs.filter_map(|(id, version)| Some((id?.to_owned(), version?)));
                digest.cursors.extend(pairs);
            }
        }
        Ok(())
    }
}

/// Version and number of parts that the name of a checkpoint tells.
fn checkpoint_name(name: &str) -> Option<(u64, usize)> {
    let (version, rest) = name.split_once(".checkpoint.")?;
    let rest = rest.strip_suffix("parquet")?;
    let parts = match rest.trim_end_matches('.').split_once('.') {
        Some((_, of)) => of.parse().ok()?,
        None => 1,
    };
    Some((version.parse().ok()?, parts))
}

/// Reads the lines that matter; the adds, which are most of a commit, are not parsed.
fn digest_commit(text: &str, digest: &mut LogDigest) -> Result<(), serde_json::Error> {
    #[derive(Deserialize)]
    struct Line {
        txn: Option<Txn>,
        #[serde(rename = "commitInfo")]
        commit_info: Option<CommitInfo>,
    }
    #[derive(Deserialize)]
    struct Txn {
        #[serde(rename = "appId")]
        app_id: String,
        version: i64,
    }
    #[derive(Deserialize)]
    struct CommitInfo {
        #[serde(rename = "hublakeCommit")]
        commit_id: Option<String>,
    }
    let matters = |line: &&str| line.contains("\"txn\"") || line.contains("\"commitInfo\"");
    for line in text.lines().filter(matters) {
        let line: Line = serde_json::from_str(line)?;
        if let Some(txn) = line.txn {
            digest.cursors.insert(txn.app_id, txn.version);
        }
        digest.commit_ids.extend(line.commit_info.and_then(|info| info.commit_id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoint_names_tell_version_and_parts() {
        assert_eq!(checkpoint_name("00000000000000000010.checkpoint.parquet"), Some((10, 1)));
        let part = "00000000000000000010.checkpoint.0000000001.0000000003.parquet";
        assert_eq!(checkpoint_name(part), Some((10, 3)));
        let uuid = "00000000000000000010.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.parquet";
        assert_eq!(checkpoint_name(uuid), Some((10, 1)));
        assert_eq!(checkpoint_name("00000000000000000010.json"), None);
    }

    #[test]
    fn later_transactions_win_and_commits_are_known_by_id() {
        let text = concat!(
            r#"{"commitInfo":{"timestamp":1,"operation":"WRITE","hublakeCommit":"c1"}}"#,
            "\n",
            r#"{"add":{"path":"a","stats":"{\"txn\":1}"}}"#,
            "\n",
            r#"{"txn":{"appId":"contacts","version":3}}"#,
            "\n",
            r#"{"txn":{"appId":"contacts","version":5,"lastUpdated":1}}"#,
        );
        let mut digest = LogDigest::default();
        digest_commit(text, &mut digest).expect("a commit");
        assert_eq!(digest.cursors, BTreeMap::from([("contacts".to_owned(), 5)]));
        assert!(digest.commit_ids.contains("c1"));
    }
}
