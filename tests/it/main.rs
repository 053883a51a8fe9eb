//! The one integration-test binary: hublake as its users meet it, against the
//! emulator.

mod bad_input;
mod emulator;
mod extract;
mod kills;
mod load;
mod main_job;
mod openapi;
mod recorded;
mod privacy;
mod s3;
mod unkind;
mod world;
