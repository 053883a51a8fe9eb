//! Whose words a model holds, as far as its SQL tells.
//!
//! A privacy purge takes a person out of the tables that hang on HubSpot and
//! then has to know two things about every model: whether anything of the person
//! can have come into it, and whether its rows stay apart, each made of one row
//! of what it reads, so that the row's id says whose it is.

use std::collections::BTreeSet;

use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;

use super::models::changes_name;
use super::query::{MODELS, TableRef};
use super::{Engine, Models, base_table};
use crate::lake::{Cursor, Table, TableName};

/// When a purge last wanted the model built anew (ms since 1970 UTC).
const REBUILD_DUE: &str = "hublake.rebuild.due";
/// Which of these times the model has been built anew for.
const REBUILD_DONE: &str = "hublake.rebuild.done";

/// Says, as a cursor of a model's table, that the next build only restores what
/// a purge took out: what differs then goes into no `<model>_changes`, and the
/// version before goes at once. `at` is in ms since 1970 UTC.
pub fn rebuild_due(at: i64) -> Cursor {
    Cursor { app_id: REBUILD_DUE.to_owned(), value: at }
}

/// The cursor that says so no more, where one says so.
pub(super) fn rebuild_done(model: &Table) -> Option<Cursor> {
    let due = model.cursor(REBUILD_DUE)?;
    let is_done = model.cursor(REBUILD_DONE).is_some_and(|done| done >= due);
    (!is_done).then(|| Cursor { app_id: REBUILD_DONE.to_owned(), value: due })
}

/// The table that holds a model's changes.
pub fn changes_of(model: &str) -> TableName {
    TableName::model(changes_name(model))
}

impl Models {
    /// The models kept as tables that read one of these tables, directly or
    /// through other models, or are one of them; every one after those it reads.
    pub fn fed_by(&self, tables: &BTreeSet<TableName>) -> Vec<&str> {
        let is_fed = |name: &str| {
            let of_models = self.ancestry(name).into_iter().any(|model| {
                tables.contains(&TableName::model(model)) || tables.contains(&changes_of(model))
            });
            of_models || !self.tables_read(name).is_disjoint(tables)
        };
        let tables_only = self.in_order().filter(|model| model.is_stored());
        tables_only.map(|model| model.name()).filter(|name| is_fed(name)).collect()
    }
}

impl Engine {
    /// Whether every row of a model is made of at most one row of one of these
    /// tables: it reads them in one place and puts no rows together. A model
    /// that cannot be planned counts as one that does.
    pub async fn keeps_rows_apart(&self, model: &str, tables: &BTreeSet<TableName>) -> bool {
        let Some(model) = self.models.get(model) else { return false };
        let Ok(rows) = self.catalog(None).plan_model(model).await else { return false };
        let mut places = 0;
        let apart = is_apart(&rows.into_unoptimized_plan(), tables, &mut places);
        apart.unwrap_or(false) && places <= 1
    }
}

/// Counts the places that read one of the tables; whether no step on the way
/// puts rows together.
fn is_apart(
    plan: &LogicalPlan,
    tables: &BTreeSet<TableName>,
    places: &mut usize,
) -> Result<bool, DataFusionError> {
    let mut is_apart = true;
    plan.apply_with_subqueries(|step| {
        is_apart &= match step {
            LogicalPlan::TableScan(scan) => match scan.source.get_logical_plan() {
                Some(view) => self::is_apart(&view, tables, places)?,
                None => {
                    *places += usize::from(is_one_of(&scan.table_name, tables));
                    true
                }
            },
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Repartition(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Values(_) => true,
            _ => false,
        };
        Ok(if is_apart { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(is_apart)
}

fn is_one_of(table: &TableReference, tables: &BTreeSet<TableName>) -> bool {
    let schema = table.schema().filter(|schema| *schema != MODELS).map(str::to_owned);
    let named = TableRef { schema, name: table.table().to_owned() };
    let name = match named.schema {
        None => Some(TableName::model(named.name)),
        Some(_) => base_table(&named),
    };
    name.is_some_and(|name| tables.contains(&name))
}
