//! An answer on its way out, whole or as a fault orders it.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::call::Reply;
use super::faults::FaultAction;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The answer as it goes over the wire.
pub(crate) fn send(reply: Reply, fault: Option<&FaultAction>) -> Response<Body> {
    match fault {
        Some(FaultAction::Truncate) => truncated(reply),
        Some(FaultAction::SlowBody { ms }) => slow(reply, Duration::from_millis(*ms)),
        Some(FaultAction::WrongContentType) => {
            respond(Reply { content_type: "text/html", ..reply })
        }
        _ => respond(reply),
    }
}

/// The answer, whole.
pub(crate) fn respond(reply: Reply) -> Response<Body> {
    let body = Full::new(reply.body.clone()).map_err(never).boxed_unsync();
    with_head(&reply, body)
}

/// How long half an answer has to get onto the wire: the head is held back
/// until the body has something to wait for, and is lost if it breaks before.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

/// Promises the whole body, sends half of it, and closes.
fn truncated(reply: Reply) -> Response<Body> {
    let half = Frame::data(reply.body.slice(..reply.body.len() / 2));
    let broken = futures::stream::once(async {
        tokio::time::sleep(ON_ITS_WAY).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    let frames = futures::stream::iter([Ok(half)]).chain(broken);
    let mut response = with_head(&reply, StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(CONTENT_LENGTH, reply.body.len().into());
    response
}

/// Sends the body in eight pieces with pauses between them.
fn slow(reply: Reply, pause: Duration) -> Response<Body> {
    let size = (reply.body.len() / 8).max(1);
    let pieces: Vec<Bytes> = (0..reply.body.len())
        .step_by(size)
        .map(|start| reply.body.slice(start..(start + size).min(reply.body.len())))
        .collect();
    let frames = futures::stream::unfold(pieces.into_iter(), move |mut pieces| async move {
        let piece = pieces.next()?;
        tokio::time::sleep(pause).await;
        Some((Ok::<_, io::Error>(Frame::data(piece)), pieces))
    });
    with_head(&reply, StreamBody::new(frames).boxed_unsync())
}

fn with_head(reply: &Reply, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if reply.status != 204 {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    }
    for (name, value) in &reply.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(*name, value);
        }
    }
    response
}

fn never(error: Infallible) -> io::Error {
    match error {}
}
