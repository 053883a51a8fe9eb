//! Answers held against descriptions of HubSpot's API that nobody here wrote.
//!
//! The descriptions are OpenAPI 3.0 files, one an API, in a folder beside the
//! repository; where the folder is missing there is nothing to check. They are
//! read strictly: a member that a description does not know is a mistake like
//! one of the wrong type, so that a misspelt field cannot pass as an extra one.
//! Where the service is known to differ, [`EXCEPTIONS`] says so.

mod exceptions;
mod paths;

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

pub(crate) use exceptions::{Differs, EXCEPTIONS, Exception};
use paths::{DatedPaths, fits, wildcard};

/// One answer, and what it answers.
pub(crate) struct Answered<'a> {
    pub(crate) method: &'a str,
    /// With or without a query.
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) body: &'a str,
}

/// What a check came to.
#[derive(Default)]
pub(crate) struct Checked {
    /// Exceptions without which there would be mistakes.
    pub(crate) used: Vec<&'static Exception>,
    /// What no description and no exception allows.
    pub(crate) mistakes: Vec<String>,
}

/// An operation of a description.
struct Operation {
    /// Its file's place in [`Descriptions::files`].
    file: usize,
    /// `METHOD /path/{placeholder}`.
    name: String,
    /// What it may answer: by status or `default`, the schema or none.
    responses: BTreeMap<String, Option<Value>>,
}

/// All descriptions.
pub(crate) struct Descriptions {
    /// The schemas of each file, made strict.
    files: Vec<Value>,
    operations: Vec<Operation>,
    dated: DatedPaths,
    /// Compiled as they are needed, by operation and status.
    validators: Mutex<HashMap<(String, String), Arc<Validator>>>,
}

/// One way in which an answer differs from its description.
struct Difference {
    place: String,
    differs: Differs,
    told: String,
}

impl Descriptions {
    /// Those beside the repository, or where `HUBLAKE_OPENAPI` says; none, and
    /// a line that says so, where there are none.
    pub(crate) fn found() -> Option<&'static Self> {
        static FOUND: OnceLock<Option<Descriptions>> = OnceLock::new();
        let found = FOUND.get_or_init(|| {
            let told = env::var_os("HUBLAKE_OPENAPI").map(PathBuf::from);
            let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/hubspot-openapi");
            let folder = told.unwrap_or(beside);
            if !folder.is_dir() {
                println!("{} is missing: answers are not checked", folder.display());
                return None;
            }
            Some(Self::read(&folder))
        });
        found.as_ref()
    }

    fn read(folder: &Path) -> Self {
        let mut descriptions = Self {
            files: Vec::new(),
            operations: Vec::new(),
            dated: DatedPaths::default(),
            validators: Mutex::default(),
        };
        let entries = fs::read_dir(folder).expect("the folder of descriptions can be read");
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "json")) {
            let text = fs::read_to_string(path).expect("a description can be read");
            let content: Value = serde_json::from_str(&text).expect("a description is JSON");
            match content.get("paths") {
                Some(_) => descriptions.add(&content),
                None => descriptions.dated = DatedPaths::read(&content),
            }
        }
        assert!(descriptions.operations.len() > 200, "{}: too few operations", folder.display());
        descriptions
    }

    fn add(&mut self, content: &Value) {
        let file = self.files.len();
        for (path, methods) in content["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let Some(responses) = operation["responses"].as_object() else { continue };
                let schema = |response: &Value| {
                    response.pointer("/content/application~1json/schema").cloned().map(strict)
                };
                let responses = responses.iter();
                self.operations.push(Operation {
                    file,
                    name: format!("{} {path}", method.to_uppercase()),
                    responses: responses
                        .map(|(status, response)| (status.clone(), schema(response)))
                        .collect(),
                });
            }
        }
        self.files.push(strict(content["components"].clone()));
    }

    /// Holds an answer against its description.
    pub(crate) fn check(&self, answered: &Answered<'_>) -> Checked {
        let path = answered.path.split('?').next().unwrap_or_default();
        let asked = format!("{} {path}", answered.method);
        let named = |path: &String| format!("{} {path}", answered.method);
        let mut names: Vec<String> = self.dated.legacy_names(path).iter().map(named).collect();
        let (operation, mut differences) = match self.operation(&names) {
            Some(operation) => (operation, Vec::new()),
            // Any operation's errors are those of all others.
            None => (&self.operations[0], undescribed(answered)),
        };
        names.push(operation.name.clone());
        if differences.is_empty() || answered.status >= 400 {
            differences.extend(self.differences(operation, answered));
        }
        let mut checked = Checked::default();
        for difference in differences {
            let allowed = EXCEPTIONS.iter().find(|exception| {
                exception.differs == difference.differs
                    && wildcard(exception.place, &difference.place)
                    && wildcard(exception.status, &answered.status.to_string())
                    && names.iter().any(|name| wildcard(exception.call, name))
            });
            match allowed {
                Some(exception) => checked.used.push(exception),
                None => checked.mistakes.push(format!(
                    "{asked} answered {}: {} ({:?} at `{}`)",
                    answered.status, difference.told, difference.differs, difference.place
                )),
            }
        }
        checked
    }

    /// The operation that a call means, by any of its names: the one with the
    /// fewest placeholders.
    fn operation(&self, names: &[String]) -> Option<&Operation> {
        names.iter().find_map(|asked| {
            let fitting = self.operations.iter().filter(|operation| fits(&operation.name, asked));
            fitting.min_by_key(|operation| operation.name.matches('{').count())
        })
    }

    fn differences(&self, operation: &Operation, answered: &Answered<'_>) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut status = answered.status.to_string();
        if !operation.responses.contains_key(&status) {
            if answered.status < 400 {
                differences.push(whole(Differs::Status, "no such status is described"));
            }
            let described = operation.responses.iter();
            let mut successes = described
                .filter(|(status, schema)| status.as_str() != "default" && schema.is_some());
            status = match successes.next() {
                Some((status, _)) if answered.status < 400 => status.clone(),
                _ if answered.status < 400 => return differences,
                _ => "default".to_owned(),
            };
        }
        let Some(Some(schema)) = operation.responses.get(&status) else {
            if !answered.body.is_empty() {
                differences.push(whole(Differs::Body, "no body is described"));
            }
            return differences;
        };
        let json = answered.content_type.is_some_and(|kind| kind.starts_with("application/json"));
        let body = json.then(|| serde_json::from_str::<Value>(answered.body).ok()).flatten();
        let Some(body) = body else {
            differences.push(whole(Differs::NoJson, "the body is not JSON"));
            return differences;
        };
        let validator = self.validator(operation, &status, schema);
        differences.extend(validator.iter_errors(&body).flat_map(|error| told(&error)));
        differences
    }

    fn validator(&self, operation: &Operation, status: &str, schema: &Value) -> Arc<Validator> {
        let key = (operation.name.clone(), status.to_owned());
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let compile = || {
            let mut root = schema.clone();
            root["components"] = self.files[operation.file].clone();
            let options = jsonschema::options().with_draft(Draft::Draft4);
            Arc::new(options.should_validate_formats(true).build(&root).expect("a valid schema"))
        };
        validators.entry(key).or_insert_with(compile).clone()
    }
}

/// A call without an operation: it may be refused, but not served.
fn undescribed(answered: &Answered<'_>) -> Vec<Difference> {
    match answered.status {
        400.. => Vec::new(),
        _ => vec![whole(Differs::Undescribed, "the call is not described")],
    }
}

fn whole(differs: Differs, told: &str) -> Difference {
    Difference { place: String::new(), differs, told: told.to_owned() }
}

/// What a validator found; one entry a member.
fn told(error: &jsonschema::ValidationError<'_>) -> Vec<Difference> {
    let place = error.instance_path().to_string();
    let one = |place: String, differs| vec![Difference { place, differs, told: error.to_string() }];
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let members = unexpected.iter();
            members.flat_map(|name| one(format!("{place}/{name}"), Differs::Unknown)).collect()
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            one(format!("{place}/{name}"), Differs::Missing)
        }
        _ if error.instance().is_null() => one(place, Differs::Null),
        ValidationErrorKind::Type { .. } if error.instance().is_number() => {
            one(place, Differs::Number)
        }
        ValidationErrorKind::Type { .. } if error.instance().is_string() => {
            one(place, Differs::Text)
        }
        _ => one(place, Differs::Value),
    }
}

/// The schema as JSON Schema: `nullable` becomes a type, number formats become
/// bounds, and members that are not described are refused.
fn strict(schema: Value) -> Value {
    match schema {
        Value::Array(items) => items.into_iter().map(strict).collect(),
        Value::Object(members) => {
            let strict_members = members.into_iter().map(|(name, value)| (name, strict(value)));
            let mut schema: Map<String, Value> = strict_members.collect();
            let kind = schema.get("type").and_then(Value::as_str).map(str::to_owned);
            if kind.as_deref() == Some("object") && schema.contains_key("properties") {
                schema.entry("additionalProperties").or_insert(json!(false));
            }
            if kind.as_deref() == Some("integer") {
                if schema.get("format").is_some_and(|format| format == "int32") {
                    schema.insert("minimum".to_owned(), json!(i32::MIN));
                    schema.insert("maximum".to_owned(), json!(i32::MAX));
                }
                schema.remove("format");
            }
            if schema.get("nullable") == Some(&json!(true)) {
                schema.insert("type".to_owned(), json!([kind, "null"]));
            }
            Value::Object(schema)
        }
        other => other,
    }
}
