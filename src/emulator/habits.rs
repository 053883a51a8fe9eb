//! Which properties the service fills in by itself when a record is written,
//! read off recorded answers to creates and updates of 2022 to 2026.
//!
//! They came with the years, and differ between accounts; several were seen in
//! one account only, and the months between two recordings are interpolated.

use super::account::Account;
use super::associations::TypeAt;
use super::computed::Era;
use super::moment;
use super::record::View;
use super::schema::{Property, Slot};
use super::seed::plan::Kind;
use super::table::Change;

/// When a property is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    /// When the record is created.
    Create,
    /// When it is created, and when what it hangs on is written.
    Write,
    /// Never here; but an update shows what there is.
    Held,
}

/// What a property is filled with.
#[derive(Clone, Copy, Debug)]
enum Give {
    Nothing,
    Fixed(&'static str),
    /// The moment of the write.
    Now,
    /// The record's id.
    Id,
    /// Type and id: `0-46-478016441536`.
    Coordinates,
    /// The value of another property.
    SameAs(&'static str),
    /// A value if another property has one.
    With(&'static str, &'static str),
    /// A value if another property has none.
    Without(&'static str, &'static str),
    /// The moment of the write if another property has a value.
    NowWith(&'static str),
    /// What stands behind the `@` of the email.
    EmailDomain,
    FullName,
    /// The digits of the phone number.
    PhoneDigits,
    /// Price times quantity, with two places.
    Total,
    /// Nought with two places, if price and quantity are known.
    NoTotal,
}

/// One property that is filled in.
struct Habit {
    of: &'static str,
    name: &'static str,
    kind: Kind,
    /// First and last month it was seen, as `202403`.
    since: i32,
    until: i32,
    on: On,
    /// Whether an update shows it although it did not change it.
    held: bool,
    give: Give,
}

const ALWAYS: i32 = 0;
const EVER: i32 = i32::MAX;

const fn on(
    of: &'static str,
    name: &'static str,
    kind: Kind,
    since: i32,
    on: On,
    give: Give,
) -> Habit {
    Habit { of, name, kind, since, until: EVER, on, held: false, give }
}

impl Habit {
    /// An update shows it too.
    const fn held(mut self) -> Self {
        self.held = true;
        self
    }

    const fn until(mut self, month: i32) -> Self {
        self.until = month;
        self
    }

    fn is_of(&self, plural: &str, era: Era) -> bool {
        self.of == plural && (self.since..=self.until).contains(&era.0)
    }
}

use Give::{
    Coordinates, EmailDomain, Fixed, FullName, Id, NoTotal, Nothing, Now, NowWith, PhoneDigits,
    SameAs, Total, With, Without,
};
use Kind::{Flag, Moment, Number, Text};
use On::{Create, Held, Write};

/// What is filled in, type by type.
const HABITS: &[Habit] = &[
    on("contacts", "hs_all_contact_vids", Text, ALWAYS, Create, Id),
    on("contacts", "hs_is_contact", Flag, ALWAYS, Create, Fixed("true")),
    on("contacts", "hs_is_contact", Flag, 202401, Held, Nothing).held().until(202406),
    on("contacts", "hs_is_unworked", Flag, ALWAYS, Create, Fixed("true")),
    on("contacts", "hs_is_unworked", Flag, 202401, Held, Nothing).held(),
    on("contacts", "hs_pipeline", Text, ALWAYS, Create, Fixed("contacts-lifecycle-pipeline")),
    on("contacts", "hs_email_domain", Text, ALWAYS, Write, EmailDomain),
    on(
        "contacts",
        "hs_lifecyclestage_lead_date",
        Moment,
        ALWAYS,
        Create,
        NowWith("lifecyclestage"),
    ),
    on("contacts", "hs_lifecyclestage_lead_date", Moment, ALWAYS, Held, Nothing)
        .held()
        .until(202312),
    on("contacts", "hs_searchable_calculated_phone_number", Text, ALWAYS, Write, PhoneDigits),
    on(
        "contacts",
        "hs_currently_enrolled_in_prospecting_agent",
        Flag,
        202408,
        Create,
        Fixed("false"),
    ),
    on(
        "contacts",
        "hs_membership_has_accessed_private_content",
        Number,
        202408,
        Create,
        Fixed("0"),
    ),
    on("contacts", "hs_registered_member", Number, 202408, Create, Fixed("0")),
    on("contacts", "hs_associated_target_accounts", Number, 202506, Create, Fixed("0")),
    on("contacts", "hs_full_name_or_email", Text, 202506, Create, FullName),
    on(
        "contacts",
        "hs_prospecting_agent_actively_enrolled_count",
        Number,
        202506,
        Create,
        Fixed("0"),
    ),
    on("contacts", "hs_prospecting_agent_total_enrolled_count", Number, 202506, Create, Fixed("0")),
    on("contacts", "hs_sequences_actively_enrolled_count", Number, 202506, Create, Fixed("0")),
    on("contacts", "num_notes", Number, 202506, Create, Fixed("0")),
    on("contacts", "notes_last_updated", Moment, ALWAYS, Held, Nothing).held(),
    on("contacts", ENTERED, Moment, 202601, Create, NowWith("lifecyclestage")).held(),
    on("contacts", TIME_IN, Moment, 202601, Create, NowWith("lifecyclestage")).held(),
    on(
        "companies",
        "hs_pipeline",
        Text,
        ALWAYS,
        Create,
        With("lifecyclestage", "companies-lifecycle-pipeline"),
    ),
    on("companies", "domain", Text, 202601, Held, Nothing).held(),
    on("companies", "hs_annual_revenue_currency_code", Text, 202601, Create, Fixed("USD")),
    on("companies", "hs_num_blockers", Number, 202601, Create, Fixed("0")),
    on("companies", "hs_num_child_companies", Number, 202601, Create, Fixed("0")),
    on("companies", "hs_num_contacts_with_buying_roles", Number, 202601, Create, Fixed("0")),
    on("companies", "hs_num_decision_makers", Number, 202601, Create, Fixed("0")),
    on("companies", "hs_num_open_deals", Number, 202601, Create, Fixed("0")),
    on("companies", "hs_task_label", Text, 202601, Write, SameAs("name")).held(),
    on("companies", ENTERED, Moment, 202601, Create, NowWith("lifecyclestage")).held(),
    on("companies", TIME_IN, Moment, 202601, Create, NowWith("lifecyclestage")).held(),
    on("companies", "num_associated_contacts", Number, 202601, Create, Fixed("0")),
    on("companies", "num_notes", Number, 202601, Create, Fixed("0")),
    on("deals", "amount_in_home_currency", Number, ALWAYS, Write, SameAs("amount")).held(),
    on("deals", "days_to_close", Number, ALWAYS, Create, Fixed("0")).held(),
    on("deals", "hs_actual_duration", Number, 202601, Held, Nothing).held(),
    on("deals", "hs_closed_amount", Number, 202401, Create, Fixed("0")).held(),
    on("deals", "hs_closed_amount_in_home_currency", Number, 202401, Create, Fixed("0")).held(),
    on("deals", "hs_closed_deal_close_date", Number, 202401, Held, Nothing).held(),
    on("deals", "hs_closed_deal_create_date", Number, 202401, Held, Nothing).held(),
    on("deals", "hs_closed_won_count", Number, 202401, Create, Fixed("0")).held(),
    on("deals", "hs_createdate", Moment, 202401, Create, Now),
    on("deals", "hs_days_to_close_raw", Number, 202401, Create, Fixed("0")).held(),
    on("deals", "hs_deal_stage_probability", Number, ALWAYS, Held, Nothing).held(),
    on("deals", "hs_deal_stage_probability_shadow", Number, 202401, Create, Fixed("0")).held(),
    on("deals", "hs_forecast_amount", Number, 202401, Write, SameAs("amount")).held(),
    on("deals", "hs_is_closed", Flag, ALWAYS, Create, With("dealstage", "false")).held(),
    on("deals", "hs_is_closed_count", Number, 202401, Held, Nothing).held(),
    on("deals", "hs_is_closed_lost", Flag, 202401, Create, Without("dealstage", "false")),
    on("deals", "hs_is_closed_won", Flag, ALWAYS, Create, Fixed("false")).held(),
    on("deals", "hs_is_deal_split", Flag, 202401, Create, Fixed("false")),
    on("deals", "hs_is_open_count", Number, 202401, Create, With("dealstage", "1")).held(),
    on("deals", "hs_open_amount_in_home_currency", Number, 202601, Held, Nothing).held(),
    on("deals", "hs_open_deal_create_date", Number, 202401, Held, Nothing).held(),
    on("deals", "hs_projected_amount", Number, 202401, Create, Fixed("0")).held(),
    on("deals", "hs_projected_amount_in_home_currency", Number, 202401, Create, Fixed("0")).held(),
    on("deals", "hs_weighted_pipeline_in_company_currency", Number, 202601, Held, Nothing).held(),
    on("deals", ENTERED, Moment, 202601, Create, NowWith("dealstage")).held(),
    on("deals", TIME_IN, Moment, 202601, Create, NowWith("dealstage")).held(),
    on("deals", "hs_has_last_conversation_follow_ups", Flag, 202601, Create, Fixed("false")),
    on("deals", "hs_has_last_meeting_followups", Flag, 202601, Create, Fixed("false")),
    on("deals", "hs_num_associated_active_deal_registrations", Number, 202601, Create, Fixed("0")),
    on("deals", "hs_num_associated_deal_registrations", Number, 202601, Create, Fixed("0")),
    on("deals", "hs_num_associated_deal_splits", Number, 202601, Create, Fixed("0")),
    on("deals", "hs_num_of_associated_line_items", Number, 202601, Create, Fixed("0")),
    on("deals", "hs_num_target_accounts", Number, 202601, Create, Fixed("0")),
    on("deals", "hs_number_of_call_engagements", Number, 202601, Create, Fixed("0")),
    on("deals", "hs_number_of_inbound_calls", Number, 202601, Create, Fixed("0")),
    on("deals", "hs_number_of_outbound_calls", Number, 202601, Create, Fixed("0")),
    on("deals", "hs_number_of_overdue_tasks", Number, 202601, Create, Fixed("0")),
    on("deals", "num_associated_contacts", Number, 202601, Create, Fixed("0")),
    on("deals", "num_notes", Number, 202601, Create, Fixed("0")),
    on("tickets", "hs_is_closed", Flag, 202601, Create, Fixed("false")).held(),
    on("tickets", "hs_is_visible_in_help_desk", Flag, 202601, Create, Fixed("true")),
    on("tickets", "hs_last_email_activity", Text, 202601, Create, Fixed("ORIGINAL_FROM_CONTACT"))
        .held(),
    on("tickets", "hs_num_associated_companies", Number, 202601, Create, Fixed("0")),
    on("tickets", "hs_num_associated_conversations", Number, 202601, Create, Fixed("0")),
    on("tickets", "hs_num_times_contacted", Number, 202601, Create, Fixed("0")),
    on("tickets", "num_notes", Number, 202601, Create, Fixed("0")),
    on("tickets", ENTERED, Moment, 202601, Create, NowWith("hs_pipeline_stage")).held(),
    on("tickets", TIME_IN, Moment, 202601, Create, NowWith("hs_pipeline_stage")).held(),
    on("tasks", "hs_engagements_last_contacted", Moment, 202601, Create, SameAs("hs_timestamp")),
    on("tasks", "hs_obj_coords", Text, 202601, Create, Coordinates).held(),
    on("tasks", "hs_start_date_with_fallback", Moment, 202601, Create, Now).held(),
    on("tasks", "hs_task_is_open", Flag, 202601, Held, Nothing).held(),
    on("tasks", "hs_task_is_sub_task", Flag, 202601, Create, Fixed("false")),
    on("notes", "hs_obj_coords", Text, 202601, Create, Coordinates).held(),
    on("products", "hs_price_usd", Number, 202401, Create, SameAs("price")),
    on("line_items", "amount", Number, ALWAYS, Create, Total),
    on("line_items", "hs_acv", Number, 202401, Create, Total),
    on("line_items", "hs_arr", Number, 202401, Create, NoTotal),
    on("line_items", "hs_margin", Number, 202401, Create, Total),
    on("line_items", "hs_margin_acv", Number, 202401, Create, Total),
    on("line_items", "hs_margin_arr", Number, 202401, Create, NoTotal),
    on("line_items", "hs_margin_mrr", Number, 202401, Create, NoTotal),
    on("line_items", "hs_margin_tcv", Number, 202401, Create, Total),
    on("line_items", "hs_mrr", Number, 202401, Create, NoTotal),
    on("line_items", "hs_position_on_quote", Number, 202401, Create, Fixed("0")),
    on("line_items", "hs_post_tax_amount", Number, 202401, Create, Total),
    on("line_items", "hs_pre_discount_amount", Number, 202401, Create, Total),
    on("line_items", "hs_recurring_billing_number_of_payments", Number, 202401, Create, Fixed("1")),
    on("line_items", "hs_tcv", Number, 202401, Create, Total),
    on("line_items", "hs_total_discount", Number, 202401, Create, NoTotal),
];

const ENTERED: &str = "hs_v2_date_entered_current_stage";
const TIME_IN: &str = "hs_v2_time_in_current_stage";

/// Properties a line item takes over from its product.
const FROM_PRODUCT: [&str; 5] =
    ["name", "price", "description", "hs_sku", "hs_recurring_billing_period"];

/// From when on an update shows where the record came from.
const SOURCES_SHOWN: i32 = 202409;

/// How long ago a record that a call made was made at most, in milliseconds.
const JUST_NOW: i64 = 60_000;

/// The properties that a type has for the sake of its habits.
pub(crate) fn properties_of(plural: &str, group: &str, born: i64) -> Vec<Property> {
    let own = HABITS.iter().filter(|habit| habit.of == plural);
    let property = |name: &str, kind: Kind| {
        let field_type = match kind {
            Kind::Number => "number",
            Kind::Flag => "booleancheckbox",
            Kind::Moment | Kind::Day => "date",
            Kind::Text | Kind::Choice => "text",
        };
        let plain = Property::new(name, kind, field_type, group, born);
        Property { custom: false, read_only: true, ..plain }
    };
    own.map(|habit| property(habit.name, habit.kind)).collect()
}

/// What an update of a type shows beside what it wrote, where there is a
/// value.
fn shown_by_update(plural: &str, era: Era) -> impl Iterator<Item = &'static str> {
    let held = HABITS.iter().filter(move |habit| habit.held && habit.is_of(plural, era));
    held.map(|habit| habit.name)
}

/// Whether an update hides a property that a create of the same time shows.
fn hidden_by_update(name: &str, plural: &str, era: Era) -> bool {
    match name {
        "hs_object_source" | "hs_object_source_id" | "hs_object_source_label" => {
            era.0 < SOURCES_SHOWN
        }
        "hs_object_id" => plural == "contacts" && era.0 < 202301,
        _ => false,
    }
}

/// What the answer to a write shows, and what it does not, beside what was
/// written.
pub(crate) struct Echo {
    pub(crate) shown: Vec<Slot>,
    pub(crate) hidden: Vec<Slot>,
}

impl Account {
    /// What habit adds to, and keeps from, the answer to a write.
    pub(crate) fn echoed(&self, at: TypeAt, id: u64, written: &[Slot]) -> Echo {
        let table = &self.tables[at];
        let plural = table.object_type.plural.as_str();
        let slots = |names: &mut dyn Iterator<Item = &'static str>| -> Vec<Slot> {
            names.filter_map(|name| table.catalogue.find(name)).map(|(slot, _)| slot).collect()
        };
        let view = table.live(id);
        let record = view.as_ref().and_then(|view| view.record);
        let is_new = record.is_some_and(|record| {
            let fresh = record.born.is_some_and(|born| self.clock.now() - born < JUST_NOW);
            fresh && record.touches.len() == 1 && record.touches.last().copied() == record.born
        });
        if is_new {
            let with_id = HABITS.iter().filter(|habit| {
                matches!(habit.give, Id | Coordinates) && habit.is_of(plural, self.era)
            });
            let shown = slots(&mut with_id.map(|habit| habit.name));
            return Echo { shown, hidden: Vec::new() };
        }
        let mut shown = slots(&mut shown_by_update(plural, self.era));
        let own = table.catalogue.iter().filter(|(_, property)| property.filled_in.is_some());
        shown.extend(own.map(|(slot, _)| slot));
        let hidden = |slot: &Slot| {
            let name = table.catalogue.at(*slot).name.as_str();
            let early = plural == "contacts" && self.era.0 < 202301;
            let staged = view.as_ref().is_some_and(|view| view.named("lifecyclestage").is_some());
            let moved = record.is_some_and(|record| record.touches.len() > 1);
            !written.contains(slot)
                && match name {
                    "createdate" => early && !staged,
                    "lastmodifieddate" => early && !moved,
                    _ => hidden_by_update(name, plural, self.era),
                }
        };
        let hidden = table.catalogue.iter().map(|(slot, _)| slot).filter(hidden).collect();
        Echo { shown, hidden }
    }

    /// Adds what the service fills in: to a new record if there is no view.
    pub(crate) fn fill_by_habit(
        &self,
        at: TypeAt,
        view: Option<&View<'_>>,
        draft: &mut Vec<Change>,
    ) {
        let plural = self.tables[at].object_type.plural.as_str();
        if plural == "line_items" && view.is_none() {
            self.take_over_product(at, draft);
        }
        for habit in HABITS.iter().filter(|habit| habit.is_of(plural, self.era)) {
            let due = match habit.on {
                Create => view.is_none(),
                Write => true,
                Held => false,
            };
            let Some((slot, _)) = self.tables[at].catalogue.find(habit.name).filter(|_| due) else {
                continue;
            };
            if draft.iter().any(|(other, _)| *other == slot) {
                continue;
            }
            if let Some(value) = self.given(at, draft, habit.give) {
                draft.push((slot, value));
            }
        }
        self.fill_own(at, view, draft);
    }

    /// Values that hang on the id of a new record.
    pub(crate) fn fill_with_id(&self, at: TypeAt, id: u64, draft: &mut Vec<Change>) {
        let object_type = &self.tables[at].object_type;
        let due = HABITS.iter().filter(|habit| habit.is_of(&object_type.plural, self.era));
        for habit in due {
            let value = match habit.give {
                Id => id.to_string(),
                Coordinates => format!("{}-{id}", object_type.type_id),
                _ => continue,
            };
            if let Some((slot, _)) = self.tables[at].catalogue.find(habit.name) {
                draft.push((slot, value));
            }
        }
    }

    /// Properties that the account itself calculates whenever a record is
    /// written.
    fn fill_own(&self, at: TypeAt, view: Option<&View<'_>>, draft: &mut Vec<Change>) {
        let own = self.tables[at].catalogue.iter().filter_map(|(slot, property)| {
            let value = property.filled_in.clone().filter(|_| property.archived.is_none())?;
            Some((slot, value))
        });
        for (slot, value) in own {
            let held = view.is_some_and(|view| view.value(slot).is_some());
            if !held && !draft.iter().any(|(other, _)| *other == slot) {
                draft.push((slot, value));
            }
        }
    }

    fn given(&self, at: TypeAt, draft: &[Change], give: Give) -> Option<String> {
        let written = |name: &str| {
            let (slot, _) = self.tables[at].catalogue.find(name)?;
            let found = draft.iter().find(|(other, _)| *other == slot);
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        let now = || moment::exact(self.clock.now());
        match give {
            Nothing | Id | Coordinates => None,
            Fixed(text) => Some(text.to_owned()),
            Now => Some(now()),
            SameAs(name) => written(name),
            With(name, text) => written(name).map(|_| text.to_owned()),
            Without(name, text) => written(name).is_none().then(|| text.to_owned()),
            NowWith(name) => written(name).map(|_| now()),
            EmailDomain => Some(written("email")?.split_once('@')?.1.to_owned()),
            FullName => {
                let names = [written("firstname"), written("lastname")];
                let full: Vec<String> = names.into_iter().flatten().collect();
                if full.is_empty() { written("email") } else { Some(full.join(" ")) }
            }
            PhoneDigits => Some(written("phone")?.chars().filter(char::is_ascii_digit).collect()),
            Total => total(written("price"), written("quantity")).map(|sum| format!("{sum:.2}")),
            NoTotal => total(written("price"), written("quantity")).map(|_| "0.00".to_owned()),
        }
    }

    /// A line item made from a product has its name, price and the like.
    fn take_over_product(&self, at: TypeAt, draft: &mut Vec<Change>) {
        let own = |name: &str| self.tables[at].catalogue.find(name).map(|(slot, _)| slot);
        let key = own("hs_product_id");
        let named = draft.iter().find(|(slot, _)| Some(*slot) == key);
        let id: Option<u64> = named.and_then(|(_, value)| value.parse().ok());
        let products = self.type_at("products");
        let product = products.zip(id).and_then(|(at, id)| self.tables[at].live(id));
        let Some(product) = product else { return };
        let custom = product.catalogue.iter().filter(|(_, property)| property.custom);
        let names: Vec<&str> = custom.map(|(_, property)| property.name.as_str()).collect();
        for name in names.into_iter().chain(FROM_PRODUCT) {
            let (Some(slot), Some(value)) = (own(name), product.named(name)) else { continue };
            if !draft.iter().any(|(other, _)| *other == slot) {
                draft.push((slot, value));
            }
        }
    }
}

fn total(price: Option<String>, quantity: Option<String>) -> Option<f64> {
    let price: f64 = price?.parse().ok()?;
    let quantity: f64 = quantity?.parse().ok()?;
    Some(price * quantity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_habit_is_there_twice_at_a_time() {
        for (turn, one) in HABITS.iter().enumerate() {
            let clash = HABITS.iter().skip(turn + 1).find(|other| {
                (other.of, other.name, other.on) == (one.of, one.name, one.on)
                    && other.since <= one.until
                    && one.since <= other.until
            });
            assert!(clash.is_none(), "{} {}", one.of, one.name);
        }
    }
}
