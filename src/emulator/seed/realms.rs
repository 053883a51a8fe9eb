//! The object types that have seeded records, and how many each has.

use super::draw::salt;

/// An object type with seeded records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Realm {
    Contacts,
    Companies,
    Deals,
    Tickets,
    Notes,
    Tasks,
    Calls,
    Meetings,
    Emails,
    Products,
    LineItems,
    Quotes,
    Leads,
}

impl Realm {
    /// Every realm, in the order of declaration.
    pub(crate) const ALL: [Self; 13] = [
        Self::Contacts,
        Self::Companies,
        Self::Deals,
        Self::Tickets,
        Self::Notes,
        Self::Tasks,
        Self::Calls,
        Self::Meetings,
        Self::Emails,
        Self::Products,
        Self::LineItems,
        Self::Quotes,
        Self::Leads,
    ];
    /// What people do with contacts.
    pub(crate) const ACTIVITIES: [Self; 5] =
        [Self::Notes, Self::Tasks, Self::Calls, Self::Meetings, Self::Emails];

    /// The realm of a type's plural name.
    pub(crate) fn named(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|realm| realm.name() == plural)
    }

    /// The plural name of its object type.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::Companies => "companies",
            Self::Deals => "deals",
            Self::Tickets => "tickets",
            Self::Notes => "notes",
            Self::Tasks => "tasks",
            Self::Calls => "calls",
            Self::Meetings => "meetings",
            Self::Emails => "emails",
            Self::Products => "products",
            Self::LineItems => "line_items",
            Self::Quotes => "quotes",
            Self::Leads => "leads",
        }
    }

    /// What its records' chance begins with.
    pub(super) const fn salt(self) -> u64 {
        salt(self.name())
    }

    /// Where its ids begin: where recorded accounts of 2022 to 2026 have
    /// theirs; all but the tickets' lie beyond 32 bits.
    pub(super) fn first_id(self) -> u64 {
        match self {
            Self::Contacts => 51_854_900_000,
            Self::Companies => 9_337_300_000,
            Self::Deals => 9_755_200_000,
            Self::Tickets => 1_075_900_000,
            // Far apart, as the ids of recorded activities are.
            other => 24_000_000_000 + other.salt() % 40_000_000_000,
        }
    }
}

/// How many records of each type a world has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Population {
    pub(crate) contacts: u64,
    pub(crate) companies: u64,
    pub(crate) deals: u64,
    pub(crate) tickets: u64,
    /// Notes, tasks, calls, meetings and emails together.
    pub(crate) activities: u64,
}

impl Population {
    /// How many records a realm has: what is not told follows from the deals
    /// and the contacts. Nobody does anything with no contact.
    pub(crate) fn of(&self, realm: Realm) -> u64 {
        let activities = if self.contacts == 0 { 0 } else { self.activities };
        match realm {
            Realm::Contacts => self.contacts,
            Realm::Companies => self.companies,
            Realm::Deals => self.deals,
            Realm::Tickets => self.tickets,
            Realm::Notes => activities / 5,
            Realm::Tasks | Realm::Calls => activities * 3 / 20,
            Realm::Meetings => activities / 10,
            // What the others leave, so that the sum is what was told.
            Realm::Emails => {
                let others = [Realm::Notes, Realm::Tasks, Realm::Calls, Realm::Meetings];
                activities - others.into_iter().map(|realm| self.of(realm)).sum::<u64>()
            }
            Realm::Products if self.deals > 0 => (self.deals / 12).clamp(5, 500),
            Realm::Products => 0,
            Realm::LineItems => self.deals + self.deals / 2,
            Realm::Quotes => self.deals / 4,
            Realm::Leads => self.contacts / 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activities_add_up() {
        for activities in [0, 1, 7, 200, 12_345] {
            let population = Population { contacts: 9, activities, ..Population::default() };
            let sum: u64 = Realm::ACTIVITIES.into_iter().map(|realm| population.of(realm)).sum();
            assert_eq!(sum, activities);
            let nobody = Population { contacts: 0, ..population };
            assert!(Realm::ALL.into_iter().all(|realm| nobody.of(realm) == 0));
        }
    }

    #[test]
    fn realms_stand_where_they_are_declared_and_ids_keep_apart() {
        for (at, realm) in Realm::ALL.into_iter().enumerate() {
            assert_eq!(realm as usize, at);
            assert_eq!(Realm::named(realm.name()), Some(realm));
        }
        let mut firsts: Vec<u64> = Realm::ALL.into_iter().map(Realm::first_id).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), Realm::ALL.len());
    }
}
