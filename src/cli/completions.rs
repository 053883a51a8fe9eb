use clap::CommandFactory;

use super::args::{Arguments, CompletionsArgs};
use super::failure::Failure;
use crate::pipeline::Outcome;

/// Prints the completion script of a shell.
pub(super) fn run(args: &CompletionsArgs) -> Result<Outcome, Failure> {
    clap_complete::generate(
        args.shell,
        &mut Arguments::command(),
        "hublake",
        &mut std::io::stdout(),
    );
    Ok(Outcome::Succeeded)
}
