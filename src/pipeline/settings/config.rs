//! The two kinds of settings file. Each section belongs to the room that uses
//! it; here they are only put together.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;

use super::schedule::ScheduleConfig;
use crate::extract::ExtractConfig;
use crate::extract::source::SourceConfig;
use crate::hubspot::HubSpotConfig;
use crate::lake::LakeConfig;
use crate::load::WriteBackConfig;
use crate::transform::{EngineConfig, ModelConfig, ModelExport, VarValue};

/// `hublake.yml`: connections and defaults.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HublakeConfig {
    /// Where the tables lie.
    pub lake: LakeConfig,
    /// The HubSpot account.
    pub hubspot: HubSpotConfig,
    /// Usage tables, by the name they have in SQL after `usage.`.
    pub sources: BTreeMap<String, SourceConfig>,
    /// What SQL may use of the machine.
    pub engine: EngineConfig,
    /// Values that SQL reads as `$name`.
    pub vars: BTreeMap<String, VarValue>,
}

/// `pipelines/<name>.yml`: one pipeline.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineConfig {
    /// The file's stem.
    #[serde(skip)]
    pub name: String,
    /// When the pipeline runs by itself under `hublake serve`.
    pub schedule: Option<ScheduleConfig>,
    /// What to fetch, by object type; `all` for every type there is.
    pub extract: ExtractConfig,
    /// How the models of `sql/` are built; one that is not named is a view.
    pub models: BTreeMap<String, ModelConfig>,
    /// What to write to HubSpot, by model.
    pub write_back: BTreeMap<String, WriteBackConfig>,
    /// Tables besides models that are published as plain Parquet, by SQL name
    /// (`hubspot.contacts`).
    pub export: BTreeMap<String, ModelExport>,
}

/// The JSON Schema of `hublake.yml`.
pub fn project_schema() -> Schema {
    schema_for!(HublakeConfig)
}

/// The JSON Schema of a file under `pipelines/`.
pub fn pipeline_schema() -> Schema {
    schema_for!(PipelineConfig)
}
