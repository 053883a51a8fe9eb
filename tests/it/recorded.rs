//! Exchanges that an emulator recorded, held against HubSpot's descriptions:
//! those of the official clients, and of whoever else was recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde::Deserialize;
use serde_json::Value;

use crate::openapi::{Answered, Descriptions};

/// A line of a recording.
#[derive(Deserialize)]
struct Exchange {
    request: Request,
    response: Response,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    path: String,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    body: Value,
}

impl Response {
    /// The body as it was sent, apart from spaces.
    fn text(&self) -> String {
        match &self.body {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            body => body.to_string(),
        }
    }

    /// As it was sent; of a recording without headers, as the body looks.
    fn content_type(&self) -> Option<&str> {
        let Some(headers) = &self.headers else {
            return (!self.body.is_string()).then_some("application/json");
        };
        let told = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        told.map(|(_, kind)| kind.as_str())
    }
}

/// Holds every answer of a recording against its description; how many there
/// were, and what is wrong with them.
pub(crate) fn mistakes(file: &Path) -> (usize, Vec<String>) {
    let text = fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", file.display()));
    let Some(descriptions) = Descriptions::found() else {
        return (text.lines().count(), Vec::new());
    };
    let mut mistakes = Vec::new();
    for (line, exchange) in (1..).zip(text.lines()) {
        let exchange: Exchange = serde_json::from_str(exchange)
            .unwrap_or_else(|error| panic!("{}:{line}: {error}", file.display()));
        let checked = descriptions.check(&Answered {
            method: &exchange.request.method,
            path: &exchange.request.path,
            status: exchange.response.status,
            content_type: exchange.response.content_type(),
            body: &exchange.response.text(),
        });
        let at = |mistake: String| format!("{}:{line}: {mistake}", file.display());
        mistakes.extend(checked.mistakes.into_iter().map(at));
    }
    (text.lines().count(), mistakes)
}

/// The exceptions were made for the emulator; what the real service once
/// answered must need no others.
#[test]
fn the_service_itself_needs_no_other_exceptions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/hubspot-recordings");
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("{} is missing: nothing is checked", folder.display());
        return;
    };
    let files = entries.flatten().map(|entry| entry.path());
    for file in files.filter(|file| file.extension().is_some_and(|end| end == "jsonl")) {
        let (lines, mut mistakes) = mistakes(&file);
        // Recorders also met APIs that neither the descriptions nor the emulator know.
        mistakes.retain(|mistake| !mistake.contains("the call is not described"));
        assert!(lines > 0 && mistakes.is_empty(), "{}", mistakes.join("\n"));
    }
}

#[test]
#[ignore = "needs HUBLAKE_RECORDED: recordings of an emulator, as a list of paths"]
fn recorded_answers_are_as_described() {
    let files = env::var_os("HUBLAKE_RECORDED").expect("`HUBLAKE_RECORDED` names recordings");
    let files: Vec<PathBuf> = env::split_paths(&files).collect();
    let mut wrong = Vec::new();
    for file in &files {
        let (lines, mistakes) = mistakes(file);
        println!("{}: {lines} answers, {} mistakes", file.display(), mistakes.len());
        assert!(lines > 0, "{} holds no exchange", file.display());
        wrong.extend(mistakes);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
