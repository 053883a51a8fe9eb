//! One settings file: read, expanded, decoded, and still able to say where a
//! setting stands.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::decode::decode;
use super::error::Problem;
use super::expand::{Lookup, expand};
use super::yaml::{KeyPath, Node, Place};

/// A file whose YAML is in order.
#[derive(Clone, Debug)]
pub(super) struct SettingsFile {
    /// Relative to the project.
    path: PathBuf,
    root: Node,
}

impl SettingsFile {
    /// Reads a file of a project and puts the environment's variables in.
    pub(super) fn read(
        project: &Path,
        path: PathBuf,
        lookup: Lookup<'_>,
    ) -> Result<Self, Vec<Problem>> {
        let text = std::fs::read_to_string(project.join(&path))
            .map_err(|error| vec![whole(&path, format!("The file cannot be read: {error}"))])?;
        let mut root = Node::parse(&text).map_err(|malformed| {
            let place = Some(malformed.place);
            vec![Problem { place, ..whole(&path, malformed.reason) }]
        })?;
        let unexpandable = expand(&mut root, lookup);
        if unexpandable.is_empty() {
            return Ok(Self { path, root });
        }
        let problems = unexpandable.into_iter().map(|found| Problem {
            file: path.clone(),
            place: Some(found.place),
            key: found.path.to_string(),
            reason: found.reason,
        });
        Err(problems.collect())
    }

    /// The settings themselves.
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, Vec<Problem>> {
        decode(&self.root).map_err(|refusals| {
            let problem = |refusal: super::decode::Refusal| {
                let (path, place) = refusal.at.unwrap_or((KeyPath::default(), Place::START));
                Problem {
                    file: self.path.clone(),
                    place: Some(place),
                    key: path.to_string(),
                    reason: refusal.reason,
                }
            };
            refusals.into_iter().map(problem).collect()
        })
    }

    /// A problem with the setting at a path.
    pub(super) fn problem(&self, path: &KeyPath, reason: impl Into<String>) -> Problem {
        Problem {
            file: self.path.clone(),
            place: Some(self.root.place_of(path)),
            key: path.to_string(),
            reason: reason.into(),
        }
    }
}

/// A problem with a file as a whole.
pub(super) fn whole(path: &Path, reason: impl Into<String>) -> Problem {
    Problem { file: path.to_owned(), place: None, key: String::new(), reason: reason.into() }
}
