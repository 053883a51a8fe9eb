//! Which property values are taken, and in which form they are kept.
//!
//! Rules of sections 7, 9 and 16 of the API reference.

use serde_json::{Value, json};

use super::computed::Era;
use super::errors::Refusal;
use super::moment;
use super::schema::Property;
use super::seed::plan::Kind;

/// Longest text a property holds, in characters.
const LONGEST: usize = 65_536;

/// Why one value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) name: String,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(name: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), code, message: message.into() }
    }

    /// A value that is none of the options.
    pub(crate) fn bad_option(name: &str, text: &str, options: &[&str]) -> Self {
        let options = options.join(", ");
        let message = format!("{text} was not one of the allowed options: [{options}]");
        Self::new(name, "INVALID_OPTION", message)
    }

    /// A name that is no property.
    pub(crate) fn unknown(name: &str) -> Self {
        Self::new(name, "PROPERTY_DOESNT_EXIST", format!("Property \"{name}\" does not exist"))
    }
}

/// 400 for values, all offenders in one answer.
pub(crate) fn refusal(problems: &[Problem], portal_id: u64, era: Era) -> Refusal {
    let inner: Vec<Value> = problems.iter().map(|problem| inner_json(problem, portal_id)).collect();
    let mut refusal =
        Refusal::new(400, format!("Property values were not valid: {}", json!(inner)));
    if era.lists_errors() {
        let details: Vec<Value> = problems.iter().map(detail_json).collect();
        refusal = refusal.field("errors", json!(details));
    }
    refusal.category("VALIDATION_ERROR")
}

fn inner_json(problem: &Problem, portal_id: u64) -> Value {
    json!({
        "isValid": false,
        "message": problem.message,
        "error": problem.code,
        "name": problem.name,
        "localizedErrorMessage": problem.message,
        "portalId": portal_id,
    })
}

fn detail_json(problem: &Problem) -> Value {
    json!({
        "message": problem.message,
        "code": problem.code,
        "context": {"propertyName": [problem.name]},
    })
}

/// The form in which a property keeps a value, or why it does not take it.
/// The empty text, which clears, is always taken.
pub(crate) fn accept(property: &Property, text: &str) -> Result<String, Problem> {
    if property.read_only {
        let message =
            format!("\"{}\" is a read only property; its value cannot be set.", property.name);
        return Err(Problem::new(&property.name, "READ_ONLY_VALUE", message));
    }
    if text.is_empty() {
        return Ok(String::new());
    }
    let refuse = |code, message: String| Err(Problem::new(&property.name, code, message));
    if property.kind == Kind::Text {
        return accept_text(property, text);
    }
    if has_margin(text) {
        let message = format!("\"{text}\" includes leading or trailing whitespace.");
        return refuse("LEADING_TRAILING_WHITESPACE", message);
    }
    match property.kind {
        Kind::Text => Ok(text.to_owned()),
        Kind::Number if is_plain_decimal(text) => Ok(text.to_owned()),
        Kind::Number => refuse("INVALID_INTEGER", format!("{text} was not a valid number.")),
        Kind::Flag => accept_flag(property, text),
        Kind::Choice => accept_choice(property, text),
        Kind::Day => accept_day(property, text),
        Kind::Moment => match moment::parse(text) {
            Some(millis) => Ok(moment::trimmed(millis)),
            None => refuse("INVALID_LONG", format!("{text} was not a valid long.")),
        },
    }
}

fn accept_text(property: &Property, text: &str) -> Result<String, Problem> {
    let refuse = |code, message: String| Err(Problem::new(&property.name, code, message));
    if text.chars().count() > LONGEST {
        let message = format!("Property values can be at most {LONGEST} characters long.");
        return refuse("PROPERTY_VALUE_TOO_LONG", message);
    }
    match property.name.as_str() {
        "email" if !is_email(text) => {
            refuse("INVALID_EMAIL", format!("Email address {text} is invalid"))
        }
        "email" | "hs_additional_emails" | "domain" => Ok(text.to_lowercase()),
        _ => Ok(text.to_owned()),
    }
}

fn accept_flag(property: &Property, text: &str) -> Result<String, Problem> {
    match text.to_ascii_lowercase().as_str() {
        flag @ ("true" | "false") => Ok(flag.to_owned()),
        _ => Err(bad_option(property, text, &["true", "false"])),
    }
}

fn accept_choice(property: &Property, text: &str) -> Result<String, Problem> {
    if property.owner {
        let is_id = text.bytes().all(|byte| byte.is_ascii_digit());
        return if is_id { Ok(text.to_owned()) } else { Err(bad_option(property, text, &[])) };
    }
    let known = |value: &str| property.options.iter().any(|option| option.value == value);
    let values = text.strip_prefix(';').filter(|_| property.holds_many()).unwrap_or(text);
    let allowed = match property.holds_many() {
        true => values.split(';').all(known),
        false => known(values),
    };
    if allowed {
        return Ok(text.to_owned());
    }
    let options: Vec<&str> = property.options.iter().map(|option| option.value.as_str()).collect();
    Err(bad_option(property, text, &options))
}

fn bad_option(property: &Property, text: &str, options: &[&str]) -> Problem {
    Problem::bad_option(&property.name, text, options)
}

fn accept_day(property: &Property, text: &str) -> Result<String, Problem> {
    if let Some(millis) = moment::parse_day(text) {
        return Ok(day(millis));
    }
    let Some(millis) = moment::parse(text) else {
        let message = format!("{text} was not a valid long.");
        return Err(Problem::new(&property.name, "INVALID_LONG", message));
    };
    if millis.rem_euclid(moment::DAY) == 0 {
        return Ok(day(millis));
    }
    let second = millis.rem_euclid(moment::DAY) / 1_000;
    let (hours, minutes) = (second / 3_600, second / 60 % 60);
    let seconds = (millis.rem_euclid(60_000)) as f64 / 1_000.0;
    let message = format!("{millis} is at {hours}:{minutes}:{seconds:?} UTC, not midnight!");
    Err(Problem::new(&property.name, "INVALID_DATE", message))
}

/// Midnight of the day that a refused time falls on, for properties that hold
/// days: 2026-09 takes it.
pub(crate) fn midnight(property: &Property, text: &str) -> Option<i64> {
    let wanted = property.kind == Kind::Day && !property.read_only && !has_margin(text);
    let millis = moment::parse(text).filter(|_| wanted)?;
    Some(millis - millis.rem_euclid(moment::DAY))
}

/// What 2026-09 says of a value that it kept otherwise than it was sent.
pub(crate) fn normalised(name: &str, raw: &str, millis: i64) -> Value {
    json!({
        "category": "PROPERTY_VALUE_NORMALIZED",
        "message": format!("The value of {name} was normalized to midnight UTC"),
        "context": {
            "propertyName": name,
            "rawValue": raw,
            "normalizedValue": millis.to_string(),
        },
    })
}

/// A day as it is kept.
pub(crate) fn day(millis: i64) -> String {
    let mut day = String::with_capacity(10);
    moment::push_day(&mut day, millis);
    day
}

/// Whether a value begins or ends with space, invisible characters included.
fn has_margin(text: &str) -> bool {
    let blank = |letter: char| {
        letter.is_whitespace()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    };
    text.starts_with(blank) || text.ends_with(blank)
}

/// Digits with at most one sign and one point: no exponent, no grouping.
fn is_plain_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    (!whole.is_empty() || !fraction.is_empty()) && all_digits(whole) && all_digits(fraction)
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let plain = |part: &str| {
        !part.is_empty()
            && !part.contains(|letter: char| letter.is_whitespace() || "@,;<>\"()".contains(letter))
    };
    let host = !domain.starts_with('.') && !domain.ends_with('.') && !domain.contains("..");
    plain(local) && plain(domain) && domain.contains('.') && host
}

/// A multi-select's value after `written` is put on `current`: a leading `;`
/// adds, anything else replaces.
pub(crate) fn appended(current: Option<&str>, written: &str) -> String {
    let Some(added) = written.strip_prefix(';') else { return written.to_owned() };
    let mut values: Vec<&str> =
        current.unwrap_or("").split(';').filter(|v| !v.is_empty()).collect();
    for value in added.split(';').filter(|value| !value.is_empty()) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::schema::Choice;

    fn property(kind: Kind, field_type: &str) -> Property {
        let choice = |value: &str| Choice {
            label: value.to_owned(),
            value: value.to_owned(),
            description: String::new(),
            hidden: false,
        };
        Property {
            options: vec![choice("a"), choice("b")],
            ..Property::new("x", kind, field_type, "g", 0)
        }
    }

    fn code(kind: Kind, text: &str) -> Result<String, &'static str> {
        accept(&property(kind, "select"), text).map_err(|problem| problem.code)
    }

    #[test]
    fn numbers_are_plain_decimals() {
        assert_eq!(code(Kind::Number, "1000.00"), Ok("1000.00".to_owned()));
        assert_eq!(code(Kind::Number, "-5"), Ok("-5".to_owned()));
        for bad in ["1.4210854715202004e-14", "1,000", "NaN", "1;2", "-", "."] {
            assert_eq!(code(Kind::Number, bad), Err("INVALID_INTEGER"), "{bad}");
        }
        assert_eq!(code(Kind::Number, " 5"), Err("LEADING_TRAILING_WHITESPACE"));
        assert_eq!(code(Kind::Number, "5\u{200b}"), Err("LEADING_TRAILING_WHITESPACE"));
    }

    #[test]
    fn dates_are_days() {
        assert_eq!(code(Kind::Day, "2015-05-01"), Ok("2015-05-01".to_owned()));
        assert_eq!(code(Kind::Day, "1430438400000"), Ok("2015-05-01".to_owned()));
        assert_eq!(code(Kind::Day, "1786334400000"), Err("INVALID_DATE"));
        assert_eq!(code(Kind::Day, "tomorrow"), Err("INVALID_LONG"));
        let problem =
            accept(&property(Kind::Day, "date"), "1786334400000").expect_err("four o'clock");
        assert_eq!(problem.message, "1786334400000 is at 4:0:0.0 UTC, not midnight!");
    }

    #[test]
    fn times_come_back_as_iso() {
        assert_eq!(code(Kind::Moment, "1651568400000"), Ok("2022-05-03T09:00:00Z".to_owned()));
        assert_eq!(
            code(Kind::Moment, "2022-05-03T09:00:00.5Z"),
            Ok("2022-05-03T09:00:00.500Z".to_owned())
        );
        assert_eq!(code(Kind::Moment, "invalid"), Err("INVALID_LONG"));
    }

    #[test]
    fn options_are_exact() {
        assert_eq!(code(Kind::Choice, "a"), Ok("a".to_owned()));
        assert_eq!(code(Kind::Choice, "A"), Err("INVALID_OPTION"));
        assert_eq!(code(Kind::Choice, "a;b"), Err("INVALID_OPTION"));
        assert_eq!(code(Kind::Choice, "a "), Err("LEADING_TRAILING_WHITESPACE"));
        assert!(accept(&property(Kind::Choice, "checkbox"), ";a;b").is_ok());
        assert_eq!(code(Kind::Flag, "yes"), Err("INVALID_OPTION"));
    }

    #[test]
    fn texts_keep_their_spaces_and_the_empty_text_clears() {
        assert_eq!(code(Kind::Text, " a "), Ok(" a ".to_owned()));
        for kind in [Kind::Text, Kind::Number, Kind::Day, Kind::Choice] {
            assert_eq!(code(kind, ""), Ok(String::new()));
        }
        assert_eq!(code(Kind::Text, &"x".repeat(LONGEST + 1)), Err("PROPERTY_VALUE_TOO_LONG"));
    }

    #[test]
    fn emails_are_checked_and_lowered() {
        let email = Property { name: "email".to_owned(), ..property(Kind::Text, "text") };
        assert_eq!(accept(&email, "A@B.example").as_deref(), Ok("a@b.example"));
        for bad in
            ["a", "a@b", "a b@c.example", "a@@c.example", "@c.example", "a@c.example, b@d.example"]
        {
            assert_eq!(accept(&email, bad).map_err(|p| p.code), Err("INVALID_EMAIL"), "{bad}");
        }
    }

    #[test]
    fn a_leading_semicolon_appends() {
        assert_eq!(appended(Some("a;b"), ";c;b"), "a;b;c");
        assert_eq!(appended(None, ";c"), "c");
        assert_eq!(appended(Some("a"), "b"), "b");
    }

    #[test]
    fn every_problem_is_listed_twice() {
        let refusal = refusal(&[Problem::unknown("a"), Problem::unknown("b")], 7, Era::NOW);
        let (body, _) = refusal.render("id");
        let body: Value = serde_json::from_slice(&body).expect("a refusal is JSON");
        let text = body["message"].as_str().unwrap_or_default();
        let list = text.strip_prefix("Property values were not valid: ").unwrap_or_default();
        let list: Value = serde_json::from_str(list).expect("the message holds a JSON list");
        assert_eq!(list[1]["error"], "PROPERTY_DOESNT_EXIST");
        assert_eq!(body["errors"][0]["context"]["propertyName"][0], "a");
    }
}
