//! What can go wrong in the load room.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use super::guards::GuardVerdict;
use crate::hubspot;
use crate::lake::LakeError;

/// Why wanted rows could not be planned or applied. A refused row is no error:
/// it is an outcome.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The settings of a write-back cannot work, in itself or with this account.
    #[error("Write-back `{write_back}` cannot work: `{path}`: {problem}")]
    Settings {
        /// The write-back.
        write_back: String,
        /// The field, from the write-back down.
        path: String,
        /// What is wrong, and what to write instead.
        problem: String,
    },
    /// The model lacks a column that the write-back names.
    #[error(
        "Write-back `{write_back}` wants column `{column}`, and its model has only {}",
        listed(known)
    )]
    MissingColumn {
        /// The write-back.
        write_back: String,
        /// The column that is not there.
        column: String,
        /// The columns that are.
        known: Vec<String>,
    },
    /// The object has never been extracted, so there is nothing to compare with.
    #[error("Object `{object}` has no mirror yet: extract it before planning a write-back to it")]
    NoMirror {
        /// The object type.
        object: String,
    },
    /// No stored plan of this run and write-back.
    #[error("Run `{run_id}` has stored no plan for write-back `{write_back}`")]
    NoPlan {
        /// The run.
        run_id: String,
        /// The write-back.
        write_back: String,
    },
    /// This plan, or a newer one of the same write-back, has been applied before.
    #[error(
        "The plan of run `{run_id}` for write-back `{write_back}` is out of date: it or a newer one was applied \
         before. Make a new plan"
    )]
    PlanOutOfDate {
        /// The run.
        run_id: String,
        /// The write-back.
        write_back: String,
    },
    /// A guard stops the write-back.
    #[error("Guard `{}` stops write-back `{write_back}`: {}", verdict.guard, verdict.sentence)]
    Guard {
        /// The write-back.
        write_back: String,
        /// What the guard says.
        verdict: GuardVerdict,
    },
    /// The caller stopped the planning.
    #[error("Planning write-back `{write_back}` was stopped before its end")]
    Interrupted {
        /// The write-back.
        write_back: String,
    },
    /// HubSpot failed or refused a whole call.
    #[error("HubSpot failed while {doing}")]
    HubSpot {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: hubspot::Error,
    },
    /// The lake failed.
    #[error("The lake failed while {doing}")]
    Lake {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: LakeError,
    },
    /// Rows could not be read, converted or spilled.
    #[error("Rows could not be handled while {doing}")]
    Data {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn listed(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "no columns".into() } else { quoted.join(", ") }
}

/// Says what was being done when something below failed.
pub(crate) trait While<T> {
    /// The same result with the failure placed.
    fn during(self, doing: &'static str) -> Result<T, LoadError>;
}

impl<T> While<T> for Result<T, hubspot::Error> {
    fn during(self, doing: &'static str) -> Result<T, LoadError> {
        self.map_err(|source| LoadError::HubSpot { doing, source })
    }
}

impl<T> While<T> for Result<T, LakeError> {
    fn during(self, doing: &'static str) -> Result<T, LoadError> {
        self.map_err(|source| LoadError::Lake { doing, source })
    }
}

macro_rules! data_failures {
    ($($error:ty),+) => {$(
        impl<T> While<T> for Result<T, $error> {
            fn during(self, doing: &'static str) -> Result<T, LoadError> {
                self.map_err(|source| LoadError::Data { doing, source: source.into() })
            }
        }
    )+};
}

data_failures!(
    ArrowError,
    DataFusionError,
    serde_json::Error,
    std::io::Error,
    tokio::task::JoinError
);
