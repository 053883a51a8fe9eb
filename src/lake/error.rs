//! What can fail in the lake, and what to do about it.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use url::Url;

use super::lock::Holder;

/// An error from below this room.
type Source = Box<dyn Error + Send + Sync + 'static>;

/// Why the lake could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LakeError {
    /// A setting of the section `lake:` cannot be right.
    #[error("Setting `{field}` {problem}")]
    Settings {
        /// The field's path, `lake.url`
        field: String,
        /// What is wrong with it, as the rest of the sentence
        problem: String,
        /// What made it fail, if anything did
        source: Option<Source>,
    },
    /// The place cannot be written: permissions, a full disk, a missing bucket.
    #[error("Lake `{url}` cannot be written")]
    NotWritable {
        /// Root of the lake, or the table's URL
        url: String,
        /// What the store said
        source: Source,
    },
    /// Another run holds the pipeline's lock.
    #[error("The lake is locked (`{pipeline}`) by {holder}")]
    Locked {
        /// The pipeline
        pipeline: String,
        /// Who holds it
        holder: Holder,
    },
    /// The object store failed or did not answer.
    #[error("Storage at `{url}` failed")]
    Store {
        /// What was being read or written
        url: String,
        /// What the store said
        source: Source,
    },
    /// A file or folder on this machine failed.
    #[error("File `{}` failed", path.display())]
    File {
        /// The file
        path: PathBuf,
        /// What the system said
        source: io::Error,
    },
    /// Delta, Parquet or Arrow refused or broke.
    #[error("Table `{table}` at `{url}` failed while {doing}")]
    Table {
        /// SQL name of the table
        table: String,
        /// Where it lies
        url: String,
        /// What was being done
        doing: &'static str,
        /// The cause
        source: Source,
    },
    /// Someone else wrote the table meanwhile, again and again.
    #[error("Table `{table}` at `{url}` was written by someone else meanwhile")]
    Conflict {
        /// SQL name of the table
        table: String,
        /// Where it lies
        url: String,
        /// What the log said
        source: Source,
    },
    /// A column has a type that lake tables do not hold.
    #[error("Column `{column}` of table `{table}` has type `{data_type}`: {advice}")]
    UnsupportedType {
        /// SQL name of the table
        table: String,
        /// The column
        column: String,
        /// Its Arrow type
        data_type: String,
        /// The cast to write
        advice: String,
    },
    /// A column that the table does not have.
    #[error("Table `{table}` has no column `{column}`; it has {}", listed(known))]
    UnknownColumn {
        /// SQL name of the table
        table: String,
        /// The name that is wrong
        column: String,
        /// The names that are right
        known: Vec<String>,
    },
    /// A column's type differs from the table's.
    #[error("Column `{column}` of table `{table}` is `{expected}`, not `{found}`")]
    WrongType {
        /// SQL name of the table
        table: String,
        /// The column
        column: String,
        /// The table's type
        expected: String,
        /// The type that came
        found: String,
    },
    /// A key column held a null.
    #[error("Key column `{column}` of table `{table}` holds a null in {rows} of the rows to merge")]
    NullKey {
        /// SQL name of the table
        table: String,
        /// The key column
        column: String,
        /// How many rows
        rows: u64,
    },
    /// A key came in two parts of one merge.
    #[error("A key came twice, in two parts of one merge into table `{table}`")]
    RepeatedKey {
        /// SQL name of the table
        table: String,
    },
    /// The table has no key, so rows cannot be merged or looked up.
    #[error("Table `{table}` has no key")]
    NoKey {
        /// SQL name of the table
        table: String,
    },
    /// A table's key or partition columns differ from what the table was made with.
    #[error("Table `{table}` was made with {what} {stored:?}, not {wanted:?}")]
    LayoutDiffers {
        /// SQL name of the table
        table: String,
        /// `key` or `partition columns`
        what: &'static str,
        /// What the table has
        stored: Vec<String>,
        /// What was asked for
        wanted: Vec<String>,
    },
    /// A version that is not, or no longer, there.
    #[error("Table `{table}` has no version {wanted} any more, or yet")]
    NoSuchVersion {
        /// SQL name of the table
        table: String,
        /// The version or time asked for
        wanted: String,
        /// When the table's past was removed for privacy (ms since 1970 UTC)
        purged_at: Option<i64>,
        /// The cause
        source: Option<Source>,
    },
    /// The lease ran out or was taken over: the holder must stop writing.
    #[error("The lease on pipeline `{pipeline}` is lost")]
    LeaseLost {
        /// The pipeline
        pipeline: String,
    },
}

/// A time in ms since 1970, as people write it.
fn utc_text(millis: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl LakeError {
    /// Whether the same call may succeed later with nothing changed by hand.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Locked { .. } | Self::Conflict { .. } | Self::LeaseLost { .. } => true,
            Self::Store { source, .. } | Self::Table { source, .. } => is_passing(source.as_ref()),
            _ => false,
        }
    }

    /// What to do next, as one sentence for a person.
    pub fn advice(&self) -> String {
        let advice = match self {
            Self::Settings { .. } => "Correct the setting in `hublake.yml`",
            Self::NotWritable { .. } => {
                "Check permissions and free space at that place, or point `lake.url` elsewhere"
            }
            Self::Locked { .. } => "Wait for the other run to end, then run again",
            Self::Conflict { .. } | Self::LeaseLost { .. } => "Run again",
            Self::Store { .. } | Self::Table { .. } if self.is_retryable() => {
                "Check that the store can be reached, then run again"
            }
            Self::Store { .. } => "Check `lake.url` and `lake.options`",
            Self::File { .. } => "Check that the file is there and can be read",
            Self::Table { .. } => {
                "If the table was not harmed from outside, report this with the causes shown"
            }
            Self::UnsupportedType { .. } => "Cast the column in SQL",
            Self::UnknownColumn { .. } | Self::WrongType { .. } => {
                "Check the columns against the table's, or open the table with the new ones first"
            }
            Self::NullKey { .. } => "Leave out rows without a key, or choose another key",
            Self::RepeatedKey { .. } => "Make the key unique, or merge in one part",
            Self::NoKey { .. } | Self::LayoutDiffers { .. } => {
                "Choose another name for the table, or restore its former layout"
            }
            Self::NoSuchVersion { purged_at: Some(at), .. } => {
                return format!(
                    "A privacy purge removed every version before {}; choose a later one",
                    utc_text(*at)
                );
            }
            Self::NoSuchVersion { .. } => {
                "Choose a later one: old versions are kept for `lake.history_days`, and fewer days where they would take more than `lake.history_times` allows"
            }
        };
        advice.to_owned()
    }

    /// An error of the store while reading or writing at `url`.
    pub(super) fn store(url: impl Into<String>, source: impl Into<Source>) -> Self {
        let (url, source) = (url.into(), source.into());
        if is_refusal(source.as_ref()) {
            return Self::NotWritable { url, source };
        }
        Self::Store { url, source }
    }
}

/// The table an error is about, for code that is not a method of it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// SQL name
    pub(super) table: String,
    /// Root of the table
    pub(super) url: Url,
}

impl Place {
    /// Wraps a cause, for `map_err`; `doing` ends the sentence "failed while".
    pub(super) fn failed<E: Into<Source>>(
        &self,
        doing: &'static str,
    ) -> impl FnOnce(E) -> LakeError + use<'_, E> {
        move |source| {
            let (url, source) = (self.url.to_string(), source.into());
            if is_refusal(source.as_ref()) {
                return LakeError::NotWritable { url, source };
            }
            LakeError::Table { table: self.table.clone(), url, doing, source }
        }
    }
}

/// A full disk, a missing permission, a read-only place: waiting does not help.
fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return matches!(
                io.kind(),
                ErrorKind::PermissionDenied
                    | ErrorKind::StorageFull
                    | ErrorKind::QuotaExceeded
                    | ErrorKind::ReadOnlyFilesystem
            );
        }
        matches!(
            cause.downcast_ref::<object_store::Error>(),
            Some(
                object_store::Error::PermissionDenied { .. }
                    | object_store::Error::Unauthenticated { .. }
            )
        )
    })
}

/// The store did not answer as it should, and may next time.
fn is_passing(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        matches!(
            cause.downcast_ref::<object_store::Error>(),
            Some(object_store::Error::Generic { .. })
        )
    })
}

/// The error and everything under it. `io::Error` hides the error it wraps from
/// `source`, so that one is looked for inside.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.get_ref().map(|inner| inner as &(dyn Error + 'static));
        }
        error.source()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(kind: ErrorKind) -> Source {
        let store = object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(io::Error::from(kind)),
        };
        Box::new(io::Error::other(store))
    }

    #[test]
    fn a_full_disk_is_found_under_every_wrapping() {
        let error = LakeError::store("file:///lake/", wrapped(ErrorKind::StorageFull));
        assert!(matches!(error, LakeError::NotWritable { .. }));
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("`file:///lake/`"));
    }

    #[test]
    fn a_store_that_does_not_answer_may_be_tried_again() {
        let error = LakeError::store("s3://b/", wrapped(ErrorKind::TimedOut));
        assert!(matches!(error, LakeError::Store { .. }));
        assert!(error.is_retryable());
    }

    #[test]
    fn right_names_are_listed() {
        let error = LakeError::UnknownColumn {
            table: "hubspot.contacts".into(),
            column: "emial".into(),
            known: vec!["id".into(), "email".into()],
        };
        let text = "Table `hubspot.contacts` has no column `emial`; it has `id`, `email`";
        assert_eq!(error.to_string(), text);
    }
}
