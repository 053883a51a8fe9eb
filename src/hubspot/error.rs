use std::fmt;
use std::time::Duration;

use super::api_error::{ApiError, shown};
use super::config::ConfigError;
use super::transport::{CallName, Cause, Effect};

/// A call to HubSpot that failed for good: every repeat that was safe has been
/// made.
///
/// Its text names the call, the status, categories, codes, property names and
/// the correlation id, never a value or a token.
pub struct Error(Box<Inner>);

struct Inner {
    call: Option<CallName>,
    tries: u32,
    reason: Reason,
    outcome_unknown: bool,
}

/// What failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("The `hubspot` settings do not hold")]
    Settings(#[source] ConfigError),
    #[error("The HTTP client cannot be set up")]
    Setup(#[source] Cause),
    #[error("The access token holds characters that no HTTP header can carry")]
    Token,
    #[error("{given} inputs were given where HubSpot takes at most {most} at once")]
    TooMany { given: usize, most: usize },
    #[error("The request cannot be formed")]
    Unsendable(#[source] Cause),
    #[error("HubSpot answered {api}")]
    Answered { api: Box<ApiError>, retry_after: Option<Duration> },
    #[error("The day's calls are spent: {remaining} are left and {reserve} are kept for others")]
    Daily { remaining: u64, reserve: u64, resets_at: Option<i64> },
    #[error("HubSpot answered 429, the day's calls are used up")]
    DailyAnswered { api: Box<ApiError>, resets_at: Option<i64> },
    #[error("No connection to HubSpot came about")]
    Refused(#[source] Cause),
    #[error("HubSpot did not answer in time")]
    TimedOut(#[source] Cause),
    #[error("The connection to HubSpot broke")]
    Lost(#[source] Cause),
    #[error("HubSpot has stopped answering, so it is not asked for now")]
    StaysOpen { rest: Duration },
    #[error("HubSpot answered {status} with {problem}{}", id_words(correlation_id.as_deref()))]
    Misshapen { status: u16, problem: Problem, correlation_id: Option<String> },
}

/// What is wrong with the body of a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Empty,
    NotJson,
    Truncated,
    /// Where decoding stopped; the decoder's own words can quote a value.
    Shape {
        line: usize,
        column: usize,
    },
    /// A page names itself as the next one.
    Circular,
    /// Page after page names a next one and shows nothing.
    Endless,
}

/// What to do about an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting makes the call impossible.
    Settings,
    /// The token is missing, wrong or expired.
    Auth,
    /// The token lacks a scope (any one of those listed is enough), or the
    /// account's tier lacks the feature (none is listed).
    MissingScope(Vec<String>),
    /// The day's calls are used up, or only the reserve is left.
    DailyLimit {
        /// When the count starts again (µs since 1970, UTC), where known.
        resets_at: Option<i64>,
    },
    /// HubSpot does not answer for now; nothing was applied. Try later.
    Unavailable,
    /// The record, property, pipeline or path does not exist.
    NotFound,
    /// HubSpot refused what was asked; [`Error::api`] says why.
    Refused,
    /// The URL was too long: ask with a body instead.
    UrlTooLong,
    /// The answer was not what the API promises.
    BadResponse,
    /// A write was sent and no usable answer came: it may have been applied.
    Interrupted,
}

impl Error {
    pub(super) fn new(reason: Reason) -> Self {
        Self(Box::new(Inner { call: None, tries: 0, reason, outcome_unknown: false }))
    }

    /// An error of a call that was sent, or nearly so. Whether a write may
    /// have been applied follows from the reason.
    pub(super) fn of_call(call: CallName, effect: Effect, tries: u32, reason: Reason) -> Self {
        let outcome_unknown = effect == Effect::Write && reason.may_have_been_applied();
        Self(Box::new(Inner { call: Some(call), tries, reason, outcome_unknown }))
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        if self.0.outcome_unknown { ErrorKind::Interrupted } else { self.0.reason.kind() }
    }

    /// Whether the call was a write that may have been applied all the same:
    /// read before sending it again.
    pub fn outcome_unknown(&self) -> bool {
        self.0.outcome_unknown
    }

    /// The id to quote to HubSpot's support.
    pub fn correlation_id(&self) -> Option<&str> {
        match &self.0.reason {
            Reason::Misshapen { correlation_id, .. } => correlation_id.as_deref(),
            _ => self.api()?.correlation_id.as_deref(),
        }
    }

    /// What HubSpot said, where it said anything.
    pub fn api(&self) -> Option<&ApiError> {
        match &self.0.reason {
            Reason::Answered { api, .. } | Reason::DailyAnswered { api, .. } => Some(api),
            _ => None,
        }
    }

    /// How long to leave HubSpot alone, where it said so or the breaker does.
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.0.reason {
            Reason::Answered { retry_after, .. } => *retry_after,
            Reason::StaysOpen { rest } => Some(*rest),
            _ => None,
        }
    }

    /// One sentence on what to do next.
    pub fn advice(&self) -> String {
        match self.kind() {
            ErrorKind::Settings => "Correct the `hubspot` section of the settings".into(),
            ErrorKind::Auth => "Check that the access token is complete, in force and of this account".into(),
            ErrorKind::MissingScope(scopes) if scopes.is_empty() => {
                "Check that the account's subscription includes this and that the token's app may use it".into()
            }
            ErrorKind::MissingScope(scopes) => {
                format!("Grant the token's app one of these scopes: `{}`", scopes.join("`, `"))
            }
            ErrorKind::DailyLimit { .. } => {
                "Run again after midnight in the account's time zone, or lower `hubspot.daily_reserve`".into()
            }
            ErrorKind::Unavailable => "Run again later; nothing is lost".into(),
            ErrorKind::NotFound => "Check the names of object types and properties".into(),
            ErrorKind::Refused => "Correct the data or the settings that HubSpot refused".into(),
            ErrorKind::UrlTooLong => "Ask for fewer properties".into(),
            ErrorKind::BadResponse => {
                "Run again; if it stays, tell HubSpot's support the correlation id".into()
            }
            ErrorKind::Interrupted => "Read the records before writing them again".into(),
        }
    }
}

impl Reason {
    /// The one place that sorts what failed into what to do.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Settings(_) | Self::Setup(_) => ErrorKind::Settings,
            Self::Token => ErrorKind::Auth,
            Self::TooMany { .. } | Self::Unsendable(_) => ErrorKind::Refused,
            Self::Answered { api, .. } => kind_of_answer(api),
            Self::Daily { resets_at, .. } | Self::DailyAnswered { resets_at, .. } => {
                ErrorKind::DailyLimit { resets_at: *resets_at }
            }
            Self::Refused(_) | Self::TimedOut(_) | Self::Lost(_) | Self::StaysOpen { .. } => {
                ErrorKind::Unavailable
            }
            Self::Misshapen { .. } => ErrorKind::BadResponse,
        }
    }

    /// Whether a write that ended so may have been applied.
    fn may_have_been_applied(&self) -> bool {
        match self {
            Self::TimedOut(_) | Self::Lost(_) | Self::Misshapen { .. } => true,
            Self::Answered { api, .. } => is_passing_fault(api.status),
            _ => false,
        }
    }
}

/// The statuses of a server or gateway in trouble: reads are repeated, writes
/// may have been applied. 525, 526 and 530 are answers of the gateway alone.
pub(super) fn is_passing_fault(status: u16) -> bool {
    matches!(status, 408 | 500..=524 | 527..=529)
}

fn kind_of_answer(api: &ApiError) -> ErrorKind {
    match api.status {
        // 530 is what the gateway answers to malformed credentials.
        401 | 530 => ErrorKind::Auth,
        403 => ErrorKind::MissingScope(api.scopes()),
        404 => ErrorKind::NotFound,
        414 => ErrorKind::UrlTooLong,
        // 477: the account is being moved between data centres.
        408 | 423 | 429 | 477 | 500.. => ErrorKind::Unavailable,
        400..=499 => ErrorKind::Refused,
        _ => ErrorKind::BadResponse,
    }
}

fn id_words(correlation_id: Option<&str>) -> String {
    match correlation_id.and_then(shown) {
        Some(id) => format!(" (correlation id `{id}`)"),
        None => String::new(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.reason.fmt(f)?;
        if let Some(call) = &self.0.call {
            write!(f, " on `{} {}`", call.method, call.path)?;
        }
        if self.0.tries > 1 {
            write!(f, ", tried {} times", self.0.tries)?;
        }
        if self.0.outcome_unknown {
            f.write_str("; the write may have been applied")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("call", &self.0.call)
            .field("tries", &self.0.tries)
            .field("reason", &self.0.reason)
            .field("outcome_unknown", &self.0.outcome_unknown)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0.reason)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an empty body"),
            Self::NotJson => f.write_str("a body that is no JSON"),
            Self::Truncated => f.write_str("a body that breaks off"),
            Self::Shape { line, column } => {
                write!(f, "JSON of another shape, seen at line {line}, column {column}")
            }
            Self::Circular => f.write_str("a page that names itself as the next"),
            Self::Endless => f.write_str("page after page that names a next one and shows nothing"),
        }
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        if error.is_eof() {
            return Self::Truncated;
        }
        Self::Shape { line: error.line(), column: error.column() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str, effect: Effect) -> Error {
        let api = Box::new(ApiError::parse(status, body.as_bytes()));
        let call = CallName {
            method: reqwest::Method::POST,
            template: "/crm/objects/{ver}/{objectType}/batch/update",
            path: "/crm/objects/2026-03/contacts/batch/update".into(),
            object: Some("contacts".into()),
        };
        Error::of_call(call, effect, 1, Reason::Answered { api, retry_after: None })
    }

    #[test]
    fn every_status_has_its_kind() {
        for (status, kind) in [
            (400, ErrorKind::Refused),
            (401, ErrorKind::Auth),
            (403, ErrorKind::MissingScope(vec![])),
            (404, ErrorKind::NotFound),
            (405, ErrorKind::Refused),
            (409, ErrorKind::Refused),
            (413, ErrorKind::Refused),
            (414, ErrorKind::UrlTooLong),
            (423, ErrorKind::Unavailable),
            (429, ErrorKind::Unavailable),
            (477, ErrorKind::Unavailable),
            (500, ErrorKind::Unavailable),
            (524, ErrorKind::Unavailable),
            (526, ErrorKind::Unavailable),
            (530, ErrorKind::Auth),
            (301, ErrorKind::BadResponse),
        ] {
            assert_eq!(answered(status, "", Effect::Read).kind(), kind, "{status}");
        }
    }

    #[test]
    fn only_a_write_that_reached_a_faulty_server_is_unknown() {
        for status in [500, 502, 503, 504, 521, 522, 523, 524] {
            assert!(answered(status, "", Effect::Write).outcome_unknown(), "{status}");
            assert!(!answered(status, "", Effect::Read).outcome_unknown(), "{status}");
        }
        for status in [400, 401, 403, 409, 423, 429, 477, 525, 526, 530] {
            assert!(!answered(status, "", Effect::Write).outcome_unknown(), "{status}");
        }
        assert_eq!(answered(502, "", Effect::Write).kind(), ErrorKind::Interrupted);
    }

    #[test]
    fn the_text_names_the_call_and_the_property_but_no_value() {
        let body = r#"{"message":"Email address jane@ is invalid","correlationId":"c-1","category":"VALIDATION_ERROR",
            "errors":[{"message":"Email address jane@ is invalid","code":"INVALID_EMAIL","context":{"propertyName":["email"]}}]}"#;
        let error = answered(400, body, Effect::Write);
        assert_eq!(
            error.to_string(),
            "HubSpot answered 400 VALIDATION_ERROR: `email` INVALID_EMAIL (correlation id `c-1`) \
             on `POST /crm/objects/2026-03/contacts/batch/update`"
        );
        assert!(!format!("{error:?}").contains("jane"));
        assert_eq!(error.correlation_id(), Some("c-1"));
    }

    #[test]
    fn a_decoder_s_words_are_not_kept() {
        let error = serde_json::from_str::<Vec<u8>>(r#"["jane@example.com"]"#).expect_err("a text");
        assert!(error.to_string().contains("jane"), "the decoder quotes: {error}");
        let problem = Problem::from(error);
        assert!(matches!(problem, Problem::Shape { line: 1, .. }), "{problem}");
    }
}
