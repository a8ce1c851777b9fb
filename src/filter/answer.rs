//! What is rewritten in the fields of a back end's answer (`proxy-cookie-*`, `proxy-redirect-*` of ingress-nginx).

use std::sync::Arc;

use bytes::Bytes;

use super::{Request, text};
use crate::http1::Fields;
use crate::ir::{ResponseEdits, Template};

/// A pair of texts: what stands there, and what is to stand there.
type Swap<'a> = Option<(&'a str, &'a str)>;

/// Rewrites cookies and locations: what stands for each line that changes, the line itself is left behind. Where cookies may
/// change all of them are added anew: of two with one name the later counts (RFC 6265 5.3).
pub fn rewrite(
    edits: &ResponseEdits,
    request: &Request<'_>,
    fields: &mut Fields,
    mut add: impl FnMut(&'static str, Bytes),
) {
    let (domain, path) = (words(&edits.cookie_domain), words(&edits.cookie_path));
    let location = edits.location.as_ref().map(|(from, to)| Location { from, to, request });
    if domain.is_none() && path.is_none() && location.is_none() {
        return;
    }
    fields.skip_where(|name, value| {
        let rewritten = match name.len() {
            10 if name.eq_ignore_ascii_case(b"set-cookie") => {
                let may_change = domain.is_some() || path.is_some();
                may_change.then(|| ("Set-Cookie", cookie(value, domain, path).unwrap_or_else(|| value.to_vec())))
            }
            8 if name.eq_ignore_ascii_case(b"location") => {
                location.as_ref().and_then(|location| location.of(value)).map(|new| ("Location", new))
            }
            7 if name.eq_ignore_ascii_case(b"refresh") => {
                location.as_ref().and_then(|location| location.of_refresh(value)).map(|new| ("Refresh", new))
            }
            _ => None,
        };
        let is_changed = rewritten.is_some();
        if let Some((name, value)) = rewritten {
            add(name, value.into());
        }
        is_changed
    });
}

/// How a location begins, and how it is to begin.
struct Location<'a> {
    from: &'a str,
    to: &'a Template,
    request: &'a Request<'a>,
}

impl Location<'_> {
    /// The URL with another beginning.
    fn of(&self, value: &[u8]) -> Option<Vec<u8>> {
        let rest = value.strip_prefix(self.from.as_bytes())?;
        let mut url = text::visible(text::expand(self.to, self.request));
        url.extend_from_slice(rest);
        Some(url)
    }

    /// `Refresh: 5; url=…` with another beginning of its URL.
    fn of_refresh(&self, value: &[u8]) -> Option<Vec<u8>> {
        let at = memchr::memmem::find(&value.to_ascii_lowercase(), b"url=")? + b"url=".len();
        let (before, url) = value.split_at_checked(at)?;
        Some([before, &self.of(url)?].concat())
    }
}

fn words(swap: &Option<(Arc<str>, Arc<str>)>) -> Swap<'_> {
    swap.as_ref().map(|(from, to)| (&**from, &**to))
}

/// The cookie with another domain or path (RFC 6265 4.1), if one of them is as the swap has it.
fn cookie(value: &[u8], domain: Swap<'_>, path: Swap<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len() + 16);
    let mut is_changed = false;
    for (place, part) in value.split(|octet| *octet == b';').enumerate() {
        if place > 0 {
            out.push(b';');
        }
        let new = if place == 0 { None } else { attribute(part, domain, path) };
        is_changed |= new.is_some();
        out.extend_from_slice(new.as_deref().unwrap_or(part));
    }
    is_changed.then_some(out)
}

fn attribute(part: &[u8], domain: Swap<'_>, path: Swap<'_>) -> Option<Vec<u8>> {
    let equals = memchr::memchr(b'=', part)?;
    let (name, value) = part.split_at_checked(equals)?;
    let value = value.get(1..)?.trim_ascii();
    let new = match name.trim_ascii() {
        name if name.eq_ignore_ascii_case(b"domain") => {
            let (from, to) = domain?;
            let (from, value) = (from.trim_start_matches('.').as_bytes(), value.strip_prefix(b".").unwrap_or(value));
            value.eq_ignore_ascii_case(from).then(|| to.as_bytes().to_vec())
        }
        name if name.eq_ignore_ascii_case(b"path") => begun(value, path),
        _ => None,
    }?;
    Some([name, b"=", &new].concat())
}

/// The text with another beginning.
fn begun(value: &[u8], swap: Swap<'_>) -> Option<Vec<u8>> {
    let (from, to) = swap?;
    let rest = value.strip_prefix(from.as_bytes())?;
    Some([to.as_bytes(), rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{head, request};
    use crate::ir::Part;

    #[test]
    fn domain_and_path_of_a_cookie_change_where_they_are_as_said() {
        let (domain, path) = (Some(("internal", "shop.example")), Some(("/app", "/")));
        for (value, expected) in [
            ("a=b; Domain=internal; Path=/x", Some("a=b; Domain=shop.example; Path=/x")),
            ("a=b; domain=.INTERNAL", Some("a=b; domain=shop.example")),
            ("a=b; Path=/app/cart; Secure", Some("a=b; Path=//cart; Secure")),
            ("a=b; Domain=other; Path=/other", None),
            ("domain=internal; Secure", None),
            ("a=b", None),
        ] {
            let new = cookie(value.as_bytes(), domain, path);
            assert_eq!(new.map(|new| String::from_utf8(new).unwrap()).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn a_location_gets_another_beginning() {
        let head = head("GET /", "a.example", "");
        let to = Template { parts: [Part::Text("https://".into()), Part::Host, Part::Text("/".into())].into() };
        let location = Location { from: "http://internal/", to: &to, request: &request(&head, false) };
        for (value, expected) in
            [("http://internal/x?y", Some("https://a.example/x?y")), ("http://other/x", None), ("/x", None)]
        {
            let new = location.of(value.as_bytes());
            assert_eq!(new.map(|new| String::from_utf8(new).unwrap()).as_deref(), expected, "{value}");
        }
        let refresh = location.of_refresh(b"5; URL=http://internal/x");
        assert_eq!(refresh.as_deref(), Some(&b"5; URL=https://a.example/x"[..]));
    }
}
