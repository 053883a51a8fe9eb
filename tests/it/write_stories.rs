//! Write-back, whatever happens: random rows, people's edits, faults and kills.
//! Afterwards every row has one outcome, the account is what the policies say, no
//! record was made twice, a further run writes nothing, and an undo restores what
//! nobody has touched since.
//!
//! What the policies say is worked out here once more, in [`wins`], from README's
//! table; nothing of the planner is asked. `HUBLAKE_STORIES` asks for more stories
//! and `HUBLAKE_SEED` for one of them again.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Utc;
use hublake::emulator::{Fault, FaultAction};
use hublake::load::{ApplyReport, Counts};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::load::{CREATES, Row, UPDATES, World};
use crate::undo::undo;

const STAGES: [&str; 6] = [
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
];
const TITLES: [&str; 4] = ["CTO", "Engineer", "Head of Sales", "Founder & CEO"];
const SCORE: &str = "usage_score";
const TITLE: &str = "jobtitle";
const STAGE: &str = "lifecyclestage";
/// Records of the account that a story is about.
const SUBJECTS: usize = 12;
/// Addresses that nobody in the account has at first.
const STRANGERS: usize = 4;
/// Clean runs that may be needed until nothing is left to do.
const MOST_CLEAN_RUNS: usize = 4;

/// Who wins, for the score and the title; stages only ever move forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Overwrite,
    Yield,
    FillEmpty,
    Max,
    Min,
    Forward,
}

impl Policy {
    fn setting(self) -> String {
        match self {
            Self::Overwrite => "overwrite".to_owned(),
            Self::Yield => "yield".to_owned(),
            Self::FillEmpty => "fill_empty".to_owned(),
            Self::Max => "max".to_owned(),
            Self::Min => "min".to_owned(),
            Self::Forward => format!("{{ forward_only: [{}] }}", STAGES.join(", ")),
        }
    }
}

/// The value that a policy writes; none where HubSpot keeps what it has. `held` is
/// HubSpot's, `ours` what hublake set last.
fn wins(policy: Policy, wanted: &str, held: &str, ours: Option<&str>) -> bool {
    let number = |text: &str| text.parse::<f64>().expect("a score");
    let place = |stage: &str| STAGES.iter().position(|known| *known == stage);
    match policy {
        _ if wanted == held => false,
        Policy::Overwrite => true,
        Policy::Yield => held.is_empty() || ours == Some(held),
        Policy::FillEmpty => held.is_empty() && ours.is_none(),
        Policy::Max => held.is_empty() || number(wanted) > number(held),
        Policy::Min => held.is_empty() || number(wanted) < number(held),
        Policy::Forward => {
            held.is_empty() || place(held).is_some_and(|at| place(wanted) > Some(at))
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Update,
    Upsert,
    Create,
}

/// What a record is known by: its id, or its address.
type Key = String;

struct Story {
    random: fastrand::Rng,
    world: World,
    mode: Mode,
    policies: BTreeMap<&'static str, Policy>,
    /// Records by key; those that hublake makes come in.
    records: BTreeMap<Key, u64>,
    strangers: Vec<Key>,
    /// What hublake set last, as far as this test reckons.
    ours: BTreeMap<(Key, &'static str), String>,
    contacts_at_first: usize,
    runs: usize,
    /// When the next plan is made (µs): now, or an hour ago in stories whose plans
    /// are old by the time they are carried out.
    old_since: Option<i64>,
    told: Vec<String>,
}

impl Story {
    async fn begin(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mode = random.choice([Mode::Update, Mode::Upsert, Mode::Create]).expect("a mode");
        let score = [Policy::Overwrite, Policy::Yield, Policy::FillEmpty, Policy::Max, Policy::Min];
        let policies = BTreeMap::from([
            (SCORE, random.choice(score).expect("a policy")),
            (TITLE, random.choice(score[..3].to_vec()).expect("a policy")),
            (STAGE, Policy::Forward),
        ]);
        let (key, mode_name) = match mode {
            Mode::Update => ("record_id", "update"),
            Mode::Upsert => ("email", "upsert"),
            Mode::Create => ("email", "create"),
        };
        let settings = format!(
            "object: contacts\nmatch: {{ {key}: id }}\nmode: {mode_name}\nproperties:\n  \
             {SCORE}: {{ from: score, policy: {}, create: {{ type: number, group: product_usage, label: Score }} }}\n  \
             {TITLE}: {{ from: title, policy: {} }}\n  {STAGE}: {{ from: stage, policy: {} }}\n",
            policies[SCORE].setting(),
            policies[TITLE].setting(),
            policies[STAGE].setting()
        );
        let world = World::new(&settings).await;
        let listed = listed(&world).await;
        let mut known: Vec<(u64, Option<String>)> = listed.clone();
        random.shuffle(&mut known);
        let keyed = known.into_iter().filter_map(|(id, email)| match mode {
            Mode::Update => Some((id.to_string(), id)),
            Mode::Upsert | Mode::Create => Some((email?, id)),
        });
        let records = keyed.take(SUBJECTS).collect();
        let strangers = match mode {
            Mode::Update => Vec::new(),
            Mode::Upsert | Mode::Create => {
                (0..STRANGERS).map(|at| format!("stranger{at}@example.com")).collect()
            }
        };
        let old_since = random.bool().then(|| Utc::now().timestamp_micros() - 3_600_000_000);
        let told = vec![format!("seed {seed}: {mode:?}, {policies:?}, {old_since:?}")];
        Self {
            random,
            world,
            mode,
            policies,
            records,
            strangers,
            ours: BTreeMap::new(),
            contacts_at_first: listed.len(),
            runs: 0,
            old_since,
            told,
        }
    }

    /// When the next run plans.
    fn now(&self) -> i64 {
        match self.old_since {
            Some(since) => since + self.runs as i64 * 1_000_000,
            None => Utc::now().timestamp_micros(),
        }
    }

    fn tell(&mut self, what: impl Into<String>) {
        self.told.push(what.into());
    }

    fn held(&self, key: &Key, property: &str) -> String {
        let id = self.records.get(key);
        id.and_then(|id| self.world.value(*id, property)).unwrap_or_default()
    }

    fn some_value(&mut self, property: &str) -> String {
        match property {
            SCORE => self.random.u8(..12).to_string(),
            TITLE => self.random.choice(TITLES).expect("a title").to_owned(),
            _ => self.random.choice(STAGES).expect("a stage").to_owned(),
        }
    }

    /// People change a few values, or empty them.
    fn edit(&mut self, most: usize) {
        for _ in 0..self.random.usize(..=most) {
            let keys: Vec<Key> = self.records.keys().cloned().collect();
            let key = self.random.choice(keys).expect("a record");
            let property = self.random.choice([SCORE, TITLE, STAGE]).expect("a property");
            // The score's property is there once a run has made it.
            if property == SCORE && self.runs == 0 {
                continue;
            }
            let value = match self.random.u8(..4) {
                0 if property != STAGE => String::new(),
                _ => self.some_value(property),
            };
            self.tell(format!("a person sets {property} of {key} to `{value}`"));
            self.world.edit(self.records[&key], property, &value);
        }
    }

    /// Rows of the model, good ones by key, and how many of all are no good.
    fn rows(&mut self) -> (Vec<Row>, BTreeMap<Key, Row>, u64) {
        let keys: Vec<Key> = self.records.keys().chain(&self.strangers).cloned().collect();
        let keys: BTreeSet<Key> = keys.into_iter().collect();
        let (mut rows, mut good, mut bad) = (Vec::new(), BTreeMap::new(), 0);
        for key in keys {
            if self.random.u8(..5) == 0 {
                continue;
            }
            let maybe = |random: &mut fastrand::Rng| random.u8(..4) > 0;
            let score = maybe(&mut self.random).then(|| f64::from(self.random.u8(..12)));
            let title = maybe(&mut self.random).then(|| self.some_value(TITLE));
            let stage = maybe(&mut self.random).then(|| self.some_value(STAGE));
            let row = Row { id: Some(key.clone()), score, title, stage };
            match self.random.u8(..14) {
                0 => rows.push(Row { score: Some(f64::NAN), ..row }),
                1 => rows.push(Row { stage: Some("no such stage".into()), ..row }),
                2 => rows.push(Row { title: Some("x".repeat(65_537)), ..row }),
                3 => {
                    // Two rows for one record; an address counts in any case.
                    rows.push(Row { id: Some(key.to_uppercase()), ..row.clone() });
                    rows.push(row);
                    bad += 1;
                }
                _ => {
                    good.insert(key, row.clone());
                    rows.push(row);
                    continue;
                }
            }
            bad += 1;
        }
        if self.random.bool() {
            rows.push(Row { id: None, score: Some(1.0), ..Row::default() });
            bad += 1;
        }
        if self.random.bool() && self.mode == Mode::Update {
            rows.push(Row { id: Some("4711".into()), score: Some(1.0), ..Row::default() });
            bad += 1;
        }
        self.random.shuffle(&mut rows);
        (rows, good, bad)
    }

    /// What the account must hold in the end, by record and property; what hublake
    /// has set by then is noted.
    fn reckon(&mut self, good: &BTreeMap<Key, Row>) -> BTreeMap<(Key, &'static str), String> {
        let mut expected = BTreeMap::new();
        for key in self.records.keys() {
            for property in [SCORE, TITLE, STAGE] {
                expected.insert((key.clone(), property), self.held(key, property));
            }
        }
        for (key, row) in good {
            let is_there = self.records.contains_key(key);
            if is_there && self.mode == Mode::Create {
                continue;
            }
            let wanted = [
                (SCORE, row.score.map(|score| score.to_string())),
                (TITLE, row.title.clone()),
                (STAGE, row.stage.clone()),
            ];
            for (property, value) in wanted {
                let Some(value) = value else { continue };
                let at = (key.clone(), property);
                let held = expected.get(&at).cloned().unwrap_or_default();
                let ours = self.ours.get(&at).map(String::as_str);
                if wins(self.policies[property], &value, &held, ours) {
                    self.ours.insert(at.clone(), value.clone());
                    expected.insert(at, value);
                }
            }
        }
        expected
    }

    fn run_id(&mut self) -> String {
        self.runs += 1;
        format!("r{:03}", self.runs)
    }

    /// One run as it comes: with a fault, cut off, or neither.
    async fn try_run(&mut self, rows: &[Row]) {
        let run = self.run_id();
        let path = self.random.choice([UPDATES, CREATES, "*/batch/read"]).expect("a path");
        let action = match self.random.u8(..9) {
            0 => FaultAction::Refuse { status: 502, body: None, retry_after: None },
            1 => FaultAction::Refuse { status: 429, body: None, retry_after: Some(0) },
            2 => FaultAction::ApplyThen { status: 524 },
            3 => FaultAction::ApplyThenDrop,
            4 => FaultAction::Drop,
            5 => FaultAction::Truncate,
            6 => FaultAction::Hold,
            _ => FaultAction::ApplyThenHold,
        };
        self.tell(format!("{run}: {action:?} at {path}"));
        let holds = matches!(action, FaultAction::Hold | FaultAction::ApplyThenHold);
        let fault = Fault {
            method: Some("POST".to_owned()),
            path: path.to_owned(),
            action,
            skip: 0,
            times: Some(1),
        };
        let (world, now) = (&self.world, self.now());
        let control = world.control();
        control.add_fault(fault);
        let running = async {
            let plan = world.plan_at(&run, rows, now).await;
            assert!(plan.counts.close(), "{:?}", plan.counts);
            world.apply(&run, &plan, CancellationToken::new()).await
        };
        if holds {
            // The run is dropped where it stands, as a process that is ended.
            tokio::select! {
                report = running => assert!(report.counts.close(), "{:?}", report.counts),
                _ = control.wait_for_held() => {}
            }
        } else {
            let report = running.await;
            assert!(report.counts.close(), "{:?}", report.counts);
        }
        control.clear_faults();
        world.extract().await;
    }

    /// An old plan is carried out although people went on. Records that
    /// they touched are left to the next run: what must be in the end is what the
    /// policies make of what people left.
    async fn stale_run(
        &mut self,
        rows: &[Row],
        good: &BTreeMap<Key, Row>,
    ) -> BTreeMap<(Key, &'static str), String> {
        let run = self.run_id();
        let plan = self.world.plan_at(&run, rows, self.now()).await;
        self.tell(format!("{run}: planned"));
        self.edit(3);
        let expected = self.reckon(good);
        self.tell(format!("{run}: applied"));
        let report = self.world.apply(&run, &plan, CancellationToken::new()).await;
        assert!(report.counts.close(), "{:?}", report.counts);
        expected
    }

    /// One run in which nothing goes wrong.
    async fn run(&self, run: &str, rows: &[Row]) -> ApplyReport {
        let plan = self.world.plan_at(run, rows, self.now()).await;
        assert!(plan.counts.close(), "{:?}", plan.counts);
        let report = self.world.apply(run, &plan, CancellationToken::new()).await;
        assert!(report.counts.close(), "{:?}", report.counts);
        report
    }

    /// Runs in which nothing goes wrong, until one writes nothing.
    async fn settle(&mut self, rows: &[Row]) -> Counts {
        for _ in 0..MOST_CLEAN_RUNS {
            self.world.extract().await;
            let before = self.world.writes();
            let run = self.run_id();
            let report = self.run(&run, rows).await;
            if self.world.writes() == before {
                return report.counts;
            }
        }
        panic!("it does not settle: {:#?}", self.told);
    }

    /// Records that hublake has made come in, and none is there twice.
    async fn take_in_created(&mut self) {
        let listed = listed(&self.world).await;
        let mut by_email: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (id, email) in &listed {
            if let Some(email) = email {
                by_email.entry(email.to_lowercase()).or_default().push(*id);
            }
        }
        let twice: Vec<_> = by_email.iter().filter(|(_, ids)| ids.len() > 1).collect();
        assert!(twice.is_empty(), "made twice: {twice:?} {:#?}", self.told);
        for key in &self.strangers {
            if let Some(ids) = by_email.get(key) {
                self.records.insert(key.clone(), ids[0]);
            }
        }
        let made = self.strangers.iter().filter(|key| self.records.contains_key(*key)).count();
        assert_eq!(listed.len(), self.contacts_at_first + made, "{:#?}", self.told);
    }

    async fn chapter(&mut self) {
        self.edit(4);
        self.world.extract().await;
        let (rows, good, bad) = self.rows();
        self.tell(format!("{} rows, {bad} of them bad", rows.len()));
        let expected = if self.old_since.is_some() && self.runs > 0 && self.random.bool() {
            self.stale_run(&rows, &good).await
        } else {
            self.reckon(&good)
        };
        for _ in 0..self.random.usize(..3) {
            self.try_run(&rows).await;
        }
        let counts = self.settle(&rows).await;
        self.take_in_created().await;
        assert_eq!(counts.rejected, bad, "{counts:?} {:#?}", self.told);
        assert_eq!(counts.deferred, 0, "{counts:?} {:#?}", self.told);
        assert_eq!(counts.wanted, rows.len() as u64, "{counts:?} {:#?}", self.told);
        for ((key, property), value) in &expected {
            let held = self.held(key, property);
            assert_eq!(&held, value, "{property} of {key}: {:#?}", self.told);
        }
    }

    /// One more run, people's edits, and the run taken back.
    async fn take_back(&mut self) {
        self.world.extract().await;
        let (rows, ..) = self.rows();
        let (before, writes) = (self.account(), self.world.writes());
        let run = self.run_id();
        self.tell(format!("{run}: to be taken back"));
        self.run(&run, &rows).await;
        if self.world.writes() == writes {
            return;
        }
        let after = self.account();
        self.edit(5);
        let left = self.account();
        self.world.extract().await;
        undo(&self.world, "undo", &run, false).await;
        for (at, then) in &before {
            let is_untouched = left[at] == after[at];
            let expected = if is_untouched { then } else { &left[at] };
            let held = self.held(&at.0, at.1);
            assert_eq!(&held, expected, "{} of {} after the undo: {:#?}", at.1, at.0, self.told);
        }
        self.take_in_created().await;
    }

    fn account(&self) -> BTreeMap<(Key, &'static str), String> {
        let keys = self.records.keys();
        keys.flat_map(|key| {
            [SCORE, TITLE, STAGE]
                .map(|property| ((key.clone(), property), self.held(key, property)))
        })
        .collect()
    }
}

/// Live contacts, by id, with their addresses.
async fn listed(world: &World) -> Vec<(u64, Option<String>)> {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let url = format!(
            "{}/crm/v3/objects/contacts?limit=100&properties=email{after}",
            world.emulator_url()
        );
        let answer = client.get(url).bearer_auth("token").send().await.expect("an answer");
        let page: Value =
            serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
        for record in page["results"].as_array().expect("records") {
            let id = record["id"].as_str().expect("an id").parse().expect("a number");
            found.push((id, record["properties"]["email"].as_str().map(str::to_owned)));
        }
        match page["paging"]["next"]["after"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return found,
        }
    }
}

/// Stories told per run; `HUBLAKE_STORIES` asks for more.
fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("HUBLAKE_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("HUBLAKE_STORIES").unwrap_or(8)).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_the_account_is_what_the_policies_say() {
    for seed in seeds() {
        let mut story = Story::begin(seed).await;
        for _ in 0..3 {
            story.chapter().await;
        }
        story.take_back().await;
    }
}
