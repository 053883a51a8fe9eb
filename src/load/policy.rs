//! Who wins when HubSpot holds another value than the one wanted: the table of
//! policies, one pure function.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::config::Policy;
use super::decimal;

/// What the model wants of a property; a value is in its canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    /// Nothing: HubSpot keeps what it holds.
    Skip,
    /// An empty property.
    Clear,
    /// This value.
    Value(&'a str),
}

/// How the value HubSpot holds (C) stands to what hublake last set (L).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// hublake never set this property (L absent).
    NeverSet,
    /// HubSpot holds what hublake set (C = L).
    Ours,
    /// Somebody changed it since (C ≠ L).
    Edited,
}

/// What is to be done with one property of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision<'a> {
    /// HubSpot already holds what is wanted.
    Same,
    /// Nothing is wanted.
    Skipped,
    /// Send this value (empty clears); `conflict` when it replaces somebody's edit.
    Write { value: Cow<'a, str>, conflict: bool },
    /// Leave what HubSpot holds.
    Keep { reason: Kept, conflict: bool },
}

/// Why a value was left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It was there before hublake ever wrote.
    NotOurs,
    /// It was changed since hublake wrote.
    Edited,
    /// `fill_empty` fills once.
    Filled,
    /// `forward_only`: the wanted value is not later.
    NotLater,
    /// `forward_only`: the wanted value is not on the list.
    WantedOffList,
    /// `forward_only`: the value held is not on the list.
    HeldOffList,
    /// `max`, `min`: the wanted value does not win.
    NotBeaten,
    /// `append` takes nothing away: among the options may be a person's.
    AppendsOnly,
    /// HubSpot took the same write before and kept its own value.
    Ignored,
    /// `mode: create`: a record that is there is left alone.
    Exists,
    /// The row has left the model, and the value is no longer hublake's.
    NoLongerOurs,
    /// Undo: the value is not the one that the run left.
    ChangedSince,
    /// Undo: hublake has written the value again since the run.
    WrittenSince,
    /// Undo: the former value, or any, can no longer be written.
    Unwritable,
}

impl Kept {
    /// The reason as a sentence.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::NotOurs => "HubSpot held a value before hublake wrote to this property",
            Self::Edited => "The value was changed in HubSpot since hublake wrote it",
            Self::Filled => "`fill_empty` fills a property once and then leaves it alone",
            Self::NotLater => "The wanted value is not later in the `forward_only` list",
            Self::WantedOffList => "The wanted value is not on the `forward_only` list",
            Self::HeldOffList => "The value in HubSpot is not on the `forward_only` list",
            Self::NotBeaten => "The value in HubSpot already wins",
            Self::AppendsOnly => "`append` adds options and takes none away",
            Self::Ignored => "HubSpot accepted this write before and kept its own value",
            Self::Exists => "The record exists, and `mode: create` changes none",
            Self::NoLongerOurs => {
                "The row has left the model, and the value was changed in HubSpot since hublake wrote it"
            }
            Self::ChangedSince => "The value was changed in HubSpot since the run wrote it",
            Self::WrittenSince => "A later run of hublake wrote this value",
            Self::Unwritable => "HubSpot would refuse the former value now",
        }
    }
}

/// How two values of a property are ordered, for `max` and `min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As decimal numbers.
    Number,
    /// As text, which is also the order of ISO dates.
    Text,
}

/// One property's policy with what it needs to know of the property.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) policy: Policy,
    /// `yield` takes over values that hublake has never set.
    pub(crate) adopt: bool,
    pub(crate) order: Order,
}

impl Rule {
    /// Decides one property from what is wanted (W), how the value held stands
    /// to what hublake set (L), and the value held (C; empty when none).
    /// Both values are in canonical form.
    pub(crate) fn decide<'a>(
        &self,
        wanted: Wanted<'a>,
        standing: Standing,
        held: &str,
    ) -> Decision<'a> {
        match wanted {
            Wanted::Skip => Decision::Skipped,
            Wanted::Clear if held.is_empty() => Decision::Same,
            Wanted::Clear => self.clear(standing),
            Wanted::Value(value) if value == held => Decision::Same,
            Wanted::Value(value) => self.set(value, standing, held),
        }
    }

    fn clear<'a>(&self, standing: Standing) -> Decision<'a> {
        match (&self.policy, standing) {
            (Policy::Overwrite, _) => overwrite("", standing),
            // What hublake wrote was the union with what others had put there.
            (Policy::Append, _) => keep(Kept::AppendsOnly),
            (_, Standing::Ours) => write(""),
            (_, Standing::NeverSet) => keep(Kept::NotOurs),
            (_, Standing::Edited) => Decision::Keep { reason: Kept::Edited, conflict: true },
        }
    }

    fn set<'a>(&self, value: &'a str, standing: Standing, held: &str) -> Decision<'a> {
        match &self.policy {
            Policy::Overwrite => overwrite(value, standing),
            Policy::Yield => self.give_way(value, standing, held),
            Policy::FillEmpty => fill_empty(value, standing, held),
            Policy::ForwardOnly(list) => forward_only(list, value, held),
            Policy::Max => self.best_of(Ordering::Greater, value, held),
            Policy::Min => self.best_of(Ordering::Less, value, held),
            Policy::Append => append(value, held),
        }
    }

    fn give_way<'a>(&self, value: &'a str, standing: Standing, held: &str) -> Decision<'a> {
        match standing {
            Standing::Ours => write(value),
            _ if held.is_empty() => write(value),
            Standing::NeverSet if self.adopt => write(value),
            Standing::NeverSet => keep(Kept::NotOurs),
            Standing::Edited => Decision::Keep { reason: Kept::Edited, conflict: true },
        }
    }

    fn best_of<'a>(&self, winning: Ordering, value: &'a str, held: &str) -> Decision<'a> {
        let order = match self.order {
            Order::Number => decimal::compare(value, held),
            Order::Text => value.cmp(held),
        };
        if held.is_empty() || order == winning { write(value) } else { keep(Kept::NotBeaten) }
    }
}

fn write(value: &str) -> Decision<'_> {
    Decision::Write { value: value.into(), conflict: false }
}

fn keep<'a>(reason: Kept) -> Decision<'a> {
    Decision::Keep { reason, conflict: false }
}

fn overwrite(value: &str, standing: Standing) -> Decision<'_> {
    Decision::Write { value: value.into(), conflict: standing == Standing::Edited }
}

fn fill_empty<'a>(value: &'a str, standing: Standing, held: &str) -> Decision<'a> {
    match standing {
        // Of hublake's own and empty is what an undo has emptied again.
        Standing::NeverSet | Standing::Ours if held.is_empty() => write(value),
        Standing::NeverSet => keep(Kept::NotOurs),
        Standing::Ours | Standing::Edited => keep(Kept::Filled),
    }
}

fn forward_only<'a>(list: &[String], value: &'a str, held: &str) -> Decision<'a> {
    let place = |value: &str| list.iter().position(|entry| entry == value);
    match (place(value), place(held)) {
        (None, _) => keep(Kept::WantedOffList),
        (Some(_), None) if held.is_empty() => write(value),
        (Some(_), None) => keep(Kept::HeldOffList),
        (Some(wanted), Some(held)) if wanted > held => write(value),
        _ => keep(Kept::NotLater),
    }
}

fn append<'a>(value: &'a str, held: &str) -> Decision<'a> {
    let held: BTreeSet<&str> = held.split(';').filter(|option| !option.is_empty()).collect();
    let union: BTreeSet<&str> = held.iter().copied().chain(value.split(';')).collect();
    if union.len() == held.len() {
        return Decision::Same;
    }
    let value = union.into_iter().collect::<Vec<_>>().join(";");
    Decision::Write { value: value.into(), conflict: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(policy: Policy) -> Rule {
        Rule { policy, adopt: false, order: Order::Number }
    }

    fn set(policy: Policy, value: &str, standing: Standing, held: &str) -> String {
        tell(rule(policy).decide(Wanted::Value(value), standing, held))
    }

    fn clear(policy: Policy, standing: Standing, held: &str) -> String {
        tell(rule(policy).decide(Wanted::Clear, standing, held))
    }

    fn tell(decision: Decision<'_>) -> String {
        match decision {
            Decision::Same => "same".into(),
            Decision::Skipped => "skipped".into(),
            Decision::Write { value, conflict: false } => format!("write {value}"),
            Decision::Write { value, conflict: true } => format!("write {value} over an edit"),
            Decision::Keep { reason, conflict: false } => format!("keep {reason:?}"),
            Decision::Keep { reason, conflict: true } => format!("keep {reason:?} against us"),
        }
    }

    fn stages() -> Policy {
        Policy::ForwardOnly(["lead", "opportunity", "customer"].map(String::from).to_vec())
    }

    const ALL: [Standing; 3] = [Standing::NeverSet, Standing::Ours, Standing::Edited];

    #[test]
    fn what_is_already_there_is_never_written() {
        let policies = [
            Policy::Overwrite,
            Policy::Yield,
            Policy::FillEmpty,
            stages(),
            Policy::Max,
            Policy::Min,
            Policy::Append,
        ];
        for policy in policies {
            for standing in ALL {
                assert_eq!(
                    set(policy.clone(), "7", standing, "7"),
                    "same",
                    "{policy:?} {standing:?}"
                );
                assert_eq!(clear(policy.clone(), standing, ""), "same", "{policy:?} {standing:?}");
                let skipped = rule(policy.clone()).decide(Wanted::Skip, standing, "7");
                assert_eq!(skipped, Decision::Skipped, "{policy:?} {standing:?}");
            }
        }
    }

    #[test]
    fn overwrite_always_writes_and_counts_lost_edits() {
        assert_eq!(set(Policy::Overwrite, "7", Standing::NeverSet, "5"), "write 7");
        assert_eq!(set(Policy::Overwrite, "7", Standing::Ours, "5"), "write 7");
        assert_eq!(set(Policy::Overwrite, "7", Standing::Edited, "5"), "write 7 over an edit");
    }

    #[test]
    fn yield_gives_way_to_people() {
        assert_eq!(set(Policy::Yield, "7", Standing::NeverSet, ""), "write 7");
        assert_eq!(set(Policy::Yield, "7", Standing::NeverSet, "5"), "keep NotOurs");
        assert_eq!(set(Policy::Yield, "7", Standing::Ours, "5"), "write 7");
        assert_eq!(set(Policy::Yield, "7", Standing::Edited, "5"), "keep Edited against us");
        assert_eq!(set(Policy::Yield, "7", Standing::Edited, ""), "write 7");
    }

    #[test]
    fn yield_can_adopt_what_it_never_set_but_not_an_edit() {
        let adopting = Rule { adopt: true, ..rule(Policy::Yield) };
        assert_eq!(tell(adopting.decide(Wanted::Value("7"), Standing::NeverSet, "5")), "write 7");
        assert_eq!(
            tell(adopting.decide(Wanted::Value("7"), Standing::Edited, "5")),
            "keep Edited against us"
        );
    }

    #[test]
    fn fill_empty_fills_once() {
        assert_eq!(set(Policy::FillEmpty, "7", Standing::NeverSet, ""), "write 7");
        assert_eq!(set(Policy::FillEmpty, "7", Standing::NeverSet, "5"), "keep NotOurs");
        assert_eq!(set(Policy::FillEmpty, "7", Standing::Ours, "5"), "keep Filled");
        assert_eq!(set(Policy::FillEmpty, "7", Standing::Ours, ""), "write 7");
        assert_eq!(set(Policy::FillEmpty, "7", Standing::Edited, "5"), "keep Filled");
        assert_eq!(set(Policy::FillEmpty, "7", Standing::Edited, ""), "keep Filled");
    }

    #[test]
    fn forward_only_moves_on_whoever_set_the_value() {
        for standing in ALL {
            assert_eq!(set(stages(), "customer", standing, "lead"), "write customer");
            assert_eq!(set(stages(), "lead", standing, ""), "write lead");
            assert_eq!(set(stages(), "lead", standing, "customer"), "keep NotLater");
            assert_eq!(set(stages(), "evangelist", standing, "lead"), "keep WantedOffList");
            assert_eq!(set(stages(), "customer", standing, "evangelist"), "keep HeldOffList");
        }
    }

    #[test]
    fn max_and_min_write_only_what_wins() {
        for standing in ALL {
            assert_eq!(set(Policy::Max, "10", standing, "9"), "write 10");
            assert_eq!(set(Policy::Max, "9", standing, "10"), "keep NotBeaten");
            assert_eq!(set(Policy::Max, "-1", standing, ""), "write -1");
            assert_eq!(set(Policy::Min, "9", standing, "10"), "write 9");
            assert_eq!(set(Policy::Min, "10", standing, "9"), "keep NotBeaten");
        }
        let days = Rule { order: Order::Text, ..rule(Policy::Max) };
        let later = days.decide(Wanted::Value("2026-10-01"), Standing::Ours, "2026-09-30");
        assert_eq!(tell(later), "write 2026-10-01");
    }

    #[test]
    fn append_writes_the_union_only_when_it_grows() {
        for standing in ALL {
            assert_eq!(set(Policy::Append, "b;c", standing, "a;b"), "write a;b;c");
            assert_eq!(set(Policy::Append, "b", standing, "a;b"), "same");
            assert_eq!(set(Policy::Append, "b", standing, ""), "write b");
        }
    }

    #[test]
    fn clearing_is_for_overwrite_or_our_own_values() {
        assert_eq!(clear(Policy::Overwrite, Standing::NeverSet, "5"), "write ");
        assert_eq!(clear(Policy::Overwrite, Standing::Ours, "5"), "write ");
        assert_eq!(clear(Policy::Overwrite, Standing::Edited, "5"), "write  over an edit");
        for standing in ALL {
            assert_eq!(clear(Policy::Append, standing, "a;b"), "keep AppendsOnly");
        }
        for policy in [Policy::Yield, Policy::FillEmpty, stages(), Policy::Max, Policy::Min] {
            assert_eq!(clear(policy.clone(), Standing::Ours, "5"), "write ", "{policy:?}");
            assert_eq!(
                clear(policy.clone(), Standing::NeverSet, "5"),
                "keep NotOurs",
                "{policy:?}"
            );
            assert_eq!(
                clear(policy.clone(), Standing::Edited, "5"),
                "keep Edited against us",
                "{policy:?}"
            );
        }
    }
}
