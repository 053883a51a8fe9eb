//! What commands do with a project before their own work.

use super::args::Common;
use super::failure::Failure;
use crate::lake::Lake;
use crate::pipeline::{PipelineConfig, PipelineError, Project};

/// Reads and checks the project's settings.
pub(super) fn load(common: &Common) -> Result<Project, Failure> {
    Ok(Project::load(&common.project).map_err(PipelineError::from)?)
}

/// The lake of a project, for reading.
pub(super) async fn open_lake(project: &Project) -> Result<Lake, Failure> {
    Ok(Lake::open(&project.config.lake, &project.dir).await.map_err(PipelineError::from)?)
}

/// The pipelines named, or all of the project's.
pub(super) fn pipelines<'p>(
    project: &'p Project,
    names: &[String],
) -> Result<Vec<&'p PipelineConfig>, Failure> {
    if names.is_empty() {
        return Ok(project.pipelines.iter().collect());
    }
    names.iter().map(|name| pipeline(project, name)).collect()
}

fn pipeline<'p>(project: &'p Project, name: &str) -> Result<&'p PipelineConfig, Failure> {
    let unknown = || PipelineError::Unknown {
        kind: "pipeline",
        name: name.to_owned(),
        known: project.pipelines.iter().map(|p| p.name.clone()).collect(),
    };
    Ok(project.pipeline(name).ok_or_else(unknown)?)
}
