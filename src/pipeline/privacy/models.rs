//! Which models a person can have come into, and whose rows say so.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;

use super::person::Person;
use crate::extract::{ASSOCIATIONS, LIST_MEMBERSHIPS};
use crate::lake::{Lake, LakeError, TableName};
use crate::transform::{self, Engine};

/// The models that are made of what a purge takes something out of.
#[derive(Debug)]
pub(super) struct Derived {
    /// Each of them, in the order of building.
    models: Vec<String>,
    /// What becomes of their tables.
    tables: BTreeMap<TableName, Fate>,
}

/// What becomes of a table of such a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The person's rows go, as far as they tell; the rest is compared with a new
    /// build, and what is no more goes then.
    Restored,
    /// The person's rows go, and those that bear no id.
    Sifted,
    /// Every row goes.
    Emptied,
}

impl Derived {
    /// The models that read one of the tables touched, and what their rows tell.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub(super) async fn of(
        engine: &Engine,
        lake: &Lake,
        person: &Person,
        touched: &BTreeSet<TableName>,
    ) -> Result<Self, LakeError> {
        let graph = engine.models();
        let fed = graph.fed_by(touched);
        let words: BTreeSet<TableName> = touched
            .iter()
            .filter(|name| !holds_ids_alone(name))
            .cloned()
            .chain(fed.iter().map(|name| TableName::model(*name)))
            .chain(fed.iter().map(|name| transform::changes_of(name)))
            .collect();
        let mut derived = Self { models: Vec::new(), tables: BTreeMap::new() };
        let mut mixed = BTreeSet::new();
        for name in fed {
            let Some(table) = lake.table(&TableName::model(name)).await? else { continue };
            let reads_mixed = !graph.ancestry(name).is_disjoint(&mixed);
            if let Some(model) = graph.get(name).filter(|model| model.is_identity()) {
                // Emptied, it would know no cluster any more and give everybody a new id.
                // What else it stores, the build writes anew.
                derived.tables.insert(TableName::model(name), Fate::Restored);
                derived.tables.insert(transform::changes_of(name), Fate::Emptied);
                derived.tables.extend(model.side_tables().into_iter().map(|t| (t, Fate::Emptied)));
                derived.models.push(name.to_owned());
                mixed.insert(name);
                continue;
            }
            let tells = !reads_mixed
                && person.is_told_by(&table.schema())
                && engine.keeps_rows_apart(name, &words).await;
            let (own, changes) =
                if tells { (Fate::Restored, Fate::Sifted) } else { (Fate::Emptied, Fate::Emptied) };
            if !tells {
                mixed.insert(name);
            }
            derived.tables.insert(TableName::model(name), own);
            derived.tables.insert(transform::changes_of(name), changes);
            derived.models.push(name.to_owned());
        }
        Ok(derived)
    }

    /// The models, each after those it reads.
    pub(super) fn models(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(String::as_str)
    }

    /// Whether a table is that of such a model; not that of its changes.
    pub(super) fn is_built_anew(&self, table: &TableName) -> bool {
        self.models.iter().any(|model| TableName::model(model) == *table)
    }

    /// What stays of a batch of any table; none where all of it stays.
    pub(super) fn keep(
        &self,
        person: &Person,
        name: &TableName,
        key: &[String],
        batch: &RecordBatch,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        match self.tables.get(name) {
            Some(Fate::Emptied) => Ok((batch.num_rows() > 0).then(|| batch.slice(0, 0))),
            Some(Fate::Sifted) => {
                let about = person.rows_of(name, batch);
                let told = person.tells(batch);
                let stays = |(about, told): (bool, bool)| Some(told && !about);
                let stays: BooleanArray = about.into_iter().zip(told).map(stays).collect();
                if stays.true_count() == batch.num_rows() {
                    return Ok(None);
                }
                filter_record_batch(batch, &stays).map(Some)
            }
            Some(Fate::Restored) | None => person.keep(name, key, batch),
        }
    }
}

/// Tables that hold nothing of a record but its id.
fn holds_ids_alone(name: &TableName) -> bool {
    name.schema() == "hubspot" && [ASSOCIATIONS, LIST_MEMBERSHIPS].contains(&name.name())
}
