//! Statistics of a data file, as Delta keeps them in the log.
//!
//! Minimum, maximum and null count per column let readers, and our own upsert,
//! pass over files without opening them. They are taken from the footer of the
//! file just written.

use arrow::array::Array;
use arrow::datatypes::{DataType, Field, Schema};
use chrono::{DateTime, Days, NaiveDate};
use datafusion::scalar::ScalarValue;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::ParquetMetaData;
use serde_json::{Map, Value, json};

/// Columns at the start of a table that get statistics: Delta's own default.
const LEADING: usize = 32;

/// Columns at the end that get them too. Tables lead with what identifies a row
/// and end with bookkeeping, times above all; what lies between is wide.
const TRAILING: usize = 8;

/// Names of the columns that get statistics: the first, the last, and the key.
pub(super) fn indexed_columns(schema: &Schema, key: &[String]) -> Vec<String> {
    let fields = schema.fields();
    let indexed = |(index, field): (usize, &std::sync::Arc<Field>)| {
        let at_an_end = index < LEADING || index + TRAILING >= fields.len();
        let wanted = !field.data_type().is_nested() && (at_an_end || key.contains(field.name()));
        wanted.then(|| field.name().clone())
    };
    fields.iter().enumerate().filter_map(indexed).collect()
}

/// The value of the table property `delta.dataSkippingStatsColumns`.
pub(super) fn stats_property(columns: &[String]) -> String {
    let quoted = columns.iter().map(|name| format!("`{}`", name.replace('`', "``")));
    quoted.collect::<Vec<_>>().join(",")
}

/// The `stats` text of an add action.
pub(super) fn file_stats(
    metadata: &ParquetMetaData,
    schema: &Schema,
    columns: &[String],
) -> ParquetResult<String> {
    let (mut least, mut most, mut nulls) = (Map::new(), Map::new(), Map::new());
    for name in columns {
        let Some(range) = column_range(metadata, schema, name)? else { continue };
        nulls.insert(name.clone(), json!(range.nulls));
        if let (Some(min), Some(max)) = (range.min, range.max) {
            least.insert(name.clone(), min);
            most.insert(name.clone(), max);
        }
    }
    let stats = json!({
        "numRecords": metadata.file_metadata().num_rows(),
        "minValues": least,
        "maxValues": most,
        "nullCount": nulls,
    });
    Ok(stats.to_string())
}

struct ColumnRange {
    min: Option<Value>,
    max: Option<Value>,
    nulls: u64,
}

fn column_range(
    metadata: &ParquetMetaData,
    schema: &Schema,
    name: &str,
) -> ParquetResult<Option<ColumnRange>> {
    let parquet_schema = metadata.file_metadata().schema_descr();
    if schema.column_with_name(name).is_none_or(|(_, field)| field.data_type().is_nested()) {
        return Ok(None);
    }
    let converter = StatisticsConverter::try_new(name, schema, parquet_schema)?;
    let groups = metadata.row_groups();
    let null_counts = converter.row_group_null_counts(groups)?;
    if null_counts.null_count() > 0 {
        return Ok(None);
    }
    // A row group of nulls alone has no bounds and takes none away.
    let has_values =
        |index: usize| groups[index].num_rows().unsigned_abs() > null_counts.value(index);
    let mins = converter.row_group_mins(groups)?;
    let maxs = converter.row_group_maxes(groups)?;
    let bound = |bounds: &dyn Array, keep: std::cmp::Ordering| {
        let mut best: Option<ScalarValue> = None;
        for index in (0..groups.len()).filter(|index| has_values(*index)) {
            let value = ScalarValue::try_from_array(bounds, index).ok().filter(|v| !v.is_null())?;
            let better = best.as_ref().is_none_or(|best| value.partial_cmp(best) == Some(keep));
            if better {
                best = Some(value);
            }
        }
        best
    };
    let min = bound(&mins, std::cmp::Ordering::Less).as_ref().and_then(to_json);
    let max = bound(&maxs, std::cmp::Ordering::Greater).as_ref().and_then(to_json);
    Ok(Some(ColumnRange { min, max, nulls: null_counts.iter().flatten().sum() }))
}

/// A bound as Delta writes it. Booleans and bytes have none there; decimals have
/// none here, since JSON numbers would round them.
fn to_json(value: &ScalarValue) -> Option<Value> {
    Some(match value {
        ScalarValue::Int8(Some(v)) => json!(v),
        ScalarValue::Int16(Some(v)) => json!(v),
        ScalarValue::Int32(Some(v)) => json!(v),
        ScalarValue::Int64(Some(v)) => json!(v),
        ScalarValue::Float32(Some(v)) if v.is_finite() => json!(v),
        ScalarValue::Float64(Some(v)) if v.is_finite() => json!(v),
        ScalarValue::Utf8(Some(v)) => json!(v),
        ScalarValue::Date32(Some(days)) => json!(date(*days)?.to_string()),
        // Milliseconds, as the protocol has it: readers widen the upper bound.
        ScalarValue::TimestampMicrosecond(Some(v), _) => {
            json!(DateTime::from_timestamp_micros(*v)?.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
        }
        _ => return None,
    })
}

fn date(days: i32) -> Option<NaiveDate> {
    let epoch = NaiveDate::default();
    let distance = Days::new(u64::from(days.unsigned_abs()));
    if days < 0 { epoch.checked_sub_days(distance) } else { epoch.checked_add_days(distance) }
}

/// Whether bounds in the log are kept only to the millisecond.
pub(super) fn is_coarse(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..))
}
