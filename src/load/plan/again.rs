//! One row planned again against a record that the mirror had not seen.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::decide::{self, Change, Facts, Lag};
use super::deciding::{held_now, stamps};
use super::last_set::Last;
use super::rows::{PlannedChange, PlannedRow};
use crate::hubspot::Record;
use crate::load::policy::Wanted;
use crate::load::target::{Target, TargetProperty};

/// The changes that the policies leave of a planned create once its record
/// turns out to exist. hublake has set nothing of it as far as it knows.
pub(crate) fn again(
    target: &Target,
    row: &PlannedRow,
    record: &Record,
    now: i64,
) -> BTreeMap<String, PlannedChange> {
    let change = |property: &TargetProperty| {
        let wanted = row.changes.get(&property.name)?;
        let facts = Facts {
            wanted: Wanted::Value(&wanted.new),
            last: Last::default(),
            held: held_now(record, property),
            updated_at: record.updated_at,
        };
        decide::property(property, facts, Lag { now: 0, length: 0 }).map(planned)
    };
    let mut changes: BTreeMap<String, PlannedChange> =
        target.properties.iter().filter_map(change).collect();
    if changes.values().any(PlannedChange::is_write) {
        changes.extend(stamps(target, Some(record), now).map(planned));
    }
    changes
}

fn planned(change: Change<'_>) -> (String, PlannedChange) {
    let old = Some(change.old).filter(|old| !old.is_empty()).map(Cow::into_owned);
    let planned = PlannedChange {
        old,
        new: change.new.into_owned(),
        last_set: None,
        decision: change.verdict.name().to_owned(),
        reason: change.verdict.reason().map(str::to_owned),
        conflict: change.conflict,
        theirs: false,
    };
    (change.property.to_owned(), planned)
}
