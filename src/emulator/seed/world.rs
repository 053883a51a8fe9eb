//! The seeded account: which records it has, and what is in them.

use super::dirt;
use super::draw::{Draw, salt};
use super::ids::IdSpace;
use super::kinship::Kinship;
use super::plan::Make;
use super::realms::{Population, Realm};
use crate::emulator::moment;
use crate::emulator::schema::Property;

/// The newest moment any seeded record bears: 2026-01-01T00:00:00Z.
pub(crate) const EPOCH: i64 = 1_767_225_600_000;
/// The oldest: 2019-01-01T00:00:00Z.
const START: i64 = 1_546_300_800_000;
/// A bulk edit that stamped many records with one millisecond.
const BULK_EDIT: i64 = 1_762_135_200_417;
/// An earlier one, of an import.
const BULK_IMPORT: i64 = 1_696_240_805_002;
const NINETY_DAYS: i64 = 90 * moment::DAY;

/// What a seed determines, kept as a handful of numbers.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(super) seed: u64,
    /// In the order of [`Realm::ALL`].
    ids: [IdSpace; Realm::ALL.len()],
    owners: Vec<String>,
    pub(super) links: Kinship,
}

/// The frame of one seeded record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeded {
    pub(crate) index: u64,
    pub(crate) id: u64,
    pub(crate) draw: Draw,
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) archived: Option<i64>,
    /// Whether it came of a merge of two older records.
    pub(crate) merged: bool,
    /// Whether one of those had come of a merge itself.
    pub(crate) merged_twice: bool,
    /// Index of the company it belongs to.
    pub(crate) company: Option<u64>,
}

impl World {
    /// The world of a seed. `owners` are the ids that owner properties hold.
    pub(crate) fn new(seed: u64, population: Population, owners: Vec<String>) -> Self {
        let space = |realm: Realm| IdSpace::new(realm.first_id(), population.of(realm), seed);
        Self { seed, ids: Realm::ALL.map(space), owners, links: Kinship::new(&population) }
    }

    /// The ids of a realm.
    pub(crate) fn ids(&self, realm: Realm) -> &IdSpace {
        &self.ids[realm as usize]
    }

    /// How many records a realm has.
    pub(super) fn count(&self, realm: Realm) -> u64 {
        self.ids(realm).count()
    }

    /// The frame of the record at an index below the realm's count.
    pub(crate) fn record(&self, realm: Realm, index: u64) -> Seeded {
        let draw = Draw::of(self.seed, realm.salt(), index);
        let created = self.created(realm, index, draw);
        let modified = modified(created, draw);
        let archived = draw.of_property(salt("archived")).chance(1).then_some(modified);
        let company = match realm {
            Realm::Contacts => self.company_of_contact(index),
            Realm::Deals => self.company_of_deal(index),
            _ => None,
        };
        let merged = archived.is_none() && is_merged(realm, draw);
        let merged_twice = merged && draw.of_property(salt("merged twice")).chance(25);
        let id = self.ids(realm).id(index);
        Seeded { index, id, draw, created, modified, archived, merged, merged_twice, company }
    }

    /// Appends a seeded value; none if the record has no value there.
    pub(crate) fn value(
        &self,
        realm: Realm,
        record: &Seeded,
        property: &Property,
        out: &mut String,
    ) -> Option<()> {
        match property.make {
            Make::Nothing => return None,
            Make::Id => moment::push_number(out, record.id),
            Make::Created => moment::push_exact(out, record.created),
            Make::Modified => moment::push_exact(out, record.modified),
            Make::Happened => moment::push_trimmed(out, record.created),
            Make::MergedIds => self.push_former_ids(realm, record, out)?,
            Make::MergedVids => self.push_former_vids(realm, record, out)?,
            Make::Person(fact) => self.person(fact, record, out)?,
            Make::Company(fact) => self.company(fact, record, out)?,
            Make::Deal(fact) => self.deal(fact, record, out)?,
            Make::Ticket(fact) => self.ticket(fact, record, out)?,
            Make::Activity(fact) => self.activity(fact, realm, record, out)?,
            Make::Trade(fact) => self.trade(fact, record, out)?,
            Make::Fixed(text) => out.push_str(text),
            _ => dirt::push_chance(record, property, &self.owners, out)?,
        }
        Some(())
    }

    /// The merged record that an id was merged into.
    pub(crate) fn survivor_of(&self, realm: Realm, id: u64) -> Option<u64> {
        let ids = self.ids(realm);
        let index = ids.cell_of(id)?;
        let former = self.former_ids(realm, &self.record(realm, index));
        former.is_some_and(|former| former.contains(&id)).then_some(index)
    }

    fn push_former_ids(&self, realm: Realm, record: &Seeded, out: &mut String) -> Option<()> {
        for (turn, id) in self.former_ids(realm, record)?.iter().enumerate() {
            if turn > 0 {
                out.push(';');
            }
            moment::push_number(out, *id);
        }
        Some(())
    }

    /// The same with the time of each merge, `51:1690000000000;…`.
    fn push_former_vids(&self, realm: Realm, record: &Seeded, out: &mut String) -> Option<()> {
        for (turn, id) in self.former_ids(realm, record)?.iter().enumerate() {
            if turn > 0 {
                out.push(';');
            }
            moment::push_number(out, *id);
            out.push(':');
            moment::push_number(out, record.modified.unsigned_abs());
        }
        Some(())
    }

    /// The ids merged into a record, the oldest first; none if there are none.
    fn former_ids(&self, realm: Realm, record: &Seeded) -> Option<Vec<u64>> {
        let ids = self.ids(realm).former_ids(record.index);
        let many = if record.merged_twice { ids.len() } else { 2 };
        record.merged.then(|| ids[..many].to_vec())
    }

    /// Records come into being one after the other over the years.
    fn created(&self, realm: Realm, index: u64, draw: Draw) -> i64 {
        let slot = ((EPOCH - START) as u64 / self.count(realm).max(1)).max(1);
        let jitter = draw.of_property(salt("created")).below(slot);
        (START + (slot * index + jitter) as i64).min(EPOCH - 1)
    }
}

/// Records that people keep twice are merged now and then.
fn is_merged(realm: Realm, draw: Draw) -> bool {
    use Realm::{Companies, Contacts, Deals, Tickets};
    matches!(realm, Contacts | Companies | Deals | Tickets)
        && draw.of_property(salt("merged")).below(250) == 0
}

/// Modified dates are skewed: a quarter untouched since creation, two bulk
/// edits that stamped very many with one millisecond each, a few records
/// touched again and again of late.
fn modified(created: i64, draw: Draw) -> i64 {
    let draw = draw.of_property(salt("modified"));
    let age = (EPOCH - created).max(1);
    let later = draw.of_property(1);
    match draw.below(100) {
        0..25 => created + later.below(age.min(60_000) as u64) as i64,
        25..30 if created < BULK_EDIT => BULK_EDIT,
        30..34 if created < BULK_IMPORT => BULK_IMPORT,
        34..38 => EPOCH - 1 - later.below(age.min(moment::DAY) as u64) as i64,
        38..70 => {
            let recent = later.below(1_000) * later.of_property(2).below(1_000);
            EPOCH - 1 - age.min(NINETY_DAYS) / 1_000_000 * recent as i64
        }
        _ => created + later.below(age as u64) as i64,
    }
}
