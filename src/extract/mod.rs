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
mod follower;
mod full;
mod history;
mod incremental;
mod known;
mod listing;
mod lists;
mod merges;
mod mirror;
mod object;
mod pages;
mod progress;
mod ranges;
mod reader;
mod reference;
mod register;
mod scan;
mod selection;
pub mod source;
mod stored;
mod vanished;
mod wanted;

pub use associations::{
    ASSOCIATIONS, AssociationSync, AssociationTarget, PairOutcome, associations_behind,
    sync_associations,
};
pub use config::{AssociationSelection, Cadence, ExtractObjectConfig, PropertySelection};
pub use decode::{Page, Unreadable, decode_page};
pub(crate) use error::chain;
pub use error::{ExtractError, Misread};
pub use history::{HistoryReport, HistorySync, PROPERTY_HISTORY, is_history_current, sync_history};
pub use known::{ExpectedMirror, expected_mirror, other_table_schema};
pub use lists::{LIST_MEMBERSHIPS, ListsReport, are_memberships_current, sync_lists};
pub use mirror::{MirrorSchema, PropertyColumn, fresh_until, is_complete, mirror_table};
pub use object::{ObjectReport, ObjectSync, SyncMode, selected_properties, sync_object};
pub use progress::Progress;
pub use reference::{holds_pipelines, sync_owners, sync_pipelines, sync_properties, sync_schemas};
pub use wanted::{CustomObject, ExtractAllConfig, ExtractConfig, ListsConfig, WantedObject};
