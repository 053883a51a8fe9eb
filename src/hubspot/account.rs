use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::client::Client;
use super::error::{Error, ErrorKind};
use super::paths::Route;
use super::wire::optional_micros;

/// The row of the usage endpoint that counts private apps' calls.
const DAILY_CALLS: &str = "private-apps-api-calls-daily";

/// The account a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountDetails {
    /// The account's id.
    pub portal_id: u64,
    /// `STANDARD`, `DEVELOPER_TEST`, `SANDBOX`, …
    #[serde(default)]
    pub account_type: Option<String>,
    /// The time zone whose midnight starts a new day of calls.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// That time zone's offset from UTC at the moment.
    #[serde(default, rename = "utcOffsetMilliseconds")]
    pub utc_offset_ms: Option<i64>,
    /// The host of the account's web pages, such as `app-eu1.hubspot.com`.
    #[serde(default)]
    pub ui_domain: Option<String>,
    /// Where the account's data is kept, such as `eu1`.
    #[serde(default)]
    pub data_hosting_location: Option<String>,
    /// The account's main currency.
    #[serde(default)]
    pub company_currency: Option<String>,
}

/// How much of the day's calls is used, by all private apps of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyUsage {
    /// Calls a day.
    pub limit: u64,
    /// Calls used so far.
    pub used: u64,
    /// When the count starts again (µs since 1970, UTC).
    pub resets_at: Option<i64>,
}

/// What this process has asked of the account so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Attempts sent, repeats included.
    pub total: u64,
    /// Those of them that were searches.
    pub search: u64,
    /// Answers by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
    /// Time in which at least one call waited for the rate budget.
    pub waited: Duration,
    /// Calls left today as HubSpot last told, less those sent since.
    pub daily_remaining: Option<u64>,
    /// Calls a day as HubSpot last told.
    pub daily_limit: Option<u64>,
}

/// How much of what the account allows is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetUse {
    /// Calls of the last ten seconds.
    pub taken: u32,
    /// Calls allowed in any ten seconds.
    pub limit: u32,
    /// Calls left today as HubSpot last told, less those sent since.
    pub daily_remaining: Option<u64>,
    /// Calls a day as HubSpot last told.
    pub daily_limit: Option<u64>,
}

impl Client {
    /// How much of the budget this process uses now.
    pub fn budget_use(&self) -> BudgetUse {
        self.budget().usage()
    }

    /// The account the token belongs to; a cheap check that the token works.
    ///
    /// # Errors
    /// `Auth` when the token is refused; otherwise as any read.
    pub async fn account(&self) -> Result<AccountDetails, Error> {
        let details: AccountDetails = self.fetch(self.get(Route::AccountDetails, &[], "")).await?;
        if let Some(offset) = details.utc_offset_ms {
            self.budget().learn_offset(offset);
        }
        Ok(details)
    }

    /// The day's calls so far; `None` where the endpoint does not answer for
    /// this kind of token, or has no figures at the moment.
    ///
    /// # Errors
    /// `Auth`, and whatever means trying later.
    pub async fn daily_usage(&self) -> Result<Option<DailyUsage>, Error> {
        let report: UsageReport = match self.fetch(self.get(Route::DailyUsage, &[], "")).await {
            Ok(report) => report,
            Err(error) => match error.kind() {
                ErrorKind::MissingScope(_)
                | ErrorKind::NotFound
                | ErrorKind::Refused
                | ErrorKind::BadResponse => return Ok(None),
                _ => return Err(error),
            },
        };
        let usage = report.daily_calls();
        if let Some(usage) = usage {
            self.budget().learn_usage(usage.limit, usage.used, usage.resets_at);
        }
        Ok(usage)
    }
}

#[derive(Deserialize)]
struct UsageReport {
    #[serde(default)]
    results: Vec<UsageRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageRow {
    name: String,
    /// Absent or without meaning when `fetchStatus` is a failure.
    #[serde(default)]
    usage_limit: Option<u64>,
    #[serde(default)]
    current_usage: Option<u64>,
    #[serde(default)]
    fetch_status: Option<String>,
    #[serde(default, deserialize_with = "optional_micros")]
    resets_at: Option<i64>,
}

impl UsageReport {
    fn daily_calls(&self) -> Option<DailyUsage> {
        let row = self.results.iter().find(|row| row.name == DAILY_CALLS)?;
        let fetched = row.fetch_status.as_deref().is_none_or(|s| matches!(s, "SUCCESS" | "CACHED"));
        match (row.usage_limit, row.current_usage) {
            (Some(limit), Some(used)) if fetched && limit > 0 => {
                Some(DailyUsage { limit, used, resets_at: row.resets_at })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_s_calls_are_read_when_the_figures_are_good() {
        let body = r#"{"results":[{"name":"private-apps-api-calls-daily","usageLimit":1000000,"currentUsage":2,
            "collectedAt":"2025-12-12T22:25:10.655Z","fetchStatus":"SUCCESS","resetsAt":"2025-12-13T05:00:00Z"}]}"#;
        let report = |text: &str| serde_json::from_str::<UsageReport>(text).expect("a report");
        let expected =
            DailyUsage { limit: 1_000_000, used: 2, resets_at: Some(1_765_602_000_000_000) };
        assert_eq!(report(body).daily_calls(), Some(expected));
        assert_eq!(report(&body.replace("SUCCESS", "TIMEOUT")).daily_calls(), None);
        assert_eq!(report("{}").daily_calls(), None);
    }
}
