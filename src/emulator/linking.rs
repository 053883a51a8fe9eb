//! Changing associations by the account's rules: section 11 of the API
//! reference.

use super::account::Account;
use super::associations::{Kind, TypeAt};
use super::record::Source;
use super::routes::NewAssociation;
use super::table::Found;
use super::write::Fault;

/// An association to be made: to which type, to which record, under which
/// kinds.
pub(crate) type Link = (TypeAt, u64, Vec<u32>);

impl Account {
    /// Checks the associations of a create.
    pub(crate) fn check_links(
        &self,
        at: TypeAt,
        links: &[NewAssociation],
    ) -> Result<Vec<Link>, Fault> {
        let link = |wanted: &NewAssociation| {
            let kinds: Vec<u32> =
                wanted.types.iter().map(|kind| kind.association_type_id).collect();
            let to = (0..self.tables.len()).find(|to| {
                !kinds.is_empty()
                    && kinds.iter().all(|kind| self.associations.kind(at, *to, *kind).is_some())
            });
            let Some(to) = to else {
                return Err(Fault::Association(format!(
                    "No association type with ids {kinds:?} exists"
                )));
            };
            let shouted = self.tables[to].object_type.shouted();
            let id = self.live_id(to, &wanted.to.id.0).ok_or_else(|| {
                Fault::Association(format!("{shouted}={} is not valid", wanted.to.id.0))
            })?;
            Ok((to, id, kinds))
        };
        let links: Vec<Link> = links.iter().map(link).collect::<Result<_, _>>()?;
        let belongs = |(to, ..): &Link| matches!(self.name_of(*to), "contacts" | "companies");
        if self.name_of(at) == "leads" && !links.iter().any(belongs) {
            let message = "A lead must be associated with a contact or a company";
            return Err(Fault::Association(message.to_owned()));
        }
        Ok(links)
    }

    /// Makes the checked associations of a create.
    pub(crate) fn link(&mut self, at: TypeAt, id: u64, links: Vec<Link>) {
        for (to, other, kinds) in links {
            self.associate(at, id, to, other, &kinds);
        }
    }

    /// Associates two records: the labels named replace those there were, the
    /// unlabelled kind is always among them, and the first company becomes
    /// the primary one.
    pub(crate) fn associate(
        &mut self,
        from: TypeAt,
        id: u64,
        to: TypeAt,
        other: u64,
        kinds: &[u32],
    ) {
        let known = self.associations.kinds(from, to);
        let plain = known.iter().find(|kind| kind.label.is_none()).map(|kind| kind.id);
        let primary = known.iter().find(|kind| kind.is_primary()).map(|kind| kind.id);
        let before = self.pair(from, id, to, other);
        let mut after: Vec<u32> = kinds.to_vec();
        if let Some(primary) = primary {
            let child = self.primary_side(from, id, to, other);
            let had = before.contains(&primary);
            let first = !kinds.contains(&primary) && !had && self.primary_parent(child).is_none();
            if (had || first) && !after.contains(&primary) {
                after.insert(0, primary);
            }
            if after.contains(&primary) && !had {
                self.drop_primary(child);
            }
        }
        if let Some(plain) = plain.filter(|plain| !after.contains(plain)) {
            after.push(plain);
        }
        self.set_pair(from, id, to, other, after);
        self.follow(from, id, to, other);
    }

    /// Sets the kinds of a pair, in both directions.
    fn set_pair(&mut self, from: TypeAt, id: u64, to: TypeAt, other: u64, kinds: Vec<u32>) {
        self.tell_associated(from, id, to, other, &kinds);
        self.associations.set(from, id, to, other, kinds);
    }

    /// Ends the association of two records.
    pub(crate) fn dissociate(&mut self, from: TypeAt, id: u64, to: TypeAt, other: u64) {
        let before = self.pair(from, id, to, other);
        self.set_pair(from, id, to, other, Vec::new());
        self.follow(from, id, to, other);
        self.drop_orphan(from, id, to, other, &before);
    }

    /// Takes labels off a pair; without the unlabelled kind none remain.
    pub(crate) fn unlabel(&mut self, from: TypeAt, id: u64, to: TypeAt, other: u64, kinds: &[u32]) {
        let plain = self.associations.kinds(from, to).iter().find(|kind| kind.label.is_none());
        if plain.is_some_and(|plain| kinds.contains(&plain.id)) {
            return self.dissociate(from, id, to, other);
        }
        let before = self.pair(from, id, to, other);
        let mut left = before.clone();
        left.retain(|kind| !kinds.contains(kind));
        if left.len() < before.len() {
            self.set_pair(from, id, to, other, left);
            self.follow(from, id, to, other);
            self.drop_orphan(from, id, to, other, &before);
        }
    }

    /// What follows from a changed association.
    pub(crate) fn follow(&mut self, from: TypeAt, id: u64, to: TypeAt, other: u64) {
        for (at, id) in [(from, id), (to, other)] {
            self.refresh_primary(at, id);
            self.mark_stale(at, id);
        }
    }

    /// A lead goes with its last primary association.
    fn drop_orphan(&mut self, from: TypeAt, id: u64, to: TypeAt, other: u64, before: &[u32]) {
        let kinds = self.associations.kinds(from, to);
        let had = kinds.iter().any(|kind| kind.is_primary() && before.contains(&kind.id));
        let lead = match (self.name_of(from), self.name_of(to)) {
            ("leads", _) => (from, id),
            (_, "leads") => (to, other),
            _ => return,
        };
        let (at, lead) = lead;
        let left = (0..self.tables.len()).any(|to| self.primary_parent((at, lead, to)).is_some());
        if had && !left {
            self.archive(at, lead);
        }
    }

    /// The live record of an id, merges followed.
    pub(crate) fn live_id(&self, at: TypeAt, text: &str) -> Option<u64> {
        match self.tables[at].find(text.parse().ok()?) {
            Found::Live(view) | Found::Merged(view) => Some(view.id),
            Found::Archived(_) | Found::Nothing => None,
        }
    }

    /// Which side of a pair has the other as its one primary: a company is
    /// always the primary of the rest, a lead never that of another.
    pub(crate) fn primary_side(
        &self,
        from: TypeAt,
        id: u64,
        to: TypeAt,
        other: u64,
    ) -> (TypeAt, u64, TypeAt) {
        let rank = |at: TypeAt| match self.name_of(at) {
            "leads" => 0,
            "companies" => 2,
            _ => 1,
        };
        if rank(from) > rank(to) { (to, other, from) } else { (from, id, to) }
    }

    /// A kind by its number or its name of version 3: `contact_to_company`.
    pub(crate) fn kind_named(&self, from: TypeAt, to: TypeAt, name: &str) -> Option<u32> {
        let kinds = self.associations.kinds(from, to);
        if let Ok(id) = name.parse::<u32>() {
            return kinds.iter().find(|kind| kind.id == id).map(|kind| kind.id);
        }
        let named = |kind: &&Kind| self.kind_name(from, to, kind.id) == name;
        kinds.iter().find(named).map(|kind| kind.id)
    }

    /// The record on the other side that comes first.
    pub(crate) fn primary_parent(
        &self,
        (child_at, child, parent_at): (TypeAt, u64, TypeAt),
    ) -> Option<u64> {
        let kinds = self.associations.kinds(child_at, parent_at);
        let primary = kinds.iter().find(|kind| kind.is_primary())?.id;
        let all = self.associates(child_at, child, parent_at);
        all.into_iter().find(|(_, kinds)| kinds.contains(&primary)).map(|(parent, _)| parent)
    }

    fn drop_primary(&mut self, side: (TypeAt, u64, TypeAt)) {
        let Some(parent) = self.primary_parent(side) else { return };
        let (child_at, child, parent_at) = side;
        let kinds = self.associations.kinds(child_at, parent_at);
        let primary: Vec<u32> =
            kinds.iter().filter(|kind| kind.is_primary()).map(|kind| kind.id).collect();
        let mut left = self.pair(child_at, child, parent_at, parent);
        left.retain(|kind| !primary.contains(kind));
        self.set_pair(child_at, child, parent_at, parent, left);
    }

    /// A contact's `associatedcompanyid` follows the primary company, without
    /// touching the modified date.
    pub(crate) fn refresh_primary(&mut self, at: TypeAt, id: u64) {
        let Some((slot, _)) = self.tables[at].catalogue.find("associatedcompanyid") else { return };
        let Some(companies) = self.type_at("companies") else { return };
        let company = self.primary_parent((at, id, companies));
        let value = company.map(|company| company.to_string()).unwrap_or_default();
        let held = self.tables[at].view(id).and_then(|view| view.value(slot)).unwrap_or_default();
        if held != value {
            let now = self.clock.now();
            self.tables[at].apply(id, vec![(slot, value)], now, Source::Calculated, false);
        }
    }
}
