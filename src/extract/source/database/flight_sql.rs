//! Servers that speak Arrow Flight SQL.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion_table_providers_flightsql::FlightTableFactory;
use datafusion_table_providers_flightsql::sql::{
    FlightSqlDriver, HEADER_PREFIX, PASSWORD, QUERY, USERNAME,
};
use secrecy::ExposeSecret;

use super::Trouble;
use super::config::FlightSqlSource;
use crate::hubspot::SecretRef;

/// Opens what a query answers. The protocol has neither read-only sessions nor
/// limits to a statement: the server's user has to be one that may only read.
pub(super) async fn open(
    source: &FlightSqlSource,
    project_dir: &Path,
) -> Result<Arc<dyn TableProvider>, Trouble> {
    let resolve = |secret: &Option<SecretRef>| {
        let resolved = secret.as_ref().map(|secret| secret.resolve(project_dir)).transpose();
        resolved.map_err(|error| Trouble::of(&error, &[]))
    };
    let (password, token) = (resolve(&source.password)?, resolve(&source.token)?);
    let secrets = [&password, &token]
        .map(|secret| secret.as_ref().map_or("", |secret| secret.expose_secret()));
    let mut options = HashMap::from([(QUERY.to_owned(), source.query.clone())]);
    options.extend(source.user.clone().map(|user| (USERNAME.to_owned(), user)));
    options.extend(
        password.as_ref().map(|secret| (PASSWORD.to_owned(), secret.expose_secret().to_owned())),
    );
    options.extend(token.as_ref().map(|secret| {
        (format!("{HEADER_PREFIX}authorization"), format!("Bearer {}", secret.expose_secret()))
    }));
    // Two libraries of cryptography are built in with this feature; without a choice
    // made here TLS would not start.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let driver = FlightSqlDriver::new().with_persistent_headers(true);
    let table =
        FlightTableFactory::new(Arc::new(driver)).open_table(source.url.clone(), options).await;
    Ok(Arc::new(table.map_err(|error| Trouble::of(&error, &secrets))?))
}
