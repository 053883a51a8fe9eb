//! The properties a fresh account has, per object type.
//!
//! Those whose values hang together or that people use stand in a list of
//! code; the long rest of HubSpot's own, mostly empty, in a text beside it:
//! `name|label|field|values|flags`, under `@group|label` lines. Names and types
//! are HubSpot's own.

mod activities;
mod commerce;
mod companies;
mod contacts;
mod deals;
mod options;
mod tickets;

use super::doings::ActivityFact;
use super::plan::{Kind, Make, Plan};
use super::words;
use options::{OBJECT_SOURCE, Options};

/// What the service works out for every type.
const COMPUTED: &[Plan] = &[
    Plan::text("hs_all_owner_ids", "All owner ids", Make::Nothing).read_only(),
    Plan::text("hs_user_ids_of_all_owners", "User ids of all owners", Make::Nothing).read_only(),
    Plan::moment("hubspot_owner_assigneddate", "Owner assigned date", Make::Nothing).read_only(),
    Plan::text("hs_updated_by_user_id", "Updated by user id", Make::Nothing).read_only(),
];

/// Where the records of the four great types come from.
const ORIGIN: &[Plan] = &[
    Plan::choice("hs_object_source", "Record creation source", OBJECT_SOURCE, Make::Option(100))
        .read_only(),
    Plan::text(
        "hs_object_source_id",
        "Record creation source ID",
        Make::Pick(&["1024738", "userId:5555888"], 80),
    )
    .read_only(),
    Plan::text(
        "hs_object_source_label",
        "Record source",
        Make::Pick(&["INTEGRATION", "CRM_UI", "IMPORT"], 100),
    )
    .read_only(),
];

/// What every type but the four great ones has.
const EVERY: &[Plan] = &[
    Plan::text("hs_body_preview", "Body preview", Make::Nothing).read_only(),
    Plan::text("hs_body_preview_html", "Body preview as HTML", Make::Nothing).read_only(),
    Plan::text("hs_body_preview_is_truncated", "Body preview is cut", Make::Nothing).read_only(),
    Plan::number("hs_object_id", "Record ID", Make::Id).read_only(),
    Plan::moment("hs_lastmodifieddate", "Last modified date", Make::Modified).read_only(),
    Plan::text("hs_merged_object_ids", "Merged record IDs", Make::Nothing).read_only(),
    Plan::choice("hs_object_source", "Record creation source", OBJECT_SOURCE, Make::Nothing)
        .read_only(),
    Plan::text("hs_object_source_id", "Record creation source ID", Make::Nothing).read_only(),
    Plan::text("hs_object_source_label", "Record source", Make::Nothing).read_only(),
    Plan::moment("hs_timestamp", "Activity date", Make::Nothing),
    Plan::owner("hubspot_owner_id", "Owner", 80),
    Plan::text("hs_pipeline", "Pipeline", Make::Nothing),
    Plan::text("hs_pipeline_stage", "Pipeline stage", Make::Nothing),
];

/// The account's users, one record each.
const USERS: &[Plan] = &[
    Plan::flag("hs_deactivated", "Deactivated", 0).read_only(),
    Plan::text("hs_email", "Email", Make::Nothing).unique().read_only(),
    Plan::text("hs_family_name", "Last name", Make::Nothing).read_only(),
    Plan::text("hs_given_name", "First name", Make::Nothing).read_only(),
    Plan::number("hs_internal_user_id", "User ID", Make::Nothing).unique().read_only(),
    Plan::text("hs_job_title", "Job title", Make::Nothing),
    Plan::text("hs_standard_time_zone", "Time zone", Make::Nothing),
];

/// What activities fill of those.
const ACTIVITY: &[Plan] = &[
    Plan::text("hs_body_preview", "Body preview", Make::Activity(ActivityFact::Preview))
        .read_only(),
    Plan::text(
        "hs_body_preview_is_truncated",
        "Body preview is cut",
        Make::Activity(ActivityFact::PreviewCut),
    )
    .read_only(),
    Plan::moment("hs_timestamp", "Activity date", Make::Happened),
];

/// A text of plans, and lists of plans of which the last one wins.
type Standard = (&'static str, &'static [&'static [Plan]]);

fn standard(plural: &str) -> Standard {
    const RECORDS: &str = include_str!("records.txt");
    const DOINGS: &str = include_str!("activities.txt");
    match plural {
        "contacts" => (include_str!("contacts.txt"), &[COMPUTED, ORIGIN, contacts::CONTACTS]),
        "companies" => (include_str!("companies.txt"), &[COMPUTED, ORIGIN, companies::COMPANIES]),
        "deals" => (include_str!("deals.txt"), &[COMPUTED, ORIGIN, deals::DEALS]),
        "tickets" => (include_str!("tickets.txt"), &[COMPUTED, ORIGIN, tickets::TICKETS]),
        "tasks" => (DOINGS, &[COMPUTED, EVERY, ACTIVITY, activities::TASKS]),
        "meetings" => (DOINGS, &[COMPUTED, EVERY, ACTIVITY, activities::MEETINGS]),
        "notes" => (DOINGS, &[COMPUTED, EVERY, ACTIVITY, activities::NOTES]),
        "calls" => (DOINGS, &[COMPUTED, EVERY, ACTIVITY, activities::CALLS]),
        "emails" => (DOINGS, &[COMPUTED, EVERY, ACTIVITY, activities::EMAILS]),
        "products" => (RECORDS, &[COMPUTED, EVERY, commerce::PRODUCTS]),
        "line_items" => (RECORDS, &[COMPUTED, EVERY, commerce::LINE_ITEMS]),
        "quotes" => (RECORDS, &[COMPUTED, EVERY, commerce::QUOTES]),
        "leads" => (RECORDS, &[COMPUTED, EVERY, commerce::LEADS]),
        "users" => (RECORDS, &[COMPUTED, EVERY, USERS]),
        _ => (RECORDS, &[COMPUTED, EVERY]),
    }
}

/// The properties of a type, by its plural name; of two of one name the last
/// one wins.
pub(crate) fn plans_of(plural: &str) -> Vec<Plan> {
    let (text, lists) = standard(plural);
    let mut group = None;
    let mut plans = Vec::new();
    for line in text.lines() {
        match line.strip_prefix('@') {
            Some(heading) => group = heading.split('|').next().filter(|name| !name.is_empty()),
            None => plans.extend(parse(line).map(|plan| Plan { group, ..plan })),
        }
    }
    // Where both know a property, it stays in the text's group.
    for plan in lists.iter().copied().flatten() {
        let known = plans.iter().find(|known| known.name == plan.name);
        let group = known.and_then(|known| known.group);
        plans.push(Plan { group, ..*plan });
    }
    plans
}

/// The groups of a type beside its own, name and label.
pub(crate) fn groups_of(plural: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let headings = standard(plural).0.lines().filter_map(|line| line.strip_prefix('@'));
    headings.filter_map(|heading| heading.split_once('|')).filter(|(name, _)| !name.is_empty())
}

/// One line of a text; none if it cannot be read, which a test rules out.
fn parse(line: &'static str) -> Option<Plan> {
    let mut parts = line.split('|');
    let (name, label, field) = (parts.next()?, parts.next()?, parts.next()?);
    let (values, flags) = (parts.next()?, parts.next()?);
    let (make, options) = make(values)?;
    let (kind, field_type) = match field {
        "text" => (Kind::Text, "text"),
        "area" => (Kind::Text, "textarea"),
        "number" => (Kind::Number, "number"),
        "flag" => (Kind::Flag, "booleancheckbox"),
        "select" => (Kind::Choice, "select"),
        "checkbox" => (Kind::Choice, "checkbox"),
        "day" => (Kind::Day, "date"),
        "moment" => (Kind::Moment, "date"),
        _ => return None,
    };
    let calculated = flags.contains('c');
    let mut plan = Plan::new(name, label, kind, field_type, make);
    plan.options = match kind {
        Kind::Flag => &[("true", "Yes"), ("false", "No")],
        _ => options,
    };
    plan.calculated = calculated;
    plan.read_only = calculated || flags.contains('r');
    plan.hidden = flags.contains('h');
    // What a rollup works out of other records; section 9 of the API
    // reference names `calculation_equation` alone.
    if calculated && kind != Kind::Choice {
        plan.field_type = "calculation_equation";
    }
    Some(plan)
}

/// How values come about, `how(of what):percent`, and the options.
fn make(text: &'static str) -> Option<(Make, Options)> {
    let (how, percent) = text.split_once(':').unwrap_or((text, "100"));
    let percent: u8 = percent.parse().ok()?;
    let (how, what) = match how.split_once('(') {
        Some((how, rest)) => (how, rest.strip_suffix(')')?),
        None => (how, ""),
    };
    let make = match how {
        "-" => Make::Nothing,
        "always" => Make::Always,
        "created" => Make::Happened,
        "modified" => Make::Modified,
        "fixed" => Make::Fixed(what),
        "pick" => Make::Pick(words::list(what)?, percent),
        "option" => return Some((Make::Option(percent), options::list(what)?)),
        "whole" => Make::Whole(what.parse().ok()?, percent),
        "decimal" => Make::Decimal(what.parse().ok()?, percent),
        "rough" => Make::Rough(percent),
        "flag" => Make::Flag(percent),
        "day" => Make::Day(percent),
        "moment" => Make::Moment(percent),
        "id" => Make::LongId(percent),
        "phone" => Make::Phone(percent),
        "words" => Make::Words(percent),
        _ => return None,
    };
    Some((make, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::object_types::ObjectType;

    #[test]
    fn every_line_of_every_text_is_understood() {
        for of in ObjectType::standard() {
            for line in standard(&of.plural).0.lines().filter(|line| !line.starts_with('@')) {
                assert!(parse(line).is_some(), "{}: {line}", of.plural);
            }
        }
    }

    #[test]
    fn types_have_as_many_properties_as_in_real_accounts() {
        let count = |plural: &str| {
            let mut names: Vec<&str> = plans_of(plural).iter().map(|plan| plan.name).collect();
            names.sort_unstable();
            names.dedup();
            names.len()
        };
        assert!((300..450).contains(&count("contacts")), "{}", count("contacts"));
        for plural in ["companies", "deals"] {
            assert!((150..300).contains(&count(plural)), "{plural} {}", count(plural));
        }
        for plural in ["notes", "tasks", "calls", "emails", "products", "line_items", "quotes"] {
            assert!((20..80).contains(&count(plural)), "{plural} {}", count(plural));
        }
    }
}
