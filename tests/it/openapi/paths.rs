//! Paths: which dated path is which legacy one, and patterns.

use serde_json::Value;

/// Dated paths and the legacy paths they stand for.
#[derive(Default)]
pub(super) struct DatedPaths {
    /// Dated and legacy pattern, version put in, alternatives spelt out.
    pairs: Vec<(String, String)>,
}

impl DatedPaths {
    /// Reads the table of paths: rows of what, methods, legacy, dated, note.
    pub(super) fn read(content: &Value) -> Self {
        let texts = |value: &Value| -> Vec<String> {
            let items = value.as_array().into_iter().flatten();
            items.map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
        };
        let versions = texts(&content["versions"]);
        let mut pairs = Vec::new();
        for row in content["rows"].as_array().into_iter().flatten().map(texts) {
            let [_, _, legacy, dated, ..] = row.as_slice() else { continue };
            let legacy = legacy.split(' ').next().unwrap_or_default();
            for version in &versions {
                let dated = of_version(dated, version).replace("{ver}", version);
                pairs.extend(spelt_out(&dated).into_iter().zip(spelt_out(legacy)));
            }
        }
        Self { pairs }
    }

    /// A path as the descriptions know it: every form to look for, best first.
    pub(super) fn legacy_names(&self, path: &str) -> Vec<String> {
        let mut names = vec![path.to_owned()];
        for (dated, legacy) in &self.pairs {
            names.extend(filled(dated, legacy, path));
        }
        // `crm/objects/v3` and `crm/v3/objects` are the same (section 15).
        if let ["", "crm", area, version @ ("v3" | "v4"), rest @ ..] =
            path.split('/').collect::<Vec<_>>().as_slice()
        {
            names.push(
                ["", "crm", version, area]
                    .into_iter()
                    .chain(rest.iter().copied())
                    .collect::<Vec<_>>()
                    .join("/"),
            );
        }
        for (from, to) in ALIASES {
            let aliases: Vec<String> = names
                .iter()
                .filter_map(|name| Some(format!("{to}{}", name.strip_prefix(from)?)))
                .collect();
            names.extend(aliases);
        }
        let typed: Vec<String> = names.iter().filter_map(|name| usual_type(name)).collect();
        names.extend(typed);
        // The description of lists writes its root with a slash at the end.
        let roots: Vec<String> = names.iter().map(|name| format!("{name}/")).collect();
        names.extend(roots);
        names
    }
}

/// Paths that answer as others do: sections 10 and 15, and observed 22.
const ALIASES: [(&str, &str); 3] = [
    ("/crm/v4/objects/", "/crm/v3/objects/"),
    ("/crm/v3/schemas", "/crm-object-schemas/v3/schemas"),
    ("/account-info/v3/api-usage/daily", "/account-info/v3/api-usage/daily/private-apps"),
];

/// Types that have a description of their own, and their other names: any
/// type is described, but what only some of them know stands there alone.
const TYPES: [(&str, [&str; 2]); 4] = [
    ("contacts", ["contact", "0-1"]),
    ("companies", ["company", "0-2"]),
    ("deals", ["deal", "0-3"]),
    ("tickets", ["ticket", "0-5"]),
];

/// The path with the name of the type by which it is described.
fn usual_type(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/crm/v3/objects/")?;
    let (name, rest) = rest.split_once('/')?;
    let name = name.to_lowercase();
    let (usual, _) = TYPES.iter().find(|(_, others)| others.contains(&name.as_str()))?;
    Some(format!("/crm/v3/objects/{usual}/{rest}"))
}

/// `2026-03: /a; 2026-09: /b` for one of the versions.
fn of_version(dated: &str, version: &str) -> String {
    let mut parts = dated.split("; ");
    let own = parts.find_map(|part| part.strip_prefix(&format!("{version}: ")));
    own.unwrap_or(dated).to_owned()
}

/// `/a[/b]` as `/a` and `/a/b`, `{x|y}` as `x` and `y`, `...` as any rest.
fn spelt_out(pattern: &str) -> Vec<String> {
    if let Some((before, (inside, after))) =
        pattern.split_once('[').and_then(|(before, rest)| Some((before, rest.split_once(']')?)))
    {
        let without = spelt_out(&format!("{before}{after}"));
        return without.into_iter().chain(spelt_out(&format!("{before}{inside}{after}"))).collect();
    }
    let choice = pattern.split('{').skip(1).filter_map(|part| part.split('}').next());
    if let Some(choices) = choice.into_iter().find(|names| names.contains('|')) {
        let whole = format!("{{{choices}}}");
        return choices
            .split('|')
            .flat_map(|one| spelt_out(&pattern.replace(&whole, one)))
            .collect();
    }
    vec![pattern.replace("/...", "...")]
}

/// The legacy path of a dated one, if it is of that pattern.
fn filled(dated: &str, legacy: &str, path: &str) -> Option<String> {
    let (pattern, open) = match dated.strip_suffix("...") {
        Some(pattern) => (pattern, true),
        None => (dated, false),
    };
    let mut filled = legacy.trim_end_matches("...").to_owned();
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let segment = segments.next()?;
        match expected.starts_with('{') {
            true => filled = filled.replace(expected, segment),
            false if expected == segment => {}
            false => return None,
        }
    }
    let rest: String = segments.map(|segment| format!("/{segment}")).collect();
    (open || rest.is_empty()).then(|| format!("{filled}{rest}"))
}

/// Whether `METHOD /a/{b}` is what a call asks for.
pub(super) fn fits(name: &str, asked: &str) -> bool {
    let (mut expected, mut segments) = (name.split('/'), asked.split('/'));
    loop {
        match (expected.next(), segments.next()) {
            (None, None) => return true,
            (Some(expected), Some(segment)) if expected == segment => {}
            (Some(expected), Some(segment)) if expected.starts_with('{') && !segment.is_empty() => {
            }
            _ => return false,
        }
    }
}

/// Whether a text is of a pattern: `*` stands for anything without a slash,
/// `**` for anything.
pub(super) fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    let (after, deep) = match after.strip_prefix('*') {
        Some(after) => (after, true),
        None => (after, false),
    };
    let ends = rest.char_indices().map(|(end, _)| end).chain([rest.len()]);
    let within = |end: &usize| deep || !rest[..*end].contains('/');
    ends.take_while(within).any(|end| wildcard(after, &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dated_paths_lead_to_legacy_ones() {
        let content = serde_json::json!({"versions": ["2026-03", "2026-09"], "rows": [
            ["groups", "GET", "/crm/v3/properties/{t}/groups[/{g}]", "/crm/properties/{ver}/{t}/groups[/{g}]", ""],
            ["lists", "GET", "/crm/v3/lists/...", "/crm/lists/{ver}/...", ""],
            ["batches", "POST", "/crm/v3/p/{t}/batch/{create|read}", "/crm/p/{ver}/{t}/batch/{create|read}", ""],
            ["hooks", "GET", "/webhooks/v3/{a}/...", "2026-03: /webhooks/2026-03/{a}/...; 2026-09: /app-webhooks/2026-09/{a}/...", ""],
        ]});
        let dated = DatedPaths::read(&content);
        for (path, legacy) in [
            ("/crm/properties/2026-03/0-1/groups", "/crm/v3/properties/0-1/groups"),
            ("/crm/properties/2026-09/0-1/groups/mine", "/crm/v3/properties/0-1/groups/mine"),
            ("/crm/lists/2026-03/7/memberships/add", "/crm/v3/lists/7/memberships/add"),
            ("/crm/lists/2026-03", "/crm/v3/lists"),
            ("/crm/p/2026-09/deals/batch/read", "/crm/v3/p/deals/batch/read"),
            ("/app-webhooks/2026-09/12/settings", "/webhooks/v3/12/settings"),
            ("/webhooks/2026-03/12/settings", "/webhooks/v3/12/settings"),
            ("/crm/objects/v3/contacts", "/crm/v3/objects/contacts"),
            ("/crm/v3/objects/COMPANY/merge", "/crm/v3/objects/companies/merge"),
        ] {
            let names = dated.legacy_names(path);
            assert!(names.iter().any(|name| name == legacy), "{path}: {names:?}");
        }
        let names = dated.legacy_names("/crm/properties/2025-01/0-1/groups");
        assert!(!names.iter().any(|name| name.contains("/v3/")), "{names:?}");
    }

    #[test]
    fn one_star_stops_at_a_slash() {
        assert!(wildcard("/results/*/url", "/results/12/url"));
        assert!(!wildcard("/results/*", "/results/12/url"));
        assert!(wildcard("**/url", "/url") && wildcard("**/url", "/results/12/url"));
        assert!(wildcard("4**", "404") && !wildcard("4**", "504"));
    }
}
