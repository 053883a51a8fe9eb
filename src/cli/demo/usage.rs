//! Made-up product usage for the demo's contacts: what a SaaS product's own
//! tables would hold. The same contacts and day give the same files.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::{DateTime, Days, NaiveDate, Utc};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

/// Days of usage made up, ending yesterday.
const DAYS: u64 = 35;
/// Of a hundred contacts with an email, how many ever use the product.
const ACTIVE_PERCENT: u32 = 60;
const FEATURES: [&str; 6] =
    ["login", "report_viewed", "report_exported", "dashboard_shared", "import_run", "api_call"];
const PLANS: [&str; 4] = ["free", "team", "business", "enterprise"];
const DAY_MICROS: i64 = 86_400_000_000;

/// A person who may use the product.
#[derive(Clone, Debug)]
pub(super) struct Person {
    /// Where the product knows the person by.
    pub(super) email: String,
    /// The domain of the person's company, which owns the workspace.
    pub(super) domain: String,
}

struct Event {
    workspace: String,
    email: String,
    name: &'static str,
    at: i64,
}

/// Writes `usage/events/*.parquet`, one file a week, and
/// `usage/workspaces.csv`; how many events there are.
pub(super) fn write(project: &Path, people: &[Person], today: NaiveDate) -> io::Result<usize> {
    let folder = project.join("usage");
    fs::create_dir_all(folder.join("events"))?;
    let domains = domains(people);
    write_workspaces(&folder.join("workspaces.csv"), &domains, today)?;
    let mut events: Vec<Event> =
        people.iter().enumerate().flat_map(|(i, p)| events_of(i, p, &domains, today)).collect();
    events.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.email.cmp(&b.email)));
    for (week, part) in events.chunk_by(|a, b| week_of(a.at) == week_of(b.at)).enumerate() {
        write_events(&folder.join(format!("events/week-{:02}.parquet", week + 1)), part)?;
    }
    Ok(events.len())
}

fn week_of(micros: i64) -> i64 {
    micros.div_euclid(7 * DAY_MICROS)
}

fn domains(people: &[Person]) -> Vec<&str> {
    let mut domains: Vec<&str> = people.iter().map(|p| p.domain.as_str()).collect();
    domains.sort_unstable();
    domains.dedup();
    domains
}

fn workspace_id(domains: &[&str], domain: &str) -> String {
    let at = domains.binary_search(&domain).unwrap_or_else(|insert| insert);
    format!("ws-{:04}", at + 1)
}

fn events_of(index: usize, person: &Person, domains: &[&str], today: NaiveDate) -> Vec<Event> {
    let mut random = fastrand::Rng::with_seed(index as u64 ^ 0x9e37_79b9_7f4a_7c15);
    if random.u32(0..100) >= ACTIVE_PERCENT {
        return Vec::new();
    }
    let workspace = workspace_id(domains, &person.domain);
    let eagerness = random.f32() * random.f32();
    let first_day = today - Days::new(DAYS);
    let mut events = Vec::new();
    for day in 0..DAYS {
        if random.f32() > eagerness {
            continue;
        }
        let midnight = (first_day + Days::new(day))
            .and_time(chrono::NaiveTime::MIN)
            .and_utc()
            .timestamp_micros();
        for _ in 0..random.usize(1..4) {
            let at = midnight + random.i64(8 * 3600..18 * 3600) * 1_000_000;
            let name = FEATURES[random.usize(0..FEATURES.len())];
            events.push(Event {
                workspace: workspace.clone(),
                email: person.email.clone(),
                name,
                at,
            });
        }
    }
    events
}

fn write_workspaces(path: &Path, domains: &[&str], today: NaiveDate) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(out, "workspace_id,domain,plan,seats,created_on")?;
    let mut random = fastrand::Rng::with_seed(7);
    for domain in domains {
        let plan = PLANS[random.usize(0..PLANS.len())];
        let (seats, age) = (random.u32(1..60), random.u64(40..900));
        writeln!(
            out,
            "{},{domain},{plan},{seats},{}",
            workspace_id(domains, domain),
            today - Days::new(age)
        )?;
    }
    out.flush()
}

fn write_events(path: &Path, events: &[Event]) -> io::Result<()> {
    let text = |get: &dyn Fn(usize) -> String| {
        Arc::new((0..events.len()).map(|i| Some(get(i))).collect::<StringArray>()) as ArrayRef
    };
    let times: TimestampMicrosecondArray = events.iter().map(|event| Some(event.at)).collect();
    let batch = RecordBatch::try_from_iter([
        ("event_id", text(&|i| format!("{}-{i}", events[i].at))),
        ("workspace_id", text(&|i| events[i].workspace.clone())),
        ("user_email", text(&|i| events[i].email.clone())),
        ("event_name", text(&|i| events[i].name.to_owned())),
        ("occurred_at", Arc::new(times.with_timezone("UTC")) as ArrayRef),
    ])
    .map_err(io::Error::other)?;
    let settings = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), Some(settings))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

/// The day the demo is made on.
pub(super) fn day_of(now: DateTime<Utc>) -> NaiveDate {
    now.date_naive()
}
