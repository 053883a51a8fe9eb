//! The emulator as a forward proxy, for clients that have
//! `https://api.hubapi.com` built in: with `HTTPS_PROXY` set to the emulator
//! they ask it for a tunnel, at whose end the emulator itself answers.
//!
//! Nothing is passed on: whoever asks for another host is refused.

use hyper::http::uri::Authority;
use hyper::{Method, Uri};

use super::errors::{Refusal, Refused};

/// The hosts the emulator answers as: HubSpot's, and its own.
pub(crate) const HOSTS: [&str; 6] = [
    "api.hubapi.com",
    "api.hubspot.com",
    "app.hubspot.com",
    "app-eu1.hubspot.com",
    "localhost",
    "127.0.0.1",
];

/// What a call is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The account.
    Here,
    /// A tunnel to one of [`HOSTS`].
    Tunnel,
}

/// Reads the target of a call, or refuses to go there.
pub(crate) fn aim(
    method: &Method,
    uri: &Uri,
    with_tls: bool,
    tunnelled: bool,
) -> Result<Aim, Refused> {
    let connect = method == Method::CONNECT;
    let Some(authority) = uri.authority() else {
        return match connect {
            true => Err(Refusal::new(400, "CONNECT needs a host and a port").into()),
            false => Ok(Aim::Here),
        };
    };
    if !is_ours(authority) {
        return Err(refused(format!(
            "The emulator stands in for HubSpot and passes nothing on: `{}` is not one of its \
             hosts, {}. Set `NO_PROXY` for other hosts",
            authority.host(),
            HOSTS.join(", ")
        )));
    }
    match connect {
        false => Ok(Aim::Here),
        true if tunnelled => {
            Err(refused("The emulator opens no tunnel inside a tunnel".to_owned()))
        }
        true if !with_tls && authority.port_u16() != Some(80) => Err(refused(
            "The emulator was started without `--tls` and cannot speak it in a tunnel".to_owned(),
        )),
        true => Ok(Aim::Tunnel),
    }
}

fn refused(message: String) -> Refused {
    Refusal::new(403, message).into()
}

fn is_ours(authority: &Authority) -> bool {
    let host = authority.host().trim_end_matches('.');
    HOSTS.iter().any(|ours| host.eq_ignore_ascii_case(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aimed(method: Method, uri: &str, with_tls: bool, tunnelled: bool) -> Result<Aim, u16> {
        let uri: Uri = uri.parse().expect("a target");
        aim(&method, &uri, with_tls, tunnelled).map_err(|refusal| refusal.status)
    }

    #[test]
    fn only_our_hosts_are_answered_for() {
        assert_eq!(aimed(Method::CONNECT, "api.hubapi.com:443", true, false), Ok(Aim::Tunnel));
        assert_eq!(aimed(Method::CONNECT, "API.HubAPI.com.:443", true, false), Ok(Aim::Tunnel));
        assert_eq!(aimed(Method::CONNECT, "example.com:443", true, false), Err(403));
        assert_eq!(
            aimed(Method::CONNECT, "api.hubapi.com.evil.example:443", true, false),
            Err(403)
        );
        assert_eq!(aimed(Method::CONNECT, "localhost:443", true, true), Err(403));
        assert_eq!(aimed(Method::CONNECT, "localhost:443", false, false), Err(403));
        assert_eq!(aimed(Method::CONNECT, "localhost:80", false, false), Ok(Aim::Tunnel));
        assert_eq!(aimed(Method::GET, "http://api.hubapi.com/crm", false, false), Ok(Aim::Here));
        assert_eq!(aimed(Method::GET, "http://example.com/crm", false, false), Err(403));
        assert_eq!(aimed(Method::GET, "/crm", false, false), Ok(Aim::Here));
        assert_eq!(aimed(Method::CONNECT, "/crm", true, false), Err(400));
    }
}
