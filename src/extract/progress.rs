use std::sync::atomic::{AtomicU64, Ordering};

/// How many records of one object type have been read so far, and of how many.
///
/// The sync counts, whoever shows it to a person reads.
#[derive(Debug, Default)]
pub struct Progress {
    records: AtomicU64,
    expected: AtomicU64,
}

impl Progress {
    /// Counts records.
    pub fn add(&self, records: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    /// Says how many records there will be, about.
    pub fn expect(&self, records: u64) {
        self.expected.store(records, Ordering::Relaxed);
    }

    /// Records read so far.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Records there will be, about; none while nobody knows.
    pub fn expected(&self) -> Option<u64> {
        Some(self.expected.load(Ordering::Relaxed)).filter(|expected| *expected > 0)
    }
}
