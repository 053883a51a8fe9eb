//! Whether a model's column can hold what a property takes, before any row is
//! seen.

use arrow::datatypes::DataType;

use crate::objects::PropertyType;

/// Why a column does not fit a property, and what to write instead.
///
/// Text is taken for text, whatever it spells: a number, a day or a switch is
/// to be one in the model, so that a value that is none shows there. `COLUMN`
/// in the advice stands for the column's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What the property takes, in words.
    pub wanted: &'static str,
    /// What to write instead, where there is an obvious cast.
    pub advice: Option<&'static str>,
}

/// Whether values of a column can be values of a property; none where they can,
/// one by one at least.
pub fn misfit(column: &DataType, property: &PropertyType) -> Option<Misfit> {
    let kind = Kind::of(column);
    let (wanted, fits, advice) = match property {
        PropertyType::String | PropertyType::Other(_) | PropertyType::Enumeration => {
            ("text", !matches!(kind, Kind::Binary | Kind::Nested), None)
        }
        PropertyType::Number => (
            "numbers",
            kind == Kind::Number,
            match kind {
                Kind::Text => Some("try_cast(COLUMN as double)"),
                Kind::Bool => Some("cast(COLUMN as int)"),
                _ => None,
            },
        ),
        PropertyType::Bool => (
            "`true` or `false`",
            kind == Kind::Bool,
            match kind {
                Kind::Text => Some("try_cast(COLUMN as boolean)"),
                Kind::Number => Some("COLUMN <> 0"),
                _ => None,
            },
        ),
        PropertyType::Date => (
            "days",
            matches!(kind, Kind::Day | Kind::Instant),
            (kind == Kind::Text).then_some("try_cast(COLUMN as date)"),
        ),
        PropertyType::DateTime => (
            "points in time",
            matches!(kind, Kind::Day | Kind::Instant),
            match kind {
                Kind::Text => Some("try_cast(COLUMN as timestamp)"),
                Kind::Number => Some("to_timestamp_millis(COLUMN)"),
                _ => None,
            },
        ),
    };
    (!fits).then_some(Misfit { wanted, advice })
}

/// Whether values of a column can be HubSpot record ids.
pub fn can_be_record_id(column: &DataType) -> bool {
    matches!(Kind::of(column), Kind::Number | Kind::Text)
}

/// The property type that a mirror's column is kept in the type of.
pub fn property_type_of(column: &DataType) -> Option<PropertyType> {
    match Kind::of(column) {
        Kind::Text => Some(PropertyType::String),
        Kind::Number => Some(PropertyType::Number),
        Kind::Bool => Some(PropertyType::Bool),
        Kind::Day => Some(PropertyType::Date),
        Kind::Instant => Some(PropertyType::DateTime),
        Kind::List | Kind::Binary | Kind::Nested => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Bool,
    Day,
    Instant,
    List,
    Binary,
    Nested,
}

impl Kind {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::Boolean => Self::Bool,
            DataType::Date32 | DataType::Date64 => Self::Day,
            DataType::Timestamp(..) => Self::Instant,
            DataType::List(_) | DataType::LargeList(_) => Self::List,
            other if other.is_numeric() => Self::Number,
            DataType::Struct(_) | DataType::Map(..) => Self::Nested,
            _ => Self::Binary,
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn what_can_be_sent_fits_and_what_cannot_does_not() {
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let list = DataType::new_list(DataType::Utf8, true);
        for (column, property, fits) in [
            (DataType::Int64, PropertyType::Number, true),
            (DataType::Decimal128(10, 2), PropertyType::Number, true),
            (DataType::Utf8, PropertyType::Number, false),
            (DataType::Date32, PropertyType::Number, false),
            (DataType::Boolean, PropertyType::Bool, true),
            (DataType::Int64, PropertyType::Bool, false),
            (DataType::Date32, PropertyType::Date, true),
            (instant.clone(), PropertyType::Date, true),
            (DataType::Int64, PropertyType::Date, false),
            (DataType::Date32, PropertyType::DateTime, true),
            (DataType::Float64, PropertyType::DateTime, false),
            (list.clone(), PropertyType::Enumeration, true),
            (list, PropertyType::Number, false),
            (DataType::Int64, PropertyType::String, true),
            (DataType::Binary, PropertyType::String, false),
        ] {
            assert_eq!(misfit(&column, &property).is_none(), fits, "{column} {property:?}");
        }
        let text = misfit(&DataType::Utf8, &PropertyType::Number).expect("text is no number");
        assert_eq!(text.advice, Some("try_cast(COLUMN as double)"));
    }
}
