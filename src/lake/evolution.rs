//! How a table comes to be and gains columns.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use deltalake::kernel::{Action, MetadataExt};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::DeltaOperation;
use deltalake::{DeltaTable, DeltaTableError};

use super::commit::OnConflict;
use super::root::{Lake, TableName, TableSpec};
use super::schema::{delta_fields, delta_schema, lake_schema, new_columns, unknown_column};
use super::stats::{indexed_columns, stats_property};
use super::store::log_store;
use super::writer::can_partition_by;
use super::{LakeError, Table};

/// The property in which a table's key is kept.
const KEY_PROPERTY: &str = "hublake.key";
const STATS_PROPERTY: &str = "delta.dataSkippingStatsColumns";
const FILE_RETENTION_PROPERTY: &str = "delta.deletedFileRetentionDuration";
const LOG_RETENTION_PROPERTY: &str = "delta.logRetentionDuration";

/// The key that a table's properties tell.
pub(super) fn stored_key(properties: &HashMap<String, String>) -> Option<Vec<String>> {
    serde_json::from_str(properties.get(KEY_PROPERTY)?).ok()
}

/// Partition columns have no statistics: a file has one value of each, which the
/// log tells.
fn properties(
    lake: &Lake,
    schema: &Schema,
    key: &[String],
    partition_by: &[String],
) -> HashMap<String, String> {
    let mut indexed = indexed_columns(schema, key);
    indexed.retain(|column| !partition_by.contains(column));
    let retention = format!("interval {} days", lake.history_days());
    let key_list = serde_json::to_string(key).expect("strings are JSON");
    HashMap::from([
        (KEY_PROPERTY.into(), key_list),
        (STATS_PROPERTY.into(), stats_property(&indexed)),
        (FILE_RETENTION_PROPERTY.into(), retention.clone()),
        (LOG_RETENTION_PROPERTY.into(), retention),
    ])
}

impl Table {
    /// The table of this name at its newest version, if there is one.
    pub(super) async fn open(lake: &Lake, name: &TableName) -> Result<Option<Self>, LakeError> {
        let place = lake.place(name);
        let loaded = async {
            let log_store = log_store(lake.store().clone(), &place.url)?;
            if !log_store.is_delta_table_location().await? {
                return Ok::<_, DeltaTableError>(None);
            }
            let mut delta = DeltaTable::new(log_store);
            delta.load().await?;
            Ok(Some(delta))
        };
        match loaded.await.map_err(place.failed("opening it"))? {
            Some(delta) => Ok(Some(Self::load(lake, name, delta).await?)),
            None => Ok(None),
        }
    }

    pub(super) async fn open_or_create(lake: &Lake, spec: &TableSpec) -> Result<Self, LakeError> {
        let schema = checked_schema(spec)?;
        if let Some(mut table) = Self::open(lake, &spec.name).await? {
            table.check_layout(spec)?;
            table.add_columns(&schema).await?;
            return Ok(table);
        }
        Self::create(lake, spec, &schema).await
    }

    async fn create(lake: &Lake, spec: &TableSpec, schema: &SchemaRef) -> Result<Self, LakeError> {
        let place = lake.place(&spec.name);
        let properties = properties(lake, schema, &spec.key, &spec.partition_by);
        let created = async {
            CreateBuilder::new()
                .with_log_store(log_store(lake.store().clone(), &place.url)?)
                .with_columns(delta_fields(schema)?)
                .with_partition_columns(&spec.partition_by)
                .with_configuration(properties.into_iter().map(|(name, value)| (name, Some(value))))
                .with_raise_if_key_not_exists(false)
                .await
        };
        let error = match created.await {
            Ok(delta) => return Self::load(lake, &spec.name, delta).await,
            Err(error) => error,
        };
        // Another run may have made it at the same time.
        match Self::open(lake, &spec.name).await? {
            Some(table) => table.check_layout(spec).map(|()| table),
            None => Err(place.failed("creating it")(error)),
        }
    }

    fn check_layout(&self, spec: &TableSpec) -> Result<(), LakeError> {
        let differs = |what, stored: &[String], wanted: &[String]| LakeError::LayoutDiffers {
            table: spec.name.to_string(),
            what,
            stored: stored.to_vec(),
            wanted: wanted.to_vec(),
        };
        if self.key() != spec.key {
            return Err(differs("key", self.key(), &spec.key));
        }
        if self.partition_by() != spec.partition_by {
            return Err(differs("partition columns", self.partition_by(), &spec.partition_by));
        }
        Ok(())
    }

    /// Adds columns the table lacks, and takes over a changed retention, in one
    /// commit if there is anything to do.
    async fn add_columns(&mut self, wanted: &Schema) -> Result<(), LakeError> {
        let current = self.schema();
        let missing = new_columns(&current, wanted);
        let all = current.fields().iter().cloned().chain(missing.clone());
        let all = Schema::new(all.collect::<Vec<_>>());
        let stored = self.state().metadata().configuration();
        let settings = properties(self.lake(), &all, self.key(), self.partition_by());
        if missing.is_empty()
            && settings.iter().all(|(name, value)| stored.get(name) == Some(value))
        {
            return Ok(());
        }
        let action = self.metadata_with(&all)?;
        let fields = delta_fields(&Schema::new(missing));
        let fields = fields.map_err(self.place().failed("adding columns"))?;
        let operation = DeltaOperation::AddColumn { fields };
        self.commit(vec![action], operation, &[], OnConflict::Fail).await
    }

    /// The action that gives the table these columns.
    pub(super) fn metadata_with(&self, schema: &Schema) -> Result<Action, LakeError> {
        let metadata = || {
            let delta = delta_schema(schema)?;
            let mut metadata = self.state().metadata().clone().with_schema(&delta)?;
            for (name, value) in properties(self.lake(), schema, self.key(), self.partition_by()) {
                metadata = metadata.add_config_key(name, value)?;
            }
            Ok::<_, DeltaTableError>(Action::Metadata(metadata))
        };
        metadata().map_err(self.place().failed("changing its columns"))
    }
}

/// Lake types for the columns; the key and the partition columns are among them.
fn checked_schema(spec: &TableSpec) -> Result<SchemaRef, LakeError> {
    let table = spec.name.to_string();
    let schema = lake_schema(&table, &spec.schema)?;
    for name in spec.key.iter().chain(&spec.partition_by) {
        schema.index_of(name).map_err(|_| unknown_column(&table, name, &schema))?;
    }
    let refuse = |names: &[String], fits: fn(&DataType) -> bool, advice: &str| {
        let mut fields = names.iter().filter_map(|name| schema.field_with_name(name).ok());
        fields.find(|field| !fits(field.data_type())).map_or(Ok(()), |field| {
            Err(LakeError::UnsupportedType {
                table: table.clone(),
                column: field.name().clone(),
                data_type: field.data_type().to_string(),
                advice: advice.to_owned(),
            })
        })
    };
    refuse(&spec.key, |key| !key.is_nested(), "key columns are plain values")?;
    let advice = "partition columns are text, whole numbers, booleans or dates";
    refuse(&spec.partition_by, can_partition_by, advice)?;
    Ok(schema)
}
