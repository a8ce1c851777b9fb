//! Which answers are kept, and how long they are fresh (RFC 9111 3, 4.2, 4.3.4).

use super::control::{Control, seconds};
use super::{date, selecting};
use crate::http1::{Fields, Known, ResponseHead};
use crate::ir::Caching;
use crate::live::{Life, Selecting, Stored, compact, join};

/// How an answer is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which requests it is for.
    pub selecting: Selecting,
    /// How long it may be served.
    pub life: Life,
}

/// Whether the answer to a GET is kept. `now` is when its head came.
pub fn keep(caching: &Caching, request: &Fields, response: &ResponseHead, now: u64) -> Option<Plan> {
    let control = Control::read(&response.fields);
    if !may_keep(&control, request, response) {
        return None;
    }
    let selecting = selecting(&response.fields, request)?;
    let life = life(caching, &control, response, now)?;
    let has_validator = response.fields.find("etag").is_some() || response.fields.find("last-modified").is_some();
    let is_of_use = has_validator || (!life.no_cache && life.fresh > life.initial_age);
    is_of_use.then_some(Plan { selecting, life })
}

/// RFC 9111 3: what forbids to keep an answer, whatever its age.
fn may_keep(control: &Control, request: &Fields, response: &ResponseHead) -> bool {
    let status = response.status;
    let is_understood = http::StatusCode::from_u16(status).is_ok_and(|status| status.canonical_reason().is_some());
    // Parts are not put together; a 304 says something about what is kept already.
    if status < 200 || matches!(status, 206 | 304) || control.private {
        return false;
    }
    let is_forbidden = if control.must_understand { !is_understood } else { control.no_store };
    if is_forbidden {
        return false;
    }
    // RFC 9111 3.5.
    let is_for_all = control.public || control.must_revalidate || control.s_maxage.is_some();
    if request.get(Known::Authorization).is_some() && !is_for_all {
        return false;
    }
    // RFC 9111 7.3 leaves it to us: a cookie is most often one client's.
    control.public || response.fields.find("set-cookie").is_none()
}

/// How long an answer lives; `None` when nothing says it and nothing may be assumed.
fn life(caching: &Caching, control: &Control, response: &ResponseHead, now: u64) -> Option<Life> {
    let fields = &response.fields;
    let received = now / 1000;
    let sent = fields.get(Known::Date).and_then(date).unwrap_or(received);
    let expires = fields.find("expires");
    let explicit = match (control.s_maxage, control.max_age, expires) {
        (Some(seconds), ..) | (None, Some(seconds), _) => Some(seconds),
        // What is no date is past (RFC 9111 5.3).
        (None, None, Some(expires)) => Some(date(expires).map_or(0, |expires| expires.saturating_sub(sent))),
        (None, None, None) => None,
    };
    let fresh = match explicit {
        Some(seconds) => seconds * 1000,
        None => assumed(caching, control, response, sent)?,
    };
    let age = age(fields);
    let fresh = if age.is_none() { 0 } else { fresh };
    let initial_age = received.saturating_sub(sent).max(age.unwrap_or(0)) * 1000;
    let if_error = control.stale_if_error.map(|seconds| seconds * 1000);
    Some(Life {
        received: now,
        initial_age,
        fresh,
        while_revalidate: control.stale_while_revalidate.unwrap_or(0) * 1000,
        if_error: if_error.unwrap_or_else(|| {
            caching.stale_if_error.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
        }),
        // RFC 9111 5.2.2.10: s-maxage says so too.
        must_revalidate: control.must_revalidate || control.proxy_revalidate || control.s_maxage.is_some(),
        no_cache: control.no_cache,
    })
}

/// Longest time for which an answer is taken for fresh without saying so, milliseconds.
const LONGEST_ASSUMED: u64 = 5 * 60 * 1000;

/// Milliseconds for which an answer is taken for fresh that does not say so: `cache-ttl`, else a tenth of the time since it was
/// last changed (RFC 9111 4.2.2). Only for statuses that allow it, and for answers that are `public`.
fn assumed(caching: &Caching, control: &Control, response: &ResponseHead, sent: u64) -> Option<u64> {
    let allows = matches!(response.status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501);
    if !allows && !control.public {
        return None;
    }
    if let Some(ttl) = caching.ttl {
        return Some(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
    }
    let changed = response.fields.find("last-modified").and_then(date);
    // Without a date it is kept to be asked about, if it has a validator.
    Some(changed.map_or(0, |changed| (sent.saturating_sub(changed) * 100).min(LONGEST_ASSUMED)))
}

/// The `Age` in seconds, 0 without one. `None` when it is no number or said more than once, also in one line that somebody
/// joined: then the answer counts as stale. Of a list that was written as one the first counts (RFC 9111 5.1).
fn age(fields: &Fields) -> Option<u64> {
    let mut lines = fields.iter().filter(|(_, name, _)| name.eq_ignore_ascii_case(b"age")).map(|(_, _, value)| value);
    let Some(line) = lines.next() else { return Some(0) };
    if lines.next().is_some() || line.windows(2).any(|pair| pair == b", ") {
        return None;
    }
    let first = line.split(|octet| *octet == b',').next().unwrap_or_default();
    let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    is_number.then(|| seconds(first))
}

/// Whether a field belongs to what is kept: not to one hop, not to a moment, and not `taken_out` by the answer itself
/// (RFC 9111 3.1).
fn is_kept(name: &[u8], taken_out: &[Box<[u8]>]) -> bool {
    const NEVER: [&[u8]; 5] =
        [b"age", b"proxy-authenticate", b"proxy-authentication-info", b"proxy-authorization", b"trailer"];
    !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never))
        && !taken_out.iter().any(|taken| name.eq_ignore_ascii_case(taken))
}

/// The fields of an answer that are kept.
pub(super) fn kept(fields: &Fields) -> Fields {
    let control = Control::read(fields);
    compact(fields, |name| is_kept(name, &control.taken_out))
}

impl Plan {
    /// The answer as it is kept, with `body`.
    pub fn store(self, response: &ResponseHead, body: std::sync::Arc<crate::live::Body>) -> Stored {
        let reason = response.reason.of(&response.fields.bytes);
        let mut fields = kept(&response.fields);
        let reason = put_aside(&mut fields, reason);
        let head = ResponseHead { fields, reason, ..response.clone() };
        Stored { head, body, selecting: self.selecting, life: self.life }
    }
}

/// Keeps the reason phrase behind the fields, in the buffer that they are slices of.
fn put_aside(fields: &mut Fields, reason: &[u8]) -> crate::http1::Span {
    if reason.is_empty() {
        return crate::http1::Span::default();
    }
    let start = fields.bytes.len();
    fields.bytes = [&fields.bytes, reason].concat().into();
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    crate::http1::Span { start: number(start), len: number(reason.len()) }
}

/// Whether what a 304 says may be kept with the answer that it is about: what is for one client must not reach others.
pub fn may_refresh(stored: &Stored, answer: &ResponseHead) -> bool {
    let (said, kept) = (Control::read(&answer.fields), Control::read(&stored.head.fields));
    let has_cookie = answer.fields.find("set-cookie").is_some();
    !said.private && !said.no_store && (!has_cookie || said.public || kept.public)
}

/// What is kept, after the backend said with a 304 that it still holds: fields that the 304 has replace those kept, but for
/// those that tell about the very octets (RFC 9111 3.2, 4.3.4).
pub fn refreshed(caching: &Caching, stored: &Stored, answer: &ResponseHead, now: u64) -> Stored {
    let fresh = kept(&answer.fields);
    let replaces = |name: &[u8]| {
        const BOUND: [&[u8]; 5] = [b"content-encoding", b"content-length", b"content-md5", b"content-range", b"etag"];
        !BOUND.iter().any(|bound| name.eq_ignore_ascii_case(bound))
    };
    let is_replaced =
        |name: &[u8]| replaces(name) && fresh.passed().any(|(_, other, _)| other.eq_ignore_ascii_case(name));
    let old = stored.head.fields.passed().filter(|(_, name, _)| !is_replaced(name));
    let new = fresh.passed().filter(|(_, name, _)| replaces(name));
    let reason = stored.head.reason.of(&stored.head.fields.bytes).to_vec();
    let mut fields = join(old.chain(new));
    let reason = put_aside(&mut fields, &reason);
    let mut head = ResponseHead { fields, reason, ..stored.head.clone() };
    head.has_date = stored.head.has_date || answer.has_date;
    // `Age` of the 304 counts for the life, though it is not kept.
    let control = Control::read(&head.fields);
    let life = life(caching, &control, &head, now)
        .map(|life| Life { initial_age: life.initial_age.max(age(&answer.fields).unwrap_or(0) * 1000), ..life });
    let life = life.unwrap_or(Life { received: now, initial_age: 0, fresh: 0, ..stored.life });
    Stored { head, body: std::sync::Arc::clone(&stored.body), selecting: stored.selecting.clone(), life }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::fields;
    use super::*;
    use crate::http1::{Framing, Span, Version};

    const NOW: u64 = 1_700_000_000_000;
    const SENT: (&str, &str) = ("Date", "Tue, 14 Nov 2023 22:13:20 GMT");

    fn response(status: u16, lines: &[(&str, &str)]) -> ResponseHead {
        ResponseHead {
            fields: fields(lines),
            version: Version::Http11,
            status,
            reason: Span::default(),
            framing: Framing::Length(5),
            named_length: Some(5),
            names_body: true,
            keep_alive: true,
            upgrade: None,
            has_date: true,
        }
    }

    fn caching() -> Caching {
        Caching { key: None, ttl: None, max_object: Caching::MAX_OBJECT, stale_if_error: None, status: false }
    }

    /// Seconds for which an answer is fresh when it comes; `None` when it is not kept.
    fn fresh(status: u16, lines: &[(&str, &str)]) -> Option<i64> {
        let lines = [&[SENT], lines].concat();
        let plan = keep(&caching(), &fields(&[]), &response(status, &lines), NOW)?;
        Some((plan.life.fresh.cast_signed() - plan.life.initial_age.cast_signed()) / 1000)
    }

    #[test]
    fn the_strongest_word_says_how_long_an_answer_is_fresh() {
        const TAG: (&str, &str) = ("ETag", "\"a\"");
        let future = ("Expires", "Tue, 14 Nov 2023 22:14:20 GMT");
        for (lines, expected) in [
            (vec![("Cache-Control", "max-age=30")], Some(30)),
            (vec![("Cache-Control", "max-age=30, s-maxage=5"), future], Some(5)),
            (vec![("Cache-Control", "max-age=30"), ("Expires", "0")], Some(30)),
            (vec![future], Some(60)),
            (vec![("Expires", "0"), TAG], Some(0)),
            (vec![("Expires", "0")], None),
            (vec![("Cache-Control", "max-age=30"), ("Age", "10")], Some(20)),
            (vec![("Cache-Control", "max-age=30"), ("Age", "60")], None),
            (vec![("Cache-Control", "max-age=0")], None),
            (vec![("Cache-Control", "no-cache, max-age=30")], None),
            (vec![("Cache-Control", "no-cache, max-age=30"), TAG], Some(30)),
            (vec![TAG], Some(0)),
            (vec![], None),
            // A tenth of the 1,000 s since it was changed; a tenth of a year would be too long.
            (vec![("Last-Modified", "Tue, 14 Nov 2023 21:56:40 GMT")], Some(100)),
            (vec![("Last-Modified", "Mon, 14 Nov 2022 21:56:40 GMT")], Some(300)),
        ] {
            assert_eq!(fresh(200, &lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn an_age_that_is_wrong_or_said_twice_makes_an_answer_stale() {
        for (lines, expected) in [
            (vec![("Age", "0,7200")], Some(3600)),
            (vec![("Age", "7200,0")], None),
            (vec![("Age", "0, 0")], None),
            (vec![("Age", "0"), ("Age", "0")], None),
            (vec![("Age", "abc")], None),
            (vec![("Age", "-1")], None),
            (vec![("Age", "1.0")], None),
            (vec![("Age", "1;a=b")], None),
        ] {
            let lines = [&[("Cache-Control", "max-age=3600")], &lines[..]].concat();
            assert_eq!(fresh(200, &lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_is_private_personal_or_not_understood_is_not_kept() {
        let with = |control| fresh(200, &[("Cache-Control", control), ("Set-Cookie", "a=b")]);
        assert_eq!((with("max-age=30"), with("max-age=30, public")), (None, Some(30)));
        for control in ["private, max-age=30", "no-store, max-age=30", "max-age=30, no-store"] {
            assert_eq!(fresh(200, &[("Cache-Control", control)]), None, "{control}");
        }
        let understood = [("Cache-Control", "max-age=30, must-understand, no-store")];
        assert_eq!((fresh(200, &understood), fresh(599, &understood)), (Some(30), None));
        for status in [206, 304] {
            assert_eq!(fresh(status, &[("Cache-Control", "max-age=30")]), None);
        }
        assert_eq!(fresh(599, &[("Cache-Control", "max-age=30")]), Some(30));
        let authorized = fields(&[("Authorization", "x")]);
        for (control, is_kept) in [
            ("max-age=30", false),
            ("max-age=30, public", true),
            ("s-maxage=30", true),
            ("max-age=30, must-revalidate", true),
        ] {
            let answer = response(200, &[SENT, ("Cache-Control", control)]);
            assert_eq!(keep(&caching(), &authorized, &answer, NOW).is_some(), is_kept, "{control}");
        }
    }

    #[test]
    fn a_time_is_assumed_only_where_the_status_allows_it() {
        let ttl = Caching { ttl: Some(Duration::from_secs(7)), ..caching() };
        for (status, control, expected) in [
            (200, "", Some(7000)),
            (404, "", Some(7000)),
            (302, "", None),
            (403, "", None),
            (500, "", None),
            (500, "public", Some(7000)),
            (200, "max-age=0", None),
        ] {
            let answer = response(status, &[SENT, ("Cache-Control", control)]);
            let plan = keep(&ttl, &fields(&[]), &answer, NOW);
            assert_eq!(plan.map(|plan| plan.life.fresh), expected, "{status} {control}");
        }
    }

    #[test]
    fn a_304_renews_the_fields_but_not_those_of_the_octets() {
        let answer = response(
            200,
            &[
                SENT,
                ("Cache-Control", "max-age=2"),
                ("ETag", "\"a\""),
                ("A", "1"),
                ("B", "1"),
                ("Content-Encoding", "x"),
            ],
        );
        let stored = keep(&caching(), &fields(&[]), &answer, NOW).unwrap().store(&answer, std::sync::Arc::default());
        let not_modified = response(
            304,
            &[
                ("Date", "Tue, 14 Nov 2023 22:13:30 GMT"),
                ("ETag", "\"b\""),
                ("a", "2"),
                ("Content-Encoding", "y"),
                ("Cache-Control", "max-age=60"),
            ],
        );
        let renewed = refreshed(&caching(), &stored, &not_modified, NOW + 10_000);
        let find = |name| renewed.head.fields.find(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let found: Vec<_> = ["a", "b", "etag", "content-encoding"].into_iter().map(find).collect();
        assert_eq!(found, [Some("2"), Some("1"), Some("\"a\""), Some("x")].map(|value| value.map(str::to_owned)));
        assert_eq!((renewed.life.fresh, renewed.life.initial_age), (60_000, 0));
    }

    #[test]
    fn fields_of_a_hop_of_a_moment_and_those_taken_out_are_not_kept() {
        let answer = fields(&[
            ("Age", "3"),
            ("Connection", "x"),
            ("Cache-Control", "no-cache=\"a\", max-age=3"),
            ("A", "1"),
            ("B", "2"),
            ("Proxy-Authenticate", "z"),
        ]);
        let kept = kept(&answer);
        let lines: Vec<_> = kept.passed().map(|(_, name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(lines, ["Cache-Control", "B"]);
        assert_eq!(&*kept.bytes, b"Cache-Control: no-cache=\"a\", max-age=3\r\nB: 2\r\n");
    }
}
