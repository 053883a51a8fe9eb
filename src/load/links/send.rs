//! The calls of each part, and what their answers say of each row.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use super::decide::{LABEL_ONLY, Type, has_other_labels, labels};
use super::deliver::{Finding, Task};
use super::part::Part;
use super::plan::READ_AT_ONCE;
use super::types::by_record;
use crate::hubspot::{BatchError, Client, CustomEvent, Error, LinkEnd, LinkReply};
use crate::load::apply::settle::Refusal;
use crate::load::outcome::Outcome;
use crate::objects::{AssociationType, ObjectType, RecordId};

/// How a part speaks with HubSpot.
pub(crate) enum Road {
    /// Associations of one type with another object type.
    Associations {
        to: ObjectType,
        kind: AssociationType,
        /// The pairs are read before they are written, as the plan is not fresh.
        read_first: bool,
    },
    /// Members of the list of this id.
    Members(String),
    /// Occurrences of this event.
    Events(String),
    /// Nobody: answers as HubSpot would if all went well.
    Nobody,
}

/// The associations of some records: by record, by other record.
type Held = HashMap<i64, BTreeMap<i64, BTreeSet<Type>>>;

impl Road {
    /// Sends one batch; a finding for every row, in order.
    pub(crate) async fn send(
        &self,
        client: &Client,
        part: &Part,
        unlinks: bool,
        tasks: &[Task],
    ) -> Result<Vec<Finding>, Error> {
        match self {
            Self::Nobody => Ok(tasks.iter().map(|task| Finding::Done(task.planned)).collect()),
            Self::Members(list) => members(client, list, unlinks, tasks).await,
            Self::Events(name) => events(client, name, tasks).await,
            Self::Associations { to, kind, read_first } => {
                let links = Links { client, part, to, kind };
                match unlinks {
                    true => links.take_back(tasks).await,
                    false => links.make(tasks, *read_first).await,
                }
            }
        }
    }

    /// Whether HubSpot has each row as it is wanted by now; none where nothing
    /// tells.
    ///
    /// # Errors
    /// As any read.
    pub(crate) async fn is_done(
        &self,
        client: &Client,
        part: &Part,
        unlinks: bool,
        tasks: &[Task],
    ) -> Result<Option<Vec<bool>>, Error> {
        let Self::Associations { to, kind, .. } = self else { return Ok(None) };
        let links = Links { client, part, to, kind };
        let held = links.read(tasks).await?;
        let is_done = |task: &Task| match unlinks {
            true => links.is_gone(&held, task),
            false => links.has(&held, task),
        };
        Ok(Some(tasks.iter().map(is_done).collect()))
    }

    /// Whether sending a row again does what sending it once does.
    pub(crate) fn bears_repeating(&self) -> bool {
        !matches!(self, Self::Events(_))
    }
}

struct Links<'a> {
    client: &'a Client,
    part: &'a Part,
    to: &'a ObjectType,
    kind: &'a AssociationType,
}

impl Links<'_> {
    async fn read(&self, tasks: &[Task]) -> Result<Held, Error> {
        let ids: BTreeSet<RecordId> = tasks.iter().map(|task| RecordId(task.record)).collect();
        let ids: Vec<RecordId> = ids.into_iter().collect();
        let mut held = Held::new();
        for ids in ids.chunks(READ_AT_ONCE) {
            held.extend(by_record(
                self.client.associations(&self.part.object, self.to, ids).await?,
            ));
        }
        Ok(held)
    }

    fn types<'b>(&self, held: &'b Held, task: &Task) -> Option<&'b BTreeSet<Type>> {
        held.get(&task.record).and_then(|others| others.get(&task.other))
    }

    fn has(&self, held: &Held, task: &Task) -> bool {
        let wanted = self.kind.label.as_deref();
        self.types(held, task).is_some_and(|types| match wanted {
            None => !types.is_empty(),
            Some(_) => types.iter().any(|(.., label)| label.as_deref() == wanted),
        })
    }

    /// Makes associations. What is sent replaces the labels of a pair, so pairs
    /// that have some are read and sent with all of them.
    async fn make(&self, tasks: &[Task], read_first: bool) -> Result<Vec<Finding>, Error> {
        let labelled: Vec<Task> =
            tasks.iter().filter(|task| read_first || !task.old.is_empty()).cloned().collect();
        let held = self.read(&labelled).await?;
        let mut findings: Vec<Option<Finding>> = vec![None; tasks.len()];
        let mut pairs = Vec::new();
        for (at, task) in tasks.iter().enumerate() {
            if self.has(&held, task) && !task.lost {
                // Somebody was faster, and what they made is theirs.
                findings[at] = Some(Finding::Done(Outcome::Unchanged));
                continue;
            }
            if let Some(other) = self.new_primary(&held, task) {
                findings[at] = Some(Finding::Left(format!(
                    "Record {other} became the primary one after the plan was made: the next plan decides"
                )));
                continue;
            }
            let mut types: BTreeSet<(String, i64)> = self
                .types(&held, task)
                .into_iter()
                .flatten()
                .map(|(category, id, _)| (category.clone(), *id))
                .collect();
            types.insert((self.kind.category.as_str().to_owned(), self.kind.type_id));
            pairs.push((at, self.pair(task, types)));
        }
        if !pairs.is_empty() {
            let sent: Vec<LinkEnd> = pairs.iter().map(|(_, pair)| pair.clone()).collect();
            let reply = self.client.associate(&self.part.object, self.to, &sent).await?;
            let settled = settle(&sent, &reply);
            for ((at, _), finding) in pairs.into_iter().zip(settled) {
                findings[at] = Some(match finding {
                    Finding::Done(_) => Finding::Done(tasks[at].planned),
                    other => other,
                });
            }
        }
        Ok(findings.into_iter().map(|finding| finding.unwrap_or(Finding::Silent)).collect())
    }

    /// Another record that is the primary one and was not when the plan was made.
    fn new_primary(&self, held: &Held, task: &Task) -> Option<i64> {
        if !self.part.is_primary() || task.overwrites {
            return None;
        }
        let mut others = held.get(&task.record)?.iter().filter(|(other, _)| **other != task.other);
        let is_primary = |types: &BTreeSet<Type>| {
            types.iter().any(|(.., label)| label.as_deref() == self.kind.label.as_deref())
        };
        others.find(|(_, types)| is_primary(types)).map(|(other, _)| *other)
    }

    /// Takes associations back: the label alone where the pair is somebody
    /// else's too. The answers tell of no pair, so that each is read afterwards.
    async fn take_back(&self, tasks: &[Task]) -> Result<Vec<Finding>, Error> {
        let held = self.read(tasks).await?;
        let mut findings: Vec<Option<Finding>> = vec![None; tasks.len()];
        let (mut whole, mut label) = (Vec::new(), Vec::new());
        for (at, task) in tasks.iter().enumerate() {
            let types = self.types(&held, task);
            let Some(types) = types.filter(|_| !self.is_gone(&held, task)) else {
                // Somebody was faster. It is no longer ours either way, and the
                // ledger has to know that.
                findings[at] = Some(Finding::Done(Outcome::Archived));
                continue;
            };
            // What was made before in this run can have moved the primary label.
            let now = labels(types);
            if now != task.old && !task.lost && !self.part.is_primary() {
                findings[at] = Some(Finding::Left(format!(
                    "Its labels were changed after the plan was made (now {now}): the next plan decides"
                )));
                continue;
            }
            if is_label_only(task) {
                let kind = (self.kind.category.as_str().to_owned(), self.kind.type_id);
                label.push(self.pair(task, BTreeSet::from([kind])));
            } else if has_other_labels(types, self.part.label()) {
                findings[at] = Some(Finding::Left(
                    "Somebody gave it another label: the next plan decides".to_owned(),
                ));
            } else {
                whole.push(self.pair(task, BTreeSet::new()));
            }
        }
        let (from, to) = (&self.part.object, self.to);
        if !whole.is_empty() {
            self.client.dissociate(from, to, &whole).await?;
        }
        if !label.is_empty() {
            self.client.unlabel(from, to, &label).await?;
        }
        Ok(findings.into_iter().map(|finding| finding.unwrap_or(Finding::Silent)).collect())
    }

    /// Whether what is to be taken back is there no more.
    fn is_gone(&self, held: &Held, task: &Task) -> bool {
        match is_label_only(task) {
            true => !self.has(held, task),
            false => self.types(held, task).is_none(),
        }
    }

    fn pair(&self, task: &Task, types: BTreeSet<(String, i64)>) -> LinkEnd {
        LinkEnd { from: RecordId(task.record), to: RecordId(task.other), types }
    }
}

/// Whether the pair stays and only its label goes.
fn is_label_only(task: &Task) -> bool {
    task.category.as_deref() == Some(LABEL_ONLY)
}

/// What the answer to an association batch says of each pair. Success names
/// the pair; a failure mostly names one id in its text, or nothing.
fn settle(sent: &[LinkEnd], reply: &LinkReply) -> Vec<Finding> {
    let is_linked = |pair: &LinkEnd| reply.linked.contains(&(pair.from, pair.to));
    let open = sent.iter().filter(|pair| !is_linked(pair)).count();
    let refusal = |error: &BatchError| Refusal {
        category: error.category.clone().unwrap_or_else(|| "VALIDATION_ERROR".to_owned()),
        message: error.message.clone(),
        correlation_id: reply.correlation_id.clone(),
        ..Refusal::default()
    };
    let of_pair = |pair: &LinkEnd| {
        if is_linked(pair) {
            return Finding::Done(Outcome::Created);
        }
        if let Some(error) = reply.errors.iter().find(|error| blames(error, pair)) {
            return Finding::Refused(refusal(error));
        }
        match reply.errors.first() {
            None => Finding::Silent,
            Some(error) if open == 1 => Finding::Refused(refusal(error)),
            Some(error) => Finding::Unattributed(refusal(error)),
        }
    };
    sent.iter().map(of_pair).collect()
}

/// Whether an error is about a pair beyond doubt: by the ids of its context, or
/// by the one text that names a record that does not exist
/// (`CONTACT=1234 is not valid`, observed).
fn blames(error: &BatchError, pair: &LinkEnd) -> bool {
    let named = |key: &str, id: RecordId| {
        error.context.get(key).is_some_and(|ids| ids.contains(&id.to_string()))
    };
    let by_context = match (
        error.context.contains_key("fromObjectId"),
        error.context.contains_key("toObjectId"),
    ) {
        (true, true) => named("fromObjectId", pair.from) && named("toObjectId", pair.to),
        (true, false) => named("fromObjectId", pair.from),
        (false, true) => named("toObjectId", pair.to),
        (false, false) => false,
    };
    let invalid =
        error.message.strip_suffix(" is not valid").and_then(|text| text.rsplit_once('='));
    let by_text = invalid.is_some_and(|(_, id)| {
        // Both sides can have one id; then either reading is of this pair.
        id == pair.from.to_string() || id == pair.to.to_string()
    });
    by_context || by_text
}

async fn members(
    client: &Client,
    list: &str,
    unlinks: bool,
    tasks: &[Task],
) -> Result<Vec<Finding>, Error> {
    let ids: Vec<RecordId> = tasks.iter().map(|task| RecordId(task.record)).collect();
    let (add, remove): (&[RecordId], &[RecordId]) = if unlinks { (&[], &ids) } else { (&ids, &[]) };
    let change = client.change_members(list, add, remove).await?;
    let finding = |task: &Task| {
        let id = RecordId(task.record);
        if change.missing.contains(&id) && !unlinks {
            return Finding::Refused(Refusal {
                category: "OBJECT_NOT_FOUND".to_owned(),
                message: "HubSpot has no record of this id".to_owned(),
                ..Refusal::default()
            });
        }
        // Left out of the answer: it was there, or gone, before (observed). The ledger has to
        // know what is gone, or a person who adds it again would lose it.
        match unlinks || change.added.contains(&id) || task.lost {
            true => Finding::Done(task.planned),
            false => Finding::Done(Outcome::Unchanged),
        }
    };
    Ok(tasks.iter().map(finding).collect())
}

async fn events(client: &Client, name: &str, tasks: &[Task]) -> Result<Vec<Finding>, Error> {
    let events: Vec<CustomEvent> = tasks.iter().map(|task| event(name, task)).collect();
    client.send_events(&events).await?;
    Ok(tasks.iter().map(|task| Finding::Done(task.planned)).collect())
}

/// The event of a row, whose value in the plan is its body.
fn event(name: &str, task: &Task) -> CustomEvent {
    let body: serde_json::Value = serde_json::from_str(&task.new).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let properties = body["properties"].as_object().into_iter().flatten();
    CustomEvent {
        event_name: name.to_owned(),
        object_id: task.record.to_string(),
        occurred_at: text(&body["occurredAt"]),
        uuid: event_id(name, task.record, &task.property),
        properties: properties
            .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
            .collect(),
    }
}

/// The id of an occurrence: the same for the same event, record and key, in every
/// run and on every machine. Of two records with one key, HubSpot would take the
/// second for the first again.
fn event_id(name: &str, record: i64, key: &str) -> String {
    let digest = Sha256::digest(format!("hublake\n{name}\n{record}\n{key}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(from: i64, to: i64) -> LinkEnd {
        LinkEnd { from: RecordId(from), to: RecordId(to), types: BTreeSet::new() }
    }

    fn reply(linked: &[(i64, i64)], messages: &[&str]) -> LinkReply {
        LinkReply {
            linked: linked.iter().map(|(from, to)| (RecordId(*from), RecordId(*to))).collect(),
            errors: messages
                .iter()
                .map(|message| BatchError {
                    message: (*message).to_owned(),
                    ..BatchError::default()
                })
                .collect(),
            correlation_id: Some("c".into()),
        }
    }

    fn words(sent: &[LinkEnd], reply: &LinkReply) -> Vec<&'static str> {
        let word = |finding: Finding| match finding {
            Finding::Done(_) => "done",
            Finding::Refused(_) => "refused",
            Finding::Unattributed(_) => "unattributed",
            Finding::Silent => "silent",
            Finding::Left(_) => "left",
        };
        settle(sent, reply).into_iter().map(word).collect()
    }

    #[test]
    fn a_record_that_is_not_there_sinks_only_its_own_pairs() {
        let sent = [pair(1, 9), pair(2, 9), pair(3, 8)];
        let reply = reply(&[(1, 9)], &["CONTACT=2 is not valid", "COMPANY=8 is not valid"]);
        assert_eq!(words(&sent, &reply), ["done", "refused", "refused"]);
    }

    #[test]
    fn a_failure_that_names_nobody_is_found_by_halving() {
        let sent = [pair(1, 9), pair(2, 9)];
        let vague = "Object has 10 associations of type 28, which is the limit";
        assert_eq!(words(&sent, &reply(&[], &[vague])), ["unattributed", "unattributed"]);
        assert_eq!(words(&sent, &reply(&[(1, 9)], &[vague])), ["done", "refused"]);
        assert_eq!(words(&sent, &reply(&[(1, 9)], &[])), ["done", "silent"]);
    }

    #[test]
    fn an_event_has_one_id_for_ever() {
        let id = event_id("pe1_signed_in", 1, "k");
        assert_eq!(id, event_id("pe1_signed_in", 1, "k"));
        assert_ne!(id, event_id("pe1_signed_in", 1, "l"));
        assert_ne!(id, event_id("pe1_signed_in", 2, "k"));
        assert_eq!(uuid::Uuid::parse_str(&id).expect("a UUID").get_version_num(), 8);
    }
}
