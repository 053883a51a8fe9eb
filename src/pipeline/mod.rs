//! Reads a project's settings and runs its stages in order.
//!
//! The room composes: each stage's work belongs to the room below that does it.
//! Here stands what comes before what, what stops what, and what a run says of
//! itself at the end.

mod asking;
mod board;
mod building;
mod catalogue;
mod checking;
mod discovering;
mod error;
mod explaining;
mod extracting;
mod hanging;
mod history;
mod known;
mod outcome;
mod privacy;
mod properties;
mod renewing;
mod results;
mod run;
mod run_diff;
mod session;
pub mod settings;
mod sources;
mod standing;
mod undoing;
mod wanted;
mod writing;

pub use board::{ProgressBoard, ProgressLine};
pub use building::{BuildRequest, Built, build, engine};
pub use catalogue::{
    Catalogue, CatalogueColumn, CatalogueModel, CatalogueTable, CatalogueTest, CatalogueWriteBack,
    TableKind, catalogue,
};
pub use checking::{Checked, check_models};
pub use discovering::{Discovered, DiscoveredColumn, discover_hubspot, discover_sources};
pub use error::PipelineError;
pub use explaining::{Journey, Part, RecordRef, Step, batch as journey_batch, explain};
pub use extracting::{Extracted, extract, is_absence, keep_unread};
pub use history::{PastRun, StoredPlans, past_runs, record, stored_plans};
pub use known::{Definitions, Known, known_tables};
pub use outcome::Outcome;
pub use privacy::{PurgeOutcome, Purged, purge};
pub use properties::{DeclaredProperties, audit_properties, make_properties, plan_properties};
pub use renewing::{apply_renewed, plans_in_file, write_plan_file};
pub use results::{AcceptedGuard, CallResult, Mode, ModelResult, RunResults, SourceResult};
pub use run::{Finished, RunOptions, apply_stored, new_run_id, run};
pub use run_diff::diff_runs;
pub use session::{Session, check_account, connect, lock};
pub use settings::{PipelineConfig, Project, SettingsError};
pub use sources::{Copied, OpenedSources, bad_files, copy_sources, open_sources, open_sources_of};
pub use standing::table_status;
pub use undoing::{UndoOptions, has_sent, undo};
pub use wanted::{ObjectJob, Schemas, Wanted, check_names, wanted};
pub use writing::{Apply, WriteOptions};
