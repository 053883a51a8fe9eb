//! What each endpoint does.

mod account;
mod associations;
mod associations_v3;
mod batches;
mod events;
mod labels;
mod library;
mod lists;
mod oauth;
mod objects;
mod owners;
mod pipelines;
mod properties;
mod schemas;
mod webhooks;

pub(crate) use objects::NewAssociation;

use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use super::account::Account;
use super::associations::TypeAt;
use super::call::{Answer, Call, objects};
use super::errors::{Refusal, Refused};
use super::paths::{Edition, Endpoint};
use super::shared::{Shared, at_length};

/// Serves a call whose path has been understood, and that came with a token.
pub(crate) fn serve(
    shared: &Shared,
    endpoint: Endpoint,
    call: &Call,
    token: Option<&str>,
) -> Answer {
    let answer = dispatch(shared, endpoint, call, token);
    if call.method != "GET" && !shared.read().stale.is_empty() {
        shared.write().refresh_counts();
    }
    answer
}

fn dispatch(shared: &Shared, endpoint: Endpoint, call: &Call, token: Option<&str>) -> Answer {
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
        Endpoint::Labels => labels::list(&shared.read(), call),
        Endpoint::LabelCreate => labels::create(&mut shared.write(), call),
        Endpoint::LabelUpdate => labels::update(&mut shared.write(), call),
        Endpoint::LabelArchive => labels::archive(&mut shared.write(), call),
        Endpoint::AssociationTypes => labels::types(&shared.read(), call),
        Endpoint::AssociationLimits => labels::all_limits(&shared.read()),
        Endpoint::PairLimits => labels::limits(&shared.read(), call),
        Endpoint::PairLimitsCreate => labels::limits_set(&mut shared.write(), call, true),
        Endpoint::PairLimitsUpdate => labels::limits_set(&mut shared.write(), call, false),
        Endpoint::PairLimitsPurge => labels::limits_purge(&mut shared.write(), call),
        Endpoint::HighUsageReport => labels::usage_report(&shared.read(), call),
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
        Endpoint::SchemaDissociation => schemas::dissociate(&mut shared.write(), call),
        Endpoint::ListSearch => lists::search(&shared.read(), call),
        Endpoint::ListsByIds => lists::by_ids(&shared.read(), call),
        Endpoint::ListCreate => lists::create(&mut shared.write(), call),
        Endpoint::ListByName => lists::by_name(&shared.read(), call),
        Endpoint::ListsOfRecord => lists::of_record(&shared.read(), call),
        Endpoint::ListsOfRecords => lists::of_records(&shared.read(), call),
        Endpoint::ListIdRead => lists::id_mapping(&shared.read(), call),
        Endpoint::ListIdsRead => lists::id_mappings(&shared.read(), call),
        Endpoint::MembersAddFrom => lists::add_from(&mut shared.write(), call),
        Endpoint::ListFilters => lists::update_filters(&mut shared.write(), call),
        Endpoint::ListRestore => lists::restore(&mut shared.write(), call),
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
        Endpoint::PipelineAudit => pipelines::audit(&shared.read(), call),
        Endpoint::StageAudit => pipelines::stage_audit(&shared.read(), call),
        Endpoint::PipelineCreate => pipelines::create(&mut shared.write(), call),
        Endpoint::PipelineReplace => pipelines::replace(&mut shared.write(), call),
        Endpoint::PipelineUpdate => pipelines::update(&mut shared.write(), call),
        Endpoint::PipelineArchive => pipelines::archive(&mut shared.write(), call),
        Endpoint::StageCreate => pipelines::stage_create(&mut shared.write(), call),
        Endpoint::StageReplace => pipelines::stage_replace(&mut shared.write(), call),
        Endpoint::StageUpdate => pipelines::stage_update(&mut shared.write(), call),
        Endpoint::StageArchive => pipelines::stage_archive(&mut shared.write(), call),
        Endpoint::AccountDetails => account::details(&shared.read(), call),
        Endpoint::DailyUsage | Endpoint::DailyUsageOld => account::daily_usage(shared),
        Endpoint::PropertyLimits => library::property_limits(&shared.read()),
        Endpoint::FormulaLimits => library::formula_limits(&shared.read()),
        Endpoint::TypeLimits => library::type_limits(&shared.read()),
        Endpoint::RecordLimits => library::record_limits(&shared.read()),
        Endpoint::Enablement => library::enablement(&shared.read()),
        Endpoint::EnablementOfType => library::enablement_of(&shared.read(), call),
        Endpoint::EventSend => events::send(&mut shared.write(), call),
        Endpoint::EventSendBatch => events::send_batch(&mut shared.write(), call),
        Endpoint::Events => events::list(&shared.read(), call),
        Endpoint::EventTypes => events::types(&shared.read()),
        Endpoint::EventDefinitions => events::definitions(&shared.read()),
        Endpoint::EventDefine => events::define(&mut shared.write(), call),
        Endpoint::EventDefinition => events::definition(&shared.read(), call),
        Endpoint::EventUndefine => events::undefine(&mut shared.write(), call),
        Endpoint::Imports
        | Endpoint::ImportStart
        | Endpoint::ImportRead
        | Endpoint::ImportErrors
        | Endpoint::ImportCancel => library::not_imitated("imports"),
        Endpoint::ExportStart | Endpoint::ExportStatus | Endpoint::ExportRead => {
            library::not_imitated("exports")
        }
        Endpoint::WebhookSettings => webhooks::settings(shared, call),
        Endpoint::WebhookSettingsPut => webhooks::configure(shared, call),
        Endpoint::WebhookSettingsDelete => webhooks::clear(shared, call),
        Endpoint::WebhookSubscriptions => webhooks::list(shared, call),
        Endpoint::WebhookSubscribe => webhooks::subscribe(shared, call),
        Endpoint::WebhookBatchUpdate => webhooks::batch_update(shared, call),
        Endpoint::WebhookSubscription => webhooks::read(shared, call),
        Endpoint::WebhookUpdate => webhooks::update(shared, call),
        Endpoint::WebhookUnsubscribe => webhooks::unsubscribe(shared, call),
        Endpoint::WebhookJournal => webhooks::journal(),
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
    /// The account, to be read. Who has to wait for it lets other tasks have
    /// the thread meanwhile.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Account> {
        match self.account.try_read() {
            Ok(account) => account,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                at_length(|| self.account.read().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    /// The account, to be changed; until it is let go its clock stands still.
    pub(crate) fn write(&self) -> Writing<'_> {
        let mut account = match self.account.try_write() {
            Ok(account) => account,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                at_length(|| self.account.write().unwrap_or_else(PoisonError::into_inner))
            }
        };
        account.clock.pin();
        Writing(account)
    }
}

/// The account while it is changed: all that a call does happens at one
/// moment, be it a record's birth, its first values or the events of both.
pub(crate) struct Writing<'a>(RwLockWriteGuard<'a, Account>);

impl Deref for Writing<'_> {
    type Target = Account;

    fn deref(&self) -> &Account {
        &self.0
    }
}

impl DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut Account {
        &mut self.0
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.clock.unpin();
    }
}

/// The object type that the path names, if the account has it.
fn type_of(account: &Account, name: &str) -> Result<TypeAt, Refused> {
    let at = account.type_at(name).ok_or_else(|| Refusal::unknown_type(name))?;
    match account.is_unavailable(at) {
        true => Err(Refusal::not_subscribed(&account.tables[at].object_type.plural).into()),
        false => Ok(at),
    }
}

/// The object type that the path names, if its records may be changed.
fn type_to_write(account: &Account, name: &str) -> Result<TypeAt, Refused> {
    let at = type_of(account, name)?;
    // There is no scope that would allow it; section 2 of the API reference.
    match account.name_of(at) {
        "feedback_submissions" => {
            let scope = "crm.objects.feedback_submissions.write".to_owned();
            Err(Refusal::missing_scopes(&[scope]).into())
        }
        _ => Ok(at),
    }
}

/// The status of a batch answer: that of full success, or 207 when inputs
/// failed. Whether 2026-09 keeps 207 is not known: it can be told not to.
fn batch_status(account: &Account, call: &Call, full: u16, failed: bool) -> u16 {
    let kept = account.rules.september_partial_is_success;
    if !failed || (kept && call.edition == Edition::September2026) { full } else { 207 }
}

/// The body of a batch: any shape of input.
#[derive(serde::Deserialize)]
#[serde(bound = "T: serde::de::DeserializeOwned")]
struct Batch<T> {
    #[serde(deserialize_with = "objects")]
    inputs: Vec<T>,
}
