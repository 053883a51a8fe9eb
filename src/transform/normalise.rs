//! The types and names a model's columns may have in the lake.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};

use super::error::SqlSpot;
use super::{Model, TransformError};

/// The widest decimal every engine reads.
const MAX_DECIMAL_DIGITS: u8 = 38;

/// A plan whose columns have lake types and plain names.
///
/// # Errors
/// A column without a plain name of its own, or of a type no lake table holds.
pub(super) fn normalised(model: &Model, plan: LogicalPlan) -> Result<LogicalPlan, TransformError> {
    check_names(model, plan.schema())?;
    let columns = projection(model, plan.schema())?;
    LogicalPlanBuilder::from(plan)
        .project(columns)
        .and_then(LogicalPlanBuilder::build)
        .map_err(|error| TransformError::running(&format!("Model `{}`", model.name()), error))
}

fn check_names(model: &Model, schema: &DFSchema) -> Result<(), TransformError> {
    for (index, field) in schema.fields().iter().enumerate() {
        let name = field.name();
        let advice = if !is_plain(name) {
            "give it a name of letters, digits and `_` with `as`"
        } else if schema.fields()[..index].iter().any(|earlier| earlier.name() == name) {
            "an earlier column has that name too: rename one with `as`"
        } else {
            continue;
        };
        return Err(TransformError::ColumnName {
            model: model.name().to_owned(),
            at: spot(model, index, name),
            position: index + 1,
            column: name.clone(),
            advice,
        });
    }
    Ok(())
}

/// Where a model selects a column.
pub(super) fn spot(model: &Model, index: usize, name: &str) -> Box<SqlSpot> {
    let place = model.query.place_of_output(index, name);
    Box::new(SqlSpot { file: model.file().to_owned(), place })
}

/// Expressions without a name are called after their text, which parameters
/// change from run to run.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn projection(model: &Model, schema: &DFSchema) -> Result<Vec<Expr>, TransformError> {
    schema
        .iter()
        .enumerate()
        .map(|(index, (qualifier, field))| {
            let column = Expr::from((qualifier, field));
            let wanted =
                lake_type(field.data_type()).map_err(|advice| TransformError::ColumnType {
                    model: model.name().to_owned(),
                    at: spot(model, index, field.name()),
                    column: field.name().clone(),
                    data_type: field.data_type().to_string(),
                    advice: advice.replace("COLUMN", field.name()),
                })?;
            let typed = if wanted == *field.data_type() { column } else { cast(column, wanted) };
            Ok(typed.alias(field.name()))
        })
        .collect()
}

/// The type a column is stored with, or the cast to write (`COLUMN` stands
/// for its name). Widths are only ever widened, so no value is lost.
fn lake_type(data_type: &DataType) -> Result<DataType, String> {
    use DataType::*;
    Ok(match data_type {
        Boolean | Int8 | Int16 | Int32 | Int64 | Float32 | Float64 | Utf8 | Binary | Date32 => {
            data_type.clone()
        }
        LargeUtf8 | Utf8View => Utf8,
        LargeBinary | BinaryView | FixedSizeBinary(_) => Binary,
        UInt8 => Int16,
        UInt16 => Int32,
        // A value past 2^63 fails the cast, loudly.
        UInt32 | UInt64 => Int64,
        Float16 => Float32,
        Date64 | Timestamp(..) => Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Decimal32(digits, scale)
        | Decimal64(digits, scale)
        | Decimal128(digits, scale)
        | Decimal256(digits, scale) => decimal(*digits, *scale)?,
        Dictionary(_, values) => lake_type(values)?,
        RunEndEncoded(_, values) => lake_type(values.data_type())?,
        List(item)
        | LargeList(item)
        | ListView(item)
        | LargeListView(item)
        | FixedSizeList(item, _) => List(lake_field(item)?),
        Struct(fields) => {
            Struct(fields.iter().map(lake_field).collect::<Result<Fields, String>>()?)
        }
        Map(entries, sorted) => Map(lake_field(entries)?, *sorted),
        Null => return Err("write `cast(null as text)`, or the type it should have".into()),
        Interval(_) | Duration(_) => {
            return Err(
                "write `extract(epoch from COLUMN)`, or the two times it lies between".into()
            );
        }
        Time32(_) | Time64(_) => return Err("write `cast(COLUMN as text)`".into()),
        Union(..) => return Err("select one of its fields".into()),
    })
}

fn decimal(digits: u8, scale: i8) -> Result<DataType, String> {
    if digits > MAX_DECIMAL_DIGITS || scale < 0 {
        return Err("write `cast(COLUMN as decimal(38, 9))`, or `cast(COLUMN as double)`".into());
    }
    Ok(DataType::Decimal128(digits, scale))
}

fn lake_field(field: &FieldRef) -> Result<FieldRef, String> {
    let data_type = lake_type(field.data_type())?;
    Ok(Arc::new(Field::new(field.name(), data_type, field.is_nullable())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_numbers_and_times_take_their_lake_types() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let dictionary =
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8View));
        for (found, stored) in [
            (DataType::Utf8View, DataType::Utf8),
            (dictionary, DataType::Utf8),
            (DataType::UInt8, DataType::Int16),
            (DataType::UInt64, DataType::Int64),
            (DataType::Float16, DataType::Float32),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), utc.clone()),
            (DataType::Date64, utc),
            (DataType::Decimal256(38, 2), DataType::Decimal128(38, 2)),
            (DataType::Int32, DataType::Int32),
        ] {
            assert_eq!(lake_type(&found), Ok(stored), "{found}");
        }
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)));
        let stored = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
        assert_eq!(lake_type(&list), Ok(stored));
    }

    #[test]
    fn what_other_engines_cannot_read_is_refused_with_the_cast() {
        for (found, advice) in [
            (DataType::Null, "cast(null"),
            (DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano), "extract(epoch"),
            (DataType::Time64(TimeUnit::Nanosecond), "cast(COLUMN as text)"),
            (DataType::Decimal256(76, 2), "decimal(38, 9)"),
        ] {
            let refused = lake_type(&found).expect_err("no lake type");
            assert!(refused.contains(advice), "{found}: {refused}");
        }
    }
}
