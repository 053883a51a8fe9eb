//! hublake keeps a HubSpot account and a lakehouse in step, both ways.

pub mod objects;
