//! The properties that write-backs declare, on their own: planned, made, and
//! all of an object's looked over.

use std::collections::BTreeMap;

use super::error::PipelineError;
use super::session::Session;
use super::settings::Project;
use super::writing::in_order;
use crate::hubspot::Client;
use crate::lake::Lake;
use crate::load::{self, AuditedProperty, PropertyPlan};
use crate::objects::ObjectType;

/// What one write-back declares and the account lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredProperties {
    /// The write-back.
    pub write_back: String,
    /// Its object type.
    pub object: String,
    /// What is to be made.
    pub plan: PropertyPlan,
    /// What the declarations leave to be wished for: property, sentence.
    pub advice: Vec<(String, String)>,
}

/// Compares what all write-backs declare with what the account has.
///
/// # Errors
/// A declaration that clashes with the account's property, or HubSpot.
pub async fn plan_properties(
    project: &Project,
    client: &Client,
) -> Result<Vec<DeclaredProperties>, PipelineError> {
    let mut known = BTreeMap::new();
    let mut declared = Vec::new();
    for (write_back, config, object) in project.pipelines.iter().flat_map(in_order) {
        if !known.contains_key(&object) {
            known.insert(object.clone(), client.properties(&object, false).await?);
        }
        declared.push(DeclaredProperties {
            write_back: write_back.to_owned(),
            object: object.name().to_owned(),
            plan: load::plan_properties(write_back, config, &known[&object])?,
            advice: load::property_advice(config),
        });
    }
    Ok(declared)
}

/// Makes what all write-backs declare and the account lacks; what was made.
///
/// # Errors
/// As [`plan_properties`]; what was made before stays, and a repeat goes on.
pub async fn make_properties(
    session: &Session<'_>,
) -> Result<Vec<DeclaredProperties>, PipelineError> {
    // Every clash is found before anything is made.
    let planned = plan_properties(session.project, &session.client).await?;
    let mut all = session.project.pipelines.iter().flat_map(in_order);
    for declared in planned.iter().filter(|declared| !declared.plan.is_empty()) {
        let own = |(name, _, object): &(&str, _, ObjectType)| {
            *name == declared.write_back && object.name() == declared.object
        };
        let Some((_, config, object)) = all.find(own) else { continue };
        load::make_properties(&session.lake, &session.client, &object, config, &declared.plan)
            .await?;
    }
    Ok(planned)
}

/// Looks over the properties of every object that a pipeline writes to, or of
/// those named.
///
/// # Errors
/// HubSpot or the lake cannot be read.
pub async fn audit_properties(
    project: &Project,
    lake: &Lake,
    client: &Client,
    objects: &[ObjectType],
) -> Result<Vec<AuditedProperty>, PipelineError> {
    let mut owners: BTreeMap<ObjectType, BTreeMap<String, String>> = BTreeMap::new();
    for (write_back, config, object) in project.pipelines.iter().flat_map(in_order) {
        let names = config.properties.keys().map(|name| (name.clone(), write_back.to_owned()));
        owners.entry(object).or_default().extend(names);
    }
    for object in objects {
        owners.entry(object.clone()).or_default();
    }
    let mut audited = Vec::new();
    for (object, owners) in owners {
        if objects.is_empty() || objects.contains(&object) {
            let definitions = client.properties(&object, false).await?;
            audited.extend(load::audit_properties(lake, &object, &definitions, &owners).await?);
        }
    }
    Ok(audited)
}
