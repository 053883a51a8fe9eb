//! The seeded account: which records it has, and what is in them.

use super::draw::{Draw, salt};
use super::ids::IdSpace;
use super::links::Links;
use super::plan::Make;
use crate::emulator::moment;
use crate::emulator::schema::Property;

/// The newest moment any seeded record bears: 2026-01-01T00:00:00Z.
pub(crate) const EPOCH: i64 = 1_767_225_600_000;
/// The oldest: 2019-01-01T00:00:00Z.
const START: i64 = 1_546_300_800_000;
/// A bulk edit that stamped many records with one millisecond.
const BULK_EDIT: i64 = 1_762_135_200_417;
const NINETY_DAYS: i64 = 90 * moment::DAY;

/// The object types that have seeded records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Realm {
    Contacts,
    Companies,
    Deals,
    Tickets,
}

/// What a seed determines, kept as a handful of numbers.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(super) seed: u64,
    pub(crate) contacts: IdSpace,
    pub(crate) companies: IdSpace,
    pub(crate) deals: IdSpace,
    pub(crate) tickets: IdSpace,
    owners: Vec<String>,
    contact_company: Links,
    deal_company: Links,
    ticket_contact: Links,
}

/// How many records of each type a world has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Population {
    pub(crate) contacts: u64,
    pub(crate) companies: u64,
    pub(crate) deals: u64,
    pub(crate) tickets: u64,
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
    /// Index of the company it belongs to.
    pub(crate) company: Option<u64>,
}

impl World {
    /// The world of a seed. `owners` are the ids that owner properties hold.
    pub(crate) fn new(seed: u64, population: Population, owners: Vec<String>) -> Self {
        let Population { contacts, companies, deals, tickets } = population;
        Self {
            seed,
            // Where recorded accounts of 2022 to 2026 have theirs; all but
            // the tickets' lie beyond 32 bits.
            contacts: IdSpace::new(51_854_900_000, contacts, seed),
            companies: IdSpace::new(9_337_300_000, companies, seed),
            deals: IdSpace::new(9_755_200_000, deals, seed),
            tickets: IdSpace::new(1_075_900_000, tickets, seed),
            owners,
            contact_company: Links::skewed(contacts, companies),
            deal_company: Links::even(deals, companies),
            ticket_contact: Links::even(tickets, contacts),
        }
    }

    /// The ids of a realm.
    pub(crate) fn ids(&self, realm: Realm) -> &IdSpace {
        match realm {
            Realm::Contacts => &self.contacts,
            Realm::Companies => &self.companies,
            Realm::Deals => &self.deals,
            Realm::Tickets => &self.tickets,
        }
    }

    /// The frame of the record at an index below the realm's count.
    pub(crate) fn record(&self, realm: Realm, index: u64) -> Seeded {
        let draw = Draw::of(self.seed, realm.salt(), index);
        let created = self.created(realm, index, draw);
        let modified = modified(created, draw);
        let archived = draw.of_property(salt("archived")).chance(1).then_some(modified);
        let company = match realm {
            Realm::Contacts => self.company_of_contact(index),
            Realm::Deals => self.deal_company.parent(index),
            Realm::Companies | Realm::Tickets => None,
        };
        let merged = archived.is_none() && self.is_merged(realm, draw);
        let id = self.ids(realm).id(index);
        Seeded { index, id, draw, created, modified, archived, merged, company }
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
            Make::MergedIds => self.push_former_ids(realm, record, out)?,
            Make::Person(fact) => self.person(fact, record, out)?,
            Make::Company(fact) => self.company(fact, record, out)?,
            Make::Deal(fact) => self.deal(fact, record, out)?,
            Make::Ticket(fact) => self.ticket(fact, record, out)?,
            Make::Fixed(text) => out.push_str(text),
            _ => self.chance_value(record, property, out)?,
        }
        Some(())
    }

    /// Appends a value that hangs together with nothing else.
    fn chance_value(&self, record: &Seeded, property: &Property, out: &mut String) -> Option<()> {
        let draw = record.draw.of_property(property.salt);
        let value = draw.of_property(1);
        let filled = |percent: u8| draw.chance(u64::from(percent)).then_some(());
        match property.make {
            Make::Pick(choices, percent) => {
                filled(percent)?;
                out.push_str(value.pick(choices));
            }
            Make::Option(percent) => {
                filled(percent)?;
                out.push_str(property.option_at(value.number())?);
            }
            Make::Options(percent) => {
                filled(percent)?;
                push_options(property, value, out)?;
            }
            Make::Whole(limit, percent) => {
                filled(percent)?;
                moment::push_number(out, value.below(limit));
            }
            Make::Decimal(limit, percent) => {
                filled(percent)?;
                let hundredths = value.below(limit * 100);
                moment::push_number(out, hundredths / 100);
                out.push('.');
                moment::push_number(out, hundredths / 10 % 10);
                moment::push_number(out, hundredths % 10);
            }
            Make::FalseNumber(limit, percent) => {
                filled(percent)?;
                moment::push_number(out, value.below(limit));
                if value.of_property(2).below(200) == 0 {
                    out.push_str(";2");
                }
            }
            Make::Flag(percent) => {
                filled(percent)?;
                out.push_str(if value.chance(50) { "true" } else { "false" });
            }
            Make::Day(percent) => {
                filled(percent)?;
                moment::push_day(out, between(record, value));
            }
            Make::Moment(percent) => {
                filled(percent)?;
                moment::push_trimmed(out, between(record, value));
            }
            Make::Owner(percent) => {
                filled(percent)?;
                let at = value.below(self.owners.len() as u64) as usize;
                out.push_str(self.owners.get(at)?);
            }
            _ => return None,
        }
        Some(())
    }

    /// The merged record that an id was merged into.
    pub(crate) fn survivor_of(&self, realm: Realm, id: u64) -> Option<u64> {
        let ids = self.ids(realm);
        let index = ids.cell_of(id)?;
        (ids.former_ids(index).contains(&id) && self.record(realm, index).merged).then_some(index)
    }

    /// The company a contact works for.
    pub(crate) fn company_of_contact(&self, index: u64) -> Option<u64> {
        if Draw::of(self.seed, salt("loner"), index).chance(12) {
            return None;
        }
        self.contact_company.parent(index)
    }

    /// The contacts of a company.
    pub(crate) fn contacts_of_company(&self, index: u64) -> impl Iterator<Item = u64> + '_ {
        self.contact_company
            .children(index)
            .filter(move |contact| self.company_of_contact(*contact) == Some(index))
    }

    /// The company of a deal.
    pub(crate) fn company_of_deal(&self, index: u64) -> Option<u64> {
        self.deal_company.parent(index)
    }

    /// The deals of a company.
    pub(crate) fn deals_of_company(&self, index: u64) -> impl Iterator<Item = u64> + use<> {
        self.deal_company.children(index)
    }

    /// The one or two people a deal is talked over with.
    pub(crate) fn contacts_of_deal(&self, index: u64) -> impl Iterator<Item = u64> + '_ {
        let few = 1 + Draw::of(self.seed, salt("deal contacts"), index).below(2) as usize;
        self.company_of_deal(index)
            .into_iter()
            .flat_map(|company| self.contacts_of_company(company))
            .take(few)
    }

    /// The deals a contact takes part in.
    pub(crate) fn deals_of_contact(&self, index: u64) -> impl Iterator<Item = u64> + '_ {
        self.company_of_contact(index)
            .into_iter()
            .flat_map(|company| self.deals_of_company(company))
            .filter(move |deal| self.contacts_of_deal(*deal).any(|contact| contact == index))
    }

    /// The contact who opened a ticket.
    pub(crate) fn contact_of_ticket(&self, index: u64) -> Option<u64> {
        self.ticket_contact.parent(index)
    }

    /// The tickets a contact opened.
    pub(crate) fn tickets_of_contact(&self, index: u64) -> impl Iterator<Item = u64> + use<> {
        self.ticket_contact.children(index)
    }

    fn is_merged(&self, realm: Realm, draw: Draw) -> bool {
        let mergeable = matches!(realm, Realm::Contacts | Realm::Companies);
        mergeable && draw.of_property(salt("merged")).below(250) == 0
    }

    fn push_former_ids(&self, realm: Realm, record: &Seeded, out: &mut String) -> Option<()> {
        if !record.merged {
            return None;
        }
        let [first, second] = self.ids(realm).former_ids(record.index);
        moment::push_number(out, first);
        out.push(';');
        moment::push_number(out, second);
        Some(())
    }

    /// Records come into being one after the other over the years.
    fn created(&self, realm: Realm, index: u64, draw: Draw) -> i64 {
        let count = self.ids(realm).count().max(1) as i128;
        let span = i128::from(EPOCH - START);
        let slot = (span / count).max(1);
        let jitter = i128::from(draw.of_property(salt("created")).below(slot as u64));
        START + (span * i128::from(index) / count + jitter) as i64
    }
}

impl Realm {
    fn salt(self) -> u64 {
        match self {
            Self::Contacts => salt("contacts"),
            Self::Companies => salt("companies"),
            Self::Deals => salt("deals"),
            Self::Tickets => salt("tickets"),
        }
    }
}

/// Modified dates are skewed: many untouched since creation, many touched of
/// late, some by one bulk edit.
fn modified(created: i64, draw: Draw) -> i64 {
    let draw = draw.of_property(salt("modified"));
    let age = (EPOCH - created).max(1);
    let later = draw.of_property(1);
    match draw.below(100) {
        0..25 => created + later.below(age.min(60_000) as u64) as i64,
        25..30 if created < BULK_EDIT => BULK_EDIT,
        30..70 => EPOCH - 1 - later.below(age.min(NINETY_DAYS) as u64) as i64,
        _ => created + later.below(age as u64) as i64,
    }
}

fn between(record: &Seeded, draw: Draw) -> i64 {
    record.created + draw.below((record.modified - record.created).max(1) as u64) as i64
}

fn push_options(property: &Property, draw: Draw, out: &mut String) -> Option<()> {
    let many = 1 + draw.below(3);
    let start = out.len();
    for turn in 0..many {
        let option = property.option_at(draw.number().wrapping_add(turn))?;
        if turn > 0 && turn >= property.options.len() as u64 {
            break;
        }
        if out.len() > start {
            out.push(';');
        }
        out.push_str(option);
    }
    Some(())
}
