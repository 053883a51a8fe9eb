use tokio_util::sync::CancellationToken;

use crate::pipeline::Outcome;

/// A token that the first Ctrl-C or SIGTERM cancels: what is in flight ends,
/// what was read is committed. A second one ends the process where it stands.
pub(super) fn on_interrupt() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        interrupted().await;
        eprintln!("Stopping: finishing what is in flight; press Ctrl-C again to stop at once");
        told.cancel();
        interrupted().await;
        std::process::exit(i32::from(Outcome::Interrupted.exit_code()));
    });
    stop
}

/// A token that the first Ctrl-C or SIGTERM cancels, with nothing said: for
/// servers, whose only way to end this is.
pub(super) fn on_interrupt_quietly() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        interrupted().await;
        told.cancel();
    });
    stop
}

#[cfg(unix)]
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate()).expect("a handler for SIGTERM can be set");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

#[cfg(not(unix))]
async fn interrupted() {
    let _ = tokio::signal::ctrl_c().await;
}
