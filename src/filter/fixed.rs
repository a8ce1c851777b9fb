//! An answer to every request (`return` of nginx).

use super::{Reply, Request, text};
use crate::ir::{FixedContent, FixedReply};
use crate::telemetry::Failure;

/// The answer.
pub(super) fn reply(fixed: &FixedReply, request: &Request<'_>) -> Reply {
    let status = fixed.status;
    let failure = matches!(status, 401 | 403).then_some(Failure::Denied);
    let reply = match &fixed.content {
        FixedContent::Page => Reply::plain(status),
        FixedContent::Location(url) => {
            let url = text::visible(text::expand(url, request));
            // A path without the host before it would be one of the page that the client came from.
            let location = match url.first() {
                Some(b'/') => [request.scheme().as_bytes(), b"://", request.public_host().as_bytes(), &url].concat(),
                _ => url,
            };
            Reply::redirect(status, location)
        }
        FixedContent::Text { text, media_type } => {
            let body = text::expand(text, request).into();
            Reply { body: Some((body, media_type.clone())), ..Reply::plain(status) }
        }
    };
    Reply { failure, ..reply }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{head, request};
    use crate::ir::{Part, Template};

    #[test]
    fn a_path_gets_scheme_and_host_and_what_a_client_says_is_escaped() {
        let head = head("GET /old?x=1", "A.example:8080", "X-A: b c\r\n");
        let url = |parts: &[Part]| FixedContent::Location(Template { parts: parts.into() });
        for (parts, location) in [
            (&[Part::Text("https://b.example".into()), Part::Uri][..], "https://b.example/old?x=1"),
            (&[Part::Text("/new?".into()), Part::Field("x-a".into())], "http://A.example/new?b%20c"),
        ] {
            let fixed = FixedReply { status: 302, content: url(parts) };
            assert_eq!(reply(&fixed, &request(&head, false)), Reply::redirect(302, location.as_bytes().to_vec()));
        }
    }

    #[test]
    fn a_text_has_its_type_and_a_refusal_is_one() {
        let head = head("GET /", "a.example", "");
        let text = Template { parts: [Part::Text("hello ".into()), Part::Host].into() };
        let fixed = FixedReply { status: 403, content: FixedContent::Text { text, media_type: "text/plain".into() } };
        let found = reply(&fixed, &request(&head, false));
        assert_eq!(found.body, Some(("hello a.example".into(), "text/plain".into())));
        assert_eq!((found.status, found.failure), (403, Some(Failure::Denied)));
        let page = FixedReply { status: 410, content: FixedContent::Page };
        assert_eq!(reply(&page, &request(&head, false)), Reply::plain(410));
    }
}
