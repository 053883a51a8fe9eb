use std::io::{self, Write};

use super::args::{Common, EmulatorArgs};
use super::failure::Failure;
use super::stop;
use crate::emulator::{Emulator, EmulatorConfig};
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
        latency: args.latency,
        limit_per_ten_seconds: args.limit,
        daily_limit: args.daily_limit,
        token: args.token.clone(),
        index_lag: args.index_lag,
        record: args.record.clone(),
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
    let recorded = emulator.control().flush_recording();
    emulator.shutdown().await;
    recorded.map_err(|error| Failure::new(Outcome::Failed, error))?;
    Ok(Outcome::Succeeded)
}
