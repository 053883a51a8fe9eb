//! Which Arrow types a table may have, and how batches are made to fit them.
//!
//! Lake types are those that every engine reads without table features:
//! booleans, signed integers, floats, decimals, text, bytes, dates, timestamps
//! in µs UTC, and lists, structs and maps of these. Each other Arrow type either
//! becomes one of them without loss or is refused with the cast to write.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::{StructField, StructType};

use super::LakeError;

/// The schema a table gets for these columns: lake types, everything nullable,
/// no metadata.
///
/// # Errors
/// [`LakeError::UnsupportedType`] naming the column and the cast to write.
pub fn lake_schema(table: &str, schema: &Schema) -> Result<SchemaRef, LakeError> {
    let fields = schema
        .fields()
        .iter()
        .map(|field| {
            let data_type =
                lake_type(field.data_type()).map_err(|advice| LakeError::UnsupportedType {
                    table: table.to_owned(),
                    column: field.name().clone(),
                    data_type: field.data_type().to_string(),
                    advice: advice.to_owned(),
                })?;
            Ok(Field::new(field.name(), data_type, true))
        })
        .collect::<Result<Fields, LakeError>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// The lake type that holds every value of an Arrow type, or what to write
/// instead. A timestamp without zone is taken as UTC.
fn lake_type(data_type: &DataType) -> Result<DataType, &'static str> {
    use DataType as T;
    Ok(match data_type {
        T::Boolean
        | T::Int8
        | T::Int16
        | T::Int32
        | T::Int64
        | T::Float32
        | T::Float64
        | T::Utf8
        | T::Binary
        | T::Date32
        | T::Decimal128(..) => data_type.clone(),
        T::UInt8 => T::Int16,
        T::UInt16 => T::Int32,
        T::UInt32 => T::Int64,
        T::UInt64 => return Err("write `cast(… as bigint)`"),
        T::Float16 => T::Float32,
        T::LargeUtf8 | T::Utf8View => T::Utf8,
        T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => T::Binary,
        T::Date64 => T::Date32,
        T::Timestamp(..) => T::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        T::Decimal32(precision, scale) | T::Decimal64(precision, scale) => {
            T::Decimal128(*precision, *scale)
        }
        T::Dictionary(_, values) => lake_type(values)?,
        T::RunEndEncoded(_, values) => lake_type(values.data_type())?,
        T::List(item)
        | T::LargeList(item)
        | T::ListView(item)
        | T::LargeListView(item)
        | T::FixedSizeList(item, _) => T::List(named("element", item, true)?),
        T::Struct(fields) => T::Struct(nested(fields)?),
        T::Map(entries, _) => map_type(entries)?,
        T::Null => return Err("write `cast(null as …)` with the type that is meant"),
        T::Interval(_) | T::Duration(_) => return Err("write it as a number of seconds"),
        T::Time32(_) | T::Time64(_) => return Err("write `cast(… as varchar)`"),
        _ => return Err("cast it to text or a number"),
    })
}

fn named(name: &str, field: &Field, nullable: bool) -> Result<FieldRef, &'static str> {
    Ok(Arc::new(Field::new(name, lake_type(field.data_type())?, nullable)))
}

fn nested(fields: &Fields) -> Result<Fields, &'static str> {
    fields.iter().map(|field| named(field.name(), field, true)).collect()
}

/// Delta names the parts of a map; Arrow builders use other names.
fn map_type(entries: &Field) -> Result<DataType, &'static str> {
    let DataType::Struct(parts) = entries.data_type() else {
        return Err("cast it to text or a number");
    };
    let entry = vec![named("key", &parts[0], false)?, named("value", &parts[1], true)?];
    let entries = Field::new("key_value", DataType::Struct(entry.into()), false);
    Ok(DataType::Map(Arc::new(entries), false))
}

/// The Delta schema of a table with these columns.
pub(super) fn delta_schema(schema: &Schema) -> Result<StructType, ArrowError> {
    schema.try_into_kernel()
}

/// The Delta fields of these columns.
pub(super) fn delta_fields(schema: &Schema) -> Result<Vec<StructField>, ArrowError> {
    Ok(delta_schema(schema)?.fields().cloned().collect())
}

/// Columns of `wanted` that `stored` has not.
pub(super) fn new_columns(stored: &Schema, wanted: &Schema) -> Vec<FieldRef> {
    let missing = |field: &&FieldRef| stored.field_with_name(field.name()).is_err();
    wanted.fields().iter().filter(missing).cloned().collect()
}

/// Makes a batch fit the table's columns: by name, missing ones null, types
/// widened where that loses nothing.
///
/// # Errors
/// [`LakeError::UnknownColumn`] and [`LakeError::WrongType`].
pub(super) fn conform(
    table: &str,
    schema: &SchemaRef,
    batch: &RecordBatch,
) -> Result<RecordBatch, LakeError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    if let Some(stray) = new_columns(schema, batch.schema_ref()).first() {
        return Err(unknown_column(table, stray.name(), schema));
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => fit(table, field, column),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<Vec<_>, LakeError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .expect("columns were made for this schema"))
}

pub(super) fn unknown_column(table: &str, column: &str, schema: &Schema) -> LakeError {
    LakeError::UnknownColumn {
        table: table.to_owned(),
        column: column.to_owned(),
        known: schema.fields().iter().map(|field| field.name().clone()).collect(),
    }
}

fn fit(table: &str, field: &Field, column: &ArrayRef) -> Result<ArrayRef, LakeError> {
    let found = column.data_type();
    if found == field.data_type() {
        return Ok(column.clone());
    }
    if found == &DataType::Null {
        return Ok(new_null_array(field.data_type(), column.len()));
    }
    let wrong_type = || LakeError::WrongType {
        table: table.to_owned(),
        column: field.name().clone(),
        expected: field.data_type().to_string(),
        found: found.to_string(),
    };
    if lake_type(found).as_ref() != Ok(field.data_type()) {
        return Err(wrong_type());
    }
    strict_cast(column, field.data_type()).map_err(|_| wrong_type())
}

/// Casts, failing on a value that the new type cannot hold.
pub(super) fn strict_cast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() })
}

#[cfg(test)]
mod tests {
    use arrow::array::builder::{MapBuilder, StringBuilder};
    use arrow::array::{
        Int64Array, NullArray, StringArray, StringViewArray, TimestampNanosecondArray, UInt32Array,
    };
    use arrow::datatypes::IntervalUnit;

    use super::*;

    fn schema_of(fields: Vec<Field>) -> SchemaRef {
        lake_schema("t", &Schema::new(fields)).expect("lake types")
    }

    #[test]
    fn types_become_lake_types() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let cases = [
            (DataType::Utf8View, DataType::Utf8),
            (DataType::UInt32, DataType::Int64),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), utc.clone()),
            (DataType::Timestamp(TimeUnit::Second, Some("+02:00".into())), utc),
            (
                DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8)),
                DataType::Utf8,
            ),
        ];
        for (from, to) in cases {
            let schema = schema_of(vec![Field::new("a", from, false)]);
            assert_eq!(schema.field(0), &Field::new("a", to, true));
        }
    }

    #[test]
    fn unreadable_types_are_refused_with_advice() {
        for data_type in [
            DataType::Null,
            DataType::Interval(IntervalUnit::DayTime),
            DataType::Time64(TimeUnit::Microsecond),
            DataType::UInt64,
        ] {
            let fields = Schema::new(vec![Field::new("span", data_type, true)]);
            let error = lake_schema("m", &fields).expect_err("refused");
            assert!(error.to_string().starts_with("Column `span` of table `m`"), "{error}");
        }
    }

    #[test]
    fn a_batch_is_made_to_fit() {
        let map = |name| {
            let key = Field::new(name, DataType::Utf8, false);
            let entry = [key, Field::new("v", DataType::Utf8, true)];
            Field::new_map("_rescued", "entries", entry[0].clone(), entry[1].clone(), false, true)
        };
        let schema = schema_of(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("gone", DataType::Boolean, true),
            Field::new("nothing", DataType::Int64, true),
            map("k"),
        ]);
        let mut rescued = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        rescued.keys().append_value("amount");
        rescued.values().append_value("1;2");
        rescued.append(true).expect("a map");
        let batch = RecordBatch::try_from_iter([
            ("name", Arc::new(StringViewArray::from(vec!["Ada"])) as ArrayRef),
            ("id", Arc::new(UInt32Array::from(vec![7])) as ArrayRef),
            ("at", Arc::new(TimestampNanosecondArray::from(vec![1_000])) as ArrayRef),
            ("nothing", Arc::new(NullArray::new(1)) as ArrayRef),
            ("_rescued", Arc::new(rescued.finish()) as ArrayRef),
        ])
        .expect("a batch");
        let fitted = conform("t", &schema, &batch).expect("fits");
        assert_eq!(fitted.schema(), schema);
        assert_eq!(fitted.column(0).as_ref(), &Int64Array::from(vec![7]) as &dyn Array);
        assert_eq!(fitted.column(1).as_ref(), &StringArray::from(vec!["Ada"]) as &dyn Array);
        assert_eq!(fitted.column(3).null_count(), 1);
    }

    #[test]
    fn strays_and_wrong_types_are_named() {
        let schema = schema_of(vec![Field::new("id", DataType::Int64, false)]);
        let text = Arc::new(StringArray::from(vec!["x"])) as ArrayRef;
        let stray = RecordBatch::try_from_iter([("idd", text.clone())]).expect("a batch");
        let error = conform("t", &schema, &stray).expect_err("a stray column");
        assert_eq!(error.to_string(), "Table `t` has no column `idd`; it has `id`");
        let wrong = RecordBatch::try_from_iter([("id", text)]).expect("a batch");
        let error = conform("t", &schema, &wrong).expect_err("a wrong type");
        assert_eq!(error.to_string(), "Column `id` of table `t` is `Int64`, not `Utf8`");
    }

    #[test]
    fn delta_and_arrow_agree_on_every_lake_type() {
        use deltalake::kernel::engine::arrow_conversion::TryIntoArrow;
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
        let parts = vec![Field::new("a", DataType::Int32, true)];
        let schema = schema_of(vec![
            Field::new("b", DataType::Boolean, true),
            Field::new("f", DataType::Float64, true),
            Field::new("d", DataType::Date32, true),
            Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("n", DataType::Decimal128(20, 4), true),
            Field::new("l", list, true),
            Field::new("s", DataType::Struct(parts.into()), true),
            Field::new_map(
                "m",
                "entries",
                Field::new("keys", DataType::Utf8, false),
                Field::new("values", DataType::Utf8, true),
                false,
                true,
            ),
        ]);
        let delta = delta_schema(&schema).expect("a Delta schema");
        let back: Schema = (&delta).try_into_arrow().expect("an Arrow schema");
        assert_eq!(&back, schema.as_ref());
    }
}
