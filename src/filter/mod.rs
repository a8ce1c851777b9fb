//! What happens to a request before and after the upstream: synchronous, no I/O, in one order.

pub mod cache;
pub mod compress;
mod reply;
mod tls_redirect;

pub use self::reply::Reply;
use crate::http1::Known;
use crate::ir;

/// What filters look at in a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// It came over TLS.
    pub is_tls: bool,
    /// Host as received, without port; an IPv6 address in its brackets.
    pub host: &'a str,
    /// Port of the host as received.
    pub port: Option<u16>,
    /// Path as received.
    pub path: &'a [u8],
    /// Query as received, with its `?`; empty when there is none.
    pub query: &'a [u8],
}

/// What is done before the upstream; the order is that of nginx's phases. A reply ends the request.
pub fn before(filters: &ir::Filters, request: &Request<'_>) -> Option<Reply> {
    let ir::Filters { tls_redirect, hsts: _ } = filters;
    if let Some(redirect) = tls_redirect
        && let Some(reply) = tls_redirect::reply(redirect, request)
    {
        return Some(reply);
    }
    None
}

/// A field that every response gets, ours too, in place of the upstream's fields of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseField<'a> {
    /// Its name.
    pub name: &'static str,
    /// Its name as responses are indexed by.
    pub known: Known,
    /// Its value.
    pub value: &'a str,
}

/// What is set on a response. `is_self_made`: the connection was served with the certificate made at start; a browser
/// that is told to insist on TLS could then not get past the warning.
pub fn after(filters: &ir::Filters, is_tls: bool, is_self_made: bool) -> impl Iterator<Item = ResponseField<'_>> {
    let ir::Filters { tls_redirect: _, hsts } = filters;
    let hsts = hsts.as_ref().filter(|_| is_tls && !is_self_made).map(|hsts| ResponseField {
        name: "Strict-Transport-Security",
        known: Known::StrictTransportSecurity,
        value: &hsts.value,
    });
    hsts.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters() -> ir::Filters {
        ir::Filters {
            tls_redirect: Some(ir::TlsRedirect { status: 308, port: None, only_from: None }),
            hsts: Some(ir::Hsts { value: "max-age=31536000; includeSubDomains".into() }),
        }
    }

    #[test]
    fn only_requests_in_clear_text_are_redirected() {
        for (is_tls, status) in [(false, Some(308)), (true, None)] {
            let request = Request { is_tls, host: "a.example", port: None, path: b"/", query: b"" };
            assert_eq!(before(&filters(), &request).map(|reply| reply.status), status);
        }
    }

    #[test]
    fn a_route_without_filters_changes_nothing() {
        let request = Request { is_tls: false, host: "a.example", port: None, path: b"/", query: b"" };
        assert_eq!(before(&ir::Filters::default(), &request), None);
        assert_eq!(after(&ir::Filters::default(), true, false).count(), 0);
    }

    #[test]
    fn hsts_needs_tls_with_a_certificate_that_somebody_gave() {
        for (is_tls, is_self_made, sent) in [(true, false, true), (true, true, false), (false, false, false)] {
            let filters = filters();
            let field = after(&filters, is_tls, is_self_made).next();
            let value = field.map(|field| (field.name, field.value));
            let expected = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains");
            assert_eq!(value, sent.then_some(expected), "tls {is_tls}, self made {is_self_made}");
        }
    }
}
