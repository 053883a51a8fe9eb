//! MySQL and MariaDB.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::sql::unparser::dialect::MySqlDialect;
use datafusion_table_providers_common::sql::db_connection_pool::dbconnection::DbConnection;
use datafusion_table_providers_common::sql::db_connection_pool::{DbConnectionPool, JoinPushDown};
use datafusion_table_providers_common::sql::sql_provider_datafusion::SqlTable;
use datafusion_table_providers_mysql::pool::MySQLConnectionPool;
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
    let server = ServerUrl::parse(&url, &["mysql"], 3306)?;
    server.refuse_parameters(&[])?;
    let pool = MySQLConnectionPool::new(parameters(&server, source, project_dir));
    let pool = tokio::time::timeout(CONNECT_TIMEOUT, pool)
        .await
        .map_err(|_| Trouble("The server did not answer in time".into()))?
        .map_err(|error| Trouble::of(&error, &server.secrets()))?;
    open_in(pool, source).await.map_err(|error| Trouble::of(error.as_ref(), &server.secrets()))
}

async fn open_in(
    pool: MySQLConnectionPool,
    source: &ServerSource,
) -> Result<Arc<dyn TableProvider>, Box<dyn std::error::Error + Send + Sync>> {
    let millis = source.statement_timeout.0.as_millis();
    let dialects = [
        // MySQL.
        [
            "SET SESSION transaction_read_only = ON".to_owned(),
            format!("SET SESSION max_execution_time = {millis}"),
        ],
        // MariaDB, whose limit is in seconds.
        [
            "SET SESSION TRANSACTION READ ONLY".to_owned(),
            format!("SET SESSION max_statement_time = {}", millis as f64 / 1000.0),
        ],
    ];
    let pool = Arc::new(ReadOnly { pool: Arc::new(pool), dialects });
    let pool: Arc<dyn DbConnectionPool<_, _> + Send + Sync> = pool;
    let table = SqlTable::new("mysql", &pool, reference(&source.table)).await?;
    Ok(Arc::new(table.with_dialect(Arc::new(MySqlDialect {}))))
}

fn parameters(
    server: &ServerUrl,
    source: &ServerSource,
    project_dir: &Path,
) -> HashMap<String, SecretString> {
    let protection = match source.tls {
        Tls::VerifyFull | Tls::VerifyCa => "required",
        // The provider's name for an encrypted connection that checks nothing.
        Tls::Require => "preferred",
        Tls::Disable => "disabled",
    };
    let mut parameters = HashMap::from([
        ("host".to_owned(), server.host.clone().into()),
        ("tcp_port".to_owned(), server.port.to_string().into()),
        ("user".to_owned(), server.user.clone().into()),
        ("db".to_owned(), server.database.clone().into()),
        ("pass".to_owned(), server.password.clone()),
        ("sslmode".to_owned(), protection.to_owned().into()),
    ]);
    if let Some(file) = &source.ca_file {
        let path = project_dir.join(file).to_string_lossy().into_owned();
        parameters.insert("sslrootcert".to_owned(), path.into());
    }
    parameters
}

/// A pool whose sessions are made read-only, with a limit to each statement,
/// before anybody gets them. The provider's own pool has no place for that.
#[derive(Debug)]
struct ReadOnly<P> {
    pool: Arc<P>,
    /// What to say to each kind of server; one of them understands it.
    dialects: [[String; 2]; 2],
}

#[async_trait]
impl<T: 'static, V: 'static, P> DbConnectionPool<T, V> for ReadOnly<P>
where
    P: DbConnectionPool<T, V> + Send + Sync,
{
    async fn connect(
        &self,
    ) -> Result<Box<dyn DbConnection<T, V>>, Box<dyn std::error::Error + Send + Sync>> {
        let connection = self.pool.connect().await?;
        let session = connection.as_async().ok_or("The MySQL provider answers no query")?;
        let mut refused = None;
        'dialects: for statements in &self.dialects {
            for statement in statements {
                if let Err(error) = session.execute(statement, &[]).await {
                    refused = Some(error);
                    continue 'dialects;
                }
            }
            return Ok(connection);
        }
        Err(refused.unwrap_or_else(|| "The session could not be made read-only".into()))
    }

    fn join_push_down(&self) -> JoinPushDown {
        JoinPushDown::Disallow
    }
}
