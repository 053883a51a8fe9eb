//! Repeats what is safe to repeat, for as long as that makes sense.

use std::time::Duration;

use super::answer::{Flaw, flaw_of};
use super::api_error::ApiError;
use super::breaker::{Breaker, StaysOpen};
use super::budget::{Budget, Budgeted};
use super::error::{Error, Problem, Reason, is_passing_fault};
use super::pace::LONGEST_PAUSE;
use super::transport::{CallName, Effect, Failure, Reply, Request};

/// Attempts per call, the first included.
const MOST_TRIES: u32 = 10;
/// Attempts at a body that comes damaged: a proxy's mistake mends quickly or
/// not at all.
const MOST_TRIES_MISSHAPEN: u32 = 5;
/// Attempts at a whole body that is no JSON all the same: that is the server's
/// own mistake, and the caller may know how to read around it.
const MOST_TRIES_ODD: u32 = 2;
/// The longest first wait; doubled with every try.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// A record lock (423) lasts two seconds.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The outermost layer: every attempt passes the breaker and pays the budget.
pub(super) struct Retry {
    breaker: Breaker,
    next: Budgeted,
}

/// Why an attempt did not succeed.
enum Trouble {
    Answered {
        api: Box<ApiError>,
        retry_after: Option<Duration>,
        /// The answer called itself a success.
        hidden: bool,
    },
    Misshapen {
        status: u16,
        problem: Problem,
        correlation_id: Option<String>,
    },
    Unanswered(Failure),
    /// The breaker let nothing through.
    HeldBack(StaysOpen),
}

impl Retry {
    pub(super) fn new(next: Budgeted) -> Self {
        Self { breaker: Breaker::new(), next }
    }

    pub(super) fn budget(&self) -> &Budget {
        self.next.budget()
    }

    /// Answers a reply with a 2xx status and a body as the request wants it.
    ///
    /// Waits are bounded: at most ten tries, none more than a minute apart.
    pub(super) async fn send(&self, request: Request) -> Result<Reply, Error> {
        let mut tries = 0;
        loop {
            let trouble = match self.attempt(&request).await {
                Ok(reply) => return Ok(reply),
                Err(trouble) => trouble,
            };
            tries += u32::from(!matches!(trouble, Trouble::HeldBack(_)));
            let Some(wait) = trouble.wait(request.effect, tries) else {
                let reason = trouble.into_reason(self.budget());
                return Err(Error::of_call(request.name, request.effect, tries, reason));
            };
            log_repeat(&request.name, &trouble, tries, wait);
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Reply, Trouble> {
        let pass = self.breaker.pass().await.map_err(Trouble::HeldBack)?;
        let outcome = match self.next.send(request.clone()).await {
            Ok(reply) => match flaw_of(&reply, request.answer) {
                None => Ok(reply),
                Some(flaw) => Err(Trouble::in_answer(flaw, &reply)),
            },
            Err(failure) => Err(Trouble::Unanswered(failure)),
        };
        match &outcome {
            Err(trouble) if trouble.is_outage() => pass.failed(),
            // The budget's refusal says nothing about the server.
            Err(Trouble::Unanswered(_)) => drop(pass),
            _ => pass.answered(),
        }
        outcome
    }
}

impl Trouble {
    fn in_answer(flaw: Flaw, reply: &Reply) -> Self {
        match flaw {
            Flaw::Refused { api, hidden } => {
                Self::Answered { api, hidden, retry_after: reply.retry_after() }
            }
            Flaw::Misshapen(problem) => Self::Misshapen {
                status: reply.status,
                problem,
                correlation_id: reply.correlation_id().map(str::to_owned),
            },
        }
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { api, .. } => Some(api.status),
            Self::Misshapen { status, .. } => Some(*status),
            Self::Unanswered(_) | Self::HeldBack(_) => None,
        }
    }

    /// Why no answer came, down to what the operating system or TLS says; the
    /// status tells it where one came.
    fn cause(&self) -> Option<String> {
        let Self::Unanswered(failure) = self else { return None };
        let (told, cause) = match failure {
            Failure::Refused(cause) => ("no connection came about", cause),
            Failure::TimedOut(cause) => ("no answer came in time", cause),
            Failure::Lost(cause) => ("the connection broke", cause),
            Failure::Unsendable(cause) => ("the request cannot be formed", cause),
            Failure::Daily(_) => return None,
        };
        let mut innermost: &dyn std::error::Error = cause.as_ref();
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        Some(format!("{told}: {innermost}"))
    }

    fn correlation_id(&self) -> Option<&str> {
        match self {
            Self::Answered { api, .. } => api.correlation_id.as_deref(),
            Self::Misshapen { correlation_id, .. } => correlation_id.as_deref(),
            Self::Unanswered(_) | Self::HeldBack(_) => None,
        }
    }

    /// Whether the server, not the call, is to blame.
    fn is_outage(&self) -> bool {
        match self {
            Self::Answered { api, .. } => is_passing_fault(api.status),
            Self::Misshapen { .. } | Self::HeldBack(_) => false,
            Self::Unanswered(failure) => {
                matches!(failure, Failure::Refused(_) | Failure::TimedOut(_) | Failure::Lost(_))
            }
        }
    }

    /// The wait before the next try; `None` when there must not be one.
    ///
    /// A write is repeated only where it was surely not applied: 429, 423 and
    /// a connection that never came about.
    fn wait(&self, effect: Effect, tries: u32) -> Option<Duration> {
        let read = effect == Effect::Read;
        let most = match self {
            Self::Misshapen { problem: Problem::Shape { .. }, .. } => MOST_TRIES_ODD,
            Self::Misshapen { .. } => MOST_TRIES_MISSHAPEN,
            _ => MOST_TRIES,
        };
        if tries >= most {
            return None;
        }
        match self {
            Self::Answered { api, .. } if api.is_daily_limit() => None,
            // The budget has paused everyone, this call included.
            Self::Answered { api, hidden: false, .. } if api.status == 429 => Some(Duration::ZERO),
            Self::Answered { api, hidden: true, .. } if api.status == 429 => Some(backoff(tries)),
            Self::Answered { api, retry_after, .. } if api.status == 423 => {
                let asked = retry_after.unwrap_or_default().min(LONGEST_PAUSE);
                Some(asked.max(LOCK_WAIT) + backoff(tries))
            }
            Self::Answered { api, retry_after, .. } if read && is_passing_fault(api.status) => {
                Some(retry_after.map_or_else(|| backoff(tries), |asked| asked.min(LONGEST_PAUSE)))
            }
            Self::Misshapen { .. } if read => Some(backoff(tries)),
            Self::Unanswered(Failure::Refused(_)) => Some(backoff(tries)),
            Self::Unanswered(Failure::TimedOut(_) | Failure::Lost(_)) if read => {
                Some(backoff(tries))
            }
            _ => None,
        }
    }

    fn into_reason(self, budget: &Budget) -> Reason {
        match self {
            Self::Answered { api, .. } if api.is_daily_limit() => {
                Reason::DailyAnswered { api, resets_at: budget.resets_at() }
            }
            Self::Answered { api, retry_after, .. } => Reason::Answered { api, retry_after },
            Self::Misshapen { status, problem, correlation_id } => {
                Reason::Misshapen { status, problem, correlation_id }
            }
            Self::Unanswered(failure) => failure.into(),
            Self::HeldBack(open) => Reason::StaysOpen { rest: open.rest },
        }
    }
}

impl From<Failure> for Reason {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(cause) => Self::Refused(cause),
            Failure::TimedOut(cause) => Self::TimedOut(cause),
            Failure::Lost(cause) => Self::Lost(cause),
            Failure::Unsendable(cause) => Self::Unsendable(cause),
            Failure::Daily(stop) => Self::Daily {
                remaining: stop.remaining,
                reserve: stop.reserve,
                resets_at: stop.resets_at,
            },
        }
    }
}

/// Anything up to 0.5, 1, 2 … 20 s (full jitter, so that callers who failed
/// together do not come back together).
fn backoff(tries: u32) -> Duration {
    let longest = FIRST_WAIT * 2_u32.saturating_pow(tries.saturating_sub(1).min(16));
    longest.min(LONGEST_WAIT).mul_f64(fastrand::f64())
}

fn log_repeat(call: &CallName, trouble: &Trouble, tries: u32, wait: Duration) {
    tracing::warn!(
        method = %call.method,
        path = call.template,
        object = call.object,
        status = trouble.status(),
        correlation_id = trouble.correlation_id(),
        cause = trouble.cause(),
        attempt = tries,
        wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        "HubSpot did not serve a call; it is tried again"
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::time::Instant;

    use super::*;
    use crate::hubspot::client::Client;
    use crate::hubspot::error::ErrorKind;
    use crate::hubspot::query::ListQuery;
    use crate::hubspot::records::{BatchReply, Body, WriteInput};
    use crate::hubspot::scripted::{PAGE, Step, TOKEN, answer, lost, refused, scripted, timed_out};
    use crate::objects::{ObjectType, RecordId};

    const WRITTEN: &str = r#"{"status":"COMPLETE","results":[{"id":"1","properties":{}}]}"#;

    async fn read(client: &Client) -> Result<Body, Error> {
        let query = ListQuery { properties: vec![], limit: 100, archived: false };
        client.list_page(&ObjectType::CONTACTS, &query, None).await
    }

    async fn write(client: &Client) -> Result<BatchReply, Error> {
        let input = WriteInput {
            id: Some("1".into()),
            id_property: None,
            properties: BTreeMap::from([("email".into(), "jane@example.com".into())]),
            trace_id: "t".into(),
        };
        client.batch_update(&ObjectType::CONTACTS, &[input]).await
    }

    /// The kind a read ends with, and how often it was sent.
    async fn read_ends(steps: Vec<Step>) -> (Result<(), ErrorKind>, usize) {
        let (client, script) = scripted(steps);
        let result = read(&client).await.map(drop).map_err(|error| error.kind());
        (result, script.requests().len())
    }

    async fn write_ends(steps: Vec<Step>) -> (Result<(), ErrorKind>, usize) {
        let (client, script) = scripted(steps);
        let result = write(&client).await.map(drop).map_err(|error| {
            assert_eq!(error.outcome_unknown(), error.kind() == ErrorKind::Interrupted);
            error.kind()
        });
        (result, script.requests().len())
    }

    fn repeated(step: impl Fn() -> Step, times: usize) -> Vec<Step> {
        (0..times).map(|_| step()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_outlives_nine_faults_and_not_ten() {
        for step in
            [|| answer(503, "", &[]), || answer(524, "<html>", &[]), lost, timed_out, refused]
        {
            let mut steps = repeated(step, 9);
            steps.push(answer(200, PAGE, &[]));
            assert_eq!(read_ends(steps).await, (Ok(()), 10));
            let start = Instant::now();
            assert_eq!(read_ends(repeated(step, 10)).await, (Err(ErrorKind::Unavailable), 10));
            assert!(start.elapsed() < Duration::from_secs(180), "{:?}", start.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_may_have_been_applied_is_not_repeated() {
        let unknown = (Err(ErrorKind::Interrupted), 1);
        for status in [500, 502, 503, 504, 521, 522, 523, 524] {
            assert_eq!(write_ends(vec![answer(status, "", &[])]).await, unknown, "{status}");
        }
        assert_eq!(write_ends(vec![lost()]).await, unknown);
        assert_eq!(write_ends(vec![timed_out()]).await, unknown);
        for (status, body) in [(200, ""), (204, ""), (201, "{}"), (200, r#"{"results":[{"id"#)] {
            assert_eq!(write_ends(vec![answer(status, body, &[])]).await, unknown, "{body}");
        }
        let html = answer(200, "<html></html>", &[("content-type", "text/html")]);
        assert_eq!(write_ends(vec![html]).await, unknown);
        let error = answer(200, r#"{"status":"error","message":"internal error"}"#, &[]);
        assert_eq!(write_ends(vec![error]).await, unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_was_surely_not_applied_is_repeated() {
        for step in [|| answer(429, "{}", &[]), || answer(423, "", &[]), refused] {
            let mut steps = repeated(step, 3);
            steps.push(answer(200, WRITTEN, &[]));
            assert_eq!(write_ends(steps).await, (Ok(()), 4));
            assert_eq!(write_ends(repeated(step, 10)).await, (Err(ErrorKind::Unavailable), 10));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_repeat_can_mend_is_not_repeated() {
        let scope = r#"{"category":"MISSING_SCOPES","errors":[{"message":"m","context":{"requiredGranularScopes":["crm.objects.deals.read"]}}]}"#;
        for (status, body, kind) in [
            (400, r#"{"category":"VALIDATION_ERROR"}"#, ErrorKind::Refused),
            (401, r#"{"category":"EXPIRED_AUTHENTICATION"}"#, ErrorKind::Auth),
            (403, scope, ErrorKind::MissingScope(vec!["crm.objects.deals.read".into()])),
            (404, "<html>HTTP ERROR 404</html>", ErrorKind::NotFound),
            (409, r#"{"category":"CONFLICT"}"#, ErrorKind::Refused),
            (414, "<title>414 Request-URI Too Large</title>", ErrorKind::UrlTooLong),
            (477, "", ErrorKind::Unavailable),
            (525, "", ErrorKind::Unavailable),
            (530, "", ErrorKind::Auth),
        ] {
            let start = Instant::now();
            assert_eq!(read_ends(vec![answer(status, body, &[])]).await, (Err(kind.clone()), 1));
            assert_eq!(write_ends(vec![answer(status, body, &[])]).await, (Err(kind), 1));
            assert_eq!(start.elapsed(), Duration::ZERO, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_moving_account_is_left_alone_for_as_long_as_it_says() {
        let (client, _) = scripted([answer(477, "", &[("Retry-After", "86400")])]);
        let error = read(&client).await.expect_err("parked");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(86_400)));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_follow_what_the_answer_asks_for() {
        let waited = |status, headers: &'static [(&str, &str)]| async move {
            let (client, script) = scripted([answer(status, "", headers), answer(200, PAGE, &[])]);
            read(&client).await.expect("a page");
            script.times()[1] - script.times()[0]
        };
        let secs = Duration::from_secs;
        assert!(waited(423, &[]).await >= secs(2));
        assert_eq!(waited(503, &[("Retry-After", "7")]).await.as_secs(), 7);
        assert_eq!(waited(503, &[("retry-after", "100000")]).await.as_secs(), 60);
        assert!(waited(503, &[]).await <= Duration::from_millis(501));
        let dated = [
            ("Date", "Mon, 08 Aug 2022 14:48:45 GMT"),
            ("Retry-After", "Mon, 08 Aug 2022 14:48:56 GMT"),
        ];
        let (client, script) = scripted([answer(503, "", &dated), answer(200, PAGE, &[])]);
        read(&client).await.expect("a page");
        assert_eq!((script.times()[1] - script.times()[0]).as_secs(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_that_hides_an_error_is_that_error() {
        let hidden = |category: &str| {
            answer(
                200,
                &format!(r#"{{"message":"m","category":"{category}","status":"error"}}"#),
                &[],
            )
        };
        let scope = read_ends(vec![hidden("MISSING_SCOPES")]).await;
        assert_eq!(scope, (Err(ErrorKind::MissingScope(vec![])), 1));
        let limited = read_ends(vec![hidden("RATE_LIMITS"), answer(200, PAGE, &[])]).await;
        assert_eq!(limited, (Ok(()), 2));
        let internal = read_ends(vec![hidden("INTERNAL"), answer(200, PAGE, &[])]).await;
        assert_eq!(internal, (Ok(()), 2));
        let complete = r#"{"status":"COMPLETE","results":[]}"#;
        assert_eq!(read_ends(vec![answer(200, complete, &[])]).await, (Ok(()), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_damaged_body_is_read_again_and_then_given_up() {
        for (status, body, kind) in [
            (200, r#"{"results":[{"id":"1""#, "application/json"),
            (200, r#"{"results":[{"id":"1"}"#, "application/json"),
            (200, "<html></html>", "text/html"),
            (200, r#"{"results":[]}"#, "text/html; charset=utf-8"),
            (204, "", "application/json"),
        ] {
            let headers = [("content-type", kind), ("X-HubSpot-Correlation-Id", "c-9")];
            let step = || answer(status, body, &headers);
            let mut steps = repeated(step, 4);
            steps.push(answer(200, PAGE, &[]));
            assert_eq!(read_ends(steps).await, (Ok(()), 5), "{body}");
            let (client, _) = scripted(repeated(step, 5));
            let error = read(&client).await.expect_err("damaged for good");
            assert_eq!(error.kind(), ErrorKind::BadResponse, "{body}");
            assert_eq!(error.correlation_id(), Some("c-9"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn archiving_wants_no_body() {
        for (status, body) in [(204, ""), (200, r#"{"status":"COMPLETE","results":[]}"#)] {
            let (client, _) = scripted([answer(status, body, &[])]);
            client.batch_archive(&ObjectType::DEALS, &[RecordId(1)]).await.expect("archived");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stopped_answering_is_left_alone_by_everyone() {
        let (client, script) = scripted((0..200).map(|_| lost()));
        let start = Instant::now();
        let results = futures::future::join_all((0..30).map(|_| read(&client))).await;
        for result in results {
            assert_eq!(result.expect_err("lost").kind(), ErrorKind::Unavailable);
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
        let asked = script.requests().len();
        assert!(asked < 100, "30 callers with ten tries each asked {asked} times");
        let error = read(&client).await.expect_err("still open");
        assert!(error.retry_after().is_some(), "{error}");
        assert_eq!(script.requests().len(), asked, "without asking");
        tokio::time::sleep(error.retry_after().expect("a rest")).await;
        assert!(read(&client).await.is_err());
        assert!(script.requests().len() > asked, "half open again");
    }

    #[tokio::test(start_paused = true)]
    async fn neither_token_nor_value_is_logged_or_shown() {
        let body =
            r#"{"status":"error","message":"jane@example.com is locked","correlationId":"c-4"}"#;
        let (client, _) = scripted([answer(423, body, &[]), answer(400, body, &[])]);
        let (logged, subscriber) = captured_logs();
        let guard = tracing::subscriber::set_default(subscriber);
        let error = write(&client).await.expect_err("refused");
        drop(guard);
        let log = String::from_utf8(logged.lock().expect("no panic").clone()).expect("UTF-8");
        for part in ["POST", "batch/update", "423", "c-4", "attempt=1"] {
            assert!(log.contains(part), "{part} is not in {log}");
        }
        assert_eq!(log.lines().count(), 1, "one event per failure handled: {log}");
        for text in [log, format!("{error} {error:?}")] {
            assert!(!text.contains("jane") && !text.contains(TOKEN), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_lies_beneath_a_lost_call_is_logged() {
        let beneath = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let told = beneath.to_string();
        let outer = std::io::Error::other(beneath);
        let refused = Step::Fail(Failure::Refused(Box::new(outer)));
        let (client, _) = scripted([refused, answer(200, PAGE, &[])]);
        let (logged, subscriber) = captured_logs();
        let guard = tracing::subscriber::set_default(subscriber);
        read(&client).await.expect("the second try is answered");
        drop(guard);
        let log = String::from_utf8(logged.lock().expect("no panic").clone()).expect("UTF-8");
        assert!(log.contains(&format!("no connection came about: {told}")), "{log}");
    }

    type Logged = std::sync::Arc<std::sync::Mutex<Vec<u8>>>;

    fn captured_logs() -> (Logged, impl tracing::Subscriber + Send + Sync) {
        #[derive(Clone)]
        struct Sink(Logged);
        impl std::io::Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().expect("no panic").extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let logged = Logged::default();
        let sink = Sink(logged.clone());
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || sink.clone())
            .finish();
        (logged, subscriber)
    }
}
