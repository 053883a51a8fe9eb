//! The account itself.

use chrono::{DateTime, Offset, Utc};
use serde_json::json;

use crate::emulator::account::Account;
use crate::emulator::call::{Answer, Call, Reply};
use crate::emulator::moment;
use crate::emulator::paths::Edition;
use crate::emulator::shared::Shared;

/// `GET /account-info/v3/details`
pub(super) fn details(account: &Account, call: &Call) -> Answer {
    let now = DateTime::<Utc>::from_timestamp_millis(account.now()).unwrap_or_default();
    let offset = now.with_timezone(&account.time_zone).offset().fix();
    let mut body = json!({
        "portalId": account.portal_id,
        "accountType": "STANDARD",
        "timeZone": account.time_zone.name(),
        "companyCurrency": "USD",
        "additionalCurrencies": account.currencies,
        "utcOffset": offset.to_string(),
        "utcOffsetMilliseconds": i64::from(offset.local_minus_utc()) * 1_000,
        "uiDomain": "app.hubspot.com",
        "dataHostingLocation": "na1",
    });
    if call.edition == Edition::September2026 {
        body["portalName"] = json!("Stand-in account");
        body["createdAt"] = json!("2018-04-09T13:16:56.625Z");
    }
    Ok(Reply::json(200, &body))
}

/// `GET /account-info/v3/api-usage/daily/private-apps`
pub(super) fn daily_usage(shared: &Shared) -> Answer {
    let now = shared.read().now();
    let mut gate = shared.gate();
    let used = gate.used_today(now);
    let resets_at = gate.resets_at(now);
    Ok(Reply::json(
        200,
        &json!({"results": [{
            "name": "private-apps-api-calls-daily",
            "usageLimit": gate.limits.daily,
            "currentUsage": used,
            "collectedAt": moment::exact(now),
            "fetchStatus": "SUCCESS",
            "resetsAt": moment::trimmed(resets_at),
        }]}),
    ))
}
