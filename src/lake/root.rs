//! The root of the lake, and the names of its tables.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::Utc;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use url::Url;

use super::config::setting;
use super::error::Place;
use super::lock::Lock;
use super::store::object_store_for;
use super::table::Table;
use super::writer::FileSizes;
use super::{LakeConfig, LakeError, OptionValue};

/// One lake: a root URL and the store that reaches it. Cheap to clone.
#[derive(Clone)]
pub struct Lake {
    shared: Arc<Shared>,
}

struct Shared {
    url: Url,
    /// The store from its own root on; paths in it begin with `prefix`
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Where the root lies if it is a folder of this machine
    folder: Option<PathBuf>,
    project_dir: PathBuf,
    options: BTreeMap<String, OptionValue>,
    history_days: u32,
    /// ms since 1970 UTC
    clock: Clock,
    sizes: FileSizes,
}

/// Tells the time, in ms since 1970 UTC.
pub(super) type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

impl Lake {
    /// Opens the lake at the configured URL, making a local folder if it is
    /// missing. Relative folders are taken from `project_dir`. No table is read.
    pub async fn open(config: &LakeConfig, project_dir: &FilePath) -> Result<Self, LakeError> {
        config.validate()?;
        let url = root_url(&config.url, project_dir)?;
        let (store, _) = object_store_for(&url, &config.options, project_dir)?;
        Self::over(store, url, config, project_dir)
    }

    /// A lake over a store that is already open.
    pub(super) fn over(
        store: Arc<dyn ObjectStore>,
        url: Url,
        config: &LakeConfig,
        project_dir: &FilePath,
    ) -> Result<Self, LakeError> {
        let clock = Arc::new(|| Utc::now().timestamp_millis());
        Self::timed(store, url, config, project_dir, clock, FileSizes::default())
    }

    /// The same with a clock and file sizes of the caller's.
    pub(super) fn timed(
        store: Arc<dyn ObjectStore>,
        url: Url,
        config: &LakeConfig,
        project_dir: &FilePath,
        clock: Clock,
        sizes: FileSizes,
    ) -> Result<Self, LakeError> {
        let prefix = Path::from_url_path(url.path())
            .map_err(|_| setting("lake.url", format!("`{url}` has an unusable path")))?;
        let shared = Shared {
            folder: url.to_file_path().ok().filter(|_| url.scheme() == "file"),
            url,
            store,
            prefix,
            project_dir: project_dir.to_owned(),
            options: config.options.clone(),
            history_days: config.history_days,
            clock,
            sizes,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Root of the lake; its path ends in `/`.
    pub fn url(&self) -> &Url {
        &self.shared.url
    }

    /// Puts and removes a small object, so that a lake that cannot be written
    /// is known before anything is fetched.
    ///
    /// # Errors
    /// [`LakeError::NotWritable`] with what the store said.
    pub async fn check_writable(&self) -> Result<(), LakeError> {
        let probe = self.path(&format!("_hublake/probe-{}", uuid::Uuid::new_v4()));
        let refused = |source: object_store::Error| LakeError::NotWritable {
            url: self.url().to_string(),
            source: source.into(),
        };
        let payload = PutPayload::from_static(b"hublake");
        // A conditional put, because that is what every commit needs.
        self.store().put_opts(&probe, payload, PutMode::Create.into()).await.map_err(refused)?;
        self.store().delete(&probe).await.map_err(refused)
    }

    /// Takes the lock of a pipeline.
    ///
    /// # Errors
    /// [`LakeError::Locked`] naming the holder while another run has it; a
    /// holder that is provably dead, or whose lease has run out, is succeeded.
    pub async fn lock(&self, pipeline: &str) -> Result<Lock, LakeError> {
        Lock::take(self, pipeline).await
    }

    /// The table of this name at its newest version, if there is one.
    pub async fn table(&self, name: &TableName) -> Result<Option<Table>, LakeError> {
        if !name.is_one_folder() {
            return Ok(None);
        }
        Table::open(self, name).await
    }

    /// The table described, made if it is missing. Columns that the spec has and
    /// the table has not are added; columns only the table has stay. A column
    /// whose type differs stays as it is: see [`Table::change_types`].
    ///
    /// # Errors
    /// [`LakeError::UnsupportedType`] for columns the lake does not hold,
    /// [`LakeError::LayoutDiffers`] if the table has another key or partitioning.
    pub async fn open_or_create(&self, spec: &TableSpec) -> Result<Table, LakeError> {
        Table::open_or_create(self, spec).await
    }

    /// Names of the tables that exist, in order.
    pub async fn tables(&self) -> Result<Vec<TableName>, LakeError> {
        let mut names = Vec::new();
        for shelf in Shelf::ALL {
            let folder = self.path(shelf.folder());
            let listed = self.store().list_with_delimiter(Some(&folder)).await;
            let listed = listed.map_err(|error| LakeError::store(self.url().as_str(), error))?;
            for table in listed.common_prefixes {
                if let Some(name) = table.filename()
                    && self.has_log(&table).await?
                {
                    names.push(TableName { shelf, name: name.to_owned() });
                }
            }
        }
        names.sort();
        Ok(names)
    }

    async fn has_log(&self, table: &Path) -> Result<bool, LakeError> {
        let log = table.clone().join("_delta_log");
        let first = self.store().list(Some(&log)).next().await.transpose();
        let first = first.map_err(|error| LakeError::store(self.url().as_str(), error))?;
        Ok(first.is_some())
    }

    /// The store, from its own root on.
    pub(super) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.shared.store
    }

    /// The path in the store of something under the lake's root.
    pub(super) fn path(&self, relative: &str) -> Path {
        relative.split('/').fold(self.shared.prefix.clone(), |path, part| path.join(part))
    }

    /// Where the lake lies if it is a folder of this machine.
    pub(super) fn folder(&self) -> Option<&FilePath> {
        self.shared.folder.as_deref()
    }

    pub(super) fn history_days(&self) -> u32 {
        self.shared.history_days
    }

    /// The time, in ms since 1970 UTC.
    pub(super) fn now(&self) -> i64 {
        (self.shared.clock)()
    }

    pub(super) fn sizes(&self) -> FileSizes {
        self.shared.sizes
    }

    /// The place of a table.
    pub(super) fn place(&self, name: &TableName) -> Place {
        let url = self.url().join(&format!("{}/", name.folder()));
        Place { table: name.to_string(), url: url.expect("a folder joins any root") }
    }

    /// The URL and store of a place outside the lake, reached with its options.
    pub(super) fn elsewhere(
        &self,
        url: &str,
    ) -> Result<(Url, Arc<dyn ObjectStore>, Path), LakeError> {
        let shared = &self.shared;
        let url = root_url(url, &shared.project_dir)?;
        if url.scheme() == shared.url.scheme() && url.authority() == shared.url.authority() {
            let path = Path::from_url_path(url.path())
                .map_err(|_| setting("url", format!("`{url}` has an unusable path")))?;
            return Ok((url, shared.store.clone(), path));
        }
        let (store, path) = object_store_for(&url, &shared.options, &shared.project_dir)?;
        Ok((url, store, path))
    }
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lake").field("url", &self.shared.url.as_str()).finish_non_exhaustive()
    }
}

/// A URL, or a folder made into one; the path ends in `/`.
fn root_url(text: &str, project_dir: &FilePath) -> Result<Url, LakeError> {
    if !text.contains("://") {
        return folder_url(&project_dir.join(text));
    }
    let mut url = Url::parse(text).map_err(|source| LakeError::Settings {
        field: "lake.url".into(),
        problem: format!("`{text}` is not a URL"),
        source: Some(source.into()),
    })?;
    if url.scheme() == "file" {
        let path = url.to_file_path().map_err(|()| setting("lake.url", "is not a local folder"))?;
        return folder_url(&path);
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn folder_url(folder: &FilePath) -> Result<Url, LakeError> {
    let refused = |source: std::io::Error| LakeError::NotWritable {
        url: folder.display().to_string(),
        source: source.into(),
    };
    std::fs::create_dir_all(folder).map_err(refused)?;
    let folder = folder.canonicalize().map_err(refused)?;
    Ok(Url::from_directory_path(&folder).expect("a canonical path is absolute"))
}

/// The four folders of a lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Shelf {
    HubSpot,
    Models,
    System,
    Usage,
}

impl Shelf {
    const ALL: [Self; 4] = [Self::HubSpot, Self::Models, Self::System, Self::Usage];

    fn folder(self) -> &'static str {
        match self {
            Self::HubSpot => "hubspot",
            Self::Models => "models",
            Self::System => "system",
            Self::Usage => "usage",
        }
    }
}

/// A table's name: `hubspot.contacts` in SQL, `hubspot/contacts` on storage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    shelf: Shelf,
    name: String,
}

impl TableName {
    /// A table of the mirror: `hubspot.<name>`
    pub fn hubspot(name: impl Into<String>) -> Self {
        Self { shelf: Shelf::HubSpot, name: name.into() }
    }

    /// A model, or the changes of one: `<name>` in SQL, `models/<name>` on storage
    pub fn model(name: impl Into<String>) -> Self {
        Self { shelf: Shelf::Models, name: name.into() }
    }

    /// A table of what hublake did: `system.<name>`
    pub fn system(name: impl Into<String>) -> Self {
        Self { shelf: Shelf::System, name: name.into() }
    }

    /// A copied usage table: `usage.<name>`
    pub fn usage(name: impl Into<String>) -> Self {
        Self { shelf: Shelf::Usage, name: name.into() }
    }

    /// Path of the table under the root, without slashes at its ends
    pub fn folder(&self) -> String {
        format!("{}/{}", self.shelf.folder(), self.name)
    }

    /// Whether the name is that of a folder below its shelf. Any text can be a
    /// name in SQL, and one that is a path or a part of a URL leads elsewhere:
    /// no table has it.
    fn is_one_folder(&self) -> bool {
        let leads_away = |c: char| c.is_control() || matches!(c, '/' | '\\' | '?' | '#' | '%');
        !self.name.is_empty() && !self.name.starts_with('.') && !self.name.contains(leads_away)
    }

    /// SQL schema: `hubspot`, `system`, `usage`, or empty for a model
    pub fn schema(&self) -> &'static str {
        match self.shelf {
            Shelf::Models => "",
            shelf => shelf.folder(),
        }
    }

    /// The name without its schema
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.schema() {
            "" => f.write_str(&self.name),
            schema => write!(f, "{schema}.{}", self.name),
        }
    }
}

/// What a table should look like.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// Its name
    pub name: TableName,
    /// Its columns; every column of a stored table is nullable
    pub schema: SchemaRef,
    /// Columns that identify a row; empty for a table that is only appended to
    pub key: Vec<String>,
    /// Columns whose values part the rows into files of their own: text, whole
    /// numbers, booleans or dates. An empty text becomes null, as Delta has it
    pub partition_by: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_folders() {
        let contacts = TableName::hubspot("contacts");
        assert_eq!(
            (contacts.to_string().as_str(), contacts.schema()),
            ("hubspot.contacts", "hubspot")
        );
        assert_eq!(contacts.folder(), "hubspot/contacts");
        let model = TableName::model("contact_usage");
        assert_eq!((model.to_string().as_str(), model.schema()), ("contact_usage", ""));
        assert_eq!(model.folder(), "models/contact_usage");
    }

    #[tokio::test]
    async fn a_relative_folder_lies_in_the_project() {
        let project = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(&LakeConfig::default(), project.path()).await.expect("a lake");
        let folder = project.path().canonicalize().expect("it exists").join("lake");
        assert_eq!(lake.folder(), Some(folder.as_path()));
        assert!(lake.url().path().ends_with("/lake/"));
        lake.check_writable().await.expect("writable");
        assert!(lake.tables().await.expect("a list").is_empty());
    }

    #[tokio::test]
    async fn a_path_is_no_table() {
        let project = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(&LakeConfig::default(), project.path()).await.expect("a lake");
        let schema = arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new(
            "id",
            arrow::datatypes::DataType::Int64,
            true,
        )]);
        let name = TableName::hubspot("contacts");
        let spec = TableSpec {
            name: name.clone(),
            schema: std::sync::Arc::new(schema),
            key: vec!["id".to_owned()],
            partition_by: Vec::new(),
        };
        lake.open_or_create(&spec).await.expect("a table");
        assert!(lake.table(&name).await.expect("it opens").is_some());
        let paths =
            ["../hubspot/contacts", "/tmp/plan.parquet", "./x", "..", "", "a//b", "x?y", "..%2fx"];
        for path in paths {
            let found = lake.table(&TableName::model(path)).await;
            assert!(found.expect("no failure").is_none(), "{path}");
        }
    }

    #[tokio::test]
    async fn a_lake_that_cannot_be_written_says_so() {
        let project = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(&LakeConfig::default(), project.path()).await.expect("a lake");
        let folder = lake.folder().expect("local").to_owned();
        std::fs::write(folder.join("_hublake"), "in the way").expect("a file");
        let error = lake.check_writable().await.expect_err("no room for the probe");
        assert!(matches!(error, LakeError::NotWritable { .. }), "{error:?}");
    }
}
