//! Whether a column that nobody knows can be there all the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::check::{Check, KnownTable};
use super::{Model, TransformError};
use crate::lake::TableName;

impl Check<'_> {
    /// The mistake of a model in which a column is unknown, if it is one
    /// whatever further columns the tables have whose columns are not all known:
    /// the model is planned once more as if each of them had that column.
    pub(super) async fn sure_mistake(&self, model: &Model, column: &str) -> Option<TransformError> {
        let schemas = self.known.iter().map(|(name, table)| (name.clone(), with(table, column)));
        let supposed = self.supposing(schemas.collect::<BTreeMap<TableName, SchemaRef>>());
        let ancestry = self.models.ancestry(model.name());
        let parents = self.models.in_order().filter(|one| ancestry.contains(one.name()));
        for parent in parents.filter(|parent| parent.name() != model.name()) {
            supposed.plan(parent).await.ok()?;
        }
        let mistake = supposed.plan(model).await.err()?;
        (mistake.unknown_column() == Some(column)).then_some(mistake)
    }
}

/// The columns of a table, with one that it may have.
fn with(table: &KnownTable, column: &str) -> SchemaRef {
    if table.names_are_sure || table.schema.field_with_name(column).is_ok() {
        return table.schema.clone();
    }
    let more = Arc::new(Field::new(column, DataType::Utf8, true));
    let fields = table.schema.fields().iter().cloned().chain([more]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
