use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};

use super::args::{Common, PrivacyArgs, PrivacyCommand, PurgeArgs};
use super::failure::Failure;
use super::{output, project};
use crate::objects::ObjectType;
use crate::pipeline::{self, Outcome, PipelineError, PurgeOutcome, Purged};

/// Privacy commands.
pub(super) async fn run(args: &PrivacyArgs, common: &Common) -> Result<Outcome, Failure> {
    let PrivacyCommand::Purge(args) = &args.command;
    purge(args, common).await
}

/// Removes records from the lake, all versions of it, and says from where.
async fn purge(args: &PurgeArgs, common: &Common) -> Result<Outcome, Failure> {
    let object =
        ObjectType::parse(&args.object).map_err(|error| Failure::new(Outcome::Usage, error))?;
    let project = project::load(common)?;
    let lake = project::open_lake(&project).await?;
    let lock = pipeline::lock(&lake).await?;
    let purged = pipeline::purge(&project, &lake, &object, &args.ids).await?;
    lock.release().await.map_err(PipelineError::from)?;
    output::print_batch(&batch(&purged.tables), common.output)?;
    tell(&purged, if args.ids.len() == 1 { "it" } else { "them" });
    Ok(if purged.unpublished.is_empty() { Outcome::Succeeded } else { Outcome::Failed })
}

/// What the table of figures does not say.
fn tell(purged: &PurgeOutcome, whom: &str) {
    if !purged.found && !purged.resumed {
        return eprintln!(
            "No row of the lake is about {whom}: nothing was changed. Is the id right, and of the \
             object type that `--object` names?"
        );
    }
    if !purged.found {
        eprintln!("No row was about {whom}; a purge that was cut before has been finished");
    }
    if !purged.rebuilt.is_empty() {
        eprintln!("Built anew from what is left: {}", purged.rebuilt.join(", "));
    }
    for (model, reason) in &purged.waiting {
        eprintln!(
            "Model `{model}` could not be built anew and waits for the next build, without the \
             person's rows: {reason}"
        );
    }
    for table in purged.tables.iter().filter(|table| table.mentions > 0) {
        let rows = if table.mentions == 1 { "row" } else { "rows" };
        eprintln!(
            "`{}`: {} {rows} of other records mention an address of theirs and stay; edit them in \
             HubSpot (`mentioned_in` lists ids)",
            table.table, table.mentions
        );
    }
    if !purged.unknown.is_empty() {
        eprintln!(
            "No model of the project makes these tables: only rows with the id or an address were \
             taken out. Remove their folders under `models/` if nothing reads them: {}",
            purged.unknown.join(", ")
        );
    }
    if !purged.published.is_empty() {
        eprintln!("Published again as Parquet: {}", purged.published.join(", "));
    }
    for (table, reason) in &purged.unpublished {
        eprintln!(
            "`{table}`: the Parquet published of it may still hold {whom} and could not be \
             replaced; purge again, or remove it: {reason}"
        );
    }
    eprintln!(
        "Versions of the lake from before now can no longer be read. What HubSpot or a source \
         outside the lake still shows of a record comes back with the next run: delete it there too"
    );
}

fn batch(purged: &[Purged]) -> RecordBatch {
    let names: StringArray = purged.iter().map(|table| Some(table.table.as_str())).collect();
    let mentioned_in: StringArray = purged.iter().map(|table| Some(listed(table))).collect();
    let count = |get: fn(&Purged) -> u64| -> ArrayRef {
        Arc::new(purged.iter().map(|table| Some(get(table))).collect::<UInt64Array>())
    };
    RecordBatch::try_from_iter([
        ("table", Arc::new(names) as ArrayRef),
        ("rows_removed", count(|table| table.rows)),
        ("cells_cleared", count(|table| table.cells)),
        ("old_files_removed", count(|table| table.files)),
        ("rows_mentioning", count(|table| table.mentions)),
        ("mentioned_in", Arc::new(mentioned_in)),
    ])
    .expect("columns of one length")
}

/// The ids of records that mention the person.
fn listed(table: &Purged) -> String {
    let mut ids = table.mentioned_in.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
    if !ids.is_empty() && table.mentions > table.mentioned_in.len() as u64 {
        ids.push_str(" …");
    }
    ids
}
