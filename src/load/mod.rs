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
//! `creating` (creates whose answer a crash swallowed), `restoring` (values
//! emptied so that they can move back, and not written yet), `reject_tasks`
//! (the tasks that told of refused rows).

mod apply;
mod audit;
mod catch_up;
mod columns;
mod config;
mod creating;
mod decimal;
mod error;
mod fit;
mod form;
mod guards;
mod ledger;
mod links;
mod mirror;
mod outcome;
mod plan;
mod policy;
mod properties;
mod reject_task;
mod rejects;
mod restoring;
mod status;
mod target;
mod written;

pub use apply::{ApplyReport, ApplyRequest, MaySend, apply};
pub use audit::{AuditedProperty, audit_properties};
pub use catch_up::catch_up;
pub use config::{
    CreateConfig, DeclaredType, GuardsConfig, InvalidWriteBack, LabelledOption, MatchConfig,
    MatchKey, Mode, Nulls, OnAbsent, OnRejectConfig, OptionConfig, Percent, Policy, PropertyConfig,
    TaskConfig, WriteBackConfig,
};
pub use error::LoadError;
pub use fit::{Misfit, can_be_record_id, misfit, property_type_of};
pub use guards::{Guard, GuardVerdict};
pub use links::{
    AssociateConfig, DeclaredLabel, EventConfig, LabelConfig, LinkPolicy, ListConfig,
    ObjectCreateConfig, SchemaConfig, parts, plan_part, write_back_of,
};
pub use outcome::{Counts, Outcome};
pub use plan::{
    Finish, FinishRequest, PlanFile, PlanFileError, PlanRequest, PlanSummary, PlannedChange,
    PlannedDefinition, PlannedRow, RenewRequest, Renewed, Store, UndoPart, UndoRequest,
    check_condition, check_plan_file, check_unapplied, debtors, finished, plan, plan_finish,
    plan_lines, plan_undo, planned_rows, read_plan_file, renew, undo_parts, write_plan_file,
};
pub use properties::{
    PlannedOptions, PlannedProperty, PropertyPlan, make_properties, plan_properties,
    property_advice,
};
pub use reject_task::{TaskRequest, Told, tell_of_rejects};
pub use rejects::{
    Reject, RejectFilter, RejectStatus, UnreadRecord, drop_rejects, find_rejects, keep_unread,
    rejects, retry_rejects,
};
pub use status::{OriginConfig, StatusConfig};
