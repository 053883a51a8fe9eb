//! ClickHouse, over HTTP.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion_table_providers_clickhouse::ClickHouseTableFactory;
use datafusion_table_providers_clickhouse::pool::ClickHouseConnectionPool;
use secrecy::{ExposeSecret, SecretString};

use super::config::ClickHouseSource;
use super::{Trouble, reference};

/// Opens a table. The server is asked to refuse writes and to end long statements.
pub(super) async fn open(
    source: &ClickHouseSource,
    project_dir: &Path,
) -> Result<Arc<dyn TableProvider>, Trouble> {
    let password = source.password.as_ref().map(|password| password.resolve(project_dir));
    let password = password.transpose().map_err(|error| Trouble::of(&error, &[]))?;
    let secret = password.as_ref().map_or("", |password| password.expose_secret());
    let mut parameters: HashMap<String, SecretString> = HashMap::from([
        ("url".to_owned(), source.url.clone().into()),
        // 2 forbids writes and still lets a driver choose its formats; 1 does not.
        ("option_readonly".to_owned(), "2".to_owned().into()),
        (
            "option_max_execution_time".to_owned(),
            source.statement_timeout.0.as_secs().max(1).to_string().into(),
        ),
    ]);
    parameters.extend(source.database.clone().map(|name| ("database".to_owned(), name.into())));
    parameters.extend(source.user.clone().map(|user| ("user".to_owned(), user.into())));
    parameters.extend(password.clone().map(|password| ("password".to_owned(), password)));
    let pool = ClickHouseConnectionPool::new(parameters).await;
    let pool = pool.map_err(|error| Trouble::of(&error, &[secret]))?;
    let factory = ClickHouseTableFactory::new(Arc::new(pool));
    let table = factory.table_provider(reference(&source.table), None).await;
    table.map_err(|error| Trouble::of(error.as_ref(), &[secret]))
}
