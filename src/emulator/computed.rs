//! What the service works out by itself when a record is written, as recorded
//! answers to creates and updates show it.

use super::account::Account;
use super::associations::TypeAt;
use super::moment;
use super::record::View;
use super::table::Change;

/// Which year's service is imitated: answers gained members over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Era(pub(crate) i32);

impl Era {
    /// Today's service.
    pub(crate) const NOW: Self = Self(2026);

    /// Whether records carry `url`: recordings from 2025 on do.
    pub(crate) fn has_urls(self) -> bool {
        self >= Self(2025)
    }

    /// Whether records tell where they came from: in 2022 they did not, in
    /// 2024 they did.
    pub(crate) fn has_sources(self) -> bool {
        self >= Self(2024)
    }

    /// Whether refusals of values list them in `errors` beside the message.
    pub(crate) fn lists_errors(self) -> bool {
        self >= Self(2024)
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
            ("meetings", None) => set(self, at, draft, "hs_meeting_source", "CRM_UI".to_owned()),
            ("tickets", None) => {
                set(self, at, draft, "hs_helpdesk_sort_timestamp", moment::exact(now));
                set(self, at, draft, "hs_last_message_from_visitor", "false".to_owned());
            }
            ("tickets", Some(_)) => {
                set(self, at, draft, "hs_updated_by_user_id", "5555888".to_owned());
            }
            ("tasks", view) => self.compute_task(at, view, draft, now),
            _ => {}
        }
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

fn draft_value(account: &Account, at: TypeAt, draft: &[Change], name: &str) -> Option<String> {
    let (slot, _) = account.tables[at].catalogue.find(name)?;
    draft.iter().find(|(other, _)| *other == slot).map(|(_, value)| value.clone())
}

fn set(account: &Account, at: TypeAt, draft: &mut Vec<Change>, name: &str, value: String) {
    let Some((slot, _)) = account.tables[at].catalogue.find(name) else { return };
    draft.retain(|(other, _)| *other != slot);
    draft.push((slot, value));
}
