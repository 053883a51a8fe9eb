//! Every path this room asks for, once, in both naming schemes.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::config::ApiVersion;

/// What a path segment or a query value may hold as it is (RFC 3986,
/// unreserved); everything else is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// An operation of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    List,
    Record,
    Search,
    BatchRead,
    BatchCreate,
    BatchUpdate,
    BatchUpsert,
    BatchArchive,
    Properties,
    Property,
    PropertyGroups,
    AssociationsBatchRead,
    AssociationsBatchCreate,
    AssociationsBatchArchive,
    AssociationLabelsArchive,
    AssociationLabels,
    Owners,
    Pipelines,
    Schemas,
    ListSearch,
    ListMemberships,
    MembershipsChange,
    Lists,
    ListByName,
    ListById,
    EventsSendBatch,
    AccountDetails,
    DailyUsage,
}

impl Route {
    /// The path with its placeholders: the legacy one and the dated one.
    ///
    /// Legacy paths mix v3 and, for associations, v4. Dated paths are the same
    /// for 2026-03 and 2026-09, save where [`Route::template`] says otherwise.
    const fn templates(self) -> (&'static str, &'static str) {
        match self {
            Self::List => ("/crm/v3/objects/{objectType}", "/crm/objects/{ver}/{objectType}"),
            Self::Record => (
                "/crm/v3/objects/{objectType}/{objectId}",
                "/crm/objects/{ver}/{objectType}/{objectId}",
            ),
            Self::Search => {
                ("/crm/v3/objects/{objectType}/search", "/crm/objects/{ver}/{objectType}/search")
            }
            Self::BatchRead => (
                "/crm/v3/objects/{objectType}/batch/read",
                "/crm/objects/{ver}/{objectType}/batch/read",
            ),
            Self::BatchCreate => (
                "/crm/v3/objects/{objectType}/batch/create",
                "/crm/objects/{ver}/{objectType}/batch/create",
            ),
            Self::BatchUpdate => (
                "/crm/v3/objects/{objectType}/batch/update",
                "/crm/objects/{ver}/{objectType}/batch/update",
            ),
            Self::BatchUpsert => (
                "/crm/v3/objects/{objectType}/batch/upsert",
                "/crm/objects/{ver}/{objectType}/batch/upsert",
            ),
            Self::BatchArchive => (
                "/crm/v3/objects/{objectType}/batch/archive",
                "/crm/objects/{ver}/{objectType}/batch/archive",
            ),
            Self::Properties => {
                ("/crm/v3/properties/{objectType}", "/crm/properties/{ver}/{objectType}")
            }
            Self::Property => (
                "/crm/v3/properties/{objectType}/{propertyName}",
                "/crm/properties/{ver}/{objectType}/{propertyName}",
            ),
            Self::PropertyGroups => (
                "/crm/v3/properties/{objectType}/groups",
                "/crm/properties/{ver}/{objectType}/groups",
            ),
            Self::AssociationsBatchRead => (
                "/crm/v4/associations/{from}/{to}/batch/read",
                "/crm/associations/{ver}/{from}/{to}/batch/read",
            ),
            Self::AssociationsBatchCreate => (
                "/crm/v4/associations/{from}/{to}/batch/create",
                "/crm/associations/{ver}/{from}/{to}/batch/create",
            ),
            Self::AssociationsBatchArchive => (
                "/crm/v4/associations/{from}/{to}/batch/archive",
                "/crm/associations/{ver}/{from}/{to}/batch/archive",
            ),
            Self::AssociationLabelsArchive => (
                "/crm/v4/associations/{from}/{to}/batch/labels/archive",
                "/crm/associations/{ver}/{from}/{to}/batch/labels/archive",
            ),
            Self::AssociationLabels => (
                "/crm/v4/associations/{from}/{to}/labels",
                "/crm/associations/{ver}/{from}/{to}/labels",
            ),
            Self::Owners => ("/crm/v3/owners", "/crm/owners/{ver}"),
            Self::Pipelines => {
                ("/crm/v3/pipelines/{objectType}", "/crm/pipelines/{ver}/{objectType}")
            }
            Self::Schemas => {
                ("/crm-object-schemas/v3/schemas", "/crm-object-schemas/{ver}/schemas")
            }
            Self::ListSearch => ("/crm/v3/lists/search", "/crm/lists/{ver}/search"),
            Self::ListMemberships => {
                ("/crm/v3/lists/{listId}/memberships", "/crm/lists/{ver}/{listId}/memberships")
            }
            Self::MembershipsChange => (
                "/crm/v3/lists/{listId}/memberships/add-and-remove",
                "/crm/lists/{ver}/{listId}/memberships/add-and-remove",
            ),
            Self::Lists => ("/crm/v3/lists", "/crm/lists/{ver}"),
            Self::ListByName => (
                "/crm/v3/lists/object-type-id/{objectTypeId}/name/{listName}",
                "/crm/lists/{ver}/object-type-id/{objectTypeId}/name/{listName}",
            ),
            Self::ListById => ("/crm/v3/lists/{listId}", "/crm/lists/{ver}/{listId}"),
            Self::EventsSendBatch => ("/events/v3/send/batch", "/events/{ver}/send/batch"),
            Self::AccountDetails => ("/account-info/v3/details", "/account-info/{ver}/details"),
            Self::DailyUsage => (
                "/account-info/v3/api-usage/daily/private-apps",
                "/account-info/{ver}/api-usage/daily/private-apps",
            ),
        }
    }

    /// The path with its placeholders, for logs.
    pub(super) const fn template(self, version: ApiVersion) -> &'static str {
        match (version, self) {
            (ApiVersion::V3, _) => self.templates().0,
            // The one path that moved between the dated versions.
            (ApiVersion::September2026, Self::EventsSendBatch) => "/events/custom/{ver}/send/batch",
            (ApiVersion::March2026 | ApiVersion::September2026, _) => self.templates().1,
        }
    }

    /// The path, its placeholders filled in order.
    pub(super) fn path(self, version: ApiVersion, names: &[&str]) -> String {
        let mut names = names.iter();
        let mut path = String::new();
        for segment in self.template(version).split('/').skip(1) {
            path.push('/');
            match segment {
                "{ver}" => path.push_str(date_of(version)),
                _ if segment.starts_with('{') => {
                    let name = names.next().expect("a name for every placeholder of the route");
                    path.extend(encoded(name));
                }
                fixed => path.push_str(fixed),
            }
        }
        debug_assert!(names.next().is_none(), "{self:?} was given too many names");
        path
    }
}

const fn date_of(version: ApiVersion) -> &'static str {
    match version {
        ApiVersion::V3 => "v3",
        ApiVersion::March2026 => "2026-03",
        ApiVersion::September2026 => "2026-09",
    }
}

/// A text as it may stand in a path segment or a query value.
///
/// A cursor is encoded like anything else, once: what the API answers inside
/// JSON is the value itself. List memberships answer it already encoded,
/// `Mg%3D%3D`; those go through [`encoded_cursor`].
pub(super) fn encoded(text: &str) -> percent_encoding::PercentEncode<'_> {
    utf8_percent_encode(text, ENCODED)
}

/// A cursor of an endpoint that answers cursors encoded, as it may stand in a
/// query: encoded once, even should the endpoint one day answer the plain value.
pub(super) fn encoded_cursor(cursor: &str) -> String {
    let plain = percent_decode_str(cursor).decode_utf8_lossy();
    encoded(&plain).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_paths() {
        let path = |version| Route::BatchRead.path(version, &["contacts"]);
        assert_eq!(path(ApiVersion::V3), "/crm/v3/objects/contacts/batch/read");
        assert_eq!(path(ApiVersion::March2026), "/crm/objects/2026-03/contacts/batch/read");
        assert_eq!(path(ApiVersion::September2026), "/crm/objects/2026-09/contacts/batch/read");
        let pair = ["contacts", "companies"];
        assert_eq!(
            Route::AssociationsBatchRead.path(ApiVersion::V3, &pair),
            "/crm/v4/associations/contacts/companies/batch/read"
        );
        assert_eq!(
            Route::AssociationsBatchRead.path(ApiVersion::March2026, &pair),
            "/crm/associations/2026-03/contacts/companies/batch/read"
        );
        assert_eq!(Route::Owners.path(ApiVersion::September2026, &[]), "/crm/owners/2026-09");
    }

    #[test]
    fn lists_and_schemas_have_dated_paths_too() {
        for (route, names, v3, dated) in [
            (
                Route::Schemas,
                &[][..],
                "/crm-object-schemas/v3/schemas",
                "/crm-object-schemas/2026-03/schemas",
            ),
            (Route::ListSearch, &[], "/crm/v3/lists/search", "/crm/lists/2026-03/search"),
            (
                Route::ListMemberships,
                &["7"],
                "/crm/v3/lists/7/memberships",
                "/crm/lists/2026-03/7/memberships",
            ),
        ] {
            assert_eq!(route.path(ApiVersion::V3, names), v3);
            assert_eq!(route.path(ApiVersion::March2026, names), dated);
        }
    }

    #[test]
    fn events_are_sent_to_another_path_in_each_version() {
        let path = |version| Route::EventsSendBatch.path(version, &[]);
        assert_eq!(path(ApiVersion::V3), "/events/v3/send/batch");
        assert_eq!(path(ApiVersion::March2026), "/events/2026-03/send/batch");
        assert_eq!(path(ApiVersion::September2026), "/events/custom/2026-09/send/batch");
    }

    #[test]
    fn a_cursor_is_encoded_once_however_it_came() {
        assert_eq!(encoded_cursor("Mg%3D%3D"), "Mg%3D%3D");
        assert_eq!(encoded_cursor("Mg=="), "Mg%3D%3D");
    }

    #[test]
    fn a_name_cannot_leave_its_segment() {
        let path = Route::Property.path(ApiVersion::V3, &["2-345", "a/../b?c=d%"]);
        assert_eq!(path, "/crm/v3/properties/2-345/a%2F..%2Fb%3Fc%3Dd%25");
    }
}
