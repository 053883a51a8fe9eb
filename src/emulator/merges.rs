//! Merging two records, and deleting one for good.

use super::account::Account;
use super::associations::{Kind, TypeAt};
use super::moment;
use super::record::{Source, View};
use super::schema::Slot;
use super::table::Change;
use super::webhooks::Hand;
use super::write::emails;

/// How long an archived record, or a property, can come back.
pub(crate) const RECYCLED: i64 = 90 * moment::DAY;

impl Account {
    /// Merges two live records of a type into a third, new one, as HubSpot
    /// does since January 2025; both old ids lead to it. Returns its id.
    pub(crate) fn merge(&mut self, at: TypeAt, primary: u64, other: u64) -> u64 {
        self.merge_by(at, primary, other, Hand::App)
    }

    /// The same by somebody's hand.
    pub(crate) fn merge_by(&mut self, at: TypeAt, primary: u64, other: u64, hand: Hand) -> u64 {
        let now = self.clock.now();
        let draft = self.merged_values(at, primary, other);
        let id = self.tables[at].new_id();
        self.tell_merged(at, id, [primary, other], &draft, hand);
        let table = &mut self.tables[at];
        for (slot, value) in &draft {
            if table.catalogue.at(*slot).unique {
                table.remember(*slot, value.to_lowercase(), id);
            }
        }
        table.insert(id, draft, now, Source::Merge);
        table.set_merged(primary, id, now);
        table.set_merged(other, id, now);
        self.hand_over(at, primary, id);
        self.hand_over(at, other, id);
        self.remember_emails(at, id);
        self.mark_associates_stale(at, id);
        self.refresh_counts();
        id
    }

    /// Deletes a record for good.
    pub(crate) fn gdpr_delete(&mut self, at: TypeAt, id: u64) {
        let now = self.clock.now();
        self.mark_associates_stale(at, id);
        let addresses: Vec<String> =
            self.tables[at].view(id).map(|view| emails(&view).collect()).unwrap_or_default();
        self.blocked_emails.extend(addresses);
        self.tell_forgotten(at, id, Hand::App);
        self.leave_lists(at, id);
        self.tables[at].purge(id, now);
    }

    /// Takes a record that goes off all lists.
    pub(crate) fn leave_lists(&mut self, at: TypeAt, id: u64) {
        for list in self.lists.values_mut().filter(|list| list.of == at) {
            list.members.remove(&id);
        }
    }

    /// How many ids and addresses lead to a record.
    pub(crate) fn identities(&self, at: TypeAt, id: u64) -> usize {
        let Some(view) = self.tables[at].live(id) else { return 0 };
        let former = view.named("hs_merged_object_ids").unwrap_or_default();
        let former = former.split(';').filter(|id| !id.is_empty()).count();
        1 + former + emails(&view).count()
    }

    /// Whether a record has lain in the recycle bin for longer than it may.
    /// What the seed archived lies there for good: a fresh account looks the
    /// same in any year.
    pub(crate) fn is_past_recycling(&self, view: &View<'_>) -> bool {
        let seeded = view.seeded.and_then(|seeded| seeded.archived);
        let archived = view.archived().filter(|at| seeded != Some(*at));
        archived.is_some_and(|at| at + RECYCLED < self.clock.now())
    }

    /// The primary record's values, the gaps filled from the other; addresses
    /// of both are kept.
    fn merged_values(&self, at: TypeAt, primary: u64, other: u64) -> Vec<Change> {
        let table = &self.tables[at];
        let (Some(first), Some(second)) = (table.live(primary), table.live(other)) else {
            return Vec::new();
        };
        let value = |slot: Slot| {
            let filled = |value: &String| !value.is_empty();
            first.value(slot).filter(filled).or_else(|| second.value(slot).filter(filled))
        };
        let slots =
            table.catalogue.iter().filter(|(slot, _)| !table.catalogue.always.contains(slot));
        let mut values: Vec<Change> =
            slots.filter_map(|(slot, _)| Some((slot, value(slot)?))).collect();
        let mut set = |name: &str, text: String| {
            let Some((slot, _)) = table.catalogue.find(name) else { return };
            values.retain(|(other, _)| *other != slot);
            if !text.is_empty() {
                values.push((slot, text));
            }
        };
        let former = |id: u64, earlier: Option<String>| match earlier {
            Some(earlier) => format!("{earlier};{id}"),
            None => id.to_string(),
        };
        let ids = [
            former(primary, first.named("hs_merged_object_ids")),
            former(other, second.named("hs_merged_object_ids")),
        ];
        set("hs_merged_object_ids", ids.join(";"));
        if table.object_type.plural == "contacts" {
            // Only this merge's: those before it are lost here.
            let now = self.clock.now();
            set("hs_calculated_merged_vids", format!("{primary}:{now};{other}:{now}"));
            let mut addresses: Vec<String> = emails(&first).chain(emails(&second)).collect();
            let mut additional = addresses.split_off(addresses.len().min(1));
            additional.dedup();
            set("hs_additional_emails", additional.join(";"));
        }
        values
    }

    /// Gives the associations and list memberships of a record that was
    /// merged away to the survivor, which keeps its one primary.
    fn hand_over(&mut self, at: TypeAt, from: u64, to: u64) {
        for other_at in 0..self.tables.len() {
            for (other, kinds) in self.associates(at, from, other_at) {
                if other_at == at && other == to {
                    continue;
                }
                let child = self.primary_side(at, to, other_at, other);
                let taken = self.primary_parent(child).is_some();
                let is_primary = |kind: &u32| {
                    let kind = self.associations.kind(at, other_at, *kind);
                    kind.is_some_and(Kind::is_primary)
                };
                let mut all = self.pair(at, to, other_at, other);
                let new = kinds.iter().filter(|kind| !(taken && is_primary(kind)));
                let new: Vec<u32> = new.filter(|kind| !all.contains(kind)).copied().collect();
                all.extend(new);
                self.associations.set(at, to, other_at, other, all);
                self.follow(at, to, other_at, other);
            }
        }
        let lists = self.lists.values_mut().filter(|list| list.of == at);
        for list in lists {
            if let Some(joined) = list.members.remove(&from) {
                list.members.insert(to, joined);
            }
        }
    }

    fn remember_emails(&mut self, at: TypeAt, id: u64) {
        let Some((slot, _)) = self.tables[at].catalogue.find("email") else { return };
        let Some(view) = self.tables[at].live(id) else { return };
        let addresses: Vec<String> = emails(&view).collect();
        for address in addresses {
            self.tables[at].remember(slot, address, id);
        }
    }
}
