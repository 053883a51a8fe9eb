//! The settings section `sources:`.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, TimeUnit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::copy::CopyConfig;
use super::database::{ClickHouseSource, Database, FileDatabase, FlightSqlSource, ServerSource};
use crate::lake::OptionValue;

/// One entry of `sources:`; its key there is the name after `usage.` in SQL.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SourceConfig {
    /// A Parquet file, or a folder of them: a path relative to the project, or a URL.
    pub parquet: Option<String>,
    /// A CSV file, or a folder of them.
    pub csv: Option<String>,
    /// A file of one JSON object per line, or a folder of them.
    pub ndjson: Option<String>,
    /// The folder of a Delta table: a path relative to the project, or a URL.
    pub delta: Option<String>,
    /// A table or view of a PostgreSQL database.
    pub postgres: Option<ServerSource>,
    /// A table or view of a MySQL or MariaDB database.
    pub mysql: Option<ServerSource>,
    /// A table or view of a SQLite file.
    pub sqlite: Option<FileDatabase>,
    /// A table or view of a DuckDB file.
    pub duckdb: Option<FileDatabase>,
    /// A table or view of a ClickHouse server.
    pub clickhouse: Option<ClickHouseSource>,
    /// A query answered by a server that speaks Arrow Flight SQL.
    pub flight_sql: Option<FlightSqlSource>,
    /// Columns that are folders (`day=2026-01-31/`), outermost first: a name for
    /// text, or `{ name: type }`.
    pub partition_by: Vec<PartitionColumn>,
    /// Types of CSV, NDJSON and SQLite columns that would be guessed wrong, such as
    /// ids with leading zeros. `hublake discover sources` prints those it guessed,
    /// to be pinned here.
    pub types: BTreeMap<String, ColumnType>,
    /// CSV: the first line holds the column names.
    pub has_header: bool,
    /// CSV: what stands between two values.
    pub delimiter: char,
    /// CSV: texts that mean no value, besides the empty one.
    pub null_values: Vec<String>,
    /// What becomes of a file that does not parse: `fail`, or `skip` it and say so.
    /// To skip one, text files are read twice.
    pub on_bad_file: OnBadFile,
    /// Copies the source into the lake, incrementally, instead of reading it where
    /// it lies.
    pub copy: Option<CopyConfig>,
    /// Options of the object store, as under `lake.options`.
    pub options: BTreeMap<String, OptionValue>,
}

/// What becomes of a file that does not parse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadFile {
    /// The source cannot be read, and the error names the file.
    #[default]
    Fail,
    /// The source is read without the file; the run names it and counts it.
    Skip,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            parquet: None,
            csv: None,
            ndjson: None,
            delta: None,
            postgres: None,
            mysql: None,
            sqlite: None,
            duckdb: None,
            clickhouse: None,
            flight_sql: None,
            partition_by: Vec::new(),
            types: BTreeMap::new(),
            has_header: true,
            delimiter: ',',
            null_values: Vec::new(),
            on_bad_file: OnBadFile::default(),
            copy: None,
            options: BTreeMap::new(),
        }
    }
}

/// A column whose values are folder names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PartitionColumn {
    /// A text column.
    Name(String),
    /// A column of another type: `{ day: date }`.
    Typed(BTreeMap<String, ColumnType>),
}

impl PartitionColumn {
    /// The column's name; none where there is not exactly one.
    pub fn name(&self) -> Option<String> {
        self.column().map(|(name, _)| name)
    }

    /// The column's name and type; none where there is not exactly one name.
    pub(super) fn column(&self) -> Option<(String, DataType)> {
        match self {
            Self::Name(name) => Some((name.clone(), DataType::Utf8)),
            Self::Typed(columns) if columns.len() == 1 => {
                let (name, column_type) = columns.first_key_value()?;
                Some((name.clone(), column_type.arrow_type()))
            }
            Self::Typed(_) => None,
        }
    }
}

/// The type of a column in a file that does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Text.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A number with a fraction, of 64 bits.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A calendar day.
    Date,
    /// A point in time, to the microsecond, UTC where the text names no zone.
    Timestamp,
}

impl std::fmt::Display for ColumnType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
        })
    }
}

impl ColumnType {
    /// The type that a column of an Arrow type would be given; none where no type of
    /// the settings means it.
    pub fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Self::Text),
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32 => Some(Self::Integer),
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Some(Self::Number),
            DataType::Boolean => Some(Self::Boolean),
            DataType::Date32 | DataType::Date64 => Some(Self::Date),
            DataType::Timestamp(..) => Some(Self::Timestamp),
            _ => None,
        }
    }

    pub(super) fn arrow_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// How the rows of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Csv,
    Ndjson,
}

/// What a source is read from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    Files(Format, &'a str),
    Delta(&'a str),
    Database(Database<'a>),
}

/// What is wrong with a source's settings, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: {problem}")]
pub struct InvalidSource {
    /// The field, from the source down; empty for the source as a whole.
    pub path: String,
    /// What is wrong with it, and what to write instead.
    pub problem: String,
}

fn invalid(path: impl Into<String>, problem: impl Into<String>) -> InvalidSource {
    InvalidSource { path: path.into(), problem: problem.into() }
}

impl SourceConfig {
    /// The path or URL that is read; none where there is none or more, or where it
    /// is a server's.
    pub fn address(&self) -> Option<&str> {
        match self.place()? {
            Place::Files(_, place) | Place::Delta(place) => Some(place),
            Place::Database(Database::Sqlite(file) | Database::DuckDb(file)) => file.file.to_str(),
            Place::Database(_) => None,
        }
    }

    /// The one place that is given; none where there is none or more.
    pub(super) fn place(&self) -> Option<Place<'_>> {
        let mut places = [
            self.parquet.as_deref().map(|place| Place::Files(Format::Parquet, place)),
            self.csv.as_deref().map(|place| Place::Files(Format::Csv, place)),
            self.ndjson.as_deref().map(|place| Place::Files(Format::Ndjson, place)),
            self.delta.as_deref().map(Place::Delta),
            self.postgres.as_ref().map(|source| Place::Database(Database::Postgres(source))),
            self.mysql.as_ref().map(|source| Place::Database(Database::MySql(source))),
            self.sqlite.as_ref().map(|source| Place::Database(Database::Sqlite(source))),
            self.duckdb.as_ref().map(|source| Place::Database(Database::DuckDb(source))),
            self.clickhouse.as_ref().map(|source| Place::Database(Database::ClickHouse(source))),
            self.flight_sql.as_ref().map(|source| Place::Database(Database::FlightSql(source))),
        ]
        .into_iter()
        .flatten();
        let place = places.next()?;
        places.next().is_none().then_some(place)
    }

    /// Everything that is wrong with these settings.
    pub fn validate(&self) -> Vec<InvalidSource> {
        let Some(place) = self.place() else {
            let problem = "A source has exactly one of `parquet`, `csv`, `ndjson`, `delta`, \
                           `postgres`, `mysql`, `sqlite`, `duckdb`, `clickhouse` and \
                           `flight_sql`";
            return vec![invalid("", problem)];
        };
        let mut problems = match place {
            Place::Files(_, place) | Place::Delta(place) if place.trim().is_empty() => {
                vec![invalid("", "Say where the files are: a path or a URL")]
            }
            Place::Files(..) | Place::Delta(_) => Vec::new(),
            Place::Database(database) => database
                .validate()
                .into_iter()
                .map(|(key, problem)| invalid(key, problem))
                .collect(),
        };
        for (position, column) in self.partition_by.iter().enumerate() {
            if column.column().is_none() {
                let path = format!("partition_by[{position}]");
                problems.push(invalid(path, "Write a name, or one name with its type"));
            }
        }
        if let Some(copy) = &self.copy {
            let wrong = copy.validate().into_iter();
            problems.extend(wrong.map(|(key, problem)| invalid(format!("copy.{key}"), problem)));
        }
        problems.extend(self.misplaced_keys(place));
        problems
    }

    /// Keys that mean nothing for what the source is read from.
    fn misplaced_keys(&self, place: Place<'_>) -> Vec<InvalidSource> {
        let plain = Self::default();
        let is_csv = matches!(place, Place::Files(Format::Csv, _));
        let is_file = matches!(place, Place::Files(..));
        let has_types = match place {
            Place::Files(format, _) => format != Format::Parquet,
            Place::Database(database) => matches!(database, Database::Sqlite(_)),
            Place::Delta(_) => false,
        };
        let is_stored = is_file || matches!(place, Place::Delta(_));
        let keys = [
            ("has_header", is_csv, self.has_header != plain.has_header, "for `csv` sources only"),
            ("delimiter", is_csv, self.delimiter != plain.delimiter, "for `csv` sources only"),
            ("null_values", is_csv, !self.null_values.is_empty(), "for `csv` sources only"),
            ("partition_by", is_file, !self.partition_by.is_empty(), "for files only"),
            ("on_bad_file", is_file, self.on_bad_file != OnBadFile::Fail, "for files only"),
            ("options", is_stored, !self.options.is_empty(), "for files and Delta tables only"),
        ];
        let misplaced = keys.into_iter().filter(|(_, fits, set, _)| *set && !fits);
        let mut problems: Vec<InvalidSource> = misplaced
            .map(|(key, _, _, which)| invalid(key, format!("This key is {which}")))
            .collect();
        if !has_types && !self.types.is_empty() {
            problems.push(invalid("types", "This source names its own types: cast in SQL"));
        }
        if is_csv && !self.delimiter.is_ascii() {
            problems.push(invalid("delimiter", "A delimiter is one ASCII character"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_one_place_and_the_keys_of_its_format() {
        assert_eq!(SourceConfig::default().validate().len(), 1);
        let parquet = SourceConfig {
            parquet: Some("./usage".into()),
            delimiter: ';',
            types: BTreeMap::from([("id".into(), ColumnType::Text)]),
            ..SourceConfig::default()
        };
        let paths: Vec<_> = parquet.validate().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["delimiter", "types"]);
        let csv = SourceConfig { parquet: None, csv: Some("a.csv".into()), ..parquet };
        assert_eq!(csv.validate(), []);
        let both = SourceConfig { ndjson: Some("b".into()), ..csv };
        assert_eq!(both.validate().len(), 1);
    }

    #[test]
    fn a_database_that_is_not_built_in_names_the_flag_to_build_with() {
        let table = FileDatabase { file: "app.duckdb".into(), table: "events".into() };
        let config = SourceConfig { duckdb: Some(table), ..SourceConfig::default() };
        let problems = config.validate();
        if cfg!(feature = "duckdb") {
            assert_eq!(problems, []);
        } else {
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].path, "duckdb");
            assert!(problems[0].problem.contains("--features duckdb"), "{}", problems[0]);
        }
    }

    #[test]
    fn partition_columns_are_text_unless_said() {
        let typed = PartitionColumn::Typed(BTreeMap::from([("day".into(), ColumnType::Date)]));
        assert_eq!(typed.column(), Some(("day".into(), DataType::Date32)));
        let plain = PartitionColumn::Name("day".into());
        assert_eq!(plain.column(), Some(("day".into(), DataType::Utf8)));
        assert_eq!(PartitionColumn::Typed(BTreeMap::new()).column(), None);
    }
}
