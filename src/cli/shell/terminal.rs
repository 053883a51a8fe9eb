//! The shell's line editor: history, completion, statements of many lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::text::is_complete;

/// What the prompt looks like.
const PROMPT: &str = "hublake> ";
/// Statements that are remembered.
const HISTORY: usize = 1_000;
/// Words of SQL that are completed, the common ones.
const KEYWORDS: [&str; 46] = [
    "and",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "count",
    "cross",
    "desc",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "explain",
    "false",
    "filter",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "is",
    "join",
    "left",
    "like",
    "limit",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "over",
    "partition",
    "right",
    "select",
    "then",
    "true",
    "union",
    "when",
    "where",
    "with",
];
/// Commands of the shell.
const COMMANDS: [&str; 4] = ["\\d", "\\o", "\\q", "\\?"];

/// Names that are completed: tables and, once they are known, their columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

impl Names {
    /// Takes in a table, with the columns known of it.
    pub(super) fn add(&self, table: &str, columns: Vec<String>) {
        // Names stay whole whatever panicked beside them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned(), columns);
    }

    /// Everything that begins as a word does: tables, and the columns of the tables
    /// that the text names, or of all where it names none.
    fn beginning(&self, word: &str, text: &str) -> Vec<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lower = word.to_lowercase();
        let named: Vec<_> = known.iter().filter(|(table, _)| text.contains(*table)).collect();
        let tables = known.keys().map(String::as_str);
        let columns = known
            .iter()
            .filter(|(table, _)| named.is_empty() || named.iter().any(|(name, _)| name == table))
            .flat_map(|(_, columns)| columns.iter().map(String::as_str));
        let words = tables.chain(columns).chain(KEYWORDS);
        let fitting: BTreeSet<&str> = words.filter(|name| name.starts_with(&lower)).collect();
        fitting.into_iter().map(str::to_owned).collect()
    }
}

/// What rustyline asks about the text being typed.
struct Help(Names);

impl Helper for Help {}

impl Hinter for Help {
    type Hint = String;
}

impl Highlighter for Help {}

impl Validator for Help {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let is_done = text.trim_start().starts_with('\\') || is_word(text) || is_complete(text);
        Ok(if is_done { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// Words that end the shell, with no semicolon.
fn is_word(text: &str) -> bool {
    matches!(text.trim(), "quit" | "exit")
}

impl Completer for Help {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        place: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(&self.0, line, place))
    }
}

/// The word before the cursor and what it may become.
fn complete(names: &Names, line: &str, place: usize) -> (usize, Vec<String>) {
    let typed = &line[..place];
    if typed.starts_with('\\') && !typed.contains(' ') {
        let fitting = COMMANDS.iter().filter(|command| command.starts_with(typed));
        return (0, fitting.map(|command| (*command).to_owned()).collect());
    }
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let start = typed
        .rfind(|c| !is_name(c))
        .map_or(0, |at| at + typed[at..].chars().next().map_or(1, char::len_utf8));
    let word = &typed[start..];
    if word.is_empty() {
        return (start, Vec::new());
    }
    (start, names.beginning(word, line))
}

/// What came of asking for a line.
pub(super) enum Line {
    /// A statement, or a command of the shell.
    Text(String),
    /// Ctrl-C: forget what was typed.
    Cancelled,
    /// Ctrl-D: the end.
    End,
}

/// A line editor on the terminal.
pub(super) struct Terminal {
    editor: Editor<Help, DefaultHistory>,
    history: PathBuf,
}

impl Terminal {
    /// An editor that remembers what was typed in this project before.
    pub(super) fn open(project: &Path, names: Names) -> rustyline::Result<Self> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(HISTORY)?
            .history_ignore_space(true)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Help(names)));
        let folder = project.join("target");
        let history = folder.join("shell_history");
        // Without a history the shell is still a shell.
        let _ = std::fs::create_dir_all(&folder);
        let _ = editor.load_history(&history);
        Ok(Self { editor, history })
    }

    /// Waits for a line, or for a statement of many.
    pub(super) fn read(&mut self) -> rustyline::Result<Line> {
        match self.editor.readline(PROMPT) {
            Ok(text) => {
                if !text.trim().is_empty() {
                    self.editor.add_history_entry(text.trim())?;
                    let _ = self.editor.append_history(&self.history);
                }
                Ok(Line::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Line::Cancelled),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_keywords_tables_and_columns_of_the_tables_named() {
        let names = Names::default();
        names.add("hubspot.contacts", vec!["email".into(), "firstname".into()]);
        names.add("hubspot.companies", vec!["employees".into()]);
        let after = |line: &str| complete(&names, line, line.len());
        assert_eq!(after("sel"), (0, vec!["select".into()]));
        assert_eq!(after("select * from hubspot.con"), (14, vec!["hubspot.contacts".into()]));
        assert_eq!(after("select em"), (7, vec!["email".into(), "employees".into()]));
        let line = "select em from hubspot.contacts";
        assert_eq!(complete(&names, line, 9), (7, vec!["email".into()]));
        assert_eq!(after("\\"), (0, COMMANDS.iter().map(|c| (*c).to_owned()).collect()));
    }
}
