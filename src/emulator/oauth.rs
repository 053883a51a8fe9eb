//! How an app gets tokens: codes, refreshes, client credentials.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::clock;
use super::tokens::{Known, OAuthApp, Standing, TokenKind, Tokens, with_oauth};

/// How long a code can be exchanged. HubSpot does not tell; short is unkind.
pub(crate) const CODE_LIFETIME: i64 = 60_000;

/// A form's fields: the first of a name counts.
pub(crate) type Form = BTreeMap<String, String>;

/// Why an app is given nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    /// The word of the OAuth standard.
    pub(crate) error: &'static str,
    /// HubSpot's own.
    pub(crate) status: &'static str,
    pub(crate) message: &'static str,
}

const fn denied(error: &'static str, status: &'static str, message: &'static str) -> Denied {
    Denied { error, status, message }
}

// The statuses are seen in clients (section 2); of the messages, those of the
// code, the client and the refresh token are, the others are made up.
const GRANT_TYPE: Denied =
    denied("unsupported_grant_type", "BAD_GRANT_TYPE", "missing or unknown grant type");
const CLIENT_ID: Denied = denied("invalid_client", "BAD_CLIENT_ID", "missing or unknown client id");
const CLIENT_SECRET: Denied =
    denied("invalid_client", "BAD_CLIENT_SECRET", "missing or invalid client secret");
const AUTH_CODE: Denied = denied("invalid_grant", "BAD_AUTH_CODE", "missing or unknown auth code");
const OLD_CODE: Denied = denied("invalid_grant", "EXPIRED_AUTH_CODE", "auth code has expired");
const REDIRECT: Denied =
    denied("invalid_request", "BAD_REDIRECT_URI", "missing or invalid redirect URI");
const OTHER_REDIRECT: Denied = denied(
    "invalid_grant",
    "MISMATCH_REDIRECT_URI_AUTH_CODE",
    "redirect URI does not match the one used to obtain the auth code",
);
const VERIFIER: Denied =
    denied("invalid_grant", "BAD_CODE_VERIFIER", "missing or invalid code verifier");
const REFRESH: Denied =
    denied("invalid_grant", "BAD_REFRESH_TOKEN", "missing or invalid refresh token");
const SCOPE: Denied = denied("invalid_scope", "BAD_SCOPE", "the app does not have all scopes");

/// What an app asks a person for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) client_id: String,
    pub(crate) app_name: String,
    pub(crate) redirect_uri: String,
    pub(crate) required: Vec<String>,
    pub(crate) optional: Vec<String>,
    challenge: Option<Challenge>,
}

#[derive(Clone, Debug)]
struct Challenge {
    text: String,
    hashed: bool,
}

impl Challenge {
    fn is_met_by(&self, verifier: &str) -> bool {
        match self.hashed {
            true => self.text == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)),
            false => self.text == verifier,
        }
    }
}

/// Why a person is not even asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unaskable {
    /// The app is told, at its own address.
    Told(&'static str, &'static str),
    /// Nobody can be told: the person sees a page.
    Shown(String),
}

/// A code on its way to the app.
#[derive(Debug)]
pub(crate) struct Code {
    request: Request,
    scopes: Arc<BTreeSet<String>>,
    expires_at: i64,
}

impl Code {
    /// The app it is meant for.
    pub(crate) fn client_id(&self) -> &str {
        &self.request.client_id
    }
}

/// What the token endpoint gives.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) access_token: String,
    /// None for client credentials.
    pub(crate) refresh_token: Option<String>,
    pub(crate) expires_in: i64,
    pub(crate) scopes: Vec<String>,
}

impl Tokens {
    /// The app of a client id.
    pub(crate) fn app(&self, client_id: &str) -> Option<&OAuthApp> {
        self.rules.apps.iter().find(|app| app.client_id == client_id)
    }

    /// What an app asks for, if it may ask.
    pub(crate) fn request(&self, query: &Form) -> Result<Request, Unaskable> {
        let shown = |text: &str| Unaskable::Shown(text.to_owned());
        let field = |name: &str| query.get(name).map_or("", String::as_str);
        let app = self
            .app(field("client_id"))
            .ok_or_else(|| shown("An invalid app client_id was provided."))?;
        let redirect_uri = field("redirect_uri");
        if !may_redirect(app, redirect_uri) {
            return Err(Unaskable::Shown(format!(
                "Authorization failed as the redirect URL '{redirect_uri}' doesn't match the app's \
                 registered redirect URL."
            )));
        }
        let (required, optional) = (words(field("scope")), words(field("optional_scope")));
        let allowed = |scope: &String| {
            app.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope)) || scope == "oauth"
        };
        if required.is_empty() || !required.iter().chain(&optional).all(allowed) {
            return Err(shown(
                "Authorization failed because the provided scopes are insufficient or not the \
                 app's.",
            ));
        }
        if let Some(scope) =
            required.iter().chain(&optional).find(|scope| !super::scopes::exists(scope))
        {
            return Err(Unaskable::Shown(format!(
                "Authorization failed because there is no scope '{scope}'."
            )));
        }
        if let Some(scope) = required.iter().find(|scope| self.lacks(scope)) {
            return Err(Unaskable::Shown(format!(
                "The account does not have access to what the app requires: {scope}."
            )));
        }
        let hashed = match field("code_challenge_method") {
            "" | "plain" => false,
            "S256" => true,
            _ => {
                return Err(Unaskable::Told(
                    "invalid_request",
                    "The code challenge method is neither S256 nor plain",
                ));
            }
        };
        let challenge = query.get("code_challenge").filter(|text| !text.is_empty());
        Ok(Request {
            client_id: app.client_id.clone(),
            app_name: app.shown_name().to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            required,
            optional: optional.into_iter().filter(|scope| !self.lacks(scope)).collect(),
            challenge: challenge.map(|text| Challenge { text: text.clone(), hashed }),
        })
    }

    /// A code for an approved request.
    pub(crate) fn approve(&mut self, request: Request, now: i64) -> String {
        self.codes.retain(|_, code| now < code.expires_at + 10 * CODE_LIFETIME);
        let scopes: Vec<String> =
            request.required.iter().chain(&request.optional).cloned().collect();
        let code = Code { scopes: with_oauth(&scopes), request, expires_at: now + CODE_LIFETIME };
        let name = self.new_name();
        self.codes.insert(name.clone(), code);
        name
    }

    /// Answers the token endpoint. Client credentials are not for v1.
    pub(crate) fn grant(&mut self, form: &Form, v1: bool, now: i64) -> Result<Issued, Denied> {
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        let grant_type = field("grant_type");
        let known = ["authorization_code", "refresh_token", "client_credentials"];
        if !known.contains(&grant_type) || (v1 && grant_type == "client_credentials") {
            return Err(GRANT_TYPE);
        }
        let client_id = self.client(form)?;
        match grant_type {
            "authorization_code" => {
                let code = self.redeem(&client_id, field, now)?;
                let refresh_token = self.new_name();
                let standing = Standing { client_id, scopes: Some(code.scopes) };
                self.standing.insert(refresh_token.clone(), standing.clone());
                Ok(self.give(standing, Some(refresh_token), TokenKind::Oauth, now))
            }
            "refresh_token" => {
                let mut refresh_token = field("refresh_token").to_owned();
                let standing = self.standing.get(&refresh_token);
                let standing = standing.filter(|standing| standing.client_id == client_id).cloned();
                let standing = standing.ok_or(REFRESH)?;
                if self.rules.new_refresh_tokens {
                    self.standing.remove(&refresh_token);
                    refresh_token = self.new_name();
                    self.standing.insert(refresh_token.clone(), standing.clone());
                }
                Ok(self.give(standing, Some(refresh_token), TokenKind::Oauth, now))
            }
            _ => {
                let asked = words(field("scope"));
                let scopes = self.app(&client_id).and_then(|app| app.scopes.as_ref());
                if scopes.is_some_and(|scopes| !asked.iter().all(|scope| scopes.contains(scope))) {
                    return Err(SCOPE);
                }
                let scopes = Some(Arc::new(asked.into_iter().collect()));
                Ok(self.give(Standing { client_id, scopes }, None, TokenKind::App, now))
            }
        }
    }

    /// The client id of a form, if its secret is right too.
    pub(crate) fn client(&self, form: &Form) -> Result<String, Denied> {
        let app = form.get("client_id").and_then(|id| self.app(id)).ok_or(CLIENT_ID)?;
        let secret = form.get("client_secret").filter(|secret| **secret == app.client_secret);
        secret.map(|_| app.client_id.clone()).ok_or(CLIENT_SECRET)
    }

    /// Takes a code away, whatever comes of it: it can be tried once.
    fn redeem<'a>(
        &mut self,
        client_id: &str,
        field: impl Fn(&str) -> &'a str,
        now: i64,
    ) -> Result<Code, Denied> {
        let redirect_uri = field("redirect_uri");
        if !self.app(client_id).is_some_and(|app| may_redirect(app, redirect_uri)) {
            return Err(REDIRECT);
        }
        let code = self.codes.remove(field("code"));
        let code = code.filter(|code| code.request.client_id == client_id).ok_or(AUTH_CODE)?;
        if now >= code.expires_at {
            return Err(OLD_CODE);
        }
        if code.request.redirect_uri != redirect_uri {
            return Err(OTHER_REDIRECT);
        }
        let challenge = code.request.challenge.as_ref();
        match challenge.is_none_or(|challenge| challenge.is_met_by(field("code_verifier"))) {
            true => Ok(code),
            false => Err(VERIFIER),
        }
    }

    fn give(
        &mut self,
        standing: Standing,
        refresh_token: Option<String>,
        kind: TokenKind,
        now: i64,
    ) -> Issued {
        let lifetime = clock::millis(self.rules.token_lifetime);
        let known = Known {
            kind,
            scopes: standing.scopes,
            expires_at: Some(now + lifetime),
            client_id: Some(standing.client_id),
            revoked: false,
        };
        let scopes = known.scope_list();
        let access_token = self.issue(known, now);
        // Whole seconds; rounding down would promise less than nothing.
        Issued { access_token, refresh_token, expires_in: seconds(lifetime), scopes }
    }

    fn lacks(&self, scope: &str) -> bool {
        self.rules.lacking_scopes.iter().any(|lacking| lacking == scope)
    }
}

/// Milliseconds as seconds, begun ones counted.
pub(crate) fn seconds(millis: i64) -> i64 {
    (millis.max(0) + 999) / 1_000
}

fn may_redirect(app: &OAuthApp, uri: &str) -> bool {
    let absolute = url::Url::parse(uri).is_ok_and(|uri| uri.has_host());
    absolute && (app.redirect_uris.is_empty() || app.redirect_uris.iter().any(|one| one == uri))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_met() {
        // The example of RFC 7636, appendix B.
        let (text, verifier) = (
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        );
        let challenge = Challenge { text: text.to_owned(), hashed: true };
        assert!(challenge.is_met_by(verifier) && !challenge.is_met_by(text));
        let challenge = Challenge { text: verifier.to_owned(), hashed: false };
        assert!(challenge.is_met_by(verifier) && !challenge.is_met_by(""));
    }

    #[test]
    fn begun_seconds_count() {
        assert_eq!([seconds(1), seconds(1_000), seconds(1_001), seconds(-5)], [1, 1, 2, 0]);
    }
}
