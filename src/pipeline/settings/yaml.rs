//! YAML into a tree that remembers where every node stood.
//!
//! The tree is built from parser events, not through serde, because a setting
//! that turns out wrong long after parsing must still be shown by its line.

use std::collections::BTreeSet;
use std::fmt;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};

/// A place in a settings file, both counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Place {
    /// Where a file starts: the place of what is missing from it.
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    fn of(mark: &Marker) -> Self {
        Self { line: mark.line(), column: mark.col() + 1 }
    }
}

/// One node of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A text that has not been given a type yet.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Written without quotes, so that it may be a number, a switch or null.
    pub(crate) plain: bool,
}

impl Scalar {
    /// Whether nothing is written here, or one of YAML's words for it.
    pub(crate) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) node: Node,
}

/// One step from a node to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// The way from the root of a file to a node; shown as `models.usage.key[0]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyPath(pub(crate) Vec<Step>);

impl KeyPath {
    /// The path of nested keys.
    pub(crate) fn keys<S: Into<String>>(keys: impl IntoIterator<Item = S>) -> Self {
        Self(keys.into_iter().map(|key| Step::Key(key.into())).collect())
    }

    /// The path that goes on from here along a text like `tests[0].unique`.
    pub(crate) fn join(&self, text: &str) -> Self {
        let mut steps = self.0.clone();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let mut pieces = part.split('[');
            steps.extend(
                pieces.next().filter(|key| !key.is_empty()).map(|key| Step::Key(key.into())),
            );
            let indices = pieces.filter_map(|piece| piece.trim_end_matches(']').parse().ok());
            steps.extend(indices.map(Step::Index));
        }
        Self(steps)
    }

    pub(crate) fn child(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Why a text is no settings tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) place: Place,
    pub(crate) reason: String,
}

impl Malformed {
    fn new(place: Place, reason: impl Into<String>) -> Self {
        Self { place, reason: reason.into() }
    }
}

impl Node {
    /// Reads one YAML document; an empty one is an empty map.
    ///
    /// # Errors
    /// Text that is not YAML, a second document, a key given twice, a key that
    /// is not text, and aliases, anchors and tags, which settings do not need.
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let mut events = Events { text, parser: Parser::new_from_str(text) };
        let root = events.document()?;
        events.end()?;
        match &root.value {
            Value::Scalar(scalar) if scalar.is_null() => {
                Ok(Self { place: root.place, value: Value::Map(Vec::new()) })
            }
            _ => Ok(root),
        }
    }

    /// The place of the key (or list entry) at a path; where the path leaves
    /// the tree, the last place on the way there.
    pub(crate) fn place_of(&self, path: &KeyPath) -> Place {
        let mut place = self.place;
        let mut node = self;
        for step in &path.0 {
            let Some(next) = node.step(step) else { break };
            place = match (step, &node.value) {
                (Step::Key(key), Value::Map(entries)) => entries
                    .iter()
                    .find(|entry| entry.key == *key)
                    .map_or(next.place, |entry| entry.key_place),
                _ => next.place,
            };
            node = next;
        }
        place
    }

    fn step(&self, step: &Step) -> Option<&Self> {
        match (step, &self.value) {
            (Step::Key(key), Value::Map(entries)) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.node)
            }
            (Step::Index(index), Value::List(nodes)) => nodes.get(*index),
            _ => None,
        }
    }

    /// Takes the node at a path out of the tree; false when there is none.
    pub(crate) fn remove(&mut self, path: &KeyPath) -> bool {
        let Some((step, rest)) = path.0.split_first() else { return false };
        match (step, &mut self.value) {
            (Step::Key(key), Value::Map(entries)) => {
                let Some(position) = entries.iter().position(|entry| entry.key == *key) else {
                    return false;
                };
                if rest.is_empty() {
                    entries.remove(position);
                    return true;
                }
                entries[position].node.remove(&KeyPath(rest.to_vec()))
            }
            (Step::Index(index), Value::List(nodes)) if *index < nodes.len() => {
                if rest.is_empty() {
                    nodes.remove(*index);
                    return true;
                }
                nodes[*index].remove(&KeyPath(rest.to_vec()))
            }
            _ => false,
        }
    }

    /// Calls `change` with every scalar and its path.
    pub(crate) fn each_scalar(&mut self, change: &mut impl FnMut(&KeyPath, Place, &mut Scalar)) {
        self.each_scalar_below(&KeyPath::default(), change);
    }

    fn each_scalar_below(
        &mut self,
        path: &KeyPath,
        change: &mut impl FnMut(&KeyPath, Place, &mut Scalar),
    ) {
        match &mut self.value {
            Value::Scalar(scalar) => change(path, self.place, scalar),
            Value::List(nodes) => {
                for (index, node) in nodes.iter_mut().enumerate() {
                    node.each_scalar_below(&path.child(Step::Index(index)), change);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    let path = path.child(Step::Key(entry.key.clone()));
                    entry.node.each_scalar_below(&path, change);
                }
            }
        }
    }
}

/// The parser's events, with those that carry no data left out.
struct Events<'a, T: Iterator<Item = Result<(Event<'a>, Span), ScanError>>> {
    text: &'a str,
    parser: T,
}

impl<'a, T: Iterator<Item = Result<(Event<'a>, Span), ScanError>>> Events<'a, T> {
    fn next(&mut self) -> Result<(Event<'a>, Place), Malformed> {
        loop {
            match self.parser.next().transpose().map_err(|error| self.malformed(&error))? {
                Some((Event::Comment(..) | Event::StreamStart | Event::DocumentEnd, _)) => {}
                Some((event, span)) => return Ok((event, Place::of(&span.start))),
                None => return Ok((Event::StreamEnd, Place::START)),
            }
        }
    }

    /// What the parser refused, with a hint for the two values that look
    /// harmless and need quotes.
    fn malformed(&self, error: &ScanError) -> Malformed {
        let (info, place) = (error.info(), Place::of(error.marker()));
        let line = self.text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
        let hint = if info.contains("anchor") || info.contains("alias") {
            ": a value that begins with `*` or `&` needs quotes"
        } else if line.contains("${") {
            ": a value with `${VAR}` needs quotes inside `{ }` and `[ ]`"
        } else {
            ""
        };
        Malformed::new(place, format!("Not valid YAML: {info}{hint}"))
    }

    fn document(&mut self) -> Result<Node, Malformed> {
        match self.next()? {
            (Event::DocumentStart(..), place) => match self.next()? {
                (Event::StreamEnd, _) => Ok(Node { place, value: Value::Map(Vec::new()) }),
                (event, place) => self.node(event, place),
            },
            _ => Ok(Node { place: Place::START, value: Value::Map(Vec::new()) }),
        }
    }

    fn end(&mut self) -> Result<(), Malformed> {
        match self.next()? {
            (Event::StreamEnd, _) => Ok(()),
            (_, place) => Err(Malformed::new(place, "A settings file holds one YAML document")),
        }
    }

    fn node(&mut self, event: Event<'a>, place: Place) -> Result<Node, Malformed> {
        let value = match event {
            Event::Scalar(text, style, 0, None) => Value::Scalar(Scalar {
                text: text.into_owned(),
                plain: style == ScalarStyle::Plain,
            }),
            Event::SequenceStart(_, 0, None) => Value::List(self.list()?),
            Event::MappingStart(_, 0, None) => Value::Map(self.map()?),
            _ => {
                return Err(Malformed::new(
                    place,
                    "Anchors, aliases and tags are not supported in settings: write the value out, \
                     in quotes if it begins with `*`, `&` or `!`",
                ));
            }
        };
        Ok(Node { place, value })
    }

    fn list(&mut self) -> Result<Vec<Node>, Malformed> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(nodes),
                (event, place) => nodes.push(self.node(event, place)?),
            }
        }
    }

    fn map(&mut self) -> Result<Vec<Entry>, Malformed> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            let (key, key_place) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (Event::Scalar(text, ..), place) => (text.into_owned(), place),
                (_, place) => return Err(Malformed::new(place, "A key must be plain text")),
            };
            if !seen.insert(key.clone()) {
                return Err(Malformed::new(key_place, format!("The key `{key}` is given twice")));
            }
            let (event, place) = self.next()?;
            entries.push(Entry { key, key_place, node: self.node(event, place)? });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str =
        "# a comment\nlake: { url: \"./lake\" }\nmodels:\n  usage:\n    key: [a, b]\n";

    #[test]
    fn nodes_remember_their_places() {
        let root = Node::parse(SAMPLE).expect("valid YAML");
        let second = KeyPath(vec![
            Step::Key("models".into()),
            Step::Key("usage".into()),
            Step::Key("key".into()),
            Step::Index(1),
        ]);
        assert_eq!(second.to_string(), "models.usage.key[1]");
        assert_eq!(KeyPath::keys(["models"]).join("usage.key[1]"), second);
        assert_eq!(root.place_of(&second), Place { line: 5, column: 14 });
        assert_eq!(root.place_of(&KeyPath::keys(["lake", "url"])), Place { line: 2, column: 9 });
    }

    #[test]
    fn a_path_that_leaves_the_tree_stops_at_the_last_key() {
        let root = Node::parse(SAMPLE).expect("valid YAML");
        let absent = KeyPath::keys(["models", "usage", "tests"]);
        assert_eq!(root.place_of(&absent), Place { line: 4, column: 3 });
    }

    #[test]
    fn removed_nodes_are_gone() {
        let mut root = Node::parse(SAMPLE).expect("valid YAML");
        let path = KeyPath::keys(["models", "usage", "key"]);
        assert!(root.remove(&path));
        assert!(!root.remove(&path));
    }

    #[test]
    fn an_empty_file_is_an_empty_map() {
        for text in ["", "# nothing yet\n", "---\n"] {
            let root = Node::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
            let empty = matches!(&root.value, Value::Map(entries) if entries.is_empty());
            assert!(empty, "{text:?} gave {root:?}");
        }
    }

    #[test]
    fn what_settings_do_not_need_is_refused_with_its_line() {
        for (text, line, part) in [
            ("a: 1\na: 2\n", 2, "given twice"),
            ("a: &x 1\nb: *x\n", 1, "not supported"),
            ("cron: */15 * * * *\n", 1, "quotes"),
            ("a: 1\n---\nb: 2\n", 2, "one YAML document"),
            ("a: [1, 2\n", 1, "Not valid YAML"),
            ("a: { b: ${C} }\n", 1, "needs quotes"),
        ] {
            let error = Node::parse(text).expect_err(text);
            assert!(error.reason.contains(part), "{text:?} gave {error:?}");
            assert_eq!(error.place.line, line, "{text:?} gave {error:?}");
        }
    }
}
