//! One record's journey: what HubSpot holds, whom it is taken for, what the models
//! make of it, what the last plan decided and what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use serde_json::Value;

use super::asking::{Row, ask, texts};
use super::error::PipelineError;
use super::settings::Project;
use super::sources::open_sources;
use crate::extract::mirror_table;
use crate::lake::{Lake, TableName};
use crate::load;
use crate::objects::ObjectType;
use crate::transform::{Engine, Model, name_in_sql, quoted};

/// Merges that are followed from a record to the one it went into.
const LONGEST_CHAIN: usize = 50;
/// Former values, and writes, that are shown of a record.
const MOST_SHOWN: usize = 100;
/// Rows of one model that are shown of a record.
const MOST_MODEL_ROWS: usize = 20;

/// Which record is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordRef {
    /// By its id.
    Id(i64),
    /// By the value of a property: an email in any case, or a unique value.
    Value {
        /// The property.
        property: String,
        /// Its value.
        value: String,
    },
}

/// A record's journey, in the order in which things happen.
#[derive(Clone, Debug, Default)]
pub struct Journey {
    /// The record.
    pub id: i64,
    /// What has to be known first: merged, archived, vanished, never planned.
    pub notes: Vec<String>,
    /// What there is to say.
    pub steps: Vec<Step>,
}

/// A part of a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A value that the mirror holds; its label beside it.
    Record,
    /// A value of before, and what set it.
    History,
    /// Another record that it is associated with.
    Association,
    /// Whom it is taken for, and by what.
    Identity,
    /// A value of a model's row.
    Model,
    /// What the last stored plan decided, and why.
    Plan,
    /// What was sent to HubSpot, and what came of it.
    Write,
    /// Why HubSpot, or hublake before it, refused.
    Reject,
}

impl Part {
    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::History => "history",
            Self::Association => "association",
            Self::Identity => "identity",
            Self::Model => "model",
            Self::Plan => "plan",
            Self::Write => "write",
            Self::Reject => "reject",
        }
    }
}

/// One thing to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Of what.
    pub part: Part,
    /// A property, a table's column, a write-back's property.
    pub name: String,
    /// The value.
    pub value: Option<String>,
    /// What else there is to say: a label, a source, a reason.
    pub detail: Option<String>,
    /// When (UTC).
    pub at: Option<String>,
}

impl Journey {
    /// The steps as rows: `part`, `name`, `value`, `detail`, `at`.
    pub fn batch(&self) -> RecordBatch {
        batch(self.steps.iter())
    }

    /// The steps of a part.
    pub fn part(&self, part: Part) -> Vec<&Step> {
        self.steps.iter().filter(|step| step.part == part).collect()
    }

    fn say(&mut self, part: Part, name: &str, value: Option<String>, rest: [Option<String>; 2]) {
        let [detail, at] = rest;
        self.steps.push(Step { part, name: name.to_owned(), value, detail, at });
    }
}

/// Steps as rows: `part`, `name`, `value`, `detail`, `at`.
pub fn batch<'a>(steps: impl Iterator<Item = &'a Step> + Clone) -> RecordBatch {
    let column = |get: fn(&Step) -> Option<&str>| -> ArrayRef {
        Arc::new(steps.clone().map(get).collect::<StringArray>())
    };
    RecordBatch::try_from_iter_with_nullable([
        ("part", column(|step| Some(step.part.name())), false),
        ("name", column(|step| Some(&step.name)), false),
        ("value", column(|step| step.value.as_deref()), true),
        ("detail", column(|step| step.detail.as_deref()), true),
        ("at", column(|step| step.at.as_deref()), true),
    ])
    .expect("columns of one length")
}

/// What the lake knows of one record; HubSpot is not asked. None where the mirror
/// has no such record.
///
/// # Errors
/// The object type was never extracted, the mirror has no such property, or the lake
/// cannot be read.
pub async fn explain(
    project: &Project,
    lake: &Lake,
    object: &ObjectType,
    record: &RecordRef,
) -> Result<Option<Journey>, PipelineError> {
    let opened = open_sources(project, lake, |_| true).await?;
    let asker = Asker { engine: &opened.engine, lake, object };
    let found = asker.find(record).await?;
    let Some((first, others)) = found.split_first() else { return Ok(None) };
    let mut journey = Journey { id: *first, ..Journey::default() };
    if !others.is_empty() {
        let others = others.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        journey.notes.push(format!("Others have the same value: {others}"));
    }
    asker.follow_merges(&mut journey).await?;
    asker.record(&mut journey).await?;
    asker.history(&mut journey).await?;
    asker.associations(&mut journey).await?;
    let clusters = asker.identity(project, &mut journey).await?;
    asker.models(project, &clusters, &mut journey).await?;
    asker.plan(&mut journey).await?;
    asker.writes(&mut journey).await?;
    asker.rejects(&mut journey).await?;
    Ok(Some(journey))
}

struct Asker<'a> {
    engine: &'a Engine,
    lake: &'a Lake,
    object: &'a ObjectType,
}

impl Asker<'_> {
    /// What is planned, written and refused of the object type's records, and of
    /// what hangs on them.
    fn is_about_records(&self) -> String {
        let object = self.object.name();
        let parts = quoted(&format!("{object}."));
        format!("(object = {} or starts_with(object, {parts}))", quoted(object))
    }

    /// The records meant, the likeliest first.
    async fn find(&self, record: &RecordRef) -> Result<Vec<i64>, PipelineError> {
        let mirror = mirror_table(self.object);
        let Some(table) = self.lake.table(&mirror).await? else {
            return Err(PipelineError::NotExtracted { object: self.object.to_string() });
        };
        if let RecordRef::Value { property, .. } = record
            && table.schema().index_of(property).is_err()
        {
            let known = table.schema().fields().iter().map(|field| field.name().clone()).collect();
            let (object, property) = (self.object.to_string(), property.clone());
            return Err(PipelineError::NoProperty { object, property, known });
        }
        let condition = match record {
            RecordRef::Id(id) => format!("id = {id}"),
            RecordRef::Value { property, value } if property == "email" => {
                format!("lower(email) = {}", quoted(&value.trim().to_lowercase()))
            }
            RecordRef::Value { property, value } => {
                format!("cast({} as varchar) = {}", name_in_sql(property), quoted(value.trim()))
            }
        };
        // A merged record keeps its values; the one that lives is meant.
        let sql = format!(
            "select id from {mirror} where {condition} order by merged_into is not null, archived, id limit 4"
        );
        let found = ask(self.engine, &sql).await?;
        Ok(found.iter().filter_map(|row| row[0].as_ref()?.parse().ok()).collect())
    }

    /// Rows of a table; none where there is no such table yet.
    async fn ask(&self, table: &TableName, sql: &str) -> Result<Vec<Row>, PipelineError> {
        match self.lake.table(table).await? {
            Some(_) => ask(self.engine, sql).await,
            None => Ok(Vec::new()),
        }
    }

    async fn follow_merges(&self, journey: &mut Journey) -> Result<(), PipelineError> {
        let mirror = mirror_table(self.object);
        for _ in 0..LONGEST_CHAIN {
            let sql = format!("select merged_into from {mirror} where id = {}", journey.id);
            let rows = ask(self.engine, &sql).await?;
            let into = rows.first().and_then(|row| row[0].as_ref()?.parse::<i64>().ok());
            let Some(into) = into.filter(|into| *into != journey.id) else { break };
            journey.notes.push(format!("{} was merged into {into}", journey.id));
            journey.id = into;
        }
        Ok(())
    }

    async fn record(&self, journey: &mut Journey) -> Result<(), PipelineError> {
        let mirror = mirror_table(self.object);
        let labels = self.labels().await?;
        let schema = match self.lake.table(&mirror).await? {
            Some(table) => table.schema(),
            None => return Ok(()),
        };
        let (columns, list) = plain_columns(&schema);
        let sql = format!("select {list} from {mirror} where id = {}", journey.id);
        let rows = ask(self.engine, &sql).await?;
        let Some(row) = rows.first() else {
            journey.notes.push(format!("{} is not in the mirror", journey.id));
            return Ok(());
        };
        for (name, value) in columns.iter().zip(row).filter(|(_, value)| value.is_some()) {
            match (*name, value.as_deref()) {
                ("archived", Some("true")) => {
                    journey.notes.push("It is archived in HubSpot".to_owned());
                }
                ("_vanished_at", Some(at)) => {
                    journey.notes.push(format!("HubSpot shows it no longer, as of {at}"));
                }
                _ => {}
            }
            journey.say(Part::Record, name, value.clone(), [labels.get(*name).cloned(), None]);
        }
        Ok(())
    }

    /// What people in HubSpot see the properties called.
    async fn labels(&self) -> Result<BTreeMap<String, String>, PipelineError> {
        let table = TableName::hubspot("properties");
        let object = quoted(self.object.name());
        let sql = format!("select name, label from {table} where object_type = {object}");
        let rows = self.ask(&table, &sql).await?;
        Ok(rows.into_iter().filter_map(|row| Some((row[0].clone()?, row[1].clone()?))).collect())
    }

    async fn history(&self, journey: &mut Journey) -> Result<(), PipelineError> {
        let table = TableName::hubspot(crate::extract::PROPERTY_HISTORY);
        let sql = format!(
            "select property, value, concat_ws(' ', source_type, source_label, source_id), timestamp from {table} \
             where object_type = {} and id = {} order by timestamp desc limit {MOST_SHOWN}",
            quoted(self.object.name()),
            journey.id
        );
        for row in self.ask(&table, &sql).await? {
            let [name, value, source, at] = take(row);
            journey.say(Part::History, &name.unwrap_or_default(), value, [source, at]);
        }
        Ok(())
    }

    async fn associations(&self, journey: &mut Journey) -> Result<(), PipelineError> {
        let table = TableName::hubspot(crate::extract::ASSOCIATIONS);
        let sql = format!(
            "select to_type, to_id, label from {table} where from_type = {} and from_id = {} \
             order by 1, 2 limit {MOST_SHOWN}",
            quoted(self.object.name()),
            journey.id
        );
        for row in self.ask(&table, &sql).await? {
            let [name, value, label] = take(row);
            journey.say(Part::Association, &name.unwrap_or_default(), value, [label, None]);
        }
        Ok(())
    }

    /// Who it is taken for, in each model that says so; the clusters' ids.
    async fn identity(
        &self,
        project: &Project,
        journey: &mut Journey,
    ) -> Result<BTreeSet<String>, PipelineError> {
        let mut clusters = BTreeSet::new();
        let record = quoted(&format!("{}:{}", self.object.singular(), journey.id));
        for model in project.graph.in_order().filter(|model| model.is_identity()) {
            let (table, name) = (TableName::model(model.name()), model.name());
            let own = format!("select cluster_id from {name} where record = {record}");
            let rows = self.ask(&table, &own).await?;
            let Some(cluster) = rows.into_iter().find_map(|row| row[0].clone()) else { continue };
            journey.say(
                Part::Identity,
                name,
                Some(cluster.clone()),
                [Some("its cluster".into()), None],
            );
            let sql = project.models.get(name).map(|definition| definition.sql.trim_end());
            let edges = sql.unwrap_or_default().trim_end_matches(';');
            let mates = format!(
                "select members.record, string_agg(distinct concat(edges.kind, ' ', edges.identifier), ', ') \
                 from {name} as members left join ({edges}\n) as edges on edges.record = members.record \
                 where members.cluster_id = {cluster} group by 1 order by 1 limit {MOST_SHOWN}"
            );
            for row in self.ask(&table, &mates).await? {
                let [member, by] = take(row);
                journey.say(Part::Identity, name, member, [by, None]);
            }
            let excluded = TableName::model(format!("{name}_excluded"));
            let sql = format!(
                "select concat(kind, ' ', identifier), concat_ws(': ', reason, detail) from {excluded} \
                 where record = {record} order by 1"
            );
            for row in self.ask(&excluded, &sql).await? {
                let [edge, why] = take(row);
                let why = format!("joins nobody: {}", why.unwrap_or_default());
                journey.say(Part::Identity, name, edge, [Some(why), None]);
            }
            clusters.insert(cluster);
        }
        Ok(clusters)
    }

    /// The rows of models that bear the record's id, or that of its cluster.
    async fn models(
        &self,
        project: &Project,
        clusters: &BTreeSet<String>,
        journey: &mut Journey,
    ) -> Result<(), PipelineError> {
        for model in project.graph.in_order().filter(|model| !model.is_identity()) {
            let name = model.name();
            // A model that cannot be read has no rows to show; a build says why.
            let Ok(schema) = self.engine.model_schema(name).await else { continue };
            let (columns, list) = plain_columns(&schema);
            let Some(condition) = self.bears(project, model, &columns, clusters, journey.id) else {
                continue;
            };
            let sql =
                format!("select {list} from {name} where {condition} limit {MOST_MODEL_ROWS}");
            for (nth, row) in ask(self.engine, &sql).await?.into_iter().enumerate() {
                let place = if nth == 0 { String::new() } else { format!(" ({})", nth + 1) };
                for (column, value) in columns.iter().zip(row) {
                    let what = format!("{name}.{column}{place}");
                    journey.say(Part::Model, &what, value, [None, None]);
                }
            }
        }
        Ok(())
    }

    /// How a model's rows say whose they are; none where they do not.
    fn bears(
        &self,
        project: &Project,
        model: &Model,
        columns: &[&str],
        clusters: &BTreeSet<String>,
        id: i64,
    ) -> Option<String> {
        let has = |name: &str| columns.contains(&name);
        let own = format!("{}_id", self.object.singular());
        let written = project.pipelines.iter().filter_map(|pipeline| {
            let write_back = pipeline.write_back.get(model.name())?;
            let is_ours = write_back.object_type().as_ref() == Ok(self.object);
            let by_id = write_back.match_by.key == load::MatchKey::RecordId;
            (is_ours && by_id).then(|| write_back.match_by.column.clone())
        });
        let by_id = written.chain([own]).find(|name| has(name));
        let by_id = by_id.map(|name| format!("cast({} as varchar) = '{id}'", name_in_sql(&name)));
        let by_cluster = ["cluster_id", "customer_id"].into_iter().find(|name| has(name));
        let by_cluster = by_cluster.filter(|_| !clusters.is_empty()).map(|name| {
            let clusters = clusters.iter().map(|id| quoted(id)).collect::<Vec<_>>().join(", ");
            format!("cast({} as varchar) in ({clusters})", name_in_sql(name))
        });
        match (by_id, by_cluster) {
            (Some(one), Some(other)) => Some(format!("{one} or {other}")),
            (one, other) => one.or(other),
        }
    }

    /// What the last stored plan of each write-back decided.
    async fn plan(&self, journey: &mut Journey) -> Result<(), PipelineError> {
        let table = TableName::system("plans");
        let about = self.is_about_records();
        let sql = format!(
            "select write_back, max(run_id), max(planned_at) from {table} where {about} group by 1 order by 1"
        );
        let before = journey.steps.len();
        for row in self.ask(&table, &sql).await? {
            let [write_back, run, at] = take(row);
            let (write_back, run) = (write_back.unwrap_or_default(), run.unwrap_or_default());
            let condition = format!(
                "{about} and write_back = {} and record_id = {}",
                quoted(&write_back),
                journey.id
            );
            let lines = load::plan_lines(self.lake, &run, Some(&condition)).await?;
            for (nth, line) in texts(lines).await?.into_iter().enumerate() {
                let [_, _, action, _, _, property, old, new, _, decision, _, reason] = take(line);
                if nth == 0 {
                    let action = action.unwrap_or_default();
                    let detail = format!("{action}, in the plan of run {run}");
                    journey.say(Part::Plan, &write_back, Some(action), [Some(detail), at.clone()]);
                }
                let why = [decision, reason].into_iter().flatten().collect::<Vec<_>>().join(": ");
                let (name, value) = match property {
                    Some(property) => {
                        let shown = |value: Option<String>| value.unwrap_or("(empty)".to_owned());
                        let value = format!("{} → {}", shown(old), shown(new));
                        (format!("{write_back}.{property}"), Some(value))
                    }
                    None if why.is_empty() => continue,
                    None => (write_back.clone(), None),
                };
                journey.say(Part::Plan, &name, value, [Some(why), at.clone()]);
            }
        }
        if journey.steps.len() == before {
            let text = "The last stored plans do not name it: nothing of it would change";
            journey.notes.push(text.to_owned());
        }
        Ok(())
    }

    async fn writes(&self, journey: &mut Journey) -> Result<(), PipelineError> {
        let table = TableName::system("writes");
        let sql = format!(
            "select write_back, outcome, properties, message, written_at, run_id from {table} \
             where {} and record_id = {} order by stamp desc limit {MOST_SHOWN}",
            self.is_about_records(),
            journey.id
        );
        for row in self.ask(&table, &sql).await? {
            let [write_back, outcome, properties, message, at, run] = take(row);
            let name = write_back.unwrap_or_default();
            let detail = [message, run.map(|run| format!("run {run}"))];
            let detail = detail.into_iter().flatten().collect::<Vec<_>>().join("; ");
            journey.say(Part::Write, &name, outcome, [Some(detail), at.clone()]);
            for (property, sent) in object_of(properties.as_deref()) {
                // What HubSpot answered besides was not sent.
                let Some(new) = sent.get("new") else { continue };
                let before = sent["old"].as_str().map(|old| format!("before: {old}"));
                let value = new.as_str().map(str::to_owned);
                journey.say(
                    Part::Write,
                    &format!("{name}.{property}"),
                    value,
                    [before, at.clone()],
                );
            }
        }
        Ok(())
    }

    async fn rejects(&self, journey: &mut Journey) -> Result<(), PipelineError> {
        let table = TableName::system("rejects");
        let sql = format!(
            "select write_back, status, message, last_seen from {table} \
             where {} and (record_id = {id} or match_key = '{id}') order by last_seen desc",
            self.is_about_records(),
            id = journey.id
        );
        for row in self.ask(&table, &sql).await? {
            let [write_back, status, message, at] = take(row);
            journey.say(Part::Reject, &write_back.unwrap_or_default(), status, [message, at]);
        }
        Ok(())
    }
}

/// The columns that have a text, by name and as a list for SQL. A map has none; what
/// a mirror's rescues stands in its columns' place.
fn plain_columns(schema: &Schema) -> (Vec<&str>, String) {
    let fields = schema.fields().iter().filter(|field| !field.data_type().is_nested());
    let columns: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
    let list = columns.iter().map(|name| name_in_sql(name)).collect::<Vec<_>>().join(", ");
    (columns, list)
}

fn take<const N: usize>(row: Row) -> [Option<String>; N] {
    let mut values = row.into_iter();
    std::array::from_fn(|_| values.next().flatten())
}

/// The members of an object written as JSON.
fn object_of(text: Option<&str>) -> serde_json::Map<String, Value> {
    match text.map(serde_json::from_str) {
        Some(Ok(Value::Object(members))) => members,
        _ => serde_json::Map::new(),
    }
}
