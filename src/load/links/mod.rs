//! What hangs on records: associations, members of a static list, custom events.
//!
//! Each is a part of a write-back with a plan, guards, counts and a ledger of
//! its own, under the write-back's name and a suffix (`contact_usage.companies`).
//! A part is decided as properties are, from what the model wants, what hublake
//! made itself and what HubSpot has: what a person made is never taken back, and
//! what a person took away is not made again unless the settings say so.
//!
//! Parts share the tables of the room. In them the object of a part is no
//! object type (`contacts.companies`), a property names one link of the record
//! (`9001:Primary`), and its value is the label, or `associated`, or empty once
//! it is taken back.

mod apply;
mod config;
mod decide;
mod deliver;
pub(crate) mod held;
mod part;
mod plan;
mod resolve;
mod send;
mod types;

pub(crate) use apply::apply_part;
pub use config::{
    AssociateConfig, DeclaredLabel, EventConfig, LabelConfig, LinkPolicy, ListConfig,
    ObjectCreateConfig, SchemaConfig,
};
pub(crate) use decide::{
    LABEL_ONLY, LINKED, PRIMARY_MOVES, TAKEN_AWAY, Type, has_other_labels, labels,
};
pub(crate) use part::{Kind, Part};
pub use part::{parts, write_back_of};
pub use plan::plan_part;
pub(crate) use plan::{READ_AT_ONCE, verdicts};
pub(crate) use types::{ListState, by_record, create_schema, list_state, planned_schema};
