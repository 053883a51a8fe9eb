use std::io::{self, Write};
use std::path::Path;

use super::args::{Common, EmulatorArgs, EmulatorCommand};
use super::failure::Failure;
use super::{replay, stop};
use crate::emulator::{Credentials, DEFAULT_WEBHOOK_SECRET, Emulator, EmulatorConfig};
use crate::pipeline::Outcome;

/// Serves a stand-in HubSpot until it is stopped, or holds it against
/// recordings.
pub(super) async fn run(args: &EmulatorArgs, common: &Common) -> Result<Outcome, Failure> {
    if let Some(EmulatorCommand::Replay(args)) = &args.instead {
        return replay::run(args, common).await;
    }
    let config = EmulatorConfig {
        port: args.port,
        contacts: args.contacts,
        companies: args.companies,
        deals: args.deals,
        tickets: args.tickets,
        activities: args.activities,
        extra_properties: args.properties,
        seed: args.seed,
        latency: args.latency.clone(),
        limit_per_ten_seconds: args.limit,
        daily_limit: args.daily_limit,
        token: args.token.clone(),
        credentials: Credentials {
            apps: args.oauth_client.clone(),
            tokens: args.known_token.clone(),
            refuse_unknown_tokens: args.refuse_unknown_tokens,
            approve_at_once: args.approve_at_once,
            token_lifetime: args.token_lifetime,
            ..Credentials::default()
        },
        index_lag: args.index_lag,
        record: args.record.clone(),
        tls: args.tls.then(|| args.tls_dir.clone()),
        webhooks: args.webhook_url.clone(),
        webhook_secret: args.webhook_secret.clone(),
        ..EmulatorConfig::default()
    };
    serve(config, common, |_| Ok(())).await
}

/// Starts an emulator, says where it listens in one line, waits, and lets the
/// caller keep what it wants of it at the end.
pub(super) async fn serve(
    config: EmulatorConfig,
    common: &Common,
    at_end: impl FnOnce(&Emulator) -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    let stop = stop::on_interrupt_quietly();
    let about = about(&config);
    let emulator =
        Emulator::start(config).await.map_err(|error| Failure::new(Outcome::Failed, error))?;
    // One line, at once, for programs that wait for it.
    let mut out = io::stdout();
    let _ = writeln!(out, "listening on {}", emulator.url()).and_then(|()| out.flush());
    if !common.quiet {
        eprint!("{about}");
        if let Some(ca_file) = emulator.ca_file() {
            print_tls(&emulator.url(), ca_file);
        }
    }
    stop.cancelled().await;
    at_end(&emulator)?;
    let recorded = emulator.control().flush_recording();
    emulator.shutdown().await;
    recorded.map_err(|error| Failure::new(Outcome::Failed, error))?;
    Ok(Outcome::Succeeded)
}

/// What there is, for a person: the account, who is let in, what is told and
/// kept, and where to read on.
fn about(config: &EmulatorConfig) -> String {
    let mut lines = vec![format!(
        "A stand-in HubSpot with {} contacts, {} companies, {} deals, {} tickets and {} activities; \
         Ctrl-C stops it",
        config.contacts, config.companies, config.deals, config.tickets, config.activities,
    )];
    let credentials = &config.credentials;
    let declared = credentials.tokens.len() + credentials.apps.len();
    lines.push(match (&config.token, credentials.refuse_unknown_tokens) {
        (Some(_), _) => "Tokens: the one of `--token`, and those declared or given out".to_owned(),
        (None, true) => format!("Tokens: only those of the {declared} declared tokens and apps"),
        (None, false) => "Tokens: any bearer token is taken, `Bearer anything` too".to_owned(),
    });
    if let Some(app) = &config.webhooks {
        let signed = match &config.webhook_secret {
            Some(_) => "the secret of `--webhook-secret`".to_owned(),
            None => format!("the secret `{DEFAULT_WEBHOOK_SECRET}`"),
        };
        lines.push(format!("Webhooks: to {}, signed with {signed}", app.target_url));
    }
    if config.webhooks.is_none() && config.webhook_secret.is_some() {
        lines.push(
            "Webhooks: to nobody without `--webhook-url` or an app of the webhooks API".to_owned(),
        );
    }
    if let Some(file) = &config.record {
        lines.push(format!("Recording: to {}, at most 200 ms behind", file.display()));
    }
    lines.push("Manual: docs/emulator.md; control calls: GET /_emulator".to_owned());
    lines.into_iter().map(|line| line + "\n").collect()
}

/// What clients that have HubSpot's address built in need to come here.
fn print_tls(url: &str, ca_file: &Path) {
    // Clients are started in other folders than this one.
    let ca_file = std::path::absolute(ca_file).unwrap_or_else(|_| ca_file.to_owned());
    let ca_file = ca_file.display();
    eprintln!("It speaks TLS on the same port. To send a client of https://api.hubapi.com here:");
    eprintln!("  export HTTPS_PROXY={url}");
    eprintln!("  export REQUESTS_CA_BUNDLE={ca_file}   # Python's requests");
    eprintln!("  export CURL_CA_BUNDLE={ca_file}       # curl");
    eprintln!("  export SSL_CERT_FILE={ca_file}        # OpenSSL, Go, Ruby, Python's ssl");
    eprintln!("  export NODE_EXTRA_CA_CERTS={ca_file}  # Node.js");
    eprintln!(
        "HubSpot's own clients do not heed HTTPS_PROXY: see the manual before using a real token"
    );
}
