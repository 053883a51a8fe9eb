//! Reading the touched records before they are decided, and bringing what they
//! hold into the mirror.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use super::deciding::Fresh;
use crate::hubspot::{BatchReadQuery, Client, Record};
use crate::lake::Table;
use crate::load::error::{LoadError, While};
use crate::load::mirror::{self, PATCHES_PER_COMMIT, Patch};
use crate::load::target::Target;

/// Most inputs of a batch read (objects guide).
pub(crate) const BATCH: usize = 100;

/// Reads in flight: enough to fill 19 calls a second at a second's latency.
/// The client's budget sets the pace.
const IN_FLIGHT: usize = 16;

/// Reads touched records and remembers them for the mirror.
pub(crate) struct Refresher<'a> {
    client: &'a Client,
    target: &'a Target,
    mirror: Table,
    now: i64,
    patches: Vec<Patch>,
    reads: u64,
    stop: CancellationToken,
}

impl<'a> Refresher<'a> {
    /// Makes no further call once `stop` is cancelled.
    pub(crate) fn new(
        client: &'a Client,
        target: &'a Target,
        mirror: Table,
        now: i64,
        stop: CancellationToken,
    ) -> Self {
        Self { client, target, mirror, now, patches: Vec::new(), reads: 0, stop }
    }

    /// What HubSpot holds of these records now.
    pub(crate) async fn read(&mut self, ids: Vec<i64>) -> Result<Fresh, LoadError> {
        let texts: Vec<String> = ids.iter().map(i64::to_string).collect();
        let client = self.client;
        let target = self.target;
        let stop = &self.stop;
        let read = |ids: Vec<String>| async move {
            if stop.is_cancelled() {
                return Err(LoadError::Interrupted { write_back: target.write_back.clone() });
            }
            records(client, target, ids, None).await
        };
        let pages: Vec<Vec<Record>> =
            futures::stream::iter(texts.chunks(BATCH).map(|ids| read(ids.to_vec())))
                .buffer_unordered(IN_FLIGHT)
                .try_collect()
                .await?;
        self.reads += texts.len().div_ceil(BATCH) as u64;
        let records: HashMap<i64, Record> =
            pages.into_iter().flatten().map(|record| (record.id.0, record)).collect();
        self.patches.extend(records.values().filter_map(patch));
        if self.patches.len() >= PATCHES_PER_COMMIT {
            self.store().await?;
        }
        Ok(Fresh { asked: ids.into_iter().collect(), records })
    }

    async fn store(&mut self) -> Result<(), LoadError> {
        let patches = std::mem::take(&mut self.patches);
        if !patches.is_empty() {
            mirror::apply(&mut self.mirror, patches, self.now, &[]).await?;
        }
        Ok(())
    }

    /// Brings the rest into the mirror; returns the calls made.
    pub(crate) async fn finish(mut self) -> Result<u64, LoadError> {
        self.store().await?;
        Ok(self.reads)
    }
}

/// Reads up to 100 records by id, or by a unique property; those that HubSpot
/// does not show are left out.
pub(crate) async fn records(
    client: &Client,
    target: &Target,
    ids: Vec<String>,
    id_property: Option<String>,
) -> Result<Vec<Record>, LoadError> {
    let query =
        BatchReadQuery { ids, id_property, properties: target.read_properties(), archived: false };
    let doing = "reading the records that a write-back touches";
    let body = client.batch_read(&target.object, &query).await.during(doing)?;
    Ok(body.records().during(doing)?.results)
}

/// What the mirror can take of a record; a record without a modified date
/// cannot be told older from newer and is left to extract.
pub(crate) fn patch(record: &Record) -> Option<Patch> {
    Some(Patch {
        id: record.id.0,
        updated_at: record.updated_at?,
        archived_at: None,
        created_at: record.created_at,
        properties: record.properties.clone(),
    })
}
