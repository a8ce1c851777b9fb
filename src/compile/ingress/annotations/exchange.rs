//! Annotations about the exchange with a backend: times, sizes, retries, upgrades.

use super::table::Effect::Honoured;
use super::table::{Row, both, ours, tunes_nothing};
use super::value::{Refusal, Value};
use super::{BackendProtocol, Settings};
use crate::ir::{Protocol, RetryOn, Upgrade};

const SECONDS: &str = "write whole seconds, as in 60; under fairlead.dev/ also 250ms, 10s, 5m, 1h";

const NEXT_UPSTREAM: &str = "write off, or words out of: error timeout invalid_header http_500 http_502 http_503 \
                             http_504 http_403 http_404 http_429 non_idempotent";

pub(super) const ROWS: &[Row] = &[
    both("backend-protocol", Honoured(backend_protocol)).takes("one of: HTTP, HTTPS, AUTO_HTTP, GRPC, GRPCS").does(
        "",
        "`AUTO_HTTP`: TLS for requests that came over TLS. Without it `appProtocol` of the Service port \
         counts, else HTTP",
    ),
    both("client-body-buffer-size", tunes_nothing("remove it; request bodies never go to disk")),
    ours("client-body-min-rate", Honoured(|value, to| value.size().map(|octets| to.body_min_rate = Some(octets))))
        .takes("write octets a second, as in 500 or 1k; 0 = any rate")
        .does("0", "slower request bodies, in the mean of 30 s and after the first 10 s, get 408; not of gRPC"),
    both("proxy-body-size", Honoured(|value, to| value.size().map(|size| to.body_size = Some(size))))
        .takes("write digits with k, m or g, as in 8m; 0 = unlimited")
        .medium()
        .does("1m", "longer bodies get 413; not of gRPC and tunnels"),
    both(
        "proxy-buffer-size",
        tunes_nothing("remove it; response heads may be 64 KiB, or what --limit response-head says"),
    ),
    both("proxy-buffering", tunes_nothing("remove it; answers are passed on as they come")),
    both("proxy-buffers-number", tunes_nothing("remove it")),
    both("proxy-busy-buffers-size", tunes_nothing("remove it")),
    both("proxy-connect-timeout", Honoured(|value, to| value.duration().map(|time| to.connect_timeout = Some(time))))
        .takes(SECONDS)
        .does("5", ""),
    both("proxy-http-version", Honoured(http_version))
        .takes("one of: 1.0, 1.1")
        .does(
            "1.1",
            "`1.0`: a connection to the back end takes one request and is never upgraded, and a request body has its length; \
             of gRPC nothing changes",
        )
        .unlike_for("1.0", "a body in chunks that is longer than 64 KiB gets 411"),
    both("proxy-max-temp-file-size", tunes_nothing("remove it; answers never go to disk")),
    both("proxy-next-upstream", Honoured(next_upstream))
        .takes(NEXT_UPSTREAM)
        .medium()
        .does("error timeout", "after which failures another endpoint is tried")
        .unlike_where(
            |value| value.trim() != "off",
            "a connection that fails costs nothing; other retries are 20 % of the requests at most (and 3 a \
         second at least)",
        ),
    both(
        "proxy-next-upstream-timeout",
        Honoured(|value, to| value.duration_or_zero().map(|time| to.retry_timeout = Some(time))),
    )
    .takes(SECONDS)
    .does("0", "no attempt begins after that time; 0 = no limit"),
    both("proxy-next-upstream-tries", Honoured(|value, to| value.count().map(|tries| to.retry_tries = Some(tries))))
        .takes("write a whole number; 0 = no limit")
        .does("3", "attempts in all; with 0 as many as there are endpoints, three at least"),
    both("proxy-read-timeout", Honoured(|value, to| value.duration().map(|time| to.read_timeout = Some(time))))
        .takes(SECONDS)
        .does(
            "60",
            "between two reads. Who sets it or the next also sets how long a tunnel (WebSocket) may be \
         silent, to the longer of those that are set; `tunnel-idle-timeout` goes before that",
        ),
    both("proxy-request-buffering", Honoured(|value, to| value.on_off().map(|is| to.buffer_request = Some(is))))
        .takes("one of: on, off")
        .does("on", "`on`: hold a request body")
        .unlike_for("on", "up to 64 KiB are held, in memory; what is longer is passed on from there"),
    both("proxy-send-timeout", Honoured(|value, to| value.duration().map(|time| to.send_timeout = Some(time))))
        .takes(SECONDS)
        .does("60", "between two writes"),
    ours("request-timeout", Honoured(|value, to| value.duration().map(|time| to.request_timeout = Some(time))))
        .takes(SECONDS)
        .does(
            "",
            "how long back ends may take for all of a request, from the first attempt to the end of the answer: 504, or an \
             answer that breaks off visibly. Not for tunnels",
        ),
    ours("request-trailers", Honoured(request_trailers)).takes("one of: drop, pass").does("drop", ""),
    ours("tunnel-idle-timeout", Honoured(|value, to| value.duration().map(|time| to.tunnel_idle_timeout = Some(time))))
        .takes(SECONDS)
        .does("1h", "how long a tunnel (WebSocket) may be silent"),
    ours("upgrade", Honoured(upgrade))
        .takes("one of: any, websocket, off")
        .does("any", "which protocols a connection may be upgraded to"),
];

fn backend_protocol(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let (protocol, is_grpc) = match value.word()?.as_str() {
        "http" => (Protocol::Http1, false),
        "https" => (Protocol::Https, false),
        "auto_http" => (Protocol::Auto, false),
        "grpc" => (Protocol::H2c, true),
        "grpcs" => (Protocol::H2, true),
        "fcgi" => {
            let why = "FCGI is not there yet; the default serves".to_owned();
            return Err(Refusal::Ignored(why, "put a server that speaks HTTP before the FastCGI application"));
        }
        _ => return Err(Refusal::Invalid("is not spoken to backends".to_owned())),
    };
    to.backend.protocol = Some(value.told(BackendProtocol { protocol, is_grpc }));
    Ok(())
}

fn next_upstream(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    let mut on = RetryOn::default();
    let mut is_off = false;
    for word in value.words()? {
        match word {
            "error" => on.error = true,
            "timeout" => on.timeout = true,
            "invalid_header" => on.invalid_header = true,
            "non_idempotent" => on.non_idempotent = true,
            "off" => is_off = true,
            _ => {
                let status = word.strip_prefix("http_").and_then(|status| status.parse().ok());
                match status {
                    Some(status @ (403 | 404 | 429 | 500 | 502 | 503 | 504)) => on.statuses.push(status),
                    _ => return Err(Refusal::Invalid("has a word that is none of the list".to_owned())),
                }
            }
        }
    }
    on.statuses.sort_unstable();
    on.statuses.dedup();
    to.retry_on = Some(if is_off { RetryOn::default() } else { on });
    Ok(())
}

fn http_version(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.http10 = match value.plain()? {
        "1.0" => Some(true),
        "1.1" => Some(false),
        _ => return Err(Refusal::Invalid("is no version that is spoken to backends".to_owned())),
    };
    Ok(())
}

fn request_trailers(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.request_trailers = match value.word()?.as_str() {
        "drop" => Some(false),
        "pass" => Some(true),
        _ => return Err(Refusal::Invalid("is neither drop nor pass".to_owned())),
    };
    Ok(())
}

fn upgrade(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    to.upgrade = match value.word()?.as_str() {
        "any" => Some(Upgrade::Any),
        "websocket" => Some(Upgrade::Websocket),
        "off" => Some(Upgrade::Off),
        _ => return Err(Refusal::Invalid("is none of the words".to_owned())),
    };
    Ok(())
}
