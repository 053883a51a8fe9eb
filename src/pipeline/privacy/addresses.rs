//! Addresses in texts: where one stands, and what is left without it.

use std::collections::BTreeSet;

/// The address that a text is, in lower case, if it is one.
pub(super) fn address(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    text.contains('@').then_some(text)
}

/// Whether a text holds one of the addresses (in lower case) anywhere.
pub(super) fn names_any(text: &str, addresses: &BTreeSet<String>) -> bool {
    if !text.contains('@') {
        return false;
    }
    let lower = text.to_lowercase();
    addresses.iter().any(|address| holds_word(&lower, address))
}

/// Whether the text holds the address and not a longer one that ends with it.
fn holds_word(text: &str, address: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || "._%+-".contains(letter);
    text.match_indices(address).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + address.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(|c| c.is_alphanumeric() || c == '-')
    })
}

/// A text without those members of it that are one of the addresses and nothing
/// else, where it has such: a lone address, or one of a list parted by `;` or
/// `,`, with a name beside it or not (`Ada <ada@example.com>`). Empty where
/// nothing is left.
pub(super) fn without(text: &str, addresses: &BTreeSet<String>) -> Option<String> {
    if !names_any(text, addresses) {
        return None;
    }
    let is_one = |member: &&str| {
        let inner = member.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let bare = inner.map_or(*member, |(inner, _)| inner);
        address(bare).is_some_and(|bare| addresses.contains(&bare))
    };
    let mut left = String::new();
    let mut is_changed = false;
    // A member goes with the separator that follows it.
    for member in text.split_inclusive([';', ',']) {
        if is_one(&member.trim_end_matches([';', ','])) {
            is_changed = true;
        } else {
            left.push_str(member);
        }
    }
    is_changed
        .then(|| left.trim_matches(|c: char| c.is_whitespace() || ";,".contains(c)).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> BTreeSet<String> {
        ["ada@example.com".to_owned()].into()
    }

    #[test]
    fn a_longer_address_is_another() {
        for text in [
            "ada@example.com",
            "To: Ada@Example.com.",
            "<ada@example.com>",
            "ada@example.com;x@y.z",
        ] {
            assert!(names_any(text, &ada()), "{text}");
        }
        for text in ["not-ada@example.com", "ada@example.com-and.co", "ada@example.company", "ada"]
        {
            assert!(!names_any(text, &ada()), "{text}");
        }
    }

    #[test]
    fn only_members_that_are_the_address_go() {
        for (text, left) in [
            ("ada@example.com", Some("")),
            (" ADA@example.com ", Some("")),
            ("Ada L. <ada@example.com>", Some("")),
            ("bo@example.com;ada@example.com", Some("bo@example.com")),
            ("ada@example.com, bo@example.com", Some("bo@example.com")),
            ("a@b.co;ada@example.com;c@d.co", Some("a@b.co;c@d.co")),
            ("Call ada@example.com back", None),
            ("bo@example.com", None),
        ] {
            assert_eq!(without(text, &ada()).as_deref(), left, "{text}");
        }
    }
}
