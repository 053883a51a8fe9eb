//! All speech with HubSpot.
//!
//! A [`Client`] asks, waits its turn in the account's rate budget, repeats
//! what is safe to repeat, and answers raw bodies for reads and typed replies
//! for everything else. The room knows nothing of lakes, models or plans; it
//! refuses to repeat a write that may have been applied
//! ([`Error::outcome_unknown`]) and never prints a token or a property value.

mod account;
mod answer;
mod api_error;
mod associations;
mod auth;
mod breaker;
mod budget;
mod client;
mod config;
mod definitions;
mod directory;
mod error;
mod events;
mod history;
mod ledger;
mod links;
mod lists;
mod memberships;
mod pace;
mod paging;
mod paths;
mod query;
#[cfg(test)]
mod recordings;
mod records;
mod retry;
mod schemas;
#[cfg(test)]
mod scripted;
mod secret;
mod transport;
mod wire;

pub use account::{AccountDetails, BudgetUse, CallCounts, DailyUsage};
pub use api_error::{ApiError, ApiErrorDetail, BatchError, PropertyRefusal};
pub use associations::Association;
pub use client::Client;
pub use config::{ApiVersion, ConfigError, DailyReserve, HubSpotConfig};
pub use definitions::{NewProperty, PropertyGroup};
pub use directory::{Owner, Pipeline, PipelineStage, Team};
pub use error::{Error, ErrorKind};
pub use events::CustomEvent;
pub use history::PropertyVersion;
pub use links::{LinkEnd, LinkReply, NewLabel};
pub use lists::{List, ListMember};
pub use memberships::{ListChange, NewList};
pub use paging::pages;
pub use query::{BatchReadQuery, Direction, Filter, ListQuery, SearchQuery, Sort};
pub use records::{BatchReply, Body, Record, WriteInput};
pub use schemas::{NewSchema, ObjectSchema, SchemaLabels};
pub use secret::{SecretError, SecretRef};
