//! Giving columns new types, in one commit that rewrites the table.
//!
//! A value is taken over only where its new form is exact. Where a rescue column
//! holds the exact text of a value, the text decides, and after the rewrite the
//! rescue column holds just the texts that the new type cannot.

use std::sync::Arc;

use arrow::array::builder::{MapBuilder, MapFieldNames, StringBuilder};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, MapArray, RecordBatch, Scalar, StringArray,
    new_null_array,
};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{CastOptions, and, cast_with_options, is_not_null, is_null, or};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use deltalake::kernel::Action;
use deltalake::protocol::{DeltaOperation, SaveMode};
use futures::TryStreamExt;
use parquet::errors::ParquetError;

use super::commit::OnConflict;
use super::files::data_files;
use super::schema::{lake_schema, unknown_column};
use super::writer::{FileFormat, TableWriter};
use super::{LakeError, Table};

/// A column's new type, and where its values come from.
#[derive(Debug, Clone)]
pub struct FieldChange {
    /// The column; not one of the key or the partitioning
    pub name: String,
    /// Its new type
    pub new_type: DataType,
    /// A `map<string, string>` column of the table that may hold the exact text
    /// of this column's value under its name (`_rescued`)
    pub rescue: Option<String>,
}

/// Rewrites the table with new types, file by file, in one commit.
pub(super) async fn change_types(
    table: &mut Table,
    changes: &[FieldChange],
) -> Result<(), LakeError> {
    let stored = table.schema();
    let conversions = conversions(table, changes)?;
    if conversions.is_empty() {
        return Ok(());
    }
    let schema = converted_schema(&stored, &conversions);
    let mut actions = vec![table.metadata_with(&schema)?];
    let format = FileFormat { schema: schema.clone(), ..table.file_format() };
    let mut writer = TableWriter::new(format);
    for file in data_files(table.state(), table.partition_by()) {
        let copied = async {
            let open = file.open(&table.data_store(), &stored).await?;
            let mut batches = open.stream(&open.all_columns(), None)?;
            while let Some(batch) = batches.try_next().await? {
                writer.write(&convert(&batch, &schema, &conversions)?).await?;
            }
            Ok::<_, ParquetError>(())
        };
        copied.await.map_err(table.place().failed("converting rows"))?;
        actions.push(file.remove(true));
    }
    let adds = writer.finish().await.map_err(table.place().failed("converting rows"))?;
    actions.extend(adds.into_iter().map(Action::Add));
    let partition_by = Some(table.partition_by().to_vec());
    let operation =
        DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by, predicate: None };
    table.commit(actions, operation, &[], OnConflict::Fail).await
}

/// One column's way to its new type.
#[derive(Debug)]
struct Conversion {
    name: String,
    to: DataType,
    rescue: Option<String>,
}

/// Checks the changes; those that change nothing are left out.
fn conversions(table: &Table, changes: &[FieldChange]) -> Result<Vec<Conversion>, LakeError> {
    let (name, schema) = (table.name().to_string(), table.schema());
    let mut conversions = Vec::new();
    for change in changes {
        let unknown = |column: &str| unknown_column(&name, column, &schema);
        let stored = schema.field_with_name(&change.name).map_err(|_| unknown(&change.name))?;
        let wanted = Schema::new(vec![Field::new(&change.name, change.new_type.clone(), true)]);
        let to = lake_schema(&name, &wanted)?.field(0).data_type().clone();
        if let Some(rescue) = &change.rescue {
            schema.field_with_name(rescue).map_err(|_| unknown(rescue))?;
        }
        if stored.data_type() == &to {
            continue;
        }
        if table.key().contains(&change.name) || table.partition_by().contains(&change.name) {
            return Err(LakeError::WrongType {
                table: name,
                column: change.name.clone(),
                expected: stored.data_type().to_string(),
                found: to.to_string(),
            });
        }
        conversions.push(Conversion {
            name: change.name.clone(),
            to,
            rescue: change.rescue.clone(),
        });
    }
    Ok(conversions)
}

fn converted_schema(stored: &Schema, conversions: &[Conversion]) -> SchemaRef {
    let fields = stored.fields().iter().map(|field| {
        match conversions.iter().find(|conversion| conversion.name == *field.name()) {
            Some(conversion) => Arc::new(Field::new(field.name(), conversion.to.clone(), true)),
            None => field.clone(),
        }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A converted column, and the text its new type could not hold.
struct Converted {
    values: ArrayRef,
    /// Text to keep in the rescue column; null where the value is held
    left_over: StringArray,
}

fn convert(
    batch: &RecordBatch,
    schema: &SchemaRef,
    conversions: &[Conversion],
) -> Result<RecordBatch, ArrowError> {
    let mut columns = batch.columns().to_vec();
    for conversion in conversions {
        let at = schema.index_of(&conversion.name)?;
        let rescue = match &conversion.rescue {
            Some(name) => Some(schema.index_of(name)?),
            None => None,
        };
        let map = rescue.and_then(|rescue| columns[rescue].as_map_opt().cloned());
        let text = map.as_ref().map(|map| text_under(map, &conversion.name));
        let converted = convert_column(&columns[at], text.as_ref(), &conversion.to)?;
        columns[at] = converted.values;
        if let (Some(rescue), Some(map)) = (rescue, map) {
            columns[rescue] = put_under(&map, &conversion.name, &converted.left_over)?;
        }
    }
    RecordBatch::try_new(schema.clone(), columns)
}

/// Converts a column; `text` is the exact text of its values where known.
fn convert_column(
    column: &ArrayRef,
    text: Option<&StringArray>,
    to: &DataType,
) -> Result<Converted, ArrowError> {
    let none = || StringArray::new_null(column.len());
    let own = column.as_string_opt::<i32>();
    // Text columns are their own exact text where nothing was rescued.
    let text: ArrayRef = match (text, own) {
        (Some(rescued), Some(own)) => zip(&is_not_null(rescued)?, rescued, own)?,
        (Some(rescued), None) => Arc::new(rescued.clone()),
        (None, Some(own)) => Arc::new(own.clone()),
        (None, None) => Arc::new(none()),
    };
    let parsed = parse(text.as_string(), to)?;
    let values = zip(&is_not_null(&text)?, &parsed, &exact_cast(column, to)?)?;
    let lost = and(&is_not_null(&text)?, &is_not_held(text.as_string(), &values)?)?;
    let left_over = zip(&lost, &text, &Scalar::new(new_null_array(&DataType::Utf8, 1)))?;
    Ok(Converted { values, left_over: left_over.as_string().clone() })
}

/// Parses text, null where it is not a value of the type.
fn parse(text: &StringArray, to: &DataType) -> Result<ArrayRef, ArrowError> {
    match cast_with_options(text, to, &CastOptions::default()) {
        Ok(parsed) => Ok(parsed),
        Err(_) => Ok(new_null_array(to, text.len())),
    }
}

/// Whether a parsed value is not exactly what the text says.
fn is_not_held(text: &StringArray, values: &ArrayRef) -> Result<BooleanArray, ArrowError> {
    let unparsed = is_null(values)?;
    if !values.data_type().is_floating() {
        return Ok(unparsed);
    }
    let floats = cast_with_options(values, &DataType::Float64, &CastOptions::default())?;
    let floats = floats.as_primitive::<arrow::datatypes::Float64Type>();
    let rounded = text.iter().zip(floats).map(|(text, value)| {
        Some(matches!((text, value), (Some(text), Some(value)) if !float_holds(text, value)))
    });
    or(&unparsed, &rounded.collect::<BooleanArray>())
}

/// Whether a float is the number that a text says. Up to 15 digits survive in
/// any double; more may be rounded.
fn float_holds(text: &str, value: f64) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let digits = mantissa.chars().filter(char::is_ascii_digit).skip_while(|digit| *digit == '0');
    if digits.count() <= 15 {
        return true;
    }
    match text.parse::<i128>() {
        // Exact: the float is whole and within the range of the integer.
        #[expect(clippy::cast_possible_truncation, reason = "compared with the parsed integer")]
        Ok(whole) => value as i128 == whole,
        Err(_) => format!("{value}") == text,
    }
}

/// Values whose new form is exact; null for all others.
fn exact_cast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let from = column.data_type();
    let nothing = || new_null_array(to, column.len());
    // The text of a number that was parsed from text is not that text.
    if from.is_numeric() && to == &DataType::Utf8 {
        return Ok(nothing());
    }
    let safe = CastOptions::default();
    let Ok(there) = cast_with_options(column, to, &safe) else { return Ok(nothing()) };
    // A value that does not come back the same lost something on the way.
    let Ok(back) = cast_with_options(&there, from, &safe) else { return Ok(nothing()) };
    if from.is_nested() {
        return Ok(nothing());
    }
    let same = not_distinct(column, &back)?;
    zip(&same, &there, &Scalar::new(new_null_array(to, 1)))
}

/// For each row the text that a map holds under a name.
fn text_under(map: &MapArray, name: &str) -> StringArray {
    let text = |row: usize| {
        let (_, text) = entries(map, row).into_iter().find(|(key, _)| key == name)?;
        text
    };
    (0..map.len()).map(text).collect()
}

/// The map with the texts under a name replaced; a row left without entries is null.
fn put_under(map: &MapArray, name: &str, texts: &StringArray) -> Result<ArrayRef, ArrowError> {
    let names =
        MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for row in 0..map.len() {
        let kept = entries(map, row).into_iter().filter(|(key, _)| key != name);
        let put = texts.is_valid(row).then(|| (name.to_owned(), Some(texts.value(row).to_owned())));
        let mut any = false;
        for (key, text) in kept.chain(put) {
            builder.keys().append_value(key);
            builder.values().append_option(text);
            any = true;
        }
        builder.append(any)?;
    }
    let rebuilt: ArrayRef = Arc::new(builder.finish());
    cast_with_options(&rebuilt, map.data_type(), &CastOptions::default())
}

/// The entries of one row of a map of text.
fn entries(map: &MapArray, row: usize) -> Vec<(String, Option<String>)> {
    if map.is_null(row) {
        return Vec::new();
    }
    let entries = map.value(row);
    let columns =
        (entries.column(0).as_string_opt::<i32>(), entries.column(1).as_string_opt::<i32>());
    let (Some(keys), Some(values)) = columns else { return Vec::new() };
    let pairs = keys.iter().zip(values);
    pairs.filter_map(|(key, text)| Some((key?.to_owned(), text.map(str::to_owned)))).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Float64Array, Int64Array, TimestampMicrosecondArray};

    use super::*;

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn numbers_never_become_text() {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), None]));
        let text = exact_cast(&numbers, &DataType::Utf8).expect("cast");
        assert_eq!(text.null_count(), 2);
        let rescued = StringArray::from(vec![Some("1.50"), None]);
        let converted =
            convert_column(&numbers, Some(&rescued), &DataType::Utf8).expect("converted");
        assert_eq!(converted.values.as_ref(), texts(&[Some("1.50"), None]).as_ref());
        assert_eq!(converted.left_over.null_count(), 2);
    }

    #[test]
    fn exact_values_are_carried_over() {
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]));
        let text = exact_cast(&flags, &DataType::Utf8).expect("cast");
        assert_eq!(text.as_ref(), texts(&[Some("true"), Some("false"), None]).as_ref());
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), Some(-1)]));
        let text = exact_cast(&days, &DataType::Utf8).expect("cast");
        assert_eq!(text.as_ref(), texts(&[Some("1970-01-01"), Some("1969-12-31")]).as_ref());
        let times: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("UTC"));
        let text = exact_cast(&times, &DataType::Utf8).expect("cast");
        assert_eq!(text.as_ref(), texts(&[Some("1970-01-01T00:00:01.500Z")]).as_ref());
        let halves: ArrayRef = Arc::new(Float64Array::from(vec![2.0, 2.5]));
        let whole = exact_cast(&halves, &DataType::Int64).expect("cast");
        assert_eq!(whole.as_ref(), &Int64Array::from(vec![Some(2), None]) as &dyn Array);
    }

    #[test]
    fn text_that_a_number_cannot_hold_is_left_over() {
        let column = texts(&[Some("12.5"), Some("1;2"), Some("9007199254740993"), None]);
        let converted = convert_column(&column, None, &DataType::Float64).expect("converted");
        let values = converted.values.as_primitive::<arrow::datatypes::Float64Type>();
        assert_eq!((values.value(0), values.is_null(1), values.is_null(3)), (12.5, true, true));
        let left: Vec<_> = converted.left_over.iter().collect();
        assert_eq!(left, [None, Some("1;2"), Some("9007199254740993"), None]);
    }

    #[test]
    fn floats_hold_what_they_can_say() {
        assert!(float_holds("9007199254740992", 9_007_199_254_740_992.0));
        assert!(!float_holds("9007199254740993", 9_007_199_254_740_992.0));
        assert!(float_holds("0.1", 0.1));
        assert!(float_holds("0000000000000000000.5", 0.5));
        assert!(!float_holds("0.10000000000000000001", 0.1));
    }

    #[test]
    fn rescued_texts_are_replaced_under_their_name() {
        let mut builder = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for (key, value) in [("amount", "1;2"), ("score", "x")] {
            builder.keys().append_value(key);
            builder.values().append_value(value);
        }
        builder.append(true).expect("a row");
        builder.append(false).expect("a row");
        let map = builder.finish();
        assert_eq!(text_under(&map, "amount"), StringArray::from(vec![Some("1;2"), None]));
        let put = StringArray::from(vec![None, Some("3;4")]);
        let map = put_under(&map, "amount", &put).expect("rebuilt");
        let map = map.as_map();
        assert_eq!(entries(map, 0), [("score".to_owned(), Some("x".to_owned()))]);
        assert_eq!(entries(map, 1), [("amount".to_owned(), Some("3;4".to_owned()))]);
    }
}
