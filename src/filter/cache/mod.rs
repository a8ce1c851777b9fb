//! HTTP caching by RFC 9111, as a cache that its users share: what is kept, when it may be served, what is asked of the
//! backend. No clock and no memory here: times are passed in, milliseconds since the epoch.

mod control;
mod keep;
mod range;
mod reuse;
mod vary;

use crate::http1::{Fields, Known};

pub use self::control::Control;
pub use self::keep::{Plan, keep, may_refresh, refreshed};
pub use self::range::{Part, part};
pub use self::reuse::{CONDITIONAL, Use, conditions, is_not_modified, may_stand_in, usable};
pub use self::vary::{Asking, matches, selecting};

/// Whether a request may be answered from what is kept, and its answer be kept: GET and HEAD without a body, and nothing that
/// asks for the present state.
pub fn applies(method: &http::Method, request: &Fields, control: &Control) -> bool {
    let is_read = *method == http::Method::GET || *method == http::Method::HEAD;
    let asks_for_now = || ["if-match", "if-unmodified-since"].iter().any(|name| request.find(name).is_some());
    is_read && !control.no_store && !(request.has(Known::Conditional) && asks_for_now())
}

/// Whether a request may change what it names, so that an answer without error makes what is kept of it worthless
/// (RFC 9111 4.4). Of methods that nobody knows that is assumed.
pub fn is_unsafe(method: &http::Method) -> bool {
    !method.is_safe()
}

/// The path and query that a `Location` or `Content-Location` of `host` names, in an answer to a request for `path`; `None`
/// for another host or scheme, of which the backend says nothing.
pub fn same_origin(location: &[u8], scheme: &str, authority: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    if location.starts_with(b"//") {
        return None;
    }
    if location.starts_with(b"/") {
        return Some(location.to_vec());
    }
    let prefix = [scheme.as_bytes(), b"://", authority].concat();
    if let Some((start, rest)) = location.split_at_checked(prefix.len())
        && start.eq_ignore_ascii_case(&prefix)
    {
        return (rest.is_empty() || rest.starts_with(b"/"))
            .then(|| if rest.is_empty() { b"/".to_vec() } else { rest.to_vec() });
    }
    let end = location.iter().position(|octet| matches!(octet, b'/' | b'?' | b'#')).unwrap_or(location.len());
    if location.is_empty() || location.get(..end)?.contains(&b':') {
        return None;
    }
    let folder = path.iter().rposition(|octet| *octet == b'/').map_or(0, |at| at + 1);
    Some([path.get(..folder)?, location].concat())
}

/// A date in any of the three forms (RFC 9110 5.6.7), seconds since the epoch.
fn date(value: &[u8]) -> Option<u64> {
    let time = httpdate::parse_http_date(str::from_utf8(value).ok()?).ok()?;
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::HeadBuilder;

    /// Fields for the tests of all files here.
    pub fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut builder = HeadBuilder::response();
        for (name, value) in lines {
            builder.field(name.as_bytes(), value.as_bytes());
        }
        builder.finish()
    }

    #[test]
    fn only_what_the_same_origin_has_is_named() {
        for (location, expected) in [
            ("/x?y=1", Some("/x?y=1")),
            ("x", Some("/a/x")),
            ("http://a.example/x", Some("/x")),
            ("HTTP://A.example", Some("/")),
            ("http://a.example.evil/x", None),
            ("https://a.example/x", None),
            ("//b.example/x", None),
            ("mailto:x", None),
            ("", None),
        ] {
            let found = same_origin(location.as_bytes(), "http", b"a.example", b"/a/b");
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{location}");
        }
    }
}
