//! Apps and tokens from outside: what `/_emulator/credentials` understands.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Control, ControlError, parse};
use crate::emulator::call::Call;
use crate::emulator::shared::Shared;
use crate::emulator::tokens::{DeclaredToken, OAuthApp};

impl Control {
    /// Adds an app that may be installed, or changes the one of its client id.
    pub fn declare_app(&self, app: OAuthApp) {
        self.shared.tokens().declare_app(app);
    }

    /// Adds a token, or changes its scopes and lifetime.
    pub fn declare_token(&self, token: DeclaredToken) {
        let now = self.now();
        self.shared.tokens().declare(token, now);
    }

    /// Whether tokens are refused that nobody declared or was given.
    pub fn refuse_unknown_tokens(&self, refused: bool) {
        self.shared.tokens().rules.refuse_unknown_tokens = refused;
    }

    /// How long tokens live that the token endpoint gives from now on.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.shared.tokens().rules.token_lifetime = lifetime;
    }

    /// Whether the consent page is passed over, as if somebody had approved.
    pub fn approve_at_once(&self, approved: bool) {
        self.shared.tokens().rules.approve_at_once = approved;
    }

    /// Lets all tokens expire that can: those from the token endpoint, and
    /// those declared with a lifetime. Says how many did.
    pub fn expire_tokens(&self) -> usize {
        let now = self.now();
        self.shared.tokens().expire_all(now)
    }

    /// Ends a token, a refresh token, or a private app's token; false if it is
    /// not known.
    pub fn revoke_token(&self, token: &str) -> bool {
        self.shared.tokens().revoke(token)
    }

    /// Removes an app from the account, as its administrator would: all its
    /// tokens end. False if it had none.
    pub fn uninstall_app(&self, client_id: &str) -> bool {
        self.shared.tokens().uninstall(client_id)
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Request {
    apps: Vec<OAuthApp>,
    tokens: Vec<DeclaredToken>,
    refuse_unknown_tokens: Option<bool>,
    token_lifetime_ms: Option<u64>,
    approve_at_once: Option<bool>,
    new_refresh_tokens: Option<bool>,
    lacking_scopes: Option<Vec<String>>,
    expire: bool,
    revoke: Vec<String>,
    uninstall: Vec<String>,
}

/// `GET` and `POST /_emulator/credentials`. No secret is answered.
pub(super) fn credentials(shared: &Shared, call: &Call) -> Result<Value, ControlError> {
    let now = shared.read().clock.now();
    let mut tokens = shared.tokens();
    if call.method == "POST" {
        let request: Request = parse(call)?;
        for app in request.apps {
            tokens.declare_app(app);
        }
        for token in request.tokens {
            tokens.declare(token, now);
        }
        let rules = &mut tokens.rules;
        rules.refuse_unknown_tokens =
            request.refuse_unknown_tokens.unwrap_or(rules.refuse_unknown_tokens);
        rules.approve_at_once = request.approve_at_once.unwrap_or(rules.approve_at_once);
        rules.new_refresh_tokens = request.new_refresh_tokens.unwrap_or(rules.new_refresh_tokens);
        if let Some(millis) = request.token_lifetime_ms {
            rules.token_lifetime = Duration::from_millis(millis);
        }
        if let Some(scopes) = request.lacking_scopes {
            rules.lacking_scopes = scopes;
        }
        for token in &request.revoke {
            tokens.revoke(token);
        }
        for client_id in &request.uninstall {
            tokens.uninstall(client_id);
        }
        if request.expire {
            tokens.expire_all(now);
        }
    }
    let rules = &tokens.rules;
    let app = |app: &OAuthApp| {
        let installed =
            tokens.standing.values().any(|standing| standing.client_id == app.client_id);
        json!({
            "client_id": app.client_id,
            "app_id": app.id(),
            "name": app.shown_name(),
            "installed": installed,
        })
    };
    Ok(json!({
        "apps": rules.apps.iter().map(app).collect::<Vec<Value>>(),
        "live_tokens": tokens.known.values().filter(|known| known.is_live(now)).count(),
        "refuse_unknown_tokens": rules.refuse_unknown_tokens,
        "token_lifetime_ms": rules.token_lifetime.as_millis() as u64,
        "approve_at_once": rules.approve_at_once,
        "new_refresh_tokens": rules.new_refresh_tokens,
        "lacking_scopes": rules.lacking_scopes,
    }))
}
