//! The engine's complaints about SQL, as a person can use them: file, line,
//! and the names that would have been right.

use std::path::Path;

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;

use super::TransformError;
use super::error::listed;
use super::nearest::nearest;

/// A mistake that hublake found itself.
pub(super) fn sql_error(
    origin: &Path,
    line: impl Into<Option<u64>>,
    problem: impl Into<String>,
) -> TransformError {
    TransformError::Sql {
        origin: origin.to_owned(),
        line: line.into(),
        problem: problem.into(),
        source: None,
    }
}

/// A mistake that the engine found while parsing or planning. Nothing has
/// been computed yet, so its words quote SQL only, never data.
pub(super) fn planning_error(origin: &Path, error: DataFusionError) -> TransformError {
    let (problem, line) = describe(&error);
    let line = line.or_else(|| diagnostic_line(&error)).or_else(|| line_in_words(&error));
    // A mistake that is fully told needs no second telling underneath.
    let source = problem.is_none().then(|| Box::new(strip(error)));
    let problem = problem.unwrap_or_else(|| "The SQL is not valid".into());
    TransformError::Sql { origin: origin.to_owned(), line, problem, source }
}

/// What is wrong in our own words, for the mistakes we have words for.
fn describe(error: &DataFusionError) -> (Option<String>, Option<u64>) {
    let DataFusionError::SchemaError(schema_error, _) = error.find_root() else {
        return (None, None);
    };
    match schema_error.as_ref() {
        SchemaError::FieldNotFound { field, valid_fields } => {
            (Some(unknown_column(field, valid_fields)), column_line(field))
        }
        SchemaError::AmbiguousReference { field } => {
            let name = field.name();
            let problem =
                format!("`{name}` is a column of more than one table here: write `table.{name}`");
            (Some(problem), column_line(field))
        }
        SchemaError::DuplicateUnqualifiedField { name }
        | SchemaError::DuplicateQualifiedField { name, .. } => {
            (Some(format!("Two columns are called `{name}`: rename one with `as`")), None)
        }
    }
}

fn unknown_column(field: &Column, valid: &[Column]) -> String {
    let names: Vec<String> = valid.iter().map(|column| column.name().to_owned()).collect();
    let meant = nearest(field.name(), names.iter().map(String::as_str));
    let advice = meant.map_or(String::new(), |name| format!("did you mean `{name}`? "));
    format!("Unknown column `{}`: {advice}{}", field.flat_name(), listed(&names))
}

fn column_line(column: &Column) -> Option<u64> {
    column.spans().first().map(|span| span.start.line)
}

fn diagnostic_line(error: &DataFusionError) -> Option<u64> {
    let span = match error {
        DataFusionError::Collection(errors) => errors.iter().find_map(diagnostic_line),
        error => error.diagnostic()?.span.map(|span| span.start.line),
    };
    span.filter(|line| *line > 0)
}

/// The parser gives its place in words only: `… at Line: 3, Column: 5`.
fn line_in_words(error: &DataFusionError) -> Option<u64> {
    let DataFusionError::SQL(parser_error, _) = error.find_root() else { return None };
    let text = parser_error.to_string();
    let (_, after) = text.rsplit_once("Line: ")?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
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
