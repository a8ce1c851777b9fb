//! From http to https (`ssl-redirect` of ingress-nginx).

use std::io::Write;

use super::{Reply, Request};
use crate::ir::TlsRedirect;

/// The redirect of a request in clear text: the same host and raw target, without one trailing slash of the target unless
/// that is to be kept.
pub(super) fn reply(redirect: &TlsRedirect, request: &Request<'_>) -> Option<Reply> {
    // A host that names the port of http says no more than one that names none.
    let is_mapped = |own| request.public_port().is_some_and(|port| port != own && port != 80);
    if !request.is_clear || redirect.only_from.is_some_and(is_mapped) {
        return None;
    }
    let (host, path, query) = (request.public_host(), request.path(), request.query());
    let mut location = Vec::with_capacity("https://:65535".len() + host.len() + path.len() + query.len());
    location.extend_from_slice(b"https://");
    location.extend_from_slice(host.as_bytes());
    if let Some(port) = redirect.port {
        // Writing to a vector cannot fail.
        let _ = write!(location, ":{port}");
    }
    location.extend_from_slice(path);
    location.extend_from_slice(query);
    if !redirect.keeps_slash && location.last() == Some(&b'/') {
        location.pop();
    }
    Some(Reply::redirect(redirect.status, location))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{head, request};

    const PLAIN: TlsRedirect = TlsRedirect { status: 308, port: None, only_from: None, keeps_slash: false };

    fn location(redirect: &TlsRedirect, host: &str, target: &str) -> Option<Reply> {
        let head = head(&format!("GET {target}"), host, "");
        reply(redirect, &request(&head, false))
    }

    #[test]
    fn a_client_that_came_through_a_port_mapping_is_not_sent_to_a_port_that_may_not_be_there() {
        let redirect = TlsRedirect { port: Some(8443), only_from: Some(8080), ..PLAIN };
        for (host, is_redirected) in
            [("a.example", true), ("a.example:8080", true), ("a.example:80", true), ("a.example:9090", false)]
        {
            assert_eq!(location(&redirect, host, "/").is_some(), is_redirected, "{host}");
        }
        for (host, told, is_redirected) in [
            ("a.example:9090", "a.example", true),
            ("a.example", "a.example:9090", false),
            ("a.example:9090", "b@d", false),
        ] {
            let head = head("GET /", host, "");
            let request = Request { forwarded_host: Some(told.as_bytes()), ..request(&head, false) };
            assert_eq!(reply(&redirect, &request).is_some(), is_redirected, "{host}, told {told}");
        }
    }

    #[test]
    fn location_is_host_and_raw_target_without_one_trailing_slash() {
        for (host, port, target, expected) in [
            ("a.example", None, "/", "https://a.example"),
            ("a.example", None, "/x", "https://a.example/x"),
            ("a.example", None, "/x/", "https://a.example/x"),
            ("a.example", None, "/x//", "https://a.example/x/"),
            ("a.example", None, "/x/?y=1", "https://a.example/x/?y=1"),
            ("a.example", None, "/x?y=/", "https://a.example/x?y="),
            ("a.example", None, "/a/../%7Eb", "https://a.example/a/../%7Eb"),
            ("A.Example", None, "/", "https://A.Example"),
            ("a.example", Some(8443), "/", "https://a.example:8443"),
            ("a.example", Some(8443), "/x/?", "https://a.example:8443/x/?"),
            ("[::1]", Some(8443), "/", "https://[::1]:8443"),
            ("a.example:8080", None, "http://a.example", "https://a.example"),
        ] {
            let redirect = TlsRedirect { port, ..PLAIN };
            let expected = Reply::redirect(308, expected.into());
            assert_eq!(location(&redirect, host, target), Some(expected), "{host} {target}");
        }
    }

    #[test]
    fn the_slash_stays_where_it_is_to_be_kept() {
        let redirect = TlsRedirect { keeps_slash: true, ..PLAIN };
        for (target, expected) in [("/", "https://a.example/"), ("/x/", "https://a.example/x/")] {
            let expected = Reply::redirect(308, expected.into());
            assert_eq!(location(&redirect, "a.example", target), Some(expected), "{target}");
        }
    }

    #[test]
    fn the_status_is_the_one_configured() {
        for status in [301, 302, 307, 308] {
            let redirect = TlsRedirect { status, ..PLAIN };
            assert_eq!(location(&redirect, "a.example", "/").map(|reply| reply.status), Some(status));
        }
    }
}
