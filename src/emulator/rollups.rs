//! What HubSpot counts up from associations: it follows them by itself, a
//! moment later, and never moves a modified date.

use super::account::Account;
use super::associations::TypeAt;
use super::record::{Source, View};

/// Properties that count associates: of which type, which property, of what,
/// and whether only open deals count.
const COUNTS: &[(&str, &str, &str, bool)] = &[
    ("contacts", "num_associated_deals", "deals", false),
    ("companies", "num_associated_contacts", "contacts", false),
    ("companies", "num_associated_deals", "deals", false),
    ("companies", "hs_num_open_deals", "deals", true),
    ("deals", "num_associated_contacts", "contacts", false),
];

/// The kind by which a company is the child of another.
const PARENT_OF: u32 = 13;

impl Account {
    /// Notes that a record's counts are out of date.
    pub(crate) fn mark_stale(&mut self, at: TypeAt, id: u64) {
        if COUNTS.iter().any(|(of, ..)| *of == self.name_of(at)) {
            self.stale.insert((at, id));
        }
    }

    /// Notes that the counts of all that a record is associated with are out
    /// of date.
    pub(crate) fn mark_associates_stale(&mut self, at: TypeAt, id: u64) {
        for name in ["contacts", "companies", "deals"] {
            let Some(to) = self.type_at(name) else { continue };
            let others: Vec<u64> = self.associates(at, id, to).into_keys().collect();
            self.stale.extend(others.into_iter().map(|other| (to, other)));
        }
    }

    /// Brings all counts up to date.
    pub(crate) fn refresh_counts(&mut self) {
        for (at, id) in std::mem::take(&mut self.stale) {
            self.refresh_record(at, id);
        }
    }

    fn refresh_record(&mut self, at: TypeAt, id: u64) {
        let mut changes = Vec::new();
        for (of, name, to, only_open) in COUNTS {
            if *of != self.name_of(at) {
                continue;
            }
            let (Some(to), Some((slot, _))) =
                (self.type_at(to), self.tables[at].catalogue.find(name))
            else {
                continue;
            };
            let associates = self.associates(at, id, to);
            let counted = |other: &&u64| {
                let view = self.tables[to].live(**other).filter(|_| *only_open);
                view.is_none_or(|view| !self.is_closed(to, &view))
            };
            changes.push((slot, associates.keys().filter(counted).count().to_string()));
        }
        if let (Some((slot, _)), "companies") =
            (self.tables[at].catalogue.find("hs_num_child_companies"), self.name_of(at))
        {
            let companies = self.associates(at, id, at);
            let children = companies.values().filter(|kinds| kinds.contains(&PARENT_OF)).count();
            changes.push((slot, children.to_string()));
        }
        self.refresh_primary(at, id);
        let Some(view) = self.tables[at].live(id) else { return };
        changes.retain(|(slot, value)| view.value(*slot).as_ref() != Some(value));
        if !changes.is_empty() {
            let now = self.clock.now();
            self.tables[at].apply(id, changes, now, Source::Calculated, false);
        }
    }

    /// Whether a deal's stage is one that ends it.
    fn is_closed(&self, at: TypeAt, view: &View<'_>) -> bool {
        let Some(stage) = view.named("dealstage") else { return false };
        self.stage(at, &stage).is_some_and(|stage| stage.is_closed())
    }
}
