//! The object types of an account: how paths name them, which properties they
//! must have, what their records are called in messages.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::seed::realms::Realm;

/// What an object type is, apart from its records.
#[derive(Clone, Debug)]
pub(crate) struct ObjectType {
    /// `contacts`; for custom types `p1234_licences`.
    pub(crate) plural: String,
    /// `contact`.
    pub(crate) singular: String,
    /// `0-1`.
    pub(crate) type_id: String,
    /// The property that holds the time of the last change.
    pub(crate) modified: &'static str,
    /// The property that holds the time of creation.
    pub(crate) created: &'static str,
    /// What list and search return unasked, besides the times and the id.
    pub(crate) default_properties: Vec<String>,
    /// What a create must set.
    pub(crate) required: Vec<String>,
    /// What the `query` of a search looks into.
    pub(crate) searchable: Vec<String>,
    /// Whether its records of a fresh account come from the seed.
    pub(crate) realm: Option<Realm>,
    /// What the account says of a type it made itself.
    pub(crate) custom: Option<Custom>,
}

/// The account's own part of a custom object type.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Custom {
    pub(crate) labels: Value,
    pub(crate) description: Option<String>,
    pub(crate) primary: Option<String>,
    pub(crate) secondary: Vec<String>,
    pub(crate) created: i64,
    pub(crate) archived: Option<i64>,
}

struct Standard {
    plural: &'static str,
    singular: &'static str,
    type_id: &'static str,
    created: &'static str,
    defaults: &'static [&'static str],
    required: &'static [&'static str],
    searchable: &'static [&'static str],
}

const fn plain(
    plural: &'static str,
    singular: &'static str,
    type_id: &'static str,
    created: &'static str,
) -> Standard {
    Standard { plural, singular, type_id, created, defaults: &[], required: &[], searchable: &[] }
}

/// Names and ids: section 10 of the API reference. Defaults, required and
/// searched properties: sections 5 and 8.
const STANDARD: &[Standard] = &[
    Standard {
        defaults: &["firstname", "lastname", "email"],
        searchable: &[
            "firstname",
            "lastname",
            "email",
            "phone",
            "hs_additional_emails",
            "fax",
            "mobilephone",
            "company",
        ],
        ..plain("contacts", "contact", "0-1", "createdate")
    },
    Standard {
        defaults: &["name", "domain"],
        searchable: &["website", "phone", "name", "domain"],
        ..plain("companies", "company", "0-2", "createdate")
    },
    Standard {
        defaults: &["dealname", "amount", "closedate", "pipeline", "dealstage"],
        // A stage is documented as required, but deals are made without (recorded).
        required: &["dealname"],
        searchable: &["dealname", "pipeline", "dealstage", "description", "dealtype"],
        ..plain("deals", "deal", "0-3", "createdate")
    },
    Standard {
        defaults: &[
            "content",
            "hs_pipeline",
            "hs_pipeline_stage",
            "hs_ticket_category",
            "hs_ticket_priority",
            "subject",
        ],
        required: &["subject", "hs_pipeline_stage"],
        searchable: &[
            "subject",
            "content",
            "hs_pipeline_stage",
            "hs_ticket_category",
            "hs_ticket_id",
        ],
        ..plain("tickets", "ticket", "0-5", "createdate")
    },
    Standard {
        defaults: &["name", "description", "price"],
        required: &["name"],
        searchable: &["name", "description", "price", "hs_sku"],
        ..plain("products", "product", "0-7", "createdate")
    },
    Standard {
        defaults: &["quantity", "amount", "price"],
        ..plain("line_items", "line_item", "0-8", "createdate")
    },
    Standard {
        defaults: &["hs_expiration_date", "hs_public_url_key", "hs_status", "hs_title"],
        required: &["hs_title", "hs_expiration_date"],
        ..plain("quotes", "quote", "0-14", "hs_createdate")
    },
    Standard {
        required: &["hs_timestamp", "hs_communication_channel_type"],
        ..plain("communications", "communication", "0-18", "hs_createdate")
    },
    plain("feedback_submissions", "feedback_submission", "0-19", "hs_createdate"),
    Standard { required: &["hs_timestamp"], ..plain("tasks", "task", "0-27", "hs_createdate") },
    Standard { required: &["hs_timestamp"], ..plain("notes", "note", "0-46", "hs_createdate") },
    Standard {
        required: &["hs_timestamp"],
        ..plain("meetings", "meeting", "0-47", "hs_createdate")
    },
    Standard { required: &["hs_timestamp"], ..plain("calls", "call", "0-48", "hs_createdate") },
    Standard {
        required: &["hs_timestamp", "hs_email_direction"],
        ..plain("emails", "email", "0-49", "hs_createdate")
    },
    Standard {
        required: &["hs_currency"],
        ..plain("invoices", "invoice", "0-53", "hs_createdate")
    },
    plain("marketing_events", "marketing_event", "0-54", "hs_createdate"),
    Standard {
        required: &["hs_name"],
        ..plain("subscriptions", "subscription", "0-69", "hs_createdate")
    },
    plain("goal_targets", "goal_target", "0-74", "hs_createdate"),
    plain("discounts", "discount", "0-84", "hs_createdate"),
    plain("fees", "fee", "0-85", "hs_createdate"),
    plain("taxes", "tax", "0-86", "hs_createdate"),
    plain("commerce_payments", "commerce_payment", "0-101", "hs_createdate"),
    plain("users", "user", "0-115", "hs_createdate"),
    Standard {
        required: &["hs_timestamp"],
        ..plain("postal_mail", "postal_mail", "0-116", "hs_createdate")
    },
    Standard { required: &["hs_order_name"], ..plain("orders", "order", "0-123", "hs_createdate") },
    Standard { required: &["hs_lead_name"], ..plain("leads", "lead", "0-136", "hs_createdate") },
    plain("carts", "cart", "0-142", "hs_createdate"),
    Standard {
        required: &["hs_name", "hs_pipeline", "hs_pipeline_stage"],
        ..plain("services", "service", "0-162", "hs_createdate")
    },
    Standard {
        required: &["hs_course_name"],
        ..plain("courses", "course", "0-410", "hs_createdate")
    },
    Standard { required: &["hs_name"], ..plain("listings", "listing", "0-420", "hs_createdate") },
    Standard {
        required: &["hs_appointment_name"],
        ..plain("appointments", "appointment", "0-421", "hs_createdate")
    },
    Standard {
        required: &["hs_name", "hs_pipeline", "hs_pipeline_stage"],
        ..plain("projects", "project", "0-970", "hs_createdate")
    },
];

impl ObjectType {
    /// Every standard type.
    pub(crate) fn standard() -> Vec<Self> {
        STANDARD.iter().map(Self::from_standard).collect()
    }

    /// A type that the account made itself.
    pub(crate) fn custom(
        plural: &str,
        singular: &str,
        type_id: &str,
        searchable: Vec<String>,
        custom: Custom,
    ) -> Self {
        Self {
            plural: plural.to_owned(),
            singular: singular.to_owned(),
            type_id: type_id.to_owned(),
            modified: "hs_lastmodifieddate",
            created: "hs_createdate",
            default_properties: Vec::new(),
            required: Vec::new(),
            searchable,
            realm: None,
            custom: Some(custom),
        }
    }

    fn from_standard(standard: &Standard) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            plural: standard.plural.to_owned(),
            singular: standard.singular.to_owned(),
            type_id: standard.type_id.to_owned(),
            modified: if standard.plural == "contacts" {
                "lastmodifieddate"
            } else {
                "hs_lastmodifieddate"
            },
            created: standard.created,
            default_properties: owned(standard.defaults),
            required: owned(standard.required),
            searchable: owned(standard.searchable),
            realm: Realm::named(standard.plural),
            custom: None,
        }
    }

    /// Whether a path segment means this type: plural, singular, either in
    /// capitals, or the type id (observed: `CONTACT`, `Contact`, `0-1`).
    /// A custom type goes by its id and its fully qualified name only: since
    /// June 2025 its bare name is unknown.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.type_id == name
            || self.plural.eq_ignore_ascii_case(name)
            || (self.custom.is_none() && self.singular.eq_ignore_ascii_case(name))
            || (self.custom.is_some() && self.has_short_name(name))
    }

    /// Whether a name is `p_licences` where the whole one is `p1234_licences`.
    fn has_short_name(&self, name: &str) -> bool {
        let own = self.plural.split_once('_').map(|(_, own)| own);
        let short = name.strip_prefix("p_").or_else(|| name.strip_prefix("P_"));
        own.zip(short).is_some_and(|(own, short)| own.eq_ignore_ascii_case(short))
    }

    /// The label for people: the account's own, or a name with a capital.
    pub(crate) fn label(&self, name: &str, number: &str) -> String {
        let own = self.custom.as_ref().and_then(|custom| custom.labels[number].as_str());
        let mut letters = name.chars();
        let capital = letters.next().map(|first| first.to_ascii_uppercase());
        own.map_or_else(|| capital.into_iter().chain(letters).collect(), str::to_owned)
    }

    /// Whether the account has it still.
    pub(crate) fn is_live(&self) -> bool {
        self.custom.as_ref().is_none_or(|custom| custom.archived.is_none())
    }

    /// Whether it was deleted for good: nothing leads to it any more.
    pub(crate) fn is_purged(&self) -> bool {
        self.plural.starts_with("purged ")
    }

    /// The name in messages, `CONTACT`; custom types go by their id.
    pub(crate) fn shouted(&self) -> String {
        if self.custom.is_some() { self.type_id.clone() } else { self.singular.to_uppercase() }
    }

    /// The property group that HubSpot's own properties lie in.
    pub(crate) fn group(&self) -> String {
        let mut group: String = self.singular.chars().filter(|letter| *letter != '_').collect();
        group.push_str("information");
        group
    }
}
