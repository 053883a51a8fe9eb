//! Properties, their groups, and object types.

use serde_json::Value;

use super::{LONG_AGO, Stager, choice, list, texts};
use crate::emulator::associations::TypeAt;
use crate::emulator::paths::Endpoint;
use crate::emulator::schema::{Choice, Group, Property};
use crate::emulator::seed::plan::Kind;

impl Stager<'_> {
    pub(super) fn definitions(&mut self, endpoint: Endpoint, of: TypeAt) {
        match endpoint {
            Endpoint::Properties | Endpoint::PropertyRead | Endpoint::PropertyBatchRead => {
                self.properties(of, endpoint == Endpoint::Properties);
            }
            Endpoint::PropertyUpdate if self.is_success() => {
                self.properties(of, false);
                let name = self.call.name(1).to_owned();
                self.property(of, &name, None);
            }
            Endpoint::PropertyArchive if self.is_success() => {
                let name = self.call.name(1).to_owned();
                self.property(of, &name, None);
                if let Some(property) = self.account.tables[of].catalogue.find_mut(&name) {
                    property.custom = true;
                }
            }
            Endpoint::PropertyCreate | Endpoint::PropertyBatchCreate => self.property_room(of),
            Endpoint::Groups | Endpoint::GroupRead | Endpoint::GroupUpdate => {
                let one = self.recorded.get("name").map(|_| self.recorded.clone());
                for group in list(&self.recorded["results"]).into_iter().chain(one) {
                    self.group(of, group["name"].as_str().unwrap_or_default());
                }
                if endpoint == Endpoint::GroupUpdate && self.is_success() {
                    let name = self.call.name(1).to_owned();
                    self.group(of, &name);
                }
            }
            Endpoint::GroupArchive if self.is_success() => {
                let name = self.call.name(1).to_owned();
                self.group(of, &name);
            }
            _ => {}
        }
        let missing = self.exchange.status == 404;
        if missing && matches!(endpoint, Endpoint::PropertyRead | Endpoint::PropertyUpdate) {
            let name = self.call.name(1).to_owned();
            self.lack(of, &name);
        }
    }

    /// The definitions of the answer; a whole list is all there is.
    fn properties(&mut self, of: TypeAt, whole: bool) {
        let one = self.recorded.get("name").map(|_| self.recorded.clone());
        let definitions: Vec<Value> =
            list(&self.recorded["results"]).into_iter().chain(one).collect();
        if whole && self.is_success() {
            self.lack_all_but(of, &definitions);
        }
        for definition in &definitions {
            self.define(of, definition);
        }
    }

    fn lack_all_but(&mut self, of: TypeAt, definitions: &[Value]) {
        let kept: Vec<&str> =
            definitions.iter().filter_map(|definition| definition["name"].as_str()).collect();
        let names: Vec<String> = self.account.tables[of]
            .catalogue
            .iter()
            .map(|(_, property)| property.name.clone())
            .filter(|name| !kept.contains(&name.as_str()))
            .collect();
        for name in names {
            self.lack(of, &name);
        }
    }

    /// A property as a definition tells of it.
    fn define(&mut self, of: TypeAt, definition: &Value) {
        let Some(name) = definition["name"].as_str() else { return };
        let kind = definition["type"].as_str().and_then(Kind::of_wire).unwrap_or(Kind::Text);
        let group = definition["groupName"].as_str().unwrap_or("recorded");
        let field_type = definition["fieldType"].as_str().unwrap_or("text");
        let mut property = Property::new(name, kind, field_type, group, LONG_AGO);
        property.options = options(definition);
        property.custom = definition["hubspotDefined"].as_bool() != Some(true);
        property.owner = definition["referencedObjectType"].is_string();
        property.unique = definition["hasUniqueValue"] == true;
        property.archived = (definition["archived"] == true).then_some(LONG_AGO);
        property.formula = definition["calculationFormula"].as_str().map(str::to_owned);
        // What a type cannot be without stays what it is.
        let catalogue = &mut self.account.tables[of].catalogue;
        if let Some((slot, own)) = catalogue.find_any(name)
            && catalogue.always.contains(&slot)
        {
            property.make = own.make;
        }
        catalogue.add(property);
    }

    fn group(&mut self, of: TypeAt, name: &str) {
        let groups = &mut self.account.tables[of].catalogue.groups;
        if groups.iter().all(|group| group.name != name) {
            let (name, label) = (name.to_owned(), name.to_owned());
            groups.push(Group { name, label, display_order: 0, archived: false });
        }
    }

    /// The group that a new property names; and the properties that the
    /// answer says there are.
    fn property_room(&mut self, of: TypeAt) {
        let told = self.recorded.to_string();
        let taken = told.contains("PROPERTY_WITH_NAME_EXISTS");
        let inputs = self.inputs();
        for input in &inputs {
            let Some(name) = input["name"].as_str() else { continue };
            match taken && (inputs.len() == 1 || told.contains(&format!("'{name}'"))) {
                true => {
                    self.property(of, name, None);
                }
                false => self.lack(of, name),
            }
            if let (Some(group), true) = (input["groupName"].as_str(), self.exchange.status < 400) {
                self.group(of, group);
            }
        }
    }

    pub(super) fn schemas(&mut self, endpoint: Endpoint) {
        let shown = list(&self.recorded["results"]);
        let one = self.recorded.get("fullyQualifiedName").map(|_| self.recorded.clone());
        if endpoint == Endpoint::SchemaCreate {
            return;
        }
        for schema in shown.into_iter().chain(one) {
            self.schema(&schema);
        }
    }

    fn schema(&mut self, schema: &Value) {
        let name = schema["fullyQualifiedName"].as_str().unwrap_or_default();
        let type_id = schema["objectTypeId"].as_str().unwrap_or_default();
        let known = self.account.type_at(type_id).or_else(|| self.account.type_at(name));
        let at = known.unwrap_or_else(|| self.custom_type(name));
        let definitions = list(&schema["properties"]);
        let object_type = &mut self.account.tables[at].object_type;
        if let Some(custom) = &mut object_type.custom {
            custom.labels = schema["labels"].clone();
            custom.description = schema["description"].as_str().map(str::to_owned);
            custom.primary = schema["primaryDisplayProperty"].as_str().map(str::to_owned);
            custom.secondary = texts(&schema["secondaryDisplayProperties"]);
            custom.archived = (schema["archived"] == true).then_some(LONG_AGO);
            if type_id.starts_with("2-") {
                type_id.clone_into(&mut object_type.type_id);
            }
            if !name.is_empty() {
                name.clone_into(&mut object_type.plural);
            }
            if let Some(singular) = schema["name"].as_str() {
                singular.clone_into(&mut object_type.singular);
            }
        }
        object_type.required = texts(&schema["requiredProperties"]);
        object_type.searchable = texts(&schema["searchableProperties"]);
        self.hide_all_but(at, &definitions);
        for definition in &definitions {
            self.define(at, definition);
        }
        let linked = !list(&schema["associations"]).is_empty();
        if let (true, Some(to)) = (linked, self.account.type_at("contacts"))
            && self.account.associations.kinds(at, to).is_empty()
        {
            let ids = self.account.associations.new_kind_ids();
            self.account.associations.add_pair(at, to, ids, "USER_DEFINED", "recorded", None);
        }
    }

    /// Takes away even the properties that no type can be without: a schema
    /// that does not list them hides them.
    fn hide_all_but(&mut self, of: TypeAt, definitions: &[Value]) {
        self.lack_all_but(of, definitions);
        let shown = |name: &str| definitions.iter().any(|definition| definition["name"] == name);
        let always = self.account.tables[of].catalogue.always;
        for slot in always {
            let name = self.account.tables[of].catalogue.at(slot).name.clone();
            if let (false, Some(property)) =
                (shown(&name), self.account.tables[of].catalogue.find_mut(&name))
            {
                property.archived = Some(LONG_AGO);
            }
        }
    }
}

fn options(definition: &Value) -> Vec<Choice> {
    let values = list(&definition["options"]);
    values.iter().filter_map(|option| option["value"].as_str()).map(choice).collect()
}
