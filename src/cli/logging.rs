use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::args::{Common, LogFormat};
use super::bars::AboveBars;

/// Starts logging to stderr; `HUBLAKE_LOG` overrules the flags, in the form of
/// tracing's filters (`hublake=debug`).
pub(super) fn start(common: &Common) {
    let level = match (common.quiet, common.verbose) {
        (true, _) => "error",
        (_, 0) => "warn,hublake=info",
        (_, 1) => "info,hublake=debug",
        _ => "debug,hublake=trace",
    };
    let filter = EnvFilter::try_from_env("HUBLAKE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let is_coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| AboveBars);
    match common.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_ansi(is_coloured).with_target(false).init(),
    }
}
