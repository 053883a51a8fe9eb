//! The properties an account has made itself, as many as asked for: what ten
//! years of imports, forms and integrations leave behind. Mostly empty.

use super::draw::{Draw, salt};
use super::plan::{Kind, Make};
use super::words;
use crate::emulator::schema::{Choice, Group, Property};

const TOPICS: [&str; 40] = [
    "onboarding",
    "erp",
    "legacy_crm",
    "webinar",
    "newsletter",
    "support",
    "billing",
    "contract",
    "renewal",
    "trial",
    "partner",
    "event",
    "training",
    "survey",
    "logistics",
    "product",
    "marketing",
    "sales",
    "churn",
    "referral",
    "shipping",
    "invoice",
    "account",
    "license",
    "security",
    "audit",
    "import_2019",
    "import_2023",
    "shop",
    "loyalty",
    "campaign",
    "region",
    "competitor",
    "pricing",
    "success",
    "usage",
    "integration",
    "consent",
    "forecast",
    "quality",
];

/// How a name ends, and what that makes of the property.
struct Ending {
    name: &'static str,
    kind: Kind,
    field_type: &'static str,
    make: fn(u8) -> Make,
    options: u64,
}

const fn ending(
    name: &'static str,
    kind: Kind,
    field_type: &'static str,
    make: fn(u8) -> Make,
    options: u64,
) -> Ending {
    Ending { name, kind, field_type, make, options }
}

const ENDINGS: [Ending; 24] = [
    ending("score", Kind::Number, "number", Make::Rough, 0),
    ending("comment", Kind::Text, "textarea", Make::Words, 0),
    ending("date", Kind::Day, "date", Make::Day, 0),
    ending("last_seen_at", Kind::Moment, "date", Make::Moment, 0),
    ending("tier", Kind::Choice, "select", Make::Option, 4),
    ending("customer_number", Kind::Text, "text", Make::LongId, 0),
    ending("segments", Kind::Choice, "checkbox", Make::Options, 12),
    ending("opt_in", Kind::Flag, "booleancheckbox", Make::Flag, 0),
    ending("amount", Kind::Number, "number", |filled| Make::Decimal(1_000_000, filled), 0),
    ending("count", Kind::Number, "number", |filled| Make::Whole(500, filled), 0),
    ending("url", Kind::Text, "text", |filled| Make::Pick(words::URLS, filled), 0),
    ending("status", Kind::Choice, "radio", Make::Option, 6),
    ending("country", Kind::Text, "text", |filled| Make::Pick(words::COUNTRY, filled), 0),
    ending("external_id", Kind::Number, "number", Make::LongId, 0),
    ending("notes", Kind::Text, "html", Make::Note, 0),
    ending("product_code", Kind::Choice, "select", Make::Option, 1_500),
    ending("phone", Kind::Text, "phonenumber", Make::Phone, 0),
    ending("end_date", Kind::Day, "date", Make::Day, 0),
    ending("interests", Kind::Choice, "checkbox", Make::Options, 60),
    ending("synced_at", Kind::Moment, "date", Make::Moment, 0),
    ending("reason", Kind::Choice, "select", Make::Option, 25),
    ending("ratio", Kind::Number, "number", Make::Rough, 0),
    ending("city", Kind::Text, "text", |filled| Make::Pick(words::CITY, filled), 0),
    ending("is_test", Kind::Flag, "booleancheckbox", Make::Flag, 0),
];

/// Of ten properties one is full, two are in use, the rest was once.
const FILLED: [u8; 12] = [100, 60, 40, 15, 8, 5, 3, 2, 1, 1, 0, 0];

/// Options of most properties that have many.
const MANY: u64 = 40;

const GROUPS: [(&str, &str); 5] = [
    ("erp_sync", "ERP sync"),
    ("sales_custom", "Sales (custom)"),
    ("imported_fields", "Imported fields"),
    ("do_not_use", "DO NOT USE"),
    ("marketing_ops", "Marketing Ops 🛠"),
];

/// The groups and the properties; `many` tells how many of the latter.
pub(crate) fn extras(many: usize, born: i64) -> (Vec<Group>, Vec<Property>) {
    let group = |(order, (name, label)): (usize, &(&str, &str))| Group {
        name: (*name).to_owned(),
        label: (*label).to_owned(),
        display_order: order as i64 + 20,
        archived: false,
    };
    let groups = match many {
        0 => Vec::new(),
        _ => GROUPS.iter().enumerate().map(group).collect(),
    };
    (groups, (0..many).map(|turn| extra(turn, born)).collect())
}

/// The name of the property at a place: no two are the same.
fn name(turn: usize) -> String {
    let ending = &ENDINGS[turn % ENDINGS.len()];
    // Each round through the endings begins at another topic.
    let round = turn / ENDINGS.len();
    let topic = TOPICS[(turn * 7 + round) % TOPICS.len()];
    match turn / (ENDINGS.len() * TOPICS.len()) {
        0 => format!("{topic}_{}", ending.name),
        copy => format!("{topic}_{}_{}", ending.name, copy + 1),
    }
}

fn extra(turn: usize, born: i64) -> Property {
    let ending = &ENDINGS[turn % ENDINGS.len()];
    let name = name(turn);
    let draw = Draw::of(salt(&name), salt("extra"), 0);
    let filled = draw.pick(&FILLED);
    let (group, _) = draw.of_property(1).pick(&GROUPS);
    let choice = |number: u64| Choice {
        label: format!("{} {}", label(ending.name), number + 1),
        value: format!("{}_{:04}", ending.name, number + 1),
        description: String::new(),
        hidden: draw.of_property(100 + number).chance(3),
    };
    // Very many options are the exception among properties that could have
    // them.
    let many = match draw.of_property(7).chance(20) {
        true => ending.options,
        false => ending.options.min(MANY),
    };
    let mut options: Vec<Choice> = (0..many).map(choice).collect();
    if ending.kind == Kind::Flag {
        options = vec![flag("true", "Yes"), flag("false", "No")];
    }
    Property {
        label: label(&name),
        description: match draw.of_property(2).below(4) {
            0 => format!("Filled by the {} integration. Do not edit!", name.replace('_', " ")),
            1 => "deprecated?".to_owned(),
            _ => String::new(),
        },
        options,
        make: (ending.make)(filled),
        read_only: draw.of_property(3).chance(4),
        hidden: draw.of_property(4).chance(3),
        form_field: draw.of_property(5).chance(30),
        display_order: draw.of_property(6).below(20) as i64 - 1,
        ..Property::new(&name, ending.kind, ending.field_type, group, born)
    }
}

fn flag(value: &str, label: &str) -> Choice {
    Choice {
        label: label.to_owned(),
        value: value.to_owned(),
        description: String::new(),
        hidden: false,
    }
}

/// `erp_customer_number` as people label it.
fn label(name: &str) -> String {
    let words = name.replace('_', " ");
    let first = words.chars().next().map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + words.get(1..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_thousand_names_are_a_thousand_properties() {
        let (groups, properties) = extras(1_000, 0);
        let names: BTreeSet<&str> = properties.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names.len(), 1_000);
        let known = |property: &Property| groups.iter().any(|group| group.name == property.group);
        assert!(properties.iter().all(known));
        assert!(properties.iter().any(|one| one.options.len() > 1_000));
        let values = |one: &Property| -> BTreeSet<String> {
            one.options.iter().map(|option| option.value.clone()).collect()
        };
        assert!(properties.iter().all(|one| values(one).len() == one.options.len()));
    }
}
