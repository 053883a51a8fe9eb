//! What a pipeline wants of the account: its settings, and those of the other
//! pipelines where they share a table, against what the account has.

use std::collections::{BTreeMap, BTreeSet};

use super::error::PipelineError;
use super::settings::{PipelineConfig, Project};
use crate::extract::{
    AssociationSelection, AssociationTarget, CustomObject, ExtractConfig, ExtractObjectConfig,
    ListsConfig,
};
use crate::hubspot::{self, Client, ObjectSchema};
use crate::objects::ObjectType;

/// One object to extract and what is needed of it.
#[derive(Clone, Debug)]
pub struct ObjectJob {
    /// The object type.
    pub object: ObjectType,
    /// What the settings ask for.
    pub config: ExtractObjectConfig,
    /// Properties that write-backs set or match by.
    pub always: Vec<String>,
    /// Whether the type is named somewhere, and its absence thus a failure.
    pub named: bool,
    /// The types whose associations are wanted.
    pub targets: Vec<AssociationTarget>,
}

/// Everything to extract.
#[derive(Debug)]
pub struct Wanted {
    /// Objects, in order of name.
    pub jobs: Vec<ObjectJob>,
    /// Lists, where they are asked for.
    pub lists: Option<ListsConfig>,
    /// The account's own object types.
    pub schemas: Schemas,
    /// Whether some pipeline reads custom types that nobody names.
    pub is_all: bool,
}

/// The account's own object types.
#[derive(Debug)]
pub enum Schemas {
    /// Nothing needs them.
    NotAsked,
    /// All of them, deleted ones too.
    Read(Vec<ObjectSchema>),
    /// They could not be read.
    Failed {
        /// Why.
        error: hubspot::Error,
        /// Whether a model reads them.
        needed: bool,
    },
}

impl Schemas {
    pub(super) async fn read(client: &Client, needed: bool) -> Self {
        let read = async {
            let mut schemas = client.schemas(false).await?;
            schemas.extend(client.schemas(true).await?);
            Ok(schemas)
        };
        match read.await {
            Ok(schemas) => Self::Read(schemas),
            Err(error) => Self::Failed { error, needed },
        }
    }

    /// The types that are in use.
    pub(super) fn customs(&self) -> Vec<CustomObject> {
        let Self::Read(schemas) = self else { return Vec::new() };
        let present = schemas.iter().filter(|schema| !schema.archived);
        let custom = |schema: &ObjectSchema| {
            let by_id = schema.object_type_id.as_deref().map(ObjectType::parse);
            Some(CustomObject {
                by_name: ObjectType::parse(&schema.fully_qualified_name).ok()?,
                by_id: by_id.and_then(Result::ok),
            })
        };
        present.filter_map(custom).collect()
    }
}

/// What some pipelines want of the account.
///
/// A mirror is shared by every pipeline of the project, so each object is read
/// with what all of them ask of it, and with whatever their write-backs need:
/// otherwise the pipelines would take turns emptying each other's columns.
///
/// # Errors
/// An object in `only` that none of the pipelines extracts.
pub async fn wanted(
    project: &Project,
    client: &Client,
    pipelines: &[&PipelineConfig],
    only: &[String],
) -> Result<Wanted, PipelineError> {
    let needed = reads_schemas(project);
    let is_asked = needed || project.pipelines.iter().any(|p| p.extract.wants_schemas());
    let schemas = if is_asked { Schemas::read(client, needed).await } else { Schemas::NotAsked };
    let jobs = jobs(project, pipelines, &schemas.customs());
    let is_all = project.pipelines.iter().any(|p| p.extract.all.is_some());
    Ok(Wanted { jobs: restrict(jobs, only)?, lists: lists(project, pipelines), schemas, is_all })
}

/// Whether names given on the command line can be objects of these pipelines,
/// as far as that can be said without the account.
///
/// # Errors
/// One that none of the pipelines extracts.
pub fn check_names(pipelines: &[&PipelineConfig], only: &[String]) -> Result<(), PipelineError> {
    for name in only {
        let object = ObjectType::parse(name);
        let takes = |object: &ObjectType| pipelines.iter().any(|p| p.extract.takes(object));
        if !object.is_ok_and(|object| takes(&object)) {
            let wanted = pipelines.iter().flat_map(|p| p.extract.wanted(&[]));
            let known: BTreeSet<String> =
                wanted.map(|wanted| wanted.object.name().to_owned()).collect();
            return Err(unknown(name, known.into_iter().collect()));
        }
    }
    Ok(())
}

fn unknown(name: &str, known: Vec<String>) -> PipelineError {
    PipelineError::Unknown { kind: "object under `extract:`", name: name.to_owned(), known }
}

fn reads_schemas(project: &Project) -> bool {
    project
        .graph
        .in_order()
        .any(|model| model.tables_of("hubspot").any(|(table, _)| table == "schemas"))
}

fn lists(project: &Project, pipelines: &[&PipelineConfig]) -> Option<ListsConfig> {
    let is_asked = pipelines.iter().any(|p| p.extract.lists.is_some());
    let all = project.pipelines.iter().filter_map(|p| p.extract.lists).filter(|_| is_asked);
    all.reduce(|mut lists, other| {
        lists.extend(other);
        lists
    })
}

/// Every object that some pipelines read, with what all of them ask of it.
pub(super) fn jobs(
    project: &Project,
    pipelines: &[&PipelineConfig],
    customs: &[CustomObject],
) -> BTreeMap<ObjectType, ObjectJob> {
    let mut jobs: BTreeMap<ObjectType, ObjectJob> = BTreeMap::new();
    for wanted in project.pipelines.iter().flat_map(|p| p.extract.wanted(customs)) {
        let job = ObjectJob {
            object: wanted.object.clone(),
            config: wanted.config.clone(),
            always: Vec::new(),
            named: wanted.named,
            targets: Vec::new(),
        };
        jobs.entry(wanted.object)
            .and_modify(|known| {
                known.config.extend(&wanted.config);
                known.named |= wanted.named;
            })
            .or_insert(job);
    }
    for write_back in project.pipelines.iter().flat_map(|p| p.write_back.values()) {
        let Ok(object) = write_back.object_type() else { continue };
        if let Some(job) = jobs.get_mut(&object) {
            job.always.extend(write_back.hubspot_properties());
            job.named = true;
        }
    }
    drop_twins(&mut jobs, customs);
    let extracts = |object: &ObjectType| {
        pipelines.iter().any(|p: &&PipelineConfig| takes(&p.extract, object, customs))
    };
    jobs.retain(|object, _| extracts(object));
    let every: Vec<ObjectType> = jobs.keys().cloned().collect();
    for job in jobs.values_mut() {
        job.targets = targets(&job.config.associations, &every);
    }
    for write_back in project.pipelines.iter().flat_map(|p| p.write_back.values()) {
        let Ok(object) = write_back.object_type() else { continue };
        if let Some(job) = jobs.get_mut(&object) {
            add_targets(job, write_back.associated_types());
        }
    }
    jobs
}

/// Whether a section wants an object of this account.
fn takes(extract: &ExtractConfig, object: &ObjectType, customs: &[CustomObject]) -> bool {
    extract.names(object) || extract.wanted(customs).iter().any(|one| one.object == *object)
}

/// A custom type that one pipeline names by its id and another reads under `all`
/// is one type: the name it was given stays.
fn drop_twins(jobs: &mut BTreeMap<ObjectType, ObjectJob>, customs: &[CustomObject]) {
    for custom in customs {
        let by_id = custom.by_id.as_ref().filter(|by_id| jobs.contains_key(by_id));
        if by_id.is_some() && jobs.get(&custom.by_name).is_some_and(|job| !job.named) {
            jobs.remove(&custom.by_name);
        }
    }
}

fn targets(selection: &AssociationSelection, every: &[ObjectType]) -> Vec<AssociationTarget> {
    match selection {
        AssociationSelection::All => {
            every.iter().map(|to| AssociationTarget { to: to.clone(), named: false }).collect()
        }
        // `check` has refused names that are no object types.
        AssociationSelection::Types(names) => {
            let types = names.iter().filter_map(|name| ObjectType::parse(name).ok());
            types.map(|to| AssociationTarget { to, named: true }).collect()
        }
    }
}

/// Associations that a write-back makes are read whatever the settings ask for.
fn add_targets(job: &mut ObjectJob, types: impl Iterator<Item = ObjectType>) {
    for to in types {
        match job.targets.iter_mut().find(|target| target.to == to) {
            Some(target) => target.named = true,
            None => job.targets.push(AssociationTarget { to, named: true }),
        }
    }
}

fn restrict(
    mut jobs: BTreeMap<ObjectType, ObjectJob>,
    only: &[String],
) -> Result<Vec<ObjectJob>, PipelineError> {
    let known: Vec<String> = jobs.keys().map(|object| object.name().to_owned()).collect();
    let mut wanted = BTreeSet::new();
    for name in only {
        match ObjectType::parse(name).ok().and_then(|object| jobs.get_mut(&object)) {
            Some(job) => {
                job.named = true;
                wanted.insert(job.object.clone());
            }
            None => return Err(unknown(name, known)),
        }
    }
    jobs.retain(|object, _| wanted.is_empty() || wanted.contains(object));
    Ok(jobs.into_values().collect())
}
