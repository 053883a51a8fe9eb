//! All records of one object type: seeded ones computed, changed ones kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use super::found::{Memory, stamp};
use super::object_types::ObjectType;
use super::record::{NOW, Record, Source, Version, View, depth};
use super::schema::{Catalogue, Slot};
use super::seed::draw::{Draw, salt};
use super::seed::ids::IdSpace;
use super::seed::realms::Realm;
use super::seed::world::{Seeded, World};

/// A change of one property: an empty text clears it.
pub(crate) type Change = (Slot, String);

/// The records of one object type.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) object_type: ObjectType,
    pub(crate) catalogue: Catalogue,
    world: Arc<World>,
    changed: BTreeMap<u64, Record>,
    /// (last change, id) of every changed record.
    touched: BTreeSet<(i64, u64)>,
    /// Who was last given a value of a unique property. A hint: whether she
    /// still has it is for the reader to check.
    holders: HashMap<(Slot, String), u64>,
    next_id: u64,
    /// What tells the present state of the records from any other.
    state: u64,
    /// When the last change was made, whether or not it shows in a modified
    /// date.
    latest: i64,
    pub(crate) memory: Memory,
    /// (modified, index) of every seeded record, made when first searched.
    seeded_modified: Arc<OnceLock<Vec<(i64, u32)>>>,
}

/// What stands under an id.
pub(crate) enum Found<'a> {
    Live(View<'a>),
    Archived(View<'a>),
    /// Merged into another record, which is live.
    Merged(View<'a>),
    Nothing,
}

impl Table {
    /// The records of a type in a world.
    pub(crate) fn new(object_type: ObjectType, catalogue: Catalogue, world: Arc<World>) -> Self {
        let next_id = match object_type.realm {
            Some(realm) => world.ids(realm).end(),
            // Far apart, as the ids of recorded activities are.
            None => 24_000_000_000 + salt(&object_type.type_id) % 40_000_000_000,
        };
        Self {
            object_type,
            catalogue,
            world,
            changed: BTreeMap::new(),
            touched: BTreeSet::new(),
            holders: HashMap::new(),
            next_id,
            state: stamp(),
            latest: i64::MIN,
            memory: Memory::default(),
            seeded_modified: Arc::default(),
        }
    }

    /// The record of an id, whatever has become of it.
    pub(crate) fn view(&self, id: u64) -> Option<View<'_>> {
        let record = self.changed.get(&id);
        let seeded = self
            .realm_ids()
            .and_then(|(realm, ids)| ids.index_of(id).map(|index| self.world.record(realm, index)));
        (record.is_some() || seeded.is_some()).then(|| self.compose(id, seeded, record))
    }

    /// What readers find under an id.
    pub(crate) fn find(&self, id: u64) -> Found<'_> {
        let Some(view) = self.view(id) else {
            return self.seeded_survivor(id).map_or(Found::Nothing, Found::Merged);
        };
        if let Some(survivor) = view.record.and_then(|record| record.merged_into) {
            return match self.find(survivor) {
                Found::Live(view) | Found::Merged(view) => Found::Merged(view),
                Found::Archived(_) | Found::Nothing => Found::Nothing,
            };
        }
        match view {
            view if view.is_gone() => Found::Nothing,
            view if view.archived().is_some() => Found::Archived(view),
            view => Found::Live(view),
        }
    }

    /// The live record of an id, without following merges.
    pub(crate) fn live(&self, id: u64) -> Option<View<'_>> {
        self.view(id).filter(View::is_live)
    }

    /// Every record at and above an id, in order, whatever became of it.
    pub(crate) fn walk(&self, from: u64) -> impl Iterator<Item = View<'_>> {
        let ids = self.realm_ids();
        let count = ids.map_or(0, |(_, ids)| ids.count());
        let mut index = ids.map_or(0, |(_, ids)| ids.index_from(from));
        let mut changed = self.changed.range(from..).peekable();
        std::iter::from_fn(move || {
            let seeded =
                ids.filter(|_| index < count).map(|(realm, _)| self.world.record(realm, index));
            let next = changed.peek().map(|(id, _)| **id);
            let id = match (&seeded, next) {
                (Some(seeded), Some(next)) => seeded.id.min(next),
                (Some(seeded), None) => seeded.id,
                (None, next) => next?,
            };
            let seeded = seeded.filter(|seeded| seeded.id == id);
            index += u64::from(seeded.is_some());
            let record = changed.next_if(|(next, _)| **next == id).map(|(_, record)| record);
            Some(self.compose(id, seeded, record))
        })
    }

    /// Ids, at and above one, of all records whose last change may lie between
    /// the two moments as it stood at `as_of`; ascending.
    pub(crate) fn modified_between(&self, from: u64, low: i64, high: i64, as_of: i64) -> Vec<u64> {
        let mut ids = Vec::new();
        if let Some((realm, space)) = self.realm_ids() {
            let first = space.index_from(from);
            let index = self.seeded_modified.get_or_init(|| self.index_modified(realm));
            let start = index.partition_point(|(modified, _)| *modified < low);
            let within = index[start..].iter().take_while(|(modified, _)| *modified <= high);
            let indexes = within.map(|(_, index)| u64::from(*index));
            ids.extend(indexes.filter(|index| *index >= first).map(|index| space.id(index)));
        }
        let unseen = self.touched.range((as_of.saturating_add(1), 0)..);
        let touched = (low <= high).then(|| self.touched.range((low, 0)..=(high, u64::MAX)));
        let changed = touched.into_iter().flatten().chain(unseen).map(|(_, id)| *id);
        ids.extend(changed.filter(|id| *id >= from));
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The record that may hold a value of a unique property, be it by seed
    /// or by change. Whether it does is for the caller to check.
    pub(crate) fn candidates(&self, slot: Slot, value: &str) -> Vec<View<'_>> {
        let told = self.holders.get(&(slot, value.to_owned())).copied();
        let seeded = self.seeded_holders(slot, value);
        told.into_iter().chain(seeded).filter_map(|id| self.live(id)).collect()
    }

    /// Remembers who was given a value of a unique property.
    pub(crate) fn remember(&mut self, slot: Slot, value: String, id: u64) {
        self.holders.insert((slot, value), id);
    }

    /// An id nobody has had.
    pub(crate) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1 + Draw::of(id, salt("new id"), 0).below(45);
        id
    }

    /// Creates a record.
    pub(crate) fn insert(&mut self, id: u64, changes: Vec<Change>, at: i64, source: Source) {
        self.changed.insert(id, Record { born: Some(at), ..Record::default() });
        self.apply(id, changes, at, source, true);
    }

    /// Puts a record in place as it was found elsewhere.
    pub(crate) fn import(&mut self, id: u64, values: Vec<Change>, born: i64, modified: i64) {
        let version = |(slot, value): Change| Version {
            slot,
            source: Source::Api,
            at: born.min(modified),
            value: value.into(),
        };
        let versions = values.into_iter().map(version).collect();
        let record =
            Record { born: Some(born), touches: vec![modified], versions, ..Record::default() };
        self.changed.insert(id, record);
        self.touched.insert((modified, id));
        self.changed_at(modified.max(born));
        self.next_id = self.next_id.max(id + 1);
    }

    /// Changes a record. An untouched one keeps its modified date, as when
    /// HubSpot recalculates a property.
    pub(crate) fn apply(
        &mut self,
        id: u64,
        changes: Vec<Change>,
        at: i64,
        source: Source,
        touch: bool,
    ) {
        self.changed_at(at);
        let before: Vec<bool> = changes.iter().map(|change| self.holds(id, change)).collect();
        let depth = depth(&self.object_type.plural);
        let record = self.changed_record(id);
        for ((slot, value), unchanged) in changes.into_iter().zip(before) {
            if !unchanged {
                record.set(Version { slot, source, at, value: value.into() }, depth);
            }
        }
        if touch {
            self.touch(id, at);
        }
    }

    /// Archives a record, or brings it back.
    pub(crate) fn set_archived(&mut self, id: u64, archived: Option<i64>, at: i64) {
        self.changed_record(id).archived = archived;
        self.touch(id, at);
    }

    /// Marks a record as merged into another.
    pub(crate) fn set_merged(&mut self, id: u64, into: u64, at: i64) {
        self.changed_record(id).merged_into = Some(into);
        self.touch(id, at);
    }

    /// Deletes a record for good.
    pub(crate) fn purge(&mut self, id: u64, at: i64) {
        let record = self.changed_record(id);
        *record = Record { born: record.born, purged: true, ..Record::default() };
        self.touch(id, at);
    }

    /// Forgets what records hold of a property.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.state = stamp();
        for record in self.changed.values_mut() {
            record.versions.retain(|version| version.slot != slot);
        }
    }

    /// Every record that has been changed or created.
    pub(crate) fn changed(&self) -> &BTreeMap<u64, Record> {
        &self.changed
    }

    /// Who was last given which value of a unique property.
    pub(crate) fn holders(&self) -> &HashMap<(Slot, String), u64> {
        &self.holders
    }

    /// Where the search for new ids goes on.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Makes a fresh table what another one of its seed has become.
    pub(crate) fn resume(
        &mut self,
        changed: BTreeMap<u64, Record>,
        holders: HashMap<(Slot, String), u64>,
        next_id: u64,
    ) {
        let moments = changed.values().flat_map(|record| {
            let versions = record.versions.iter().map(|version| version.at);
            versions.chain(record.touches.last().copied()).chain(record.archived)
        });
        let latest = moments.max().unwrap_or(i64::MIN);
        self.changed_at(latest);
        let last = |(id, record): (&u64, &Record)| Some((*record.touches.last()?, *id));
        // What the settings made beside the seed is there already.
        self.changed.extend(changed);
        self.holders.extend(holders);
        self.touched = self.changed.iter().filter_map(last).collect();
        let above = self.changed.keys().next_back().map_or(0, |id| id.saturating_add(1));
        self.next_id = self.next_id.max(next_id).max(above);
    }

    /// How many records have been changed or created.
    pub(crate) fn changed_count(&self) -> usize {
        self.changed.len()
    }

    /// The state of records and properties, if it looks the same at every
    /// moment from this one on.
    pub(crate) fn settled(&self, as_of: i64) -> Option<[u64; 2]> {
        (self.latest <= as_of).then_some([self.state, self.catalogue.state])
    }

    fn changed_at(&mut self, at: i64) {
        self.state = stamp();
        self.latest = self.latest.max(at);
    }

    fn compose<'a>(
        &'a self,
        id: u64,
        seeded: Option<Seeded>,
        record: Option<&'a Record>,
    ) -> View<'a> {
        View {
            id,
            world: &self.world,
            catalogue: &self.catalogue,
            realm: self.object_type.realm,
            seeded,
            record,
            as_of: NOW,
        }
    }

    fn realm_ids(&self) -> Option<(Realm, &IdSpace)> {
        let realm = self.object_type.realm?;
        Some((realm, self.world.ids(realm)))
    }

    fn seeded_survivor(&self, id: u64) -> Option<View<'_>> {
        let (realm, ids) = self.realm_ids()?;
        let index = self.world.survivor_of(realm, id)?;
        match self.find(ids.id(index)) {
            Found::Live(view) | Found::Merged(view) => Some(view),
            Found::Archived(_) | Found::Nothing => None,
        }
    }

    /// Ids of the seeded records that may hold a value of a unique property.
    fn seeded_holders(&self, slot: Slot, value: &str) -> Vec<u64> {
        let Some((realm, ids)) = self.realm_ids() else { return Vec::new() };
        let number = |prefix: &str| value.strip_prefix(prefix).and_then(|rest| rest.parse().ok());
        let indexes: Vec<u64> = match (realm, self.catalogue.at(slot).name.as_str()) {
            (Realm::Contacts, "email") => self.world.contacts_of_email(value).collect(),
            (Realm::Contacts, "app_user_id") => number("u-").into_iter().collect(),
            (Realm::Companies, "account_key") => number("acct-").into_iter().collect(),
            _ => Vec::new(),
        };
        let known = indexes.into_iter().filter(|index| *index < ids.count());
        known.map(|index| ids.id(index)).collect()
    }

    /// Whether a record has this value already.
    pub(crate) fn holds(&self, id: u64, (slot, value): &Change) -> bool {
        let current = self.view(id).and_then(|view| view.value(*slot));
        current.as_deref() == Some(value.as_str())
    }

    fn changed_record(&mut self, id: u64) -> &mut Record {
        let archived = self.view(id).and_then(|view| view.archived());
        self.changed.entry(id).or_insert_with(|| Record { archived, ..Record::default() })
    }

    fn touch(&mut self, id: u64, at: i64) {
        self.changed_at(at);
        let record = self.changed_record(id);
        let before = record.touches.last().copied();
        record.touch(at);
        if let Some(before) = before {
            self.touched.remove(&(before, id));
        }
        self.touched.insert((at, id));
    }

    fn index_modified(&self, realm: Realm) -> Vec<(i64, u32)> {
        let count = self.world.ids(realm).count();
        let entry = |index: u64| (self.world.record(realm, index).modified, index as u32);
        let mut index: Vec<(i64, u32)> = (0..count).map(entry).collect();
        index.sort_unstable();
        index
    }
}
