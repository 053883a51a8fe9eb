//! Changing records by the account's rules.

use serde_json::{Map, Value};

use super::account::Account;
use super::associations::TypeAt;
use super::errors::Refusal;
use super::paths::Edition;
use super::pipelines::Pipeline;
use super::record::{Source, View};
use super::schema::Slot;
use super::seed::STAGES;
use super::table::{Change, Found};
use super::values::{self, Problem};
use super::webhooks::Hand;

/// Why one record is not written.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Values(Vec<Problem>),
    /// Some other contact has the email.
    Taken {
        existing: u64,
    },
    /// Some other record has the value of a unique property.
    NotUnique {
        name: String,
        value: String,
        writer: u64,
        holder: u64,
    },
    /// The address was deleted for good.
    Blocked(String),
    /// A create lacks what its type requires.
    Required(Vec<String>),
    /// An association of a create leads nowhere.
    Association(String),
}

impl Fault {
    /// The refusal of a call that fails for this alone.
    pub(crate) fn refusal(&self, account: &Account, at: TypeAt) -> Refusal {
        let shouted = account.tables[at].object_type.shouted();
        match self {
            Self::Values(problems) => values::refusal(problems, account.portal_id, account.era),
            Self::Taken { existing } => {
                Refusal::new(409, format!("Contact already exists. Existing ID: {existing}"))
                    .category("CONFLICT")
            }
            Self::NotUnique { name, value, writer, holder } => Refusal::invalid(format!(
                "Cannot set PropertyValueCoordinates{{portalId={}, \
                 objectTypeId=ObjectTypeId{{legacyObjectType={shouted}}}, propertyName={name}, \
                 value={value}}} on {writer}. {holder} already has that value.",
                account.portal_id
            )),
            // The block list is described, its words are not.
            Self::Blocked(email) => {
                Refusal::invalid(format!("{email} was permanently deleted and cannot be used"))
            }
            Self::Required(names) => Refusal::invalid(format!(
                "Error creating {shouted}. Some required properties were not set."
            ))
            .context("properties", names.iter().cloned()),
            Self::Association(message) => Refusal::invalid(message.clone()),
        }
    }

    /// The entry of a 207 for this.
    pub(crate) fn entry(&self, account: &Account, at: TypeAt, trace_id: &str) -> Value {
        let mut refusal = self.refusal(account, at);
        if let Self::Taken { existing } = self {
            refusal = refusal.context("existingId", [existing.to_string()]);
        }
        refusal.into_entry(Some(trace_id))
    }
}

/// A record's changes, checked and in the form they are kept.
pub(crate) type Draft = Vec<Change>;

/// What a write comes to.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) draft: Draft,
    /// Values that were kept otherwise than they were sent; 2026-09 tells.
    pub(crate) warnings: Vec<Value>,
}

impl Account {
    /// Checks the values of a person's write to an existing record.
    pub(crate) fn draft_update(
        &self,
        at: TypeAt,
        view: &View<'_>,
        properties: &Map<String, Value>,
    ) -> Result<Draft, Fault> {
        Ok(self.check_update(at, view, properties, Edition::Legacy)?.draft)
    }

    /// Checks the values of a person's create.
    pub(crate) fn draft_create(
        &self,
        at: TypeAt,
        properties: &Map<String, Value>,
    ) -> Result<Draft, Fault> {
        Ok(self.check_create(at, properties, Edition::Legacy)?.draft)
    }

    /// Checks the values of a write to an existing record.
    pub(crate) fn check_update(
        &self,
        at: TypeAt,
        view: &View<'_>,
        properties: &Map<String, Value>,
        edition: Edition,
    ) -> Result<Checked, Fault> {
        let Checked { mut draft, warnings } = self.accept_all(at, properties, edition)?;
        self.settle(at, Some(view), &mut draft);
        self.check_rules(at, Some(view), &draft, edition)?;
        self.check_stage(at, Some(view), &draft)?;
        self.check_unique(at, Some(view.id), &draft)?;
        self.compute(at, Some(view), &mut draft);
        Ok(Checked { draft, warnings })
    }

    /// Checks the values of a create.
    pub(crate) fn check_create(
        &self,
        at: TypeAt,
        properties: &Map<String, Value>,
        edition: Edition,
    ) -> Result<Checked, Fault> {
        let Checked { mut draft, warnings } = self.accept_all(at, properties, edition)?;
        self.check_required(at, &draft)?;
        self.check_rules(at, None, &draft, edition)?;
        self.settle(at, None, &mut draft);
        self.check_unique(at, None, &draft)?;
        self.fill_defaults(at, &mut draft);
        self.check_stage(at, None, &draft)?;
        self.compute(at, None, &mut draft);
        draft.retain(|(_, value)| !value.is_empty());
        Ok(Checked { draft, warnings })
    }

    /// Creates a record from a checked draft.
    pub(crate) fn create(&mut self, at: TypeAt, mut draft: Draft, source: Source) -> u64 {
        let now = self.clock.now();
        let id = self.tables[at].new_id();
        self.fill_with_id(at, id, &mut draft);
        self.remember_unique(at, id, &draft);
        self.tell_created(at, id, &draft, source);
        self.tables[at].insert(id, draft, now, source);
        id
    }

    /// Writes a checked draft to a record.
    pub(crate) fn update(&mut self, at: TypeAt, id: u64, draft: Draft, source: Source) {
        let now = self.clock.now();
        let stage = self.tables[at].catalogue.find("dealstage").map(|(slot, _)| slot);
        if draft.iter().any(|(slot, _)| Some(*slot) == stage) {
            self.mark_associates_stale(at, id);
        }
        self.remember_unique(at, id, &draft);
        self.tell_changed(at, id, &draft, Hand::of(source));
        let quiet = self.era.is_quiet_about(self.plural(at));
        let table = &self.tables[at];
        let is_change =
            |change: &Change| !table.catalogue.at(change.0).read_only && !table.holds(id, change);
        let moved = !quiet || draft.iter().any(is_change);
        self.tables[at].apply(id, draft, now, source, moved);
    }

    /// Archives a record, if there is one.
    pub(crate) fn archive(&mut self, at: TypeAt, id: u64) {
        self.archive_by(at, id, Hand::App);
    }

    /// Archives a record, if there is one, by somebody's hand.
    pub(crate) fn archive_by(&mut self, at: TypeAt, id: u64, hand: Hand) {
        let now = self.clock.now();
        let id = match self.tables[at].find(id) {
            Found::Live(view) | Found::Merged(view) => view.id,
            Found::Archived(_) | Found::Nothing => return,
        };
        self.mark_associates_stale(at, id);
        self.tell_deleted(at, id, hand);
        self.leave_lists(at, id);
        self.tables[at].set_archived(id, Some(now), now);
    }

    /// The record that holds a value of a unique property.
    pub(crate) fn holder(&self, at: TypeAt, slot: Slot, value: &str) -> Option<View<'_>> {
        let table = &self.tables[at];
        let wanted = value.to_lowercase();
        let is_email = table.catalogue.at(slot).name == "email";
        let holds = |view: &View<'_>| match is_email {
            true => emails(view).any(|email| email == wanted),
            false => view.value(slot).is_some_and(|held| held.to_lowercase() == wanted),
        };
        table.candidates(slot, &wanted).into_iter().find(holds)
    }

    fn accept_all(
        &self,
        at: TypeAt,
        properties: &Map<String, Value>,
        edition: Edition,
    ) -> Result<Checked, Fault> {
        let catalogue = &self.tables[at].catalogue;
        let now = self.clock.now();
        let mut draft = Draft::with_capacity(properties.len());
        let (mut warnings, mut problems) = (Vec::new(), Vec::new());
        for (name, value) in properties {
            let Some(text) = text_of(value) else { continue };
            let found = catalogue.find(name).filter(|(_, property)| property.usable_from <= now);
            let Some((slot, property)) = found else {
                problems.push(Problem::unknown(name));
                continue;
            };
            match values::accept(property, &text) {
                Ok(kept) => draft.push((slot, kept)),
                Err(problem) => match values::midnight(property, &text) {
                    Some(midnight) if edition == Edition::September2026 => {
                        warnings.push(values::normalised(name, &text, midnight));
                        draft.push((slot, values::day(midnight)));
                    }
                    _ => problems.push(problem),
                },
            }
        }
        match problems.is_empty() {
            true => Ok(Checked { draft, warnings }),
            false => Err(Fault::Values(problems)),
        }
    }

    /// What an administrator demands; only 2026-09 heeds it.
    fn check_rules(
        &self,
        at: TypeAt,
        view: Option<&View<'_>>,
        draft: &Draft,
        edition: Edition,
    ) -> Result<(), Fault> {
        if edition != Edition::September2026 {
            return Ok(());
        }
        let catalogue = &self.tables[at].catalogue;
        let written = |name: &str| {
            let slot = catalogue.find(name).map(|(slot, _)| slot)?;
            draft.iter().find(|(other, _)| *other == slot).map(|(_, value)| value.clone())
        };
        let held = |name: &str| {
            let kept = || view.and_then(|view| view.named(name));
            written(name).or_else(kept).filter(|value| !value.is_empty())
        };
        let concerns = |name: &str| view.is_none() || written(name).is_some();
        let plural = self.plural(at);
        let mut problems = Vec::new();
        for name in self.rules.required.get(plural).into_iter().flatten() {
            if concerns(name) && held(name).is_none() {
                let message = format!("A value for {name} must be provided");
                problems.push(Problem::new(name, "MISSING_REQUIRED_PROPERTY", message));
            }
        }
        for rule in self.rules.conditional.iter().filter(|rule| rule.object_type == plural) {
            let (name, by) = (&rule.property, &rule.controlled_by);
            let set = held(by);
            let applies = set.is_some_and(|set| {
                rule.values.is_empty() || set.split(';').any(|value| rule.values.contains(value))
            });
            if applies && (concerns(name) || concerns(by)) && held(name).is_none() {
                let message = format!(
                    "{name} is required because of a conditional property rule based on [{by}]"
                );
                problems.push(Problem::new(name, "MISSING_CONDITIONAL_REQUIRED_PROPERTY", message));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Fault::Values(problems)) }
    }

    /// A record's stage is one of its pipeline. A stage of no pipeline at all
    /// was judged by the options already.
    fn check_stage(&self, at: TypeAt, view: Option<&View<'_>>, draft: &Draft) -> Result<(), Fault> {
        let [pipeline_name, stage_name] = stage_properties(self.plural(at));
        let catalogue = &self.tables[at].catalogue;
        let written = |name: &str| {
            let slot = catalogue.find(name).map(|(slot, _)| slot)?;
            draft.iter().find(|(other, _)| *other == slot).map(|(_, value)| value.clone())
        };
        if self.pipelines[at].is_empty()
            || (written(pipeline_name).is_none() && written(stage_name).is_none())
        {
            return Ok(());
        }
        let held = |name: &str| written(name).or_else(|| view.and_then(|view| view.named(name)));
        let (Some(pipeline), Some(stage)) = (held(pipeline_name), held(stage_name)) else {
            return Ok(());
        };
        let live = || self.pipelines[at].iter().filter(|pipeline| !pipeline.archived);
        let Some(own) = live().find(|other| other.id == pipeline) else { return Ok(()) };
        let has = |pipeline: &Pipeline| pipeline.live_stages().any(|other| other.id == stage);
        if stage.is_empty() || has(own) || !live().any(has) {
            return Ok(());
        }
        let options: Vec<&str> = own.live_stages().map(|stage| stage.id.as_str()).collect();
        let problem = Problem::bad_option(stage_name, &stage, &options);
        Err(Fault::Values(vec![problem]))
    }

    /// What becomes of values that depend on what the record holds.
    fn settle(&self, at: TypeAt, view: Option<&View<'_>>, draft: &mut Draft) {
        let catalogue = &self.tables[at].catalogue;
        let current = |slot: Slot| view.and_then(|view| view.value(slot));
        for (slot, value) in draft.iter_mut() {
            if catalogue.at(*slot).holds_many() && value.starts_with(';') {
                *value = values::appended(current(*slot).as_deref(), value);
            }
        }
        draft.retain(|(slot, value)| {
            let stage = catalogue.at(*slot).name == "lifecyclestage";
            !stage || !is_backward(current(*slot).as_deref(), value)
        });
        let domain = catalogue.find("domain").map(|(slot, _)| slot);
        let website = catalogue.find("website").map(|(slot, _)| slot);
        if let (Some(domain), Some(website), "companies") = (domain, website, self.plural(at)) {
            let written = draft.iter().find(|(slot, _)| *slot == domain).cloned();
            let open = current(website).is_none_or(|value| value.is_empty());
            if let Some((_, domain)) = written
                && open
                && !draft.iter().any(|(slot, _)| *slot == website)
            {
                draft.push((website, domain));
            }
        }
    }

    fn check_required(&self, at: TypeAt, draft: &Draft) -> Result<(), Fault> {
        let table = &self.tables[at];
        let set = |name: &str| {
            let slot = table.catalogue.find(name).map(|(slot, _)| slot);
            draft.iter().any(|(other, value)| Some(*other) == slot && !value.is_empty())
        };
        let either: &[&str] = match self.plural(at) {
            "contacts" => &["email", "firstname", "lastname"],
            "companies" => &["name", "domain"],
            _ => &[],
        };
        if !either.is_empty() && !either.iter().any(|name| set(name)) {
            return Err(Fault::Required(either.iter().map(|name| (*name).to_owned()).collect()));
        }
        let required = table.object_type.required.iter();
        let mut missing: Vec<String> = required.filter(|name| !set(name)).cloned().collect();
        let live = self.pipelines[at].iter().filter(|pipeline| !pipeline.archived).count();
        let which = self.plural(at) == "deals" && live > 1 && self.rules.deals_name_their_pipeline;
        if which && !set("pipeline") {
            missing.push("pipeline".to_owned());
        }
        if missing.is_empty() { Ok(()) } else { Err(Fault::Required(missing)) }
    }

    fn check_unique(&self, at: TypeAt, writer: Option<u64>, draft: &Draft) -> Result<(), Fault> {
        let catalogue = &self.tables[at].catalogue;
        let email = catalogue.find("email").map(|(slot, _)| slot);
        for (slot, value) in draft.iter().filter(|(_, value)| !value.is_empty()) {
            let property = catalogue.at(*slot);
            let (slots, values) = match property.name.as_str() {
                "hs_additional_emails" => (email, value.split(';').collect()),
                _ => (property.unique.then_some(*slot), vec![value.as_str()]),
            };
            let Some(unique) = slots else { continue };
            for value in values {
                let blocked = Some(unique) == email && self.blocked_emails.contains(value);
                if blocked && self.rules.purged_emails_blocked {
                    return Err(Fault::Blocked(value.to_owned()));
                }
                let holder = self.holder(at, unique, value).map(|view| view.id);
                let Some(holder) = holder.filter(|holder| Some(*holder) != writer) else {
                    continue;
                };
                return Err(match writer {
                    None if Some(unique) == email => Fault::Taken { existing: holder },
                    _ => Fault::NotUnique {
                        name: catalogue.at(unique).name.clone(),
                        value: value.to_owned(),
                        // What is being created has its number already.
                        writer: writer.unwrap_or_else(|| self.tables[at].next_id()),
                        holder,
                    },
                });
            }
        }
        Ok(())
    }

    fn remember_unique(&mut self, at: TypeAt, id: u64, draft: &Draft) {
        let table = &mut self.tables[at];
        let email = table.catalogue.find("email").map(|(slot, _)| slot);
        for (slot, value) in draft {
            let property = table.catalogue.at(*slot);
            let unique = match property.name.as_str() {
                "hs_additional_emails" => email,
                _ => property.unique.then_some(*slot),
            };
            let Some(unique) = unique else { continue };
            let values: Vec<String> = value.split(';').map(str::to_lowercase).collect();
            for value in values {
                table.remember(unique, value, id);
            }
        }
    }

    /// What HubSpot fills in by itself when a record is created.
    fn fill_defaults(&self, at: TypeAt, draft: &mut Draft) {
        let staged = self.tables[at].catalogue.find("dealstage").map(|(slot, _)| slot);
        let staged = draft.iter().any(|(slot, value)| Some(*slot) == staged && !value.is_empty());
        let stage = match self.plural(at) {
            "contacts" | "companies" if !self.era.has_default_stage() => None,
            "contacts" => Some(("lifecyclestage", "lead")),
            "companies" => Some(("lifecyclestage", "lead")),
            "deals" if staged => Some(("pipeline", "default")),
            "tickets" => Some(("hs_pipeline", "0")),
            _ => None,
        };
        let origin = [
            ("hs_object_source", "INTEGRATION"),
            ("hs_object_source_id", "1024738"),
            ("hs_object_source_label", "INTEGRATION"),
        ];
        let origin = origin.into_iter().filter(|_| self.era.has_sources());
        for (name, value) in origin.chain(stage) {
            let Some((slot, _)) = self.tables[at].catalogue.find(name) else { continue };
            if !draft.iter().any(|(other, _)| *other == slot) {
                draft.push((slot, value.to_owned()));
            }
        }
    }

    fn plural(&self, at: TypeAt) -> &str {
        &self.tables[at].object_type.plural
    }
}

/// The properties that hold a record's pipeline and stage.
pub(crate) fn stage_properties(plural: &str) -> [&'static str; 2] {
    match plural {
        "deals" => ["pipeline", "dealstage"],
        _ => ["hs_pipeline", "hs_pipeline_stage"],
    }
}

/// A contact's addresses, the primary one first.
pub(crate) fn emails(view: &View<'_>) -> impl Iterator<Item = String> {
    let additional = view.named("hs_additional_emails").unwrap_or_default();
    let additional: Vec<String> = additional.split(';').map(str::to_lowercase).collect();
    let all = view.named("email").map(|email| email.to_lowercase()).into_iter().chain(additional);
    all.filter(|email| !email.is_empty())
}

/// Values may come as numbers or flags; null says nothing.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Whether a write would move a lifecycle stage back: it is then dropped
/// without a word. Clearing is allowed, and any stage may follow a clear one.
fn is_backward(current: Option<&str>, written: &str) -> bool {
    let rank = |stage: &str| STAGES.iter().position(|known| *known == stage);
    match (current.and_then(rank), rank(written)) {
        (Some(current), Some(written)) => written < current,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_move_forward_only() {
        assert!(is_backward(Some("customer"), "lead"));
        assert!(!is_backward(Some("lead"), "customer"));
        assert!(!is_backward(Some("customer"), ""));
        assert!(!is_backward(Some(""), "lead"));
        assert!(!is_backward(None, "subscriber"));
        assert!(!is_backward(Some("lead"), "lead"));
    }
}
