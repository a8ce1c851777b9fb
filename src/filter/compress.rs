//! Whether an answer is compressed, and with which coding: content negotiation (RFC 9110 12.5.3) and what must be left as
//! it is.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::http1::{Fields, options};
use crate::ir::{Coding, Compression, Regex};

/// What an answer is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Status.
    pub status: u16,
    /// The upstream's fields.
    pub fields: &'a Fields,
    /// Octets of the body, if they are known.
    pub length: Option<u64>,
    /// A body follows.
    pub has_body: bool,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is compressed.
    Encode(Coding),
    /// Nothing.
    Leave,
    /// It would be compressed for another client, and must say so to caches.
    Vary,
}

/// Judges an answer to a request with the fields `request`, from a client of HTTP/1.1 or later if `is_modern`.
pub fn judge(compression: &Compression, request: &Fields, is_modern: bool, answer: &Answer<'_>) -> Verdict {
    // A part of a representation, and what has no body, is said of the representation as it is.
    if matches!(answer.status, 100..200 | 204 | 205 | 206 | 304) || answer.length == Some(0) {
        return Verdict::Leave;
    }
    let Some(content_type) = content_type(answer.fields) else { return Verdict::Leave };
    let fits = |coding: &&Coding| {
        let tuning = compression.tuning(**coding);
        let is_long = answer.length.is_none_or(|length| length >= tuning.min_length);
        is_long && is_listed(&tuning.types, content_type)
    };
    let mut fitting: SmallVec<[Coding; 3]> = SmallVec::new();
    fitting.extend(compression.codings.iter().filter(fits).copied());
    if fitting.is_empty() {
        return Verdict::Leave;
    }
    if compression.gzip_disabled.as_ref().is_some_and(|agents| is_of(request, agents)) {
        fitting.retain(|coding| *coding != Coding::Gzip);
    }
    match preferred(&fitting, request) {
        Some(coding) if is_modern && answer.has_body => Verdict::Encode(coding),
        _ => Verdict::Vary,
    }
}

/// Whether a request comes from one of `agents`.
fn is_of(request: &Fields, agents: &Regex) -> bool {
    request.find("user-agent").is_some_and(|agent| agents.is_match(agent))
}

/// The media type of an answer that may be changed at all.
fn content_type(fields: &Fields) -> Option<&[u8]> {
    let mut content_type = None;
    for (_, name, value) in fields.iter() {
        match name.len() {
            12 if name.eq_ignore_ascii_case(b"content-type") => content_type = Some(value),
            13 if name.eq_ignore_ascii_case(b"cache-control") && forbids_change(value) => return None,
            // Coded, a part, or with a digest of the octets as they are (RFC 9530 3).
            16 if name.eq_ignore_ascii_case(b"content-encoding") => return None,
            13 if name.eq_ignore_ascii_case(b"content-range") => return None,
            14 if name.eq_ignore_ascii_case(b"content-digest") => return None,
            11 if name.eq_ignore_ascii_case(b"content-md5") => return None,
            _ => {}
        }
    }
    let essence = content_type?.split(|octet| *octet == b';').next()?.trim_ascii();
    (!essence.is_empty()).then_some(essence)
}

fn forbids_change(cache_control: &[u8]) -> bool {
    options(cache_control).any(|option| option.eq_ignore_ascii_case(b"no-transform"))
}

fn is_listed(types: &[std::sync::Arc<str>], essence: &[u8]) -> bool {
    let is = |listed: &str| listed == "*" || essence.eq_ignore_ascii_case(listed.as_bytes());
    is("text/html") || types.iter().any(|listed| is(listed))
}

/// Whether a body is a stream of events, each of which must reach the client at once.
pub fn is_event_stream(fields: &Fields) -> bool {
    fields.find("content-type").is_some_and(|value| {
        value
            .split(|octet| *octet == b';')
            .next()
            .is_some_and(|e| e.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
    })
}

/// Of the codings offered the one that the client likes best; the first of those that it likes equally well.
fn preferred(offered: &[Coding], request: &Fields) -> Option<Coding> {
    let mut said: [Option<u16>; 3] = [None; 3];
    let (mut identity, mut others) = (None, None);
    for (_, name, value) in request.iter() {
        if name.len() != 15 || !name.eq_ignore_ascii_case(b"accept-encoding") {
            continue;
        }
        for option in options(value) {
            let (coding, weight) = weighed(option);
            let place = match coding {
                [b'*'] => &mut others,
                _ if coding.eq_ignore_ascii_case(b"identity") => &mut identity,
                _ => match place(offered, coding).and_then(|place| said.get_mut(place)) {
                    Some(place) => place,
                    None => continue,
                },
            };
            *place = Some(weight);
        }
    }
    let mut best = (None, 0);
    for (coding, said) in offered.iter().zip(said) {
        let weight = said.or(others).unwrap_or(0);
        if weight > best.1 {
            best = (Some(*coding), weight);
        }
    }
    // As it is, an answer is always acceptable, but only liked as much as is said.
    best.0.filter(|_| identity.is_none_or(|identity| best.1 >= identity))
}

fn place(offered: &[Coding], name: &[u8]) -> Option<usize> {
    let name = if name.eq_ignore_ascii_case(b"x-gzip") { b"gzip" } else { name };
    offered.iter().position(|coding| name.eq_ignore_ascii_case(coding.as_str().as_bytes()))
}

/// A member of `Accept-Encoding` with its weight in thousandths; a weight that is none counts as 0.
pub(super) fn weighed(option: &[u8]) -> (&[u8], u16) {
    let mut parts = option.split(|octet| *octet == b';');
    let coding = parts.next().unwrap_or_default().trim_ascii();
    let weight = parts.map(<[u8]>::trim_ascii).find_map(|part| match part {
        [b'q' | b'Q', b'=', value @ ..] => Some(thousandths(value)),
        _ => None,
    });
    (coding, weight.unwrap_or(1000))
}

/// A `qvalue` (RFC 9110 12.4.2): 0 to 1 with at most three decimals.
fn thousandths(value: &[u8]) -> u16 {
    match value {
        [b'1'] => 1000,
        [b'1', b'.', zeros @ ..] if zeros.len() <= 3 && zeros.iter().all(|digit| *digit == b'0') => 1000,
        [b'0', b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            let padded = digits.iter().chain(b"000").take(3);
            padded.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
        }
        _ => 0,
    }
}

/// Fields that an answer gets for being compressed, or for having been a candidate.
pub type Additions = SmallVec<[(&'static str, Bytes); 3]>;

/// Changes the fields of an answer as `verdict` says: what is no longer true stays behind, and what is to be added is
/// returned. A strong `ETag` becomes weak, since the octets are others than those it was made for (RFC 9110 8.8.1).
pub fn apply(verdict: Verdict, fields: &mut Fields) -> Additions {
    let mut additions = Additions::new();
    let coding = match verdict {
        Verdict::Leave => return additions,
        Verdict::Vary => None,
        Verdict::Encode(coding) => Some(coding),
    };
    if !varies_already(fields) {
        additions.push(("Vary", Bytes::from_static(b"Accept-Encoding")));
    }
    let Some(coding) = coding else { return additions };
    additions.push(("Content-Encoding", Bytes::from_static(coding.as_str().as_bytes())));
    let mut strong = None;
    fields.skip_where(|name, value| match name.len() {
        4 if name.eq_ignore_ascii_case(b"etag") && value.starts_with(b"\"") => {
            strong = Some([b"W/", value].concat());
            true
        }
        13 => name.eq_ignore_ascii_case(b"accept-ranges"),
        _ => false,
    });
    additions.extend(strong.map(|weak| ("ETag", Bytes::from(weak))));
    additions
}

fn varies_already(fields: &Fields) -> bool {
    let lines = fields.iter().filter(|(_, name, _)| name.len() == 4 && name.eq_ignore_ascii_case(b"vary"));
    lines
        .flat_map(|(_, _, value)| options(value))
        .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::HeadBuilder;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut builder = HeadBuilder::response();
        for (name, value) in lines {
            builder.field(name.as_bytes(), value.as_bytes());
        }
        builder.finish()
    }

    fn all() -> Compression {
        Compression { codings: vec![Coding::Zstd, Coding::Brotli, Coding::Gzip], ..Compression::default() }
    }

    fn verdict(accept: &str, answer: &[(&str, &str)], status: u16, length: Option<u64>) -> Verdict {
        let fields_of_answer = fields(answer);
        let answer = Answer { status, fields: &fields_of_answer, length, has_body: true };
        judge(&all(), &fields(&[("accept-encoding", accept)]), true, &answer)
    }

    const HTML: &[(&str, &str)] = &[("Content-Type", "text/html; charset=utf-8")];

    #[test]
    fn the_coding_with_the_highest_weight_is_taken_and_the_first_of_equals() {
        use Coding::{Brotli, Gzip, Zstd};
        for (accept, expected) in [
            ("gzip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("GZIP, deflate", Some(Gzip)),
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, br", Some(Brotli)),
            ("gzip;q=1, br;q=0.9", Some(Gzip)),
            ("gzip;q=0.1, br;q=0.101", Some(Brotli)),
            ("gzip ; q=0.5 , br;Q=0.2", Some(Gzip)),
            ("*", Some(Zstd)),
            ("*;q=0.1, gzip;q=0", Some(Zstd)),
            ("zstd;q=0, *;q=0.5", Some(Brotli)),
            ("identity", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            ("identity;q=0, gzip;q=0.001", Some(Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("gzip;q=1.1", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=x", None),
            ("deflate", None),
            ("", None),
            ("gzipp", None),
        ] {
            let expected = expected.map_or(Verdict::Vary, Verdict::Encode);
            assert_eq!(verdict(accept, HTML, 200, None), expected, "{accept:?}");
        }
    }

    #[test]
    fn what_is_coded_partial_small_or_of_another_type_is_left_alone() {
        let with = |name, value| [HTML, &[(name, value)]].concat();
        for (lines, status, length) in [
            (HTML.to_vec(), 206, None),
            (HTML.to_vec(), 304, None),
            (HTML.to_vec(), 204, None),
            (HTML.to_vec(), 200, Some(0)),
            (HTML.to_vec(), 200, Some(19)),
            (vec![], 200, None),
            (vec![("Content-Type", "image/png")], 200, None),
            (vec![("Content-Type", "")], 200, None),
            (with("Content-Encoding", "br"), 200, None),
            (with("Content-Range", "bytes 0-1/2"), 200, None),
            (with("Content-MD5", "x"), 200, None),
            (with("Cache-Control", "max-age=3, no-transform"), 200, None),
        ] {
            assert_eq!(
                verdict("gzip, br, zstd", &lines, status, length),
                Verdict::Leave,
                "{lines:?} {status} {length:?}"
            );
        }
        // Brotli takes what gzip leaves.
        assert_eq!(verdict("gzip, br", HTML, 200, Some(20)), Verdict::Encode(Coding::Brotli));
        assert_eq!(verdict("gzip", HTML, 200, Some(20)), Verdict::Vary);
        assert_eq!(verdict("gzip", HTML, 404, Some(256)), Verdict::Encode(Coding::Gzip));
    }

    #[test]
    fn head_and_http_1_0_are_told_that_it_varies() {
        let fields_of_answer = fields(HTML);
        let accept = fields(&[("Accept-Encoding", "gzip")]);
        for (is_modern, has_body) in [(false, true), (true, false)] {
            let answer = Answer { status: 200, fields: &fields_of_answer, length: Some(1000), has_body };
            assert_eq!(judge(&all(), &accept, is_modern, &answer), Verdict::Vary);
        }
    }

    #[test]
    fn who_gets_no_gzip_gets_another_coding_or_none() {
        let agents = Regex::new(r"MSIE [4-6]\.", true).unwrap();
        let compression = Compression { gzip_disabled: Some(agents), ..all() };
        let fields_of_answer = fields(HTML);
        let answer = Answer { status: 200, fields: &fields_of_answer, length: None, has_body: true };
        for (agent, accept, expected) in [
            ("Mozilla/4.0 (msie 6.0)", "gzip", Verdict::Vary),
            ("Mozilla/4.0 (msie 6.0)", "gzip, br;q=0.1", Verdict::Encode(Coding::Brotli)),
            ("curl/8", "gzip", Verdict::Encode(Coding::Gzip)),
        ] {
            let request = fields(&[("User-Agent", agent), ("Accept-Encoding", accept)]);
            assert_eq!(judge(&compression, &request, true, &answer), expected, "{agent} {accept}");
        }
        assert_eq!(
            judge(&compression, &fields(&[("Accept-Encoding", "gzip")]), true, &answer),
            Verdict::Encode(Coding::Gzip)
        );
    }

    #[test]
    fn a_star_in_the_types_takes_all() {
        let compression = Compression { gzip: crate::ir::Tuning { types: ["*".into()].into(), ..all().gzip }, ..all() };
        let fields_of_answer = fields(&[("Content-Type", "application/x-any")]);
        let answer = Answer { status: 200, fields: &fields_of_answer, length: None, has_body: true };
        let accept = fields(&[("Accept-Encoding", "zstd, gzip")]);
        assert_eq!(judge(&compression, &accept, true, &answer), Verdict::Encode(Coding::Gzip));
    }

    #[test]
    fn the_fields_say_what_was_done() {
        let passed = |fields: &Fields| -> Vec<String> {
            fields.passed().map(|(_, name, _)| String::from_utf8_lossy(name).into_owned()).collect()
        };
        for (etag, weak) in [("\"a\"", Some("W/\"a\"")), ("W/\"a\"", None), ("a", None)] {
            let mut answer = fields(&[("ETag", etag), ("Accept-Ranges", "bytes"), ("X", "y")]);
            let additions = apply(Verdict::Encode(Coding::Brotli), &mut answer);
            let find = |name| additions.iter().find(|(n, _)| *n == name).map(|(_, value)| &**value);
            assert_eq!(find("Vary"), Some(&b"Accept-Encoding"[..]));
            assert_eq!(find("Content-Encoding"), Some(&b"br"[..]));
            assert_eq!(find("ETag"), weak.map(str::as_bytes));
            assert_eq!(passed(&answer), if weak.is_some() { vec!["X"] } else { vec!["ETag", "X"] });
        }
        for (vary, is_added) in
            [("Accept-Encoding", false), ("*", false), ("Origin", true), ("x, accept-encoding", false)]
        {
            let mut answer = fields(&[("Vary", vary), ("ETag", "\"a\""), ("Accept-Ranges", "bytes")]);
            let additions = apply(Verdict::Vary, &mut answer);
            assert_eq!(additions.len(), usize::from(is_added), "{vary}");
            assert_eq!(passed(&answer).len(), 3);
        }
        assert!(apply(Verdict::Leave, &mut fields(HTML)).is_empty());
    }
}
