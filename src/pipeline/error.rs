use std::path::PathBuf;

use super::outcome::Outcome;
use super::settings::SettingsError;
use crate::extract::ExtractError;
use crate::hubspot::{self, ErrorKind, SecretError};
use crate::lake::LakeError;
use crate::load::{LoadError, PlanFileError};
use crate::transform::{TransformError, nearest};

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The settings cannot be read or make no sense.
    #[error("{0}")]
    Settings(#[from] SettingsError),
    /// A pipeline, object or model that the project does not have.
    #[error("The project has no {kind} `{name}`; {}it has {}", meant(.name, .known), known_names(.known))]
    Unknown {
        /// What was asked for: `pipeline`, `model`, …
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The token is not where the settings say.
    #[error("No HubSpot token")]
    Token(#[source] SecretError),
    /// The token belongs to another account than the settings name.
    #[error("The token belongs to portal `{actual}`, but `hubspot.portal_id` is `{expected}`")]
    WrongPortal {
        /// The portal the settings name.
        expected: u64,
        /// The portal HubSpot answers for the token.
        actual: u64,
    },
    /// Somebody asked for the end before there was anything to keep.
    #[error("Stopped before anything was read")]
    Interrupted,
    /// HubSpot refused or could not be reached.
    #[error("HubSpot could not be used")]
    HubSpot(#[from] hubspot::Error),
    /// The lake failed.
    #[error("The lake could not be used")]
    Lake(#[from] LakeError),
    /// Extracting failed.
    #[error("Extract failed")]
    Extract(#[from] ExtractError),
    /// Building models or querying failed.
    #[error("SQL failed")]
    Transform(#[from] TransformError),
    /// Planning or applying failed.
    #[error("Write-back failed")]
    Load(#[from] LoadError),
    /// `system.runs` could not be read.
    #[error("Past runs could not be read")]
    History {
        /// What the query engine said.
        #[source]
        source: Box<datafusion::error::DataFusionError>,
    },
    /// A table could not be read for what it holds of a person.
    #[error("A table could not be read for what it holds of a person")]
    Purge {
        /// What the query engine said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A mirror has no such column.
    #[error("The mirror of `{object}` has no property `{property}`{}", likely(.property, .known))]
    NoProperty {
        /// The object type.
        object: String,
        /// What was asked for.
        property: String,
        /// The columns that it has.
        known: Vec<String>,
    },
    /// There is no mirror of this object type.
    #[error("No `{object}` have been extracted")]
    NotExtracted {
        /// The object type.
        object: String,
    },
    /// The lake could not be asked.
    #[error("The lake could not be asked")]
    Asking {
        /// What the query engine said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A plan's file cannot be written, or is no plan that can be applied.
    #[error("`{}` cannot be used as a plan", .path.display())]
    PlanFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PlanFileError,
    },
    /// A plan's file was made for another account.
    #[error("`{}` is a plan for portal `{portal_id}`, and the token belongs to portal `{actual}`", .path.display())]
    ForeignPlan {
        /// The file.
        path: PathBuf,
        /// The portal it was made for.
        portal_id: u64,
        /// The portal HubSpot answers for the token.
        actual: u64,
    },
    /// A plan's file names a run that the lake does not have.
    #[error("`{}` is a plan of which this project's lake knows nothing", .path.display())]
    UnknownPlan {
        /// The file.
        path: PathBuf,
    },
    /// A file of the project could not be written.
    #[error("`{}` cannot be written", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The name that was probably meant.
fn meant(name: &str, known: &[String]) -> String {
    nearest(name, known.iter().map(String::as_str))
        .map_or(String::new(), |meant| format!("did you mean `{meant}`? Else "))
}

/// The same where the names are too many to tell.
fn likely(name: &str, known: &[String]) -> String {
    nearest(name, known.iter().map(String::as_str))
        .map_or(String::new(), |meant| format!(": did you mean `{meant}`?"))
}

fn known_names(known: &[String]) -> String {
    if known.is_empty() {
        return "none".to_owned();
    }
    known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl PipelineError {
    /// What the process should exit with.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Settings(_) | Self::Unknown { .. } => Outcome::Settings,
            Self::Token(_) | Self::WrongPortal { .. } => Outcome::Unauthorised,
            Self::Interrupted => Outcome::Interrupted,
            Self::HubSpot(error) => hubspot_outcome(error),
            Self::Lake(error) => lake_outcome(error),
            Self::Extract(error) => extract_outcome(error),
            Self::Transform(error) => transform_outcome(error),
            Self::Load(error) => load_outcome(error),
            Self::File { .. }
            | Self::History { .. }
            | Self::Purge { .. }
            | Self::Asking { .. }
            | Self::NotExtracted { .. } => Outcome::Failed,
            Self::NoProperty { .. } => Outcome::Usage,
            Self::PlanFile { source, .. } => match source {
                PlanFileError::Differs => Outcome::GuardRefused,
                PlanFileError::Damaged(_) | PlanFileError::NoPlan(_) => Outcome::Settings,
                PlanFileError::Load(error) => load_outcome(error),
                _ => Outcome::Failed,
            },
            Self::ForeignPlan { .. } | Self::UnknownPlan { .. } => Outcome::GuardRefused,
        }
    }

    /// What a person can do about it, where there is something.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Token(_) => Some(
                "set the environment variable HUBSPOT_ACCESS_TOKEN to the account's private-app or service-key \
                 token, or name another place under `hubspot.token` in hublake.yml"
                    .to_owned(),
            ),
            Self::WrongPortal { .. } => {
                Some("use the token of that portal, or correct `hubspot.portal_id` in hublake.yml".to_owned())
            }
            Self::PlanFile { .. } | Self::UnknownPlan { .. } => Some(
                "make a new one with `hublake plan --out FILE`, and apply it in the project that made it".to_owned(),
            ),
            Self::ForeignPlan { .. } => Some("use the token of that portal, or make a new plan for this one".to_owned()),
            Self::HubSpot(error) => Some(error.advice()),
            Self::Extract(error) => error.hubspot().map(hubspot::Error::advice),
            Self::Transform(error) => Some(error.advice()),
            Self::Load(LoadError::HubSpot { source, .. }) => Some(source.advice()),
            Self::NotExtracted { object } => {
                Some(format!("name it under `extract:` of a pipeline and run `hublake extract {object}`"))
            }
            Self::Lake(LakeError::Locked { .. }) => Some("wait for the other run to end, then run again".to_owned()),
            _ => None,
        }
    }
}

/// What a HubSpot failure means for the process.
pub(super) fn hubspot_outcome(error: &hubspot::Error) -> Outcome {
    match error.kind() {
        ErrorKind::Settings => Outcome::Settings,
        ErrorKind::Auth | ErrorKind::MissingScope(_) => Outcome::Unauthorised,
        ErrorKind::DailyLimit { .. } | ErrorKind::Unavailable => Outcome::TryLater,
        _ => Outcome::Failed,
    }
}

/// What a lake failure means for the process.
pub(super) fn lake_outcome(error: &LakeError) -> Outcome {
    match error {
        LakeError::Settings { .. } => Outcome::Settings,
        LakeError::Locked { .. } => Outcome::TryLater,
        _ => Outcome::Failed,
    }
}

/// What an extract failure means for the process.
pub(super) fn extract_outcome(error: &ExtractError) -> Outcome {
    match error {
        ExtractError::UnknownProperty { .. } => Outcome::Settings,
        ExtractError::HubSpot { source, .. } => hubspot_outcome(source),
        ExtractError::Lake { source, .. } => lake_outcome(source),
        _ => Outcome::Failed,
    }
}

/// What a failed model or query means for the process.
pub(super) fn transform_outcome(error: &TransformError) -> Outcome {
    if error.is_settings() { Outcome::Settings } else { Outcome::Failed }
}

/// What a failed plan or apply means for the process.
pub(super) fn load_outcome(error: &LoadError) -> Outcome {
    match error {
        LoadError::Settings { .. } | LoadError::MissingColumn { .. } => Outcome::Settings,
        LoadError::Guard { .. } | LoadError::PlanOutOfDate { .. } => Outcome::GuardRefused,
        LoadError::Interrupted { .. } => Outcome::Interrupted,
        LoadError::HubSpot { source, .. } => hubspot_outcome(source),
        LoadError::Lake { source, .. } => lake_outcome(source),
        _ => Outcome::Failed,
    }
}
