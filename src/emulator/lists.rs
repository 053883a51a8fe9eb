//! Lists and who is on them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::associations::TypeAt;
use super::moment;

/// How a list comes by its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processing {
    /// By hand.
    Manual,
    /// By its filters, at all times. The emulator keeps the filters and
    /// counts nobody in.
    Dynamic,
    /// By its filters once, then by hand.
    Snapshot,
}

impl Processing {
    /// The kind of a wire text.
    pub(crate) fn of_wire(text: &str) -> Option<Self> {
        match text {
            "MANUAL" => Some(Self::Manual),
            "DYNAMIC" => Some(Self::Dynamic),
            "SNAPSHOT" => Some(Self::Snapshot),
            _ => None,
        }
    }

    fn wire(self) -> &'static str {
        match self {
            Self::Manual => "MANUAL",
            Self::Dynamic => "DYNAMIC",
            Self::Snapshot => "SNAPSHOT",
        }
    }
}

/// One list.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) of: TypeAt,
    pub(crate) type_id: String,
    pub(crate) processing: Processing,
    pub(crate) filter_branch: Option<Value>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    /// Record id to the moment of joining.
    pub(crate) members: BTreeMap<u64, i64>,
}

impl List {
    /// The list as the lists API answers it; searches add `size` and such.
    pub(crate) fn to_json(&self) -> Value {
        let processing = self.processing == Processing::Dynamic;
        let mut body = json!({
            "listId": self.id.to_string(),
            "listVersion": 1,
            "createdAt": moment::exact(self.created),
            "updatedAt": moment::exact(self.updated),
            "filtersUpdatedAt": moment::exact(self.created),
            "processingStatus": if processing { "PROCESSING" } else { "COMPLETE" },
            "createdById": "5555888",
            "updatedById": "5555888",
            "processingType": self.processing.wire(),
            "objectTypeId": self.type_id,
            "name": self.name,
            "listPermissions": {"teamsWithEditAccess": [], "usersWithEditAccess": []},
            "membershipSettings": {"membershipTeamId": null, "includeUnassigned": null},
        });
        if let Some(branch) = &self.filter_branch {
            body["filterBranch"] = branch.clone();
        }
        body
    }

    /// Whether people can be put on it and taken off.
    pub(crate) fn is_open(&self) -> bool {
        self.processing != Processing::Dynamic
    }
}
