//! `is_free_email`: whether anybody can have an address of a domain.
//!
//! `free_mail/domains.txt` is the list of the npm package `free-email-domains`
//! 1.12.6, as published, under the licence beside it (MIT).

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, BooleanBuilder};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use super::text::{each, one_text, over_first};
use super::{domain, email};

/// Providers that the list lacks.
const MORE: [&str; 6] =
    ["hey.com", "mailbox.org", "skiff.com", "tuta.com", "tutamail.com", "tutanota.com"];

static DOMAINS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("free_mail/domains.txt").lines().chain(MORE).collect());

/// Whether an address or domain is of a provider that gives addresses to
/// anybody; null for what is neither.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct IsFreeEmail {
    signature: Signature,
}

impl IsFreeEmail {
    pub(super) fn new() -> Self {
        Self { signature: one_text() }
    }
}

impl ScalarUDFImpl for IsFreeEmail {
    fn name(&self) -> &str {
        "is_free_email"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        over_first(&args, |texts| {
            let mut values = BooleanBuilder::with_capacity(texts.len());
            let mut scratch = String::new();
            each(texts, |text| {
                scratch.clear();
                values.append_option(text.and_then(|text| is_free(text, &mut scratch)));
            })?;
            Ok(Arc::new(values.finish()))
        })
    }
}

fn is_free(text: &str, scratch: &mut String) -> Option<bool> {
    if text.contains('@') {
        return Some(DOMAINS.contains(email::domain(text, scratch)?));
    }
    Some(DOMAINS.contains(domain::ascii(text)?.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_domains_are_told_from_a_company_s() {
        let free = |text: &str| is_free(text, &mut String::new());
        for text in ["ann@gmail.com", "Ann@GMAIL.com ", "yahoo.co.uk", "ann@tutanota.com"] {
            assert_eq!(free(text), Some(true), "{text}");
        }
        for text in ["ann@acme.test", "acme.com", "mail.google.com", "gmail.com.acme.test"] {
            assert_eq!(free(text), Some(false), "{text}");
        }
        for text in ["", "ann@", "two words"] {
            assert_eq!(free(text), None, "{text}");
        }
    }

    #[test]
    fn the_list_is_sorted_plain_and_without_a_company_s_domain() {
        let lines: Vec<&str> = include_str!("free_mail/domains.txt").lines().collect();
        assert!(lines.is_sorted() && lines.iter().all(|line| line.is_ascii()));
        for domain in ["google.com", "microsoft.com", "apple.com", "hubspot.com"] {
            assert!(!DOMAINS.contains(domain), "{domain}");
        }
    }
}
