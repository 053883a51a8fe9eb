//! hublake keeps a HubSpot account and a lakehouse in step, both ways.
//!
//! Data walks through the rooms: HubSpot → [`extract`] → [`lake`] →
//! [`transform`] → [`lake`] → [`load`] → HubSpot. Code looks down only; see
//! `ARCHITECTURE.md`.

pub mod cli;
pub mod emulator;
pub mod extract;
pub mod hubspot;
pub mod lake;
pub mod load;
pub mod objects;
pub mod pipeline;
pub mod transform;
