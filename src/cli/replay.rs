//! `hublake emulator replay`: is the emulator like the recordings?

use std::fmt::Write as _;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use super::args::{Common, Format, ReplayArgs};
use super::failure::Failure;
use super::{output, report};
use crate::emulator::{ReplayReport, Verdict, replay};
use crate::pipeline::Outcome;

/// Replays every file; fails where an answer differs or a line is no exchange.
pub(super) async fn run(args: &ReplayArgs, common: &Common) -> Result<Outcome, Failure> {
    report::check_form(common)?;
    let mut reports = Vec::with_capacity(args.files.len());
    for file in &args.files {
        let report = replay(file).await.map_err(|error| Failure::new(Outcome::Failed, error))?;
        reports.push(report);
    }
    let json = as_json(&reports);
    if let Some(path) = &args.report {
        std::fs::write(path, format!("{json:#}\n")).map_err(|error| {
            let what = format!("Cannot write `{}`: {error}", path.display());
            Failure::new(Outcome::Failed, what)
        })?;
    }
    match (common.output, common.quiet) {
        (Format::Json, _) => output::text(&format!("{json}\n"))?,
        (_, false) => output::text(&as_text(&reports))?,
        (_, true) => {}
    }
    if reports.iter().all(ReplayReport::is_empty) {
        let what = "Nothing could be compared: no line is an exchange with an API that the \
                    emulator imitates";
        return Err(Failure::new(Outcome::Failed, what));
    }
    let different = reports.iter().any(ReplayReport::is_different);
    Ok(if different { Outcome::Failed } else { Outcome::Succeeded })
}

/// All reports and their sums.
fn as_json(reports: &[ReplayReport]) -> Value {
    let sum = |of: fn(&ReplayReport) -> usize| reports.iter().map(of).sum::<usize>();
    json!({
        "same": sum(|report| report.same),
        "assuming": sum(|report| report.assuming),
        "different": sum(|report| report.different),
        "not_imitated": sum(|report| report.not_imitated),
        "contradictory": sum(|report| report.contradictory),
        "unreadable": sum(|report| report.unreadable),
        "files": reports,
    })
}

fn as_text(reports: &[ReplayReport]) -> String {
    let mut out = String::new();
    for report in reports {
        let _ = writeln!(out, "{}\n{}", report.file.display(), table(report));
        for exchange in &report.exchanges {
            let what = match &exchange.verdict {
                Verdict::Same | Verdict::NotImitated => continue,
                Verdict::Different { differences } => differences.join("; "),
                Verdict::Contradictory { reason } => format!("contradicts itself: {reason}"),
                Verdict::Unreadable { reason } => reason.clone(),
            };
            let asked = format!("{} {} {what}", exchange.method, exchange.path);
            let _ = writeln!(out, "line {}: {}", exchange.line, asked.trim());
        }
        if report.assuming > 0 {
            let _ = writeln!(
                out,
                "{} of the same rest on what the account was taken to calculate by itself; the \
                 report lists it",
                report.assuming
            );
        }
    }
    out
}

fn table(report: &ReplayReport) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header([
        "endpoint",
        "same",
        "different",
        "not imitated",
        "contradictory",
        "unreadable",
    ]);
    let mut row = |name: &str, counts: [usize; 5]| {
        let shown = counts.map(|count| if count > 0 { count.to_string() } else { String::new() });
        table.add_row(std::iter::once(name.to_owned()).chain(shown));
    };
    for tally in report.by_endpoint() {
        let counts = [
            tally.same,
            tally.different,
            tally.not_imitated,
            tally.contradictory,
            tally.unreadable,
        ];
        row(&tally.endpoint, counts);
    }
    let sums = [
        report.same,
        report.different,
        report.not_imitated,
        report.contradictory,
        report.unreadable,
    ];
    row("all", sums);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn a_report_counts_by_endpoint_and_tells_each_difference() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(
            br#"{"request":{"method":"GET","path":"/crm/v3/owners"},"response":{"status":200,"body":{"results":[]}}}
{"request":{"method":"GET","path":"/crm/v3/owners"},"response":{"status":200,"body":{"owners":[]}}}
{"request":{"method":"GET","path":"/cms/v3/blogs"},"response":{"status":200}}
no exchange
"#,
        )
        .expect("a full disk is no part of this test");
        let report = replay(file.path()).await.expect("a readable file");
        assert!(report.is_different());
        let reports = [report];
        let text = as_text(&reports);
        assert!(text.contains("owners.list"), "{text}");
        assert!(text.contains("line 2: GET /crm/v3/owners "), "{text}");
        assert!(text.contains("line 4: it is not JSON; "), "{text}");
        let json = as_json(&reports);
        assert_eq!((&json["same"], &json["different"]), (&json!(1), &json!(1)));
        assert_eq!((&json["not_imitated"], &json["unreadable"]), (&json!(1), &json!(1)));
    }
}
