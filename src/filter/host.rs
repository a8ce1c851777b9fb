//! What a host answers before any of its paths is looked at (`app-root` and `from-to-www-redirect` of ingress-nginx).

use std::io::Write;

use super::{Reply, Request, text, wording};
use crate::ir::HostRedirect;
use crate::uri::path::RoutingPath;

/// The redirect of a host, if it concerns the request.
pub fn at_host(redirect: &HostRedirect, request: &Request<'_>, path: &RoutingPath<'_>) -> Option<Reply> {
    let mut location = Vec::with_capacity(128);
    location.extend_from_slice(request.scheme().as_bytes());
    location.extend_from_slice(b"://");
    match redirect {
        HostRedirect::Root(root) => {
            if path.matching != "/" {
                return None;
            }
            location.extend_from_slice(request.authority());
            text::each(root, request, |piece| wording::visible(&mut location, piece));
            Some(Reply::redirect(302, location))
        }
        HostRedirect::Moved { to, status, http_port, https_port } => {
            let usual = if request.is_tls { *https_port } else { *http_port };
            let told = request.is_port_told.then(|| request.port.parse().ok()).flatten();
            // Writing to a vector cannot fail.
            let _ = write!(location, "{to}:{}", told.or(request.head.port).unwrap_or(usual));
            location.extend_from_slice(request.path());
            location.extend_from_slice(request.query());
            if location.last() == Some(&b'/') {
                location.pop();
            }
            Some(Reply::redirect(*status, location))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{head, request};
    use crate::ir::{Part, Template};
    use crate::uri::path;

    fn location(redirect: &HostRedirect, is_tls: bool, port: Option<u16>, target: &str) -> Option<(u16, String)> {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let head = head(&format!("GET {target}"), &format!("A.example{port}"), "");
        let reply = at_host(redirect, &request(&head, is_tls), &path::normalise(head.path()).unwrap())?;
        Some((reply.status, reply.fields[0].1.escape_ascii().to_string()))
    }

    #[test]
    fn the_root_alone_goes_to_the_application() {
        let plain = HostRedirect::Root(Template { parts: [Part::Text("/app".into())].into() });
        let with_query = [Part::Text("/app".into()), Part::QueryMark, Part::Query];
        let with_query = HostRedirect::Root(Template { parts: with_query.into() });
        for (redirect, is_tls, port, target, sent) in [
            (&plain, false, None, "/", Some("http://A.example/app")),
            (&plain, true, Some(8443), "//?q=1", Some("https://A.example:8443/app")),
            (&with_query, false, None, "/?q=1", Some("http://A.example/app?q=1")),
            (&with_query, false, None, "/", Some("http://A.example/app")),
            (&plain, false, None, "/x", None),
        ] {
            let expected = sent.map(|sent| (302, sent.to_owned()));
            assert_eq!(location(redirect, is_tls, port, target), expected, "{target}");
        }
    }

    #[test]
    fn everything_goes_to_the_other_host_with_a_port_and_without_one_slash_at_the_end() {
        let moved = HostRedirect::Moved { to: "b.example".into(), status: 308, http_port: 80, https_port: 443 };
        for (is_tls, port, target, sent) in [
            (false, None, "/", "http://b.example:80"),
            (true, None, "/x/?q=/", "https://b.example:443/x/?q="),
            (false, Some(8080), "/x%2F//", "http://b.example:8080/x%2F/"),
            (true, None, "/.well-known/acme-challenge/t", "https://b.example:443/.well-known/acme-challenge/t"),
        ] {
            assert_eq!(location(&moved, is_tls, port, target), Some((308, sent.to_owned())), "{target}");
        }
    }
}
