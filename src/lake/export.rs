//! Publishing a table as plain Parquet, for readers that know no Delta.
//!
//! Files go under a prefix of their own; then `manifest.json`, which names them,
//! is replaced in one put; then older prefixes are removed. A reader that goes
//! by the manifest sees one version whole, never two mixed.

use std::sync::Arc;

use chrono::Utc;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::Serialize;
use url::Url;
use uuid::Uuid;

use super::files::data_files;
use super::writer::{FileFormat, TableWriter};
use super::{LakeError, Table};

const MANIFEST: &str = "manifest.json";

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportReport {
    /// Folder of the files, under the URL asked for
    pub url: Url,
    /// Version of the table
    pub version: u64,
    /// Parquet files
    pub files: usize,
    /// Rows in them
    pub rows: u64,
}

/// Names the files of the version that is published.
#[derive(Debug, Serialize)]
struct Manifest {
    table: String,
    version: u64,
    exported_at: String,
    rows: u64,
    /// Paths beside the manifest
    files: Vec<String>,
}

pub(super) async fn export(table: &Table, url: &str) -> Result<ExportReport, LakeError> {
    let (root, store, path) = table.lake().elsewhere(url)?;
    let prefix = format!("{}-{}", table.version(), Uuid::new_v4());
    let (files, rows) = write_files(table, &store, &path.clone().join(prefix.as_str())).await?;
    let manifest = Manifest {
        table: table.name().to_string(),
        version: table.version(),
        exported_at: Utc::now().to_rfc3339(),
        rows,
        files: files.iter().map(|file| format!("{prefix}/{file}")).collect(),
    };
    let text = serde_json::to_vec_pretty(&manifest).expect("a manifest is JSON");
    let failed = |error: object_store::Error| LakeError::store(root.as_str(), error);
    store.put(&path.clone().join(MANIFEST), text.into()).await.map_err(failed)?;
    remove_older(&store, &path, &prefix).await.map_err(failed)?;
    let url = root.join(&format!("{prefix}/")).expect("a folder joins any root");
    Ok(ExportReport { url, version: table.version(), files: files.len(), rows })
}

/// Copies all rows into files under a folder. Returns their names and the rows.
async fn write_files(
    table: &Table,
    store: &Arc<dyn ObjectStore>,
    folder: &Path,
) -> Result<(Vec<String>, u64), LakeError> {
    let format = FileFormat {
        store: Arc::new(PrefixStore::new(store.clone(), folder.clone())),
        partition_by: Vec::new(),
        ..table.file_format()
    };
    let mut writer = TableWriter::new(format);
    let written = async {
        for file in data_files(table.state(), table.partition_by()) {
            let open = file.open(&table.data_store(), &table.schema()).await?;
            let mut batches = open.stream(&open.all_columns(), None)?;
            while let Some(batch) = batches.try_next().await? {
                writer.write(&batch).await?;
            }
        }
        let rows = writer.rows();
        Ok::<_, parquet::errors::ParquetError>((writer.finish().await?, rows))
    };
    let (adds, rows) = written.await.map_err(table.place().failed("exporting it"))?;
    Ok((adds.into_iter().map(|add| add.path).collect(), rows))
}

/// Removes what earlier exports left beside the manifest.
async fn remove_older(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    current: &str,
) -> object_store::Result<()> {
    let listed = store.list_with_delimiter(Some(path)).await?;
    for folder in listed.common_prefixes {
        let name = folder.filename().unwrap_or_default();
        if name == current || !is_export(name) {
            continue;
        }
        let files = store.list(Some(&folder)).map_ok(|file| file.location);
        let files: Vec<_> = files.try_collect().await?;
        for file in files {
            store.delete(&file).await?;
        }
    }
    Ok(())
}

/// Whether a folder has the name of an export: a version and a random id.
fn is_export(name: &str) -> bool {
    name.split_once('-')
        .is_some_and(|(version, id)| version.parse::<u64>().is_ok() && Uuid::parse_str(id).is_ok())
}
