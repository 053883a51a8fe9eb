use std::sync::atomic::{AtomicU64, Ordering};

/// How many records of one object type have been read so far.
///
/// The sync counts, whoever shows it to a person reads.
#[derive(Debug, Default)]
pub struct Progress(AtomicU64);

impl Progress {
    /// Counts records.
    pub fn add(&self, records: u64) {
        self.0.fetch_add(records, Ordering::Relaxed);
    }

    /// Records read so far.
    pub fn records(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
