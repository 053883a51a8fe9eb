//! The engine's complaints about SQL, as a person can use them: file, line,
//! and the names that would have been right.

use std::path::Path;

use datafusion::common::{Column, Location, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;

use super::TransformError;
use super::error::{UNKNOWN_COLUMN, listed};
use super::misfit::misfit;
use super::nearest::nearest;
use super::query::{Query, SqlPlace};

/// A mistake that hublake found itself.
pub(super) fn sql_error(
    origin: &Path,
    place: impl Into<Option<SqlPlace>>,
    problem: impl Into<String>,
) -> TransformError {
    TransformError::Sql {
        origin: origin.to_owned(),
        place: place.into(),
        problem: problem.into(),
        source: None,
    }
}

/// A mistake that the engine found while parsing or planning. Nothing has
/// been computed yet, so its words quote SQL only, never data.
pub(super) fn planning_error(origin: &Path, error: DataFusionError) -> TransformError {
    let (problem, place) = describe(&error);
    let place = place.or_else(|| diagnostic_place(&error)).or_else(|| place_in_words(&error));
    // A mistake that is fully told needs no second telling underneath.
    let source = problem.is_none().then(|| Box::new(strip(error)));
    let problem = problem.unwrap_or_else(|| "The SQL is not valid".into());
    TransformError::Sql { origin: origin.to_owned(), place, problem, source }
}

/// The same for a query whose text is known, and its plan if there is one: a
/// mistake for which the engine gives no place is looked for in both.
pub(super) fn located_error(
    query: &Query,
    plan: Option<&LogicalPlan>,
    error: DataFusionError,
) -> TransformError {
    let call = named_call(&error.to_string()).and_then(|name| query.place_of_call(&name));
    match planning_error(query.origin(), error) {
        TransformError::Sql { origin, place: None, problem, source } => {
            let place = plan.and_then(misfit).or(call);
            TransformError::Sql { origin, place, problem, source }
        }
        located => located,
    }
}

/// The function that an error is about: it stands in quotes, with or without
/// its arguments.
fn named_call(error: &str) -> Option<String> {
    let (_, quoted) = error.split_once('\'')?;
    let name = quoted.split(['\'', '(']).next()?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then(|| name.to_owned())
}

/// What is wrong in our own words, for the mistakes we have words for.
fn describe(error: &DataFusionError) -> (Option<String>, Option<SqlPlace>) {
    let DataFusionError::SchemaError(schema_error, _) = error.find_root() else {
        return (misfitting_call(&error.to_string()), None);
    };
    match schema_error.as_ref() {
        SchemaError::FieldNotFound { field, valid_fields } => {
            (Some(unknown_column(field, valid_fields)), column_place(field))
        }
        SchemaError::AmbiguousReference { field } => {
            let name = field.name();
            let problem =
                format!("`{name}` is a column of more than one table here: write `table.{name}`");
            (Some(problem), column_place(field))
        }
        SchemaError::DuplicateUnqualifiedField { name }
        | SchemaError::DuplicateQualifiedField { name, .. } => {
            (Some(format!("Two columns are called `{name}`: rename one with `as`")), None)
        }
    }
}

/// How the engine ends what it takes for its own fault.
const ENGINE_FAULT: &str = "This issue was likely caused by a bug in DataFusion";

/// A call with values of a type that the function does not take. While a query
/// is planned the engine calls that its own fault, and it is the query's.
fn misfitting_call(error: &str) -> Option<String> {
    let (told, _) = error.split_once(ENGINE_FAULT)?;
    let given = || {
        let (_, after) = told.split_once("DataType: ")?;
        after.split([')', ',', '\n']).next().map(str::trim)
    };
    let (Some(function), Some(given)) = (named_call(told), given()) else {
        let told = told.split("Internal error: ").collect::<String>();
        return Some(told.trim().trim_end_matches('.').to_owned());
    };
    Some(format!(
        "`{function}` takes no value of type `{given}`: cast it, for example \
         `try_cast(… as double)`"
    ))
}

fn unknown_column(field: &Column, valid: &[Column]) -> String {
    let names: Vec<String> = valid.iter().map(|column| column.name().to_owned()).collect();
    let meant = nearest(field.name(), names.iter().map(String::as_str));
    let advice = meant.map_or(String::new(), |name| format!("did you mean `{name}`? "));
    format!("{UNKNOWN_COLUMN} `{}`: {advice}{}", field.flat_name(), listed(&names))
}

pub(super) fn column_place(column: &Column) -> Option<SqlPlace> {
    column.spans().first().and_then(|span| place(&span.start))
}

fn diagnostic_place(error: &DataFusionError) -> Option<SqlPlace> {
    match error {
        DataFusionError::Collection(errors) => errors.iter().find_map(diagnostic_place),
        error => error.diagnostic()?.span.and_then(|span| place(&span.start)),
    }
}

fn place(start: &Location) -> Option<SqlPlace> {
    (start.line > 0).then_some(SqlPlace { line: start.line, column: start.column })
}

/// The parser gives its place in words only: `… at Line: 3, Column: 5`.
fn place_in_words(error: &DataFusionError) -> Option<SqlPlace> {
    let DataFusionError::SQL(parser_error, _) = error.find_root() else { return None };
    let text = parser_error.to_string();
    let number = |word: &str| -> Option<u64> {
        let (_, after) = text.rsplit_once(word)?;
        after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Some(SqlPlace { line: number("Line: ")?, column: number("Column: ")? })
}

/// Without the place and the wrapping that we have said ourselves.
fn strip(error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => strip(*inner),
        DataFusionError::Collection(mut errors) if !errors.is_empty() => {
            strip(errors.swap_remove(0))
        }
        other => other,
    }
}
