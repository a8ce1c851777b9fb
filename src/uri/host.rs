//! `Host` and `:authority` (RFC 9110 7.2, RFC 3986 3.2.2).

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// A host with its port, both as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort<'a> {
    /// Name or address, brackets included.
    pub name: &'a str,
    /// Port, when one is written.
    pub port: Option<u16>,
}

/// Parses `uri-host [ ":" [ port ] ]`. `None` for anything else: empty, user information, a port that is no number, an
/// open bracket, an address in brackets that is none, an octet no name may have. Stricter than RFC 3986: a name holds
/// only unreserved octets (no DNS name needs an escape or a sub-delimiter) and does not begin with a dot.
pub fn parse(value: &[u8]) -> Option<HostPort<'_>> {
    let (name, port) = split(value)?;
    Some(HostPort { name: std::str::from_utf8(name).ok()?, port })
}

/// [`parse`], with the name as octets: they are ASCII, and a request need not prove it twice.
pub fn split(value: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let (name, rest) = match value.first()? {
        b'[' => {
            let (name, rest) = value.split_at_checked(value.iter().position(|octet| *octet == b']')? + 1)?;
            let address = name.strip_prefix(b"[")?.strip_suffix(b"]")?;
            std::str::from_utf8(address).ok()?.parse::<Ipv6Addr>().ok()?;
            (name, rest)
        }
        b'.' => return None,
        _ => {
            let end = value.iter().position(|octet| !is_name_octet(*octet)).unwrap_or(value.len());
            value.split_at_checked(end)?
        }
    };
    if name.is_empty() {
        return None;
    }
    Some((name, port(rest)?))
}

/// What stands behind the name: nothing, or a colon with a port that may be empty.
fn port(rest: &[u8]) -> Option<Option<u16>> {
    let digits = match rest.split_first() {
        None => return Some(None),
        Some((b':', digits)) => digits,
        Some(_) => return None,
    };
    if digits.is_empty() {
        return Some(None);
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().map(Some)
}

/// The form hosts are looked up by: lower case, no trailing dot. Borrows when it is already so.
pub fn lookup(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().fold(false, |found, octet| found | octet.is_ascii_uppercase()) {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    Cow::Borrowed(name)
}

/// Whether a registered name may hold the octet.
fn is_name_octet(octet: u8) -> bool {
    /// One entry for each octet: a look-up, where a chain of ranges would cost several branches an octet.
    static NAME_OCTETS: [bool; 256] = {
        let mut table = [false; 256];
        let mut octet: u8 = 0;
        while octet < 128 {
            #[allow(clippy::indexing_slicing, reason = "evaluated while compiling; a u8 is always within 256 entries")]
            {
                table[octet as usize] = octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~');
            }
            octet += 1;
        }
        table
    };
    NAME_OCTETS.get(usize::from(octet)).copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_that_are_taken() {
        let table = [
            ("a", "a", None),
            ("A.Example", "A.Example", None),
            ("a.example.", "a.example.", None),
            ("a_b.example", "a_b.example", None),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
            ("a.example:80", "a.example", Some(80)),
            ("a.example:", "a.example", None),
            ("a:0", "a", Some(0)),
            ("a:65535", "a", Some(65535)),
            ("a:00080", "a", Some(80)),
            ("10.0.0.1", "10.0.0.1", None),
            ("10.0.0.1:8080", "10.0.0.1", Some(8080)),
            ("[::1]", "[::1]", None),
            ("[::1]:443", "[::1]", Some(443)),
            ("[::1]:", "[::1]", None),
            ("[2001:DB8::A]:1", "[2001:DB8::A]", Some(1)),
            ("[::ffff:10.0.0.1]", "[::ffff:10.0.0.1]", None),
        ];
        for (value, name, port) in table {
            assert_eq!(parse(value.as_bytes()), Some(HostPort { name, port }), "{value}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for value in [
            "",
            ":",
            ":80",
            ".",
            "..",
            ".a",
            "a@b",
            "a:b@c",
            "a@",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]80",
            "[]",
            "[a]",
            "[1.2.3.4]",
            "[::1%25eth0]",
            "[fe80::1%eth0]",
            "[v1.a]",
            "[::1]]",
            "a:b",
            "a:1:2",
            "a:65536",
            "a:99999999",
            "a:-1",
            "a:+1",
            "a: 1",
            "a:1 ",
            " a",
            "a ",
            "a b",
            "a\tb",
            "a,b",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a%41",
            "a!",
            "a*",
            "*.a",
            "a'b",
            "a\"b",
            "a<b",
            "a|b",
            "a\0",
            "a\r",
            "a\n",
            "a\u{7f}",
            "é",
            "http://a",
            "a:80/",
        ] {
            assert_eq!(parse(value.as_bytes()), None, "{value:?}");
        }
        assert_eq!(parse(b"a\xff"), None);
    }

    #[test]
    fn look_up_form_is_lower_case_without_the_last_dot() {
        for (name, wanted) in [("a.example", "a.example"), ("A.Example.", "a.example"), ("[::A]", "[::a]"), ("a.", "a")]
        {
            assert_eq!(lookup(name), wanted, "{name}");
        }
        assert!(matches!(lookup("a.example."), Cow::Borrowed("a.example")));
    }

    proptest! {
        #[test]
        fn a_host_that_is_taken_holds_only_its_parts(value in "[a-zA-Z0-9.:\\[\\]@_~%, -]{0,12}") {
            if let Some(HostPort { name, port }) = parse(value.as_bytes()) {
                let rest = value.strip_prefix(name).unwrap();
                prop_assert!(rest.is_empty() || rest.starts_with(':'));
                prop_assert_eq!(rest.trim_start_matches(':').parse::<u16>().ok(), port);
                prop_assert!(!name.starts_with('.') && !name.contains(['@', ' ', ',', '%']));
                prop_assert_eq!(name.contains(':'), name.starts_with('['));
            }
        }

        #[test]
        fn any_octets_give_a_host_or_nothing(value in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Some(host) = parse(&value) {
                prop_assert!(value.starts_with(host.name.as_bytes()));
            }
        }
    }
}
