//! Every refusal, in the words and shapes that recorded answers show.

use serde_json::{Map, Value, json};

/// A call that is not served.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) body: Body,
    /// Headers beside the usual ones.
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// The body of a refusal.
#[derive(Debug)]
pub(crate) enum Body {
    /// The fields after `status`, `message` and `correlationId`.
    Json {
        message: String,
        fields: Map<String, Value>,
    },
    Html(String),
    /// Any other text.
    Text(String),
    /// JSON as it stands.
    Verbatim(String),
}

/// What a handler returns when it does not serve.
pub(crate) type Refused = Box<Refusal>;

impl Refusal {
    /// A refusal with a message and nothing else.
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        let body = Body::Json { message: message.into(), fields: Map::new() };
        Self { status, body, headers: Vec::new() }
    }

    /// 400 `VALIDATION_ERROR`.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, message).category("VALIDATION_ERROR")
    }

    /// 404 as the objects API answers it: HTML unless JSON was asked for, and
    /// without a category.
    pub(crate) fn not_found(json_wanted: bool) -> Self {
        let mut refusal = Self::new(404, "resource not found");
        if !json_wanted {
            refusal.body = Body::Html(NOT_FOUND.to_owned());
        }
        refusal.headers.push(("X-HubSpot-NotFound", "true".to_owned()));
        refusal
    }

    /// 404 `OBJECT_NOT_FOUND` with a message, as most other APIs answer.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(404, message).category("OBJECT_NOT_FOUND")
    }

    /// 400 for a type no path knows.
    pub(crate) fn unknown_type(name: &str) -> Self {
        Self::new(400, format!("Unable to infer object type from: {name}"))
    }

    /// 401 for a call without a usable token.
    pub(crate) fn no_credentials() -> Self {
        let message = "Authentication credentials not found. This API supports OAuth 2.0 \
                       authentication and you can find more details at \
                       https://developers.hubspot.com/docs/methods/auth/oauth-overview";
        let mut refusal = Self::new(401, message).category("INVALID_AUTHENTICATION");
        refusal.headers.push(("X-HubSpot-Auth-Failure", "401 Unauthorized".to_owned()));
        refusal
    }

    /// 401 for a token that is not, or no longer, valid.
    pub(crate) fn expired(message: String, expired_at: String) -> Self {
        let mut refusal = Self::new(401, message).category("EXPIRED_AUTHENTICATION");
        refusal = refusal.context("expire time", [expired_at]);
        refusal.headers.push(("X-HubSpot-Auth-Failure", "401 Unauthorized".to_owned()));
        refusal
    }

    /// 403 for an object the token has no scope for.
    pub(crate) fn missing_scopes(scopes: &[String]) -> Self {
        Self::scopes_missing(&json!({"requiredGranularScopes": scopes}))
    }

    /// The same with more than scopes in its context.
    pub(crate) fn scopes_missing(context: &Value) -> Self {
        let message = "This app hasn't been granted all required scopes to make this call. Read \
                       more about required scopes here: https://developers.hubspot.com/scopes.";
        let detail = json!({
            "message": "One or more of the following scopes are required.",
            "context": context,
        });
        Self::new(403, message)
            .field("errors", json!([detail]))
            .field("links", json!({"scopes": "https://developers.hubspot.com/scopes"}))
            .category("MISSING_SCOPES")
    }

    /// 403 for an object that the account's subscription lacks: told from a
    /// missing scope by its message alone (section 2 of the API reference).
    pub(crate) fn not_subscribed(plural: &str) -> Self {
        let message = format!(
            "Your account does not have access to {plural}. This call requires a subscription \
             that includes it."
        );
        Self::new(403, message).category("MISSING_SCOPES")
    }

    /// 414, which a gateway answers and not the API: HTML.
    pub(crate) fn url_too_long() -> Self {
        Self { status: 414, body: Body::Html(TOO_LONG.to_owned()), headers: Vec::new() }
    }

    /// A gateway's answer: HTML that tells the status and nothing else.
    pub(crate) fn gateway(status: u16) -> Self {
        let title = format!("{status} {}", gateway_words(status));
        let title = title.trim_end();
        let text = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
             <center><h1>{title}</h1></center>\r\n<hr><center>cloudflare</center>\r\n\
             </body>\r\n</html>\r\n"
        );
        Self { status, body: Body::Html(text), headers: Vec::new() }
    }

    /// What a status usually comes with, for faults that name nothing else.
    /// The bodies of 423 and 477 are not published; theirs is the plain shape.
    pub(crate) fn usual(status: u16) -> Self {
        match status {
            401 => Self::expired(
                "The OAuth token used to make this call expired 9 minute(s) ago.".to_owned(),
                "2025-01-01T00:00:00.000Z".to_owned(),
            ),
            414 => Self::url_too_long(),
            423 => Self::new(status, "The records are locked by other writes"),
            429 => Self::new(status, "You have reached your ten_secondly_rolling limit.")
                .field("errorType", "RATE_LIMIT".into())
                .field("policyName", "TEN_SECONDLY_ROLLING".into()),
            // The one status whose `Retry-After`, in seconds, is documented.
            477 => {
                let mut refusal = Self::new(status, "The account is being moved");
                refusal.headers.push(("Retry-After", "60".to_owned()));
                refusal
            }
            500 => Self::new(status, "internal error"),
            413 | 501.. => Self::gateway(status),
            _ => Self::new(status, format!("Refused with {status}")),
        }
    }

    /// A body that somebody else wrote, as it stands: a text as itself,
    /// anything else as JSON.
    pub(crate) fn verbatim(status: u16, body: &Value) -> Self {
        let body = match body {
            Value::String(text) if text_kind(text) == HTML => Body::Html(text.clone()),
            Value::String(text) => Body::Text(text.clone()),
            body => Body::Verbatim(body.to_string()),
        };
        Self { status, body, headers: Vec::new() }
    }

    /// Whether it comes from before the counting of calls, and so tells
    /// nothing of limits: observed of 401, 429 and missing scopes.
    pub(crate) fn is_uncounted(&self) -> bool {
        let missing_scopes = match &self.body {
            Body::Json { fields, .. } => fields.get("category") == Some(&json!("MISSING_SCOPES")),
            Body::Html(_) | Body::Text(_) | Body::Verbatim(_) => false,
        };
        matches!(self.status, 401 | 429) || missing_scopes
    }

    /// The message; empty for what is not JSON.
    pub(crate) fn message(&self) -> &str {
        match &self.body {
            Body::Json { message, .. } => message,
            Body::Html(_) | Body::Text(_) | Body::Verbatim(_) => "",
        }
    }

    /// Sets `category`.
    pub(crate) fn category(self, category: &str) -> Self {
        self.field("category", json!(category))
    }

    /// Sets `subCategory`.
    pub(crate) fn sub_category(self, sub_category: &str) -> Self {
        self.field("subCategory", json!(sub_category))
    }

    /// Adds an entry to `context`.
    pub(crate) fn context<T: Into<String>>(
        mut self,
        key: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        if let Body::Json { fields, .. } = &mut self.body {
            let values: Vec<String> = values.into_iter().map(Into::into).collect();
            let context = fields.entry("context").or_insert_with(|| json!({}));
            context[key] = json!(values);
        }
        self
    }

    /// Sets any other field.
    pub(crate) fn field(mut self, key: &str, value: Value) -> Self {
        if let Body::Json { fields, .. } = &mut self.body {
            fields.insert(key.to_owned(), value);
        }
        self
    }

    /// The refusal as an entry of a 207's `errors`.
    pub(crate) fn into_entry(self, trace_id: Option<&str>) -> Value {
        let Body::Json { message, fields } = self.body else { return Value::Null };
        let mut entry = json!({"status": "error"});
        for key in ["category", "subCategory"] {
            if let Some(value) = fields.get(key) {
                entry[key] = value.clone();
            }
        }
        entry["message"] = json!(message);
        entry["context"] = fields.get("context").cloned().unwrap_or_else(|| json!({}));
        if let Some(trace_id) = trace_id {
            entry["context"]["objectWriteTraceId"] = json!([trace_id]);
        }
        entry
    }

    /// The bytes of the body and their content type.
    pub(crate) fn render(&self, correlation_id: &str) -> (Vec<u8>, &'static str) {
        match &self.body {
            Body::Html(text) => (text.clone().into_bytes(), HTML),
            Body::Text(text) => (text.clone().into_bytes(), TEXT),
            Body::Verbatim(text) => (text.clone().into_bytes(), JSON),
            Body::Json { message, fields } => {
                let mut body = json!({
                    "status": "error",
                    "message": message,
                    "correlationId": correlation_id,
                });
                for (key, value) in fields {
                    body[key] = value.clone();
                }
                (body.to_string().into_bytes(), JSON)
            }
        }
    }
}

/// The words that go with a gateway's status, Cloudflare's own included.
fn gateway_words(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        408 => "Request Time-out",
        413 => "Request Entity Too Large",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        520 => "Web server is returning an unknown error",
        521 => "Web server is down",
        522 => "Connection timed out",
        523 => "Origin is unreachable",
        524 => "A timeout occurred",
        525 => "SSL handshake failed",
        526 => "Invalid SSL certificate",
        530 => "Origin DNS error",
        _ => "",
    }
}

/// The content type of a page.
const HTML: &str = "text/html;charset=utf-8";

/// The content type of any other text.
const TEXT: &str = "text/plain;charset=utf-8";

/// The content type of a text that came without one. Nothing is what a broken
/// gateway sends: a page.
pub(crate) fn text_kind(text: &str) -> &'static str {
    if text.is_empty() || text.trim_start().starts_with('<') { HTML } else { TEXT }
}

/// The content type of every JSON answer; recorded without a space.
pub(crate) const JSON: &str = "application/json;charset=utf-8";

const NOT_FOUND: &str = "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=utf-8\"/>\n<title>Error 404 Not Found</title>\n</head>\n<body><h2>HTTP ERROR 404</h2>\n<p>Resource not found</p>\n</body>\n</html>\n";

const TOO_LONG: &str = "<html>\r\n<head><title>414 Request-URI Too Large</title></head>\r\n<body>\r\n<center><h1>414 Request-URI Too Large</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n";
