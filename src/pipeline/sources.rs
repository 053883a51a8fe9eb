//! The user's own tables: opened for the engine, or copied into the lake.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;

use super::error::PipelineError;
use super::outcome::Outcome;
use super::results::{RunResults, SourceResult};
use super::session::Session;
use super::settings::Project;
use crate::extract::chain;
use crate::extract::source::{BadFile, Source, SourceError, copy_source};
use crate::lake::{Lake, TableName};
use crate::transform::Engine;

/// Bad files named in one sentence.
const FILES_NAMED: usize = 3;

/// A SQL engine over the project's lake, models and sources.
#[derive(Debug)]
pub struct OpenedSources {
    /// The engine.
    pub engine: Engine,
    /// The sources that are not to be had, by table, and why.
    pub missing: BTreeMap<TableName, String>,
    /// The files that are left out, by source.
    pub skipped: BTreeMap<String, Vec<BadFile>>,
}

/// Opens the sources that `wanted` names. Those that are copied are tables of the
/// lake, and are not asked here.
///
/// # Errors
/// An engine that cannot be made. A source that is absent, empty or unreadable
/// is no error here: what reads it is skipped, and says so.
pub async fn open_sources(
    project: &Project,
    lake: &Lake,
    wanted: impl Fn(&str) -> bool,
) -> Result<OpenedSources, PipelineError> {
    let config = &project.config;
    let mut engine =
        Engine::new(&config.engine, lake.clone(), project.graph.clone(), config.vars.clone())?;
    let (mut missing, mut skipped) = (BTreeMap::new(), BTreeMap::new());
    for (name, source) in config.sources.iter().filter(|(name, _)| wanted(name)) {
        let table = TableName::usage(name);
        if source.copy.is_some() {
            if lake.table(&table).await?.is_none() {
                let sentence =
                    "it has not been copied into the lake yet; `hublake extract` copies it";
                missing.insert(table, sentence.to_owned());
            }
            continue;
        }
        match Source::open(name, source, &project.dir, engine.runtime()).await {
            Ok(opened) => {
                engine.register_source(opened.name(), opened.provider());
                if !opened.skipped().is_empty() {
                    skipped.insert(name.clone(), opened.skipped().to_vec());
                }
            }
            Err(error) => {
                missing.insert(table, told(&error));
            }
        }
    }
    Ok(OpenedSources { engine, missing, skipped })
}

/// The sources that a query can read, itself or through the views it names: a
/// database that it does not read is not asked.
pub async fn open_sources_of(
    project: &Project,
    lake: &Lake,
    sql: &str,
) -> Result<OpenedSources, PipelineError> {
    let is_read = |name: &str| {
        let table = TableName::usage(name);
        sql.contains(name)
            || project.graph.names().any(|model| {
                sql.contains(model) && project.graph.tables_read(model).contains(&table)
            })
    };
    open_sources(project, lake, is_read).await
}

fn told(error: &SourceError) -> String {
    format!("{}; {}", chain(error), error.advice())
}

/// Notes the files that a run leaves out.
pub(super) fn tell_skipped(skipped: &BTreeMap<String, Vec<BadFile>>, results: &mut RunResults) {
    for (name, files) in skipped {
        results.sources.entry(name.clone()).or_default().skipped_files = files.len() as u64;
        let sentence = format!("Source `{name}` is read without {}", listed(files));
        results.problem(Outcome::Succeeded, sentence);
    }
}

fn listed(files: &[BadFile]) -> String {
    let named: Vec<String> = files.iter().take(FILES_NAMED).map(ToString::to_string).collect();
    let rest = files.len().saturating_sub(FILES_NAMED);
    let more = if rest > 0 { format!("; and {rest} more") } else { String::new() };
    let what = if files.len() == 1 { "a file that does" } else { "files that do" };
    format!("{what} not parse: {}{more}", named.join("; "))
}

/// Which files of the project's sources do not parse, one sentence a source: for
/// when a query has met one, since the engine says what is wrong and not where.
/// Reads them all.
pub async fn bad_files(
    project: &Project,
    runtime: &Arc<RuntimeEnv>,
    wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut sentences = Vec::new();
    for (name, config) in project.config.sources.iter().filter(|(name, _)| wanted(name)) {
        let is_file = config.parquet.is_some() || config.csv.is_some() || config.ndjson.is_some();
        if !is_file {
            continue;
        }
        let Ok(source) = Source::open(name, config, &project.dir, runtime.clone()).await else {
            continue;
        };
        if let Ok(files) = source.bad_files().await
            && !files.is_empty()
        {
            sentences.push(format!(
                "Source `{name}` has {}; mend or remove what is wrong, or set `on_bad_file: skip`",
                listed(&files)
            ));
        }
    }
    sentences
}

/// What copying came to.
#[derive(Debug, Default)]
pub struct Copied {
    /// Per source that was copied.
    pub sources: BTreeMap<String, SourceResult>,
    /// What failed: how grave it is, and the sentence that tells of it.
    pub problems: Vec<(Outcome, String)>,
    /// Tables that must not be trusted in this run, and why.
    pub incomplete: BTreeMap<String, String>,
}

/// Copies every source that the settings want copied; one that fails leaves the
/// others alone.
///
/// # Errors
/// An engine that cannot be made.
pub async fn copy_sources(session: &Session<'_>, full: bool) -> Result<Copied, PipelineError> {
    let (project, lake) = (session.project, &session.lake);
    let config = &project.config;
    let mut copied = Copied::default();
    if config.sources.values().all(|source| source.copy.is_none()) {
        return Ok(copied);
    }
    let engine =
        Engine::new(&config.engine, lake.clone(), project.graph.clone(), config.vars.clone())?;
    for (name, source) in &config.sources {
        let Some(copy) = &source.copy else { continue };
        let work = async {
            let opened = Source::open(name, source, &project.dir, engine.runtime()).await?;
            let now = chrono::Utc::now().timestamp_micros();
            let report = copy_source(lake, &opened, copy, full, now).await?;
            Ok::<_, SourceError>((report, opened.skipped().to_vec()))
        };
        match session.unless_stopped(work).await {
            None => break,
            Some(Ok((report, skipped))) => {
                if !skipped.is_empty() {
                    let sentence =
                        format!("Source `{name}` is copied without {}", listed(&skipped));
                    copied.problems.push((Outcome::Succeeded, sentence));
                }
                let skipped_files = skipped.len() as u64;
                copied
                    .sources
                    .insert(name.clone(), SourceResult { copied: Some(report), skipped_files });
            }
            Some(Err(error)) => {
                let sentence = format!("`usage.{name}` was not copied: {}", told(&error));
                copied.incomplete.insert(TableName::usage(name).to_string(), sentence.clone());
                copied.problems.push((Outcome::Failed, sentence));
            }
        }
    }
    Ok(copied)
}
