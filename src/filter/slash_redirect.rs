//! From `p` to the prefix `p/`, as nginx does by itself (`trailing-slash-redirect`).

use super::{Found, Reply, Request};
use crate::ir::{PathKind, SlashRedirect};

/// The redirect of a request for the prefix without the slash at its end. No other rule takes that path, or it would have
/// been chosen.
pub(super) fn reply(redirect: SlashRedirect, request: &Request<'_>, found: Found<'_>) -> Option<Reply> {
    let rule = found.rule;
    if rule.kind != PathKind::Prefix || found.path.matching.len() + 1 != rule.path.len() {
        return None;
    }
    let mut location = Vec::with_capacity(128);
    location.extend_from_slice(request.scheme().as_bytes());
    location.extend_from_slice(b"://");
    if redirect.keeps_port {
        location.extend_from_slice(request.authority());
    } else {
        location.extend_from_slice(request.host().as_bytes());
    }
    location.extend_from_slice(rule.path.as_bytes());
    location.extend_from_slice(request.query());
    Some(Reply::redirect(301, location))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{head, request};
    use crate::ir::PathMatch;
    use crate::uri::path;

    #[test]
    fn only_the_path_without_its_slash_is_redirected() {
        let rule = PathMatch { kind: PathKind::Prefix, path: "/p/".into() };
        for (keeps_port, target, sent) in [
            (false, "/p", Some("http://a.example/p/?q")),
            (true, "/%70", Some("http://a.example:8080/p/?q")),
            (false, "/p/", None),
            (false, "/p/x", None),
        ] {
            let head = head(&format!("GET {target}?q"), "a.example:8080", "");
            let request = request(&head, false);
            let found = Found { path: &path::normalise(target.as_bytes()).unwrap(), rule: &rule };
            let expected = sent.map(|sent| Reply::redirect(301, sent.into()));
            assert_eq!(reply(SlashRedirect { keeps_port }, &request, found), expected, "{target}");
        }
    }
}
