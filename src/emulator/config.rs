//! Settings of an emulator.

use std::path::PathBuf;
use std::time::Duration;

use super::latency::Latency;
use super::rules::Rules;
use super::tokens::Credentials;
use super::webhooks::{WebhookApp, WebhookRules};

/// What a stand-in account holds and how it behaves.
///
/// The same settings give the same account, ids and times included.
#[derive(Clone, Debug)]
pub struct EmulatorConfig {
    /// Port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Seeded contacts.
    pub contacts: u64,
    /// Seeded companies.
    pub companies: u64,
    /// Seeded deals.
    pub deals: u64,
    /// Seeded tickets.
    pub tickets: u64,
    /// Seeded notes, tasks, calls, meetings and emails together; none without
    /// contacts. Products, line items, quotes and leads follow from the deals
    /// and the contacts.
    pub activities: u64,
    /// What the account is made of.
    pub seed: u64,
    /// How long answers take.
    pub latency: Latency,
    /// Calls allowed in any ten seconds, per token.
    pub limit_per_ten_seconds: u32,
    /// Calls allowed in any ten seconds, per app that was given tokens by
    /// OAuth.
    pub oauth_limit_per_ten_seconds: u32,
    /// Searches allowed in any second, per account.
    pub searches_per_second: u32,
    /// Calls allowed from one midnight to the next, per account.
    pub daily_limit: u64,
    /// The one token that is accepted beside those of `credentials`; none
    /// accepts every non-empty one.
    pub token: Option<String>,
    /// Apps, tokens and their scopes.
    pub credentials: Credentials,
    /// The account's id.
    pub portal_id: u64,
    /// How long a change stays unseen by search.
    pub index_lag: Duration,
    /// How long a new property stays unknown to writes (`live`: 250 to 700 ms).
    pub property_lag: Duration,
    /// IANA name of the zone whose midnight resets the daily limit.
    pub time_zone: String,
    /// Whether the `total` of a search is now and then wrong, as HubSpot's is.
    pub wrong_totals: bool,
    /// Longest search body, in characters; none takes any.
    pub search_body_limit: Option<usize>,
    /// Longest path and query, in characters; beyond it the answer is 414.
    pub url_limit: usize,
    /// Custom properties per object type beside the usual ones, mostly empty.
    pub extra_properties: usize,
    /// Rules of the account's own, and readings of unclear ones.
    pub rules: Rules,
    /// What [`Emulator::snapshot`](super::Emulator::snapshot) told of an
    /// account of the same settings: the account goes on from there.
    pub restore: Option<Vec<u8>>,
    /// A file to which every exchange is added, one JSON object a line, with
    /// secrets replaced: what [`replay`](super::replay()) reads.
    pub record: Option<PathBuf>,
    /// The folder of the throw-away certificates: with it the port speaks TLS
    /// beside plain HTTP, and opens tunnels for clients that take it for
    /// their proxy. Clients must trust the folder's `ca.pem`.
    pub tls: Option<PathBuf>,
    /// An app that hears of changes from the start.
    pub webhooks: Option<WebhookApp>,
    /// The client secret of apps that were given none, such as those that
    /// came into being through the webhooks API.
    pub webhook_secret: Option<String>,
    /// How webhooks are delivered.
    pub webhook_rules: WebhookRules,
}

impl Default for EmulatorConfig {
    fn default() -> Self {
        Self {
            port: 0,
            contacts: 1_000,
            companies: 200,
            deals: 300,
            tickets: 50,
            activities: 200,
            seed: 1,
            latency: Latency::NONE,
            // A Professional or Enterprise account's private app; section 3
            // of the API reference.
            limit_per_ten_seconds: 190,
            oauth_limit_per_ten_seconds: 110,
            searches_per_second: 5,
            daily_limit: 625_000,
            token: None,
            credentials: Credentials::default(),
            portal_id: 24_680_135,
            index_lag: Duration::from_secs(3),
            property_lag: Duration::ZERO,
            time_zone: "US/Eastern".to_owned(),
            wrong_totals: true,
            search_body_limit: Some(3_000),
            // Observed between 8,000 and 16,200.
            url_limit: 8_000,
            extra_properties: 0,
            rules: Rules::default(),
            restore: None,
            record: None,
            tls: None,
            webhooks: None,
            webhook_secret: None,
            webhook_rules: WebhookRules::default(),
        }
    }
}
