use datafusion::error::DataFusionError;

use crate::lake::LakeError;

/// Why a usage source cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no file where the source should be.
    #[error("Source `{source_name}` is absent: there is no {kind} file at `{location}`")]
    Absent {
        /// The source.
        source_name: String,
        /// `Parquet`, `CSV` or `NDJSON`.
        kind: &'static str,
        /// Where it was looked for.
        location: String,
    },
    /// There are files, and no row in any of them.
    #[error("Source `{source_name}` is empty: the files at `{location}` hold no row")]
    Empty {
        /// The source.
        source_name: String,
        /// Where it was looked for.
        location: String,
    },
    /// The files of a folder cannot be read as one table.
    #[error("Source `{source_name}` at `{location}` mixes files ending in `{}`", endings.join("` and `"))]
    Mixed {
        /// The source.
        source_name: String,
        /// Where it lies.
        location: String,
        /// The endings found.
        endings: Vec<String>,
    },
    /// A setting names a column that the files do not have.
    #[error(
        "`sources.{source_name}.types` names the column `{column}`, which is not in the files; they have `{}`",
        known.join("`, `")
    )]
    UnknownColumn {
        /// The source.
        source_name: String,
        /// The column named.
        column: String,
        /// The columns there are.
        known: Vec<String>,
    },
    /// A setting of the source cannot be right.
    #[error("Source `{source_name}` has wrong settings: {problem}")]
    Settings {
        /// The source.
        source_name: String,
        /// What is wrong.
        problem: String,
    },
    /// The storage cannot be reached as configured.
    #[error("Storage of source `{source_name}` cannot be reached at `{location}`")]
    Storage {
        /// The source.
        source_name: String,
        /// Where it should be.
        location: String,
        /// What was wrong.
        source: Box<LakeError>,
    },
    /// The files cannot be listed or read.
    #[error("Source `{source_name}` at `{location}` cannot be read")]
    Unreadable {
        /// The source.
        source_name: String,
        /// Where it lies.
        location: String,
        /// What the reader said.
        source: Box<DataFusionError>,
    },
}

impl SourceError {
    /// What to do next, as one sentence.
    pub fn advice(&self) -> String {
        match self {
            Self::Absent { source_name, .. } | Self::Empty { source_name, .. } => format!(
                "Deliver the files, or correct `sources.{source_name}`; nothing that reads the \
                 source is written to HubSpot until then"
            ),
            Self::Mixed { .. } => "Put the files of each kind into a folder of their own".into(),
            Self::UnknownColumn { .. } | Self::Settings { .. } => {
                "Correct the setting and run `hublake check`".into()
            }
            Self::Storage { source, .. } => source.advice(),
            Self::Unreadable { .. } => {
                "Check that the files are complete and that `partition_by` names their folders"
                    .into()
            }
        }
    }
}
