//! What identity resolution stores, as rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use super::super::BuildOptions;
use super::assign::{Assignment, Moved};
use super::config::IdentityConfig;
use super::graph::Graph;
use super::resolve::{Reason, Resolution};
use super::{CLUSTER_ID, RECORD};

/// Rows of one batch.
const BATCH_ROWS: usize = 8_192;

/// Identifiers that a conflict shows; the rest are counted.
const SHOWN: usize = 10;

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn number(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

/// One row: a record and the cluster it belongs to.
pub(super) fn clusters_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![text(RECORD), number(CLUSTER_ID)]))
}

/// One row: an edge that joined nothing, and why.
pub(super) fn excluded_schema() -> SchemaRef {
    let columns = [RECORD, "kind", "identifier", "reason", "detail"];
    Arc::new(Schema::new(columns.map(text).to_vec()))
}

/// One row: a cluster with several identifiers of a kind that should be single.
pub(super) fn conflicts_schema() -> SchemaRef {
    let columns = vec![number(CLUSTER_ID), text("kind"), number("identifiers"), text("examples")];
    Arc::new(Schema::new(columns))
}

/// One row: records that left a cluster for another, or a cluster that is no more.
pub(super) fn moves_schema() -> SchemaRef {
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        text("run_id"),
        Field::new("changed_at", at, true),
        text("op"),
        number("old_id"),
        number("new_id"),
        number("records"),
        number("model_version"),
    ]))
}

/// Every record with its cluster; at least one batch.
pub(super) fn clusters(
    graph: &Graph,
    assignment: &Assignment,
) -> Result<Vec<RecordBatch>, ArrowError> {
    if assignment.ids.is_empty() {
        return Ok(vec![RecordBatch::new_empty(clusters_schema())]);
    }
    let batches = assignment.ids.chunks(BATCH_ROWS).enumerate().map(|(chunk, ids)| {
        let first = chunk * BATCH_ROWS;
        let records = (first..first + ids.len()).map(|record| graph.record(record as u32));
        let records: ArrayRef = Arc::new(StringArray::from_iter_values(records));
        let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
        RecordBatch::try_new(clusters_schema(), vec![records, ids])
    });
    batches.collect()
}

/// Every edge that joined nothing.
pub(super) fn excluded(graph: &Graph, resolution: &Resolution) -> Result<RecordBatch, ArrowError> {
    let mut columns: [StringBuilder; 5] = std::array::from_fn(|_| StringBuilder::new());
    let mut push = |row: [Option<&str>; 5]| {
        for (column, value) in columns.iter_mut().zip(row) {
            column.append_option(value);
        }
    };
    for (kind, value) in &graph.without_record {
        push([None, Some(kind), Some(value), Some("no_record"), None]);
    }
    for (edge, reason) in &graph.ruled_out {
        let (kind, value) = graph.identifier(edge.identifier);
        let record = graph.record(edge.record);
        push([Some(record), Some(kind), Some(value), Some("model"), Some(reason)]);
    }
    for (edge, reason, records) in &resolution.excluded {
        let (kind, value) = graph.identifier(edge.identifier);
        let (reason, detail) = match reason {
            Reason::Rule => ("rule", None),
            Reason::Degree => ("degree", Some(format!("{records} records share it"))),
            Reason::ClusterSize => ("cluster_size", Some(format!("{records} records share it"))),
        };
        let record = graph.record(edge.record);
        push([Some(record), Some(kind), Some(value), Some(reason), detail.as_deref()]);
    }
    let columns = columns.map(|mut column| Arc::new(column.finish()) as ArrayRef);
    RecordBatch::try_new(excluded_schema(), columns.to_vec())
}

/// Every cluster with several identifiers of a kind that should be single.
pub(super) fn conflicts(
    graph: &Graph,
    resolution: &Resolution,
    assignment: &Assignment,
    config: &IdentityConfig,
) -> Result<RecordBatch, ArrowError> {
    // Identifiers in order of kind and value: the edges are.
    let mut found: BTreeMap<(i64, &str), Vec<&str>> = BTreeMap::new();
    for group in resolution.live.chunk_by(|a, b| a.identifier == b.identifier) {
        let (kind, value) = graph.identifier(group[0].identifier);
        if config.single.iter().any(|single| single == kind) {
            // All records of one identifier are in one cluster.
            let cluster = assignment.ids[group[0].record as usize];
            found.entry((cluster, kind)).or_default().push(value);
        }
    }
    found.retain(|_, values| values.len() > 1);
    let clusters: Int64Array = found.keys().map(|(cluster, _)| Some(*cluster)).collect();
    let kinds = StringArray::from_iter_values(found.keys().map(|(_, kind)| *kind));
    let counts: Int64Array =
        found.values().map(|values| i64::try_from(values.len()).ok()).collect();
    let examples = found.values().map(|values| values[..values.len().min(SHOWN)].join(", "));
    let examples = StringArray::from_iter_values(examples);
    RecordBatch::try_new(
        conflicts_schema(),
        vec![Arc::new(clusters), Arc::new(kinds), Arc::new(counts), Arc::new(examples)],
    )
}

/// What moved, stamped with the run.
pub(super) fn moves(
    moved: &[Moved],
    options: &BuildOptions,
    version: i64,
) -> Result<RecordBatch, ArrowError> {
    let count = moved.len();
    let run = StringArray::from_iter_values(std::iter::repeat_n(&options.run_id, count));
    let at = TimestampMicrosecondArray::from(vec![options.run_started_at; count]);
    let ops = StringArray::from_iter_values(moved.iter().map(|moved| moved.op.name()));
    let old: Int64Array = moved.iter().map(|moved| Some(moved.old)).collect();
    let new: Int64Array = moved.iter().map(|moved| moved.new).collect();
    let records: Int64Array = moved.iter().map(|moved| Some(moved.records)).collect();
    RecordBatch::try_new(
        moves_schema(),
        vec![
            Arc::new(run),
            Arc::new(at.with_timezone("UTC")),
            Arc::new(ops),
            Arc::new(old),
            Arc::new(new),
            Arc::new(records),
            Arc::new(Int64Array::from(vec![version; count])),
        ],
    )
}
