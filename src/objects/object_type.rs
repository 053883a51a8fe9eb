use std::borrow::Cow;
use std::fmt;

/// The standard object types hublake knows by name: plural name, type id,
/// singular name, created property. Ids from the object type table of
/// HubSpot's CRM guide (`using-object-apis`).
const STANDARD: &[(&str, &str, &str, &str)] = &[
    ("contacts", "0-1", "contact", "createdate"),
    ("companies", "0-2", "company", "createdate"),
    ("deals", "0-3", "deal", "createdate"),
    ("tickets", "0-5", "ticket", "createdate"),
    ("products", "0-7", "product", "createdate"),
    ("line_items", "0-8", "line_item", "createdate"),
    ("quotes", "0-14", "quote", "hs_createdate"),
    ("communications", "0-18", "communication", "hs_createdate"),
    ("feedback_submissions", "0-19", "feedback_submission", "hs_createdate"),
    ("tasks", "0-27", "task", "hs_createdate"),
    ("notes", "0-46", "note", "hs_createdate"),
    ("meetings", "0-47", "meeting", "hs_createdate"),
    ("calls", "0-48", "call", "hs_createdate"),
    ("emails", "0-49", "email", "hs_createdate"),
    ("invoices", "0-53", "invoice", "hs_createdate"),
    ("marketing_events", "0-54", "marketing_event", "hs_createdate"),
    ("subscriptions", "0-69", "subscription", "hs_createdate"),
    ("goal_targets", "0-74", "goal_target", "hs_createdate"),
    ("discounts", "0-84", "discount", "hs_createdate"),
    ("fees", "0-85", "fee", "hs_createdate"),
    ("taxes", "0-86", "tax", "hs_createdate"),
    ("commerce_payments", "0-101", "commerce_payment", "hs_createdate"),
    ("users", "0-115", "user", "hs_createdate"),
    ("postal_mail", "0-116", "postal_mail", "hs_createdate"),
    ("orders", "0-123", "order", "hs_createdate"),
    ("leads", "0-136", "lead", "createdate"),
    ("carts", "0-142", "cart", "hs_createdate"),
    ("services", "0-162", "service", "hs_createdate"),
    ("courses", "0-410", "course", "hs_createdate"),
    ("listings", "0-420", "listing", "hs_createdate"),
    ("appointments", "0-421", "appointment", "hs_createdate"),
    ("projects", "0-970", "project", "hs_createdate"),
];

/// A kind of HubSpot record: contacts, deals, a custom object, …
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectType {
    name: Cow<'static, str>,
    type_id: Cow<'static, str>,
}

/// A name that cannot be an object type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is not an object type{hint}: use a standard name such as `contacts`, a type id such \
     as `2-3453932`, or a custom object's full name such as `p1234567_licence`"
)]
pub struct ObjectTypeError {
    name: String,
    hint: String,
}

impl ObjectType {
    /// Contacts, the only type whose modified date is `lastmodifieddate`.
    pub const CONTACTS: Self = Self::standard("contacts", "0-1");
    /// Companies.
    pub const COMPANIES: Self = Self::standard("companies", "0-2");
    /// Deals.
    pub const DEALS: Self = Self::standard("deals", "0-3");
    /// Tickets.
    pub const TICKETS: Self = Self::standard("tickets", "0-5");

    const fn standard(name: &'static str, type_id: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), type_id: Cow::Borrowed(type_id) }
    }

    /// The type of a name as it stands in settings or in an API answer:
    /// `contacts`, `contact`, `CONTACT`, `0-1`, `2-3453932`, `p1234_name`.
    ///
    /// # Errors
    /// A name that is neither standard nor of a custom object's form.
    pub fn parse(text: &str) -> Result<Self, ObjectTypeError> {
        let lower = text.to_ascii_lowercase();
        let known = STANDARD
            .iter()
            .find(|(name, id, singular, _)| lower == *name || lower == *id || lower == *singular);
        if let Some((name, id, _, _)) = known {
            return Ok(Self::standard(name, id));
        }
        if is_type_id(&lower) || is_qualified_name(&lower) {
            return Ok(Self { name: lower.clone().into(), type_id: lower.into() });
        }
        let hint = nearest_standard(&lower)
            .map_or(String::new(), |near| format!(", did you mean `{near}`"));
        Err(ObjectTypeError { name: text.to_owned(), hint })
    }

    /// Every standard type, in the order of their ids.
    pub fn all_standard() -> impl Iterator<Item = Self> {
        STANDARD.iter().map(|(name, id, ..)| Self::standard(name, id))
    }

    /// The name used in paths, settings and table names.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The object type id (`0-1`); for a custom object given by its full
    /// name, that name, which the API accepts in its place.
    pub fn type_id(&self) -> &str {
        &self.type_id
    }

    /// The name of the mirror table: the name with every character that an
    /// unquoted SQL name cannot hold replaced (`2-3453932` → `custom_2_3453932`).
    pub fn table_name(&self) -> String {
        let kind = match self.name.as_bytes().first() {
            Some(b'0') => "object_",
            Some(b'2') => "custom_",
            _ => "",
        };
        format!("{kind}{}", self.name.replace('-', "_"))
    }

    /// What one record of it is called: `contact`; a custom object's name
    /// without its account.
    pub fn singular(&self) -> &str {
        let known = STANDARD.iter().find(|(name, ..)| *name == self.name);
        known.map_or_else(
            || self.name.split_once('_').map_or(self.name(), |(_, name)| name),
            |(_, _, singular, _)| singular,
        )
    }

    /// The property that holds when a record last changed: `lastmodifieddate`
    /// for contacts, `hs_lastmodifieddate` for everything else.
    pub fn modified_property(&self) -> &'static str {
        if self.name == "contacts" { "lastmodifieddate" } else { "hs_lastmodifieddate" }
    }

    /// The property that holds when a record was created.
    pub fn created_property(&self) -> &'static str {
        STANDARD
            .iter()
            .find(|(name, ..)| *name == self.name)
            .map_or("hs_createdate", |(.., created)| created)
    }

    /// Whether this is a custom object of one account.
    pub fn is_custom(&self) -> bool {
        !STANDARD.iter().any(|(name, ..)| *name == self.name)
    }
}

impl fmt::Display for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn is_type_id(text: &str) -> bool {
    text.strip_prefix("2-")
        .or_else(|| text.strip_prefix("0-"))
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// `p{hubId}_{name}`, the fully qualified name of a custom object.
fn is_qualified_name(text: &str) -> bool {
    let Some((hub, name)) = text.strip_prefix('p').and_then(|rest| rest.split_once('_')) else {
        return false;
    };
    !hub.is_empty()
        && hub.bytes().all(|b| b.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn nearest_standard(text: &str) -> Option<&'static str> {
    STANDARD
        .iter()
        .map(|(name, ..)| (*name, strsim::jaro_winkler(name, text)))
        .filter(|(_, likeness)| *likeness > 0.8)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_contacts_is_one_type() {
        for text in ["contacts", "contact", "CONTACT", "Contact", "0-1"] {
            assert_eq!(ObjectType::parse(text), Ok(ObjectType::CONTACTS), "{text}");
        }
    }

    #[test]
    fn every_standard_type_is_found_by_its_own_name() {
        assert_eq!(ObjectType::all_standard().count(), STANDARD.len());
        for object in ObjectType::all_standard() {
            assert_eq!(ObjectType::parse(object.name()), Ok(object.clone()));
            assert!(!object.is_custom());
        }
    }

    #[test]
    fn custom_objects_go_by_id_or_full_name() {
        let by_id = ObjectType::parse("2-3453932").expect("a custom id");
        assert!(by_id.is_custom());
        assert_eq!(by_id.table_name(), "custom_2_3453932");
        let by_name = ObjectType::parse("p1234567_licence").expect("a full name");
        assert_eq!(by_name.table_name(), "p1234567_licence");
        let unnamed = ObjectType::parse("0-999").expect("a type made after this version");
        assert_eq!(unnamed.table_name(), "object_0_999");
    }

    #[test]
    fn a_near_miss_names_what_was_meant() {
        let error = ObjectType::parse("contcats").expect_err("a misspelling");
        assert!(error.to_string().contains("did you mean `contacts`"), "{error}");
        for text in ["", "2-", "p_x", "butterflies", "../x"] {
            assert!(ObjectType::parse(text).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn only_contacts_keep_the_old_modified_date() {
        assert_eq!(ObjectType::CONTACTS.modified_property(), "lastmodifieddate");
        assert_eq!(ObjectType::COMPANIES.modified_property(), "hs_lastmodifieddate");
        assert_eq!(
            ObjectType::parse("notes").expect("standard").created_property(),
            "hs_createdate"
        );
    }
}
