//! The emulator against recorded exchanges of the real service.

use std::path::PathBuf;

use hublake::emulator::{ReplayReport, Replayed, Verdict, replay};

async fn replayed(name: &str) -> ReplayReport {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/recordings").join(name);
    replay(&path).await.expect("a file of recorded exchanges")
}

fn lines(report: &ReplayReport, wanted: impl Fn(&Verdict) -> bool) -> Vec<&Replayed> {
    report.exchanges.iter().filter(|exchange| wanted(&exchange.verdict)).collect()
}

#[tokio::test]
async fn the_recorded_exchanges_come_out_the_same() {
    let report = replayed("captaincontrat_v3_v4.jsonl").await;
    let different = lines(&report, |verdict| matches!(verdict, Verdict::Different { .. }));
    assert!(different.is_empty(), "{different:#?}");
    assert_eq!(report.same, 102);

    // Conversations are no part of what hublake needs.
    let strange = lines(&report, |verdict| *verdict == Verdict::NotImitated);
    assert!(strange.iter().all(|exchange| exchange.path.starts_with("/conversations/")));
    assert_eq!(strange.len(), 2);

    // Three pages begin before the cursor they are said to answer.
    let odd = lines(&report, |verdict| matches!(verdict, Verdict::Contradictory { .. }));
    assert_eq!(odd.iter().map(|exchange| exchange.line).collect::<Vec<_>>(), [22, 23, 24]);
}

#[tokio::test]
async fn the_kept_bodies_come_out_the_same() {
    let report = replayed("dlt_v3.jsonl").await;
    let different = lines(&report, |verdict| matches!(verdict, Verdict::Different { .. }));
    // The one body was cut by hand: it lacks `lastmodifieddate`, which every
    // other recording of contacts has.
    let [cut] = different.as_slice() else { panic!("{different:#?}") };
    let expected = "[].properties.lastmodifieddate is not in the recording";
    let Verdict::Different { differences } = &cut.verdict else { unreachable!() };
    assert!(matches!(differences.as_slice(), [one] if one.ends_with(expected)), "{differences:?}");
    assert_eq!(report.same, 6);
}

#[tokio::test]
async fn every_observed_row_comes_out_the_same() {
    let report = replayed("observed_rows.jsonl").await;
    let different = lines(&report, |verdict| matches!(verdict, Verdict::Different { .. }));
    assert!(different.is_empty(), "{different:#?}");
    assert_eq!(report.same, report.exchanges.len());
}

/// Whatever recordings lie beside the repository, files nobody here has seen
/// among them: told, and held to what the committed ones are held to.
#[tokio::test]
async fn recordings_beside_the_repository_are_replayed() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/hubspot-recordings");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: there is no `{}`", folder.display());
        return;
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    for path in paths.filter(|path| path.extension().is_some_and(|kind| kind == "jsonl")) {
        let report = replay(&path).await.expect("a readable file");
        println!(
            "{}: {} same, {} different, {} not imitated, {} contradictory",
            path.display(),
            report.same,
            report.different,
            report.not_imitated,
            report.contradictory
        );
        assert_eq!(report.unreadable, 0, "{}", path.display());
        // One recording in a hundred may be cut by hand.
        assert!(report.different <= 1 + report.same / 100, "{}", path.display());
    }
}
