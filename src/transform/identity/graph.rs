//! Records and the identifiers they bear, each text held once.

use indexmap::IndexSet;

/// Between the kind and the value of an identifier, where no kind has it.
const BETWEEN: char = '\u{0}';

/// A record bears an identifier; both by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) record: u32,
    pub(super) identifier: u32,
}

/// The records of a model and their identifiers.
#[derive(Debug, Default)]
pub(super) struct Graph {
    records: IndexSet<Box<str>>,
    identifiers: IndexSet<Box<str>>,
    /// Sorted, without repeats, none of them ruled out, once [`Graph::sort`] is done.
    pub(super) edges: Vec<Edge>,
    /// Edges that the model itself leaves out, and why.
    pub(super) ruled_out: Vec<(Edge, Box<str>)>,
    /// Identifiers that no record came with, as kind and value.
    pub(super) without_record: Vec<(Box<str>, Box<str>)>,
    scratch: String,
}

impl Graph {
    /// Takes in one row of a model. A record without an identifier stands
    /// alone. Returns how many bytes more are held now, roughly.
    pub(super) fn add(
        &mut self,
        record: Option<&str>,
        identifier: Option<(&str, &str)>,
        exclude_reason: Option<&str>,
    ) -> usize {
        // The map's slot, the pointer and the allocation of a text that is new.
        const PER_TEXT: usize = 48;
        let Some(record) = record else {
            let Some((kind, value)) = identifier else { return 0 };
            self.without_record.push((kind.into(), value.into()));
            return PER_TEXT + kind.len() + value.len();
        };
        let (record, mut bytes) = number(&mut self.records, record);
        let Some((kind, value)) = identifier else { return bytes };
        self.scratch.clear();
        self.scratch.push_str(kind);
        self.scratch.push(BETWEEN);
        self.scratch.push_str(value);
        let (identifier, more) = number(&mut self.identifiers, &self.scratch);
        bytes += more + size_of::<Edge>();
        let edge = Edge { record, identifier };
        match exclude_reason {
            Some(reason) => {
                self.ruled_out.push((edge, reason.into()));
                bytes += PER_TEXT + reason.len();
            }
            None => self.edges.push(edge),
        }
        bytes
    }

    /// Numbers everything anew in order of the texts, and drops what comes
    /// twice: from here on nothing depends on the order of the rows.
    pub(super) fn sort(&mut self) {
        let records = renumber(&mut self.records);
        let identifiers = renumber(&mut self.identifiers);
        let renumbered = |edge: Edge| Edge {
            record: records[edge.record as usize],
            identifier: identifiers[edge.identifier as usize],
        };
        for edge in &mut self.edges {
            *edge = renumbered(*edge);
        }
        for (edge, _) in &mut self.ruled_out {
            *edge = renumbered(*edge);
        }
        self.ruled_out.sort_unstable();
        self.ruled_out.dedup_by_key(|(edge, _)| *edge);
        self.edges.sort_unstable();
        self.edges.dedup();
        let ruled_out = &self.ruled_out;
        self.edges.retain(|edge| ruled_out.binary_search_by_key(edge, |(edge, _)| *edge).is_err());
        self.without_record.sort_unstable();
        self.without_record.dedup();
    }

    pub(super) fn records(&self) -> usize {
        self.records.len()
    }

    pub(super) fn record(&self, number: u32) -> &str {
        &self.records[number as usize]
    }

    /// The number of a record.
    pub(super) fn find(&self, record: &str) -> Option<u32> {
        self.records.get_index_of(record).map(short)
    }

    /// The kind and the value of an identifier.
    pub(super) fn identifier(&self, number: u32) -> (&str, &str) {
        self.identifiers[number as usize].split_once(BETWEEN).expect("a kind stands before a value")
    }
}

/// The number of a text, and the bytes that holding it costs if it is new.
fn number(texts: &mut IndexSet<Box<str>>, text: &str) -> (u32, usize) {
    if let Some(known) = texts.get_index_of(text) {
        return (short(known), 0);
    }
    let (index, _) = texts.insert_full(text.into());
    (short(index), text.len() + 48)
}

/// Four thousand million of anything do not fit in this memory.
fn short(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 texts")
}

/// Sorts texts; the new number of each by its old one.
fn renumber(texts: &mut IndexSet<Box<str>>) -> Vec<u32> {
    let mut order: Vec<u32> = (0..short(texts.len())).collect();
    order.sort_unstable_by(|a, b| texts[*a as usize].cmp(&texts[*b as usize]));
    let mut numbers = vec![0; order.len()];
    for (new, old) in order.iter().enumerate() {
        numbers[*old as usize] = short(new);
    }
    texts.sort_unstable();
    numbers
}
