//! A project folder as a whole.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::check;
use super::config::{HublakeConfig, PipelineConfig};
use super::error::{Problem, SettingsError};
use super::expand::Lookup;
use super::file::{SettingsFile, whole};
use super::yaml::{KeyPath, Place};
use crate::transform::{ModelConfig, ModelDefinition, Models, Rule, SqlPlace, TransformError};

/// The file that makes a folder a project.
const PROJECT_FILE: &str = "hublake.yml";
const PIPELINES: &str = "pipelines";
const MODELS: &str = "sql";

/// Overrides `hubspot.base_url`, so that one project serves the emulator and
/// the real account unchanged.
const BASE_URL_VARIABLE: &str = "HUBLAKE_HUBSPOT_BASE_URL";

/// A project whose settings have been read and hold together.
#[derive(Clone, Debug)]
pub struct Project {
    /// The folder that relative paths are taken from.
    pub dir: PathBuf,
    /// `hublake.yml`.
    pub config: HublakeConfig,
    /// `pipelines/*.yml`, in order of name.
    pub pipelines: Vec<PipelineConfig>,
    /// `sql/*.sql` with their settings, by model.
    pub models: BTreeMap<String, ModelDefinition>,
    /// The same models parsed and in order.
    pub graph: Arc<Models>,
    /// The pipelines' files, by pipeline, which know where settings stand.
    files: BTreeMap<String, SettingsFile>,
}

/// Settings that have been read, with the files that know their lines.
pub(super) struct Sections {
    pub(super) config: HublakeConfig,
    pub(super) config_file: SettingsFile,
    pub(super) pipelines: Vec<(PipelineConfig, SettingsFile)>,
    /// Text by model, and the file, relative to the project.
    pub(super) models: BTreeMap<String, (PathBuf, String)>,
}

impl Project {
    /// Reads and checks the project in a folder.
    ///
    /// # Errors
    /// Every mistake that can be found without the lake and without HubSpot.
    pub fn load(dir: &Path) -> Result<Self, SettingsError> {
        Self::load_with(dir, &|name| std::env::var(name).ok())
    }

    /// The same with an environment of the caller's.
    pub(crate) fn load_with(dir: &Path, lookup: Lookup<'_>) -> Result<Self, SettingsError> {
        let load = || {
            let mut sections = Sections::read(dir, lookup)?;
            let mut problems = check(&sections);
            sections.read_test_files(dir, &mut problems);
            let models = sections.definitions();
            match Models::parse(models.values().cloned()) {
                Ok(graph) => {
                    problems.extend(super::check::check_tables(&sections, &graph));
                    finished(problems)?;
                    let (dir, config) = (dir.to_owned(), sections.config);
                    let named = |(config, file): (PipelineConfig, SettingsFile)| {
                        let name = config.name.clone();
                        (config, (name, file))
                    };
                    let (pipelines, files) = sections.pipelines.into_iter().map(named).unzip();
                    Ok(Self { dir, config, pipelines, models, graph: Arc::new(graph), files })
                }
                Err(errors) => {
                    problems.extend(errors.iter().map(sql_problem));
                    Err(problems)
                }
            }
        };
        load().map_err(|mut problems: Vec<Problem>| {
            problems.sort();
            problems.dedup();
            SettingsError { problems }
        })
    }

    /// A problem with a setting of a pipeline: a section by its keys, and the
    /// rest of the way as `properties.jobtitle.from`.
    pub fn problem(
        &self,
        pipeline: &PipelineConfig,
        section: &[&str],
        path: &str,
        reason: impl Into<String>,
    ) -> Problem {
        let path = KeyPath::keys(section.iter().copied()).join(path);
        match self.files.get(&pipeline.name) {
            Some(file) => file.problem(&path, reason),
            None => Problem { key: path.to_string(), ..whole(Path::new(PIPELINES), reason) },
        }
    }

    /// The pipeline of this name.
    pub fn pipeline(&self, name: &str) -> Option<&PipelineConfig> {
        self.pipelines.iter().find(|pipeline| pipeline.name == name)
    }
}

fn finished(problems: Vec<Problem>) -> Result<(), Vec<Problem>> {
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// A mistake in a model's text as one in the settings.
pub(in crate::pipeline) fn sql_problem(error: &TransformError) -> Problem {
    let (file, place) = error.place().unwrap_or((Path::new(MODELS), None));
    Problem { place: place.and_then(place_in), ..whole(file, error.told()) }
}

/// A place in SQL as one in a file.
pub(super) fn place_in(place: SqlPlace) -> Option<Place> {
    let (line, column) = (usize::try_from(place.line).ok()?, usize::try_from(place.column).ok()?);
    Some(Place { line, column })
}

impl Sections {
    fn read(dir: &Path, lookup: Lookup<'_>) -> Result<Self, Vec<Problem>> {
        if !dir.join(PROJECT_FILE).is_file() {
            let reason = format!(
                "There is no such file in `{}`: run `hublake init` there, or name the project's \
                 folder with `--project`",
                dir.display()
            );
            return Err(vec![whole(Path::new(PROJECT_FILE), reason)]);
        }
        let config = read_one::<HublakeConfig>(dir, PathBuf::from(PROJECT_FILE), lookup);
        let mut problems = Vec::new();
        let pipelines = read_pipelines(dir, lookup, &mut problems);
        let models = read_models(dir, &mut problems);
        match config {
            Ok((mut config, config_file)) if problems.is_empty() => {
                if let Some(folder) = &mut config.engine.spill_folder {
                    *folder = dir.join(&*folder);
                }
                if let Some(base_url) = lookup(BASE_URL_VARIABLE) {
                    config.hubspot.base_url = base_url;
                }
                Ok(Self { config, config_file, pipelines, models })
            }
            Ok(_) => Err(problems),
            Err(found) => {
                problems.extend(found);
                Err(problems)
            }
        }
    }

    /// The pipeline's settings of a model, and where they stand.
    pub(super) fn model_config(&self, model: &str) -> Option<&ModelConfig> {
        self.pipelines.iter().find_map(|(pipeline, _)| pipeline.models.get(model))
    }

    fn definitions(&self) -> BTreeMap<String, ModelDefinition> {
        let define = |(name, (file, sql)): (&String, &(PathBuf, String))| {
            let definition = ModelDefinition {
                name: name.clone(),
                file: file.clone(),
                sql: sql.clone(),
                config: self.model_config(name).cloned().unwrap_or_default(),
            };
            (name.clone(), definition)
        };
        self.models.iter().map(define).collect()
    }

    /// Puts the text of `sql:` test files in their places.
    fn read_test_files(&mut self, dir: &Path, problems: &mut Vec<Problem>) {
        for (pipeline, file) in &mut self.pipelines {
            for (name, model) in &mut pipeline.models {
                for (position, test) in model.tests.iter_mut().enumerate() {
                    let Rule::Sql { file: Some(path), text } = &mut test.rule else { continue };
                    match std::fs::read_to_string(dir.join(&*path)) {
                        Ok(read) => *text = read,
                        Err(error) => {
                            let at = KeyPath::keys(["models", name, "tests"])
                                .child(super::yaml::Step::Index(position));
                            let reason = format!("The file `{path}` cannot be read: {error}");
                            problems.push(file.problem(&at, reason));
                        }
                    }
                }
            }
        }
    }
}

fn read_one<T: serde::de::DeserializeOwned>(
    dir: &Path,
    path: PathBuf,
    lookup: Lookup<'_>,
) -> Result<(T, SettingsFile), Vec<Problem>> {
    let file = SettingsFile::read(dir, path, lookup)?;
    let settings = file.decode()?;
    Ok((settings, file))
}

fn read_pipelines(
    dir: &Path,
    lookup: Lookup<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<(PipelineConfig, SettingsFile)> {
    let mut pipelines = Vec::new();
    for (name, path) in files(dir, PIPELINES, "yml", "yaml", problems) {
        match read_one::<PipelineConfig>(dir, path, lookup) {
            Ok((config, file)) => pipelines.push((PipelineConfig { name, ..config }, file)),
            Err(found) => problems.extend(found),
        }
    }
    pipelines
}

fn read_models(dir: &Path, problems: &mut Vec<Problem>) -> BTreeMap<String, (PathBuf, String)> {
    let mut models = BTreeMap::new();
    for (name, path) in files(dir, MODELS, "sql", "SQL", problems) {
        match std::fs::read_to_string(dir.join(&path)) {
            Ok(text) => {
                models.insert(name, (path, text));
            }
            Err(error) => problems.push(whole(&path, format!("The file cannot be read: {error}"))),
        }
    }
    models
}

/// The stem and relative path of every file of a folder with an ending, in
/// order. A near miss of the ending is a problem: the file would do nothing.
fn files(
    dir: &Path,
    folder: &str,
    ending: &str,
    near_miss: &str,
    problems: &mut Vec<Problem>,
) -> Vec<(String, PathBuf)> {
    let entries = match std::fs::read_dir(dir.join(folder)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(whole(Path::new(folder), format!("The folder cannot be read: {error}")));
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for name in entries.filter_map(Result::ok).map(|entry| entry.file_name()) {
        let path = Path::new(folder).join(&name);
        let extension = path.extension().and_then(OsStr::to_str);
        let stem = path.file_stem().and_then(OsStr::to_str).map(str::to_owned);
        match (stem, extension) {
            (Some(stem), Some(found_ending))
                if found_ending == ending && dir.join(&path).is_file() =>
            {
                found.push((stem, path));
            }
            (_, Some(found_ending)) if found_ending == near_miss => {
                problems.push(whole(&path, format!("Files here end in `.{ending}`: rename it")));
            }
            _ => {}
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests;
