//! Request heads that came in HTTP/2: what the crate lets pass and we do not, and the form that everything after sees.

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Uri};

use crate::http1::framing::Evidence;
use crate::http1::{Fields, Framing, Known, Refusal, RequestHead, Span, Version};
use crate::http1::{HeadBuilder, METHOD_REFUSED, is_refused};
use crate::proxy::outbox::LINE_OVERHEAD;
use crate::settings::{Limit, Limits};
use crate::telemetry::Failure;
use crate::uri::host::{self, HostPort};

/// A request that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Malformed (RFC 9113 8.1.1): the stream is reset with PROTOCOL_ERROR.
    Malformed(&'static str),
    /// It gets an answer.
    Refused(Refusal),
}

/// The head of a request whose body ends with it, if `ends`. Pseudo-header order, connection-specific fields, `te`, letter
/// case and the framing by DATA frames were judged by the crate.
pub(super) fn head(request: &Parts, ends: bool, limits: &Limits) -> Result<RequestHead, Fault> {
    if is_refused(&request.method) {
        return Err(Fault::Refused(METHOD_REFUSED));
    }
    let mut builder = HeadBuilder::request();
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    check_target(target, &request.method, limits)?;
    let path_len = memchr::memchr(b'?', target.as_bytes()).unwrap_or(target.len());
    let target_at = builder.part(target.as_bytes());
    let path = Span { start: target_at.start, len: u32::try_from(path_len).unwrap_or(target_at.len) };
    let query = Span { start: path.start + path.len, len: target_at.len - path.len };
    let (authority, host) = authority(&request.uri, &request.headers)?;
    let authority = builder.part(authority);

    if request.headers.len() > usize::try_from(limits.fields).unwrap_or(usize::MAX) {
        return Err(too_large(431, Limit::fields, "too many fields"));
    }
    let mut evidence = Evidence::default();
    let mut expect_continue = false;
    let mut takes_trailers = false;
    for (name, value) in &request.headers {
        check_value(value)?;
        if name == header::COOKIE {
            continue;
        }
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        check_line(name, value, limits)?;
        match builder.field(name, value) {
            Known::Expect if value.eq_ignore_ascii_case(b"100-continue") => expect_continue = true,
            Known::Expect => {
                let why = "expectation is not known";
                return Err(Fault::Refused(Refusal { status: 417, failure: Failure::BadRequest, limit: None, why }));
            }
            Known::Te => takes_trailers = true,
            known => evidence.line(known, value).map_err(|refusal| Fault::Malformed(refusal.why))?,
        }
    }
    if request.headers.contains_key(header::COOKIE) {
        let cookies = joined_cookies(&request.headers);
        check_line(b"cookie", &cookies, limits)?;
        builder.field(b"cookie", &cookies);
    }
    let framing = match evidence.request(Version::Http11).map_err(|refusal| Fault::Malformed(refusal.why))? {
        Framing::None if !ends => Framing::Chunked,
        framing => framing,
    };
    Ok(RequestHead {
        fields: builder.finish(),
        method: request.method.clone(),
        target: target_at,
        path,
        query,
        authority,
        host: Span { start: authority.start, len: u32::try_from(host.name.len()).unwrap_or(authority.len) },
        port: host.port,
        version: Version::Http2,
        framing,
        keep_alive: true,
        expect_continue,
        takes_trailers,
        upgrade: None,
    })
}

/// Trailers, if they keep to the limits.
pub(super) fn trailers(fields: &HeaderMap, limits: &Limits) -> Result<Fields, Fault> {
    let mut builder = HeadBuilder::response();
    let mut size = 0;
    for (name, value) in fields {
        check_value(value)?;
        size += name.as_str().len() + value.len() + LINE_OVERHEAD;
        let name = name.as_str().as_bytes();
        // What means something to a proxy cannot come after a message (RFC 9110 6.5.1): as over HTTP/1.1.
        if Known::of(name) == Known::Other && !name.contains(&b'_') {
            builder.field(name, value.as_bytes());
        }
    }
    if size > limits.trailers.bytes() {
        return Err(too_large(431, Limit::trailers, "trailers too long"));
    }
    if fields.len() > usize::try_from(limits.trailer_fields).unwrap_or(usize::MAX) {
        return Err(too_large(431, Limit::trailer_fields, "too many trailers"));
    }
    Ok(builder.finish())
}

/// `:authority`, else `host`. Two that differ would be routed by one and served by the other (RFC 9113 8.3.1).
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<(&'a [u8], HostPort<'a>), Fault> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let written = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(Fault::Malformed("second host"));
    }
    let pseudo = uri.authority().map(|authority| authority.as_str().as_bytes());
    let authority = match (pseudo, written) {
        (Some(pseudo), Some(written)) if !pseudo.eq_ignore_ascii_case(written) => {
            return Err(Fault::Malformed("host differs from :authority"));
        }
        (Some(authority), _) | (None, Some(authority)) => authority,
        (None, None) => return Err(Fault::Refused(Refusal::bad("no :authority and no host"))),
    };
    match host::parse(authority) {
        Some(host) => Ok((authority, host)),
        None => Err(Fault::Refused(Refusal::bad(":authority is no host"))),
    }
}

fn check_target(target: &str, method: &Method, limits: &Limits) -> Result<(), Fault> {
    if target.len() > limits.request_line.bytes() {
        return Err(too_large(414, Limit::request_line, "request target too long"));
    }
    let is_path = target.starts_with('/') || (target == "*" && method == Method::OPTIONS);
    if !is_path || !target.bytes().all(|octet| (0x21..0x7f).contains(&octet)) {
        return Err(Fault::Refused(Refusal::bad("target is no path")));
    }
    Ok(())
}

/// RFC 9113 8.2.1. The crate has seen to NUL, CR and LF.
fn check_value(value: &HeaderValue) -> Result<(), Fault> {
    match value.as_bytes() {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => Err(Fault::Malformed("field value begins or ends with a space")),
        _ => Ok(()),
    }
}

fn check_line(name: &[u8], value: &[u8], limits: &Limits) -> Result<(), Fault> {
    if name.len() + value.len() + LINE_OVERHEAD > limits.field_line.bytes() {
        return Err(too_large(431, Limit::field_line, "field line too long"));
    }
    Ok(())
}

/// HTTP/2 clients split cookies to compress them better; HTTP/1.1 has one line (RFC 9113 8.2.3).
fn joined_cookies(headers: &HeaderMap) -> Vec<u8> {
    let mut joined = Vec::new();
    for cookie in headers.get_all(header::COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(cookie.as_bytes());
    }
    joined
}

fn too_large(status: u16, limit: Limit, why: &'static str) -> Fault {
    Fault::Refused(Refusal { status, failure: Failure::HeadTooLarge, limit: Some(limit), why })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn read(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<RequestHead, Fault> {
        head(&parts(method, uri, fields), true, &Limits::default())
    }

    fn status(fault: Fault) -> u16 {
        match fault {
            Fault::Malformed(_) => 0,
            Fault::Refused(refusal) => refusal.status,
        }
    }

    #[test]
    fn a_head_has_the_parts_of_an_http1_head() {
        let head = read("GET", "https://a.example:8443/x/y?q=1", &[("accept", "*/*"), ("te", "trailers")]).unwrap();
        assert_eq!(head.method, Method::GET);
        assert_eq!(head.part(head.target), b"/x/y?q=1");
        assert_eq!((head.path(), head.query()), (&b"/x/y"[..], &b"?q=1"[..]));
        assert_eq!(head.part(head.authority), b"a.example:8443");
        assert_eq!(head.fields.find("accept"), Some(&b"*/*"[..]));
        assert!(head.takes_trailers && head.framing == Framing::None && head.version == Version::Http2);
    }

    #[test]
    fn the_body_is_framed_by_its_length_or_by_its_end() {
        let limits = Limits::default();
        for (length, ends, expected) in [
            (None, true, Framing::None),
            (None, false, Framing::Chunked),
            (Some("0"), true, Framing::Length(0)),
            (Some("5"), false, Framing::Length(5)),
        ] {
            let fields: Vec<_> = length.into_iter().map(|length| ("content-length", length)).collect();
            let head = head(&parts("POST", "http://a.example/", &fields), ends, &limits).unwrap();
            assert_eq!(head.framing, expected, "{length:?} {ends}");
        }
    }

    #[test]
    fn host_must_agree_with_authority() {
        assert!(read("GET", "http://a.example/", &[("host", "A.Example")]).is_ok());
        assert_eq!(status(read("GET", "http://a.example/", &[("host", "b.example")]).unwrap_err()), 0);
        assert_eq!(status(read("GET", "/", &[("host", "a.example"), ("host", "a.example")]).unwrap_err()), 0);
        let head = read("GET", "/", &[("host", "a.example")]).unwrap();
        assert_eq!(head.part(head.authority), b"a.example");
        assert_eq!(status(read("GET", "/", &[]).unwrap_err()), 400);
        assert_eq!(status(read("GET", "http://user@a.example/", &[]).unwrap_err()), 400);
    }

    #[test]
    fn spaces_around_values_are_malformed() {
        for value in [" a", "a ", "\ta", "a\t", " "] {
            assert_eq!(status(read("GET", "http://a.example/", &[("x", value)]).unwrap_err()), 0, "{value:?}");
            assert_eq!(status(read("GET", "http://a.example/", &[("cookie", value)]).unwrap_err()), 0, "{value:?}");
        }
        assert!(read("GET", "http://a.example/", &[("x", "a b"), ("y", "")]).is_ok());
    }

    #[test]
    fn two_lengths_are_malformed_even_when_equal() {
        let fields = [("content-length", "5"), ("content-length", "5")];
        assert_eq!(status(read("POST", "http://a.example/", &fields).unwrap_err()), 0);
    }

    #[test]
    fn cookies_become_one_line() {
        let head = read("GET", "http://a.example/", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]).unwrap();
        assert_eq!(head.fields.find("cookie"), Some(&b"a=1; b=2"[..]));
        assert_eq!(head.fields.count(), 2);
    }

    #[test]
    fn sizes_have_the_statuses_of_http1() {
        let long = "a".repeat(17 << 10);
        assert_eq!(status(read("GET", &format!("http://a.example/{long}"), &[]).unwrap_err()), 414);
        assert_eq!(status(read("GET", "http://a.example/", &[("x", &long)]).unwrap_err()), 431);
        let names: Vec<String> = (0..129).map(|i| format!("x-{i}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
        assert_eq!(status(read("GET", "http://a.example/", &many).unwrap_err()), 431);
        assert!(read("GET", "http://a.example/", &many[..128]).is_ok());
    }

    #[test]
    fn methods_and_expectations_of_no_use_are_refused() {
        assert_eq!(status(read("TRACE", "http://a.example/", &[]).unwrap_err()), 405);
        assert_eq!(status(read("CONNECT", "a.example:443", &[]).unwrap_err()), 405);
        assert_eq!(status(read("POST", "http://a.example/", &[("expect", "tea")]).unwrap_err()), 417);
        assert!(read("POST", "http://a.example/", &[("expect", "100-Continue")]).unwrap().expect_continue);
    }

    #[test]
    fn trailers_say_nothing_of_who_a_client_is() {
        let list = [
            ("grpc-status", "0"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-real-ip", "192.0.2.1"),
            ("ssl-client-verify", "SUCCESS"),
            ("authorization", "Basic YTpi"),
            ("x_forwarded_for", "192.0.2.1"),
            ("host", "b.example"),
        ];
        let fields = trailers(&parts("GET", "/", &list).headers, &Limits::default()).unwrap();
        let names: Vec<String> = fields.passed().map(|(_, name, _)| name.escape_ascii().to_string()).collect();
        assert_eq!(names, ["grpc-status"]);
    }

    #[test]
    fn trailers_have_limits_of_their_own() {
        let fields = |count: usize, length: usize| {
            let value = "v".repeat(length);
            let names: Vec<String> = (0..count).map(|i| format!("x-{i}")).collect();
            let list: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), &value[..])).collect();
            trailers(&parts("GET", "/", &list).headers, &Limits::default())
        };
        assert_eq!(fields(32, 100).unwrap().count(), 32);
        assert_eq!(status(fields(33, 1).unwrap_err()), 431);
        assert_eq!(status(fields(1, 9 << 10).unwrap_err()), 431);
    }
}
