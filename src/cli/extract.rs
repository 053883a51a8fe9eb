use super::args::{Common, ExtractArgs};
use super::bars::Bars;
use super::failure::Failure;
use super::{project, report, stop};
use crate::extract::SyncMode;
use crate::pipeline::{self, Mode, Outcome, RunResults, Session};

/// Reads HubSpot objects into the lake, and copies the sources that are to be copied.
pub(super) async fn run(args: &ExtractArgs, common: &Common) -> Result<Outcome, Failure> {
    report::check_form(common)?;
    let project = project::load(common)?;
    let pipelines: Vec<_> = project.pipelines.iter().collect();
    pipeline::check_names(&pipelines, &args.objects)?;
    let mode = if args.full { SyncMode::Full } else { SyncMode::Auto };
    let session = Session::open(&project, stop::on_interrupt()).await?;
    let bars = Bars::show(&session.progress, common);
    let mut results = RunResults::begin(
        &pipeline::new_run_id(),
        "extract",
        Mode::Extract,
        session.client.counts(),
    );
    let wanted = pipeline::wanted(&project, &session.client, &pipelines, &args.objects).await?;
    let extracted = pipeline::extract(&session, &wanted, mode).await;
    pipeline::keep_unread(&session, &results.run_id, &extracted).await?;
    if args.objects.is_empty() {
        let copied = pipeline::copy_sources(&session, args.full).await?;
        results.sources = copied.sources;
        for (outcome, sentence) in copied.problems {
            results.problem(outcome, sentence);
        }
    }
    drop(bars);
    results.objects = extracted.objects;
    for (outcome, sentence) in extracted.problems {
        results.problem(outcome, sentence);
    }
    results.finish(&session.client.counts());
    pipeline::record(&session.lake, &results, &[]).await?;
    report::print(&results, common)?;
    session.close().await?;
    Ok(results.status)
}
