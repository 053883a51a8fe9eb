//! Walking JSON text in order, without looking at what nobody asked for twice.
//!
//! Pages of records are nearly all strings without escapes, under names that are
//! known beforehand. These are found here eight bytes at a time; every other value
//! is read by serde_json, from where it begins. `benches/decode.rs` measures it.

use std::borrow::Cow;

use serde::Deserialize;

use super::error::Misread;

/// A position in a JSON text. White space before a token is skipped.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What is wrong here.
    pub(super) fn misread(&self) -> Misread {
        if self.at >= self.text.len() {
            return Misread::Truncated;
        }
        misread_after(&self.text.as_bytes()[..self.at])
    }

    /// The next byte that is no white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Goes past this byte, if it is the next one.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Goes past this byte, which has to be the next one.
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Misread> {
        if self.take(byte) { Ok(()) } else { Err(self.misread()) }
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<(), Misread> {
        if self.peek().is_none() { Ok(()) } else { Err(self.misread()) }
    }

    /// The next name of an object that was begun, with the colon behind it; none at
    /// its end. `is_first` is whether the object has just begun.
    pub(super) fn name(&mut self, is_first: bool) -> Result<Option<Cow<'a, str>>, Misread> {
        if self.take(b'}') {
            return Ok(None);
        }
        if !is_first {
            self.expect(b',')?;
        }
        let name = self.string()?.ok_or_else(|| self.misread())?;
        self.expect(b':')?;
        Ok(Some(name))
    }

    /// Goes past a name and the colon behind it, if it is the next of its object.
    /// The name must be [`is_plain`].
    #[inline]
    pub(super) fn take_name(&mut self, is_first: bool, name: &str) -> bool {
        let start = self.at;
        let found = (is_first || self.take(b',')) && self.peek() == Some(b'"') && {
            let rest = &self.text.as_bytes()[self.at + 1..];
            let is_it = rest.starts_with(name.as_bytes()) && rest.get(name.len()) == Some(&b'"');
            self.at += if is_it { name.len() + 2 } else { 0 };
            is_it && self.take(b':')
        };
        if !found {
            self.at = start;
        }
        found
    }

    /// The next element of an array that was begun begins here; not at its end.
    pub(super) fn element(&mut self, is_first: bool) -> Result<bool, Misread> {
        if self.take(b']') {
            return Ok(false);
        }
        if !is_first {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// The next value, if it is a string; borrowed where it has no escapes.
    pub(super) fn string(&mut self) -> Result<Option<Cow<'a, str>>, Misread> {
        if let Some(text) = self.plain() {
            return Ok(Some(Cow::Borrowed(text)));
        }
        if self.peek() != Some(b'"') {
            return Ok(None);
        }
        self.value::<String>().map(|text| Some(Cow::Owned(text)))
    }

    /// The next value, if it is a string without escapes.
    #[inline]
    pub(super) fn plain(&mut self) -> Option<&'a str> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let start = self.at + 1;
        let end = start + plain_run(&self.text.as_bytes()[start..]);
        if self.text.as_bytes().get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// Goes past a null, if it is the next value. What follows is for the caller to
    /// check, as it does behind every value.
    #[inline]
    pub(super) fn take_null(&mut self) -> bool {
        let is_null =
            self.peek() == Some(b'n') && self.text.as_bytes()[self.at..].starts_with(b"null");
        self.at += if is_null { 4 } else { 0 };
        is_null
    }

    /// The next value, whatever it is.
    pub(super) fn value<T: Deserialize<'a>>(&mut self) -> Result<T, Misread> {
        self.peek();
        let mut values = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value)
            }
            Some(Err(error)) if error.is_eof() => Err(Misread::Truncated),
            Some(Err(_)) => Err(self.misread()),
            None => Err(Misread::Truncated),
        }
    }
}

/// Something wrong behind these bytes.
pub(super) fn misread_after(before: &[u8]) -> Misread {
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    Misread::Shape { line, column: before.len() - line_start + 1 }
}

/// Whether a JSON string may hold these bytes as they are.
pub(super) fn is_plain(text: &str) -> bool {
    plain_run(text.as_bytes()) == text.len()
}

/// How many bytes from the first may stand in a JSON string as they are: up to a
/// quote, a backslash or a control character.
#[inline]
fn plain_run(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (nth, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return nth * 8 + (special.trailing_zeros() / 8) as usize;
        }
    }
    let is_special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    words.len() * 8 + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// The highest bit of the lowest byte that is a quote, a backslash or a control
/// character. Bits above it may be set for no reason: a borrow runs upwards.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHEST: u64 = ONES << 7;
    let below = |word: u64, least: u8| word.wrapping_sub(ONES * u64::from(least)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, b' ') | is(b'"') | is(b'\\')) & HIGHEST
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_run_ends_at_the_first_byte_that_needs_an_escape(
            bytes in prop::collection::vec(
                prop_oneof![8 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\'), 4 => 0x20u8..0x80],
                0..40,
            ),
        ) {
            let ends = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
            let expected = bytes.iter().position(ends).unwrap_or(bytes.len());
            prop_assert_eq!(plain_run(&bytes), expected);
        }

        #[test]
        fn every_string_is_read_as_serde_json_reads_it(text in any::<String>()) {
            let json = serde_json::to_string(&text).expect("a string");
            let read = Scanner::new(&json).string();
            prop_assert_eq!(read, Ok(Some(text.into())));
        }
    }

    #[test]
    fn a_name_is_taken_only_whole() {
        let mut scanner = Scanner::new(r#" "name" : 1, "names": 2"#);
        assert!(!scanner.take_name(true, "nam"));
        assert!(!scanner.take_name(true, "names"));
        assert!(!scanner.take_name(false, "name"), "there is no comma before it");
        assert!(scanner.take_name(true, "name"));
        assert_eq!(scanner.value::<u8>(), Ok(1));
        assert!(!scanner.take_name(true, "names"), "there is a comma before it");
        assert!(scanner.take_name(false, "names"));
    }

    #[test]
    fn what_is_wrong_is_where_it_stands() {
        let mut scanner = Scanner::new("{\n  x");
        assert!(scanner.take(b'{'));
        assert_eq!(scanner.name(true), Err(Misread::Shape { line: 2, column: 3 }));
        assert_eq!(Scanner::new("\"never ends").value::<String>(), Err(Misread::Truncated));
        assert_eq!(Scanner::new("  ").value::<String>(), Err(Misread::Truncated));
        assert!(Scanner::new("\"a\u{1}b\"").string().is_err(), "a control character");
        assert_eq!(Scanner::new("1").string(), Ok(None));
    }
}
