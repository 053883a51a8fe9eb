//! `hublake shell`: SQL typed by hand, statement after statement.

mod terminal;
mod text;

use std::io::{BufRead, IsTerminal};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};

use self::terminal::{Line, Names, Terminal};
use super::args::{Common, Format, ShellArgs};
use super::failure::Failure;
use super::query::{Answerer, time};
use super::{output, project};
use crate::pipeline::{self, Outcome, PipelineError};

/// What `\?` says.
const HELP: &str = "\
Statements end in `;` and may have several lines; they are SELECT, or EXPLAIN before one.
  \\d            list the tables
  \\d TABLE      show the columns of a table
  \\o FORM       print results as table, json or csv
  \\q            leave (also quit, exit, Ctrl-D)
Ctrl-C cancels the statement that is running, or forgets what was typed.
";

/// Reads statements from the terminal, or from a pipe, until there are no more.
pub(super) async fn run(args: &ShellArgs, common: &Common) -> Result<Outcome, Failure> {
    let project = project::load(common)?;
    let lake = project::open_lake(&project).await?;
    let as_of = args.as_of.as_deref().map(time).transpose()?;
    let opened = pipeline::open_sources(&project, &lake, |_| true).await?;
    let answerer = Arc::new(Answerer { project, opened, as_of });
    let mut shell = Shell { answerer, format: common.output, worst: Outcome::Succeeded };
    if std::io::stdin().is_terminal() {
        shell.converse(common).await
    } else {
        shell.read_pipe().await
    }
}

struct Shell {
    answerer: Arc<Answerer>,
    /// The form of results.
    format: Format,
    /// The gravest failure so far; a conversation does not care, a script does.
    worst: Outcome,
}

/// Whether the shell goes on.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Leave,
}

impl Shell {
    /// Talks with a person.
    async fn converse(&mut self, common: &Common) -> Result<Outcome, Failure> {
        if !common.quiet {
            eprintln!("Statements end in `;`; `\\?` helps, `\\q` leaves.");
        }
        let names = Names::default();
        // Tables are opened one by one, while the person types.
        let answerer = self.answerer.clone();
        let mut learning = std::pin::pin!(learn(&answerer, names.clone()));
        let mut learned = false;
        let editor_failed = |error| Failure::new(Outcome::Failed, error);
        let folder = &self.answerer.project.dir;
        let mut terminal = Terminal::open(folder, names).map_err(editor_failed)?;
        loop {
            // The editor blocks its thread; what learns names must not wait for it.
            let mut asked = tokio::task::spawn_blocking(move || {
                let line = terminal.read();
                (terminal, line)
            });
            let answer = loop {
                tokio::select! {
                    answer = &mut asked => break answer,
                    () = &mut learning, if !learned => learned = true,
                }
            };
            let (back, line) = answer.map_err(|error| Failure::new(Outcome::Failed, error))?;
            terminal = back;
            match line.map_err(editor_failed)? {
                Line::Text(text) => {
                    if self.take(&text).await == Next::Leave {
                        break;
                    }
                }
                Line::Cancelled => {}
                Line::End => break,
            }
        }
        Ok(Outcome::Succeeded)
    }

    /// Reads a script; what failed is what the process exits with.
    async fn read_pipe(&mut self) -> Result<Outcome, Failure> {
        let mut typed = String::new();
        let lines = tokio::task::spawn_blocking(|| {
            std::io::stdin().lock().lines().collect::<Result<Vec<_>, _>>()
        });
        let lines = lines.await.map_err(|error| Failure::new(Outcome::Failed, error))?;
        for line in lines.map_err(|error| Failure::new(Outcome::Failed, error))? {
            let is_command = text::is_blank(&typed) && line.trim_start().starts_with('\\');
            if !is_command {
                typed.push_str(&line);
                typed.push('\n');
                if !text::is_complete(&typed) {
                    continue;
                }
            }
            let whole = if is_command { line } else { std::mem::take(&mut typed) };
            if self.take(&whole).await == Next::Leave || self.worst == Outcome::Interrupted {
                return Ok(self.worst);
            }
        }
        if !text::is_blank(&typed) {
            typed.push(';');
            self.take(&typed).await;
        }
        Ok(self.worst)
    }

    /// Does what was typed: a command, or statements.
    async fn take(&mut self, typed: &str) -> Next {
        let trimmed = typed.trim();
        if matches!(trimmed.trim_end_matches(';').trim(), "quit" | "exit") {
            return Next::Leave;
        }
        let done = if let Some(command) = trimmed.strip_prefix('\\') {
            match self.command(command).await {
                Ok(Next::Leave) => return Next::Leave,
                done => done.map(drop),
            }
        } else {
            let (statements, _) = text::statements(typed);
            self.run_all(&statements).await
        };
        if let Err(failure) = done {
            eprintln!("{failure}");
            self.worst.worsen(failure.outcome());
        }
        Next::GoOn
    }

    async fn run_all(&self, statements: &[String]) -> Result<(), Failure> {
        for statement in statements {
            let began = Instant::now();
            let answered = self.answerer.print(statement, self.format, None);
            let rows = tokio::select! {
                answered = answered => answered?,
                _ = tokio::signal::ctrl_c() => {
                    return Err(Failure::new(Outcome::Interrupted, "Cancelled"));
                }
            };
            if self.format == Format::Table && std::io::stderr().is_terminal() {
                eprintln!("{rows} rows, {:.2} s", began.elapsed().as_secs_f64());
            }
        }
        Ok(())
    }

    /// A command of the shell, without its backslash.
    async fn command(&mut self, command: &str) -> Result<Next, Failure> {
        let mut words = command.trim_end_matches(';').split_whitespace();
        match (words.next().unwrap_or_default(), words.next(), words.next()) {
            ("q", None, None) => return Ok(Next::Leave),
            ("?", None, None) => output::text(HELP)?,
            ("d", None, None) => output::print_batch(&self.tables().await?, self.format)?,
            ("d", Some(table), None) => {
                output::print_batch(&self.columns(table).await?, self.format)?;
            }
            ("o", Some("table"), None) => self.format = Format::Table,
            ("o", Some("json"), None) => self.format = Format::Json,
            ("o", Some("csv"), None) => self.format = Format::Csv,
            ("o", ..) => return Err(usage("Results are printed as `table`, `json` or `csv`")),
            _ => return Err(usage(&format!("There is no command `\\{command}`"))),
        }
        Ok(Next::GoOn)
    }

    async fn tables(&self) -> Result<RecordBatch, Failure> {
        let tables = self.answerer.tables().await?;
        let table: ArrayRef = Arc::new(StringArray::from(tables));
        Ok(RecordBatch::try_from_iter([("table", table)]).expect("one column"))
    }

    async fn columns(&self, table: &str) -> Result<RecordBatch, Failure> {
        let schema = self.answerer.columns(table).await?;
        let fields = schema.fields();
        let text = |get: &dyn Fn(&arrow::datatypes::Field) -> String| {
            Arc::new(fields.iter().map(|field| Some(get(field))).collect::<StringArray>())
                as ArrayRef
        };
        let nullable: BooleanArray = fields.iter().map(|field| Some(field.is_nullable())).collect();
        let columns = [
            ("column", text(&|field| field.name().clone())),
            ("type", text(&|field| field.data_type().to_string())),
            ("nullable", Arc::new(nullable) as ArrayRef),
        ];
        Ok(RecordBatch::try_from_iter(columns).expect("columns of one length"))
    }
}

fn usage(problem: &str) -> Failure {
    Failure::new(Outcome::Usage, problem.to_owned()).advise("`\\?` lists the commands")
}

/// Learns the names of tables, then their columns.
async fn learn(answerer: &Answerer, names: Names) {
    let Ok(tables) = answerer.tables().await else { return };
    for table in &tables {
        names.add(table, Vec::new());
    }
    for table in &tables {
        if let Ok(schema) = answerer.columns(table).await {
            names.add(table, schema.fields().iter().map(|field| field.name().clone()).collect());
        }
    }
}

impl Answerer {
    /// The tables that can be read, by their SQL names.
    async fn tables(&self) -> Result<Vec<String>, Failure> {
        Ok(self.opened.engine.tables().await.map_err(PipelineError::from)?)
    }
}
