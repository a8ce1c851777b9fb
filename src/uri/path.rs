//! The routing form of a request path (RFC 3986 6.2.2, with the choices of a proxy that must not be fooled).

use std::borrow::Cow;

use super::Fault;

/// A request path in the two forms that are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingPath<'a> {
    /// What is sent upstream: the bytes received if nothing was decoded or removed, else the routing form.
    pub forward: Cow<'a, str>,
    /// What routes are matched against: the routing form with runs of `/` as one.
    pub matching: Cow<'a, str>,
}

/// The forms of `raw`, a path as received: begins with `/`, no query. Borrows when `raw` is in routing form already.
/// Unreserved octets are decoded, other escapes upper-cased, dot segments (also as `%2e`) removed; `%2F`, `%5C` and a raw
/// backslash are never slashes. A bad escape, `%00`, climbing above `/`, a raw `#` or `?`, an octet outside visible ASCII
/// is a fault.
pub fn normalise(raw: &[u8]) -> Result<RoutingPath<'_>, Fault> {
    if raw.first() != Some(&b'/') {
        return Err(Fault("path does not begin with a slash"));
    }
    if is_plain(raw) {
        let path = text(raw)?;
        return Ok(RoutingPath { forward: Cow::Borrowed(path), matching: Cow::Borrowed(path) });
    }
    rewrite(raw)
}

/// Octets that [`is_plain`] looks at in one go: the width of a vector register.
const BLOCK: usize = 16;

/// Whether `raw` is in both forms already: only visible ASCII, no escape, and no slash with a slash or a dot behind it.
/// Runs on every request, so it is written for the compiler to use vector instructions: no branch on an octet.
fn is_plain(raw: &[u8]) -> bool {
    let mut found = [0; BLOCK];
    let mut rest = raw;
    while let Some((block, _)) = rest.split_first_chunk::<{ BLOCK + 1 }>() {
        look(block, &mut found);
        rest = rest.get(BLOCK..).unwrap_or_default();
    }
    let mut last = [b'a'; BLOCK + 1];
    if let Some(place) = last.get_mut(..rest.len()) {
        place.copy_from_slice(rest);
    }
    look(&last, &mut found);
    u128::from_ne_bytes(found) == 0
}

/// Marks in `found` each of the first 16 octets that, with the one behind it, needs a closer look.
fn look(block: &[u8; BLOCK + 1], found: &mut [u8; BLOCK]) {
    let [octets @ .., _] = block;
    let [_, nexts @ ..] = block;
    for ((found, &octet), &next) in found.iter_mut().zip(octets).zip(nexts) {
        let refused = octet.wrapping_sub(0x21) > 0x7E - 0x21;
        let special = (octet == b'%') | (octet == b'#') | (octet == b'?');
        let pair = (octet == b'/') & ((next == b'/') | (next == b'.'));
        *found |= u8::from(refused | special | pair);
    }
}

/// The forms of a path that is not plain.
fn rewrite(raw: &[u8]) -> Result<RoutingPath<'_>, Fault> {
    let (decoded, was_decoded) = decode(raw)?;
    let (routing, was_removed) = remove_dot_segments(&decoded)?;
    let forward = if was_decoded || was_removed { Cow::Owned(owned(&routing)?) } else { Cow::Borrowed(text(raw)?) };
    let matching = owned(&merge_slashes(&routing))?;
    let matching = match &forward {
        Cow::Borrowed(forward) if *forward == matching => Cow::Borrowed(*forward),
        _ => Cow::Owned(matching),
    };
    Ok(RoutingPath { forward, matching })
}

/// Escapes of unreserved octets decoded, other escapes in upper case; whether any was decoded.
fn decode(raw: &[u8]) -> Result<(Vec<u8>, bool), Fault> {
    let mut out = Vec::with_capacity(raw.len());
    let mut was_decoded = false;
    let mut octets = raw.iter().copied();
    while let Some(octet) = octets.next() {
        match octet {
            b'%' => {
                let digits = [octets.next(), octets.next()].map(|digit| digit.filter(u8::is_ascii_hexdigit));
                let [Some(high), Some(low)] = digits else { return Err(Fault("bad escape in path")) };
                match nibble(high) << 4 | nibble(low) {
                    0 => return Err(Fault("escaped NUL in path")),
                    plain if is_unreserved(plain) => {
                        was_decoded = true;
                        out.push(plain);
                    }
                    _ => out.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]),
                }
            }
            b'#' | b'?' => return Err(Fault("reserved delimiter in path")),
            0x21..=0x7E => out.push(octet),
            _ => return Err(Fault("octet that no path may hold")),
        }
    }
    Ok((out, was_decoded))
}

/// RFC 3986 5.2.4 on a path that begins with `/`; whether anything was removed.
fn remove_dot_segments(path: &[u8]) -> Result<(Vec<u8>, bool), Fault> {
    let mut out = Vec::with_capacity(path.len());
    let mut was_removed = false;
    let mut segments = path.split(|octet| *octet == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"." => {
                was_removed = true;
                if is_last {
                    out.push(b'/');
                }
            }
            b".." => {
                was_removed = true;
                let parent = out.iter().rposition(|octet| *octet == b'/');
                out.truncate(parent.ok_or(Fault("path climbs above its root"))?);
                if is_last {
                    out.push(b'/');
                }
            }
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    Ok((out, was_removed))
}

/// Runs of `/` as one.
fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = path.to_vec();
    out.dedup_by(|next, before| *next == b'/' && *before == b'/');
    out
}

/// RFC 3986 2.3.
fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

/// The value of a hexadecimal digit; 0 for what is none.
fn nibble(digit: u8) -> u8 {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or(0)
}

/// `path` as text. Only visible ASCII comes here; anything else would be a fault, not a panic.
fn text(path: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(path).map_err(|_| Fault("octet that no path may hold"))
}

/// As [`text`], owned.
fn owned(path: &[u8]) -> Result<String, Fault> {
    text(path).map(str::to_owned)
}

#[cfg(test)]
#[path = "../../fuzz/src/second/path.rs"]
mod reference;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is forwarded and what is matched, or nothing.
    fn forms(raw: &str) -> Option<(String, String)> {
        normalise(raw.as_bytes()).ok().map(|path| (path.forward.into_owned(), path.matching.into_owned()))
    }

    #[test]
    fn forms_of_known_paths() {
        let table = [
            // raw, forwarded, matched
            ("/", "/", "/"),
            ("/a/b.c/d", "/a/b.c/d", "/a/b.c/d"),
            ("/.well-known/x", "/.well-known/x", "/.well-known/x"),
            ("/...", "/...", "/..."),
            ("/%61", "/a", "/a"),
            ("/%7Eme", "/~me", "/~me"),
            ("/%7eme", "/~me", "/~me"),
            ("/a%2fb", "/a%2fb", "/a%2Fb"),
            ("/%2e%2E/%2fb", "", ""),
            ("/x/%2e%2E/%2fb", "/%2Fb", "/%2Fb"),
            ("/a%5cb", "/a%5cb", "/a%5Cb"),
            ("/a\\..\\b", "/a\\..\\b", "/a\\..\\b"),
            ("/a%2f..%2fb", "/a%2f..%2fb", "/a%2F..%2Fb"),
            ("//", "//", "/"),
            ("//admin", "//admin", "/admin"),
            ("/a//b///c/", "/a//b///c/", "/a/b/c/"),
            ("/a/./b", "/a/b", "/a/b"),
            ("/a/../b", "/b", "/b"),
            ("/a/b/..", "/a/", "/a/"),
            ("/a/b/.", "/a/b/", "/a/b/"),
            ("/a/..", "/", "/"),
            ("/.", "/", "/"),
            ("/a//../b", "/a/b", "/a/b"),
            ("/a/.//b", "/a//b", "/a/b"),
            ("/%2525", "/%2525", "/%2525"),
            ("/%e2%82%ac", "/%e2%82%ac", "/%E2%82%AC"),
            ("/a;b=%3b", "/a;b=%3b", "/a;b=%3B"),
            ("/a%0d%0ab", "/a%0d%0ab", "/a%0D%0Ab"),
            // faults
            ("", "", ""),
            ("a", "", ""),
            ("*", "", ""),
            ("/..", "", ""),
            ("/a/../..", "", ""),
            ("/a/../../b", "", ""),
            ("/.%2e/b", "", ""),
            ("/%", "", ""),
            ("/%2", "", ""),
            ("/%2g", "", ""),
            ("/%+1", "", ""),
            ("/%00", "", ""),
            ("/a#b", "", ""),
            ("/a?b", "", ""),
            ("/a b", "", ""),
            ("/a\tb", "", ""),
            ("/a\u{7f}", "", ""),
            ("/é", "", ""),
        ];
        for (raw, forward, matching) in table {
            let wanted = (!forward.is_empty()).then(|| (forward.to_owned(), matching.to_owned()));
            assert_eq!(forms(raw), wanted, "{raw:?}");
        }
    }

    #[test]
    fn a_plain_path_is_borrowed_whatever_its_length() {
        for len in 1..80 {
            let raw = format!("/{}", "abc.d-e_f~g/".repeat(8)).into_bytes();
            let path = normalise(&raw[..len]).unwrap();
            assert!(matches!(path.forward, Cow::Borrowed(_)) && matches!(path.matching, Cow::Borrowed(_)), "{len}");
        }
    }

    #[test]
    fn a_fault_is_seen_at_every_place() {
        for len in 1..70 {
            for at in 1..len {
                for bad in [b' ', b'#', b'?', b'%', 0, b'\n', 0x7F, 0x80, 0xFF] {
                    let mut raw = vec![b'a'; len];
                    raw[0] = b'/';
                    raw[at] = bad;
                    // An escape needs a digit that is none behind it; here only letters a follow.
                    if bad == b'%' && at + 2 < len {
                        raw[at + 1] = b'g';
                    }
                    assert!(normalise(&raw).is_err(), "{len} {at} {bad}");
                }
            }
        }
    }

    #[test]
    fn a_slash_pair_is_seen_at_every_place() {
        for len in 3..70 {
            for at in 1..len - 1 {
                let mut raw = vec![b'a'; len];
                (raw[0], raw[at], raw[at + 1]) = (b'/', b'/', b'/');
                let path = normalise(&raw).unwrap();
                assert!(!path.matching.contains("//") && path.forward.len() == len, "{len} {at}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn equals_the_slow_reference(
            raw in proptest::collection::vec(
                proptest::sample::select(vec![
                    "/", "/", ".", "..", "%2e", "%2E", "%2f", "%2F", "%5c", "\\", "%00", "%61", "%7e", "%zz", "%", "a", "b",
                    "abcdefgh", ";", "#", "?", " ", "é", "%25", "~", "A",
                ]),
                0..12,
            )
        ) {
            let raw = format!("/{}", raw.concat());
            prop_assert_eq!(forms(&raw), reference::forms(&raw));
        }

        #[test]
        fn equals_the_slow_reference_on_any_text(raw in "/[!-~]{0,40}") {
            prop_assert_eq!(forms(&raw), reference::forms(&raw));
        }

        #[test]
        fn normalising_twice_changes_nothing(raw in "/([a./]|%2[eEfF]|%61|//){0,20}") {
            if let Some((forward, matching)) = forms(&raw) {
                prop_assert_eq!(forms(&forward), Some((forward.clone(), matching.clone())));
                prop_assert_eq!(forms(&matching), Some((matching.clone(), matching)));
            }
        }

        #[test]
        fn any_octets_give_a_path_or_a_fault(raw in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(path) = normalise(&raw) {
                prop_assert!(path.forward.starts_with('/') && path.matching.starts_with('/'));
            }
        }
    }
}
