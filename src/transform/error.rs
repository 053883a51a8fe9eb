//! What can fail between a model's file and its table.

use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use crate::lake::LakeError;

/// How many names an error lists before it stops.
const LISTED_NAMES: usize = 100;

/// Why a model or a query did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransformError {
    /// The SQL is wrong, or names what is not there.
    #[error("{}", sql_text(origin, *line, problem))]
    Sql {
        /// The model's file, or `query` for a query typed by hand.
        origin: PathBuf,
        /// The line, where it is known.
        line: Option<u64>,
        /// What is wrong, and which names are right.
        problem: String,
        /// The engine's own words, where it found the mistake.
        source: Option<Box<DataFusionError>>,
    },
    /// Models that read each other in a ring.
    #[error("Models read each other in a ring: `{}`", path.join("` -> `"))]
    Cycle {
        /// The ring; first and last are the same model.
        path: Vec<String>,
    },
    /// A column of a model has a type that lake tables do not hold.
    #[error("Column `{column}` of model `{model}` has type `{data_type}`: {advice}")]
    ColumnType {
        /// The model.
        model: String,
        /// The column.
        column: String,
        /// Its type.
        data_type: String,
        /// What to write instead.
        advice: String,
    },
    /// A column of a model has no usable name.
    #[error("Column {position} of model `{model}` is called `{column}`: {advice}")]
    ColumnName {
        /// The model.
        model: String,
        /// The column's position, from one.
        position: usize,
        /// The name the engine gave it.
        column: String,
        /// What to write instead.
        advice: &'static str,
    },
    /// A setting names a column that the model does not have.
    #[error(
        "`{setting}` names the column `{column}`, which model `{model}` does not have; {}",
        listed(known)
    )]
    MissingColumn {
        /// The model.
        model: String,
        /// The setting, such as `key` or `tests[0]`.
        setting: String,
        /// The column it names.
        column: String,
        /// The columns there are.
        known: Vec<String>,
    },
    /// Rows of a model cannot be told apart by its key.
    #[error(
        "The key `{}` of model `{model}` does not identify its rows: {}; to see them: `{query}`",
        key.join(", "), key_trouble(*nulls, *duplicates)
    )]
    Key {
        /// The model.
        model: String,
        /// Its key columns.
        key: Vec<String>,
        /// Rows with a null in the key.
        nulls: u64,
        /// Rows whose key an earlier row has too.
        duplicates: u64,
        /// A query that shows the rows.
        query: String,
    },
    /// The query needs more memory than it may use.
    #[error("{what} needs more memory than `engine.memory_limit` allows")]
    Memory {
        /// The model or query.
        what: String,
        /// What the engine was doing.
        source: Box<DataFusionError>,
    },
    /// The query failed on the data it met. The engine's own words are left
    /// out, because they quote values.
    #[error("{what} failed while it ran: {reason}")]
    Execution {
        /// The model or query.
        what: String,
        /// What kind of thing went wrong.
        reason: &'static str,
    },
    /// The engine found no way to run the query.
    #[error("{what} cannot be run")]
    Plan {
        /// The model or query.
        what: String,
        /// Why not.
        source: Box<DataFusionError>,
    },
    /// Something that the query reads could not be read.
    #[error("{what} failed while it read its tables")]
    Read {
        /// The model or query.
        what: String,
        /// What the storage or the format said.
        source: Box<DataFusionError>,
    },
    /// A temporary file could not be written or read.
    #[error("Temporary file for model `{model}` failed")]
    Staging {
        /// The model.
        model: String,
        /// What the system or the format said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The lake refused or failed.
    #[error("The lake failed for {what}")]
    Lake {
        /// The model or table.
        what: String,
        /// What it said.
        source: Box<LakeError>,
    },
}

impl TransformError {
    /// What to do next, as one sentence.
    pub fn advice(&self) -> String {
        match self {
            Self::Sql { .. } => "Correct the SQL and run `hublake check`".into(),
            Self::Cycle { .. } => "Take one of the references out, or merge the models".into(),
            Self::ColumnType { .. } | Self::ColumnName { .. } => {
                "Correct the model's `select` list and run `hublake check`".into()
            }
            Self::MissingColumn { .. } => {
                "Correct the setting, or add the column to the model's `select`".into()
            }
            Self::Key { .. } => {
                "Make the query return one row per key, or choose another `key`".into()
            }
            Self::Memory { .. } => {
                "Raise `engine.memory_limit`, lower `engine.threads`, or select fewer columns"
                    .into()
            }
            Self::Execution { .. } => {
                "Correct the values, or make the query robust (`try_cast`, `nullif`)".into()
            }
            Self::Plan { .. } => "Write the query another way".into(),
            Self::Read { .. } => "Check that the files are readable and complete".into(),
            Self::Staging { .. } => {
                "Make room in the temporary folder, or set `TMPDIR` to another".into()
            }
            Self::Lake { source, .. } => source.advice(),
        }
    }

    /// Whether settings or SQL must be changed before a run can succeed.
    pub fn is_settings(&self) -> bool {
        matches!(
            self,
            Self::Sql { .. }
                | Self::Cycle { .. }
                | Self::ColumnType { .. }
                | Self::ColumnName { .. }
                | Self::MissingColumn { .. }
        )
    }

    pub(super) fn lake(what: &str, source: LakeError) -> Self {
        Self::Lake { what: format!("`{what}`"), source: Box::new(source) }
    }

    /// A failure while rows were being computed.
    pub(super) fn running(what: &str, error: DataFusionError) -> Self {
        let what = what.to_owned();
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => {
                Self::Memory { what, source: Box::new(error) }
            }
            DataFusionError::ObjectStore(_)
            | DataFusionError::IoError(_)
            | DataFusionError::ParquetError(_)
            | DataFusionError::External(_) => Self::Read { what, source: Box::new(error) },
            // Plans know no values, only SQL.
            DataFusionError::Plan(_)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::SchemaError(..) => Self::Plan { what, source: Box::new(error) },
            DataFusionError::ArrowError(error, _) => {
                Self::Execution { what, reason: reason_of(error) }
            }
            DataFusionError::Internal(_) => Self::Execution {
                what,
                reason: "the SQL engine met a fault of its own; please report the query",
            },
            _ => Self::Execution { what, reason: "an expression does not work for a value it met" },
        }
    }
}

fn reason_of(error: &ArrowError) -> &'static str {
    match error {
        ArrowError::CastError(_) | ArrowError::ParseError(_) => {
            "a value cannot be read as the type it is cast to"
        }
        ArrowError::DivideByZero => "a division by zero",
        ArrowError::ArithmeticOverflow(_) => "a number outgrew its type",
        ArrowError::CsvError(_) => "a line of a CSV file does not fit its columns",
        ArrowError::JsonError(_) => "a line of a JSON file does not fit its columns",
        _ => "an expression does not work for a value it met",
    }
}

fn sql_text(origin: &Path, line: Option<u64>, problem: &str) -> String {
    match line {
        Some(line) => format!("{}:{line}: {problem}", origin.display()),
        None => format!("{}: {problem}", origin.display()),
    }
}

fn key_trouble(nulls: u64, duplicates: u64) -> String {
    let nulls = (nulls > 0).then(|| format!("rows with a null in it: {nulls}"));
    let duplicates =
        (duplicates > 0).then(|| format!("rows that repeat an earlier row's: {duplicates}"));
    nulls.into_iter().chain(duplicates).collect::<Vec<_>>().join(", ")
}

/// `known: …`, cut where a list stops being of help.
pub(super) fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "there are none".into();
    }
    let shown = names[..names.len().min(LISTED_NAMES)].join("`, `");
    match names.len().saturating_sub(LISTED_NAMES) {
        0 => format!("known: `{shown}`"),
        more => format!("known: `{shown}` and {more} more"),
    }
}
