//! What happens to a request before and after the upstream: synchronous, no I/O, in one order.

mod access;
mod blocked;
pub mod answer;
pub mod cache;
pub mod canary;
pub mod certificate;
pub mod compress;
mod cors;
mod fixed;
mod host;
pub mod password;
mod redirect;
mod reply;
mod request;
mod rewrite;
pub mod rules;
mod slash_redirect;
pub mod text;
mod tls_redirect;
mod wording;

pub use self::access::{ByAddress, by_address};
pub use self::blocked::blocked;
pub use self::host::at_host;
pub use self::reply::Reply;
pub use self::request::Request;
pub use self::rewrite::Rewritten;
use crate::http1::RequestHead;
use crate::ir;
use crate::uri::path::RoutingPath;

/// The route that takes a request.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The request path.
    pub path: &'a RoutingPath<'a>,
    /// The path of the rule.
    pub rule: &'a ir::PathMatch,
}

/// What is answered before it is asked who comes in; the order is that of nginx's phases. `Err` ends the request; else what
/// goes upstream in place of path and query, if something does.
pub fn before(filters: &ir::Filters, request: &Request<'_>, found: Found<'_>) -> Result<Option<Box<Rewritten>>, Reply> {
    let ir::Filters { tls_redirect, slash_redirect, rewrite, reply, redirect, cors, .. } = filters;
    if let Some(redirect) = slash_redirect
        && let Some(reply) = slash_redirect::reply(*redirect, request, found)
    {
        return Err(reply);
    }
    if let Some(cors) = cors
        && let Some(reply) = cors::preflight(cors, request.head)
    {
        return Err(reply);
    }
    if let Some(fixed) = reply {
        return Err(fixed::reply(fixed, request));
    }
    if let Some(redirect) = redirect {
        return Err(redirect::reply(redirect, request));
    }
    let rewritten = match rewrite {
        Some(rewrite) => rewrite::apply(rewrite, request, found)?,
        None => None,
    };
    if let Some(redirect) = tls_redirect
        && let Some(reply) = tls_redirect::reply(redirect, request)
    {
        return Err(reply);
    }
    Ok(rewritten)
}

/// What is set on every answer, ours too, whatever the route. `has_server`: a back end made it, and says what it is.
pub fn everywhere<'a>(answers: &'a ir::Answers, has_server: bool, mut set: impl FnMut(ResponseField<'a>)) {
    let ir::Answers { keeps_server, names_us, hidden: _, set: fields } = answers;
    if *names_us && !(*keeps_server && has_server) {
        set(ResponseField { name: "Server", value: b"fairlead", replaces: true });
    }
    for (name, value) in fields {
        set(ResponseField { name, value: value.as_bytes(), replaces: true });
    }
}

/// A field that every response of a route gets, ours too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseField<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: &'a [u8],
    /// It takes the place of fields of that name; else it stands beside them.
    pub replaces: bool,
}

/// How a response goes to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Over TLS.
    pub is_tls: bool,
    /// With the certificate made at start; a browser that is told to insist on TLS could then not get past the warning.
    pub is_self_made: bool,
}

/// What is set on a response to `head`, which is not there for a request that could not be read.
pub fn after<'a>(
    filters: &'a ir::Filters,
    head: Option<&'a RequestHead>,
    way: Way,
    mut set: impl FnMut(ResponseField<'a>),
) {
    let ir::Filters { hsts, cors, response, .. } = filters;
    if let Some(hsts) = hsts.as_ref().filter(|_| way.is_tls && !way.is_self_made) {
        set(ResponseField { name: "Strict-Transport-Security", value: hsts.value.as_bytes(), replaces: true });
    }
    if let (Some(cors), Some(head)) = (cors, head) {
        cors::fields(cors, head, &mut set);
    }
    if let Some(response) = response {
        for (name, value) in &response.fields {
            set(ResponseField { name, value: value.as_bytes(), replaces: true });
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::BytesMut;

    use super::*;

    /// The head of `GET target` at `host`, with further lines.
    pub(crate) fn head(request_line: &str, host: &str, lines: &str) -> RequestHead {
        let text = format!("{request_line} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
        RequestHead::parse(&mut BytesMut::from(&*text), text.len()).unwrap()
    }

    /// A request with that head from a client at 192.0.2.1.
    pub(crate) fn request(head: &RequestHead, is_tls: bool) -> Request<'_> {
        Request {
            head,
            client: "192.0.2.1".parse().unwrap(),
            client_text: "192.0.2.1",
            is_tls,
            is_clear: !is_tls,
            forwarded_host: None,
            request_id: b"id-1",
            port: "80",
            route: None,
        }
    }

    fn filters() -> ir::Filters {
        ir::Filters {
            tls_redirect: Some(ir::TlsRedirect { status: 308, port: None, only_from: None, keeps_slash: false }),
            hsts: Some(ir::Hsts { value: "max-age=31536000; includeSubDomains".into() }),
            ..ir::Filters::default()
        }
    }

    fn status(filters: &ir::Filters, request: &Request<'_>) -> Option<u16> {
        let path = RoutingPath { forward: "/".into(), matching: "/".into() };
        let rule = ir::PathMatch { kind: ir::PathKind::Prefix, path: "/".into() };
        before(filters, request, Found { path: &path, rule: &rule }).err().map(|reply| reply.status)
    }

    fn set(filters: &ir::Filters, head: &RequestHead, way: Way) -> Vec<String> {
        let mut fields = Vec::new();
        after(filters, Some(head), way, |field| fields.push(format!("{}: {}", field.name, field.value.escape_ascii())));
        fields
    }

    #[test]
    fn only_requests_in_clear_text_are_redirected() {
        let head = head("GET /", "a.example", "");
        for (is_tls, status) in [(false, Some(308)), (true, None)] {
            assert_eq!(self::status(&filters(), &request(&head, is_tls)), status);
        }
    }

    #[test]
    fn a_route_without_filters_changes_nothing() {
        let head = head("GET /", "a.example", "Origin: https://b.example\r\n");
        assert_eq!(status(&ir::Filters::default(), &request(&head, false)), None);
        assert!(set(&ir::Filters::default(), &head, Way { is_tls: true, is_self_made: false }).is_empty());
    }

    #[test]
    fn hsts_needs_tls_with_a_certificate_that_somebody_gave() {
        let head = head("GET /", "a.example", "");
        for (is_tls, is_self_made, sent) in [(true, false, true), (true, true, false), (false, false, false)] {
            let fields = set(&filters(), &head, Way { is_tls, is_self_made });
            let expected = ["Strict-Transport-Security: max-age=31536000; includeSubDomains"];
            assert_eq!(fields, if sent { &expected[..] } else { &[] }, "tls {is_tls}, self made {is_self_made}");
        }
    }
}
