//! The wire form of a property's values: the one text a value has when it is
//! sent, compared and stored, and why HubSpot would refuse it.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, SecondsFormat};

use super::decimal;
use super::policy::Order;
use crate::objects::{PropertyDefinition, PropertyType};

/// HubSpot's longest string (properties guide).
const MAX_CHARS: usize = 65_536;

/// How many allowed options a sentence shows.
const SHOWN_OPTIONS: usize = 10;

/// Why HubSpot would refuse a value: its own code, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) sentence: String,
}

/// The wire form of one property's values.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    kind: Kind,
}

/// The Arrow types whose texts can be a wire form as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    Number,
    Bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Text,
    Email,
    Number,
    Bool,
    Date,
    DateTime,
    Option(Options),
    Options(Options),
}

/// The allowed values; empty when HubSpot keeps them elsewhere (owners).
#[derive(Clone, Debug)]
struct Options {
    values: BTreeSet<String>,
    /// Lower-cased value → value, where only one value reads so.
    any_case: HashMap<String, Option<String>>,
}

impl Form {
    /// The form of the values a property takes. `email` of contacts is stored
    /// lower-cased and compared so (hubspot-api.md 16).
    pub(crate) fn of(definition: &PropertyDefinition) -> Self {
        let kind = match &definition.property_type {
            PropertyType::Number => Kind::Number,
            PropertyType::Bool => Kind::Bool,
            PropertyType::Date => Kind::Date,
            PropertyType::DateTime => Kind::DateTime,
            PropertyType::Enumeration if definition.is_multi_select() => {
                Kind::Options(Options::of(definition))
            }
            PropertyType::Enumeration => Kind::Option(Options::of(definition)),
            PropertyType::String if definition.name == "email" => Kind::Email,
            PropertyType::String | PropertyType::Other(_) => Kind::Text,
        };
        Self { kind }
    }

    /// Plain text, for a value of no known property.
    pub(crate) fn text() -> Self {
        Self { kind: Kind::Text }
    }

    /// An email address that identifies a contact.
    pub(crate) fn email() -> Self {
        Self { kind: Kind::Email }
    }

    /// A decimal number.
    #[cfg(test)]
    pub(crate) fn number() -> Self {
        Self { kind: Kind::Number }
    }

    /// How `max` and `min` order these values.
    pub(crate) fn order(&self) -> Order {
        if matches!(self.kind, Kind::Number) { Order::Number } else { Order::Text }
    }

    /// Whether any text is its own wire form, so that a whole column can be
    /// taken as it is.
    pub(crate) fn takes_any_text(&self) -> bool {
        matches!(self.kind, Kind::Text)
    }

    /// Whether values of this Arrow type need no spelling.
    pub(crate) fn takes(&self, typed: Typed) -> bool {
        matches!((&self.kind, typed), (Kind::Number, Typed::Number) | (Kind::Bool, Typed::Bool))
    }

    /// The wire form of a wanted value, or why HubSpot would refuse it.
    /// `text` is not empty.
    pub(crate) fn wire<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, Refusal> {
        if let Kind::Text = self.kind {
            return within_length(text);
        }
        if matches!(self.kind, Kind::Number) && is_no_finite_float(text) {
            return Err(no_finite_number());
        }
        if has_outer_space(text) {
            return Err(refuse(
                "LEADING_TRAILING_WHITESPACE",
                "The value begins or ends with white space",
            ));
        }
        match &self.kind {
            Kind::Text => within_length(text),
            Kind::Email => email(text),
            Kind::Number => decimal::canonical(text).ok_or_else(|| {
                refuse("INVALID_INTEGER", "The value is not a finite decimal number")
            }),
            Kind::Bool => boolean(text),
            Kind::Date => date(text),
            Kind::DateTime => date_time(text),
            Kind::Option(options) => options.pick(text),
            Kind::Options(options) => options.pick_all(text),
        }
    }

    /// The text to compare a value that HubSpot or the ledger holds by: its
    /// wire form, or the text itself where HubSpot holds what it would refuse.
    pub(crate) fn held<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match &self.kind {
            Kind::Option(_) => Cow::Borrowed(text),
            Kind::Options(_) => {
                sorted_options(text.split(';')).map_or(Cow::Borrowed(text), Cow::Owned)
            }
            _ => self.wire(text).unwrap_or(Cow::Borrowed(text)),
        }
    }
}

/// Why a float that is no number is not sent, whatever the property holds. The
/// code is ours: HubSpot's own for it, `INVALID_INTEGER`, says another thing.
pub(crate) fn no_finite_number() -> Refusal {
    refuse(
        "NOT_A_FINITE_NUMBER",
        "The value is NaN or infinite, which is no number a person could read: give a number or \
         null in the model",
    )
}

/// Whether a text is how NaN or an infinity is written, of either sign.
fn is_no_finite_float(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(|value| !value.is_finite())
        && !text.contains(|c: char| c.is_ascii_digit())
}

fn refuse(code: &'static str, sentence: &str) -> Refusal {
    Refusal { code, sentence: sentence.to_owned() }
}

fn within_length(text: &str) -> Result<Cow<'_, str>, Refusal> {
    if text.len() > MAX_CHARS && text.chars().count() > MAX_CHARS {
        return Err(refuse(
            "VALUE_TOO_LONG",
            "The text is longer than HubSpot's 65,536 characters",
        ));
    }
    Ok(Cow::Borrowed(text))
}

/// Refused on every property that is not plain text since April 2025;
/// invisible characters count.
fn has_outer_space(text: &str) -> bool {
    let blank = |c: char| {
        c.is_whitespace()
            || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
    };
    text.starts_with(blank) || text.ends_with(blank)
}

fn email(text: &str) -> Result<Cow<'_, str>, Refusal> {
    let is_address = text.split_once('@').is_some_and(|(name, domain)| {
        !name.is_empty()
            && domain.contains('.')
            && !domain.contains('@')
            && !domain.starts_with('.')
    });
    if !is_address || text.contains(char::is_whitespace) {
        return Err(refuse("INVALID_EMAIL", "The value is not an email address"));
    }
    Ok(if text.chars().any(char::is_uppercase) { text.to_lowercase().into() } else { text.into() })
}

fn boolean(text: &str) -> Result<Cow<'_, str>, Refusal> {
    match text {
        "true" | "false" => Ok(text.into()),
        _ if text.eq_ignore_ascii_case("true") => Ok("true".into()),
        _ if text.eq_ignore_ascii_case("false") => Ok("false".into()),
        _ => Err(refuse("INVALID_OPTION", "The value is neither `true` nor `false`")),
    }
}

fn date(text: &str) -> Result<Cow<'_, str>, Refusal> {
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return spelled(day, text, day.format("%Y-%m-%d").to_string());
    }
    let instant = instant(text)
        .ok_or_else(|| refuse("INVALID_DATE", "The value is not a date (YYYY-MM-DD)"))?;
    if instant.time() != chrono::NaiveTime::MIN {
        return Err(refuse(
            "INVALID_DATE",
            "The value has a time of day, and the property holds a date: cast it to a date in the model",
        ));
    }
    spelled(instant.date(), text, instant.format("%Y-%m-%d").to_string())
}

fn date_time(text: &str) -> Result<Cow<'_, str>, Refusal> {
    let instant = instant(text)
        .ok_or_else(|| refuse("INVALID_DATE", "The value is not a point in time (ISO 8601)"))?;
    spelled(instant.date(), text, instant.and_utc().to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn spelled(day: NaiveDate, text: &str, spelled: String) -> Result<Cow<'_, str>, Refusal> {
    if !(1..=9999).contains(&day.year()) {
        return Err(refuse("INVALID_DATE", "The date is outside the years 1 to 9999"));
    }
    Ok(if spelled == text { Cow::Borrowed(text) } else { Cow::Owned(spelled) })
}

/// A point in time, UTC, from ISO 8601 (a missing offset means UTC), a day
/// alone, or epoch milliseconds, the forms HubSpot takes and shows.
fn instant(text: &str) -> Option<NaiveDateTime> {
    let millis = |text: &str| text.parse().ok().and_then(DateTime::from_timestamp_millis);
    DateTime::parse_from_rfc3339(text)
        .map(|instant| instant.naive_utc())
        .ok()
        .or_else(|| millis(text).map(|instant| instant.naive_utc()))
        .or_else(|| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok())
        .or_else(|| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok())
        .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))
}

impl Options {
    fn of(definition: &PropertyDefinition) -> Self {
        let values: BTreeSet<String> = match definition.external_options {
            true => BTreeSet::new(),
            false => definition.options.iter().map(|option| option.value.clone()).collect(),
        };
        let mut any_case = HashMap::new();
        for value in &values {
            any_case
                .entry(value.to_lowercase())
                .and_modify(|only| *only = None)
                .or_insert_with(|| Some(value.clone()));
        }
        Self { values, any_case }
    }

    /// The option a text names: exactly, or by a spelling that differs in case
    /// from one option only.
    fn pick<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, Refusal> {
        if self.values.is_empty() || self.values.contains(text) {
            return Ok(text.into());
        }
        match self.any_case.get(&text.to_lowercase()) {
            Some(Some(value)) => Ok(Cow::Owned(value.clone())),
            _ => Err(Refusal { code: "INVALID_OPTION", sentence: self.refusal() }),
        }
    }

    fn pick_all<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, Refusal> {
        let picked = text
            .split(';')
            .filter(|option| !option.is_empty())
            .map(|option| self.pick(option))
            .collect::<Result<Vec<_>, _>>()?;
        let joined = sorted_options(picked.iter().map(|option| &**option));
        joined.map(Cow::Owned).ok_or_else(|| refuse("INVALID_OPTION", "The value names no option"))
    }

    fn refusal(&self) -> String {
        let shown: Vec<_> =
            self.values.iter().take(SHOWN_OPTIONS).map(|value| format!("`{value}`")).collect();
        let more = self.values.len().saturating_sub(SHOWN_OPTIONS);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("The value is not one of the property's options: {}{rest}", shown.join(", "))
    }
}

/// The options of a multi-select in one order, since HubSpot keeps none.
/// `None` when there are none.
fn sorted_options<'a>(options: impl Iterator<Item = &'a str>) -> Option<String> {
    let options: BTreeSet<&str> = options.filter(|option| !option.is_empty()).collect();
    (!options.is_empty()).then(|| options.into_iter().collect::<Vec<_>>().join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::PropertyOption;

    fn form(property_type: PropertyType, field_type: &str, options: &[&str]) -> Form {
        Form::of(&definition("p", property_type, field_type, options))
    }

    fn definition(
        name: &str,
        property_type: PropertyType,
        field_type: &str,
        options: &[&str],
    ) -> PropertyDefinition {
        let option = |value: &&str| PropertyOption {
            label: value.to_uppercase(),
            value: (*value).into(),
            hidden: false,
        };
        PropertyDefinition {
            name: name.into(),
            label: name.into(),
            property_type,
            field_type: field_type.into(),
            group_name: "g".into(),
            description: String::new(),
            options: options.iter().map(option).collect(),
            calculated: false,
            external_options: false,
            has_unique_value: false,
            read_only_value: false,
            hubspot_defined: false,
            hidden: false,
            archived: false,
            data_sensitivity: None,
            created_at: None,
            updated_at: None,
        }
    }

    /// The wire form, or the refusal's code.
    fn wire(form: &Form, text: &str) -> String {
        form.wire(text).map_or_else(|refusal| refusal.code.to_owned(), Cow::into_owned)
    }

    #[test]
    fn numbers_are_sent_plain() {
        let form = form(PropertyType::Number, "number", &[]);
        for (text, expected) in [
            ("1.0", "1"),
            ("1e-3", "0.001"),
            ("NaN", "NOT_A_FINITE_NUMBER"),
            ("-inf", "NOT_A_FINITE_NUMBER"),
            ("1e999", "INVALID_INTEGER"),
            ("1;2", "INVALID_INTEGER"),
        ] {
            assert_eq!(wire(&form, text), expected, "{text}");
        }
        assert_eq!(form.held("1;2"), "1;2");
        assert_eq!(form.held("1000.00"), "1000");
    }

    #[test]
    fn booleans_are_lower_case() {
        let form = form(PropertyType::Bool, "booleancheckbox", &["true", "false"]);
        assert_eq!(wire(&form, "TRUE"), "true");
        assert_eq!(wire(&form, "False"), "false");
        assert_eq!(wire(&form, "1"), "INVALID_OPTION");
    }

    #[test]
    fn dates_have_no_time_of_day() {
        let form = form(PropertyType::Date, "date", &[]);
        for (text, expected) in [
            ("2026-02-28", "2026-02-28"),
            ("2026-02-28T00:00:00Z", "2026-02-28"),
            ("1430438400000", "2015-05-01"),
            ("1786320000000", "2026-08-10"),
            ("1786334400000", "INVALID_DATE"),
            ("2026-02-30", "INVALID_DATE"),
            ("10000-01-01", "INVALID_DATE"),
            ("+12345-01-01", "INVALID_DATE"),
            ("yesterday", "INVALID_DATE"),
        ] {
            assert_eq!(wire(&form, text), expected, "{text}");
        }
    }

    #[test]
    fn times_are_compared_by_instant() {
        let form = form(PropertyType::DateTime, "date", &[]);
        for text in [
            "2022-05-03T09:00:00Z",
            "2022-05-03T11:00:00+02:00",
            "2022-05-03 09:00:00",
            "2022-05-03T09:00:00.000999Z",
            "1651568400000",
        ] {
            assert_eq!(wire(&form, text), "2022-05-03T09:00:00.000Z", "{text}");
        }
        assert_eq!(wire(&form, "2022-05-03"), "2022-05-03T00:00:00.000Z");
    }

    #[test]
    fn options_keep_their_own_case() {
        let single = form(PropertyType::Enumeration, "select", &["lead", "Pizza", "a", "A"]);
        assert_eq!(wire(&single, "lead"), "lead");
        assert_eq!(wire(&single, "LEAD"), "lead");
        assert_eq!(wire(&single, "pizza"), "Pizza");
        assert_eq!(wire(&single, "A"), "A");
        assert_eq!(wire(&single, "sushi"), "INVALID_OPTION");
        assert_eq!(wire(&single, " lead"), "LEADING_TRAILING_WHITESPACE");
    }

    #[test]
    fn a_multi_select_has_no_order() {
        let many = form(PropertyType::Enumeration, "checkbox", &["a", "b", "c"]);
        assert_eq!(wire(&many, "c;a;c"), "a;c");
        assert_eq!(wire(&many, ";C"), "c");
        assert_eq!(wire(&many, "a;x"), "INVALID_OPTION");
        assert_eq!(wire(&many, ";"), "INVALID_OPTION");
        assert_eq!(many.held("c;a"), "a;c");
    }

    #[test]
    fn owners_are_not_checked_against_a_list() {
        let mut owner = definition("hubspot_owner_id", PropertyType::Enumeration, "select", &[]);
        owner.external_options = true;
        assert_eq!(wire(&Form::of(&owner), "12345"), "12345");
    }

    #[test]
    fn only_the_email_property_is_lower_cased() {
        let email = Form::of(&definition("email", PropertyType::String, "text", &[]));
        assert_eq!(wire(&email, "Ann@Example.COM"), "ann@example.com");
        for text in ["ann", "@example.com", "ann@", "a n@example.com", "ann@b@c.com"] {
            assert_eq!(wire(&email, text), "INVALID_EMAIL", "{text}");
        }
        assert_eq!(wire(&form(PropertyType::String, "text", &[]), " Ann "), " Ann ");
    }

    #[test]
    fn invisible_characters_count_as_white_space() {
        let form = form(PropertyType::Number, "number", &[]);
        for text in ["\u{200b}1", "1\u{feff}", "1 ", "\t1", "\u{a0}1"] {
            assert_eq!(wire(&form, text), "LEADING_TRAILING_WHITESPACE", "{text:?}");
        }
    }

    #[test]
    fn length_is_counted_in_characters() {
        let form = form(PropertyType::String, "textarea", &[]);
        assert!(form.wire(&"é".repeat(MAX_CHARS)).is_ok());
        assert_eq!(wire(&form, &"é".repeat(MAX_CHARS + 1)), "VALUE_TOO_LONG");
    }
}
