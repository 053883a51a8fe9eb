//! SQLite files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::sql::unparser::dialect::SqliteDialect;
use datafusion_table_providers_common::sql::db_connection_pool::{
    DbConnectionPool, JoinPushDown, Mode,
};
use datafusion_table_providers_common::sql::sql_provider_datafusion::SqlTable;
use datafusion_table_providers_sqlite::pool::SqliteConnectionPool;
use futures::TryStreamExt;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::config::FileDatabase;
use super::{Trouble, reference};

/// How long to wait for a writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// What cannot stand in the path of a `file:` URI.
const RESERVED: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// Opens a table of a file, which is never written: not even its journal's mode is
/// changed.
pub(super) async fn open(
    source: &FileDatabase,
    project_dir: &Path,
) -> Result<Arc<dyn TableProvider>, Trouble> {
    let path = std::path::absolute(project_dir.join(&source.file))
        .map_err(|error| Trouble::of(&error, &[]))?;
    if !path.is_file() {
        return Err(Trouble(format!("There is no file `{}`", path.display())));
    }
    let path = path.to_string_lossy();
    let uri = format!("file:{}?mode=ro", utf8_percent_encode(&path, RESERVED));
    let opened = async {
        let pool = SqliteConnectionPool::new(
            &uri,
            Mode::File,
            JoinPushDown::Disallow,
            Vec::new(),
            BUSY_TIMEOUT,
        )
        .await?;
        let pool: Arc<dyn DbConnectionPool<_, _> + Send + Sync> = Arc::new(pool);
        let table = reference(&source.table);
        let schema = schema(&pool, &table).await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
            SqlTable::new_with_schema("sqlite", &pool, schema, table)
                .with_dialect(Arc::new(SqliteDialect {})),
        )
    };
    let table = opened.await.map_err(|error| Trouble::of(error.as_ref(), &[]))?;
    if table.schema().fields().is_empty() {
        return Err(Trouble(format!("There is no table or view `{}`", source.table)));
    }
    Ok(Arc::new(table))
}

/// A table's columns. SQLite's types are those of its values; a column's declared
/// one says what they are meant to be. Where it does not, the first value tells.
async fn schema<T: 'static, P: 'static>(
    pool: &Arc<dyn DbConnectionPool<T, P> + Send + Sync>,
    table: &TableReference,
) -> Result<SchemaRef, Box<dyn std::error::Error + Send + Sync>> {
    let name = table.table().replace('\'', "''");
    let of = table
        .schema()
        .map_or(String::new(), |schema| format!(", '{}'", schema.replace('\'', "''")));
    let declared =
        ask(pool, &format!("SELECT name, type FROM pragma_table_info('{name}'{of})")).await?;
    let mut fields = Vec::new();
    for batch in &declared {
        let (names, types) =
            (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
        for row in 0..batch.num_rows() {
            let name = names.value(row);
            let data_type = match declared_type(types.value(row)) {
                Some(data_type) => data_type,
                None => seen_type(pool, table, name).await?,
            };
            fields.push(Field::new(name, data_type, true));
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The type that a declaration means, by SQLite's own rules of affinity; none where
/// values of several types are usual.
fn declared_type(declared: &str) -> Option<DataType> {
    let declared = declared.to_ascii_uppercase();
    let says = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    if says(&["INT"]) {
        Some(DataType::Int64)
    } else if says(&["CHAR", "CLOB", "TEXT"]) {
        Some(DataType::Utf8)
    } else if says(&["REAL", "FLOA", "DOUB"]) {
        Some(DataType::Float64)
    } else if says(&["BLOB"]) {
        Some(DataType::Binary)
    } else {
        None
    }
}

async fn seen_type<T: 'static, P: 'static>(
    pool: &Arc<dyn DbConnectionPool<T, P> + Send + Sync>,
    table: &TableReference,
    column: &str,
) -> Result<DataType, Box<dyn std::error::Error + Send + Sync>> {
    let column = format!("\"{}\"", column.replace('"', "\"\""));
    let table = table.to_quoted_string();
    let kinds = ask(
        pool,
        &format!("SELECT group_concat(kind) FROM (SELECT DISTINCT typeof({column}) AS kind FROM {table} WHERE {column} IS NOT NULL)"),
    )
    .await?;
    let kinds = kinds.first().filter(|batch| batch.num_rows() > 0 && batch.column(0).is_valid(0));
    let kinds =
        kinds.and_then(|batch| Some(batch.column(0).as_string_opt::<i32>()?.value(0).to_owned()));
    Ok(match kinds.as_deref().unwrap_or_default() {
        "integer" => DataType::Int64,
        "real" | "integer,real" | "real,integer" => DataType::Float64,
        "blob" => DataType::Binary,
        _ => DataType::Utf8,
    })
}

async fn ask<T: 'static, P: 'static>(
    pool: &Arc<dyn DbConnectionPool<T, P> + Send + Sync>,
    sql: &str,
) -> Result<Vec<RecordBatch>, Box<dyn std::error::Error + Send + Sync>> {
    let connection = pool.connect().await?;
    let session = connection.as_async().ok_or("The SQLite provider answers no query")?;
    Ok(session.query_arrow(sql, &[], None).await?.try_collect().await?)
}
