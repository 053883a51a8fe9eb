//! The parts of a write-back beside its properties, each planned, sent and
//! counted as a write-back of its own: `contact_write_back.companies`.

use super::config::{AssociateConfig, EventConfig, LabelConfig, LinkPolicy, ListConfig, PRIMARY};
use crate::load::config::WriteBackConfig;
use crate::load::error::LoadError;
use crate::load::status::status_part;
use crate::objects::ObjectType;

/// One part of a write-back.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// The write-back with the part behind a dot.
    pub(crate) name: String,
    /// The type of the rows' records.
    pub(crate) object: ObjectType,
    pub(crate) kind: Kind,
}

/// What a part does.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Associate { to: ObjectType, config: AssociateConfig },
    List(ListConfig),
    Event(EventConfig),
}

/// The names of the parts that a write-back has beside its properties, in the
/// order in which they are written.
pub fn parts(write_back: &str, config: &WriteBackConfig) -> Vec<String> {
    let parts = Part::all(write_back, config).into_iter().map(|part| part.name);
    parts.chain(status_part(write_back, config)).collect()
}

/// The write-back that a part's name, or a write-back's own, begins with.
pub fn write_back_of(name: &str) -> &str {
    name.split_once('.').map_or(name, |(write_back, _)| write_back)
}

impl Part {
    /// All parts of a write-back.
    pub(crate) fn all(write_back: &str, config: &WriteBackConfig) -> Vec<Self> {
        let Ok(object) = config.object_type() else { return Vec::new() };
        let part = |suffix: &str, kind: Kind| Self {
            name: format!("{write_back}.{suffix}"),
            object: object.clone(),
            kind,
        };
        let associate = config.associate.iter().filter_map(|(name, config)| {
            let to = ObjectType::parse(name).ok()?;
            Some(part(to.name(), Kind::Associate { to: to.clone(), config: config.clone() }))
        });
        let list = config.list.iter().map(|list| part("list", Kind::List(list.clone())));
        let event = config.event.iter().map(|event| part("event", Kind::Event(event.clone())));
        associate.chain(list).chain(event).collect()
    }

    /// The part of this name.
    ///
    /// # Errors
    /// The settings have no such part any more.
    pub(crate) fn find(name: &str, config: &WriteBackConfig) -> Result<Self, LoadError> {
        let write_back = write_back_of(name);
        let found = Self::all(write_back, config).into_iter().find(|part| part.name == name);
        found.ok_or_else(|| LoadError::Settings {
            write_back: write_back.to_owned(),
            path: name.strip_prefix(write_back).unwrap_or_default().trim_matches('.').to_owned(),
            problem: "The settings have it no more: make a new plan".to_owned(),
        })
    }

    /// What stands for the object in plans, the ledger and what is derived of
    /// it: no object type's name, so that no mirror takes a part for records.
    pub(crate) fn ledger_object(&self) -> String {
        match &self.kind {
            Kind::Associate { to, .. } => format!("{}.{to}", self.object),
            Kind::List(list) => format!("{}.list.{}", self.object, list.ledger_name()),
            Kind::Event(event) => format!("{}.event.{}", self.object, event.name),
        }
    }

    /// The columns of the model that the part reads, beside the key.
    pub(crate) fn columns(&self) -> Vec<String> {
        match &self.kind {
            Kind::Associate { config, .. } => vec![config.by.clone()],
            Kind::List(_) => Vec::new(),
            Kind::Event(event) => {
                let mut columns = vec![event.key.clone()];
                columns.extend(event.occurred_at.clone());
                columns.extend(event.properties.values().cloned());
                columns
            }
        }
    }

    /// The label that associations are to have.
    pub(crate) fn label(&self) -> Option<&str> {
        match &self.kind {
            Kind::Associate { config, .. } => config.label.as_ref().map(LabelConfig::label),
            Kind::List(_) | Kind::Event(_) => None,
        }
    }

    pub(crate) fn policy(&self) -> LinkPolicy {
        match &self.kind {
            Kind::Associate { config, .. } => config.policy,
            Kind::List(list) => list.policy,
            Kind::Event(_) => LinkPolicy::Overwrite,
        }
    }

    /// Whether the label is the one that a record can give once.
    pub(crate) fn is_primary(&self) -> bool {
        self.label() == Some(PRIMARY)
    }

    /// What one of the part's things is called, and several.
    pub(crate) fn noun(&self) -> (&'static str, &'static str) {
        match &self.kind {
            Kind::Associate { .. } => ("association", "associations"),
            Kind::List(_) => ("member", "members"),
            Kind::Event(_) => ("event", "events"),
        }
    }

    /// Most inputs of one call that makes, and of one that takes back.
    pub(crate) fn batch(&self, unlinks: bool) -> usize {
        match (&self.kind, unlinks) {
            (Kind::Associate { .. }, false) => 2_000,
            (Kind::Associate { .. }, true) => 100,
            (Kind::List(_), _) => 1_000,
            (Kind::Event(_), _) => 500,
        }
    }

    /// What the ledger keeps one thing under, among those of the record.
    pub(crate) fn property(&self, to: i64) -> String {
        match (&self.kind, self.label()) {
            (Kind::List(_), _) => MEMBER.to_owned(),
            (_, Some(label)) => format!("{to}:{label}"),
            (_, None) => to.to_string(),
        }
    }

    /// The other record of a ledger's property, where it is one of this part.
    pub(crate) fn other(&self, property: &str) -> Option<i64> {
        match &self.kind {
            Kind::List(_) => (property == MEMBER).then_some(0),
            Kind::Event(_) => None,
            Kind::Associate { .. } => {
                let (to, label) = match property.split_once(':') {
                    Some((to, label)) => (to, Some(label)),
                    None => (property, None),
                };
                to.parse().ok().filter(|_| label == self.label())
            }
        }
    }
}

/// The ledger's property of a list's member.
const MEMBER: &str = "member";

#[cfg(test)]
mod tests {
    use super::*;

    fn all(yaml: &str) -> Vec<Part> {
        Part::all("w", &serde_saphyr::from_str(yaml).expect("settings"))
    }

    #[test]
    fn a_link_is_kept_under_the_other_record_and_its_label() {
        let parts = all(
            "{ object: contacts, match: { record_id: id }, list: { name: Active }, associate: { companies: { by: c, \
             label: Primary }, deals: { by: d } } }",
        );
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["w.companies", "w.deals", "w.list"]);
        assert_eq!(parts[0].property(9), "9:Primary");
        assert_eq!(parts[0].other("9:Primary"), Some(9));
        assert_eq!(parts[0].other("9"), None, "another label is another link");
        assert_eq!(parts[1].other("9"), Some(9));
        assert_eq!(parts[2].other(&parts[2].property(0)), Some(0));
        assert_eq!(write_back_of("w.companies"), "w");
    }
}
