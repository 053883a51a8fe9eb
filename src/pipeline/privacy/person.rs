//! Whom the rows are about: how a person is known, and where that stands.
//!
//! The mirror says under which ids the person is known (those given and those
//! merged into them), which addresses are or were theirs, and what they hold in
//! unique properties. A row is about them where a column says that it is about
//! one of these ids; where it is keyed by one of these values; and, outside the
//! mirrors, where any text in it holds one of the addresses, since models are
//! free to carry them under any name.
//!
//! Records of others may mention an address too. A cell that is an address of
//! the person's and nothing else (`hs_email_to_email`), or a list with it, loses
//! it; a text that mentions it among other words is somebody else's record and
//! is told of, not changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type, Schema};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;

use super::addresses::{address, names_any, without};
use crate::extract::{PROPERTY_HISTORY, mirror_table};
use crate::lake::{Lake, Table, TableName};
use crate::load::MatchKey;
use crate::objects::ObjectType;
use crate::pipeline::error::PipelineError;
use crate::pipeline::settings::Project;

/// Merges that are followed from a record to those it swallowed.
const LONGEST_CHAIN: usize = 250;

/// Properties that hold a contact's addresses.
const ADDRESSES: [&str; 2] = ["email", "hs_additional_emails"];

/// Tables of the mirror that describe the account and not its records. Their
/// people are its users, and every sync reads them whole.
const OF_THE_ACCOUNT: [&str; 7] =
    ["owners", "teams", "pipelines", "pipeline_stages", "properties", "schemas", "lists"];

/// Whom the rows are about.
#[derive(Debug)]
pub(super) struct Person {
    object: ObjectType,
    ids: BTreeSet<i64>,
    /// Lower case.
    emails: BTreeSet<String>,
    /// What they hold in each unique property, addresses and ids aside.
    unique: BTreeMap<String, BTreeSet<String>>,
    /// Columns of models and usage tables that hold record ids of this type.
    id_columns: BTreeSet<String>,
    /// Such columns of models alone, whatever they are called.
    match_columns: BTreeSet<String>,
    /// Columns of models that hold a unique property of this type, and which.
    unique_columns: BTreeMap<String, String>,
    /// Write-backs (pipeline, name) of other object types.
    foreign: BTreeSet<(String, String)>,
}

/// What a table holds of a person.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// Rows that are about them.
    pub(super) rows: u64,
    /// Cells of other rows that hold an address of theirs and nothing else.
    pub(super) cells: u64,
    /// Other rows whose texts mention an address.
    pub(super) mentions: u64,
    /// Ids of these, where the rows have one.
    pub(super) mentioned_in: BTreeSet<i64>,
}

impl Traces {
    pub(super) fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.cells += other.cells;
        self.mentions += other.mentions;
        self.mentioned_in.extend(other.mentioned_in);
    }

    /// Whether a purge takes anything out of the table.
    pub(super) fn goes(&self) -> bool {
        self.rows + self.cells > 0
    }
}

impl Person {
    /// How the mirror knows the records with these ids.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub(super) async fn find(
        project: &Project,
        lake: &Lake,
        object: &ObjectType,
        ids: &[i64],
    ) -> Result<Self, PipelineError> {
        let mut person = Self {
            object: object.clone(),
            ids: ids.iter().copied().collect(),
            emails: BTreeSet::new(),
            unique: BTreeMap::new(),
            id_columns: [format!("{}_id", object.singular()), "record_id".to_owned()].into(),
            match_columns: BTreeSet::new(),
            unique_columns: BTreeMap::new(),
            foreign: BTreeSet::new(),
        };
        person.learn_columns(project);
        person.learn_unique_properties(lake).await?;
        if let Some(mirror) = lake.table(&mirror_table(object)).await? {
            for _ in 0..LONGEST_CHAIN {
                let known = person.ids.len();
                person.take_in(&mirror).await?;
                if person.ids.len() == known {
                    break;
                }
            }
        }
        person.take_in_history(lake).await?;
        Ok(person)
    }

    /// What the project's write-backs match records of this type by.
    fn learn_columns(&mut self, project: &Project) {
        for pipeline in &project.pipelines {
            for (name, write_back) in &pipeline.write_back {
                if write_back.object_type().as_ref() != Ok(&self.object) {
                    self.foreign.insert((pipeline.name.clone(), name.clone()));
                    continue;
                }
                let column = write_back.match_by.column.clone();
                match &write_back.match_by.key {
                    MatchKey::RecordId => drop(self.match_columns.insert(column)),
                    MatchKey::Unique(property) => {
                        self.unique.entry(property.clone()).or_default();
                        self.unique_columns.insert(column, property.clone());
                    }
                    MatchKey::Email => {}
                }
            }
        }
    }

    /// Which properties HubSpot keeps unique: a write-back of before may have
    /// gone by one of them.
    async fn learn_unique_properties(&mut self, lake: &Lake) -> Result<(), PipelineError> {
        let Some(table) = lake.table(&TableName::hubspot("properties")).await? else {
            return Ok(());
        };
        let columns = ["object_type", "name", "has_unique_value"];
        if columns.iter().any(|column| table.schema().index_of(column).is_err()) {
            return Ok(());
        }
        let mut rows = table.scan(Some(&columns), None).await?;
        while let Some(batch) = rows.try_next().await.map_err(unreadable)? {
            let of_type = self.of_type(&batch, "object_type");
            let names = texts(&batch, "name").unwrap_or_default();
            let flags = texts(&batch, "has_unique_value").unwrap_or_default();
            for ((name, is_unique), of_type) in names.into_iter().zip(flags).zip(of_type) {
                let (Some(name), Some("true")) = (name, is_unique.as_deref()) else { continue };
                if of_type && name != "hs_object_id" && !ADDRESSES.contains(&name.as_str()) {
                    self.unique.entry(name).or_default();
                }
            }
        }
        Ok(())
    }

    /// Adds the addresses that were theirs, as far as history is kept.
    async fn take_in_history(&mut self, lake: &Lake) -> Result<(), PipelineError> {
        let Some(table) = lake.table(&TableName::hubspot(PROPERTY_HISTORY)).await? else {
            return Ok(());
        };
        let columns = ["object_type", "id", "property", "value"];
        let mut rows = table.scan(Some(&columns), None).await?;
        while let Some(batch) = rows.try_next().await.map_err(unreadable)? {
            let (of_type, with_id) =
                (self.of_type(&batch, "object_type"), self.with_id(&batch, "id"));
            let properties = texts(&batch, "property").unwrap_or_default();
            let values = texts(&batch, "value").unwrap_or_default();
            for row in (0..batch.num_rows()).filter(|row| of_type[*row] && with_id[*row]) {
                let (Some(property), Some(value)) = (&properties[row], &values[row]) else {
                    continue;
                };
                if ADDRESSES.contains(&property.as_str()) {
                    self.emails.extend(value.split(';').filter_map(address));
                } else if let Some(held) = self.unique.get_mut(property) {
                    held.extend(key_form(value));
                }
            }
        }
        Ok(())
    }

    /// Adds the addresses and unique values of the records known so far, and the
    /// records that were merged into them.
    async fn take_in(&mut self, mirror: &Table) -> Result<(), PipelineError> {
        let unique: Vec<String> = self.unique.keys().cloned().collect();
        let columns: Vec<&str> = ["id", "merged_into"]
            .into_iter()
            .chain(ADDRESSES)
            .chain(unique.iter().map(String::as_str))
            .filter(|name| mirror.schema().field_with_name(name).is_ok())
            .collect();
        let mut rows = mirror.scan(Some(&columns), None).await?;
        while let Some(batch) = rows.try_next().await.map_err(unreadable)? {
            let (Some(ids), Some(into)) = (numbers(&batch, "id"), numbers(&batch, "merged_into"))
            else {
                continue;
            };
            let emails = ADDRESSES.map(|name| texts(&batch, name));
            let held: Vec<_> = unique.iter().map(|name| texts(&batch, name)).collect();
            for row in 0..batch.num_rows() {
                let (id, into) = (ids[row], into[row]);
                let is_known = |id: Option<i64>| id.is_some_and(|id| self.ids.contains(&id));
                if !is_known(id) && !is_known(into) {
                    continue;
                }
                // The survivor of a merge holds what the merged record did.
                self.ids.extend(id);
                self.ids.extend(into);
                let lists = emails.iter().flatten().filter_map(|column| column[row].as_deref());
                self.emails.extend(lists.flat_map(|list| list.split(';')).filter_map(address));
                for (values, column) in self.unique.values_mut().zip(&held) {
                    let value = column.as_ref().and_then(|column| column[row].as_deref());
                    values.extend(value.and_then(key_form));
                }
            }
        }
        Ok(())
    }

    /// Whether a model with these columns says of its rows whose they are.
    pub(super) fn is_told_by(&self, schema: &Schema) -> bool {
        let mut columns = self.id_columns.iter().chain(&self.match_columns);
        columns.any(|column| schema.index_of(column).is_ok())
    }

    /// What stays of a batch, some rows and some cells without; none where all
    /// of it stays.
    pub(super) fn keep(
        &self,
        name: &TableName,
        key: &[String],
        batch: &RecordBatch,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        let swept = self.sweep(name, key, batch)?;
        Ok((swept.traces.goes()).then_some(swept.rest))
    }

    /// What a batch holds of this person.
    pub(super) fn traces(
        &self,
        name: &TableName,
        key: &[String],
        batch: &RecordBatch,
    ) -> Result<Traces, ArrowError> {
        Ok(self.sweep(name, key, batch)?.traces)
    }

    fn sweep(
        &self,
        name: &TableName,
        key: &[String],
        batch: &RecordBatch,
    ) -> Result<Swept, ArrowError> {
        let mut about = self.rows_of(name, batch);
        let may_change = self.may_change(name);
        if may_change {
            // A key cannot lose its value: the row goes.
            for column in key {
                let cells = texts(batch, column).unwrap_or_default();
                let goes = |cell: Option<String>| {
                    cell.is_some_and(|cell| without(&cell, &self.emails).is_some())
                };
                about.iter_mut().zip(cells).for_each(|(about, cell)| *about |= goes(cell));
            }
        }
        let rows = about.iter().filter(|about| **about).count() as u64;
        let mut rest = match rows {
            0 => batch.clone(),
            _ => {
                let stays: BooleanArray = about.iter().map(|about| Some(!about)).collect();
                filter_record_batch(batch, &stays)?
            }
        };
        let mut traces = Traces { rows, ..Traces::default() };
        if may_change {
            (rest, traces.cells) = self.without_addresses(key, &rest)?;
        }
        if name.schema() == "hubspot" {
            let mentions = self.mentioning(&rest)?;
            let ids = numbers(&rest, "id").or_else(|| numbers(&rest, "from_id"));
            let ids = ids.or_else(|| numbers(&rest, "record_id"));
            for row in (0..rest.num_rows()).filter(|row| mentions[*row]) {
                traces.mentions += 1;
                traces.mentioned_in.extend(ids.as_ref().and_then(|ids| ids[row]));
            }
        }
        Ok(Swept { rest, traces })
    }

    /// Whether cells of a table's other rows lose the person's addresses. Not
    /// where an address may be how a record of its own is known: another contact
    /// that has it by now, a user of the account.
    fn may_change(&self, name: &TableName) -> bool {
        name.schema() == "hubspot"
            && *name != mirror_table(&self.object)
            && !OF_THE_ACCOUNT.contains(&name.name())
    }

    /// The batch with every cell that holds an address of theirs and nothing
    /// else without it, and the number of such cells.
    fn without_addresses(
        &self,
        key: &[String],
        batch: &RecordBatch,
    ) -> Result<(RecordBatch, u64), ArrowError> {
        let schema = batch.schema();
        let (mut columns, mut cells) = (batch.columns().to_vec(), 0);
        for (field, column) in schema.fields().iter().zip(&mut columns) {
            let Some(values) = column.as_string_opt::<i32>() else { continue };
            if key.contains(field.name()) {
                continue;
            }
            let left: Vec<_> = values
                .iter()
                .map(|text| text.and_then(|text| without(text, &self.emails)))
                .collect();
            let here = left.iter().flatten().count() as u64;
            if here > 0 {
                let cell = |(left, text): (Option<String>, Option<&str>)| match left {
                    Some(left) => Some(left).filter(|left| !left.is_empty()),
                    None => text.map(str::to_owned),
                };
                let values: StringArray = left.into_iter().zip(values.iter()).map(cell).collect();
                *column = Arc::new(values) as ArrayRef;
                cells += here;
            }
        }
        Ok((RecordBatch::try_new(schema, columns)?, cells))
    }

    /// Which rows hold an address in any text, those inside of other values too.
    fn mentioning(&self, batch: &RecordBatch) -> Result<Vec<bool>, ArrowError> {
        let mut found = vec![false; batch.num_rows()];
        let options = FormatOptions::default();
        for column in batch.columns() {
            if let Some(texts) = column.as_string_opt::<i32>() {
                let named =
                    |text: Option<&str>| text.is_some_and(|text| names_any(text, &self.emails));
                found.iter_mut().zip(texts).for_each(|(found, text)| *found |= named(text));
            } else if column.data_type().is_nested() {
                let shown = ArrayFormatter::try_new(column, &options)?;
                for (row, found) in found.iter_mut().enumerate() {
                    *found |= column.is_valid(row)
                        && names_any(&shown.value(row).to_string(), &self.emails);
                }
            }
        }
        Ok(found)
    }

    /// Which rows of a batch are about this person.
    pub(super) fn rows_of(&self, name: &TableName, batch: &RecordBatch) -> Vec<bool> {
        let mut about = vec![false; batch.num_rows()];
        let mut mark = |rows: Vec<bool>| about.iter_mut().zip(rows).for_each(|(a, b)| *a |= b);
        if *name == mirror_table(&self.object) {
            mark(self.with_id(batch, "id"));
            mark(self.with_id(batch, "merged_into"));
            return about;
        }
        for (of, id) in [
            ("from_type", "from_id"),
            ("to_type", "to_id"),
            ("object_type", "id"),
            ("object_type_id", "record_id"),
            ("object", "record_id"),
        ] {
            let (of, ids) = (self.of_type(batch, of), self.with_id(batch, id));
            mark(of.into_iter().zip(ids).map(|(of, id)| of && id).collect());
        }
        if name.schema() != "hubspot" {
            for column in self.untyped_columns(name) {
                mark(self.with_id(batch, column));
            }
            for field in batch.schema().fields() {
                mark(self.naming(batch, field.name()));
            }
        }
        match name.schema() {
            "system" => {
                mark(self.keyed(batch));
                mark(self.linked(batch));
            }
            "" => {
                for (column, property) in &self.unique_columns {
                    mark(self.holding(batch, column, property));
                }
            }
            _ => {}
        }
        about
    }

    /// Which rows say by an id whose they are, in a column or, for changes of a
    /// model, in the row that changed.
    pub(super) fn tells(&self, batch: &RecordBatch) -> Vec<bool> {
        let mut told = vec![false; batch.num_rows()];
        for column in self.id_columns.iter().chain(&self.match_columns) {
            let ids = numbers(batch, column).unwrap_or_default();
            told.iter_mut().zip(ids).for_each(|(told, id)| *told |= id.is_some());
        }
        for column in ["old", "new"] {
            let rows = texts(batch, column).unwrap_or_default();
            let has_id =
                |row: Option<String>| row.is_some_and(|row| self.ids_in(&row).next().is_some());
            told.iter_mut().zip(rows).for_each(|(told, row)| *told = *told || has_id(row));
        }
        told
    }

    /// Rows of a system table that go by a unique value of theirs: creates, for
    /// which no id was known.
    fn keyed(&self, batch: &RecordBatch) -> Vec<bool> {
        let none = vec![false; batch.num_rows()];
        let Some(keys) = texts(batch, "match_key") else { return none };
        let (pipelines, write_backs) = (texts(batch, "pipeline"), texts(batch, "write_back"));
        let is_foreign = |row: usize| {
            let named = |names: &Option<Vec<Option<String>>>| {
                names.as_ref().and_then(|names| names[row].clone()).unwrap_or_default()
            };
            self.foreign.contains(&(named(&pipelines), named(&write_backs)))
        };
        let is_ours: Vec<bool> = match batch.column_by_name("object") {
            Some(_) => self.of_type(batch, "object"),
            None => (0..batch.num_rows()).map(|row| !is_foreign(row)).collect(),
        };
        let is_held = |key: &Option<String>| {
            let key = key.as_deref().and_then(key_form);
            key.is_some_and(|key| self.unique.values().any(|held| held.contains(&key)))
        };
        keys.iter().zip(is_ours).map(|(key, is_ours)| is_ours && is_held(key)).collect()
    }

    fn holding(&self, batch: &RecordBatch, column: &str, property: &str) -> Vec<bool> {
        let held = self.unique.get(property);
        let holds = |text: Option<String>| {
            let key = text.as_deref().and_then(key_form);
            key.is_some_and(|key| held.is_some_and(|held| held.contains(&key)))
        };
        texts(batch, column)
            .map_or(vec![false; batch.num_rows()], |texts| texts.into_iter().map(holds).collect())
    }

    /// Columns of a table whose ids are of this type although no other column
    /// says so. A system table always says: another type's record can bear the
    /// same id.
    fn untyped_columns(&self, name: &TableName) -> impl Iterator<Item = &String> {
        let (general, own) = match name.schema() {
            // The user's own tables have ids of their own.
            "system" | "usage" => (None, None),
            "" => (Some(&self.id_columns), Some(&self.match_columns)),
            _ => (Some(&self.id_columns), None),
        };
        general.into_iter().chain(own).flatten()
    }

    fn with_id(&self, batch: &RecordBatch, column: &str) -> Vec<bool> {
        let known = |id: &Option<i64>| id.is_some_and(|id| self.ids.contains(&id));
        numbers(batch, column)
            .map_or(vec![false; batch.num_rows()], |ids| ids.iter().map(known).collect())
    }

    fn of_type(&self, batch: &RecordBatch, column: &str) -> Vec<bool> {
        // What hangs on a record names its type before a dot: `contacts.companies`.
        let is_ours = |text: &Option<String>| {
            let text = text.as_deref().map(|text| text.split_once('.').map_or(text, |(of, _)| of));
            text == Some(self.object.name()) || text == Some(self.object.type_id())
        };
        texts(batch, column)
            .map_or(vec![false; batch.num_rows()], |names| names.iter().map(is_ours).collect())
    }

    /// Rows of plans, ledger and rejects in which the person is the other end of
    /// an association: `companies.contacts`, with `9/7` or `7:Label`.
    fn linked(&self, batch: &RecordBatch) -> Vec<bool> {
        let none = || vec![None; batch.num_rows()];
        let column = |name: &str| texts(batch, name).unwrap_or_else(none);
        let (objects, keys, properties) =
            (column("object"), column("match_key"), column("property"));
        let is_known = |id: Option<&str>| {
            id.and_then(|id| id.parse().ok()).is_some_and(|id: i64| self.ids.contains(&id))
        };
        let is_linked = |row: usize| {
            let other = objects[row].as_deref().and_then(|object| Some(object.split_once('.')?.1));
            let key = keys[row].as_deref().and_then(|key| Some(key.rsplit_once('/')?.1));
            let property = properties[row]
                .as_deref()
                .map(|name| name.split_once(':').map_or(name, |(id, _)| id));
            other == Some(self.object.name()) && (is_known(key) || is_known(property))
        };
        (0..batch.num_rows()).map(is_linked).collect()
    }

    /// Whether a text holds one of the addresses, or says in JSON that it is
    /// about one of the ids.
    fn naming(&self, batch: &RecordBatch, column: &str) -> Vec<bool> {
        let names = |text: &Option<String>| text.as_deref().is_some_and(|text| self.is_named(text));
        let is_text = batch
            .column_by_name(column)
            .is_some_and(|values| matches!(values.data_type(), DataType::Utf8));
        texts(batch, column)
            .filter(|_| is_text)
            .map_or(vec![false; batch.num_rows()], |texts| texts.iter().map(names).collect())
    }

    fn is_named(&self, text: &str) -> bool {
        if names_any(text, &self.emails) || self.ids_in(text).any(|id| self.ids.contains(&id)) {
            return true;
        }
        let Some(row) = json_row(text).filter(|_| !self.unique_columns.is_empty()) else {
            return false;
        };
        self.unique_columns.iter().any(|(column, property)| {
            let value = row.get(column).and_then(|value| match value {
                serde_json::Value::String(text) => key_form(text),
                serde_json::Value::Number(number) => key_form(&number.to_string()),
                _ => None,
            });
            let held = self.unique.get(property);
            value.is_some_and(|value| held.is_some_and(|held| held.contains(&value)))
        })
    }

    /// The ids that a row written as JSON holds in columns of this type.
    fn ids_in(&self, text: &str) -> impl Iterator<Item = i64> {
        let row = json_row(text);
        let columns = self.id_columns.iter().chain(&self.match_columns);
        columns.filter_map(move |column| match row.as_ref()?.get(column)? {
            serde_json::Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        })
    }
}

/// A part of a batch, and what the whole held.
struct Swept {
    rest: RecordBatch,
    traces: Traces,
}

fn unreadable(error: datafusion::error::DataFusionError) -> PipelineError {
    PipelineError::Purge { source: error.into() }
}

fn json_row(text: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    if !text.starts_with('{') {
        return None;
    }
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(row)) => Some(row),
        _ => None,
    }
}

/// A unique value as keys are compared: without white space around it, and a
/// number the same however it is spelt.
fn key_form(text: &str) -> Option<String> {
    let text = text.trim();
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    match number {
        _ if text.is_empty() => None,
        // Beyond 2^53 two numbers would become one.
        Some(number) if number.abs() < 9e15 => Some(number.to_string()),
        _ => Some(text.to_owned()),
    }
}

/// A column as whole numbers; text that is one counts too.
fn numbers(batch: &RecordBatch, column: &str) -> Option<Vec<Option<i64>>> {
    let values = cast(batch.column_by_name(column)?, &DataType::Int64).ok()?;
    let values = values.as_primitive::<Int64Type>();
    Some((0..values.len()).map(|row| values.is_valid(row).then(|| values.value(row))).collect())
}

fn texts(batch: &RecordBatch, column: &str) -> Option<Vec<Option<String>>> {
    let values = cast(batch.column_by_name(column)?, &DataType::Utf8).ok()?;
    let values = values.as_string::<i32>();
    Some(values.iter().map(|text| text.map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn person() -> Person {
        Person {
            object: ObjectType::CONTACTS,
            ids: [7].into(),
            emails: ["a@b.co".to_owned()].into(),
            unique: [("plan_no".to_owned(), ["P-7".to_owned()].into())].into(),
            unique_columns: [("plan".to_owned(), "plan_no".to_owned())].into(),
            foreign: [("sales".to_owned(), "deals".to_owned())].into(),
            id_columns: ["contact_id".to_owned(), "record_id".to_owned()].into(),
            match_columns: ["id".to_owned()].into(),
        }
    }

    fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
        let columns = columns.map(|(name, values)| (name, values, true));
        RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
    }

    fn marked<const N: usize>(name: &TableName, columns: [(&str, ArrayRef); N]) -> Vec<bool> {
        person().rows_of(name, &batch(columns))
    }

    fn ids(ids: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(ids.to_vec()))
    }

    fn texts(texts: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(texts.to_vec()))
    }

    #[test]
    fn what_hangs_on_a_person_goes_from_either_end() {
        let objects = texts(&["contacts.companies", "companies.contacts", "companies.contacts"]);
        let columns = [("object", objects.clone()), ("record_id", ids(&[7, 7, 8]))];
        assert_eq!(marked(&TableName::system("written"), columns), [true, false, false]);
        let columns = [("object", objects.clone()), ("match_key", texts(&["8/7", "8/7", "7/8"]))];
        assert_eq!(marked(&TableName::system("writes"), columns), [false, true, false]);
        let columns = [("object", objects), ("property", texts(&["7:x", "7:Owner", "8"]))];
        assert_eq!(marked(&TableName::system("written"), columns), [false, true, false]);
    }

    #[test]
    fn a_record_of_another_type_with_the_same_id_stays() {
        let objects = texts(&["contacts", "companies", "contacts"]);
        let columns = [("object", objects), ("record_id", ids(&[7, 7, 8]))];
        assert_eq!(marked(&TableName::system("written"), columns), [true, false, false]);
    }

    #[test]
    fn a_usage_table_s_own_ids_are_not_record_ids() {
        let columns = || [("id", ids(&[7, 9])), ("who", texts(&["x", "a@b.co"]))];
        assert_eq!(marked(&TableName::model("wanted"), columns()), [true, true]);
        assert_eq!(marked(&TableName::usage("events"), columns()), [false, true]);
    }

    #[test]
    fn a_create_goes_by_a_unique_value_of_its_own_type() {
        let creating = [
            ("pipeline", texts(&["sales"; 4])),
            ("write_back", texts(&["people", "people", "deals", "gone"])),
            ("match_key", texts(&["P-7", "P-8", "P-7", " P-7 "])),
        ];
        let marks = marked(&TableName::system("creating"), creating);
        assert_eq!(marks, [true, false, false, true]);
        let plans = [
            ("object", texts(&["contacts", "deals"])),
            ("record_id", ids(&[0, 0])),
            ("match_key", texts(&["P-7", "P-7"])),
        ];
        assert_eq!(marked(&TableName::system("plans"), plans), [true, false]);
        let model = [("plan", texts(&["P-7", "x"]))];
        assert_eq!(marked(&TableName::model("wanted"), model), [true, false]);
        let changes = [("old", texts(&[r#"{"plan":"P-7"}"#, r#"{"plan":null}"#]))];
        assert_eq!(marked(&TableName::model("wanted_changes"), changes), [true, false]);
    }

    #[test]
    fn numbers_are_one_key_however_they_are_spelt() {
        assert_eq!(key_form("7.0"), key_form(" 7"));
        assert_ne!(key_form("9007199254740993"), key_form("9007199254740992"));
        assert_eq!(key_form("  "), None);
    }

    #[test]
    fn records_of_others_lose_the_address_and_keep_their_words() {
        let emails = batch([
            ("id", ids(&[1, 2, 3])),
            ("hs_email_to_email", texts(&["a@b.co;c@d.co", "A@B.co", "c@d.co"])),
            ("hs_email_text", texts(&["Dear a@b.co!", "Hello", "Hello"])),
        ]);
        let swept = person().sweep(&TableName::hubspot("emails"), &["id".into()], &emails);
        let Swept { rest, traces } = swept.expect("swept");
        assert_eq!((traces.rows, traces.cells, traces.mentions), (0, 2, 1));
        assert_eq!(traces.mentioned_in, [1].into());
        let to = super::texts(&rest, "hs_email_to_email").expect("the column");
        assert_eq!(to, [Some("c@d.co".to_owned()), None, Some("c@d.co".to_owned())]);
    }

    #[test]
    fn how_other_records_are_known_is_told_of_and_stays() {
        let columns = [("id", ids(&[8])), ("email", texts(&["a@b.co"]))];
        for table in ["contacts", "owners"] {
            let name = TableName::hubspot(table);
            let swept = person().sweep(&name, &["id".into()], &batch(columns.clone()));
            let traces = swept.expect("swept").traces;
            assert_eq!((traces.goes(), traces.mentions), (false, 1), "{table}");
        }
    }

    #[test]
    fn a_former_value_that_is_the_address_goes_with_its_row() {
        let key = ["object_type", "id", "property", "timestamp", "value"].map(str::to_owned);
        let history = batch([
            ("object_type", texts(&["emails", "emails"])),
            ("id", ids(&[7, 7])),
            ("value", texts(&["a@b.co", "c@d.co"])),
        ]);
        let name = TableName::hubspot(PROPERTY_HISTORY);
        let swept = person().sweep(&name, &key, &history).expect("swept");
        assert_eq!((swept.traces.rows, swept.rest.num_rows()), (1, 1));
    }
}
