//! Nouns: what HubSpot holds, with no way to fetch any of it.
//!
//! Object types and their ids, property definitions and the Arrow type each
//! becomes, record ids, association types. This room does no I/O and knows no
//! wire format; every other room may use it.

mod association;
mod object_type;
mod property;
mod record_id;
mod standard;
pub mod values;

pub use association::{AssociationCategory, AssociationType};
pub use object_type::{ObjectType, ObjectTypeError};
pub use property::{PropertyDefinition, PropertyOption, PropertyType};
pub use record_id::{InvalidRecordId, RecordId};
pub use standard::standard_properties;
