//! One record's links: what the model wants, what hublake made, what HubSpot
//! has. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::config::LinkPolicy;
use super::part::{Kind, Part};
use crate::load::config::Nulls;
use crate::load::outcome::Outcome;
use crate::load::plan::decide::{Action, Lag, Verdict};
use crate::load::policy::Kept;
use crate::load::rejects::Known;

/// The value of a link that is there; that of one taken back is empty.
pub(crate) const LINKED: &str = "associated";
/// The value of a link that hublake made and that HubSpot was seen without since:
/// one that is there again is somebody else's.
pub(crate) const TAKEN_AWAY: &str = "taken away";
/// The category of a row whose label goes and whose pair stays.
pub(crate) const LABEL_ONLY: &str = "LABEL_ONLY";

/// The category of a row that makes another record the primary one.
pub(crate) const PRIMARY_MOVES: &str = "PRIMARY_MOVES";

/// An association type of a pair: category, id, label.
pub(crate) type Type = (String, i64, Option<String>);

/// One record with everything that is known of its links.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) record: i64,
    pub(crate) wants: Vec<Want>,
    /// By the other record.
    pub(crate) held: BTreeMap<i64, BTreeSet<Type>>,
    /// By the ledger's property.
    pub(crate) last: HashMap<String, Last>,
}

/// One row of the model that has found its record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Want {
    /// The row's key as the model gives it.
    pub(crate) given: String,
    /// The part's columns.
    pub(crate) columns: Vec<Option<String>>,
}

/// What hublake did last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Last {
    pub(crate) written: Option<Entry>,
    pub(crate) intended: Option<Entry>,
}

/// One entry of what hublake set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Entry {
    pub(crate) value: String,
    /// What there was before; empty for nothing.
    pub(crate) before: String,
    /// µs since 1970.
    pub(crate) at: i64,
}

impl Last {
    /// A write that may have happened, later than the last that did.
    fn open(&self) -> Option<&Entry> {
        let done = self.written.as_ref().map_or(i64::MIN, |entry| entry.at);
        self.intended.as_ref().filter(|entry| entry.at > done)
    }

    /// Whether hublake made it, as far as is known.
    fn is_ours(&self) -> bool {
        let linked = |entry: &Entry| !entry.value.is_empty() && entry.value != TAKEN_AWAY;
        self.open().is_some_and(linked) || self.written.as_ref().is_some_and(linked)
    }

    /// Whether hublake made it so long ago that HubSpot's not showing it means that
    /// it is gone.
    fn should_show(&self, lag: Lag) -> bool {
        let settled = |made: &Entry| lag.now.saturating_sub(made.at) > lag.length;
        self.is_ours() && self.open().is_none() && self.written.as_ref().is_some_and(settled)
    }

    fn before(&self) -> &str {
        let entry = self.written.as_ref().filter(|entry| !entry.value.is_empty());
        entry.or(self.open()).map_or("", |entry| &entry.before)
    }
}

/// What becomes of one wanted or unwanted link.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decided {
    pub(crate) action: Action,
    pub(crate) record: Option<i64>,
    pub(crate) match_key: String,
    pub(crate) property: String,
    pub(crate) old: String,
    pub(crate) new: String,
    pub(crate) last_set: Option<String>,
    pub(crate) verdict: Verdict,
    pub(crate) conflict: bool,
    pub(crate) category: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) fingerprint: i64,
}

impl Decided {
    /// What the plan counts it as.
    pub(crate) fn outcome(&self) -> Outcome {
        match self.action {
            Action::Unchanged => Outcome::Unchanged,
            Action::Keep => Outcome::Kept,
            Action::Defer => Outcome::Deferred,
            Action::Reject => Outcome::Rejected,
            Action::Unlink => Outcome::Archived,
            _ if self.old.is_empty() => Outcome::Created,
            _ => Outcome::Updated,
        }
    }

    /// Whether deciding it needs to know what HubSpot has now.
    pub(crate) fn touches(&self) -> bool {
        matches!(self.action, Action::Link | Action::Unlink | Action::Keep | Action::Defer)
    }

    pub(crate) fn rejected(
        record: Option<i64>,
        match_key: String,
        code: &str,
        sentence: String,
    ) -> Self {
        Self {
            action: Action::Reject,
            fingerprint: fingerprint(&[&match_key, code, &sentence]),
            category: Some(code.to_owned()),
            reason: Some(sentence),
            record,
            match_key,
            ..Self::unchanged()
        }
    }

    pub(crate) fn unchanged() -> Self {
        Self {
            action: Action::Unchanged,
            record: None,
            match_key: String::new(),
            property: String::new(),
            old: String::new(),
            new: String::new(),
            last_set: None,
            verdict: Verdict::Refuse,
            conflict: false,
            category: None,
            reason: None,
            fingerprint: 0,
        }
    }
}

/// Everything that the decision of a part needs beside the record.
pub(crate) struct Rules<'a> {
    pub(crate) part: &'a Part,
    pub(crate) nulls: Nulls,
    pub(crate) lag: Lag,
    pub(crate) known: &'a Known,
    /// Merged-away ids of the other type.
    pub(crate) aliases: &'a HashMap<i64, i64>,
    /// Names of an event's properties, in the order of their columns.
    pub(crate) event_properties: &'a [String],
}

/// The text that stands for what a pair has.
pub(crate) fn labels(types: &BTreeSet<Type>) -> String {
    let named: BTreeSet<&str> = types.iter().filter_map(|(.., label)| label.as_deref()).collect();
    match (types.is_empty(), named.is_empty()) {
        (true, _) => String::new(),
        (false, true) => LINKED.to_owned(),
        (false, false) => named.into_iter().collect::<Vec<_>>().join(", "),
    }
}

/// Changes when a refused row deserves another try.
pub(crate) fn fingerprint(parts: &[&str]) -> i64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish() as i64
}

impl Rules<'_> {
    /// Decides all links of one record.
    pub(crate) fn decide(&self, group: &Group) -> Vec<Decided> {
        match &self.part.kind {
            Kind::Event(_) => group.wants.iter().map(|want| self.event(group, want)).collect(),
            Kind::List(_) => self.member(group),
            Kind::Associate { .. } => self.associations(group),
        }
    }

    /// What hublake made and is not there any more, by the ledger's property. Which
    /// pair is the primary one moves with other pairs and says nothing.
    pub(crate) fn taken_away(&self, group: &Group) -> Vec<String> {
        if matches!(self.part.kind, Kind::Event(_)) || self.part.is_primary() {
            return Vec::new();
        }
        let is_gone = |(property, last): &(&String, &Last)| {
            let other = self.part.other(property).unwrap_or_default();
            let is_there = group.held.get(&other).is_some_and(|types| self.has_label(types));
            !is_there && last.should_show(self.lag)
        };
        let gone = group.last.iter().filter(is_gone);
        gone.map(|(property, _)| property.clone()).collect()
    }

    fn associations(&self, group: &Group) -> Vec<Decided> {
        let mut decided = Vec::new();
        let mut wanted: BTreeMap<i64, &Want> = BTreeMap::new();
        let mut says = false;
        for want in &group.wants {
            let text = want.columns.first().and_then(Option::as_deref).unwrap_or("").trim();
            if text.is_empty() {
                says |= self.nulls == Nulls::Clear;
                decided.push(Decided::unchanged());
                continue;
            }
            says = true;
            let key = format!("{}/{text}", want.given);
            match text.parse::<i64>().ok().filter(|id| *id > 0) {
                None => decided.push(Decided::rejected(
                    Some(group.record),
                    key,
                    "INVALID_KEY",
                    format!("`{text}` is not a record id"),
                )),
                Some(to) => {
                    let to = self.aliases.get(&to).copied().unwrap_or(to);
                    if wanted.insert(to, want).is_some() {
                        decided.push(Decided::rejected(
                            Some(group.record),
                            key,
                            "DUPLICATE_KEY",
                            format!("Another row of the model wants the same, with record {to}"),
                        ));
                    }
                }
            }
        }
        if self.part.is_primary() && wanted.len() > 1 {
            decided.extend(wanted.iter().map(|(to, want)| {
                let others = wanted.keys().map(i64::to_string).collect::<Vec<_>>().join(" and ");
                Decided::rejected(
                    Some(group.record),
                    format!("{}/{to}", want.given),
                    "DUPLICATE_KEY",
                    format!("A record has one primary associate, and the model wants {others}: which one is right?"),
                )
            }));
            return decided;
        }
        decided.extend(
            wanted.iter().map(|(to, want)| self.wanted(group, *to, format!("{}/{to}", want.given))),
        );
        if says && self.is_exclusive() {
            // The old one stays until the new one is there: of a row that is not to be
            // linked now, nothing is taken back.
            let is_settled = |one: &Decided| {
                !matches!(one.action, Action::Reject | Action::Keep | Action::Defer)
            };
            let settled = decided.iter().all(is_settled);
            let unwanted = self.unwanted(group, &wanted.keys().copied().collect());
            decided.extend(unwanted.into_iter().map(|mut one| {
                if !settled && one.action == Action::Unlink {
                    one.action = Action::Defer;
                }
                one
            }));
        }
        decided
    }

    fn is_exclusive(&self) -> bool {
        matches!(&self.part.kind, Kind::Associate { config, .. } if config.exclusive)
    }

    fn member(&self, group: &Group) -> Vec<Decided> {
        let Some((first, more)) = group.wants.split_first() else {
            return self.unwanted(group, &BTreeSet::new());
        };
        let mut decided = vec![self.wanted(group, 0, first.given.clone())];
        // One row is enough for a record to be a member.
        decided.extend(more.iter().map(|_| Decided::unchanged()));
        decided
    }

    /// A link that the model wants.
    fn wanted(&self, group: &Group, to: i64, match_key: String) -> Decided {
        let property = self.part.property(to);
        let types = group.held.get(&to);
        let old = types.map_or(String::new(), |types| match &self.part.kind {
            Kind::List(_) => LINKED.to_owned(),
            _ => labels(types),
        });
        if types.is_some_and(|types| self.has_label(types)) {
            return Decided::unchanged();
        }
        let last = group.last.get(&property).cloned().unwrap_or_default();
        let mut decided = Decided {
            action: Action::Link,
            record: Some(group.record),
            new: self.part.label().unwrap_or(LINKED).to_owned(),
            last_set: last.written.as_ref().map(|entry| entry.value.clone()),
            verdict: Verdict::Write,
            fingerprint: fingerprint(&[&match_key, &property, &old]),
            match_key,
            property,
            old,
            ..Decided::unchanged()
        };
        let made = last.written.as_ref().filter(|entry| !entry.value.is_empty());
        // Making another record the primary one takes the label off this one.
        let moved = self.part.is_primary()
            && self.others_with_label(group, to).any(|other| self.is_ours(group, other));
        if let Some(made) = made.filter(|_| last.open().is_none() && !moved) {
            let (one, _) = self.part.noun();
            let may_lag =
                made.value != TAKEN_AWAY && self.lag.now.saturating_sub(made.at) <= self.lag.length;
            if may_lag {
                decided.keep(Verdict::Defer, None);
                return decided;
            }
            decided.conflict = true;
            if self.part.policy() == LinkPolicy::Yield {
                let why = format!("Somebody took away the {one} that hublake had made");
                decided.keep(Verdict::Keep(Kept::Edited), Some(why));
                return decided;
            }
        }
        if self.part.is_primary() && self.others_with_label(group, to).next().is_some() {
            decided.category = Some(PRIMARY_MOVES.to_owned());
        }
        if let Some(other) = self.primary_of_others(group, to) {
            decided.conflict = true;
            if self.part.policy() == LinkPolicy::Yield {
                let why =
                    format!("Record {other} is the primary one, and hublake did not make it so");
                decided.keep(Verdict::Keep(Kept::NotOurs), Some(why));
                return decided;
            }
        }
        self.rest(decided)
    }

    /// A row that HubSpot has refused and nothing has changed of since.
    fn rest(&self, mut decided: Decided) -> Decided {
        if let Some(entry) = self.known.resting(&decided.match_key, decided.fingerprint) {
            decided.action = Action::Reject;
            decided.verdict = Verdict::Refuse;
            decided.conflict = false;
            decided.category = Some(entry.category.clone());
            decided.reason = Some(entry.message.clone());
        }
        decided
    }

    /// The record that is the primary one without hublake's doing.
    fn primary_of_others(&self, group: &Group, to: i64) -> Option<i64> {
        if !self.part.is_primary() {
            return None;
        }
        self.others_with_label(group, to).find(|other| !self.is_ours(group, *other))
    }

    fn is_ours(&self, group: &Group, other: i64) -> bool {
        group.last.get(&self.part.property(other)).is_some_and(Last::is_ours)
    }

    fn others_with_label<'b>(
        &'b self,
        group: &'b Group,
        to: i64,
    ) -> impl Iterator<Item = i64> + 'b {
        let others = group.held.iter().filter(move |(other, _)| **other != to);
        others.filter(|(_, types)| self.has_label(types)).map(|(other, _)| *other)
    }

    fn has_label(&self, types: &BTreeSet<Type>) -> bool {
        match self.part.label() {
            None => !types.is_empty(),
            Some(wanted) => types.iter().any(|(.., label)| label.as_deref() == Some(wanted)),
        }
    }

    /// Links of a record that the model does not want: only what hublake made
    /// goes, unless a list is to be exact.
    fn unwanted(&self, group: &Group, wanted: &BTreeSet<i64>) -> Vec<Decided> {
        let exact = matches!(&self.part.kind, Kind::List(list) if list.exact);
        let mut decided = Vec::new();
        for (to, types) in group.held.iter().filter(|(to, _)| !wanted.contains(to)) {
            let property = self.part.property(*to);
            let last = group.last.get(&property).cloned().unwrap_or_default();
            // A pair that hublake made stays its own when the label has gone on to
            // the record that is the primary one now.
            let is_there =
                self.has_label(types) || (self.part.is_primary() && last.before().is_empty());
            if !is_there || !(last.is_ours() || exact) {
                continue;
            }
            decided.push(self.take_back(group, *to, types, &last, property));
        }
        decided
    }

    fn take_back(
        &self,
        group: &Group,
        to: i64,
        types: &BTreeSet<Type>,
        last: &Last,
        property: String,
    ) -> Decided {
        let is_list = matches!(self.part.kind, Kind::List(_));
        let match_key = match is_list {
            true => group.record.to_string(),
            false => format!("{}/{to}", group.record),
        };
        let old = if is_list { LINKED.to_owned() } else { labels(types) };
        let mut decided = Decided {
            action: Action::Unlink,
            record: Some(group.record),
            last_set: last.written.as_ref().map(|entry| entry.value.clone()),
            verdict: Verdict::Write,
            fingerprint: fingerprint(&[&match_key, &property, &old, "-"]),
            match_key,
            property,
            old,
            ..Decided::unchanged()
        };
        if !is_list {
            let is_shared = has_other_labels(types, self.part.label()) || !last.before().is_empty();
            if is_shared && (self.part.label().is_none() || !self.has_label(types)) {
                decided.conflict = true;
                let why = "Somebody else made the association theirs too";
                decided.keep(Verdict::Keep(Kept::Edited), Some(why.to_owned()));
                return decided;
            }
            if is_shared {
                decided.category = Some(LABEL_ONLY.to_owned());
            }
        }
        self.rest(decided)
    }

    fn event(&self, group: &Group, want: &Want) -> Decided {
        let Some(key) = want.columns.first().cloned().flatten().filter(|key| !key.is_empty())
        else {
            let sentence = "The row has no event key".to_owned();
            return Decided::rejected(Some(group.record), want.given.clone(), "NO_KEY", sentence);
        };
        if let Some(sentence) = self.event_fault(want) {
            return Decided::rejected(Some(group.record), key, "INVALID_VALUE", sentence);
        }
        let same = group.wants.iter().filter(|other| other.columns.first() == want.columns.first());
        if same.count() > 1 {
            let sentence = "Several rows of the model have this event key: which one is right?";
            return Decided::rejected(
                Some(group.record),
                key,
                "DUPLICATE_KEY",
                sentence.to_owned(),
            );
        }
        if group.last.get(&key).is_some_and(|last| last.written.is_some()) {
            return Decided::unchanged();
        }
        let decided = Decided {
            action: Action::Link,
            record: Some(group.record),
            match_key: key.clone(),
            property: key.clone(),
            new: self.event_text(want),
            verdict: Verdict::Write,
            fingerprint: fingerprint(&[&key, &self.event_text(want)]),
            ..Decided::unchanged()
        };
        self.rest(decided)
    }

    /// The event as JSON: what is sent, but for its id and record.
    fn event_text(&self, want: &Want) -> String {
        let Kind::Event(event) = &self.part.kind else { return String::new() };
        let timed = usize::from(event.occurred_at.is_some());
        let occurred_at = want.columns.get(1).cloned().flatten().filter(|_| timed == 1);
        let values = self.event_properties.iter().zip(want.columns.iter().skip(1 + timed));
        let properties: BTreeMap<&str, &str> =
            values.filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?))).collect();
        let body = serde_json::json!({"occurredAt": occurred_at, "properties": properties});
        body.to_string()
    }

    fn event_fault(&self, want: &Want) -> Option<String> {
        use super::config::{LONGEST_EVENT_ADDRESS, LONGEST_EVENT_VALUE};
        let Kind::Event(event) = &self.part.kind else { return None };
        let timed = usize::from(event.occurred_at.is_some());
        if let Some(at) = want.columns.get(1).and_then(Option::as_deref).filter(|_| timed == 1)
            && chrono::DateTime::parse_from_rfc3339(at).is_err()
        {
            return Some(format!("`{at}` is no point in time: give `occurred_at` a timestamp"));
        }
        let values = self.event_properties.iter().zip(want.columns.iter().skip(1 + timed));
        for (name, value) in values {
            let longest = match name.as_str() {
                "hs_url" | "hs_referrer" => LONGEST_EVENT_ADDRESS,
                _ => LONGEST_EVENT_VALUE,
            };
            let length = value.as_deref().map_or(0, |value| value.chars().count());
            if length > longest {
                return Some(format!(
                    "Event property `{name}` has {length} characters, and HubSpot takes {longest}"
                ));
            }
        }
        None
    }
}

impl Decided {
    fn keep(&mut self, verdict: Verdict, reason: Option<String>) {
        self.action = if verdict == Verdict::Defer { Action::Defer } else { Action::Keep };
        self.verdict = verdict;
        self.reason = reason;
    }
}

/// Whether a pair has labels beside the one given. HubSpot makes the first
/// associate the primary one by itself, so that label says nothing.
pub(crate) fn has_other_labels(types: &BTreeSet<Type>, label: Option<&str>) -> bool {
    let mut named = types.iter().filter_map(|(.., label)| label.as_deref());
    named.any(|named| Some(named) != label && named != super::config::PRIMARY)
}

#[cfg(test)]
mod tests;
