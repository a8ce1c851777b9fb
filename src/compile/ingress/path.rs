//! Paths of rules into the form that requests are matched in.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use crate::ir::{PathKind, PathMatch};
use crate::snapshot::PathType;
use crate::uri;

/// What to do about a path that cannot be read.
const HINT: &str = "write a path as clients request it, as in /shop, with pathType Exact or Prefix";

/// What a rule's path takes; an empty path is `/`. `Err` is why it takes nothing, and what to do.
pub(super) fn parse(written: Option<&str>, kind: &PathType) -> Result<PathMatch, (String, &'static str)> {
    let kind = match kind {
        PathType::Exact => PathKind::Exact,
        PathType::ImplementationSpecific | PathType::Prefix => PathKind::Prefix,
        PathType::Unknown(word) => {
            return Err((format!("pathType {word:?} is unknown"), "write Exact, Prefix or ImplementationSpecific"));
        }
    };
    let written = match written.unwrap_or_default() {
        "" => "/",
        written => written,
    };
    if !written.starts_with('/') {
        return Err((format!("path {written:?} does not begin with /"), HINT));
    }
    let escaped = escape(written);
    let path =
        uri::path::normalise(escaped.as_bytes()).map_err(|fault| (format!("path {written:?}: {}", fault.0), HINT))?;
    Ok(PathMatch { kind, path: Arc::from(&*path.matching) })
}

/// Whether a path begins with one of these.
pub(super) fn begins(path: &PathMatch, with: &[Arc<str>]) -> bool {
    with.iter().any(|start| path.path.starts_with(&**start))
}

/// Spaces and octets outside ASCII as a client would send them.
fn escape(written: &str) -> Cow<'_, str> {
    let is_escaped = |octet: u8| octet == b' ' || !octet.is_ascii();
    if !written.bytes().any(is_escaped) {
        return Cow::Borrowed(written);
    }
    let mut escaped = String::with_capacity(written.len() * 3);
    for octet in written.bytes() {
        if is_escaped(octet) {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{octet:02X}");
        } else {
            escaped.push(char::from(octet));
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_to_the_routing_form() {
        for (written, path) in [
            ("", "/"),
            ("/", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("/%61", "/a"),
            ("/a%2fb", "/a%2Fb"),
            ("/a/./b/../c", "/a/c"),
            ("//a///b", "/a/b"),
            ("/café", "/caf%C3%A9"),
            ("/a b", "/a%20b"),
            ("/api(/|$)(.*)", "/api(/|$)(.*)"),
        ] {
            assert_eq!(
                parse(Some(written), &PathType::Prefix).map(|found| found.path.to_string()),
                Ok(path.into()),
                "{written}"
            );
        }
    }

    #[test]
    fn what_takes_no_request_is_refused() {
        for written in ["a", "*", "/%", "/%zz", "/%00", "/../a", "/a?b", "/a#b", "/a\nb"] {
            assert!(parse(Some(written), &PathType::Exact).is_err(), "{written}");
        }
        assert!(parse(Some("/a"), &PathType::Unknown("Prefx".into())).is_err());
    }
}
