//! What can fail between a model's file and its table.

use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use super::nearest::nearest;
use super::query::SqlPlace;
use crate::lake::LakeError;

/// How many names an error lists before it stops.
const LISTED_NAMES: usize = 100;

/// Why a model or a query did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransformError {
    /// The SQL is wrong, or names what is not there.
    #[error("{}", sql_text(origin, *place, problem))]
    Sql {
        /// The model's file, or `query` for a query typed by hand.
        origin: PathBuf,
        /// Where in it, if that is known.
        place: Option<SqlPlace>,
        /// What is wrong, and which names are right.
        problem: String,
        /// The engine's own words, where it found the mistake.
        source: Option<Box<DataFusionError>>,
    },
    /// Models that read each other in a ring.
    #[error("{}", cycle_text(ring))]
    Cycle {
        /// Each model of the ring; it reads the next, and the last the first.
        ring: Vec<RingStep>,
    },
    /// A column of a model has a type that lake tables do not hold.
    #[error(
        "{}Column `{column}` of model `{model}` has type `{data_type}`, which other engines cannot \
         read: {advice}",
        at.prefix()
    )]
    ColumnType {
        /// The model.
        model: String,
        /// Where the column is selected.
        at: Box<SqlSpot>,
        /// The column.
        column: String,
        /// Its type.
        data_type: String,
        /// What to write instead.
        advice: String,
    },
    /// A column of a model has no usable name.
    #[error(
        "{}Column {position} of model `{model}` is called `{column}`: {advice}",
        at.prefix()
    )]
    ColumnName {
        /// The model.
        model: String,
        /// Where the column is selected.
        at: Box<SqlSpot>,
        /// The column's position, from one.
        position: usize,
        /// The name the engine gave it.
        column: String,
        /// What to write instead.
        advice: &'static str,
    },
    /// A setting names a column that the model does not have.
    #[error(
        "`{setting}` names the column `{column}`, which model `{model}` does not have: {}",
        meant(column, known)
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
    /// A test asks of a column what its type does not have.
    #[error(
        "`{setting}` needs a column of {needed}, and `{column}` of model `{model}` is `{data_type}`"
    )]
    TestColumn {
        /// The model.
        model: String,
        /// The setting, such as `tests[0].fresh_within.column`.
        setting: String,
        /// The column it names.
        column: String,
        /// The column's type.
        data_type: String,
        /// The types that would do.
        needed: &'static str,
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
    /// What does not fit in memory does not fit in the spill folder either.
    #[error("{what} needs more room on disk than it may have")]
    SpillSpace {
        /// The model or query.
        what: String,
        /// How much there was.
        source: Box<DataFusionError>,
    },
    /// The spill folder cannot be used.
    #[error("The folder `{}` of `engine.spill_folder` cannot be used", folder.display())]
    SpillFolder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: std::io::Error,
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
    /// The engine stopped at a fault of its own.
    #[error("{what} met a fault of the SQL engine itself")]
    EngineFault {
        /// The model or query.
        what: String,
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

/// A place in a file of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlSpot {
    /// The file, relative to the project.
    pub file: PathBuf,
    /// Where in it, if that is known.
    pub place: Option<SqlPlace>,
}

impl SqlSpot {
    fn prefix(&self) -> String {
        place_text(&self.file, self.place)
    }
}

/// One model of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingStep {
    /// The model.
    pub model: String,
    /// Its file, relative to the project.
    pub file: PathBuf,
    /// Where it names the next.
    pub place: Option<SqlPlace>,
}

impl RingStep {
    fn shown(&self) -> String {
        match self.place {
            Some(place) => format!("{}:{place}", self.file.display()),
            None => self.file.display().to_string(),
        }
    }
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
            Self::TestColumn { .. } => "Name another column, or cast it in the model".into(),
            Self::MissingColumn { .. } => {
                "Correct the setting, or add the column to the model's `select`".into()
            }
            Self::Key { .. } => {
                "Make the query return one row per key, or choose another `key`".into()
            }
            Self::Memory { .. } => {
                "Raise `engine.memory_limit`, lower `engine.threads` (each needs a share), or select \
                 fewer columns"
                    .into()
            }
            Self::SpillSpace { .. } => {
                "Make room in the folder or name a larger one in `engine.spill_folder`, raise \
                 `engine.spill_limit`, or raise `engine.memory_limit` so that less is spilled"
                    .into()
            }
            Self::SpillFolder { .. } => {
                "Name a folder that can be written in `engine.spill_folder`".into()
            }
            Self::Execution { .. } => {
                "Correct the values, or make the query robust (`try_cast`, `nullif`)".into()
            }
            Self::EngineFault { .. } => {
                "Raise `engine.memory_limit`, or join by an equality: a join without one is known \
                 to end so when it does not fit in memory; else please report the query"
                    .into()
            }
            Self::Plan { .. } => "Write the query another way".into(),
            Self::Read { .. } => "Check that the files are readable and complete".into(),
            Self::Staging { .. } => {
                "Make room in the temporary folder, or name another in `engine.spill_folder`".into()
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
                | Self::TestColumn { .. }
                | Self::SpillFolder { .. }
        )
    }

    /// The file of SQL that the mistake is in, where it is in one, and the place.
    pub fn place(&self) -> Option<(&Path, Option<SqlPlace>)> {
        match self {
            Self::Sql { origin, place, .. } => Some((origin, *place)),
            Self::ColumnType { at, .. } | Self::ColumnName { at, .. } => Some((&at.file, at.place)),
            Self::Cycle { ring } => ring.first().map(|step| (step.file.as_path(), step.place)),
            _ => None,
        }
    }

    /// The mistake and its cause in one sentence, without the file and place
    /// that [`TransformError::place`] gives.
    pub fn told(&self) -> String {
        match self {
            Self::Sql { problem, source, .. } => match source {
                Some(cause) => format!("{problem}: {}", cause.strip_backtrace()),
                None => problem.clone(),
            },
            Self::ColumnType { at, .. } | Self::ColumnName { at, .. } => {
                let text = self.to_string();
                text.strip_prefix(&at.prefix()).map_or(text.clone(), str::to_owned)
            }
            other => other.to_string(),
        }
    }

    /// The setting below the model's that the mistake is about.
    pub fn setting(&self) -> Option<&str> {
        match self {
            Self::MissingColumn { setting, .. } | Self::TestColumn { setting, .. } => Some(setting),
            _ => None,
        }
    }

    /// The name, without its table, that was looked for among columns and not
    /// found.
    pub(super) fn unknown_column(&self) -> Option<&str> {
        let Self::Sql { problem, source: None, .. } = self else { return None };
        let quoted = problem.strip_prefix(UNKNOWN_COLUMN)?.strip_prefix(" `")?;
        let (name, _) = quoted.split_once('`')?;
        name.rsplit('.').next()
    }

    pub(super) fn lake(what: &str, source: LakeError) -> Self {
        Self::Lake { what: format!("`{what}`"), source: Box::new(source) }
    }

    /// A failure while rows were being computed.
    pub(super) fn running(what: &str, error: DataFusionError) -> Self {
        let what = what.to_owned();
        if is_out_of_room(&error) {
            return Self::SpillSpace { what, source: Box::new(error) };
        }
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

/// The engine only says in words which of its limits was reached.
const SPILL_LIMIT: &str = "used disk space during the spilling process";

/// Whether a disk, or what the engine may use of it, is full.
fn is_out_of_room(error: &DataFusionError) -> bool {
    use std::io::ErrorKind;
    let first: &(dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |error| error.source());
    causes.any(|cause| {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
            || cause.to_string().contains(SPILL_LIMIT)
    })
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

/// How an error about a column that is not there begins.
pub(super) const UNKNOWN_COLUMN: &str = "Unknown column";

fn sql_text(origin: &Path, place: Option<SqlPlace>, problem: &str) -> String {
    format!("{}{problem}", place_text(origin, place))
}

fn place_text(origin: &Path, place: Option<SqlPlace>) -> String {
    match place {
        Some(place) => format!("{}:{place}: ", origin.display()),
        None => format!("{}: ", origin.display()),
    }
}

/// The ring, and where each of its models names the next.
fn cycle_text(ring: &[RingStep]) -> String {
    let path: Vec<_> = ring.iter().chain(ring.first()).map(|step| step.model.as_str()).collect();
    let places: Vec<_> = ring.iter().map(RingStep::shown).collect();
    format!("Models read each other in a ring: `{}` ({})", path.join("` -> `"), places.join(", "))
}

/// The column that was probably meant, and all that there are.
fn meant(column: &str, known: &[String]) -> String {
    let near = nearest(column, known.iter().map(String::as_str));
    let hint = near.map_or(String::new(), |name| format!("did you mean `{name}`? "));
    format!("{hint}{}", listed(known))
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
