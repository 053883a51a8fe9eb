//! Usage tables, read where they lie.
//!
//! A source is a file or a folder of Parquet, CSV or NDJSON, or a Delta table, local
//! or on an object store; or a table of a database (`database/`). It becomes a
//! DataFusion table into which filters and projections are pushed; nothing is copied
//! unless `copy` asks for it (`copy.rs`). A source without a file or without a row is
//! an error that names it, because a usage table that has silently gone would empty
//! everything computed from it.

mod broken;
mod config;
mod copy;
mod database;
mod error;
mod files;
mod period;

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig};
use datafusion::error::DataFusionError;
use datafusion::execution::context::{SessionConfig, SessionContext};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Expr, cast, ident, lit, when};

pub use broken::BadFile;
use broken::Without;
pub use config::{ColumnType, InvalidSource, OnBadFile, PartitionColumn, SourceConfig};
use config::{Format, Place};
pub use copy::{CopyConfig, CopyReport, FullCompare, Overlap, copy_source};
pub use database::{ClickHouseSource, FileDatabase, FlightSqlSource, ServerSource, Tls};
pub use error::SourceError;
use files::Files;
pub use period::Period;

use crate::lake::foreign_table;

/// An opened source.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    kind: &'static str,
    location: String,
    provider: Arc<dyn TableProvider>,
    /// The files as one table, bad ones included; none where there are no files.
    files: Option<Arc<dyn TableProvider>>,
    skipped: Vec<BadFile>,
    runtime: Arc<RuntimeEnv>,
}

/// What is read, before anybody has looked for a row.
struct Opened {
    kind: &'static str,
    location: String,
    provider: Arc<dyn TableProvider>,
    files: Option<Arc<dyn TableProvider>>,
    skipped: Vec<BadFile>,
}

impl Source {
    /// Opens the source `name`: finds its files or its database, reads its columns,
    /// and makes sure there is a row. Relative paths are taken from `project_dir`. The
    /// store of a URL is registered with `runtime`, which must be the one that
    /// queries over [`Source::provider`] run in.
    ///
    /// # Errors
    /// [`SourceError::Absent`] and [`SourceError::Empty`] where there is nothing
    /// to read, the others where what is there cannot be read.
    pub async fn open(
        name: &str,
        config: &SourceConfig,
        project_dir: &Path,
        runtime: Arc<RuntimeEnv>,
    ) -> Result<Self, SourceError> {
        let problems = config.validate();
        let Some(place) = config.place().filter(|_| problems.is_empty()) else {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return Err(SourceError::Settings {
                source_name: name.to_owned(),
                problem: problems.join("; "),
            });
        };
        let opened = match place {
            Place::Files(format, _) => {
                open_files(name, format, config, project_dir, &runtime).await?
            }
            Place::Delta(url) => open_delta(name, url, config, project_dir).await?,
            Place::Database(database) => {
                let table = database::open(name, database, project_dir).await?;
                let location = database.location();
                let provider = with_cast_types(name, &location, table, config, &runtime)?;
                let kind = database.kind();
                Opened { kind, location, provider, files: None, skipped: Vec::new() }
            }
        };
        let Opened { kind, location, provider, files, skipped } = opened;
        let source =
            Self { name: name.to_owned(), kind, location, provider, files, skipped, runtime };
        match source.is_empty().await {
            Ok(false) => Ok(source),
            Ok(true) => {
                Err(SourceError::Empty { source_name: source.name, location: source.location })
            }
            Err(error) => Err(source.blame(error).await),
        }
    }

    /// The file that an error is about, where there is one: the engine says what is
    /// wrong, and not where.
    async fn blame(&self, error: SourceError) -> SourceError {
        let mut bad = self.bad_files().await.unwrap_or_default().into_iter();
        match bad.next() {
            None => error,
            Some(file) => {
                SourceError::BadFile { source_name: self.name.clone(), file, others: bad.count() }
            }
        }
    }

    /// The name after `usage.`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The source as a table.
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        self.provider.clone()
    }

    /// What it is read from: `Parquet`, `PostgreSQL`, …
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Where it lies, for people; never with a secret.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The files that do not parse and are left out, as the settings ask.
    pub fn skipped(&self) -> &[BadFile] {
        &self.skipped
    }

    /// Whether its columns' types are guessed from its values, so that pinning them
    /// makes sense.
    pub fn is_guessed(&self) -> bool {
        matches!(self.kind, "CSV" | "NDJSON" | "SQLite")
    }

    /// Reads everything, to learn which files do not parse: the engine names the
    /// mistake it meets, but not the file.
    ///
    /// # Errors
    /// The files cannot be listed.
    pub async fn bad_files(&self) -> Result<Vec<BadFile>, SourceError> {
        let Some(files) = &self.files else { return Ok(Vec::new()) };
        let found = broken::read_all(files, &self.runtime).await;
        let found = found.map_err(|error| self.unreadable(error))?;
        let known = |file: &BadFile| self.skipped.iter().any(|skipped| skipped.path == file.path);
        Ok(found.into_iter().filter(|file| !known(file)).collect())
    }

    /// Its columns, partition columns last.
    pub fn schema(&self) -> SchemaRef {
        self.provider.schema()
    }

    /// Counts the rows: from the footers of Parquet files, by reading others.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub async fn row_count(&self) -> Result<u64, SourceError> {
        let counted = async { session(&self.runtime).read_table(self.provider())?.count().await };
        let rows = counted.await.map_err(|error| self.unreadable(error))?;
        Ok(rows as u64)
    }

    async fn is_empty(&self) -> Result<bool, SourceError> {
        // One file after the other, so that what is met does not depend on chance.
        let config = SessionConfig::new().with_target_partitions(1);
        let session = SessionContext::new_with_config_rt(config, self.runtime.clone());
        let first =
            async { session.read_table(self.provider())?.limit(0, Some(1))?.collect().await };
        let batches = first.await.map_err(|error| self.unreadable(error))?;
        Ok(batches.iter().all(|batch| batch.num_rows() == 0))
    }

    fn unreadable(&self, error: DataFusionError) -> SourceError {
        SourceError::unreadable(&self.name, &self.location, error)
    }
}

fn session(runtime: &Arc<RuntimeEnv>) -> SessionContext {
    SessionContext::new_with_config_rt(SessionConfig::new(), runtime.clone())
}

/// Files as one table.
async fn open_files(
    name: &str,
    format: Format,
    config: &SourceConfig,
    project_dir: &Path,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Opened, SourceError> {
    let files = Files::find(name, config, project_dir, runtime).await?;
    let unreadable = |error| SourceError::unreadable(name, &files.location, error);
    let session = session(runtime);
    let skips = config.on_bad_file == OnBadFile::Skip;
    let options = files.options(config);
    let header = format == Format::Csv && config.has_header;
    let surveyed = broken::survey(&files, &options, &session.state(), header).await;
    let broken::Surveyed { schema, bad } = surveyed.map_err(unreadable)?;
    refuse_bad(name, config, &bad)?;
    let schema = with_types(name, &schema, config)?;
    let read_as = match config.null_values.as_slice() {
        [] => schema.clone(),
        _ => all_text(&schema),
    };
    let all = listing(&files, options, read_as).map_err(unreadable)?;
    let mut skipped = bad;
    let mut table = all.clone();
    if skips {
        if format != Format::Parquet {
            let rest: Arc<dyn TableProvider> = Arc::new(Without::new(all.clone(), &skipped));
            skipped.extend(broken::read_all(&rest, runtime).await.map_err(unreadable)?);
        }
        table = Arc::new(Without::new(table, &skipped));
    }
    let provider = match config.null_values.as_slice() {
        [] => Ok(table),
        texts => nulls_for(texts, table, &schema, &session),
    };
    Ok(Opened {
        kind: format.kind(),
        location: files.location.clone(),
        provider: provider.map_err(unreadable)?,
        files: Some(all),
        skipped,
    })
}

/// Files that do not parse are an error, unless the settings say otherwise.
fn refuse_bad(name: &str, config: &SourceConfig, bad: &[BadFile]) -> Result<(), SourceError> {
    match bad.first() {
        Some(file) if config.on_bad_file == OnBadFile::Fail => Err(SourceError::BadFile {
            source_name: name.to_owned(),
            file: file.clone(),
            others: bad.len() - 1,
        }),
        _ => Ok(()),
    }
}

/// A Delta table that somebody else writes.
async fn open_delta(
    name: &str,
    url: &str,
    config: &SourceConfig,
    project_dir: &Path,
) -> Result<Opened, SourceError> {
    let opened = foreign_table(url, &config.options, project_dir).await;
    let table = opened.map_err(|source| SourceError::Storage {
        source_name: name.to_owned(),
        location: url.to_owned(),
        source: Box::new(source),
    })?;
    let location = url.to_owned();
    let Some(provider) = table else {
        return Err(SourceError::Absent { source_name: name.to_owned(), kind: "Delta", location });
    };
    Ok(Opened { kind: "Delta", location, provider, files: None, skipped: Vec::new() })
}

/// A table of a database without strict types, with those that the settings give.
fn with_cast_types(
    name: &str,
    location: &str,
    table: Arc<dyn TableProvider>,
    config: &SourceConfig,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Arc<dyn TableProvider>, SourceError> {
    if config.types.is_empty() {
        return Ok(table);
    }
    let schema = with_types(name, &table.schema(), config)?;
    let view = nulls_for(&[], table, &schema, &session(runtime));
    view.map_err(|error| SourceError::unreadable(name, location, error))
}

/// The schema with the types that the settings give; the reader then reads
/// those columns as that type from the start, so that no digit is lost.
fn with_types(
    name: &str,
    schema: &SchemaRef,
    config: &SourceConfig,
) -> Result<SchemaRef, SourceError> {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    for (column, column_type) in &config.types {
        let Some(position) = fields.iter().position(|field| field.name() == column) else {
            return Err(SourceError::UnknownColumn {
                source_name: name.to_owned(),
                column: column.clone(),
                known: fields.iter().map(|field| field.name().clone()).collect(),
            });
        };
        let field = fields[position].as_ref().clone();
        fields[position] = Arc::new(field.with_data_type(column_type.arrow_type()));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn listing(
    files: &Files,
    options: ListingOptions,
    schema: SchemaRef,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let table = ListingTableConfig::new(files.url.clone())
        .with_listing_options(options)
        .with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(table)?))
}

fn all_text(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter();
    let fields =
        fields.map(|field| Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A table as one of other types, in which some texts are null. The engine's CSV
/// reader honours such texts only while it guesses
/// types, so they are read as text and cast here.
fn nulls_for(
    texts: &[String],
    table: Arc<dyn TableProvider>,
    schema: &SchemaRef,
    session: &SessionContext,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let rows = session.read_table(table)?;
    let texts: Vec<Expr> = texts.iter().map(|text| lit(text.as_str())).collect();
    let columns = rows.schema().fields().iter().map(|field| {
        let column = ident(field.name());
        let Ok(typed) = schema.field_with_name(field.name()) else { return Ok(column) };
        let present = match texts.as_slice() {
            [] => column,
            _ => when(column.clone().in_list(texts.clone(), true), column).end()?,
        };
        Ok(cast(present, typed.data_type().clone()).alias(field.name()))
    });
    let columns = columns.collect::<Result<Vec<_>, DataFusionError>>()?;
    Ok(Arc::new(ViewTable::new(rows.select(columns)?.into_unoptimized_plan(), None)))
}

#[cfg(test)]
mod tests;
