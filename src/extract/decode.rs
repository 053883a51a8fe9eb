//! A page of records, from response bytes straight into Arrow columns.
//!
//! The body is checked to be UTF-8 as a whole and walked once; every value goes
//! from the body into the builder of its column, with no map of strings per record
//! on the way. `benches/parsers/` compares parsers on the same page.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::str::Utf8Error;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, MapBuilder, RecordBatch,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::{ExtractError, Misread};
use super::mirror::{MirrorSchema, map_field_names};
use super::scan::{Scanner, is_plain, misread_after};
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
    let misread = |source| ExtractError::Page {
        object: schema.object().to_string(),
        correlation_id: None,
        source,
    };
    let text = std::str::from_utf8(body).map_err(|error| misread(misread_bytes(body, error)))?;
    let mut columns = Columns::new(schema, synced_at);
    let beside = read_page(&mut columns, &mut Scanner::new(text)).map_err(misread)?;
    columns.finish(beside)
}

/// Where a body is no text.
fn misread_bytes(body: &[u8], error: Utf8Error) -> Misread {
    match error.error_len() {
        None => Misread::Truncated,
        Some(_) => misread_after(&body[..error.valid_up_to()]),
    }
}

/// Rows that builders have room for at first: those of a page.
const USUAL_ROWS: usize = 100;
/// Bytes of a text that builders have room for at first.
const USUAL_TEXT: usize = 16;

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
            DataType::Float64 => Self::Number(Float64Builder::with_capacity(USUAL_ROWS)),
            DataType::Boolean => Self::Bool(BooleanBuilder::with_capacity(USUAL_ROWS)),
            DataType::Date32 => Self::Date(Date32Builder::with_capacity(USUAL_ROWS)),
            DataType::Timestamp(..) => Self::Time(time_builder()),
            _ => Self::Text(StringBuilder::with_capacity(USUAL_ROWS, USUAL_ROWS * USUAL_TEXT)),
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
    TimestampMicrosecondBuilder::with_capacity(USUAL_ROWS).with_timezone("UTC")
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
            ids: Int64Builder::with_capacity(USUAL_ROWS),
            created_at: time_builder(),
            updated_at: time_builder(),
            archived: BooleanBuilder::with_capacity(USUAL_ROWS),
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

    /// Where the property that comes `nth` in its record is likely to go, and its name.
    fn guess(&self, nth: usize) -> Option<(usize, &'a str)> {
        let column = *self.order.get(nth)?;
        Some((column, &self.schema.properties()[column].property))
    }

    /// The column of the property that came `nth` in its record.
    fn column(&mut self, nth: usize, name: &str) -> Option<usize> {
        let found = *self.by_name.get(name)?;
        self.order.truncate(nth);
        if self.order.len() == nth && is_plain(name) {
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

/// A value that should have been a text: a client must not fail on it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Bare {
    Bool(bool),
    Number(serde_json::Number),
}

impl fmt::Display for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// What stands beside the records of a page.
#[derive(Default)]
struct Beside {
    next: Option<String>,
    total: Option<u64>,
}

#[derive(Deserialize)]
struct Paging {
    next: Option<NextPage>,
}

#[derive(Deserialize)]
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

/// `{"results": […], "paging": {"next": {"after": …}}, "total": …}`
fn read_page(columns: &mut Columns<'_>, page: &mut Scanner<'_>) -> Result<Beside, Misread> {
    let (mut beside, mut has_results, mut is_first) = (Beside::default(), false, true);
    page.expect(b'{')?;
    while let Some(name) = page.name(is_first)? {
        is_first = false;
        match name.as_ref() {
            "results" => {
                page.expect(b'[')?;
                let mut is_first = true;
                while page.element(is_first)? {
                    is_first = false;
                    read_record(columns, page)?;
                }
                has_results = true;
            }
            "paging" => beside.next = page.value::<Option<Paging>>()?.and_then(Paging::after),
            "total" => beside.total = page.value::<serde_json::Value>()?.as_u64(),
            _ => drop(page.value::<IgnoredAny>()?),
        }
    }
    // JSON of another shape, such as an error's body.
    if !has_results {
        return Err(Misread::Shape { line: 1, column: 1 });
    }
    page.end()?;
    Ok(beside)
}

/// `{"id": "…", "properties": {…}, "createdAt": "…", "updatedAt": "…", …}`
fn read_record(columns: &mut Columns<'_>, page: &mut Scanner<'_>) -> Result<(), Misread> {
    let (mut envelope, mut is_first) = (Envelope::default(), true);
    page.expect(b'{')?;
    while let Some(name) = page.name(is_first)? {
        is_first = false;
        match name.as_ref() {
            "id" => envelope.id = read_text(page)?.and_then(|text| text.parse().ok()),
            "properties" => read_properties(columns, page)?,
            "createdAt" => envelope.created_at = read_time(page)?,
            "updatedAt" => envelope.updated_at = read_time(page)?,
            "archivedAt" => envelope.archived_at = read_time(page)?,
            "archived" => envelope.archived = page.value::<Option<bool>>()?.unwrap_or(false),
            _ => drop(page.value::<IgnoredAny>()?),
        }
    }
    columns.end_record(envelope);
    Ok(())
}

/// A text or null; of a bare number or truth value, its text.
fn read_text<'a>(page: &mut Scanner<'a>) -> Result<Option<Cow<'a, str>>, Misread> {
    if let Some(text) = page.string()? {
        return Ok(Some(text));
    }
    if page.take_null() {
        return Ok(None);
    }
    Ok(Some(page.value::<Bare>()?.to_string().into()))
}

fn read_time(page: &mut Scanner<'_>) -> Result<Option<i64>, Misread> {
    Ok(read_text(page)?.and_then(|text| values::parse_datetime(&text).value()))
}

/// `{"name": "value", …}`
fn read_properties(columns: &mut Columns<'_>, page: &mut Scanner<'_>) -> Result<(), Misread> {
    let (mut nth, mut is_first) = (0, true);
    page.expect(b'{')?;
    loop {
        let guess = columns.guess(nth).filter(|(_, name)| page.take_name(is_first, name));
        let column = match guess {
            Some((column, _)) => Some(column),
            None => match page.name(is_first)? {
                Some(name) => columns.column(nth, &name),
                None => return Ok(()),
            },
        };
        is_first = false;
        // Nearly every value is one of the first two.
        if let Some(text) = page.plain() {
            column.into_iter().for_each(|column| columns.append(column, text));
        } else if !page.take_null() {
            let text = read_text(page)?;
            let value = column.zip(text);
            value.into_iter().for_each(|(column, text)| columns.append(column, &text));
        }
        nth += usize::from(column.is_some());
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::extract::known::definition;
    use crate::objects::{ObjectType, PropertyType};

    const NAMES: [(&str, PropertyType); 6] = [
        ("firstname", PropertyType::String),
        ("amount", PropertyType::Number),
        ("closed_at", PropertyType::DateTime),
        ("birthday", PropertyType::Date),
        ("is_customer", PropertyType::Bool),
        ("what \"they\" say", PropertyType::String),
    ];

    fn schema() -> MirrorSchema {
        let definitions = NAMES.map(|(name, property_type)| definition(name, property_type));
        MirrorSchema::new(&ObjectType::CONTACTS, &definitions)
    }

    /// The same page by way of a tree of values; none if it is no page.
    fn by_way_of_a_tree(schema: &MirrorSchema, body: &[u8]) -> Option<Page> {
        let tree: Value = serde_json::from_slice(body).ok()?;
        let text = |value: &Value| match value {
            Value::Null => Some(None),
            Value::String(text) => Some(Some(text.clone())),
            Value::Array(_) | Value::Object(_) => None,
            bare => Some(Some(bare.to_string())),
        };
        let mut columns = Columns::new(schema, 7);
        for record in tree.get("results")?.as_array()? {
            let record = record.as_object()?;
            let field = |name: &str| text(record.get(name).unwrap_or(&Value::Null));
            let time = |name: &str| {
                field(name).map(|text| text.and_then(|text| values::parse_datetime(&text).value()))
            };
            let envelope = Envelope {
                id: field("id")?.and_then(|text| text.parse().ok()),
                created_at: time("createdAt")?,
                updated_at: time("updatedAt")?,
                archived: match record.get("archived") {
                    None | Some(Value::Null) => false,
                    Some(archived) => archived.as_bool()?,
                },
                archived_at: time("archivedAt")?,
            };
            if let Some(properties) = record.get("properties") {
                for (name, value) in properties.as_object()? {
                    if let (Some(text), Some(column)) =
                        (text(value)?, columns.by_name.get(name.as_str()))
                    {
                        columns.append(*column, &text);
                    }
                }
            }
            columns.end_record(envelope);
        }
        let paging = tree.get("paging").cloned().unwrap_or(Value::Null);
        let next = serde_json::from_value::<Option<Paging>>(paging).ok()?.and_then(Paging::after);
        let total = tree.get("total").and_then(Value::as_u64);
        columns.finish(Beside { next, total }).ok()
    }

    fn property() -> impl Strategy<Value = Value> {
        prop_oneof![
            4 => any::<String>().prop_map(Value::from),
            2 => Just(Value::Null),
            1 => Just(json!("2024-08-15T17:09:13.648Z")),
            1 => Just(json!("2024-08-15")),
            1 => Just(json!("true")),
            2 => any::<f32>().prop_map(|number| json!(number.to_string())),
            1 => any::<i32>().prop_map(Value::from),
            1 => any::<bool>().prop_map(Value::from),
        ]
    }

    fn record() -> impl Strategy<Value = Value> {
        let names = NAMES.map(|(name, _)| name).into_iter().chain(["not_selected"]);
        let names = names.collect::<Vec<_>>();
        let properties = prop::collection::vec((prop::sample::select(names), property()), 0..9);
        (any::<u32>(), properties, any::<bool>()).prop_map(|(id, properties, archived)| {
            let properties: serde_json::Map<String, Value> =
                properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            json!({
                "id": id.to_string(),
                "properties": properties,
                "createdAt": "2025-06-01T14:31:48.469Z",
                "unknown": [{"deep": [1, "\\\"}]", null]}],
                "archived": archived,
            })
        })
    }

    fn page() -> impl Strategy<Value = Vec<u8>> {
        let beside = (any::<bool>(), any::<bool>());
        (prop::collection::vec(record(), 0..5), beside).prop_map(|(results, (more, pretty))| {
            let mut page = json!({ "total": results.len(), "results": results });
            if more {
                page["paging"] = json!({"next": {"after": "51854903611", "link": "?after=5"}});
            }
            let write = if pretty { serde_json::to_vec_pretty } else { serde_json::to_vec };
            write(&page).expect("a page is JSON")
        })
    }

    fn assert_same(body: &[u8]) -> Result<(), TestCaseError> {
        let schema = schema();
        let expected = by_way_of_a_tree(&schema, body);
        let text = String::from_utf8_lossy(body).into_owned();
        match (decode_page(&schema, body, 7), expected) {
            (Ok(page), Some(expected)) => {
                prop_assert_eq!(&page.rows, &expected.rows, "{}", text);
                prop_assert_eq!((page.next, page.total), (expected.next, expected.total));
                prop_assert_eq!(
                    (page.rejected, page.rescued),
                    (expected.rejected, expected.rescued)
                );
            }
            (Err(_), None) => {}
            (Ok(_), None) => prop_assert!(false, "taken although it is no page: {text}"),
            (Err(error), Some(_)) => prop_assert!(false, "{error:?}: {text}"),
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn a_page_is_what_a_tree_of_values_says(body in page()) {
            assert_same(&body)?;
        }

        #[test]
        fn a_spoilt_page_is_refused_where_a_tree_of_values_is(
            body in page(),
            at in any::<prop::sample::Index>(),
            byte in prop_oneof![any::<u8>(), prop::sample::select(b"\"\\{}[]:,nt 0".to_vec())],
            edit in 0..4,
        ) {
            let mut body = body;
            let at = at.index(body.len());
            match edit {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => drop(body.remove(at)),
                _ => body.truncate(at),
            }
            assert_same(&body)?;
        }
    }

    #[test]
    fn the_first_of_two_values_of_one_name_stands() {
        let body = br#"{"results": [{"id": "1", "properties": {"amount": "1", "amount": "2"}}]}"#;
        let page = decode_page(&schema(), body, 7).expect("a page");
        let amounts = page.rows.column_by_name("amount").expect("the column");
        assert_eq!(amounts.as_primitive::<arrow::datatypes::Float64Type>().values(), &[1.0]);
    }

    #[test]
    fn an_error_s_body_is_no_page() {
        let body = br#"{"status": "error", "message": "no", "correlationId": "c"}"#;
        assert!(decode_page(&schema(), body, 7).is_err());
    }
}
