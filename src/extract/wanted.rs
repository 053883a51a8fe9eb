//! The `extract:` section as a whole: which object types, and what besides.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::config::{
    AssociationSelection, Cadence, DEFAULT_COMMIT_ROWS, ExtractObjectConfig, PropertySelection,
};
use crate::objects::ObjectType;

/// The key that stands for every object type.
const ALL: &str = "all";
/// The key that asks for lists.
const LISTS: &str = "lists";

/// What a pipeline fetches (`extract:`): object types by name, `all` for those
/// that are not named, and `lists`. `extract: all` alone is everything with
/// default settings.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(with = "ExtractSchema")]
pub struct ExtractConfig {
    /// Every object type that has no key of its own.
    pub all: Option<ExtractAllConfig>,
    /// Lists and who is on them.
    pub lists: Option<ListsConfig>,
    /// Object types with settings of their own, which then are the only ones
    /// they have: nothing is taken over from `all`.
    pub objects: BTreeMap<String, ExtractObjectConfig>,
}

/// Every standard object type and every custom one (`extract: all:`).
///
/// Types that the account lacks, or the token may not see, are told once a run
/// and are no failure; name a type to be told of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExtractAllConfig {
    /// Object types that are left out.
    pub except: Vec<String>,
    /// `all`, or globs (`usage_*`); a leading `-` takes away what it matches.
    /// A single property is asked for under its object's own key.
    pub properties: PropertySelection,
    /// Object types whose associations are extracted; `all` for every type
    /// that is extracted itself.
    pub associations: AssociationSelection,
    /// The most rows between two commits of a full sync.
    pub commit_rows: usize,
    /// How often everything is listed anew: `daily`, unless this says otherwise;
    /// in every run where HubSpot cannot search a type.
    pub reconcile: Option<Cadence>,
}

impl Default for ExtractAllConfig {
    fn default() -> Self {
        Self {
            except: Vec::new(),
            properties: PropertySelection::All,
            associations: AssociationSelection::default(),
            commit_rows: DEFAULT_COMMIT_ROWS,
            reconcile: None,
        }
    }
}

impl ExtractAllConfig {
    /// What this asks of one type.
    fn of_object(&self) -> ExtractObjectConfig {
        ExtractObjectConfig {
            properties: self.properties.clone(),
            associations: self.associations.clone(),
            commit_rows: self.commit_rows,
            reconcile: self.reconcile,
            ..ExtractObjectConfig::default()
        }
    }

    fn excepts(&self, object: &ObjectType) -> bool {
        self.except.iter().any(|name| ObjectType::parse(name).as_ref() == Ok(object))
    }
}

/// Lists (`extract: lists:`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListsConfig {
    /// Whether the members of every list are read too.
    pub memberships: bool,
    /// How often the members of a list are read although neither its size nor
    /// its date has changed: as many may have joined as left.
    pub reconcile: Cadence,
}

impl ListsConfig {
    /// Takes in what another pipeline asks.
    pub fn extend(&mut self, other: Self) {
        self.memberships |= other.memberships;
        self.reconcile = self.reconcile.min(other.reconcile);
    }
}

/// A custom object type of an account: it goes by either name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomObject {
    /// By its full name, `p1234_licence`.
    pub by_name: ObjectType,
    /// By its type id, `2-3453932`; absent where HubSpot gives none.
    pub by_id: Option<ObjectType>,
}

/// One object type that is wanted.
#[derive(Clone, Debug)]
pub struct WantedObject {
    /// The type.
    pub object: ObjectType,
    /// What is wanted of it.
    pub config: ExtractObjectConfig,
    /// Whether it is named, and its absence thus a failure.
    pub named: bool,
}

impl ExtractConfig {
    /// The types named, those aside that are no types: `check` refuses them.
    fn named(&self) -> impl Iterator<Item = (ObjectType, &ExtractObjectConfig)> {
        self.objects
            .iter()
            .filter_map(|(name, config)| Some((ObjectType::parse(name).ok()?, config)))
    }

    /// Whether a type is named here.
    pub fn names(&self, object: &ObjectType) -> bool {
        self.named().any(|(named, _)| named == *object)
    }

    /// Whether a type is fetched, as far as can be said without the account:
    /// under `all` any custom type may be.
    pub fn takes(&self, object: &ObjectType) -> bool {
        self.names(object) || self.all.as_ref().is_some_and(|all| !all.excepts(object))
    }

    /// Whether the account's own types must be known.
    pub fn wants_schemas(&self) -> bool {
        self.all.is_some() || self.named().any(|(object, _)| object.is_custom())
    }

    /// Whether former values of any property are wanted.
    pub fn wants_history(&self) -> bool {
        self.objects.values().any(|config| !config.history.is_nothing())
    }

    /// Every type that is wanted of an account with these custom types.
    pub fn wanted(&self, customs: &[CustomObject]) -> Vec<WantedObject> {
        let mut wanted: Vec<_> = self
            .named()
            .map(|(object, config)| WantedObject { object, config: config.clone(), named: true })
            .collect();
        let Some(all) = &self.all else { return wanted };
        let is_left = |object: &ObjectType| !self.names(object) && !all.excepts(object);
        let custom = customs
            .iter()
            .filter(|custom| custom.by_id.as_ref().is_none_or(is_left))
            .map(|custom| custom.by_name.clone());
        let left = ObjectType::all_standard().chain(custom).filter(is_left);
        wanted.extend(left.map(|object| WantedObject {
            object,
            config: all.of_object(),
            named: false,
        }));
        wanted
    }
}

impl<'de> Deserialize<'de> for ExtractConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExtractVisitor;
        impl<'de> Visitor<'de> for ExtractVisitor {
            type Value = ExtractConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`all` or a map of object types")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(ExtractConfig::default())
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text != ALL {
                    return Err(E::invalid_value(de::Unexpected::Str(text), &self));
                }
                Ok(ExtractConfig { all: Some(ExtractAllConfig::default()), ..Default::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut config = ExtractConfig::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        ALL => config.all = Some(map.next_value()?),
                        LISTS => config.lists = Some(map.next_value()?),
                        _ => drop(config.objects.insert(key, map.next_value()?)),
                    }
                }
                Ok(config)
            }
        }
        deserializer.deserialize_any(ExtractVisitor)
    }
}

/// The two forms of the section, for the published schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum ExtractSchema {
    Word(AllWord),
    Sections(Sections),
}

/// Every object type, with default settings.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum AllWord {
    All,
}

/// Object types by name, and what else there is to fetch.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Sections {
    /// Every object type that has no key of its own.
    all: Option<ExtractAllConfig>,
    /// Lists and who is on them.
    lists: Option<ListsConfig>,
    /// Object types with settings of their own.
    #[serde(flatten)]
    objects: BTreeMap<String, ExtractObjectConfig>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str) -> ObjectType {
        ObjectType::parse(name).expect("an object type")
    }

    fn custom(name: &str, id: &str) -> CustomObject {
        CustomObject { by_name: object(name), by_id: Some(object(id)) }
    }

    #[test]
    fn all_is_everything_but_the_exceptions_and_a_name_overrides() {
        let contacts = ExtractObjectConfig { commit_rows: 7, ..Default::default() };
        let config = ExtractConfig {
            all: Some(ExtractAllConfig {
                except: ["emails", "call", "2-22"].map(str::to_owned).into(),
                ..Default::default()
            }),
            objects: [("contacts".to_owned(), contacts), ("2-33".to_owned(), Default::default())]
                .into(),
            ..Default::default()
        };
        let customs = [custom("p1_a", "2-11"), custom("p1_b", "2-22"), custom("p1_c", "2-33")];
        let wanted = config.wanted(&customs);
        let find = |name: &str| wanted.iter().find(|one| one.object.name() == name);
        // Two exceptions among the standard types; of the custom ones, one is
        // left out and one goes by its id.
        assert_eq!(wanted.len(), ObjectType::all_standard().count() - 2 + 2);
        for absent in ["emails", "calls", "p1_b", "p1_c"] {
            assert!(find(absent).is_none(), "{absent}");
        }
        let contacts = find("contacts").expect("contacts");
        assert!(contacts.named && contacts.config.commit_rows == 7);
        let deals = find("deals").expect("deals");
        assert!(!deals.named && deals.config.commit_rows == DEFAULT_COMMIT_ROWS);
        assert!(find("p1_a").is_some_and(|one| !one.named));
        assert!(find("2-33").is_some_and(|one| one.named));
        assert!(config.takes(&object("p9_unknown")) && !config.takes(&object("emails")));
    }
}
