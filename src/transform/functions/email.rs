//! Email addresses: written one way, and the mailbox behind them.

use super::domain;

/// Providers that put `ann+anything@` into Ann's mailbox.
const TAGGED: [&str; 22] = [
    "fastmail.com",
    "fastmail.fm",
    "hey.com",
    "hotmail.co.uk",
    "hotmail.com",
    "hotmail.de",
    "hotmail.es",
    "hotmail.fr",
    "hotmail.it",
    "icloud.com",
    "live.com",
    "mac.com",
    "mailbox.org",
    "me.com",
    "msn.com",
    "outlook.com",
    "outlook.de",
    "pm.me",
    "posteo.de",
    "proton.me",
    "protonmail.ch",
    "protonmail.com",
];

/// Two names of one provider, which sees no dots in what stands before the `@`.
const DOTLESS: [&str; 2] = ["gmail.com", "googlemail.com"];

/// Marks without width that come along when addresses are copied.
const INVISIBLE: [char; 4] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{feff}'];

/// An address in lower case, without what surrounds it, its domain in ASCII;
/// none when it is no address.
pub(super) fn normalised<'a>(text: &'a str, scratch: &'a mut String) -> Option<&'a str> {
    if is_normal(text) {
        return Some(text);
    }
    write(text, scratch).map(|_| scratch.as_str())
}

/// The address of the mailbox, by what its provider is known to ignore; for
/// telling whether two addresses are one person's, not for writing to them.
pub(super) fn key<'a>(text: &'a str, scratch: &'a mut String) -> Option<&'a str> {
    let at = match is_normal(text) {
        true => {
            scratch.push_str(text);
            text.find('@')?
        }
        false => write(text, scratch)?,
    };
    let (local, host) = (&scratch[..at], &scratch[at + 1..]);
    let dotless = DOTLESS.contains(&host);
    if !dotless && !TAGGED.contains(&host) {
        return Some(scratch);
    }
    let mailbox = local.split('+').next().unwrap_or_default();
    let mailbox = if dotless { mailbox.replace('.', "") } else { mailbox.to_owned() };
    if mailbox.is_empty() {
        return Some(scratch);
    }
    let host = if dotless { DOTLESS[0].to_owned() } else { host.to_owned() };
    *scratch = format!("{mailbox}@{host}");
    Some(scratch)
}

/// The domain of an address, in ASCII.
pub(super) fn domain<'a>(text: &'a str, scratch: &'a mut String) -> Option<&'a str> {
    if is_normal(text) {
        return text.split_once('@').map(|(_, domain)| domain);
    }
    let at = write(text, scratch)?;
    Some(&scratch[at + 1..])
}

/// Whether an address is as [`normalised`] would write it, as almost all are;
/// for some that are it may say no.
fn is_normal(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    !local.is_empty()
        && local.bytes().all(|b| is_word(b) || b"._+-".contains(&b))
        && !local.starts_with("mailto")
        && domain::is_plain(domain)
}

/// Writes an address; where its `@` stands.
fn write(text: &str, out: &mut String) -> Option<usize> {
    let is_around = |c: char| c.is_whitespace() || INVISIBLE.contains(&c);
    let text = text.trim_matches(is_around);
    // `Ann Example <ann@example.com>`
    let text = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((_, address)) => address.trim_matches(is_around),
        None => text,
    };
    let text = match text.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => &text[7..],
        _ => text,
    };
    let (local, host) = text.split_once('@')?;
    let is_wrong =
        |c: char| is_around(c) || c.is_control() || matches!(c, '<' | '>' | ',' | ';' | ':');
    if local.is_empty() || local.contains(is_wrong) {
        return None;
    }
    out.clear();
    out.extend(local.chars().flat_map(char::to_lowercase));
    let at = out.len();
    out.push('@');
    out.push_str(&domain::ascii(host)?);
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        function: for<'a> fn(&'a str, &'a mut String) -> Option<&'a str>,
        text: &str,
    ) -> Option<String> {
        function(text, &mut String::new()).map(str::to_owned)
    }

    #[test]
    fn an_address_is_written_one_way() {
        for (text, expected) in [
            ("ann@acme.test", Some("ann@acme.test")),
            ("  Ann.Lee@ACME.Test. ", Some("ann.lee@acme.test")),
            ("Ann Lee <Ann@acme.test>", Some("ann@acme.test")),
            ("MAILTO:ann@acme.test", Some("ann@acme.test")),
            ("\u{feff}ann@acme.test\u{200b}", Some("ann@acme.test")),
            ("ann@Bücher.example", Some("ann@xn--bcher-kva.example")),
            ("ann@xn--bcher-kva.example", Some("ann@xn--bcher-kva.example")),
            ("ÄNN@acme.test", Some("änn@acme.test")),
            ("o'hara+x@acme.test", Some("o'hara+x@acme.test")),
            ("ann", None),
            ("@acme.test", None),
            ("ann@", None),
            ("ann@acme@test", None),
            ("ann lee@acme.test", None),
            ("ann@acme..test", None),
            ("ann@a b.test", None),
            ("a@x.test;b@x.test", None),
            ("", None),
        ] {
            assert_eq!(of(normalised, text).as_deref(), expected, "{text:?}");
            let domain = expected.and_then(|address| address.split_once('@')).map(|(_, d)| d);
            assert_eq!(of(super::domain, text).as_deref(), domain, "{text:?}");
        }
    }

    #[test]
    fn a_mailbox_has_one_key() {
        for (text, expected) in [
            ("A.nn.Lee+news@GoogleMail.com", "annlee@gmail.com"),
            ("annlee@gmail.com", "annlee@gmail.com"),
            ("ann.lee+x@outlook.com", "ann.lee@outlook.com"),
            ("ann.lee+x@acme.test", "ann.lee+x@acme.test"),
            ("+@gmail.com", "+@gmail.com"),
            ("Ann@Acme.test", "ann@acme.test"),
        ] {
            assert_eq!(of(key, text).as_deref(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_normal_stays_as_it_is() {
        for text in ["a@b.c", "a.b+c-d_e@x-y.co.uk", "1@2.test"] {
            assert!(is_normal(text), "{text}");
            let mut scratch = String::new();
            write(text, &mut scratch).expect("an address");
            assert_eq!(scratch, text);
        }
        for text in ["A@b.c", "a@b.c.", "a@-b.c", "mailto:a@b.c", "a@xn--bcher-kva.example"] {
            assert!(!is_normal(text), "{text}");
        }
    }
}
