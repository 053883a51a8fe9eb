//! Does `docs/tutorial.md` work? Its commands are run as they stand there, its
//! edits made as they stand there, and what it says comes out has to come out.
//!
//! `…` stands for whatever comes; a line of output is looked for behind the one
//! that matched the line before. A command that ends in `&` goes on to the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const TUTORIAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tutorial.md");

/// What a reader does at one place of the page, or sees there.
#[derive(Debug, PartialEq)]
enum Block {
    Commands(Vec<String>),
    Output(Vec<String>),
    Edit { file: String, hunks: Vec<(String, String)> },
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) else { continue };
        let body: Vec<String> =
            lines.by_ref().take_while(|line| *line != "```").map(str::to_owned).collect();
        found.push(match kind {
            "sh" => Block::Commands(body),
            "text" => Block::Output(body),
            "diff" => edit(&body),
            other => panic!("the tutorial has a block of `{other}`, which nobody checks"),
        });
    }
    found
}

fn edit(body: &[String]) -> Block {
    let file = body[0].strip_prefix("--- ").expect("an edit names its file").to_owned();
    let side = |hunk: &[String], other: char| {
        let kept = hunk.iter().filter(|line| !line.starts_with(other));
        kept.map(|line| format!("{}\n", &line[1..])).collect::<String>()
    };
    let hunks = body[1..].split(|line| line == "@@");
    let hunks = hunks.map(|hunk| (side(hunk, '+'), side(hunk, '-'))).collect();
    Block::Edit { file, hunks }
}

/// A reader: a folder, what goes on in the background, what was seen last.
struct Reader {
    folder: PathBuf,
    background: Vec<Child>,
    seen: String,
}

impl Reader {
    fn shell(&self, line: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_hublake"));
        let paths = std::env::var("PATH").unwrap_or_default();
        let folder = program.parent().expect("a program lies in a folder").display();
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(&self.folder);
        command.env("PATH", format!("{folder}:{paths}")).env_remove("HUBLAKE_PROJECT");
        command
    }

    fn run(&mut self, line: &str) {
        if let Some(folder) = line.strip_prefix("cd ") {
            self.folder = self.folder.join(folder);
        } else if let Some(line) = line.strip_suffix(" &") {
            // Replaced by the program, so that ending the one ends the other.
            let mut command = self.shell(&format!("exec {line}"));
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            self.background.push(child.expect("a shell"));
        } else {
            let output = self.shell(line).output().expect("a shell");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let told = text(&output.stdout) + &text(&output.stderr);
            assert!(output.status.success(), "`{line}`: {}\n{told}", output.status);
            self.seen.push_str(&told);
        }
    }

    fn change(&self, file: &str, hunks: &[(String, String)]) {
        let path = self.folder.join(file);
        let mut text = fs::read_to_string(&path).expect("the file that the tutorial edits");
        for (before, after) in hunks {
            assert_eq!(text.matches(before).count(), 1, "{file} has once:\n{before}");
            text = text.replace(before, after);
        }
        fs::write(path, text).expect("written");
    }

    fn sees(&self, lines: &[String]) {
        let mut rest = self.seen.lines();
        for line in lines {
            assert!(rest.any(|seen| fits(seen.trim_end(), line)), "no `{line}` in:\n{}", self.seen);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for child in &mut self.background {
            // It has nothing to lose.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether a line is what the page says, `…` standing for anything.
fn fits(seen: &str, said: &str) -> bool {
    let parts: Vec<&str> = said.split('…').collect();
    let (Some((first, rest)), Some(last)) = (parts.split_first(), parts.last()) else {
        return false;
    };
    let Some(mut seen) = seen.strip_prefix(first) else { return false };
    for part in &rest[..rest.len().saturating_sub(1)] {
        let Some(at) = seen.find(part) else { return false };
        seen = &seen[at + part.len()..];
    }
    if rest.is_empty() { seen.is_empty() } else { seen.ends_with(last) }
}

#[test]
fn the_tutorial_works_as_it_stands() {
    let page = fs::read_to_string(TUTORIAL).expect("the tutorial");
    let folder = TempDir::new().expect("a folder");
    let mut reader =
        Reader { folder: folder.path().to_owned(), background: Vec::new(), seen: String::new() };
    let mut checked = 0;
    for block in blocks(&page) {
        match block {
            Block::Commands(lines) => {
                reader.seen.clear();
                lines.iter().for_each(|line| reader.run(line));
            }
            Block::Output(lines) => {
                checked += lines.len();
                reader.sees(&lines);
            }
            Block::Edit { file, hunks } => {
                let touched = file.ends_with(".sql") || file.ends_with(".yml");
                assert!(touched, "an analyst touches SQL and YAML only, not {file}");
                reader.change(&file, &hunks);
            }
        }
    }
    assert!(checked >= 10, "{checked} lines of output were checked");
}

#[test]
fn what_the_tutorial_says_is_held_to() {
    assert!(fits("a 12 b", "a … b") && fits("a 12", "a …") && fits("a", "a"));
    assert!(!fits("a 12 c", "a … b") && !fits("b", "a") && !fits("ab", "a"));
    let edit = blocks("```diff\n--- f.sql\n a\n-b\n+c\n@@\n d\n+e\n```\n");
    let hunks =
        vec![("a\nb\n".to_owned(), "a\nc\n".to_owned()), ("d\n".to_owned(), "d\ne\n".to_owned())];
    assert_eq!(edit, [Block::Edit { file: "f.sql".to_owned(), hunks }]);
}
