//! A table of a database as the engine sees it.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::TryStreamExt;

use super::super::error::told;

/// A provider's table, into which only those filters are pushed that mean the same
/// in every database.
///
/// Databases order and compare text by their own collations, know none of our
/// functions, and read `like` in their own ways. So comparisons of numbers, times,
/// days and booleans are left to them; equality of text is left to them and checked
/// again here, since some take `A` for `a`; all else is decided here.
#[derive(Debug)]
pub(super) struct DatabaseTable {
    inner: Arc<dyn TableProvider>,
    kind: &'static str,
}

impl DatabaseTable {
    pub(super) fn new(inner: Arc<dyn TableProvider>, kind: &'static str) -> Self {
        Self { inner, kind }
    }

    fn push_down(&self, filter: &Expr) -> TableProviderFilterPushDown {
        use TableProviderFilterPushDown as Push;
        let fits = |fit| match fit {
            Fit::Exact => Push::Exact,
            Fit::Superset => Push::Inexact,
            Fit::None => Push::Unsupported,
        };
        let fit = fit(filter, &self.inner.schema());
        match (fits(fit), self.inner.supports_filters_pushdown(&[filter])) {
            (Push::Unsupported, _) | (_, Err(_)) => Push::Unsupported,
            (ours, Ok(theirs)) => match theirs.first() {
                Some(Push::Exact) => ours,
                Some(Push::Inexact) => Push::Inexact,
                _ => Push::Unsupported,
            },
        }
    }
}

/// What a database's reading of a filter lets through, beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// Perhaps not all rows.
    None,
    /// All rows, and perhaps more.
    Superset,
    /// The same rows.
    Exact,
}

/// How far a database reads a filter as we do.
fn fit(filter: &Expr, schema: &SchemaRef) -> Fit {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            fit(left, schema).min(fit(right, schema))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => compared(left, *op, right, schema),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) if column(inner, schema).is_some() => {
            Fit::Exact
        }
        Expr::InList(list) if !list.negated => {
            let values = list.list.iter();
            values
                .map(|value| compared(&list.expr, Operator::Eq, value, schema))
                .min()
                .unwrap_or(Fit::None)
        }
        Expr::Between(between) if !between.negated => compared(
            &between.expr,
            Operator::GtEq,
            &between.low,
            schema,
        )
        .min(compared(&between.expr, Operator::LtEq, &between.high, schema)),
        Expr::Column(_) if column(filter, schema) == Some(DataType::Boolean) => Fit::Exact,
        // What lets through more than we do would let through less once negated.
        Expr::Not(inner) if fit(inner, schema) == Fit::Exact => Fit::Exact,
        _ => Fit::None,
    }
}

/// How far a database reads a comparison of a column with a value as we do.
fn compared(left: &Expr, op: Operator, right: &Expr, schema: &SchemaRef) -> Fit {
    let known = column(left, schema).zip(value(right));
    let Some((data_type, value)) = known.or_else(|| column(right, schema).zip(value(left))) else {
        return Fit::None;
    };
    if value.is_null() {
        return Fit::None;
    }
    let is_equality = op == Operator::Eq;
    let is_order = matches!(
        op,
        Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
    );
    match data_type {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Decimal128(..)
        | DataType::Date32
        | DataType::Timestamp(..)
            if is_equality || is_order =>
        {
            Fit::Exact
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_equality => Fit::Superset,
        _ => Fit::None,
    }
}

fn column(expr: &Expr, schema: &SchemaRef) -> Option<DataType> {
    match expr {
        Expr::Column(column) => {
            schema.field_with_name(&column.name).ok().map(|field| field.data_type().clone())
        }
        _ => None,
    }
}

fn value(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

#[async_trait]
impl TableProvider for DatabaseTable {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters.iter().map(|filter| self.push_down(filter)).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // A table that is only counted needs no column, but a `select` needs one.
        let counted = projection.is_some_and(Vec::is_empty).then(|| vec![0]);
        let inner =
            self.inner.scan(session, counted.as_ref().or(projection), filters, limit).await?;
        let schema = match projection {
            Some(columns) => Arc::new(self.schema().project(columns)?),
            None => self.schema(),
        };
        Ok(Arc::new(DatabaseScan::new(inner, schema, self.kind)))
    }
}

/// A scan that the optimiser takes as it is: it would push more into the
/// provider's own.
struct DatabaseScan {
    inner: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    kind: &'static str,
}

impl DatabaseScan {
    fn new(inner: Arc<dyn ExecutionPlan>, schema: SchemaRef, kind: &'static str) -> Self {
        let properties = PlanProperties::new(
            datafusion::physical_expr::EquivalenceProperties::new(schema.clone()),
            datafusion::physical_plan::Partitioning::UnknownPartitioning(
                inner.properties().partitioning.partition_count(),
            ),
            inner.properties().emission_type,
            inner.properties().boundedness,
        );
        Self { inner, schema, properties: Arc::new(properties), kind }
    }
}

impl fmt::Debug for DatabaseScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseScan").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl DisplayAs for DatabaseScan {
    fn fmt_as(&self, form: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseScan: {}, ", self.kind)?;
        self.inner.fmt_as(form, f)
    }
}

impl ExecutionPlan for DatabaseScan {
    fn name(&self) -> &'static str {
        "DatabaseScan"
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.schema.clone();
        let kind = self.kind;
        let rows =
            self.inner.execute(partition, context)?.map_err(move |error| failed(kind, &error));
        let cast = move |batch: RecordBatch| {
            typed(&batch, &schema)
                .map_err(|error| DataFusionError::ArrowError(Box::new(error), None))
        };
        let rows = rows.and_then(move |batch| std::future::ready(cast(batch)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }
}

/// What a database said while it answered. It is no mistake of the query's, so it is
/// passed on as it is, but for the values it quotes.
fn failed(kind: &str, error: &DataFusionError) -> DataFusionError {
    DataFusionError::External(format!("{kind} did not answer: {}", told(error)).into())
}

/// A batch with the types that the table promised: databases without strict types
/// answer what a value looks like.
fn typed(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        if column.data_type() == field.data_type() {
            return Ok(column.clone());
        }
        cast_with_options(column, field.data_type(), &strict)
    });
    let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Schema, TimeUnit};
    use datafusion::prelude::{col, lit};

    use super::*;

    fn schema() -> SchemaRef {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("email", DataType::Utf8, true),
            Field::new("seen", time, true),
        ]))
    }

    #[test]
    fn only_what_means_the_same_everywhere_is_left_to_the_database() {
        let cases = [
            (col("id").gt(lit(3_i64)), Fit::Exact),
            (lit(3_i64).lt(col("id")), Fit::Exact),
            (col("id").is_null().or(col("seen").is_not_null()), Fit::Exact),
            (col("id").between(lit(1_i64), lit(9_i64)), Fit::Exact),
            (!(col("id").eq(lit(3_i64))), Fit::Exact),
            (col("email").eq(lit("a")), Fit::Superset),
            (col("email").in_list(vec![lit("a"), lit("b")], false), Fit::Superset),
            (col("email").eq(lit("a")).and(col("id").gt(lit(1_i64))), Fit::Superset),
            // Negated, more becomes less; collations order text in their own ways.
            (!(col("email").eq(lit("a"))), Fit::None),
            (col("email").not_eq(lit("a")), Fit::None),
            (col("email").gt(lit("a")), Fit::None),
            (col("email").in_list(vec![lit("a")], true), Fit::None),
            (col("email").like(lit("a%")), Fit::None),
            (col("id").eq(col("id")), Fit::None),
            (col("email").eq(lit("a")).or(col("email").gt(lit("b"))), Fit::None),
        ];
        for (filter, expected) in cases {
            assert_eq!(fit(&filter, &schema()), expected, "{filter}");
        }
    }

    #[test]
    fn a_value_of_another_type_than_promised_is_an_error_and_no_null() {
        let text = RecordBatch::try_from_iter([(
            "id",
            Arc::new(arrow::array::StringArray::from(vec!["7", "seven"])) as arrow::array::ArrayRef,
        )])
        .expect("a batch");
        let wanted = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
        assert!(typed(&text.slice(0, 1), &wanted).is_ok());
        assert!(typed(&text, &wanted).is_err());
    }
}
