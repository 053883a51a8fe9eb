//! Domains: the host in whatever was typed, and the part of it that somebody
//! registered.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use idna::AsciiDenyList;

/// The domain under a public suffix that an address, URL or host lies in, in
/// ASCII; none for an IP address, a suffix itself or a name without a suffix.
pub(super) fn registrable<'a>(text: &'a str, scratch: &'a mut String) -> Option<&'a str> {
    let host = host(text);
    if is_plain(host) {
        return of_ascii(host);
    }
    *scratch = ascii(host)?.into_owned();
    of_ascii(scratch)
}

fn of_ascii(host: &str) -> Option<&str> {
    if host.parse::<Ipv4Addr>().is_ok() {
        return None;
    }
    psl::domain_str(host)
}

/// The host of `scheme://user@host:port/path`, of an email address, or of
/// itself.
fn host(text: &str) -> &str {
    let text = text.trim();
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.trim_start_matches('/');
    let text = text.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => text,
    }
}

/// A domain in lower-case ASCII, without its final dot; none when it is none.
pub(super) fn ascii(domain: &str) -> Option<Cow<'_, str>> {
    let domain = domain.trim().trim_end_matches('.');
    let ascii = idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::URL).ok()?;
    // A full stop of another script may have become one of ours.
    let ascii = match ascii.strip_suffix('.') {
        Some(shorter) => Cow::Owned(shorter.to_owned()),
        None => ascii,
    };
    let is_sound = !ascii.is_empty() && ascii.split('.').all(|label| !label.is_empty());
    is_sound.then_some(ascii)
}

/// Whether a domain is in the form that [`ascii`] gives, as almost all are;
/// for some that are it may say no.
pub(super) fn is_plain(domain: &str) -> bool {
    let plain = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.get(2..4) != Some("--")
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    domain.split('.').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registered_part_is_found_in_whatever_was_typed() {
        for (text, expected) in [
            ("acme.test", Some("acme.test")),
            ("https://www.Acme.co.uk:8443/a?b#c", Some("acme.co.uk")),
            ("ann@mail.acme.com", Some("acme.com")),
            ("ftp://ann:secret@files.acme.com/", Some("acme.com")),
            ("//cdn.acme.com/x", Some("acme.com")),
            (" WWW.ACME.COM. ", Some("acme.com")),
            ("acme.github.io", Some("acme.github.io")),
            ("www.bücher.example", Some("xn--bcher-kva.example")),
            ("www.xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("WWW.XN--BCHER-KVA.EXAMPLE", Some("xn--bcher-kva.example")),
            ("https://食狮.公司.cn/", Some("xn--85x722f.xn--55qx5d.cn")),
            ("https://xn--85x722f.xn--55qx5d.cn/", Some("xn--85x722f.xn--55qx5d.cn")),
            ("acme。com", Some("acme.com")),
            ("co.uk", None),
            ("localhost", None),
            ("10.0.0.1:80", None),
            ("http://[::1]:80/", None),
            ("a..b", None),
            ("-", None),
            ("", None),
            ("no domain at all", None),
        ] {
            let mut scratch = String::new();
            assert_eq!(registrable(text, &mut scratch), expected, "{text:?}");
        }
    }
}
