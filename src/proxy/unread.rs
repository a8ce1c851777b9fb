//! What can be told of a request whose head was refused, for its log line.

use http::request::Parts;

use crate::uri::token::is_token;

/// The first line of a refused head as far as it can be read, and how much of the head came.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// A token (RFC 9110 5.6.2); empty if the head does not begin with one.
    pub method: Box<str>,
    /// Request target as received, [`MOST_TARGET`] octets of it at most.
    pub target: Box<[u8]>,
    /// `HTTP/` with a version; empty if there is none.
    pub protocol: Box<str>,
    /// Octets of the head.
    pub length: u64,
}

impl Unread {
    /// Of `head`, which may break off anywhere.
    pub fn http1(head: &[u8]) -> Unread {
        let lines = head.strip_prefix(b"\r\n").unwrap_or(head);
        let line = lines.split(|octet| matches!(octet, b'\r' | b'\n')).next().unwrap_or_default();
        let (method, rest) = cut(line, memchr::memchr(b' ', line));
        let (target, last) = cut(rest, memchr::memrchr(b' ', rest));
        let (target, protocol) = if is_protocol(last) { (target, last) } else { (rest, &b""[..]) };
        Unread::new(method, target, protocol, head.len())
    }

    /// Of a head that HTTP/2 could decode.
    pub fn http2(head: &Parts) -> Unread {
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        let authority = head.uri.authority().map_or(0, |authority| authority.as_str().len());
        let fields: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let length = target.len() + authority + fields;
        Unread::new(head.method.as_str().as_bytes(), target.as_bytes(), b"HTTP/2.0", length)
    }

    fn new(method: &[u8], target: &[u8], protocol: &[u8], length: usize) -> Unread {
        let length = length as u64;
        if method.len() > MOST_METHOD || !is_token(method) {
            return Unread { length, ..Unread::default() };
        }
        Unread {
            method: String::from_utf8_lossy(method).into(),
            target: target.get(..MOST_TARGET).unwrap_or(target).into(),
            protocol: String::from_utf8_lossy(protocol).into(),
            length,
        }
    }
}

/// What stands before and behind the octet at `at`; nothing behind where there is none.
fn cut(text: &[u8], at: Option<usize>) -> (&[u8], &[u8]) {
    at.and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?))).unwrap_or((text, b""))
}

/// `HTTP/1.1` and its like: two digits, whichever.
fn is_protocol(word: &[u8]) -> bool {
    matches!(word, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
}

/// Longest first word that is taken for a method.
const MOST_METHOD: usize = 32;
/// Octets of a target that are logged: enough to see what was asked for.
const MOST_TARGET: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_is_read_as_far_as_it_goes() {
        for (head, method, target, protocol) in [
            ("GET /a?b HTTP/1.1\r\nHost: \r\n\r\n", "GET", "/a?b", "HTTP/1.1"),
            ("\r\nGET / HTTP/3.0\r\n\r\n", "GET", "/", "HTTP/3.0"),
            ("GET /a b HTTP/1.1\r\n", "GET", "/a b", "HTTP/1.1"),
            ("GET /a\nX: y HTTP/1.1\r\n", "GET", "/a", ""),
            ("GET / HTTP/11\r\n", "GET", "/ HTTP/11", ""),
            ("GET / HT", "GET", "/ HT", ""),
            ("GET HTTP/1.1\r\n", "GET", "HTTP/1.1", ""),
            ("GET /\0\"\x7f HTTP/1.0\r\n", "GET", "/\0\"\x7f", "HTTP/1.0"),
            ("GET", "GET", "", ""),
            ("G\"T / HTTP/1.1\r\n", "", "", ""),
            ("\x16\x03\x01\x02 a b", "", "", ""),
            (" / HTTP/1.1\r\n", "", "", ""),
        ] {
            let unread = Unread::http1(head.as_bytes());
            let parts = (&*unread.method, &*unread.target, &*unread.protocol, unread.length);
            assert_eq!(parts, (method, target.as_bytes(), protocol, head.len() as u64), "{head:?}");
        }
    }

    #[test]
    fn neither_a_method_nor_a_target_is_longer_than_is_sensible() {
        let unread = Unread::http1(format!("GET /{} HTTP/1.1\r\n", "a".repeat(20_000)).as_bytes());
        assert_eq!((unread.target.len(), &*unread.protocol, unread.length), (MOST_TARGET, "HTTP/1.1", 20_016));
        assert_eq!(&*Unread::http1(&[b'A'; 33]).method, "");
        assert_eq!(Unread::http1(&[b'A'; 32]).method.len(), 32);
    }
}
