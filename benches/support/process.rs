//! What a process uses, as Linux tells; elsewhere little of it is known. And what
//! a folder holds.

use std::fs;
use std::path::Path;

/// What `/proc` counts CPU time in, on every Linux there is.
#[allow(dead_code, reason = "not every bench asks")]
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of this process so far.
#[allow(dead_code, reason = "not every bench asks")]
pub(crate) fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may hold spaces; what follows its bracket does not.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / TICKS_PER_SECOND
}

/// Makes the kernel count the peak of memory from now on; where it does not,
/// the peak of the whole run is reported.
pub(crate) fn forget_peak_memory() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The peak of resident memory in bytes.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Bytes of all files under a folder.
#[allow(dead_code, reason = "not every bench asks")]
pub(crate) fn stored_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => stored_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
