//! Whatever an ADBC driver reaches: Snowflake, BigQuery and others.

use std::path::Path;
use std::sync::Arc;

use adbc_core::Driver;
use adbc_core::options::{AdbcVersion, OptionDatabase, OptionValue};
use adbc_driver_manager::ManagedDriver;
use datafusion::catalog::TableProvider;
use datafusion_table_providers_adbc::AdbcTableFactory;
use datafusion_table_providers_adbc::pool::AdbcConnectionPoolBuilder;
use secrecy::ExposeSecret;

use super::config::{AdbcOption, AdbcSource};
use super::{Trouble, reference};

/// Opens a table through a driver of the user's. ADBC has a read-only option that
/// few drivers honour, and no limit to a statement: the user has to be one that may
/// only read.
pub(super) async fn open(
    source: &AdbcSource,
    project_dir: &Path,
) -> Result<Arc<dyn TableProvider>, Trouble> {
    let mut options = Vec::new();
    let mut secrets = Vec::new();
    for (name, value) in &source.options {
        let value = match value {
            AdbcOption::Text(text) => text.clone(),
            AdbcOption::Kept(secret) => {
                let secret =
                    secret.resolve(project_dir).map_err(|error| Trouble::of(&error, &[]))?;
                secrets.push(secret.expose_secret().to_owned());
                secret.expose_secret().to_owned()
            }
        };
        options.push((OptionDatabase::Other(name.clone()), OptionValue::String(value)));
    }
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    // A bare name is left to the system's loader.
    let driver = if source.driver.components().count() > 1 {
        project_dir.join(&source.driver)
    } else {
        source.driver.clone()
    };
    let entrypoint = source.entrypoint.as_ref().map(|name| name.as_bytes());
    let mut driver =
        ManagedDriver::load_dynamic_from_filename(driver, entrypoint, AdbcVersion::V110)
            .map_err(|error| Trouble::of(&error, &secrets))?;
    let database =
        driver.new_database_with_opts(options).map_err(|error| Trouble::of(&error, &secrets))?;
    let pool = AdbcConnectionPoolBuilder::new(database).with_min_idle(Some(1)).build();
    let pool = pool.map_err(|error| Trouble::of(error.as_ref(), &secrets))?;
    let factory = AdbcTableFactory::new(Arc::new(pool));
    let table = factory.table_provider(reference(&source.table), None).await;
    table.map_err(|error| Trouble::of(error.as_ref(), &secrets))
}
