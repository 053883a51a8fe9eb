//! The seeded account. A record is computed from (seed, type, index) whenever
//! somebody asks for it; nothing seeded is stored, so a million contacts cost
//! nothing until they are changed.

mod dirt;
mod doings;
pub(crate) mod draw;
mod extra;
mod facts;
pub(crate) mod ids;
mod kinship;
mod links;
pub(crate) mod plan;
mod plans;
pub(crate) mod realms;
mod words;
pub(crate) mod world;

pub(crate) use extra::extras;
pub(crate) use facts::STAGES;
pub(crate) use plans::{groups_of, plans_of};
