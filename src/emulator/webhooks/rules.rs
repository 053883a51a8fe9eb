//! How unkindly events are delivered.

use serde::{Deserialize, Serialize};

/// Which signatures a delivery carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookSignatures {
    /// v1 and v3, as recorded deliveries to public apps do.
    Both,
    /// v1 alone: that a private app's webhooks carry v3 is not documented.
    V1,
    /// v3 alone.
    V3,
}

/// How webhooks are delivered: at least once, in no order, within limits that
/// a test may change. What chance decides follows from the seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookRules {
    /// Of a hundred events, how many are sent twice.
    pub duplicate_percent: u8,
    /// Of a hundred events, how many fall behind later ones.
    pub disorder_percent: u8,
    /// Of a hundred events, how many have the `eventId` of the one before.
    pub shared_event_id_percent: u8,
    /// Of a hundred events, how many lack `sourceId`.
    pub missing_source_percent: u8,
    /// How long a change made through the webhooks API stays without effect on
    /// what an app hears of, on the emulator's clock. HubSpot's settings are
    /// cached for up to five minutes.
    pub settings_lag_ms: u64,
    /// How long a receiver may take to answer, in machine time.
    pub answer_within_ms: u64,
    /// How long an event waits for others to share its request, in machine
    /// time.
    pub batch_window_ms: u64,
    /// Which signatures a delivery carries.
    pub signatures: WebhookSignatures,
    /// What is added to the time a delivery is signed with: a receiver refuses
    /// one of more than five minutes ago.
    pub timestamp_skew_ms: i64,
    /// Whether that time is read off the emulator's clock. By default it is
    /// the machine's, as receivers compare it with the machine's.
    pub timestamp_by_emulator_clock: bool,
}

impl Default for WebhookRules {
    fn default() -> Self {
        Self {
            duplicate_percent: 2,
            disorder_percent: 10,
            shared_event_id_percent: 2,
            missing_source_percent: 2,
            settings_lag_ms: 0,
            // Documented; the header `X-HubSpot-Timeout-Millis` says more.
            answer_within_ms: 5_000,
            batch_window_ms: 20,
            signatures: WebhookSignatures::Both,
            timestamp_skew_ms: 0,
            timestamp_by_emulator_clock: false,
        }
    }
}

impl WebhookRules {
    /// Every event once, in order, with an id and a source of its own.
    pub fn kind() -> Self {
        Self {
            duplicate_percent: 0,
            disorder_percent: 0,
            shared_event_id_percent: 0,
            missing_source_percent: 0,
            ..Self::default()
        }
    }
}
