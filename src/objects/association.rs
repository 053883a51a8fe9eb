use std::fmt;

/// Who defined an association type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AssociationCategory {
    /// Defined by HubSpot, such as contact to primary company.
    HubspotDefined,
    /// A label made by the account.
    UserDefined,
    /// A label made by an integration.
    IntegratorDefined,
    /// A category this version does not know; its wire text is kept.
    Other(String),
}

impl AssociationCategory {
    /// The category from its wire text; unknown texts are kept, not refused.
    pub fn from_wire(text: &str) -> Self {
        match text {
            "HUBSPOT_DEFINED" => Self::HubspotDefined,
            "USER_DEFINED" => Self::UserDefined,
            "INTEGRATOR_DEFINED" => Self::IntegratorDefined,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The wire text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::HubspotDefined => "HUBSPOT_DEFINED",
            Self::UserDefined => "USER_DEFINED",
            Self::IntegratorDefined => "INTEGRATOR_DEFINED",
            Self::Other(text) => text,
        }
    }
}

impl fmt::Display for AssociationCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One way in which two records are associated.
///
/// A pair can carry several types at once; direction matters, each direction
/// has a type id of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AssociationType {
    /// Who defined the type.
    pub category: AssociationCategory,
    /// The numeric id within its category.
    pub type_id: i64,
    /// The label, absent for the unlabelled default type.
    pub label: Option<String>,
}
