use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

/// Where a secret is kept: `{ env: NAME }` or `{ file: PATH }`.
///
/// Settings hold references only; the secret itself never passes through them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "SecretRefFields")]
#[schemars(with = "SecretRefFields")]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file; a relative path is taken from the project folder.
    File(PathBuf),
}

/// A reference to a secret: exactly one place.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SecretRef", extend("minProperties" = 1, "maxProperties" = 1))]
struct SecretRefFields {
    /// The environment variable that holds the secret.
    #[serde(default)]
    env: Option<String>,
    /// The file that holds the secret; relative to the project folder.
    #[serde(default)]
    file: Option<PathBuf>,
}

impl TryFrom<SecretRefFields> for SecretRef {
    type Error = &'static str;

    fn try_from(fields: SecretRefFields) -> Result<Self, Self::Error> {
        match (fields.env, fields.file) {
            (Some(name), None) => Ok(Self::Env(name)),
            (None, Some(path)) => Ok(Self::File(path)),
            _ => Err("a secret has one place: either `env` or `file`"),
        }
    }
}

/// A secret that is not where its reference says.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set.
    #[error("The environment variable `{0}` is not set; the secret was looked for there")]
    Unset(String),
    /// The environment variable or the file holds nothing usable.
    #[error("The secret in {0} is empty or not UTF-8 text")]
    Unusable(String),
    /// The file cannot be read.
    #[error("The file `{path}` cannot be read; the secret was looked for there")]
    Unreadable {
        /// The file, resolved against the project folder.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
}

impl SecretRef {
    /// Reads the secret; `base` is the folder that relative paths start from.
    /// Surrounding white space is dropped: files end in a newline.
    ///
    /// # Errors
    /// Names the place that was looked at, never what it held.
    pub fn resolve(&self, base: &Path) -> Result<SecretString, SecretError> {
        match self {
            Self::Env(name) => match std::env::var(name) {
                Ok(text) => usable(text, || format!("the environment variable `{name}`")),
                Err(std::env::VarError::NotPresent) => Err(SecretError::Unset(name.clone())),
                Err(std::env::VarError::NotUnicode(_)) => {
                    Err(SecretError::Unusable(format!("the environment variable `{name}`")))
                }
            },
            Self::File(path) => {
                let path = base.join(path);
                match std::fs::read(&path) {
                    Ok(bytes) => {
                        let text = String::from_utf8(bytes).unwrap_or_default();
                        usable(text, || format!("the file `{}`", path.display()))
                    }
                    Err(source) => Err(SecretError::Unreadable { path, source }),
                }
            }
        }
    }
}

fn usable(text: String, place: impl FnOnce() -> String) -> Result<SecretString, SecretError> {
    match text.trim() {
        "" => Err(SecretError::Unusable(place())),
        secret => Ok(SecretString::from(secret)),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_reference_names_exactly_one_place() {
        let parse = |text| serde_json::from_str::<SecretRef>(text);
        assert_eq!(parse(r#"{"env":"A"}"#).expect("env"), SecretRef::Env("A".into()));
        assert_eq!(parse(r#"{"file":"a/b"}"#).expect("file"), SecretRef::File("a/b".into()));
        for text in ["{}", r#"{"env":"A","file":"b"}"#, r#"{"value":"s3cret"}"#, r#""A""#] {
            assert!(parse(text).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn a_missing_secret_names_where_it_was_looked_for() {
        let unset = SecretRef::Env("HUBLAKE_TEST_NEVER_SET".into()).resolve(Path::new("."));
        let words = unset.expect_err("not set").to_string();
        assert!(words.contains("HUBLAKE_TEST_NEVER_SET"), "{words}");
        let absent = SecretRef::File("no/such/token".into()).resolve(Path::new("/base"));
        let words = absent.expect_err("no file").to_string();
        assert!(words.contains("/base/no/such/token"), "{words}");
    }

    #[test]
    fn a_secret_from_a_file_loses_its_newline() {
        let folder = std::env::temp_dir().join(format!("hublake-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).expect("a fresh folder");
        std::fs::write(folder.join("token"), "pat-1\n").expect("a written file");
        std::fs::write(folder.join("empty"), " \n").expect("a written file");
        let token = SecretRef::File("token".into()).resolve(&folder).expect("a token");
        assert_eq!(token.expose_secret(), "pat-1");
        assert!(SecretRef::File("empty".into()).resolve(&folder).is_err());
        std::fs::remove_dir_all(&folder).expect("a removed folder");
    }
}
