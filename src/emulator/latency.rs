//! How long answers take: one time, any between two, or a distribution.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::seed::draw::{Draw, salt};

/// How long answers take. Read from a text: `80ms`, `20ms..2s`, or
/// `p50=80ms,p95=300ms,p99=1500ms`.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// Shares of all calls, in thousandths of a percent, and the time that
    /// many stay within; both rise.
    points: Vec<(u32, Duration)>,
}

/// All calls, in thousandths of a percent.
const ALL: u32 = 100_000;

/// The longest that answers can be told to take, beyond any client's patience.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Why a text or value tells no latency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LatencyError(String);

impl LatencyError {
    fn of(text: &str) -> Self {
        Self(format!("`{text}` is not a latency: use `80ms`, `20ms..2s` or `p50=80ms,p95=300ms`"))
    }
}

impl Latency {
    /// No waiting.
    pub const NONE: Self = Self { points: Vec::new() };

    /// Any time between two, neither longer than a day, is as likely as another.
    pub fn between(least: Duration, most: Duration) -> Self {
        let (least, most) = (least.min(LONGEST), most.min(LONGEST));
        Self { points: vec![(0, least.min(most)), (ALL, most.max(least))] }
    }

    /// So many percent of the calls stay within so long. Between two points
    /// times spread evenly; below the lowest and above the highest they are
    /// what it says, so that the highest is the longest wait there is: a day at
    /// most.
    pub fn percentiles(
        points: impl IntoIterator<Item = (f64, Duration)>,
    ) -> Result<Self, LatencyError> {
        let mut kept: Vec<(u32, Duration)> = Vec::new();
        for (percent, time) in points {
            if !(0.0..=100.0).contains(&percent) {
                return Err(LatencyError::of(&format!("p{percent}")));
            }
            kept.push(((percent * 1_000.0).round() as u32, time));
        }
        kept.sort_unstable();
        let falling = kept.windows(2).any(|pair| pair[0].1 > pair[1].1 || pair[0].0 == pair[1].0);
        let endless = kept.iter().any(|(_, time)| *time > LONGEST);
        match falling || endless || kept.is_empty() {
            true => Err(LatencyError::of(&Self { points: kept }.to_string())),
            false => Ok(Self { points: kept }),
        }
    }

    /// The wait of the call with this number: the same for the same seed.
    pub(crate) fn draw(&self, seed: u64, turn: u64) -> Duration {
        match self.points.as_slice() {
            [] => Duration::ZERO,
            [(_, only)] => *only,
            _ => self.at(Draw::of(seed, salt("latency"), turn).below(u64::from(ALL) + 1) as u32),
        }
    }

    /// The time that half of the calls stay within.
    pub(crate) fn median(&self) -> Duration {
        self.at(ALL / 2)
    }

    fn at(&self, share: u32) -> Duration {
        let after = self.points.iter().position(|(point, _)| *point >= share);
        match after {
            None => self.points.last().map_or(Duration::ZERO, |(_, time)| *time),
            Some(0) => self.points[0].1,
            Some(next) => {
                let ((from, least), (to, most)) = (self.points[next - 1], self.points[next]);
                least + (most - least) * (share - from) / (to - from)
            }
        }
    }

    /// From JSON: a text as above, milliseconds, or `{"p50_ms": 80, …}`.
    pub(crate) fn from_json(value: &Value) -> Result<Self, LatencyError> {
        let wrong = || LatencyError::of(&value.to_string());
        match value {
            Value::String(text) => text.parse(),
            Value::Number(number) => {
                let millis = number.as_u64().ok_or_else(wrong)?;
                Ok(Duration::from_millis(millis).into())
            }
            Value::Object(fields) => {
                let point = |(name, value): (&String, &Value)| {
                    let percent = name.strip_prefix('p')?.strip_suffix("_ms")?.parse().ok()?;
                    Some((percent, Duration::from_millis(value.as_u64()?)))
                };
                let points: Option<Vec<(f64, Duration)>> = fields.iter().map(point).collect();
                Self::percentiles(points.ok_or_else(wrong)?)
            }
            _ => Err(wrong()),
        }
    }

    /// As JSON: `{"p50_ms": 80, …}`.
    pub(crate) fn to_json(&self) -> Value {
        let point = |(share, time): &(u32, Duration)| {
            let name = format!("p{}_ms", f64::from(*share) / 1_000.0);
            (name, json!(time.as_millis() as u64))
        };
        match self.points.as_slice() {
            // What is told can be posted back.
            [] => json!({"p50_ms": 0}),
            points => Value::Object(points.iter().map(point).collect::<Map<String, Value>>()),
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::NONE
    }
}

impl From<Duration> for Latency {
    /// Every call takes as long.
    fn from(time: Duration) -> Self {
        match time.is_zero() {
            true => Self::NONE,
            false => Self { points: vec![(ALL / 2, time)] },
        }
    }
}

impl FromStr for Latency {
    type Err = LatencyError;

    fn from_str(text: &str) -> Result<Self, LatencyError> {
        let wrong = || LatencyError::of(text);
        let time = |text: &str| humantime::parse_duration(text.trim()).map_err(|_| wrong());
        if let Some((least, most)) = text.split_once("..") {
            let (least, most) = (time(least)?, time(most)?);
            if least > most {
                let why = format!("`{text}` runs backwards: put the shorter time first");
                return Err(LatencyError(why));
            }
            return match most <= LONGEST {
                true => Ok(Self::between(least, most)),
                false => Err(wrong()),
            };
        }
        if !text.contains('=') {
            return Ok(time(text)?.into());
        }
        let point = |part: &str| {
            let (name, value) = part.split_once('=').ok_or_else(wrong)?;
            let percent = name.trim().strip_prefix('p').and_then(|percent| percent.parse().ok());
            Ok((percent.ok_or_else(wrong)?, time(value)?))
        };
        let points: Result<Vec<(f64, Duration)>, LatencyError> =
            text.split(',').map(point).collect();
        Self::percentiles(points?).map_err(|_| wrong())
    }
}

impl Display for Latency {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let told = |time: Duration| humantime::format_duration(time).to_string().replace(' ', "");
        match self.points.as_slice() {
            [] => out.write_str("0ms"),
            [(_, only)] => out.write_str(&told(*only)),
            [(0, least), (ALL, most)] => write!(out, "{}..{}", told(*least), told(*most)),
            points => {
                for (turn, (share, time)) in points.iter().enumerate() {
                    let comma = if turn == 0 { "" } else { "," };
                    write!(out, "{comma}p{}={}", f64::from(*share) / 1_000.0, told(*time))?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(latency: &Latency, count: u64) -> Vec<u64> {
        let mut all: Vec<u64> =
            (0..count).map(|turn| latency.draw(7, turn).as_millis() as u64).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn texts_are_read_and_told_again() {
        for text in ["0ms", "80ms", "20ms..2s", "p50=80ms,p95=300ms,p99.9=1s500ms"] {
            let latency: Latency = text.parse().expect(text);
            assert_eq!(latency.to_string(), text);
        }
        for text in [
            "",
            "80",
            "-5ms",
            "1s..3days",
            "p50",
            "p101=1s",
            "p50=2s,p95=1s",
            "p50=1s,p50=2s",
            "p50=1s,p95=3days",
        ] {
            let error = text.parse::<Latency>().expect_err(text);
            assert!(error.to_string().starts_with(&format!("`{text}` is not")), "{error}");
        }
    }

    #[test]
    fn json_tells_percentiles() {
        let value = json!({"p50_ms": 80, "p95_ms": 300, "p99_ms": 1500});
        let latency = Latency::from_json(&value).expect("a distribution");
        assert_eq!(latency.to_json(), value);
        assert_eq!(latency, "p50=80ms,p95=300ms,p99=1500ms".parse().expect("the same"));
        assert_eq!(Latency::from_json(&json!(80)), Ok(Duration::from_millis(80).into()));
        for wrong in [
            json!({"p50": 80}),
            json!({"p50_ms": "80"}),
            json!({}),
            json!([]),
            json!(-1),
            json!({"p50_ms": 0, "p95_ms": u64::MAX}),
        ] {
            assert!(Latency::from_json(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_rises() {
        let error = "2s..20ms".parse::<Latency>().expect_err("a mistake").to_string();
        assert_eq!(error, "`2s..20ms` runs backwards: put the shorter time first");
    }

    #[test]
    fn percentiles_are_kept() {
        let latency: Latency = "p50=80ms,p95=300ms,p99=1500ms".parse().expect("a distribution");
        let all = millis(&latency, 10_000);
        assert_eq!((all[0], all[4_500], all[9_999]), (80, 80, 1_500));
        assert!((280..=320).contains(&all[9_500]), "{}", all[9_500]);
        assert_eq!(latency.median(), Duration::from_millis(80));
    }

    #[test]
    fn a_range_is_drawn_evenly_and_the_same_each_time() {
        let latency = Latency::between(Duration::from_millis(20), Duration::from_millis(2_020));
        let all = millis(&latency, 10_000);
        assert!(all[0] >= 20 && all[9_999] <= 2_020);
        assert!((970..1_070).contains(&all[5_000]), "{}", all[5_000]);
        assert_eq!(latency.draw(7, 3), latency.draw(7, 3));
        assert_ne!(latency.draw(7, 3), latency.draw(8, 3));
    }
}
