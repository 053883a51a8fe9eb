//! Credentials: which tokens there are, what each may do, and when it dies.
//!
//! They are no data of the account: a snapshot neither holds nor undoes them.
//! Where nothing is declared, any token is as good as another.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Debug, Formatter};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::clock;
use super::errors::{Refusal, Refused};
use super::moment;
use super::oauth::Code;
use super::seed::draw::{Draw, salt};

/// Beyond so many, tokens that have expired are forgotten.
const MOST_KEPT: usize = 10_000;

/// What a token belongs to; section 2 of the API reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A private app, or a project app's static token.
    #[default]
    PrivateApp,
    /// A service key: limits as a private app.
    ServiceKey,
    /// An OAuth app that somebody installed: a limit of its own, no daily one.
    Oauth,
    /// An app by itself, from client credentials.
    App,
}

/// A token that is known from the start.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredToken {
    /// The token.
    pub token: String,
    /// What it belongs to.
    #[serde(default)]
    pub kind: TokenKind,
    /// What it may do; none for everything.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// How long it lives from now; none for ever.
    #[serde(default, rename = "lifetime_ms", deserialize_with = "optional_millis")]
    pub lifetime: Option<Duration>,
}

impl DeclaredToken {
    /// A private app's token with these scopes.
    pub fn private_app(token: &str, scopes: &[&str]) -> Self {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        Self {
            token: token.to_owned(),
            kind: TokenKind::PrivateApp,
            scopes: Some(scopes),
            lifetime: None,
        }
    }
}

/// Why a text declares no app or token. The text is not repeated: it may hold
/// a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// No app.
    #[error("An app is declared as `ID:SECRET`, or `ID:SECRET:REFRESH_TOKEN` if it is installed")]
    App,
    /// No token.
    #[error("A token is declared as `TOKEN`, or `TOKEN=SCOPE,SCOPE` if it cannot do everything")]
    Token,
}

impl FromStr for DeclaredToken {
    type Err = CredentialError;

    /// A private app's token, `TOKEN` or `TOKEN=SCOPE,SCOPE`.
    fn from_str(text: &str) -> Result<Self, CredentialError> {
        let (token, scopes) = match text.split_once('=') {
            Some((token, scopes)) => (token, Some(scopes)),
            None => (text, None),
        };
        if token.is_empty() || token.contains(char::is_whitespace) {
            return Err(CredentialError::Token);
        }
        let scopes = scopes.map(|scopes| {
            let names = scopes.split(',').map(str::trim).filter(|scope| !scope.is_empty());
            names.map(str::to_owned).collect()
        });
        Ok(Self { token: token.to_owned(), kind: TokenKind::PrivateApp, scopes, lifetime: None })
    }
}

impl Debug for DeclaredToken {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.debug_struct("DeclaredToken")
            .field("kind", &self.kind)
            .field("scopes", &self.scopes)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// An app that asks accounts to be installed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuthApp {
    /// Its public name in calls.
    pub client_id: String,
    /// Its password.
    pub client_secret: String,
    /// What the consent page calls it; its client id if empty.
    #[serde(default)]
    pub name: String,
    /// Where codes may be sent; anywhere if empty.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// The scopes it may ask for; none for any.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// A refresh token of an earlier installation with all of `scopes`, for
    /// clients that keep one over restarts of the emulator.
    #[serde(default)]
    pub refresh_token: Option<String>,
}

impl OAuthApp {
    /// An app that may ask for anything and be called back anywhere.
    pub fn new(client_id: &str, client_secret: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            name: String::new(),
            redirect_uris: Vec::new(),
            scopes: None,
            refresh_token: None,
        }
    }

    /// Its number, which its client id decides.
    pub fn id(&self) -> u64 {
        app_id(&self.client_id)
    }

    /// What people see.
    pub(crate) fn shown_name(&self) -> &str {
        if self.name.is_empty() { &self.client_id } else { &self.name }
    }
}

impl FromStr for OAuthApp {
    type Err = CredentialError;

    /// `ID:SECRET`, or `ID:SECRET:REFRESH_TOKEN` for one that is installed.
    fn from_str(text: &str) -> Result<Self, CredentialError> {
        let mut parts = text.splitn(3, ':');
        let (id, secret) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let refresh_token = parts.next().map(str::to_owned);
        let empty = id.is_empty() || secret.is_empty();
        match empty || refresh_token.as_ref().is_some_and(String::is_empty) {
            true => Err(CredentialError::App),
            false => Ok(Self { refresh_token, ..Self::new(id, secret) }),
        }
    }
}

impl Debug for OAuthApp {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.debug_struct("OAuthApp")
            .field("client_id", &self.client_id)
            .field("name", &self.name)
            .field("redirect_uris", &self.redirect_uris)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Who may call, and how tokens are given out.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Apps that may be installed.
    pub apps: Vec<OAuthApp>,
    /// Tokens known from the start.
    pub tokens: Vec<DeclaredToken>,
    /// Whether a token that nobody declared or was given is refused.
    pub refuse_unknown_tokens: bool,
    /// How long a token from the token endpoint lives.
    pub token_lifetime: Duration,
    /// Whether the consent page is passed over, as if somebody had approved.
    pub approve_at_once: bool,
    /// Whether every refresh answers a new refresh token and ends the old one.
    /// HubSpot may answer the same again (section 2).
    pub new_refresh_tokens: bool,
    /// Scopes that the account's subscription does not have: an app that
    /// requires one cannot be installed, an optional one is left out.
    pub lacking_scopes: Vec<String>,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            apps: Vec::new(),
            tokens: Vec::new(),
            refuse_unknown_tokens: false,
            token_lifetime: Duration::from_secs(1_800),
            approve_at_once: false,
            new_refresh_tokens: false,
            lacking_scopes: Vec::new(),
        }
    }
}

fn optional_millis<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
}

/// What is known of a token.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) kind: TokenKind,
    /// None for all.
    pub(crate) scopes: Option<Arc<BTreeSet<String>>>,
    /// None for never.
    pub(crate) expires_at: Option<i64>,
    /// The app it was given to.
    pub(crate) client_id: Option<String>,
    pub(crate) revoked: bool,
}

impl Known {
    /// Whether it can be used.
    pub(crate) fn is_live(&self, now: i64) -> bool {
        !self.revoked && self.expires_at.is_none_or(|at| now < at)
    }

    /// Its scopes in order.
    pub(crate) fn scope_list(&self) -> Vec<String> {
        match &self.scopes {
            Some(scopes) => scopes.iter().cloned().collect(),
            None => super::scopes::all(),
        }
    }

    /// The number of its app.
    pub(crate) fn app_id(&self, token: &str) -> u64 {
        app_id(self.client_id.as_deref().unwrap_or(token))
    }
}

/// A standing permission to ask for tokens.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) client_id: String,
    pub(crate) scopes: Option<Arc<BTreeSet<String>>>,
}

/// Who calls: what is counted and what is allowed.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    /// Under what its calls are counted.
    pub(crate) budget: Cow<'a, str>,
    /// Whether the limits of OAuth apps hold.
    pub(crate) oauth: bool,
    /// None for everything.
    pub(crate) scopes: Option<Arc<BTreeSet<String>>>,
}

/// Every token, app and code.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) rules: Credentials,
    /// The one token that stands for any other undeclared one.
    only: Option<String>,
    seed: u64,
    drawn: u64,
    pub(crate) known: HashMap<String, Known>,
    pub(crate) standing: BTreeMap<String, Standing>,
    pub(crate) codes: HashMap<String, Code>,
}

impl Tokens {
    /// What the settings declare. Lifetimes count from `now`.
    pub(crate) fn new(rules: &Credentials, only: Option<String>, seed: u64, now: i64) -> Self {
        let mut rules = rules.clone();
        let (apps, declared) = (std::mem::take(&mut rules.apps), std::mem::take(&mut rules.tokens));
        let mut tokens = Self {
            rules,
            only,
            seed,
            drawn: 0,
            known: HashMap::new(),
            standing: BTreeMap::new(),
            codes: HashMap::new(),
        };
        for app in apps {
            tokens.declare_app(app);
        }
        for token in declared {
            tokens.declare(token, now);
        }
        tokens
    }

    /// Adds an app, or changes the one with its client id.
    pub(crate) fn declare_app(&mut self, app: OAuthApp) {
        if let Some(refresh) = &app.refresh_token {
            let scopes = app.scopes.as_deref().map(with_oauth);
            let standing = Standing { client_id: app.client_id.clone(), scopes };
            self.standing.insert(refresh.clone(), standing);
        }
        self.rules.apps.retain(|other| other.client_id != app.client_id);
        self.rules.apps.push(app);
    }

    /// Adds a token, or changes what is known of it.
    pub(crate) fn declare(&mut self, declared: DeclaredToken, now: i64) {
        let lifetime = declared.lifetime.map(clock::millis);
        // Private apps and service keys need not ask for `oauth`; an OAuth app
        // may lack it.
        let scopes = declared.scopes.as_deref().map(|scopes| match declared.kind {
            TokenKind::PrivateApp | TokenKind::ServiceKey => with_oauth(scopes),
            TokenKind::Oauth | TokenKind::App => Arc::new(scopes.iter().cloned().collect()),
        });
        let known = Known {
            kind: declared.kind,
            scopes,
            expires_at: lifetime.map(|lifetime| now.saturating_add(lifetime)),
            client_id: None,
            revoked: false,
        };
        self.known.insert(declared.token, known);
    }

    /// Who calls with this token, or why it is refused.
    pub(crate) fn caller<'a>(&self, token: &'a str, now: i64) -> Result<Caller<'a>, Refused> {
        let Some(known) = self.known.get(token) else {
            let accepted = match &self.only {
                Some(only) => only == token,
                None => !self.rules.refuse_unknown_tokens,
            };
            return match accepted {
                true => Ok(Caller { budget: token.into(), oauth: false, scopes: None }),
                // Observed: a token that makes no sense counts as long expired.
                false => Err(expired(0, now).into()),
            };
        };
        if known.revoked {
            // Unverified: the words for a token whose app is gone.
            return Err(Refusal::no_credentials().into());
        }
        if let Some(at) = known.expires_at.filter(|at| now >= *at) {
            return Err(expired(at, now).into());
        }
        let budget = match &known.client_id {
            Some(client_id) => format!("app {client_id}").into(),
            None => token.into(),
        };
        let oauth = matches!(known.kind, TokenKind::Oauth | TokenKind::App);
        Ok(Caller { budget, oauth, scopes: known.scopes.clone() })
    }

    /// Ends a token or a refresh token; false if there was none such.
    pub(crate) fn revoke(&mut self, token: &str) -> bool {
        let standing = self.standing.remove(token).is_some();
        match self.known.get_mut(token) {
            Some(known) => known.revoked = true,
            None => return standing,
        }
        true
    }

    /// Ends everything an app was given; false if nothing was.
    pub(crate) fn uninstall(&mut self, client_id: &str) -> bool {
        let before = self.standing.len() + self.codes.len();
        self.standing.retain(|_, standing| standing.client_id != client_id);
        self.codes.retain(|_, code| code.client_id() != client_id);
        let mut ended = before != self.standing.len() + self.codes.len();
        for known in self.known.values_mut() {
            if known.client_id.as_deref() == Some(client_id) {
                ended |= !known.revoked;
                known.revoked = true;
            }
        }
        ended
    }

    /// Lets every token that can expire expire now; says how many did.
    pub(crate) fn expire_all(&mut self, now: i64) -> usize {
        let live = |known: &&mut Known| known.expires_at.is_some_and(|at| now < at);
        self.known.values_mut().filter(live).map(|known| known.expires_at = Some(now)).count()
    }

    /// Gives out a token.
    pub(crate) fn issue(&mut self, known: Known, now: i64) -> String {
        if self.known.len() >= MOST_KEPT {
            self.known.retain(|_, known| known.is_live(now));
        }
        // Lengths are neither fixed nor told (section 2): none is like another.
        let bytes = 90 + (self.draw().number() % 90) as usize;
        let token = URL_SAFE_NO_PAD.encode(self.bytes(bytes));
        self.known.insert(token.clone(), known);
        token
    }

    /// A text such as refresh tokens and codes are.
    pub(crate) fn new_name(&mut self) -> String {
        let bytes = self.bytes(16);
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let part = |range: std::ops::Range<usize>| hex[range].concat();
        format!("na1-{}-{}-{}-{}-{}", part(0..4), part(4..6), part(6..8), part(8..10), part(10..16))
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend(self.draw().number().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }

    fn draw(&mut self) -> Draw {
        self.drawn += 1;
        Draw::of(self.seed, salt("tokens"), self.drawn)
    }
}

/// 401 for a token that expired then.
fn expired(at: i64, now: i64) -> Refusal {
    let seconds = (now - at).max(0) / 1_000;
    // Seen: minutes and days.
    let (number, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let message = format!("The OAuth token used to make this call expired {number} {unit}(s) ago.");
    Refusal::expired(message, moment::exact(at))
}

/// The scopes and `oauth`, which every installation has.
pub(crate) fn with_oauth(scopes: &[String]) -> Arc<BTreeSet<String>> {
    let oauth = std::iter::once("oauth".to_owned());
    Arc::new(scopes.iter().cloned().chain(oauth).collect())
}

/// The number of an app, or of a token without one.
pub(crate) fn app_id(client_id: &str) -> u64 {
    1_000_000 + salt(client_id) % 8_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    fn tokens(rules: &Credentials) -> Tokens {
        Tokens::new(rules, None, 1, NOW)
    }

    fn refusal(tokens: &Tokens, token: &str, now: i64) -> String {
        tokens.caller(token, now).expect_err("a refusal").message().to_owned()
    }

    #[test]
    fn what_is_told_of_an_expired_token() {
        let lifetime = Some(Duration::from_secs(10));
        let token = DeclaredToken { lifetime, ..DeclaredToken::private_app("t", &[]) };
        let tokens = tokens(&Credentials { tokens: vec![token], ..Credentials::default() });
        let at = NOW + 10_000;
        assert!(tokens.caller("t", at - 1).is_ok());
        for (later, told) in [
            (0, "0 second(s)"),
            (9 * 60_000, "9 minute(s)"),
            (2 * 3_600_000, "2 hour(s)"),
            (3 * 86_400_000, "3 day(s)"),
        ] {
            let message = refusal(&tokens, "t", at + later);
            assert_eq!(
                message,
                format!("The OAuth token used to make this call expired {told} ago.")
            );
        }
    }

    #[test]
    fn unknown_tokens_are_refused_on_request() {
        let mut tokens = tokens(&Credentials::default());
        assert!(tokens.caller("any", NOW).is_ok());
        tokens.rules.refuse_unknown_tokens = true;
        assert!(refusal(&tokens, "any", NOW).contains("expired 20717 day(s) ago"));
        tokens.declare(DeclaredToken::private_app("any", &[]), NOW);
        assert!(tokens.caller("any", NOW).is_ok());
        assert!(tokens.revoke("any") && !tokens.revoke("other"));
        assert!(refusal(&tokens, "any", NOW).starts_with("Authentication credentials not found"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let app = OAuthApp { refresh_token: Some("hush".into()), ..OAuthApp::new("id", "hush") };
        let token = DeclaredToken::private_app("hush", &["oauth"]);
        let rules = Credentials { apps: vec![app], tokens: vec![token], ..Credentials::default() };
        assert!(!format!("{rules:?}").contains("hush"));
    }

    #[test]
    fn apps_and_tokens_are_read_from_texts() {
        let app: OAuthApp = "id:secret:na1-r".parse().expect("an app");
        assert_eq!((&*app.client_id, &*app.client_secret), ("id", "secret"));
        assert_eq!(app.refresh_token.as_deref(), Some("na1-r"));
        assert_eq!("id:secret".parse(), Ok(OAuthApp::new("id", "secret")));
        for text in ["", "id", "id:", ":secret", "id:secret:"] {
            assert_eq!(text.parse::<OAuthApp>(), Err(CredentialError::App), "{text}");
        }
        let scoped = DeclaredToken::private_app("pat", &["crm.lists.read", "oauth"]);
        assert_eq!("pat=crm.lists.read, oauth".parse(), Ok(scoped));
        assert_eq!("pat=".parse(), Ok(DeclaredToken::private_app("pat", &[])));
        assert_eq!("pat".parse::<DeclaredToken>().map(|token| token.scopes), Ok(None));
        assert_eq!("=x".parse::<DeclaredToken>(), Err(CredentialError::Token));
    }

    #[test]
    fn names_and_tokens_differ() {
        let mut tokens = tokens(&Credentials::default());
        let known = Known {
            kind: TokenKind::Oauth,
            scopes: None,
            expires_at: None,
            client_id: None,
            revoked: false,
        };
        let (first, second) = (tokens.issue(known.clone(), NOW), tokens.issue(known, NOW));
        assert_ne!(first, second);
        assert!(first.len() >= 120);
        let (first, second) = (tokens.new_name(), tokens.new_name());
        assert_ne!(first, second);
        assert_eq!((first.len(), &first[..4]), (40, "na1-"));
    }
}
