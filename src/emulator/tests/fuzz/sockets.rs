//! Bytes nobody would send on purpose, and clients that never finish.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{account, check_account, content, query, runner, target, with_ids};
use crate::emulator::shared::Shared;
use crate::emulator::transport;

/// One request as bytes: mostly well made, at times not.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        6 => (target(), query()).prop_map(|((method, path, _), query)| {
            // An answer to HEAD cannot be told from the next one.
            let method = if method == "HEAD" { "GET".to_owned() } else { method };
            let escape = |text: String| text.chars().filter(char::is_ascii_graphic).collect::<String>();
            format!("{method} {}?{} HTTP/1.1", escape(path), escape(query)).into_bytes()
        }),
        2 => select(vec![
            "GET /crm/v3/owners HTTP/1.0", "GET /crm/v3/owners HTTP/2.0", "GET /crm/v3/owners",
            "GET  /crm/v3/owners HTTP/1.1", "get /crm/v3/owners HTTP/1.1", "GET * HTTP/1.1",
            "OPTIONS * HTTP/1.1", "CONNECT example.com:443 HTTP/1.1", "CONNECT / HTTP/1.1",
            "CONNECT api.hubapi.com:443 HTTP/1.1", "GET http://api.hubapi.com/crm/v3/owners HTTP/1.1",
            "GET http://example.com/ HTTP/1.1", "GET http:// HTTP/1.1", "PRI * HTTP/2.0", "", "\0",
            "GET /\u{e9} HTTP/1.1", "GET /crm/v3/objects/\u{fffd} HTTP/1.1", "POST /_emulator/faults HTTP/1.1",
        ]).prop_map(|line| line.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..80),
        1 => (60_000_usize..70_000).prop_map(|length| format!("GET /{} HTTP/1.1", "a".repeat(length)).into_bytes()),
    ];
    let header = prop_oneof![
        6 => select(vec![
            "Host: api.hubapi.com", "Authorization: Bearer fuzz", "Content-Type: application/json",
            "Accept: application/json", "Connection: close", "Connection: keep-alive", "Expect: 100-continue",
            "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Content-Length: 5",
            "Content-Length: -1", "Content-Length: 99999999999999999999", "Content-Length: 50000000",
            "Content-Length: 1, 2", "Upgrade: websocket", "Accept: \u{e9}", "no colon", ": empty", "A\0: b",
            "Authorization: Basic eDp5", "Authorization:", "Host:", "TE: trailers", " folded: x",
        ]).prop_map(|line| line.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => (1_usize..300_000).prop_map(|length| format!("X: {}", "a".repeat(length)).into_bytes()),
    ];
    let headers = prop_oneof![
        12 => prop::collection::vec(header.clone(), 0..6),
        1 => prop::collection::vec(header, 90..120),
    ];
    // How the length of the body is told: rightly, in chunks, too long (the
    // rest never comes), or not at all.
    (line, headers, content(), 0_u8..8).prop_map(|(line, headers, content, telling)| {
        let body = content.bytes("");
        let mut all = line;
        for header in headers {
            all.extend_from_slice(b"\r\n");
            all.extend_from_slice(&header);
        }
        all.extend_from_slice(b"\r\nAuthorization: Bearer fuzz\r\nContent-Type: application/json");
        match telling {
            0 => {
                all.extend_from_slice(b"\r\nTransfer-Encoding: chunked\r\n\r\n");
                for chunk in body.chunks(100) {
                    all.extend_from_slice(format!("{:x};x=y\r\n", chunk.len()).as_bytes());
                    all.extend_from_slice(chunk);
                    all.extend_from_slice(b"\r\n");
                }
                all.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
            }
            1 => {
                all.extend_from_slice(b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
                all.extend_from_slice(&body);
            }
            2 => {
                let length = format!("\r\nContent-Length: {}\r\n\r\n", body.len() + 7);
                all.extend_from_slice(length.as_bytes());
                all.extend_from_slice(&body);
            }
            3 => all.extend_from_slice(b"\r\n\r\n"),
            _ => {
                let length = format!("\r\nContent-Length: {}\r\n\r\n", body.len());
                all.extend_from_slice(length.as_bytes());
                all.extend_from_slice(&body);
            }
        }
        all
    })
}

/// The answers in what came back, each a status and a body.
fn answers(mut bytes: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, TestCaseError> {
    let bad = |why: &str, at: &[u8]| {
        let shown = String::from_utf8_lossy(&at[..at.len().min(300)]).into_owned();
        TestCaseError::fail(format!("{why}: {shown:?}"))
    };
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.ok_or_else(|| bad("no end of the head", bytes))? + 4;
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| bad("no text", bytes))?;
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| {
            let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
            rest.get(..3)?.parse::<u16>().ok()
        });
        let status = status.ok_or_else(|| bad("no status", bytes))?;
        let mut length = 0;
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| bad("no header", bytes))?;
            prop_assert!(!name.eq_ignore_ascii_case("transfer-encoding"), "chunked: {head}");
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(|_| bad("no length", bytes))?;
            }
        }
        let body = bytes.get(end..end + length).ok_or_else(|| bad("half a body", bytes))?;
        all.push((status, body.to_vec()));
        bytes = &bytes[end + length..];
    }
    Ok(all)
}

/// Sends bytes, in pieces, and reads until the emulator hangs up.
async fn converse(
    shared: &Arc<Shared>,
    sent: &[u8],
    piece: usize,
    hang_up: bool,
) -> Result<Vec<u8>, TestCaseError> {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let (mut reader, mut writer) = tokio::io::split(client);
    let serve = transport::serve_stream(server, None, shared);
    let write = async {
        for piece in sent.chunks(piece) {
            // The emulator may have had enough before everything is sent.
            if writer.write_all(piece).await.is_err() {
                break;
            }
        }
        // Who does not hang up waits, and must be hung up on.
        if hang_up {
            let _ = writer.shutdown().await;
        }
        writer
    };
    let mut got = Vec::new();
    let read = async { reader.read_to_end(&mut got).await };
    let all = async { tokio::join!(serve, write, read) };
    // Time is paused: only an emulator that waits for ever gets here.
    let ended = tokio::time::timeout(Duration::from_secs(3_600), all).await;
    prop_assert!(ended.is_ok(), "the connection hangs");
    Ok(got)
}

#[test]
fn any_bytes_are_answered_or_hung_up_on() {
    let tried = runner(2).run(
        &(prop::collection::vec(request(), 1..4), 1_usize..5_000, any::<bool>()),
        |(requests, piece, hang_up)| {
            let (shared, ids) = account();
            let sent: Vec<u8> = requests.concat();
            let sent = match String::from_utf8(sent) {
                Ok(text) => with_ids(&text, &ids).into_bytes(),
                Err(bytes) => bytes.into_bytes(),
            };
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().start_paused(true).build().expect("a runtime");
            let got = runtime.block_on(converse(&shared, &sent, piece, hang_up))?;
            for (status, body) in answers(&got)? {
                let text = String::from_utf8_lossy(&body);
                prop_assert!((100..500).contains(&status) || status == 501, "{status}: {text}");
                let json = serde_json::from_slice::<Value>(&body).is_ok();
                prop_assert!(
                    json || body.is_empty() || text.starts_with("<html>"),
                    "{status}: {text}"
                );
            }
            shared.faults.clear();
            check_account(&shared)
        },
    );
    tried.unwrap_or_else(|error| panic!("{error}"));
}
