//! A redirect of every request (`permanent-redirect`, `temporal-redirect` of ingress-nginx).

use super::{Reply, Request};
use crate::ir::Redirect;

/// The redirect. A path gets the scheme and host of the request before it, without a port.
pub(super) fn reply(redirect: &Redirect, request: &Request<'_>) -> Reply {
    let mut location = Vec::with_capacity(redirect.location.len() + 64);
    if redirect.completes {
        location.extend_from_slice(request.scheme().as_bytes());
        location.extend_from_slice(b"://");
        location.extend_from_slice(request.public_host().as_bytes());
    }
    location.extend_from_slice(redirect.location.as_bytes());
    Reply::redirect(redirect.status, location)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{head, request};

    #[test]
    fn a_path_gets_scheme_and_host_and_the_query_stays_behind() {
        let head = head("GET /old?x=1", "A.example:8080", "");
        for (location, completes, is_tls, sent) in [
            ("https://b.example/new", false, false, "https://b.example/new"),
            ("/new", true, false, "http://A.example/new"),
            ("/new", true, true, "https://A.example/new"),
            ("/new", false, true, "/new"),
        ] {
            let redirect = Redirect { status: 301, location: location.into(), completes };
            let expected = Reply::redirect(301, sent.as_bytes().to_vec());
            assert_eq!(reply(&redirect, &request(&head, is_tls)), expected);
        }
    }
}
