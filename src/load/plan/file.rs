//! A stored plan as a Parquet file: its rows for whoever looks at it, and in the
//! file's metadata what plan of what account it is.
//!
//! What is applied are the rows in the lake, which are the intent log; a file
//! whose rows are others is not that plan.

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::row::{RowConverter, SortField};
use datafusion::prelude::{SessionContext, col, lit};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

use super::rows;
use crate::lake::Lake;
use crate::load::error::{LoadError, While};

/// The metadata's key.
const KEY: &str = "hublake.plan";

/// The version of the metadata's form; it grows when a field changes meaning.
const FORM: u32 = 1;

const DOING: &str = "reading a stored plan";

/// What a plan's file says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFile {
    /// The version of this form.
    form: u32,
    /// The account that the plan was made for.
    pub portal_id: u64,
    /// The runs whose plans it holds, one a pipeline.
    pub runs: BTreeSet<String>,
}

/// Why a file is no plan that can be applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanFileError {
    /// It cannot be opened or written.
    #[error("The file cannot be used")]
    File(#[from] std::io::Error),
    /// It is no Parquet file, or was cut off or damaged.
    #[error("It is no whole Parquet file")]
    Damaged(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It is a Parquet file of something else.
    #[error("It is no plan of this version of hublake: {0}")]
    NoPlan(String),
    /// The lake has the plan otherwise.
    #[error(
        "Its rows are not those that the lake has of this plan: the file was changed, the plan is another lake's, or \
         people were purged since"
    )]
    Differs,
    /// The lake cannot be read.
    #[error(transparent)]
    Load(Box<LoadError>),
}

impl From<LoadError> for PlanFileError {
    fn from(error: LoadError) -> Self {
        Self::Load(Box::new(error))
    }
}

impl PlanFile {
    /// The file of these runs' plans.
    pub fn new(portal_id: u64, runs: BTreeSet<String>) -> Self {
        Self { form: FORM, portal_id, runs }
    }
}

fn damaged(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PlanFileError {
    PlanFileError::Damaged(error.into())
}

/// Writes the rows of the runs' stored plans, in order.
///
/// # Errors
/// The lake cannot be read, or the file written.
pub async fn write_plan_file(lake: &Lake, file: &PlanFile, to: &Path) -> Result<(), PlanFileError> {
    let about = serde_json::to_string(file).expect("texts and numbers are always JSON");
    let mut writer =
        ArrowWriter::try_new(File::create(to)?, rows::schema(), None).map_err(damaged)?;
    writer.append_key_value_metadata(KeyValue::new(KEY.to_owned(), about));
    if let Some(plans) = lake.table(&rows::spec().name).await.during(DOING)? {
        let order = ["run_id", "write_back", "seq"].map(|name| col(name).sort(true, true));
        let table = plans.provider().await.during(DOING)?;
        let context = SessionContext::new();
        let rows = context
            .read_table(table)
            .and_then(|rows| rows.filter(of_runs(file))?.sort(order.to_vec()))
            .during(DOING)?;
        let mut rows = rows.execute_stream().await.during(DOING)?;
        while let Some(batch) = rows.next().await {
            writer.write(&in_form(&batch.during(DOING)?).map_err(damaged)?).map_err(damaged)?;
        }
    }
    writer.close().map_err(damaged)?;
    Ok(())
}

fn of_runs(file: &PlanFile) -> datafusion::logical_expr::Expr {
    col("run_id").in_list(file.runs.iter().map(|run| lit(run.as_str())).collect(), false)
}

/// The columns of `system.plans` in its own types.
fn in_form(batch: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let schema = rows::schema();
    let column = |field: &arrow::datatypes::FieldRef| {
        let index = batch.schema().index_of(field.name())?;
        cast(batch.column(index), field.data_type())
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema, columns)
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, PlanFileError> {
    ParquetRecordBatchReaderBuilder::try_new(File::open(path)?).map_err(damaged)
}

/// Reads what a file says of itself.
///
/// # Errors
/// A file that is absent, damaged or no plan.
pub fn read_plan_file(path: &Path) -> Result<PlanFile, PlanFileError> {
    let reader = open(path)?;
    let known = reader.metadata().file_metadata().key_value_metadata();
    let about = known.into_iter().flatten().find(|entry| entry.key == KEY);
    let about = about.and_then(|entry| entry.value.as_deref());
    let about = about.ok_or_else(|| PlanFileError::NoPlan("it does not say whose".to_owned()))?;
    let file: PlanFile =
        serde_json::from_str(about).map_err(|error| PlanFileError::NoPlan(error.to_string()))?;
    if file.form != FORM {
        return Err(PlanFileError::NoPlan(format!("its form is {}, not {FORM}", file.form)));
    }
    Ok(file)
}

/// Makes sure that a plan's file holds the rows that the lake has.
///
/// # Errors
/// It is damaged, or holds others.
pub async fn check_plan_file(
    lake: &Lake,
    file: &PlanFile,
    path: &Path,
) -> Result<(), PlanFileError> {
    let mut shown = Digest::new().during(DOING)?;
    for batch in open(path)?.build().map_err(damaged)? {
        let batch = in_form(&batch.map_err(damaged)?).map_err(damaged)?;
        shown.take(&batch).map_err(damaged)?;
    }
    let mut stored = Digest::new().during(DOING)?;
    if let Some(plans) = lake.table(&rows::spec().name).await.during(DOING)? {
        let mut batches = plans.scan(None, Some(of_runs(file))).await.during(DOING)?;
        while let Some(batch) = batches.next().await {
            let batch = in_form(&batch.during(DOING)?).during(DOING)?;
            stored.take(&batch).during(DOING)?;
        }
    }
    match shown.is_like(&stored) {
        true => Ok(()),
        false => Err(PlanFileError::Differs),
    }
}

/// Rows in any order, as one number; good within one process.
struct Digest {
    converter: RowConverter,
    rows: u64,
    sum: u128,
}

impl Digest {
    fn new() -> Result<Self, arrow::error::ArrowError> {
        let schema = rows::schema();
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        Ok(Self { converter: RowConverter::new(fields.collect())?, rows: 0, sum: 0 })
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<(), arrow::error::ArrowError> {
        for row in &self.converter.convert_columns(batch.columns())? {
            let mut hasher = DefaultHasher::new();
            row.as_ref().hash(&mut hasher);
            self.sum = self.sum.wrapping_add(u128::from(hasher.finish()));
            self.rows += 1;
        }
        Ok(())
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.rows, self.sum) == (other.rows, other.sum)
    }
}
