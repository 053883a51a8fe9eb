//! Calls that no careful client makes, answered in HubSpot's shapes.

use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::super::intake::{LARGEST_BODY, STALL};
use super::super::shared::Shared;
use super::super::transport::{SILENCE, serve_stream};
use super::*;

const CONTACTS: &str = "/crm/v3/objects/contacts";
const OWNERS: &str = "GET /crm/v3/owners HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test\r\n";
const CREATE: &str =
    "POST /crm/v3/objects/contacts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test\r\n";

impl Probe {
    /// A call with any body under any name.
    async fn send_as(&self, method: &str, path: &str, kind: Option<&str>, body: Vec<u8>) -> Got {
        let url = format!("{}{path}", self.emulator.url());
        let mut request = self.client.request(method.parse().expect("a method"), url);
        request = request.bearer_auth("test").header("Accept", "application/json").body(body);
        if let Some(kind) = kind {
            request = request.header("Content-Type", kind);
        }
        read(request.send().await.expect("an answer")).await.expect("a body")
    }
}

fn assert_refused(got: &Got, status: u16, said: &str) {
    assert_eq!(got.status, status, "{}", got.text);
    let body = got.json();
    assert_eq!(body["status"], "error");
    assert!(body["correlationId"].is_string(), "{}", got.text);
    assert!(body["message"].as_str().is_some_and(|text| text.contains(said)), "{}", got.text);
}

#[tokio::test]
async fn an_array_is_no_object_and_a_list_no_value() {
    let probe = Probe::quiet().await;
    let id = probe.emulator.control().create_record("contacts", &Values::new()).ok();
    let id = id.unwrap_or(51_854_900_036);
    let batch = |what: &str| format!("{CONTACTS}/batch/{what}");
    let cases = [
        (format!("{CONTACTS}/search"), json!([])),
        (format!("{CONTACTS}/merge"), json!(["1", "2"])),
        (batch("archive"), json!([[[id.to_string()]]])),
        (batch("archive"), json!({"inputs": [[id.to_string()]]})),
        (batch("read"), json!({"inputs": [[id.to_string()]]})),
        (CONTACTS.to_owned(), json!({"properties": {"jobtitle": ["a", "b"]}})),
        (CONTACTS.to_owned(), json!({"properties": {"jobtitle": {"value": "a"}}})),
        (batch("create"), json!({"inputs": [{"properties": {"jobtitle": ["a"]}}]})),
        (batch("update"), json!({"inputs": [{"id": id, "properties": {"jobtitle": [1]}}]})),
    ];
    for (path, body) in cases {
        let got = probe.post(&path, body.clone()).await;
        assert_refused(&got, 400, "Cannot deserialize value of type");
        assert_eq!(got.json()["category"], serde_json::Value::Null, "{path} {body}");
    }
    let got = probe.get(&format!("{CONTACTS}/{id}")).await;
    assert_eq!(got.status, 200, "nothing was archived");
}

#[tokio::test]
async fn bodies_must_be_json_and_say_so() {
    let probe = Probe::quiet().await;
    let body = |mail: &str| json!({"properties": {"email": mail}}).to_string().into_bytes();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "json",
    ] {
        let got = probe.send_as("POST", CONTACTS, Some(kind), body("no@x.example")).await;
        assert_refused(&got, 415, "Unsupported Media Type");
    }
    let taken = [
        Some("application/json"),
        Some("application/json; charset=utf-8"),
        Some("Application/JSON;charset=UTF-8"),
        Some("application/vnd.api+json"),
        None,
    ];
    for (turn, kind) in taken.into_iter().enumerate() {
        let got = probe.send_as("POST", CONTACTS, kind, body(&format!("{turn}@x.example"))).await;
        assert_eq!(got.status, 201, "{kind:?}: {}", got.text);
    }
    let got = probe.send_as("GET", CONTACTS, Some("text/plain"), Vec::new()).await;
    assert_eq!(got.status, 200, "what is not there has no kind");
}

#[tokio::test]
async fn what_does_not_parse_is_400() {
    let probe = Probe::quiet().await;
    let deep = format!("{{\"properties\":{}", "{\"a\":".repeat(10_000));
    let deep = deep + "1" + &"}".repeat(10_001);
    for body in [
        b"{".to_vec(),
        b"".to_vec(),
        b"null".to_vec(),
        b"[1]".to_vec(),
        b"{\"properties\":7}".to_vec(),
        b"{\"properties\":{\"email\":1e999}}".to_vec(),
        b"{\"properties\":{\"email\":\"\xff\xfe\"}}".to_vec(),
        b"{\"properties\":{},\"properties\":{}}".to_vec(),
        b"{\"properties\":{}} {}".to_vec(),
        deep.into_bytes(),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let got = probe.send_as("POST", CONTACTS, Some("application/json"), body).await;
        assert_refused(&got, 400, "Invalid input JSON on line 1, column ");
        assert!(!got.text.contains("0 at line"), "{shown}: {}", got.text);
    }
}

#[tokio::test]
async fn absurd_limits_and_cursors_are_400() {
    let probe = Probe::quiet().await;
    for path in [CONTACTS, "/crm/v3/owners"] {
        for limit in ["0", "-1", "1000000", "99999999999999999999", "ten", "1.5", "%00", "%ff"] {
            assert_refused(&probe.get(&format!("{path}?limit={limit}")).await, 400, "limit");
        }
        for after in ["-1", "soon", "18446744073709551616", "%f0%9f%92%a9"] {
            assert_refused(&probe.get(&format!("{path}?after={after}")).await, 400, "after");
        }
        let end = probe.get(&format!("{path}?after=18446744073709551615")).await.json();
        assert_eq!((&end["results"], end.get("paging")), (&json!([]), None));
    }
    let id = probe.some_contact().await;
    for version in ["v3", "v4"] {
        let path = format!("/crm/{version}/objects/contacts/{id}/associations/companies");
        for limit in ["0", "-1", "501", "ten"] {
            assert_refused(&probe.get(&format!("{path}?limit={limit}")).await, 400, "limit");
        }
        assert_eq!(probe.get(&format!("{path}?limit=500")).await.status, 200);
    }
    let search = format!("{CONTACTS}/search");
    for body in [
        json!({"limit": -1}),
        json!({"limit": 201}),
        json!({"limit": "99999999999999999999"}),
        json!({"after": "soon"}),
        json!({"after": -1}),
        json!({"after": u64::MAX, "limit": 200}),
        json!({"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "EQ", "value": "NaN"}]}]}),
    ] {
        assert_refused(&probe.post(&search, body).await, 400, "");
    }
}

#[tokio::test]
async fn odd_paths_and_ids_are_refused_in_the_usual_shapes() {
    let probe = Probe::quiet().await;
    for (path, status) in [
        ("/crm/v3/objects/contacts/18446744073709551616", 404),
        ("/crm/v3/objects/contacts/-1", 404),
        ("/crm/v3/objects/contacts/%00", 404),
        ("/crm/v3/objects/contacts/%ff%fe", 404),
        ("/crm/v3/objects//", 404),
        ("/crm/v3/objects/%F0%9F%92%A9", 400),
        ("/crm/v3//objects/contacts", 404),
        ("/", 404),
        ("//", 404),
        ("/crm", 404),
    ] {
        assert_refused(&probe.get(path).await, status, "");
    }
}

#[tokio::test]
async fn methods_are_told_apart() {
    let probe = Probe::quiet().await;
    for method in ["PUT", "OPTIONS", "TRACE", "BREW"] {
        assert_refused(&probe.call(method, CONTACTS, None).await, 405, "Method Not Allowed");
    }
    let got = probe.call("HEAD", CONTACTS, None).await;
    assert_eq!((got.status, got.text.as_str()), (200, ""));
    assert!(got.header("content-length").is_some_and(|length| length != "0"));
    assert_eq!(probe.call("HEAD", "/crm/v3/objects/contacts/1", None).await.status, 404);
}

#[tokio::test]
async fn too_much_is_413() {
    let probe = Probe::quiet().await;
    let big = vec![b' '; LARGEST_BODY + 1];
    let got = probe.send_as("POST", CONTACTS, Some("application/json"), big).await;
    assert_eq!(got.status, 413);
    assert!(got.text.contains("<title>413 Request Entity Too Large</title>"));
    assert_eq!(probe.control().log(0).counts["objects.create"][&413], 1, "it is logged too");
    let most = vec![b' '; LARGEST_BODY];
    assert_eq!(probe.send_as("POST", CONTACTS, Some("application/json"), most).await.status, 400);
}

/// One connection to an account, without a socket.
fn connected() -> (DuplexStream, tokio::task::JoinHandle<()>) {
    let shared = Arc::new(Shared::new(&quiet(), chrono_tz::UTC));
    let (client, server) = tokio::io::duplex(1024 * 1024);
    (client, tokio::spawn(async move { serve_stream(server, None, &shared).await }))
}

/// Sends bytes and reads until the emulator hangs up.
async fn until_the_end(bytes: &str) -> String {
    let (mut client, server) = connected();
    client.write_all(bytes.as_bytes()).await.expect("an open connection");
    let mut got = String::new();
    client.read_to_string(&mut got).await.expect("an end");
    server.await.expect("no panic");
    got
}

#[tokio::test(start_paused = true)]
async fn who_stalls_is_not_waited_for() {
    for (sent, patience, answer) in [
        ("".to_owned(), SILENCE, ""),
        ("GET /crm".to_owned(), SILENCE, ""),
        (format!("{OWNERS}X: y"), SILENCE, ""),
        (format!("{CREATE}Content-Length: 100\r\n\r\n{{\"proper"), STALL, "HTTP/1.1 408 "),
        (format!("{CREATE}Transfer-Encoding: chunked\r\n\r\n5\r\nab"), STALL, "HTTP/1.1 408 "),
        ("\u{16}\u{3}".to_owned(), Duration::ZERO, ""),
    ] {
        let start = tokio::time::Instant::now();
        let got = until_the_end(&sent).await;
        assert!(got.starts_with(answer), "{sent}: {got}");
        assert!(!answer.is_empty() || got.is_empty(), "{sent}: {got}");
        let waited = start.elapsed();
        assert!(waited >= patience && waited <= patience + SILENCE, "{sent}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_trickles_is_not_waited_for_either() {
    let (mut client, server) = connected();
    let head = format!("{CREATE}Content-Length: 100000\r\n\r\n");
    client.write_all(head.as_bytes()).await.expect("an open connection");
    let (mut reader, mut writer) = tokio::io::split(client);
    let trickle = async {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(STALL / 2).await;
        }
    };
    let mut got = String::new();
    let read = async { reader.read_to_string(&mut got).await.expect("an end") };
    let start = tokio::time::Instant::now();
    tokio::join!(trickle, read);
    server.await.expect("no panic");
    assert!(got.starts_with("HTTP/1.1 408 "), "{got}");
    assert!(start.elapsed() < Duration::from_secs(600), "{:?}", start.elapsed());
}

#[tokio::test]
async fn calls_may_come_before_the_last_one_is_answered() {
    let missing = OWNERS.replace("owners", "owners/1");
    let close = format!("{OWNERS}Connection: close\r\n\r\n");
    let got = until_the_end(&format!("{OWNERS}\r\n{missing}\r\n{close}")).await;
    let statuses: Vec<&str> =
        got.match_indices("HTTP/1.1 ").map(|(at, _)| &got[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "404", "200"]);
}

#[tokio::test]
async fn a_body_may_wait_to_be_asked_for() {
    let body = "{\"properties\":{\"email\":\"asked@x.example\"}}";
    let (mut client, server) = connected();
    let head = format!(
        "{CREATE}Expect: 100-continue\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await.expect("an open connection");
    let mut go_on = [0; 25];
    client.read_exact(&mut go_on).await.expect("an answer");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(body.as_bytes()).await.expect("an open connection");
    let mut got = String::new();
    client.read_to_string(&mut got).await.expect("an end");
    assert!(got.starts_with("HTTP/1.1 201 "), "{got}");
    server.await.expect("no panic");

    let head = format!("{CREATE}Expect: 100-continue\r\nContent-Length: 20000000\r\n\r\n");
    let got = until_the_end(&head).await;
    assert!(got.starts_with("HTTP/1.1 413 "), "not asked for in vain: {got}");
}

#[tokio::test]
async fn old_clients_are_served_and_hung_up_on() {
    let bare = "GET /crm/v3/owners HTTP/1.0\r\n\r\n";
    let got = until_the_end(bare).await;
    assert!(got.starts_with("HTTP/1.0 401 "), "{got}");
    let got = until_the_end(&format!("{}\r\n", OWNERS.replace("HTTP/1.1", "HTTP/1.0"))).await;
    assert!(got.starts_with("HTTP/1.0 200 ") && got.ends_with('}'), "{got}");
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_hung_up_on() {
    let long = "a".repeat(70_000);
    for (sent, status) in [
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (format!("{OWNERS}no colon\r\n\r\n"), "400"),
        (format!("{CREATE}Content-Length: -1\r\n\r\n"), "400"),
        (format!("{CREATE}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), "400"),
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), "414"),
        (format!("{OWNERS}{}\r\n", "X: y\r\n".repeat(101)), "431"),
        (format!("{OWNERS}X: {}\r\n\r\n", long.repeat(12)), "431"),
    ] {
        let got = until_the_end(&sent).await;
        let shown = &sent[..sent.len().min(200)];
        assert_eq!(got.get(9..12), Some(status), "{shown}: {got}");
        let (_, body) = got.split_once("\r\n\r\n").expect("a head");
        assert!(body.contains(&format!("<title>{status} ")), "{shown}: {got}");
        assert!(got.contains(&format!("content-length: {}\r\n", body.len())), "{got}");
    }
}
