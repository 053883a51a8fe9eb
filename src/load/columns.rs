//! Arrow columns to texts: a model's column to wire form, a mirror's column to
//! what HubSpot holds.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, StringArray, StringBuilder, TimestampMillisecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit};
use arrow::error::ArrowError;
use chrono::{DateTime, SecondsFormat};

use super::form::{Form, Refusal, Typed, no_finite_number};

/// A column of wanted values in wire form: null where nothing is wanted or a
/// value is refused, empty where the property is to be emptied.
pub(crate) struct WireColumn {
    pub(crate) values: StringArray,
    /// The refused rows, in order.
    pub(crate) refused: Vec<(usize, Refusal)>,
}

/// The wire form of a model's column. Empty text is no value, like null, and
/// `clear` says whether no value asks for an empty property (empty text) or for
/// nothing (null).
///
/// # Errors
/// A column type that has no text, such as a struct.
pub(crate) fn wire_column(
    column: &ArrayRef,
    form: &Form,
    clear: bool,
) -> Result<WireColumn, ArrowError> {
    let texts = texts(column)?;
    if !clear && is_wire_form(column, form) {
        return Ok(WireColumn { values: texts, refused: Vec::new() });
    }
    let is_float = column.data_type().is_floating();
    // A text may be "NaN" to a person; a number that is none is a mistake of the model.
    let wire = |text| match is_float && matches!(text, "NaN" | "inf" | "-inf") {
        true => Err(no_finite_number()),
        false => form.wire(text),
    };
    let mut refused = Vec::new();
    let mut values = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    for (row, text) in texts.iter().enumerate() {
        match text.filter(|text| !text.is_empty()).map(wire) {
            None if clear => values.append_value(""),
            None => values.append_null(),
            Some(Ok(value)) => values.append_value(value),
            Some(Err(refusal)) => {
                values.append_null();
                refused.push((row, refusal));
            }
        }
    }
    Ok(WireColumn { values: values.finish(), refused })
}

/// What HubSpot holds according to a mirror's column, in the form values are
/// compared in; null for no value.
///
/// # Errors
/// A column type that has no text.
pub(crate) fn held_column(column: &ArrayRef, form: &Form) -> Result<StringArray, ArrowError> {
    let texts = texts(column)?;
    if form.takes_any_text() || is_wire_form(column, form) {
        return Ok(texts);
    }
    Ok(texts.iter().map(|text| text.map(|text| form.held(text))).collect())
}

/// Whether the texts of a typed column are the wire form as they are, so that
/// most numbers and dates need no second look.
fn is_wire_form(column: &ArrayRef, form: &Form) -> bool {
    match column.data_type() {
        DataType::Float64 => {
            let is_plain =
                |value: f64| value.is_finite() && !(value == 0.0 && value.is_sign_negative());
            form.takes(Typed::Number)
                && column.as_primitive::<Float64Type>().iter().flatten().all(is_plain)
        }
        data_type if data_type.is_integer() => form.takes(Typed::Number),
        DataType::Boolean => form.takes(Typed::Bool),
        _ => false,
    }
}

/// A column as text: numbers without exponent, days as `YYYY-MM-DD`, points in
/// time as ISO 8601 with milliseconds (finer parts are cut, as HubSpot has
/// none), lists joined by `;`.
///
/// # Errors
/// A column type that has no text, such as a struct.
pub(crate) fn texts(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let texts: ArrayRef = match column.data_type() {
        DataType::Utf8 => column.clone(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Arc::new(float_texts(column)?),
        DataType::Timestamp(_, _) => Arc::new(instant_texts(column)?),
        DataType::List(_) => Arc::new(list_texts(column.as_list())?),
        DataType::Dictionary(_, values) => return texts(&cast(column, values)?),
        _ => cast(column, &DataType::Utf8)?,
    };
    Ok(texts.as_string::<i32>().clone())
}

/// Rust prints the shortest decimal that reads back as the same float, and
/// never an exponent. A narrower float is printed from its own width:
/// widening first would turn 0.1 into 0.10000000149011612.
fn float_texts(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    if column.data_type() != &DataType::Float64 {
        let narrow = cast(column, &DataType::Float32)?;
        let narrow = narrow.as_primitive::<arrow::datatypes::Float32Type>().clone();
        return Ok(narrow.iter().map(|value| value.map(|value| value.to_string())).collect());
    }
    let floats = column.as_primitive::<Float64Type>();
    let mut texts = StringBuilder::with_capacity(floats.len(), floats.len() * 8);
    for value in floats {
        match value {
            None => texts.append_null(),
            Some(value) => {
                use std::fmt::Write;
                write!(texts, "{value}")
                    .map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
                texts.append_value("");
            }
        }
    }
    Ok(texts.finish())
}

fn instant_texts(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let millis = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())))?;
    let millis: &TimestampMillisecondArray = millis.as_primitive();
    Ok(millis.iter().map(|value| value.map(instant_text)).collect())
}

fn instant_text(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis).map_or_else(
        // Beyond chrono's calendar: the number itself, which no date form takes.
        || format!("{millis} ms"),
        |instant| instant.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

fn list_texts(lists: &ListArray) -> Result<StringArray, ArrowError> {
    let items = texts(lists.values())?;
    let bounds = lists.value_offsets();
    Ok((0..lists.len())
        .map(|row| {
            let range = bounds[row] as usize..bounds[row + 1] as usize;
            let joined = || {
                range
                    .filter(|at| items.is_valid(*at))
                    .map(|at| items.value(at))
                    .collect::<Vec<_>>()
                    .join(";")
            };
            lists.is_valid(row).then(joined)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int64Array,
        TimestampMicrosecondArray,
    };

    use super::*;

    fn shown(column: impl Array + 'static) -> Vec<Option<String>> {
        let column: ArrayRef = Arc::new(column);
        texts(&column)
            .expect("a column with text")
            .iter()
            .map(|text| text.map(str::to_owned))
            .collect()
    }

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn every_column_type_has_one_text() {
        assert_eq!(
            shown(Int64Array::from(vec![1, -9007199254740993])),
            some(&["1", "-9007199254740993"])
        );
        assert_eq!(
            shown(Float64Array::from(vec![1.0, 0.1, 1e21, 1e-7, f64::NAN])),
            some(&["1", "0.1", "1000000000000000000000", "0.0000001", "NaN"])
        );
        assert_eq!(shown(Float32Array::from(vec![0.1])), some(&["0.1"]));
        assert_eq!(shown(BooleanArray::from(vec![true, false])), some(&["true", "false"]));
        assert_eq!(shown(Date32Array::from(vec![0])), some(&["1970-01-01"]));
        assert_eq!(
            shown(TimestampMicrosecondArray::from(vec![1_500_999]).with_timezone("+02:00")),
            some(&["1970-01-01T00:00:01.500Z"])
        );
        let decimals =
            Decimal128Array::from(vec![12345]).with_precision_and_scale(10, 2).expect("it fits");
        assert_eq!(shown(decimals), some(&["123.45"]));
    }

    #[test]
    fn lists_become_multi_selects() {
        let lists = ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([
            Some(vec![Some(2), None, Some(1)]),
            None,
        ]);
        assert_eq!(shown(lists), [Some("2;1".to_owned()), None]);
    }

    #[test]
    fn a_float_that_is_no_number_is_refused_by_every_property() {
        let floats: ArrayRef =
            Arc::new(Float64Array::from(vec![1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]));
        for form in [Form::text(), Form::number()] {
            let sent = wire_column(&floats, &form, false).expect("a column with text");
            let codes: Vec<_> = sent.refused.iter().map(|(row, r)| (*row, r.code)).collect();
            let code = "NOT_A_FINITE_NUMBER";
            assert_eq!(codes, [(1, code), (2, code), (3, code)]);
            assert_eq!(sent.values.iter().flatten().collect::<Vec<_>>(), ["1"]);
        }
        // A text that says so is a text.
        let text: ArrayRef = Arc::new(StringArray::from(vec!["NaN"]));
        let sent = wire_column(&text, &Form::text(), false).expect("a column with text");
        assert!(sent.refused.is_empty());
    }

    #[test]
    fn a_typed_column_reads_as_its_texts_do() {
        let numbers: Vec<f64> = vec![1.0, -2.5, 1e-7, 1e21, 0.1 + 0.2, 9_007_199_254_740_993.0];
        let typed: ArrayRef = Arc::new(Float64Array::from(numbers.clone()));
        let spelled: ArrayRef = Arc::new(
            numbers.iter().map(|number| Some(format!("{number:e}"))).collect::<StringArray>(),
        );
        let wire =
            |column: &ArrayRef| wire_column(column, &Form::number(), false).expect("texts").values;
        assert_eq!(wire(&typed), wire(&spelled));
        let odd: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, f64::NAN]));
        let column = wire_column(&odd, &Form::number(), false).expect("texts");
        assert_eq!((column.values.value(0), column.refused.len()), ("0", 1));
    }

    #[test]
    fn nulls_stay_nulls() {
        assert_eq!(
            shown(Float64Array::from(vec![None, Some(2.5)])),
            [None, Some("2.5".to_owned())]
        );
    }
}
