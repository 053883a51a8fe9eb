//! Decimal numbers as text: HubSpot keeps numbers as text and refuses an
//! exponent, and a 64-bit float cannot hold every number it shows.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::objects::values::{Parsed, parse_number};

/// Most digits an exponent may expand to: beyond the range of a 64-bit float
/// nothing is a number a person meant.
const MAX_EXPONENT: i32 = 330;

/// Most digits that every 64-bit float keeps.
const SURE_DIGITS: usize = 15;

/// The one spelling of a number: no exponent, no sign on zero, no zeros that
/// carry nothing, and where a 64-bit float stands for exactly this number, the
/// shortest digits that name the float: that is how a mirror's column reads
/// back. `None` when the text is no finite decimal number.
pub(crate) fn canonical(text: &str) -> Option<Cow<'_, str>> {
    let parts = Parts::read(text)?;
    let spelled = match parse_number(text) {
        Parsed::Exact(number) if text.len() > SURE_DIGITS => {
            Parts::read(&number.to_string())?.spell()
        }
        _ => parts.spell(),
    };
    Some(if spelled == text { Cow::Borrowed(text) } else { Cow::Owned(spelled) })
}

/// Which of two canonical numbers is larger.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    match (left.strip_prefix('-'), right.strip_prefix('-')) {
        (None, None) => compare_size(left, right),
        (Some(left), Some(right)) => compare_size(right, left),
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
    }
}

fn compare_size(left: &str, right: &str) -> Ordering {
    let (left_whole, left_fraction) = left.split_once('.').unwrap_or((left, ""));
    let (right_whole, right_fraction) = right.split_once('.').unwrap_or((right, ""));
    (left_whole.len().cmp(&right_whole.len()))
        .then_with(|| left_whole.cmp(right_whole))
        .then_with(|| left_fraction.cmp(right_fraction))
}

struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i32,
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (digits, exponent) = match rest.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
        let has_digits = !whole.is_empty() || !fraction.is_empty();
        (all_digits && has_digits && exponent.abs() <= MAX_EXPONENT).then_some(Self {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    fn spell(&self) -> String {
        let (whole, fraction) = self.shifted();
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let sign =
            if self.negative && !(whole.is_empty() && fraction.is_empty()) { "-" } else { "" };
        let whole = if whole.is_empty() { "0" } else { whole };
        let point = if fraction.is_empty() { "" } else { "." };
        [sign, whole, point, fraction].concat()
    }

    /// The digits before and after the point once the exponent is applied.
    fn shifted(&self) -> (Cow<'a, str>, Cow<'a, str>) {
        if self.exponent == 0 {
            return (self.whole.into(), self.fraction.into());
        }
        let digits = [self.whole, self.fraction].concat();
        let point = self.whole.len() as i32 + self.exponent;
        let before = point.max(0) as usize;
        if point <= 0 {
            let zeros = "0".repeat(point.unsigned_abs() as usize);
            return ("".into(), (zeros + &digits).into());
        }
        if before >= digits.len() {
            let zeros = "0".repeat(before - digits.len());
            return ((digits + &zeros).into(), "".into());
        }
        (digits[..before].to_owned().into(), digits[before..].to_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_number_is_one_text() {
        for (text, expected) in [
            ("1", "1"),
            ("1.0", "1"),
            ("+1.50", "1.5"),
            ("007", "7"),
            ("-0", "0"),
            ("-0.00", "0"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1000"),
            ("1.25E2", "125"),
            ("1.4210854715202004e-14", "0.000000000000014210854715202004"),
            ("-12.5e-1", "-1.25"),
            ("9007199254740993", "9007199254740993"),
            ("1000.00", "1000"),
            ("0.90000000000000002220446049250313080847263336181640625", "0.9"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", "-", ".", "NaN", "inf", "1;2", "1,000", " 1", "1 ", "0x10", "1e", "1e999", "--1",
            "1.2.3",
        ] {
            assert_eq!(canonical(text), None, "{text} was taken");
        }
    }

    #[test]
    fn a_canonical_text_is_not_copied() {
        assert!(matches!(canonical("12.5"), Some(Cow::Borrowed("12.5"))));
    }

    proptest! {
        #[test]
        fn spelling_again_changes_nothing_and_keeps_the_value(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
            let text = format!("{number:e}");
            let once = canonical(&text).expect("a finite number").into_owned();
            let again = canonical(&once);
            prop_assert_eq!(again.as_deref(), Some(once.as_str()));
            let back: f64 = once.parse().expect("a decimal number");
            prop_assert_eq!(back, number);
        }

        #[test]
        fn order_is_that_of_the_numbers(left in -1e9..1e9f64, right in -1e9..1e9f64) {
            let (l, r) = (format!("{left}"), format!("{right}"));
            let (l, r) = (canonical(&l).expect("finite"), canonical(&r).expect("finite"));
            prop_assert_eq!(Some(compare(&l, &r)), (left + 0.0).partial_cmp(&(right + 0.0)));
        }
    }
}
