//! What earlier runs left undone: tables derived from the ledger, and applies
//! that were cut off.

use std::collections::BTreeSet;

use super::config::WriteBackConfig;
use super::error::{LoadError, While};
use super::plan::{PlanCursors, rows};
use super::{ledger, mirror, written};
use crate::lake::Lake;

/// Brings `system.written` and the mirrors up to the ledger, and takes over the
/// intents of an apply that was cut off. Repeating it changes nothing and
/// commits nothing. To be called before planning; [`super::apply()`] leaves
/// everything caught up.
///
/// # Errors
/// The lake fails, or a write-back's settings are invalid.
pub async fn catch_up(
    lake: &Lake,
    pipeline: &str,
    write_backs: &[(&str, &WriteBackConfig)],
    now: i64,
) -> Result<(), LoadError> {
    let writes = lake.table(&ledger::spec().name).await.during("opening the ledger")?;
    if let Some(writes) = &writes {
        written::catch_up(lake, pipeline, writes).await?;
        let mut objects = BTreeSet::new();
        for (name, config) in write_backs {
            objects.insert(config.object_type().map_err(|error| LoadError::Settings {
                write_back: (*name).to_owned(),
                path: "object".to_owned(),
                problem: error.to_string(),
            })?);
        }
        for object in objects {
            mirror::catch_up(lake, pipeline, &object, writes, now).await?;
        }
    }
    // Of those too that have left the settings since.
    let plans = lake.table(&rows::spec().name).await.during("opening the plans")?;
    let begun = plans.map(|plans| PlanCursors::begun(&plans, pipeline)).unwrap_or_default();
    for name in begun {
        written::take_intents(lake, pipeline, &name, writes.as_ref()).await?;
    }
    Ok(())
}
