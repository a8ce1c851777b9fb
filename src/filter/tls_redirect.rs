//! From http to https (`ssl-redirect` of ingress-nginx).

use std::io::Write;

use super::{Reply, Request};
use crate::ir::TlsRedirect;

/// The redirect of a request in clear text: the same host and raw target, without one trailing slash of the target.
pub(super) fn reply(redirect: &TlsRedirect, request: &Request<'_>) -> Option<Reply> {
    let is_mapped = |own| request.port.is_some_and(|port| port != own);
    if request.is_tls || redirect.only_from.is_some_and(is_mapped) {
        return None;
    }
    let Request { is_tls: _, host, port: _, path, query } = request;
    let mut location = Vec::with_capacity("https://:65535".len() + host.len() + path.len() + query.len());
    location.extend_from_slice(b"https://");
    location.extend_from_slice(host.as_bytes());
    if let Some(port) = redirect.port {
        // Writing to a vector cannot fail.
        let _ = write!(location, ":{port}");
    }
    location.extend_from_slice(path);
    location.extend_from_slice(query);
    if path.len() + query.len() > 0 && location.last() == Some(&b'/') {
        location.pop();
    }
    Some(Reply::redirect(redirect.status, location))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn location_is_host_and_raw_target_without_one_trailing_slash() {
        for (host, port, path, query, location) in [
            ("a.example", None, "/", "", "https://a.example"),
            ("a.example", None, "/x", "", "https://a.example/x"),
            ("a.example", None, "/x/", "", "https://a.example/x"),
            ("a.example", None, "/x//", "", "https://a.example/x/"),
            ("a.example", None, "/x/", "?y=1", "https://a.example/x/?y=1"),
            ("a.example", None, "/x", "?y=/", "https://a.example/x?y="),
            ("a.example", None, "/a/../%7Eb", "", "https://a.example/a/../%7Eb"),
            ("A.Example", None, "/", "", "https://A.Example"),
            ("a.example", Some(8443), "/", "", "https://a.example:8443"),
            ("a.example", Some(8443), "/x/", "?", "https://a.example:8443/x/?"),
            ("[::1]", Some(8443), "/", "", "https://[::1]:8443"),
            ("a.example", None, "", "", "https://a.example"),
        ] {
            let redirect = TlsRedirect { status: 308, port, only_from: None };
            let request = Request { is_tls: false, host, port: None, path: path.as_bytes(), query: query.as_bytes() };
            let expected = Reply::redirect(308, location.into());
            assert_eq!(reply(&redirect, &request), Some(expected), "{host} {path}{query}");
        }
    }

    #[test]
    fn a_client_that_came_through_a_port_mapping_is_not_sent_to_a_port_that_may_not_be_there() {
        let redirect = TlsRedirect { status: 308, port: Some(8443), only_from: Some(8080) };
        for (port, is_redirected) in [(None, true), (Some(8080), true), (Some(9090), false)] {
            let request = Request { is_tls: false, host: "a.example", port, path: b"/", query: b"" };
            assert_eq!(reply(&redirect, &request).is_some(), is_redirected, "{port:?}");
        }
    }

    #[test]
    fn the_status_is_the_one_configured() {
        for status in [301, 302, 307, 308] {
            let redirect = TlsRedirect { status, port: None, only_from: None };
            let request = Request { is_tls: false, host: "a.example", port: None, path: b"/", query: b"" };
            assert_eq!(reply(&redirect, &request).map(|reply| reply.status), Some(status));
        }
    }
}
