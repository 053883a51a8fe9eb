//! The setting `identity:` of a model.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An address that more records share than this is rather a team's than a
/// person's.
const DEFAULT_MAX_DEGREE: usize = 20;

/// A person who is known by more records than this is rather several people.
const DEFAULT_MAX_CLUSTER: usize = 100;

/// How a model that is materialised as `identity` joins records. Its `select` gives
/// edges: `record`, `kind`, `identifier`, and where wanted `exclude_reason`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// The most records that may share one identifier; one that more share joins none of them.
    pub max_degree: usize,
    /// The most records in one cluster. Of a larger one the identifiers that most records share
    /// are left out, until its parts are small enough.
    pub max_cluster: usize,
    /// Kinds of which a cluster should have one identifier; where it has more, it is a row of
    /// `<model>_conflicts`.
    pub single: Vec<String>,
    /// Identifiers that join nobody, by kind; `*` at either end stands for anything.
    pub exclude: BTreeMap<String, Vec<String>>,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            max_degree: DEFAULT_MAX_DEGREE,
            max_cluster: DEFAULT_MAX_CLUSTER,
            single: Vec::new(),
            exclude: BTreeMap::new(),
        }
    }
}

impl IdentityConfig {
    /// What is wrong with these settings: the setting, and what to write.
    pub(crate) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        for (name, value) in [("max_degree", self.max_degree), ("max_cluster", self.max_cluster)] {
            if value < 2 {
                let problem = "Nothing is joined below 2: write 2 or more";
                problems.push((name.to_owned(), problem.to_owned()));
            }
        }
        for (kind, patterns) in &self.exclude {
            for (position, pattern) in patterns.iter().enumerate() {
                let inner = pattern.trim_matches('*');
                if inner.is_empty() || inner.contains('*') {
                    let problem = format!(
                        "`{pattern}` is no rule: write an identifier, with `*` only before or after it"
                    );
                    problems.push((format!("exclude.{kind}[{position}]"), problem));
                }
            }
        }
        problems
    }

    /// The rule that leaves an identifier out.
    pub(super) fn rule_against(&self, kind: &str, identifier: &str) -> Option<&str> {
        let patterns = self.exclude.get(kind)?;
        patterns.iter().find(|pattern| matches(pattern, identifier)).map(String::as_str)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let inner = pattern.trim_matches('*');
    match (pattern.starts_with('*'), pattern.ends_with('*')) {
        (false, false) => text == inner,
        (true, false) => text.ends_with(inner),
        (false, true) => text.starts_with(inner),
        (true, true) => text.contains(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Materialization, ModelConfig};
    use super::*;

    #[test]
    fn rules_are_texts_with_stars_at_their_ends() {
        for (pattern, hit, miss) in [
            ("info@acme.test", "info@acme.test", "info@acme.testing"),
            ("noreply@*", "noreply@acme.test", "x-noreply@acme.test"),
            ("*@acme.test", "ann@acme.test", "ann@acme.test.example"),
            ("*test*", "a test b", "tes t"),
        ] {
            assert!(matches(pattern, hit) && !matches(pattern, miss), "{pattern}");
        }
        let config = IdentityConfig {
            max_degree: 1,
            exclude: BTreeMap::from([(
                "email".to_owned(),
                vec!["*".to_owned(), "a*b".to_owned(), "*ok".to_owned()],
            )]),
            ..IdentityConfig::default()
        };
        let paths: Vec<_> = config.validate().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["max_degree", "exclude.email[0]", "exclude.email[1]"]);
    }

    #[test]
    fn the_section_belongs_to_models_of_that_kind_which_have_their_own_key() {
        let paths = |config: ModelConfig| -> Vec<String> {
            config.validate().into_iter().map(|problem| problem.path).collect()
        };
        let identity = Some(IdentityConfig { max_cluster: 0, ..IdentityConfig::default() });
        let table = ModelConfig {
            materialize: Materialization::Table,
            identity: identity.clone(),
            ..ModelConfig::default()
        };
        assert_eq!(paths(table), ["identity", "identity.max_cluster"]);
        let keyed = ModelConfig {
            materialize: Materialization::Identity,
            key: vec!["record".to_owned()],
            ..ModelConfig::default()
        };
        assert_eq!(paths(keyed), ["key"]);
    }
}
