//! The name that was probably meant.

/// Below this likeness (Jaro–Winkler, 1 is equal) a suggestion misleads more
/// often than it helps.
const LIKENESS: f64 = 0.8;

/// The candidate most like a name that was not found, if any is like it.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (candidate, strsim::jaro_winkler(candidate, name)))
        .filter(|(_, likeness)| *likeness > LIKENESS)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(candidate, _)| candidate)
}
