use super::args::{Common, DiscoverArgs, DiscoverWhat, Format};
use super::failure::Failure;
use super::{output, project, stop};
use crate::lake::Lake;
use crate::pipeline::{self, Discovered, Outcome, PipelineError, Session};

/// Shows what could be read: properties of objects, columns of sources.
pub(super) async fn run(args: &DiscoverArgs, common: &Common) -> Result<Outcome, Failure> {
    let project = project::load(common)?;
    let mut found = Discovered::default();
    if args.what == Some(DiscoverWhat::Sources) {
        // The account is not asked, so no token is needed.
        let lake =
            Lake::open(&project.config.lake, &project.dir).await.map_err(PipelineError::from)?;
        lake.check_writable().await.map_err(PipelineError::from)?;
        let lock = pipeline::lock(&lake).await?;
        pipeline::discover_sources(&project, &lake, &mut found).await?;
        lock.release().await.map_err(PipelineError::from)?;
    } else {
        let session = Session::open(&project, stop::on_interrupt()).await?;
        pipeline::discover_hubspot(&session, &mut found).await?;
        if args.what.is_none() {
            pipeline::discover_sources(&project, &session.lake, &mut found).await?;
        }
        session.close().await?;
    }
    output::print_batch(&found.batch(), common.output)?;
    if common.output == Format::Table && !common.quiet {
        eprint!("{}", pins(&found));
    }
    let mut outcome = Outcome::Succeeded;
    for (grave, sentence) in &found.problems {
        eprintln!("! {sentence}");
        outcome.worsen(*grave);
    }
    Ok(outcome)
}

/// The settings that would pin the types that were guessed.
fn pins(found: &Discovered) -> String {
    if found.guessed.is_empty() {
        return String::new();
    }
    let mut text = "To pin the types that were guessed, in hublake.yml:\n  sources:\n".to_owned();
    for (source, columns) in &found.guessed {
        text.push_str(&format!("    {source}:\n      types:\n"));
        for (column, column_type) in columns {
            text.push_str(&format!("        {}: {column_type}\n", key(column)));
        }
    }
    text
}

/// A column's name as a key of YAML.
fn key(column: &str) -> String {
    let is_plain = column.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && column.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_word = matches!(
        column.to_ascii_lowercase().as_str(),
        "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    if is_plain && !is_word { column.to_owned() } else { format!("{column:?}") }
}
