use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::error::ExtractError;
use crate::objects::PropertyDefinition;

/// How often a full sync's rows are committed, at least.
///
/// A cut costs what was read since the last commit. 50,000 contacts of 60
/// properties are 500 calls, under half a minute of the budget, and some
/// 60 MiB of Arrow buffers.
pub(super) const DEFAULT_COMMIT_ROWS: usize = 50_000;

/// What to extract of one object type (`extract: <object>:` of a pipeline).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExtractObjectConfig {
    /// `all`, or a list of names and globs (`usage_*`); a leading `-` takes
    /// away what it matches.
    pub properties: PropertySelection,
    /// Object types whose associations with this one are extracted; `all` for
    /// every type that is extracted itself.
    pub associations: AssociationSelection,
    /// Properties whose former values are kept in `hubspot.property_history`,
    /// by name, glob or `-name`. HubSpot shows some twenty versions of each;
    /// what has been seen once stays.
    pub history: PropertySelection,
    /// The most rows between two commits of a full sync; also the most records
    /// whose associations or history are committed together.
    pub commit_rows: usize,
    /// How often everything is listed anew, for what no modified date shows:
    /// archived, restored and vanished records, calculated properties,
    /// associations. `daily` (the default), `weekly`, `hourly`, `every_run` or
    /// `never`.
    ///
    /// A type that HubSpot cannot search is only ever listed: in every run,
    /// unless this says how old its mirror may grow.
    pub reconcile: Option<Cadence>,
    /// How often, at the most, a listing has the former values of all live
    /// records read again, for those of calculated properties, which can change
    /// without a trace. Those of records that changed are read in every run.
    pub reconcile_history: Cadence,
}

/// How often something is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cadence {
    /// In every run.
    EveryRun,
    /// When an hour has passed.
    Hourly,
    /// When a day has passed.
    #[default]
    Daily,
    /// When a week has passed.
    Weekly,
    /// Only when it is asked for.
    Never,
}

impl Cadence {
    /// Whether something last done at one time (ms) is due again at another.
    pub(super) fn is_due(self, last: i64, now: i64) -> bool {
        const HOUR: i64 = 60 * 60 * 1_000;
        let period = match self {
            Self::EveryRun => return true,
            Self::Hourly => HOUR,
            Self::Daily => 24 * HOUR,
            Self::Weekly => 7 * 24 * HOUR,
            Self::Never => return false,
        };
        now - last >= period
    }
}

impl Default for ExtractObjectConfig {
    fn default() -> Self {
        Self {
            properties: PropertySelection::All,
            associations: AssociationSelection::default(),
            history: PropertySelection::Patterns(Vec::new()),
            commit_rows: DEFAULT_COMMIT_ROWS,
            reconcile: None,
            reconcile_history: Cadence::Weekly,
        }
    }
}

impl ExtractObjectConfig {
    /// How often everything is listed anew of a type that can be searched.
    pub(super) fn reconciled(&self) -> Cadence {
        self.reconcile.unwrap_or_default()
    }

    /// How often a type is listed that cannot be searched.
    pub(super) fn listed(&self) -> Cadence {
        self.reconcile.unwrap_or(Cadence::EveryRun)
    }

    /// Takes in what another pipeline asks of the same object type.
    pub fn extend(&mut self, other: &Self) {
        self.properties =
            PropertySelection::Any(vec![self.properties.clone(), other.properties.clone()]);
        self.associations.extend(&other.associations);
        self.history = PropertySelection::Any(vec![self.history.clone(), other.history.clone()]);
        self.commit_rows = self.commit_rows.min(other.commit_rows);
        self.reconcile = match (self.reconcile, other.reconcile) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or_default().min(other.unwrap_or_default())),
        };
        self.reconcile_history = self.reconcile_history.min(other.reconcile_history);
    }
}

/// Types whose associations with an object type are extracted.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "SelectionSchema")]
pub enum AssociationSelection {
    /// Every type that is extracted itself.
    All,
    /// These.
    Types(Vec<String>),
}

impl Default for AssociationSelection {
    fn default() -> Self {
        Self::Types(Vec::new())
    }
}

impl AssociationSelection {
    /// The types named; none where all are meant.
    pub fn named(&self) -> &[String] {
        match self {
            Self::All => &[],
            Self::Types(names) => names,
        }
    }

    fn extend(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Types(names), Self::Types(more)) => {
                names.extend(more.iter().cloned());
                names.sort();
                names.dedup();
            }
            _ => *self = Self::All,
        }
    }
}

/// Which properties of an object type are extracted.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(with = "SelectionSchema")]
pub enum PropertySelection {
    /// Every property that is not sensitive.
    #[default]
    All,
    /// Patterns in order; a later one overrules an earlier one.
    Patterns(Vec<String>),
    /// Whatever one of these selects: the wishes of several pipelines.
    Any(Vec<PropertySelection>),
}

/// The two forms a selection has in YAML, for the published schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum SelectionSchema {
    Word(String),
    List(Vec<String>),
}

impl PropertySelection {
    /// Whether nothing can be selected: nobody has asked.
    pub fn is_nothing(&self) -> bool {
        match self {
            Self::All => false,
            Self::Patterns(patterns) => patterns.is_empty(),
            Self::Any(selections) => selections.iter().all(Self::is_nothing),
        }
    }

    /// Names in the selection that stand for one property each, with their
    /// places: under `all` objects there is no saying which type has them.
    pub fn plain_names(&self) -> impl Iterator<Item = (usize, &str)> {
        let patterns = match self {
            Self::Patterns(patterns) => patterns.as_slice(),
            Self::All | Self::Any(_) => &[],
        };
        let named =
            |pattern: &str| !pattern.starts_with('-') && !pattern.contains('*') && pattern != "all";
        let places = patterns.iter().map(String::as_str).enumerate();
        places.filter(move |(_, pattern)| named(pattern))
    }

    /// Every property that is named, in whatever selection.
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::Any(selections) => selections.iter().flat_map(Self::names).collect(),
            other => other.plain_names().map(|(_, name)| name).collect(),
        }
    }

    /// Whether properties are selected that are not named.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::All => true,
            Self::Any(selections) => selections.iter().any(Self::is_open),
            Self::Patterns(patterns) => {
                patterns.first().is_some_and(|first| first.starts_with('-'))
                    || patterns.iter().any(|pattern| {
                        pattern == "all" || (pattern.contains('*') && !pattern.starts_with('-'))
                    })
            }
        }
    }

    /// The definitions selected, in the order HubSpot gave them.
    ///
    /// `always` names properties that are needed whatever the selection
    /// (write-back targets, match and merge properties); they are left out
    /// silently where the object type lacks them.
    ///
    /// # Errors
    /// A plain name that no property has, with the nearest that one has.
    pub fn select<'d>(
        &self,
        object: &str,
        definitions: &'d [PropertyDefinition],
        always: &[String],
    ) -> Result<Vec<&'d PropertyDefinition>, ExtractError> {
        self.refuse_unknown(object, definitions)?;
        Ok(definitions
            .iter()
            .filter(|d| !d.archived && (self.takes(d) || always.contains(&d.name)))
            .collect())
    }

    fn takes(&self, definition: &PropertyDefinition) -> bool {
        let public = !is_sensitive(definition);
        let patterns = match self {
            Self::All => return public,
            Self::Any(selections) => {
                return selections.iter().any(|selection| selection.takes(definition));
            }
            Self::Patterns(patterns) => patterns,
        };
        let starts_with_removal = patterns.first().is_some_and(|first| first.starts_with('-'));
        patterns.iter().fold(starts_with_removal && public, |taken, pattern| {
            match pattern.strip_prefix('-') {
                Some(removed) => taken && !glob_matches(removed, &definition.name),
                None if pattern == "all" => taken || public,
                // Sensitive values come only when asked for by name.
                None if pattern.contains('*') => {
                    taken || (public && glob_matches(pattern, &definition.name))
                }
                None => taken || *pattern == definition.name,
            }
        })
    }

    fn refuse_unknown(
        &self,
        object: &str,
        definitions: &[PropertyDefinition],
    ) -> Result<(), ExtractError> {
        let patterns = match self {
            Self::All => return Ok(()),
            Self::Any(selections) => {
                return selections.iter().try_for_each(|s| s.refuse_unknown(object, definitions));
            }
            Self::Patterns(patterns) => patterns,
        };
        let unknown = patterns.iter().find(|pattern| {
            !pattern.starts_with('-')
                && !pattern.contains('*')
                && *pattern != "all"
                && !definitions.iter().any(|d| d.name == **pattern)
        });
        let Some(property) = unknown else { return Ok(()) };
        let hint = definitions
            .iter()
            .map(|d| (strsim::jaro_winkler(&d.name, property), &d.name))
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(String::new(), |(_, name)| format!(", did you mean `{name}`"));
        Err(ExtractError::UnknownProperty {
            object: object.to_owned(),
            property: property.clone(),
            hint,
        })
    }
}

fn is_sensitive(definition: &PropertyDefinition) -> bool {
    definition.data_sensitivity.as_deref().is_some_and(|level| level != "non_sensitive")
}

/// Whether `name` has the form of `pattern`, in which `*` stands for any text.
fn glob_matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    true
}

/// `all`, or a list of names.
enum AllOr {
    All,
    Names(Vec<String>),
}

impl<'de> Deserialize<'de> for AllOr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllOrVisitor;
        impl<'de> Visitor<'de> for AllOrVisitor {
            type Value = AllOr;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`all` or a list of names")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "all" => Ok(AllOr::All),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(name) = names.next_element()? {
                    all.push(name);
                }
                Ok(AllOr::Names(all))
            }
        }
        deserializer.deserialize_any(AllOrVisitor)
    }
}

impl<'de> Deserialize<'de> for PropertySelection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match AllOr::deserialize(deserializer)? {
            AllOr::All => Self::All,
            AllOr::Names(patterns) => Self::Patterns(patterns),
        })
    }
}

impl<'de> Deserialize<'de> for AssociationSelection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match AllOr::deserialize(deserializer)? {
            AllOr::All => Self::All,
            AllOr::Names(names) => Self::Types(names),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_cadences_the_shorter_counts_and_a_default_is_daily() {
        let config = |reconcile| ExtractObjectConfig { reconcile, ..Default::default() };
        for (one, other, both) in [
            (None, None, None),
            (None, Some(Cadence::Weekly), Some(Cadence::Daily)),
            (Some(Cadence::Hourly), None, Some(Cadence::Hourly)),
            (Some(Cadence::Never), Some(Cadence::Weekly), Some(Cadence::Weekly)),
        ] {
            let mut merged = config(one);
            merged.extend(&config(other));
            assert_eq!(merged.reconcile, both, "{one:?} and {other:?}");
        }
        assert_eq!(config(None).listed(), Cadence::EveryRun, "nobody said that it may be old");
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, matches) in [
            ("usage_*", "usage_plan", true),
            ("usage_*", "my_usage_plan", false),
            ("*_plan", "usage_plan", true),
            ("u*_p*n", "usage_plan", true),
            ("*", "anything", true),
            ("plan", "plan", true),
            ("plan", "plans", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob_matches(pattern, name), matches, "{pattern} {name}");
        }
    }
}
