//! Settings: `hublake.yml`, `pipelines/*.yml` and `sql/*.sql` into one checked
//! [`Project`].
//!
//! Reading is strict and tireless: an unknown key is an error that names the
//! nearest known one, and one run names every mistake it can find, each with
//! file, line and key. Each section's meaning belongs to the room that uses
//! it; here the sections are put together and checked against each other.

mod check;
mod config;
mod decode;
mod error;
mod expand;
mod file;
mod project;
mod schedule;
mod yaml;

pub use config::{HublakeConfig, PipelineConfig, pipeline_schema, project_schema};
pub use error::{Problem, SettingsError};
pub use project::Project;
pub(super) use project::sql_problem;
pub use schedule::ScheduleConfig;
pub use yaml::Place;
