//! PostgreSQL, and what speaks like it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion_table_providers_common::UnsupportedTypeAction;
use datafusion_table_providers_postgres::PostgresTableFactory;
use datafusion_table_providers_postgres::pool::PostgresConnectionPool;
use secrecy::SecretString;

use super::config::{ServerSource, Tls};
use super::server::ServerUrl;
use super::{CONNECT_TIMEOUT, Trouble, reference};

/// Opens a table. The session cannot write, whatever the user may.
pub(super) async fn open(
    source: &ServerSource,
    project_dir: &Path,
) -> Result<Arc<dyn TableProvider>, Trouble> {
    let url = source.url.resolve(project_dir).map_err(|error| Trouble::of(&error, &[]))?;
    let server = ServerUrl::parse(&url, &["postgres", "postgresql"], 5432)?;
    server.refuse_parameters(&[])?;
    let pool = PostgresConnectionPool::new(parameters(&server, source, project_dir)).await;
    let pool = pool.map_err(|error| {
        let Trouble(reason) = Trouble::of(&error, &server.secrets());
        Trouble(format!("{reason}{}", hint(&reason, source.tls)))
    })?;
    // What has no Arrow type comes as text.
    let pool = pool.with_unsupported_type_action(UnsupportedTypeAction::String);
    let factory = PostgresTableFactory::new(Arc::new(pool));
    let table = factory.table_provider(reference(&source.table)).await;
    let table = table.map_err(|error| Trouble::of(error.as_ref(), &server.secrets()))?;
    if table.schema().fields().is_empty() {
        return Err(Trouble(format!(
            "There is no table or view `{}` that this user sees",
            source.table
        )));
    }
    Ok(table)
}

/// The pool's own parameters. It writes them into a connection string as they are,
/// all but the password, so they come quoted.
fn parameters(
    server: &ServerUrl,
    source: &ServerSource,
    project_dir: &Path,
) -> HashMap<String, SecretString> {
    let protection = match source.tls {
        Tls::VerifyFull => "verify-full",
        Tls::VerifyCa => "verify-ca",
        Tls::Require => "require",
        Tls::Disable => "disable",
    };
    let session = format!(
        "-c default_transaction_read_only=on -c statement_timeout={} -c TimeZone=UTC",
        source.statement_timeout.0.as_millis()
    );
    let mut parameters = HashMap::from([
        ("host".to_owned(), quoted(&server.host).into()),
        (
            "port".to_owned(),
            format!("{} connect_timeout={}", server.port, CONNECT_TIMEOUT.as_secs()).into(),
        ),
        ("user".to_owned(), quoted(&server.user).into()),
        ("db".to_owned(), quoted(&server.database).into()),
        ("pass".to_owned(), server.password.clone()),
        ("sslmode".to_owned(), protection.to_owned().into()),
        ("application_name".to_owned(), "hublake".to_owned().into()),
        ("options".to_owned(), session.into()),
    ]);
    if let Some(file) = &source.ca_file {
        let path = project_dir.join(file).to_string_lossy().into_owned();
        parameters.insert("sslrootcert".to_owned(), path.into());
    }
    parameters
}

/// A value of a connection string.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}

/// What a newcomer's server most often lacks.
fn hint(reason: &str, tls: Tls) -> &'static str {
    if tls != Tls::Disable && reason.contains("does not support TLS") {
        "; a server of this machine that has no certificate is read with `tls: disable`"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted() {
        assert_eq!(quoted(r"a b'c\d"), r"'a b\'c\\d'");
    }
}
