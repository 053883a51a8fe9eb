//! The settings section `lake:`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LakeError;

/// A folder beside the project: a newcomer needs no account anywhere.
const DEFAULT_URL: &str = "./lake";

/// A week of time travel covers a long weekend and stays cheap to store.
const DEFAULT_HISTORY_DAYS: u32 = 7;

/// Storage that grows with the table and not with the number of runs.
const DEFAULT_HISTORY_TIMES: u32 = 3;

/// Where the lake lies, how to reach it, and how long its history is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LakeConfig {
    /// Root of the lake: a folder (relative to the project), or a URL
    /// (`s3://bucket/prefix`, `gs://…`, `az://…`)
    pub url: String,
    /// Options of the object store, under object_store's own names
    /// (`aws_endpoint`, `aws_region`, `azure_storage_account_name`, …). What is
    /// not given here is taken from the environment (`AWS_ENDPOINT`, …)
    pub options: BTreeMap<String, OptionValue>,
    /// Days for which older versions of a table can be read; at least 1. Fewer
    /// where they would take more than `history_times` allows
    pub history_days: u32,
    /// Most bytes that files of older versions of a table may take, in times those
    /// of its newest version; at least 1. Up to 64 MiB are always kept, and half
    /// an hour. A row that changes costs the copy of its file: a table of which
    /// every file changes every 15 minutes has old versions of an hour at 3
    pub history_times: u32,
}

/// A value of a store option. Secrets come by reference only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OptionValue {
    /// The environment variable that holds the value
    Env {
        /// Name of the variable
        env: String,
    },
    /// The file that holds the value; surrounding white space is dropped
    File {
        /// Path of the file, relative to the project
        file: PathBuf,
    },
    /// A switch
    Flag(bool),
    /// A whole number
    Number(i64),
    /// The value itself
    Text(String),
}

impl Default for LakeConfig {
    fn default() -> Self {
        Self {
            url: DEFAULT_URL.into(),
            options: BTreeMap::new(),
            history_days: DEFAULT_HISTORY_DAYS,
            history_times: DEFAULT_HISTORY_TIMES,
        }
    }
}

impl LakeConfig {
    /// Refuses what cannot be right, naming the field by its path. Reads no file
    /// and no variable.
    pub fn validate(&self) -> Result<(), LakeError> {
        if self.url.trim().is_empty() {
            return Err(setting("lake.url", "is empty"));
        }
        if self.history_days == 0 {
            return Err(setting("lake.history_days", "must be at least 1"));
        }
        if self.history_times == 0 {
            return Err(setting("lake.history_times", "must be at least 1"));
        }
        self.options.iter().try_for_each(|(key, value)| {
            let plain = matches!(value, OptionValue::Text(_));
            if plain && names_a_secret(key) {
                return Err(setting(
                    format!("lake.options.{key}"),
                    "is a secret: give it as `{ env: NAME }` or `{ file: PATH }`",
                ));
            }
            Ok(())
        })
    }
}

impl OptionValue {
    /// The text of the value. Relative files are taken from `project_dir`.
    pub(super) fn resolve(&self, key: &str, project_dir: &Path) -> Result<String, LakeError> {
        match self {
            Self::Env { env } => std::env::var(env).map_err(|source| LakeError::Settings {
                field: format!("lake.options.{key}"),
                problem: format!("needs the environment variable `{env}`, which is not set"),
                source: Some(source.into()),
            }),
            Self::File { file } => {
                let path = project_dir.join(file);
                let text = std::fs::read_to_string(&path)
                    .map_err(|source| LakeError::File { path, source })?;
                Ok(text.trim().to_owned())
            }
            Self::Flag(flag) => Ok(flag.to_string()),
            Self::Number(number) => Ok(number.to_string()),
            Self::Text(text) => Ok(text.clone()),
        }
    }
}

pub(super) fn setting(field: impl Into<String>, problem: impl Into<String>) -> LakeError {
    LakeError::Settings { field: field.into(), problem: problem.into(), source: None }
}

fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let public = key.ends_with("access_key_id");
    let secret = ["secret", "token", "password", "sas", "account_key", "access_key"];
    !public && secret.iter().any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_refused_in_plain_text() {
        let mut config = LakeConfig::default();
        config.options.insert("aws_access_key_id".into(), OptionValue::Text("AKIA".into()));
        assert!(config.validate().is_ok());
        config.options.insert("aws_secret_access_key".into(), OptionValue::Text("hush".into()));
        let error = config.validate().expect_err("a secret in plain text");
        assert!(error.to_string().contains("`lake.options.aws_secret_access_key`"));
        assert!(!error.to_string().contains("hush"));
    }

    #[test]
    fn options_are_read_from_yaml_in_every_form() {
        let yaml = "{ url: s3://b/p, options: { aws_allow_http: true, connect_timeout: 5, aws_region: eu, key: { env: K } } }";
        let config: LakeConfig = serde_saphyr::from_str(yaml).expect("valid settings");
        assert_eq!(config.options["aws_allow_http"], OptionValue::Flag(true));
        assert_eq!(config.options["connect_timeout"], OptionValue::Number(5));
        assert_eq!(config.options["aws_region"], OptionValue::Text("eu".into()));
        assert_eq!(config.options["key"], OptionValue::Env { env: "K".into() });
        assert_eq!(config.history_days, DEFAULT_HISTORY_DAYS);
    }

    #[test]
    fn a_missing_variable_is_named() {
        let value = OptionValue::Env { env: "HUBLAKE_TEST_SURELY_UNSET".into() };
        let error = value.resolve("aws_token", Path::new(".")).expect_err("unset");
        assert!(error.to_string().contains("`HUBLAKE_TEST_SURELY_UNSET`"));
    }
}
