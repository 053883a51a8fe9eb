//! Databases, read as tables where they lie.
//!
//! Each kind is a cargo feature, off by default, and hands back a table into which
//! projections, limits and the filters of [`table`] are pushed. Sessions are
//! read-only and statements end in time, as far as the protocol knows of such
//! things. What goes wrong is told without the connection's secrets.

#[cfg(feature = "clickhouse")]
mod clickhouse;
mod config;
#[cfg(feature = "duckdb")]
mod duckdb;
#[cfg(feature = "flight")]
mod flight_sql;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod server;
#[cfg(feature = "sqlite")]
mod sqlite;
mod table;
#[cfg(all(test, feature = "sqlite"))]
mod tests;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use datafusion::catalog::TableProvider;

pub(super) use config::Database;
pub use config::{ClickHouseSource, FileDatabase, FlightSqlSource, ServerSource, Tls};
use table::DatabaseTable;

use super::SourceError;

/// How long to wait for a connection.
#[cfg(any(feature = "postgres", feature = "mysql"))]
const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(15);

/// Why a database cannot be read, in words that hold no secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Trouble(String);

impl Trouble {
    /// What a library said, causes and all, with every secret struck out.
    #[allow(dead_code, reason = "which of the kinds use it depends on the features")]
    fn of(error: &(dyn Error + 'static), secrets: &[&str]) -> Self {
        let mut text = crate::extract::chain(error);
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "…");
        }
        // Libraries break their sentences into lines and end in a link.
        Self(text.lines().map(str::trim).collect::<Vec<_>>().join(" "))
    }
}

/// Opens what is read of a database as a table.
///
/// # Errors
/// [`SourceError::Database`] where it cannot be reached, does not let us in, or has
/// no such table.
pub(super) async fn open(
    name: &str,
    database: Database<'_>,
    project_dir: &Path,
) -> Result<Arc<dyn TableProvider>, SourceError> {
    let opened = match database {
        #[cfg(feature = "postgres")]
        Database::Postgres(source) => postgres::open(source, project_dir).await,
        #[cfg(feature = "mysql")]
        Database::MySql(source) => mysql::open(source, project_dir).await,
        #[cfg(feature = "sqlite")]
        Database::Sqlite(source) => sqlite::open(source, project_dir).await,
        #[cfg(feature = "duckdb")]
        Database::DuckDb(source) => duckdb::open(source, project_dir).await,
        #[cfg(feature = "clickhouse")]
        Database::ClickHouse(source) => clickhouse::open(source, project_dir).await,
        #[cfg(feature = "flight")]
        Database::FlightSql(source) => flight_sql::open(source, project_dir).await,
        #[allow(unreachable_patterns, reason = "reached where a feature is off")]
        _ => {
            let _ = project_dir;
            let problems = database.validate().into_iter().map(|(_, problem)| problem);
            Err(Trouble(problems.collect::<Vec<_>>().join("; ")))
        }
    };
    match opened {
        Ok(table) => Ok(Arc::new(DatabaseTable::new(table, database.kind()))),
        Err(trouble) => Err(SourceError::Database {
            source_name: name.to_owned(),
            kind: database.kind(),
            location: database.location(),
            reason: trouble.0,
        }),
    }
}

/// A table's name, taken apart at its dots; quoted parts may hold dots. Case stays
/// as it is written.
#[cfg(any(
    feature = "postgres",
    feature = "mysql",
    feature = "sqlite",
    feature = "duckdb",
    feature = "clickhouse"
))]
fn reference(table: &str) -> datafusion::common::TableReference {
    datafusion::common::TableReference::parse_str_normalized(table, true)
}
