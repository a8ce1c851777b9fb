//! `POST /api/v1/cache/purge`: what is kept of a host, or of one path of it, is forgotten. The one request that changes
//! something.

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use serde::Deserialize;

use super::answer::{Answered, error, json};
use super::{View, api};
use crate::uri;

const PATH: &str = "/api/v1/cache/purge";
/// Longest body, octets: a host and a path.
const LONGEST: usize = 32 << 10;

/// Whether a request on the admin address is one of these.
pub(super) fn is_meant<B>(request: &Request<B>) -> bool {
    request.uri().path() == PATH
}

/// Answers it: `{"purged":3}`.
pub(super) async fn answer(view: &View, request: Request<Incoming>) -> Answered {
    if let Some(refusal) = refuse(&request) {
        return refusal;
    }
    match Limited::new(request.into_body(), LONGEST).collect().await {
        Ok(body) => purge(view, &body.to_bytes()),
        Err(_) => error(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or did not come whole"),
    }
}

/// A page of another site can make a browser send a form, but never JSON without asking first.
fn refuse<B>(request: &Request<B>) -> Option<Answered> {
    if !api::is_local_name(request) {
        let text = "the Host of a request to this address must be an IP address or localhost";
        return Some(error(StatusCode::FORBIDDEN, text));
    }
    if request.method() != Method::POST {
        let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "only POST is answered here");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = content_type.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
    let is_json = essence.eq_ignore_ascii_case(b"application/json");
    (!is_json).then(|| error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send it with Content-Type: application/json"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    host: String,
    path: Option<String>,
}

fn purge(view: &View, body: &Bytes) -> Answered {
    let wanted: Wanted = match serde_json::from_slice(body) {
        Ok(wanted) => wanted,
        Err(why) => {
            let text = format!("{why}; write it as {{\"host\":\"a.example\",\"path\":\"/x\"}}");
            return error(StatusCode::BAD_REQUEST, &text);
        }
    };
    let Some(host) = uri::host::parse(wanted.host.as_bytes()) else {
        return error(StatusCode::BAD_REQUEST, &format!("{:?} is no host", wanted.host));
    };
    let path = match wanted.path.as_ref().map(|path| uri::path::normalise(path.as_bytes())).transpose() {
        Ok(path) => path,
        Err(_) => return error(StatusCode::BAD_REQUEST, "path is no path; write it as /x"),
    };
    let host = uri::host::lookup(host.name);
    let purged = view.registry.cache().purge(host.as_bytes(), path.as_ref().map(|path| path.matching.as_bytes()));
    json(StatusCode::OK, &serde_json::json!({ "purged": purged }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_that_is_posted_under_a_local_name_is_taken() {
        let status = |method: &str, host: &str, content_type: &str| {
            let request = Request::builder().method(method).header("host", host).header("content-type", content_type);
            refuse(&request.body(()).unwrap()).map(|answer| answer.status().as_u16())
        };
        for (method, host, content_type, expected) in [
            ("POST", "127.0.0.1:1", "application/json", None),
            ("POST", "localhost", "Application/JSON; charset=utf-8", None),
            ("POST", "evil.example", "application/json", Some(403)),
            ("GET", "localhost", "application/json", Some(405)),
            ("POST", "localhost", "text/plain", Some(415)),
            ("POST", "localhost", "", Some(415)),
        ] {
            assert_eq!(status(method, host, content_type), expected, "{method} {host} {content_type}");
        }
    }
}
