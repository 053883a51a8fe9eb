//! The properties that HubSpot itself gives every account, for what can be
//! said of a project before its account has been read.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{ObjectType, PropertyType};

/// `[type]` lines, and below each `declared type: name name …`.
const TEXT: &str = include_str!("standard_properties.txt");

/// The section of what every standard type has.
const EVERY: &str = "every";

type Sections = BTreeMap<&'static str, BTreeMap<&'static str, PropertyType>>;

static SECTIONS: LazyLock<Sections> = LazyLock::new(|| parse(TEXT));

fn parse(text: &'static str) -> Sections {
    let mut sections = Sections::new();
    let mut section = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((declared, names)) = line.split_once(':') {
            let of_type = |name| (name, PropertyType::from_wire(declared));
            sections.entry(section).or_default().extend(names.split_whitespace().map(of_type));
        }
    }
    sections
}

/// The properties that every account has of a standard object type, by name;
/// none of a custom type, which has only what its account gave it.
///
/// Names and types are those of a fresh account's property list. An account
/// has its own beside them, and may lack some that belong to another tier.
pub fn standard_properties(object: &ObjectType) -> BTreeMap<&'static str, PropertyType> {
    if object.is_custom() {
        return BTreeMap::new();
    }
    let of = |section: &str| SECTIONS.get(section).into_iter().flatten();
    of(EVERY).chain(of(object.name())).map(|(name, of_type)| (*name, of_type.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standard_type_has_its_properties() {
        for object in ObjectType::all_standard() {
            let known = standard_properties(&object);
            assert_eq!(known.get("hs_object_id"), Some(&PropertyType::Number), "{}", object.name());
            let modified = known.get(object.modified_property());
            assert_eq!(modified, Some(&PropertyType::DateTime), "{}", object.name());
        }
        let contacts = standard_properties(&ObjectType::CONTACTS);
        assert_eq!(contacts.get("email"), Some(&PropertyType::String));
        assert_eq!(contacts.get("lifecyclestage"), Some(&PropertyType::Enumeration));
        let custom = ObjectType::parse("p1_licence").expect("a custom object's name");
        assert!(standard_properties(&custom).is_empty());
    }

    #[test]
    fn no_type_in_the_list_is_unknown() {
        let mut types = SECTIONS.values().flat_map(BTreeMap::values);
        let unknown = types.find(|of_type| matches!(of_type, PropertyType::Other(_)));
        assert_eq!(unknown, None);
    }
}
