//! Forgetting a person: every row of the lake that is about a record, in every
//! version.
//!
//! The mirror says under which ids and addresses the person is known: the ids
//! given, those merged into them, and their emails. A row goes where a column
//! says that it is about one of these ids, and, outside the mirrors, where any
//! text in it holds one of the addresses: models are free to carry them under
//! any name. What the person's own account in HubSpot holds is for HubSpot to
//! delete; the next sync reads again what HubSpot still shows.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::TryStreamExt;
use serde::Serialize;

use super::error::PipelineError;
use super::settings::Project;
use crate::extract::mirror_table;
use crate::lake::{Lake, Table, TableName};
use crate::load::MatchKey;
use crate::objects::ObjectType;
use crate::transform;

/// Merges that are followed from a record to those it swallowed.
const LONGEST_CHAIN: usize = 250;

/// What was removed from one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// The table's SQL name.
    pub table: String,
    /// Rows of its last version.
    pub rows: u64,
    /// Files of older versions.
    pub files: u64,
}

/// Removes records from every table of the lake and from every version.
///
/// All versions before are gone then, of every table: any of them may have held
/// the person. Repeating a purge is harmless; after an error it must be.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn purge(
    project: &Project,
    lake: &Lake,
    object: &ObjectType,
    ids: &[i64],
) -> Result<Vec<Purged>, PipelineError> {
    let person = Person::find(project, lake, object, ids).await?;
    let mut purged = Vec::new();
    let mut names = lake.tables().await?;
    // The mirror goes last: it alone knows whom a cut purge was about.
    let mirror = mirror_table(object);
    names.sort_by_key(|name| *name == mirror);
    for name in names {
        let Some(mut table) = lake.table(&name).await? else { continue };
        let before = table.version();
        let report = table.purge(|batch| person.rows_of(&name, batch)).await?;
        if name.schema().is_empty() {
            transform::skip_changes(lake, &name, before, table.version()).await?;
        }
        purged.push(Purged {
            table: name.to_string(),
            rows: report.rows,
            files: report.files as u64,
        });
    }
    Ok(purged)
}

/// Whom the rows are about.
#[derive(Debug)]
struct Person {
    object: ObjectType,
    ids: BTreeSet<i64>,
    /// Lower case.
    emails: BTreeSet<String>,
    /// Columns of models and usage tables that hold record ids of this type.
    id_columns: BTreeSet<String>,
    /// Such columns of models alone, whatever they are called.
    match_columns: BTreeSet<String>,
}

impl Person {
    async fn find(
        project: &Project,
        lake: &Lake,
        object: &ObjectType,
        ids: &[i64],
    ) -> Result<Self, PipelineError> {
        let mut person = Self {
            object: object.clone(),
            ids: ids.iter().copied().collect(),
            emails: BTreeSet::new(),
            id_columns: [format!("{}_id", object.singular()), "record_id".to_owned()].into(),
            match_columns: match_columns(project, object),
        };
        let Some(mirror) = lake.table(&mirror_table(object)).await? else { return Ok(person) };
        for _ in 0..LONGEST_CHAIN {
            let known = person.ids.len();
            person.take_in(&mirror).await?;
            if person.ids.len() == known {
                break;
            }
        }
        Ok(person)
    }

    /// Adds the addresses of the records known so far, and the records that were
    /// merged into them.
    async fn take_in(&mut self, mirror: &Table) -> Result<(), PipelineError> {
        let columns: Vec<&str> = ["id", "merged_into", "email", "hs_additional_emails"]
            .into_iter()
            .filter(|name| mirror.schema().field_with_name(name).is_ok())
            .collect();
        let mut rows = mirror.scan(Some(&columns), None).await?;
        let unreadable = |error| PipelineError::Purge { source: Box::new(error) };
        while let Some(batch) = rows.try_next().await.map_err(unreadable)? {
            let (Some(ids), Some(into)) = (numbers(&batch, "id"), numbers(&batch, "merged_into"))
            else {
                continue;
            };
            let emails = ["email", "hs_additional_emails"].map(|name| texts(&batch, name));
            for row in 0..batch.num_rows() {
                let (id, into) = (ids[row], into[row]);
                let is_known = |id: Option<i64>| id.is_some_and(|id| self.ids.contains(&id));
                if !is_known(id) && !is_known(into) {
                    continue;
                }
                self.ids.extend(id);
                let held = emails.iter().flatten().filter_map(|column| column[row].as_deref());
                self.emails.extend(held.flat_map(|list| list.split(';')).filter_map(address));
            }
        }
        Ok(())
    }

    /// The rows of a batch that are about this person.
    fn rows_of(&self, name: &TableName, batch: &RecordBatch) -> BooleanArray {
        let mut about = vec![false; batch.num_rows()];
        let mut mark = |rows: Vec<bool>| about.iter_mut().zip(rows).for_each(|(a, b)| *a |= b);
        if *name == mirror_table(&self.object) {
            mark(self.with_id(batch, "id"));
            mark(self.with_id(batch, "merged_into"));
            return about.into();
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
        if name.schema() == "system" {
            mark(self.linked(batch));
        }
        let is_mirror = name.schema() == "hubspot";
        if !is_mirror {
            for column in self.untyped_columns(name) {
                mark(self.with_id(batch, column));
            }
            for field in batch.schema().fields() {
                mark(self.naming(batch, field.name()));
            }
        }
        about.into()
    }

    /// Columns of a table whose ids are of this type although no other column
    /// says so. A system table always says: another type's record can bear the
    /// same id.
    fn untyped_columns(&self, name: &TableName) -> impl Iterator<Item = &String> {
        let (general, own) = match name.schema() {
            "system" => (None, None),
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
        let lower = text.to_lowercase();
        if self.emails.iter().any(|email| holds_word(&lower, email)) {
            return true;
        }
        let Ok(serde_json::Value::Object(row)) = serde_json::from_str(text) else { return false };
        self.id_columns.iter().chain(&self.match_columns).any(|column| {
            let id = row.get(column).and_then(|id| match id {
                serde_json::Value::String(text) => text.parse().ok(),
                other => other.as_i64(),
            });
            id.is_some_and(|id| self.ids.contains(&id))
        })
    }
}

/// The columns by which write-backs match records of a type by id.
fn match_columns(project: &Project, object: &ObjectType) -> BTreeSet<String> {
    let write_backs = project.pipelines.iter().flat_map(|pipeline| pipeline.write_back.values());
    write_backs
        .filter(|write_back| write_back.object_type().as_ref() == Ok(object))
        .map(|write_back| &write_back.match_by)
        .filter(|matched| matched.key == MatchKey::RecordId)
        .map(|matched| matched.column.clone())
        .collect()
}

fn address(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    text.contains('@').then_some(text)
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
            id_columns: ["contact_id".to_owned(), "record_id".to_owned()].into(),
            match_columns: ["id".to_owned()].into(),
        }
    }

    fn marked(name: &TableName, columns: [(&str, ArrayRef); 2]) -> Vec<bool> {
        let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
        person().rows_of(name, &batch).values().iter().collect()
    }

    fn ids(ids: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(ids.to_vec()))
    }

    fn texts(texts: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(texts.to_vec()))
    }

    #[test]
    fn a_record_of_another_type_with_the_same_id_stays() {
        let objects = texts(&["contacts", "companies", "contacts"]);
        let columns = [("object", objects), ("record_id", ids(&[7, 7, 8]))];
        assert_eq!(marked(&TableName::system("written"), columns), [true, false, false]);
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
    fn a_usage_table_s_own_ids_are_not_record_ids() {
        let columns = || [("id", ids(&[7, 9])), ("who", texts(&["x", "a@b.co"]))];
        assert_eq!(marked(&TableName::model("wanted"), columns()), [true, true]);
        assert_eq!(marked(&TableName::usage("events"), columns()), [false, true]);
    }
}
