use arrow::datatypes::{DataType, TimeUnit};

/// The declared type of a property.
///
/// The declaration can lie about the data (`hs_hd_ticket_ids` is declared
/// number and holds `1;2`), so readers keep what does not fit as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PropertyType {
    /// Free text of up to 65,536 characters.
    String,
    /// A decimal number, sent as text.
    Number,
    /// `true` or `false`, sent as text.
    Bool,
    /// One option value, or several joined by `;`.
    Enumeration,
    /// A calendar day.
    Date,
    /// A point in time.
    DateTime,
    /// A type this version does not know (`phone_number`, `json`, …): text.
    Other(String),
}

impl PropertyType {
    /// The type from its wire text; unknown texts are kept, not refused.
    pub fn from_wire(text: &str) -> Self {
        match text {
            "string" => Self::String,
            "number" => Self::Number,
            "bool" => Self::Bool,
            "enumeration" => Self::Enumeration,
            "date" => Self::Date,
            "datetime" => Self::DateTime,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The wire text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Bool => "bool",
            Self::Enumeration => "enumeration",
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Other(text) => text,
        }
    }

    /// The Arrow type of the property's column in a mirror table.
    pub fn arrow_type(&self) -> DataType {
        match self {
            Self::String | Self::Enumeration | Self::Other(_) => DataType::Utf8,
            Self::Number => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::DateTime => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// One choice of an enumeration or bool property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyOption {
    /// What a person sees.
    pub label: String,
    /// What records hold; case-sensitive.
    pub value: String,
    /// Whether the option is hidden from people; it can still be written.
    pub hidden: bool,
}

/// What HubSpot says about one property of one object type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyDefinition {
    /// The internal name, immutable.
    pub name: String,
    /// What a person sees.
    pub label: String,
    /// The declared type of its values.
    pub property_type: PropertyType,
    /// How a form shows it: `text`, `select`, `checkbox`, …
    pub field_type: String,
    /// The group it is listed under.
    pub group_name: String,
    /// What it is for; often empty.
    pub description: String,
    /// Its options, empty for types without; owner properties have none
    /// although only owner ids are allowed (`external_options`).
    pub options: Vec<PropertyOption>,
    /// Computed by HubSpot; may change without moving the modified date.
    pub calculated: bool,
    /// Options come from elsewhere in HubSpot, such as owners.
    pub external_options: bool,
    /// No two records may hold the same value; usable as `idProperty`.
    pub has_unique_value: bool,
    /// Its values cannot be written (`modificationMetadata.readOnlyValue`).
    pub read_only_value: bool,
    /// Defined by HubSpot rather than by the account.
    pub hubspot_defined: bool,
    /// Hidden from people.
    pub hidden: bool,
    /// In the recycle bin.
    pub archived: bool,
    /// `non_sensitive`, `sensitive` or `highly_sensitive`; absent before 2024.
    pub data_sensitivity: Option<String>,
    /// When the property was created, where HubSpot says so (µs since 1970, UTC).
    pub created_at: Option<i64>,
    /// When the definition last changed (µs since 1970, UTC).
    pub updated_at: Option<i64>,
}

impl PropertyDefinition {
    /// Whether a write to this property can be accepted at all.
    pub fn is_writable(&self) -> bool {
        !self.read_only_value && !self.calculated && !self.archived
    }

    /// Whether values are `;`-joined lists (`checkbox` enumerations).
    pub fn is_multi_select(&self) -> bool {
        self.property_type == PropertyType::Enumeration && self.field_type == "checkbox"
    }
}
