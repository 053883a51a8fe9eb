//! What the service works out by itself when a record is written, as recorded
//! answers to creates and updates show it.

use super::account::Account;
use super::associations::TypeAt;
use super::moment;
use super::pipelines::Stage;
use super::record::View;
use super::table::Change;

/// Which month's service is imitated, as `202403`: answers gained members over
/// time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Era(pub(crate) i32);

impl Era {
    /// Today's service.
    pub(crate) const NOW: Self = Self(202609);

    /// Whether records carry `url`: recordings from 2025 on do.
    pub(crate) fn has_urls(self) -> bool {
        self >= Self(202501)
    }

    /// Whether records tell where they came from: in 2022 they did not, in
    /// 2024 they did.
    pub(crate) fn has_sources(self) -> bool {
        self >= Self(202401)
    }

    /// Whether definitions of properties tell how sensitive their values are,
    /// and schemas whether they may be: recordings from 2024 on do.
    pub(crate) fn has_sensitivity(self) -> bool {
        self >= Self(202401)
    }

    /// Whether a write that changes nothing leaves the modified date alone:
    /// recorded of a contact in 2022, not seen since.
    pub(crate) fn is_quiet_about(self, plural: &str) -> bool {
        plural == "contacts" && self < Self(202301)
    }

    /// Whether new contacts and companies are given a lifecycle stage: in
    /// February 2022 they were not, in November they were.
    pub(crate) fn has_default_stage(self) -> bool {
        self >= Self(202207)
    }

    /// Whether a search for lists tells who changed them: in January 2025 it
    /// did, in April 2026 it did not.
    pub(crate) fn search_tells_who_changed_lists(self) -> bool {
        self < Self(202601)
    }

    /// Whether refusals of values list them in `errors` beside the message.
    pub(crate) fn lists_errors(self) -> bool {
        self >= Self(202401)
    }
}

/// Computed properties that the answer to a write brings along.
pub(crate) const ECHOED: &[&str] = &[
    "hs_all_owner_ids",
    "hs_body_preview",
    "hs_body_preview_html",
    "hs_body_preview_is_truncated",
    "hs_helpdesk_sort_timestamp",
    "hs_last_message_from_visitor",
    "hs_meeting_source",
    "hs_object_source",
    "hs_object_source_id",
    "hs_object_source_label",
    "hs_pipeline",
    "hs_pipeline_stage",
    "hs_task_completion_count",
    "hs_task_completion_date",
    "hs_task_family",
    "hs_task_for_object_type",
    "hs_task_is_all_day",
    "hs_task_is_completed",
    "hs_task_is_completed_call",
    "hs_task_is_completed_email",
    "hs_task_is_completed_linked_in",
    "hs_task_is_completed_sequence",
    "hs_task_is_overdue",
    "hs_task_is_past_due_date",
    "hs_task_missed_due_date",
    "hs_task_missed_due_date_count",
    "hs_task_priority",
    "hs_task_type",
    "hs_ticket_id",
    "hs_timestamp",
    "hs_updated_by_user_id",
    "hs_user_ids_of_all_owners",
    "hubspot_owner_assigneddate",
    "hubspot_owner_id",
    "lifecyclestage",
    "pipeline",
];

/// Properties whose text is previewed.
const BODIES: [&str; 5] =
    ["hs_meeting_body", "hs_task_body", "hs_note_body", "hs_call_body", "hs_email_text"];

/// The account's currency.
pub(crate) const HOME_CURRENCY: &str = "USD";

/// Characters of a preview.
const PREVIEW: usize = 200;

impl Account {
    /// Adds what follows from a checked write: to a new record if there is no
    /// view.
    pub(crate) fn compute(&self, at: TypeAt, view: Option<&View<'_>>, draft: &mut Vec<Change>) {
        let now = self.clock.now();
        let owner = draft_value(self, at, draft, "hubspot_owner_id");
        for (name, value) in self.owner_values(owner, now) {
            set(self, at, draft, name, value);
        }
        let bodies = BODIES.iter().find_map(|name| draft_value(self, at, draft, name));
        for (name, value) in bodies.map(|body| preview(&body)).into_iter().flatten() {
            set(self, at, draft, name, value);
        }
        match (self.tables[at].object_type.plural.as_str(), view) {
            ("contacts", view) => self.compute_contact(at, view, draft, now),
            ("companies", _) => self.compute_stage_date(at, draft, now),
            ("deals", view) => self.compute_deal(at, view, draft, now),
            ("meetings", None) => set(self, at, draft, "hs_meeting_source", "CRM_UI".to_owned()),
            ("tickets", None) => {
                set(self, at, draft, "hs_helpdesk_sort_timestamp", moment::exact(now));
                set(self, at, draft, "hs_last_message_from_visitor", "false".to_owned());
            }
            ("tickets", Some(_)) => {
                set(self, at, draft, "hs_updated_by_user_id", "5555888".to_owned());
            }
            // Recorded: a new body alone recalculates nothing of a task.
            ("tasks", Some(_)) if !moves_task(self, at, draft) => {}
            ("tasks", view) => self.compute_task(at, view, draft, now),
            _ => {}
        }
        self.fill_by_habit(at, view, draft);
    }

    fn compute_contact(
        &self,
        at: TypeAt,
        view: Option<&View<'_>>,
        draft: &mut Vec<Change>,
        now: i64,
    ) {
        self.compute_stage_date(at, draft, now);
        if let Some(email) = draft_value(self, at, draft, "email") {
            let domain = email.split_once('@').map_or("", |(_, domain)| domain);
            set(self, at, draft, "hs_email_domain", domain.to_owned());
        }
        if let Some(phone) = draft_value(self, at, draft, "phone") {
            set(self, at, draft, "hs_searchable_calculated_phone_number", searchable(&phone));
        }
        if view.is_none() {
            set(self, at, draft, "hs_is_unworked", "true".to_owned());
        }
    }

    /// When a lifecycle stage was entered.
    fn compute_stage_date(&self, at: TypeAt, draft: &mut Vec<Change>, now: i64) {
        let stage = draft_value(self, at, draft, "lifecyclestage");
        if let Some(stage) = stage.filter(|stage| !stage.is_empty()) {
            let name = format!("hs_lifecyclestage_{stage}_date");
            set(self, at, draft, &name, moment::exact(now));
        }
    }

    /// What hangs on a deal's stage, amount and dates.
    fn compute_deal(&self, at: TypeAt, view: Option<&View<'_>>, draft: &mut Vec<Change>, now: i64) {
        let held = |draft: &[Change], name: &str| {
            let written = draft_value(self, at, draft, name);
            written.or_else(|| view.and_then(|view| view.named(name)))
        };
        let written = |name: &str| draft_value(self, at, draft, name).is_some();
        let (staged, paid, dated) = (
            written("dealstage"),
            written("amount") || written("deal_currency_code"),
            written("closedate") || view.is_none(),
        );
        let stage = held(draft, "dealstage").and_then(|stage| self.stage(at, &stage).cloned());
        if let (Some(stage), true) = (stage, staged) {
            let probability = stage.probability();
            let won = stage.is_closed() && probability == Some(1.0);
            let won_date = if won { moment::exact(now) } else { String::new() };
            for (name, value) in [
                ("hs_is_closed", stage.is_closed().to_string()),
                ("hs_is_closed_won", won.to_string()),
                ("hs_closed_won_date", won_date),
                ("hs_deal_stage_probability", probability.map(expanded).unwrap_or_default()),
            ] {
                set(self, at, draft, name, value);
            }
        }
        if paid {
            let amount = held(draft, "amount").unwrap_or_default();
            let currency = held(draft, "deal_currency_code").unwrap_or_default();
            // The account's own; no exchange rates are kept.
            let home = currency.is_empty() || currency == HOME_CURRENCY;
            let amount = if home { amount } else { String::new() };
            set(self, at, draft, "amount_in_home_currency", amount);
        }
        let closes = held(draft, "closedate").and_then(|date| moment::parse(&date));
        if let (Some(closes), true) = (closes, dated) {
            let created = view.map_or(now, View::created);
            let days = ((closes - created) / moment::DAY).max(0);
            set(self, at, draft, "days_to_close", days.to_string());
        }
    }

    /// A stage of any live pipeline of a type.
    pub(crate) fn stage(&self, at: TypeAt, id: &str) -> Option<&Stage> {
        let live = self.pipelines[at].iter().filter(|pipeline| !pipeline.archived);
        live.flat_map(|pipeline| &pipeline.stages).find(|stage| stage.id == id && !stage.archived)
    }

    fn owner_values(&self, owner: Option<String>, now: i64) -> Vec<(&'static str, String)> {
        let Some(owner) = owner.filter(|owner| !owner.is_empty()) else { return Vec::new() };
        let known = self.owners.iter().find(|known| known.id.to_string() == owner);
        // Somebody from before the account's first owner.
        let user = known.map_or(11_598_694, |known| known.user_id);
        vec![
            ("hs_all_owner_ids", owner),
            ("hs_user_ids_of_all_owners", user.to_string()),
            ("hubspot_owner_assigneddate", moment::exact(now)),
        ]
    }

    fn compute_task(&self, at: TypeAt, view: Option<&View<'_>>, draft: &mut Vec<Change>, now: i64) {
        let held = |name: &str| {
            draft_value(self, at, draft, name).or_else(|| view.and_then(|view| view.named(name)))
        };
        let done = held("hs_task_status").is_some_and(|status| status == "COMPLETED");
        let due = held("hs_timestamp").and_then(|time| moment::parse(&time));
        let late = due.is_some_and(|due| due < now);
        let flag = |flag: bool| flag.to_string();
        let digit = |flag: bool| u8::from(flag).to_string();
        let mut values = vec![
            ("hs_task_completion_count", digit(done)),
            ("hs_task_is_completed", digit(done)),
            ("hs_task_is_completed_call", digit(false)),
            ("hs_task_is_completed_email", digit(false)),
            ("hs_task_is_completed_linked_in", digit(false)),
            ("hs_task_is_completed_sequence", digit(false)),
            ("hs_task_is_overdue", flag(late && !done)),
            ("hs_task_is_past_due_date", flag(late)),
            ("hs_task_missed_due_date", flag(late)),
            ("hs_task_missed_due_date_count", digit(late)),
        ];
        if done {
            values.push(("hs_task_completion_date", moment::exact(now)));
        }
        if view.is_none() {
            values.push(("hs_task_family", "SALES".to_owned()));
            values.push(("hs_task_for_object_type", "OWNER".to_owned()));
            values.push(("hs_task_is_all_day", flag(false)));
            if held("hs_task_priority").is_none() {
                values.push(("hs_task_priority", "NONE".to_owned()));
            }
        }
        for (name, value) in values {
            set(self, at, draft, name, value);
        }
    }
}

/// The digits of a phone number that search looks at: area code and local
/// number.
fn searchable(phone: &str) -> String {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    digits[digits.len().saturating_sub(10)..].to_owned()
}

/// A probability as recorded: every digit of its binary fraction.
fn expanded(probability: f64) -> String {
    let text = format!("{probability:.60}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A body as text, as HTML, and whether the text was cut.
fn preview(body: &str) -> [(&'static str, String); 3] {
    let text: String = body.chars().take(PREVIEW).collect();
    let html = format!("<html>\n <head></head>\n <body>\n {text}\n </body>\n</html>");
    let cut = text.len() < body.len();
    [
        ("hs_body_preview", text),
        ("hs_body_preview_html", html),
        ("hs_body_preview_is_truncated", cut.to_string()),
    ]
}

/// Whether a write touches what a task's computed properties hang on.
fn moves_task(account: &Account, at: TypeAt, draft: &[Change]) -> bool {
    let names = ["hs_task_status", "hs_timestamp", "hs_task_type"];
    names.iter().any(|name| draft_value(account, at, draft, name).is_some())
}

fn draft_value(account: &Account, at: TypeAt, draft: &[Change], name: &str) -> Option<String> {
    let (slot, _) = account.tables[at].catalogue.find(name)?;
    draft.iter().find(|(other, _)| *other == slot).map(|(_, value)| value.clone())
}

fn set(account: &Account, at: TypeAt, draft: &mut Vec<Change>, name: &str, value: String) {
    let Some((slot, _)) = account.tables[at].catalogue.find(name) else { return };
    draft.retain(|(other, _)| *other != slot);
    draft.push((slot, value));
}
