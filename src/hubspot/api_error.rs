use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::wire::{context_of, text_field};
use crate::objects::RecordId;

/// What stands before the JSON of refused values in a validation message.
const REFUSED_VALUES: &str = "Property values were not valid: ";
/// What stands before the id in a conflict's message.
const EXISTING_ID: &str = "Existing ID: ";
/// What stands after the holder's id when a unique value is taken.
const HOLDER: &str = " already has that value";
/// What stands before the scopes in a message of the properties API.
const ONE_OF: &str = "requires one of [";

/// Refusals named in an error's text; the rest are in the reject tables.
const MOST_SHOWN: usize = 5;

/// What HubSpot said when it refused a whole call.
///
/// Every field but the status is optional on the wire. `message` and the
/// messages inside can quote property values, so `Debug` leaves them out:
/// read them for reject tables, never for logs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// `VALIDATION_ERROR`, `CONFLICT`, …; for 429 the `errorType`.
    pub category: Option<String>,
    /// `Properties.PROPERTY_WITH_NAME_EXISTS`, …
    pub sub_category: Option<String>,
    /// The human text; may quote values. Empty when there was none.
    pub message: String,
    /// `TEN_SECONDLY_ROLLING`, `SECONDLY` or `DAILY` on a 429.
    pub policy_name: Option<String>,
    /// What the error is about, such as `ids`; may quote values.
    pub context: BTreeMap<String, Vec<String>>,
    /// The details, one per finding.
    pub errors: Vec<ApiErrorDetail>,
    /// The property values that were refused, from `errors` and from the
    /// JSON inside the message, each (property, code) once.
    pub refusals: Vec<PropertyRefusal>,
    /// The id to quote to HubSpot's support.
    pub correlation_id: Option<String>,
}

/// One finding within an [`ApiError`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ApiErrorDetail {
    /// The human text; may quote values.
    pub message: String,
    /// `PROPERTY_DOESNT_EXIST`, …
    pub code: Option<String>,
    /// A finer category.
    pub sub_category: Option<String>,
    /// What the finding is about, such as `propertyName`.
    pub context: BTreeMap<String, Vec<String>>,
}

/// One entry of `errors` in a batch reply: some inputs that failed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BatchError {
    /// `VALIDATION_ERROR`, `CONFLICT`, `OBJECT_NOT_FOUND`, …
    pub category: Option<String>,
    /// `crm.associations.NO_ASSOCIATIONS_FOUND`, …
    pub sub_category: Option<String>,
    /// The human text; may quote values.
    pub message: String,
    /// What failed: `objectWriteTraceId`, `ids`, `existingId`, …
    pub context: BTreeMap<String, Vec<String>>,
    /// The property values that were refused, each (property, code) once.
    pub refusals: Vec<PropertyRefusal>,
}

/// A property value that HubSpot would not take.
#[derive(Clone, PartialEq, Eq)]
pub struct PropertyRefusal {
    /// The property's internal name.
    pub property: String,
    /// `INVALID_OPTION`, `PROPERTY_DOESNT_EXIST`, …
    pub code: String,
    /// The human text; may quote the value.
    pub message: String,
}

impl BatchError {
    /// The trace ids of the inputs that failed.
    pub fn trace_ids(&self) -> &[String] {
        self.context.get("objectWriteTraceId").map_or(&[], Vec::as_slice)
    }

    /// The record ids (or keys) that failed.
    pub fn ids(&self) -> &[String] {
        self.context.get("ids").map_or(&[], Vec::as_slice)
    }

    /// On a CONFLICT, the record that already holds the key.
    pub fn existing_id(&self) -> Option<RecordId> {
        existing_id(&self.context, &self.message)
    }

    /// Reads one entry of `errors`; anything that is no object counts as its
    /// message.
    pub(super) fn from_wire(entry: &Value) -> Self {
        let Value::Object(fields) = entry else {
            return Self {
                message: super::wire::text_of(entry).unwrap_or_default(),
                ..Self::default()
            };
        };
        let message = text_field(fields, "message").unwrap_or_default();
        let refusals = refusals(&details(fields), &message);
        Self {
            category: text_field(fields, "category"),
            sub_category: text_field(fields, "subCategory"),
            context: context_of(fields),
            message,
            refusals,
        }
    }

    /// Whether it is about records that were archived, merged or never there.
    pub(super) fn is_not_found(&self) -> bool {
        self.category.as_deref() == Some("OBJECT_NOT_FOUND")
    }

    /// The entry as the refusal of a whole call.
    pub(super) fn into_api_error(self, status: u16) -> ApiError {
        ApiError {
            status,
            category: self.category,
            sub_category: self.sub_category,
            message: self.message,
            context: self.context,
            refusals: self.refusals,
            ..ApiError::default()
        }
    }
}

impl ApiError {
    /// Reads an error body of any shape seen: HubSpot's own, those of 429 and
    /// OAuth, errors as plain strings, a gateway's HTML, nothing at all.
    pub(super) fn parse(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Self::from_fields(status, &fields),
            _ => Self { status, message: html_title(body).unwrap_or_default(), ..Self::default() },
        }
    }

    fn from_fields(status: u16, fields: &Map<String, Value>) -> Self {
        let first = |names: [&str; 2]| names.iter().find_map(|name| text_field(fields, name));
        let message = first(["message", "error_description"]).unwrap_or_default();
        let errors = details(fields);
        Self {
            status,
            category: first(["category", "errorType"]).or_else(|| text_field(fields, "error")),
            sub_category: text_field(fields, "subCategory"),
            policy_name: text_field(fields, "policyName"),
            context: context_of(fields),
            refusals: refusals(&errors, &message),
            correlation_id: text_field(fields, "correlationId"),
            message,
            errors,
        }
    }

    /// On a 409 or a unique clash, the record that already holds the key.
    pub fn existing_id(&self) -> Option<RecordId> {
        existing_id(&self.context, &self.message)
    }

    /// Whether this is the 429 of the day's limit, which no wait of ours ends.
    pub(super) fn is_daily_limit(&self) -> bool {
        self.status == 429
            && (self.policy_name.as_deref() == Some("DAILY")
                || self.message.to_ascii_lowercase().contains("daily limit"))
    }

    /// The scopes a 403 asks for, any one of which is enough; empty when it
    /// names none (the account's tier lacks the feature).
    pub fn scopes(&self) -> Vec<String> {
        let contexts = || self.errors.iter().map(|detail| &detail.context).chain([&self.context]);
        for key in ["requiredGranularScopes", "requiredScopes"] {
            let mut scopes: Vec<String> = Vec::new();
            for scope in contexts().filter_map(|context| context.get(key)).flatten() {
                if !scopes.contains(scope) {
                    scopes.push(scope.clone());
                }
            }
            if !scopes.is_empty() {
                return scopes;
            }
        }
        scopes_in_text(&self.message)
    }
}

/// The `errors` of a body: objects, or plain strings where the lists API
/// validates.
fn details(fields: &Map<String, Value>) -> Vec<ApiErrorDetail> {
    let Some(Value::Array(errors)) = fields.get("errors") else { return Vec::new() };
    errors
        .iter()
        .map(|error| match error {
            Value::Object(fields) => ApiErrorDetail {
                message: text_field(fields, "message").unwrap_or_default(),
                code: text_field(fields, "code"),
                sub_category: text_field(fields, "subCategory"),
                context: context_of(fields),
            },
            text => ApiErrorDetail {
                message: super::wire::text_of(text).unwrap_or_default(),
                ..ApiErrorDetail::default()
            },
        })
        .collect()
}

/// The refused values named by the details and by the JSON in the message.
/// HubSpot removes repeats differently in the two, so neither is complete.
fn refusals(details: &[ApiErrorDetail], message: &str) -> Vec<PropertyRefusal> {
    let mut all: Vec<PropertyRefusal> = Vec::new();
    let mut add = |refusal: PropertyRefusal| {
        let known =
            all.iter().any(|one| one.property == refusal.property && one.code == refusal.code);
        if !known {
            all.push(refusal);
        }
    };
    for detail in details {
        let Some(code) = &detail.code else { continue };
        for property in detail.context.get("propertyName").into_iter().flatten() {
            add(PropertyRefusal {
                property: property.clone(),
                code: code.clone(),
                message: detail.message.clone(),
            });
        }
    }
    refusals_in_text(message).into_iter().for_each(&mut add);
    all
}

/// The items of `Property values were not valid: [JSON]`.
fn refusals_in_text(message: &str) -> Vec<PropertyRefusal> {
    let Some((_, json)) = message.split_once(REFUSED_VALUES) else { return Vec::new() };
    let items =
        serde_json::Deserializer::from_str(json).into_iter::<Vec<Map<String, Value>>>().next();
    let Some(Ok(items)) = items else { return Vec::new() };
    let refusal = |item: &Map<String, Value>| {
        Some(PropertyRefusal {
            property: text_field(item, "name")?,
            code: text_field(item, "error")?,
            message: text_field(item, "message").unwrap_or_default(),
        })
    };
    items.iter().filter_map(refusal).collect()
}

fn existing_id(context: &BTreeMap<String, Vec<String>>, message: &str) -> Option<RecordId> {
    let named = context.get("existingId").into_iter().flatten().find_map(|id| id.parse().ok());
    named.or_else(|| id_after(message, EXISTING_ID)).or_else(|| id_before(message, HOLDER))
}

fn id_after(text: &str, mark: &str) -> Option<RecordId> {
    let (_, rest) = text.split_once(mark)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn id_before(text: &str, mark: &str) -> Option<RecordId> {
    let (rest, _) = text.split_once(mark)?;
    rest.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The scopes of `… (requires one of [contacts-read])`.
fn scopes_in_text(message: &str) -> Vec<String> {
    let Some((_, rest)) = message.split_once(ONE_OF) else { return Vec::new() };
    let list = rest.split(']').next().unwrap_or_default();
    list.split(',').map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

/// The title of a gateway's page, such as `414 Request-URI Too Large`.
fn html_title(body: &[u8]) -> Option<String> {
    let page = String::from_utf8_lossy(body);
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let end = start + lower[start..].find("</title>")?;
    Some(page[start..end].trim().to_owned())
}

/// A word that can be shown: category, code, property name or id. HubSpot
/// writes them; anything that is no plain identifier might be a value.
pub(super) fn shown(word: &str) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (!word.is_empty() && word.len() <= 100 && word.bytes().all(plain)).then_some(word)
}

/// Status, category, codes, scopes, property names and the correlation id: all
/// that may stand in a log.
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for word in [&self.category, &self.sub_category, &self.policy_name].into_iter().flatten() {
            if let Some(word) = shown(word) {
                write!(f, " {word}")?;
            }
        }
        let names = |refusal: &PropertyRefusal| {
            shown(&refusal.property).is_some() && shown(&refusal.code).is_some()
        };
        for (i, refusal) in
            self.refusals.iter().filter(|one| names(one)).take(MOST_SHOWN).enumerate()
        {
            let start = if i == 0 { ":" } else { "," };
            write!(f, "{start} `{}` {}", refusal.property, refusal.code)?;
        }
        let scopes = self.scopes();
        let scopes: Vec<_> = scopes.iter().filter_map(|scope| shown(scope)).collect();
        if self.status == 403 && !scopes.is_empty() {
            write!(f, ": one of the scopes `{}` is required", scopes.join("`, `"))?;
        }
        if let Some(id) = self.correlation_id.as_deref().and_then(shown) {
            write!(f, " (correlation id `{id}`)")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("status", &self.status)
            .field("category", &self.category)
            .field("sub_category", &self.sub_category)
            .field("policy_name", &self.policy_name)
            .field("refusals", &self.refusals)
            .field("correlation_id", &self.correlation_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ApiErrorDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiErrorDetail")
            .field("code", &self.code)
            .field("sub_category", &self.sub_category)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchError")
            .field("category", &self.category)
            .field("sub_category", &self.sub_category)
            .field("trace_ids", &self.trace_ids())
            .field("refusals", &self.refusals)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PropertyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.property, self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(status: u16, body: &str) -> ApiError {
        ApiError::parse(status, body.as_bytes())
    }

    #[test]
    fn missing_scopes_are_named_in_every_shape() {
        let objects = r#"{"status":"error","message":"This app hasn't been granted all required scopes to make this call. Read more about required scopes here: https://developers.hubspot.com/scopes.",
            "correlationId":"c","errors":[{"message":"One or more of the following scopes are required.",
            "context":{"requiredScopes":["contacts"],"requiredGranularScopes":["crm.schemas.deals.read","crm.objects.deals.read"]}}],
            "links":{"scopes":"https://developers.hubspot.com/scopes"},"category":"MISSING_SCOPES"}"#;
        assert_eq!(
            parse(403, objects).scopes(),
            ["crm.schemas.deals.read", "crm.objects.deals.read"]
        );
        let words = parse(403, objects).to_string();
        assert!(words.contains("`crm.schemas.deals.read`, `crm.objects.deals.read`"), "{words}");
        let old = r#"{"category":"MISSING_SCOPES","errors":[{"message":"m","context":{"requiredScopes":["contacts"]}}]}"#;
        assert_eq!(parse(403, old).scopes(), ["contacts"]);
        let schemas = r#"{"status":"error","category":"MISSING_SCOPES","context":{"requiredGranularScopes":["crm.schemas.custom.read"],"links":{"scopes":"url"}}}"#;
        assert_eq!(parse(403, schemas).scopes(), ["crm.schemas.custom.read"]);
        let properties = r#"{"status":"error","message":"You do not have permissions to view object type ObjectTypeId{legacyObjectType=CONTACT} in portal 1 (requires one of [contacts-read, other])","correlationId":"c"}"#;
        assert_eq!(parse(403, properties).scopes(), ["contacts-read", "other"]);
        let tier = r#"{"status":"error","message":"The account is not entitled to this","correlationId":"c"}"#;
        assert!(parse(403, tier).scopes().is_empty());
    }

    #[test]
    fn refusals_come_from_details_and_from_the_text_once_each() {
        let body = r#"{"status":"error",
            "message":"Property values were not valid: [{\"isValid\":false,\"message\":\"Property \\\"a\\\" does not exist\",\"error\":\"PROPERTY_DOESNT_EXIST\",\"name\":\"a\",\"localizedErrorMessage\":\"x\",\"portalId\":123},{\"isValid\":false,\"message\":\"Email address jane@ is invalid\",\"error\":\"INVALID_EMAIL\",\"name\":\"email\",\"propertyValue\":\"jane@\"}]",
            "correlationId":"abc-1",
            "errors":[{"message":"Property \"a\" does not exist","code":"PROPERTY_DOESNT_EXIST","context":{"propertyName":["a"]}}],
            "category":"VALIDATION_ERROR"}"#;
        let error = parse(400, body);
        let pairs: Vec<_> =
            error.refusals.iter().map(|r| (r.property.as_str(), r.code.as_str())).collect();
        assert_eq!(pairs, [("a", "PROPERTY_DOESNT_EXIST"), ("email", "INVALID_EMAIL")]);
        assert_eq!(error.refusals[1].message, "Email address jane@ is invalid");
        let (shown, debug) = (error.to_string(), format!("{error:?}"));
        assert_eq!(
            shown,
            "400 VALIDATION_ERROR: `a` PROPERTY_DOESNT_EXIST, `email` INVALID_EMAIL (correlation id `abc-1`)"
        );
        assert!(!debug.contains("jane"), "{debug}");
    }

    #[test]
    fn codes_inside_a_207_are_read_from_the_text_alone() {
        let entry = serde_json::json!({"status":"error","category":"VALIDATION_ERROR",
            "message":"Property values were not valid: [{\"isValid\":false,\"message\":\"m\",\"error\":\"PROPERTY_DOESNT_EXIST\",\"name\":\"missing\",\"portalId\":891936587}]",
            "context":{"objectWriteTraceId":["549b1c2a9351"]}});
        let error = BatchError::from_wire(&entry);
        assert_eq!(error.trace_ids(), ["549b1c2a9351"]);
        assert_eq!(error.refusals[0].property, "missing");
        assert_eq!(error.refusals[0].code, "PROPERTY_DOESNT_EXIST");
    }

    #[test]
    fn the_holder_of_a_key_is_found_in_every_form() {
        let conflict = serde_json::json!({"category":"CONFLICT","message":"Contact already exists",
            "context":{"existingId":["51"],"objectWriteTraceId":["t"]}});
        assert_eq!(BatchError::from_wire(&conflict).existing_id(), Some(RecordId(51)));
        let single = parse(
            409,
            r#"{"status":"error","message":"Contact already exists. Existing ID: 51","category":"CONFLICT"}"#,
        );
        assert_eq!(single.existing_id(), Some(RecordId(51)));
        let clash = parse(
            400,
            r#"{"category":"VALIDATION_ERROR","message":"Cannot set PropertyValueCoordinates{portalId=123, objectTypeId=ObjectTypeId{legacyObjectType=CONTACT}, propertyName=email, value=a@b.co} on 552148386511. 552239500007 already has that value."}"#,
        );
        assert_eq!(clash.existing_id(), Some(RecordId(552_239_500_007)));
        assert!(!clash.to_string().contains("a@b.co"), "{clash}");
        assert_eq!(parse(409, r#"{"message":"Contact already exists"}"#).existing_id(), None);
    }

    #[test]
    fn odd_shapes_are_read_without_complaint() {
        let plain = parse(
            400,
            r#"{"message":"validation error","errors":["The request body may not be null"]}"#,
        );
        assert_eq!(plain.errors[0].message, "The request body may not be null");
        assert_eq!(plain.category, None);
        let html = parse(414, "<html><head><title>414 Request-URI Too Large</title></head></html>");
        assert_eq!(html.message, "414 Request-URI Too Large");
        assert_eq!(html.to_string(), "414");
        assert_eq!(parse(502, "").message, "");
        assert_eq!(parse(500, "[1]").status, 500);
        let uninferred = parse(
            400,
            r#"{"status":"error","message":"Unable to infer object type from: butterflies","correlationId":"c"}"#,
        );
        assert_eq!(uninferred.correlation_id.as_deref(), Some("c"));
        let oauth = parse(
            400,
            r#"{"error":"invalid_grant","error_description":"expired","status":"BAD_REFRESH_TOKEN","message":"m"}"#,
        );
        assert_eq!(oauth.category.as_deref(), Some("invalid_grant"));
        let untyped = BatchError::from_wire(
            &serde_json::json!({"subCategory":{"a":1},"context":{"ids":"7"}}),
        );
        assert_eq!(untyped.sub_category.as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(untyped.ids(), ["7"]);
    }

    #[test]
    fn only_the_daily_429_is_daily() {
        let daily = r#"{"status":"error","message":"You have reached your daily limit.","errorType":"RATE_LIMIT","policyName":"DAILY"}"#;
        assert!(parse(429, daily).is_daily_limit());
        let burst = r#"{"status":"error","message":"You have reached your ten_secondly_rolling limit.","errorType":"RATE_LIMIT","correlationId":"c","policyName":"TEN_SECONDLY_ROLLING","groupName":"g"}"#;
        assert!(!parse(429, burst).is_daily_limit());
        assert_eq!(parse(429, burst).category.as_deref(), Some("RATE_LIMIT"));
        let search = r#"{"status":"error","message":"You have reached your secondly limit.","category":"RATE_LIMITS"}"#;
        assert!(!parse(429, search).is_daily_limit());
    }

    #[test]
    fn what_is_no_plain_word_is_not_shown() {
        let error = ApiError {
            status: 400,
            category: Some("jane@example.com is bad".into()),
            correlation_id: Some("0197-ab".into()),
            ..ApiError::default()
        };
        assert_eq!(error.to_string(), "400 (correlation id `0197-ab`)");
    }
}
