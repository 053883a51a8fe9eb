//! Writing records as JSON, straight into the answer's bytes.

use super::account::Account;
use super::associations::{Kind, TypeAt};
use super::moment;
use super::record::View;
use super::schema::{Catalogue, Slot};
use super::seed::plan::Make;
use serde_json::{Value, json};

/// What to show of records beside their envelope.
pub(crate) struct Shown {
    /// In the order of their names.
    pub(crate) slots: Vec<Slot>,
    /// Properties whose history is shown too.
    pub(crate) history: Vec<Slot>,
    /// Types whose associates are listed inline.
    pub(crate) associations: Vec<TypeAt>,
    /// Whether properties without a value appear as null.
    pub(crate) nulls: bool,
}

/// Extra members of a record in the answer to a write.
#[derive(Default)]
pub(crate) struct Extra<'a> {
    pub(crate) trace_id: Option<&'a str>,
    pub(crate) new: Option<bool>,
    pub(crate) warnings: &'a [Value],
}

impl Account {
    /// Appends records, with commas between them.
    pub(crate) fn push_records<'a>(
        &self,
        at: TypeAt,
        views: impl Iterator<Item = View<'a>>,
        shown: &Shown,
        out: &mut String,
    ) {
        let template = Template::of(&self.tables[at].catalogue, shown);
        for (turn, view) in views.enumerate() {
            if turn > 0 {
                out.push(',');
            }
            self.push_templated(at, &view, shown, Some(&template), &Extra::default(), out);
        }
    }

    /// Appends one record.
    pub(crate) fn push_record(
        &self,
        at: TypeAt,
        view: &View<'_>,
        shown: &Shown,
        extra: &Extra<'_>,
        out: &mut String,
    ) {
        self.push_templated(at, view, shown, None, extra, out);
    }

    fn push_templated(
        &self,
        at: TypeAt,
        view: &View<'_>,
        shown: &Shown,
        template: Option<&Template>,
        extra: &Extra<'_>,
        out: &mut String,
    ) {
        out.push_str("{\"id\":\"");
        moment::push_number(out, view.id);
        out.push_str("\",\"properties\":{");
        match template {
            // Nothing of it was changed: the seed alone tells.
            Some(template) if view.record.is_none() && shown.nulls => template.push(view, out),
            _ => push_properties(view, shown, out),
        }
        out.push('}');
        if !shown.history.is_empty() {
            push_history(view, &shown.history, out);
        }
        out.push_str(",\"createdAt\":\"");
        moment::push_exact(out, view.created());
        out.push_str("\",\"updatedAt\":\"");
        moment::push_exact(out, view.modified());
        match view.archived() {
            None => out.push_str("\",\"archived\":false"),
            Some(archived) => {
                out.push_str("\",\"archived\":true,\"archivedAt\":\"");
                moment::push_exact(out, archived);
                out.push('"');
            }
        }
        if !shown.associations.is_empty() {
            self.push_associations(at, view.id, &shown.associations, out);
        }
        if let Some(new) = extra.new {
            out.push_str(if new { ",\"new\":true" } else { ",\"new\":false" });
        }
        if let Some(trace_id) = extra.trace_id {
            out.push_str(",\"objectWriteTraceId\":");
            push_text(out, trace_id);
        }
        if !extra.warnings.is_empty() {
            out.push_str(&format!(",\"warnings\":{}", json!(extra.warnings)));
        }
        if !self.era.has_urls() {
            return out.push('}');
        }
        out.push_str(",\"url\":\"https://app.hubspot.com/contacts/");
        moment::push_number(out, self.portal_id);
        out.push_str("/record/");
        out.push_str(&self.tables[at].object_type.type_id);
        out.push('/');
        moment::push_number(out, view.id);
        out.push_str("\"}");
    }

    /// Appends the inline associations: one entry per kind of association.
    fn push_associations(&self, at: TypeAt, id: u64, types: &[TypeAt], out: &mut String) {
        let mut parts = Vec::new();
        for to in types {
            let associates = self.associates(at, id, *to);
            if associates.is_empty() {
                continue;
            }
            let mut results = Vec::new();
            for (other, kinds) in &associates {
                results.extend(kinds.iter().map(|kind| {
                    format!(
                        "{{\"id\":\"{other}\",\"type\":\"{}\"}}",
                        self.kind_name(at, *to, *kind)
                    )
                }));
            }
            // More than a hundred page separately, as HubSpot's do.
            let more = results.len() > INLINE;
            results.truncate(INLINE);
            let paging = match (more, results.len()) {
                (true, _) => self.inline_paging(at, id, *to, &associates),
                (false, _) => String::new(),
            };
            let name = &self.tables[*to].object_type.plural;
            parts.push(format!("\"{name}\":{{\"results\":[{}]{paging}}}", results.join(",")));
        }
        if !parts.is_empty() {
            out.push_str(",\"associations\":{");
            out.push_str(&parts.join(","));
            out.push('}');
        }
    }

    fn inline_paging(
        &self,
        at: TypeAt,
        id: u64,
        to: TypeAt,
        associates: &std::collections::BTreeMap<u64, Vec<u32>>,
    ) -> String {
        let mut seen = 0;
        let after = associates.iter().find(|(_, kinds)| {
            seen += kinds.len();
            seen > INLINE
        });
        let after = after.map_or(0, |(other, _)| *other);
        let (from, to) = (&self.tables[at].object_type.plural, &self.tables[to].object_type.plural);
        format!(
            ",\"paging\":{{\"next\":{{\"after\":\"{after}\",\"link\":\"https://api.hubapi.com/crm/v3/objects/{from}/{id}/associations/{to}?after={after}\"}}}}"
        )
    }

    /// The name of a kind in inline associations: `contact_to_company`, or
    /// with `_unlabeled` when a primary kind exists beside it.
    pub(crate) fn kind_name(&self, from: TypeAt, to: TypeAt, kind: u32) -> String {
        let singular = |at: TypeAt| &self.tables[at].object_type.singular;
        let base = format!("{}_to_{}", singular(from), singular(to));
        let kinds = self.associations.kinds(from, to);
        match kinds.iter().find(|other| other.id == kind) {
            Some(kind) if kind.is_own_label() => kind.name.clone(),
            Some(kind) if kind.label.is_none() && kinds.iter().any(Kind::is_primary) => {
                format!("{base}_unlabeled")
            }
            Some(kind) if kind.label.is_some() && !kind.is_primary() => kind.name.clone(),
            _ => base,
        }
    }
}

/// How many inline associates come with a record.
const INLINE: usize = 100;

fn push_properties(view: &View<'_>, shown: &Shown, out: &mut String) {
    let mut first = true;
    for slot in &shown.slots {
        let start = out.len();
        if !first {
            out.push(',');
        }
        out.push_str(&view.catalogue.at(*slot).key);
        out.push('"');
        let value = out.len();
        let has_value = view.push(*slot, out);
        if !has_value && !shown.nulls {
            out.truncate(start);
            continue;
        }
        first = false;
        // A property that a write cleared reads as null, but is echoed as ""
        // by that write; one that was cleared before there was a record of it
        // reads as "" (both observed).
        let cleared = has_value && shown.nulls && out.len() == value && view.is_written(*slot);
        if !has_value || cleared {
            out.truncate(value - 1);
            out.push_str("null");
        } else {
            escape_from(out, value);
            out.push('"');
        }
    }
}

/// What the properties of all unchanged records of a page have in common:
/// their names, and all that no seeded record has.
struct Template {
    /// What stands before a value, and whose it is.
    pieces: Vec<(String, Slot)>,
    /// What follows the last value.
    end: String,
}

impl Template {
    fn of(catalogue: &Catalogue, shown: &Shown) -> Self {
        let mut template = Self { pieces: Vec::new(), end: String::new() };
        let mut text = String::new();
        for (turn, slot) in shown.slots.iter().enumerate() {
            let property = catalogue.at(*slot);
            if turn > 0 {
                text.push(',');
            }
            text.push_str(&property.key);
            match property.make {
                Make::Nothing => text.push_str("null"),
                _ => template.pieces.push((std::mem::take(&mut text), *slot)),
            }
        }
        template.end = text;
        template
    }

    fn push(&self, view: &View<'_>, out: &mut String) {
        for (before, slot) in &self.pieces {
            out.push_str(before);
            out.push('"');
            let value = out.len();
            if !view.push(*slot, out) {
                out.truncate(value - 1);
                out.push_str("null");
                continue;
            }
            if view.catalogue.at(*slot).kind.needs_escapes() {
                escape_from(out, value);
            }
            out.push('"');
        }
        out.push_str(&self.end);
    }
}

/// Properties that never had a value have an empty history.
fn push_history(view: &View<'_>, slots: &[Slot], out: &mut String) {
    out.push_str(",\"propertiesWithHistory\":{");
    for (turn, slot) in slots.iter().enumerate() {
        if turn > 0 {
            out.push(',');
        }
        let history = view.history(*slot);
        out.push_str(&view.catalogue.at(*slot).key);
        out.push('[');
        for (turn, version) in history.iter().enumerate() {
            out.push_str(if turn > 0 { ",{\"value\":" } else { "{\"value\":" });
            push_text(out, &version.value);
            out.push_str(",\"timestamp\":\"");
            moment::push_exact(out, version.at);
            out.push_str("\",\"sourceType\":\"");
            out.push_str(version.source.wire());
            out.push_str("\",\"sourceId\":\"");
            out.push_str(version.source.id());
            out.push('"');
            if let Some(user) = version.source.user() {
                out.push_str(",\"updatedByUserId\":");
                moment::push_number(out, user);
            }
            out.push('}');
        }
        out.push(']');
    }
    out.push('}');
}

/// Appends a text as a JSON string.
pub(crate) fn push_text(out: &mut String, text: &str) {
    out.push('"');
    match is_plain(text) {
        true => out.push_str(text),
        false => push_escaped(out, text),
    }
    out.push('"');
}

/// Escapes what stands from a place on.
fn escape_from(out: &mut String, start: usize) {
    if !is_plain(&out[start..]) {
        let text = out.split_off(start);
        push_escaped(out, &text);
    }
}

/// Looks at every byte, which is faster than stopping at the first.
fn is_plain(text: &str) -> bool {
    let special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    !text.bytes().fold(false, |found, byte| found | special(byte))
}

fn push_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(|letter| letter < ' ' || letter == '"' || letter == '\\') {
        out.push_str(&rest[..at]);
        // Every special letter is one byte long.
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => out.push_str(&format!("\\u{control:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// The times of a batch answer.
pub(crate) fn push_batch_times(out: &mut String, started: i64, completed: i64) {
    out.push_str(",\"startedAt\":\"");
    moment::push_exact(out, started);
    out.push_str("\",\"completedAt\":\"");
    moment::push_exact(out, completed);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_serde_would() {
        for text in ["plain", "a\"b\\c\n\r\t", "\u{1}\u{1f}", "日本 🚀", ""] {
            let mut out = String::new();
            push_text(&mut out, text);
            let read: String = serde_json::from_str(&out).expect("a JSON string");
            assert_eq!(read, text);
        }
    }
}
