//! W: the model's rows, each under the key that finds its record.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::{DiskManager, SendableRecordBatchStream};
use futures::StreamExt;

use super::spill::{Bucket, Buckets};
use crate::load::columns::texts;
use crate::load::config::MatchKey;
use crate::load::error::{LoadError, While};
use crate::load::target::Target;
use crate::objects::RecordId;

const DOING: &str = "reading the model's rows";

/// Merged-away id → the id of the record that holds it now.
pub(crate) type Aliases = HashMap<i64, i64>;

/// Where a bucket of wanted rows keeps its columns.
pub(crate) const KEY: usize = 0;
pub(crate) const GIVEN: usize = 1;
pub(crate) const FIRST_PROPERTY: usize = 2;

/// Parts the model's rows by key. Columns: the key that finds the record (null
/// where the given one cannot), the key as given, then one column per property
/// in the model's own type. Also returns the number of rows.
pub(crate) async fn part(
    mut rows: SendableRecordBatchStream,
    target: &Target,
    aliases: &Aliases,
    count: usize,
    disk: Arc<DiskManager>,
) -> Result<(Vec<Bucket>, u64), LoadError> {
    let columns = Columns::find(&rows.schema(), target)?;
    let mut buckets = Buckets::new(columns.schema.clone(), count, disk);
    let mut total = 0;
    while let Some(batch) = rows.next().await {
        let batch = columns.keyed(&batch.during(DOING)?, target, aliases)?;
        total += batch.num_rows() as u64;
        let hashes = hashes(batch.column(KEY));
        buckets.push(batch, &hashes)?;
    }
    Ok((buckets.finish()?, total))
}

/// A hash per row of a text column; nulls share one.
pub(crate) fn hashes(keys: &ArrayRef) -> Vec<u64> {
    let keys: &StringArray = arrow::array::AsArray::as_string(keys);
    keys.iter().map(text_hash).collect()
}

fn text_hash(text: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

struct Columns {
    key: usize,
    properties: Vec<usize>,
    schema: SchemaRef,
}

impl Columns {
    fn find(schema: &SchemaRef, target: &Target) -> Result<Self, LoadError> {
        let find = |name: &str| {
            schema.index_of(name).map_err(|_| LoadError::MissingColumn {
                write_back: target.write_back.clone(),
                column: name.to_owned(),
                known: schema.fields().iter().map(|field| field.name().clone()).collect(),
            })
        };
        let key = find(&target.key_column)?;
        let properties = target.properties.iter().map(|property| find(&property.column));
        let properties: Vec<usize> = properties.collect::<Result<_, _>>()?;
        let mut fields = vec![
            Field::new("key", DataType::Utf8, true),
            Field::new("given", DataType::Utf8, true),
        ];
        for (property, at) in target.properties.iter().zip(&properties) {
            fields.push(Field::new(&property.name, schema.field(*at).data_type().clone(), true));
        }
        Ok(Self { key, properties, schema: Arc::new(Schema::new(fields)) })
    }

    fn keyed(
        &self,
        batch: &RecordBatch,
        target: &Target,
        aliases: &Aliases,
    ) -> Result<RecordBatch, LoadError> {
        let given = texts(batch.column(self.key)).during(DOING)?;
        let keys: StringArray = given.iter().map(|given| key(given?, target, aliases)).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(given)];
        columns.extend(self.properties.iter().map(|at| batch.column(*at).clone()));
        RecordBatch::try_new(self.schema.clone(), columns).during(DOING)
    }
}

/// The key as the mirror spells it; `None` when nothing can have this key.
fn key(given: &str, target: &Target, aliases: &Aliases) -> Option<String> {
    match &target.key {
        MatchKey::RecordId => {
            let id: RecordId = given.parse().ok()?;
            Some(aliases.get(&id.0).copied().unwrap_or(id.0).to_string())
        }
        MatchKey::Email | MatchKey::Unique(_) if given.is_empty() => None,
        MatchKey::Email | MatchKey::Unique(_) => {
            target.key_form.wire(given).ok().map(|key| key.into_owned())
        }
    }
}

/// Why a given key finds nothing.
pub(crate) fn unusable(given: Option<&str>, target: &Target) -> (&'static str, String) {
    match given {
        None | Some("") => {
            ("NO_KEY", format!("The row has no key: `{}` is empty", target.key_column))
        }
        Some(given) => match &target.key {
            MatchKey::RecordId => ("INVALID_KEY", format!("`{given}` is not a record id")),
            MatchKey::Email | MatchKey::Unique(_) => {
                let why = target
                    .key_form
                    .wire(given)
                    .err()
                    .map_or(String::new(), |refusal| refusal.sentence);
                ("INVALID_KEY", format!("`{given}` cannot be a key: {why}"))
            }
        },
    }
}
