//! Connection URLs of servers.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Trouble;

/// A connection URL, taken apart.
pub(super) struct ServerUrl {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: SecretString,
    pub(super) database: String,
    /// What stands after the `?`.
    pub(super) parameters: HashMap<String, String>,
}

impl ServerUrl {
    /// Reads `scheme://user:password@host:port/database?…`. What is wrong is told
    /// without quoting any of it.
    pub(super) fn parse(url: &SecretString, schemes: &[&str], port: u16) -> Result<Self, Trouble> {
        let form = format!("{}://user:password@host:{port}/database", schemes[0]);
        let wrong =
            |what: &str| Trouble(format!("The connection URL {what}; its form is `{form}`"));
        let url = Url::parse(url.expose_secret())
            .map_err(|error| wrong(&format!("is none ({error})")))?;
        if !schemes.contains(&url.scheme()) {
            return Err(wrong("has another scheme"));
        }
        let text = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let host =
            url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("names no host"))?;
        let database = text(url.path().trim_start_matches('/'));
        if database.is_empty() {
            return Err(wrong("names no database"));
        }
        Ok(Self {
            host: text(host.trim_matches(['[', ']'])),
            port: url.port().unwrap_or(port),
            user: text(url.username()),
            password: text(url.password().unwrap_or_default()).into(),
            database,
            parameters: url
                .query_pairs()
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        })
    }

    /// Refuses parameters that would be passed over. The protection of the
    /// connection is a setting of the source.
    pub(super) fn refuse_parameters(&self, known: &[&str]) -> Result<(), Trouble> {
        let unknown = self.parameters.keys().find(|name| !known.contains(&name.as_str()));
        match unknown {
            None => Ok(()),
            Some(name) => Err(Trouble(format!(
                "The connection URL has the parameter `{name}`, which is not understood here: \
                 leave it out; how the connection is protected is the source's key `tls`"
            ))),
        }
    }

    /// Secrets of the connection, to be struck out of what is said of it.
    pub(super) fn secrets(&self) -> [&str; 1] {
        [self.password.expose_secret()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<ServerUrl, Trouble> {
        ServerUrl::parse(&url.to_owned().into(), &["postgres", "postgresql"], 5432)
    }

    #[test]
    fn a_url_is_taken_apart_and_decoded() {
        let url = parse("postgresql://a%40b:p%20w@db.acme.test/app%20one?sslmode=require")
            .expect("a URL");
        assert_eq!((url.host.as_str(), url.port), ("db.acme.test", 5432));
        assert_eq!((url.user.as_str(), url.database.as_str()), ("a@b", "app one"));
        assert_eq!(url.secrets(), ["p w"]);
        let error = url.refuse_parameters(&[]).expect_err("a parameter");
        assert!(error.0.contains("`sslmode`"), "{error}");
        assert!(url.refuse_parameters(&["sslmode"]).is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_it() {
        for url in [
            "hunter2",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h",
            "postgres://u:hunter2@h:x/d",
        ] {
            let Err(error) = parse(url) else { panic!("{url} was taken") };
            assert!(!error.0.contains("hunter2"), "{error}");
        }
    }
}
