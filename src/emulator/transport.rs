//! Sockets: who is let in, what language they speak, how long they may take.
//!
//! One port takes plain HTTP, TLS (told apart by its first byte) and, as a
//! forward proxy, `CONNECT`; all of it ends here, nothing is ever passed on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::call::{Call, Reply};
use super::control;
use super::errors::Refused;
use super::faults::FaultAction;
use super::gateway::Gateway;
use super::intake;
use super::opening::{Opened, open};
use super::proxy::{self, Aim};
use super::recorder::Asked;
use super::sending::{Body, respond, send};
use super::server::{self, Served};
use super::shared::Shared;

/// How long a connection may be silent between two calls, or take over the
/// head of one. Longer than most clients keep idle connections for reuse.
pub(crate) const SILENCE: Duration = Duration::from_secs(100);

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How much of a recording a crash may cost.
const FLUSHED_EVERY: Duration = Duration::from_millis(200);

/// How long nobody is let in after an accept that failed: out of file
/// descriptors, the next fails as fast as the last.
const REST: Duration = Duration::from_millis(100);

/// How often a person is told of failed accepts.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// How long connections may take to close: one may be in a long search.
const FAREWELL: Duration = Duration::from_millis(500);

/// Room for the head of a call; HubSpot's gateway takes less.
const LARGEST_HEAD: usize = 256 * 1024;

/// A connection closed on purpose, without an answer.
#[derive(Debug, thiserror::Error)]
#[error("The connection was dropped by a fault")]
struct Dropped;

/// Accepts connections until told to stop, then closes those that are open.
pub(crate) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut flushes = tokio::time::interval(FLUSHED_EVERY);
    flushes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = Failures::default();
    loop {
        tokio::select! {
            accepted = listener.accept(), if failures.rest_until.is_none() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, shared.clone()));
                }
                Err(error) => if let Some(failed) = failures.another(Instant::now()) {
                    tracing::warn!(%error, failed, "Connections could not be accepted");
                },
            },
            () = rest(failures.rest_until) => failures.rest_until = None,
            // Connections that ended are taken out as they end.
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = flushes.tick(), if shared.recorder.is_some() => {
                // A failure is kept and logged by the recorder.
                let _ = shared.recorder.as_ref().map(|recorder| recorder.flush());
            }
            _ = stop.changed() => break,
        }
    }
    // What does not end in time is ended by whoever ends the process.
    let _ = timeout(FAREWELL, connections.shutdown()).await;
}

async fn rest(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Accepts that failed: paced, and told of now and then.
#[derive(Debug, Default)]
struct Failures {
    rest_until: Option<Instant>,
    told_at: Option<Instant>,
    untold: u64,
}

impl Failures {
    /// Counts one; how many there were since the last time, if it is time to
    /// tell.
    fn another(&mut self, now: Instant) -> Option<u64> {
        self.rest_until = Some(now + REST);
        self.untold += 1;
        if self.told_at.is_some_and(|told| now < told + TOLD_EVERY) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    // Small answers must not wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let peer = stream.peer_addr().ok();
    serve_stream(stream, peer, &shared).await;
}

/// Serves a connection, and the tunnel that it may turn into.
pub(crate) async fn serve_stream<S>(stream: S, peer: Option<SocketAddr>, shared: &Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    if let Some(tunnel) = converse(stream, peer, shared, false).await {
        converse(TokioIo::new(tunnel), peer, shared, true).await;
    }
}

/// Talks until the other side is done or asks for a tunnel.
async fn converse<S>(
    stream: S,
    peer: Option<SocketAddr>,
    shared: &Arc<Shared>,
    tunnelled: bool,
) -> Option<Upgraded>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // Who says nothing, or hangs up before a word, is let go without one.
    let opened = timeout(SILENCE, open(stream)).await.ok()?.ok()?;
    match opened {
        Opened::Plain(stream) => http(stream, peer, shared, tunnelled).await,
        Opened::Tls(stream) => {
            let Some(config) = shared.tls.clone() else {
                tracing::warn!("A client speaks TLS: start the emulator with `--tls`");
                return None;
            };
            match timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
                Ok(Ok(stream)) => http(stream, peer, shared, tunnelled).await,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "A TLS handshake failed: does the client trust `ca.pem`?");
                    None
                }
                Err(_) => None,
            }
        }
    }
}

async fn http<S>(
    stream: S,
    peer: Option<SocketAddr>,
    shared: &Arc<Shared>,
    tunnelled: bool,
) -> Option<Upgraded>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let tunnel: Arc<Mutex<Option<OnUpgrade>>> = Arc::default();
    let service = service_fn(|request| {
        let (shared, tunnel) = (shared.clone(), tunnel.clone());
        async move { receive(&shared, request, tunnelled, &tunnel).await }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(Gateway::new(stream)), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(?peer, %error, "A connection ended early");
        return None;
    }
    let asked_for = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    asked_for.await.ok()
}

/// Answers a call, or agrees to a tunnel.
async fn receive(
    shared: &Shared,
    request: Request<Incoming>,
    tunnelled: bool,
    tunnel: &Mutex<Option<OnUpgrade>>,
) -> Result<Response<Body>, Dropped> {
    match proxy::aim(request.method(), request.uri(), shared.tls.is_some(), tunnelled) {
        Ok(Aim::Here) => answer(shared, request).await,
        Ok(Aim::Tunnel) => {
            let upgrade = hyper::upgrade::on(request);
            *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrade);
            Ok(Response::new(Body::default()))
        }
        Err(refused) => {
            let id = uuid::Uuid::now_v7().to_string();
            Ok(respond(bare(shared, refused, &id)))
        }
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
    let arrived = Instant::now();
    let (parts, body) = request.into_parts();
    let uri_length = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let mut call = Call::of(&parts);
    let unread = match intake::body(body, &parts.headers).await {
        Ok(body) => {
            call.body = body;
            None
        }
        Err(refused) => Some(refused),
    };
    if call.path.starts_with(control::PREFIX) {
        return Ok(respond(match unread {
            Some(refused) => bare(shared, refused, &call.correlation_id),
            None => control::answer(shared, &call).await,
        }));
    }
    let asked = shared.recorder.as_ref().map(|_| Asked::of(&call, &parts.headers));
    let served = match unread {
        Some(refused) => {
            let reply = server::turn_away(shared, &parts.headers, refused, call);
            Served { reply: Some(reply), fault: None }
        }
        None => server::process(shared, &parts.headers, uri_length, call).await,
    };
    let wait = shared.next_wait();
    if !wait.is_zero() {
        tokio::time::sleep(wait.saturating_sub(arrived.elapsed())).await;
    }
    let reply = served.reply.ok_or(Dropped)?;
    // Half an answer is no exchange.
    if let (Some(recorder), Some(asked)) = (&shared.recorder, &asked)
        && served.fault != Some(FaultAction::Truncate)
    {
        recorder.note(asked, &reply);
    }
    Ok(send(reply, served.fault.as_ref()))
}

/// A refusal that is neither logged nor counted.
fn bare(shared: &Shared, refused: Refused, correlation_id: &str) -> Reply {
    let now = shared.read().now();
    server::finish(Err(refused), None, correlation_id, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failed_accepts_are_paced_and_told_of_once_a_second() {
        let mut failures = Failures::default();
        let mut told = Vec::new();
        for _ in 0..25 {
            told.extend(failures.another(Instant::now()));
            assert_eq!(failures.rest_until, Some(Instant::now() + REST));
            rest(failures.rest_until.take()).await;
        }
        assert_eq!(told, [1, 10, 10]);
    }
}
