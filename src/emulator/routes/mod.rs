//! What each endpoint does.

mod account;
mod associations;
mod batches;
mod lists;
mod oauth;
mod objects;
mod owners;
mod pipelines;
mod properties;
mod schemas;

pub(crate) use objects::NewAssociation;

use std::sync::{PoisonError, RwLockReadGuard, RwLockWriteGuard};

use super::account::Account;
use super::associations::TypeAt;
use super::call::{Answer, Call};
use super::errors::{Refusal, Refused};
use super::paths::Endpoint;
use super::shared::Shared;

/// Serves a call whose path has been understood, and that came with a token.
pub(crate) fn serve(
    shared: &Shared,
    endpoint: Endpoint,
    call: &Call,
    token: Option<&str>,
) -> Answer {
    match endpoint {
        Endpoint::List => objects::list(&shared.read(), call),
        Endpoint::Read => objects::read(&shared.read(), call),
        Endpoint::Search => objects::search(&shared.read(), call),
        Endpoint::Create => objects::create(&mut shared.write(), call),
        Endpoint::Update => objects::update(&mut shared.write(), call),
        Endpoint::Archive => objects::archive(&mut shared.write(), call),
        Endpoint::BatchRead => batches::read(&shared.read(), call),
        Endpoint::BatchCreate => batches::create(&mut shared.write(), call),
        Endpoint::BatchUpdate => batches::update(&mut shared.write(), call),
        Endpoint::BatchUpsert => batches::upsert(&mut shared.write(), call),
        Endpoint::BatchArchive => batches::archive(&mut shared.write(), call),
        Endpoint::Merge => objects::merge(&mut shared.write(), call),
        Endpoint::GdprDelete => objects::gdpr_delete(&mut shared.write(), call),
        Endpoint::RecordAssociations => associations::of_record(&shared.read(), call),
        Endpoint::PairDefault => associations::pair_default(&mut shared.write(), call),
        Endpoint::PairCreate => associations::pair_create(&mut shared.write(), call),
        Endpoint::PairCreateNamed => associations::pair_create_named(&mut shared.write(), call),
        Endpoint::PairArchiveNamed | Endpoint::PairArchive => {
            associations::pair_archive(&mut shared.write(), call)
        }
        Endpoint::AssociationsRead => associations::batch_read(&shared.read(), call),
        Endpoint::AssociationsCreate => associations::batch_create(&mut shared.write(), call),
        Endpoint::AssociationsDefault => associations::batch_default(&mut shared.write(), call),
        Endpoint::AssociationsArchive => associations::batch_archive(&mut shared.write(), call),
        Endpoint::LabelsArchive => associations::labels_archive(&mut shared.write(), call),
        Endpoint::Labels => associations::labels(&shared.read(), call),
        Endpoint::LabelCreate => associations::label_create(&mut shared.write(), call),
        Endpoint::PropertyBatchRead => properties::batch_read(&shared.read(), call),
        Endpoint::PropertyBatchCreate => properties::batch_create(&mut shared.write(), call),
        Endpoint::PropertyBatchArchive => properties::batch_archive(&mut shared.write(), call),
        Endpoint::Groups => properties::groups(&shared.read(), call),
        Endpoint::GroupCreate => properties::group_create(&mut shared.write(), call),
        Endpoint::GroupRead => properties::group_read(&shared.read(), call),
        Endpoint::GroupUpdate => properties::group_update(&mut shared.write(), call),
        Endpoint::GroupArchive => properties::group_archive(&mut shared.write(), call),
        Endpoint::Properties => properties::list(&shared.read(), call),
        Endpoint::PropertyCreate => properties::create(&mut shared.write(), call),
        Endpoint::PropertyRead => properties::read(&shared.read(), call),
        Endpoint::PropertyUpdate => properties::update(&mut shared.write(), call),
        Endpoint::PropertyArchive => properties::archive(&mut shared.write(), call),
        Endpoint::Schemas => schemas::list(&shared.read(), call),
        Endpoint::SchemaCreate => schemas::create(&mut shared.write(), call),
        Endpoint::SchemaRead => schemas::read(&shared.read(), call),
        Endpoint::SchemaUpdate => schemas::update(&mut shared.write(), call),
        Endpoint::SchemaArchive => schemas::archive(&mut shared.write(), call),
        Endpoint::SchemaAssociation => schemas::associate(&mut shared.write(), call),
        Endpoint::ListSearch => lists::search(&shared.read(), call),
        Endpoint::ListsByIds => lists::by_ids(&shared.read(), call),
        Endpoint::ListCreate => lists::create(&mut shared.write(), call),
        Endpoint::ListByName => lists::by_name(&shared.read(), call),
        Endpoint::ListsOfRecord => lists::of_record(&shared.read(), call),
        Endpoint::Memberships | Endpoint::MembershipsByJoining => {
            lists::memberships(&shared.read(), call)
        }
        Endpoint::MembersAdd => lists::add(&mut shared.write(), call),
        Endpoint::MembersRemove => lists::remove(&mut shared.write(), call),
        Endpoint::MembersChange => lists::add_and_remove(&mut shared.write(), call),
        Endpoint::MembersClear => lists::remove_all(&mut shared.write(), call),
        Endpoint::ListRename => lists::rename(&mut shared.write(), call),
        Endpoint::ListRead => lists::read(&shared.read(), call),
        Endpoint::ListArchive => lists::archive(&mut shared.write(), call),
        Endpoint::Owners => owners::list(&shared.read(), call),
        Endpoint::OwnerRead => owners::read(&shared.read(), call),
        Endpoint::Pipelines => pipelines::list(&shared.read(), call),
        Endpoint::PipelineRead => pipelines::read(&shared.read(), call),
        Endpoint::Stages => pipelines::stages(&shared.read(), call),
        Endpoint::StageRead => pipelines::stage(&shared.read(), call),
        Endpoint::AccountDetails => account::details(&shared.read(), call),
        Endpoint::DailyUsage | Endpoint::DailyUsageOld => account::daily_usage(shared),
        Endpoint::Authorize | Endpoint::AuthorizeIn => oauth::authorize(shared, call),
        Endpoint::TokenGrant => oauth::grant(shared, call),
        Endpoint::TokenIntrospect => oauth::introspect(shared, call),
        Endpoint::TokenRevoke => oauth::revoke(shared, call),
        Endpoint::AccessTokenInfo => oauth::access_token(shared, call),
        Endpoint::RefreshTokenInfo => oauth::refresh_token(shared, call),
        Endpoint::RefreshTokenDelete => oauth::delete_refresh_token(shared, call),
        Endpoint::PrivateAppInfo => oauth::private_app(shared, call),
        Endpoint::Uninstall => oauth::uninstall(shared, token),
    }
}

impl Shared {
    /// The account, to be read.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Account> {
        self.account.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account, to be changed.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Account> {
        self.account.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The object type that the path names.
fn type_of(account: &Account, name: &str) -> Result<TypeAt, Refused> {
    account.type_at(name).ok_or_else(|| Refusal::unknown_type(name).into())
}

/// The body of a batch: any shape of input.
#[derive(serde::Deserialize)]
struct Batch<T> {
    inputs: Vec<T>,
}
