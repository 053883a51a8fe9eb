use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::client::Client;
use super::paths::encoded;
use crate::objects::ObjectType;

/// As long as a cursor gets: cursors are record ids, which fit 64 bits.
const LONGEST_CURSOR: &str = "9223372036854775807";

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Internal names; unknown ones are ignored by HubSpot.
    pub properties: Vec<String>,
    /// Records per page, 1 to 100.
    pub limit: u32,
    /// Archived records instead of live ones.
    pub archived: bool,
}

impl ListQuery {
    /// The length in characters of the URL this makes, cursor included, to
    /// plan a list against ids and batch reads: HubSpot refuses long URLs
    /// (414) from about 8,000 characters.
    pub fn url_length(&self, client: &Client, object: &ObjectType) -> usize {
        client.list_url(object, self, Some(LONGEST_CURSOR)).len()
    }

    /// The query string: names joined by commas, which costs less of the URL
    /// than repeating the key.
    pub(super) fn to_query_string(&self, after: Option<&str>) -> String {
        let mut query = format!("limit={}", self.limit);
        if self.archived {
            query.push_str("&archived=true");
        }
        if let Some(after) = after {
            query.push_str("&after=");
            query.extend(encoded(after));
        }
        for (i, property) in self.properties.iter().enumerate() {
            query.push_str(if i == 0 { "&properties=" } else { "," });
            query.extend(encoded(property));
        }
        query
    }
}

/// One page of a search. There is no `after`: the index shifts under an
/// offset, so pages are walked by a filter on the sort property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchQuery {
    /// All must match; at most 6.
    pub filters: Vec<Filter>,
    /// The order; by creation when absent.
    pub sort: Option<Sort>,
    /// Internal names of the properties to answer.
    pub properties: Vec<String>,
    /// Records per page, 1 to 200.
    pub limit: u32,
}

impl SearchQuery {
    /// The length in bytes of the JSON body this makes; HubSpot's guide
    /// allows 3,000.
    pub fn body_length(&self) -> usize {
        self.to_body().len()
    }

    pub(super) fn to_body(&self) -> Vec<u8> {
        let body = SearchBody {
            filter_groups: [FilterGroup { filters: &self.filters }],
            sorts: self.sort.as_slice(),
            properties: &self.properties,
            limit: self.limit,
        };
        serde_json::to_vec(&body).expect("texts and numbers always become JSON")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SearchBody<'a> {
    filter_groups: [FilterGroup<'a>; 1],
    #[serde(skip_serializing_if = "<[Sort]>::is_empty")]
    sorts: &'a [Sort],
    properties: &'a [String],
    limit: u32,
}

#[derive(Serialize)]
struct FilterGroup<'a> {
    filters: &'a [Filter],
}

/// A condition of a search. Names are internal property names; dates are
/// epoch milliseconds or ISO 8601 text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Property = value.
    Eq(String, String),
    /// Property > value.
    Gt(String, String),
    /// Property ≥ value.
    Gte(String, String),
    /// Property < value.
    Lt(String, String),
    /// Property ≤ value.
    Lte(String, String),
    /// Low ≤ property ≤ high.
    Between(String, String, String),
    /// Property is one of the values; those of string properties must be
    /// lower case, those of enumerations keep their case.
    In(String, Vec<String>),
    /// Property has a value.
    HasProperty(String),
}

impl Filter {
    /// The property it looks at, and the operator.
    fn parts(&self) -> (&str, &'static str) {
        match self {
            Self::Eq(property, _) => (property, "EQ"),
            Self::Gt(property, _) => (property, "GT"),
            Self::Gte(property, _) => (property, "GTE"),
            Self::Lt(property, _) => (property, "LT"),
            Self::Lte(property, _) => (property, "LTE"),
            Self::Between(property, ..) => (property, "BETWEEN"),
            Self::In(property, _) => (property, "IN"),
            Self::HasProperty(property) => (property, "HAS_PROPERTY"),
        }
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (property, operator) = self.parts();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("propertyName", property)?;
        map.serialize_entry("operator", operator)?;
        match self {
            Self::Eq(_, value)
            | Self::Gt(_, value)
            | Self::Gte(_, value)
            | Self::Lt(_, value)
            | Self::Lte(_, value) => map.serialize_entry("value", value)?,
            Self::Between(_, low, high) => {
                map.serialize_entry("value", low)?;
                map.serialize_entry("highValue", high)?;
            }
            Self::In(_, values) => map.serialize_entry("values", values)?,
            Self::HasProperty(_) => {}
        }
        map.end()
    }
}

/// The order of a search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sort {
    /// The property to sort by.
    #[serde(rename = "propertyName")]
    pub property: String,
    /// Which end comes first.
    pub direction: Direction,
}

/// A direction of a [`Sort`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

impl Sort {
    /// Smallest first.
    pub fn ascending(property: impl Into<String>) -> Self {
        Self { property: property.into(), direction: Direction::Ascending }
    }
}

/// Up to 100 records by id or by a unique property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchReadQuery {
    /// Record ids, or values of `id_property`; at most 100, without repeats.
    pub ids: Vec<String>,
    /// `email` for contacts or a `hasUniqueValue` property; ids when absent.
    pub id_property: Option<String>,
    /// Internal names of the properties to answer.
    pub properties: Vec<String>,
    /// Archived records instead of live ones.
    pub archived: bool,
}

impl BatchReadQuery {
    pub(super) fn to_body(&self) -> Vec<u8> {
        let body = BatchReadBody {
            properties: &self.properties,
            id_property: self.id_property.as_deref(),
            inputs: self.ids.iter().map(|id| Input { id }).collect(),
        };
        serde_json::to_vec(&body).expect("texts always become JSON")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchReadBody<'a> {
    properties: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    id_property: Option<&'a str>,
    inputs: Vec<Input<'a>>,
}

#[derive(Serialize)]
struct Input<'a> {
    id: &'a str,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_search_body_is_as_the_guide_has_it() {
        let query = SearchQuery {
            filters: vec![
                Filter::Between("m".into(), "1".into(), "2".into()),
                Filter::Gt("hs_object_id".into(), "7".into()),
                Filter::In("stage".into(), vec!["a".into(), "b".into()]),
                Filter::HasProperty("email".into()),
            ],
            sort: Some(Sort::ascending("hs_object_id")),
            properties: vec!["email".into()],
            limit: 200,
        };
        let body: Value = serde_json::from_slice(&query.to_body()).expect("JSON");
        assert_eq!(
            body,
            json!({
                "filterGroups": [{"filters": [
                    {"propertyName": "m", "operator": "BETWEEN", "value": "1", "highValue": "2"},
                    {"propertyName": "hs_object_id", "operator": "GT", "value": "7"},
                    {"propertyName": "stage", "operator": "IN", "values": ["a", "b"]},
                    {"propertyName": "email", "operator": "HAS_PROPERTY"},
                ]}],
                "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
                "properties": ["email"],
                "limit": 200,
            })
        );
        assert_eq!(query.body_length(), query.to_body().len());
    }

    #[test]
    fn a_list_query_encodes_names_and_cursor_once() {
        let query = ListQuery {
            properties: vec!["email".into(), "a&b".into()],
            limit: 100,
            archived: true,
        };
        assert_eq!(
            query.to_query_string(Some("Mg==")),
            "limit=100&archived=true&after=Mg%3D%3D&properties=email,a%26b"
        );
        let bare = ListQuery { properties: vec![], limit: 10, archived: false };
        assert_eq!(bare.to_query_string(None), "limit=10");
    }

    #[test]
    fn a_batch_read_names_its_key_only_when_it_has_one() {
        let mut query = BatchReadQuery {
            ids: vec!["1".into()],
            id_property: None,
            properties: vec!["email".into()],
            archived: false,
        };
        let body = |query: &BatchReadQuery| {
            serde_json::from_slice::<Value>(&query.to_body()).expect("JSON")
        };
        assert_eq!(body(&query), json!({"properties": ["email"], "inputs": [{"id": "1"}]}));
        query.id_property = Some("email".into());
        assert_eq!(body(&query)["idProperty"], "email");
    }
}
