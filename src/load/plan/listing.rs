//! A stored plan as a person or a program reads it: one line per property, as
//! many as are asked for.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanBuilder, Int64Builder, RecordBatch, StringBuilder};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{SessionContext, col, lit};
use futures::StreamExt;

use super::rows;
use crate::lake::Lake;
use crate::load::error::{LoadError, While};

const DOING: &str = "reading a stored plan";

/// The columns of [`plan_lines`].
fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        text("write_back"),
        text("object"),
        text("action"),
        text("key"),
        Field::new("record_id", DataType::Int64, true),
        text("property"),
        text("old"),
        text("new"),
        text("last_set"),
        text("decision"),
        Field::new("conflict", DataType::Boolean, true),
        text("reason"),
    ]))
}

/// Streams what the stored plans of a run are to do, one line per property; a
/// row without properties is a line of its own. `condition` is SQL over these
/// columns: `write_back`, `object`, `action`, `key`, `record_id`, `property`,
/// `old`, `new`, `last_set`, `decision`, `conflict`, `reason`.
///
/// # Errors
/// A condition that is no SQL over these columns, or a lake that fails.
pub async fn plan_lines(
    lake: &Lake,
    run_id: &str,
    condition: Option<&str>,
) -> Result<SendableRecordBatchStream, LoadError> {
    let condition = condition.map(Condition::parse).transpose()?;
    let Some(plans) = lake.table(&rows::spec().name).await.during(DOING)? else {
        let none = futures::stream::empty();
        return Ok(Box::pin(RecordBatchStreamAdapter::new(schema(), none)));
    };
    let batches = plans.scan(None, Some(col("run_id").eq(lit(run_id)))).await.during(DOING)?;
    let lines = batches.map(move |batch| {
        let lines = lines(&batch?)?;
        match &condition {
            Some(condition) => condition.keep(&lines),
            None => Ok(lines),
        }
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema(), lines)))
}

/// Whether a text is a condition for [`plan_lines`].
///
/// # Errors
/// It is no SQL, or names other columns.
pub fn check_condition(sql: &str) -> Result<(), LoadError> {
    Condition::parse(sql).map(drop)
}

fn lines(batch: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
    let mut texts: [StringBuilder; 10] = std::array::from_fn(|_| StringBuilder::new());
    let (mut ids, mut conflicts) = (Int64Builder::new(), BooleanBuilder::new());
    for at in 0..batch.num_rows() {
        let planned = rows::decode_row(batch, at)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let head = [
            rows::text(batch, "write_back", at),
            rows::text(batch, "object", at),
            Some(planned.action.as_str()),
            planned.match_key.as_deref(),
        ];
        let mut line = |property: [Option<&str>; 6], conflict: Option<bool>| {
            let cells = head.into_iter().chain(property);
            texts.iter_mut().zip(cells).for_each(|(text, cell)| text.append_option(cell));
            ids.append_option(planned.record_id);
            conflicts.append_option(conflict);
        };
        let of_row = planned.reason.as_deref();
        if planned.changes.is_empty() {
            line([None, None, None, None, None, of_row], None);
        }
        for (name, change) in &planned.changes {
            let cells = [
                Some(name.as_str()),
                change.old.as_deref(),
                Some(change.new.as_str()),
                change.last_set.as_deref(),
                Some(change.decision.as_str()),
                change.reason.as_deref().or(of_row),
            ];
            line(cells, Some(change.conflict));
        }
    }
    let mut columns: Vec<ArrayRef> =
        texts.iter_mut().map(|text| Arc::new(text.finish()) as ArrayRef).collect();
    columns.insert(4, Arc::new(ids.finish()));
    columns.insert(10, Arc::new(conflicts.finish()));
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// SQL that is true or false of a line.
struct Condition(Arc<dyn PhysicalExpr>);

impl Condition {
    fn parse(sql: &str) -> Result<Self, LoadError> {
        let context = SessionContext::new();
        let doing = "reading the condition";
        let schema = DFSchema::try_from(schema()).during(doing)?;
        let expression = context.parse_sql_expr(sql, &schema).during(doing)?;
        let condition = context.create_physical_expr(expression, &schema).during(doing)?;
        match condition.data_type(schema.as_arrow()).during(doing)? {
            DataType::Boolean => Ok(Self(condition)),
            other => Err(DataFusionError::Plan(format!(
                "`{sql}` is neither true nor false, but of type {other}"
            )))
            .during(doing),
        }
    }

    fn keep(&self, lines: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
        let holds = self.0.evaluate(lines)?.into_array(lines.num_rows())?;
        Ok(filter_record_batch(lines, holds.as_boolean())?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;
    use crate::load::plan::decide::{Action, Change, Verdict};
    use crate::load::plan::rows::{Heading, Row, Rows};

    fn planned() -> RecordBatch {
        let change = |property, new: &'static str| Change {
            property,
            new: new.into(),
            old: "1".into(),
            last_set: None,
            verdict: Verdict::Write,
            conflict: false,
            theirs: false,
        };
        let row = |changes, reason| Row {
            action: Action::Update,
            record_id: Some(7),
            match_key: Some("k"),
            changes,
            category: None,
            reason,
            fingerprint: 0,
        };
        let mut rows = Rows::default();
        rows.push(&row(vec![change("a", "2"), change("b", "3")], None)).expect("encoded");
        rows.push(&row(Vec::new(), Some("why"))).expect("encoded");
        let heading = Heading {
            run_id: "r".into(),
            pipeline: "p".into(),
            write_back: "w".into(),
            object: "contacts".into(),
            planned_at: 1,
        };
        rows.finish(&heading, 0).expect("a batch")
    }

    #[test]
    fn every_property_is_a_line_and_so_is_a_row_without_any() {
        let lines = lines(&planned()).expect("lines");
        assert_eq!(lines.num_rows(), 3);
        let text = |name: &str, row: usize| {
            let column = lines.column_by_name(name).expect("a column").as_string::<i32>().clone();
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        assert_eq!(text("property", 1).as_deref(), Some("b"));
        assert_eq!((text("property", 2), text("reason", 2).as_deref()), (None, Some("why")));
    }

    #[test]
    fn a_condition_is_sql_over_the_columns() {
        let lines = lines(&planned()).expect("lines");
        let kept = |sql: &str| {
            Condition::parse(sql).and_then(|c| c.keep(&lines).during(DOING)).map(|l| l.num_rows())
        };
        assert_eq!(kept("property = 'a' and record_id = 7").ok(), Some(1));
        assert_eq!(kept("conflict is null").ok(), Some(1));
        assert!(kept("colour = 'red'").is_err());
        assert!(kept("property").is_err());
    }
}
