use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

use super::args::{Common, Format, PropertiesArgs, PropertiesCommand};
use super::failure::Failure;
use super::{output, project, stop};
use crate::load::AuditedProperty;
use crate::objects::ObjectType;
use crate::pipeline::{self, DeclaredProperties, Outcome, Session};

/// Plans, makes or looks over properties.
pub(super) async fn run(args: &PropertiesArgs, common: &Common) -> Result<Outcome, Failure> {
    let project = project::load(common)?;
    match &args.command {
        PropertiesCommand::Plan => {
            let client = pipeline::connect(&project)?;
            pipeline::check_account(&project, &client).await?;
            let declared = pipeline::plan_properties(&project, &client).await?;
            advise(&declared, common);
            show(&declared, common, "hublake properties apply")?;
        }
        PropertiesCommand::Apply => {
            let session = Session::open(&project, stop::on_interrupt()).await?;
            let made = pipeline::make_properties(&session).await?;
            session.close().await?;
            show(&made, common, "")?;
        }
        PropertiesCommand::Audit { objects } => {
            let objects = objects
                .iter()
                .map(|name| ObjectType::parse(name))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| Failure::new(Outcome::Usage, error.to_string()))?;
            let client = pipeline::connect(&project)?;
            pipeline::check_account(&project, &client).await?;
            let lake = project::open_lake(&project).await?;
            let audited = pipeline::audit_properties(&project, &lake, &client, &objects).await?;
            output::print_batch(&audit_batch(&audited), common.output)?;
        }
    }
    Ok(Outcome::Succeeded)
}

fn advise(declared: &[DeclaredProperties], common: &Common) {
    if common.quiet {
        return;
    }
    for of in declared {
        for (property, sentence) in &of.advice {
            eprintln!("! `{}` of write-back `{}`: {sentence}", property, of.write_back);
        }
    }
}

/// Prints what is to be made, or was.
fn show(declared: &[DeclaredProperties], common: &Common, next: &str) -> Result<(), Failure> {
    let mut lines: Vec<[String; 5]> = Vec::new();
    for of in declared {
        let line = |property: &str, what: &str, detail: String| {
            [of.object.clone(), property.to_owned(), what.to_owned(), detail, of.write_back.clone()]
        };
        let creates = of.plan.creates.iter();
        lines.extend(creates.map(|new| {
            let detail = format!("{}, group {}: {}", new.property_type, new.group, new.label);
            line(&new.name, "create", detail)
        }));
        let options = of.plan.options.iter();
        lines.extend(options.map(|new| line(&new.property, "add options", new.values.join(", "))));
    }
    if lines.is_empty() && common.output == Format::Table {
        eprintln!("The account has every property and option that the write-backs declare");
        return Ok(());
    }
    let column = |at: usize| {
        Arc::new(lines.iter().map(|line| Some(&line[at])).collect::<StringArray>()) as ArrayRef
    };
    let names = ["object", "property", "change", "detail", "write_back"];
    let columns = names.iter().enumerate().map(|(at, name)| (*name, column(at), true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns)
        .expect("every line has a text for every column");
    output::print_batch(&batch, common.output)?;
    if !next.is_empty() && !common.quiet {
        eprintln!("next: `{next}` makes them; a run makes those that its write-backs need");
    }
    Ok(())
}

fn audit_batch(audited: &[AuditedProperty]) -> RecordBatch {
    let text = |get: fn(&AuditedProperty) -> Option<String>| {
        Arc::new(audited.iter().map(get).collect::<StringArray>()) as ArrayRef
    };
    let time = |get: fn(&AuditedProperty) -> Option<i64>| {
        let times = audited.iter().map(get).collect::<TimestampMicrosecondArray>();
        Arc::new(times.with_timezone("UTC")) as ArrayRef
    };
    let rate = |of: &AuditedProperty| {
        let share = of.filled? as f64 / of.records.max(1) as f64;
        Some((share * 1_000.0).round() / 10.0)
    };
    let columns = [
        ("object", text(|of| Some(of.object.clone()))),
        ("property", text(|of| Some(of.name.clone()))),
        ("label", text(|of| Some(of.label.clone()))),
        ("write_back", text(|of| of.write_back.clone())),
        (
            "filled_percent",
            Arc::new(audited.iter().map(rate).collect::<Float64Array>()) as ArrayRef,
        ),
        ("last_written_by_hublake", time(|of| of.last_written)),
        ("definition_changed", time(|of| of.changed_at)),
        ("findings", text(|of| Some(of.findings.join("; ")).filter(|text| !text.is_empty()))),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns)
        .expect("every column has a value for every property")
}
