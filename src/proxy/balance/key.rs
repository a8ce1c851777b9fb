//! What a template says of a request, as a hash, for which the text is never put together, or as the text.

use std::net::IpAddr;

use crate::filter::{Request, text};
use crate::ir::Template;
use crate::live::Fnv;

/// The hash of the text of `by`, or of the client without one. `None` when the text is empty.
pub fn hash(request: &Request<'_>, by: Option<&Template>) -> Option<u64> {
    let mut hash = Fnv::default();
    match by {
        Some(by) => text::each(by, request, |piece| hash.write(piece)),
        None => return of_client(request.client),
    }
    hash.finish()
}

/// The hash of a client.
pub fn of_client(client: IpAddr) -> Option<u64> {
    let mut hash = Fnv::default();
    text::client(client, |octets| hash.write(octets));
    hash.finish()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::http1::RequestHead;
    use crate::ir::Part;
    use crate::proxy::downstream::Peer;

    fn hashed(address: &str, by: Option<&[Part]>) -> Option<u64> {
        let sent = "GET /?id=7 HTTP/1.1\r\nHost: a.example\r\n\r\n";
        let head = RequestHead::parse(&mut BytesMut::from(sent), sent.len()).unwrap();
        let peer = Peer::new(address.parse().unwrap(), "192.0.2.2:8080".parse().unwrap(), None);
        let by = by.map(|parts| Template { parts: parts.into() });
        hash(&peer.request(&head), by.as_ref())
    }

    #[test]
    fn pieces_are_hashed_as_the_text_that_they_make() {
        let mut expected = Fnv::default();
        expected.write(b"x-7");
        let parts = [Part::Text("x-".into()), Part::Argument("id".into())];
        assert_eq!(hashed("192.0.2.1:5", Some(&parts)), expected.finish());
        assert_eq!(hashed("192.0.2.1:5", Some(&[Part::Argument("no".into())])), None);
    }

    #[test]
    fn a_client_is_its_address_and_in_ipv6_its_network() {
        let client = |address| hashed(address, None);
        assert!(client("192.0.2.1:5").is_some());
        assert_eq!(client("192.0.2.1:5"), client("192.0.2.1:6"));
        assert_eq!(client("192.0.2.1:5"), client("[::ffff:192.0.2.1]:5"));
        assert_ne!(client("192.0.2.1:5"), client("192.0.2.2:5"));
        assert_eq!(client("[2001:db8:1:2::1]:5"), client("[2001:db8:1:2:ffff::9]:5"));
        assert_ne!(client("[2001:db8:1:2::1]:5"), client("[2001:db8:1:3::1]:5"));
    }
}
