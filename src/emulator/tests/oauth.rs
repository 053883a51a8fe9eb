//! Consent, tokens, refreshes, and their end.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;
use url::form_urlencoded::Serializer;

use super::super::{Credentials, DeclaredToken, Fault, FaultAction, OAuthApp, TokenKind};
use super::*;

const CALLBACK: &str = "https://app.example/callback?tenant=7";
const SCOPES: &str = "crm.objects.contacts.read crm.objects.deals.read";

/// An emulator with one app, and a client that follows no redirect.
struct Shop {
    probe: Probe,
    browser: reqwest::Client,
}

impl Shop {
    async fn open(credentials: Credentials) -> Self {
        let probe = Probe::start(EmulatorConfig { credentials, ..quiet() }).await;
        let policy = reqwest::redirect::Policy::none();
        let browser = reqwest::Client::builder().no_proxy().redirect(policy).build();
        Self { probe, browser: browser.expect("a client") }
    }

    async fn with_app() -> Self {
        Self::open(Credentials { apps: vec![app()], ..Credentials::default() }).await
    }

    /// As a person's browser: no token.
    async fn visit(&self, path: &str, fields: &[(&str, &str)]) -> Got {
        let url = format!("{}{path}?{}", self.probe.emulator.url(), encoded(fields));
        read(self.browser.get(url).send().await.expect("an answer")).await.expect("a body")
    }

    /// As an app's server: a form, and no token.
    async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Got {
        let request = self
            .browser
            .post(format!("{}{path}", self.probe.emulator.url()))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(encoded(fields));
        read(request.send().await.expect("an answer")).await.expect("a body")
    }

    /// As an app's client.
    async fn call(&self, method: &str, path: &str, token: &str) -> Got {
        let request = self
            .browser
            .request(
                method.parse().expect("a method"),
                format!("{}{path}", self.probe.emulator.url()),
            )
            .header("Accept", "application/json")
            .bearer_auth(token);
        read(request.send().await.expect("an answer")).await.expect("a body")
    }

    /// A code for these fields beside the usual ones, as if approved.
    async fn code(&self, more: &[(&str, &str)]) -> String {
        self.probe.control().approve_at_once(true);
        let got = self.visit("/oauth/authorize", &asked(more)).await;
        assert_eq!(got.status, 302, "{}", got.text);
        answered(&got, "code").expect("a code")
    }

    async fn exchange(&self, path: &str, code: &str, more: &[(&str, &str)]) -> Got {
        let mut fields = client();
        fields.extend([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
        ]);
        fields.extend(more);
        self.submit(path, &fields).await
    }

    /// Access and refresh token of a fresh installation.
    async fn install(&self) -> (String, String) {
        let code = self.code(&[]).await;
        let tokens = self.exchange("/oauth/v3/token", &code, &[]).await.json();
        (text(&tokens, "access_token"), text(&tokens, "refresh_token"))
    }

    async fn refresh(&self, refresh_token: &str) -> Got {
        let mut fields = client();
        fields.extend([("grant_type", "refresh_token"), ("refresh_token", refresh_token)]);
        self.submit("/oauth/v3/token", &fields).await
    }
}

fn app() -> OAuthApp {
    OAuthApp {
        name: "Widgets <3".to_owned(),
        redirect_uris: vec![CALLBACK.to_owned(), "https://app.example/other".to_owned()],
        ..OAuthApp::new("app-1", "s3cret")
    }
}

fn client() -> Vec<(&'static str, &'static str)> {
    vec![("client_id", "app-1"), ("client_secret", "s3cret")]
}

fn asked<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    // What is asked first counts: a test may change what is usual.
    let usual =
        [("client_id", "app-1"), ("redirect_uri", CALLBACK), ("scope", SCOPES), ("state", "a&b")];
    more.iter().copied().chain(usual).collect()
}

fn encoded(fields: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// A parameter of the address that a person is sent back to.
fn answered(got: &Got, name: &str) -> Option<String> {
    let url = Url::parse(got.header("location")?).expect("an address");
    assert!(url.as_str().starts_with(CALLBACK), "{url}");
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key}: {value}")).to_owned()
}

fn failed(got: &Got) -> (u16, String) {
    (got.status, text(&got.json(), "status"))
}

fn bad(status: &str) -> (u16, String) {
    (400, status.to_owned())
}

const CONTACTS: &str = "/crm/v3/objects/contacts";

#[tokio::test]
async fn the_consent_page_names_app_scopes_and_account_and_leads_back() {
    let shop = Shop::with_app().await;
    let asked = asked(&[("optional_scope", "crm.lists.read")]);
    let page = shop.visit("/oauth/24680135/authorize", &asked).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html;charset=utf-8")));
    for part in ["Widgets &lt;3", "24680135", "crm.objects.deals.read", "crm.lists.read"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let link = |id: &str| {
        let (_, rest) = page.text.split_once(&format!("id=\"{id}\" href=\"")).expect("a link");
        rest.split('"').next().expect("an end").replace("&amp;", "&")
    };
    let follow = async |id: &str| {
        let url = format!("{}{}", shop.probe.emulator.url(), link(id));
        read(shop.browser.get(url).send().await.expect("an answer")).await.expect("a body")
    };
    let approved = follow("approve").await;
    assert_eq!(approved.status, 302);
    assert_eq!(answered(&approved, "state").as_deref(), Some("a&b"));
    assert_eq!(answered(&approved, "tenant").as_deref(), Some("7"));
    let code = answered(&approved, "code").expect("a code");
    let tokens = shop.exchange("/oauth/v3/token", &code, &[]).await.json();
    assert_eq!(
        tokens["scopes"],
        json!(["crm.lists.read", "crm.objects.contacts.read", "crm.objects.deals.read", "oauth"])
    );
    let denied = follow("deny").await;
    assert_eq!(answered(&denied, "error").as_deref(), Some("access_denied"));
    assert!(answered(&denied, "error_description").is_some_and(|text| !text.is_empty()));
    assert_eq!(answered(&denied, "state").as_deref(), Some("a&b"));
    assert_eq!(answered(&denied, "code"), None);
}

#[tokio::test]
async fn consent_is_given_at_once_where_ci_says_so() {
    let credentials = Credentials { apps: vec![app()], ..Credentials::default() };
    let shop = Shop::open(Credentials { approve_at_once: true, ..credentials }).await;
    assert_eq!(shop.visit("/oauth/authorize", &asked(&[])).await.status, 302);
    let off = json!({"approve_at_once": false});
    let state = shop.probe.post("/_emulator/credentials", off).await.json();
    assert_eq!(
        (&state["approve_at_once"], &state["apps"][0]["name"]),
        (&json!(false), &json!("Widgets <3"))
    );
    assert_eq!(shop.visit("/oauth/authorize", &asked(&[])).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_asked_is_shown_and_leads_nowhere() {
    let limited = OAuthApp {
        client_id: "app-2".to_owned(),
        scopes: Some(vec!["crm.lists.read".to_owned()]),
        ..app()
    };
    let lacking_scopes = vec!["crm.objects.deals.read".to_owned()];
    let apps = vec![app(), limited];
    let shop = Shop::open(Credentials {
        apps,
        lacking_scopes,
        approve_at_once: true,
        ..Credentials::default()
    })
    .await;
    for (more, words) in [
        (("client_id", "nobody"), "client_id"),
        (
            ("redirect_uri", "https://evil.example/<b>"),
            "'https://evil.example/&lt;b&gt;' doesn&#39;t match",
        ),
        (("redirect_uri", "not an address"), "redirect URL"),
        (("scope", ""), "scopes are insufficient"),
        (("scope", "crm.objects.contact.read"), "there is no scope"),
        (("scope", "oauth crm.objects.deals.raed"), "there is no scope"),
        (("optional_scope", "banana"), "there is no scope 'banana'"),
        (("client_id", "app-2"), "scopes are insufficient"),
        (("scope", SCOPES), "does not have access"),
    ] {
        let page = shop.visit("/oauth/authorize", &asked(&[more])).await;
        assert_eq!((page.status, page.header("location")), (400, None), "{more:?}");
        let words = words.replace('\'', "&#39;");
        assert!(page.text.contains(&words), "{more:?}: {}", page.text);
    }
    assert_eq!(shop.visit("/oauth/1/authorize", &asked(&[])).await.status, 403);
    let wanted = [("scope", "crm.lists.read"), ("optional_scope", SCOPES)];
    let code = shop.code(&wanted).await;
    let tokens = shop.exchange("/oauth/v3/token", &code, &[]).await.json();
    assert_eq!(tokens["scopes"], json!(["crm.lists.read", "crm.objects.contacts.read", "oauth"]));
}

#[tokio::test]
async fn v1_answers_four_fields_and_takes_them_from_the_query_too() {
    let shop = Shop::with_app().await;
    let code = shop.code(&[]).await;
    let mut fields = client();
    fields.extend([
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
    ]);
    let in_query = format!("?{}", encoded(&fields));
    let refused = shop.submit(&format!("/oauth/v3/token{in_query}"), &[]).await;
    assert_eq!(failed(&refused), bad("BAD_GRANT_TYPE"));
    let got = shop.submit(&format!("/oauth/v1/token{in_query}"), &[]).await;
    let body = got.json();
    let keys: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["token_type", "access_token", "refresh_token", "expires_in"]);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("bearer"), &json!(1_800)));
    assert_eq!(got.header("x-hubspot-ratelimit-max"), None);
}

#[tokio::test]
async fn later_editions_tell_of_the_account() {
    let shop = Shop::with_app().await;
    for path in ["/oauth/v3/token", "/oauth/2026-03/token", "/oauth/2026-09/token"] {
        let code = shop.code(&[]).await;
        let body = shop.exchange(path, &code, &[]).await.json();
        assert_eq!(body["hub_id"], 24_680_135, "{path}");
        assert_eq!(body["token_use"], "access_token");
        assert!(body["user_id"].is_u64() && body["scopes"].is_array());
        assert!(text(&body, "refresh_token").starts_with("na1-"));
        let got = shop.call("GET", CONTACTS, &text(&body, "access_token")).await;
        assert_eq!(got.status, 200);
    }
}

#[tokio::test]
async fn a_code_serves_once_and_not_for_long() {
    let shop = Shop::with_app().await;
    let control = shop.probe.control();
    control.stop_clock(true);
    let code = shop.code(&[]).await;
    assert_eq!(shop.exchange("/oauth/v1/token", &code, &[]).await.status, 200);
    let again = shop.exchange("/oauth/v1/token", &code, &[]).await;
    assert_eq!(failed(&again), bad("BAD_AUTH_CODE"));
    assert_eq!(again.json()["message"], "missing or unknown auth code");
    let code = shop.code(&[]).await;
    control.advance_clock(Duration::from_secs(60));
    let late = shop.exchange("/oauth/v1/token", &code, &[]).await;
    assert_eq!(failed(&late), bad("EXPIRED_AUTH_CODE"));
    let code = shop.code(&[]).await;
    control.advance_clock(Duration::from_millis(59_999));
    assert_eq!(shop.exchange("/oauth/v1/token", &code, &[]).await.status, 200);
}

#[tokio::test]
async fn a_code_is_bound_to_address_and_app() {
    let shop = Shop::with_app().await;
    shop.probe.control().declare_app(OAuthApp::new("app-2", "other"));
    let exchange = async |uri: &str, id: &str, secret: &str| {
        let code = shop.code(&[]).await;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", uri),
            ("client_id", id),
            ("client_secret", secret),
        ];
        failed(&shop.submit("/oauth/v1/token", &fields).await)
    };
    assert_eq!(
        exchange("https://app.example/other", "app-1", "s3cret").await,
        bad("MISMATCH_REDIRECT_URI_AUTH_CODE")
    );
    assert_eq!(
        exchange("https://elsewhere.example/", "app-1", "s3cret").await,
        bad("BAD_REDIRECT_URI")
    );
    assert_eq!(exchange("", "app-1", "s3cret").await, bad("BAD_REDIRECT_URI"));
    assert_eq!(exchange(CALLBACK, "app-2", "other").await, bad("BAD_AUTH_CODE"));
    assert_eq!(exchange(CALLBACK, "app-9", "other").await, bad("BAD_CLIENT_ID"));
    assert_eq!(exchange(CALLBACK, "app-1", "wrong").await, bad("BAD_CLIENT_SECRET"));
}

#[tokio::test]
async fn a_code_challenge_must_be_met() {
    let shop = Shop::with_app().await;
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let hashed = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    for (challenge, method) in [(hashed.as_str(), "S256"), (verifier, "plain")] {
        let asked = [("code_challenge", challenge), ("code_challenge_method", method)];
        for (given, expected) in [(Some(verifier), 200), (Some("guess"), 400), (None, 400)] {
            let code = shop.code(&asked).await;
            let given: Vec<_> = given.map(|given| ("code_verifier", given)).into_iter().collect();
            let got = shop.exchange("/oauth/2026-03/token", &code, &given).await;
            assert_eq!(got.status, expected, "{method} {given:?}");
            if expected == 400 {
                assert_eq!(got.json()["error"], "invalid_grant");
            }
        }
    }
    let odd = [("code_challenge", verifier), ("code_challenge_method", "S512")];
    let got = shop.visit("/oauth/authorize", &asked(&odd)).await;
    assert_eq!(answered(&got, "error").as_deref(), Some("invalid_request"));
}

#[tokio::test]
async fn a_refresh_may_answer_the_same_refresh_token_or_another() {
    let shop = Shop::with_app().await;
    let (first, refresh_token) = shop.install().await;
    let body = shop.refresh(&refresh_token).await.json();
    let second = text(&body, "access_token");
    assert_eq!(text(&body, "refresh_token"), refresh_token);
    assert_ne!(first, second);
    for token in [&first, &second] {
        assert_eq!(shop.call("GET", CONTACTS, token).await.status, 200, "both live on");
    }
    shop.probe.post("/_emulator/credentials", json!({"new_refresh_tokens": true})).await;
    let body = shop.refresh(&refresh_token).await.json();
    assert_ne!(text(&body, "refresh_token"), refresh_token);
    assert_eq!(failed(&shop.refresh(&refresh_token).await), bad("BAD_REFRESH_TOKEN"));
    assert_eq!(shop.refresh(&text(&body, "refresh_token")).await.status, 200);
}

#[tokio::test]
async fn a_token_may_live_for_any_time_that_can_be_said() {
    let shop = Shop::with_app().await;
    let (_, refresh_token) = shop.install().await;
    for lifetime in [i64::MAX as u64, u64::MAX] {
        let tokens = json!([{"token": "declared", "lifetime_ms": lifetime}]);
        let order = json!({"token_lifetime_ms": lifetime, "tokens": tokens});
        assert_eq!(shop.probe.post("/_emulator/credentials", order).await.status, 200);
        let token = text(&shop.refresh(&refresh_token).await.json(), "access_token");
        for token in [token.as_str(), "declared"] {
            assert_eq!(shop.call("GET", "/crm/v3/objects/contacts", token).await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_bad_refresh_token_is_told_in_the_words_of_the_edition() {
    let shop = Shop::with_app().await;
    let got = shop.refresh("na1-nothing").await;
    let body = got.json();
    assert_eq!(failed(&got), bad("BAD_REFRESH_TOKEN"));
    assert_eq!(body["error"], "invalid_grant");
    assert_eq!(body["error_description"], "refresh token is invalid, expired or revoked");
    assert_eq!(body["message"], "missing or invalid refresh token");
    assert_eq!(got.header("x-hubspot-correlation-id"), body["correlationId"].as_str());
    let mut fields = client();
    fields.extend([("grant_type", "refresh_token"), ("refresh_token", "na1-nothing")]);
    let old = shop.submit("/oauth/v1/token", &fields).await;
    assert_eq!(failed(&old), bad("BAD_REFRESH_TOKEN"));
    assert_eq!(old.json().get("error"), None);
}

#[tokio::test]
async fn a_token_body_in_json_has_no_grant_type() {
    let shop = Shop::with_app().await;
    let body = json!({"grant_type": "refresh_token", "client_id": "app-1"});
    let got = shop.probe.post("/oauth/v1/token", body).await;
    assert_eq!(failed(&got), bad("BAD_GRANT_TYPE"));
}

#[tokio::test]
async fn a_token_expires_by_the_emulators_clock() {
    let shop = Shop::with_app().await;
    let control = shop.probe.control();
    control.stop_clock(true);
    let (token, refresh_token) = shop.install().await;
    control.advance_clock(Duration::from_millis(1_799_999));
    assert_eq!(shop.call("GET", CONTACTS, &token).await.status, 200);
    let expires_at = control.now() + 1;
    control.advance_clock(Duration::from_millis(1 + 9 * 60_000));
    let got = shop.call("GET", CONTACTS, &token).await;
    let body = got.json();
    assert_eq!((got.status, &body["category"]), (401, &json!("EXPIRED_AUTHENTICATION")));
    assert_eq!(body["message"], "The OAuth token used to make this call expired 9 minute(s) ago.");
    let told = chrono::DateTime::from_timestamp_millis(expires_at).expect("a time");
    let told = told.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    assert_eq!(body["context"]["expire time"], json!([told]));
    assert_eq!(got.header("x-hubspot-auth-failure"), Some("401 Unauthorized"));
    assert!(got.headers.keys().all(|name| !name.as_str().contains("ratelimit")));
    let token = text(&shop.refresh(&refresh_token).await.json(), "access_token");
    assert_eq!(shop.call("GET", CONTACTS, &token).await.status, 200);
}

#[tokio::test]
async fn tokens_can_live_short_and_expire_on_order() {
    let credentials = Credentials { apps: vec![app()], ..Credentials::default() };
    let token_lifetime = Duration::from_millis(1_500);
    let shop = Shop::open(Credentials { token_lifetime, ..credentials }).await;
    let control = shop.probe.control();
    control.stop_clock(true);
    let code = shop.code(&[]).await;
    let body = shop.exchange("/oauth/v3/token", &code, &[]).await.json();
    assert_eq!(body["expires_in"], 2, "begun seconds count");
    control.advance_clock(Duration::from_millis(1_500));
    let token = text(&body, "access_token");
    assert_eq!(shop.call("GET", CONTACTS, &token).await.status, 401);
    control.set_token_lifetime(Duration::from_secs(21_600));
    let body = shop.refresh(&text(&body, "refresh_token")).await.json();
    assert_eq!(body["expires_in"], 21_600);
    assert_eq!(control.expire_tokens(), 1);
    assert_eq!(shop.call("GET", CONTACTS, &text(&body, "access_token")).await.status, 401);
    let body = shop.refresh(&text(&body, "refresh_token")).await.json();
    shop.probe.post("/_emulator/credentials", json!({"expire": true})).await;
    assert_eq!(shop.call("GET", CONTACTS, &text(&body, "access_token")).await.status, 401);
}

#[tokio::test]
async fn introspection_tells_all_of_a_token_under_the_names_of_the_edition() {
    let shop = Shop::with_app().await;
    shop.probe.control().stop_clock(true);
    let (access, refresh) = shop.install().await;
    let ask = async |version: &str, hint: &str, field: &str, token: &str| {
        let mut fields = client();
        fields.extend([("token_type_hint", hint), (field, token)]);
        shop.submit(&format!("/oauth/{version}/token/introspect"), &fields).await.json()
    };
    for (version, field) in [
        ("v3", "access_token"),
        ("2026-03", "access_token"),
        ("2026-03", "token"),
        ("2026-09", "token"),
    ] {
        let told = ask(version, "access_token", field, &access).await;
        assert_eq!(told["active"], true, "{version}");
        assert_eq!((&told["client_id"], &told["token"]), (&json!("app-1"), &json!(access)));
        assert_eq!(
            (&told["expires_in"], &told["token_use"]),
            (&json!(1_800), &json!("access_token"))
        );
        assert_eq!(told["is_private_distribution"], false);
        let signed = &told["signed_access_token"];
        assert_eq!((&signed["hubId"], &signed["appId"]), (&told["hub_id"], &told["app_id"]));
        assert_eq!(signed["scopes"], format!("{SCOPES} oauth"));
        assert!(signed["expiresAt"].is_i64() && signed["signature"].is_string());
    }
    let told = ask("v3", "refresh_token", "refresh_token", &refresh).await;
    assert_eq!((&told["active"], &told["token_use"]), (&json!(true), &json!("refresh_token")));
    assert_eq!(told.get("expires_in"), None);
    for (version, field, token) in [
        ("v3", "token", &access),
        ("2026-09", "access_token", &access),
        ("v3", "access_token", &refresh),
    ] {
        let told = ask(version, "access_token", field, token).await;
        assert_eq!(told, json!({"active": false}), "{version} {field}");
    }
    shop.probe.control().expire_tokens();
    assert_eq!(ask("v3", "access_token", "access_token", &access).await["active"], false);
    let stranger = [("client_id", "app-1"), ("client_secret", "x"), ("token", &access)];
    let got = shop.submit("/oauth/v3/token/introspect", &stranger).await;
    assert_eq!(failed(&got), bad("BAD_CLIENT_SECRET"));
}

#[tokio::test]
async fn a_revoked_refresh_token_is_dead_and_its_access_token_lives_on() {
    let shop = Shop::with_app().await;
    let (access, refresh) = shop.install().await;
    let mut fields = client();
    fields.extend([("token_type_hint", "refresh_token"), ("refresh_token", &refresh)]);
    assert_eq!(shop.submit("/oauth/v3/token/revoke", &fields).await.status, 204);
    assert_eq!(failed(&shop.refresh(&refresh).await), bad("BAD_REFRESH_TOKEN"));
    assert_eq!(shop.call("GET", CONTACTS, &access).await.status, 200);
    let mut fields = client();
    fields.extend([("token_type_hint", "access_token"), ("token", &access)]);
    assert_eq!(shop.submit("/oauth/2026-09/token/revoke", &fields).await.status, 204);
    let got = shop.call("GET", CONTACTS, &access).await;
    assert_eq!(
        (got.status, got.json()["category"].clone()),
        (401, json!("INVALID_AUTHENTICATION"))
    );
}

#[tokio::test]
async fn v1_tells_of_tokens_and_deletes_refresh_tokens() {
    let shop = Shop::with_app().await;
    shop.probe.control().stop_clock(true);
    let (access, refresh) = shop.install().await;
    let got = shop.visit(&format!("/oauth/v1/access-tokens/{access}"), &[]).await.json();
    assert_eq!((&got["token"], &got["expires_in"]), (&json!(access), &json!(1_800)));
    assert_eq!((&got["token_type"], &got["hub_id"]), (&json!("access"), &json!(24_680_135)));
    assert!(got["app_id"].is_u64() && got["user"].is_string() && got["hub_domain"].is_string());
    let path = format!("/oauth/v1/refresh-tokens/{refresh}");
    let got = shop.visit(&path, &[]).await.json();
    assert_eq!((&got["client_id"], &got["token_type"]), (&json!("app-1"), &json!("refresh")));
    assert_eq!(shop.call("DELETE", &path, "any").await.status, 204);
    assert_eq!(shop.call("DELETE", &path, "any").await.status, 404);
    assert_eq!(shop.visit(&path, &[]).await.json()["category"], "OBJECT_NOT_FOUND");
    assert_eq!(shop.visit("/oauth/v1/access-tokens/na1-x", &[]).await.status, 404);
    let log = json!(shop.probe.control().log(0)).to_string();
    assert!(log.contains("/oauth/v1/access-tokens/*"));
    assert!(!log.contains(&access) && !log.contains(&refresh), "tokens stay out of the log");
}

#[tokio::test]
async fn a_private_app_tells_its_scopes() {
    let shop = Shop::with_app().await;
    let path = "/oauth/v2/private-apps/get/access-token-info";
    let token = DeclaredToken::private_app("pat-na1-x", &["crm.lists.read"]);
    shop.probe.control().declare_token(token);
    let got = shop.probe.post(path, json!({"tokenKey": "pat-na1-x"})).await.json();
    assert_eq!(
        (&got["hubId"], &got["scopes"]),
        (&json!(24_680_135), &json!(["crm.lists.read", "oauth"]))
    );
    assert!(got["appId"].is_u64() && got["userId"].is_u64());
    let all = shop.probe.post(path, json!({"tokenKey": "undeclared"})).await.json();
    assert!(all["scopes"].as_array().is_some_and(|all| all.len() > 50));
    let (access, _) = shop.install().await;
    assert_eq!(shop.probe.post(path, json!({"tokenKey": access})).await.status, 404);
    assert_eq!(shop.probe.post(path, json!({})).await.status, 400);
}

#[tokio::test]
async fn an_uninstalled_app_has_nothing_left() {
    let shop = Shop::with_app().await;
    let (access, refresh) = shop.install().await;
    let (other, _) = shop.install().await;
    let path = "/appinstalls/v3/external-install";
    assert_eq!(shop.call("DELETE", path, "undeclared").await.status, 400);
    assert_eq!(shop.call("DELETE", path, &access).await.status, 204);
    for token in [&access, &other] {
        assert_eq!(shop.call("GET", CONTACTS, token).await.status, 401);
    }
    assert_eq!(failed(&shop.refresh(&refresh).await), bad("BAD_REFRESH_TOKEN"));
    let (access, _) = shop.install().await;
    assert!(shop.probe.control().uninstall_app("app-1"));
    assert!(!shop.probe.control().uninstall_app("app-1"));
    assert_eq!(shop.call("GET", CONTACTS, &access).await.status, 401);
}

#[tokio::test]
async fn client_credentials_give_a_token_of_the_app_alone() {
    let shop = Shop::with_app().await;
    let mut fields = client();
    fields.extend([
        ("grant_type", "client_credentials"),
        ("scope", "developer.webhooks_journal.read"),
    ]);
    let body = shop.submit("/oauth/2026-03/token", &fields).await.json();
    assert_eq!(body["scopes"], json!(["developer.webhooks_journal.read"]));
    assert_eq!((body.get("refresh_token"), body.get("hub_id")), (None, None));
    let got = shop.call("GET", CONTACTS, &text(&body, "access_token")).await;
    assert_eq!((got.status, got.json()["category"].clone()), (403, json!("MISSING_SCOPES")));
    let old = shop.submit("/oauth/v1/token", &fields).await;
    assert_eq!(failed(&old), bad("BAD_GRANT_TYPE"));
}

#[tokio::test]
async fn token_calls_are_free_and_logged_and_can_go_wrong() {
    let limits =
        EmulatorConfig { limit_per_ten_seconds: 0, oauth_limit_per_ten_seconds: 0, ..quiet() };
    let credentials = Credentials { apps: vec![app()], ..Credentials::default() };
    let probe = Probe::start(EmulatorConfig { credentials, ..limits }).await;
    let control = probe.control();
    let action = FaultAction::Refuse { status: 503, body: None, retry_after: None };
    let path = "/oauth/*/token".to_owned();
    control.add_fault(Fault { method: None, path, action, skip: 1, times: Some(1) });
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(probe.post("/oauth/v3/token", json!({})).await.status);
    }
    assert_eq!(statuses, [400, 503, 400]);
    let log = control.log(0);
    assert_eq!(log.counts["oauth.token"], [(400, 2), (503, 1)].into());
    assert_eq!(log.most_in_ten_seconds, 0, "they are no burst");
}

#[tokio::test]
async fn a_refresh_token_can_outlive_the_emulator() {
    let installed = OAuthApp { refresh_token: Some("na1-kept".to_owned()), ..app() };
    let shop = Shop::open(Credentials { apps: vec![installed], ..Credentials::default() }).await;
    let body = shop.refresh("na1-kept").await.json();
    let token = text(&body, "access_token");
    assert_eq!(shop.call("GET", CONTACTS, &token).await.status, 200);
    let control = shop.probe.control();
    control.take_snapshot();
    assert!(control.revoke_token(&token));
    control.restore_snapshot().expect("a snapshot");
    assert_eq!(shop.call("GET", CONTACTS, &token).await.status, 401, "tokens are no data");
    let kept = String::from_utf8(shop.probe.emulator.snapshot()).expect("JSON");
    assert!(!kept.contains(&token) && !kept.contains("na1-kept"));
}

#[tokio::test]
async fn unknown_tokens_pass_unless_refused() {
    let shop = Shop::with_app().await;
    assert_eq!(shop.call("GET", CONTACTS, "whatever").await.status, 200);
    let order = json!({
        "refuse_unknown_tokens": true,
        "tokens": [{"token": "key", "kind": "service_key", "lifetime_ms": 60_000}],
    });
    let state = shop.probe.post("/_emulator/credentials", order).await;
    assert_eq!(state.json()["live_tokens"], 1);
    assert!(!state.text.contains("\"key\"") && !state.text.contains("s3cret"));
    let got = shop.call("GET", CONTACTS, "whatever").await;
    let body = got.json();
    assert_eq!((got.status, &body["category"]), (401, &json!("EXPIRED_AUTHENTICATION")));
    assert_eq!(body["context"]["expire time"], json!(["1970-01-01T00:00:00.000Z"]));
    let days = shop.probe.control().now() / 86_400_000;
    assert!(text(&body, "message").ends_with(&format!("expired {days} day(s) ago.")));
    assert_eq!(shop.call("GET", CONTACTS, "key").await.status, 200);
    shop.probe.control().advance_clock(Duration::from_secs(60));
    assert_eq!(shop.call("GET", CONTACTS, "key").await.status, 401);
    shop.probe.post("/_emulator/credentials", json!({"revoke": ["key"]})).await;
    let got = shop.call("GET", CONTACTS, "key").await;
    assert_eq!(got.json()["category"], "INVALID_AUTHENTICATION");
    for wrong in [json!({"tokens": [{"kind": "key"}]}), json!({"tokem": []})] {
        assert_eq!(shop.probe.post("/_emulator/credentials", wrong).await.status, 400);
    }
    let kind = TokenKind::ServiceKey;
    let token = DeclaredToken { kind, ..DeclaredToken::private_app("key", &[]) };
    shop.probe.control().declare_token(token);
    assert_eq!(shop.call("GET", "/account-info/v3/details", "key").await.status, 200);
}
