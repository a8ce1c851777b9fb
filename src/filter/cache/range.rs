//! Parts of an answer that is kept whole (RFC 9110 14).

use crate::http1::{Fields, Known};
use crate::live::Stored;

/// What of a body is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Octets from the first to before the last of these: 206.
    From(u64, u64),
    /// None that is there: 416.
    Nothing,
    /// All of it: 200.
    Whole,
}

/// The part of a body of `length` octets that a GET with these fields asks for. Several parts at once, and units other than
/// bytes, are answered with the whole, as is a part of what was changed since.
pub fn part(request: &Fields, stored: &Stored, length: u64) -> Part {
    if !request.has(Known::Conditional) {
        return Part::Whole;
    }
    let Some(range) = request.find("range") else { return Part::Whole };
    if request.find("if-range").is_some_and(|condition| !is_same(condition, stored)) {
        return Part::Whole;
    }
    let Some((unit, spec)) = range.split_at_checked(6) else { return Part::Whole };
    if !unit.eq_ignore_ascii_case(b"bytes=") || spec.contains(&b',') {
        return Part::Whole;
    }
    let spec = spec.trim_ascii();
    let Some(at) = memchr::memchr(b'-', spec) else { return Part::Whole };
    let (first, last) = (spec.get(..at).unwrap_or_default(), spec.get(at + 1..).unwrap_or_default());
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Part::Whole,
        (Some(first), _) if first >= length && (last.is_empty() || number(last).is_some()) => Part::Nothing,
        (Some(first), Some(last)) => Part::From(first, last.saturating_add(1).min(length)),
        (Some(first), None) if last.is_empty() => Part::From(first, length),
        (None, Some(0)) if first.is_empty() => Part::Nothing,
        (None, Some(_)) if first.is_empty() && length == 0 => Part::Nothing,
        (None, Some(count)) if first.is_empty() => Part::From(length.saturating_sub(count), length),
        _ => Part::Whole,
    }
}

/// Whether an `If-Range` names what is kept: the same strong tag, or the very date of its change (RFC 9110 13.1.5).
fn is_same(condition: &[u8], stored: &Stored) -> bool {
    let name = if condition.starts_with(b"\"") { "etag" } else { "last-modified" };
    stored.head.fields.find(name) == Some(condition)
}

/// A number of digits only; one that is too large for anything is the largest.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |sum: u64, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::fields;
    use super::*;
    use crate::http1::{Framing, ResponseHead, Span, Version};
    use crate::live::Life;

    fn stored() -> Stored {
        let head = ResponseHead {
            fields: fields(&[("ETag", "\"a\""), ("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT")]),
            version: Version::Http11,
            status: 200,
            reason: Span::default(),
            framing: Framing::Length(0),
            named_length: None,
            names_body: false,
            keep_alive: true,
            upgrade: None,
            has_date: true,
        };
        let life = Life {
            received: 0,
            initial_age: 0,
            fresh: 0,
            while_revalidate: 0,
            if_error: 0,
            must_revalidate: false,
            no_cache: false,
        };
        Stored { head, body: Arc::default(), selecting: Box::default(), life }
    }

    #[test]
    fn one_range_of_bytes_is_a_part_and_all_else_the_whole() {
        for (range, expected) in [
            ("bytes=0-1", Part::From(0, 2)),
            ("Bytes=1-", Part::From(1, 10)),
            ("bytes=-1", Part::From(9, 10)),
            ("bytes=-99", Part::From(0, 10)),
            ("bytes=5-99", Part::From(5, 10)),
            ("bytes=0-99999999999999999999999", Part::From(0, 10)),
            ("bytes=10-", Part::Nothing),
            ("bytes=10-12", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=5-4", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=a-1", Part::Whole),
            ("bytes=1-a", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(part(&fields(&[("Range", range)]), &stored(), 10), expected, "{range}");
        }
        assert_eq!(part(&fields(&[]), &stored(), 10), Part::Whole);
        assert_eq!(part(&fields(&[("Range", "bytes=-5")]), &stored(), 0), Part::Nothing);
    }

    #[test]
    fn a_part_of_what_was_changed_is_the_whole() {
        for (condition, is_part) in [
            ("\"a\"", true),
            ("W/\"a\"", false),
            ("\"b\"", false),
            ("Tue, 14 Nov 2023 22:13:20 GMT", true),
            ("Tue, 14 Nov 2023 22:13:21 GMT", false),
        ] {
            let found = part(&fields(&[("Range", "bytes=0-1"), ("If-Range", condition)]), &stored(), 10);
            assert_eq!(found == Part::From(0, 2), is_part, "{condition}");
        }
    }
}
