//! From HubSpot's answer to one finding per input, pure.
//!
//! A status says little: a 200 can leave out a merged-away record, a 207 can
//! hold nothing but failures, and results come in any order. An input is found
//! by its trace id, else by its record id, else by its lower-cased key, and
//! never by its place.

use std::collections::HashMap;

use crate::hubspot::{
    ApiError, BatchError, BatchReply, ErrorKind, PropertyRefusal, Record, WriteInput,
};
use crate::objects::RecordId;

/// What an answer says about one input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finding {
    /// The record is in the answer.
    Written(Record),
    /// HubSpot will not have it.
    Refused(Refusal),
    /// A record with this key exists; which one is not always said.
    Conflict { existing: Option<RecordId>, refusal: Refusal },
    /// An answer that does not mention the input: merged away, ignored, or lost.
    Silent,
    /// The answer reports a failure without saying whose: smaller batches tell.
    Unattributed(Refusal),
}

/// Why HubSpot refused an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) category: String,
    /// A sentence for a person.
    pub(crate) message: String,
    pub(crate) correlation_id: Option<String>,
    /// The properties that are to blame, where HubSpot says so, with its codes.
    pub(crate) properties: Vec<(String, String)>,
}

/// What an error says about a whole batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum BatchFate {
    /// Nothing was written, because of some input: halve until it stands alone.
    Halve(Refusal),
    /// Some, all or nothing was written.
    Unknown,
    /// Nothing was written, and nothing more can be for now.
    Stop,
}

/// The finding for every input, in the order of the inputs. `key_property` is
/// what identifies a record that is created.
pub(crate) fn settle(
    inputs: &[WriteInput],
    reply: &BatchReply,
    key_property: Option<&str>,
) -> Vec<Finding> {
    let index = Index::new(inputs, key_property);
    let mut findings: Vec<Option<Finding>> = vec![None; inputs.len()];
    for record in &reply.results {
        if let Some(at) = index.of_record(record, key_property) {
            findings[at] = Some(Finding::Written(record.clone()));
        }
    }
    let mut loose = Vec::new();
    for error in &reply.errors {
        let found = index.of_error(error);
        if found.is_empty() {
            loose.push(error);
        }
        for at in found
            .into_iter()
            .filter(|at| !matches!(findings[*at], Some(Finding::Written(_))))
            .collect::<Vec<_>>()
        {
            findings[at] = Some(finding(error, reply, key_property));
        }
    }
    attribute(&mut findings, &loose, reply, key_property);
    findings.into_iter().map(|finding| finding.unwrap_or(Finding::Silent)).collect()
}

/// What becomes of a batch that was answered with an error.
pub(crate) fn fate(kind: &ErrorKind, api: Option<&ApiError>) -> BatchFate {
    match (kind, api) {
        (ErrorKind::Interrupted | ErrorKind::BadResponse, _) => BatchFate::Unknown,
        (ErrorKind::Refused, Some(api)) => BatchFate::Halve(Refusal::of_call(api)),
        (ErrorKind::Refused, None) => BatchFate::Halve(Refusal {
            category: "REFUSED".into(),
            message: "HubSpot refused the row without saying why".into(),
            ..Refusal::default()
        }),
        _ => BatchFate::Stop,
    }
}

/// What an error says about the one input of a batch of one.
pub(crate) fn finding_of_one(
    api: Option<&ApiError>,
    refusal: Refusal,
    key_property: Option<&str>,
) -> Finding {
    match api {
        Some(api)
            if api.status == 409
                || api.category.as_deref() == Some("CONFLICT")
                || is_taken(&api.message, key_property) =>
        {
            let error = BatchError {
                message: api.message.clone(),
                context: api.context.clone(),
                ..BatchError::default()
            };
            Finding::Conflict { existing: error.existing_id(), refusal }
        }
        _ => Finding::Refused(refusal),
    }
}

/// Errors that name no input belong to inputs that nothing else explains: one
/// to one where both are alone, else to be found by halving.
fn attribute(
    findings: &mut [Option<Finding>],
    loose: &[&BatchError],
    reply: &BatchReply,
    key_property: Option<&str>,
) {
    let Some(error) = loose.first() else { return };
    let open: Vec<usize> = (0..findings.len()).filter(|at| findings[*at].is_none()).collect();
    for at in &open {
        findings[*at] = Some(match open.len() {
            1 => finding(error, reply, key_property),
            _ => Finding::Unattributed(Refusal::of_entry(error, reply)),
        });
    }
}

fn finding(error: &BatchError, reply: &BatchReply, key_property: Option<&str>) -> Finding {
    let refusal = Refusal::of_entry(error, reply);
    if error.category.as_deref() == Some("CONFLICT") || is_taken(&error.message, key_property) {
        Finding::Conflict { existing: error.existing_id(), refusal }
    } else {
        Finding::Refused(refusal)
    }
}

/// Whether a VALIDATION_ERROR says that another record has the key. Only an
/// email is refused as a CONFLICT; every other unique property with the text
/// `Cannot set PropertyValueCoordinates{…, propertyName=key, value=…} on N. M
/// already has that value.`
fn is_taken(message: &str, key_property: Option<&str>) -> bool {
    let names = |key: &str| message.contains(&format!("propertyName={key}, "));
    message.contains(" already has that value") && key_property.is_some_and(names)
}

impl Refusal {
    fn of_entry(error: &BatchError, reply: &BatchReply) -> Self {
        Self {
            category: error.category.clone().unwrap_or_else(|| "VALIDATION_ERROR".to_owned()),
            message: sentence(&error.message, &error.refusals),
            correlation_id: reply.correlation_id.clone(),
            properties: blamed(&error.refusals),
        }
    }

    fn of_call(api: &ApiError) -> Self {
        Self {
            category: api.category.clone().unwrap_or_else(|| api.status.to_string()),
            message: sentence(&api.message, &api.refusals),
            correlation_id: api.correlation_id.clone(),
            properties: blamed(&api.refusals),
        }
    }

    /// Whether every property to blame is one of these and simply not there yet.
    pub(crate) fn awaits(&self, created: &std::collections::BTreeSet<String>) -> bool {
        let waits = |(property, code): &(String, String)| {
            code == "PROPERTY_DOESNT_EXIST" && created.contains(property)
        };
        !self.properties.is_empty() && self.properties.iter().all(waits)
    }
}

fn blamed(refusals: &[PropertyRefusal]) -> Vec<(String, String)> {
    refusals.iter().map(|refusal| (refusal.property.clone(), refusal.code.clone())).collect()
}

/// HubSpot's own words; inside a batch the readable part is in the refusals and
/// the message is JSON.
fn sentence(message: &str, refusals: &[PropertyRefusal]) -> String {
    if refusals.is_empty() {
        return message.to_owned();
    }
    let each =
        refusals.iter().map(|refusal| format!("`{}`: {}", refusal.property, refusal.message));
    each.collect::<Vec<_>>().join("; ")
}

/// The inputs by everything that an answer may name them by.
struct Index<'a> {
    by_trace: HashMap<&'a str, usize>,
    by_id: HashMap<&'a str, usize>,
    by_key: HashMap<String, usize>,
}

impl<'a> Index<'a> {
    fn new(inputs: &'a [WriteInput], key_property: Option<&str>) -> Self {
        let numbered = || inputs.iter().enumerate();
        let key = |input: &WriteInput| Some(input.properties.get(key_property?)?.to_lowercase());
        let by_property =
            |input: &WriteInput| input.id.clone().filter(|_| input.id_property.is_some());
        Self {
            by_trace: numbered().map(|(at, input)| (input.trace_id.as_str(), at)).collect(),
            by_id: numbered().filter_map(|(at, input)| Some((input.id.as_deref()?, at))).collect(),
            by_key: numbered()
                .filter_map(|(at, input)| {
                    Some((key(input).or_else(|| by_property(input))?.to_lowercase(), at))
                })
                .collect(),
        }
    }

    fn of_record(&self, record: &Record, key_property: Option<&str>) -> Option<usize> {
        let by_trace = record.trace_id.as_deref().and_then(|trace| self.by_trace.get(trace));
        let key = || Some(record.properties.get(key_property?)?.as_deref()?.to_lowercase());
        by_trace
            .or_else(|| self.by_id.get(record.id.to_string().as_str()))
            .or_else(|| self.by_key.get(&key()?))
            .copied()
    }

    fn of_error(&self, error: &BatchError) -> Vec<usize> {
        let by_trace =
            error.trace_ids().iter().filter_map(|trace| self.by_trace.get(trace.as_str()).copied());
        let found: Vec<usize> = by_trace.collect();
        if !found.is_empty() {
            return found;
        }
        let of_id = |id: &String| {
            self.by_id.get(id.as_str()).or_else(|| self.by_key.get(&id.to_lowercase())).copied()
        };
        error.ids().iter().filter_map(of_id).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn update(id: i64, trace: &str) -> WriteInput {
        WriteInput {
            id: Some(id.to_string()),
            id_property: None,
            properties: BTreeMap::new(),
            trace_id: trace.into(),
        }
    }

    fn create(email: &str, trace: &str) -> WriteInput {
        let properties = BTreeMap::from([("email".to_owned(), email.to_owned())]);
        WriteInput { id: None, id_property: None, properties, trace_id: trace.into() }
    }

    fn record(id: i64, trace: Option<&str>) -> Record {
        Record {
            id: RecordId(id),
            properties: BTreeMap::new(),
            created_at: None,
            updated_at: None,
            archived: false,
            trace_id: trace.map(str::to_owned),
            is_new: None,
        }
    }

    fn error(category: &str, context: &[(&str, &[&str])]) -> BatchError {
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        BatchError {
            category: Some(category.to_owned()),
            message: "No".to_owned(),
            context: context.iter().map(|(key, all)| ((*key).to_owned(), values(all))).collect(),
            ..BatchError::default()
        }
    }

    fn reply(results: Vec<Record>, errors: Vec<BatchError>) -> BatchReply {
        BatchReply { status: 207, results, errors, correlation_id: Some("c-1".into()) }
    }

    /// One word per input.
    fn words(inputs: &[WriteInput], reply: &BatchReply) -> Vec<String> {
        let word = |finding: Finding| match finding {
            Finding::Written(record) => format!("written {}", record.id),
            Finding::Refused(refusal) => format!("refused {}", refusal.category),
            Finding::Conflict { existing, .. } => {
                format!("conflict {}", existing.map_or("?".into(), |id| id.to_string()))
            }
            Finding::Silent => "silent".into(),
            Finding::Unattributed(_) => "unattributed".into(),
        };
        settle(inputs, reply, Some("email")).into_iter().map(word).collect()
    }

    #[test]
    fn results_in_any_order_find_their_inputs() {
        let inputs = [update(1, "a"), update(2, "b")];
        let by_trace = reply(vec![record(2, Some("b")), record(1, Some("a"))], vec![]);
        assert_eq!(words(&inputs, &by_trace), ["written 1", "written 2"]);
        let by_id = reply(vec![record(2, None), record(1, None)], vec![]);
        assert_eq!(words(&inputs, &by_id), ["written 1", "written 2"]);
    }

    #[test]
    fn a_created_record_without_trace_is_found_by_its_lower_cased_key() {
        let inputs = [create("Ann@x.de", "a"), create("bob@x.de", "b")];
        let mut ann = record(7, None);
        ann.properties.insert("email".into(), Some("ann@x.de".into()));
        assert_eq!(words(&inputs, &reply(vec![ann], vec![])), ["written 7", "silent"]);
    }

    #[test]
    fn a_bad_value_sinks_only_its_own_row() {
        let inputs = [update(1, "a"), update(2, "b")];
        let bad = error("VALIDATION_ERROR", &[("objectWriteTraceId", &["b"])]);
        assert_eq!(
            words(&inputs, &reply(vec![record(1, Some("a"))], vec![bad])),
            ["written 1", "refused VALIDATION_ERROR"]
        );
    }

    #[test]
    fn an_email_that_is_taken_names_its_holder() {
        let inputs = [create("a@x.de", "a"), create("b@x.de", "b")];
        let taken = error("CONFLICT", &[("objectWriteTraceId", &["a"]), ("existingId", &["51"])]);
        assert_eq!(
            words(&inputs, &reply(vec![record(9, Some("b"))], vec![taken])),
            ["conflict 51", "written 9"]
        );
    }

    #[test]
    fn unknown_ids_come_in_one_aggregated_error() {
        let inputs = [update(1, "a"), update(2, "b"), update(3, "c")];
        let missing = error("OBJECT_NOT_FOUND", &[("ids", &["1", "3"])]);
        assert_eq!(
            words(&inputs, &reply(vec![record(2, Some("b"))], vec![missing])),
            ["refused OBJECT_NOT_FOUND", "written 2", "refused OBJECT_NOT_FOUND"]
        );
    }

    #[test]
    fn a_merged_away_record_is_silent_and_so_is_an_empty_success() {
        let inputs = [update(1, "a"), update(2, "b")];
        assert_eq!(
            words(&inputs, &reply(vec![record(2, Some("b"))], vec![])),
            ["silent", "written 2"]
        );
        assert_eq!(words(&inputs, &reply(vec![], vec![])), ["silent", "silent"]);
    }

    #[test]
    fn a_failure_that_names_nobody_is_halved_unless_one_is_left() {
        let inputs = [update(1, "a"), update(2, "b"), update(3, "c")];
        let vague = error("VALIDATION_ERROR", &[]);
        let one_left = reply(vec![record(1, None), record(2, None)], vec![vague.clone()]);
        assert_eq!(
            words(&inputs, &one_left),
            ["written 1", "written 2", "refused VALIDATION_ERROR"]
        );
        let two_left = reply(vec![record(1, None)], vec![vague]);
        assert_eq!(words(&inputs, &two_left), ["written 1", "unattributed", "unattributed"]);
    }

    #[test]
    fn results_of_records_never_sent_are_left_alone() {
        assert_eq!(
            words(&[update(1, "a")], &reply(vec![record(99, Some("z"))], vec![])),
            ["silent"]
        );
    }

    fn api(status: u16, category: &str, message: &str) -> ApiError {
        ApiError {
            status,
            category: Some(category.into()),
            message: message.into(),
            ..ApiError::default()
        }
    }

    #[test]
    fn a_whole_batch_refused_is_halved() {
        for (status, category) in [(400, "VALIDATION_ERROR"), (409, "CONFLICT")] {
            let api = api(status, category, "No");
            assert!(
                matches!(fate(&ErrorKind::Refused, Some(&api)), BatchFate::Halve(_)),
                "{status}"
            );
        }
    }

    #[test]
    fn lost_answers_are_unknown_and_limits_stop() {
        assert_eq!(fate(&ErrorKind::Interrupted, None), BatchFate::Unknown);
        assert_eq!(fate(&ErrorKind::BadResponse, None), BatchFate::Unknown);
        for kind in [
            ErrorKind::DailyLimit { resets_at: None },
            ErrorKind::Unavailable,
            ErrorKind::Auth,
            ErrorKind::NotFound,
            ErrorKind::MissingScope(vec![]),
        ] {
            assert_eq!(fate(&kind, None), BatchFate::Stop, "{kind:?}");
        }
    }

    #[test]
    fn a_lone_conflict_is_found_in_its_message() {
        let api = api(409, "CONFLICT", "Contact already exists. Existing ID: 51");
        let existing = match finding_of_one(Some(&api), Refusal::default(), None) {
            Finding::Conflict { existing, .. } => existing,
            other => panic!("{other:?}"),
        };
        assert_eq!(existing, Some(RecordId(51)));
    }

    #[test]
    fn a_taken_key_of_ones_own_is_a_conflict_and_another_unique_value_is_not() {
        let text = |name: &str| {
            format!(
                "Cannot set PropertyValueCoordinates{{portalId=1, objectTypeId=ObjectTypeId{{legacyObjectType=COMPANY}}, \
                 propertyName={name}, value=K-1}} on 7. 51 already has that value."
            )
        };
        for (name, is_conflict) in [("ext_key", true), ("other_key", false)] {
            let refused = api(400, "VALIDATION_ERROR", &text(name));
            let alone = finding_of_one(Some(&refused), Refusal::default(), Some("ext_key"));
            let entry = BatchError { message: text(name), ..error("VALIDATION_ERROR", &[]) };
            let in_batch = finding(&entry, &reply(vec![], vec![]), Some("ext_key"));
            for found in [alone, in_batch] {
                let holder = match found {
                    Finding::Conflict { existing, .. } => existing,
                    _ => None,
                };
                assert_eq!(holder, Some(RecordId(51)).filter(|_| is_conflict), "{name}");
            }
        }
    }

    #[test]
    fn only_properties_just_created_are_waited_for() {
        let created = ["score".to_owned()].into();
        let refusal = |names: &[(&str, &str)]| Refusal {
            properties: names
                .iter()
                .map(|(name, code)| ((*name).to_owned(), (*code).to_owned()))
                .collect(),
            ..Refusal::default()
        };
        assert!(refusal(&[("score", "PROPERTY_DOESNT_EXIST")]).awaits(&created));
        assert!(!refusal(&[("other", "PROPERTY_DOESNT_EXIST")]).awaits(&created));
        assert!(!refusal(&[("score", "INVALID_OPTION")]).awaits(&created));
        assert!(!refusal(&[]).awaits(&created));
    }
}
