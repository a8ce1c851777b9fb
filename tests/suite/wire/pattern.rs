//! Expected bytes, exact but for a few parts that nobody can know before.

/// The length of a part that begins here: 0 if it is something else, nothing if more must come.
type Measure = fn(&[u8]) -> Option<usize>;

/// What stands for a part that varies.
const PARTS: [(&str, Measure); 3] = [("{id}", id), ("{date}", date), ("{digits}", digits)];

/// How far some bytes agree with a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// The first so many bytes are what was expected.
    Whole(usize),
    /// More must come.
    Begun,
    /// The byte here is another than expected.
    Differs(usize),
}

/// Compares the start of `bytes` with `pattern`.
pub(super) fn compare(pattern: &[u8], bytes: &[u8]) -> Match {
    let (mut rest, mut at) = (pattern, 0);
    while let Some(&wanted) = rest.first() {
        let part = PARTS.iter().find(|(name, _)| rest.starts_with(name.as_bytes()));
        let Some(&seen) = bytes.get(at) else { return Match::Begun };
        if let Some(text) = rest.strip_prefix(b"{chunks:") {
            let end = text.iter().position(|octet| *octet == b'}').expect("a closing brace");
            match chunks(&text[..end], &bytes[at..]) {
                Match::Whole(len) => (rest, at) = (&text[end + 1..], at + len),
                Match::Begun => return Match::Begun,
                Match::Differs(off) => return Match::Differs(at + off),
            }
            continue;
        }
        if let Some((name, measure)) = part {
            let Some(len) = measure(&bytes[at..]) else { return Match::Begun };
            if len == 0 {
                return Match::Differs(at);
            }
            (rest, at) = (&rest[name.len()..], at + len);
        } else if seen == wanted {
            (rest, at) = (&rest[1..], at + 1);
        } else {
            return Match::Differs(at);
        }
    }
    Match::Whole(at)
}

/// 32 hexadecimal digits; 0 if it is something else, nothing if it may still become it.
fn id(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.iter().take(32).take_while(|octet| octet.is_ascii_hexdigit()).count();
    if digits == 32 { Some(32) } else { (digits < bytes.len()).then_some(0) }
}

/// An IMF-fixdate (RFC 9110 5.6.7).
fn date(bytes: &[u8]) -> Option<usize> {
    const LEN: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();
    let date = bytes.get(..LEN)?;
    Some(if date.ends_with(b" GMT") && &date[3..5] == b", " { LEN } else { 0 })
}

/// A number, which ends where something else follows.
fn digits(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|octet| !octet.is_ascii_digit())
}

/// `text` in chunks of any sizes, canonically written: where it is cut depends on how it came.
fn chunks(text: &[u8], bytes: &[u8]) -> Match {
    let (mut text, mut at) = (text, 0);
    while !text.is_empty() {
        let rest = &bytes[at..];
        let Some(line) = rest.windows(2).position(|pair| pair == b"\r\n") else {
            return if rest.len() < 8 { Match::Begun } else { Match::Differs(at) };
        };
        let digits = std::str::from_utf8(&rest[..line]).unwrap_or_default();
        let size = usize::from_str_radix(digits, 16).unwrap_or(0);
        if size == 0 || size > text.len() || digits != format!("{size:x}") {
            return Match::Differs(at);
        }
        let wanted = [&text[..size], b"\r\n"].concat();
        let data = &rest[line + 2..];
        let common = wanted.iter().zip(data).take_while(|(wanted, seen)| wanted == seen).count();
        if common < wanted.len() {
            return if common == data.len() { Match::Begun } else { Match::Differs(at + line + 2 + common) };
        }
        text = &text[size..];
        at += line + 2 + wanted.len();
    }
    Match::Whole(at)
}

#[test]
fn a_pattern_matches_its_text_and_nothing_else() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let id = "0123456789abcdef0123456789abcdef";
    for (pattern, bytes, wanted) in [
        ("abc", "abc", Match::Whole(3)),
        ("abc", "abcd", Match::Whole(3)),
        ("abc", "ab", Match::Begun),
        ("abc", "abd", Match::Differs(2)),
        ("{digits};", "80;", Match::Whole(3)),
        ("{digits};", "80", Match::Begun),
        ("{digits};", "x", Match::Differs(0)),
        ("a{date}b", &format!("a{date}b"), Match::Whole(31)),
        ("a{date}b", "aSun, 06", Match::Begun),
        ("{id}\r\n", &format!("{id}\r\n"), Match::Whole(34)),
        ("{id}\r\n", "0123\r\n", Match::Differs(0)),
        ("{chunks:abc}0", "3\r\nabc\r\n0", Match::Whole(9)),
        ("{chunks:abc}0", "1\r\na\r\n2\r\nbc\r\n0", Match::Whole(14)),
        ("{chunks:abc}0", "1\r\na\r\n2\r\nb", Match::Begun),
        ("{chunks:abc}0", "03\r\nabc\r\n0", Match::Differs(0)),
        ("{chunks:abc}0", "1\r\na\r\n0\r\n\r\n", Match::Differs(6)),
    ] {
        assert_eq!(compare(pattern.as_bytes(), bytes.as_bytes()), wanted, "{pattern} {bytes}");
    }
}
