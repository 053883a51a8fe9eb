//! The lake: Delta and Parquet on object storage.
//!
//! This room keeps tables under one root URL: a folder, `s3://`, `gs://` or
//! `az://`. It appends, merges by key in bounded memory, moves cursors in the
//! commit that adds their rows, evolves schemas, reads back (also as of an
//! older version), looks after the files, publishes plain Parquet, and keeps
//! two writers apart. It knows Arrow, Delta and object stores, and has never
//! heard of HubSpot.
//!
//! What it refuses: untyped null, interval and time columns, and every other
//! type that engines other than ours cannot read; a null key; a column that
//! the table does not have; a cursor moved backwards (ignored, never stored).
//!
//! Doors: [`Lake`] opens the root, [`Table`] one table of it, [`Lock`] the
//! right to write. [`LakeError`] says what failed and what to do next.

mod commit;
mod config;
mod error;
mod evolution;
mod export;
mod files;
mod foreign;
mod lease;
mod lock;
mod log;
mod maintain;
mod provider;
mod purge;
mod reader;
mod retype;
mod root;
#[cfg(test)]
mod s3_tests;
mod schema;
mod stats;
mod store;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod upsert;
mod writer;

pub use config::{LakeConfig, OptionValue};
pub use error::LakeError;
pub use export::ExportReport;
pub use foreign::foreign_table;
pub use lock::{Holder, Lock};
pub use maintain::{MaintenancePolicy, MaintenanceReport};
pub use purge::PurgeReport;
pub use retype::FieldChange;
pub use root::{Lake, TableName, TableSpec};
pub use schema::lake_schema;
pub use store::object_store_for;
pub use table::{Cursor, Table};
pub use upsert::{Changes, Merge, UpsertCounts};
