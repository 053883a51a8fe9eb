//! Where in a plan values meet that do not fit together: the engine says what
//! is wrong with their types, but seldom where.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{Between, InList, Like};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};

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

/// A text that is compared with something else, so that the engine reads it as
/// that while the query runs, and fails at the first that is none.
#[derive(Debug)]
pub(super) struct TextRead {
    /// Where the comparison stands, if that is known.
    pub(super) place: Option<SqlPlace>,
    /// The text, where it stands in the query and cannot be read so.
    pub(super) unreadable: Option<String>,
    /// What it is read as.
    pub(super) data_type: DataType,
}

/// The texts of a plan, before types are settled, that are read as something
/// else; those that stand in the query only if they cannot be.
pub(super) fn texts_read(plan: &LogicalPlan) -> Vec<TextRead> {
    let mut found: Vec<TextRead> = Vec::new();
    let walked = plan.apply_with_subqueries(|node| {
        if let Ok(schema) = input_schema(node) {
            let mut look = |left: &Expr, right: &Expr| {
                let reads = [text_read(left, right, &schema), text_read(right, left, &schema)];
                found.extend(reads.into_iter().flatten());
            };
            if let LogicalPlan::Join(join) = node {
                join.on.iter().for_each(|(left, right)| look(left, right));
            }
            for expr in node.expressions() {
                expr.apply(|part| {
                    match part {
                        Expr::BinaryExpr(binary) if is_comparison(binary.op) => {
                            look(&binary.left, &binary.right);
                        }
                        Expr::InList(InList { expr, list, .. }) => {
                            list.iter().for_each(|item| look(expr, item));
                        }
                        Expr::Between(Between { expr, low, high, .. }) => {
                            look(expr, low);
                            look(expr, high);
                        }
                        _ => {}
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok(), "nothing in the walk fails");
    // What `with` names is in the plan wherever it is used.
    found.sort_by_key(|read| read.place);
    found.dedup_by(|a, b| a.place == b.place && a.unreadable == b.unreadable);
    found
}

fn text_read(text: &Expr, other: &Expr, schema: &DFSchema) -> Option<TextRead> {
    let (from, to) = (text.get_type(schema).ok()?, other.get_type(schema).ok()?);
    let data_type = comparison_coercion(&from, &to)?;
    if !from.is_string() || data_type.is_string() || data_type.is_null() {
        return None;
    }
    let place = first_column(text).into_iter().chain(first_column(other)).min();
    let unreadable = match text {
        Expr::Literal(value, _) if value.cast_to(&data_type).is_ok() => return None,
        Expr::Literal(value, _) => Some(value.to_string()),
        _ => None,
    };
    Some(TextRead { place, unreadable, data_type })
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
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
