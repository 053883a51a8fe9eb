//! Arguments in, calls, words out. Results go to stdout, the rest to stderr.

mod apply;
mod args;
mod bars;
mod build;
mod check;
mod completions;
mod demo;
mod discover;
mod docs;
mod emulator;
mod explain;
mod extract;
mod failure;
mod guards;
mod html;
mod init;
mod logging;
mod output;
mod plan;
mod privacy;
mod project;
mod properties;
mod query;
mod rejects;
mod replay;
mod report;
mod run;
mod runs;
mod schema;
mod shell;
mod starter;
mod status;
mod stop;
mod undo;

use std::process::ExitCode;

use clap::Parser;

use crate::pipeline::Outcome;
use args::{Arguments, Command};
use failure::Failure;

/// Exit code of a command line that makes no sense (`EX_USAGE`).
const USAGE: u8 = 64;

/// Runs the command line and answers the process exit code.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    logging::start(&arguments.common);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .expect("a runtime needs only threads and a poller");
    let ended = runtime.block_on(dispatch(arguments));
    // What still runs in the background must not hold up the exit.
    runtime.shutdown_background();
    match ended {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.outcome().exit_code())
        }
    }
}

/// Help and version are answers, anything else is a usage error.
fn refuse(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
}

async fn dispatch(arguments: Arguments) -> Result<Outcome, Failure> {
    let common = &arguments.common;
    match arguments.command {
        Command::Demo(args) => demo::run(&args, common).await,
        Command::Init(args) => init::run(&args, common),
        Command::Check(args) => check::run(&args, common).await,
        Command::Explain(args) => explain::run(&args, common).await,
        Command::Docs(args) => docs::run(&args, common).await,
        Command::Discover(args) => discover::run(&args, common).await,
        Command::Extract(args) => extract::run(&args, common).await,
        Command::Build(args) => build::run(&args, common).await,
        Command::Plan(args) => plan::run(&args, common).await,
        Command::Apply(args) => apply::run(&args, common).await,
        Command::Run(args) => run::run(&args, common).await,
        Command::Rejects(args) => rejects::run(&args, common).await,
        Command::Properties(args) => properties::run(&args, common).await,
        Command::Undo(args) => undo::run(&args, common).await,
        Command::Runs(args) => runs::run(&args, common).await,
        Command::Privacy(args) => privacy::run(&args, common).await,
        Command::Query(args) => query::run(&args, common).await,
        Command::Shell(args) => shell::run(&args, common).await,
        Command::Status => status::run(common).await,
        Command::Emulator(args) => emulator::run(&args, common).await,
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}
