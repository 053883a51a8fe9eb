//! What hangs on the objects: associations, former values, lists.

use super::error::extract_outcome;
use super::extracting::{Extracted, table_of};
use super::outcome::Outcome;
use super::session::Session;
use super::wanted::{ObjectJob, Wanted};
use crate::extract::chain;
use crate::extract::{
    self, ASSOCIATIONS, AssociationSync, AssociationTarget, HistorySync, LIST_MEMBERSHIPS,
    ListsConfig, ListsReport, PROPERTY_HISTORY, PairOutcome,
};
use crate::lake::TableName;

/// Reads everything that hangs on the objects just read.
pub(super) async fn extract(session: &Session<'_>, wanted: &Wanted, extracted: &mut Extracted) {
    let jobs = extracted.jobs.clone();
    let mut refused = Vec::new();
    for job in jobs.iter().filter(|job| !job.targets.is_empty()) {
        if session.stop.is_cancelled() {
            break;
        }
        if !is_behind(extracted, job, ASSOCIATIONS) {
            associations(session, job, extracted, &mut refused).await;
        }
    }
    tell_refused(extracted, &refused);
    for job in jobs.iter().filter(|job| !job.config.history.is_nothing()) {
        if session.stop.is_cancelled() {
            break;
        }
        if !is_behind(extracted, job, PROPERTY_HISTORY) {
            history(session, job, extracted).await;
        }
    }
    if let Some(config) = wanted.lists.filter(|_| !session.stop.is_cancelled()) {
        lists(session, config, extracted).await;
    }
}

/// Whether the mirror of an object failed, and a table that hangs on it is thus
/// not to be trusted either.
fn is_behind(extracted: &mut Extracted, job: &ObjectJob, table: &str) -> bool {
    let reason = extracted.incomplete.get(&table_of(&job.object)).cloned();
    let is_behind = reason.is_some();
    extracted.incomplete.extend(reason.map(|reason| (sql_name(table), reason)));
    is_behind
}

fn sql_name(table: &str) -> String {
    TableName::hubspot(table).to_string()
}

fn count_calls(extracted: &mut Extracted, job: &ObjectJob, calls: u64) {
    if let Some(report) = extracted.objects.get_mut(job.object.name()) {
        report.calls += calls;
    }
}

async fn associations(
    session: &Session<'_>,
    job: &ObjectJob,
    extracted: &mut Extracted,
    refused: &mut Vec<String>,
) {
    let from = &job.object;
    let sync = AssociationSync {
        client: &session.client,
        lake: &session.lake,
        from,
        targets: &job.targets,
        commit_rows: job.config.commit_rows,
        stop: &session.stop,
    };
    let table = sql_name(ASSOCIATIONS);
    let (outcomes, calls) = match extract::sync_associations(&sync).await {
        Ok(synced) => synced,
        Err(error) => {
            let sentence = format!("Associations of `{from}` were not stored: {}", chain(&error));
            return extracted.fail(&table, extract_outcome(&error), sentence);
        }
    };
    count_calls(extracted, job, calls);
    for (AssociationTarget { to, named }, outcome) in outcomes {
        match outcome {
            PairOutcome::Read => {}
            PairOutcome::Refused(_) if !named => refused.push(format!("`{from}` to `{to}`")),
            PairOutcome::Interrupted => {
                let sentence = format!(
                    "Associations of `{from}` to `{to}` were stopped; the next run goes on"
                );
                extracted.fail(&table, Outcome::Interrupted, sentence);
            }
            PairOutcome::Refused(error) | PairOutcome::Failed(error) => {
                let sentence =
                    format!("Associations of `{from}` to `{to}` were not read: {}", chain(&error));
                extracted.fail(&table, extract_outcome(&error), sentence);
            }
        }
    }
}

/// One sentence for all the pairs that `associations: all` tried in vain.
fn tell_refused(extracted: &mut Extracted, refused: &[String]) {
    if !refused.is_empty() {
        let sentence = format!(
            "HubSpot shows no associations of these pairs, which `associations: all` left out: {}",
            refused.join(", ")
        );
        extracted.problems.push((Outcome::Succeeded, sentence));
    }
}

async fn history(session: &Session<'_>, job: &ObjectJob, extracted: &mut Extracted) {
    let object = &job.object;
    let sync = HistorySync {
        client: &session.client,
        lake: &session.lake,
        object,
        definitions: extracted.definitions.get(object).map_or(&[], Vec::as_slice),
        config: &job.config,
        stop: &session.stop,
    };
    let (report, error) = extract::sync_history(&sync).await;
    tracing::info!(%object, inserted = report.inserted, calls = report.calls, "Read former values");
    count_calls(extracted, job, report.calls);
    let table = sql_name(PROPERTY_HISTORY);
    if let Some(error) = error {
        let sentence = format!("History of `{object}` was not read to its end: {}", chain(&error));
        extracted.fail(&table, extract_outcome(&error), sentence);
    } else if report.interrupted {
        let sentence = format!("History of `{object}` was stopped; the next run goes on");
        extracted.fail(&table, Outcome::Interrupted, sentence);
    }
}

async fn lists(session: &Session<'_>, config: ListsConfig, extracted: &mut Extracted) {
    let synced = extract::sync_lists(&session.client, &session.lake, config, &session.stop).await;
    let members = sql_name(LIST_MEMBERSHIPS);
    match synced {
        Ok(report) => note_lists(extracted, &report, &members),
        Err(error) => {
            let sentence = format!("Lists were not read to their end: {}", chain(&error));
            extracted.incomplete.insert(sql_name("lists"), sentence.clone());
            extracted.fail(&members, extract_outcome(&error), sentence);
        }
    }
}

fn note_lists(extracted: &mut Extracted, report: &ListsReport, members: &str) {
    tracing::info!(
        lists = report.lists,
        read = report.read,
        written = report.written,
        left = report.left,
        "Read lists",
    );
    for (list, error) in &report.refused {
        let sentence = format!("Members of list `{list}` were not read: {}", chain(error));
        extracted.fail(members, extract_outcome(error), sentence);
    }
    if report.interrupted {
        let sentence = "Lists were stopped before their end; the next run goes on".to_owned();
        extracted.fail(members, Outcome::Interrupted, sentence);
    }
}
