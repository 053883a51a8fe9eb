//! The command line, as clap reads it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::emulator::{DeclaredToken, Latency, OAuthApp, WebhookApp};

/// Keeps a HubSpot account and a lakehouse in step, both ways
#[derive(Debug, Parser)]
#[command(
    name = "hublake",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "Start with `hublake demo`: it needs no account and takes half a minute.")]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Flags every command takes
#[derive(Debug, Args)]
pub(super) struct Common {
    /// The project folder, which holds hublake.yml
    #[arg(long, value_name = "DIR", default_value = ".", global = true, env = "HUBLAKE_PROJECT")]
    pub(super) project: PathBuf,
    /// The form of results on stdout
    #[arg(long, short, value_enum, default_value_t = Format::Table, global = true)]
    pub(super) output: Format,
    /// The form of log lines on stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    pub(super) log_format: LogFormat,
    /// Say only what failed
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Say more; twice for everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

/// The form of a result
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A table for people
    Table,
    /// One JSON object a line
    Json,
    /// Comma-separated values with a header
    Csv,
    /// A Parquet file, for redirection
    Parquet,
}

/// The form of log lines
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the whole job on a made-up HubSpot account, with no account and no token
    Demo(DemoArgs),
    /// Write a new project into a folder
    Init(InitArgs),
    /// Validate settings, SQL and, unless offline, the account, without moving data
    Check(CheckArgs),
    /// List the account's properties and the sources' columns, read or not
    Discover(DiscoverArgs),
    /// Show one record's journey: values, identity, models, the last plan, writes
    Explain(ExplainArgs),
    /// Write a catalogue of tables, models and write-backs as a page of HTML
    Docs(DocsArgs),
    /// Read HubSpot objects into the lake
    Extract(ExtractArgs),
    /// Build the models
    Build(BuildArgs),
    /// Show what a run would write to HubSpot, and store the plan
    Plan(PlanArgs),
    /// Carry out a stored plan
    Apply(ApplyArgs),
    /// Extract, build, plan and apply
    Run(RunArgs),
    /// Show the rows that cannot be written, have them tried again, or give them up
    Rejects(RejectsArgs),
    /// Take back what a run wrote, where nobody has changed it since
    Undo(UndoArgs),
    /// List past runs, or tell two of them apart
    Runs(RunsArgs),
    /// Plan or make the properties that write-backs declare, or look all over
    Properties(PropertiesArgs),
    /// Take people out of the lake for good, its older versions included
    Privacy(PrivacyArgs),
    /// Ask the lake a question in SQL
    Query(QueryArgs),
    /// Ask the lake questions, one after another
    Shell(ShellArgs),
    /// Show how fresh the tables are and how the last runs ended
    Status,
    /// Serve a stand-in HubSpot on this machine
    Emulator(Box<EmulatorArgs>),
    /// Print the JSON Schema of a settings file
    Schema(SchemaArgs),
    /// Print a shell's completion script
    Completions(CompletionsArgs),
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// The folder to make the demo project in
    #[arg(long, value_name = "DIR", default_value = "./hublake-demo")]
    pub(super) dir: PathBuf,
    /// Only serve the demo's HubSpot, for `run` and `plan` in its folder; ends with Ctrl-C
    #[arg(long)]
    pub(super) serve: bool,
}

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The folder; made where it does not exist
    #[arg(value_name = "DIR", default_value = ".")]
    pub(super) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Do not call HubSpot
    #[arg(long)]
    pub(super) offline: bool,
}

#[derive(Debug, Args)]
pub(super) struct DiscoverArgs {
    /// Only the account, or only the sources; both when left out
    #[arg(value_enum)]
    pub(super) what: Option<DiscoverWhat>,
}

/// Where to look
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DiscoverWhat {
    /// The HubSpot account
    Hubspot,
    /// The sources of hublake.yml
    Sources,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The record's object type
    #[arg(value_name = "OBJECT")]
    pub(super) object: String,
    /// The record's id, or a contact's email
    #[arg(value_name = "RECORD")]
    pub(super) record: String,
    /// RECORD is the value of this property
    #[arg(long, value_name = "PROPERTY")]
    pub(super) by: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct DocsArgs {
    /// The folder for the page; target/docs of the project when left out
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ShellArgs {
    /// Read the lake as it was at a time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    pub(super) as_of: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ExtractArgs {
    /// Object types; all of the pipelines' when none is named
    #[arg(value_name = "OBJECT")]
    pub(super) objects: Vec<String>,
    /// List everything, whatever is there already
    #[arg(long)]
    pub(super) full: bool,
}

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// Models; all when none is named. `+NAME` adds what it reads, `NAME+` what reads it
    #[arg(value_name = "MODEL")]
    pub(super) models: Vec<String>,
    /// Compute incremental models from the beginning; rows they compute no more go
    #[arg(long)]
    pub(super) full: bool,
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The pipeline; needed where the project has several
    #[arg(long, value_name = "NAME")]
    pub(super) pipeline: Option<String>,
    /// Also write the plan to a Parquet file, for a look elsewhere and for `apply FILE`
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Exit with 2 where the plan has changes
    #[arg(long)]
    pub(super) detailed_exitcode: bool,
    /// Print every row, one line per property, instead of some
    #[arg(long)]
    pub(super) all: bool,
    /// Print the lines for which this SQL is true: action, key, record_id, property, old, new, decision, reason, …
    #[arg(long = "where", value_name = "SQL")]
    pub(super) condition: Option<String>,
    /// Also write a page to show to others
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Plan against the lake as it is, without extracting and building first
    #[arg(long)]
    pub(super) no_extract: bool,
}

#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// The plan's run id, or the file that `plan --out` wrote; the newest plan when left out.
    /// A file's plan is refused where HubSpot or the models have moved since
    #[arg(value_name = "PLAN")]
    pub(super) plan: Option<String>,
    /// Plan again what has moved since the plan was made, and send the rest as it was stored
    #[arg(long)]
    pub(super) replan: bool,
    /// Pass a guard by name; recorded with the run
    #[arg(long, value_name = "GUARD")]
    pub(super) accept_guard: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Pipelines; all when none is named
    #[arg(value_name = "PIPELINE")]
    pub(super) pipelines: Vec<String>,
    /// List every object anew instead of searching for changes
    #[arg(long)]
    pub(super) full: bool,
    /// Plan and check the guards, but write nothing to HubSpot
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Pass a guard by name; recorded with the run
    #[arg(long, value_name = "GUARD")]
    pub(super) accept_guard: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct RejectsArgs {
    #[command(subcommand)]
    pub(super) command: RejectsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RejectsCommand {
    /// List the rejects with HubSpot's reasons and their age
    List(RejectsListArgs),
    /// Have the next run send refused rows again, instead of once a day
    Retry(RejectsFilterArgs),
    /// Give rows up until they change: they are neither sent nor listed
    Drop(RejectsFilterArgs),
}

#[derive(Debug, Args)]
pub(super) struct RejectsListArgs {
    #[command(flatten)]
    pub(super) filter: RejectsFilterArgs,
    /// Those of this status
    #[arg(long, value_enum, default_value_t = Status::Open)]
    pub(super) status: Status,
}

#[derive(Debug, Args)]
pub(super) struct RejectsFilterArgs {
    /// Keys of rows as the model gives them; all when none is named
    #[arg(value_name = "KEY")]
    pub(super) keys: Vec<String>,
    /// Only those of this write-back
    #[arg(long, value_name = "NAME")]
    pub(super) write_back: Option<String>,
    /// Only those of this category, such as INVALID_OPTION
    #[arg(long, value_name = "CATEGORY")]
    pub(super) category: Option<String>,
    /// Only those first refused at least this long ago, such as 7d
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) older_than: Option<Duration>,
}

/// How a reject stands
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Status {
    /// Still refused
    Open,
    /// Given up
    Dropped,
    /// Written, or no longer wanted
    Fixed,
    /// Whatever it is
    Any,
}

#[derive(Debug, Args)]
pub(super) struct UndoArgs {
    /// The run to take back, or the plan it carried out; `hublake runs list` shows them
    #[arg(value_name = "RUN")]
    pub(super) run: String,
    /// Show what would be written and store the plan, but write nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) plan: bool,
    /// Walk the whole road, but write nothing to HubSpot
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Also archive the records that the run created, unless somebody changed them
    #[arg(long)]
    pub(super) archive_created: bool,
    /// Pass a guard by name; recorded with the run
    #[arg(long, value_name = "GUARD")]
    pub(super) accept_guard: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct PropertiesArgs {
    #[command(subcommand)]
    pub(super) command: PropertiesCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum PropertiesCommand {
    /// Show the properties and options that write-backs declare and the account lacks
    Plan,
    /// Make them; options are added, never removed
    Apply,
    /// Show how far properties are filled, who writes them, and which look like a mistake
    Audit {
        /// Object types; those that write-backs write when none is named
        #[arg(value_name = "OBJECT")]
        objects: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct RunsArgs {
    #[command(subcommand)]
    pub(super) command: RunsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RunsCommand {
    /// List past runs, newest first, with what they wrote
    List {
        /// Print at most this many
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Show what two runs planned and wrote differently, row by row and property by property
    Diff {
        /// The first run
        #[arg(value_name = "RUN")]
        first: String,
        /// The second run
        #[arg(value_name = "RUN")]
        second: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct PrivacyArgs {
    #[command(subcommand)]
    pub(super) command: PrivacyCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum PrivacyCommand {
    /// Remove the rows about records from every table and version; there is no way back
    ///
    /// Rows go that bear a record's id, one of its email addresses or, where they are about a
    /// create, a unique value of it. Models that read what loses rows are built anew; where their
    /// rows do not say whose they are, their `<model>_changes` is emptied. Published Parquet is
    /// replaced. In other records' rows, cells that hold an address and nothing else are cleared;
    /// texts that mention one are told of and stay. Sources outside the lake and HubSpot itself
    /// are not touched: what they still show comes back with the next run.
    Purge(PurgeArgs),
}

#[derive(Debug, Args)]
pub(super) struct PurgeArgs {
    /// Record ids
    #[arg(value_name = "ID", required = true)]
    pub(super) ids: Vec<i64>,
    /// The object type of the records
    #[arg(long, value_name = "OBJECT", default_value = "contacts")]
    pub(super) object: String,
}

#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// One SELECT over hubspot.*, usage.*, system.* and the models, or EXPLAIN before one
    #[arg(value_name = "SQL")]
    pub(super) sql: String,
    /// Read the lake as it was at a time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    pub(super) as_of: Option<String>,
    /// Print at most this many rows
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct EmulatorArgs {
    #[command(subcommand)]
    pub(super) instead: Option<EmulatorCommand>,
    /// The port on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 8117)]
    pub(super) port: u16,
    /// Contacts to seed
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = count, allow_negative_numbers = true)]
    pub(super) contacts: u64,
    /// Companies to seed
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = count, allow_negative_numbers = true)]
    pub(super) companies: u64,
    /// Deals to seed
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = count, allow_negative_numbers = true)]
    pub(super) deals: u64,
    /// Tickets to seed
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = count, allow_negative_numbers = true)]
    pub(super) tickets: u64,
    /// Notes, tasks, calls, meetings and emails to seed, together
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = count, allow_negative_numbers = true)]
    pub(super) activities: u64,
    /// Custom properties per object type, mostly empty
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) properties: usize,
    /// The seed everything is made from
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(super) seed: u64,
    /// How long answers take: 80ms, 20ms..2s, or p50=80ms,p95=300ms,p99=2s
    #[arg(long, value_name = "TIME", default_value = "0ms", allow_hyphen_values = true)]
    pub(super) latency: Latency,
    /// Calls allowed in any rolling ten seconds
    #[arg(long, value_name = "CALLS", default_value_t = 190, value_parser = limit, allow_negative_numbers = true)]
    pub(super) limit: u32,
    /// Calls allowed a day
    #[arg(long, value_name = "CALLS", default_value_t = 1_000_000, value_parser = calls, allow_negative_numbers = true)]
    pub(super) daily_limit: u64,
    /// The only token accepted; any is when left out
    #[arg(long, value_name = "T", value_parser = token)]
    pub(super) token: Option<String>,
    /// A private app's token and all that it may do; may be repeated
    #[arg(long, value_name = "TOKEN[=SCOPE,…]")]
    pub(super) known_token: Vec<DeclaredToken>,
    /// Refuse tokens that are neither known nor from the token endpoint
    #[arg(long)]
    pub(super) refuse_unknown_tokens: bool,
    /// An app that can be installed, or is already, by OAuth; may be repeated
    #[arg(long, value_name = "ID:SECRET[:REFRESH_TOKEN]")]
    pub(super) oauth_client: Vec<OAuthApp>,
    /// Approve what apps ask for at once, without the consent page
    #[arg(long)]
    pub(super) approve_at_once: bool,
    /// How long tokens of OAuth live, such as 30s
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = time, allow_hyphen_values = true)]
    pub(super) token_lifetime: Duration,
    /// How long search lags behind writes, such as 3s
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = time, allow_hyphen_values = true)]
    pub(super) index_lag: Duration,
    /// Add every exchange to this file, one JSON object a line, secrets replaced
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    /// Speak TLS too, and open tunnels for clients that take it for their proxy
    #[arg(long)]
    pub(super) tls: bool,
    /// The folder of the certificates that `--tls` makes; clients must trust its ca.pem
    #[arg(long, value_name = "DIR", default_value = "./hublake-emulator-tls", requires = "tls")]
    pub(super) tls_dir: PathBuf,
    /// Where to send webhooks of all that happens, on this machine, such as http://127.0.0.1:3000/hubspot
    #[arg(long, value_name = "URL")]
    pub(super) webhook_url: Option<WebhookApp>,
    /// The client secret that webhooks are signed with, those of apps made by the webhooks API too
    #[arg(long, value_name = "S")]
    pub(super) webhook_secret: Option<String>,
}

/// Records of a kind in an account.
fn count(text: &str) -> Result<u64, String> {
    const MOST: u64 = 50_000_000;
    let wrong = || format!("`{text}` is not a number from 0 to {MOST}");
    text.parse().ok().filter(|count| *count <= MOST).ok_or_else(wrong)
}

/// Calls allowed; none would let nobody in.
fn limit(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is not a number from 1 to {}", u32::MAX);
    text.parse().ok().filter(|limit| *limit > 0).ok_or_else(wrong)
}

fn calls(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number of calls"))
}

fn token(text: &str) -> Result<String, String> {
    match text.trim().is_empty() {
        true => Err("a token cannot be empty".to_owned()),
        false => Ok(text.to_owned()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a time: use 30s, 5m or 500ms"))
}

/// What the emulator does instead of serving
#[derive(Debug, Subcommand)]
pub(super) enum EmulatorCommand {
    /// Send recorded exchanges of the real service to an emulator and compare the answers
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Files of recorded exchanges, one JSON object a line
    #[arg(value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,
    /// Also write the report to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Which file
    #[arg(value_enum, default_value_t = SchemaOf::Project)]
    pub(super) of: SchemaOf,
}

/// A settings file that has a schema
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    /// hublake.yml
    Project,
    /// pipelines/*.yml
    Pipeline,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(super) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_to_the_emulator_is_refused_in_words() {
        for (given, said) in [
            (&["--limit", "0"][..], "`0` is not a number from 1 to"),
            (&["--limit", "-5"], "`-5` is not a number from 1 to"),
            (&["--contacts", "50000001"], "is not a number from 0 to 50000000"),
            (&["--token", ""], "empty"),
            (&["--webhook-url", "https://example.com"], "not on this machine"),
            (&["--tls-dir", "certificates"], "--tls"),
            (&["--latency", "-5ms"], "`-5ms` is not a latency"),
            (&["--latency", "2s..20ms"], "`2s..20ms` runs backwards"),
            (&["--token-lifetime", "soon"], "`soon` is not a time: use 30s, 5m or 500ms"),
        ] {
            let words = ["hublake", "emulator"].iter().chain(given);
            let error = Arguments::try_parse_from(words).expect_err(said).to_string();
            assert!(error.contains(said), "{error}");
        }
        let words = ["hublake", "emulator", "--tls", "--tls-dir", "certificates"];
        assert!(Arguments::try_parse_from(words).is_ok());
    }
}
