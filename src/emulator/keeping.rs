//! An account in a file: all in which it differs from the one its settings
//! describe, so that another emulator can go on where this one stopped.
//!
//! The file names object types and properties instead of counting them, so
//! that a later seed catalogue reads it too. What a setting governs (limits,
//! latency, lags) and what was merely watched (the log, faults) is left out.
//! So are webhooks: who starts an emulator says who hears of its changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::account::Account;
use super::associations::{self, TypeAt};
use super::clock::Clock;
use super::config::EmulatorConfig;
use super::control::Sowing;
use super::events::Events;
use super::lists::{List, Processing};
use super::object_types::{Custom, ObjectType};
use super::pipelines::Pipeline;
use super::record::{Record, Source, Version};
use super::schema::{Catalogue, Choice, Group, NOT_SENSITIVE, Property, Slot};
use super::seed::plan::{Kind, Make};
use super::table::Table;

/// Raised whenever the file's shape changes.
const FORMAT: u32 = 2;

/// Why a snapshot cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It does not parse.
    #[error("The snapshot cannot be restored: it is not the JSON of an emulated account")]
    Unreadable(#[source] serde_json::Error),
    /// Another version of hublake wrote it.
    #[error(
        "The snapshot cannot be restored: its format is `{0}`, and this version reads `{reads}`",
        reads = FORMAT
    )]
    Format(u32),
    /// It was taken of an account with other settings.
    #[error(
        "The snapshot cannot be restored: it was taken with `{setting}` at `{kept}`, and this \
         account is started with `{given}`"
    )]
    OtherSettings {
        /// The setting that differs.
        setting: &'static str,
        /// Its value when the snapshot was taken.
        kept: u64,
        /// Its value now.
        given: u64,
    },
    /// It speaks of something that the account does not have.
    #[error("The snapshot cannot be restored: the account has no {0}")]
    Unknown(String),
    /// A record leads to none that was made after it.
    #[error("The snapshot cannot be restored: record `{0}` is merged into one that is not newer")]
    MergedBackwards(u64),
}

/// The settings that decide what a fresh account holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    seed: u64,
    contacts: u64,
    companies: u64,
    deals: u64,
    tickets: u64,
    activities: u64,
    extra_properties: u64,
    portal_id: u64,
}

impl Origin {
    /// The part of the settings that matters.
    pub(crate) fn of(config: &EmulatorConfig) -> Self {
        Self {
            seed: config.seed,
            contacts: config.contacts,
            companies: config.companies,
            deals: config.deals,
            tickets: config.tickets,
            activities: config.activities,
            extra_properties: config.extra_properties as u64,
            portal_id: config.portal_id,
        }
    }

    fn settings(&self) -> [(&'static str, u64); 8] {
        [
            ("seed", self.seed),
            ("contacts", self.contacts),
            ("companies", self.companies),
            ("deals", self.deals),
            ("tickets", self.tickets),
            ("activities", self.activities),
            ("extra_properties", self.extra_properties),
            ("portal_id", self.portal_id),
        ]
    }

    /// Refuses a snapshot of an account with other settings.
    fn check(&self, kept: &Self) -> Result<(), SnapshotError> {
        let mut pairs = self.settings().into_iter().zip(kept.settings());
        match pairs.find(|((_, given), (_, kept))| given != kept) {
            Some(((setting, given), (_, kept))) => {
                Err(SnapshotError::OtherSettings { setting, kept, given })
            }
            None => Ok(()),
        }
    }

    /// A fresh account with the same properties, and without records, which
    /// properties do not depend on.
    fn without_records(&self) -> Account {
        let none = Sowing {
            contacts: Some(0),
            companies: Some(0),
            deals: Some(0),
            tickets: Some(0),
            activities: Some(0),
            ..Sowing::default()
        };
        Account::new(&self.sown(&none).config(), Tz::UTC)
    }

    /// The settings that make such an account.
    pub(crate) fn config(&self) -> EmulatorConfig {
        EmulatorConfig {
            seed: self.seed,
            contacts: self.contacts,
            companies: self.companies,
            deals: self.deals,
            tickets: self.tickets,
            activities: self.activities,
            extra_properties: self.extra_properties as usize,
            portal_id: self.portal_id,
            ..EmulatorConfig::default()
        }
    }

    /// The same but for what is said.
    pub(crate) fn sown(&self, sowing: &Sowing) -> Self {
        Self {
            seed: sowing.seed.unwrap_or(self.seed),
            contacts: sowing.contacts.unwrap_or(self.contacts),
            companies: sowing.companies.unwrap_or(self.companies),
            deals: sowing.deals.unwrap_or(self.deals),
            tickets: sowing.tickets.unwrap_or(self.tickets),
            activities: sowing.activities.unwrap_or(self.activities),
            extra_properties: sowing.properties.unwrap_or(self.extra_properties),
            portal_id: self.portal_id,
        }
    }

    /// A setting beyond what an account can be made of, and how far that goes:
    /// records are counted in 32 bits, properties in 16,
    /// and a machine has so much memory.
    pub(crate) fn too_large(&self) -> Option<(&'static str, u64)> {
        const RECORDS: u64 = 50_000_000;
        const PROPERTIES: u64 = 10_000;
        let sizes = [self.contacts, self.companies, self.deals, self.tickets, self.activities];
        let names = ["contacts", "companies", "deals", "tickets", "activities"];
        let records = names.into_iter().zip(sizes).find(|(_, size)| *size > RECORDS);
        let records = records.map(|(name, _)| (name, RECORDS));
        let properties = self.extra_properties > PROPERTIES;
        records.or(properties.then_some(("properties", PROPERTIES)))
    }
}

/// The account as JSON.
pub(crate) fn keep(account: &Account) -> Vec<u8> {
    let kept = KeptAccount::of(account, account.origin.clone());
    serde_json::to_vec(&kept).expect("texts and numbers under text keys are JSON")
}

/// Makes a fresh account what [`keep`] was given. After an error the account
/// is of no use.
pub(crate) fn restore(account: &mut Account, bytes: &[u8]) -> Result<(), SnapshotError> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    // First the format alone: another one may have fields unknown here.
    let head: Head = serde_json::from_slice(bytes).map_err(SnapshotError::Unreadable)?;
    if head.format != FORMAT {
        return Err(SnapshotError::Format(head.format));
    }
    let kept: KeptAccount = serde_json::from_slice(bytes).map_err(SnapshotError::Unreadable)?;
    account.origin.check(&kept.origin)?;
    kept.restore(account)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptAccount {
    format: u32,
    origin: Origin,
    clock: KeptClock,
    types: Vec<KeptType>,
    kinds: Vec<KeptKind>,
    links: Vec<KeptLinks>,
    lists: Vec<KeptList>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kind_limits: Vec<KeptLimit>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pipelines: BTreeMap<String, Vec<Pipeline>>,
    #[serde(default, skip_serializing_if = "Events::is_empty")]
    events: Events,
    /// Addresses deleted for good.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    blocked_emails: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    archived_lists: Vec<KeptList>,
    last_kind: u32,
    last_list: u64,
    dice: u64,
}

/// How many associates of one kind a record may have: from, to, kind, number.
type KeptLimit = (String, String, u32, u64);

impl KeptAccount {
    fn of(account: &Account, origin: Origin) -> Self {
        let fresh = origin.without_records();
        let table = |(at, table): (TypeAt, &Table)| KeptType::of(table, fresh.tables.get(at));
        let (last_list, dice) = account.counters();
        let changed = |at: &TypeAt| fresh.pipelines.get(*at) != account.pipelines.get(*at);
        let pipelines = (0..account.pipelines.len()).filter(changed);
        let limit = |((from, to, kind), most): (&(TypeAt, TypeAt, u32), &u64)| {
            (name_of(account, *from), name_of(account, *to), *kind, *most)
        };
        Self {
            kind_limits: account.associations.limits().map(limit).collect(),
            pipelines: pipelines
                .filter_map(|at| Some((name_of(account, at), account.pipelines.get(at)?.clone())))
                .filter(|(name, all)| !all.is_empty() || fresh.type_at(name).is_some())
                .collect(),
            events: account.events.clone(),
            blocked_emails: account.blocked_emails.clone(),
            archived_lists: account
                .archived_lists
                .values()
                .map(|list| KeptList::of(account, list))
                .collect(),
            format: FORMAT,
            clock: KeptClock::of(&account.clock),
            types: account.tables.iter().enumerate().map(table).collect(),
            kinds: KeptKind::all(account),
            links: KeptLinks::all(account),
            lists: account.lists.values().map(|list| KeptList::of(account, list)).collect(),
            last_kind: account.associations.last_kind(),
            last_list,
            dice,
            origin,
        }
    }

    /// Types come first: the rest names them.
    fn restore(self, account: &mut Account) -> Result<(), SnapshotError> {
        account.clock = self.clock.resumed();
        for of in self.types {
            of.restore(account)?;
        }
        for kind in self.kinds {
            kind.restore(account)?;
        }
        account.associations.set_last_kind(self.last_kind);
        for links in self.links {
            links.restore(account)?;
        }
        for list in self.lists {
            let list = list.restored(account)?;
            account.lists.insert(list.id, list);
        }
        for list in self.archived_lists {
            let list = list.restored(account)?;
            account.archived_lists.insert(list.id, list);
        }
        for (from, to, kind, most) in self.kind_limits {
            let (from, to) = (type_named(account, &from)?, type_named(account, &to)?);
            account.associations.set_limit(from, to, kind, Some(most));
        }
        for (name, pipelines) in self.pipelines {
            let at = type_named(account, &name)?;
            account.pipelines[at] = pipelines;
            account.refresh_stage_options(at);
        }
        account.events = self.events;
        account.blocked_emails = self.blocked_emails;
        account.set_counters(self.last_list, self.dice);
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptClock {
    now: i64,
    /// None while it is stopped.
    ahead: Option<i64>,
}

impl KeptClock {
    fn of(clock: &Clock) -> Self {
        Self { now: clock.now(), ahead: clock.ahead() }
    }

    fn resumed(&self) -> Clock {
        Clock::resumed(self.now, self.ahead)
    }
}

/// An object type and its records; parts that are as in a fresh account are
/// left out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptType {
    /// The plural name, as everywhere in the file.
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    custom: Option<KeptCustom>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    required: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    searchable: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<Group>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    properties: Vec<KeptProperty>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    records: BTreeMap<u64, KeptRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    holders: Vec<KeptHolder>,
    next_id: u64,
}

/// A type that the account made itself.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptCustom {
    singular: String,
    type_id: String,
    about: Custom,
}

/// Who was last given a value of a unique property.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptHolder {
    property: String,
    value: String,
    id: u64,
}

impl KeptType {
    fn of(table: &Table, fresh: Option<&Table>) -> Self {
        let (of, catalogue) = (&table.object_type, &table.catalogue);
        let fresh_type = fresh.map(|fresh| &fresh.object_type);
        let properties = catalogue.iter().filter_map(|(_, property)| {
            let seeded = fresh.and_then(|fresh| fresh.catalogue.find_any(&property.name));
            let seeded = seeded.map(|(_, property)| KeptProperty::of(property));
            Some(KeptProperty::of(property)).filter(|kept| seeded.as_ref() != Some(kept))
        });
        let made = |id: &u64| fresh.and_then(|fresh| fresh.changed().get(id));
        let records = table.changed().iter().filter(|(id, record)| made(id) != Some(record));
        Self {
            name: of.plural.clone(),
            custom: KeptCustom::of(of),
            required: differing(&of.required, fresh_type.map(|fresh| &fresh.required)),
            searchable: differing(&of.searchable, fresh_type.map(|fresh| &fresh.searchable)),
            groups: differing(&catalogue.groups, fresh.map(|fresh| &fresh.catalogue.groups)),
            properties: properties.collect(),
            records: records.map(|(id, record)| (*id, KeptRecord::of(record, catalogue))).collect(),
            holders: KeptHolder::all(table, fresh),
            next_id: table.next_id(),
        }
    }

    fn restore(self, account: &mut Account) -> Result<(), SnapshotError> {
        let at = match (type_named(account, &self.name), self.custom) {
            (Err(_), Some(custom)) => account.add_type(custom.object_type(&self.name)),
            (found, _) => found?,
        };
        let table = &mut account.tables[at];
        let of = &mut table.object_type;
        of.required = self.required.unwrap_or(std::mem::take(&mut of.required));
        of.searchable = self.searchable.unwrap_or(std::mem::take(&mut of.searchable));
        let catalogue = &mut table.catalogue;
        catalogue.groups = self.groups.unwrap_or(std::mem::take(&mut catalogue.groups));
        for property in self.properties {
            let property = property.restored(catalogue)?;
            catalogue.add(property);
        }
        let record = |(id, kept): (u64, KeptRecord)| Ok((id, kept.restored(id, catalogue)?));
        let records = self.records.into_iter().map(record).collect::<Result<_, SnapshotError>>()?;
        let holder =
            |kept: KeptHolder| Ok(((slot_named(catalogue, &kept.property)?, kept.value), kept.id));
        let holders: Result<HashMap<_, _>, SnapshotError> =
            self.holders.into_iter().map(holder).collect();
        table.resume(records, holders?, self.next_id);
        Ok(())
    }
}

impl KeptCustom {
    fn of(object_type: &ObjectType) -> Option<Self> {
        let about = object_type.custom.clone()?;
        let (singular, type_id) = (object_type.singular.clone(), object_type.type_id.clone());
        Some(Self { singular, type_id, about })
    }

    /// What a create needs of a type is told to it afterwards.
    fn object_type(self, plural: &str) -> ObjectType {
        ObjectType::custom(plural, &self.singular, &self.type_id, Vec::new(), self.about)
    }
}

impl KeptHolder {
    /// Sorted, so that equal accounts make equal files.
    fn all(table: &Table, fresh: Option<&Table>) -> Vec<Self> {
        let made = |(key, id): &(&(Slot, String), &u64)| {
            fresh.is_some_and(|fresh| fresh.holders().get(*key) == Some(id))
        };
        let holder = |((slot, value), id): (&(Slot, String), &u64)| Self {
            property: table.catalogue.at(*slot).name.clone(),
            value: value.clone(),
            id: *id,
        };
        let mut holders: Vec<Self> =
            table.holders().iter().filter(|entry| !made(entry)).map(holder).collect();
        holders.sort_unstable();
        holders
    }
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptProperty {
    name: String,
    label: String,
    description: String,
    #[serde(with = "KeptPropertyKind")]
    kind: Kind,
    field_type: String,
    group: String,
    options: Vec<Choice>,
    read_only: bool,
    unique: bool,
    custom: bool,
    owner: bool,
    hidden: bool,
    form_field: bool,
    display_order: i64,
    created: i64,
    updated: i64,
    archived: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    formula: Option<String>,
    #[serde(default = "not_sensitive", skip_serializing_if = "is_not_sensitive")]
    sensitivity: String,
    usable_from: i64,
    /// Whether seeded records have values of it: not if an account deleted
    /// it and made another of its name.
    seeded: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filled_in: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Kind", rename_all = "snake_case")]
enum KeptPropertyKind {
    Text,
    Number,
    Flag,
    Choice,
    Day,
    Moment,
}

impl KeptProperty {
    fn of(property: &Property) -> Self {
        // All fields by name: one added to a property must find its place here.
        let Property {
            name,
            key: _,
            label,
            description,
            kind,
            field_type,
            group,
            options,
            read_only,
            calculated: _,
            unique,
            custom,
            owner,
            hidden,
            form_field,
            display_order,
            created,
            updated,
            archived,
            formula,
            sensitivity,
            usable_from,
            make,
            salt: _,
            filled_in,
        } = property.clone();
        Self {
            name,
            label,
            description,
            kind,
            field_type,
            group,
            options,
            read_only,
            unique,
            custom,
            owner,
            hidden,
            form_field,
            display_order,
            created,
            updated,
            archived,
            formula,
            sensitivity,
            usable_from,
            seeded: !matches!(make, Make::Nothing),
            filled_in,
        }
    }

    fn restored(self, catalogue: &Catalogue) -> Result<Property, SnapshotError> {
        let make = match catalogue.find_any(&self.name) {
            _ if !self.seeded => Make::Nothing,
            Some((_, fresh)) => fresh.make,
            None => return Err(SnapshotError::Unknown(format!("property `{}`", self.name))),
        };
        let calculated = catalogue.find_any(&self.name).is_some_and(|(_, fresh)| fresh.calculated);
        let plain =
            Property::new(&self.name, self.kind, &self.field_type, &self.group, self.created);
        Ok(Property {
            label: self.label,
            description: self.description,
            options: self.options,
            read_only: self.read_only,
            calculated: calculated && !self.custom,
            unique: self.unique,
            custom: self.custom,
            owner: self.owner,
            hidden: self.hidden,
            form_field: self.form_field,
            display_order: self.display_order,
            updated: self.updated,
            archived: self.archived,
            formula: self.formula,
            sensitivity: self.sensitivity,
            usable_from: self.usable_from,
            filled_in: self.filled_in,
            make,
            ..plain
        })
    }
}

fn not_sensitive() -> String {
    NOT_SENSITIVE.to_owned()
}

fn is_not_sensitive(sensitivity: &String) -> bool {
    sensitivity == NOT_SENSITIVE
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    born: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    touches: Vec<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    versions: Vec<KeptVersion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    archived: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    merged_into: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    purged: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptVersion {
    property: String,
    #[serde(with = "KeptSource")]
    source: Source,
    at: i64,
    value: Box<str>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Source", rename_all = "snake_case")]
enum KeptSource {
    Api,
    Person,
    Merge,
    Calculated,
}

impl KeptRecord {
    fn of(record: &Record, catalogue: &Catalogue) -> Self {
        let Record { born, touches, versions, archived, merged_into, purged } = record;
        let version = |version: &Version| KeptVersion {
            property: catalogue.at(version.slot).name.clone(),
            source: version.source,
            at: version.at,
            value: version.value.clone(),
        };
        Self {
            born: *born,
            touches: touches.clone(),
            versions: versions.iter().map(version).collect(),
            archived: *archived,
            merged_into: *merged_into,
            purged: *purged,
        }
    }

    fn restored(self, id: u64, catalogue: &Catalogue) -> Result<Record, SnapshotError> {
        // A merge makes a new record; a way back would be walked for ever.
        if self.merged_into.is_some_and(|into| into <= id) {
            return Err(SnapshotError::MergedBackwards(id));
        }
        let version = |kept: KeptVersion| {
            let slot = slot_named(catalogue, &kept.property)?;
            Ok(Version { slot, source: kept.source, at: kept.at, value: kept.value })
        };
        let versions: Result<Vec<Version>, SnapshotError> =
            self.versions.into_iter().map(version).collect();
        Ok(Record {
            born: self.born,
            touches: self.touches,
            versions: versions?,
            archived: self.archived,
            merged_into: self.merged_into,
            purged: self.purged,
        })
    }
}

/// A kind of association that the account made, in one direction.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptKind {
    from: String,
    to: String,
    id: u32,
    inverse: u32,
    name: String,
    label: Option<String>,
}

impl KeptKind {
    fn all(account: &Account) -> Vec<Self> {
        let kept = |(from, to, kind): (TypeAt, TypeAt, &associations::Kind)| Self {
            from: name_of(account, from),
            to: name_of(account, to),
            id: kind.id,
            inverse: kind.inverse,
            name: kind.name.clone(),
            label: kind.label.clone(),
        };
        account.associations.own_kinds().map(kept).collect()
    }

    fn restore(self, account: &mut Account) -> Result<(), SnapshotError> {
        let (from, to) = (type_named(account, &self.from)?, type_named(account, &self.to)?);
        let Self { id, inverse, name, label, .. } = self;
        account.associations.add_own_kind(from, to, [id, inverse], name, label);
        Ok(())
    }
}

/// The pairs of records of two types that differ from the seed, in one
/// direction: from, to, kinds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptLinks {
    from: String,
    to: String,
    pairs: Vec<(u64, u64, Vec<u32>)>,
}

impl KeptLinks {
    fn all(account: &Account) -> Vec<Self> {
        let mut by_types: BTreeMap<(TypeAt, TypeAt), Vec<_>> = BTreeMap::new();
        for ((from, id, to, other), kinds) in account.associations.pairs() {
            by_types.entry((*from, *to)).or_default().push((*id, *other, kinds.clone()));
        }
        let kept = |((from, to), pairs)| Self {
            from: name_of(account, from),
            to: name_of(account, to),
            pairs,
        };
        by_types.into_iter().map(kept).collect()
    }

    fn restore(self, account: &mut Account) -> Result<(), SnapshotError> {
        let (from, to) = (type_named(account, &self.from)?, type_named(account, &self.to)?);
        for (id, other, kinds) in self.pairs {
            account.associations.put(from, id, to, other, kinds);
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptList {
    id: u64,
    name: String,
    of: String,
    type_id: String,
    #[serde(with = "KeptProcessing")]
    processing: Processing,
    filter_branch: Option<Value>,
    created: i64,
    updated: i64,
    members: BTreeMap<u64, i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Processing", rename_all = "snake_case")]
enum KeptProcessing {
    Manual,
    Dynamic,
    Snapshot,
}

impl KeptList {
    fn of(account: &Account, list: &List) -> Self {
        let List { id, name, of, type_id, processing, filter_branch, created, updated, members } =
            list.clone();
        let of = name_of(account, of);
        Self { id, name, of, type_id, processing, filter_branch, created, updated, members }
    }

    fn restored(self, account: &Account) -> Result<List, SnapshotError> {
        let of = type_named(account, &self.of)?;
        let Self {
            id, name, type_id, processing, filter_branch, created, updated, members, ..
        } = self;
        Ok(List { id, name, of, type_id, processing, filter_branch, created, updated, members })
    }
}

/// What is to be kept of a part: nothing if it is as in a fresh account.
fn differing<T: Clone + PartialEq>(now: &T, fresh: Option<&T>) -> Option<T> {
    (fresh != Some(now)).then(|| now.clone())
}

fn name_of(account: &Account, at: TypeAt) -> String {
    account.tables[at].object_type.plural.clone()
}

fn type_named(account: &Account, name: &str) -> Result<TypeAt, SnapshotError> {
    let found = account.tables.iter().position(|table| table.object_type.plural == name);
    found.ok_or_else(|| SnapshotError::Unknown(format!("object type `{name}`")))
}

fn slot_named(catalogue: &Catalogue, name: &str) -> Result<Slot, SnapshotError> {
    let found = catalogue.find_any(name).map(|(slot, _)| slot);
    found.ok_or_else(|| SnapshotError::Unknown(format!("property `{name}`")))
}
