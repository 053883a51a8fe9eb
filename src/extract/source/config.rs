//! The settings section `sources:`.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, TimeUnit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Columns that are folders (`day=2026-01-31/`), outermost first: a name for
    /// text, or `{ name: type }`.
    pub partition_by: Vec<PartitionColumn>,
    /// Types of CSV and NDJSON columns that would be guessed wrong, such as ids
    /// with leading zeros.
    pub types: BTreeMap<String, ColumnType>,
    /// CSV: the first line holds the column names.
    pub has_header: bool,
    /// CSV: what stands between two values.
    pub delimiter: char,
    /// CSV: texts that mean no value, besides the empty one.
    pub null_values: Vec<String>,
    /// Options of the object store, as under `lake.options`.
    pub options: BTreeMap<String, OptionValue>,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            parquet: None,
            csv: None,
            ndjson: None,
            partition_by: Vec::new(),
            types: BTreeMap::new(),
            has_header: true,
            delimiter: ',',
            null_values: Vec::new(),
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

impl ColumnType {
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

/// How the rows of a source are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Csv,
    Ndjson,
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
    /// The path or URL that is read; none unless exactly one is given.
    pub fn address(&self) -> Option<&str> {
        self.location().map(|(_, place)| place)
    }

    /// The format and where the files are; none unless exactly one is given.
    pub(super) fn location(&self) -> Option<(Format, &str)> {
        match (&self.parquet, &self.csv, &self.ndjson) {
            (Some(place), None, None) => Some((Format::Parquet, place)),
            (None, Some(place), None) => Some((Format::Csv, place)),
            (None, None, Some(place)) => Some((Format::Ndjson, place)),
            _ => None,
        }
    }

    /// Everything that is wrong with these settings.
    pub fn validate(&self) -> Vec<InvalidSource> {
        let Some((format, place)) = self.location() else {
            return vec![invalid("", "A source has exactly one of `parquet`, `csv` and `ndjson`")];
        };
        let mut problems = Vec::new();
        if place.trim().is_empty() {
            problems.push(invalid("", "Say where the files are: a path or a URL"));
        }
        for (position, column) in self.partition_by.iter().enumerate() {
            if column.column().is_none() {
                let path = format!("partition_by[{position}]");
                problems.push(invalid(path, "Write a name, or one name with its type"));
            }
        }
        if format == Format::Parquet && !self.types.is_empty() {
            problems.push(invalid("types", "Parquet files name their own types: cast in SQL"));
        }
        problems.extend(self.misplaced_csv_keys(format));
        problems
    }

    fn misplaced_csv_keys(&self, format: Format) -> Vec<InvalidSource> {
        if format == Format::Csv {
            let narrow = self.delimiter.is_ascii();
            let problem = || invalid("delimiter", "A delimiter is one ASCII character");
            return if narrow { Vec::new() } else { vec![problem()] };
        }
        let plain = Self::default();
        let set = [
            ("has_header", self.has_header != plain.has_header),
            ("delimiter", self.delimiter != plain.delimiter),
            ("null_values", self.null_values != plain.null_values),
        ];
        let misplaced = set.into_iter().filter(|(_, set)| *set);
        misplaced.map(|(key, _)| invalid(key, "This key is for `csv` sources only")).collect()
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
        assert_eq!(paths, ["types", "delimiter"]);
        let csv = SourceConfig { parquet: None, csv: Some("a.csv".into()), ..parquet };
        assert_eq!(csv.validate(), []);
        let both = SourceConfig { ndjson: Some("b".into()), ..csv };
        assert_eq!(both.validate().len(), 1);
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
