//! Paths of rules into the form that requests are matched in.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use crate::ir::{PathKind, PathMatch};
use crate::snapshot::PathType;
use crate::uri;

/// What to do about a path that cannot be read.
const HINT: &str = "write a path as clients request it, as in /shop, with pathType Exact or Prefix";

/// The longest path that is read, in octets.
const LONGEST: usize = 4096;

/// What a rule's path takes. `Err` is why it takes nothing, and what to do.
pub(super) fn parse(written: &str, kind: &PathType) -> Result<PathMatch, (String, &'static str)> {
    let kind = self::kind(written, kind)?;
    let escaped = escape(written);
    let path =
        uri::path::normalise(escaped.as_bytes()).map_err(|fault| (format!("path {written:?}: {}", fault.0), HINT))?;
    Ok(PathMatch { kind, path: Arc::from(&*path.matching) })
}

/// A rule's path as the text of a regular expression; whether it is one is seen with the host. Compared with request paths
/// in their one form, so what is escaped there is escaped here.
pub(super) fn parse_regex(written: &str, kind: &PathType) -> Result<PathMatch, (String, &'static str)> {
    let kind = self::kind(written, kind)?;
    if written.len() > LONGEST {
        return Err(("the path is longer than 4 KiB".to_owned(), HINT));
    }
    if written.chars().any(char::is_control) {
        return Err((format!("path {written:?} has a control character"), HINT));
    }
    Ok(PathMatch { kind, path: escape_regex(written).as_ref().into() })
}

/// What a path that cannot be read begins with, as a prefix, up to its last whole segment.
pub(super) fn beginning(written: &str) -> Option<PathMatch> {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/-_.~".contains(&octet);
    let end = written.bytes().position(|octet| !is_plain(octet)).unwrap_or(written.len());
    let plain = written.get(..end)?;
    parse(plain, &PathType::Prefix).ok()
}

fn kind(written: &str, kind: &PathType) -> Result<PathKind, (String, &'static str)> {
    if !written.starts_with('/') {
        return Err((format!("path {written:?} does not begin with /"), HINT));
    }
    match kind {
        PathType::Exact => Ok(PathKind::Exact),
        PathType::ImplementationSpecific | PathType::Prefix => Ok(PathKind::Prefix),
        PathType::Unknown(word) => {
            Err((format!("pathType {word:?} is unknown"), "write Exact, Prefix or ImplementationSpecific"))
        }
    }
}

/// Spaces and characters outside ASCII as a client would send them, each as one thing. In a class they stay: what is sent
/// is more than one character.
fn escape_regex(written: &str) -> Cow<'_, str> {
    let is_escaped = |c: char| c == ' ' || !c.is_ascii();
    if !written.contains(is_escaped) {
        return Cow::Borrowed(written);
    }
    let mut text = String::with_capacity(written.len() * 3);
    let (mut in_class, mut was_backslash) = (false, false);
    for c in written.chars() {
        let is_literal = std::mem::take(&mut was_backslash);
        match c {
            '\\' => was_backslash = !is_literal,
            '[' if !is_literal => in_class = true,
            ']' if !is_literal => in_class = false,
            _ => {}
        }
        if is_escaped(c) && !in_class {
            // Writing to a String cannot fail.
            let _ = write!(text, "(?:{})", escape(c.encode_utf8(&mut [0; 4])));
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
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
                parse(written, &PathType::Prefix).map(|found| found.path.to_string()),
                Ok(path.into()),
                "{written}"
            );
        }
    }

    #[test]
    fn an_expression_stays_as_it_is_but_for_what_clients_escape() {
        for (written, text) in [
            ("/api(/|$)(.*)", "/api(/|$)(.*)"),
            ("/a//b/../%2f?", "/a//b/../%2f?"),
            ("/a b*", "/a(?:%20)b*"),
            ("/é+[é]\\[é", "/(?:%C3%A9)+[é]\\[(?:%C3%A9)"),
        ] {
            let found = parse_regex(written, &PathType::Prefix).map(|found| found.path.to_string());
            assert_eq!(found, Ok(text.to_owned()), "{written}");
        }
        for written in ["a", "/a\nb", &format!("/{}", "a".repeat(5000))] {
            assert!(parse_regex(written, &PathType::Exact).is_err(), "{written}");
        }
    }

    #[test]
    fn what_takes_no_request_is_refused() {
        for written in ["a", "*", "/%", "/%zz", "/%00", "/../a", "/a?b", "/a#b", "/a\nb"] {
            assert!(parse(written, &PathType::Exact).is_err(), "{written}");
        }
        assert!(parse("/a", &PathType::Unknown("Prefx".into())).is_err());
    }
}
