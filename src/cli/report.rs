//! What a run says of itself at its end: one small table, the problems, the
//! plan's samples.

use std::fmt::Write as _;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::args::{Common, Format};
use super::failure::Failure;
use super::output;
use crate::hubspot::BudgetUse;
use crate::load::{PlanSummary, PlannedRow};
use crate::pipeline::{Mode, Outcome, RunResults};

/// Rows of a plan shown old → new.
const SAMPLES: usize = 5;
/// Characters of a value shown.
const VALUE_WIDTH: usize = 40;

/// Prints what a run came to: JSON on stdout where asked, else a table.
pub(super) fn print(results: &RunResults, common: &Common) -> Result<(), Failure> {
    if common.output == Format::Json {
        output::text(&format!("{}\n", results.to_json()))?;
    } else if !common.quiet {
        output::text(&format!("{}\n", table(results)))?;
    }
    tell_problems(results);
    Ok(())
}

/// Refuses the forms that a report does not have, before anything is done.
pub(super) fn check_form(common: &Common) -> Result<(), Failure> {
    match common.output {
        Format::Table | Format::Json => Ok(()),
        Format::Csv | Format::Parquet => {
            Err(Failure::new(Outcome::Usage, "This command reports as a table or as JSON")
                .advise("leave `--output` out, or ask for `--output json`"))
        }
    }
}

/// Says on stderr what went wrong or was left undone.
fn tell_problems(results: &RunResults) {
    for guard in &results.accepted_guards {
        let verdict = &guard.verdict;
        eprintln!(
            "Guard {} of `{}` was passed by hand: {}",
            verdict.guard, guard.write_back, verdict.sentence
        );
    }
    for problem in &results.problems {
        eprintln!("! {problem}");
    }
    match results.status {
        Outcome::Interrupted if results.mode == Mode::Undo => {
            eprintln!("Stopped; what was taken back stays so, and the same `undo` again goes on");
        }
        Outcome::Interrupted => {
            eprintln!("Stopped; what was read and written is kept, and the next run goes on")
        }
        Outcome::GuardRefused if results.stopped_by_guard => {
            eprintln!(
                "Look at the plan with `hublake plan`, then pass a guard with `--accept-guard NAME`"
            );
        }
        Outcome::TryLater => {
            eprintln!("Run the same command later; it goes on where this one ended")
        }
        _ => {}
    }
}

fn table(results: &RunResults) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    let header = [
        "",
        "read",
        "inserted",
        "unchanged",
        "created",
        "updated",
        "archived",
        "kept",
        "rejected",
        "deferred",
        "calls",
        "seconds",
    ];
    table.set_header(header);
    for (name, o) in &results.objects {
        let cells = [o.read, o.inserted, o.unchanged, 0, o.updated, 0, 0, o.rejected, 0, o.calls];
        table.add_row(row(format!("extract {name}"), &cells, None, &[3, 5, 6, 8]));
    }
    let copied = results.sources.iter().filter_map(|(name, s)| Some((name, s.copied.as_ref()?)));
    for (name, c) in copied {
        let cells = [c.read, c.inserted, c.unchanged, 0, c.updated, 0, 0, 0, 0, 0];
        table.add_row(row(format!("copy {name}"), &cells, None, &[3, 5, 6, 7, 8, 9]));
    }
    for (name, model) in &results.models {
        let cells = [model.rows.unwrap_or(0), 0, 0, 0, model.changes, 0, 0, 0, 0, 0];
        let blank: &[usize] = match model.rows {
            Some(_) => &[1, 2, 3, 5, 6, 7, 8, 9],
            None => &[0, 1, 2, 3, 5, 6, 7, 8, 9],
        };
        table.add_row(row(format!("build {name}"), &cells, Some(model.seconds), blank));
    }
    for (name, w) in &results.write_back {
        let deferred = w.deferred + w.unknown;
        let (made, taken) = (w.created, w.archived);
        let cells =
            [w.wanted, 0, w.unchanged, made, w.updated, taken, w.kept, w.rejected, deferred, 0];
        table.add_row(row(format!("write {name}"), &cells, None, &[1, 9]));
    }
    let total = [0, 0, 0, 0, 0, 0, 0, 0, 0, results.calls.total];
    table.add_row(row(
        "in all".to_owned(),
        &total,
        Some(results.seconds()),
        &[0, 1, 2, 3, 4, 5, 6, 7, 8],
    ));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A row of figures, with those that mean nothing for it left blank.
fn row(name: String, figures: &[u64; 10], seconds: Option<f64>, blank: &[usize]) -> Vec<String> {
    let shown = figures
        .iter()
        .enumerate()
        .map(|(at, n)| if blank.contains(&at) { String::new() } else { grouped(*n) });
    let seconds = seconds.map_or(String::new(), |s| format!("{s:.1}"));
    std::iter::once(name).chain(shown).chain(std::iter::once(seconds)).collect()
}

/// 41203 as `41,203`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What carrying plans out takes: calls, seconds at the account's pace, and
/// what is left of the day. Calls made to read the records first are apart.
pub(super) fn effort(plans: &[PlanSummary], budget: &BudgetUse) -> String {
    let writes: u64 = plans.iter().map(PlanSummary::write_calls).sum();
    let reads: u64 = plans.iter().map(|plan| plan.read_calls).sum();
    let seconds = (writes * 10).div_ceil(u64::from(budget.limit.max(1)));
    let mut text = format!(
        "{} calls to write, {} s or more at {} calls per 10 s; {} calls have read the records they touch",
        grouped(writes),
        grouped(seconds),
        budget.limit,
        grouped(reads)
    );
    if let Some(left) = budget.daily_remaining {
        let _ = write!(text, "; {} calls are left today", grouped(left));
        if writes > left {
            text.push_str(", too few: the rest waits for the next day");
        }
    }
    text
}

/// A plan as asked for: JSON on one line, or words.
pub(super) fn show_plan(plan: &PlanSummary, common: &Common) -> Result<String, Failure> {
    if common.output != Format::Json {
        return Ok(describe_plan(plan));
    }
    let json = serde_json::to_string(plan);
    let json = json.map_err(|error| Failure::new(Outcome::Failed, error))?;
    Ok(format!("{json}\n"))
}

/// A plan in words: counts, guards, new properties, samples old → new.
pub(super) fn describe_plan(plan: &PlanSummary) -> String {
    let mut text = String::new();
    let c = &plan.counts;
    let _ = writeln!(
        text,
        "{} → {}: {} wanted = {} unchanged + {} to create + {} to update + {} to archive + {} kept + {} rejected + {} deferred",
        plan.write_back,
        plan.object,
        grouped(c.wanted),
        grouped(c.unchanged),
        grouped(c.created),
        grouped(c.updated),
        grouped(c.archived),
        grouped(c.kept),
        grouped(c.rejected),
        grouped(c.deferred),
    );
    if c.conflicts > 0 {
        let _ = writeln!(
            text,
            "  {} values differ from what hublake last set there",
            grouped(c.conflicts)
        );
    }
    for definition in &plan.definitions {
        let _ = writeln!(
            text,
            "  new {} {} ({:?})",
            definition.kind, definition.name, definition.label
        );
    }
    for property in &plan.properties.creates {
        let _ = writeln!(
            text,
            "  new property {} ({}, group {})",
            property.name, property.property_type, property.group
        );
    }
    for verdict in plan.guards.iter().filter(|verdict| !verdict.passed) {
        let _ = writeln!(text, "  guard {}: {}", verdict.guard, verdict.sentence);
    }
    let _ = writeln!(text, "  write calls needed: {}", grouped(plan.write_calls()));
    for row in plan.samples.iter().take(SAMPLES) {
        text.push_str(&describe_row(plan, row));
    }
    text
}

fn describe_row(plan: &PlanSummary, row: &PlannedRow) -> String {
    let id = row
        .record_id
        .map_or_else(|| row.match_key.clone().unwrap_or_default(), |id| id.to_string());
    let mut text = format!("  {} {} {id}\n", row.action, plan.object);
    for (property, change) in &row.changes {
        let old = change.old.as_deref().map_or("(empty)".to_owned(), cut);
        let reason = change.reason.as_ref().map_or(String::new(), |reason| format!("  {reason}"));
        let _ = writeln!(
            text,
            "    {property}: {old} → {} [{}]{reason}",
            cut(&change.new),
            change.decision
        );
    }
    if let Some(reason) = &row.reason {
        let _ = writeln!(text, "    {reason}");
    }
    text
}

fn cut(value: &str) -> String {
    let mut text: String = value.chars().take(VALUE_WIDTH).collect();
    if text.len() < value.len() {
        text.push('…');
    }
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (41_206_003, "41,206,003")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn the_effort_is_told_against_what_is_left_of_the_day() {
        let budget =
            |left| BudgetUse { taken: 0, limit: 190, daily_remaining: left, daily_limit: None };
        let none = effort(&[], &budget(None));
        assert!(none.starts_with("0 calls to write, 0 s") && !none.contains("today"), "{none}");
        assert!(effort(&[], &budget(Some(5))).ends_with("5 calls are left today"));
    }

    #[test]
    fn long_values_are_cut_and_quoted() {
        assert_eq!(cut("a\"b"), r#""a\"b""#);
        assert!(cut(&"x".repeat(100)).ends_with("…\""));
    }
}
