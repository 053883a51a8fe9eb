//! Wanted rows to a plan, the plan to batches of 100, batches to one outcome
//! per record.
//!
//! A write is decided from three values: what the model wants (W), what
//! hublake last set (L), what HubSpot holds (C). [`plan()`] puts every decision
//! down in `system.plans` before anything is sent; [`apply()`] reads that plan,
//! sends it, and keeps each row's outcome in `system.writes`; [`catch_up()`]
//! repairs what a kill left between the two. The room refuses to guess: a row
//! it cannot tell right from wrong is rejected with a sentence, and an answer
//! that does not name a record is not an outcome.
//!
//! Whether a write-back may run at all (complete extracts, passed data tests)
//! is for the pipeline to say; one write-back is applied at a time, companies
//! before contacts before deals before the rest.
//!
//! Its tables, all under `system/`: `plans` (the intent log), `writes` (the
//! ledger), `written` (the last value set, derived from the ledger), `rejects`,
//! `creating` (creates whose answer a crash swallowed).

mod apply;
mod catch_up;
mod columns;
mod config;
mod creating;
mod decimal;
mod error;
mod form;
mod guards;
mod ledger;
mod links;
mod mirror;
mod outcome;
mod plan;
mod policy;
mod properties;
mod rejects;
mod target;
mod written;

pub use apply::{ApplyReport, ApplyRequest, MaySend, apply};
pub use catch_up::catch_up;
pub use config::{
    CreateConfig, DeclaredType, GuardsConfig, InvalidWriteBack, LabelledOption, MatchConfig,
    MatchKey, Mode, Nulls, OnAbsent, OptionConfig, Percent, Policy, PropertyConfig,
    WriteBackConfig,
};
pub use error::LoadError;
pub use guards::{Guard, GuardVerdict};
pub use links::{
    AssociateConfig, DeclaredLabel, EventConfig, LabelConfig, LinkPolicy, ListConfig,
    ObjectCreateConfig, SchemaConfig, parts, plan_part, write_back_of,
};
pub use outcome::{Counts, Outcome};
pub use plan::{
    PlanRequest, PlanSummary, PlannedChange, PlannedDefinition, PlannedRow, Store, plan,
    planned_rows,
};
pub use properties::{PlannedOptions, PlannedProperty, PropertyPlan};
pub use rejects::{Reject, UnreadRecord, keep_unread, rejects};
