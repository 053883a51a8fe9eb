//! The whole job on a made-up account: emulator, usage data, project, run.

mod usage;

use std::fs;
use std::path::Path;
use std::time::Duration;

use chrono::Utc;

use super::args::{Common, DemoArgs, Format};
use super::failure::Failure;
use super::{emulator, output, report, starter};
use crate::emulator::{Emulator, EmulatorConfig, seeded_contacts};
use crate::extract::SyncMode;
use crate::load::Store;
use crate::pipeline::{
    self, Apply, Finished, Outcome, PipelineConfig, PipelineError, Project, RunOptions, Session,
    WriteOptions,
};

/// Where the demo's HubSpot listens, unless the port is taken.
const PORT: u16 = 8117;
/// The demo's token; it opens nothing but the emulator.
const TOKEN: &str = "demo-token";
/// The file, under the demo folder, in which the account is kept between runs.
const ACCOUNT: &str = "hubspot-account.json";
/// Three people as the lake now knows them: those whom the product knows best.
const SAMPLE: &str = "select name, company_name, lifecycle_stage, plan, active_days_28, favourite_feature \
                      from master_customers order by active_days_28 desc, email limit 3";

/// Makes the demo project and runs it, or serves its HubSpot.
pub(super) async fn run(args: &DemoArgs, common: &Common) -> Result<Outcome, Failure> {
    if args.serve {
        return serve(&args.dir, common).await;
    }
    let emulator = start(account(PORT)).await?;
    make_project(&args.dir, &emulator)?;
    let project = Project::load(&args.dir).map_err(PipelineError::from)?;
    say(common, &format!("A made-up HubSpot account listens on {}", emulator.url()));
    let finished = run_job(&project, common).await?;
    save_account(&args.dir, &emulator)?;
    if finished.results.status != Outcome::Succeeded {
        emulator.shutdown().await;
        say(common, &format!("Remove `{}` to start the demo anew", args.dir.display()));
        return Ok(finished.results.status);
    }
    show(&project, &finished).await?;
    emulator.shutdown().await;
    say_next(&args.dir, common);
    Ok(finished.results.status)
}

fn say(common: &Common, text: &str) {
    if !common.quiet {
        eprintln!("{text}");
    }
}

fn account(port: u16) -> EmulatorConfig {
    EmulatorConfig {
        port,
        contacts: 5_000,
        companies: 800,
        deals: 1_500,
        tickets: 0,
        seed: 42,
        token: Some(TOKEN.to_owned()),
        latency: Duration::from_millis(20).into(),
        ..EmulatorConfig::default()
    }
}

/// Starts the emulator; where its port is taken, on any other.
async fn start(config: EmulatorConfig) -> Result<Emulator, Failure> {
    match Emulator::start(config.clone()).await {
        Ok(emulator) => Ok(emulator),
        Err(_) => Emulator::start(EmulatorConfig { port: 0, ..config })
            .await
            .map_err(|error| Failure::new(Outcome::Failed, error)),
    }
}

/// Writes the project and its usage data.
fn make_project(dir: &Path, emulator: &Emulator) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Outcome::Failed,
            format!("The demo cannot be written to `{}`: {error}", dir.display()),
        )
        .advise("remove that folder or name another: `hublake demo --dir DIR`")
    };
    fs::create_dir_all(dir).map_err(failed)?;
    starter::write(dir, &settings(&emulator.url())).map_err(failed)?;
    fs::write(dir.join("hubspot-token"), TOKEN).map_err(failed)?;
    let people: Vec<usage::Person> = seeded_contacts(&account(PORT))
        .filter_map(|contact| {
            Some(usage::Person { email: contact.email?, domain: contact.company_domain? })
        })
        .collect();
    usage::write(dir, &people, usage::day_of(Utc::now())).map_err(failed)?;
    Ok(())
}

/// The repository's settings, pointed at the emulator.
fn settings(url: &str) -> String {
    starter::settings().replace(
        "  token: { env: HUBSPOT_ACCESS_TOKEN }\n",
        &format!(
            "  # The demo's stand-in; remove this line and name your own token for a real account.\n  \
             base_url: \"{url}\"\n  token: {{ file: hubspot-token }}\n"
        ),
    )
}

async fn run_job(project: &Project, common: &Common) -> Result<Finished, Failure> {
    let write =
        WriteOptions { store: Store::IfSending, apply: Apply::Yes, accepted: Default::default() };
    let options = RunOptions { mode: SyncMode::Auto, extract: true, write };
    let session = Session::open(project, super::stop::on_interrupt()).await?;
    let pipeline: &PipelineConfig =
        project.pipelines.first().expect("the demo's project has a pipeline");
    let finished = super::run::one(&session, pipeline, &options, common).await?;
    session.close().await?;
    Ok(finished)
}

/// Three master records and what was written, old → new.
async fn show(project: &Project, finished: &Finished) -> Result<(), Failure> {
    let lake = super::project::open_lake(project).await?;
    let (engine, _) = pipeline::engine(project, &lake).await?;
    output::text("\nThree master records (master_customers):\n")?;
    let rows = engine.query(SAMPLE, None).await.map_err(PipelineError::from)?;
    output::print(rows, Format::Table, None).await?;
    output::text("\nWhat was written back, old → new:\n")?;
    for plan in &finished.plans {
        output::text(&report::describe_plan(plan))?;
    }
    Ok(())
}

fn say_next(dir: &Path, common: &Common) {
    let project = dir.display();
    let program = std::env::args().next().unwrap_or_else(|| "hublake".to_owned());
    say(
        common,
        &format!(
            "\nTry next:\n  \
             {program} --project {project} query \"select lifecyclestage, count(*) from hubspot.contacts group by 1 order by 2 desc\"\n  \
             {program} --project {project} query \"select * from master_customers_changes limit 5\"\n  \
             {program} --project {project} status\n  \
             {program} demo --serve --dir {project} &    # the account as the run left it\n  \
             {program} --project {project} run           # a quiet second run"
        ),
    );
}

/// Keeps the account for `demo --serve`.
fn save_account(dir: &Path, emulator: &Emulator) -> Result<(), Failure> {
    fs::write(dir.join(ACCOUNT), emulator.snapshot()).map_err(|error| {
        Failure::new(
            Outcome::Failed,
            format!("`{}` cannot be written: {error}", dir.join(ACCOUNT).display()),
        )
    })
}

/// Serves the account as the demo's run left it, where the project expects it;
/// what changes meanwhile is kept when it stops.
async fn serve(dir: &Path, common: &Common) -> Result<Outcome, Failure> {
    let project = Project::load(dir).map_err(PipelineError::from)?;
    let url = url::Url::parse(&project.config.hubspot.base_url).ok();
    let port = url.and_then(|url| url.port()).unwrap_or(PORT);
    let snapshot = fs::read(dir.join(ACCOUNT)).map_err(|error| {
        Failure::new(
            Outcome::Failed,
            format!("`{}` cannot be read: {error}", dir.join(ACCOUNT).display()),
        )
        .advise("make the demo first: `hublake demo`")
    })?;
    let config = EmulatorConfig { restore: Some(snapshot), ..account(port) };
    let dir = dir.to_owned();
    emulator::serve(config, common, move |emulator| save_account(&dir, emulator)).await
}
