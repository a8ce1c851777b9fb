//! The hash of what a template says of a request. The text itself is never put together.

use std::net::IpAddr;

use crate::http1::RequestHead;
use crate::ir::{Part, Template};
use crate::live::Fnv;
use crate::proxy::downstream::Peer;
use crate::uri::{host, path};

/// The hash of the text of `by`, or of the client's address without one: an IPv6 client by its /64, which is the least
/// that one customer gets (RFC 6177). `None` when the text is empty. Names and values are taken as nginx takes them.
pub fn hash(head: &RequestHead, peer: &Peer, by: Option<&Template>) -> Option<u64> {
    let mut hash = Fnv::default();
    match by {
        Some(by) => each(head, peer, by, &mut |octets| hash.write(octets)),
        None => match peer.client() {
            IpAddr::V4(ip) => hash.write(&ip.octets()),
            IpAddr::V6(ip) => hash.write(ip.octets().first_chunk::<8>().map_or(&[], |network| &network[..])),
        },
    }
    hash.finish()
}

/// Calls `put` with what `template` says of a request, piece by piece.
pub fn each(head: &RequestHead, peer: &Peer, template: &Template, put: &mut impl FnMut(&[u8])) {
    template.parts.iter().for_each(|part| write(put, head, peer, part));
}

fn write(put: &mut impl FnMut(&[u8]), head: &RequestHead, peer: &Peer, part: &Part) {
    match part {
        Part::Text(text) => put(text.as_bytes()),
        Part::Address => put(peer.client_text().as_bytes()),
        Part::Uri => {
            put(head.path());
            put(head.query());
        }
        Part::Path => match path::normalise(head.path()) {
            Ok(path) => put(path.matching.as_bytes()),
            Err(_) => put(head.path()),
        },
        Part::Query => put(query(head)),
        Part::Host => {
            let name = str::from_utf8(head.part(head.host)).unwrap_or_default();
            put(host::lookup(name).as_bytes());
        }
        Part::Method => put(head.method.as_str().as_bytes()),
        Part::Scheme => put(peer.scheme().as_bytes()),
        Part::Argument(name) => put(argument(query(head), name).unwrap_or_default()),
        Part::Cookie(name) => put(cookie(head, name).unwrap_or_default()),
        Part::Field(name) => field(put, head, name),
    }
}

/// The query without its question mark.
fn query(head: &RequestHead) -> &[u8] {
    head.query().strip_prefix(b"?").unwrap_or_default()
}

/// The value of the first argument of that name, as it was sent.
fn argument<'a>(query: &'a [u8], name: &str) -> Option<&'a [u8]> {
    query.split(|octet| *octet == b'&').find_map(|argument| value(argument, name))
}

/// The value of the first cookie of that name, in any letter case.
fn cookie<'a>(head: &'a RequestHead, name: &str) -> Option<&'a [u8]> {
    head.cookies().find(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
}

/// The value of `pair` if it is `name=value`, in any letter case of the name.
fn value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (own, rest) = pair.split_at_checked(name.len())?;
    if own.eq_ignore_ascii_case(name.as_bytes()) { rest.strip_prefix(b"=") } else { None }
}

/// The values of every line of that name, joined as one line would have them (RFC 9110 5.3; cookies RFC 6265 4.2.1).
fn field(put: &mut impl FnMut(&[u8]), head: &RequestHead, name: &str) {
    if name == "host" {
        // HTTP/2 has it elsewhere.
        return put(head.part(head.authority));
    }
    let joint: &[u8] = if name == "cookie" { b"; " } else { b", " };
    let mut is_first = true;
    for (_, _, value) in head.fields.iter().filter(|(_, own, _)| own.eq_ignore_ascii_case(name.as_bytes())) {
        if !std::mem::take(&mut is_first) {
            put(joint);
        }
        put(value);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    const SENT: &str = "GET /Shop//a%2dz?id=7&ID=8&empty=&flag HTTP/1.1\r\nHost: A.example:8080\r\nX-User: ann\r\n\
                        x-user: bob\r\nCookie: a=1; session=s%20x\r\nCookie: b=2\r\n\r\n";

    fn hashed(sent: &str, address: &str, by: Option<&[Part]>) -> Option<u64> {
        let head = RequestHead::parse(&mut BytesMut::from(sent), sent.len()).unwrap();
        let peer = Peer::new(address.parse().unwrap(), "192.0.2.2:8080".parse().unwrap(), None);
        let by = by.map(|parts| Template { parts: parts.into() });
        hash(&head, &peer, by.as_ref())
    }

    fn of_text(text: &str) -> Option<u64> {
        let mut hash = Fnv::default();
        hash.write(text.as_bytes());
        hash.finish()
    }

    #[test]
    fn a_template_is_hashed_as_the_text_that_nginx_would_make() {
        let (argument, cookie) = (|name: &str| Part::Argument(name.into()), |name: &str| Part::Cookie(name.into()));
        let cases: &[(&[Part], &str)] = &[
            (&[Part::Text("x-".into()), argument("id")], "x-7"),
            (&[Part::Address], "192.0.2.1"),
            (&[Part::Uri], "/Shop//a%2dz?id=7&ID=8&empty=&flag"),
            (&[Part::Path], "/Shop/a-z"),
            (&[Part::Query], "id=7&ID=8&empty=&flag"),
            (&[Part::Scheme, Part::Text("://".into()), Part::Host], "http://a.example"),
            (&[Part::Method], "GET"),
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
            assert_eq!(hashed(SENT, "192.0.2.1:5", Some(parts)), of_text(text), "{parts:?}");
        }
    }

    #[test]
    fn a_client_is_its_address_and_in_ipv6_its_network() {
        let client = |address| hashed(SENT, address, None);
        assert!(client("192.0.2.1:5").is_some());
        assert_eq!(client("192.0.2.1:5"), client("192.0.2.1:6"));
        assert_eq!(client("192.0.2.1:5"), client("[::ffff:192.0.2.1]:5"));
        assert_ne!(client("192.0.2.1:5"), client("192.0.2.2:5"));
        assert_eq!(client("[2001:db8:1:2::1]:5"), client("[2001:db8:1:2:ffff::9]:5"));
        assert_ne!(client("[2001:db8:1:2::1]:5"), client("[2001:db8:1:3::1]:5"));
    }
}
