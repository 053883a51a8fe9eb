//! The mirror table of one object type: its columns and its cursors.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

use arrow::array::MapFieldNames;

use crate::lake::{Table, TableName, TableSpec};
use crate::objects::{ObjectType, PropertyDefinition};

/// Columns that stand beside a record's properties, in table order after them.
const ENVELOPE: [&str; 9] = [
    "id",
    "created_at",
    "updated_at",
    "archived",
    "archived_at",
    "merged_into",
    "_vanished_at",
    "_synced_at",
    "_rescued",
];

/// A full sync's generation: the server time (ms) at which its first attempt
/// began.
pub(super) const FULL_STARTED: &str = "hublake.full.started";
/// The generation of the last full sync that came to its end.
pub(super) const FULL_COMPLETED: &str = "hublake.full.completed";
/// As the two before, of the last reconciliation: everything is listed again,
/// and the mirror counts as complete meanwhile.
pub(super) const RECONCILE_STARTED: &str = "hublake.reconcile.started";
/// The generation of the last reconciliation that came to its end.
pub(super) const RECONCILE_COMPLETED: &str = "hublake.reconcile.completed";
/// Everything modified up to here (ms, server time) is in the table.
pub(super) const WATERMARK: &str = "hublake.watermark";
/// Set once a search of this type has come to its end: a refusal is then no sign
/// of a type that HubSpot cannot search.
pub(super) const SEARCHED: &str = "hublake.searched";
/// The last `_synced_at` stamp given out (µs); strictly rising, so that tables
/// derived from a mirror know what they have applied.
pub(super) const SYNCED: &str = "hublake.synced";

/// The table an object type is mirrored in, `hubspot.<object>`.
pub fn mirror_table(object: &ObjectType) -> TableName {
    TableName::hubspot(object.table_name())
}

/// Whether a full sync of the mirror has completed and none is under way.
///
/// Write-backs and models that trust absence must not run before.
pub fn is_complete(table: &Table) -> bool {
    let completed = table.cursor(FULL_COMPLETED);
    completed.is_some() && completed == table.cursor(FULL_STARTED)
}

/// When everything was last listed (ms, server time): by a full sync or by a
/// reconciliation, whichever came to its end later.
pub(super) fn listed_at(table: &Table) -> Option<i64> {
    table.cursor(FULL_COMPLETED).max(table.cursor(RECONCILE_COMPLETED))
}

/// Up to when (µs since 1970, HubSpot's clock) every change is in the mirror;
/// none for a table that is no mirror, or that no sync has completed.
pub fn fresh_until(table: &Table) -> Option<i64> {
    table.cursor(WATERMARK)?.checked_mul(1000)
}

/// One property and the column it is kept in.
#[derive(Clone, Debug, PartialEq)]
pub struct PropertyColumn {
    /// The property's internal name.
    pub property: String,
    /// The column's name: the property's, unless an envelope column has it.
    pub column: String,
    /// The column's type.
    pub data_type: DataType,
}

/// The columns of one object's mirror, for one selection of properties.
#[derive(Clone, Debug)]
pub struct MirrorSchema {
    object: ObjectType,
    properties: Vec<PropertyColumn>,
    arrow: SchemaRef,
}

impl MirrorSchema {
    /// The mirror of the properties given, in their order.
    pub fn new<'a>(
        object: &ObjectType,
        selected: impl IntoIterator<Item = &'a PropertyDefinition>,
    ) -> Self {
        let properties: Vec<_> = selected
            .into_iter()
            .map(|definition| PropertyColumn {
                column: column_name(&definition.name),
                property: definition.name.clone(),
                data_type: definition.property_type.arrow_type(),
            })
            .collect();
        let mut fields = vec![Field::new("id", DataType::Int64, true)];
        fields.extend(properties.iter().map(|p| Field::new(&p.column, p.data_type.clone(), true)));
        fields.extend([
            Field::new("created_at", timestamp(), true),
            Field::new("updated_at", timestamp(), true),
            Field::new("archived", DataType::Boolean, true),
            Field::new("archived_at", timestamp(), true),
            Field::new("merged_into", DataType::Int64, true),
            Field::new("_vanished_at", timestamp(), true),
            Field::new("_synced_at", timestamp(), true),
            Field::new_map("_rescued", "entries", map_key(), map_value(), false, true),
        ]);
        Self { object: object.clone(), properties, arrow: Arc::new(Schema::new(fields)) }
    }

    /// The object type mirrored.
    pub fn object(&self) -> &ObjectType {
        &self.object
    }

    /// The property columns, in table order.
    pub fn properties(&self) -> &[PropertyColumn] {
        &self.properties
    }

    /// The names of the properties to ask HubSpot for.
    pub fn property_names(&self) -> Vec<String> {
        self.properties.iter().map(|column| column.property.clone()).collect()
    }

    /// The Arrow schema of the table.
    pub fn arrow(&self) -> SchemaRef {
        self.arrow.clone()
    }

    /// The table this schema makes.
    pub(super) fn table_spec(&self) -> TableSpec {
        TableSpec {
            name: mirror_table(&self.object),
            schema: self.arrow(),
            key: vec!["id".to_owned()],
            partition_by: Vec::new(),
        }
    }
}

/// The column a property is kept in.
///
/// Delta compares column names without case, so the clash is looked for so.
fn column_name(property: &str) -> String {
    if ENVELOPE.iter().any(|name| name.eq_ignore_ascii_case(property)) {
        format!("property_{property}")
    } else {
        property.to_owned()
    }
}

pub(super) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn map_key() -> FieldRef {
    Arc::new(Field::new("key", DataType::Utf8, false))
}

fn map_value() -> FieldRef {
    Arc::new(Field::new("value", DataType::Utf8, true))
}

/// The names Delta gives the parts of a map.
pub(super) fn map_field_names() -> MapFieldNames {
    MapFieldNames { entry: "entries".to_owned(), key: "key".to_owned(), value: "value".to_owned() }
}
