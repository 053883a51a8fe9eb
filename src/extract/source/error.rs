use datafusion::error::DataFusionError;

use super::BadFile;
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
        /// `Parquet`, `CSV`, `NDJSON` or `Delta`.
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
    /// A file of the source does not parse.
    #[error(
        "Source `{source_name}` has a file that does not parse: {file}{}",
        if *.others > 0 { format!(" (and {} more)", .others) } else { String::new() }
    )]
    BadFile {
        /// The source.
        source_name: String,
        /// The first such file.
        file: BadFile,
        /// How many others there are.
        others: usize,
    },
    /// A database cannot be reached, does not let us in, or has no such table.
    #[error("Source `{source_name}` ({kind}, {location}) cannot be read: {reason}")]
    Database {
        /// The source.
        source_name: String,
        /// `PostgreSQL`, `SQLite`, …
        kind: &'static str,
        /// What is read of it, without secrets.
        location: String,
        /// What the driver said, without secrets.
        reason: String,
    },
    /// The source cannot be copied as the settings ask.
    #[error("Source `{source_name}` cannot be copied: {problem}")]
    Copy {
        /// The source.
        source_name: String,
        /// Why not.
        problem: String,
    },
    /// The copy of a source cannot be stored.
    #[error("Source `{source_name}` cannot be copied into the lake")]
    Lake {
        /// The source.
        source_name: String,
        /// What the lake said.
        source: Box<LakeError>,
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

/// What a reader said, without the values it quotes: they are people's data.
pub(super) fn told(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let text = [" Row data:", " got "]
        .iter()
        .fold(text.as_str(), |text, end| text.find(end).map_or(text, |at| &text[..at]));
    let text = match (text.find("value '"), text.rfind("' as type")) {
        (Some(from), Some(to)) if from < to => {
            format!("{}a value{}", &text[..from], &text[to + 1..])
        }
        _ => text.to_owned(),
    };
    // What else is quoted is a value too; columns stand in other quotes.
    let mut parts = text.split('"');
    let mut told = parts.next().unwrap_or_default().to_owned();
    for (place, part) in parts.enumerate() {
        told.push_str(if place % 2 == 0 { "…" } else { part });
    }
    told
}

impl SourceError {
    /// Files or a table that cannot be read.
    pub(super) fn unreadable(name: &str, location: &str, error: DataFusionError) -> Self {
        let quotes = matches!(
            error.find_root(),
            DataFusionError::ArrowError(..) | DataFusionError::Execution(_)
        );
        let source = if quotes { DataFusionError::External(told(&error).into()) } else { error };
        Self::Unreadable {
            source_name: name.to_owned(),
            location: location.to_owned(),
            source: Box::new(source),
        }
    }

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
            Self::BadFile { source_name, .. } => format!(
                "Mend or remove the file; `on_bad_file: skip` under `sources.{source_name}` reads \
                 the source without it"
            ),
            Self::Database { source_name, .. } => format!(
                "Try the same connection with the database's own client, and correct \
                 `sources.{source_name}`; docs/sources.md says what each kind needs"
            ),
            Self::Copy { .. } => "Correct the setting and run `hublake extract`".into(),
            Self::Lake { source, .. } if matches!(**source, LakeError::UnsupportedType { .. }) => {
                "Read a view of the database that casts the column; the lake holds no such type"
                    .into()
            }
            Self::Storage { source, .. } | Self::Lake { source, .. } => source.advice(),
            Self::Unreadable { .. } => {
                "Check that the files are complete and that `partition_by` names their folders; \
                 of a database, try the same table with its own client"
                    .into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_repeated() {
        let cases = [
            (
                "Error while parsing value 'a' as type 'b' as type 'Int64' for column 1 at line 7. Row data: '[a]'",
                "Error while parsing a value as type 'Int64' for column 1 at line 7.",
            ),
            (
                "whilst decoding field 'n': expected i64 got \"hunter2\"",
                "whilst decoding field 'n': expected i64",
            ),
            (
                "invalid input syntax for type integer: \"hunter2\" at",
                "invalid input syntax for type integer: … at",
            ),
            (
                "canceling statement due to statement timeout",
                "canceling statement due to statement timeout",
            ),
        ];
        for (said, expected) in cases {
            let error = DataFusionError::Execution(said.to_owned());
            assert_eq!(told(&error).trim_start_matches("Execution error: "), expected);
        }
    }
}
