//! What the account has of its own making: labels, lists, object types; what a
//! write-back declares and the account lacks is created before it is needed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::config::{DeclaredLabel, LabelConfig, ListConfig};
use super::decide::Type;
use super::part::{Kind, Part, write_back_of};
use crate::hubspot::{Association, Client, ErrorKind, List, NewLabel, NewList, NewSchema};
use crate::load::config::WriteBackConfig;
use crate::load::error::{LoadError, While};
use crate::load::plan::PlannedDefinition;
use crate::load::properties;
use crate::objects::{AssociationType, ObjectType};

/// What a list is like before anything is sent.
pub(crate) enum ListState {
    There { id: String },
    ToCreate(PlannedDefinition),
}

fn fault(part: &Part, path: &str, problem: String) -> LoadError {
    LoadError::Settings {
        write_back: write_back_of(&part.name).to_owned(),
        path: path.to_owned(),
        problem,
    }
}

/// The associations by record and other record.
pub(crate) fn by_record(found: Vec<Association>) -> HashMap<i64, BTreeMap<i64, BTreeSet<Type>>> {
    let mut all: HashMap<i64, BTreeMap<i64, BTreeSet<Type>>> = HashMap::new();
    for one in found {
        let kind = (
            one.association.category.as_str().to_owned(),
            one.association.type_id,
            one.association.label,
        );
        all.entry(one.from.0).or_default().entry(one.to.0).or_default().insert(kind);
    }
    all
}

/// The label to create for a part, if one is.
///
/// # Errors
/// A label that the account lacks and the settings do not declare, or types
/// that cannot be associated.
pub(crate) async fn planned_label(
    client: &Client,
    part: &Part,
) -> Result<Option<PlannedDefinition>, LoadError> {
    let Kind::Associate { to, config } = &part.kind else { return Ok(None) };
    let types = association_types(client, part, to).await?;
    match (&config.label, wanted_type(part, &types)) {
        (_, Some(_)) => Ok(None),
        (Some(LabelConfig::Declared(declared)), None) => Ok(Some(PlannedDefinition {
            kind: "label".to_owned(),
            name: declared.name.clone(),
            label: declared.label.clone(),
        })),
        (label, None) => Err(fault(part, &format!("associate.{to}"), unknown(part, label, &types))),
    }
}

fn unknown(part: &Part, label: &Option<LabelConfig>, types: &[AssociationType]) -> String {
    let known: Vec<&str> = types.iter().filter_map(|kind| kind.label.as_deref()).collect();
    match label {
        None => format!("HubSpot has no association of {} with this type", part.object),
        Some(label) => format!(
            "The account has no label `{}` here (it has: {}): name one of these, or declare it with `{{ name, label }}`",
            label.label(),
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        ),
    }
}

async fn association_types(
    client: &Client,
    part: &Part,
    to: &ObjectType,
) -> Result<Vec<AssociationType>, LoadError> {
    client.association_types(&part.object, to).await.during("reading association labels")
}

/// The type that the part's links are to have.
fn wanted_type<'a>(part: &Part, types: &'a [AssociationType]) -> Option<&'a AssociationType> {
    types.iter().find(|kind| kind.label.as_deref() == part.label())
}

/// The association type to send, the label created first where it is declared
/// and `shown` in the plan.
pub(crate) async fn resolved_type(
    client: &Client,
    part: &Part,
    shown: &[PlannedDefinition],
    dry_run: bool,
) -> Result<AssociationType, LoadError> {
    let Kind::Associate { to, config } = &part.kind else {
        unreachable!("only associations have types")
    };
    let mut types = association_types(client, part, to).await?;
    if wanted_type(part, &types).is_none()
        && let Some(LabelConfig::Declared(declared)) = &config.label
        && shown.iter().any(|definition| definition.name == declared.name)
    {
        if dry_run {
            return Ok(AssociationType {
                category: crate::objects::AssociationCategory::UserDefined,
                type_id: 0,
                label: Some(declared.label.clone()),
            });
        }
        client
            .create_label(&part.object, to, &new_label(declared))
            .await
            .during("creating an association label")?;
        types = association_types(client, part, to).await?;
    }
    wanted_type(part, &types).cloned().ok_or_else(|| {
        fault(part, &format!("associate.{to}"), unknown(part, &config.label, &types))
    })
}

fn new_label(declared: &DeclaredLabel) -> NewLabel {
    NewLabel {
        name: declared.name.clone(),
        label: declared.label.clone(),
        inverse_label: declared.inverse_label.clone(),
    }
}

/// The list of a part, or what is to be created.
///
/// # Errors
/// A list that does not exist and is not declared, is of another object type,
/// or fills itself.
pub(crate) async fn list_state(
    client: &Client,
    part: &Part,
    list: &ListConfig,
) -> Result<ListState, LoadError> {
    let found = match (&list.id, &list.name) {
        (Some(id), _) => client.list(id).await,
        (None, name) => client.list_named(&part.object, name.as_deref().unwrap_or("")).await,
    };
    match found {
        Ok(found) => {
            check_list(part, &found)?;
            Ok(ListState::There { id: found.id })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => match (&list.name, list.create) {
            (Some(name), true) => Ok(ListState::ToCreate(PlannedDefinition {
                kind: "list".to_owned(),
                name: name.clone(),
                label: name.clone(),
            })),
            _ => Err(fault(
                part,
                "list",
                "The account has no such list: create it there, or write `create: true` beside its `name`".into(),
            )),
        },
        Err(error) => Err(error).during("looking for a list"),
    }
}

fn check_list(part: &Part, list: &List) -> Result<(), LoadError> {
    if list.processing_type.as_deref() == Some("DYNAMIC") {
        let why = format!(
            "List `{}` fills itself by its filters; only static lists take members",
            list.name
        );
        return Err(fault(part, "list", why));
    }
    // A custom type given by its full name has no id to compare with.
    let id = part.object.type_id();
    let is_id = id.starts_with(|c: char| c.is_ascii_digit());
    match list.object_type_id.as_deref() {
        Some(of) if is_id && of != id => {
            let why =
                format!("List `{}` is one of object type {of}, not of {}", list.name, part.object);
            Err(fault(part, "list", why))
        }
        _ => Ok(()),
    }
}

/// The list's id, the list created first where it is declared.
pub(crate) async fn resolved_list(
    client: &Client,
    part: &Part,
    list: &ListConfig,
    dry_run: bool,
) -> Result<String, LoadError> {
    match list_state(client, part, list).await? {
        ListState::There { id } => Ok(id),
        ListState::ToCreate(_) if dry_run => Ok(String::new()),
        ListState::ToCreate(definition) => {
            let new = NewList { name: definition.name, object: part.object.clone() };
            Ok(client.create_list(&new).await.during("creating a list")?.id)
        }
    }
}

/// The custom object type that a write-back declares, as a plan shows it.
pub(crate) fn planned_schema(config: &WriteBackConfig) -> Option<PlannedDefinition> {
    let schema = &config.create.as_ref()?.schema;
    Some(PlannedDefinition {
        kind: "object type".to_owned(),
        name: config.object.clone(),
        label: schema.plural.clone(),
    })
}

/// Creates the custom object type that a write-back declares, with all its
/// properties; their names.
pub(crate) async fn create_schema(
    client: &Client,
    write_back: &str,
    config: &WriteBackConfig,
) -> Result<BTreeSet<String>, LoadError> {
    let Some(create) = &config.create else { return Ok(BTreeSet::new()) };
    let (schema, doing) = (&create.schema, "creating an object type");
    let name = config.object.split_once('_').map_or(config.object.as_str(), |(_, name)| name);
    let key = match &config.match_by.key {
        crate::load::config::MatchKey::Unique(key) => vec![key.clone()],
        _ => Vec::new(),
    };
    let mut associated: BTreeSet<String> =
        config.associated_types().map(|object| wire_name(&object)).collect();
    let named = schema.associate.iter().filter_map(|name| ObjectType::parse(name).ok());
    associated.extend(named.map(|object| wire_name(&object)));
    let properties = properties::declared_properties(config);
    let names = properties.iter().map(|property| property.name.clone()).collect();
    let new = NewSchema {
        name: name.to_owned(),
        singular: schema.singular.clone(),
        plural: schema.plural.clone(),
        description: schema.description.clone(),
        primary_display_property: schema.display.clone(),
        required_properties: key,
        properties,
        associated_objects: associated.into_iter().collect(),
    };
    let made = client.create_schema(&new).await.during(doing)?;
    if made.fully_qualified_name.to_lowercase() != config.object.to_lowercase() {
        return Err(LoadError::Settings {
            write_back: write_back.to_owned(),
            path: "object".to_owned(),
            problem: format!(
                "HubSpot made the object type as `{}`: name it so (the number is the account's id)",
                made.fully_qualified_name
            ),
        });
    }
    Ok(names)
}

/// What HubSpot calls a type where a schema names its associates.
fn wire_name(object: &ObjectType) -> String {
    if object.is_custom() { object.name().to_owned() } else { object.singular().to_uppercase() }
}
