//! SQL over the lake: models to tables, tables to their changes.
//!
//! This room parses the models of a project, puts them in order, runs each
//! one on DataFusion inside a memory limit, gives its columns lake types,
//! stores what differs from the last version, records the differences, and
//! tests the rows. It adds functions to SQL and joins records to persons, which
//! SQL cannot. It answers queries typed by hand as well. It reads lake
//! tables and whatever tables it is handed; it knows no object type and no
//! file format.
//!
//! What it refuses: SQL that changes anything, rings of models, columns
//! without a name or of a type that other engines cannot read, keys that do
//! not identify rows.

mod build;
mod catalog;
mod changes;
mod check;
mod compare;
mod config;
mod culprit;
mod data_tests;
mod diagnosis;
mod engine;
mod error;
mod explain;
mod failures;
mod functions;
mod identity;
mod incremental;
mod lineage;
mod misfit;
mod models;
mod nearest;
mod normalise;
mod parameters;
mod possible;
mod query;
mod rules;
mod staging;
mod table;
#[cfg(test)]
mod tests;

pub use build::{BuildOptions, BuildReport, ModelReport, ModelStatus, StopReason, build};
pub use changes::skip_changes;
pub use check::{CheckOutcome, KnownTable, ModelCheck, check};
pub(crate) use config::is_identifier;
pub use config::{
    EngineConfig, InvalidSetting, Materialization, MemorySize, ModelConfig, ModelExport, VarValue,
    validate_vars,
};
pub use data_tests::{TestOutcome, TestReport};
pub use engine::Engine;
pub use error::{RingStep, SqlSpot, TransformError};
pub use identity::IdentityConfig;
pub use lineage::{changes_of, rebuild_due};
use models::base_table;
pub use models::{Model, ModelDefinition, Models, UnknownModel};
pub(crate) use nearest::nearest;
pub(crate) use parameters::{name_in_sql, quoted};
pub use query::SqlPlace;
pub use rules::{AcceptedValues, FreshWithin, ModelTest, Relationships, RowCount, Rule, Severity};
