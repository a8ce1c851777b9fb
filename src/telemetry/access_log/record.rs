//! What one line of the access log can hold.

use std::net::IpAddr;
use std::time::Duration;

use crate::telemetry::Failure;

/// One attempt at an endpoint, as in `$upstream_addr`, `$upstream_status` and so on.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// `address:port`.
    pub address: &'a str,
    /// Status of the response head; `None` when none came, which prints as `-`.
    pub status: Option<u16>,
    /// From the choice of the endpoint to the end of its answer.
    pub elapsed: Duration,
    /// Body bytes received.
    pub bytes: u64,
    /// How long it took to connect, nothing on a connection that was there; `None` when there came none.
    pub connect: Option<Duration>,
    /// From the choice of the endpoint to the head of its answer; `None` when none came.
    pub header: Option<Duration>,
}

/// Everything a line can hold. Texts are as received, unescaped.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the request ended, nanoseconds since the epoch.
    pub time: i64,
    /// X-Request-ID.
    pub request_id: &'a [u8],
    /// Client address, printed; an IPv4 client on an IPv6 socket is an IPv4 client.
    pub client: &'a str,
    /// User of `Authorization: Basic`, see [`basic_user`].
    pub user: Option<&'a [u8]>,
    /// `GET`; empty if the head was refused and does not begin with a method. A token (RFC 9110 5.6.2).
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host as received, without port.
    pub host: &'a [u8],
    /// Request target as received, path and query.
    pub target: &'a [u8],
    /// `HTTP/1.1`, `HTTP/2.0`; empty if the head was refused and names none.
    pub protocol: &'a str,
    /// Status sent; 499 when the client went away first.
    pub status: u16,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// The answer broke off.
    pub is_cut: bool,
    /// Request bytes, head and body.
    pub bytes_in: u64,
    /// Body bytes sent.
    pub bytes_out: u64,
    /// From the first byte of the head to the last byte sent.
    pub elapsed: Duration,
    /// Namespace, Ingress name, Service name, port of the route; `None` without a route of an Ingress.
    pub route: Option<(&'a str, &'a str, &'a str, &'a str)>,
    /// [`upstream_name`](super::upstream_name) of the Service port, or what the default backend is called; `None` without one.
    pub upstream_name: Option<&'a str>,
    /// The same of the canary that took the request.
    pub alternative: Option<&'a str>,
    /// Attempts in order.
    pub attempts: &'a [Attempt<'a>],
    /// `TLSv1.3`, over TLS.
    pub tls: Option<&'static str>,
    /// Server name of the handshake.
    pub sni: Option<&'a str>,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
}

impl Record<'_> {
    /// Whether no Ingress speaks for the host.
    pub fn is_unrouted(&self) -> bool {
        self.route.is_none() && self.upstream_name.is_some()
    }

    /// Whether the client got a whole answer, whatever it said.
    pub(super) fn is_complete(&self) -> bool {
        !self.is_cut && self.failure != Some(Failure::ClientGone)
    }
}

/// What a line may have beside the [`Record`]: worked out only where the format names it.
pub trait Further {
    /// The first field of the request of that name, in lower case.
    fn field(&self, _name: &str) -> Option<&[u8]> {
        None
    }

    /// The first cookie of the request of that name.
    fn cookie(&self, _name: &str) -> Option<&[u8]> {
        None
    }

    /// The first argument of the query of that name.
    fn argument(&self, _name: &str) -> Option<&[u8]> {
        None
    }

    /// A field of the answer as the client got it, its name in lower case.
    fn sent(&self, _name: &str) -> Option<&[u8]> {
        None
    }

    /// A field of the answer as the back end sent it.
    fn received(&self, _name: &str) -> Option<&[u8]> {
        None
    }

    /// The host that the client sees, with its port.
    fn authority(&self) -> Option<&[u8]> {
        None
    }

    /// The path of the rule.
    fn rule(&self) -> Option<&str> {
        None
    }

    /// The cipher suite, over TLS.
    fn cipher(&self) -> Option<&str> {
        None
    }

    /// Our address, and the port that the client sees.
    fn server(&self) -> Option<(IpAddr, &str)> {
        None
    }

    /// The port of the client; 0 where nobody knows it.
    fn client_port(&self) -> u16 {
        0
    }

    /// The number of the connection, and how many requests came over it.
    fn connection(&self) -> (u64, u64) {
        (0, 0)
    }
}

/// Of which nothing more is known.
#[derive(Clone, Copy, Debug)]
pub struct Unseen;

impl Further for Unseen {}

/// The user name in an `Authorization` field of scheme Basic (RFC 7617), never the password. `None` for other schemes
/// and for what cannot be decoded.
pub fn basic_user(authorization: &[u8]) -> Option<Vec<u8>> {
    let (scheme, token) = authorization.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = Vec::with_capacity(token.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for octet in token.trim_ascii().iter().take_while(|octet| **octet != b'=') {
        let digit = match octet {
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(digit)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            match (bits >> held) as u8 {
                b':' => return Some(user),
                decoded => user.push(decoded),
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_what_stands_before_the_first_colon() {
        for (field, user) in [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some("Aladdin")),
            ("basic   YTpiOmM=", Some("a")),
            ("Basic OnNlY3JldA==", Some("")),
            ("Basic bm9jb2xvbg==", None),
            ("Basic QWxh*A==", None),
            ("Bearer QWxhZGRpbjpvcGVu", None),
            ("Bas", None),
        ] {
            assert_eq!(basic_user(field.as_bytes()), user.map(|user| user.as_bytes().to_vec()), "{field}");
        }
    }
}
