//! Where in a plan values meet that do not fit together: the engine says what
//! is wrong with their types, but seldom where.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{Between, InList, Like};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use super::diagnosis::column_place;
use super::query::SqlPlace;

/// The place of the first expression, innermost first, that has no type.
pub(super) fn misfit(plan: &LogicalPlan) -> Option<SqlPlace> {
    let mut found = None;
    let walked = plan.apply_with_subqueries(|node| {
        // Inner nodes come after outer ones, so a later find is nearer the cause.
        found = in_node(node).or(found);
        Ok(TreeNodeRecursion::Continue)
    });
    walked.ok().and(found)
}

fn in_node(node: &LogicalPlan) -> Option<SqlPlace> {
    let schema = input_schema(node).ok()?;
    node.expressions().iter().find_map(|expr| in_expr(expr, &schema))
}

/// What the expressions of a node may refer to.
fn input_schema(node: &LogicalPlan) -> Result<DFSchemaRef, DataFusionError> {
    match node.inputs().as_slice() {
        [] => Ok(node.schema().clone()),
        [only] => Ok(only.schema().clone()),
        inputs => {
            let mut merged = DFSchema::empty();
            for input in inputs {
                merged.merge(input.schema());
            }
            Ok(merged.into())
        }
    }
}

fn in_expr(expr: &Expr, schema: &DFSchema) -> Option<SqlPlace> {
    let mut found = None;
    let walked = expr.apply_children(|child| {
        found = found.or_else(|| in_expr(child, schema));
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.ok()?;
    found.or_else(|| (!fits(expr, schema)).then(|| first_column(expr)).flatten())
}

fn fits(expr: &Expr, schema: &DFSchema) -> bool {
    let meet = |left: &Expr, right: &Expr| {
        let types = left.get_type(schema).ok().zip(right.get_type(schema).ok());
        types.is_none_or(|(left, right)| comparison_coercion(&left, &right).is_some())
    };
    match expr {
        Expr::InList(InList { expr, list, .. }) => list.iter().all(|item| meet(expr, item)),
        Expr::Between(Between { expr, low, high, .. }) => meet(expr, low) && meet(expr, high),
        Expr::Like(Like { expr, pattern, .. }) | Expr::SimilarTo(Like { expr, pattern, .. }) => {
            meet(expr, pattern)
        }
        // What a subquery or a type without columns of ours means is not known here.
        Expr::OuterReferenceColumn(..) => true,
        other => other.get_type(schema).is_ok(),
    }
}

/// The place of the column that stands first in an expression.
fn first_column(expr: &Expr) -> Option<SqlPlace> {
    let mut first: Option<SqlPlace> = None;
    let walked = expr.apply(|part| {
        if let Expr::Column(column) = part {
            first = first.into_iter().chain(column_place(column)).min();
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.ok().and(first)
}
