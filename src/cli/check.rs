use super::args::{CheckArgs, Common};
use super::failure::Failure;
use super::project;
use crate::pipeline::{self, Definitions, Outcome, PipelineError, Project, Schemas};

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
    let mut definitions = Definitions::new();
    if !args.offline {
        // What can be said without the account is said although it cannot be reached.
        match check_account(&project, &mut definitions, common).await {
            Ok(checked) => outcome.worsen(checked),
            Err(failure) => {
                eprintln!("{failure}");
                outcome.worsen(failure.outcome());
            }
        }
    }
    let (models, is_whole) = check_models(&project, &definitions, args.offline, common).await?;
    outcome.worsen(models);
    match (outcome, is_whole) {
        (Outcome::Succeeded, true) => say(common, "All is well"),
        (Outcome::Succeeded, false) => {
            say(common, "Nothing wrong was found; what the lines with `!` are about is open");
        }
        _ => {}
    }
    Ok(outcome)
}

fn say(common: &Common, text: &str) {
    if !common.quiet {
        eprintln!("{text}");
    }
}

/// Plans every model against the known columns; whether nothing was left open.
async fn check_models(
    project: &Project,
    definitions: &Definitions,
    offline: bool,
    common: &Common,
) -> Result<(Outcome, bool), Failure> {
    let known = pipeline::known_tables(project, definitions, offline).await?;
    let checked = pipeline::check_models(project, &known, definitions).await?;
    for note in known.notes.iter().chain(&checked.notes) {
        say(common, &format!("! {note}"));
    }
    for problem in &checked.problems {
        eprintln!("{problem}");
    }
    let is_whole = known.notes.is_empty() && checked.notes.is_empty();
    let is_sound = checked.problems.is_empty();
    Ok((if is_sound { Outcome::Succeeded } else { Outcome::Settings }, is_whole))
}

/// Whether the token works, is the right account's, and sees every object.
/// Takes in the properties that it shows.
async fn check_account(
    project: &Project,
    definitions: &mut Definitions,
    common: &Common,
) -> Result<Outcome, Failure> {
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
                say(common, &format!("object: {} has {} properties", job.object, properties.len()));
                definitions.insert(job.object, properties);
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
