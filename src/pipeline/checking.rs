//! Checking models and write-backs against known columns, every mistake with
//! its file and line.

use arrow::datatypes::{DataType, SchemaRef};

use super::error::PipelineError;
use super::known::{Definitions, Known};
use super::settings::{PipelineConfig, Problem, Project, sql_problem};
use crate::extract::mirror_table;
use crate::load::{self, LoadError, MatchKey, WriteBackConfig};
use crate::objects::{ObjectType, PropertyType, standard_properties};
use crate::transform::{self, CheckOutcome, ModelCheck, TransformError, nearest};

/// What a check of models and write-backs came to.
#[derive(Debug, Default)]
pub struct Checked {
    /// Mistakes, in order of file and line.
    pub problems: Vec<Problem>,
    /// What could not be checked, one sentence each.
    pub notes: Vec<String>,
}

/// Plans all SQL of a project, tests included, and holds the write-backs
/// against the columns their models have. Nothing is read or stored.
///
/// # Errors
/// An engine that cannot be set up.
pub async fn check_models(
    project: &Project,
    known: &Known,
    definitions: &Definitions,
) -> Result<Checked, PipelineError> {
    let config = &project.config;
    let checks =
        transform::check(&config.engine, &project.graph, &config.vars, &known.tables).await?;
    let mut checked = Checked::default();
    let mut waiting = Vec::new();
    for check in &checks {
        match &check.outcome {
            CheckOutcome::Sound { schema, types_are_sure, doubts } => {
                if *types_are_sure {
                    checked.notes.extend(doubts.iter().map(ToString::to_string));
                }
                let fit = Fit { project, known, definitions, types_are_sure: *types_are_sure };
                checked.problems.extend(fit.write_backs(&check.name, schema));
            }
            CheckOutcome::Waiting { tables } => waiting.push((&check.name, tables)),
            CheckOutcome::Unsure(error) => checked.notes.push(format!(
                "{error}; the account may have it all the same, and its properties are not known \
                 before the first extract or `hublake check` without `--offline`"
            )),
            CheckOutcome::Behind { model } => {
                checked
                    .notes
                    .push(format!("Model `{}` was not checked: it reads `{model}`", check.name));
            }
            CheckOutcome::Wrong(error) => {
                checked.problems.push(model_problem(project, check, error));
            }
        }
        checked.problems.extend(check.further.iter().map(sql_problem));
        for (position, error) in &check.tests {
            checked.problems.push(test_problem(project, &check.name, *position, error));
        }
    }
    for (model, tables) in waiting {
        let tables = tables.join("`, `");
        checked.notes.push(format!(
            "Model `{model}` was not checked: nothing is known of `{tables}` before it has been read"
        ));
    }
    checked.problems.sort();
    checked.problems.dedup();
    Ok(checked)
}

/// A mistake in a model: in its SQL, or in the settings that name its columns.
fn model_problem(project: &Project, check: &ModelCheck, error: &TransformError) -> Problem {
    if let (Some(setting), Some(pipeline)) = (error.setting(), configuring(project, &check.name)) {
        return project.problem(pipeline, &["models", &check.name], setting, error.to_string());
    }
    sql_problem(error)
}

/// A test that cannot run. Its own file is named where it has one.
fn test_problem(
    project: &Project,
    model: &str,
    position: usize,
    error: &TransformError,
) -> Problem {
    let is_file = error.place().is_some_and(|(file, _)| project.dir.join(file).is_file());
    match configuring(project, model) {
        Some(pipeline) if !is_file => {
            let test = format!("tests[{position}]");
            project.problem(pipeline, &["models", model], &test, error.told())
        }
        _ => sql_problem(error),
    }
}

/// The pipeline whose settings a model has.
fn configuring<'p>(project: &'p Project, model: &str) -> Option<&'p PipelineConfig> {
    project.pipelines.iter().find(|pipeline| pipeline.models.contains_key(model))
}

/// Holds write-backs against the columns of their model.
struct Fit<'a> {
    project: &'a Project,
    known: &'a Known,
    definitions: &'a Definitions,
    types_are_sure: bool,
}

impl Fit<'_> {
    fn write_backs(&self, model: &str, schema: &SchemaRef) -> Vec<Problem> {
        let pipelines = self.project.pipelines.iter();
        let configured =
            pipelines.filter_map(|pipeline| Some((pipeline, pipeline.write_back.get(model)?)));
        configured
            .flat_map(|(pipeline, config)| {
                let found = self.write_back(config, model, schema).into_iter();
                found.map(|(path, reason)| {
                    self.project.problem(pipeline, &["write_back", model], &path, reason)
                })
            })
            .collect()
    }

    /// What is wrong, by the setting below the write-back.
    fn write_back(
        &self,
        config: &WriteBackConfig,
        model: &str,
        schema: &SchemaRef,
    ) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let key = &config.match_by.column;
        match column_type(schema, key) {
            None => wrong.push(("match".to_owned(), unknown_column(model, key, schema))),
            Some(data_type) => {
                if let Some(reason) = self.misfit_key(config, key, data_type) {
                    wrong.push(("match".to_owned(), reason));
                }
            }
        }
        for (name, property) in &config.properties {
            let column = property.column(name);
            let setting = match property.from {
                Some(_) => format!("properties.{name}.from"),
                None => format!("properties.{name}"),
            };
            let reason = match column_type(schema, column) {
                None => Some(unknown_column(model, column, schema)),
                Some(data_type) => self.misfit(config, name, column, data_type),
            };
            wrong.extend(reason.map(|reason| (setting, reason)));
        }
        for (setting, column) in config.link_columns() {
            if column_type(schema, column).is_none() {
                wrong.push((setting, unknown_column(model, column, schema)));
            }
        }
        wrong.extend(self.clash(config, model));
        wrong
    }

    /// A property that the settings declare and that the account has otherwise.
    fn clash(&self, config: &WriteBackConfig, write_back: &str) -> Option<(String, String)> {
        let definitions = self.definitions.get(&config.object_type().ok()?)?;
        match load::plan_properties(write_back, config, definitions) {
            Err(LoadError::Settings { path, problem, .. }) => Some((path, problem)),
            _ => None,
        }
    }

    fn misfit_key(
        &self,
        config: &WriteBackConfig,
        column: &str,
        data_type: &DataType,
    ) -> Option<String> {
        let is_id = config.match_by.key == MatchKey::RecordId;
        (self.types_are_sure && is_id && !load::can_be_record_id(data_type)).then(|| {
            format!("Record ids are whole numbers, and column `{column}` is `{data_type}`")
        })
    }

    /// Why a column cannot hold the values of a property.
    fn misfit(
        &self,
        config: &WriteBackConfig,
        property: &str,
        column: &str,
        data_type: &DataType,
    ) -> Option<String> {
        if !self.types_are_sure {
            return None;
        }
        let property_type = self.property_type(config, property)?;
        let misfit = load::misfit(data_type, &property_type)?;
        let advice = match misfit.advice {
            Some(cast) => {
                format!("write `{} as {column}` in the model", cast.replace("COLUMN", column))
            }
            None => "name another column, or cast it in the model".to_owned(),
        };
        Some(format!(
            "Column `{column}` is `{data_type}`, and the property is of type `{}`, which takes {}: \
             {advice}",
            property_type.as_str(),
            misfit.wanted,
        ))
    }

    /// The type of a property: as declared, as the account says, as the mirror
    /// keeps it, or as HubSpot gives it to every account.
    fn property_type(&self, config: &WriteBackConfig, property: &str) -> Option<PropertyType> {
        let object: ObjectType = config.object_type().ok()?;
        let declared = config.properties[property].create.as_ref();
        let declared = declared.map(load::CreateConfig::property_type);
        let defined = || {
            let mut definitions = self.definitions.get(&object)?.iter();
            let found = definitions.find(|definition| definition.name == property)?;
            Some(found.property_type.clone())
        };
        let standard = || standard_properties(&object).get(property).cloned();
        let mirrored = || {
            let known = self.known.tables.get(&mirror_table(&object))?;
            let field = known.schema.field_with_name(property).ok()?;
            known.types_are_sure.then(|| load::property_type_of(field.data_type())).flatten()
        };
        declared.or_else(defined).or_else(standard).or_else(mirrored)
    }
}

fn column_type<'s>(schema: &'s SchemaRef, column: &str) -> Option<&'s DataType> {
    schema.field_with_name(column).ok().map(arrow::datatypes::Field::data_type)
}

fn unknown_column(model: &str, column: &str, schema: &SchemaRef) -> String {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let hint = nearest(column, names.iter().copied())
        .map_or(String::new(), |name| format!("did you mean `{name}`? "));
    format!("Model `{model}` has no column `{column}`: {hint}It has `{}`", names.join("`, `"))
}
