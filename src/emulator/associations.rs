//! Who is associated with whom, and under which label.

use std::collections::BTreeMap;

/// Position of an object type among the account's tables.
pub(crate) type TypeAt = usize;

/// One kind of association in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) id: u32,
    pub(crate) category: &'static str,
    pub(crate) name: String,
    pub(crate) label: Option<String>,
    /// The same association seen from the other side.
    pub(crate) inverse: u32,
}

impl Kind {
    /// Whether the account made it.
    pub(crate) fn is_own(&self) -> bool {
        self.category == OWN
    }

    /// Whether it is a label that the account made.
    pub(crate) fn is_own_label(&self) -> bool {
        self.is_own() && self.label.is_some()
    }

    /// Whether it marks the one among several that comes first.
    pub(crate) fn is_primary(&self) -> bool {
        !self.is_own() && self.label.as_deref() == Some(PRIMARY)
    }
}

/// The label of the associate that comes first.
const PRIMARY: &str = "Primary";

/// A row of the table of standard kinds: from, to, the two unlabelled ids, and
/// the two primary ids if there are any.
type Row = (&'static str, &'static str, [u32; 2], Option<[u32; 2]>);

/// The category of kinds that an account made itself.
const OWN: &str = "USER_DEFINED";

/// Type ids of section 11 of the API reference.
const STANDARD: &[Row] = &[
    ("contacts", "companies", [279, 280], Some([1, 2])),
    ("contacts", "contacts", [449, 449], None),
    ("contacts", "deals", [4, 3], None),
    ("contacts", "tickets", [15, 16], None),
    ("contacts", "leads", [609, 608], Some([579, 578])),
    ("companies", "companies", [450, 450], None),
    ("companies", "deals", [342, 341], Some([6, 5])),
    ("companies", "tickets", [340, 339], Some([25, 26])),
    ("companies", "leads", [611, 610], Some([581, 580])),
    ("deals", "deals", [451, 451], None),
    ("deals", "tickets", [27, 28], None),
    ("deals", "leads", [1038, 1037], Some([583, 582])),
    ("tickets", "tickets", [452, 452], None),
    ("calls", "contacts", [194, 193], None),
    ("calls", "companies", [182, 181], None),
    ("calls", "deals", [206, 205], None),
    ("calls", "tickets", [220, 219], None),
    ("emails", "contacts", [198, 197], None),
    ("emails", "companies", [186, 185], None),
    ("emails", "deals", [210, 209], None),
    ("emails", "tickets", [224, 223], None),
    ("meetings", "contacts", [200, 199], None),
    ("meetings", "companies", [188, 187], None),
    ("meetings", "deals", [212, 211], None),
    ("meetings", "tickets", [226, 225], None),
    ("notes", "contacts", [202, 201], None),
    ("notes", "companies", [190, 189], None),
    ("notes", "deals", [214, 213], None),
    ("notes", "tickets", [228, 227], None),
    ("tasks", "contacts", [204, 203], None),
    ("tasks", "companies", [192, 191], None),
    ("tasks", "deals", [216, 215], None),
    ("tasks", "tickets", [230, 229], None),
    ("communications", "contacts", [81, 82], None),
    ("communications", "companies", [87, 88], None),
    ("communications", "deals", [85, 86], None),
    ("communications", "tickets", [83, 84], None),
    ("postal_mail", "contacts", [453, 454], None),
    ("postal_mail", "companies", [459, 460], None),
    ("postal_mail", "deals", [457, 458], None),
    ("postal_mail", "tickets", [455, 456], None),
    ("line_items", "deals", [20, 19], None),
    ("line_items", "quotes", [68, 67], None),
    ("quotes", "contacts", [69, 70], None),
    ("quotes", "companies", [71, 72], None),
    ("quotes", "deals", [64, 63], None),
    ("orders", "contacts", [507, 508], None),
    ("orders", "companies", [934, 935], Some([509, 510])),
    ("orders", "deals", [512, 511], None),
    ("orders", "tickets", [525, 526], None),
    ("invoices", "contacts", [177, 178], None),
    ("invoices", "companies", [179, 180], None),
    ("invoices", "deals", [175, 176], None),
    ("subscriptions", "contacts", [295, 296], None),
    ("subscriptions", "companies", [297, 298], None),
    ("subscriptions", "deals", [299, 300], None),
    ("invoices", "tickets", [986, 987], None),
    ("subscriptions", "tickets", [1121, 1122], None),
    ("feedback_submissions", "contacts", [98, 97], None),
    ("feedback_submissions", "companies", [928, 929], None),
    ("feedback_submissions", "deals", [984, 985], None),
    ("feedback_submissions", "tickets", [100, 99], None),
    ("feedback_submissions", "leads", [1161, 1162], None),
    ("calls", "leads", [597, 596], None),
    ("emails", "leads", [599, 598], None),
    ("meetings", "leads", [601, 600], None),
    ("notes", "leads", [855, 854], None),
    ("tasks", "leads", [647, 646], None),
    ("communications", "leads", [603, 602], None),
    ("tasks", "quotes", [218, 217], None),
];

/// Labels of HubSpot's own beside the primary one: from, to, ids, labels.
const LABELLED: &[(&str, &str, [u32; 2], [&str; 2])] = &[
    ("contacts", "companies", [931, 930], ["Billing contact", "Billing contact of"]),
    ("companies", "companies", [13, 14], ["Child Company", "Parent Company"]),
];

/// The kinds there are, and the pairs that differ from what the seed says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Associations {
    /// Unlabelled kinds first.
    kinds: BTreeMap<(TypeAt, TypeAt), Vec<Kind>>,
    /// (from, id, to, id) to the kinds of the pair; none means dissociated.
    pairs: BTreeMap<(TypeAt, u64, TypeAt, u64), Vec<u32>>,
    /// How many associates of one kind a record may have, where the account
    /// set a limit.
    limits: BTreeMap<(TypeAt, TypeAt, u32), u64>,
    next_kind: u32,
}

impl Associations {
    /// The kinds of a fresh account; `types` are the plural names in order.
    pub(crate) fn new(types: &[&str]) -> Self {
        let mut associations = Self { next_kind: 28, ..Self::default() };
        let at = |name: &str| types.iter().position(|plural| *plural == name);
        for (from, to, [there, back], primary) in STANDARD {
            let (Some(from_at), Some(to_at)) = (at(from), at(to)) else { continue };
            let name = format!("{from}_to_{to}");
            associations.add_pair(from_at, to_at, [*there, *back], "HUBSPOT_DEFINED", &name, None);
            if let Some(ids) = primary {
                let label = Some(PRIMARY);
                associations.add_pair(from_at, to_at, *ids, "HUBSPOT_DEFINED", &name, label);
            }
        }
        for (from, to, ids, [there, back]) in LABELLED {
            let (Some(from_at), Some(to_at)) = (at(from), at(to)) else { continue };
            let name = format!("{from}_to_{to}_{}", there.to_lowercase().replace(' ', "_"));
            let label = Some(*there);
            associations.add_pair(from_at, to_at, *ids, "HUBSPOT_DEFINED", &name, label);
            associations.relabel(to_at, from_at, ids[1], back);
        }
        associations
    }

    /// The kinds from one type to another, the unlabelled one first. A pair
    /// that had none (custom objects) is given one.
    pub(crate) fn kinds(&self, from: TypeAt, to: TypeAt) -> &[Kind] {
        self.kinds.get(&(from, to)).map_or(&[], Vec::as_slice)
    }

    /// A kind by its id.
    pub(crate) fn kind(&self, from: TypeAt, to: TypeAt, id: u32) -> Option<&Kind> {
        self.kinds(from, to).iter().find(|kind| kind.id == id)
    }

    /// Adds a kind in both directions.
    pub(crate) fn add_pair(
        &mut self,
        from: TypeAt,
        to: TypeAt,
        [there, back]: [u32; 2],
        category: &'static str,
        name: &str,
        label: Option<&str>,
    ) {
        let kind = |id, inverse| Kind {
            id,
            category,
            name: name.to_owned(),
            label: label.map(str::to_owned),
            inverse,
        };
        self.kinds.entry((from, to)).or_default().push(kind(there, back));
        if (from, there) != (to, back) {
            self.kinds.entry((to, from)).or_default().push(kind(back, there));
        }
    }

    /// The kinds that the account made itself, in both directions.
    pub(crate) fn own_kinds(&self) -> impl Iterator<Item = (TypeAt, TypeAt, &Kind)> {
        let all = self.kinds.iter();
        all.flat_map(|((from, to), kinds)| kinds.iter().map(|kind| (*from, *to, kind)))
            .filter(|(.., kind)| kind.category == OWN)
    }

    /// Adds a kind of the account's own in one direction.
    pub(crate) fn add_own_kind(
        &mut self,
        from: TypeAt,
        to: TypeAt,
        [id, inverse]: [u32; 2],
        name: String,
        label: Option<String>,
    ) {
        let kind = Kind { id, category: OWN, name, label, inverse };
        self.kinds.entry((from, to)).or_default().push(kind);
    }

    /// The number that the ids of new kinds are counted from.
    pub(crate) fn last_kind(&self) -> u32 {
        self.next_kind
    }

    /// Counts the ids of new kinds from another number.
    pub(crate) fn set_last_kind(&mut self, last: u32) {
        self.next_kind = self.next_kind.max(last);
    }

    /// Gives a kind another label.
    pub(crate) fn relabel(&mut self, from: TypeAt, to: TypeAt, id: u32, label: &str) {
        let kinds = self.kinds.get_mut(&(from, to)).into_iter().flatten();
        for kind in kinds.filter(|kind| kind.id == id) {
            kind.label = Some(label.to_owned());
        }
    }

    /// Removes a kind in both directions, and takes it off every pair.
    pub(crate) fn remove_kind(&mut self, from: TypeAt, to: TypeAt, id: u32) {
        let Some(inverse) = self.kind(from, to, id).map(|kind| kind.inverse) else { return };
        for (from, to, id) in [(from, to, id), (to, from, inverse)] {
            if let Some(kinds) = self.kinds.get_mut(&(from, to)) {
                kinds.retain(|kind| kind.id != id);
            }
            self.limits.remove(&(from, to, id));
            let pairs = self.pairs.iter_mut();
            for (_, kinds) in pairs.filter(|((a, _, b, _), _)| (*a, *b) == (from, to)) {
                kinds.retain(|kind| *kind != id);
            }
        }
    }

    /// The limits that the account set: from, to, kind, and how many.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (&(TypeAt, TypeAt, u32), &u64)> {
        self.limits.iter()
    }

    /// How many associates of a kind a record may have, if there is a limit.
    pub(crate) fn limit(&self, from: TypeAt, to: TypeAt, id: u32) -> Option<u64> {
        self.limits.get(&(from, to, id)).copied()
    }

    /// Sets or lifts a limit.
    pub(crate) fn set_limit(&mut self, from: TypeAt, to: TypeAt, id: u32, most: Option<u64>) {
        match most {
            Some(most) => self.limits.insert((from, to, id), most),
            None => self.limits.remove(&(from, to, id)),
        };
    }

    /// Two ids for a new kind, there and back.
    pub(crate) fn new_kind_ids(&mut self) -> [u32; 2] {
        self.next_kind += 2;
        // The account's own ids are small numbers too (recorded: 28, 36), but
        // must not meet HubSpot's: count from beyond them.
        [self.next_kind + 2_000, self.next_kind + 2_001]
    }

    /// What has been changed of one record's associations to a type.
    pub(crate) fn changed(
        &self,
        from: TypeAt,
        id: u64,
        to: TypeAt,
    ) -> impl Iterator<Item = (u64, &[u32])> {
        let range = (from, id, to, 0)..=(from, id, to, u64::MAX);
        self.pairs.range(range).map(|((.., other), kinds)| (*other, kinds.as_slice()))
    }

    /// All that has been changed: (from, id, to, id) to the kinds.
    pub(crate) fn pairs(&self) -> &BTreeMap<(TypeAt, u64, TypeAt, u64), Vec<u32>> {
        &self.pairs
    }

    /// Sets the kinds of a pair in one direction only, as `pairs` told it.
    pub(crate) fn put(&mut self, from: TypeAt, id: u64, to: TypeAt, other: u64, kinds: Vec<u32>) {
        self.pairs.insert((from, id, to, other), kinds);
    }

    /// What has been changed of one pair.
    pub(crate) fn pair(&self, from: TypeAt, id: u64, to: TypeAt, other: u64) -> Option<&[u32]> {
        self.pairs.get(&(from, id, to, other)).map(Vec::as_slice)
    }

    /// Sets the kinds of a pair, in both directions.
    pub(crate) fn set(&mut self, from: TypeAt, id: u64, to: TypeAt, other: u64, kinds: Vec<u32>) {
        let inverse = |kind: &u32| self.kind(from, to, *kind).map(|kind| kind.inverse);
        let back: Vec<u32> = kinds.iter().filter_map(inverse).collect();
        self.pairs.insert((from, id, to, other), kinds);
        self.pairs.insert((to, other, from, id), back);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_are_kept() {
        let mut associations = Associations::new(&["contacts", "companies"]);
        associations.set(0, 7, 1, 9, vec![1, 279]);
        assert_eq!(associations.pair(1, 9, 0, 7), Some([2, 280].as_slice()));
        associations.set(1, 9, 0, 7, Vec::new());
        assert_eq!(associations.pair(0, 7, 1, 9), Some([].as_slice()));
    }

    #[test]
    fn no_two_kinds_of_a_pair_share_an_id() {
        let names: Vec<&str> = STANDARD.iter().flat_map(|row| [row.0, row.1]).collect();
        let associations = Associations::new(&names);
        for kinds in associations.kinds.values() {
            let mut ids: Vec<u32> = kinds.iter().map(|kind| kind.id).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), kinds.len(), "{kinds:?}");
        }
    }
}
