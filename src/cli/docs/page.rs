//! The catalogue as one page that needs nothing else: no script, style or picture
//! of any other address, so that it opens from a folder and can be mailed.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat};

pub(super) use super::super::html::escaped;
use super::super::html::head;
use super::super::report::grouped;
use super::lineage;
use crate::pipeline::{Catalogue, CatalogueModel, CatalogueTable, CatalogueWriteBack, TableKind};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Columns from which on a table shows them only when asked to.
const MANY_COLUMNS: usize = 40;

/// A box of the lineage.
pub(super) struct Node {
    /// What stands in it.
    pub(super) label: String,
    /// What it leads to.
    pub(super) target: String,
    /// Its look.
    pub(super) class: &'static str,
}

/// The page's name for the place where something is described.
pub(super) fn anchor(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    format!("t-{}", name.chars().map(plain).collect::<String>())
}

/// The page.
pub(super) fn page(catalogue: &Catalogue) -> String {
    let allowed = "style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    let mut html = head("hublake catalogue", STYLE, allowed);
    navigation(&mut html, catalogue);
    html.push_str("<main><h1>Catalogue</h1>");
    overview(&mut html, catalogue);
    let (nodes, edges) = graph(catalogue);
    let _ = write!(
        html,
        "<section id=\"lineage\"><h2>Lineage</h2><p class=\"q\">From your tables and HubSpot, through the models, \
         back to HubSpot. Point at a box to see what it is made of and what is made of it.</p>\
         <div class=\"scroll\">{}</div></section>",
        lineage::picture(&nodes, &edges)
    );
    write_backs(&mut html, &catalogue.write_backs);
    for (kind, title) in KINDS {
        let tables: Vec<_> = catalogue.tables.iter().filter(|t| t.kind == kind).collect();
        if !tables.is_empty() {
            let _ = write!(html, "<h2 class=\"part\">{title}</h2>");
            tables.into_iter().for_each(|one| table(&mut html, one));
        }
    }
    let _ = writeln!(html, "</main><script>{SCRIPT}</script></body></html>");
    html
}

const KINDS: [(TableKind, &str); 4] = [
    (TableKind::Model, "Models"),
    (TableKind::Source, "Your tables"),
    (TableKind::Mirror, "HubSpot"),
    (TableKind::System, "hublake's own"),
];

fn navigation(html: &mut String, catalogue: &Catalogue) {
    html.push_str(
        "<nav><p class=\"name\">hublake</p><input id=\"search\" type=\"search\" \
         placeholder=\"Search tables and columns\" aria-label=\"Search tables and columns\">\
         <p id=\"found\" class=\"q\" aria-live=\"polite\"></p><p><a href=\"#lineage\">Lineage</a></p>",
    );
    if !catalogue.write_backs.is_empty() {
        html.push_str("<h3>Write-backs</h3><ul>");
        for one in &catalogue.write_backs {
            let name = write_back_name(one);
            let _ =
                write!(html, "<li><a href=\"#{}\">{}</a></li>", anchor(&name), escaped(&one.model));
        }
        html.push_str("</ul>");
    }
    for (kind, title) in KINDS {
        let tables: Vec<_> = catalogue.tables.iter().filter(|t| t.kind == kind).collect();
        if tables.is_empty() {
            continue;
        }
        let _ = write!(html, "<h3>{title}</h3><ul>");
        for one in tables {
            let _ = write!(
                html,
                "<li><a href=\"#{}\">{}</a></li>",
                anchor(&one.name),
                escaped(&one.name)
            );
        }
        html.push_str("</ul>");
    }
    html.push_str("</nav>");
}

fn overview(html: &mut String, catalogue: &Catalogue) {
    let models = || catalogue.tables.iter().filter_map(|table| table.model.as_ref());
    let tests: Vec<_> = models().flat_map(|model| &model.tests).collect();
    let failing = tests.iter().filter(|test| test.failing.is_some()).count();
    let _ = write!(
        html,
        "<p>{} tables, {} models, {} tests{}, {} write-backs.</p>",
        catalogue.tables.len(),
        models().count(),
        tests.len(),
        if failing > 0 { format!(" ({failing} failing)") } else { String::new() },
        catalogue.write_backs.len()
    );
    if !catalogue.problems.is_empty() {
        html.push_str("<p class=\"bad\">Mistakes that stop a run:</p><ul>");
        for problem in &catalogue.problems {
            let _ = write!(html, "<li class=\"bad\">{}</li>", escaped(problem));
        }
        html.push_str("</ul>");
    }
    match &catalogue.last_run {
        Some(run) => {
            let _ = write!(
                html,
                "<p class=\"q\">Last run: <code>{}</code> of pipeline {} ({}), {}, begun {}.</p>",
                escaped(&run.run_id),
                escaped(&run.pipeline),
                escaped(&run.mode),
                escaped(&run.status),
                escaped(&run.started_at)
            );
        }
        None => html.push_str("<p class=\"q\">Nothing has run yet.</p>"),
    }
}

/// Boxes for everything that is read or reads, and the lines between them.
fn graph(catalogue: &Catalogue) -> (Vec<Node>, Vec<(usize, usize)>) {
    let models = || catalogue.tables.iter().filter_map(|t| Some((t, t.model.as_ref()?)));
    let is_read = |table: &CatalogueTable| {
        models().any(|(_, model)| model.reads.contains(&table.name))
            || catalogue.write_backs.iter().any(|one| one.model == table.name)
    };
    let shown: Vec<&CatalogueTable> =
        catalogue.tables.iter().filter(|table| table.model.is_some() || is_read(table)).collect();
    let class = |kind| match kind {
        TableKind::Source => "source",
        TableKind::Mirror => "mirror",
        TableKind::Model => "model",
        TableKind::System => "system",
    };
    let mut nodes: Vec<Node> = shown
        .iter()
        .map(|table| Node {
            label: table.name.clone(),
            target: table.name.clone(),
            class: class(table.kind),
        })
        .collect();
    let place = |name: &str| shown.iter().position(|table| table.name == name);
    let mut edges = Vec::new();
    for (to, table) in shown.iter().enumerate() {
        let reads = table.model.iter().flat_map(|model| &model.reads);
        edges.extend(
            reads.filter_map(|name| Some((place(name)?, to))).filter(|(from, _)| *from != to),
        );
    }
    for one in &catalogue.write_backs {
        edges.extend(place(&one.model).map(|from| (from, nodes.len())));
        nodes.push(Node {
            label: format!("→ {}", one.object),
            target: write_back_name(one),
            class: "back",
        });
    }
    (nodes, edges)
}

fn write_back_name(one: &CatalogueWriteBack) -> String {
    format!("write-back {} {}", one.pipeline, one.model)
}

fn write_backs(html: &mut String, write_backs: &[CatalogueWriteBack]) {
    if write_backs.is_empty() {
        return;
    }
    html.push_str("<h2 class=\"part\">Write-backs</h2>");
    for one in write_backs {
        let _ = write!(
            html,
            "<section class=\"t\" id=\"{}\"><h3>{} <span class=\"q\">→ HubSpot {}</span></h3><p>Pipeline {}: mode \
             <b>{}</b>; a row's record is found by <code>{}</code>, from column <code>{}</code>. Rows of <a href=\"#{}\">{}</a>.</p>",
            anchor(&write_back_name(one)),
            escaped(&one.model),
            escaped(&one.object),
            escaped(&one.pipeline),
            escaped(&one.mode),
            escaped(&one.matched_by.0),
            escaped(&one.matched_by.1),
            anchor(&one.model),
            escaped(&one.model)
        );
        if !one.properties.is_empty() {
            html.push_str(
                "<table><tr><th>HubSpot property</th><th>From column</th><th>Who wins</th></tr>",
            );
            for (property, column, policy) in &one.properties {
                let _ = write!(
                    html,
                    "<tr><td><code>{}</code></td><td><code>{}</code></td><td>{}</td></tr>",
                    escaped(property),
                    escaped(column),
                    escaped(policy)
                );
            }
            html.push_str("</table>");
        }
        html.push_str("</section>");
    }
}

fn table(html: &mut String, table: &CatalogueTable) {
    let _ = write!(
        html,
        "<section class=\"t\" id=\"{}\"><h3>{}</h3>",
        anchor(&table.name),
        escaped(&table.name)
    );
    if let Some(about) = &table.about {
        let _ = write!(html, "<p>{}</p>", escaped(about));
    }
    let mut facts = Vec::new();
    facts.extend(table.model.as_ref().map(|model| model.materialization.clone()));
    facts.extend(table.rows.map(|rows| format!("{} rows", grouped(rows))));
    facts.extend(table.fresh_until.and_then(time).map(|at| format!("fresh until {at}")));
    if table.complete == Some(false) {
        facts.push("not yet read to its end".to_owned());
    }
    if !facts.is_empty() {
        let _ = write!(html, "<p class=\"q\">{}</p>", escaped(&facts.join(" · ")));
    }
    if let Some(model) = &table.model {
        made(html, model);
    }
    columns(html, table);
    html.push_str("</section>");
}

fn made(html: &mut String, model: &CatalogueModel) {
    if !model.reads.is_empty() {
        let links: Vec<String> = model
            .reads
            .iter()
            .map(|name| format!("<a href=\"#{}\">{}</a>", anchor(name), escaped(name)))
            .collect();
        let _ = write!(html, "<p>Made of {}.</p>", links.join(", "));
    }
    if !model.tests.is_empty() {
        html.push_str("<ul class=\"tests\">");
        for test in &model.tests {
            let (class, word) = match test.failing {
                Some(rows) => ("bad", format!("{} rows break it", grouped(rows))),
                None => ("good", "no row known that breaks it".to_owned()),
            };
            let _ = write!(
                html,
                "<li class=\"{class}\"><code>{}</code> <span class=\"q\">{} · {word}</span></li>",
                escaped(&test.name),
                escaped(&test.severity)
            );
        }
        html.push_str("</ul>");
    }
    let _ = write!(
        html,
        "<details><summary>SQL <span class=\"q\">{}</span></summary><pre>{}</pre></details>",
        escaped(&model.file),
        escaped(&model.sql)
    );
}

fn columns(html: &mut String, table: &CatalogueTable) {
    if let Some(reason) = &table.unreadable {
        let _ = write!(html, "<p class=\"bad\">Its columns are not known: {}</p>", escaped(reason));
        return;
    }
    let key: &[String] = table.model.as_ref().map_or(&[], |model| &model.key);
    let open = if table.columns.len() < MANY_COLUMNS { " open" } else { "" };
    let _ = write!(
        html,
        "<details{open}><summary>{} columns</summary><table><tr><th>Column</th><th>Type</th><th>In HubSpot</th></tr>",
        table.columns.len()
    );
    for column in &table.columns {
        let label = column.label.as_deref().unwrap_or_default();
        let description = column.description.as_deref().unwrap_or_default();
        let mark = if key.contains(&column.name) { " <span class=\"key\">key</span>" } else { "" };
        let _ = write!(
            html,
            "<tr data-column=\"{0}\"><td><code>{0}</code>{mark}</td><td>{1}</td><td>{2}{3}</td></tr>",
            escaped(&column.name),
            escaped(&column.column_type),
            escaped(label),
            if description.is_empty() {
                String::new()
            } else {
                format!(" <span class=\"q\">{}</span>", escaped(description))
            }
        );
    }
    html.push_str("</table></details>");
}

fn time(micros: i64) -> Option<String> {
    let at = DateTime::from_timestamp_micros(micros)?;
    Some(at.to_rfc3339_opts(SecondsFormat::Secs, true))
}
