//! Tokens and consent: section 2 of the API reference.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::emulator::call::{Answer, Call, Reply};
use crate::emulator::errors::{Refusal, Refused};
use crate::emulator::oauth::{Denied, Form, Request, Unaskable, seconds};
use crate::emulator::paths::Edition;
use crate::emulator::seed::draw::salt;
use crate::emulator::shared::Shared;
use crate::emulator::tokens::{Known, TokenKind};

/// The parameter that the links of the consent page add.
const DECISION: &str = "_decision";

/// The account and the user who installs, as tokens tell of them.
struct Hub {
    hub_id: u64,
    user_id: u64,
    user: String,
    domain: String,
    now: i64,
}

impl Hub {
    fn of(shared: &Shared) -> Self {
        let account = shared.read();
        let owner = account.owners.first();
        let user = owner.map_or(String::new(), |owner| owner.email.clone());
        Self {
            hub_id: account.portal_id,
            user_id: owner.map_or(0, |owner| owner.user_id),
            domain: user.split_once('@').map_or("", |(_, domain)| domain).to_owned(),
            user,
            now: account.now(),
        }
    }
}

/// `GET /oauth/authorize`: asks, or carries out what was decided.
pub(super) fn authorize(shared: &Shared, call: &Call) -> Answer {
    let hub = Hub::of(shared);
    if call.names.first().is_some_and(|named| *named != hub.hub_id.to_string()) {
        return Ok(page(403, "No access", "<p>You do not have access to this account.</p>"));
    }
    let query = form(call.query.as_bytes());
    let mut tokens = shared.tokens();
    let request = match tokens.request(&query) {
        Ok(request) => request,
        Err(Unaskable::Shown(why)) => {
            let text = format!("<p>Couldn't complete the connection.</p><p>{}</p>", escaped(&why));
            return Ok(page(400, "No connection", &text));
        }
        Err(Unaskable::Told(error, why)) => return Ok(turned_away(&query, error, why)),
    };
    let decision = match query.get(DECISION).map(String::as_str) {
        None if tokens.rules.approve_at_once => "approve",
        None => "",
        Some(decision) => decision,
    };
    match decision {
        "approve" => {
            let redirect_uri = request.redirect_uri.clone();
            let code = tokens.approve(request, hub.now);
            Ok(redirect(&redirect_uri, &[("code", &code)], query.get("state")))
        }
        "deny" => Ok(turned_away(&query, "access_denied", "The user denied access to the app")),
        _ => Ok(consent(call, &request, &hub)),
    }
}

fn consent(call: &Call, request: &Request, hub: &Hub) -> Reply {
    let scopes = |scopes: &[String]| -> String {
        scopes.iter().map(|scope| format!("<li><code>{}</code></li>", escaped(scope))).collect()
    };
    let optional = match request.optional.is_empty() {
        true => String::new(),
        false => format!("<p>and, if you like:</p><ul>{}</ul>", scopes(&request.optional)),
    };
    let link = |decision: &str| {
        escaped(&format!("{}?{}&{DECISION}={decision}", call.path, call.query)).into_owned()
    };
    let body = format!(
        "<p><strong>{}</strong> asks to be connected to account <strong>{}</strong> \
         ({}, a stand-in) and to be allowed:</p><ul>{}</ul>{optional}\
         <p><a id=\"approve\" href=\"{}\">Connect app</a> \
         <a id=\"deny\" href=\"{}\">Cancel</a></p>",
        escaped(&request.app_name),
        hub.hub_id,
        escaped(&hub.domain),
        scopes(&request.required),
        link("approve"),
        link("deny"),
    );
    page(200, "Connect an app", &body)
}

fn page(status: u16, title: &str, body: &str) -> Reply {
    let text = format!(
        "<html><head><meta charset=\"utf-8\"><title>{title}</title>\
         </head><body><h1>{title}</h1>{body}</body></html>\n"
    );
    Reply { content_type: "text/html;charset=utf-8", ..Reply::raw(status, text) }
}

fn turned_away(query: &Form, error: &str, why: &str) -> Reply {
    let redirect_uri = query.get("redirect_uri").map_or("", String::as_str);
    let fields = [("error", error), ("error_description", why)];
    redirect(redirect_uri, &fields, query.get("state"))
}

/// Sends a person back to the app, whose address has been checked.
fn redirect(uri: &str, fields: &[(&str, &str)], state: Option<&String>) -> Reply {
    let Ok(mut url) = Url::parse(uri) else { return page(400, "No connection", "") };
    url.query_pairs_mut()
        .extend_pairs(fields)
        .extend_pairs(state.map(|state| ("state", state.as_str())));
    let text =
        Reply { content_type: "text/html;charset=utf-8", ..Reply::raw(302, "<html></html>") };
    text.with("Location", url.into())
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.into();
    }
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;").into()
}

fn form(bytes: &[u8]) -> Form {
    let mut form = Form::new();
    for (name, value) in url::form_urlencoded::parse(bytes) {
        form.entry(name.into_owned()).or_insert_with(|| value.into_owned());
    }
    form
}

fn is_v1(call: &Call) -> bool {
    call.path.starts_with("/oauth/v1/")
}

/// 400 of the OAuth endpoints. In v1 clients see no `error` beside the status.
fn refusal(denied: Denied, call: &Call) -> Refused {
    let description = match denied.status {
        "BAD_REFRESH_TOKEN" => "refresh token is invalid, expired or revoked",
        _ => denied.message,
    };
    let mut body = json!({
        "status": denied.status,
        "message": denied.message,
        "correlationId": call.correlation_id,
    });
    if !is_v1(call) {
        body["error"] = json!(denied.error);
        body["error_description"] = json!(description);
    }
    Refusal::verbatim(400, &body).into()
}

/// `POST /oauth/{version}/token`
pub(super) fn grant(shared: &Shared, call: &Call) -> Answer {
    let hub = Hub::of(shared);
    let mut fields = form(&call.body);
    if is_v1(call) {
        for (name, value) in form(call.query.as_bytes()) {
            fields.entry(name).or_insert(value);
        }
    }
    let issued = shared.tokens().grant(&fields, is_v1(call), hub.now);
    let issued = issued.map_err(|denied| refusal(denied, call))?;
    let mut body = json!({"token_type": "bearer", "access_token": issued.access_token});
    let for_account = issued.refresh_token.is_some();
    if let Some(refresh_token) = issued.refresh_token {
        body["refresh_token"] = json!(refresh_token);
    }
    body["expires_in"] = json!(issued.expires_in);
    if !is_v1(call) {
        if for_account {
            body["hub_id"] = json!(hub.hub_id);
            body["user_id"] = json!(hub.user_id);
        }
        body["scopes"] = json!(issued.scopes);
        body["token_use"] = json!("access_token");
    }
    Ok(Reply::json(200, &body))
}

/// The token of an introspection or revocation. v3 names the field by the
/// hint, 2026-09 always `token`; 2026-03 is seen with `token`, and takes both.
fn subject(call: &Call, fields: &Form) -> (String, String) {
    let hint = fields.get("token_type_hint").cloned().unwrap_or_default();
    let by_hint = || fields.get(&hint).filter(|_| hint.ends_with("_token"));
    let token = match call.edition {
        Edition::Legacy => by_hint(),
        Edition::March2026 => fields.get("token").or_else(by_hint),
        Edition::September2026 => fields.get("token"),
    };
    (token.cloned().unwrap_or_default(), hint)
}

/// `POST /oauth/{version}/token/introspect`: `active` alone for what is not.
pub(super) fn introspect(shared: &Shared, call: &Call) -> Answer {
    let hub = Hub::of(shared);
    let fields = form(&call.body);
    let tokens = shared.tokens();
    let client_id = tokens.client(&fields).map_err(|denied| refusal(denied, call))?;
    let (token, hint) = subject(call, &fields);
    let known = tokens.known.get(&token).filter(|_| hint != "refresh_token");
    let own = known.filter(|known| known.client_id.as_ref() == Some(&client_id));
    if let Some(known) = own.filter(|known| known.is_live(hub.now)) {
        return Ok(Reply::json(200, &access_token_facts(&hub, &client_id, &token, known)));
    }
    let standing = tokens.standing.get(&token).filter(|_| hint != "access_token");
    let body = match standing.filter(|standing| standing.client_id == client_id) {
        Some(standing) => {
            let scopes = scope_list(standing.scopes.as_deref());
            facts(&hub, &client_id, &token, scopes, "refresh_token")
        }
        None => json!({"active": false}),
    };
    Ok(Reply::json(200, &body))
}

fn scope_list(scopes: Option<&std::collections::BTreeSet<String>>) -> Vec<String> {
    scopes.map_or_else(crate::emulator::scopes::all, |scopes| scopes.iter().cloned().collect())
}

fn facts(hub: &Hub, client_id: &str, token: &str, scopes: Vec<String>, token_use: &str) -> Value {
    json!({
        "active": true,
        "token": token,
        "hub_id": hub.hub_id,
        "user_id": hub.user_id,
        "client_id": client_id,
        "app_id": app_id(client_id),
        "user": hub.user,
        "hub_domain": hub.domain,
        "scopes": scopes,
        "token_use": token_use,
        "token_type": if token_use == "access_token" { "access" } else { "refresh" },
    })
}

fn access_token_facts(hub: &Hub, client_id: &str, token: &str, known: &Known) -> Value {
    let scopes = known.scope_list();
    let expires_at = known.expires_at.unwrap_or(i64::MAX);
    let signature = format!("{:016x}", salt(token));
    let mut body = facts(hub, client_id, token, scopes.clone(), "access_token");
    body["expires_in"] = json!(seconds(expires_at - hub.now));
    body["is_private_distribution"] = json!(false);
    body["signed_access_token"] = json!({
        "expiresAt": expires_at,
        "scopes": scopes.join(" "),
        "hubId": hub.hub_id,
        "userId": hub.user_id,
        "appId": app_id(client_id),
        "signature": signature,
        "scopeToScopeGroupPks": "",
        "newSignature": signature,
        "hublet": "na1",
        "trialScopes": "",
        "trialScopeToScopeGroupPks": "",
        "isUserLevel": false,
        "installingUserId": hub.user_id,
        "isServiceAccount": false,
        "isPrivateDistribution": false,
    });
    body
}

fn app_id(client_id: &str) -> u64 {
    crate::emulator::tokens::app_id(client_id)
}

/// `POST /oauth/{version}/token/revoke`: 204 whether there was one or not
/// (unverified). Access tokens outlive their refresh token.
pub(super) fn revoke(shared: &Shared, call: &Call) -> Answer {
    let fields = form(&call.body);
    let mut tokens = shared.tokens();
    let client_id = tokens.client(&fields).map_err(|denied| refusal(denied, call))?;
    let (token, _) = subject(call, &fields);
    let known = tokens.known.get(&token).and_then(|known| known.client_id.as_ref());
    let standing = tokens.standing.get(&token).map(|standing| &standing.client_id);
    if known.or(standing) == Some(&client_id) {
        tokens.revoke(&token);
    }
    Ok(Reply::nothing())
}

/// `GET /oauth/v1/access-tokens/{token}`
pub(super) fn access_token(shared: &Shared, call: &Call) -> Answer {
    let hub = Hub::of(shared);
    let token = call.name(0);
    let tokens = shared.tokens();
    let known = tokens.known.get(token).filter(|known| {
        matches!(known.kind, TokenKind::Oauth | TokenKind::App) && known.is_live(hub.now)
    });
    let known = known.ok_or_else(|| Refusal::missing("The access token is unknown or expired"))?;
    let expires_at = known.expires_at.unwrap_or(hub.now);
    Ok(Reply::json(
        200,
        &json!({
            "token": token,
            "user": hub.user,
            "hub_domain": hub.domain,
            "scopes": known.scope_list(),
            "hub_id": hub.hub_id,
            "app_id": known.app_id(token),
            "expires_in": seconds(expires_at - hub.now),
            "user_id": hub.user_id,
            "token_type": "access",
        }),
    ))
}

/// `GET /oauth/v1/refresh-tokens/{token}`
pub(super) fn refresh_token(shared: &Shared, call: &Call) -> Answer {
    let hub = Hub::of(shared);
    let token = call.name(0);
    let tokens = shared.tokens();
    let standing = tokens.standing.get(token);
    let standing = standing.ok_or_else(|| Refusal::missing("The refresh token is unknown"))?;
    Ok(Reply::json(
        200,
        &json!({
            "token": token,
            "user": hub.user,
            "hub_domain": hub.domain,
            "scopes": scope_list(standing.scopes.as_deref()),
            "hub_id": hub.hub_id,
            "client_id": standing.client_id,
            "user_id": hub.user_id,
            "token_type": "refresh",
        }),
    ))
}

/// `DELETE /oauth/v1/refresh-tokens/{token}`: access tokens live on.
pub(super) fn delete_refresh_token(shared: &Shared, call: &Call) -> Answer {
    let gone = shared.tokens().standing.remove(call.name(0));
    gone.map(|_| Reply::nothing())
        .ok_or_else(|| Refusal::missing("The refresh token is unknown").into())
}

/// `POST /oauth/v2/private-apps/get/access-token-info`. A token that nobody
/// declared, where any is taken, may do everything.
pub(super) fn private_app(shared: &Shared, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        token_key: String,
    }
    let hub = Hub::of(shared);
    let token = call.json::<Body>()?.token_key;
    let tokens = shared.tokens();
    let caller = tokens.caller(&token, hub.now)?;
    let client_id = tokens.known.get(&token).and_then(|known| known.client_id.as_deref());
    if caller.oauth || token.is_empty() {
        return Err(Refusal::missing("The token is not a private app's").into());
    }
    Ok(Reply::json(
        200,
        &json!({
            "userId": hub.user_id,
            "hubId": hub.hub_id,
            "appId": app_id(client_id.unwrap_or(&token)),
            "scopes": scope_list(caller.scopes.as_deref()),
        }),
    ))
}

/// `DELETE /appinstalls/v3/external-install`: the app of the token is gone,
/// and so is all it was given.
pub(super) fn uninstall(shared: &Shared, token: Option<&str>) -> Answer {
    let mut tokens = shared.tokens();
    let known = token.and_then(|token| tokens.known.get(token));
    let client_id = known.and_then(|known| known.client_id.clone());
    let none = || Refusal::invalid("The token does not belong to an app that was installed");
    tokens.uninstall(&client_id.ok_or_else(none)?);
    Ok(Reply::nothing())
}
