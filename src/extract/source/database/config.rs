//! The settings of a database that is read as a table.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::super::period::Period;
use crate::hubspot::SecretRef;

/// Longer than any sane read of a usage table, shorter than a night.
const STATEMENT_TIMEOUT: Period = Period::seconds(15 * 60);

fn statement_timeout() -> Period {
    STATEMENT_TIMEOUT
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Encrypted, the certificate and the host's name checked.
    #[default]
    VerifyFull,
    /// Encrypted, the certificate checked, the host's name not.
    VerifyCa,
    /// Encrypted, nothing checked: somebody in between can read along.
    Require,
    /// Not encrypted.
    Disable,
}

/// A table or view of a PostgreSQL or MySQL server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerSource {
    /// Where the connection URL is kept, `postgres://user:password@host:5432/db` or
    /// `mysql://user:password@host:3306/db`: it holds a password, so only by
    /// reference.
    pub url: SecretRef,
    /// The table or view, with its schema where it is not the default one:
    /// `public.workspaces`.
    pub table: String,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: Tls,
    /// The certificates (PEM) of the authority that signed the server's, where the
    /// system does not know it; a path relative to the project.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long the server may work on one statement.
    #[serde(default = "statement_timeout")]
    pub statement_timeout: Period,
}

/// A table or view of a database that is one file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileDatabase {
    /// The file; a path relative to the project.
    pub file: PathBuf,
    /// The table or view.
    pub table: String,
}

/// A table or view of a ClickHouse server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClickHouseSource {
    /// Where the server's HTTP interface answers: `https://host:8443`.
    pub url: String,
    /// The database; the user's default one when absent.
    #[serde(default)]
    pub database: Option<String>,
    /// The table or view.
    pub table: String,
    /// The user.
    #[serde(default)]
    pub user: Option<String>,
    /// Where the user's password is kept.
    #[serde(default)]
    pub password: Option<SecretRef>,
    /// How long the server may work on one statement.
    #[serde(default = "statement_timeout")]
    pub statement_timeout: Period,
}

/// What a Flight SQL server answers to one query.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlightSqlSource {
    /// Where the server answers: `https://host:443`; `http` is not encrypted.
    pub url: String,
    /// The SELECT whose rows are the source. The server sees it as it stands:
    /// nothing is pushed into it.
    pub query: String,
    /// The user.
    #[serde(default)]
    pub user: Option<String>,
    /// Where the user's password is kept.
    #[serde(default)]
    pub password: Option<SecretRef>,
    /// Where a bearer token is kept, for servers that want one instead.
    #[serde(default)]
    pub token: Option<SecretRef>,
}

/// A database and what is read of it.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Database<'a> {
    Postgres(&'a ServerSource),
    MySql(&'a ServerSource),
    Sqlite(&'a FileDatabase),
    DuckDb(&'a FileDatabase),
    ClickHouse(&'a ClickHouseSource),
    FlightSql(&'a FlightSqlSource),
}

impl Database<'_> {
    /// What people call it.
    pub(in super::super) fn kind(self) -> &'static str {
        match self {
            Self::Postgres(_) => "PostgreSQL",
            Self::MySql(_) => "MySQL",
            Self::Sqlite(_) => "SQLite",
            Self::DuckDb(_) => "DuckDB",
            Self::ClickHouse(_) => "ClickHouse",
            Self::FlightSql(_) => "Flight SQL",
        }
    }

    /// The key that stands for it under a source.
    fn key(self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::MySql(_) => "mysql",
            Self::Sqlite(_) => "sqlite",
            Self::DuckDb(_) => "duckdb",
            Self::ClickHouse(_) => "clickhouse",
            Self::FlightSql(_) => "flight_sql",
        }
    }

    /// The cargo feature that builds it in, and whether this build has it.
    fn feature(self) -> (&'static str, bool) {
        match self {
            Self::Postgres(_) => ("postgres", cfg!(feature = "postgres")),
            Self::MySql(_) => ("mysql", cfg!(feature = "mysql")),
            Self::Sqlite(_) => ("sqlite", cfg!(feature = "sqlite")),
            Self::DuckDb(_) => ("duckdb", cfg!(feature = "duckdb")),
            Self::ClickHouse(_) => ("clickhouse", cfg!(feature = "clickhouse")),
            Self::FlightSql(_) => ("flight", cfg!(feature = "flight")),
        }
    }

    /// Where it is and what is read of it, for people; never with a secret.
    pub(in super::super) fn location(self) -> String {
        match self {
            Self::Postgres(source) | Self::MySql(source) => source.table.clone(),
            Self::Sqlite(source) | Self::DuckDb(source) => {
                format!("{}, table {}", source.file.display(), source.table)
            }
            Self::ClickHouse(source) => format!("{}, table {}", source.url, source.table),
            Self::FlightSql(source) => source.url.clone(),
        }
    }

    /// What is wrong with the settings: the key below the source, and why.
    pub(in super::super) fn validate(self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut say =
            |key: &str, problem: String| problems.push((format!("{}{key}", self.key()), problem));
        let (feature, built_in) = self.feature();
        if !built_in {
            say(
                "",
                format!(
                    "This hublake is built without {}: build one with `cargo install --path . \
                     --features {feature}` (docs/sources.md says what that needs)",
                    self.kind()
                ),
            );
        }
        let (table, query) = match self {
            Self::Postgres(source) | Self::MySql(source) => (Some(&source.table), None),
            Self::Sqlite(source) | Self::DuckDb(source) => (Some(&source.table), None),
            Self::ClickHouse(source) => (Some(&source.table), None),
            Self::FlightSql(source) => (None, Some(&source.query)),
        };
        if table.is_some_and(|table| table.trim().is_empty()) {
            say(".table", "Name the table or view to read".into());
        }
        if query.is_some_and(|query| query.trim().is_empty()) {
            say(".query", "Write the SELECT whose rows are the source".into());
        }
        if let Self::MySql(ServerSource { tls: Tls::VerifyCa, .. }) = self {
            say(".tls", "MySQL connections have `verify_full`, `require` and `disable`".into());
        }
        if let Self::ClickHouse(ClickHouseSource { url, .. })
        | Self::FlightSql(FlightSqlSource { url, .. }) = self
            && let Err(problem) = plain_url(url)
        {
            say(".url", problem);
        }
        problems
    }
}

/// A URL that stands in the settings must not hold a password.
fn plain_url(url: &str) -> Result<(), String> {
    let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    match parsed {
        None => Err("An absolute `http` or `https` URL is expected".into()),
        Some(url) if url.password().is_some() || !url.username().is_empty() => Err(
            "The user and the password have keys of their own: `user`, and `password` by reference"
                .into(),
        ),
        Some(_) => Ok(()),
    }
}
