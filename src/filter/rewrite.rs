//! Another path for the upstream, or a redirect made of the path (`rewrite-target` of ingress-nginx).

use super::wording::write;
use super::{Found, Reply, Request};
use crate::ir::{Groups, PathKind, Rewrite};
use crate::telemetry::Failure;
use crate::uri::path;

/// What goes upstream in place of path and query as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The path, normalised again.
    pub path: Box<str>,
    /// The query with its `?`; empty when there is none.
    pub query: Box<[u8]>,
    /// `X-Forwarded-Prefix`, where the rewrite says one.
    pub prefix: Option<Box<[u8]>>,
}

/// What becomes of a request on a route with a rewrite. `Ok(None)`: it goes on as it is. A result that climbs above the
/// root is refused: what a group took is the client's, and the route was chosen by the path before.
pub(super) fn apply(
    rewrite: &Rewrite,
    request: &Request<'_>,
    found: Found<'_>,
) -> Result<Option<Box<Rewritten>>, Reply> {
    let groups = match &found.rule.kind {
        PathKind::Regex(pattern) => match pattern.groups(&found.path.matching) {
            Some(groups) => groups,
            None => return Ok(None),
        },
        PathKind::Exact | PathKind::Prefix => Groups::default(),
    };
    let mut target = Vec::with_capacity(found.path.matching.len() + 64);
    write(&mut target, &rewrite.path, request, &groups);
    let own = rewrite.query.as_ref().map(|wording| {
        let mut own = Vec::new();
        write(&mut own, wording, request, &groups);
        own
    });
    let kept = if rewrite.keeps_query { request.query().strip_prefix(b"?").unwrap_or_default() } else { b"" };
    let mut query = Vec::new();
    for part in [own.as_deref().unwrap_or_default(), kept] {
        if !part.is_empty() {
            query.push(if query.is_empty() { b'?' } else { b'&' });
            query.extend_from_slice(part);
        }
    }
    if rewrite.is_redirect {
        target.append(&mut query);
        return Err(Reply::redirect(302, target));
    }
    if target.first() != Some(&b'/') {
        target.insert(0, b'/');
    }
    let prefix = rewrite.prefix.as_ref().map(|wording| {
        let mut prefix = Vec::new();
        write(&mut prefix, wording, request, &groups);
        prefix.into_boxed_slice()
    });
    let prefix = prefix.filter(|prefix| !prefix.is_empty());
    match path::normalise(&target) {
        Ok(path) => Ok(Some(Box::new(Rewritten { path: path.forward.into(), query: query.into(), prefix }))),
        Err(_) => Err(Reply { failure: Some(Failure::BadRequest), ..Reply::plain(400) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{head, request};
    use crate::ir::{Part, PathMatch, PathPattern, Piece, Wording};

    fn wording(text: &str) -> Wording {
        let mut pieces = Vec::new();
        for (number, part) in text.split('$').enumerate() {
            let rest = match part.bytes().next().filter(|_| number > 0) {
                Some(digit) => {
                    pieces.push(Piece::Group(digit - b'0'));
                    &part[1..]
                }
                None => part,
            };
            pieces.push(Piece::Other(Part::Text(rest.into())));
        }
        Wording(pieces.into())
    }

    fn apply_to(
        pattern: &str,
        path: &str,
        query: Option<&str>,
        is_redirect: bool,
        sent: &str,
    ) -> Result<String, String> {
        let rule = PathMatch { kind: PathKind::Regex(PathPattern::new(pattern).unwrap()), path: pattern.into() };
        let raw = sent.split('?').next().unwrap();
        let routing = path::normalise(raw.as_bytes()).unwrap();
        let head = head(&format!("GET {sent}"), "a.example", "");
        let request = request(&head, false);
        let rewrite = Rewrite {
            path: wording(path),
            query: query.filter(|query| !query.is_empty()).map(wording),
            keeps_query: query != Some(""),
            is_redirect,
            prefix: None,
        };
        match apply(&rewrite, &request, Found { path: &routing, rule: &rule }) {
            Ok(Some(rewritten)) => Ok(format!("{}{}", rewritten.path, rewritten.query.escape_ascii())),
            Ok(None) => Ok("as it is".to_owned()),
            Err(reply) => Err(reply.fields.first().map_or_else(
                || reply.status.to_string(),
                |(_, location)| format!("{} {}", reply.status, location.escape_ascii()),
            )),
        }
    }

    #[test]
    fn the_whole_path_is_replaced_and_the_query_kept() {
        for (pattern, target, sent, upstream) in [
            ("/(.*)", "/$1", "/a/b?x=1", "/a/b?x=1"),
            ("/app(/|$)(.*)", "/$2", "/app", "/"),
            ("/app(/|$)(.*)", "/$2", "/app/x/", "/x/"),
            ("/app", "/", "/app/x", "/"),
            ("/app", "/other", "/APP/x?q", "/other?q"),
            ("/a/(.*)", "/$1", "/a/x%2Fy%20z", "/x%2Fy%20z"),
            ("/a(/.*)?", "$1", "/a/x", "/x"),
            ("/a(/.*)?", "$1", "/a", "/"),
            ("/a/(.*)", "b/$1/$9", "/a/x", "/b/x/"),
        ] {
            assert_eq!(
                apply_to(pattern, target, None, false, sent),
                Ok(upstream.to_owned()),
                "{pattern} {target} {sent}"
            );
        }
    }

    #[test]
    fn a_query_of_its_own_goes_first_and_a_mark_at_the_end_drops_the_other() {
        for (query, sent, upstream) in [
            (Some("q=$1"), "/a/x?y=2", "/b?q=x&y=2"),
            (Some("q=$1"), "/a/x", "/b?q=x"),
            (Some(""), "/a/x?y=2", "/b"),
            (None, "/a/x?", "/b"),
        ] {
            assert_eq!(apply_to("/a/(.*)", "/b", query, false, sent), Ok(upstream.to_owned()), "{query:?} {sent}");
        }
    }

    #[test]
    fn what_climbs_above_the_root_is_refused_after_the_rewrite() {
        for (pattern, target, sent, answer) in [
            // `/api..` is a segment like any other until its beginning is cut off.
            ("/api(.*)", "/$1", "/api../secret", Err("400")),
            ("/api(.*)", "/v1/$1", "/api../secret", Ok("/secret")),
            ("/api(.*)", "/$1", "/api%2e%2e/secret", Err("400")),
            ("/api(.*)", "/$1", "/api/x", Ok("//x")),
        ] {
            let found = apply_to(pattern, target, None, false, sent);
            assert_eq!(found.as_deref().map_err(|answer| &**answer), answer, "{sent}");
        }
    }

    #[test]
    fn a_target_with_a_scheme_is_a_redirect() {
        let found = apply_to("/a/(.*)", "https://b.example/$1", None, true, "/a/x?y=1");
        assert_eq!(found, Err("302 https://b.example/x?y=1".to_owned()));
    }
}
