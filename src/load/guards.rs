//! Limits past which a write-back sends nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::config::GuardsConfig;
use super::outcome::Counts;

/// A guard by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Most records changed, as a share of those written before.
    MaxChanged,
    /// Most records created.
    MaxCreates,
    /// Most rows rejected.
    MaxRejects,
    /// Fewest rows of the model.
    MinRows,
    /// Most records archived.
    MaxArchives,
}

/// What a guard says to a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardVerdict {
    /// The guard.
    pub guard: Guard,
    /// Whether the plan stays inside it.
    pub passed: bool,
    /// Whether going past it was explicitly accepted.
    pub accepted: bool,
    /// The figures, as a sentence.
    pub sentence: String,
    /// What was counted.
    #[serde(default)]
    pub found: u64,
    /// The limit as the settings have it: `30%`, `100`.
    #[serde(default)]
    pub limit: String,
}

impl GuardVerdict {
    /// Whether this guard stops the write-back.
    pub fn refuses(&self) -> bool {
        !self.passed && !self.accepted
    }
}

impl Guard {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::MaxChanged, Self::MaxCreates, Self::MaxRejects, Self::MinRows, Self::MaxArchives];

    /// The name in settings and in `--accept-guard`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MaxChanged => "max_changed",
            Self::MaxCreates => "max_creates",
            Self::MaxRejects => "max_rejects",
            Self::MinRows => "min_rows",
            Self::MaxArchives => "max_archives",
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Guard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|guard| guard.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join("`, `");
            format!("`{text}` is no guard; the guards are `{names}`")
        })
    }
}

/// Asks every configured guard. `written_before` is the number of records this
/// write-back has written in earlier runs: with none, `max_changed` cannot
/// tell a normal run from a runaway one and asks for an explicit acceptance.
/// `model_rows` are the model's own: records whose row has left it are wanted
/// too, and must not pass for rows. Archiving is off unless `max_archives` allows some.
pub(crate) fn evaluate(
    guards: &GuardsConfig,
    counts: &Counts,
    model_rows: u64,
    written_before: u64,
    accepted: &BTreeSet<Guard>,
) -> Vec<GuardVerdict> {
    let verdict = |guard: Guard, passed: bool, found: u64, limit: String, sentence: String| {
        GuardVerdict { guard, passed, accepted: accepted.contains(&guard), sentence, found, limit }
    };
    let mut verdicts = Vec::new();
    if let Some(limit) = guards.max_changed {
        let changed = counts.updated;
        let passed = changed as f64 <= limit.fraction() * written_before as f64;
        let sentence = match written_before {
            0 if changed > 0 => format!(
                "{changed} records would change and none has been written before: look at the plan, then accept this \
                 guard once"
            ),
            _ => format!(
                "{changed} of {written_before} records written before would change, at most {limit} may"
            ),
        };
        verdicts.push(verdict(Guard::MaxChanged, passed, changed, limit.to_string(), sentence));
    }
    if let Some(limit) = guards.max_creates {
        let found = counts.created;
        let sentence = format!("{found} records would be created, at most {limit} may");
        verdicts.push(verdict(
            Guard::MaxCreates,
            found <= limit,
            found,
            limit.to_string(),
            sentence,
        ));
    }
    if let Some(limit) = guards.max_rejects {
        let found = counts.rejected;
        let sentence = format!("{found} rows are rejected, at most {limit} may be");
        verdicts.push(verdict(
            Guard::MaxRejects,
            found <= limit,
            found,
            limit.to_string(),
            sentence,
        ));
    }
    if let Some(limit) = guards.min_rows {
        let found = model_rows;
        let sentence = format!("The model has {found} rows, at least {limit} are expected");
        verdicts.push(verdict(Guard::MinRows, found >= limit, found, limit.to_string(), sentence));
    }
    let (found, limit) = (counts.archived, guards.max_archives.unwrap_or(0));
    if found > 0 || guards.max_archives.is_some() {
        let sentence = match guards.max_archives {
            None => format!(
                "{found} records would be archived, and archiving is off: allow some with `max_archives`"
            ),
            Some(limit) => format!("{found} records would be archived, at most {limit} may"),
        };
        verdicts.push(verdict(
            Guard::MaxArchives,
            found <= limit,
            found,
            limit.to_string(),
            sentence,
        ));
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guards(yaml: &str) -> GuardsConfig {
        serde_saphyr::from_str(yaml).expect("valid guards")
    }

    fn refused(yaml: &str, counts: Counts, written_before: u64, accepted: &[Guard]) -> Vec<Guard> {
        let accepted = accepted.iter().copied().collect();
        let verdicts = evaluate(&guards(yaml), &counts, counts.wanted, written_before, &accepted);
        verdicts.into_iter().filter(GuardVerdict::refuses).map(|verdict| verdict.guard).collect()
    }

    #[test]
    fn the_share_is_of_records_written_before() {
        let counts = Counts { updated: 30, ..Counts::default() };
        assert_eq!(refused("{ max_changed: 30% }", counts, 100, &[]), []);
        assert_eq!(refused("{ max_changed: 30% }", counts, 99, &[]), [Guard::MaxChanged]);
        assert_eq!(refused("{ max_changed: 30% }", counts, 99, &[Guard::MaxChanged]), []);
    }

    #[test]
    fn a_first_run_asks_only_where_a_share_is_set() {
        let counts = Counts { updated: 5, ..Counts::default() };
        assert_eq!(refused("{ max_changed: 30% }", counts, 0, &[]), [Guard::MaxChanged]);
        assert_eq!(refused("{}", counts, 0, &[]), []);
        assert_eq!(refused("{ max_changed: 30% }", Counts::default(), 0, &[]), []);
    }

    #[test]
    fn counts_are_limits_inclusive() {
        let counts = Counts { wanted: 10, created: 2, rejected: 3, ..Counts::default() };
        assert_eq!(refused("{ max_creates: 2, max_rejects: 3, min_rows: 10 }", counts, 0, &[]), []);
        let all = [Guard::MaxCreates, Guard::MaxRejects, Guard::MinRows];
        assert_eq!(
            refused("{ max_creates: 1, max_rejects: 2, min_rows: 11 }", counts, 0, &[]),
            all
        );
    }

    #[test]
    fn archiving_is_off_unless_some_is_allowed() {
        let counts = Counts { archived: 2, ..Counts::default() };
        assert_eq!(refused("{}", counts, 0, &[]), [Guard::MaxArchives]);
        assert_eq!(refused("{ max_archives: 1 }", counts, 0, &[]), [Guard::MaxArchives]);
        assert_eq!(refused("{ max_archives: 2 }", counts, 0, &[]), []);
        assert_eq!(refused("{}", Counts::default(), 0, &[]), []);
    }

    #[test]
    fn an_unknown_guard_lists_the_known() {
        let error = "max_change".parse::<Guard>().expect_err("a misspelling");
        assert!(error.contains("`max_changed`"), "{error}");
    }
}
