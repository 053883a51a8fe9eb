//! TLS on request, and the emulator as a proxy: for clients that have
//! HubSpot's address built in.

use reqwest::{Certificate, Proxy};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

struct Secure {
    probe: Probe,
    folder: tempfile::TempDir,
}

impl Secure {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = EmulatorConfig { tls: Some(folder.path().to_owned()), ..quiet() };
        Self { probe: Probe::start(config).await, folder }
    }

    /// A client that trusts `ca.pem` and nothing else.
    fn builder(&self) -> reqwest::ClientBuilder {
        let pem = std::fs::read(self.folder.path().join("ca.pem")).expect("a certificate");
        let certificate = Certificate::from_pem(&pem).expect("a certificate");
        reqwest::Client::builder().no_proxy().tls_certs_only([certificate])
    }

    fn behind_proxy(&self) -> reqwest::Client {
        let proxy = Proxy::all(self.probe.emulator.url()).expect("a proxy");
        self.builder().proxy(proxy).build().expect("a client")
    }
}

async fn owners(client: &reqwest::Client, base: &str) -> Result<u16, reqwest::Error> {
    let call = client.get(format!("{base}/crm/v3/owners")).bearer_auth("test");
    let got = read(call.send().await?).await?;
    assert!(got.status != 200 || got.json()["results"].is_array());
    Ok(got.status)
}

#[tokio::test]
async fn one_port_speaks_plain_http_and_tls() {
    let secure = Secure::start().await;
    let port = secure.probe.emulator.port();
    let client = secure.builder().build().expect("a client");
    for base in [
        format!("http://127.0.0.1:{port}"),
        format!("https://127.0.0.1:{port}"),
        format!("https://localhost:{port}"),
    ] {
        assert_eq!(owners(&client, &base).await.expect("an answer"), 200, "{base}");
    }
    let ca = secure.probe.emulator.ca_file().expect("a certificate");
    assert_eq!(ca, secure.folder.path().join("ca.pem"));
}

#[tokio::test]
async fn a_hosts_entry_leads_to_the_account() {
    let secure = Secure::start().await;
    let address = ([127, 0, 0, 1], secure.probe.emulator.port()).into();
    for host in ["api.hubapi.com", "api.hubspot.com", "app.hubspot.com"] {
        let client = secure.builder().resolve(host, address).build().expect("a client");
        let base = format!("https://{host}:{}", secure.probe.emulator.port());
        assert_eq!(owners(&client, &base).await.expect("an answer"), 200, "{host}");
    }
}

#[tokio::test]
async fn who_does_not_trust_the_authority_is_not_served() {
    let secure = Secure::start().await;
    let other = Secure::start().await;
    let client = other.builder().build().expect("a client");
    let base = format!("https://127.0.0.1:{}", secure.probe.emulator.port());
    assert!(owners(&client, &base).await.is_err());
    assert_eq!(secure.probe.get("/crm/v3/owners").await.status, 200, "and the rest go on");
}

#[tokio::test]
async fn clients_with_hubspots_address_built_in_come_by_proxy() {
    let secure = Secure::start().await;
    let client = secure.behind_proxy();
    for base in ["https://api.hubapi.com", "https://api.hubspot.com", "http://api.hubapi.com"] {
        for _ in 0..2 {
            assert_eq!(owners(&client, base).await.expect("an answer"), 200, "{base}");
        }
    }
    let body = json!({"properties": {"email": "proxied@x.example"}}).to_string();
    let url = "https://api.hubapi.com/crm/v3/objects/contacts";
    let call = client.post(url).bearer_auth("test").header("Content-Type", "application/json");
    let got = read(call.body(body).send().await.expect("an answer")).await.expect("a body");
    assert_eq!(got.status, 201, "{}", got.text);
    let log = secure.probe.control().log(0);
    assert_eq!((log.total, log.calls[0].path.as_str()), (7, "/crm/v3/owners"));
}

#[tokio::test]
async fn nothing_is_passed_on() {
    let secure = Secure::start().await;
    let client = secure.behind_proxy();
    assert!(owners(&client, "https://example.com").await.is_err());
    let got = client.get("http://example.com/crm/v3/owners").send().await.expect("an answer");
    let got = read(got).await.expect("a body");
    assert_eq!(got.status, 403);
    let message = got.json()["message"].as_str().map(str::to_owned).unwrap_or_default();
    assert!(message.starts_with("The emulator stands in for HubSpot and passes nothing on"));
    assert_eq!(secure.probe.control().log(0).total, 0);
}

/// What comes back for raw bytes, until the head ends.
async fn head(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("an open connection");
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => got.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&got).into_owned()
}

#[tokio::test]
async fn tunnels_open_only_to_our_hosts_and_only_once() {
    let secure = Secure::start().await;
    let open = || TcpStream::connect(("127.0.0.1", secure.probe.emulator.port()));
    let mut stream = open().await.expect("a connection");
    let refused = head(&mut stream, "CONNECT example.com:443 HTTP/1.1\r\nHost: e\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");

    let mut stream = open().await.expect("a connection");
    let ask = "CONNECT api.hubapi.com:80 HTTP/1.1\r\nHost: api.hubapi.com:80\r\n\r\n";
    let opened = head(&mut stream, ask).await;
    assert!(opened.starts_with("HTTP/1.1 200 "), "{opened}");
    let again = head(&mut stream, ask).await;
    assert!(again.starts_with("HTTP/1.1 403 "), "{again}");

    let plain = Probe::quiet().await;
    let mut stream =
        TcpStream::connect(("127.0.0.1", plain.emulator.port())).await.expect("a connection");
    let ask = "CONNECT api.hubapi.com:443 HTTP/1.1\r\nHost: api.hubapi.com:443\r\n\r\n";
    let refused = head(&mut stream, ask).await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
}

#[tokio::test]
async fn tls_without_certificates_is_hung_up_on() {
    let plain = Probe::quiet().await;
    let mut stream =
        TcpStream::connect(("127.0.0.1", plain.emulator.port())).await.expect("a connection");
    assert_eq!(head(&mut stream, "\u{16}\u{3}\u{1}").await, "");
    assert_eq!(plain.get("/crm/v3/owners").await.status, 200);
}

#[tokio::test]
async fn stopping_cuts_tunnels_too() {
    let secure = Secure::start().await;
    let port = secure.probe.emulator.port();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    let ask = "CONNECT api.hubapi.com:443 HTTP/1.1\r\nHost: api.hubapi.com:443\r\n\r\n";
    assert!(head(&mut stream, ask).await.starts_with("HTTP/1.1 200 "));
    secure.probe.emulator.shutdown().await;
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
}
