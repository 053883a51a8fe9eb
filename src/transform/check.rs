//! Checking models without data: every mistake that planning can find.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::datasource::empty::EmptyTable;
use datafusion::logical_expr::LogicalPlan;

use super::catalog::{Catalog, ModelTimes, Origin, Tables};
use super::data_tests::query_of;
use super::diagnosis::sql_error;
use super::engine::SessionSettings;
use super::misfit::{TextRead, texts_read};
use super::models::{Models, base_table};
use super::parameters::literals;
use super::query::TableRef;
use super::table::check_columns;
use super::{EngineConfig, Model, TransformError, VarValue, identity};
use crate::lake::TableName;

/// What is known of a table before it is read.
#[derive(Clone, Debug)]
pub struct KnownTable {
    /// Its columns.
    pub schema: SchemaRef,
    /// Whether these are all: a column that is not among them is a mistake.
    pub names_are_sure: bool,
    /// Whether every type is the real one and none assumed.
    pub types_are_sure: bool,
}

impl KnownTable {
    /// A table of which everything is known.
    pub fn sure(schema: SchemaRef) -> Self {
        Self { schema, names_are_sure: true, types_are_sure: true }
    }
}

/// What checking found out about one model.
#[derive(Debug)]
pub struct ModelCheck {
    /// The model.
    pub name: String,
    /// What was found.
    pub outcome: CheckOutcome,
    /// Further mistakes that stand beside one that keeps it from being built.
    pub further: Vec<TransformError>,
    /// Tests that cannot run: the place in the settings and what is wrong.
    pub tests: Vec<(usize, TransformError)>,
}

/// What checking found out.
#[derive(Debug)]
pub enum CheckOutcome {
    /// The model can be built.
    Sound {
        /// Its columns.
        schema: SchemaRef,
        /// Whether their types are those of the real tables.
        types_are_sure: bool,
        /// What will fail on some rows only, if it does.
        doubts: Vec<TransformError>,
    },
    /// Tables it reads are not known yet, so it is checked after the first
    /// extract.
    Waiting {
        /// Those tables.
        tables: Vec<String>,
    },
    /// What looks like a mistake may be something that a table has and nobody
    /// knows yet.
    Unsure(TransformError),
    /// It reads a model that cannot be built, or of which nothing sure is known.
    Behind {
        /// That model.
        model: String,
    },
    /// It cannot be built.
    Wrong(TransformError),
}

/// Plans every model, and every test, against the columns of the tables they
/// read. Nothing is read or stored.
///
/// `known` holds the tables whose columns are known, from the lake, the account
/// or settings; a model that reads another table waits.
///
/// # Errors
/// An engine that cannot be set up.
pub async fn check(
    config: &EngineConfig,
    models: &Arc<Models>,
    vars: &BTreeMap<String, VarValue>,
    known: &BTreeMap<TableName, KnownTable>,
) -> Result<Vec<ModelCheck>, TransformError> {
    let session = SessionSettings::new(config)?;
    let schemas = known.iter().map(|(name, table)| (name.clone(), table.schema.clone()));
    let tables = Tables {
        models: models.clone(),
        sources: BTreeMap::new(),
        vars: vars.clone(),
        times: ModelTimes::default(),
        origin: Origin::Schemas(schemas.collect()),
    };
    let catalog = Catalog::new(&session, tables);
    let mut check = Check { models, known, session, catalog, checks: Vec::new() };
    for model in models.in_order() {
        // Whatever else of a model has to wait, a table that no run will make is told at once.
        let mut further = check.catalog.impossible_tables(&model.query).await?.into_iter();
        let outcome = match further.next() {
            Some(error) => CheckOutcome::Wrong(error),
            None => check.outcome(model).await,
        };
        let (name, further) = (model.name().to_owned(), further.collect());
        check.checks.push(ModelCheck { name, outcome, further, tests: Vec::new() });
    }
    // A test may read models that come after its own.
    for model in models.in_order() {
        let tests = check.tests(model, vars).await;
        if let Some(checked) = check.checks.iter_mut().find(|one| one.name == model.name()) {
            checked.tests = tests;
        }
    }
    Ok(check.checks)
}

/// A check under way.
pub(super) struct Check<'a> {
    pub(super) models: &'a Models,
    pub(super) known: &'a BTreeMap<TableName, KnownTable>,
    session: SessionSettings,
    catalog: Catalog,
    checks: Vec<ModelCheck>,
}

impl Check<'_> {
    async fn outcome(&self, model: &Model) -> CheckOutcome {
        let tables = self.unknown_tables(model);
        if !tables.is_empty() {
            return CheckOutcome::Waiting { tables };
        }
        let parents = self.models.parents(model).filter(|parent| parent.name() != model.name());
        for parent in parents {
            match self.of(parent.name()) {
                Some(CheckOutcome::Unsure(_) | CheckOutcome::Wrong(_)) => {
                    return CheckOutcome::Behind { model: parent.name().to_owned() };
                }
                Some(CheckOutcome::Behind { model }) => {
                    return CheckOutcome::Behind { model: model.clone() };
                }
                _ => {}
            }
        }
        let types_are_sure = self.is_sure(model, |table| table.types_are_sure);
        let names_are_sure = self.is_sure(model, |table| table.names_are_sure);
        match self.plan(model).await {
            Ok((schema, doubts)) => CheckOutcome::Sound { schema, types_are_sure, doubts },
            Err(error) => match error.unknown_column() {
                Some(_) if names_are_sure => CheckOutcome::Wrong(error),
                Some(column) => match self.sure_mistake(model, column).await {
                    Some(mistake) => CheckOutcome::Wrong(mistake),
                    None => CheckOutcome::Unsure(error),
                },
                None if matches!(error, TransformError::Sql { .. }) && !types_are_sure => {
                    CheckOutcome::Unsure(error)
                }
                None => CheckOutcome::Wrong(error),
            },
        }
    }

    /// The same check, of other columns.
    pub(super) fn supposing(&self, schemas: BTreeMap<TableName, SchemaRef>) -> Self {
        let tables = Tables { origin: Origin::Schemas(schemas), ..self.catalog.tables.clone() };
        let catalog = Catalog::new(&self.session, tables);
        let Self { models, known, session, .. } = self;
        Self { models, known, session: session.clone(), catalog, checks: Vec::new() }
    }

    fn of(&self, model: &str) -> Option<&CheckOutcome> {
        self.checks.iter().find(|check| check.name == model).map(|check| &check.outcome)
    }

    /// Whether something holds for every table that a model reads, directly or
    /// through others.
    fn is_sure(&self, model: &Model, sure: impl Fn(&KnownTable) -> bool) -> bool {
        let tables = self.models.tables_read(model.name());
        tables.iter().filter_map(|table| self.known.get(table)).all(sure)
    }

    /// The tables outside the models that a model needs and nobody knows yet.
    fn unknown_tables(&self, model: &Model) -> Vec<String> {
        let tables = self.models.tables_read(model.name());
        let unknown = tables.iter().filter(|table| !self.known.contains_key(table));
        unknown.map(TableName::to_string).collect()
    }

    /// The columns of a model, and what is doubtful in it.
    pub(super) async fn plan(
        &self,
        model: &Model,
    ) -> Result<(SchemaRef, Vec<TransformError>), TransformError> {
        let rows = self.catalog.plan_model(model).await?;
        let mut schema: SchemaRef = Arc::new(rows.schema().as_arrow().clone());
        if model.is_identity() {
            schema = identity::output_schema(model, &schema)?;
        }
        check_columns(model, &schema)?;
        for table in model.tables_made(&schema) {
            let name = TableRef { schema: None, name: table.0 };
            self.catalog.replace(&name, Arc::new(EmptyTable::new(table.1)))?;
        }
        let doubts = texts_misread(model, &self.catalog.model_as_written(model).await?)?;
        Ok((schema, doubts))
    }

    /// The tests of a sound model that cannot run.
    async fn tests(
        &self,
        model: &Model,
        vars: &BTreeMap<String, VarValue>,
    ) -> Vec<(usize, TransformError)> {
        let Some(CheckOutcome::Sound { .. }) = self.of(model.name()) else { return Vec::new() };
        let times = self.catalog.tables.times.get(model.name());
        let values = literals(vars, Some(times));
        let mut wrong = Vec::new();
        for (position, test) in model.config.tests.iter().enumerate() {
            let query = match query_of(model, test, times.run_started_at) {
                Ok(query) => query,
                Err(error) => {
                    wrong.push((position, error));
                    continue;
                }
            };
            if query.tables.keys().any(|table| self.is_open(table)) {
                continue;
            }
            if let Err(error) = self.catalog.plan(&query, &values).await {
                wrong.push((position, error));
            }
        }
        wrong
    }

    /// Whether too little is known of a table to say that a test of it is wrong.
    fn is_open(&self, table: &TableRef) -> bool {
        if let Some(name) = base_table(table) {
            return match self.known.get(&name) {
                Some(known) => !known.names_are_sure || !known.types_are_sure,
                None => OPEN_SCHEMAS.contains(&name.schema()),
            };
        }
        let Some(owner) = self.models.owner(table) else { return false };
        let tables: BTreeSet<TableName> = self.models.tables_read(owner.name());
        !matches!(self.of(owner.name()), Some(CheckOutcome::Sound { .. }))
            || tables.iter().filter_map(|table| self.known.get(table)).any(|t| !t.types_are_sure)
    }
}

/// The places where a text is compared with a number, a date or the like.
///
/// # Errors
/// A text that stands in the query and is none.
fn texts_misread(model: &Model, plan: &LogicalPlan) -> Result<Vec<TransformError>, TransformError> {
    let mut doubts = Vec::new();
    for TextRead { place, unreadable, data_type } in texts_read(plan) {
        let place = place.or(model.query.start());
        if let Some(text) = unreadable {
            let problem =
                format!("'{text}' is compared with a value of type `{data_type}`, and is none");
            return Err(sql_error(model.file(), place, problem));
        }
        let problem = format!(
            "A text is compared with a value of type `{data_type}`: the first text that is none \
             stops the model; write `cast(… as text)` around the other, or \
             `try_cast(… as {})` around the text",
            sql_type(&data_type)
        );
        doubts.push(sql_error(model.file(), place, problem));
    }
    Ok(doubts)
}

/// What a type is called in a cast.
fn sql_type(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Timestamp(..) => "timestamp",
        DataType::Boolean => "boolean",
        data_type if data_type.is_integer() => "bigint",
        _ => "double",
    }
}

/// Schemas whose tables appear as runs go by: one that is not known may come.
const OPEN_SCHEMAS: [&str; 3] = ["hubspot", "usage", "system"];
