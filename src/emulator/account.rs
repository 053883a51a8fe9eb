//! The account: all that a call can read or change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono_tz::Tz;

use super::associations::{Associations, TypeAt};
use super::clock::{self, Clock};
use super::computed::Era;
use super::config::EmulatorConfig;
use super::events::Events;
use super::keeping::Origin;
use super::lists::List;
use super::object_types::ObjectType;
use super::people::{Owner, owners};
use super::pipelines::{Pipeline, standard};
use super::rules::Rules;
use super::schema::{Catalogue, Choice, Slot};
use super::seed::draw::{Draw, salt};
use super::seed::realms::Population;
use super::seed::world::World;
use super::table::Table;
use super::webhooks::Hub;

/// When the account was made: before its first record.
const BORN: i64 = 1_523_279_816_625;

/// What the ids of user records are counted from: no id is that of an owner
/// or of a user.
const FIRST_USER: u64 = 207_838_000_000;

/// A counter that can be turned by readers too.
#[derive(Debug)]
struct Dice(AtomicU64);

impl Clone for Dice {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

/// Everything the emulator keeps.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) clock: Clock,
    pub(crate) portal_id: u64,
    pub(crate) time_zone: Tz,
    pub(crate) index_lag: i64,
    pub(crate) property_lag: i64,
    pub(crate) wrong_totals: bool,
    pub(crate) era: Era,
    pub(crate) search_body_limit: Option<usize>,
    pub(crate) world: Arc<World>,
    pub(crate) tables: Vec<Table>,
    pub(crate) owners: Vec<Owner>,
    pub(crate) pipelines: Vec<Vec<Pipeline>>,
    pub(crate) associations: Associations,
    pub(crate) lists: BTreeMap<u64, List>,
    /// Lists that were deleted and can come back.
    pub(crate) archived_lists: BTreeMap<u64, List>,
    pub(crate) rules: Rules,
    pub(crate) events: Events,
    /// Addresses deleted for good.
    pub(crate) blocked_emails: BTreeSet<String>,
    /// Records whose counts of associates are out of date.
    pub(crate) stale: BTreeSet<(TypeAt, u64)>,
    /// Who hears of changes; copies of the account share it.
    pub(crate) hooks: Arc<Hub>,
    /// What a fresh account of this one's settings is made of.
    pub(crate) origin: Origin,
    /// Beside the account's own.
    pub(crate) currencies: Vec<String>,
    next_list: u64,
    dice: Dice,
}

impl Account {
    /// The account that the settings describe.
    pub(crate) fn new(config: &EmulatorConfig, time_zone: Tz) -> Self {
        let owners = owners(config.seed);
        let population = Population {
            contacts: config.contacts,
            companies: config.companies,
            deals: config.deals,
            tickets: config.tickets,
            activities: config.activities,
        };
        let owner_ids = owners.iter().map(|owner| owner.id.to_string()).collect();
        let world = Arc::new(World::new(config.seed, population, owner_ids));
        let types = ObjectType::standard();
        let names: Vec<&str> = types.iter().map(|of| of.plural.as_str()).collect();
        let associations = Associations::new(&names);
        let pipelines = types.iter().map(|of| standard(&of.plural)).collect();
        let table = |of: ObjectType| {
            let catalogue = Catalogue::new(&of, config.extra_properties, BORN);
            Table::new(of, catalogue, world.clone())
        };
        let tables = types.into_iter().map(table).collect();
        let mut account = Self {
            clock: Clock::default(),
            portal_id: config.portal_id,
            time_zone,
            index_lag: clock::millis(config.index_lag),
            property_lag: clock::millis(config.property_lag),
            wrong_totals: config.wrong_totals,
            era: Era::NOW,
            search_body_limit: config.search_body_limit,
            world,
            tables,
            owners,
            pipelines,
            associations,
            lists: BTreeMap::new(),
            archived_lists: BTreeMap::new(),
            rules: config.rules.clone(),
            events: Events::default(),
            blocked_emails: BTreeSet::new(),
            stale: BTreeSet::new(),
            hooks: Arc::new(Hub::new(config)),
            origin: Origin::of(config),
            currencies: vec!["EUR".to_owned()],
            next_list: 0,
            dice: Dice(AtomicU64::new(config.seed)),
        };
        for at in 0..account.tables.len() {
            account.refresh_stage_options(at);
        }
        account.add_users();
        account
    }

    /// Makes a record of every user that owns records.
    fn add_users(&mut self) {
        let Some(at) = self.type_at("users") else { return };
        let table = &mut self.tables[at];
        for owner in self.owners.iter().filter(|owner| !owner.archived) {
            let known = [
                ("hs_deactivated", "false".to_owned()),
                ("hs_email", owner.email.clone()),
                ("hs_family_name", owner.last_name.clone()),
                ("hs_given_name", owner.first_name.clone()),
                ("hs_internal_user_id", owner.user_id.to_string()),
                ("hubspot_owner_id", owner.id.to_string()),
            ];
            let slot = |name: &str| table.catalogue.find(name).map(|(slot, _)| slot);
            let values: Vec<(Slot, String)> =
                known.into_iter().filter_map(|(name, value)| Some((slot(name)?, value))).collect();
            let id = FIRST_USER + owner.user_id;
            for (slot, value) in &values {
                if table.catalogue.at(*slot).unique {
                    table.remember(*slot, value.to_lowercase(), id);
                }
            }
            table.import(id, values, owner.created, owner.updated);
        }
    }

    /// Puts a fresh account's contents in place of these; settings and the
    /// clock stay.
    pub(crate) fn begin_again(&mut self, origin: &Origin) {
        let fresh = Self::new(&origin.config(), self.time_zone);
        self.world = fresh.world;
        self.tables = fresh.tables;
        self.owners = fresh.owners;
        self.pipelines = fresh.pipelines;
        self.associations = fresh.associations;
        self.lists = fresh.lists;
        self.archived_lists = fresh.archived_lists;
        self.events = fresh.events;
        self.blocked_emails = fresh.blocked_emails;
        self.stale = fresh.stale;
        self.origin = fresh.origin;
        self.next_list = fresh.next_list;
        self.dice = fresh.dice;
    }

    /// The plural name of an object type.
    pub(crate) fn name_of(&self, at: TypeAt) -> &str {
        &self.tables[at].object_type.plural
    }

    /// The object type that a path segment names.
    pub(crate) fn type_at(&self, name: &str) -> Option<TypeAt> {
        let live = |of: &ObjectType| of.is_live() && of.is_called(name);
        self.tables.iter().position(|table| live(&table.object_type))
    }

    /// The custom object type of a name that was deleted, and can be purged.
    pub(crate) fn archived_type(&self, name: &str) -> Option<TypeAt> {
        let gone = |of: &ObjectType| !of.is_live() && !of.is_purged() && of.is_called(name);
        self.tables.iter().position(|table| gone(&table.object_type))
    }

    /// Takes back the type that was added last.
    pub(crate) fn remove_last_type(&mut self) {
        self.tables.pop();
        self.pipelines.pop();
    }

    /// A throw that differs from the last, and is the same in every run that
    /// sends the same calls in the same order.
    pub(crate) fn throw(&self) -> Draw {
        let turn = self.dice.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        Draw::of(turn, salt("dice"), 0)
    }

    /// A number no list has had.
    pub(crate) fn new_list_id(&mut self) -> u64 {
        self.next_list += 1;
        self.next_list
    }

    /// The last list's number, and the dice.
    pub(crate) fn counters(&self) -> (u64, u64) {
        (self.next_list, self.dice.0.load(Ordering::Relaxed))
    }

    /// Goes on from the counters of another account; no list's number comes
    /// twice.
    pub(crate) fn set_counters(&mut self, last_list: u64, dice: u64) {
        let all = self.lists.keys().chain(self.archived_lists.keys());
        let highest = all.max().copied().unwrap_or_default();
        self.next_list = last_list.max(highest);
        self.dice = Dice(AtomicU64::new(dice));
    }

    /// Adds an object type that the account made itself.
    pub(crate) fn add_type(&mut self, object_type: ObjectType) -> TypeAt {
        let catalogue = Catalogue::new(&object_type, 0, self.clock.now());
        self.tables.push(Table::new(object_type, catalogue, self.world.clone()));
        self.pipelines.push(Vec::new());
        self.tables.len() - 1
    }

    /// Puts answers in another order than the questions came in.
    pub(crate) fn shuffle<T>(&self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.throw().below(at as u64 + 1) as usize);
        }
    }

    /// The moment up to which search has seen all changes.
    pub(crate) fn indexed_until(&self) -> i64 {
        self.clock.now() - self.index_lag
    }

    /// The kinds under which one record is associated with those of a type,
    /// by id. Archived and merged records do not count.
    pub(crate) fn associates(&self, from: TypeAt, id: u64, to: TypeAt) -> BTreeMap<u64, Vec<u32>> {
        let mut all: BTreeMap<u64, Vec<u32>> = self
            .seeded_associates(from, id, to)
            .map(|(other, kinds)| (other, kinds.to_vec()))
            .collect();
        for (other, kinds) in self.associations.changed(from, id, to) {
            all.insert(other, kinds.to_vec());
        }
        all.retain(|other, kinds| !kinds.is_empty() && self.tables[to].live(*other).is_some());
        all
    }

    /// The kinds under which two records are associated.
    pub(crate) fn pair(&self, from: TypeAt, id: u64, to: TypeAt, other: u64) -> Vec<u32> {
        if let Some(kinds) = self.associations.pair(from, id, to, other) {
            return kinds.to_vec();
        }
        let mut seeded = self.seeded_associates(from, id, to);
        seeded.find(|(found, _)| *found == other).map_or(Vec::new(), |(_, kinds)| kinds.to_vec())
    }

    /// Makes the options of a type's stage and pipeline properties those of
    /// its pipelines.
    pub(crate) fn refresh_stage_options(&mut self, at: TypeAt) {
        let table = &mut self.tables[at];
        let names = match table.object_type.plural.as_str() {
            "deals" => ["pipeline", "dealstage"],
            "tickets" => ["hs_pipeline", "hs_pipeline_stage"],
            _ => return,
        };
        let live = || self.pipelines[at].iter().filter(|pipeline| !pipeline.archived);
        let pipelines = live().map(|pipeline| choice(&pipeline.label, &pipeline.id)).collect();
        let stages = live()
            .flat_map(Pipeline::live_stages)
            .map(|stage| choice(&stage.label, &stage.id))
            .collect();
        for (name, options) in names.into_iter().zip([pipelines, stages]) {
            if let Some(property) = table.catalogue.find_mut(name) {
                property.options = options;
            }
        }
    }

    /// What the seed says of one record's associations to a type.
    fn seeded_associates(
        &self,
        from: TypeAt,
        id: u64,
        to: TypeAt,
    ) -> Box<dyn Iterator<Item = (u64, &'static [u32])> + '_> {
        let realms = (self.tables[from].object_type.realm, self.tables[to].object_type.realm);
        let (Some(from), Some(to)) = realms else { return Box::new(std::iter::empty()) };
        let Some(index) = self.world.ids(from).index_of(id) else {
            return Box::new(std::iter::empty());
        };
        let ids = self.world.ids(to);
        let (found, kinds) = self.world.associates(from, index, to);
        Box::new(found.map(move |index| (ids.id(index), kinds)))
    }
}

fn choice(label: &str, value: &str) -> Choice {
    Choice {
        label: label.to_owned(),
        value: value.to_owned(),
        description: String::new(),
        hidden: false,
    }
}
