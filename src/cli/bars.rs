//! Progress on a terminal: a line per object under way, above the prompt.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use super::args::Common;
use crate::pipeline::ProgressBoard;

/// How often the figures move.
const TICK: Duration = Duration::from_millis(200);

/// The lines of this process; log lines go above them.
static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// Shows a board's figures until dropped; nothing where nobody can see them.
pub(super) struct Bars(Option<JoinHandle<()>>);

impl Bars {
    /// Starts showing, on a terminal that was not asked to be quiet.
    pub(super) fn show(board: &ProgressBoard, common: &Common) -> Self {
        let is_wanted =
            io::stderr().is_terminal() && !common.quiet && std::env::var_os("NO_COLOR").is_none();
        if !is_wanted {
            return Self(None);
        }
        let (board, bars) = (board.clone(), BARS.get_or_init(MultiProgress::new));
        Self(Some(tokio::spawn(async move {
            let mut shown: Vec<ProgressBar> = Vec::new();
            loop {
                tokio::time::sleep(TICK).await;
                let lines = board.lines();
                while shown.len() > lines.len() {
                    shown.pop().inspect(ProgressBar::finish_and_clear);
                }
                while shown.len() < lines.len() {
                    shown.push(bars.add(spinner()));
                }
                for (bar, (name, records)) in shown.iter().zip(lines) {
                    bar.set_prefix(name);
                    bar.set_position(records);
                    bar.tick();
                }
            }
        })))
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
            let _ = BARS.get().map(MultiProgress::clear);
        }
    }
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{spinner} {prefix:<24} {human_pos:>10} records  {per_sec:>14}  {elapsed}",
    );
    let bar = ProgressBar::no_length();
    bar.set_style(style.expect("a template that the tests have seen"));
    bar
}

/// Stderr, with the bars out of the way while a line is written.
pub(super) struct AboveBars;

impl Write for AboveBars {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        match BARS.get() {
            Some(bars) => bars.suspend(|| io::stderr().write(text)),
            None => io::stderr().write(text),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        spinner().finish_and_clear();
    }
}
