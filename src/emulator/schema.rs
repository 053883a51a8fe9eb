//! The properties of one object type.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::found::stamp;
use super::habits;
use super::moment;
use super::object_types::ObjectType;
use super::seed::draw::salt;
use super::seed::plan::{Kind, Make, Plan};
use super::seed::{extras, groups_of, plans_of};

/// Where a property stands in its catalogue. Slots are never reused.
pub(crate) type Slot = u16;

/// The usual `dataSensitivity`.
pub(crate) const NOT_SENSITIVE: &str = "non_sensitive";

/// One choice of an enumeration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Choice {
    pub(crate) label: String,
    pub(crate) value: String,
    pub(crate) description: String,
    pub(crate) hidden: bool,
}

/// A property's definition.
#[derive(Clone, Debug)]
pub(crate) struct Property {
    pub(crate) name: String,
    /// The name as a JSON key with its colon, written once per record.
    pub(crate) key: String,
    pub(crate) label: String,
    pub(crate) description: String,
    pub(crate) kind: Kind,
    pub(crate) field_type: String,
    pub(crate) group: String,
    pub(crate) options: Vec<Choice>,
    pub(crate) read_only: bool,
    /// Whether the service works it out.
    pub(crate) calculated: bool,
    pub(crate) unique: bool,
    pub(crate) custom: bool,
    /// Whether its values are owner ids.
    pub(crate) owner: bool,
    pub(crate) hidden: bool,
    pub(crate) form_field: bool,
    pub(crate) display_order: i64,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) archived: Option<i64>,
    /// What its values are worked out from, whenever they are read.
    pub(crate) formula: Option<String>,
    /// `non_sensitive`, `sensitive` or `highly_sensitive`.
    pub(crate) sensitivity: String,
    /// From when on records may use it.
    pub(crate) usable_from: i64,
    pub(crate) make: Make,
    pub(crate) salt: u64,
    /// What the account works out for every record it writes.
    pub(crate) filled_in: Option<String>,
}

impl Property {
    /// A property an account makes itself; everything else is at its default.
    pub(crate) fn new(name: &str, kind: Kind, field_type: &str, group: &str, now: i64) -> Self {
        Self {
            key: format!("{}:", json!(name)),
            name: name.to_owned(),
            label: name.to_owned(),
            description: String::new(),
            kind,
            field_type: field_type.to_owned(),
            group: group.to_owned(),
            options: Vec::new(),
            read_only: false,
            calculated: false,
            unique: false,
            custom: true,
            owner: false,
            hidden: false,
            form_field: false,
            display_order: -1,
            created: now,
            updated: now,
            archived: None,
            formula: None,
            sensitivity: NOT_SENSITIVE.to_owned(),
            usable_from: now,
            make: Make::Nothing,
            salt: salt(name),
            filled_in: None,
        }
    }

    fn from_plan(plan: &Plan, group: &str, born: i64) -> Self {
        let choice = |(value, label): &(&str, &str)| Choice {
            label: (*label).to_owned(),
            value: (*value).to_owned(),
            description: String::new(),
            hidden: false,
        };
        Self {
            label: plan.label.to_owned(),
            options: plan.options.iter().map(choice).collect(),
            read_only: plan.read_only,
            calculated: plan.calculated,
            hidden: plan.hidden,
            unique: plan.unique,
            custom: plan.custom,
            owner: matches!(plan.make, Make::Owner(_)),
            form_field: !plan.read_only,
            make: plan.make,
            ..Self::new(plan.name, plan.kind, plan.field_type, plan.group.unwrap_or(group), born)
        }
    }

    /// An option by any number; none if there are no options.
    pub(crate) fn option_at(&self, number: u64) -> Option<&str> {
        let at = number.checked_rem(self.options.len() as u64)?;
        Some(&self.options[at as usize].value)
    }

    /// Whether several values may stand in it, joined by `;`.
    pub(crate) fn holds_many(&self) -> bool {
        self.kind == Kind::Choice && self.field_type == "checkbox"
    }

    /// The definition as the properties API answers it.
    pub(crate) fn to_json(&self) -> Value {
        let options: Vec<Value> = self.options.iter().enumerate().map(option_json).collect();
        let changeable = self.custom && self.archived.is_none();
        let mut body = json!({
            "updatedAt": moment::exact(self.updated),
            "createdAt": moment::exact(self.created),
            "name": self.name,
            "label": self.label,
            "type": self.kind.wire(),
            "fieldType": self.field_type,
            "description": self.description,
            "groupName": self.group,
            "options": options,
            "displayOrder": self.display_order,
            "calculated": self.calculated || self.formula.is_some(),
            "externalOptions": self.owner,
            "hasUniqueValue": self.unique,
            "hidden": self.hidden,
            "modificationMetadata": {
                "archivable": changeable,
                "readOnlyDefinition": !self.custom,
                "readOnlyValue": self.read_only,
            },
            "formField": self.form_field,
            "dataSensitivity": self.sensitivity,
        });
        if let Some(formula) = &self.formula {
            body["calculationFormula"] = json!(formula);
        }
        if self.owner {
            body["referencedObjectType"] = json!("OWNER");
        }
        match self.custom {
            true => {
                // HubSpot's own definitions do not tell (recorded).
                body["archived"] = json!(self.archived.is_some());
                body["createdUserId"] = json!("5555888");
                body["updatedUserId"] = json!("5555888");
            }
            false => {
                body["hubspotDefined"] = json!(true);
                if !self.options.is_empty() {
                    body["modificationMetadata"]["readOnlyOptions"] = json!(true);
                }
            }
        }
        if let Some(at) = self.archived {
            body["archived"] = json!(true);
            body["archivedAt"] = json!(moment::exact(at));
        }
        body
    }
}

fn option_json((order, choice): (usize, &Choice)) -> Value {
    json!({
        "label": choice.label,
        "value": choice.value,
        "description": choice.description,
        "displayOrder": order,
        "hidden": choice.hidden,
    })
}

/// A folder of properties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) display_order: i64,
    pub(crate) archived: bool,
}

impl Group {
    /// The group as the properties API answers it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "label": self.label,
            "displayOrder": self.display_order,
            "archived": self.archived,
        })
    }
}

/// All properties and groups of one object type.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    properties: Vec<Property>,
    by_name: HashMap<String, Slot>,
    /// What tells this state of the properties from any other.
    pub(crate) state: u64,
    /// Each slot's place in the order of names, worked out when first asked.
    ranks: OnceLock<Vec<u16>>,
    pub(crate) groups: Vec<Group>,
    /// The created, modified and id properties, in that order.
    pub(crate) always: [Slot; 3],
}

impl Catalogue {
    /// What a fresh account has for a type, with `extra` custom properties
    /// beside.
    pub(crate) fn new(object_type: &ObjectType, extra: usize, born: i64) -> Self {
        let group = object_type.group();
        let mut catalogue = Self {
            properties: Vec::new(),
            by_name: HashMap::new(),
            state: stamp(),
            ranks: OnceLock::new(),
            groups: vec![Group {
                label: format!("{} information", object_type.singular),
                name: group.clone(),
                display_order: 0,
                archived: false,
            }],
            always: [0; 3],
        };
        let own = catalogue.groups[0].name.clone();
        let others = groups_of(&object_type.plural).filter(|(name, _)| *name != own);
        catalogue.groups.extend(others.enumerate().map(|(order, (name, label))| Group {
            name: name.to_owned(),
            label: label.to_owned(),
            display_order: order as i64 + 1,
            archived: false,
        }));
        for plan in plans_of(&object_type.plural) {
            catalogue.add(Property::from_plan(&plan, &group, born));
        }
        for property in habits::properties_of(&object_type.plural, &group, born) {
            if !catalogue.by_name.contains_key(&property.name) {
                catalogue.add(property);
            }
        }
        catalogue.add_missing(object_type, &group, born);
        let (groups, properties) = extras(extra, born);
        catalogue.groups.extend(groups);
        for property in properties {
            catalogue.add(property);
        }
        catalogue.always = [object_type.created, object_type.modified, "hs_object_id"]
            .map(|name| catalogue.by_name[name]);
        catalogue
    }

    /// Adds a property; an archived one of that name comes back to life in
    /// its old slot, with its old values.
    pub(crate) fn add(&mut self, property: Property) -> Slot {
        self.state = stamp();
        if let Some(slot) = self.by_name.get(&property.name) {
            self.properties[usize::from(*slot)] = property;
            return *slot;
        }
        let slot = self.properties.len() as Slot;
        self.by_name.insert(property.name.clone(), slot);
        self.ranks = OnceLock::new();
        self.properties.push(property);
        slot
    }

    /// The live property of a name.
    pub(crate) fn find(&self, name: &str) -> Option<(Slot, &Property)> {
        self.find_any(name).filter(|(_, property)| property.archived.is_none())
    }

    /// The property of a name, archived or not.
    pub(crate) fn find_any(&self, name: &str) -> Option<(Slot, &Property)> {
        let slot = *self.by_name.get(name)?;
        Some((slot, &self.properties[usize::from(slot)]))
    }

    /// The property of a name, to be changed.
    pub(crate) fn find_mut(&mut self, name: &str) -> Option<&mut Property> {
        let slot = *self.by_name.get(name)?;
        self.state = stamp();
        Some(&mut self.properties[usize::from(slot)])
    }

    /// The property in a slot.
    pub(crate) fn at(&self, slot: Slot) -> &Property {
        &self.properties[usize::from(slot)]
    }

    /// All slots with their properties, archived ones included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Property)> {
        self.properties.iter().enumerate().map(|(slot, property)| (slot as Slot, property))
    }

    /// Slots of the names that exist, in the order of their names, with the
    /// three that always come back. Unknown names are dropped without a word.
    pub(crate) fn select<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Slot> {
        let known = names.filter_map(|name| self.find(name)).map(|(slot, _)| slot);
        let mut slots: Vec<Slot> = known.chain(self.always).collect();
        let ranks = self.ranks.get_or_init(|| self.rank());
        slots.sort_unstable_by_key(|slot| ranks[usize::from(*slot)]);
        slots.dedup();
        slots
    }

    fn rank(&self) -> Vec<u16> {
        let mut order: Vec<Slot> = (0..self.properties.len() as Slot).collect();
        order.sort_unstable_by(|left, right| self.at(*left).name.cmp(&self.at(*right).name));
        let mut ranks = vec![0; order.len()];
        for (rank, slot) in order.into_iter().enumerate() {
            ranks[usize::from(slot)] = rank as u16;
        }
        ranks
    }

    fn add_missing(&mut self, object_type: &ObjectType, group: &str, born: i64) {
        let owned = object_type.default_properties.iter().chain(&object_type.required);
        // A custom type's own definitions follow right after.
        let searchable = object_type.searchable.iter().filter(|_| object_type.custom.is_none());
        let names: Vec<String> = owned.chain(searchable).cloned().collect();
        for name in names {
            if !self.by_name.contains_key(&name) {
                let plain = Property::new(&name, Kind::Text, "text", group, born);
                self.add(Property { custom: false, ..plain });
            }
        }
        if !self.by_name.contains_key(object_type.created) {
            let created = Property::new(object_type.created, Kind::Moment, "date", group, born);
            self.add(Property { custom: false, read_only: true, make: Make::Created, ..created });
        }
    }
}
