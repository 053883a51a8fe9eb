//! The seeded account. A record is computed from (seed, type, index) whenever
//! somebody asks for it; nothing seeded is stored, so a million contacts cost
//! nothing until they are changed.

pub(crate) mod draw;
mod facts;
pub(crate) mod ids;
mod links;
pub(crate) mod plan;
mod plans;
mod words;
pub(crate) mod world;

pub(crate) use facts::STAGES;
pub(crate) use plans::plans_of;
pub(crate) use words::REMARK;
