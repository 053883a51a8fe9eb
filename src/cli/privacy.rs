use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};

use super::args::{Common, PrivacyArgs, PrivacyCommand, PurgeArgs};
use super::failure::Failure;
use super::{output, project};
use crate::objects::ObjectType;
use crate::pipeline::{self, Outcome, PipelineError, Purged};

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
    output::print_batch(&batch(&purged), common.output)?;
    if purged.iter().all(|table| table.rows == 0) {
        eprintln!("No row was about {}", if args.ids.len() == 1 { "it" } else { "them" });
    }
    eprintln!(
        "Versions of the lake from before now can no longer be read. What HubSpot still shows of a \
         record comes back with the next sync: delete it there too"
    );
    Ok(Outcome::Succeeded)
}

fn batch(purged: &[Purged]) -> RecordBatch {
    let names: StringArray = purged.iter().map(|table| Some(table.table.as_str())).collect();
    let count = |get: fn(&Purged) -> u64| -> ArrayRef {
        Arc::new(purged.iter().map(|table| Some(get(table))).collect::<UInt64Array>())
    };
    RecordBatch::try_from_iter([
        ("table", Arc::new(names) as ArrayRef),
        ("rows_removed", count(|table| table.rows)),
        ("old_files_removed", count(|table| table.files)),
    ])
    .expect("columns of one length")
}
