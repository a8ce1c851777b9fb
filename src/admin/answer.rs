//! Answers of the health port and the admin address, whole in memory.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// An answer ready to be sent.
pub(super) type Answered = Response<Full<Bytes>>;

/// Whether the method only reads.
pub(super) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// An answer with a body of type `content_type`.
pub(super) fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answered {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let set: [(HeaderName, &'static str); 3] =
        [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answered {
    match serde_json::to_vec(body) {
        Ok(bytes) => plain(status, "application/json", bytes),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", error.to_string()),
    }
}

/// `{"error":"…"}`.
pub(super) fn error(status: StatusCode, text: &str) -> Answered {
    json(status, &serde_json::json!({ "error": text }))
}

/// 405.
pub(super) fn refuse_method() -> Answered {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}
