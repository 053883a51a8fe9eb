//! Progress on a terminal: a line per object under way, then the budget.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use super::args::Common;
use crate::hubspot::BudgetUse;
use crate::pipeline::{ProgressBoard, ProgressLine};

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
            let budget = bars.add(ProgressBar::no_length().with_style(style(BUDGET)));
            loop {
                tokio::time::sleep(TICK).await;
                let lines = board.lines();
                while shown.len() > lines.len() {
                    shown.pop().inspect(ProgressBar::finish_and_clear);
                }
                while shown.len() < lines.len() {
                    shown.push(bars.insert_before(&budget, object_bar()));
                }
                for (bar, line) in shown.iter().zip(&lines) {
                    show_line(bar, line);
                }
                budget.set_message(budget_text(board.budget()));
            }
        })))
    }
}

/// Moves a bar to where its object is; one that is another's begins anew.
fn show_line(bar: &ProgressBar, line: &ProgressLine) {
    if bar.prefix() != line.object {
        bar.reset();
        bar.unset_length();
        bar.set_style(style(COUNTING));
        bar.set_prefix(line.object.clone());
    }
    if let (Some(expected), None) = (line.expected, bar.length()) {
        bar.set_style(style(MEASURING));
        bar.set_length(expected);
    }
    // The estimate was a search's: more may come.
    if bar.length().is_some_and(|length| length < line.records) {
        bar.set_length(line.records);
    }
    bar.set_position(line.records);
    bar.tick();
}

/// `171 of 190 calls in 10 s · 612,044 of 625,000 left today`
fn budget_text(budget: BudgetUse) -> String {
    let day = budget.daily_remaining.zip(budget.daily_limit).map(|(left, limit)| {
        format!(" · {} of {} left today", HumanCount(left), HumanCount(limit))
    });
    let day = day.unwrap_or_default();
    format!("{} of {} calls in 10 s{day}", budget.taken, budget.limit)
}

impl Drop for Bars {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
            let _ = BARS.get().map(MultiProgress::clear);
        }
    }
}

/// Nobody knows yet how many there are.
const COUNTING: &str = "{spinner} {prefix:<24} {human_pos:>10} records  {per_sec:>14}  {elapsed}";
const MEASURING: &str = "{spinner} {prefix:<24} {human_pos:>10} of {human_len} records  \
     {per_sec:>14}  {elapsed}, {eta} left";
const BUDGET: &str = "  {msg}";

fn object_bar() -> ProgressBar {
    ProgressBar::no_length().with_style(style(COUNTING))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a template that the tests have seen")
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
    fn the_templates_are_templates() {
        for template in [COUNTING, MEASURING, BUDGET] {
            style(template);
        }
    }

    #[test]
    fn a_bar_measures_once_it_knows_and_begins_anew_for_another_object() {
        let bar = object_bar();
        let line = |object: &str, records, expected| ProgressLine {
            object: object.to_owned(),
            records,
            expected,
        };
        show_line(&bar, &line("contacts", 100, None));
        assert_eq!((bar.position(), bar.length()), (100, None));
        show_line(&bar, &line("contacts", 300, Some(1_000)));
        assert_eq!((bar.position(), bar.length()), (300, Some(1_000)));
        show_line(&bar, &line("contacts", 1_100, Some(1_000)));
        assert_eq!(bar.length(), Some(1_100), "search had counted too few");
        show_line(&bar, &line("deals", 10, None));
        assert_eq!((bar.position(), bar.length()), (10, None));
    }

    #[test]
    fn the_budget_is_told_in_words() {
        let budget = BudgetUse {
            taken: 171,
            limit: 190,
            daily_remaining: Some(612_044),
            daily_limit: Some(625_000),
        };
        assert_eq!(budget_text(budget), "171 of 190 calls in 10 s · 612,044 of 625,000 left today");
        let budget = BudgetUse { daily_limit: None, ..budget };
        assert_eq!(budget_text(budget), "171 of 190 calls in 10 s");
    }
}
