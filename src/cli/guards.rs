use std::collections::BTreeSet;

use super::failure::Failure;
use crate::load::Guard;
use crate::pipeline::Outcome;

/// The guards named on the command line.
pub(super) fn parse(names: &[String]) -> Result<BTreeSet<Guard>, Failure> {
    names
        .iter()
        .map(|name| name.parse().map_err(|error| Failure::new(Outcome::Usage, error)))
        .collect()
}
