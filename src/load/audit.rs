//! The properties of an object looked over: who fills them, how far, and which
//! look like a mistake.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::prelude::{col, lit};
use futures::StreamExt;
use serde::Serialize;

use super::config::is_property_name;
use super::error::{LoadError, While};
use super::{mirror, written};
use crate::lake::{Lake, Table};
use crate::objects::{ObjectType, PropertyDefinition};

const DOING: &str = "auditing properties";

/// Names shorter than this differ too easily by one letter.
const LEAST_LENGTH: usize = 5;
/// Names this long are much alike even with two letters apart.
const LONG: usize = 10;
/// Words at a name's end that tell of a copy made in passing.
const LEFTOVERS: [&str; 6] = ["_copy", "_old", "_new", "_test", "_tmp", "_backup"];

/// One property, and what may be wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditedProperty {
    /// The object type.
    pub object: String,
    /// The internal name.
    pub name: String,
    /// What a person sees.
    pub label: String,
    /// The write-back that declares or writes it.
    pub write_back: Option<String>,
    /// Live records.
    pub records: u64,
    /// Live records with a value; unknown where the mirror does not have the property.
    pub filled: Option<u64>,
    /// When hublake last wrote a value of it, µs since 1970, UTC.
    pub last_written: Option<i64>,
    /// When its definition last changed, µs since 1970, UTC.
    pub changed_at: Option<i64>,
    /// What may be wrong, one sentence each.
    pub findings: Vec<String>,
}

/// Looks over the properties that the account's people or programs have made
/// (not HubSpot's own) and those that write-backs write. `owners` are the
/// write-backs by property.
///
/// # Errors
/// The lake cannot be read.
pub async fn audit_properties(
    lake: &Lake,
    object: &ObjectType,
    definitions: &[PropertyDefinition],
    owners: &BTreeMap<String, String>,
) -> Result<Vec<AuditedProperty>, LoadError> {
    let meant: Vec<&PropertyDefinition> = definitions
        .iter()
        .filter(|known| !known.archived)
        .filter(|known| !known.hubspot_defined || owners.contains_key(&known.name))
        .collect();
    let fill = match mirror::open(lake, object).await? {
        Some(mirror) => fill(&mirror, &meant).await?,
        None => Fill::default(),
    };
    let written = last_written(lake, object).await?;
    let audited = meant.iter().map(|definition| {
        let name = &definition.name;
        let filled = fill.filled.get(name.as_str()).copied();
        AuditedProperty {
            object: object.name().to_owned(),
            name: name.clone(),
            label: definition.label.clone(),
            write_back: owners.get(name).cloned(),
            records: fill.records,
            filled,
            last_written: written.get(name).copied(),
            changed_at: definition.updated_at,
            findings: findings(definition, &meant, fill.records, filled),
        }
    });
    Ok(audited.collect())
}

#[derive(Default)]
struct Fill {
    records: u64,
    filled: BTreeMap<String, u64>,
}

/// Live records, and of each property those that have a value.
async fn fill(mirror: &Table, meant: &[&PropertyDefinition]) -> Result<Fill, LoadError> {
    let schema = mirror.schema();
    let columns = meant.iter().map(|known| (known.name.clone(), mirror::column_name(&known.name)));
    let columns: Vec<(String, String)> =
        columns.filter(|(_, column)| schema.index_of(column).is_ok()).collect();
    let marks = ["archived", "_vanished_at", "merged_into"];
    let mut read: Vec<&str> =
        marks.into_iter().filter(|column| schema.index_of(column).is_ok()).collect();
    read.push("id");
    read.extend(columns.iter().map(|(_, column)| column.as_str()).filter(|c| !marks.contains(c)));
    let mut rows = mirror.scan(Some(&read), None).await.during(DOING)?;
    let mut found = Fill::default();
    for (name, _) in &columns {
        found.filled.insert(name.clone(), 0);
    }
    while let Some(batch) = rows.next().await {
        let batch = batch.during(DOING)?;
        let live: Vec<usize> = (0..batch.num_rows()).filter(|row| is_live(&batch, *row)).collect();
        found.records += live.len() as u64;
        for (name, column) in &columns {
            let Some(values) = batch.column_by_name(column) else { continue };
            let count = live.iter().filter(|row| values.is_valid(**row)).count() as u64;
            *found.filled.entry(name.clone()).or_default() += count;
        }
    }
    Ok(found)
}

fn is_live(batch: &RecordBatch, row: usize) -> bool {
    let is_null = |name: &str| batch.column_by_name(name).is_none_or(|column| column.is_null(row));
    let archived = batch.column_by_name("archived").is_some_and(|column| {
        let column = column.as_boolean();
        column.is_valid(row) && column.value(row)
    });
    !archived && is_null("_vanished_at") && is_null("merged_into")
}

async fn last_written(
    lake: &Lake,
    object: &ObjectType,
) -> Result<BTreeMap<String, i64>, LoadError> {
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    let Some(table) = lake.table(&written::spec().name).await.during(DOING)? else {
        return Ok(last);
    };
    let filter = col("object").eq(lit(object.name())).and(col("state").eq(lit(written::WRITTEN)));
    let columns = ["property", "written_at"];
    let mut rows = table.scan(Some(&columns), Some(filter)).await.during(DOING)?;
    while let Some(batch) = rows.next().await {
        let batch = batch.during(DOING)?;
        let names = batch.column(0).as_string::<i32>();
        let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        for (name, time) in names.iter().zip(times) {
            let (Some(name), Some(time)) = (name, time) else { continue };
            match last.get_mut(name) {
                Some(known) => *known = time.max(*known),
                None => drop(last.insert(name.to_owned(), time)),
            }
        }
    }
    Ok(last)
}

fn findings(
    definition: &PropertyDefinition,
    others: &[&PropertyDefinition],
    records: u64,
    filled: Option<u64>,
) -> Vec<String> {
    let mut found = lint(&definition.name, &definition.description);
    match filled {
        Some(0) if records > 0 => found.push(format!("Empty on all {records} records")),
        Some(filled) if filled * 100 < records => {
            found.push(format!("Filled on {filled} of {records} records only"));
        }
        _ => {}
    }
    let alike = others.iter().filter(|other| other.name != definition.name);
    for other in alike.filter(|other| is_near_duplicate(definition, other)) {
        found.push(format!("Much like `{}` (\"{}\")", other.name, other.label));
    }
    found
}

/// What a declaration, or a definition, leaves to be wished for.
pub(crate) fn lint(name: &str, description: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !is_property_name(name) || name.contains("__") || name.ends_with('_') {
        found.push("The name should be lower case words, joined by single underscores".to_owned());
    }
    if let Some(leftover) = LEFTOVERS.iter().find(|ending| name.ends_with(*ending)) {
        found.push(format!("The name ends in `{leftover}`, as if it were left over"));
    }
    if description.trim().is_empty() {
        found.push("No description says what it is for, and who fills it".to_owned());
    }
    found
}

/// Whether two properties may be one by mistake: names or labels the same but
/// for case, underscores and a letter or two.
fn is_near_duplicate(one: &PropertyDefinition, other: &PropertyDefinition) -> bool {
    let plain = |text: &str| {
        text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>()
    };
    let alike = |one: String, other: String| {
        let shorter = one.chars().count().min(other.chars().count());
        // What differs in a number differs on purpose: the last 7 and the last 28 days.
        let letters = |text: &str| text.chars().filter(|c| !c.is_numeric()).collect::<String>();
        let same_words = letters(&one) == letters(&other) && one != other;
        let apart = match shorter {
            0..LEAST_LENGTH => 0,
            LEAST_LENGTH..LONG => 1,
            _ => 2,
        };
        !same_words && shorter > 0 && strsim::levenshtein(&one, &other) <= apart
    };
    alike(plain(&one.name), plain(&other.name)) || alike(plain(&one.label), plain(&other.label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::PropertyType;

    fn definition(name: &str, label: &str) -> PropertyDefinition {
        PropertyDefinition {
            name: name.into(),
            label: label.into(),
            property_type: PropertyType::String,
            field_type: "text".into(),
            group_name: "g".into(),
            description: "What it is".into(),
            options: Vec::new(),
            calculated: false,
            external_options: false,
            has_unique_value: false,
            read_only_value: false,
            hubspot_defined: false,
            hidden: false,
            archived: false,
            data_sensitivity: None,
            created_at: None,
            updated_at: None,
        }
    }

    #[test]
    fn near_duplicates_are_told_from_windows() {
        let of = |one: (&str, &str), other: (&str, &str)| {
            is_near_duplicate(&definition(one.0, one.1), &definition(other.0, other.1))
        };
        assert!(of(("lead_source", "A"), ("leadsource", "B")));
        assert!(of(("lead_scource", "A"), ("lead_source", "B")));
        assert!(of(("a", "Customer tier"), ("b", "customer Tier")));
        assert!(!of(("usage_days_7", "Days (7)"), ("usage_days_28", "Days (28)")));
        assert!(!of(("tier", "Tier"), ("tyre", "Tyre")));
    }

    #[test]
    fn what_is_wrong_is_said_in_sentences() {
        let mut odd = definition("tier__copy", "Tier");
        odd.description = " ".into();
        let other = definition("tier_copy", "Tiers");
        let said = findings(&odd, &[&odd, &other], 1_000, Some(3)).join("\n");
        for part in ["single underscores", "`_copy`", "No description", "3 of 1000", "`tier_copy`"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(
            findings(&other, &[&other], 0, Some(0)),
            ["The name ends in `_copy`, as if it were left over"]
        );
    }
}
