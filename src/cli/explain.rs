//! `hublake explain`: one record's journey.

use super::args::{Common, ExplainArgs, Format};
use super::failure::Failure;
use super::{output, project};
use crate::objects::ObjectType;
use crate::pipeline::{self, Journey, Outcome, Part, RecordRef, Step};

/// Characters of a value that a table shows; the other forms have it whole.
const LONGEST_VALUE: usize = 120;

/// The parts as a person reads them, each with its heading.
const PARTS: [(Part, &str); 8] = [
    (Part::Record, "In HubSpot, as of the last sync"),
    (Part::History, "Former values, newest first"),
    (Part::Association, "Associated with"),
    (Part::Identity, "Whom it is taken for"),
    (Part::Model, "What the models make of it"),
    (Part::Plan, "What the last plan decided"),
    (Part::Write, "What was written, newest first"),
    (Part::Reject, "What was refused"),
];

/// Shows what the lake knows of one record; HubSpot is not called.
pub(super) async fn run(args: &ExplainArgs, common: &Common) -> Result<Outcome, Failure> {
    let object =
        ObjectType::parse(&args.object).map_err(|error| Failure::new(Outcome::Usage, error))?;
    let record = reference(args)?;
    let project = project::load(common)?;
    let lake = project::open_lake(&project).await?;
    let journey = pipeline::explain(&project, &lake, &object, &record).await?;
    let Some(journey) = journey else {
        let text = format!("The mirror has no record `{}` of `{object}`", args.record);
        return Err(Failure::new(Outcome::Failed, text).advise(
            "is the id right, and of this object type? `hublake extract` brings in what is new",
        ));
    };
    match common.output {
        Format::Table => print(&object, &journey)?,
        form => output::print_batch(&journey.batch(), form)?,
    }
    Ok(Outcome::Succeeded)
}

fn reference(args: &ExplainArgs) -> Result<RecordRef, Failure> {
    let value = args.record.clone();
    match (&args.by, args.record.parse()) {
        (Some(property), _) => Ok(RecordRef::Value { property: property.clone(), value }),
        (None, Ok(id)) => Ok(RecordRef::Id(id)),
        (None, Err(_)) if args.record.contains('@') => {
            Ok(RecordRef::Value { property: "email".to_owned(), value })
        }
        (None, Err(_)) => {
            let text = format!("`{value}` is no record id and no email");
            let failure = Failure::new(Outcome::Usage, text);
            Err(failure.advise("say of which property it is the value: `--by PROPERTY`"))
        }
    }
}

/// A step as a person reads it: a value of many lines' length would drown the rest.
fn shortened(step: &Step) -> Step {
    let value = step.value.as_ref().map(|value| {
        let length = value.chars().count();
        if length <= LONGEST_VALUE {
            return value.clone();
        }
        let start: String = value.chars().take(LONGEST_VALUE).collect();
        format!("{start}… ({length} characters)")
    });
    Step { value, ..step.clone() }
}

fn print(object: &ObjectType, journey: &Journey) -> Result<(), Failure> {
    output::text(&format!("{} {}\n", object.singular(), journey.id))?;
    for note in &journey.notes {
        output::text(&format!("! {note}\n"))?;
    }
    for (part, heading) in PARTS {
        let steps = journey.part(part);
        if steps.is_empty() {
            continue;
        }
        output::text(&format!("\n{heading}\n"))?;
        let steps: Vec<Step> = steps.into_iter().map(shortened).collect();
        let batch = pipeline::journey_batch(steps.iter());
        // Columns that say something; the part is the heading.
        let says = |column: &usize| batch.column(*column).null_count() < batch.num_rows();
        let columns: Vec<usize> = (1..batch.num_columns()).filter(says).collect();
        let batch = batch.project(&columns).map_err(|e| Failure::new(Outcome::Failed, e))?;
        output::print_batch(&batch, Format::Table)?;
    }
    Ok(())
}
