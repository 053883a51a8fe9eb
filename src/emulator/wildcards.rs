//! Patterns in which `*` stands for any characters: of faults' paths, and of
//! the words of a search.

/// Whether a text fits a pattern. What a part of the pattern stands for is
/// never sought twice: no pattern, however full of `*`, takes long.
pub(crate) fn fits(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let head = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let Some(tail) = pattern.rsplit_once('*').map(|(_, tail)| tail) else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (text, pattern) in [
            ("/crm/v3/objects/contacts/batch/update", "*/batch/*"),
            ("/crm/v3/objects/contacts", "/crm/v3/objects/contacts"),
            ("/a/b", "*"),
            ("keller", "kel*"),
            ("keller", "*ler"),
            ("keller", "k*l*r"),
            ("ababa", "*aba*ba"),
            ("", "*"),
        ] {
            assert!(fits(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in [
            ("/crm/v3/objects/contacts/1", "/crm/v3/objects/contacts"),
            ("/a/b", "/a/*/c"),
            ("ab", "ab*b"),
            ("aba", "*ab*ba"),
            ("keller", "kel"),
            ("", "a*"),
        ] {
            assert!(!fits(text, pattern), "{text} {pattern}");
        }
    }

    /// Trying every place for every `*` would take longer than anybody lives.
    #[test]
    fn many_stars_take_no_time() {
        assert!(!fits(&"a".repeat(65_536), &format!("{}*b", "*a".repeat(1_000))));
    }
}
