//! Object stores for every URL the lake may lie at.
//!
//! object_store's own builders reach S3, Google Cloud and Azure. Delta's default
//! log store commits by conditional put, which all of them have, so a Delta
//! table needs only to be told which store to use; no vendor's SDK is involved.

use std::collections::{BTreeMap, HashMap};
use std::path::Path as FilePath;
use std::sync::{Arc, Once};

use deltalake::logstore::{
    LogStore, LogStoreFactory, LogStoreRef, ObjectStoreFactory, ObjectStoreRef, StorageConfig,
    default_logstore, logstore_factories, logstore_with, object_store_factories,
};
use deltalake::{DeltaResult, DeltaTableError};
use object_store::ObjectStore;
use object_store::ObjectStoreScheme;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use url::Url;

use super::config::setting;
use super::{LakeError, OptionValue};

/// Schemes beyond `file` and `memory`, which Delta reaches by itself.
const REMOTE_SCHEMES: [&str; 8] = ["s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss"];

/// The store that reaches `url`, and the path of `url` in it. Schemes: `file`,
/// `memory`, `s3`, `s3a`, `gs`, `az`, `azure`, `adl`, `abfs`, `abfss`. Options are
/// those of `lake.options`; what they leave out comes from the environment.
/// References to files are taken from `project_dir`.
pub fn object_store_for(
    url: &Url,
    options: &BTreeMap<String, OptionValue>,
    project_dir: &FilePath,
) -> Result<(Arc<dyn ObjectStore>, Path), LakeError> {
    let options = resolve_options(options, project_dir)?;
    build(url, &options).map_err(|source| LakeError::Settings {
        field: "lake.url".into(),
        problem: format!("`{url}` has no store that can be opened"),
        source: Some(source.into()),
    })
}

/// Resolves references and refuses names that no store knows.
fn resolve_options(
    options: &BTreeMap<String, OptionValue>,
    project_dir: &FilePath,
) -> Result<HashMap<String, String>, LakeError> {
    options
        .iter()
        .map(|(key, value)| {
            let name = key.to_ascii_lowercase();
            if !is_known(&name) {
                let problem = "is an option of no object store: they are named as in object_store, such as `aws_region`";
                return Err(setting(format!("lake.options.{key}"), problem));
            }
            Ok((name, value.resolve(key, project_dir)?))
        })
        .collect()
}

fn is_known(name: &str) -> bool {
    name.parse::<AmazonS3ConfigKey>().is_ok()
        || name.parse::<GoogleConfigKey>().is_ok()
        || name.parse::<AzureConfigKey>().is_ok()
}

/// Builds the store. Options meant for another kind of store are passed over,
/// since one set serves the lake and every source.
fn build(
    url: &Url,
    options: &HashMap<String, String>,
) -> object_store::Result<(Arc<dyn ObjectStore>, Path)> {
    let (scheme, path) = ObjectStoreScheme::parse(url)?;
    macro_rules! remote {
        ($builder:ty) => {{
            let builder = <$builder>::from_env().with_url(url.as_str());
            let builder = options.iter().fold(builder, |builder, (key, value)| match key.parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            });
            Arc::new(builder.build()?)
        }};
    }
    let store: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::Local => Arc::new(LocalFileSystem::new()),
        ObjectStoreScheme::Memory => Arc::new(InMemory::new()),
        ObjectStoreScheme::AmazonS3 => remote!(AmazonS3Builder),
        ObjectStoreScheme::GoogleCloudStorage => remote!(GoogleCloudStorageBuilder),
        ObjectStoreScheme::MicrosoftAzure => remote!(MicrosoftAzureBuilder),
        _ => {
            return Err(object_store::Error::NotSupported {
                source: format!("no store for URLs like `{url}`").into(),
            });
        }
    };
    Ok((store, path))
}

/// The Delta log store of the table at `url`, over a store already open.
pub(super) fn log_store(
    store: Arc<dyn ObjectStore>,
    url: &Url,
) -> Result<LogStoreRef, DeltaTableError> {
    register_schemes();
    logstore_with(store, url, StorageConfig::default())
}

/// Teaches Delta the remote schemes, for tables that it opens by URL alone.
fn register_schemes() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let factory = Arc::new(RemoteStores);
        for scheme in REMOTE_SCHEMES {
            let url = Url::parse(&format!("{scheme}://")).expect("a scheme is a URL");
            object_store_factories().insert(url.clone(), factory.clone());
            logstore_factories().insert(url, factory.clone());
        }
    });
}

/// Makes stores and log stores for the remote schemes.
#[derive(Debug)]
struct RemoteStores;

impl ObjectStoreFactory for RemoteStores {
    fn parse_url_opts(
        &self,
        url: &Url,
        config: &StorageConfig,
    ) -> DeltaResult<(ObjectStoreRef, Path)> {
        Ok(build(url, &config.raw)?)
    }
}

impl LogStoreFactory for RemoteStores {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed_store, root_store, location, options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, OptionValue> {
        let value = |text: &&str| OptionValue::Text((*text).to_owned());
        pairs.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect()
    }

    #[test]
    fn every_scheme_finds_its_store() {
        let options = options(&[
            ("aws_region", "eu-central-1"),
            ("azure_storage_account_name", "acme"),
            ("azure_storage_use_emulator", "true"),
            ("google_skip_signature", "true"),
            ("aws_allow_http", "true"),
        ]);
        let cases = [
            ("s3://bucket/a/b", "AmazonS3", "a/b"),
            ("s3a://bucket/a", "AmazonS3", "a"),
            ("gs://bucket/a/b", "GoogleCloudStorage", "a/b"),
            ("az://container/a", "MicrosoftAzure", "a"),
            ("abfss://container@acme.dfs.core.windows.net/a", "MicrosoftAzure", "a"),
            ("memory:///a", "InMemory", "a"),
            ("file:///tmp/a", "LocalFileSystem", "tmp/a"),
        ];
        for (url, kind, path) in cases {
            let url = Url::parse(url).expect("valid URL");
            let (store, found) =
                object_store_for(&url, &options, FilePath::new(".")).expect("a store");
            assert!(store.to_string().contains(kind), "{url} became {store}");
            assert_eq!(found.as_ref(), path);
        }
    }

    #[test]
    fn an_unknown_option_is_named() {
        let url = Url::parse("s3://bucket/a").expect("valid URL");
        let error = object_store_for(&url, &options(&[("aws_regoin", "eu")]), FilePath::new("."))
            .expect_err("a misspelt option");
        assert!(error.to_string().contains("`lake.options.aws_regoin`"), "{error}");
    }

    #[test]
    fn an_unknown_scheme_is_refused() {
        let url = Url::parse("ftp://host/a").expect("valid URL");
        let error = object_store_for(&url, &BTreeMap::new(), FilePath::new("."))
            .expect_err("no store for ftp");
        assert!(matches!(error, LakeError::Settings { .. }));
    }
}
