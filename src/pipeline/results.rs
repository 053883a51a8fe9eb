//! What a run came to: `target/run_results.json` and the row in `system.runs`.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use super::outcome::Outcome;
use crate::extract::ObjectReport;
use crate::extract::source::CopyReport;
use crate::hubspot::CallCounts;
use crate::load::{Counts, GuardVerdict};

/// The version of the file's form; it grows when a field changes meaning.
const SCHEMA_VERSION: u32 = 1;

/// Everything one run of one pipeline did.
#[derive(Clone, Debug, Serialize)]
pub struct RunResults {
    /// The version of this form.
    pub schema_version: u32,
    /// The run's id, which plans, ledgers and rejects carry.
    pub run_id: String,
    /// The pipeline run.
    pub pipeline: String,
    /// What was asked for.
    pub mode: Mode,
    /// How it ended.
    pub status: Outcome,
    /// When it began.
    #[serde(serialize_with = "iso")]
    pub started_at: DateTime<Utc>,
    /// When it ended.
    #[serde(serialize_with = "iso")]
    pub finished_at: DateTime<Utc>,
    /// What the process exits with, were this its only run.
    pub exit_code: u8,
    /// Per object type extracted.
    pub objects: BTreeMap<String, ObjectReport>,
    /// Per source that was copied, or read without some of its files.
    pub sources: BTreeMap<String, SourceResult>,
    /// Per model built.
    pub models: BTreeMap<String, ModelResult>,
    /// Per write-back.
    pub write_back: BTreeMap<String, Counts>,
    /// Guards that were passed because somebody accepted it.
    pub accepted_guards: Vec<AcceptedGuard>,
    /// Calls to HubSpot.
    pub calls: CallResult,
    /// Seconds spent waiting for the rate budget.
    pub waited_seconds: f64,
    /// What went wrong or was left undone, one sentence each.
    pub problems: Vec<String>,
    /// Whether a guard has said no, and somebody may say yes.
    #[serde(skip)]
    pub stopped_by_guard: bool,
    #[serde(skip)]
    before: CallCounts,
}

/// What a run had to do with one of the user's own tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceResult {
    /// What copying it came to; absent where it is read in place.
    pub copied: Option<CopyReport>,
    /// Files that do not parse and were left out.
    pub skipped_files: u64,
}

/// A guard that a write-back would not have passed by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AcceptedGuard {
    /// The write-back.
    pub write_back: String,
    /// The guard, with the number found and the limit.
    #[serde(flatten)]
    pub verdict: GuardVerdict,
}

/// What building one model came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelResult {
    /// Rows in the model; absent for a view, which is not counted.
    pub rows: Option<u64>,
    /// Rows inserted, updated or deleted.
    pub changes: u64,
    /// Seconds it took.
    pub seconds: f64,
}

/// What a run was asked to do. In `plan` and `dry_run` the write-backs' figures
/// say what would be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The whole job.
    Run,
    /// The whole job with a writer that writes nothing.
    DryRun,
    /// Everything up to the plan.
    Plan,
    /// A stored plan.
    Apply,
    /// An earlier run taken back.
    Undo,
    /// Reading HubSpot only.
    Extract,
    /// Building models only.
    Build,
}

/// Calls made to HubSpot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CallResult {
    /// All attempts.
    pub total: u64,
    /// Those that were searches.
    pub search: u64,
    /// By status code; 0 where no answer came.
    pub by_status: BTreeMap<u16, u64>,
}

impl CallResult {
    /// The calls made from one count to a later one.
    fn between(before: &CallCounts, after: &CallCounts) -> Self {
        let earlier = |status: &u16| before.by_status.get(status).copied().unwrap_or(0);
        let by_status =
            after.by_status.iter().map(|(status, calls)| (*status, calls - earlier(status)));
        Self {
            total: after.total - before.total,
            search: after.search - before.search,
            by_status: by_status.filter(|(_, calls)| *calls > 0).collect(),
        }
    }
}

impl RunResults {
    /// The results of a run that begins now. `before` are the calls that this
    /// process has made already; they belong to others.
    pub fn begin(run_id: &str, pipeline: &str, mode: Mode, before: CallCounts) -> Self {
        let now = Utc::now();
        Self {
            schema_version: SCHEMA_VERSION,
            run_id: run_id.to_owned(),
            pipeline: pipeline.to_owned(),
            mode,
            status: Outcome::Succeeded,
            before,
            started_at: now,
            finished_at: now,
            exit_code: 0,
            objects: BTreeMap::new(),
            sources: BTreeMap::new(),
            models: BTreeMap::new(),
            write_back: BTreeMap::new(),
            accepted_guards: Vec::new(),
            calls: CallResult::default(),
            waited_seconds: 0.0,
            problems: Vec::new(),
            stopped_by_guard: false,
        }
    }

    /// Notes that a guard has stopped something.
    pub(super) fn stopped_by_guard(&mut self, sentence: String) {
        self.stopped_by_guard = true;
        self.problem(Outcome::GuardRefused, sentence);
    }

    /// Notes a failure and the sentence that tells of it.
    pub fn problem(&mut self, outcome: Outcome, sentence: String) {
        self.status.worsen(outcome);
        self.problems.push(sentence);
    }

    /// Keeps on record which guards a write-back passed by hand, and with what
    /// figures.
    pub(super) fn note_accepted(&mut self, write_back: &str, verdicts: &[GuardVerdict]) {
        let accepted = verdicts.iter().map(|verdict| AcceptedGuard {
            write_back: write_back.to_owned(),
            verdict: verdict.clone(),
        });
        self.accepted_guards.extend(accepted);
    }

    /// Closes the results: the time, the calls, the exit code.
    pub fn finish(&mut self, counts: &CallCounts) {
        self.finished_at = Utc::now();
        self.exit_code = self.status.exit_code();
        self.calls = CallResult::between(&self.before, counts);
        self.waited_seconds = counts.waited.saturating_sub(self.before.waited).as_secs_f64();
    }

    /// Seconds from begin to end.
    pub fn seconds(&self) -> f64 {
        (self.finished_at - self.started_at).as_seconds_f64()
    }

    /// Writes `target/run_results.json` under the project, and the same beside it
    /// under the pipeline's own name, which the next pipeline does not replace.
    /// Each is written whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(&self, project: &Path) -> std::io::Result<()> {
        let folder = project.join("target");
        let own = folder.join("run_results");
        std::fs::create_dir_all(&own)?;
        for path in [own.join(format!("{}.json", self.pipeline)), folder.join("run_results.json")] {
            let draft = path.with_extension("new");
            std::fs::write(&draft, self.to_json())?;
            std::fs::rename(&draft, &path)?;
        }
        Ok(())
    }

    /// The results as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self)
            .expect("numbers, texts and string-keyed maps are always JSON")
    }
}

fn iso<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
