//! One table of paths: legacy and dated ones lead to the same endpoints.

use super::call::Call;

/// The version of the API that a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edition {
    /// `v1` to `v4`.
    Legacy,
    /// `2026-03`.
    March2026,
    /// `2026-09`.
    September2026,
}

impl Edition {
    fn of_segment(segment: &str) -> Option<Self> {
        match segment {
            "v1" | "v2" | "v3" | "v4" => Some(Self::Legacy),
            "2026-03" => Some(Self::March2026),
            "2026-09" | "2026-09-beta" => Some(Self::September2026),
            _ => None,
        }
    }
}

macro_rules! endpoints {
    ($($endpoint:ident $method:literal $path:literal $label:literal;)*) => {
        /// What a path and a method ask for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Endpoint { $(#[doc = $path] $endpoint,)* }

        impl Endpoint {
            /// The name in the request log.
            pub(crate) fn label(self) -> &'static str {
                match self { $(Self::$endpoint => $label,)* }
            }
        }

        const TABLE: &[(&str, &str, Endpoint)] = &[$(($method, $path, Endpoint::$endpoint),)*];
    };
}

// Canonical paths: the area first, the version taken out. A `*` stands for
// one segment. Fixed segments come before placeholders.
endpoints! {
    Search "POST" "objects/*/search" "objects.search";
    BatchRead "POST" "objects/*/batch/read" "objects.batch_read";
    BatchCreate "POST" "objects/*/batch/create" "objects.batch_create";
    BatchUpdate "POST" "objects/*/batch/update" "objects.batch_update";
    BatchUpsert "POST" "objects/*/batch/upsert" "objects.batch_upsert";
    BatchArchive "POST" "objects/*/batch/archive" "objects.batch_archive";
    Merge "POST" "objects/*/merge" "objects.merge";
    GdprDelete "POST" "objects/*/gdpr-delete" "objects.gdpr_delete";
    List "GET" "objects/*" "objects.list";
    Create "POST" "objects/*" "objects.create";
    Read "GET" "objects/*/*" "objects.read";
    Update "PATCH" "objects/*/*" "objects.update";
    Archive "DELETE" "objects/*/*" "objects.archive";
    RecordAssociations "GET" "objects/*/*/associations/*" "associations.list";
    PairDefault "PUT" "objects/*/*/associations/default/*/*" "associations.create_default";
    PairCreate "PUT" "objects/*/*/associations/*/*" "associations.create";
    PairCreateNamed "PUT" "objects/*/*/associations/*/*/*" "associations.create_named";
    PairArchiveNamed "DELETE" "objects/*/*/associations/*/*/*" "associations.archive";
    PairArchive "DELETE" "objects/*/*/associations/*/*" "associations.archive";
    AssociationsRead "POST" "associations/*/*/batch/read" "associations.batch_read";
    AssociationsCreate "POST" "associations/*/*/batch/create" "associations.batch_create";
    AssociationsDefault "POST" "associations/*/*/batch/associate/default" "associations.batch_default";
    AssociationsArchive "POST" "associations/*/*/batch/archive" "associations.batch_archive";
    LabelsArchive "POST" "associations/*/*/batch/labels/archive" "associations.batch_labels_archive";
    Labels "GET" "associations/*/*/labels" "associations.labels";
    LabelCreate "POST" "associations/*/*/labels" "associations.label_create";
    LabelUpdate "PUT" "associations/*/*/labels" "associations.label_update";
    LabelArchive "DELETE" "associations/*/*/labels/*" "associations.label_archive";
    AssociationTypes "GET" "associations/*/*/types" "associations.types";
    AssociationLimits "GET" "associations/definitions/configurations/all" "associations.limits";
    PairLimits "GET" "associations/definitions/configurations/*/*" "associations.limits";
    PairLimitsCreate "POST" "associations/definitions/configurations/*/*/batch/create" "associations.limits_create";
    PairLimitsUpdate "POST" "associations/definitions/configurations/*/*/batch/update" "associations.limits_update";
    PairLimitsPurge "POST" "associations/definitions/configurations/*/*/batch/purge" "associations.limits_purge";
    HighUsageReport "POST" "associations/usage/high-usage-report/*" "associations.usage_report";
    PropertyBatchRead "POST" "properties/*/batch/read" "properties.batch_read";
    PropertyBatchCreate "POST" "properties/*/batch/create" "properties.batch_create";
    PropertyBatchArchive "POST" "properties/*/batch/archive" "properties.batch_archive";
    Groups "GET" "properties/*/groups" "properties.groups";
    GroupCreate "POST" "properties/*/groups" "properties.group_create";
    GroupRead "GET" "properties/*/groups/*" "properties.group_read";
    GroupUpdate "PATCH" "properties/*/groups/*" "properties.group_update";
    GroupArchive "DELETE" "properties/*/groups/*" "properties.group_archive";
    Properties "GET" "properties/*" "properties.list";
    PropertyCreate "POST" "properties/*" "properties.create";
    PropertyRead "GET" "properties/*/*" "properties.read";
    PropertyUpdate "PATCH" "properties/*/*" "properties.update";
    PropertyArchive "DELETE" "properties/*/*" "properties.archive";
    Schemas "GET" "schemas" "schemas.list";
    SchemaCreate "POST" "schemas" "schemas.create";
    SchemaRead "GET" "schemas/*" "schemas.read";
    SchemaUpdate "PATCH" "schemas/*" "schemas.update";
    SchemaArchive "DELETE" "schemas/*" "schemas.archive";
    SchemaAssociation "POST" "schemas/*/associations" "schemas.association_create";
    SchemaDissociation "DELETE" "schemas/*/associations/*" "schemas.association_archive";
    ListSearch "POST" "lists/search" "lists.search";
    ListsByIds "GET" "lists" "lists.list";
    ListCreate "POST" "lists" "lists.create";
    ListByName "GET" "lists/object-type-id/*/name/*" "lists.by_name";
    ListsOfRecord "GET" "lists/records/*/*/memberships" "lists.of_record";
    ListsOfRecords "POST" "lists/records/memberships/batch/read" "lists.of_records";
    ListIdRead "GET" "lists/idmapping" "lists.id_mapping";
    ListIdsRead "POST" "lists/idmapping" "lists.id_mapping";
    MembersAddFrom "PUT" "lists/*/memberships/add-from/*" "lists.members_add_from";
    ListFilters "PUT" "lists/*/update-list-filters" "lists.update_filters";
    ListRestore "PUT" "lists/*/restore" "lists.restore";
    Memberships "GET" "lists/*/memberships" "lists.memberships";
    MembershipsByJoining "GET" "lists/*/memberships/join-order" "lists.memberships";
    MembersAdd "PUT" "lists/*/memberships/add" "lists.members_add";
    MembersRemove "PUT" "lists/*/memberships/remove" "lists.members_remove";
    MembersChange "PUT" "lists/*/memberships/add-and-remove" "lists.members_change";
    MembersClear "DELETE" "lists/*/memberships" "lists.members_clear";
    ListRename "PUT" "lists/*/update-list-name" "lists.rename";
    ListRead "GET" "lists/*" "lists.read";
    ListArchive "DELETE" "lists/*" "lists.archive";
    Owners "GET" "owners" "owners.list";
    OwnerRead "GET" "owners/*" "owners.read";
    Pipelines "GET" "pipelines/*" "pipelines.list";
    PipelineRead "GET" "pipelines/*/*" "pipelines.read";
    Stages "GET" "pipelines/*/*/stages" "pipelines.stages";
    StageRead "GET" "pipelines/*/*/stages/*" "pipelines.stage_read";
    PipelineCreate "POST" "pipelines/*" "pipelines.create";
    PipelineAudit "GET" "pipelines/*/*/audit" "pipelines.audit";
    PipelineReplace "PUT" "pipelines/*/*" "pipelines.replace";
    PipelineUpdate "PATCH" "pipelines/*/*" "pipelines.update";
    PipelineArchive "DELETE" "pipelines/*/*" "pipelines.archive";
    StageCreate "POST" "pipelines/*/*/stages" "pipelines.stage_create";
    StageAudit "GET" "pipelines/*/*/stages/*/audit" "pipelines.stage_audit";
    StageReplace "PUT" "pipelines/*/*/stages/*" "pipelines.stage_replace";
    StageUpdate "PATCH" "pipelines/*/*/stages/*" "pipelines.stage_update";
    StageArchive "DELETE" "pipelines/*/*/stages/*" "pipelines.stage_archive";
    AccountDetails "GET" "account-info/details" "account.details";
    DailyUsage "GET" "account-info/api-usage/daily/private-apps" "account.daily_usage";
    DailyUsageOld "GET" "account-info/api-usage/daily" "account.daily_usage";
    PropertyLimits "GET" "limits/custom-properties" "limits.custom_properties";
    FormulaLimits "GET" "limits/calculated-properties" "limits.calculated_properties";
    TypeLimits "GET" "limits/custom-object-types" "limits.custom_object_types";
    RecordLimits "GET" "limits/records" "limits.records";
    Enablement "GET" "object-library/enablement" "object_library.enablement";
    EnablementOfType "GET" "object-library/enablement/*" "object_library.enablement";
    EventSend "POST" "events/send" "events.send";
    EventSendBatch "POST" "events/send/batch" "events.send_batch";
    EventTypes "GET" "events/occurrences/event-types" "events.types";
    Events "GET" "events/occurrences" "events.list";
    EventDefinitions "GET" "events/event-definitions" "events.definitions";
    EventDefine "POST" "events/event-definitions" "events.define";
    EventDefinition "GET" "events/event-definitions/*" "events.definition";
    EventUndefine "DELETE" "events/event-definitions/*" "events.undefine";
    Imports "GET" "imports" "imports";
    ImportStart "POST" "imports" "imports";
    ImportRead "GET" "imports/*" "imports";
    ImportErrors "GET" "imports/*/errors" "imports";
    ImportCancel "POST" "imports/*/cancel" "imports";
    ExportStart "POST" "exports/export/async" "exports";
    ExportStatus "GET" "exports/export/async/tasks/*/status" "exports";
    ExportRead "GET" "exports/export/*" "exports";
    WebhookSettings "GET" "webhooks/*/settings" "webhooks.settings";
    WebhookSettingsPut "PUT" "webhooks/*/settings" "webhooks.settings_put";
    WebhookSettingsDelete "DELETE" "webhooks/*/settings" "webhooks.settings_delete";
    WebhookSubscriptions "GET" "webhooks/*/subscriptions" "webhooks.subscriptions";
    WebhookSubscribe "POST" "webhooks/*/subscriptions" "webhooks.subscribe";
    WebhookBatchUpdate "POST" "webhooks/*/subscriptions/batch/update" "webhooks.batch_update";
    WebhookSubscription "GET" "webhooks/*/subscriptions/*" "webhooks.subscription";
    WebhookUpdate "PATCH" "webhooks/*/subscriptions/*" "webhooks.update";
    WebhookUnsubscribe "DELETE" "webhooks/*/subscriptions/*" "webhooks.unsubscribe";
    WebhookJournal "GET" "webhooks-journal" "webhooks.journal";
    Authorize "GET" "oauth/authorize" "oauth.authorize";
    AuthorizeIn "GET" "oauth/*/authorize" "oauth.authorize";
    TokenGrant "POST" "oauth/token" "oauth.token";
    TokenIntrospect "POST" "oauth/token/introspect" "oauth.introspect";
    TokenRevoke "POST" "oauth/token/revoke" "oauth.revoke";
    AccessTokenInfo "GET" "oauth/access-tokens/*" "oauth.access_token";
    RefreshTokenInfo "GET" "oauth/refresh-tokens/*" "oauth.refresh_token";
    RefreshTokenDelete "DELETE" "oauth/refresh-tokens/*" "oauth.refresh_token_delete";
    PrivateAppInfo "POST" "oauth/private-apps/get/access-token-info" "oauth.private_app";
    Uninstall "DELETE" "appinstalls/external-install" "appinstalls.uninstall";
}

/// Every method and canonical path.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.iter().map(|(method, pattern, _)| (*method, *pattern))
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    To(Endpoint),
    /// The path exists, but not with this method.
    WrongMethod,
    Nowhere,
}

/// Finds the endpoint, and puts edition and placeholders into the call.
pub(crate) fn route(call: &mut Call) -> Route {
    let Some((edition, path)) = canonical(&call.path) else { return Route::Nowhere };
    let mut found = Route::Nowhere;
    // Whoever may read may ask for the head alone.
    let asked = if call.method == "HEAD" { "GET" } else { call.method.as_str() };
    for (method, pattern, endpoint) in TABLE {
        let Some(names) = matches(pattern, &path) else { continue };
        if *method == asked || *endpoint == Endpoint::WebhookJournal {
            call.edition = edition;
            call.names = names.into_iter().map(decode).collect();
            return Route::To(*endpoint);
        }
        found = Route::WrongMethod;
    }
    found
}

/// The version of a path and its segments without it, area first.
fn canonical(path: &str) -> Option<(Edition, Vec<&str>)> {
    let mut segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    // The consent page belongs to the user interface and has no version.
    if let ["oauth", .., "authorize"] = segments.as_slice() {
        return Some((Edition::Legacy, segments));
    }
    let at = segments.iter().take(3).position(|segment| Edition::of_segment(segment).is_some())?;
    // Versions 1 and 2 are other APIs under the same names.
    let is_old = matches!(segments[at], "v1" | "v2");
    if is_old && segments.first() != Some(&"oauth") {
        return None;
    }
    let edition = Edition::of_segment(segments.remove(at))?;
    match segments.first().copied() {
        // `crm/v3/objects/…` and `crm/objects/v3/…` are the same.
        Some("crm" | "crm-object-schemas") => {
            segments.remove(0);
        }
        // `events/v3/send`, `events/custom/2026-09/send`; `events/v3/events`,
        // `events/event-occurrences/2026-03`.
        Some("events") => match segments.get(1).copied() {
            Some("custom") => {
                segments.remove(1);
            }
            Some("events" | "event-occurrences") => segments[1] = "occurrences",
            _ => {}
        },
        // Only its newest edition has another name (section 15).
        Some("app-webhooks") if edition == Edition::September2026 => segments[0] = "webhooks",
        Some("webhooks") if edition == Edition::September2026 => return None,
        // Whatever is asked of it and how: it is not imitated.
        Some("webhooks-journal") => segments.truncate(1),
        _ => {}
    }
    Some((edition, segments))
}

fn matches<'a>(pattern: &str, path: &[&'a str]) -> Option<Vec<&'a str>> {
    let mut names = Vec::new();
    let mut segments = path.iter();
    for expected in pattern.split('/') {
        let segment = segments.next()?;
        match expected {
            "*" if !segment.is_empty() => names.push(*segment),
            expected if expected == *segment => {}
            _ => return None,
        }
    }
    segments.next().is_none().then_some(names)
}

fn decode(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Option<(Edition, Vec<&str>)> {
        canonical(path)
    }

    #[test]
    fn legacy_and_dated_paths_are_one() {
        let expected = vec!["objects", "contacts", "batch", "read"];
        for (path, edition) in [
            ("/crm/v3/objects/contacts/batch/read", Edition::Legacy),
            ("/crm/v4/objects/contacts/batch/read", Edition::Legacy),
            ("/crm/objects/v3/contacts/batch/read", Edition::Legacy),
            ("/crm/objects/2026-03/contacts/batch/read", Edition::March2026),
            ("/crm/objects/2026-09/contacts/batch/read", Edition::September2026),
        ] {
            assert_eq!(found(path), Some((edition, expected.clone())), "{path}");
        }
        assert_eq!(
            found("/crm-object-schemas/2026-03/schemas"),
            Some((Edition::March2026, vec!["schemas"]))
        );
        assert_eq!(
            found("/account-info/v3/details"),
            Some((Edition::Legacy, vec!["account-info", "details"]))
        );
        assert_eq!(
            found("/oauth/24680135/authorize"),
            Some((Edition::Legacy, vec!["oauth", "24680135", "authorize"]))
        );
        assert_eq!(found("/crm/objects/contacts"), None);
        for path in ["/events/v3/send", "/events/2026-03/send", "/events/custom/2026-09/send"] {
            assert_eq!(found(path).map(|(_, path)| path), Some(vec!["events", "send"]), "{path}");
        }
        for path in ["/events/v3/events", "/events/event-occurrences/2026-09"] {
            let path = found(path).map(|(_, path)| path);
            assert_eq!(path, Some(vec!["events", "occurrences"]));
        }
        assert_eq!(found("/properties/v1/contacts/properties"), None);
    }

    #[test]
    fn fixed_segments_come_before_placeholders() {
        for (at, (method, pattern, _)) in TABLE.iter().enumerate() {
            let path: Vec<&str> = pattern.split('/').collect();
            let first = TABLE.iter().position(|(other, candidate, _)| {
                other == method && matches(candidate, &path).is_some()
            });
            assert_eq!(first, Some(at), "{method} {pattern} is hidden");
        }
    }
}
