//! Cross-origin requests (WHATWG Fetch, "CORS protocol"; `enable-cors` of ingress-nginx).

use std::borrow::Cow;

use bytes::Bytes;
use http::Method;
use smallvec::SmallVec;

use super::{Reply, ResponseField};
use crate::http1::RequestHead;
use crate::ir::{Cors, OriginPattern, Origins};

/// The answer to a preflight: no back end is asked. `None` for any other request, and for origins that may not read
/// answers.
pub(super) fn preflight(cors: &Cors, head: &RequestHead) -> Option<Reply> {
    if head.method != Method::OPTIONS {
        return None;
    }
    allowed(cors, head)?;
    let fields = SmallVec::from_buf([("Content-Type", Bytes::from_static(b"text/plain"))]);
    Some(Reply { fields, ..Reply::plain(204) })
}

/// What tells a browser who may read the answer. Where the list of origins decides, caches are told that it does.
pub(super) fn fields<'a>(cors: &'a Cors, head: &'a RequestHead, set: &mut impl FnMut(ResponseField<'a>)) {
    if matches!(cors.origins, Origins::Listed(_)) {
        set(ResponseField { name: "Vary", value: Cow::Borrowed(b"Origin"), replaces: false });
    }
    let Some(origin) = allowed(cors, head) else { return };
    let mut replace = |name, value| set(ResponseField { name, value: Cow::Borrowed(value), replaces: true });
    replace("Access-Control-Allow-Origin", origin);
    if cors.credentials {
        replace("Access-Control-Allow-Credentials", b"true");
    }
    replace("Access-Control-Allow-Methods", cors.methods.as_bytes());
    replace("Access-Control-Allow-Headers", cors.headers.as_bytes());
    if let Some(expose) = &cors.expose {
        replace("Access-Control-Expose-Headers", expose.as_bytes());
    }
    replace("Access-Control-Max-Age", cors.max_age.as_bytes());
}

/// The value of `Access-Control-Allow-Origin`, if the request may have one.
fn allowed<'a>(cors: &'a Cors, head: &'a RequestHead) -> Option<&'a [u8]> {
    match &cors.origins {
        Origins::Any => Some(b"*"),
        Origins::Listed(patterns) => {
            let origin = head.fields.find("origin")?;
            patterns.iter().any(|pattern| matches(pattern, origin)).then_some(origin)
        }
    }
}

/// Whether `origin` is one that the pattern means, in any letter case; the label that may be anything is letters, digits,
/// `-` and `_`.
fn matches(pattern: &OriginPattern, origin: &[u8]) -> bool {
    let Some(rest) = &pattern.rest else { return origin.eq_ignore_ascii_case(pattern.start.as_bytes()) };
    let Some((start, after)) = origin.split_at_checked(pattern.start.len()) else { return false };
    let Some((label, end)) = after.len().checked_sub(rest.len()).and_then(|length| after.split_at_checked(length))
    else {
        return false;
    };
    let is_inner = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    start.eq_ignore_ascii_case(pattern.start.as_bytes())
        && end.eq_ignore_ascii_case(rest.as_bytes())
        && !label.is_empty()
        && label.iter().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::head;

    fn cors(origins: Origins) -> Cors {
        Cors {
            origins,
            methods: "GET".into(),
            headers: "X-A".into(),
            credentials: true,
            expose: None,
            max_age: "60".into(),
        }
    }

    fn listed() -> Origins {
        let whole = OriginPattern { start: "https://a.example".into(), rest: None };
        let label = OriginPattern { start: "http://".into(), rest: Some(".b.example:8080".into()) };
        let null = OriginPattern { start: "null".into(), rest: None };
        Origins::Listed([whole, label, null].into())
    }

    #[test]
    fn an_origin_is_one_of_the_list_as_a_whole() {
        let cors = cors(listed());
        for (origin, is_allowed) in [
            ("https://a.example", true),
            ("HTTPS://A.example", true),
            ("https://a.example:443", false),
            ("http://a.example", false),
            ("https://a.example.evil", false),
            ("https://xa.example", false),
            ("http://x.b.example:8080", true),
            ("http://x-y_1.b.example:8080", true),
            ("http://.b.example:8080", false),
            ("http://x.y.b.example:8080", false),
            ("http://evil/.b.example:8080", false),
            ("http://x.b.example", false),
            ("http://", false),
            ("null", true),
            ("", false),
        ] {
            let head = head("GET /", "c.example", &format!("Origin: {origin}\r\n"));
            assert_eq!(allowed(&cors, &head).is_some(), is_allowed, "{origin}");
        }
        assert_eq!(allowed(&cors, &head("GET /", "c.example", "")), None);
    }

    #[test]
    fn every_origin_gets_the_star_and_requests_without_one_too() {
        for line in ["", "Origin: https://a.example\r\n"] {
            assert_eq!(allowed(&cors(Origins::Any), &head("GET /", "c.example", line)), Some(&b"*"[..]));
        }
    }

    #[test]
    fn only_an_allowed_origin_is_answered_before_the_back_end() {
        let cors = cors(listed());
        for (line, origin, status) in [
            ("OPTIONS /", "https://a.example", Some(204)),
            ("OPTIONS /", "https://evil.example", None),
            ("GET /", "https://a.example", None),
        ] {
            let head = head(line, "c.example", &format!("Origin: {origin}\r\n"));
            assert_eq!(preflight(&cors, &head).map(|reply| reply.status), status, "{line} {origin}");
        }
    }

    #[test]
    fn caches_are_told_where_the_list_decides() {
        let names = |cors: &Cors, head: &RequestHead| {
            let mut names = Vec::new();
            fields(cors, head, &mut |field| names.push(field.name.to_owned()));
            names.join(" ")
        };
        let evil = head("GET /", "c.example", "Origin: https://evil.example\r\n");
        assert_eq!(names(&cors(listed()), &evil), "Vary");
        assert!(names(&cors(Origins::Any), &evil).starts_with("Access-Control-Allow-Origin Access-Control-Allow-Cred"));
    }
}
