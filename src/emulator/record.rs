//! One record: what the seed says of it, and what has been changed since.

use super::formulas;
use super::moment;
use super::schema::{Catalogue, Property, Slot};
use super::seed::plan::Make;
use super::seed::realms::Realm;
use super::seed::world::{Seeded, World};

/// A moment later than any other: read what is true now.
pub(crate) const NOW: i64 = i64::MAX;

/// Who made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A call of the API.
    Api,
    /// A person in the user interface.
    Person,
    /// A merge of two records.
    Merge,
    /// HubSpot's own arithmetic.
    Calculated,
}

impl Source {
    /// The `sourceType` of property history.
    pub(crate) fn wire(self) -> &'static str {
        match self {
            Self::Api => "INTEGRATION",
            Self::Person => "CRM_UI",
            Self::Merge => "MERGE_OBJECTS",
            Self::Calculated => "CALCULATED",
        }
    }
}

impl Source {
    /// The `sourceId` of property history.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Api => "1024738",
            Self::Person => "userId:5555888",
            Self::Merge => "MergeObjects",
            Self::Calculated => "CalculatedPropertyComputer",
        }
    }
}

impl Source {
    /// The `updatedByUserId` of property history.
    pub(crate) fn user(self) -> Option<u64> {
        matches!(self, Self::Person).then_some(5_555_888)
    }
}

/// One value that a property was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) slot: Slot,
    pub(crate) source: Source,
    pub(crate) at: i64,
    /// Empty when the property was cleared.
    pub(crate) value: Box<str>,
}

/// What has been changed of a record, or all of one that was created here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// When it was created, unless the seed knows.
    pub(crate) born: Option<i64>,
    /// When it was changed, oldest first.
    pub(crate) touches: Vec<i64>,
    /// Oldest first.
    pub(crate) versions: Vec<Version>,
    pub(crate) archived: Option<i64>,
    /// The record that this one was merged into.
    pub(crate) merged_into: Option<u64>,
    /// Deleted for good: no trace is shown anywhere.
    pub(crate) purged: bool,
}

/// Values kept of one property, by the type's plural name: HubSpot caps the
/// depth of history too (`unverified` numbers).
pub(crate) fn depth(plural: &str) -> usize {
    if plural == "contacts" { 45 } else { 20 }
}

/// Touches kept: enough to know what search saw a while ago.
const TOUCHES: usize = 16;

impl Record {
    /// Notes a change of the record as a whole.
    pub(crate) fn touch(&mut self, at: i64) {
        if self.touches.len() == TOUCHES {
            self.touches.remove(0);
        }
        self.touches.push(at);
    }

    /// Gives a property a value; the oldest one goes when there are too many.
    pub(crate) fn set(&mut self, version: Version, depth: usize) {
        let same = |other: &&Version| other.slot == version.slot;
        if self.versions.iter().filter(same).count() >= depth {
            let oldest = self.versions.iter().position(|other| other.slot == version.slot);
            oldest.map(|at| self.versions.remove(at));
        }
        self.versions.push(version);
    }

    fn version(&self, slot: Slot, as_of: i64) -> Option<&Version> {
        self.versions.iter().rev().find(|version| version.slot == slot && version.at <= as_of)
    }

    fn touched(&self, as_of: i64) -> Option<i64> {
        self.touches.iter().rev().find(|at| **at <= as_of).copied()
    }
}

/// A record as it stood at some moment.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) id: u64,
    pub(crate) world: &'a World,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) realm: Option<Realm>,
    pub(crate) seeded: Option<Seeded>,
    pub(crate) record: Option<&'a Record>,
    /// Later changes are not seen.
    pub(crate) as_of: i64,
}

impl View<'_> {
    /// The same record at another moment.
    pub(crate) fn at(mut self, as_of: i64) -> Self {
        self.as_of = as_of;
        self
    }

    /// When it was created.
    pub(crate) fn created(&self) -> i64 {
        let born = self.record.and_then(|record| record.born);
        born.or_else(|| self.seeded.map(|seeded| seeded.created)).unwrap_or_default()
    }

    /// When it was last changed.
    pub(crate) fn modified(&self) -> i64 {
        let touched = self.record.and_then(|record| record.touched(self.as_of));
        let seeded = || self.seeded.map(|seeded| seeded.modified);
        touched.or_else(seeded).unwrap_or_else(|| self.created())
    }

    /// When it was archived, if it was by then.
    pub(crate) fn archived(&self) -> Option<i64> {
        let archived = match self.record {
            Some(record) => record.archived,
            None => self.seeded.and_then(|seeded| seeded.archived),
        };
        archived.filter(|at| *at <= self.as_of)
    }

    /// Whether readers see it as a record of the account.
    pub(crate) fn is_live(&self) -> bool {
        self.archived().is_none() && !self.is_gone() && self.created() <= self.as_of
    }

    /// Whether it was merged away or deleted for good.
    pub(crate) fn is_gone(&self) -> bool {
        self.record.is_some_and(|record| record.merged_into.is_some() || record.purged)
    }

    /// Appends the value of a property; false if there is none. A cleared
    /// property has the value `""`.
    pub(crate) fn push(&self, slot: Slot, out: &mut String) -> bool {
        let property = self.catalogue.at(slot);
        match property.make {
            Make::Id => moment::push_number(out, self.id),
            Make::Modified => moment::push_exact(out, self.modified()),
            Make::Created if property.read_only => moment::push_exact(out, self.created()),
            // Deals and tickets may be given another one.
            Make::Created => {
                match self.record.and_then(|record| record.version(slot, self.as_of)) {
                    Some(version) => out.push_str(&version.value),
                    None => moment::push_exact(out, self.created()),
                }
            }
            _ if property.formula.is_some() => match self.worked_out(property) {
                Some(value) => out.push_str(&value),
                None => return false,
            },
            _ => {
                let version = self.record.and_then(|record| record.version(slot, self.as_of));
                match (version, self.realm, &self.seeded) {
                    (Some(version), ..) => out.push_str(&version.value),
                    (None, Some(realm), Some(seeded)) => {
                        return self.world.value(realm, seeded, property, out).is_some();
                    }
                    _ => return false,
                }
            }
        }
        true
    }

    /// The value of a calculated property: formulas do not see each other, so
    /// that none can wait for itself.
    fn worked_out(&self, property: &Property) -> Option<String> {
        let lookup = |name: &str| {
            let (slot, other) = self.catalogue.find(name)?;
            if other.formula.is_some() { None } else { self.value(slot) }
        };
        formulas::evaluate(property.formula.as_deref()?, &lookup)
    }

    /// Whether a write has touched a property.
    pub(crate) fn is_written(&self, slot: Slot) -> bool {
        self.record.is_some_and(|record| record.version(slot, self.as_of).is_some())
    }

    /// The value of a property.
    pub(crate) fn value(&self, slot: Slot) -> Option<String> {
        let mut value = String::new();
        self.push(slot, &mut value).then_some(value)
    }

    /// The value of a property by name; none if it is empty or cleared.
    pub(crate) fn named(&self, name: &str) -> Option<String> {
        let (slot, _) = self.catalogue.find_any(name)?;
        self.value(slot).filter(|value| !value.is_empty())
    }

    /// Every value the property has had, newest first.
    pub(crate) fn history(&self, slot: Slot) -> Vec<Version> {
        let versions = self.record.into_iter().flat_map(|record| record.versions.iter().rev());
        let mut history: Vec<Version> =
            versions.filter(|version| version.slot == slot).cloned().collect();
        let at = match self.catalogue.at(slot).make {
            Make::Id => return history,
            Make::Modified => Some(self.modified()),
            Make::Created => Some(self.created()).filter(|_| history.is_empty()),
            _ => self.seeded.map(|seeded| seeded.created),
        };
        let first = Self { record: self.record.filter(|_| self.seeded.is_none()), ..*self };
        if let (Some(at), Some(value)) = (at, first.value(slot)) {
            history.push(Version { slot, source: Source::Api, at, value: value.into() });
        }
        history
    }
}
