use std::io::{self, Write};

use super::args::{Common, EmulatorArgs};
use super::failure::Failure;
use super::stop;
use crate::emulator::{Credentials, Emulator, EmulatorConfig};
use crate::pipeline::Outcome;

/// Serves a stand-in HubSpot until it is stopped.
pub(super) async fn run(args: &EmulatorArgs, common: &Common) -> Result<Outcome, Failure> {
    let config = EmulatorConfig {
        port: args.port,
        contacts: args.contacts,
        companies: args.companies,
        deals: args.deals,
        tickets: args.tickets,
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
    let emulator =
        Emulator::start(config).await.map_err(|error| Failure::new(Outcome::Failed, error))?;
    // One line, at once, for programs that wait for it.
    let mut out = io::stdout();
    let _ = writeln!(out, "listening on {}", emulator.url()).and_then(|()| out.flush());
    if !common.quiet {
        eprintln!("A stand-in HubSpot; any request needs a bearer token. Stop it with Ctrl-C");
    }
    stop.cancelled().await;
    at_end(&emulator)?;
    emulator.shutdown().await;
    Ok(Outcome::Succeeded)
}
