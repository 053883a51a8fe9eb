use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;

use super::args::{CheckArgs, Common};
use super::failure::Failure;
use super::project;
use crate::extract::source::Source;
use crate::lake::{Lake, TableName};
use crate::pipeline::{self, Outcome, PipelineError, Project, Schemas};
use crate::transform::{self, CheckOutcome, Engine};

/// Validates everything that can be validated without moving data.
pub(super) async fn run(args: &CheckArgs, common: &Common) -> Result<Outcome, Failure> {
    let project = project::load(common)?;
    let mut outcome = Outcome::Succeeded;
    say(
        common,
        &format!(
            "settings: {} pipelines, {} models",
            project.pipelines.len(),
            project.models.len()
        ),
    );
    let schemas = known_schemas(&project, common).await?;
    outcome.worsen(check_models(&project, schemas, common).await?);
    if !args.offline {
        outcome.worsen(check_account(&project, common).await?);
    }
    if outcome == Outcome::Succeeded {
        say(common, "All is well");
    }
    Ok(outcome)
}

fn say(common: &Common, text: &str) {
    if !common.quiet {
        eprintln!("{text}");
    }
}

/// The columns of every lake table and source that can be had.
async fn known_schemas(
    project: &Project,
    common: &Common,
) -> Result<BTreeMap<TableName, SchemaRef>, Failure> {
    let mut schemas = BTreeMap::new();
    let lake = project::open_lake(project).await?;
    for name in lake.tables().await.map_err(PipelineError::from)? {
        if let Some(table) = lake.table(&name).await.map_err(PipelineError::from)? {
            schemas.insert(name, table.schema());
        }
    }
    let runtime = engine(project, &lake)?.runtime();
    for (name, config) in &project.config.sources {
        // A copy has the columns it was made with; before there is one, the source's.
        if config.copy.is_some() && schemas.contains_key(&TableName::usage(name)) {
            continue;
        }
        match Source::open(name, config, &project.dir, runtime.clone()).await {
            Ok(source) => {
                schemas.insert(TableName::usage(name), source.schema());
            }
            Err(error) => say(
                common,
                &format!("! {error}; its write-backs will not run ({})", error.advice()),
            ),
        }
    }
    Ok(schemas)
}

fn engine(project: &Project, lake: &Lake) -> Result<Engine, Failure> {
    let config = &project.config;
    let engine =
        Engine::new(&config.engine, lake.clone(), project.graph.clone(), config.vars.clone());
    Ok(engine.map_err(PipelineError::from)?)
}

/// Plans every model against the known columns.
async fn check_models(
    project: &Project,
    schemas: BTreeMap<TableName, SchemaRef>,
    common: &Common,
) -> Result<Outcome, Failure> {
    let config = &project.config;
    let checked = transform::check(&config.engine, &project.graph, &config.vars, schemas).await;
    let mut outcome = Outcome::Succeeded;
    let mut waiting = 0;
    for model in checked.map_err(PipelineError::from)? {
        match model.outcome {
            CheckOutcome::Sound(schema) => {
                outcome.worsen(check_write_back(project, &model.name, &schema))
            }
            CheckOutcome::Waiting { .. } => waiting += 1,
            CheckOutcome::Wrong(error) => {
                let failure = Failure::from(PipelineError::from(error));
                eprintln!("model `{}`: {failure}", model.name);
                outcome.worsen(Outcome::Settings);
            }
        }
    }
    if waiting > 0 {
        say(
            common,
            &format!(
                "{waiting} models read tables that are not in the lake yet: checked after an extract"
            ),
        );
    }
    Ok(outcome)
}

/// Whether a model has the columns that its write-backs name.
fn check_write_back(project: &Project, model: &str, schema: &SchemaRef) -> Outcome {
    let mut outcome = Outcome::Succeeded;
    for pipeline in &project.pipelines {
        let Some(config) = pipeline.write_back.get(model) else { continue };
        for column in config.columns() {
            if schema.field_with_name(column).is_err() {
                let known: Vec<&str> =
                    schema.fields().iter().map(|field| field.name().as_str()).collect();
                eprintln!(
                    "pipelines/{}.yml: write-back `{model}` names column `{column}`; the model has {}",
                    pipeline.name,
                    known.join(", ")
                );
                outcome = Outcome::Settings;
            }
        }
    }
    outcome
}

/// Whether the token works, is the right account's, and sees every object.
async fn check_account(project: &Project, common: &Common) -> Result<Outcome, Failure> {
    let client = pipeline::connect(project)?;
    let account = pipeline::check_account(project, &client).await?;
    say(common, &format!("account: portal {}, token accepted", account.portal_id));
    let pipelines: Vec<_> = project.pipelines.iter().collect();
    let mut outcome = Outcome::Succeeded;
    let wanted = pipeline::wanted(project, &client, &pipelines, &[]).await?;
    if let Schemas::Failed { error, needed: true } = wanted.schemas {
        let failure = Failure::from(PipelineError::from(error));
        eprintln!("custom object types: {failure}");
        outcome.worsen(failure.outcome());
    }
    for job in wanted.jobs {
        match client.properties(&job.object, false).await {
            Ok(properties) => {
                say(common, &format!("object: {} has {} properties", job.object, properties.len()))
            }
            Err(error) if !job.named && pipeline::is_absence(&error) => {
                say(common, &format!("object: {} is left out: {error}", job.object));
            }
            Err(error) => {
                let failure = Failure::from(PipelineError::from(error));
                eprintln!("object `{}`: {failure}", job.object);
                outcome.worsen(failure.outcome());
            }
        }
    }
    Ok(outcome)
}
