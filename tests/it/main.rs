//! The one integration-test binary: hublake as its users meet it, against the
//! emulator.

mod all_objects;
mod bad_input;
mod emulator;
mod extract;
mod hanging;
mod kills;
mod links;
mod load;
mod main_job;
mod openapi;
mod privacy;
mod recorded;
mod s3;
mod unkind;
mod world;
