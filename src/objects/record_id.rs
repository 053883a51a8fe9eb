use std::fmt;
use std::str::FromStr;

/// The id of one HubSpot record (`hs_object_id`).
///
/// A decimal number wider than 32 bits, unique within one object type only.
/// The API sends it as a string in records and as a JSON number in
/// associations and webhooks; it is kept as a 64-bit integer here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub i64);

/// A text that is no record id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a record id: a positive whole number is expected")]
pub struct InvalidRecordId(pub String);

impl FromStr for RecordId {
    type Err = InvalidRecordId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<i64>() {
            Ok(id) if id > 0 => Ok(Self(id)),
            _ => Err(InvalidRecordId(text.to_owned())),
        }
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_wider_than_32_bits_survive() {
        let id: RecordId = "51854903510".parse().expect("a valid id");
        assert_eq!(id.to_string(), "51854903510");
    }

    #[test]
    fn text_zero_and_negative_numbers_are_refused() {
        for text in ["", "abc", "0", "-5", "1.5", "99999999999999999999"] {
            assert!(text.parse::<RecordId>().is_err(), "{text} was taken");
        }
    }
}
