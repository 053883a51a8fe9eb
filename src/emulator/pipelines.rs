//! Pipelines and their stages.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::moment;

/// A way that deals or tickets go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pipeline {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) display_order: i64,
    pub(crate) stages: Vec<Stage>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) archived: bool,
    /// What was done to it and its stages, newest first.
    #[serde(default)]
    pub(crate) audit: Vec<Audit>,
}

/// One thing done to a pipeline or a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Audit {
    /// The id of the pipeline or stage.
    pub(crate) of: String,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub(crate) action: String,
    pub(crate) at: i64,
}

impl Audit {
    /// The entry as the pipelines API answers it.
    pub(crate) fn to_json(&self, portal_id: u64) -> Value {
        json!({
            "portalId": portal_id,
            "identifier": self.of,
            "action": self.action,
            "timestamp": moment::exact(self.at),
            "fromUserId": 5_555_888,
        })
    }
}

/// A step of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stage {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) display_order: i64,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) archived: bool,
}

/// The pipelines of a fresh account, by the plural name of the object type.
pub(crate) fn standard(plural: &str) -> Vec<Pipeline> {
    match plural {
        "deals" => vec![
            deal_pipeline("default", "Sales Pipeline", 0, SALES),
            deal_pipeline("renewals", "Renewals", 1, RENEWALS),
        ],
        "tickets" => vec![ticket_pipeline()],
        _ => Vec::new(),
    }
}

const SALES: &[(&str, &str, &str)] = &[
    ("appointmentscheduled", "Appointment Scheduled", "0.2"),
    ("qualifiedtobuy", "Qualified To Buy", "0.4"),
    ("presentationscheduled", "Presentation Scheduled", "0.6"),
    ("decisionmakerboughtin", "Decision Maker Bought-In", "0.8"),
    ("contractsent", "Contract Sent", "0.9"),
    ("closedwon", "Closed Won", "1.0"),
    ("closedlost", "Closed Lost", "0.0"),
];

const RENEWALS: &[(&str, &str, &str)] =
    &[("renewalopen", "Open", "0.7"), ("renewalwon", "Won", "1.0"), ("renewallost", "Lost", "0.0")];

const TICKET_STAGES: &[(&str, &str, &str)] = &[
    ("1", "New", "OPEN"),
    ("2", "Waiting on contact", "OPEN"),
    ("3", "Waiting on us", "OPEN"),
    ("4", "Closed", "CLOSED"),
];

fn deal_pipeline(id: &str, label: &str, order: i64, stages: &[(&str, &str, &str)]) -> Pipeline {
    let stage = |(order, (id, label, probability)): (usize, &(&str, &str, &str))| {
        let closed = matches!(*probability, "1.0" | "0.0").to_string();
        let metadata = json!({"isClosed": closed, "probability": probability});
        Stage::new(id, label, order as i64, metadata, 0)
    };
    Pipeline::new(id, label, order, stages.iter().enumerate().map(stage).collect(), 0)
}

fn ticket_pipeline() -> Pipeline {
    let stage = |(order, (id, label, state)): (usize, &(&str, &str, &str))| {
        let closed = (*state == "CLOSED").to_string();
        let metadata = json!({"isClosed": closed, "ticketState": state});
        Stage::new(id, label, order as i64, metadata, 0)
    };
    let stages = TICKET_STAGES.iter().enumerate().map(stage).collect();
    Pipeline::new("0", "Support Pipeline", 0, stages, 0)
}

impl Pipeline {
    /// A pipeline; HubSpot's own were created in 1970.
    pub(crate) fn new(id: &str, label: &str, order: i64, stages: Vec<Stage>, at: i64) -> Self {
        Self {
            id: id.to_owned(),
            label: label.to_owned(),
            display_order: order,
            stages,
            created: at,
            updated: at,
            archived: false,
            audit: Vec::new(),
        }
    }

    /// The stages that records may be in, in their order.
    pub(crate) fn live_stages(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter().filter(|stage| !stage.archived)
    }

    /// The pipeline as the pipelines API answers it.
    pub(crate) fn to_json(&self) -> Value {
        let stages: Vec<Value> = self.live_stages().map(Stage::to_json).collect();
        json!({
            "label": self.label,
            "displayOrder": self.display_order,
            "id": self.id,
            "stages": stages,
            "createdAt": moment::trimmed(self.created),
            "updatedAt": moment::trimmed(self.updated),
            "archived": self.archived,
        })
    }
}

impl Stage {
    /// A stage; metadata values are texts.
    pub(crate) fn new(id: &str, label: &str, order: i64, metadata: Value, at: i64) -> Self {
        Self {
            id: id.to_owned(),
            label: label.to_owned(),
            display_order: order,
            metadata: metadata.as_object().cloned().unwrap_or_default(),
            created: at,
            updated: at,
            archived: false,
        }
    }

    /// Whether what reaches it has come to an end.
    pub(crate) fn is_closed(&self) -> bool {
        self.metadata.get("isClosed").and_then(Value::as_str) == Some("true")
    }

    /// How likely a deal in it is won.
    pub(crate) fn probability(&self) -> Option<f64> {
        self.metadata.get("probability")?.as_str()?.parse().ok()
    }

    /// The stage as the pipelines API answers it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "label": self.label,
            "displayOrder": self.display_order,
            "metadata": self.metadata,
            "id": self.id,
            "createdAt": moment::trimmed(self.created),
            "updatedAt": moment::trimmed(self.updated),
            "archived": self.archived,
            "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
        })
    }
}
