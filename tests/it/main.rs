//! The one integration-test binary: hublake as its users meet it, against the
//! emulator.

mod all_objects;
mod bad_input;
mod catalogue;
mod check;
mod emulator;
mod explain;
mod extract;
mod faults;
mod hanging;
mod kills;
mod links;
mod load;
mod main_job;
mod models;
mod openapi;
mod plan_file;
#[cfg(feature = "postgres")]
mod postgres;
mod privacy;
mod recorded;
mod s3;
mod shell;
mod sources;
mod status;
mod tutorial;
mod undo;
mod unkind;
mod world;
mod write_modes;
mod write_refusals;
mod write_stories;
