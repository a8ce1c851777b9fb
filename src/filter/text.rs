//! Texts with parts of a request in them.

use std::net::IpAddr;

use super::Request;
use crate::http1::{Known, RequestHead};
use crate::ir::{Part, Template};
use crate::telemetry::access_log::basic_user;
use crate::telemetry::moment;
use crate::uri::{host, path};

/// Gives the pieces of the text one after the other. Names and values are taken as nginx takes them.
pub fn each(template: &Template, request: &Request<'_>, mut write: impl FnMut(&[u8])) {
    for part in &template.parts {
        piece(part, request, &mut write);
    }
}

/// The whole text.
pub fn expand(template: &Template, request: &Request<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    each(template, request, |piece| text.extend_from_slice(piece));
    text
}

/// The whole text as the value of a field: what cannot stand there is a space, and none stands around it.
pub fn field_value(template: &Template, request: &Request<'_>) -> Vec<u8> {
    let mut text = expand(template, request);
    for octet in text.iter_mut().filter(|octet| octet.is_ascii_control() && **octet != b'\t') {
        *octet = b' ';
    }
    text.trim_ascii().to_vec()
}

/// What tells one client from another: its address, of IPv6 the /64, which is the least that one customer gets (RFC 6177).
pub fn client(address: IpAddr, write: impl FnOnce(&[u8])) {
    match address {
        IpAddr::V4(ip) => write(&ip.octets()),
        IpAddr::V6(ip) => write(ip.octets().first_chunk::<8>().map_or(&[], |network| &network[..])),
    }
}

/// Gives the pieces of one part.
pub(super) fn piece(part: &Part, request: &Request<'_>, write: &mut impl FnMut(&[u8])) {
    let head = request.head;
    match part {
        Part::Text(text) => write(text.as_bytes()),
        Part::Address => write(request.client_text.as_bytes()),
        Part::User => {
            // It comes in base64, and so is the one part that can have in it what ends a line.
            let user = head.fields.get(Known::Authorization).and_then(basic_user);
            let is_text = |user: &Vec<u8>| !user.iter().any(u8::is_ascii_control);
            write(&user.filter(is_text).unwrap_or_default());
        }
        Part::Uri => {
            write(head.path());
            write(head.query());
        }
        Part::EscapedUri => {
            escape(head.path(), &mut *write);
            escape(head.query(), &mut *write);
        }
        Part::Path => match path::normalise(head.path()) {
            Ok(path) => write(path.matching.as_bytes()),
            Err(_) => write(head.path()),
        },
        Part::Query => write(query(head)),
        Part::QueryMark => write(if query(head).is_empty() { b"" } else { b"?" }),
        Part::Host => write(host::lookup(request.host()).as_bytes()),
        Part::Authority => write(request.authority()),
        Part::Port => write(request.port.as_bytes()),
        Part::ForwardedFor => {
            let mut is_said = false;
            field(head, "x-forwarded-for", &mut |piece| {
                is_said = true;
                write(piece);
            });
            if is_said {
                write(b", ");
            }
            write(request.client_text.as_bytes());
        }
        Part::Method => write(head.method.as_str().as_bytes()),
        Part::Scheme => write(request.scheme().as_bytes()),
        Part::RequestId => write(request.request_id),
        Part::Protocol => write(head.version.protocol().as_bytes()),
        Part::Hostname => write(moment::hostname().as_bytes()),
        Part::Msec => {
            let mut text = Vec::with_capacity(16);
            moment::msec(&mut text, moment::nanos());
            write(&text);
        }
        Part::TimeIso => write(&moment::iso(moment::nanos())),
        Part::Namespace
        | Part::IngressName
        | Part::ServiceName
        | Part::ServicePort
        | Part::RulePath
        | Part::UpstreamName => {
            // Texts of a route have these in words.
            if let Some(name) = request.route.and_then(|route| route.name(part)) {
                write(name.as_bytes());
            }
        }
        Part::Argument(name) => write(argument(query(head), name).unwrap_or_default()),
        Part::Cookie(name) => write(cookie(head, name).unwrap_or_default()),
        Part::Field(name) => field(head, name, write),
    }
}

/// Everything but the unreserved characters (RFC 3986 2.3) as `%XX`, so that the text can stand in a query.
pub fn escape(text: &[u8], mut write: impl FnMut(&[u8])) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~".contains(octet);
    for run in text.chunk_by(|a, b| is_plain(a) && is_plain(b)) {
        match run {
            [octet] if !is_plain(octet) => write(&[b'%', digit(octet >> 4), digit(octet & 15)]),
            run => write(run),
        }
    }
}

/// The text as it can stand in a URL: what a field of the client brought in and is no visible ASCII is escaped.
pub fn visible(text: Vec<u8>) -> Vec<u8> {
    let is_visible = |octet: &u8| octet.is_ascii_graphic() && *octet != b'#';
    if text.iter().all(is_visible) {
        return text;
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    for octet in &text {
        match is_visible(octet) {
            true => out.push(*octet),
            false => escape(&[*octet], |piece| out.extend_from_slice(piece)),
        }
    }
    out
}

/// The query without its question mark.
pub fn query(head: &RequestHead) -> &[u8] {
    head.query().strip_prefix(b"?").unwrap_or_default()
}

/// The value of the first argument of that name, as it was sent.
pub fn argument<'a>(query: &'a [u8], name: &str) -> Option<&'a [u8]> {
    query.split(|octet| *octet == b'&').find_map(|argument| value(argument, name))
}

/// The value of the first cookie of that name, in any letter case.
pub fn cookie<'a>(head: &'a RequestHead, name: &str) -> Option<&'a [u8]> {
    head.cookies().find(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
}

/// The value of `pair` if it is `name=value`, in any letter case of the name.
fn value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (own, rest) = pair.split_at_checked(name.len())?;
    if own.eq_ignore_ascii_case(name.as_bytes()) { rest.strip_prefix(b"=") } else { None }
}

/// The values of every line of that name, joined as one line would have them (RFC 9110 5.3; cookies RFC 6265 4.2.1).
fn field(head: &RequestHead, name: &str, write: &mut impl FnMut(&[u8])) {
    if name == "host" {
        // HTTP/2 has it elsewhere.
        return write(head.part(head.authority));
    }
    let joint: &[u8] = if name == "cookie" { b"; " } else { b", " };
    let mut is_first = true;
    for (_, _, value) in head.fields.iter().filter(|(_, own, _)| own.eq_ignore_ascii_case(name.as_bytes())) {
        if !std::mem::take(&mut is_first) {
            write(joint);
        }
        write(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{head, request};

    #[test]
    fn a_template_becomes_the_text_that_nginx_would_make() {
        let head = head(
            "GET /Shop//a%2dz?id=7&ID=8&empty=&flag",
            "A.example:8080",
            "X-User: ann\r\nx-user: bob\r\nCookie: a=1; session=s%20x\r\nCookie: b=2\r\n",
        );
        let (argument, cookie) = (|name: &str| Part::Argument(name.into()), |name: &str| Part::Cookie(name.into()));
        let cases: &[(&[Part], &str)] = &[
            (&[Part::Text("x-".into()), argument("id")], "x-7"),
            (&[Part::Address], "192.0.2.1"),
            (&[Part::Uri], "/Shop//a%2dz?id=7&ID=8&empty=&flag"),
            (&[Part::EscapedUri], "%2FShop%2F%2Fa%252dz%3Fid%3D7%26ID%3D8%26empty%3D%26flag"),
            (&[Part::Path], "/Shop/a-z"),
            (&[Part::Query], "id=7&ID=8&empty=&flag"),
            (&[Part::QueryMark], "?"),
            (&[Part::Scheme, Part::Text("://".into()), Part::Host], "http://a.example"),
            (&[Part::Method], "GET"),
            (&[Part::Protocol], "HTTP/1.1"),
            (&[Part::Hostname], moment::hostname()),
            (&[argument("ID")], "7"),
            (&[argument("empty")], ""),
            (&[argument("flag")], ""),
            (&[argument("other")], ""),
            (&[cookie("session")], "s%20x"),
            (&[cookie("b")], "2"),
            (&[cookie("sess")], ""),
            (&[Part::Field("x-user".into())], "ann, bob"),
            (&[Part::Field("cookie".into())], "a=1; session=s%20x; b=2"),
            (&[Part::Field("host".into())], "A.example:8080"),
            (&[Part::Field("x-other".into()), cookie("no")], ""),
            (&[], ""),
        ];
        for (parts, text) in cases {
            let template = Template { parts: (*parts).into() };
            let expanded = expand(&template, &request(&head, false));
            assert_eq!(expanded.escape_ascii().to_string(), *text, "{parts:?}");
        }
    }

    #[test]
    fn what_is_escaped_can_stand_in_a_query() {
        for (text, escaped) in [("", ""), ("a-b._~9", "a-b._~9"), ("/?&=+ %", "%2F%3F%26%3D%2B%20%25"), ("é", "%C3%A9")]
        {
            let mut out = Vec::new();
            escape(text.as_bytes(), |piece| out.extend_from_slice(piece));
            assert_eq!(String::from_utf8(out).unwrap(), escaped);
        }
    }
}
