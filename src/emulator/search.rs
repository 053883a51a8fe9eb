//! Search: an index that lags behind, a total that is now and then wrong.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use super::account::Account;
use super::associations::TypeAt;
use super::call::Text;
use super::errors::{Refusal, Refused};
use super::found::{Ids, Question};
use super::moment;
use super::record::View;
use super::schema::Slot;
use super::seed::draw::{Draw, salt};
use super::seed::plan::{Kind, Make};
use super::table::Table;
use super::wildcards::fits;

/// Filter groups, filters of one group, filters in all; section 8 of the API
/// reference.
const MOST_GROUPS: usize = 5;
const MOST_IN_GROUP: usize = 6;
const MOST_FILTERS: usize = 18;
const MOST_RESULTS: u64 = 200;
const LONGEST_QUERY: usize = 3_000;
/// Nothing is served beyond this offset.
const WALL: u64 = 10_000;

/// A search as it comes in.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SearchRequest {
    filter_groups: Vec<GroupRequest>,
    /// Taken in place of one group (observed).
    filters: Vec<FilterRequest>,
    sorts: Vec<SortRequest>,
    query: Option<String>,
    pub(crate) properties: Vec<String>,
    limit: Option<Text>,
    after: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GroupRequest {
    filters: Vec<FilterRequest>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FilterRequest {
    property_name: String,
    operator: String,
    value: Option<Text>,
    high_value: Option<Text>,
    values: Vec<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SortRequest {
    /// Ascending by this property.
    Name(String),
    #[serde(rename_all = "camelCase")]
    Full {
        property_name: String,
        #[serde(default)]
        direction: String,
    },
}

/// What a search found.
pub(crate) struct FoundPage<'a> {
    pub(crate) total: u64,
    pub(crate) records: Vec<View<'a>>,
    /// The offset of the next page, if there is one.
    pub(crate) next: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Eq,
    Neq,
    Lt,
    Lte,
    Gt,
    Gte,
    Between,
    In,
    NotIn,
    Has,
    HasNot,
    Token,
    NotToken,
}

/// A value in the form its kind compares in.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Operand {
    Number(f64),
    Text(String),
}

#[derive(Clone, Debug)]
enum Subject {
    Property(Slot),
    /// `associations.contact`
    Associates(TypeAt),
}

#[derive(Clone, Debug)]
struct Filter {
    subject: Subject,
    operator: Operator,
    operands: Vec<Operand>,
    /// Whether a negation matches what has no value.
    match_empty: bool,
}

/// Properties that cannot be filtered by; section 8 of the API reference.
fn is_unfilterable(plural: &str, name: &str) -> bool {
    let activity = matches!(
        plural,
        "calls" | "emails" | "meetings" | "notes" | "tasks" | "communications" | "postal_mail"
    );
    match name {
        "hs_body_preview_html" => activity,
        "hs_email_html" | "hs_body_preview" => plural == "emails",
        _ => false,
    }
}

impl Account {
    /// Runs a search over one type.
    pub(crate) fn search(
        &self,
        at: TypeAt,
        request: &SearchRequest,
        digest: u64,
    ) -> Result<FoundPage<'_>, Refused> {
        let limit = number(request.limit.as_ref(), 10)?;
        let after = number(request.after.as_ref(), 0)?;
        check_limits(request, limit, after)?;
        let groups = self.filters(at, request)?;
        let sort = self.sort(at, request)?;
        let query =
            request.query.as_deref().map(str::to_lowercase).filter(|query| !query.is_empty());

        let (total, found) = self.found(at, groups, query.as_deref(), sort);
        let as_of = self.indexed_until();
        let page = found.iter().copied().skip(after as usize).take(limit as usize);
        // What was deleted since it was indexed counts, but is not shown
        // (observed seconds after a batch/archive).
        let live = page.filter_map(|id| self.tables[at].live(id));
        let records = live.map(|view| view.at(as_of)).collect();
        let next = (after + limit < total && limit > 0).then_some(after + limit);
        Ok(FoundPage { total: self.told_total(total, digest), records, next })
    }

    fn is_custom(&self, at: TypeAt) -> bool {
        self.tables[at].object_type.custom.is_some()
    }

    /// The total that is told: one in eight searches is wrong by a few, each
    /// time alike.
    fn told_total(&self, total: u64, digest: u64) -> u64 {
        let draw = Draw::of(digest, salt("total"), total);
        match self.wrong_totals && draw.below(8) == 0 {
            true => total + 1 + draw.of_property(1).below(3),
            false => total,
        }
    }

    /// How many records match, and as many of their ids, in order, as are
    /// ever served.
    fn found(
        &self,
        at: TypeAt,
        groups: Vec<Vec<Filter>>,
        query: Option<&str>,
        sort: Option<(Slot, bool)>,
    ) -> (u64, Ids) {
        let table = &self.tables[at];
        let as_of = self.indexed_until();
        let alone = |filter: &Filter| matches!(filter.subject, Subject::Property(_));
        let state = table.settled(as_of).filter(|_| groups.iter().flatten().all(alone));
        let Some(state) = state else {
            let mut ids = self.matching(at, &groups, query);
            let total = ids.len() as u64;
            if let Some((slot, descending)) = sort {
                sort_by(&mut ids, table, as_of, slot, descending);
            }
            return (total, Arc::new(ids));
        };
        let whole = Question { state, text: format!("{groups:?} {query:?} {sort:?}") };
        if let Some(known) = table.memory.recall(&whole) {
            return known;
        }
        let [.., id] = table.catalogue.always;
        let by_id = sort.is_none_or(|sort| sort == (id, false));
        let most = if by_id { WALL as usize } else { usize::MAX };
        let (total, mut ids) = self.matching_above(at, groups, query, state, most);
        if let Some((slot, descending)) = sort.filter(|_| !by_id) {
            sort_by(&mut ids, table, as_of, slot, descending);
        }
        ids.truncate(WALL as usize);
        let ids = Arc::new(ids);
        table.memory.remember(whole, total, ids.clone());
        (total, ids)
    }

    /// As [`Self::matching`]. Of searches that differ in nothing but the id
    /// they begin at, only the first two look at the records. Tells how many
    /// match and gives the first of them.
    fn matching_above(
        &self,
        at: TypeAt,
        mut groups: Vec<Vec<Filter>>,
        query: Option<&str>,
        state: [u64; 2],
        most: usize,
    ) -> (u64, Vec<u64>) {
        let table = &self.tables[at];
        let [.., id] = table.catalogue.always;
        let above = match groups.as_mut_slice() {
            [group] => take_lower_bound(group, id),
            _ => None,
        };
        let first = |ids: &[u64]| (ids.len() as u64, ids[..ids.len().min(most)].to_vec());
        let Some((above, taken)) = above else {
            return first(&self.matching(at, &groups, query));
        };
        let rest = Question { state, text: format!("{groups:?} {query:?}") };
        let from = |ids: &[u64]| first(&ids[ids.partition_point(|id| (*id as f64) < above)..]);
        if let Some((_, ids)) = table.memory.recall(&rest) {
            return from(&ids);
        }
        if table.memory.was_asked(&rest) {
            let ids = Arc::new(self.matching(at, &groups, query));
            let found = from(&ids);
            table.memory.remember(rest, ids.len() as u64, ids);
            return found;
        }
        groups[0].push(taken);
        first(&self.matching(at, &groups, query))
    }

    /// Ids of all records that match as the index knows them, ascending.
    fn matching(&self, at: TypeAt, groups: &[Vec<Filter>], query: Option<&str>) -> Vec<u64> {
        let table = &self.tables[at];
        let as_of = self.indexed_until();
        let matches = |view: &View<'_>| {
            view.is_live()
                && (groups.is_empty() || groups.iter().any(|group| self.all_match(at, group, view)))
                && query.is_none_or(|query| has_words(view, &table.object_type.searchable, query))
        };
        match candidates(table, groups, as_of) {
            Candidates::Ids(ids) => {
                let views = ids.into_iter().filter_map(|id| table.view(id));
                views.map(|view| view.at(as_of)).filter(matches).map(|view| view.id).collect()
            }
            Candidates::From(low) => {
                let views = table.walk(low).map(|view| view.at(as_of));
                views.filter(matches).map(|view| view.id).collect()
            }
        }
    }

    fn all_match(&self, at: TypeAt, group: &[Filter], view: &View<'_>) -> bool {
        group.iter().all(|filter| match filter.subject {
            Subject::Property(slot) => filter.matches_value(view, slot),
            Subject::Associates(to) => {
                let ids = self.associates(at, view.id, to);
                let wanted = |operand: &Operand| {
                    matches!(operand, Operand::Number(id) if ids.contains_key(&(*id as u64)))
                };
                match filter.operator {
                    Operator::Has => !ids.is_empty(),
                    Operator::HasNot => ids.is_empty(),
                    Operator::Neq | Operator::NotIn => !filter.operands.iter().any(wanted),
                    _ => filter.operands.iter().any(wanted),
                }
            }
        })
    }

    fn filters(&self, at: TypeAt, request: &SearchRequest) -> Result<Vec<Vec<Filter>>, Refused> {
        let alone = GroupRequest { filters: request.filters.clone() };
        let groups = match request.filter_groups.is_empty() && !alone.filters.is_empty() {
            true => std::slice::from_ref(&alone),
            false => request.filter_groups.as_slice(),
        };
        let filters = |group: &GroupRequest| {
            group.filters.iter().map(|filter| self.filter(at, filter)).collect()
        };
        groups.iter().map(filters).collect()
    }

    fn filter(&self, at: TypeAt, request: &FilterRequest) -> Result<Filter, Refused> {
        let operator = operator(&request.operator)?;
        let name = request.property_name.as_str();
        let catalogue = &self.tables[at].catalogue;
        let (subject, kind) = match name.strip_prefix("associations.") {
            // Not for custom objects, on either side.
            Some(other) => match self.type_at(other) {
                Some(to) if !self.is_custom(at) && !self.is_custom(to) => {
                    (Subject::Associates(to), Kind::Number)
                }
                _ => return Err(problem()),
            },
            None if is_unfilterable(self.name_of(at), name) => return Err(problem()),
            None => match catalogue.find(name) {
                Some((slot, property)) => (Subject::Property(slot), compared_as(property.kind)),
                None => return Err(problem()),
            },
        };
        let blank = |text: &Text| text.0.trim().is_empty();
        let given = request.value.iter().chain(&request.high_value).chain(&request.values);
        if given.clone().any(blank) {
            let message = format!(
                "value must be non-empty and non-blank, if specified {{propertyName: '{name}'}}"
            );
            return Err(Refusal::invalid(message).into());
        }
        let wanted: Vec<&Text> = match operator {
            Operator::Has | Operator::HasNot => Vec::new(),
            Operator::Between => request.value.iter().chain(&request.high_value).collect(),
            Operator::In | Operator::NotIn => request.values.iter().collect(),
            _ => request.value.iter().collect(),
        };
        let enough = match operator {
            Operator::Has | Operator::HasNot => true,
            Operator::Between => wanted.len() == 2,
            _ => !wanted.is_empty(),
        };
        // String values are compared in lower case, but the operands of IN
        // are taken as they come: callers have to lower them.
        let as_is = matches!(operator, Operator::In | Operator::NotIn);
        if kind == Kind::Moment
            && self.rules.epoch_filter_fails
            && wanted.iter().any(|text| moment::parse(&text.0) == Some(0))
        {
            return Err(Refusal::new(500, "internal error").into());
        }
        let operands: Option<Vec<Operand>> =
            wanted.into_iter().map(|text| operand(kind, &text.0, as_is)).collect();
        match operands {
            Some(operands) if enough => {
                let match_empty = self.rules.negations_match_empty;
                Ok(Filter { subject, operator, operands, match_empty })
            }
            _ => Err(problem()),
        }
    }

    fn sort(&self, at: TypeAt, request: &SearchRequest) -> Result<Option<(Slot, bool)>, Refused> {
        let Some(sort) = request.sorts.first() else { return Ok(None) };
        let (name, descending) = match sort {
            SortRequest::Name(name) => (name.trim_start_matches('-'), name.starts_with('-')),
            SortRequest::Full { property_name, direction } => {
                (property_name.as_str(), direction.eq_ignore_ascii_case("DESCENDING"))
            }
        };
        match self.tables[at].catalogue.find(name) {
            Some((slot, _)) => Ok(Some((slot, descending))),
            None => Err(problem()),
        }
    }
}

/// Takes a filter out of a group that asks for ids above or from one on, and
/// tells the least of those.
fn take_lower_bound(group: &mut Vec<Filter>, id: Slot) -> Option<(f64, Filter)> {
    let at = group.iter().position(|filter| {
        matches!(filter.subject, Subject::Property(slot) if slot == id)
            && matches!(filter.operator, Operator::Gt | Operator::Gte)
    })?;
    let bound = group[at].operands.first().and_then(Operand::number)?;
    let least = if group[at].operator == Operator::Gt { bound.floor() + 1.0 } else { bound };
    Some((least, group.remove(at)))
}

/// Where matching records can be.
enum Candidates {
    /// Anywhere at and above an id.
    From(u64),
    /// Among these.
    Ids(Vec<u64>),
}

/// Narrows a search of one group by its filters on modified date and id.
fn candidates(table: &Table, groups: &[Vec<Filter>], as_of: i64) -> Candidates {
    let [group] = groups else { return Candidates::From(0) };
    let [_, modified, id] = table.catalogue.always;
    let bounds = |slot: Slot| bounds(group, slot);
    let (low_id, _) = bounds(id);
    let (low, high) = bounds(modified);
    if let Some(ids) = wanted_ids(group, id) {
        return Candidates::Ids(ids);
    }
    if low.is_none() && high.is_none() {
        return Candidates::From(low_id.unwrap_or(0.0).max(0.0) as u64);
    }
    let low = low.map_or(i64::MIN + 1, |low| low as i64);
    let high = high.map_or(i64::MAX, |high| high as i64);
    let ids = table.modified_between(low_id.unwrap_or(0.0).max(0.0) as u64, low, high, as_of);
    Candidates::Ids(ids)
}

fn wanted_ids(group: &[Filter], id: Slot) -> Option<Vec<u64>> {
    let by_id = group.iter().find(|filter| {
        matches!(filter.subject, Subject::Property(slot) if slot == id)
            && matches!(filter.operator, Operator::Eq | Operator::In)
    })?;
    let ids = by_id.operands.iter().filter_map(|operand| match operand {
        Operand::Number(id) => Some(*id as u64),
        Operand::Text(_) => None,
    });
    let distinct: BTreeSet<u64> = ids.collect();
    Some(distinct.into_iter().collect())
}

/// The closed range that a group leaves a number in.
fn bounds(group: &[Filter], slot: Slot) -> (Option<f64>, Option<f64>) {
    let mut low: Option<f64> = None;
    let mut high: Option<f64> = None;
    for filter in group {
        if !matches!(filter.subject, Subject::Property(of) if of == slot) {
            continue;
        }
        let numbers: Vec<f64> = filter.operands.iter().filter_map(Operand::number).collect();
        let (from, to) = match (filter.operator, numbers.as_slice()) {
            (Operator::Between, [from, to]) => (Some(*from), Some(*to)),
            (Operator::Eq, [value]) => (Some(*value), Some(*value)),
            (Operator::Gt | Operator::Gte, [value]) => (Some(*value), None),
            (Operator::Lt | Operator::Lte, [value]) => (None, Some(*value)),
            _ => (None, None),
        };
        low = from.map_or(low, |from| Some(low.map_or(from, |low| low.max(from))));
        high = to.map_or(high, |to| Some(high.map_or(to, |high| high.min(to))));
    }
    (low, high)
}

impl Operand {
    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

impl Filter {
    fn matches_value(&self, view: &View<'_>, slot: Slot) -> bool {
        let held = comparable(view, slot);
        let none = match self.operator {
            Operator::HasNot => true,
            Operator::Neq | Operator::NotIn | Operator::NotToken => self.match_empty,
            _ => false,
        };
        let Some(held) = held else { return none };
        let many = view.catalogue.at(slot).holds_many();
        let equal = |operand: &Operand| match (&held, operand) {
            (Operand::Text(held), Operand::Text(wanted)) if many => {
                held == wanted || held.split(';').any(|value| value == wanted)
            }
            (held, wanted) => held == wanted,
        };
        let ordered = |wanted: &[Ordering]| {
            let order = self.operands.first().and_then(|operand| held.partial_cmp(operand));
            order.is_some_and(|order| wanted.contains(&order))
        };
        match self.operator {
            Operator::Has => true,
            Operator::HasNot => false,
            Operator::Eq | Operator::In => self.operands.iter().any(equal),
            Operator::Neq | Operator::NotIn => !self.operands.iter().any(equal),
            Operator::Lt => ordered(&[Ordering::Less]),
            Operator::Lte => ordered(&[Ordering::Less, Ordering::Equal]),
            Operator::Gt => ordered(&[Ordering::Greater]),
            Operator::Gte => ordered(&[Ordering::Greater, Ordering::Equal]),
            Operator::Between => held >= self.operands[0] && held <= self.operands[1],
            Operator::Token => self.operands.iter().any(|operand| has_token(&held, operand)),
            Operator::NotToken => !self.operands.iter().any(|operand| has_token(&held, operand)),
        }
    }
}

/// What a record holds, in the form its kind compares in; none if empty.
fn comparable(view: &View<'_>, slot: Slot) -> Option<Operand> {
    let property = view.catalogue.at(slot);
    match property.make {
        Make::Id => return Some(Operand::Number(view.id as f64)),
        Make::Modified => return Some(Operand::Number(view.modified() as f64)),
        Make::Created if property.read_only => {
            return Some(Operand::Number(view.created() as f64));
        }
        _ => {}
    }
    let value = view.value(slot).filter(|value| !value.is_empty())?;
    let kind = compared_as(property.kind);
    // Declared a number, but textual: compared as text, as it is kept.
    operand(kind, &value, false).or(Some(Operand::Text(value)))
}

/// Times and days compare as numbers.
fn compared_as(kind: Kind) -> Kind {
    match kind {
        Kind::Day => Kind::Moment,
        other => other,
    }
}

fn operand(kind: Kind, text: &str, as_is: bool) -> Option<Operand> {
    match kind {
        Kind::Number => {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(Operand::Number)
        }
        Kind::Moment | Kind::Day => {
            moment::parse(text).map(|millis| Operand::Number(millis as f64))
        }
        Kind::Text if !as_is => Some(Operand::Text(text.to_lowercase())),
        Kind::Text | Kind::Choice | Kind::Flag => Some(Operand::Text(text.to_owned())),
    }
}

/// Whether one of the words of a text is the wanted one, `*` standing for any
/// letters.
fn has_token(held: &Operand, wanted: &Operand) -> bool {
    let (Operand::Text(held), Operand::Text(wanted)) = (held, wanted) else {
        return held == wanted;
    };
    let held = held.to_lowercase();
    let wanted = wanted.to_lowercase();
    let word = |letter: char| !letter.is_alphanumeric() && letter != '_';
    held.split(word).chain([held.as_str()]).any(|token| fits(token, &wanted))
}

fn has_words(view: &View<'_>, searchable: &[String], query: &str) -> bool {
    let texts: Vec<String> = searchable
        .iter()
        .filter_map(|name| view.named(name))
        .map(|text| text.to_lowercase())
        .collect();
    query.split_whitespace().all(|word| texts.iter().any(|text| text.contains(word)))
}

fn sort_by(found: &mut Vec<u64>, table: &Table, as_of: i64, slot: Slot, descending: bool) {
    if matches!(table.catalogue.at(slot).make, Make::Id) {
        if descending {
            found.reverse();
        }
        return;
    }
    let key = |id: u64| table.view(id).and_then(|view| comparable(&view.at(as_of), slot));
    let mut keyed: Vec<(Option<Operand>, u64)> = found.drain(..).map(|id| (key(id), id)).collect();
    keyed.sort_by(|(left, _), (right, _)| {
        let order = match (left, right) {
            // What has no value comes last, whichever way.
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Greater,
            (_, None) => return Ordering::Less,
            (Some(left), Some(right)) => left.partial_cmp(right).unwrap_or(Ordering::Equal),
        };
        if descending { order.reverse() } else { order }
    });
    found.extend(keyed.into_iter().map(|(_, id)| id));
}

fn check_limits(request: &SearchRequest, limit: u64, after: u64) -> Result<(), Refused> {
    let alone = Some(request.filters.len()).filter(|_| request.filter_groups.is_empty());
    let filters = request.filter_groups.iter().map(|group| group.filters.len()).chain(alone);
    let too_many = filters.clone().sum::<usize>() > MOST_FILTERS;
    let refuse = |message: String| Err(Refusal::invalid(message).into());
    if request.filter_groups.len() > MOST_GROUPS {
        return refuse(format!("too many filterGroups: at most {MOST_GROUPS} are allowed"));
    }
    if too_many || filters.clone().any(|count| count > MOST_IN_GROUP) {
        return refuse(format!(
            "too many filters: at most {MOST_IN_GROUP} per group and {MOST_FILTERS} in all are allowed"
        ));
    }
    if request.sorts.len() > 1 {
        return refuse("only one sort is allowed".to_owned());
    }
    if limit > MOST_RESULTS {
        return refuse(format!("limit must be less than or equal to {MOST_RESULTS}"));
    }
    if after.saturating_add(limit) > WALL {
        return refuse(format!("paging beyond {WALL} results is not supported"));
    }
    let long = |query: &String| query.chars().count() > LONGEST_QUERY;
    if request.query.as_ref().is_some_and(long) {
        return refuse(format!("query must be at most {LONGEST_QUERY} characters"));
    }
    Ok(())
}

fn number(text: Option<&Text>, default: u64) -> Result<u64, Refused> {
    match text.map(|text| text.0.as_str()).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| problem()),
    }
}

fn operator(text: &str) -> Result<Operator, Refused> {
    Ok(match text {
        "EQ" => Operator::Eq,
        "NEQ" => Operator::Neq,
        "LT" => Operator::Lt,
        "LTE" => Operator::Lte,
        "GT" => Operator::Gt,
        "GTE" => Operator::Gte,
        "BETWEEN" => Operator::Between,
        "IN" => Operator::In,
        "NOT_IN" => Operator::NotIn,
        "HAS_PROPERTY" => Operator::Has,
        "NOT_HAS_PROPERTY" => Operator::HasNot,
        "CONTAINS_TOKEN" => Operator::Token,
        "NOT_CONTAINS_TOKEN" => Operator::NotToken,
        _ => return Err(problem()),
    })
}

/// HubSpot's catch-all for searches it does not understand.
fn problem() -> Refused {
    Refusal::invalid("There was a problem with the request.").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operands_of_in_are_not_lowered() {
        assert_eq!(operand(Kind::Text, "Berlin", true), Some(Operand::Text("Berlin".to_owned())));
        assert_eq!(operand(Kind::Text, "Berlin", false), Some(Operand::Text("berlin".to_owned())));
        assert_eq!(operand(Kind::Choice, "NEW", false), Some(Operand::Text("NEW".to_owned())));
    }
}
