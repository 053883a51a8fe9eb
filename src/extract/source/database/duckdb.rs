//! DuckDB files.

use std::path::Path;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion_table_providers_duckdb::DuckDBTableFactory;
use datafusion_table_providers_duckdb::pool::DuckDbConnectionPool;

use super::config::FileDatabase;
use super::{Trouble, reference};

/// Opens a table of a file, which is not written.
pub(super) async fn open(
    source: &FileDatabase,
    project_dir: &Path,
) -> Result<Arc<dyn TableProvider>, Trouble> {
    let path = std::path::absolute(project_dir.join(&source.file))
        .map_err(|error| Trouble::of(&error, &[]))?;
    if !path.is_file() {
        return Err(Trouble(format!("There is no file `{}`", path.display())));
    }
    let file = path.to_string_lossy();
    let pool = DuckDbConnectionPool::new_file(&file, &duckdb::AccessMode::ReadOnly)
        .map_err(|error| Trouble::of(error.as_ref(), &[]))?;
    let factory = DuckDBTableFactory::new(Arc::new(pool));
    let table = factory.table_provider(reference(&source.table)).await;
    table.map_err(|error| Trouble::of(error.as_ref(), &[]))
}
