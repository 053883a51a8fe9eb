//! A page of records, from response bytes straight into Arrow columns.
//!
//! The body is walked once by serde; every value goes from the body into the
//! builder of its column, with no map of strings per record on the way. serde_json
//! is the quickest way there once the body is known to be UTF-8 as a whole, which
//! spares it to look at every text again (`benches/parsers/`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, MapBuilder, RecordBatch,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::error::ExtractError;
use super::mirror::{MirrorSchema, map_field_names};
use crate::objects::values::{self, Parsed};

/// One decoded page.
#[derive(Debug)]
pub struct Page {
    /// The rows, in the mirror's schema.
    pub rows: RecordBatch,
    /// The cursor of the next page, absent on the last.
    pub next: Option<String>,
    /// How many records a search says there are in all; often about right.
    pub total: Option<u64>,
    /// Records without a usable id, and unreadable ones: they cannot be stored.
    pub rejected: u64,
    /// Records whose JSON does not parse even when they are read alone.
    pub unreadable: Vec<Unreadable>,
    /// Values kept as text because their column cannot hold them exactly.
    pub rescued: u64,
}

impl Page {
    /// A page without records.
    pub(super) fn empty(schema: &MirrorSchema) -> Self {
        Self {
            rows: RecordBatch::new_empty(schema.arrow()),
            next: None,
            total: None,
            rejected: 0,
            unreadable: Vec::new(),
            rescued: 0,
        }
    }

    /// Takes in what another page holds; the cursor stays.
    pub(super) fn append(&mut self, other: Self) -> Result<(), ExtractError> {
        self.rows = match self.rows.num_rows() {
            0 => other.rows,
            _ => concat_batches(&self.rows.schema(), [&self.rows, &other.rows])?,
        };
        self.rejected += other.rejected;
        self.rescued += other.rescued;
        self.unreadable.extend(other.unreadable);
        Ok(())
    }
}

/// A record that HubSpot answers and nobody can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The record.
    pub id: i64,
    /// What is wrong with its JSON.
    pub problem: String,
    /// The id to quote to HubSpot's support.
    pub correlation_id: Option<String>,
}

/// Decodes the body of a list, search or batch read.
///
/// `synced_at` (µs UTC) stamps every row.
///
/// # Errors
/// A body that is not JSON of a page's shape, an error body included.
pub fn decode_page(
    schema: &MirrorSchema,
    body: &[u8],
    synced_at: i64,
) -> Result<Page, ExtractError> {
    let mut columns = Columns::new(schema, synced_at);
    let beside = match std::str::from_utf8(body) {
        Ok(text) => read(&mut columns, serde_json::Deserializer::from_str(text)),
        // It says at which line the text is none.
        Err(_) => read(&mut columns, serde_json::Deserializer::from_slice(body)),
    };
    let beside = beside.map_err(|source| ExtractError::Page {
        object: schema.object().to_string(),
        correlation_id: None,
        source: source.into(),
    })?;
    columns.finish(beside)
}

fn read<'de, R: serde_json::de::Read<'de>>(
    columns: &mut Columns<'_>,
    mut json: serde_json::Deserializer<R>,
) -> Result<Beside, serde_json::Error> {
    let beside = PageSeed { columns }.deserialize(&mut json)?;
    json.end()?;
    Ok(beside)
}

/// The builder of one property's column.
enum Values {
    Text(StringBuilder),
    Number(Float64Builder),
    Bool(BooleanBuilder),
    Date(Date32Builder),
    Time(TimestampMicrosecondBuilder),
}

impl Values {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Float64 => Self::Number(Float64Builder::new()),
            DataType::Boolean => Self::Bool(BooleanBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Timestamp(..) => Self::Time(time_builder()),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    /// Appends a text as the column's type; whether the text says more than
    /// was stored.
    fn append(&mut self, text: &str) -> bool {
        match self {
            Self::Text(builder) => {
                builder.append_value(text);
                false
            }
            Self::Number(builder) => {
                append_parsed(values::parse_number(text), |v| builder.append_option(v))
            }
            Self::Bool(builder) => {
                append_parsed(values::parse_bool(text), |v| builder.append_option(v))
            }
            Self::Date(builder) => {
                append_parsed(values::parse_date(text), |v| builder.append_option(v))
            }
            Self::Time(builder) => {
                append_parsed(values::parse_datetime(text), |v| builder.append_option(v))
            }
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Text(builder) => builder.append_null(),
            Self::Number(builder) => builder.append_null(),
            Self::Bool(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Number(builder) => Arc::new(builder.finish()),
            Self::Bool(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
        }
    }
}

fn append_parsed<T>(parsed: Parsed<T>, append: impl FnOnce(Option<T>)) -> bool {
    let loses = parsed.loses();
    append(parsed.value());
    loses
}

fn time_builder() -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::new().with_timezone("UTC")
}

/// What stands beside a record's properties.
#[derive(Default)]
struct Envelope {
    id: Option<i64>,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    archived: bool,
    archived_at: Option<i64>,
}

/// The builders of a page, and where each property goes.
struct Columns<'a> {
    schema: &'a MirrorSchema,
    synced_at: i64,
    by_name: HashMap<&'a str, usize>,
    properties: Vec<Values>,
    /// The row in which a property was last appended, plus one.
    filled: Vec<usize>,
    ids: Int64Builder,
    created_at: TimestampMicrosecondBuilder,
    updated_at: TimestampMicrosecondBuilder,
    archived: BooleanBuilder,
    archived_at: TimestampMicrosecondBuilder,
    rescue: MapBuilder<StringBuilder, StringBuilder>,
    rows: usize,
    rejected: u64,
    rescued: u64,
    /// The order of the previous record's properties, which the next record
    /// nearly always repeats: a guess that saves the hash.
    order: Vec<usize>,
}

impl<'a> Columns<'a> {
    fn new(schema: &'a MirrorSchema, synced_at: i64) -> Self {
        let columns = schema.properties();
        Self {
            schema,
            synced_at,
            by_name: columns
                .iter()
                .enumerate()
                .map(|(i, column)| (column.property.as_str(), i))
                .collect(),
            properties: columns.iter().map(|column| Values::new(&column.data_type)).collect(),
            filled: vec![0; columns.len()],
            ids: Int64Builder::new(),
            created_at: time_builder(),
            updated_at: time_builder(),
            archived: BooleanBuilder::new(),
            archived_at: time_builder(),
            rescue: MapBuilder::new(
                Some(map_field_names()),
                StringBuilder::new(),
                StringBuilder::new(),
            ),
            rows: 0,
            rejected: 0,
            rescued: 0,
            order: Vec::with_capacity(columns.len()),
        }
    }

    /// The column of the property that came `nth` in its record.
    fn column(&mut self, nth: usize, name: &str) -> Option<usize> {
        if let Some(&guess) = self.order.get(nth)
            && self.schema.properties()[guess].property == name
        {
            return Some(guess);
        }
        let found = *self.by_name.get(name)?;
        self.order.truncate(nth);
        if self.order.len() == nth {
            self.order.push(found);
        }
        Some(found)
    }

    fn append(&mut self, column: usize, text: &str) {
        // A name twice in one record: the first value stands.
        if self.filled[column] > self.rows {
            return;
        }
        self.filled[column] = self.rows + 1;
        // HubSpot answers a cleared property as `""` or null, depending on the
        // endpoint; one of the two must be chosen or the row would flap.
        if text.is_empty() {
            return self.properties[column].append_null();
        }
        if self.properties[column].append(text) {
            self.rescue.keys().append_value(&self.schema.properties()[column].property);
            self.rescue.values().append_value(text);
            self.rescued += 1;
        }
    }

    fn end_record(&mut self, envelope: Envelope) {
        for (values, filled) in self.properties.iter_mut().zip(&self.filled) {
            if *filled <= self.rows {
                values.append_null();
            }
        }
        self.ids.append_option(envelope.id);
        self.created_at.append_option(envelope.created_at);
        self.updated_at.append_option(envelope.updated_at);
        self.archived.append_value(envelope.archived);
        self.archived_at.append_option(envelope.archived_at);
        self.rescue.append(true).expect("keys and values are appended in pairs");
        self.rows += 1;
        self.rejected += u64::from(envelope.id.is_none());
    }

    fn finish(mut self, beside: Beside) -> Result<Page, ExtractError> {
        let rows = self.rows;
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(self.ids.finish())];
        arrays.extend(self.properties.iter_mut().map(Values::finish));
        let no_time = || {
            let mut builder = time_builder();
            builder.append_nulls(rows);
            Arc::new(builder.finish()) as ArrayRef
        };
        let mut no_id = Int64Builder::new();
        no_id.append_nulls(rows);
        let mut synced_at = time_builder();
        (0..rows).for_each(|_| synced_at.append_value(self.synced_at));
        arrays.extend([
            Arc::new(self.created_at.finish()) as ArrayRef,
            Arc::new(self.updated_at.finish()),
            Arc::new(self.archived.finish()),
            Arc::new(self.archived_at.finish()),
            Arc::new(no_id.finish()),
            no_time(),
            Arc::new(synced_at.finish()),
            Arc::new(self.rescue.finish()),
        ]);
        let mut batch = RecordBatch::try_new(self.schema.arrow(), arrays)?;
        if self.rejected > 0 {
            let has_id = arrow::compute::is_not_null(batch.column(0))?;
            batch = arrow::compute::filter_record_batch(&batch, &has_id)?;
        }
        let Beside { next, total } = beside;
        Ok(Page {
            rows: batch,
            next,
            total,
            rejected: self.rejected,
            unreadable: Vec::new(),
            rescued: self.rescued,
        })
    }
}

/// A JSON string, borrowed from the body where it has no escapes; numbers and
/// booleans become their text, because a client must not fail on them.
struct Text<'de>(Option<Cow<'de, str>>);

impl<'de> serde::Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or null")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text(None))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(value.to_string()))))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(value.to_string()))))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(value.to_string()))))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(value.to_string()))))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// An object key, borrowed where it has no escapes (a bare `Cow` never is).
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The top of a page: `{"results": […], "paging": {"next": {"after": …}}}`.
struct PageSeed<'c, 'a> {
    columns: &'c mut Columns<'a>,
}

/// What stands beside the records of a page.
#[derive(Default)]
struct Beside {
    next: Option<String>,
    total: Option<u64>,
}

impl<'de> DeserializeSeed<'de> for PageSeed<'_, '_> {
    type Value = Beside;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PageSeed<'_, '_> {
    type Value = Beside;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page of records")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut beside, mut has_results) = (Beside::default(), false);
        while let Some(key) = map.next_key::<Key<'de>>()? {
            match key.0.as_ref() {
                "results" => {
                    map.next_value_seed(RecordsSeed { columns: self.columns })?;
                    has_results = true;
                }
                "paging" => {
                    beside.next = map.next_value::<Option<Paging>>()?.and_then(Paging::after);
                }
                "total" => beside.total = map.next_value::<serde_json::Value>()?.as_u64(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if !has_results {
            return Err(A::Error::missing_field("results"));
        }
        Ok(beside)
    }
}

#[derive(serde::Deserialize)]
struct Paging {
    next: Option<NextPage>,
}

#[derive(serde::Deserialize)]
struct NextPage {
    after: Option<serde_json::Value>,
}

impl Paging {
    fn after(self) -> Option<String> {
        match self.next?.after? {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

struct RecordsSeed<'c, 'a> {
    columns: &'c mut Columns<'a>,
}

impl<'de> DeserializeSeed<'de> for RecordsSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RecordsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        while records.next_element_seed(RecordSeed { columns: self.columns })?.is_some() {}
        Ok(())
    }
}

struct RecordSeed<'c, 'a> {
    columns: &'c mut Columns<'a>,
}

impl<'de> DeserializeSeed<'de> for RecordSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RecordSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut envelope = Envelope::default();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            match key.0.as_ref() {
                "id" => {
                    envelope.id =
                        map.next_value::<Text<'de>>()?.0.and_then(|text| text.parse().ok())
                }
                "properties" => map.next_value_seed(PropertiesSeed { columns: self.columns })?,
                "createdAt" => envelope.created_at = next_time(&mut map)?,
                "updatedAt" => envelope.updated_at = next_time(&mut map)?,
                "archivedAt" => envelope.archived_at = next_time(&mut map)?,
                "archived" => {
                    envelope.archived = map.next_value::<Option<bool>>()?.unwrap_or(false)
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        self.columns.end_record(envelope);
        Ok(())
    }
}

fn next_time<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<i64>, A::Error> {
    let text = map.next_value::<Text<'de>>()?.0;
    Ok(text.and_then(|text| values::parse_datetime(&text).value()))
}

struct PropertiesSeed<'c, 'a> {
    columns: &'c mut Columns<'a>,
}

impl<'de> DeserializeSeed<'de> for PropertiesSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PropertiesSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record's properties")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut nth = 0;
        while let Some(name) = map.next_key::<Key<'de>>()? {
            let column = self.columns.column(nth, &name.0);
            let text = map.next_value::<Text<'de>>()?.0;
            if let (Some(column), Some(text)) = (column, text) {
                self.columns.append(column, &text);
            }
            nth += usize::from(column.is_some());
        }
        Ok(())
    }
}
