//! Who lives in a fresh account: what a sample of product usage is made from.

use std::sync::Arc;

use super::SeededContact;
use super::account::Account;
use super::seed::realms::Realm;
use super::seed::world::World;

impl Account {
    /// The live seeded contacts, by id.
    pub(crate) fn seeded_contacts(&self) -> impl Iterator<Item = SeededContact> + use<> {
        let world = self.world.clone();
        let count = world.ids(Realm::Contacts).count();
        (0..count).filter_map(move |index| resident(&world, index))
    }
}

fn resident(world: &Arc<World>, index: u64) -> Option<SeededContact> {
    let record = world.record(Realm::Contacts, index);
    if record.archived.is_some() {
        return None;
    }
    let company = record
        .company
        .filter(|company| world.record(Realm::Companies, *company).archived.is_none());
    Some(SeededContact {
        id: record.id,
        email: world.email(&record),
        user_id: format!("u-{index}"),
        company_id: company.map(|company| world.ids(Realm::Companies).id(company)),
        company_domain: company.map(|company| world.domain(company)),
        account_key: company.map(|company| format!("acct-{company}")),
    })
}
