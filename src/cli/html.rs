//! A plan as one page of HTML that needs nothing else: for whoever has to say
//! yes and never sees the lake.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat};

use super::report::grouped;
use crate::load::{PlanSummary, PlannedChange, PlannedRow};

/// Characters of a value shown.
const VALUE_WIDTH: usize = 200;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;\
color:#1b1b1b;background:#fff}h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid #ccc}\
table{border-collapse:collapse;width:100%;margin:.75rem 0}th,td{text-align:left;vertical-align:top;\
padding:.3rem .6rem;border-bottom:1px solid #e3e3e3}td.n,th.n{text-align:right}del{color:#9b1c1c}\
ins{color:#14622c;text-decoration:none;font-weight:600}.stop{background:#fdecea;padding:.6rem 1rem;\
border-left:4px solid #9b1c1c}.ok{background:#edf7ed;padding:.6rem 1rem;border-left:4px solid #14622c}\
.q{color:#666}";

/// A page up to the beginning of its body. Of what else it may hold than text
/// `allowed` tells the browser: nothing is ever fetched.
pub(super) fn head(title: &str, style: &str, allowed: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; {allowed}\">\
         <title>{title}</title><style>{style}</style></head><body>"
    )
}

/// The page for the plans of a run.
pub(super) fn page(plans: &[PlanSummary], effort: &str) -> String {
    let mut html = head("What hublake would write", STYLE, "style-src 'unsafe-inline'");
    html.push_str("<h1>What hublake would write to HubSpot</h1>");
    match plans.first() {
        Some(first) => {
            let at = DateTime::from_timestamp_micros(first.planned_at)
                .map_or(String::new(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
            let _ = write!(
                html,
                "<p class=\"q\">Run {} · {} · nothing has been written</p><p>{}</p>",
                escaped(&first.run_id),
                escaped(&at),
                escaped(effort)
            );
        }
        None => html.push_str("<p>No write-back was planned.</p>"),
    }
    plans.iter().for_each(|plan| section(&mut html, plan));
    html.push_str("</body></html>\n");
    html
}

fn section(html: &mut String, plan: &PlanSummary) {
    let _ = write!(html, "<h2>{} → {}</h2>", escaped(&plan.write_back), escaped(&plan.object));
    if let Some(undone) = &plan.undoes {
        let _ = write!(html, "<p>Takes back what run {} wrote.</p>", escaped(undone));
    }
    counts(html, plan);
    guards(html, plan);
    properties(html, plan);
    for (action, title) in [
        ("create", "Records to create"),
        ("update", "Records to change"),
        ("archive", "Records to archive"),
        ("kept", "Rows left as they are"),
        ("rejected", "Rows that HubSpot would refuse"),
        ("deferred", "Rows left to the next run"),
    ] {
        samples(html, plan, action, title);
    }
}

fn counts(html: &mut String, plan: &PlanSummary) {
    let c = &plan.counts;
    html.push_str("<table><tr>");
    let cells = [
        ("wanted", c.wanted),
        ("unchanged", c.unchanged),
        ("to create", c.created),
        ("to change", c.updated),
        ("to archive", c.archived),
        ("kept", c.kept),
        ("refused", c.rejected),
        ("later", c.deferred),
    ];
    for (name, _) in &cells {
        let _ = write!(html, "<th class=\"n\">{name}</th>");
    }
    html.push_str("</tr><tr>");
    for (_, count) in &cells {
        let _ = write!(html, "<td class=\"n\">{}</td>", grouped(*count));
    }
    html.push_str("</tr></table>");
    if c.conflicts > 0 {
        let _ = write!(
            html,
            "<p>{} values differ from what hublake last set there: somebody changed them.</p>",
            grouped(c.conflicts)
        );
    }
}

fn guards(html: &mut String, plan: &PlanSummary) {
    for verdict in &plan.guards {
        let (class, word) = match (verdict.passed, verdict.accepted) {
            (true, _) => ("ok", "holds"),
            (false, true) => ("stop", "passed by hand"),
            (false, false) => ("stop", "stops this"),
        };
        let _ = write!(
            html,
            "<p class=\"{class}\">Guard <b>{}</b> {word}: {}</p>",
            verdict.guard,
            escaped(&verdict.sentence)
        );
    }
}

fn properties(html: &mut String, plan: &PlanSummary) {
    for new in &plan.properties.creates {
        let _ = write!(
            html,
            "<p>New property <b>{}</b> ({}): {}</p>",
            escaped(&new.name),
            escaped(&new.property_type),
            escaped(&new.label)
        );
    }
    for new in &plan.properties.options {
        let _ = write!(
            html,
            "<p>New options of <b>{}</b>: {}</p>",
            escaped(&new.property),
            escaped(&new.values.join(", "))
        );
    }
}

fn samples(html: &mut String, plan: &PlanSummary, action: &str, title: &str) {
    let rows: Vec<&PlannedRow> = plan.samples.iter().filter(|row| row.action == action).collect();
    if rows.is_empty() {
        return;
    }
    let _ = write!(
        html,
        "<h3>{title}</h3><table><tr><th>Record</th><th>Property</th><th>Now → then</th><th>Why</th></tr>"
    );
    for row in &rows {
        let id = row.record_id.map(|id| id.to_string());
        let name = id.or_else(|| row.match_key.clone()).unwrap_or_default();
        let why = row.reason.as_deref().unwrap_or_default();
        if row.changes.is_empty() {
            let _ = write!(
                html,
                "<tr><td>{}</td><td></td><td></td><td>{}</td></tr>",
                escaped(&name),
                escaped(why)
            );
        }
        for (property, change) in &row.changes {
            let _ = write!(
                html,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escaped(&name),
                escaped(property),
                values(change),
                escaped(change.reason.as_deref().unwrap_or(why))
            );
        }
    }
    html.push_str("</table>");
    let of_action = match action {
        "create" => plan.counts.created,
        "update" => plan.counts.updated,
        "archive" => plan.counts.archived,
        "kept" => plan.counts.kept,
        "rejected" => plan.counts.rejected,
        _ => plan.counts.deferred,
    };
    if of_action > rows.len() as u64 {
        let _ =
            write!(html, "<p class=\"q\">{} of {} are shown.</p>", rows.len(), grouped(of_action));
    }
}

fn values(change: &PlannedChange) -> String {
    let shown = |value: &str| match value {
        "" => "<span class=\"q\">(empty)</span>".to_owned(),
        value => {
            let cut: String = value.chars().take(VALUE_WIDTH).collect();
            let more = if cut.len() < value.len() { "…" } else { "" };
            format!("{}{more}", escaped(&cut))
        }
    };
    let old = shown(change.old.as_deref().unwrap_or(""));
    match change.is_write() {
        true => format!("<del>{old}</del> → <ins>{}</ins>", shown(&change.new)),
        false => format!("{old} <span class=\"q\">(wanted: {})</span>", shown(&change.new)),
    }
}

/// Text that means nothing to a browser.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> PlanSummary {
        let json = r#"{"run_id":"r","write_back":"<w>","object":"contacts","planned_at":0,
            "counts":{"wanted":30,"unchanged":0,"created":0,"updated":30,"archived":0,"kept":0,"rejected":0,
            "deferred":0,"unknown":0,"conflicts":1},"written_before":0,"read_calls":1,
            "properties":{"creates":[],"options":[]},
            "guards":[{"guard":"max_creates","passed":false,"accepted":false,"sentence":"Too many & more"}],
            "stored":true,"samples":[{"seq":0,"action":"update","record_id":7,"match_key":null,"trace_id":"t",
            "changes":{"jobtitle":{"old":null,"new":"<script>alert('x')</script>","decision":"write"}},
            "category":null,"reason":null}]}"#;
        serde_json::from_str(json).expect("a summary")
    }

    #[test]
    fn no_value_becomes_markup_and_nothing_is_fetched() {
        let html = page(&[plan()], "2 calls");
        assert!(!html.contains("<script") && html.contains("&lt;script&gt;alert(&#39;x&#39;)"));
        assert!(html.contains("&lt;w&gt;") && html.contains("Too many &amp; more"));
        for address in ["http://", "https://", "src=", "href=", "url("] {
            assert!(!html.contains(address), "{address}");
        }
    }

    #[test]
    fn a_manager_reads_counts_guards_and_how_much_is_not_shown() {
        let html = page(&[plan()], "2 calls");
        for part in
            ["<td class=\"n\">30</td>", "stops this", "1 of 30 are shown", "2 calls", "(empty)"]
        {
            assert!(html.contains(part), "{part}");
        }
    }
}
