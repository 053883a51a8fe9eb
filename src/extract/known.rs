//! What can be said of the tables that extracts fill before they have been
//! filled: from the settings, from what HubSpot gives every account, and from
//! the account's own definitions where they have been read.

use arrow::datatypes::SchemaRef;

use super::config::PropertySelection;
use super::error::ExtractError;
use super::mirror::MirrorSchema;
use super::object::ALWAYS;
use super::{associations, history, lists, reference};
use crate::objects::{ObjectType, PropertyDefinition, PropertyType, standard_properties};

/// What is known of a mirror that is yet to be filled.
#[derive(Clone, Debug)]
pub struct ExpectedMirror {
    /// Its columns, as far as they are known.
    pub schema: SchemaRef,
    /// Whether it will have no others.
    pub names_are_sure: bool,
    /// Whether each will have the type it has here.
    pub types_are_sure: bool,
}

/// The mirror that a selection makes. `always` names properties that are
/// extracted whatever the selection; `definitions` are those of the account,
/// where they have been read.
///
/// Without them, the properties that HubSpot gives every account are taken for
/// there, one that is named and is none of these is taken for text, and under
/// `all` or a glob the account may have any others.
///
/// # Errors
/// [`ExtractError::UnknownProperty`] for a name that the account does not have.
pub fn expected_mirror(
    object: &ObjectType,
    selection: &PropertySelection,
    always: &[String],
    definitions: Option<&[PropertyDefinition]>,
) -> Result<ExpectedMirror, ExtractError> {
    let own = [object.modified_property()].into_iter().chain(ALWAYS).map(str::to_owned);
    let always: Vec<String> = own.chain(always.iter().cloned()).collect();
    if let Some(definitions) = definitions {
        let selected = selection.select(object.name(), definitions, &always)?;
        let schema = MirrorSchema::new(object, selected).arrow();
        return Ok(ExpectedMirror { schema, names_are_sure: true, types_are_sure: true });
    }
    let mut assumed: Vec<PropertyDefinition> = standard_properties(object)
        .into_iter()
        .map(|(name, property_type)| definition(name, property_type))
        .collect();
    let named = selection.names();
    let foreign = |name: &&str| !assumed.iter().any(|definition| definition.name == **name);
    let foreign: Vec<_> = named.into_iter().filter(foreign).map(str::to_owned).collect();
    assumed.extend(foreign.iter().map(|name| definition(name, PropertyType::String)));
    let selected = selection.select(object.name(), &assumed, &always)?;
    Ok(ExpectedMirror {
        schema: MirrorSchema::new(object, selected).arrow(),
        names_are_sure: !selection.is_open(),
        types_are_sure: foreign.is_empty(),
    })
}

/// The columns of a table under `hubspot` that is no mirror; none for one that
/// is, or that hublake does not know.
pub fn other_table_schema(table: &str) -> Option<SchemaRef> {
    match table {
        associations::ASSOCIATIONS => Some(associations::schema()),
        history::PROPERTY_HISTORY => Some(history::schema()),
        lists::LIST_MEMBERSHIPS => Some(lists::schema()),
        other => reference::schema_of(other),
    }
}

pub(super) fn definition(name: &str, property_type: PropertyType) -> PropertyDefinition {
    PropertyDefinition {
        name: name.to_owned(),
        label: String::new(),
        property_type,
        field_type: String::new(),
        group_name: String::new(),
        description: String::new(),
        options: Vec::new(),
        calculated: false,
        external_options: false,
        has_unique_value: false,
        read_only_value: false,
        hubspot_defined: true,
        hidden: false,
        archived: false,
        data_sensitivity: None,
        created_at: None,
        updated_at: None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    fn patterns(names: &[&str]) -> PropertySelection {
        PropertySelection::Patterns(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn expected(selection: &PropertySelection) -> ExpectedMirror {
        expected_mirror(&ObjectType::CONTACTS, selection, &[], None).expect("nothing is unknown")
    }

    #[test]
    fn named_properties_are_all_there_will_be() {
        let mirror = expected(&patterns(&["firstname", "seats_bought"]));
        assert!(mirror.names_are_sure && !mirror.types_are_sure);
        for (name, there) in
            [("firstname", true), ("email", true), ("seats_bought", true), ("lastname", false)]
        {
            assert_eq!(mirror.schema.field_with_name(name).is_ok(), there, "{name}");
        }
        assert!(expected(&patterns(&["firstname"])).types_are_sure);
    }

    #[test]
    fn under_all_an_account_may_have_more() {
        for selection in [PropertySelection::All, patterns(&["usage_*"]), patterns(&["-hs_*"])] {
            let mirror = expected(&selection);
            assert!(!mirror.names_are_sure && mirror.types_are_sure, "{selection:?}");
        }
        let all = expected(&PropertySelection::All);
        let created = all.schema.field_with_name("createdate").expect("a standard property");
        assert!(matches!(created.data_type(), DataType::Timestamp(..)));
    }

    #[test]
    fn tables_besides_mirrors_have_their_columns() {
        for (table, column) in [
            ("associations", "from_id"),
            ("property_history", "value"),
            ("list_memberships", "record_id"),
            ("lists", "name"),
            ("owners", "email"),
            ("teams", "id"),
            ("pipelines", "label"),
            ("pipeline_stages", "pipeline_id"),
            ("properties", "field_type"),
            ("schemas", "object_type_id"),
        ] {
            let schema = other_table_schema(table).expect(table);
            assert!(schema.field_with_name(column).is_ok(), "{table} {column}");
            assert!(schema.field_with_name("_synced_at").is_ok(), "{table}");
        }
        assert!(other_table_schema("contacts").is_none());
    }
}
