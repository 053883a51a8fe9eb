//! Usage tables, read where they lie.
//!
//! A source is a file or a folder of Parquet, CSV or NDJSON, local or on an
//! object store. It becomes a DataFusion table into which filters and
//! projections are pushed; nothing is copied. A source without a file or
//! without a row is an error that names it, because a usage table that has
//! silently gone would empty everything computed from it.

mod config;
mod error;
mod files;

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

pub use config::{ColumnType, InvalidSource, PartitionColumn, SourceConfig};
pub use error::SourceError;
use files::Files;

/// An opened source.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    location: String,
    provider: Arc<dyn TableProvider>,
    runtime: Arc<RuntimeEnv>,
}

impl Source {
    /// Opens the source `name`: finds its files, reads their columns, and makes
    /// sure there is a row. Relative paths are taken from `project_dir`. The
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
        let files = Files::find(name, config, project_dir, &runtime).await?;
        let location = files.location.clone();
        let unreadable = |error: DataFusionError| SourceError::Unreadable {
            source_name: name.to_owned(),
            location: location.clone(),
            source: Box::new(error),
        };
        let session = session(&runtime);
        let options = files.options(config);
        let schema = infer_schema(&files, &options, &session).await.map_err(unreadable)?;
        let schema = with_types(name, &schema, config)?;
        let provider = match config.null_values.as_slice() {
            [] => listing(&files, options, schema),
            texts => {
                nulls_for(texts, listing(&files, options, all_text(&schema)), &schema, &session)
            }
        };
        let provider = provider.map_err(unreadable)?;
        let source = Self { name: name.to_owned(), location, provider, runtime };
        if source.is_empty().await? {
            return Err(SourceError::Empty { source_name: source.name, location: source.location });
        }
        Ok(source)
    }

    /// The name after `usage.`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The source as a table.
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        self.provider.clone()
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
        let first = async {
            session(&self.runtime).read_table(self.provider())?.limit(0, Some(1))?.collect().await
        };
        let batches = first.await.map_err(|error| self.unreadable(error))?;
        Ok(batches.iter().all(|batch| batch.num_rows() == 0))
    }

    fn unreadable(&self, error: DataFusionError) -> SourceError {
        SourceError::Unreadable {
            source_name: self.name.clone(),
            location: self.location.clone(),
            source: Box::new(error),
        }
    }
}

fn session(runtime: &Arc<RuntimeEnv>) -> SessionContext {
    SessionContext::new_with_config_rt(SessionConfig::new(), runtime.clone())
}

async fn infer_schema(
    files: &Files,
    options: &ListingOptions,
    session: &SessionContext,
) -> Result<SchemaRef, DataFusionError> {
    let state = session.state();
    options.validate_partitions(&state, &files.url).await?;
    options.infer_schema(&state, &files.url).await
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

/// A table of text columns as one of typed columns, in which some texts are
/// null. The engine's CSV reader honours such texts only while it guesses
/// types, so they are read as text and cast here.
fn nulls_for(
    texts: &[String],
    table: Result<Arc<dyn TableProvider>, DataFusionError>,
    schema: &SchemaRef,
    session: &SessionContext,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let rows = session.read_table(table?)?;
    let texts: Vec<Expr> = texts.iter().map(|text| lit(text.as_str())).collect();
    let columns = rows.schema().fields().iter().map(|field| {
        let column = ident(field.name());
        let Ok(typed) = schema.field_with_name(field.name()) else { return Ok(column) };
        let present = when(column.clone().in_list(texts.clone(), true), column).end()?;
        Ok(cast(present, typed.data_type().clone()).alias(field.name()))
    });
    let columns = columns.collect::<Result<Vec<_>, DataFusionError>>()?;
    Ok(Arc::new(ViewTable::new(rows.select(columns)?.into_unoptimized_plan(), None)))
}

#[cfg(test)]
mod tests;
