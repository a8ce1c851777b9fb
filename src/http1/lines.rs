//! The lines of a head that is there whole: the first one, and the fields (RFC 9112 3, 4, 5). One reading of every octet,
//! the strictest: lines end with CR LF alone, no folding, no space before a colon, no control octet in a value.

use super::{Refusal, Version};
use crate::uri::token::is_token_octet;

/// What is left of a head, from the start of a line.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
}

/// The parts of a request line.
pub(super) struct RequestLine<'a> {
    pub method: &'a [u8],
    pub target: &'a [u8],
    pub version: &'a [u8],
}

/// The parts of a status line.
pub(super) struct StatusLine<'a> {
    pub version: Version,
    pub status: u16,
    /// Empty where it has octets that are no ASCII.
    pub reason: &'a [u8],
}

/// A field.
pub(super) struct Line<'a> {
    /// A token.
    pub name: &'a [u8],
    /// Without the white space around it.
    pub value: &'a [u8],
    /// There is a `_` in the name.
    pub has_underscore: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(head: &'a [u8]) -> Lines<'a> {
        Lines { rest: head }
    }

    /// The request line, after an empty line if there is one (RFC 9112 2.2). Target and version are any text without a space.
    pub(super) fn request(&mut self) -> Result<RequestLine<'a>, Refusal> {
        self.rest = self.rest.strip_prefix(b"\r\n").unwrap_or(self.rest);
        let refused = Refusal::bad("request line has an octet it must not have");
        let line = self.text()?;
        let mut parts = line.splitn(3, |octet| *octet == b' ');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(method), Some(target), Some(version)) if !target.is_empty() => {
                Ok(RequestLine { method, target, version })
            }
            _ => Err(refused),
        }
    }

    /// The status line.
    pub(super) fn status(&mut self) -> Result<StatusLine<'a>, Refusal> {
        let refused = Refusal::bad("no status line");
        let line = self.text()?;
        let (version, rest) = line.split_at_checked(8).ok_or(refused)?;
        let version = match version {
            b"HTTP/1.0" => Version::Http10,
            b"HTTP/1.1" => Version::Http11,
            _ => return Err(Refusal::bad("HTTP version is not known")),
        };
        let (status, reason) = match *rest {
            [b' ', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => ([a, b, c], &b""[..]),
            [b' ', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ref reason @ ..] => ([a, b, c], reason),
            _ => return Err(Refusal::bad("status is not three digits")),
        };
        let status = status.iter().fold(0, |status, digit| 10 * status + u16::from(digit - b'0'));
        Ok(StatusLine { version, status, reason: if reason.is_ascii() { reason } else { b"" } })
    }

    /// The next field; `None` at the empty line, which must be the end. Called in two loops, and nearly all that they do.
    #[inline(always)]
    pub(super) fn field(&mut self) -> Result<Option<Line<'a>>, Refusal> {
        let (length, has_underscore) = token_length(self.rest);
        let (name, rest) = self.rest.split_at(length);
        match rest {
            [b':', rest @ ..] if length > 0 => {
                self.rest = rest.get(rest.iter().take_while(is_space).count()..).unwrap_or_default();
                let value = self.text()?;
                Ok(Some(Line { name, value: trim_end(value), has_underscore }))
            }
            [b'\r', b'\n'] if length == 0 => Ok(None),
            [b'\r' | b'\n', ..] => Err(NO_LINE),
            _ => Err(Refusal::bad("field name is no token")),
        }
    }

    /// The rest of the line.
    #[inline(always)]
    fn text(&mut self) -> Result<&'a [u8], Refusal> {
        let (text, rest) = self.rest.split_at(text_length(self.rest));
        match rest {
            [b'\r', b'\n', rest @ ..] => {
                self.rest = rest;
                Ok(text)
            }
            [] | [b'\r' | b'\n', ..] => Err(NO_LINE),
            _ => Err(Refusal::bad("field value has a control octet")),
        }
    }
}

const NO_LINE: Refusal = Refusal::bad("line does not end where it must");

/// How many octets from the first on may stand in a token (RFC 9110 5.6.2), and whether there is a `_` among them. Eight at a
/// time, as long as they are letters, digits and hyphens.
fn token_length(octets: &[u8]) -> (usize, bool) {
    let (mut at, mut has_underscore) = (0, false);
    while let Some(rest) = octets.get(at..) {
        if let Some(word) = rest.first_chunk() {
            at += match first_rare(u64::from_le_bytes(*word)) {
                None => {
                    at += 8;
                    continue;
                }
                Some(place) => place,
            };
        }
        match octets.get(at) {
            // What nearly always comes.
            Some(b':') | None => break,
            Some(octet) if is_token_octet(*octet) => has_underscore |= *octet == b'_',
            Some(_) => break,
        }
        at += 1;
    }
    (at, has_underscore)
}

/// The first of eight octets that is no letter, digit or hyphen, the lowest first. A sum has the highest bit of an octet where
/// that is at least so much; what an octet above ASCII carries into the next can only show behind it.
fn first_rare(word: u64) -> Option<usize> {
    let least = |word: u64, octet: u8| word.wrapping_add(ONES * u64::from(0x80 - octet));
    let within = |word: u64, first: u8, last: u8| least(word, first) & !least(word, last + 1);
    let letter = within(word | (ONES * 0x20), b'a', b'z');
    let digit = within(word, b'0', b'9');
    let hyphen = !least(word ^ (ONES * u64::from(b'-')), 1);
    let rare = !((letter | digit | hyphen) & !word) & HIGHEST;
    (rare != 0).then_some(rare.trailing_zeros() as usize / 8)
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGHEST: u64 = ONES * 0x80;

/// How many octets from the first on are tab, visible, space, or above ASCII (RFC 9110 5.5). Sixteen or eight at a time:
/// values are most of a head.
fn text_length(octets: &[u8]) -> usize {
    let mut at = 0;
    while let Some(rest) = octets.get(at..) {
        if rest.first_chunk().is_some_and(is_clear) {
            at += 16;
            continue;
        }
        let Some(word) = rest.first_chunk() else {
            return at + rest.iter().take_while(|octet| **octet == b'\t' || !octet.is_ascii_control()).count();
        };
        match first_control(u64::from_le_bytes(*word)) {
            None => at += 8,
            Some(place) if rest.get(place) == Some(&b'\t') => at += place + 1,
            Some(place) => return at + place,
        }
    }
    at
}

/// Whether none is a control octet. Without branches, which the compiler turns into vector code.
fn is_clear(octets: &[u8; 16]) -> bool {
    octets.iter().fold(0, |found, octet| found | u8::from(octet.is_ascii_control())) == 0
}

/// The first of eight octets that is a control octet, the lowest first. In each octet the highest bit shows it: taking away a
/// space makes it 1 in those below a space that did not have it, and DEL is the one that the second pattern makes 0. What is
/// borrowed from the next octet can only show behind one that was found.
fn first_control(word: u64) -> Option<usize> {
    let below = word.wrapping_sub(ONES * u64::from(b' ')) & !word;
    let delete = word ^ (ONES * 0x7f);
    let delete = delete.wrapping_sub(ONES) & !delete;
    let found = (below | delete) & HIGHEST;
    (found != 0).then_some(found.trailing_zeros() as usize / 8)
}

fn is_space(octet: &&u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// Without spaces and tabs at the end.
fn trim_end(mut value: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;

    #[test]
    fn text_ends_at_the_first_control_octet_wherever_it_stands() {
        for length in 0..40 {
            let clean: Vec<u8> = (0..length).map(|place| [b'\t', b' ', b'~', 0x80, 0xff, b'a'][place % 6]).collect();
            assert_eq!(text_length(&clean), length);
            for place in 0..length {
                for octet in (0..b' ').filter(|octet| *octet != b'\t').chain([0x7f]) {
                    let mut text = clean.clone();
                    text[place] = octet;
                    assert_eq!(text_length(&text), place, "{octet} at {place} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_token_ends_at_the_first_octet_that_is_none_wherever_it_stands() {
        for length in 0..40 {
            let clean: Vec<u8> = (0..length).map(|place| b"Az09-!~_"[place % 8]).collect();
            assert_eq!(token_length(&clean), (length, length >= 8));
            for place in 0..length {
                for octet in (0..=255).filter(|octet| !is_token_octet(*octet)) {
                    let mut text = clean.clone();
                    text[place] = octet;
                    assert_eq!(token_length(&text), (place, place >= 8), "{octet} at {place} of {length}");
                }
            }
        }
        for octet in (0..=255).filter(|octet| is_token_octet(*octet)) {
            assert_eq!(token_length(&[octet; 9]), (9, octet == b'_'), "{octet}");
        }
    }

    /// What this module makes of a head after its first line: names and values, or that it is refused.
    fn fields(head: &[u8], is_request: bool) -> Option<Vec<(&[u8], &[u8])>> {
        let mut lines = Lines::new(head);
        if is_request {
            let line = lines.request().ok()?;
            let is_clean = line.target.iter().all(|octet| (0x21..0x7f).contains(octet));
            let is_token = !line.method.is_empty() && line.method.iter().all(|octet| is_token_octet(*octet));
            if !is_clean || !is_token || !matches!(line.version, b"HTTP/1.0" | b"HTTP/1.1") {
                return None;
            }
        } else {
            lines.status().ok()?;
        }
        let mut fields = Vec::new();
        while let Some(line) = lines.field().ok()? {
            assert_eq!(line.has_underscore, line.name.contains(&b'_'));
            fields.push((line.name, line.value));
        }
        Some(fields)
    }

    /// The same by a tokeniser that others use. It takes a bare LF for the end of a line, which is seen to here.
    fn by_httparse(head: &[u8], is_request: bool) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let is_bare = |at: usize| head[at] == b'\n' && (at == 0 || head[at - 1] != b'\r');
        if (0..head.len()).any(is_bare) {
            return None;
        }
        let mut table = [const { MaybeUninit::uninit() }; 64];
        let (end, found) = if is_request {
            let mut request = httparse::Request::new(&mut []);
            let end = request.parse_with_uninit_headers(head, &mut table).ok()?;
            if !request.path?.bytes().all(|octet| (0x21..0x7f).contains(&octet)) {
                return None;
            }
            (end, request.headers.to_vec())
        } else {
            let mut response = httparse::Response::new(&mut []);
            let config = httparse::ParserConfig::default();
            let end = config.parse_response_with_uninit_headers(&mut response, head, &mut table).ok()?;
            (end, response.headers.to_vec())
        };
        let is_whole = end == httparse::Status::Complete(head.len());
        let trim = |value: &[u8]| value.trim_ascii().to_vec();
        is_whole.then(|| found.iter().map(|field| (field.name.into(), trim(field.value))).collect())
    }

    #[test]
    fn every_head_is_read_as_httparse_reads_it() {
        let starts: [&[u8]; 2] = [
            b"GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nUser-Agent:  Mozilla/5.0 (X11)\t\r\nX_y:\r\nA: \xff\t z\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sun, 22 Nov 2026 07:00:00 GMT\r\nContent-Length: 12\r\nX:\t\r\n\r\n",
        ];
        let octets = b"\r\n\t :\0\x7f\x80_aZ0/.HTP1 \x1f\"(";
        let mut random = fastrand::Rng::with_seed(11);
        let (mut read, mut refused) = (0, 0);
        for round in 0..200_000 {
            let is_request = round % 2 == 0;
            let mut head = starts[round % 2].to_vec();
            for _ in 0..random.usize(..3) {
                let place = random.usize(..head.len());
                let octet = octets[random.usize(..octets.len())];
                match random.u8(..3) {
                    0 => head[place] = octet,
                    1 => head.insert(place, octet),
                    _ => drop(head.remove(place)),
                }
            }
            // Empty lines before a head, and a second one behind it, are for those who look for its end.
            if head.starts_with(b"\r") || !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            let (ours, theirs) = (fields(&head, is_request), by_httparse(&head, is_request));
            let ours = ours.map(|list| list.into_iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect());
            assert_eq!(ours, theirs, "{}", head.escape_ascii());
            *(if theirs.is_some() { &mut read } else { &mut refused }) += 1;
        }
        assert!(read > 40_000 && refused > 40_000, "{read} {refused}");
    }
}
