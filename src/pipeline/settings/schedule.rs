//! When a pipeline runs by itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Fields of a cron expression: name, least and most.
const FIELDS: [(&str, u32, u32); 5] =
    [("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7)];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// When `hublake serve` runs a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Minute, hour, day, month, weekday: `*/15 * * * *`.
    pub cron: String,
    /// The time zone of those fields, by its IANA name.
    #[serde(default = "utc")]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".into()
}

impl ScheduleConfig {
    /// Everything that is wrong with a schedule: the key and why.
    pub(super) fn validate(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        problems.extend(cron_problem(&self.cron).map(|problem| ("cron", problem)));
        if self.time_zone.parse::<chrono_tz::Tz>().is_err() {
            let problem = format!(
                "`{}` is no time zone: write an IANA name such as `Europe/Berlin`",
                self.time_zone
            );
            problems.push(("time_zone", problem));
        }
        problems
    }
}

fn cron_problem(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        let count = parts.len();
        return Some(format!(
            "A schedule has five fields (minute, hour, day, month, weekday), not {count}"
        ));
    }
    let wrong = FIELDS.iter().zip(parts).find(|((name, least, most), part)| {
        part.split(',').any(|item| !is_item(item, name, *least, *most))
    })?;
    let ((name, least, most), part) = wrong;
    Some(format!("`{part}` is no {name}: write `*`, {least} to {most}, a range, a list or a step"))
}

/// `*`, `5`, `1-5`, each with an optional step `/2`.
fn is_item(item: &str, name: &str, least: u32, most: u32) -> bool {
    let (range, step) =
        item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
    if step.is_some_and(|step| !step.parse::<u32>().is_ok_and(|step| step > 0 && step <= most)) {
        return false;
    }
    let value = |text: &str| value_of(text, name).filter(|value| (least..=most).contains(value));
    match range.split_once('-') {
        Some((from, to)) => value(from).zip(value(to)).is_some_and(|(from, to)| from <= to),
        None => range == "*" || value(range).is_some(),
    }
}

fn value_of(text: &str, name: &str) -> Option<u32> {
    let named = |names: &[&str], first: u32| {
        let position = names.iter().position(|known| text.eq_ignore_ascii_case(known))?;
        Some(u32::try_from(position).ok()? + first)
    };
    text.parse().ok().or_else(|| match name {
        "month" => named(&MONTHS, 1),
        "weekday" => named(&WEEKDAYS, 0),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_expressions_are_told_from_mistakes() {
        for text in ["*/15 * * * *", "0 6-18/2 * * mon-fri", "5,35 0 1 jan,jul *", "0 0 * * 7"] {
            assert_eq!(cron_problem(text), None, "{text}");
        }
        for (text, part) in [
            ("* * * *", "five fields"),
            ("60 * * * *", "`60` is no minute"),
            ("0 0 * * friday", "no weekday"),
            ("*/0 * * * *", "no minute"),
            ("0 18-6 * * *", "no hour"),
        ] {
            let problem = cron_problem(text).unwrap_or_else(|| panic!("{text} was taken"));
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn a_time_zone_has_an_iana_name() {
        let schedule =
            |zone: &str| ScheduleConfig { cron: "0 * * * *".into(), time_zone: zone.into() };
        assert!(schedule("Europe/Berlin").validate().is_empty());
        assert_eq!(schedule("CEST?").validate()[0].0, "time_zone");
    }
}
