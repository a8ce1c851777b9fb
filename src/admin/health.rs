//! The health port: liveness, readiness and metrics.

use http::{Request, StatusCode};

use super::answer::{Answered, is_read, plain, refuse_method};
use super::{View, metrics};
use crate::controller::seconds_since_epoch;
use crate::telemetry::Unready;
use crate::telemetry::exposition::Exposition;

/// Answers one request on the health port.
pub(super) fn answer<B>(view: &View, request: &Request<B>) -> Answered {
    if !is_read(request.method()) {
        return refuse_method();
    }
    match request.uri().path() {
        "/readyz" => state(view, view.readiness.ready()),
        "/metrics" if view.settings.has_metrics => {
            let accept = request.headers().get(http::header::ACCEPT).and_then(|accept| accept.to_str().ok());
            let form = Exposition::negotiate(accept);
            plain(StatusCode::OK, form.content_type(), metrics::page(view, form, seconds_since_epoch()))
        }
        path if path == "/healthz" || path == view.settings.health_check_path => state(view, view.readiness.healthy()),
        _ => plain(StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
    }
}

fn state(view: &View, state: Result<(), Unready>) -> Answered {
    match state {
        Ok(()) => plain(StatusCode::OK, TEXT, "ok\n".to_owned()),
        Err(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, TEXT, view.readiness.explain(reason) + "\n"),
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
