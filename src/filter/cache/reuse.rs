//! When what is kept may be served, and what is asked otherwise (RFC 9111 4.2.4, 4.3; RFC 9110 13; RFC 5861).

use bytes::Bytes;
use smallvec::SmallVec;

use super::control::Control;
use super::date;
use crate::http1::{Fields, Known, options};
use crate::live::{Life, Stored};

/// How an answer that is kept may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is served.
    Fresh,
    /// It is served, and the backend is asked meanwhile.
    Stale,
    /// The backend is asked first.
    Ask,
}

/// How an answer may be used for a request with `control`.
pub fn usable(life: &Life, control: &Control, now: u64) -> Use {
    let age = life.age(now);
    let is_too_old = control.max_age.is_some_and(|seconds| age > seconds.saturating_mul(1000));
    let must_be_fresh = control.min_fresh.unwrap_or(0).saturating_mul(1000);
    if life.no_cache || control.no_cache || is_too_old {
        return Use::Ask;
    }
    if age.saturating_add(must_be_fresh) < life.fresh {
        return Use::Fresh;
    }
    if life.must_revalidate || must_be_fresh > 0 {
        return Use::Ask;
    }
    let staleness = age.saturating_sub(life.fresh);
    if control.max_stale.is_some_and(|seconds| staleness <= seconds.saturating_mul(1000)) {
        return Use::Fresh;
    }
    if control.max_age.is_none() && staleness < life.while_revalidate { Use::Stale } else { Use::Ask }
}

/// Whether an answer is served because the backend fails: it has no answer, or one of 500, 502, 503 and 504.
pub fn may_stand_in(life: &Life, now: u64) -> bool {
    let staleness = life.age(now).saturating_sub(life.fresh);
    !life.no_cache && !life.must_revalidate && staleness < life.if_error
}

/// Fields of a request.
pub type Conditions = SmallVec<[(&'static str, Bytes); 2]>;

/// What is asked about an answer that is kept: whether it is still so. Empty when it has nothing to ask by.
pub fn conditions(stored: &Stored) -> Conditions {
    let fields = &stored.head.fields;
    let value = |name: &str| fields.find(name).map(Bytes::copy_from_slice);
    let tag = value("etag").map(|tag| ("If-None-Match", tag));
    let changed = value("last-modified").map(|changed| ("If-Modified-Since", changed));
    tag.into_iter().chain(changed).collect()
}

/// Fields of a request that are conditions or ask for a part: the backend is asked for the whole, which is kept.
pub const CONDITIONAL: [&str; 4] = ["if-modified-since", "if-none-match", "if-range", "range"];

/// Whether the client has what is kept already (RFC 9110 13.2.2).
pub fn is_not_modified(request: &Fields, stored: &Stored) -> bool {
    if !request.has(Known::Conditional) {
        return false;
    }
    let fields = &stored.head.fields;
    let mut tags = request.iter().filter(|(_, name, _)| name.eq_ignore_ascii_case(b"if-none-match")).peekable();
    if tags.peek().is_some() {
        let own = fields.find("etag").map(opaque);
        return tags.flat_map(|(_, _, value)| options(value)).any(|tag| tag == b"*" || own == Some(opaque(tag)));
    }
    let Some(since) = request.find("if-modified-since").and_then(date) else { return false };
    // Without a date of change what is kept is as old as its answer (RFC 9111 4.3.2).
    let changed = fields.find("last-modified").or_else(|| fields.get(Known::Date)).and_then(date);
    changed.is_some_and(|changed| changed <= since)
}

/// A tag without the sign of a weak one: weak comparison (RFC 9110 8.8.3.2).
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::fields;
    use super::*;
    use crate::http1::{Framing, ResponseHead, Span, Version};

    const LIFE: Life = Life {
        received: 1_000_000,
        initial_age: 5000,
        fresh: 10_000,
        while_revalidate: 3000,
        if_error: 20_000,
        must_revalidate: false,
        no_cache: false,
    };

    fn control(value: &str) -> Control {
        Control::read(&fields(&[("Cache-Control", value)]))
    }

    #[test]
    fn age_and_the_client_decide_together() {
        for (seconds, said, expected) in [
            (0, "", Use::Fresh),
            (4, "", Use::Fresh),
            (5, "", Use::Stale),
            (7, "", Use::Stale),
            (8, "", Use::Ask),
            (0, "no-cache", Use::Ask),
            (0, "max-age=4", Use::Ask),
            (0, "max-age=5", Use::Fresh),
            (5, "max-age=100", Use::Ask),
            (0, "min-fresh=4", Use::Fresh),
            (0, "min-fresh=5", Use::Ask),
            (60, "max-stale", Use::Fresh),
            (15, "max-stale=10", Use::Fresh),
            (16, "max-stale=10", Use::Ask),
        ] {
            let found = usable(&LIFE, &control(said), LIFE.received + seconds * 1000);
            assert_eq!(found, expected, "after {seconds} s with {said:?}");
        }
        let strict = Life { must_revalidate: true, ..LIFE };
        assert_eq!(usable(&strict, &control("max-stale"), LIFE.received + 6000), Use::Ask);
        assert_eq!(usable(&Life { no_cache: true, ..LIFE }, &control(""), LIFE.received), Use::Ask);
        // A clock that was set back.
        assert_eq!(usable(&LIFE, &control(""), 0), Use::Fresh);
    }

    #[test]
    fn only_within_its_time_an_answer_stands_in_for_a_backend_that_fails() {
        assert!(may_stand_in(&LIFE, LIFE.received + 24_000) && !may_stand_in(&LIFE, LIFE.received + 25_000));
        assert!(!may_stand_in(&Life { must_revalidate: true, ..LIFE }, LIFE.received));
        assert!(!may_stand_in(&Life { no_cache: true, ..LIFE }, LIFE.received));
    }

    fn stored(lines: &[(&str, &str)]) -> Stored {
        let head = ResponseHead {
            fields: fields(lines),
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
        Stored { head, body: Arc::default(), selecting: Box::default(), life: LIFE }
    }

    #[test]
    fn tags_are_compared_weakly_and_go_before_dates() {
        let (old, new) = ("Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:21 GMT");
        let kept = stored(&[("ETag", "\"a\""), ("Last-Modified", old)]);
        for (request, expected) in [
            (vec![("If-None-Match", "\"a\"")], true),
            (vec![("If-None-Match", "W/\"a\"")], true),
            (vec![("If-None-Match", "\"b\", \"a\"")], true),
            (vec![("If-None-Match", "\"b\""), ("If-None-Match", "\"a\"")], true),
            (vec![("If-None-Match", "*")], true),
            (vec![("If-None-Match", "\"b\""), ("If-Modified-Since", new)], false),
            (vec![("If-Modified-Since", old)], true),
            (vec![("If-Modified-Since", "Tuesday, 14-Nov-23 22:13:20 GMT")], true),
            (vec![("If-Modified-Since", "Tue, 14 Nov 2023 22:13:19 GMT")], false),
            (vec![("If-Modified-Since", "x")], false),
            (vec![], false),
        ] {
            assert_eq!(is_not_modified(&fields(&request), &kept), expected, "{request:?}");
        }
        let asked: Vec<_> = conditions(&kept).into_iter().map(|(name, _)| name).collect();
        assert_eq!(asked, ["If-None-Match", "If-Modified-Since"]);
        assert!(conditions(&stored(&[("Date", old)])).is_empty());
    }
}
