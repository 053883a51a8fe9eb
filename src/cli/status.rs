use super::args::{Common, Format};
use super::failure::Failure;
use super::{output, project};
use crate::lake::TableName;
use crate::pipeline::{self, Outcome, PipelineError};

/// The last runs, newest first.
const RUNS: &str = "select run_id, pipeline, status, exit_code, started_at, finished_at \
                    from system.runs order by started_at desc limit 5";

/// Shows how the last runs ended and what the lake holds.
pub(super) async fn run(common: &Common) -> Result<Outcome, Failure> {
    let project = project::load(common)?;
    let lake = project::open_lake(&project).await?;
    let names = lake.tables().await.map_err(PipelineError::from)?;
    if names.is_empty() {
        eprintln!("The lake at {} is empty; fill it with `hublake run`", lake.url());
        return Ok(Outcome::Succeeded);
    }
    let (engine, missing) = pipeline::engine(&project, &lake).await?;
    // Programs get one table; a person also sees how the last runs ended.
    if common.output == Format::Table && names.contains(&TableName::system("runs")) {
        let runs = engine.query(RUNS, None).await.map_err(PipelineError::from)?;
        output::print(runs, common.output, None).await?;
    }
    output::print_batch(&pipeline::table_status(&lake, &names).await?, common.output)?;
    if common.output == Format::Table {
        for (table, reason) in missing {
            eprintln!("! `{table}` cannot be read: {reason}");
        }
    }
    Ok(Outcome::Succeeded)
}
