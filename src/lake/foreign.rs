//! Delta tables outside the lake, which others write.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use deltalake::{DeltaTable, DeltaTableError};
use url::Url;

use super::config::setting;
use super::error::Place;
use super::provider::LakeProvider;
use super::store::{log_store, object_store_for};
use super::{LakeError, OptionValue};

/// The newest version of a Delta table, to be read; none where there is no table.
/// `place` is a URL, or a folder relative to `project_dir`; options are those of
/// `lake.options`.
///
/// # Errors
/// A URL that is none, a store that cannot be reached, or a table whose features
/// delta-rs does not know.
pub async fn foreign_table(
    place: &str,
    options: &BTreeMap<String, OptionValue>,
    project_dir: &Path,
) -> Result<Option<Arc<dyn TableProvider>>, LakeError> {
    let url = folder_url(place, project_dir)?;
    let (store, _) = object_store_for(&url, options, project_dir)?;
    let named = Place { table: place.to_owned(), url: url.clone() };
    let opened = async {
        let log_store = log_store(store, &url)?;
        if !log_store.is_delta_table_location().await? {
            return Ok::<_, DeltaTableError>(None);
        }
        let mut delta = DeltaTable::new(log_store);
        delta.load().await?;
        Ok(Some(delta))
    };
    let Some(delta) = opened.await.map_err(named.failed("opening it"))? else { return Ok(None) };
    let provider = LakeProvider::new(delta).map_err(named.failed("preparing a scan"))?;
    Ok(Some(Arc::new(provider)))
}

/// The folder's URL; its path ends in `/`. Nothing is made.
fn folder_url(place: &str, project_dir: &Path) -> Result<Url, LakeError> {
    let unusable = || setting("delta", format!("`{place}` is no folder and no URL"));
    if !place.contains("://") {
        let folder = std::path::absolute(project_dir.join(place)).map_err(|_| unusable())?;
        return Url::from_directory_path(folder).map_err(|()| unusable());
    }
    let mut url = Url::parse(place).map_err(|_| unusable())?;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}
