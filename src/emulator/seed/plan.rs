//! How a property is declared and how its seeded values are made.

use super::doings::{ActivityFact, TradeFact};
use super::facts::{CompanyFact, DealFact, PersonFact, TicketFact};

/// What a property's values are; the wire's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Flag,
    Choice,
    Day,
    Moment,
}

impl Kind {
    /// The wire text.
    pub(crate) fn wire(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Number => "number",
            Self::Flag => "bool",
            Self::Choice => "enumeration",
            Self::Day => "date",
            Self::Moment => "datetime",
        }
    }

    /// Whether seeded values may hold what JSON has to escape.
    pub(crate) fn needs_escapes(self) -> bool {
        matches!(self, Self::Text | Self::Choice)
    }

    /// The kind of a wire text.
    pub(crate) fn of_wire(text: &str) -> Option<Self> {
        let all = [Self::Text, Self::Number, Self::Flag, Self::Choice, Self::Day, Self::Moment];
        all.into_iter().find(|kind| kind.wire() == text)
    }
}

/// How a seeded value comes about. `filled` is the percentage of records that
/// have one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Make {
    /// Never seeded.
    Nothing,
    /// The record id.
    Id,
    /// The time of creation.
    Created,
    /// The time of the last change.
    Modified,
    /// When it took place, which is when it was created.
    Happened,
    /// The ids merged into this record.
    MergedIds,
    /// The same with times.
    MergedVids,
    Person(PersonFact),
    Company(CompanyFact),
    Deal(DealFact),
    Ticket(TicketFact),
    Activity(ActivityFact),
    Trade(TradeFact),
    Fixed(&'static str),
    /// True, always.
    Always,
    /// One of some texts.
    Pick(&'static [&'static str], u8),
    /// One of the property's own options.
    Option(u8),
    /// Several of its options, joined by `;`.
    Options(u8),
    /// A whole number below a limit.
    Whole(u64, u8),
    /// A number with two places below a limit.
    Decimal(u64, u8),
    /// A number, and in one of two hundred records `1;2`, as HubSpot's own
    /// `hs_hd_ticket_ids` holds.
    FalseNumber(u64, u8),
    Flag(u8),
    /// A day between creation and last change.
    Day(u8),
    /// A time between creation and last change.
    Moment(u8),
    /// One of the account's owners.
    Owner(u8),
    /// A number in the form the wire or an import gave it.
    Rough(u8),
    /// The id of something.
    LongId(u8),
    /// A telephone number.
    Phone(u8),
    /// A short free text.
    Words(u8),
    /// A long free text.
    Note(u8),
}

/// One property every fresh account has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) kind: Kind,
    pub(crate) field_type: &'static str,
    /// The options, value and label.
    pub(crate) options: &'static [(&'static str, &'static str)],
    /// The name of its group; none means the type's own.
    pub(crate) group: Option<&'static str>,
    pub(crate) read_only: bool,
    /// Whether the service works it out.
    pub(crate) calculated: bool,
    pub(crate) hidden: bool,
    pub(crate) unique: bool,
    /// Whether the account made it rather than HubSpot.
    pub(crate) custom: bool,
    pub(crate) make: Make,
}

impl Plan {
    pub(super) const fn new(
        name: &'static str,
        label: &'static str,
        kind: Kind,
        field_type: &'static str,
        make: Make,
    ) -> Self {
        Self {
            name,
            label,
            kind,
            field_type,
            options: &[],
            group: None,
            read_only: false,
            calculated: false,
            hidden: false,
            unique: false,
            custom: false,
            make,
        }
    }

    pub(crate) const fn text(name: &'static str, label: &'static str, make: Make) -> Self {
        Self::new(name, label, Kind::Text, "text", make)
    }

    pub(crate) const fn area(name: &'static str, label: &'static str, make: Make) -> Self {
        Self::new(name, label, Kind::Text, "textarea", make)
    }

    pub(crate) const fn number(name: &'static str, label: &'static str, make: Make) -> Self {
        Self::new(name, label, Kind::Number, "number", make)
    }

    pub(crate) const fn flag(name: &'static str, label: &'static str, filled: u8) -> Self {
        let mut plan = Self::new(name, label, Kind::Flag, "booleancheckbox", Make::Flag(filled));
        plan.options = &[("true", "Yes"), ("false", "No")];
        plan
    }

    pub(crate) const fn day(name: &'static str, label: &'static str, make: Make) -> Self {
        Self::new(name, label, Kind::Day, "date", make)
    }

    pub(crate) const fn moment(name: &'static str, label: &'static str, make: Make) -> Self {
        Self::new(name, label, Kind::Moment, "date", make)
    }

    pub(crate) const fn choice(
        name: &'static str,
        label: &'static str,
        options: &'static [(&'static str, &'static str)],
        make: Make,
    ) -> Self {
        let mut plan = Self::new(name, label, Kind::Choice, "select", make);
        plan.options = options;
        plan
    }

    pub(crate) const fn choices(
        name: &'static str,
        label: &'static str,
        options: &'static [(&'static str, &'static str)],
        make: Make,
    ) -> Self {
        let mut plan = Self::choice(name, label, options, make);
        plan.field_type = "checkbox";
        plan
    }

    /// A property holding an owner id: an enumeration whose options live
    /// elsewhere.
    pub(crate) const fn owner(name: &'static str, label: &'static str, filled: u8) -> Self {
        Self::new(name, label, Kind::Choice, "select", Make::Owner(filled))
    }

    pub(crate) const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    pub(crate) const fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    pub(crate) const fn custom(mut self) -> Self {
        self.custom = true;
        self
    }
}
