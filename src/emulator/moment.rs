//! Times as the wire writes them: milliseconds since 1970 in, ISO 8601 out.
//!
//! A list page holds several hundred times, so they are written by hand:
//! chrono's formatter would cost more than the rest of the record.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

/// Milliseconds in a day.
pub(crate) const DAY: i64 = 86_400_000;

/// Appends `2024-08-15T17:09:13.648Z`: always three digits of a second.
pub(crate) fn push_exact(out: &mut String, millis: i64) {
    let Some(mut text) = stamp(millis) else { return push_far(out, millis, true) };
    let fraction = millis.rem_euclid(1000) as u64;
    text[19] = b'.';
    put(&mut text[20..23], fraction);
    text[23] = b'Z';
    push_ascii(out, &text);
}

/// Appends a property value: as [`push_exact`], but a zero fraction is left
/// out, as recorded answers do (`2022-05-03T09:00:00Z`).
pub(crate) fn push_trimmed(out: &mut String, millis: i64) {
    if millis.rem_euclid(1000) != 0 {
        return push_exact(out, millis);
    }
    let Some(mut text) = stamp(millis) else { return push_far(out, millis, false) };
    text[19] = b'Z';
    push_ascii(out, &text[..20]);
}

/// Appends the calendar day, `2024-08-15`.
pub(crate) fn push_day(out: &mut String, millis: i64) {
    if let Some(text) = stamp(millis) {
        return push_ascii(out, &text[..10]);
    }
    let (year, month, day) = civil(millis.div_euclid(DAY));
    push_padded(out, year.max(0) as u64, 4);
    out.push('-');
    push_padded(out, month, 2);
    out.push('-');
    push_padded(out, day, 2);
}

/// The text of [`push_exact`].
pub(crate) fn exact(millis: i64) -> String {
    let mut out = String::with_capacity(24);
    push_exact(&mut out, millis);
    out
}

/// The text of [`push_trimmed`].
pub(crate) fn trimmed(millis: i64) -> String {
    let mut out = String::with_capacity(24);
    push_trimmed(&mut out, millis);
    out
}

/// Reads ISO 8601 (with or without time and zone) or epoch milliseconds.
pub(crate) fn parse(text: &str) -> Option<i64> {
    if let Ok(millis) = text.parse::<i64>() {
        return Some(millis);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    if let Ok(time) = text.parse::<NaiveDateTime>() {
        return Some(time.and_utc().timestamp_millis());
    }
    parse_day(text)
}

/// Reads `2015-05-01` as that day's midnight, UTC.
pub(crate) fn parse_day(text: &str) -> Option<i64> {
    let day: NaiveDate = text.parse().ok()?;
    Some(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
}

/// `2024-08-15T17:09:13` and five bytes of room; none beyond four digits of a
/// year.
fn stamp(millis: i64) -> Option<[u8; 24]> {
    let mut text = *b"0000-00-00T00:00:00     ";
    let (year, month, day) = civil(millis.div_euclid(DAY));
    put(&mut text[..4], u64::try_from(year).ok().filter(|year| *year < 10_000)?);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    let second = millis.rem_euclid(DAY) as u64 / 1000;
    put(&mut text[11..13], second / 3600);
    put(&mut text[14..16], second / 60 % 60);
    put(&mut text[17..19], second % 60);
    Some(text)
}

/// Writes a number into digits that it fits.
fn put(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// A time whose year has not four digits.
fn push_far(out: &mut String, millis: i64, exact: bool) {
    push_day(out, millis);
    let second = millis.rem_euclid(DAY) as u64 / 1000;
    out.push('T');
    push_padded(out, second / 3600, 2);
    out.push(':');
    push_padded(out, second / 60 % 60, 2);
    out.push(':');
    push_padded(out, second % 60, 2);
    if exact {
        out.push('.');
        push_padded(out, millis.rem_euclid(1000) as u64, 3);
    }
    out.push('Z');
}

fn push_padded(out: &mut String, number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut rest = number;
    let mut start = digits.len();
    while rest > 0 || digits.len() - start < width {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    push_ascii(out, &digits[start..]);
}

/// Appends at once what is known to be text.
fn push_ascii(out: &mut String, bytes: &[u8]) {
    out.push_str(std::str::from_utf8(bytes).unwrap_or_default());
}

/// Appends a decimal number.
pub(crate) fn push_number(out: &mut String, number: u64) {
    push_padded(out, number, 1);
}

/// Year, month and day of a day counted from 1970-01-01, by Howard Hinnant's
/// `civil_from_days`.
fn civil(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u64, day as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_recorded() {
        assert_eq!(exact(1_723_741_753_648), "2024-08-15T17:09:13.648Z");
        assert_eq!(trimmed(1_651_568_400_000), "2022-05-03T09:00:00Z");
        assert_eq!(trimmed(1_651_568_400_007), "2022-05-03T09:00:00.007Z");
        assert_eq!(exact(0), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn days_agree_with_chrono() {
        for days in (-30_000..60_000).step_by(13) {
            let mut text = String::new();
            push_day(&mut text, days * DAY);
            assert_eq!(parse_day(&text), Some(days * DAY), "{text}");
        }
    }

    #[test]
    fn both_wire_forms_are_read() {
        assert_eq!(parse("1651568400000"), Some(1_651_568_400_000));
        assert_eq!(parse("2022-05-03T09:00:00Z"), Some(1_651_568_400_000));
        assert_eq!(parse("2022-05-03T11:00:00+02:00"), Some(1_651_568_400_000));
        assert_eq!(parse("2022-05-03"), Some(1_651_536_000_000));
        assert_eq!(parse("soon"), None);
    }
}
