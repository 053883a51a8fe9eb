//! W, L and C meet: one row's decision, pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::last_set::{Last, Set};
use super::rows::{STAMP, WRITE, WRITE_AFTER_CLEARING};
use crate::load::policy::{Decision, Kept, Standing, Wanted};
use crate::load::target::{Target, TargetProperty};

/// What becomes of a row, weakest first: a row takes its strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Action {
    Unchanged,
    Keep,
    Update,
    Create,
    Archive,
    /// Something is to hang on the record: an association, a membership, an event.
    Link,
    /// Something that hangs on the record is taken back.
    Unlink,
    Defer,
    Reject,
}

impl Action {
    /// The name in `system.plans`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Keep => "kept",
            Self::Update => "update",
            Self::Create => "create",
            Self::Archive => "archive",
            Self::Link => "link",
            Self::Unlink => "unlink",
            Self::Defer => "deferred",
            Self::Reject => "rejected",
        }
    }
}

/// One property of a row that is not as wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change<'a> {
    pub(crate) property: &'a str,
    /// The wanted value; empty clears.
    pub(crate) new: Cow<'a, str>,
    /// What HubSpot holds; empty for nothing.
    pub(crate) old: Cow<'a, str>,
    /// What hublake last set, if it did.
    pub(crate) last_set: Option<&'a str>,
    pub(crate) verdict: Verdict,
    pub(crate) conflict: bool,
    /// The value goes back to whoever had set it: held, it is not hublake's.
    pub(crate) theirs: bool,
}

/// What is to be done with a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Write,
    /// Sent because something else of the record is, and never alone.
    Stamp,
    /// Sent empty first and then, in a second request, with its value: the only
    /// way a lifecycle stage moves back (hubspot-api.md 16).
    WriteAfterClearing,
    Keep(Kept),
    Defer,
    /// The whole row is refused.
    Refuse,
}

impl Verdict {
    /// The name in a plan's `changes`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Write => WRITE,
            Self::Stamp => STAMP,
            Self::WriteAfterClearing => WRITE_AFTER_CLEARING,
            Self::Keep(_) => "keep",
            Self::Defer => "defer",
            Self::Refuse => "refuse",
        }
    }

    /// Why, where that is not plain.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Write | Self::Stamp | Self::Refuse => None,
            Self::WriteAfterClearing => {
                Some("Emptied first: HubSpot moves a stage back only in two requests")
            }
            Self::Keep(kept) => Some(kept.sentence()),
            Self::Defer => Some(
                "HubSpot still shows the value from before the last write: decided by the next run",
            ),
        }
    }
}

/// How late HubSpot may show a write, and the time to measure it by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lag {
    /// µs since 1970.
    pub(crate) now: i64,
    /// µs.
    pub(crate) length: i64,
}

/// Everything known of one property of one row.
pub(crate) struct Facts<'a> {
    pub(crate) wanted: Wanted<'a>,
    pub(crate) last: Last<'a>,
    /// In comparable form; empty for nothing.
    pub(crate) held: Cow<'a, str>,
    /// The record's modified date with `held`, µs since 1970.
    pub(crate) updated_at: Option<i64>,
}

/// Decides one property; `None` when nothing differs or nothing is wanted.
pub(crate) fn property<'a>(
    property: &'a TargetProperty,
    facts: Facts<'a>,
    lag: Lag,
) -> Option<Change<'a>> {
    let last = Comparable::new(property, facts.last);
    let wanted = match facts.wanted {
        Wanted::Skip => return None,
        Wanted::Clear => "",
        Wanted::Value(value) => value,
    };
    let decision = match last.answered(wanted, &facts.held) {
        Some(Answered::Normalised) => return None,
        Some(Answered::Ignored) => Decision::Keep { reason: Kept::Ignored, conflict: false },
        None => property.rule.decide(facts.wanted, last.standing(&facts.held), &facts.held),
    };
    let (new, verdict, conflict) = match decision {
        Decision::Same | Decision::Skipped => return None,
        Decision::Keep { reason, conflict } => {
            (Cow::Borrowed(wanted), Verdict::Keep(reason), conflict)
        }
        Decision::Write { .. } if last.is_stale(&facts.held, facts.updated_at, lag) => {
            (Cow::Borrowed(wanted), Verdict::Defer, false)
        }
        Decision::Write { value, conflict } => {
            (Cow::Owned(value.into_owned()), Verdict::Write, conflict)
        }
    };
    let last_set = facts.last.written.map(|set| set.value);
    Some(Change {
        property: &property.name,
        new,
        old: facts.held,
        last_set,
        verdict,
        conflict,
        theirs: false,
    })
}

/// Decides one property of a record whose row has left the model: what is
/// still ours is emptied. `None` where there is nothing of ours.
pub(crate) fn no_longer_wanted<'a>(
    property: &'a TargetProperty,
    facts: Facts<'a>,
    lag: Lag,
) -> Option<Change<'a>> {
    let last = Comparable::new(property, facts.last);
    let was_set = !last.value.is_empty() || last.intended.as_ref().is_some_and(|v| !v.is_empty());
    if !was_set || facts.held.is_empty() {
        return None;
    }
    let (verdict, conflict) = match last.standing(&facts.held) {
        _ if last.is_stale(&facts.held, facts.updated_at, lag) => (Verdict::Defer, false),
        Standing::Ours => (Verdict::Write, false),
        Standing::Edited | Standing::NeverSet => (Verdict::Keep(Kept::NoLongerOurs), true),
    };
    let last_set = facts.last.written.map(|set| set.value);
    let (new, old) = (Cow::Borrowed(""), facts.held);
    Some(Change { property: &property.name, new, old, last_set, verdict, conflict, theirs: false })
}

/// The action of a row from its properties' verdicts.
pub(crate) fn action(changes: &[Change<'_>]) -> Action {
    let one = |change: &Change<'_>| match change.verdict {
        Verdict::Write | Verdict::WriteAfterClearing => Action::Update,
        Verdict::Stamp => Action::Unchanged,
        Verdict::Keep(_) => Action::Keep,
        Verdict::Defer => Action::Defer,
        Verdict::Refuse => Action::Reject,
    };
    changes.iter().map(one).max().unwrap_or(Action::Unchanged)
}

/// A number that is another when a refused row deserves another try: the
/// record, what would be sent over what, or a definition changed.
pub(crate) fn fingerprint(
    target: &Target,
    record_id: Option<i64>,
    sends: &BTreeMap<&str, (&str, &str)>,
) -> i64 {
    let mut hasher = DefaultHasher::new();
    (record_id, sends, target.definitions_hash).hash(&mut hasher);
    hasher.finish() as i64
}

/// The same for a row refused before anything is sent.
pub(crate) fn reason_fingerprint(code: &str, sentence: &str) -> i64 {
    let mut hasher = DefaultHasher::new();
    (code, sentence).hash(&mut hasher);
    hasher.finish() as i64
}

/// How HubSpot answered the same wanted value before.
enum Answered {
    /// It stored the value in a form of its own.
    Normalised,
    /// It kept the value it had, as with a lifecycle stage moved backwards.
    Ignored,
}

/// What was last set, in the form that values are compared in.
struct Comparable<'a> {
    set: Option<Set<'a>>,
    value: Cow<'a, str>,
    returned: Option<Cow<'a, str>>,
    before: Cow<'a, str>,
    intended: Option<Cow<'a, str>>,
}

impl<'a> Comparable<'a> {
    fn new(property: &TargetProperty, last: Last<'a>) -> Self {
        let form = |text: &'a str| {
            if text.is_empty() { Cow::Borrowed("") } else { property.form.held(text) }
        };
        Self {
            value: last.written.map_or(Cow::Borrowed(""), |set| form(set.value)),
            returned: last.written.and_then(|set| set.returned).map(form),
            before: last.written.map_or(Cow::Borrowed(""), |set| form(set.before)),
            intended: last.intended.map(form),
            set: last.written,
        }
    }

    fn standing(&self, held: &str) -> Standing {
        if self.intended.as_deref() == Some(held) {
            return Standing::Ours;
        }
        match self.set {
            None => Standing::NeverSet,
            // What HubSpot made of our value is ours; what it kept in spite of it is not.
            Some(_) if self.value == held => Standing::Ours,
            Some(_) if self.returned.as_deref() == Some(held) && self.before != held => {
                Standing::Ours
            }
            Some(_) => Standing::Edited,
        }
    }

    /// Whether this very value was sent and HubSpot still holds its answer: to
    /// send it again would change nothing, for ever.
    fn answered(&self, wanted: &str, held: &str) -> Option<Answered> {
        self.set?;
        let same_again =
            self.value == wanted && self.returned.as_deref() == Some(held) && wanted != held;
        same_again.then_some(if self.before == held {
            Answered::Ignored
        } else {
            Answered::Normalised
        })
    }

    /// Whether HubSpot shows the value from before our own write only because
    /// the read is older than the write.
    fn is_stale(&self, held: &str, updated_at: Option<i64>, lag: Lag) -> bool {
        self.set.is_some_and(|set| {
            let is_recent = lag.now.saturating_sub(set.written_at) < lag.length;
            let read_is_older = match (updated_at, set.updated_at) {
                (Some(read), Some(written)) => read < written,
                _ => true,
            };
            is_recent
                && read_is_older
                && self.before == held
                && self.value != held
                && self.intended.is_none()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::config::WriteBackConfig;

    const LAG: Lag = Lag { now: 100_000_000, length: 60_000_000 };

    fn target() -> Target {
        let yaml = "{ object: contacts, match: { record_id: id }, properties: {
            score: { create: { type: number, group: g, label: S } },
            jobtitle: { policy: yield, create: { type: string, group: g, label: J } } } }";
        let config: WriteBackConfig = serde_saphyr::from_str(yaml).expect("valid settings");
        Target::new("w", &config, &[]).expect("a target")
    }

    fn set<'a>(value: &'a str, before: &'a str, returned: Option<&'a str>) -> Last<'a> {
        let set =
            Set { value, before, returned, written_at: 90_000_000, updated_at: Some(90_000_000) };
        Last { written: Some(set), intended: None }
    }

    fn decide(
        name: &str,
        wanted: &str,
        last: Last<'_>,
        held: &str,
        updated_at: i64,
    ) -> Option<(Verdict, bool)> {
        let target = target();
        let at = target.properties.iter().find(|property| property.name == name).expect("declared");
        let facts = Facts {
            wanted: Wanted::Value(wanted),
            last,
            held: held.into(),
            updated_at: Some(updated_at),
        };
        property(at, facts, LAG).map(|change| (change.verdict, change.conflict))
    }

    #[test]
    fn our_own_before_image_within_the_lag_is_deferred() {
        let last = set("5", "3", None);
        assert_eq!(decide("score", "7", last, "3", 80_000_000), Some((Verdict::Defer, false)));
        // Read after our write: somebody put the old value back.
        assert_eq!(decide("score", "7", last, "3", 95_000_000), Some((Verdict::Write, true)));
        let old = Set { written_at: 1, ..last.written.expect("set") };
        let last = Last { written: Some(old), intended: None };
        assert_eq!(decide("score", "7", last, "3", 80_000_000), Some((Verdict::Write, true)));
    }

    #[test]
    fn an_intent_that_happened_is_ours_and_one_that_did_not_is_no_edit() {
        let last = Last { intended: Some("New"), ..set("Old", "", None) };
        assert_eq!(decide("jobtitle", "Newer", last, "New", 0), Some((Verdict::Write, false)));
        assert_eq!(decide("jobtitle", "New", last, "Old", 0), Some((Verdict::Write, false)));
        let edited = Some((Verdict::Keep(Kept::Edited), true));
        assert_eq!(decide("jobtitle", "New", last, "Mine", 0), edited);
    }

    #[test]
    fn what_hubspot_ignored_or_normalised_is_not_sent_for_ever() {
        let ignored = set("lead", "customer", Some("customer"));
        let kept = Some((Verdict::Keep(Kept::Ignored), false));
        assert_eq!(decide("jobtitle", "lead", ignored, "customer", 0), kept);
        let normalised = set("+49 30 1", "", Some("+49301"));
        assert_eq!(decide("jobtitle", "+49 30 1", normalised, "+49301", 0), None);
        assert_eq!(
            decide("jobtitle", "+49 30 2", normalised, "+49301", 0),
            Some((Verdict::Write, false))
        );
    }

    #[test]
    fn what_hubspot_kept_in_spite_of_us_is_never_cleared_as_ours() {
        let target = target();
        let title = target.properties.iter().find(|p| p.name == "jobtitle").expect("declared");
        let gone = |last, held: &'static str| {
            let facts = Facts {
                wanted: Wanted::Skip,
                last,
                held: held.into(),
                updated_at: Some(95_000_000),
            };
            no_longer_wanted(title, facts, LAG).map(|change| change.verdict)
        };
        let theirs = gone(set("Our title", "Theirs", Some("Theirs")), "Theirs");
        assert_eq!(theirs, Some(Verdict::Keep(Kept::NoLongerOurs)));
        let ours = gone(set("+49 30 1", "", Some("+49301")), "+49301");
        assert_eq!(ours, Some(Verdict::Write));
        let edited = Some((Verdict::Keep(Kept::Edited), true));
        let ignored = set("Our title", "Theirs", Some("Theirs"));
        assert_eq!(decide("jobtitle", "Another", ignored, "Theirs", 0), edited);
    }

    #[test]
    fn spelling_is_no_edit() {
        assert_eq!(
            decide("score", "7", set("5.0", "", None), "5", 95_000_000),
            Some((Verdict::Write, false))
        );
        assert_eq!(
            decide("score", "7", set("5", "", None), "6", 95_000_000),
            Some((Verdict::Write, true))
        );
        assert_eq!(decide("score", "7", Last::default(), "7", 0), None);
    }

    #[test]
    fn a_row_takes_its_strongest_verdict() {
        let change = |verdict| Change {
            property: "p",
            new: "n".into(),
            old: "o".into(),
            last_set: None,
            verdict,
            conflict: false,
            theirs: false,
        };
        let keep = change(Verdict::Keep(Kept::Edited));
        assert_eq!(action(&[]), Action::Unchanged);
        assert_eq!(action(std::slice::from_ref(&keep)), Action::Keep);
        assert_eq!(action(&[change(Verdict::Write), keep.clone()]), Action::Update);
        assert_eq!(action(&[change(Verdict::Defer), change(Verdict::Write)]), Action::Defer);
    }
}
