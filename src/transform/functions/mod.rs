//! SQL functions for this field: addresses, domains, HubSpot's ways of
//! writing lists, times and stages. `docs/sql.md` shows each with an example.
//!
//! All of them take text in any of Arrow's encodings, give null for null and
//! for what they cannot read, and never fail on a value.

mod bits;
mod domain;
mod email;
mod free_mail;
mod lists;
mod stages;
mod text;
mod times;

use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::ScalarUDF;

/// Makes every function known to a session.
pub(super) fn register(context: &SessionContext) {
    for function in all() {
        context.register_udf(function);
    }
}

fn all() -> Vec<ScalarUDF> {
    let mut functions: Vec<ScalarUDF> =
        text::TextFunction::all().map(ScalarUDF::new_from_impl).collect();
    functions.push(ScalarUDF::new_from_impl(free_mail::IsFreeEmail::new()));
    functions.push(ScalarUDF::new_from_impl(lists::HsSplit::new()));
    functions.push(ScalarUDF::new_from_impl(times::HsTimestamp::new()));
    functions.push(ScalarUDF::new_from_impl(bits::BitCount::new()));
    functions.push(ScalarUDF::new_from_impl(stages::StageRank::new()));
    functions
}

#[cfg(test)]
mod tests;
