//! Tells a usable answer from one that only looks it.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::api_error::ApiError;
use super::error::Problem;
use super::transport::{Answer, Reply};
use super::wire::text_of;

/// No error body is as long, no page of interest as short.
const ERROR_BODY: usize = 8 * 1024;

/// What makes an answer unusable.
#[derive(Debug)]
pub(super) enum Flaw {
    /// HubSpot refused; `hidden` when under the status of a success.
    Refused { api: Box<ApiError>, hidden: bool },
    /// A success whose body is not what it should be.
    Misshapen(Problem),
}

/// What is wrong with an answer; `None` when it holds what was asked for.
pub(super) fn flaw_of(reply: &Reply, answer: Answer) -> Option<Flaw> {
    if !(200..300).contains(&reply.status) {
        return Some(refusal(reply, false));
    }
    if answer == Answer::Nothing {
        let hidden = peek(&reply.body).is_ok_and(|peek| peek.is_error());
        return hidden.then(|| refusal(reply, true));
    }
    match flaw_of_json(reply, answer) {
        Ok(flaw) => flaw,
        Err(problem) => Some(Flaw::Misshapen(problem)),
    }
}

/// A long body that someone else decodes is looked at from its ends only:
/// pages are read at full speed, and error bodies are short.
fn flaw_of_json(reply: &Reply, answer: Answer) -> Result<Option<Flaw>, Problem> {
    let body = reply.body.trim_ascii();
    let other_type = reply.header("content-type").is_some_and(|kind| !kind.contains("json"));
    match (body.first(), body.last()) {
        (None, _) => return Err(Problem::Empty),
        (Some(b'{'), _) if other_type => return Err(Problem::NotJson),
        (Some(b'{'), Some(b'}')) => {}
        (Some(b'{'), _) => return Err(Problem::Truncated),
        _ => return Err(Problem::NotJson),
    }
    if answer == Answer::Raw && body.len() > ERROR_BODY {
        return Ok(None);
    }
    Ok(peek(body)?.is_error().then(|| refusal(reply, true)))
}

/// The fields that tell an error body from a page or a batch reply, whose
/// `status` is `COMPLETE`.
#[derive(Deserialize)]
struct Peek {
    #[serde(default)]
    status: Option<Value>,
    #[serde(default)]
    results: Option<IgnoredAny>,
}

fn peek(body: &[u8]) -> Result<Peek, serde_json::Error> {
    serde_json::from_slice(body)
}

impl Peek {
    fn is_error(&self) -> bool {
        let status = self.status.as_ref().and_then(text_of);
        self.results.is_none() && status.is_some_and(|s| s.eq_ignore_ascii_case("error"))
    }
}

fn refusal(reply: &Reply, hidden: bool) -> Flaw {
    let mut api = ApiError::parse(reply.status, &reply.body);
    if hidden {
        api.status = status_of(api.category.as_deref());
    }
    api.correlation_id = api.correlation_id.or_else(|| reply.correlation_id().map(str::to_owned));
    Flaw::Refused { api: Box::new(api), hidden }
}

/// The status that a hidden error should have had.
fn status_of(category: Option<&str>) -> u16 {
    match category {
        Some("RATE_LIMIT" | "RATE_LIMITS") => 429,
        Some("EXPIRED_AUTHENTICATION" | "INVALID_AUTHENTICATION") => 401,
        Some("MISSING_SCOPES") => 403,
        Some("OBJECT_NOT_FOUND") => 404,
        Some("CONFLICT" | "OBJECT_ALREADY_EXISTS") => 409,
        Some("VALIDATION_ERROR") => 400,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hubspot::scripted::reply;

    fn problem(body: &str, answer: Answer) -> Option<Problem> {
        match flaw_of(&reply(200, body, &[]), answer) {
            Some(Flaw::Misshapen(problem)) => Some(problem),
            Some(Flaw::Refused { .. }) => panic!("{body} was taken for an error"),
            None => None,
        }
    }

    #[test]
    fn a_page_is_looked_through_when_short_and_at_its_ends_when_long() {
        assert_eq!(problem(r#"{"results":[]}"#, Answer::Raw), None);
        assert_eq!(problem("  {\"results\":[]}\n", Answer::Raw), None);
        assert_eq!(problem("", Answer::Raw), Some(Problem::Empty));
        assert_eq!(problem("<html>", Answer::Raw), Some(Problem::NotJson));
        assert_eq!(problem("[]", Answer::Json), Some(Problem::NotJson));
        assert_eq!(problem(r#"{"results":["#, Answer::Raw), Some(Problem::Truncated));
        assert_eq!(problem(r#"{"results":[{"id":"1"}"#, Answer::Raw), Some(Problem::Truncated));
        let long = format!(r#"{{"results":["{}""#, "x".repeat(ERROR_BODY));
        assert_eq!(problem(&long, Answer::Raw), Some(Problem::Truncated));
        let broken = format!("{long}, oops }}");
        assert_eq!(problem(&broken, Answer::Raw), None);
        assert!(matches!(problem(&broken, Answer::Json), Some(Problem::Shape { .. })));
    }

    #[test]
    fn an_error_under_a_success_gets_the_status_it_should_have_had() {
        for (category, status) in [
            ("RATE_LIMITS", 429),
            ("INVALID_AUTHENTICATION", 401),
            ("MISSING_SCOPES", 403),
            ("VALIDATION_ERROR", 400),
            ("CONFLICT", 409),
            ("INTERNAL", 500),
        ] {
            let body = format!(r#"{{"message":"m","category":"{category}","status":"error"}}"#);
            for answer in [Answer::Raw, Answer::Json, Answer::Nothing] {
                match flaw_of(&reply(200, &body, &[]), answer) {
                    Some(Flaw::Refused { api, hidden: true }) => assert_eq!(api.status, status),
                    other => panic!("{body}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_call_that_wants_nothing_takes_anything_but_an_error() {
        for body in ["", "{}", "<html>", r#"{"status":"COMPLETE"}"#] {
            assert!(flaw_of(&reply(204, body, &[]), Answer::Nothing).is_none(), "{body}");
        }
    }
}
