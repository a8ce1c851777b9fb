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

use std::borrow::Cow;

use smallvec::SmallVec;

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

/// A field that every response of a route gets, ours too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseField<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value. Empty: the field is not sent, whoever set it.
    pub value: Cow<'a, [u8]>,
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

/// The fields that are set on one response, each that replaces others once.
pub type ResponseFields<'a> = SmallVec<[ResponseField<'a>; 4]>;

/// Where a response comes from and goes.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// What it answers; `None` for a request that could not be read.
    pub head: Option<&'a RequestHead>,
    /// To the client.
    pub way: Way,
    /// A back end made it, and says what it is.
    pub has_server: bool,
}

/// The request that a response is for, as texts with variables see it.
pub type Asked<'f, 'a> = &'f dyn Fn(&'a RequestHead) -> Request<'a>;

/// What is set on a response, ours too: `answers` on all, `filters` on those of a route. HSTS yields to what is said of all,
/// that to what is said of a route, and both to CORS, as where nginx's outer levels come first. A text with variables says
/// nothing of a request that could not be read. `asked` is called for the texts that have some.
#[inline]
pub fn fields<'a>(
    answers: Option<&'a ir::Answers>,
    filters: Option<&'a ir::Filters>,
    answered: Answered<'a>,
    asked: Asked<'_, 'a>,
) -> ResponseFields<'a> {
    // As it is for most.
    let is_tls = answered.way.is_tls;
    let sets = |filters: &ir::Filters| {
        (is_tls && filters.hsts.is_some()) || filters.cors.is_some() || filters.response.is_some()
    };
    if answers.is_none() && !filters.is_some_and(sets) {
        return ResponseFields::new();
    }
    set_fields(answers, filters, answered, asked)
}

fn set_fields<'a>(
    answers: Option<&'a ir::Answers>,
    filters: Option<&'a ir::Filters>,
    answered: Answered<'a>,
    asked: Asked<'_, 'a>,
) -> ResponseFields<'a> {
    let Answered { head, way, has_server } = answered;
    let mut fields = ResponseFields::new();
    let mut set = |field: ResponseField<'a>| {
        if field.replaces {
            fields.retain(|earlier| !earlier.name.eq_ignore_ascii_case(field.name));
        }
        fields.push(field);
    };
    let replacing = |name, value| ResponseField { name, value: Cow::Borrowed(value), replaces: true };
    let hsts = filters.and_then(|filters| filters.hsts.as_ref()).filter(|_| way.is_tls && !way.is_self_made);
    if let Some(hsts) = hsts {
        set(replacing("Strict-Transport-Security", hsts.value.as_bytes()));
    }
    if let Some(ir::Answers { keeps_server, names_us, hidden: _, set: everywhere }) = answers {
        if *names_us && !(*keeps_server && has_server) {
            set(replacing("Server", b"fairlead"));
        }
        for ir::SetField { name, value } in everywhere {
            match (value.literal(), head) {
                (Some(text), _) => set(replacing(name, text.as_bytes())),
                (None, Some(head)) => {
                    let value = Cow::Owned(text::field_value(value, &asked(head)));
                    set(ResponseField { name, value, replaces: true });
                }
                (None, None) => {}
            }
        }
    }
    let Some(ir::Filters { cors, response, .. }) = filters else { return fields };
    if let Some(response) = response {
        response.fields.iter().for_each(|(name, value)| set(replacing(name, value.as_bytes())));
    }
    if let (Some(cors), Some(head)) = (cors, head) {
        cors::fields(cors, head, &mut set);
    }
    fields
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

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
            is_port_told: false,
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
        let answered = Answered { head: Some(head), way, has_server: false };
        let fields = fields(None, Some(filters), answered, &|head| request(head, false));
        fields.iter().map(|field| format!("{}: {}", field.name, field.value.escape_ascii())).collect()
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
    fn of_fields_with_one_name_the_one_that_is_nearest_to_the_path_is_sent() {
        let lines = |lines: &[(&str, &str)]| lines.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let everywhere = |name: &str, parts: Vec<ir::Part>| ir::SetField {
            name: name.into(),
            value: ir::Template { parts: parts.into() },
        };
        let text = || vec![ir::Part::Text("all".into())];
        let answers = ir::Answers {
            set: [
                everywhere("X-A", text()),
                everywhere("X-B", vec![ir::Part::Text("of ".into()), ir::Part::Address]),
                everywhere("access-control-allow-origin", text()),
            ]
            .into(),
            ..ir::Answers::default()
        };
        let edits = ir::ResponseEdits {
            fields: lines(&[("x-a", "path"), ("Strict-Transport-Security", "path")]),
            ..ir::ResponseEdits::default()
        };
        let cors = ir::Cors {
            origins: ir::Origins::Any,
            methods: "GET".into(),
            headers: "X".into(),
            credentials: false,
            expose: None,
            max_age: "1".into(),
        };
        let filters = ir::Filters { response: Some(Arc::new(edits)), cors: Some(Arc::new(cors)), ..filters() };
        let head = head("GET /", "a.example", "");
        let answered =
            Answered { head: Some(&head), way: Way { is_tls: true, is_self_made: false }, has_server: false };
        let set = fields(Some(&answers), Some(&filters), answered, &|head| request(head, true));
        let sent: Vec<_> = set.iter().map(|field| (field.name, str::from_utf8(&field.value).unwrap())).collect();
        let expected = [("X-B", "of 192.0.2.1"), ("x-a", "path"), ("Strict-Transport-Security", "path")];
        assert_eq!(sent[..3], expected);
        assert_eq!(sent[3], ("Access-Control-Allow-Origin", "*"));
        assert_eq!(sent.len(), 7, "{sent:?}");
        let unread = Answered { head: None, ..answered };
        let set = fields(Some(&answers), None, unread, &|head| request(head, true));
        let names: Vec<_> = set.iter().map(|field| field.name).collect();
        assert_eq!(names, ["X-A", "access-control-allow-origin"], "a request that was not read has no address to tell");
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
