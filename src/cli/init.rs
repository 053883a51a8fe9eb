use super::args::{Common, InitArgs};
use super::failure::Failure;
use super::starter;
use crate::pipeline::Outcome;

/// Writes a new project into a folder, overwriting nothing.
pub(super) fn run(args: &InitArgs, common: &Common) -> Result<Outcome, Failure> {
    let files = starter::write(&args.dir, starter::settings()).map_err(|error| {
        Failure::new(
            Outcome::Failed,
            format!("A project cannot be written to `{}`: {error}", args.dir.display()),
        )
        .advise("name an empty folder: `hublake init DIR`")
    })?;
    if !common.quiet {
        for file in &files {
            eprintln!("wrote {}", file.display());
        }
        eprintln!(
            "next: set HUBSPOT_ACCESS_TOKEN, edit hublake.yml, then `hublake check` and `hublake plan`"
        );
    }
    Ok(Outcome::Succeeded)
}
