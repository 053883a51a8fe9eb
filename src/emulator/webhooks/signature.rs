//! How HubSpot signs what it sends: section 14 of the API reference.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What is decoded in a URI before it is signed, and nothing else.
const DECODED: [(&str, char); 12] = [
    ("3A", ':'),
    ("2F", '/'),
    ("3F", '?'),
    ("40", '@'),
    ("21", '!'),
    ("24", '$'),
    ("27", '\''),
    ("28", '('),
    ("29", ')'),
    ("2A", '*'),
    ("2C", ','),
    ("3B", ';'),
];

/// `X-HubSpot-Signature` of version v1: hex SHA-256 of secret and body.
pub(crate) fn sign_v1(secret: &str, body: &[u8]) -> String {
    hex_digest(&[secret.as_bytes(), body])
}

/// `X-HubSpot-Signature` of version v2, which workflows and cards carry and
/// object webhooks do not.
#[cfg(test)]
fn sign_v2(secret: &str, method: &str, uri: &str, body: &[u8]) -> String {
    hex_digest(&[secret.as_bytes(), method.as_bytes(), uri.as_bytes(), body])
}

/// `X-HubSpot-Signature-v3`: base64 HMAC-SHA256 over method, decoded URI, body
/// and time.
pub(crate) fn sign_v3(
    secret: &str,
    method: &str,
    uri: &str,
    body: &[u8],
    timestamp: i64,
) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(method.as_bytes());
    mac.update(decoded(uri).as_bytes());
    mac.update(body);
    mac.update(timestamp.to_string().as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn hex_digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    let mut hex = String::with_capacity(64);
    for byte in hasher.finalize() {
        // Writing to a text cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// The URI as it is signed.
fn decoded(uri: &str) -> String {
    let mut parts = uri.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let known = part
            .get(..2)
            .and_then(|code| DECODED.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)));
        match known {
            Some((_, letter)) => {
                out.push(*letter);
                out.push_str(&part[2..]);
            }
            None => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";
    const URI: &str = "https://www.example.com/webhook_uri";

    #[test]
    fn the_first_version_is_as_documented() {
        let body = r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54321}]"#;
        assert_eq!(
            sign_v1(SECRET, body.as_bytes()),
            "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de"
        );
    }

    #[test]
    fn the_second_version_is_as_documented() {
        assert_eq!(
            sign_v2(SECRET, "POST", URI, br#"{"example_field":"example_value"}"#),
            "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900"
        );
    }

    #[test]
    fn the_third_version_is_as_documented() {
        let body = b"{'example_field':'example_value'}";
        for (timestamp, expected) in [
            (1_693_657_560_000, "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="),
            (1_700_000_300_000, "RnbPH7+UMKVkbV32P8bz450N4M56aPmcru1+D3kSDtw="),
        ] {
            assert_eq!(sign_v3(SECRET, "POST", URI, body, timestamp), expected);
        }
    }

    #[test]
    fn twelve_characters_of_a_uri_are_decoded_and_no_others() {
        let called = "https://hooks.example.test/hubspot?src=hs%3Aapp%2Fv3&x=%28a%29&keep=%20%26";
        assert_eq!(
            decoded(called),
            "https://hooks.example.test/hubspot?src=hs:app/v3&x=(a)&keep=%20%26"
        );
        assert_eq!(
            sign_v3("test-client-secret-01", "POST", called, b"[]", 1_790_000_004_000),
            "JS5dNpyZRURSxSJcxm3HC2vIz162oy3FXU4nnJqz/N0="
        );
        assert_eq!(decoded("a%3fb%2c%3B%253A%é%"), "a?b,;%253A%é%");
    }
}
