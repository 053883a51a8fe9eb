//! The settings sections `engine:`, `vars:` and `models:`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::IdentityConfig;
use super::rules::ModelTest;

/// A ceiling, not what a run uses: a month of usage of a few thousand people
/// needs more than 128 MiB at its widest, and an operator that cannot get its
/// share fails before it spills. Give less where memory is short.
const DEFAULT_MEMORY_LIMIT: MemorySize = MemorySize(1 << 30);

/// Below this even one sort cannot reserve what it needs to spill.
const LEAST_MEMORY: MemorySize = MemorySize(64 << 20);

/// What is wrong with a setting, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: {problem}")]
pub struct InvalidSetting {
    /// The field, from its section down: `tests[0].unique`.
    pub path: String,
    /// What is wrong with it, and what to write instead.
    pub problem: String,
}

impl InvalidSetting {
    fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }
}

/// Room enough for a sort of everything that a laptop's disk holds of one
/// account, and a stop to a query that multiplies rows without end.
const DEFAULT_SPILL_LIMIT: MemorySize = MemorySize(100 << 30);

/// What the SQL engine may use of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Memory for sorts, joins and groupings (`1GiB`); what does not fit is spilled to disk.
    pub memory_limit: MemorySize,
    /// How many threads one query uses; the machine's cores when absent.
    pub threads: Option<usize>,
    /// The folder for what does not fit in memory, made where it is missing; the system's
    /// temporary folder when absent. Its files go when the query ends.
    pub spill_folder: Option<PathBuf>,
    /// The most that all queries together may keep in the folder (`100GiB`).
    pub spill_limit: MemorySize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            memory_limit: DEFAULT_MEMORY_LIMIT,
            threads: None,
            spill_folder: None,
            spill_limit: DEFAULT_SPILL_LIMIT,
        }
    }
}

impl EngineConfig {
    /// Everything that is wrong with these settings.
    pub fn validate(&self) -> Vec<InvalidSetting> {
        let mut problems = Vec::new();
        if self.memory_limit < LEAST_MEMORY {
            let problem = format!("Give the engine at least `{LEAST_MEMORY}`");
            problems.push(InvalidSetting::new("memory_limit", problem));
        }
        if self.threads == Some(0) {
            problems.push(InvalidSetting::new("threads", "At least one thread is needed"));
        }
        problems
    }

    /// The threads one query uses.
    pub fn thread_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.threads.unwrap_or_else(cores)
    }
}

/// An amount of memory, written `256MiB` or `1GiB`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct MemorySize(u64);

const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl MemorySize {
    /// The amount in bytes, as much of it as this machine can address.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl TryFrom<String> for MemorySize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = UNITS.iter().find_map(|(unit, factor)| {
            let number: u64 = text.trim().strip_suffix(unit)?.trim().parse().ok()?;
            number.checked_mul(*factor)
        });
        parsed.map(Self).ok_or_else(|| {
            format!(
                "`{text}` is no amount of memory: write a whole number and `KiB`, `MiB` or `GiB`"
            )
        })
    }
}

impl From<MemorySize> for String {
    fn from(size: MemorySize) -> Self {
        size.to_string()
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole =
            UNITS.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match whole {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// A value under `vars:`, read in SQL as `$name` with the type it is written in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum VarValue {
    /// A switch.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Number(f64),
    /// Text; a day or a time is text that SQL casts.
    Text(String),
}

/// How a model's `select` becomes a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Materialization {
    /// Computed whenever it is read, never stored.
    #[default]
    View,
    /// Stored, and compared with its last version on every build.
    Table,
    /// Stored; a build adds the rows it computes and replaces those whose key is
    /// there already. Rows that are computed no more stay.
    Incremental,
    /// The `select` gives edges; stored are the clusters they join.
    Identity,
}

/// One entry of a pipeline's `models:` section; its key there is the name of
/// the file under `sql/`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// `view` (computed when read), `table` (stored, compared with its last version on every
    /// build), `incremental` (stored, given the rows that are new since `$last_run_at`) or
    /// `identity` (the `select` gives edges, the table is which records belong together).
    pub materialize: Materialization,
    /// The columns that identify a row. A table with a key keeps `<model>_changes` and is
    /// changed row by row; one without is replaced whole when its content differs. An
    /// incremental model needs one.
    pub key: Vec<String>,
    /// How `materialize: identity` joins records; its key is `record`.
    pub identity: Option<IdentityConfig>,
    /// What must hold for the rows.
    pub tests: Vec<ModelTest>,
    /// Where else the rows are published.
    pub export: Option<ModelExport>,
}

/// Where a model is published besides the lake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelExport {
    /// A folder (relative to the project) or URL for plain Parquet.
    pub parquet: String,
}

/// Columns of `<model>_changes` besides the key; a key column may not have
/// one of these names.
pub(super) const CHANGE_COLUMNS: [&str; 7] =
    ["run_id", "changed_at", "op", "changed_columns", "old", "new", "model_version"];

impl ModelConfig {
    /// Everything that is wrong with these settings and can be said without
    /// the model's columns.
    pub fn validate(&self) -> Vec<InvalidSetting> {
        let mut problems = Vec::new();
        if self.materialize == Materialization::Incremental && self.key.is_empty() {
            problems.push(InvalidSetting::new(
                "materialize",
                "An incremental model needs a `key`, by which new rows replace old ones: name it, \
                 or write `materialize: table`",
            ));
        }
        if self.materialize == Materialization::View && !self.key.is_empty() {
            problems.push(InvalidSetting::new(
                "key",
                "A view is not stored and needs no key: write `materialize: table`, or leave it out",
            ));
        }
        problems.extend(self.identity_problems());
        for (position, column) in self.key.iter().enumerate() {
            if CHANGE_COLUMNS.contains(&column.as_str()) {
                let problem = format!("`{column}` is a column of the model's changes: rename it");
                problems.push(InvalidSetting::new(format!("key[{position}]"), problem));
            }
            if self.key[..position].contains(column) {
                let problem = format!("`{column}` is named twice");
                problems.push(InvalidSetting::new(format!("key[{position}]"), problem));
            }
        }
        for (position, test) in self.tests.iter().enumerate() {
            problems.extend(test.validate().into_iter().map(|(path, problem)| {
                InvalidSetting::new(format!("tests[{position}].{path}"), problem)
            }));
        }
        problems
    }
}

impl ModelConfig {
    fn identity_problems(&self) -> Vec<InvalidSetting> {
        let is_identity = self.materialize == Materialization::Identity;
        let mut problems = Vec::new();
        if self.identity.is_some() && !is_identity {
            let problem = "Only a model that joins records has this: write `materialize: identity`";
            problems.push(InvalidSetting::new("identity", problem));
        }
        if is_identity && !self.key.is_empty() {
            let problem = "The key of `materialize: identity` is `record`: leave it out";
            problems.push(InvalidSetting::new("key", problem));
        }
        let own = self.identity.iter().flat_map(IdentityConfig::validate);
        problems.extend(
            own.map(|(path, problem)| InvalidSetting::new(format!("identity.{path}"), problem)),
        );
        problems
    }

    /// Every column that these settings name, with the setting that names it.
    pub(super) fn column_settings(&self) -> Vec<(String, String)> {
        let key = self.key.iter().enumerate();
        let mut settings: Vec<_> =
            key.map(|(at, column)| (format!("key[{at}]"), column.clone())).collect();
        for (position, test) in self.tests.iter().enumerate() {
            let named = test.rule.column_settings().into_iter();
            settings
                .extend(named.map(|(path, column)| (format!("tests[{position}].{path}"), column)));
        }
        settings
    }
}

/// Parameters every model has besides `vars:`.
pub(crate) const RUN_PARAMETERS: [&str; 2] = ["run_started_at", "last_run_at"];

/// Everything that is wrong with a `vars:` section.
pub fn validate_vars(vars: &BTreeMap<String, VarValue>) -> Vec<InvalidSetting> {
    let mut problems = Vec::new();
    for name in vars.keys() {
        if RUN_PARAMETERS.contains(&name.as_str()) {
            let problem = format!("`${name}` is set by hublake: choose another name");
            problems.push(InvalidSetting::new(name, problem));
        } else if !is_identifier(name) {
            let problem = "Names are letters, digits and `_`, and do not start with a digit";
            problems.push(InvalidSetting::new(name, problem));
        }
    }
    problems
}

/// Whether a text is a name that SQL takes without quotes and every engine
/// takes as a column: lower case letters, digits and `_`.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_and_written_in_binary_units() {
        for (text, bytes) in [("256MiB", 256 << 20), ("1 GiB", 1 << 30), ("512KiB", 512 << 10)] {
            let size = MemorySize::try_from(text.to_owned()).expect(text);
            assert_eq!(size.bytes(), bytes);
            assert_eq!(size.to_string(), text.replace(' ', ""));
        }
        for text in ["1GB", "MiB", "-1MiB", "1.5GiB", "99999999999999999999GiB"] {
            assert!(MemorySize::try_from(text.to_owned()).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn what_cannot_be_built_is_refused() {
        let incremental =
            ModelConfig { materialize: Materialization::Incremental, ..ModelConfig::default() };
        assert_eq!(incremental.validate()[0].path, "materialize");
        let keyed = ModelConfig { key: vec!["id".into()], ..incremental };
        assert_eq!(keyed.validate(), []);
        let key = vec!["op".into(), "id".into(), "id".into()];
        let table =
            ModelConfig { materialize: Materialization::Table, key, ..ModelConfig::default() };
        let paths: Vec<_> = table.validate().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["key[0]", "key[2]"]);
        let view = ModelConfig { key: vec!["id".into()], ..ModelConfig::default() };
        assert_eq!(view.validate()[0].path, "key");
    }

    #[test]
    fn vars_do_not_shadow_what_a_run_sets() {
        let vars = BTreeMap::from([
            ("run_started_at".to_owned(), VarValue::Integer(1)),
            ("good_name".to_owned(), VarValue::Integer(1)),
            ("2bad".to_owned(), VarValue::Integer(1)),
        ]);
        let paths: Vec<_> = validate_vars(&vars).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["2bad", "run_started_at"]);
    }
}
