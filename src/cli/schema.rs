use super::args::{SchemaArgs, SchemaOf};
use super::failure::Failure;
use super::output;
use crate::pipeline::Outcome;
use crate::pipeline::settings::{pipeline_schema, project_schema};

/// Prints the JSON Schema of a settings file.
pub(super) fn run(args: &SchemaArgs) -> Result<Outcome, Failure> {
    let schema = match args.of {
        SchemaOf::Project => project_schema(),
        SchemaOf::Pipeline => pipeline_schema(),
    };
    let text = serde_json::to_string_pretty(&schema)
        .map_err(|error| Failure::new(Outcome::Failed, error))?;
    output::text(&format!("{text}\n"))?;
    Ok(Outcome::Succeeded)
}
