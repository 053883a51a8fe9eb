//! The stand-in HubSpot in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// Far above what two cores do: no limit.
pub(crate) const NO_LIMIT: u32 = 1_000_000;

/// An emulator as a process; ended when dropped.
pub(crate) struct Emulator {
    process: Child,
    /// Where it listens.
    pub(crate) url: String,
}

impl Emulator {
    /// Starts one without index lag, deals, tickets or a daily limit, and with these
    /// options besides.
    pub(crate) fn start(options: &[[&str; 2]]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_hublake"))
            .args(["-q", "emulator", "--port", "0", "--index-lag", "0ms"])
            .args(["--deals", "0", "--tickets", "0", "--daily-limit", "1000000000"])
            .args(options.concat())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the emulator starts");
        let out = process.stdout.take().expect("its output is ours");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("it says where it listens");
        let url = line.trim().trim_start_matches("listening on ").to_owned();
        Self { process, url }
    }

    /// A call of its control API, which must succeed.
    pub(crate) async fn control(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        self.try_control(method, path, body).await.expect("the emulator does as it is told")
    }

    /// A call of its control API, which it may refuse.
    pub(crate) async fn try_control(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Value> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let method = method.parse().expect("a method");
        let mut request = client.request(method, format!("{}/_emulator/{path}", self.url));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let text = request.send().await?.error_for_status()?.text().await?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It has nothing to lose.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
