//! The `tests:` of a model, as settings write them.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a failed test stops what depends on the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Reported, and nothing more.
    Warn,
    /// Stops every write-back that reads the model.
    #[default]
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

/// Something that must hold for the rows of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RawTest", into = "RawTest")]
#[schemars(with = "RawTest")]
pub struct ModelTest {
    /// What it is called in reports and in `system.test_failures`; the rule
    /// itself when absent.
    pub name: Option<String>,
    /// What must hold.
    pub rule: Rule,
    /// What a failure means.
    pub severity: Severity,
}

/// What a test asks of a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Each of these columns has a value in every row.
    NotNull(Vec<String>),
    /// No two rows have the same values in these columns, taken together.
    Unique(Vec<String>),
    /// The column holds one of these values, or null.
    AcceptedValues(AcceptedValues),
    /// Every value of the column is a value of another table's, or null.
    Relationships(Relationships),
    /// The model has so many rows.
    RowCount(RowCount),
    /// The newest value of a column is no older than this.
    FreshWithin(FreshWithin),
    /// A `select` that must return no rows.
    Sql {
        /// The file it is in, relative to the project; none when it is
        /// written in the settings.
        file: Option<String>,
        /// Its text; of a file, once the project has been loaded.
        text: String,
    },
}

/// The values a column may hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptedValues {
    /// The column.
    pub column: String,
    /// Its values, as text.
    pub values: Vec<String>,
}

/// A column whose values another table must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Relationships {
    /// The column of this model.
    pub column: String,
    /// The other table: a model, or `schema.table`.
    pub to: String,
    /// The column there; the same name when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to_column: Option<String>,
}

impl Relationships {
    /// The column of the other table.
    pub fn to_column(&self) -> &str {
        self.to_column.as_deref().unwrap_or(&self.column)
    }
}

/// How many rows a model may have, both bounds included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RowCount {
    /// The fewest; any number when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// The most; any number when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

/// How old the newest row may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreshWithin {
    /// A column of dates or times. A model without a value in it is not fresh.
    pub column: String,
    /// The age allowed when the run starts: `36h`, `2d`.
    pub within: String,
}

impl FreshWithin {
    /// The age allowed.
    ///
    /// # Errors
    /// A text that is no length of time, in words.
    pub fn duration(&self) -> Result<Duration, String> {
        humantime::parse_duration(&self.within)
            .map_err(|_| format!("`{}` is no length of time: write `36h` or `2d`", self.within))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNull(columns) => write!(f, "not_null({})", columns.join(", ")),
            Self::Unique(columns) => write!(f, "unique({})", columns.join(", ")),
            Self::AcceptedValues(accepted) => write!(f, "accepted_values({})", accepted.column),
            Self::Relationships(rule) => {
                write!(f, "relationships({} -> {}.{})", rule.column, rule.to, rule.to_column())
            }
            Self::RowCount(count) => {
                let bound = |bound: Option<u64>| bound.map_or(String::new(), |n| n.to_string());
                write!(f, "row_count({}..{})", bound(count.min), bound(count.max))
            }
            Self::FreshWithin(fresh) => {
                write!(f, "fresh_within({}, {})", fresh.column, fresh.within)
            }
            Self::Sql { file: Some(file), .. } => write!(f, "sql({file})"),
            Self::Sql { file: None, .. } => f.write_str("sql"),
        }
    }
}

impl Rule {
    /// Every column of the model that the rule names, with the setting below
    /// the test that names it.
    pub(super) fn column_settings(&self) -> Vec<(String, String)> {
        let listed = |setting: &str, columns: &[String]| {
            let named = columns.iter().enumerate();
            named.map(|(at, column)| (format!("{setting}[{at}]"), column.clone())).collect()
        };
        match self {
            Self::NotNull(columns) => listed("not_null", columns),
            Self::Unique(columns) => listed("unique", columns),
            Self::AcceptedValues(accepted) => {
                vec![("accepted_values.column".into(), accepted.column.clone())]
            }
            Self::Relationships(rule) => vec![("relationships.column".into(), rule.column.clone())],
            Self::FreshWithin(fresh) => vec![("fresh_within.column".into(), fresh.column.clone())],
            Self::RowCount(_) | Self::Sql { .. } => Vec::new(),
        }
    }
}

impl ModelTest {
    /// A test that is an error when it fails, named after its rule.
    #[cfg(test)]
    pub(super) fn error(rule: Rule) -> Self {
        Self { name: None, rule, severity: Severity::Error }
    }

    /// Everything that is wrong with the test and can be said without the
    /// model: the setting below the test, and the problem.
    pub(super) fn validate(&self) -> Vec<(&'static str, String)> {
        match &self.rule {
            Rule::RowCount(RowCount { min: None, max: None }) => {
                vec![("row_count", "Give `min`, `max` or both".into())]
            }
            Rule::RowCount(RowCount { min: Some(min), max: Some(max) }) if min > max => {
                vec![("row_count", format!("No number is at least {min} and at most {max}"))]
            }
            Rule::FreshWithin(fresh) => fresh
                .duration()
                .err()
                .map(|problem| ("fresh_within.within", problem))
                .into_iter()
                .collect(),
            Rule::Relationships(rule) if !is_table_name(&rule.to) => {
                let problem =
                    format!("`{}` is no table: write a model's name, or `schema.table`", rule.to);
                vec![("relationships.to", problem)]
            }
            _ => Vec::new(),
        }
    }

    /// What the test is called, unless another of the model is called so too.
    pub(super) fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.rule.to_string())
    }
}

fn is_table_name(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    (1..=2).contains(&parts.len()) && parts.iter().all(|part| super::is_identifier(part))
}

/// What the tests of a model are called: each by its title, the second of one
/// title with `#2`, and so on.
pub(super) fn test_names(tests: &[ModelTest]) -> Vec<String> {
    let titles: Vec<String> = tests.iter().map(ModelTest::title).collect();
    let name = |(at, title): (usize, &String)| match titles[..at]
        .iter()
        .filter(|earlier| *earlier == title)
        .count()
    {
        0 => title.clone(),
        before => format!("{title} #{}", before + 1),
    };
    titles.iter().enumerate().map(name).collect()
}

/// What stands under `sql:`: a path ending in `.sql`, or the query itself.
fn sql_rule(text: String) -> Rule {
    if text.ends_with(".sql") && !text.contains(char::is_whitespace) {
        return Rule::Sql { file: Some(text), text: String::new() };
    }
    Rule::Sql { file: None, text }
}

/// A test: exactly one of `not_null`, `unique`, `accepted_values`, `relationships`,
/// `row_count`, `fresh_within` and `sql`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawTest {
    /// What the test is called; the rule itself when absent
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Columns that have a value in every row
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_null: Vec<String>,
    /// Columns that, taken together, have no values twice
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unique: Vec<String>,
    /// The values a column may hold; null is always accepted
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_values: Option<AcceptedValues>,
    /// A column whose every value another table has; null is always accepted
    #[serde(skip_serializing_if = "Option::is_none")]
    relationships: Option<Relationships>,
    /// The fewest and the most rows
    #[serde(skip_serializing_if = "Option::is_none")]
    row_count: Option<RowCount>,
    /// How old the newest row may be
    #[serde(skip_serializing_if = "Option::is_none")]
    fresh_within: Option<FreshWithin>,
    /// A `select` that must return no rows, or the path of a file that holds it
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<String>,
    /// `error` (stops the write-backs that read the model) or `warn`
    severity: Severity,
}

impl TryFrom<RawTest> for ModelTest {
    type Error = &'static str;

    fn try_from(raw: RawTest) -> Result<Self, Self::Error> {
        let mut rules = Vec::new();
        if !raw.not_null.is_empty() {
            rules.push(Rule::NotNull(raw.not_null));
        }
        if !raw.unique.is_empty() {
            rules.push(Rule::Unique(raw.unique));
        }
        rules.extend(raw.accepted_values.map(Rule::AcceptedValues));
        rules.extend(raw.relationships.map(Rule::Relationships));
        rules.extend(raw.row_count.map(Rule::RowCount));
        rules.extend(raw.fresh_within.map(Rule::FreshWithin));
        rules.extend(raw.sql.map(sql_rule));
        match (rules.pop(), rules.is_empty()) {
            (Some(rule), true) => Ok(Self { name: raw.name, rule, severity: raw.severity }),
            _ => Err(
                "A test is exactly one of `not_null`, `unique`, `accepted_values`, `relationships`, \
                 `row_count`, `fresh_within` and `sql`",
            ),
        }
    }
}

impl From<ModelTest> for RawTest {
    fn from(test: ModelTest) -> Self {
        let mut raw = Self { name: test.name, severity: test.severity, ..Self::default() };
        match test.rule {
            Rule::NotNull(columns) => raw.not_null = columns,
            Rule::Unique(columns) => raw.unique = columns,
            Rule::AcceptedValues(accepted) => raw.accepted_values = Some(accepted),
            Rule::Relationships(rule) => raw.relationships = Some(rule),
            Rule::RowCount(count) => raw.row_count = Some(count),
            Rule::FreshWithin(fresh) => raw.fresh_within = Some(fresh),
            Rule::Sql { file, text } => raw.sql = Some(file.unwrap_or(text)),
        }
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_exactly_one_rule() {
        let one = RawTest { unique: vec!["id".into()], ..RawTest::default() };
        let test = ModelTest::try_from(one.clone()).expect("one rule");
        assert_eq!((test.title().as_str(), test.severity), ("unique(id)", Severity::Error));
        let two = RawTest { sql: Some("select 1".into()), ..one };
        assert!(ModelTest::try_from(two).is_err());
        assert!(ModelTest::try_from(RawTest::default()).is_err());
    }

    #[test]
    fn a_sql_test_is_a_file_or_the_query_itself() {
        let shown = |text: &str| sql_rule(text.into()).to_string();
        assert_eq!(shown("sql/tests/plans.sql"), "sql(sql/tests/plans.sql)");
        assert_eq!(shown("select * from a.sql"), "sql");
    }

    #[test]
    fn bounds_and_ages_that_mean_nothing_are_refused() {
        let wrong = |rule: Rule| ModelTest::error(rule).validate().first().map(|(path, _)| *path);
        let count = |min, max| Rule::RowCount(RowCount { min, max });
        assert_eq!(wrong(count(None, None)), Some("row_count"));
        assert_eq!(wrong(count(Some(2), Some(1))), Some("row_count"));
        assert_eq!(wrong(count(Some(1), None)), None);
        let fresh = |within: &str| {
            Rule::FreshWithin(FreshWithin { column: "at".into(), within: within.into() })
        };
        assert_eq!(wrong(fresh("two days")), Some("fresh_within.within"));
        assert_eq!(wrong(fresh("2d")), None);
        let to = |to: &str| {
            let to = to.to_owned();
            Rule::Relationships(Relationships { column: "id".into(), to, to_column: None })
        };
        assert_eq!(wrong(to("hubspot.contacts; drop")), Some("relationships.to"));
        assert_eq!(wrong(to("hubspot.contacts")), None);
    }

    #[test]
    fn tests_of_one_title_are_told_apart() {
        let sql = |text: &str| ModelTest::error(sql_rule(text.into()));
        let named = ModelTest { name: Some("no orphans".into()), ..sql("select 3") };
        let names = test_names(&[sql("select 1"), named, sql("select 2")]);
        assert_eq!(names, ["sql", "no orphans", "sql #2"]);
    }
}
