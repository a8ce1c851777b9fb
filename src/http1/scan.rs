//! Finds the end of a head, and refuses what a lenient tokeniser would let pass.

use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::Finder;

use super::Refusal;
use crate::settings::{Limit, Limits};
use crate::telemetry::Failure;

/// Sizes a head is read under, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    first_line: (usize, Refusal),
    line: (usize, Refusal),
    head: (usize, Refusal),
    fields: (usize, Refusal),
}

const fn too_large(status: u16, limit: Limit, why: &'static str) -> Refusal {
    Refusal { status, failure: Failure::HeadTooLarge, limit: Some(limit), why }
}

impl HeadLimits {
    /// For request heads: 414 for the line, 431 for the rest.
    pub fn request(limits: &Limits) -> HeadLimits {
        HeadLimits {
            first_line: (limits.request_line.bytes(), too_large(414, Limit::request_line, "request line too long")),
            line: (limits.field_line.bytes(), too_large(431, Limit::field_line, "field line too long")),
            head: (limits.head.bytes(), too_large(431, Limit::head, "head too long")),
            fields: (count(limits.fields), too_large(431, Limit::fields, "too many fields")),
        }
    }

    /// The same with lines of so many octets, if that is more.
    pub fn with_lines(self, octets: Option<u64>) -> HeadLimits {
        let least = octets.and_then(|octets| usize::try_from(octets).ok()).unwrap_or(0);
        let raise = |(most, refusal): (usize, Refusal)| (most.max(least), refusal);
        let HeadLimits { first_line, line, head, fields } = self;
        HeadLimits { first_line: raise(first_line), line: raise(line), head: raise(head), fields }
    }

    /// For response heads; every breach is a 502 to the client.
    pub fn response(limits: &Limits) -> HeadLimits {
        let head = limits.response_head.bytes();
        let refusal = too_large(502, Limit::response_head, "response head too long");
        HeadLimits {
            first_line: (head, refusal),
            line: (head, refusal),
            head: (head, refusal),
            fields: (count(limits.response_fields), too_large(502, Limit::response_fields, "too many response fields")),
        }
    }
}

fn count(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Looks for the empty line that ends a head, as octets come in. Every LF must follow a CR (RFC 9112 2.2 lets a
/// recipient take a bare LF; two parsers that choose differently are how requests are smuggled).
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    seen: usize,
    line_start: usize,
    lines: usize,
}

impl HeadScan {
    /// Goes on with all octets received so far, from the start of the head. The length of the head, its empty line
    /// included, once that is in. One empty line before the first is passed over.
    pub fn advance(&mut self, buffer: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Refusal> {
        if self.seen == 0
            && let Some(end) = whole(buffer, limits)
        {
            return Ok(Some(end));
        }
        while let Some(found) = buffer.get(self.seen..).and_then(|rest| memchr(b'\n', rest)) {
            let lf = self.seen + found;
            if lf == 0 || buffer.get(lf - 1) != Some(&b'\r') {
                return Err(Refusal::bad("line feed without carriage return"));
            }
            self.seen = lf + 1;
            let length = (lf - 1).saturating_sub(self.line_start);
            if length == 0 {
                if self.lines > 0 {
                    return if lf + 1 > limits.head.0 { Err(limits.head.1) } else { Ok(Some(lf + 1)) };
                }
                if self.line_start > 0 {
                    return Err(Refusal::bad("more than one empty line before the message"));
                }
                self.line_start = lf + 1;
                continue;
            }
            self.check_line(length, limits)?;
            self.line_start = lf + 1;
            self.lines += 1;
            if self.lines > limits.fields.0 + 1 {
                return Err(limits.fields.1);
            }
        }
        self.seen = buffer.len();
        self.check_line(buffer.len().saturating_sub(self.line_start), limits)?;
        if buffer.len() > limits.head.0 { Err(limits.head.1) } else { Ok(None) }
    }

    fn check_line(&self, length: usize, limits: &HeadLimits) -> Result<(), Refusal> {
        let (limit, refusal) = if self.lines == 0 { limits.first_line } else { limits.line };
        if length > limit { Err(refusal) } else { Ok(()) }
    }
}

/// The end of a head that came in one piece, within every limit and without anything to object to: by far the most
/// common case, found without looking at each line. `None` leaves the judgement to the scan by lines.
fn whole(buffer: &[u8], limits: &HeadLimits) -> Option<usize> {
    let end = HEAD_END.find(buffer)? + 4;
    let head = buffer.get(..end)?;
    let longest = limits.first_line.0.min(limits.line.0).min(limits.head.0);
    if end > longest || head.starts_with(b"\r\n") {
        return None;
    }
    // The tokeniser refuses a CR that no LF follows. So where both are equally many, either no LF is bare, or the head
    // is refused all the same.
    let (mut feeds, mut returns) = (0, 0);
    for piece in head.chunks(PIECE) {
        let (mut feeds_here, mut returns_here) = (0u8, 0u8);
        for octet in piece {
            feeds_here += u8::from(*octet == b'\n');
            returns_here += u8::from(*octet == b'\r');
        }
        feeds += usize::from(feeds_here);
        returns += usize::from(returns_here);
    }
    // The request line and the empty line are no fields.
    (feeds == returns && feeds <= limits.fields.0 + 2).then_some(end)
}

/// Octets counted at once: so few that a small counter holds them, which makes the loop run on many in parallel.
const PIECE: usize = 240;

static HEAD_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(head: &str) -> Result<Option<usize>, Refusal> {
        HeadScan::default().advance(head.as_bytes(), &HeadLimits::request(&Limits::default()))
    }

    #[test]
    fn the_end_is_the_first_empty_line_after_a_line() {
        assert_eq!(scan("GET / HTTP/1.1\r\nHost: a\r\n\r\nrest").unwrap(), Some(27));
        assert_eq!(scan("\r\nGET / HTTP/1.1\r\n\r\n").unwrap(), Some(20));
        assert_eq!(scan("GET / HTTP/1.1\r\nHost: a\r\n").unwrap(), None);
        assert_eq!(scan("").unwrap(), None);
    }

    #[test]
    fn bare_line_feeds_and_a_second_empty_line_are_refused() {
        for bad in ["GET / HTTP/1.1\n", "\nGET", "GET / HTTP/1.1\r\nA: b\n\r\n", "\r\n\r\nGET / HTTP/1.1\r\n\r\n"] {
            assert_eq!(scan(bad).unwrap_err().status, 400, "{bad:?}");
        }
    }

    #[test]
    fn split_anywhere_gives_the_same_end() {
        let head = "\r\nGET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
        let limits = HeadLimits::request(&Limits::default());
        for split in 0..head.len() {
            let mut scan = HeadScan::default();
            assert_eq!(scan.advance(&head.as_bytes()[..split], &limits).unwrap(), None, "{split}");
            assert_eq!(scan.advance(head.as_bytes(), &limits).unwrap(), Some(head.len()), "{split}");
        }
    }

    #[test]
    fn a_whole_head_and_one_by_lines_are_judged_alike() {
        let limits = HeadLimits::request(&Limits::default());
        let many = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
        for head in [
            "GET / HTTP/1.1\r\n\r\nrest".to_owned(),
            "GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nA: b\n\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nA: b\r\n\n\r\n\r\n".to_owned(),
            "\nGET / HTTP/1.1\r\n\r\n".to_owned(),
            format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(300)),
            format!("GET / HTTP/1.1\r\nA: {}\nX: y\r\n\r\n", "b".repeat(300)),
            many(128),
            many(129),
        ] {
            let whole = HeadScan::default().advance(head.as_bytes(), &limits);
            let mut scan = HeadScan::default();
            let by_lines = (1..=head.len()).find_map(|end| scan.advance(&head.as_bytes()[..end], &limits).transpose());
            assert_eq!(Some(whole), by_lines.map(|found| found.map(Some)), "{head:?}");
        }
    }

    #[test]
    fn each_size_has_its_status() {
        let long = "a".repeat(17 << 10);
        assert_eq!(scan(&format!("GET /{long}")).unwrap_err().status, 414);
        assert_eq!(scan(&format!("GET / HTTP/1.1\r\nA: {long}")).unwrap_err().status, 431);
        let many = "A: b\r\n".repeat(129);
        assert_eq!(scan(&format!("GET / HTTP/1.1\r\n{many}")).unwrap_err().limit, Some(Limit::fields));
        let lines = format!("A: {}\r\n", "a".repeat(15 << 10)).repeat(5);
        assert_eq!(scan(&format!("GET / HTTP/1.1\r\n{lines}")).unwrap_err().limit, Some(Limit::head));
    }
}
