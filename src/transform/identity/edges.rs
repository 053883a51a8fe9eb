//! Reading the edges that a model selects.

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use futures::TryStreamExt;

use super::super::TransformError;
use super::super::catalog::Catalog;
use super::super::models::Model;
use super::super::normalise::spot;
use super::graph::Graph;

/// The columns that every such model has.
const COLUMNS: [&str; 3] = ["record", "kind", "identifier"];
/// The column that it may have besides.
const EXCLUDE_REASON: &str = "exclude_reason";

/// Makes sure that a model's columns are those of edges.
///
/// # Errors
/// A column that is missing or cannot be read as text.
pub(crate) fn check(model: &Model, schema: &Schema) -> Result<(), TransformError> {
    for name in COLUMNS {
        if schema.field_with_name(name).is_err() {
            return Err(TransformError::MissingColumn {
                model: model.name().to_owned(),
                setting: "materialize: identity".to_owned(),
                column: name.to_owned(),
                known: schema.fields().iter().map(|field| field.name().clone()).collect(),
            });
        }
    }
    let fields = schema.fields().iter();
    let wrong = fields.enumerate().filter(|(_, field)| is_read(field.name())).find(|(_, field)| {
        field.data_type().is_nested() || matches!(field.data_type(), DataType::Binary)
    });
    match wrong {
        Some((index, field)) => Err(TransformError::ColumnType {
            model: model.name().to_owned(),
            at: spot(model, index, field.name()),
            column: field.name().clone(),
            data_type: field.data_type().to_string(),
            advice: format!(
                "an edge is text: write `cast({} as text)`, or one row each",
                field.name()
            ),
        }),
        None => Ok(()),
    }
}

fn is_read(column: &str) -> bool {
    COLUMNS.contains(&column) || column == EXCLUDE_REASON
}

/// The edges of a model, and the share of the engine's memory they occupy.
pub(super) async fn read(
    catalog: &Catalog,
    model: &Model,
) -> Result<(Graph, MemoryReservation), TransformError> {
    let what = format!("Model `{}`", model.name());
    let running = |error| TransformError::running(&what, error);
    let rows = catalog.plan_model(model).await?;
    check(model, rows.schema().as_arrow())?;
    let pool = catalog.context.runtime_env().memory_pool.clone();
    let memory = MemoryConsumer::new("identity resolution").register(&pool);
    let mut graph = Graph::default();
    let mut rows = rows.execute_stream().await.map_err(running)?;
    while let Some(batch) = rows.try_next().await.map_err(running)? {
        let bytes = add(&mut graph, &batch).map_err(|error| running(error.into()))?;
        memory.try_grow(bytes).map_err(running)?;
    }
    Ok((graph, memory))
}

fn add(graph: &mut Graph, batch: &RecordBatch) -> Result<usize, ArrowError> {
    let [records, kinds, identifiers] = COLUMNS.map(|name| texts(batch, name));
    let (records, kinds, identifiers) = (records?, kinds?, identifiers?);
    let reasons = match batch.column_by_name(EXCLUDE_REASON) {
        Some(_) => Some(texts(batch, EXCLUDE_REASON)?),
        None => None,
    };
    let mut bytes = 0;
    for row in 0..batch.num_rows() {
        let identifier = value(&kinds, row).zip(value(&identifiers, row));
        let reason = reasons.as_ref().and_then(|reasons| value(reasons, row));
        bytes += graph.add(value(&records, row), identifier, reason);
    }
    Ok(bytes)
}

fn texts(batch: &RecordBatch, column: &str) -> Result<StringArray, ArrowError> {
    let index = batch.schema().index_of(column)?;
    let texts = cast(batch.column(index), &DataType::Utf8)?;
    Ok(texts.as_string::<i32>().clone())
}

/// A text; an empty one is none.
fn value(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row)).filter(|text| !text.is_empty())
}
