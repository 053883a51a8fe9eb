//! `hs_timestamp`: HubSpot's ways of writing a time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::text::{each, over_first};

/// Texts without an offset are UTC, as HubSpot's are.
const WITHOUT_OFFSET: [&str; 3] =
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"];

/// A time from ISO text, from epoch milliseconds as text or number, or from a
/// date (its midnight, UTC); null for anything else.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct HsTimestamp {
    signature: Signature,
}

impl HsTimestamp {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl ScalarUDFImpl for HsTimestamp {
    fn name(&self) -> &str {
        "hs_timestamp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [given] = types else {
            return plan_err!("hs_timestamp takes one value, a text, number, date or timestamp");
        };
        Ok(vec![match given {
            DataType::Null => DataType::Utf8,
            text if text.is_string() => text.clone(),
            number if number.is_integer() => DataType::Int64,
            number if number.is_numeric() => DataType::Float64,
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => utc(),
            DataType::Dictionary(_, values) => return self.coerce_types(&[(**values).clone()]),
            other => {
                return plan_err!(
                    "hs_timestamp takes a text, number, date or timestamp, not {other}"
                );
            }
        }])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(utc())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        over_first(&args, timestamps)
    }
}

fn timestamps(array: &ArrayRef) -> Result<ArrayRef> {
    let mut times = TimestampMicrosecondBuilder::with_capacity(array.len());
    match array.data_type() {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            return Ok(cast(array, &utc())?);
        }
        DataType::Int64 => {
            for millis in array.as_primitive::<Int64Type>() {
                times.append_option(millis.and_then(from_millis));
            }
        }
        DataType::Float64 => {
            for millis in array.as_primitive::<Float64Type>() {
                times.append_option(millis.and_then(whole).and_then(from_millis));
            }
        }
        _ => each(array, |text| times.append_option(text.and_then(from_text)))?,
    }
    Ok(Arc::new(times.finish().with_timezone("UTC")))
}

/// Microseconds, where a calendar has a day for them.
fn from_millis(millis: i64) -> Option<i64> {
    DateTime::from_timestamp_millis(millis).map(|time| time.timestamp_micros())
}

/// A number as a whole one, if it is one and every whole number near it is.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}

fn from_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().and_then(from_millis);
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros());
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
    {
        return Some(time.timestamp_micros());
    }
    let text = text.trim_end_matches('Z');
    let time =
        WITHOUT_OFFSET.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    time.map(|time| time.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_time_is_the_same_time() {
        let noon = 1_773_144_000_000_000;
        for text in [
            "2026-03-10T12:00:00Z",
            "2026-03-10T12:00:00.000Z",
            "2026-03-10T13:00:00+01:00",
            "2026-03-10T12:00:00.000+0000",
            "2026-03-10T12:00:00",
            "2026-03-10 12:00:00",
            "2026-03-10T12:00Z",
            " 1773144000000 ",
        ] {
            assert_eq!(from_text(text), Some(noon), "{text}");
        }
        assert_eq!(from_text("2026-03-10"), Some(noon - 12 * 3_600_000_000));
        assert_eq!(from_text("2026-03-10T12:00:00.123456Z"), Some(noon + 123_456));
        assert_eq!(from_text("-1"), Some(-1_000));
        for text in ["", "-", "soon", "2026-13-01", "2026-03-10T25:00:00Z", "99999999999999999999"]
        {
            assert_eq!(from_text(text), None, "{text}");
        }
        assert_eq!(from_millis(i64::MAX), None);
        assert_eq!((whole(0.5), whole(f64::NAN), whole(1e300)), (None, None, None));
    }
}
