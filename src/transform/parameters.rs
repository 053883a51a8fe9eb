//! The `$parameters` of a query, as SQL text of typed literals.

use std::collections::BTreeMap;

use chrono::DateTime;

use super::VarValue;
use super::config::is_identifier;

/// What a model may ask the run: when it started, and when the run started that
/// last built the model. Both µs since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunTimes {
    pub(super) run_started_at: i64,
    /// None when the model has never been built; SQL then reads 1970, so that
    /// `where at > $last_run_at` takes every row. A null would take none.
    pub(super) last_run_at: Option<i64>,
}

/// Every parameter with its literal; a query by hand has no run and only sees
/// the `vars`.
pub(super) fn literals(
    vars: &BTreeMap<String, VarValue>,
    times: Option<RunTimes>,
) -> BTreeMap<String, String> {
    let mut literals: BTreeMap<String, String> =
        vars.iter().map(|(name, value)| (name.clone(), literal(value))).collect();
    if let Some(times) = times {
        literals.insert("run_started_at".into(), timestamp(times.run_started_at));
        literals.insert("last_run_at".into(), timestamp(times.last_run_at.unwrap_or(0)));
    }
    literals
}

fn literal(value: &VarValue) -> String {
    match value {
        VarValue::Flag(flag) => flag.to_string(),
        VarValue::Integer(number) => format!("arrow_cast({number}, 'Int64')"),
        VarValue::Number(number) => format!("arrow_cast({number:e}, 'Float64')"),
        VarValue::Text(text) => quoted(text),
    }
}

/// A point in time (µs since 1970 UTC) as a typed literal.
pub(super) fn timestamp(micros: i64) -> String {
    let text = DateTime::from_timestamp_micros(micros)
        .map_or("null".into(), |time| quoted(&time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()));
    format!("arrow_cast({text}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// A text as an SQL literal.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as an SQL identifier, quoted where it must be.
pub(crate) fn name_in_sql(name: &str) -> String {
    if is_identifier(name) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_literal() {
        assert_eq!(literal(&VarValue::Text("it's; drop".into())), "'it''s; drop'");
        assert_eq!(name_in_sql("a\"b"), "\"a\"\"b\"");
        assert_eq!(name_in_sql("plan"), "plan");
    }

    #[test]
    fn a_query_by_hand_sees_vars_only() {
        let vars = BTreeMap::from([("limit".to_owned(), VarValue::Integer(5))]);
        assert_eq!(literals(&vars, None).into_keys().collect::<Vec<_>>(), ["limit"]);
        let times = RunTimes { run_started_at: 1_700_000_000_000_001, last_run_at: None };
        let all = literals(&vars, Some(times));
        let started =
            "arrow_cast('2023-11-14T22:13:20.000001Z', 'Timestamp(Microsecond, Some(\"UTC\"))')";
        assert_eq!(all["run_started_at"], started);
        assert!(all["last_run_at"].starts_with("arrow_cast('1970-01-01T00:00:00.000000Z'"));
    }
}
