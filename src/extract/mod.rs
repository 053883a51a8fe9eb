//! HubSpot's pages and the user's tables in, record batches out.
//!
//! One object type is one mirror table: a full sync pages the list, an
//! incremental one searches by modified date, and each commit carries the
//! watermark of the rows in it, so that a cut leaves nothing to guess. The room
//! decides what to read and when a table is complete; it never writes to
//! HubSpot and never runs SQL.

mod associations;
mod config;
mod decode;
mod error;
mod full;
mod incremental;
mod merges;
mod mirror;
mod object;
mod pages;
mod progress;
mod ranges;
mod reader;
mod reference;
mod selection;
pub mod source;
mod stored;
mod vanished;

pub use associations::{ASSOCIATIONS, is_associated, sync_associations};
pub use config::{Cadence, ExtractObjectConfig, PropertySelection};
pub use decode::{Page, Unreadable, decode_page};
pub use error::ExtractError;
pub use mirror::{MirrorSchema, PropertyColumn, fresh_until, is_complete, mirror_table};
pub use object::{ObjectReport, ObjectSync, SyncMode, sync_object};
pub use progress::Progress;
pub use reference::{sync_owners, sync_pipelines, sync_properties};
