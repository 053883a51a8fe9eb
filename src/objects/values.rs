//! Property values: the text HubSpot sends, and the typed value it stands for.
//!
//! Every property value travels as text or null. What a typed column cannot
//! hold exactly is reported as such, so that the caller keeps the text too.

use std::str::FromStr;

/// Seconds in a day.
const DAY_SECS: i64 = 86_400;

/// What became of a text read as a typed value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parsed<T> {
    /// The typed value stands for exactly what the text says.
    Exact(T),
    /// The nearest typed value; the text says more than it can hold.
    Rounded(T),
    /// The text is no value of the type.
    Unfit,
}

impl<T> Parsed<T> {
    /// The typed value, exact or not.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Exact(value) | Self::Rounded(value) => Some(value),
            Self::Unfit => None,
        }
    }

    /// Whether the text must be kept because the typed value loses something.
    pub fn loses(&self) -> bool {
        !matches!(self, Self::Exact(_))
    }
}

/// Reads a decimal number.
///
/// Exact means that the text can be had back from the `f64`, give or take
/// leading and trailing zeros: `1000.00` is exact, `9007199254740993` is not.
/// `NaN`, infinities, hexadecimal and blanks are unfit.
pub fn parse_number(text: &str) -> Parsed<f64> {
    if !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E')) {
        return Parsed::Unfit;
    }
    let Ok(value) = f64::from_str(text) else { return Parsed::Unfit };
    if !value.is_finite() {
        return Parsed::Unfit;
    }
    // Fifteen significant digits always survive the trip through an f64.
    let is_plain = !text.bytes().any(|b| matches!(b, b'e' | b'E'));
    if (is_plain && text.len() <= 15) || same_decimal(text, value) {
        Parsed::Exact(value)
    } else {
        Parsed::Rounded(value)
    }
}

/// Whether `value`, written out with as many decimals as `text` has, is `text`.
fn same_decimal(text: &str, value: f64) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(i32::MAX)),
        None => (text, 0),
    };
    let decimals = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if exponent == 0 {
        return canonical_decimal(&format!("{value:.decimals$}")) == canonical_decimal(text);
    }
    // A text with an exponent has few digits: compare in the same notation.
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count().saturating_sub(1);
    let shown = format!("{value:.digits$e}");
    let (shown_mantissa, shown_exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
    let lead = mantissa.trim_start_matches(['-', '+']).split('.').next().map_or(0, str::len) as i32;
    shown_exponent.parse() == Ok(exponent.saturating_add(lead - 1))
        && canonical_digits(shown_mantissa) == canonical_digits(mantissa)
}

fn canonical_digits(mantissa: &str) -> String {
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_end_matches('0').to_owned()
}

/// A plain decimal without leading zeros, trailing decimal zeros or `+`.
fn canonical_decimal(text: &str) -> (bool, &str, &str) {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    (negative && !(whole.is_empty() && fraction.is_empty()), whole, fraction)
}

/// Reads `true` or `false`, in any case.
pub fn parse_bool(text: &str) -> Parsed<bool> {
    match text {
        "true" => Parsed::Exact(true),
        "false" => Parsed::Exact(false),
        _ if text.eq_ignore_ascii_case("true") => Parsed::Exact(true),
        _ if text.eq_ignore_ascii_case("false") => Parsed::Exact(false),
        _ => Parsed::Unfit,
    }
}

/// Reads a calendar day, `YYYY-MM-DD` or midnight UTC in epoch milliseconds,
/// as days since 1970-01-01. A time of day makes it unfit.
pub fn parse_date(text: &str) -> Parsed<i32> {
    if let Some(days) = iso_days(text.as_bytes()) {
        return Parsed::Exact(days);
    }
    let Parsed::Exact(micros) = parse_datetime(text) else { return Parsed::Unfit };
    let day_micros = DAY_SECS * 1_000_000;
    match i32::try_from(micros / day_micros) {
        Ok(days) if micros % day_micros == 0 => Parsed::Exact(days),
        _ => Parsed::Unfit,
    }
}

/// Reads a point in time, ISO 8601 or epoch milliseconds, as microseconds
/// since 1970-01-01 UTC. Fractions finer than a microsecond are rounded away.
pub fn parse_datetime(text: &str) -> Parsed<i64> {
    let bytes = text.as_bytes();
    if let Some(micros) = iso_utc_micros(bytes) {
        return Parsed::Exact(micros);
    }
    if !bytes.is_empty()
        && bytes.iter().enumerate().all(|(i, b)| b.is_ascii_digit() || (i == 0 && *b == b'-'))
    {
        return match text.parse::<i64>().ok().and_then(|millis| millis.checked_mul(1000)) {
            Some(micros) => Parsed::Exact(micros),
            None => Parsed::Unfit,
        };
    }
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) if time.timestamp_subsec_nanos() % 1000 == 0 => {
            Parsed::Exact(time.timestamp_micros())
        }
        Ok(time) => Parsed::Rounded(time.timestamp_micros()),
        Err(_) => Parsed::Unfit,
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.f{1,6}]Z`, the form nearly every timestamp has.
fn iso_utc_micros(bytes: &[u8]) -> Option<i64> {
    let (date, rest) = bytes.split_at_checked(10)?;
    let days = i64::from(iso_days(date)?);
    let (clock, rest) = rest.split_at_checked(9)?;
    if clock[0] != b'T' || clock[3] != b':' || clock[6] != b':' {
        return None;
    }
    let (hour, minute, second) =
        (digits(&clock[1..3])?, digits(&clock[4..6])?, digits(&clock[7..9])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match rest {
        b"Z" => 0,
        [b'.', fraction @ .., b'Z'] if (1..=6).contains(&fraction.len()) => {
            digits(fraction)? * 10_i64.pow(6 - fraction.len() as u32)
        }
        _ => return None,
    };
    Some((days * DAY_SECS + hour * 3600 + minute * 60 + second) * 1_000_000 + fraction)
}

fn iso_days(bytes: &[u8]) -> Option<i32> {
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..])?);
    let date = chrono::NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
    Some(date.to_epoch_days())
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes
        .iter()
        .try_fold(0_i64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_an_f64_holds_are_exact() {
        for text in [
            "0",
            "-0",
            "1000.00",
            "1000.0",
            "0.9",
            "-12.50",
            "9007199254740992",
            "1e5",
            "1.5E-7",
            "007",
        ] {
            assert!(!parse_number(text).loses(), "{text} was thought lossy");
        }
        let probability = "0.90000000000000002220446049250313080847263336181640625";
        assert_eq!(parse_number(probability), Parsed::Exact(0.9));
    }

    #[test]
    fn numbers_beyond_an_f64_are_rounded() {
        for text in [
            "9007199254740993",
            "123456789012345678",
            "0.123456789012345678",
            "1.00000000000000000001",
        ] {
            assert!(matches!(parse_number(text), Parsed::Rounded(_)), "{text} was thought exact");
        }
    }

    #[test]
    fn texts_that_are_no_number_are_unfit() {
        for text in ["", " ", "1;2", "NaN", "inf", "0x10", "1 000", "1,5", "--1", "e", "1e999"] {
            assert_eq!(parse_number(text), Parsed::Unfit, "{text} was taken");
        }
    }

    #[test]
    fn dates_are_days_and_nothing_finer() {
        assert_eq!(parse_date("1970-01-02"), Parsed::Exact(1));
        assert_eq!(parse_date("1430438400000"), parse_date("2015-05-01"));
        for text in ["2015-02-30", "1430438400001", "2015-05-01T10:00:00Z", "May 1"] {
            assert_eq!(parse_date(text), Parsed::Unfit, "{text} was taken");
        }
    }

    #[test]
    fn times_come_in_three_spellings() {
        let expected = Parsed::Exact(1_723_741_753_648_000);
        for text in ["2024-08-15T17:09:13.648Z", "2024-08-15T19:09:13.648+02:00", "1723741753648"] {
            assert_eq!(parse_datetime(text), expected, "{text}");
        }
        assert_eq!(parse_datetime("2022-05-03T09:00:00Z"), Parsed::Exact(1_651_568_400_000_000));
        assert_eq!(parse_datetime("1969-12-31T23:59:59.999Z"), Parsed::Exact(-1000));
        assert!(matches!(parse_datetime("2024-08-15T17:09:13.1234567Z"), Parsed::Rounded(_)));
        for text in ["2024-13-01T00:00:00Z", "2024-08-15", "soon", "", "-"] {
            assert_eq!(parse_datetime(text), Parsed::Unfit, "{text} was taken");
        }
    }
}
