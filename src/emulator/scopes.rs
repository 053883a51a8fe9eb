//! What a token must be allowed to do for a call: section 2 of the API
//! reference, and the three ways in which HubSpot says that it is not.
//!
//! Endpoints are told apart by their name in the request log, `lists.create`,
//! so that a new one of a known area is guarded from the start.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use super::account::Account;
use super::associations::TypeAt;
use super::call::Call;
use super::errors::Refusal;
use super::object_types::ObjectType;

/// Types whose values may be sensitive, and have scopes for that.
const SENSITIVE: [&str; 5] = ["contacts", "companies", "deals", "tickets", "custom"];

/// Scopes that no object type has part in.
const PLAIN: [&str; 16] = [
    "oauth",
    "tickets",
    "e-commerce",
    "sales-email-read",
    "crm.lists.read",
    "crm.lists.write",
    "crm.import",
    "crm.export",
    "crm.dealsplits.read_write",
    "crm.objects.owners.read",
    "business-intelligence",
    "analytics.behavioral_events.send",
    "crm.schemas.custom.read",
    "crm.schemas.custom.write",
    "crm.objects.custom.read",
    "crm.objects.custom.write",
];

/// Properties of an e-mail that tell what it says.
const EMAIL_BODIES: [&str; 4] =
    ["hs_email_html", "hs_email_text", "hs_body_preview", "hs_body_preview_html"];

/// Every scope there is, for tokens that may do everything.
pub(crate) fn all() -> Vec<String> {
    let mut all: BTreeSet<String> = PLAIN.iter().map(|scope| (*scope).to_owned()).collect();
    for object_type in ObjectType::standard() {
        for area in ["objects", "schemas"] {
            for deed in ["read", "write"] {
                all.insert(format!("crm.{area}.{}.{deed}", scope_name(&object_type)));
            }
        }
    }
    all.into_iter().collect()
}

/// Whether HubSpot has such a scope. Of the areas that are not imitated the
/// first word alone is known.
pub(crate) fn exists(scope: &str) -> bool {
    let levels = [".sensitive", ".highly_sensitive", ".sensitive.v2", ".highly_sensitive.v2"];
    let plain = levels.iter().find_map(|level| scope.strip_suffix(level)).unwrap_or(scope);
    let told = scope.starts_with("crm.objects.") || scope.starts_with("crm.schemas.");
    match told {
        true => {
            let object = plain.split('.').nth(2).unwrap_or_default();
            let deed = plain.ends_with(".read") || plain.ends_with(".write");
            all().iter().any(|known| known == plain) || (deed && ELSEWHERE.contains(&object))
        }
        false => {
            let area = scope.split(['.', '-', '_']).next().unwrap_or_default();
            PLAIN.contains(&scope) || AREAS.contains(&area)
        }
    }
}

/// Objects with scopes whose records the emulator does not have, or has under
/// another name.
const ELSEWHERE: [&str; 20] = [
    "appointments",
    "carts",
    "commercepayments",
    "courses",
    "feedback_submissions",
    "forecasts",
    "goals",
    "invoices",
    "leads",
    "listings",
    "marketing_events",
    "orders",
    "partner-clients",
    "partner-services",
    "products",
    "projects",
    "quotes",
    "services",
    "subscriptions",
    "users",
];

/// The first words of scopes.
const AREAS: [&str; 38] = [
    "account",
    "accounting",
    "actions",
    "analytics",
    "automation",
    "behavioral",
    "business",
    "cms",
    "collector",
    "commerce",
    "communication",
    "contacts",
    "content",
    "conversations",
    "crm",
    "ctas",
    "developers",
    "developer",
    "external",
    "files",
    "forms",
    "hubdb",
    "integration",
    "integrations",
    "marketing",
    "media",
    "oauth",
    "payment",
    "record",
    "sales",
    "scheduler",
    "settings",
    "social",
    "tax",
    "tickets",
    "timeline",
    "transactional",
    "webhooks",
];

/// What one call needs.
#[derive(Debug, PartialEq, Eq)]
struct Need {
    /// One of these is enough.
    any_of: Vec<String>,
    /// HubSpot's own name of the permission, `contacts-read`.
    inner_name: String,
}

impl Need {
    fn plain(scope: &str) -> Self {
        let inner_name = scope.rsplit_once('.').map_or(scope.to_owned(), |(area, deed)| {
            format!("{}-{deed}", area.rsplit('.').next().unwrap_or(area))
        });
        Self { any_of: vec![scope.to_owned()], inner_name }
    }

    fn is_met(&self, scopes: &BTreeSet<String>) -> bool {
        self.any_of.iter().any(|scope| scopes.contains(scope))
    }
}

/// A call that a token may not make.
#[derive(Debug)]
pub(crate) struct Forbidden {
    pub(crate) refusal: Refusal,
    /// Whether the call is counted all the same, and told so (observed of the
    /// properties API).
    pub(crate) counted: bool,
}

/// What is wrong with a call under these scopes; none if it may be made.
pub(crate) fn forbidden(
    account: &Account,
    label: &str,
    call: &Call,
    scopes: &BTreeSet<String>,
) -> Option<Forbidden> {
    let (area, deed) = label.split_once('.').unwrap_or((label, ""));
    let asks = matches!(call.method.as_str(), "GET" | "HEAD");
    let reads = asks || deed.contains("search") || deed.ends_with("read");
    let deed = if reads { "read" } else { "write" };
    let type_at = |at: usize| account.type_at(call.name(at));
    match area {
        "objects" => {
            let needs = object_needs(account, call, type_at(0)?, deed);
            needs.iter().find(|need| !need.is_met(scopes)).map(by_objects_api)
        }
        "associations" => {
            // `objects/{from}/{id}/associations/{to}…`, or both at once.
            let other = if call.path.contains("/objects/") { 2 } else { 1 };
            let both = [type_at(0), type_at(other)];
            let mut needs = both.into_iter().flatten().map(|at| of_object(account, at, deed));
            needs.find(|need| !need.is_met(scopes)).as_ref().map(by_objects_api)
        }
        "properties" => {
            let need = of_schema(account, type_at(0)?, deed);
            (!need.is_met(scopes)).then(|| by_properties_api(account, type_at(0), deed, &need))
        }
        "schemas" => {
            let need = match type_at(0) {
                Some(at) => of_schema(account, at, deed),
                None => custom_schema(deed),
            };
            (!need.is_met(scopes)).then(|| by_schemas_api(&need))
        }
        "pipelines" => {
            let at = type_at(0)?;
            let mut need = of_schema(account, at, deed);
            if reads {
                need.any_of.extend(of_object(account, at, deed).any_of);
            }
            (!need.is_met(scopes)).then(|| by_objects_api(&need))
        }
        _ => {
            let scope = match area {
                "lists" => format!("crm.lists.{deed}"),
                "owners" => "crm.objects.owners.read".to_owned(),
                "imports" => "crm.import".to_owned(),
                "exports" => "crm.export".to_owned(),
                "account" => "oauth".to_owned(),
                _ => return None,
            };
            let need = Need::plain(&scope);
            (!need.is_met(scopes)).then(|| by_objects_api(&need))
        }
    }
}

fn object_needs(account: &Account, call: &Call, at: TypeAt, deed: &str) -> Vec<Need> {
    let mut needs = vec![of_object(account, at, deed)];
    if deed == "write" {
        let others = linked_types(account, call, at);
        needs.extend(others.into_iter().map(|other| of_object(account, other, deed)));
        return needs;
    }
    // Associations need both sides, asked for in passing or not.
    let others = call.query_list("associations");
    let others = others.iter().filter_map(|name| account.type_at(name));
    needs.extend(others.map(|other| of_object(account, other, deed)));
    if account.tables[at].object_type.plural == "emails" && asks_for_bodies(call) {
        needs.push(Need::plain("sales-email-read"));
    }
    needs
}

/// The types to whose records a create associates what it makes.
fn linked_types(account: &Account, call: &Call, at: TypeAt) -> BTreeSet<TypeAt> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        associations: Vec<Link>,
        inputs: Vec<Input>,
    }
    #[derive(Deserialize)]
    struct Input {
        #[serde(default)]
        associations: Vec<Link>,
    }
    #[derive(Deserialize)]
    struct Link {
        types: Vec<Kind>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        association_type_id: u32,
    }
    // What cannot be read links nothing: the endpoint will refuse it.
    let body: Body = serde_json::from_slice(&call.body).unwrap_or_default();
    let inner = body.inputs.into_iter().flat_map(|input| input.associations);
    let kinds = body.associations.into_iter().chain(inner).flat_map(|link| link.types);
    let of_kind = |kind: Kind| {
        let mut types = 0..account.tables.len();
        types.find(|to| account.associations.kind(at, *to, kind.association_type_id).is_some())
    };
    kinds.filter_map(of_kind).collect()
}

/// Whether a read names properties that tell what an e-mail says.
fn asks_for_bodies(call: &Call) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Asked {
        properties: Vec<String>,
    }
    let mut asked = call.query_list("properties");
    asked.extend(serde_json::from_slice::<Asked>(&call.body).unwrap_or_default().properties);
    asked.iter().any(|name| EMAIL_BODIES.contains(&name.as_str()))
}

fn of_object(account: &Account, at: TypeAt, deed: &str) -> Need {
    let object_type = &account.tables[at].object_type;
    let name = scope_name(object_type);
    let mut any_of = vec![format!("crm.objects.{name}.{deed}")];
    if SENSITIVE.contains(&name) {
        any_of.push(format!("crm.objects.{name}.sensitive.{deed}.v2"));
        any_of.push(format!("crm.objects.{name}.highly_sensitive.{deed}.v2"));
    }
    match name {
        "tickets" => any_of.push("tickets".to_owned()),
        "line_items" | "products" | "quotes" => any_of.push("e-commerce".to_owned()),
        _ => {}
    }
    Need { any_of, inner_name: inner_name(name, deed) }
}

fn of_schema(account: &Account, at: TypeAt, deed: &str) -> Need {
    let name = scope_name(&account.tables[at].object_type);
    match name {
        "custom" => custom_schema(deed),
        _ => Need {
            any_of: vec![format!("crm.schemas.{name}.{deed}")],
            inner_name: inner_name(name, deed),
        },
    }
}

fn custom_schema(deed: &str) -> Need {
    Need {
        any_of: vec![format!("crm.schemas.custom.{deed}")],
        inner_name: inner_name("custom", deed),
    }
}

fn inner_name(name: &str, deed: &str) -> String {
    let name = if name == "custom" { "custom-object" } else { name };
    format!("{name}-{deed}")
}

/// What scopes call a type.
fn scope_name(object_type: &ObjectType) -> &str {
    if object_type.custom.is_some() {
        return "custom";
    }
    match object_type.plural.as_str() {
        "calls" | "meetings" | "notes" | "tasks" | "communications" | "postal_mail" | "emails" => {
            "contacts"
        }
        "discounts" | "fees" | "taxes" => "line_items",
        "goal_targets" => "goals",
        "commerce_payments" => "commercepayments",
        plural => plural,
    }
}

const ADVICE: &str = "https://developers.hubspot.com/scopes";

fn by_objects_api(need: &Need) -> Forbidden {
    let context = json!({
        "requiredScopes": [need.inner_name],
        "requiredGranularScopes": need.any_of,
    });
    Forbidden { refusal: Refusal::scopes_missing(&context), counted: false }
}

fn by_schemas_api(need: &Need) -> Forbidden {
    let refusal = Refusal::new(403, "One or more of the following scopes are required.")
        .context("requiredGranularScopes", [need.inner_name.clone()])
        .context("links", [ADVICE])
        .category("MISSING_SCOPES");
    Forbidden { refusal, counted: false }
}

fn by_properties_api(account: &Account, at: Option<TypeAt>, deed: &str, need: &Need) -> Forbidden {
    let object_type = at.map(|at| &account.tables[at].object_type);
    let shown = match object_type {
        Some(of) if of.custom.is_some() => match of.type_id.split_once('-') {
            Some((meta, inner)) => format!("metaTypeId={meta}, innerId={inner}"),
            None => of.type_id.clone(),
        },
        Some(of) => format!("legacyObjectType={}", of.shouted()),
        None => String::new(),
    };
    // Observed of reading; the word for writing is a guess.
    let verb = if deed == "read" { "view" } else { "edit" };
    let refusal = Refusal::new(
        403,
        format!(
            "You do not have permissions to {verb} object type ObjectTypeId{{{shown}}} in portal \
             {} (requires one of [{}])",
            account.portal_id, need.inner_name
        ),
    );
    Forbidden { refusal, counted: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_there_is_is_listed() {
        let all = all();
        for scope in ["oauth", "crm.objects.deals.write", "crm.schemas.contacts.read"] {
            assert!(all.iter().any(|one| one == scope), "{scope}");
        }
        assert!(all.is_sorted());
    }

    #[test]
    fn inner_names() {
        for (scope, inner) in [
            ("crm.lists.read", "lists-read"),
            ("crm.objects.owners.read", "owners-read"),
            ("crm.import", "crm-import"),
            ("oauth", "oauth"),
        ] {
            assert_eq!(Need::plain(scope).inner_name, inner);
        }
    }
}
