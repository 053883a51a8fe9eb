//! Who is associated with whom among seeded records, in both directions, and
//! under which kinds (type ids of section 11 of the API reference).

use super::draw::{Draw, salt};
use super::links::Links;
use super::realms::{Population, Realm};
use super::world::World;

/// Children and parents, as numbers.
#[derive(Clone, Debug)]
pub(super) struct Kinship {
    contact_company: Links,
    deal_company: Links,
    ticket_contact: Links,
    lead_contact: Links,
    item_deal: Links,
    quote_deal: Links,
    /// In the order of [`Realm::ACTIVITIES`].
    activity_contact: [Links; Realm::ACTIVITIES.len()],
    activity_deal: [Links; Realm::ACTIVITIES.len()],
}

impl Kinship {
    pub(super) fn new(population: &Population) -> Self {
        let even =
            |child: Realm, parent: Realm| Links::even(population.of(child), population.of(parent));
        let skewed = |child: Realm, parent: Realm| {
            Links::skewed(population.of(child), population.of(parent))
        };
        Self {
            contact_company: skewed(Realm::Contacts, Realm::Companies),
            deal_company: even(Realm::Deals, Realm::Companies),
            ticket_contact: even(Realm::Tickets, Realm::Contacts),
            lead_contact: even(Realm::Leads, Realm::Contacts),
            item_deal: even(Realm::LineItems, Realm::Deals),
            quote_deal: even(Realm::Quotes, Realm::Deals),
            activity_contact: Realm::ACTIVITIES.map(|realm| skewed(realm, Realm::Contacts)),
            activity_deal: Realm::ACTIVITIES.map(|realm| even(realm, Realm::Deals)),
        }
    }
}

/// Associates of one record, by index.
type Indexes<'a> = Box<dyn Iterator<Item = u64> + 'a>;
/// The kinds of one pair of types, in one direction.
type Kinds = &'static [u32];

impl World {
    /// The records of a realm that one record is associated with, and the
    /// kinds; nothing if records of the two realms are not.
    pub(crate) fn associates(&self, from: Realm, index: u64, to: Realm) -> (Indexes<'_>, Kinds) {
        use Realm::{Companies, Contacts, Deals, Leads, LineItems, Quotes, Tickets};
        let links = &self.links;
        let one = |found: Option<u64>| -> Indexes<'_> { Box::new(found.into_iter()) };
        match (from, to) {
            (Contacts, Companies) => (one(self.company_of_contact(index)), &[1, 279]),
            (Companies, Contacts) => (Box::new(self.contacts_of_company(index)), &[2, 280]),
            (Contacts, Deals) => (Box::new(self.deals_of_contact(index)), &[4]),
            (Deals, Contacts) => (Box::new(self.contacts_of_deal(index)), &[3]),
            (Deals, Companies) => (one(self.company_of_deal(index)), &[5, 341]),
            (Companies, Deals) => (Box::new(links.deal_company.children(index)), &[6, 342]),
            (Tickets, Contacts) => (one(links.ticket_contact.parent(index)), &[16]),
            (Contacts, Tickets) => (Box::new(links.ticket_contact.children(index)), &[15]),
            (Leads, Contacts) => (one(self.contact_of_lead(index)), &[578, 608]),
            (Contacts, Leads) => (Box::new(links.lead_contact.children(index)), &[579, 609]),
            (LineItems, Deals) => (one(links.item_deal.parent(index)), &[20]),
            (Deals, LineItems) => (Box::new(links.item_deal.children(index)), &[19]),
            (Quotes, Deals) => (one(self.deal_of_quote(index)), &[64]),
            (Deals, Quotes) => (Box::new(links.quote_deal.children(index)), &[63]),
            _ => self.activity_associates(from, index, to),
        }
    }

    fn activity_associates(&self, from: Realm, index: u64, to: Realm) -> (Indexes<'_>, Kinds) {
        let place = |realm| Realm::ACTIVITIES.iter().position(|other| *other == realm);
        match (place(from), place(to)) {
            (Some(at), None) => {
                let found = match to {
                    Realm::Contacts => self.contact_of_activity(at, index),
                    Realm::Companies => {
                        let contact = self.contact_of_activity(at, index);
                        contact.and_then(|contact| self.company_of_contact(contact))
                    }
                    Realm::Deals => self.deal_of_activity(at, index),
                    _ => None,
                };
                (Box::new(found.into_iter()), activity_kinds(at, to, 0))
            }
            (None, Some(at)) => {
                let found: Indexes<'_> = match from {
                    Realm::Contacts => Box::new(self.activities_of_contact(at, index)),
                    Realm::Companies => {
                        let contacts = self.contacts_of_company(index);
                        Box::new(contacts.flat_map(move |of| self.activities_of_contact(at, of)))
                    }
                    Realm::Deals => Box::new(self.links.activity_deal[at].children(index).filter(
                        move |activity| self.deal_of_activity(at, *activity) == Some(index),
                    )),
                    _ => Box::new(std::iter::empty()),
                };
                (found, activity_kinds(at, from, 1))
            }
            _ => (Box::new(std::iter::empty()), &[]),
        }
    }

    /// The company a contact works for.
    pub(crate) fn company_of_contact(&self, index: u64) -> Option<u64> {
        if Draw::of(self.seed, salt("loner"), index).chance(12) {
            return None;
        }
        self.links.contact_company.parent(index)
    }

    fn contacts_of_company(&self, index: u64) -> impl Iterator<Item = u64> + '_ {
        self.links
            .contact_company
            .children(index)
            .filter(move |contact| self.company_of_contact(*contact) == Some(index))
    }

    /// The company of a deal.
    pub(super) fn company_of_deal(&self, index: u64) -> Option<u64> {
        self.links.deal_company.parent(index)
    }

    /// The one or two people a deal is talked over with.
    fn contacts_of_deal(&self, index: u64) -> impl Iterator<Item = u64> + '_ {
        let few = 1 + Draw::of(self.seed, salt("deal contacts"), index).below(2) as usize;
        self.company_of_deal(index)
            .into_iter()
            .flat_map(|company| self.contacts_of_company(company))
            .take(few)
    }

    fn deals_of_contact(&self, index: u64) -> impl Iterator<Item = u64> + '_ {
        self.company_of_contact(index)
            .into_iter()
            .flat_map(|company| self.links.deal_company.children(company))
            .filter(move |deal| self.contacts_of_deal(*deal).any(|contact| contact == index))
    }

    /// The contact that a lead is about.
    pub(super) fn contact_of_lead(&self, index: u64) -> Option<u64> {
        self.links.lead_contact.parent(index)
    }

    /// The deal that a quote is for.
    pub(super) fn deal_of_quote(&self, index: u64) -> Option<u64> {
        self.links.quote_deal.parent(index)
    }

    /// The contact that an activity was done with; `at` is its place in
    /// [`Realm::ACTIVITIES`].
    pub(super) fn contact_of_activity(&self, at: usize, index: u64) -> Option<u64> {
        self.links.activity_contact[at].parent(index)
    }

    fn activities_of_contact(&self, at: usize, contact: u64) -> impl Iterator<Item = u64> + use<> {
        self.links.activity_contact[at].children(contact)
    }

    /// Three in ten activities are about a deal.
    fn deal_of_activity(&self, at: usize, index: u64) -> Option<u64> {
        let about = Draw::of(self.seed, salt("activity deal") ^ at as u64, index).chance(30);
        self.links.activity_deal[at].parent(index).filter(|_| about)
    }
}

/// The kinds of an activity and one of its associates, seen from the activity
/// (side 0) or from the other.
fn activity_kinds(at: usize, other: Realm, side: usize) -> Kinds {
    /// For notes, tasks, calls, meetings, emails: with contacts, companies,
    /// deals.
    const KINDS: [[[[u32; 1]; 2]; 3]; 5] = [
        [[[202], [201]], [[190], [189]], [[214], [213]]],
        [[[204], [203]], [[192], [191]], [[216], [215]]],
        [[[194], [193]], [[182], [181]], [[206], [205]]],
        [[[200], [199]], [[188], [187]], [[212], [211]]],
        [[[198], [197]], [[186], [185]], [[210], [209]]],
    ];
    let other = match other {
        Realm::Contacts => 0,
        Realm::Companies => 1,
        Realm::Deals => 2,
        _ => return &[],
    };
    &KINDS[at][other][side]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn associations_are_the_same_from_both_ends() {
        let population =
            Population { contacts: 60, companies: 9, deals: 20, tickets: 8, activities: 80 };
        let world = World::new(3, population, Vec::new());
        let mut pairs = 0;
        for from in Realm::ALL {
            for to in Realm::ALL {
                for index in 0..world.count(from) {
                    let (found, kinds) = world.associates(from, index, to);
                    for other in found {
                        let (mut back, inverse) = world.associates(to, other, from);
                        assert!(back.any(|one| one == index), "{from:?} {index} {to:?} {other}");
                        assert_eq!(kinds.len(), inverse.len());
                        assert!(!kinds.is_empty());
                        pairs += 1;
                    }
                }
            }
        }
        assert!(pairs > 500, "{pairs}");
    }
}
