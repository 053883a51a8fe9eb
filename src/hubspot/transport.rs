//! The innermost layer: one request out, one reply or one failure back.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Method;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER,
};

use super::budget::DailyStop;
use super::config::HubSpotConfig;
use super::wire::http_date_micros;

/// A handshake that takes longer will not end well.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Below the idle time-out of the load balancers commonly in between, so that
/// a call seldom meets a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// One call, ready to be sent any number of times.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) body: Option<Bytes>,
    /// Set by the auth layer.
    pub(super) authorization: Option<HeaderValue>,
    pub(super) name: CallName,
    pub(super) lane: Lane,
    pub(super) effect: Effect,
    pub(super) answer: Answer,
}

/// What a call is called in logs and errors: nothing of it can be a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallName {
    pub(super) method: Method,
    /// The path with its placeholders, which groups calls in logs.
    pub(super) template: &'static str,
    /// The path, filled with names of object types and properties.
    pub(super) path: String,
    /// The object type the call is about, where it is about one.
    pub(super) object: Option<String>,
}

/// Which of the account's rate limits a call counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// The ten-second limit.
    Burst,
    /// The per-second limit of search, outside the ten-second one.
    Search,
}

/// Whether a call may be repeated when it is unknown if it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Read,
    Write,
}

/// What a successful answer must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A JSON object that someone else decodes: a large one is checked at its
    /// ends only.
    Raw,
    /// A JSON object, checked throughout.
    Json,
    /// Nothing.
    Nothing,
}

/// An answer, whatever its status.
#[derive(Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    /// A header's text; names are compared without case, as HubSpot's have
    /// changed theirs.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// The id to quote to HubSpot's support.
    pub(super) fn correlation_id(&self) -> Option<&str> {
        self.header("x-hubspot-correlation-id")
    }

    /// The `Date` header (µs since 1970, UTC).
    pub(super) fn server_time(&self) -> Option<i64> {
        self.header(DATE.as_str()).and_then(http_date_micros)
    }

    /// How long to stay away: seconds, or a date measured by the server's own.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.header(RETRY_AFTER.as_str())?;
        if let Ok(seconds) = text.parse::<f64>() {
            return Duration::try_from_secs_f64(seconds).ok();
        }
        let micros = http_date_micros(text)?.saturating_sub(self.server_time()?);
        u64::try_from(micros).ok().map(Duration::from_micros)
    }
}

/// Why a call ended without an answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection came about: nothing was sent.
    Refused(Cause),
    /// The answer took too long; the call may have been applied.
    TimedOut(Cause),
    /// The connection broke; the call may have been applied.
    Lost(Cause),
    /// The request could not be formed: nothing was sent.
    Unsendable(Cause),
    /// The day's budget would not let it go: nothing was sent.
    Daily(DailyStop),
}

/// What lies beneath a failure.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Carries one request to HubSpot and brings the whole reply back.
///
/// Any answer is a reply, errors included. Dropping the future abandons the
/// call, which may still be applied.
pub(super) trait Transport: Send + Sync {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Reply, Failure>>;
}

/// HTTP through one pool of connections: HTTP/2 where TLS agrees on it, else
/// HTTP/1.1 kept alive.
pub(super) struct HttpTransport {
    http: reqwest::Client,
}

impl HttpTransport {
    /// # Errors
    /// When the TLS backend or the certificate store cannot be set up.
    pub(super) fn new(config: &HubSpotConfig) -> Result<Self, reqwest::Error> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("hublake/", env!("CARGO_PKG_VERSION")))
            .timeout(Duration::from_secs(config.request_timeout_secs))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            // A redirect would carry the token to wherever it points.
            .redirect(reqwest::redirect::Policy::none());
        // A stand-in on this machine is never behind the company's proxy.
        let builder = if is_loopback(&config.base_url) { builder.no_proxy() } else { builder };
        Ok(Self { http: builder.build()? })
    }

    async fn exchange(&self, request: Request) -> Result<Reply, reqwest::Error> {
        let mut builder = self.http.request(request.method, request.url).header(ACCEPT, JSON);
        if let Some(authorization) = request.authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if let Some(body) = request.body {
            builder = builder.header(CONTENT_TYPE, JSON).body(body);
        }
        let mut response = builder.send().await?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        Ok(Reply { status, headers, body: response.bytes().await? })
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Reply, Failure>> {
        self.exchange(request).map(|result| result.map_err(sorted)).boxed()
    }
}

/// The few kinds that matter to what comes next.
fn sorted(error: reqwest::Error) -> Failure {
    // The URL holds the cursor and a long property list, and errors are shown.
    let error = error.without_url();
    let (connecting, timed_out) = (error.is_connect(), error.is_timeout());
    let unsendable = error.is_builder();
    let cause = Box::new(error);
    match () {
        () if connecting => Failure::Refused(cause),
        () if timed_out => Failure::TimedOut(cause),
        () if unsendable => Failure::Unsendable(cause),
        () => Failure::Lost(cause),
    }
}

fn is_loopback(base_url: &str) -> bool {
    match url::Url::parse(base_url).ok().as_ref().and_then(url::Url::host) {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Serves canned answers on one connection and returns what was sent.
    async fn serve<const N: usize>(listener: TcpListener, answers: [&str; N]) -> String {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut sent = String::new();
        for answer in answers {
            sent.push_str(&read_request(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.expect("an open connection");
        }
        sent
    }

    async fn read_request(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(stream.read_u8().await.expect("a whole request"));
        }
        String::from_utf8(bytes).expect("text")
    }

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        (listener, url)
    }

    fn get(url: &str) -> Request {
        let template = "/crm/v3/owners";
        let path = template.to_owned();
        let name = CallName { method: Method::GET, template, path, object: None };
        Request {
            method: Method::GET,
            url: format!("{url}{template}"),
            body: None,
            authorization: Some(HeaderValue::from_static("Bearer t")),
            name,
            lane: Lane::Burst,
            effect: Effect::Read,
            answer: Answer::Json,
        }
    }

    fn transport(url: &str) -> HttpTransport {
        let config = HubSpotConfig { base_url: url.to_owned(), ..HubSpotConfig::default() };
        HttpTransport::new(&config).expect("a client")
    }

    #[tokio::test]
    async fn one_connection_carries_call_after_call() {
        let (listener, url) = listener().await;
        let transport = transport(&url);
        let ok = "HTTP/1.1 200 OK\r\nX-HubSpot-Correlation-Id: c\r\nContent-Length: 2\r\n\r\n{}";
        let calls = async {
            for _ in 0..2 {
                let reply = transport.send(get(&url)).await.expect("an answer");
                assert_eq!((reply.status, &reply.body[..]), (200, &b"{}"[..]));
                assert_eq!(reply.correlation_id(), Some("c"));
            }
        };
        let (sent, ()) = tokio::join!(serve(listener, [ok, ok]), calls);
        let sent = sent.to_ascii_lowercase();
        for header in [
            concat!("user-agent: hublake/", env!("CARGO_PKG_VERSION"), "\r\n"),
            "accept: application/json\r\n",
            "authorization: bearer t\r\n",
        ] {
            assert_eq!(sent.matches(header).count(), 2, "{header} in {sent}");
        }
    }

    #[tokio::test]
    async fn failures_are_sorted_by_whether_anything_was_sent() {
        let (closed, url) = listener().await;
        drop(closed);
        let failure = transport(&url).send(get(&url)).await.err().expect("nobody listens");
        assert!(matches!(failure, Failure::Refused(_)), "{failure:?}");

        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"results\":[";
        let (cutting, url) = listener().await;
        let transport = transport(&url);
        let (_, failure) = tokio::join!(serve(cutting, [cut]), transport.send(get(&url)));
        let failure = failure.err().expect("a broken answer");
        assert!(matches!(failure, Failure::Lost(_)), "{failure:?}");
        assert!(!format!("{failure:?}").contains("/crm/"), "the URL is kept out: {failure:?}");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let (listener, url) = listener().await;
        let moved =
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        let transport = transport(&url);
        let (_, reply) = tokio::join!(serve(listener, [moved]), transport.send(get(&url)));
        assert_eq!(reply.expect("an answer").status, 302);
    }

    #[test]
    fn only_this_machine_goes_without_a_proxy() {
        for url in ["http://127.0.0.1:80", "http://localhost:1", "http://[::1]:2"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["https://api.hubapi.com", "http://10.0.0.1", "http://localhost.example"] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
