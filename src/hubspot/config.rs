use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::secret::SecretRef;

/// Where HubSpot's API answers; `api.hubspot.com` does too, this is the
/// documented one.
const DEFAULT_BASE_URL: &str = "https://api.hubapi.com";
/// Where the token is looked for when the settings name no place.
const DEFAULT_TOKEN_VARIABLE: &str = "HUBSPOT_ACCESS_TOKEN";
/// A tenth of the day is left for whatever else the account runs.
const DEFAULT_RESERVE_PERCENT: u8 = 10;
/// The smallest ten-second budget HubSpot grants (Free and Starter).
const DEFAULT_BURST_LIMIT: u32 = 100;
/// HubSpot's gateway gives up after 100 s at the latest; most answers take
/// well under a second.
const DEFAULT_REQUEST_TIMEOUT_SECS: u64 = 60;
/// Index lag is seconds in practice, 30 s has been reported.
const DEFAULT_INDEX_LAG_SECS: u64 = 60;

/// The `hubspot:` section of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HubSpotConfig {
    /// The API's base URL, without a trailing path.
    pub base_url: String,
    /// Where the access token is kept; the environment variable
    /// `HUBSPOT_ACCESS_TOKEN` when absent.
    pub token: Option<SecretRef>,
    /// The account the token must belong to; not checked when absent.
    pub portal_id: Option<u64>,
    /// Calls of the day that are left for others: `20%` or a number of calls.
    pub daily_reserve: DailyReserve,
    /// The version of the API's paths.
    pub api_version: ApiVersion,
    /// Calls per ten seconds to assume until the API tells its limit.
    pub burst_limit: Option<u32>,
    /// How long one request may take, its answer included.
    pub request_timeout_secs: u64,
    /// How long search may lag behind writes.
    pub index_lag_secs: u64,
}

impl Default for HubSpotConfig {
    fn default() -> Self {
        Self {
            base_url: DEFAULT_BASE_URL.to_owned(),
            token: Some(SecretRef::Env(DEFAULT_TOKEN_VARIABLE.to_owned())),
            portal_id: None,
            daily_reserve: DailyReserve::default(),
            api_version: ApiVersion::default(),
            burst_limit: None,
            request_timeout_secs: DEFAULT_REQUEST_TIMEOUT_SECS,
            index_lag_secs: DEFAULT_INDEX_LAG_SECS,
        }
    }
}

/// A setting of the `hubspot:` section that cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The base URL is no absolute `http` or `https` URL.
    #[error(
        "`hubspot.base_url` is `{0}`: an absolute `http` or `https` URL without a query is expected"
    )]
    BaseUrl(String),
    /// A number is outside its range.
    #[error("`hubspot.{field}` is {value}: {expected}")]
    OutOfRange {
        /// The field within the section.
        field: &'static str,
        /// What it holds.
        value: u64,
        /// What it may hold.
        expected: &'static str,
    },
}

impl HubSpotConfig {
    /// Checks what types alone cannot.
    ///
    /// # Errors
    /// The first setting that cannot hold, named by its path.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check_base_url()?;
        let out_of_range =
            |field, value, expected| Err(ConfigError::OutOfRange { field, value, expected });
        if let Some(limit @ (0..10 | 10_001..)) = self.burst_limit {
            return out_of_range("burst_limit", limit.into(), "10 to 10000 calls are expected");
        }
        if !(1..=600).contains(&self.request_timeout_secs) {
            let value = self.request_timeout_secs;
            return out_of_range("request_timeout_secs", value, "1 to 600 seconds are expected");
        }
        if self.index_lag_secs > 3_600 {
            let value = self.index_lag_secs;
            return out_of_range("index_lag_secs", value, "at most 3600 seconds are expected");
        }
        Ok(())
    }

    /// The reference the token is read from, the default one when none is set.
    pub fn token_ref(&self) -> SecretRef {
        self.token.clone().unwrap_or_else(|| SecretRef::Env(DEFAULT_TOKEN_VARIABLE.to_owned()))
    }

    /// The ten-second limit to start from.
    pub(crate) fn assumed_burst_limit(&self) -> u32 {
        self.burst_limit.unwrap_or(DEFAULT_BURST_LIMIT)
    }

    fn check_base_url(&self) -> Result<(), ConfigError> {
        let usable = url::Url::parse(&self.base_url).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        if usable { Ok(()) } else { Err(ConfigError::BaseUrl(self.base_url.clone())) }
    }
}

/// The version of the API's paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// `/crm/v3/…` with `/crm/v4/…` associations; unsupported from 2027.
    #[serde(rename = "v3")]
    V3,
    /// The dated paths of March 2026, which behave as v3 and v4.
    #[default]
    #[serde(rename = "2026-03")]
    March2026,
    /// The dated paths of September 2026: an admin's validation rules hold
    /// for API writes too.
    #[serde(rename = "2026-09")]
    September2026,
}

/// How much of the day's calls is left for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DailyReserve {
    /// A share of the daily limit, 0 to 100.
    Percent(u8),
    /// A number of calls.
    Calls(u64),
}

impl Default for DailyReserve {
    fn default() -> Self {
        Self::Percent(DEFAULT_RESERVE_PERCENT)
    }
}

impl DailyReserve {
    /// The number of calls to leave of a daily limit.
    pub fn calls(self, daily_limit: u64) -> u64 {
        match self {
            Self::Percent(percent) => daily_limit.saturating_mul(percent.into()) / 100,
            Self::Calls(calls) => calls,
        }
    }
}

impl FromStr for DailyReserve {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || format!("`{text}` is no reserve: `20%` or a number of calls is expected");
        match text.trim().strip_suffix('%') {
            Some(percent) => match percent.trim_end().parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err(refused()),
            },
            None => text.trim().parse().map(Self::Calls).map_err(|_| refused()),
        }
    }
}

impl fmt::Display for DailyReserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Calls(calls) => write!(f, "{calls}"),
        }
    }
}

impl<'de> Deserialize<'de> for DailyReserve {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = DailyReserve;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share such as `20%` or a number of calls")
            }

            fn visit_u64<E: serde::de::Error>(self, calls: u64) -> Result<DailyReserve, E> {
                Ok(DailyReserve::Calls(calls))
            }

            fn visit_i64<E: serde::de::Error>(self, calls: i64) -> Result<DailyReserve, E> {
                u64::try_from(calls)
                    .map(DailyReserve::Calls)
                    .map_err(|_| E::custom("a reserve cannot be negative"))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DailyReserve, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for DailyReserve {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DailyReserve".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Calls of the day left for others: a share or a number of calls.",
            "oneOf": [
                { "type": "string", "pattern": "^\\s*([0-9]{1,2}|100)\\s*%\\s*$" },
                { "type": "integer", "minimum": 0 }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<HubSpotConfig, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn an_empty_section_holds_the_defaults() {
        let config = parse("{}").expect("defaults");
        assert_eq!(config, HubSpotConfig::default());
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(config.api_version, ApiVersion::March2026);
        assert_eq!(config.token_ref(), SecretRef::Env("HUBSPOT_ACCESS_TOKEN".into()));
    }

    #[test]
    fn a_reserve_is_a_share_or_a_number_of_calls() {
        let reserve = |text: &str| {
            parse(&format!(r#"{{"daily_reserve":{text}}}"#)).map(|config| config.daily_reserve)
        };
        assert_eq!(reserve(r#""20%""#).expect("a share"), DailyReserve::Percent(20));
        assert_eq!(reserve("5000").expect("calls"), DailyReserve::Calls(5_000));
        assert_eq!(reserve(r#""5000""#).expect("calls"), DailyReserve::Calls(5_000));
        for text in [r#""101%""#, r#""-1%""#, "-5", "0.5", r#""some""#, "null"] {
            assert!(reserve(text).is_err(), "{text} was taken");
        }
        assert_eq!(DailyReserve::Percent(20).calls(625_000), 125_000);
        assert_eq!(DailyReserve::Calls(7).calls(625_000), 7);
        assert_eq!(DailyReserve::Percent(20).to_string(), "20%");
    }

    #[test]
    fn a_section_is_read_from_yaml_as_people_write_it() {
        let text = "base_url: http://127.0.0.1:8080\ntoken: { file: secrets/token }\nportal_id: 1234567\n\
                    daily_reserve: 20%\napi_version: 2026-09\nburst_limit: 190\n";
        let config: HubSpotConfig = serde_saphyr::from_str(text).expect("a section");
        let expected = HubSpotConfig {
            base_url: "http://127.0.0.1:8080".into(),
            token: Some(SecretRef::File("secrets/token".into())),
            portal_id: Some(1_234_567),
            daily_reserve: DailyReserve::Percent(20),
            api_version: ApiVersion::September2026,
            burst_limit: Some(190),
            ..HubSpotConfig::default()
        };
        assert_eq!(config, expected);
        let calls: HubSpotConfig = serde_saphyr::from_str("daily_reserve: 5000").expect("a number");
        assert_eq!(calls.daily_reserve, DailyReserve::Calls(5_000));
    }

    #[test]
    fn unknown_keys_and_versions_are_refused() {
        for text in [r#"{"base_ulr":"x"}"#, r#"{"api_version":"v4"}"#, r#"{"token":"pat-1"}"#] {
            assert!(parse(text).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn a_setting_that_cannot_hold_is_named_by_its_path() {
        for (text, named) in [
            (r#"{"base_url":"api.hubapi.com"}"#, "hubspot.base_url"),
            (r#"{"base_url":"ftp://x"}"#, "hubspot.base_url"),
            (r#"{"base_url":"https://x/?a=b"}"#, "hubspot.base_url"),
            (r#"{"burst_limit":3}"#, "hubspot.burst_limit"),
            (r#"{"request_timeout_secs":0}"#, "hubspot.request_timeout_secs"),
            (r#"{"index_lag_secs":100000}"#, "hubspot.index_lag_secs"),
        ] {
            let error = parse(text).expect("a section").validate().expect_err("out of range");
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn the_schema_describes_every_field() {
        let schema = schemars::schema_for!(HubSpotConfig);
        let fields = schema.get("properties").and_then(|p| p.as_object()).expect("fields");
        assert_eq!(fields.len(), 8);
        for (name, field) in fields {
            assert!(field.get("description").is_some(), "{name} has no description");
        }
    }
}
