//! What differs from account to account, and which of two readings of an
//! unclear rule is imitated; set through [`Control`](super::Control) or
//! `POST /_emulator/rules`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::associations::TypeAt;

/// Rules an account may have beside HubSpot's own. Object types go by their
/// plural names. Where sources disagree, the default is what is harder on a
/// client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Whether a batch of the 2026-09 edition some of whose inputs failed
    /// answers 200 or 201 instead of 207: section 15 of the API reference
    /// leaves it open.
    pub september_partial_is_success: bool,
    /// Properties an administrator made mandatory, by object type: refused
    /// with `MISSING_REQUIRED_PROPERTY` on 2026-09 paths, unheeded on others.
    pub required: BTreeMap<String, BTreeSet<String>>,
    /// Properties that are mandatory while another one has certain values:
    /// `MISSING_CONDITIONAL_REQUIRED_PROPERTY` on 2026-09 paths.
    pub conditional: Vec<ConditionalRule>,
    /// Whether 2026-09 answers the associations of one record, which its
    /// description leaves out.
    pub september_lists_associations: bool,
    /// Whether the caller may not change associations: heeded on 2026-09
    /// paths, where HubSpot checks the permissions of a user-level token.
    pub associations_denied: bool,
    /// Object types that the account's subscription lacks: 403.
    pub unavailable: BTreeSet<String>,
    /// Properties that something outside of the API uses, by object type:
    /// they cannot be deleted.
    pub in_use: BTreeMap<String, BTreeSet<String>>,
    /// Whether a deal must name its pipeline when there is more than one, as
    /// section 5 has it; else it falls into `default`, as section 16 has it.
    pub deals_name_their_pipeline: bool,
    /// Whether a search that filters a time by the year 1970's first
    /// millisecond is answered 500 (`field`).
    pub epoch_filter_fails: bool,
    /// Whether `NEQ`, `NOT_IN` and `NOT_CONTAINS_TOKEN` match records without
    /// a value.
    pub negations_match_empty: bool,
    /// Whether an address that was deleted for good cannot come back.
    pub purged_emails_blocked: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            september_partial_is_success: false,
            required: BTreeMap::new(),
            conditional: Vec::new(),
            september_lists_associations: true,
            associations_denied: false,
            unavailable: BTreeSet::new(),
            in_use: BTreeMap::new(),
            deals_name_their_pipeline: true,
            epoch_filter_fails: true,
            negations_match_empty: true,
            purged_emails_blocked: true,
        }
    }
}

/// A property that must have a value while another one has a certain one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionalRule {
    /// The plural name of the object type.
    pub object_type: String,
    /// What must have a value.
    pub property: String,
    /// What it depends on.
    pub controlled_by: String,
    /// The values of that for which it must; none means any.
    #[serde(default)]
    pub values: BTreeSet<String>,
}

impl Account {
    /// Whether the account's subscription lacks a type.
    pub(crate) fn is_unavailable(&self, at: TypeAt) -> bool {
        let plural = &self.tables[at].object_type.plural;
        !self.rules.unavailable.is_empty() && self.rules.unavailable.contains(plural)
    }

    /// What uses a property, if anything does.
    pub(crate) fn user_of(&self, at: TypeAt, name: &str) -> Option<String> {
        let object_type = &self.tables[at].object_type;
        let told = self.rules.in_use.get(&object_type.plural);
        if told.is_some_and(|names| names.contains(name)) {
            return Some("a workflow".to_owned());
        }
        let custom = object_type.custom.as_ref();
        let shown = custom.and_then(|custom| custom.primary.as_deref()) == Some(name)
            || custom.is_some_and(|custom| custom.secondary.iter().any(|other| other == name));
        if shown || object_type.required.iter().any(|required| required == name) {
            return Some(format!("the object type {}", object_type.plural));
        }
        let formula = self.tables[at].catalogue.iter().find(|(_, other)| {
            let text = other.formula.as_deref().filter(|_| other.archived.is_none());
            text.is_some_and(|text| words(text).any(|word| word == name))
        });
        if let Some((_, other)) = formula {
            return Some(format!("the calculated property {}", other.name));
        }
        let list = self.lists.values().find(|list| {
            let branch = list.filter_branch.as_ref().filter(|_| list.of == at);
            branch.is_some_and(|branch| branch.to_string().contains(&format!("\"{name}\"")))
        });
        list.map(|list| format!("the list {}", list.name))
    }
}

/// The names in a formula.
fn words(formula: &str) -> impl Iterator<Item = &str> {
    formula.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
}
