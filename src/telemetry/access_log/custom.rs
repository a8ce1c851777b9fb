//! A line as `log-format-upstream` has it.

use std::time::Duration;

use super::json;
use super::record::{Further, Record};
use super::text::{each, escaped as hex_escaped, seconds, stamp as local};
use super::write::{number, padded};
use crate::ir::{Escape, LineFormat, LogPart};
use crate::telemetry::moment;

/// Appends one line.
pub(super) fn line(out: &mut Vec<u8>, format: &LineFormat, record: &Record<'_>, further: &impl Further) {
    for part in &format.parts {
        value(out, part, format.escape, record, further);
    }
    out.push(b'\n');
}

fn value(out: &mut Vec<u8>, part: &LogPart, escape: Escape, record: &Record<'_>, further: &impl Further) {
    let mut write = |value: Option<&[u8]>| escaped(out, escape, value.filter(|value| !value.is_empty()));
    let (namespace, ingress, service, port) = record.route.unwrap_or_default();
    let mut parts = record.target.splitn(2, |octet| *octet == b'?');
    let (path, query) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match part {
        LogPart::Text(text) => out.extend_from_slice(text.as_bytes()),
        LogPart::Field(name) => write(further.field(name)),
        LogPart::Sent(name) => write(further.sent(name)),
        LogPart::Received(name) => write(further.received(name)),
        LogPart::Cookie(name) => write(further.cookie(name)),
        LogPart::Argument(name) => write(further.argument(name)),
        LogPart::Authority => write(further.authority()),
        LogPart::RulePath => write(further.rule().map(str::as_bytes)),
        LogPart::Cipher => write(further.cipher().map(str::as_bytes)),
        LogPart::Hostname => write(Some(moment::hostname().as_bytes())),
        LogPart::ServerPort => write(further.server().map(|(_, port)| port.as_bytes())),
        LogPart::ServerAddr => {
            write(further.server().map(|(address, _)| address.to_string()).as_deref().map(str::as_bytes))
        }
        LogPart::RemotePort => number(out, further.client_port().into()),
        LogPart::Connection => number(out, further.connection().0),
        LogPart::ConnectionRequests => number(out, further.connection().1),
        // Empty for a request that broke off, and no dash: so nginx has it.
        LogPart::Completion => out.extend_from_slice(if record.is_complete() { b"OK" } else { b"" }),
        LogPart::RemoteUser => write(record.user),
        LogPart::RequestMethod => write(Some(record.method.as_bytes())),
        LogPart::RequestUri => write(Some(record.target)),
        LogPart::Uri => write(Some(path)),
        LogPart::Args => write(Some(query)),
        LogPart::Scheme => write(Some(record.scheme.as_bytes())),
        LogPart::Host => write(Some(record.host)),
        LogPart::ServerProtocol => write(Some(record.protocol.as_bytes())),
        LogPart::RequestId => write(Some(record.request_id)),
        LogPart::Namespace => write(Some(namespace.as_bytes())),
        LogPart::IngressName => write(Some(ingress.as_bytes())),
        LogPart::ServiceName => write(Some(service.as_bytes())),
        LogPart::ServicePort => write(Some(port.as_bytes())),
        LogPart::TlsVersion => write(record.tls.map(str::as_bytes)),
        LogPart::ServerName => write(record.sni.map(str::as_bytes)),
        LogPart::Failure => write(record.failure.map(|failure| failure.as_str().as_bytes())),
        LogPart::UpstreamName => write(record.upstream_name.map(str::as_bytes)),
        // Empty where there is none, and no dash: so ingress-nginx sets it.
        LogPart::AlternativeUpstreamName => out.extend_from_slice(record.alternative.unwrap_or_default().as_bytes()),
        LogPart::Request => {
            let mut request = Vec::new();
            for piece in [record.method.as_bytes(), record.target, record.protocol.as_bytes()] {
                if !piece.is_empty() {
                    request.extend_from_slice(if request.is_empty() { b"" } else { b" " });
                    request.extend_from_slice(piece);
                }
            }
            write(Some(&request));
        }
        LogPart::RemoteAddr => out.extend_from_slice(record.client.as_bytes()),
        LogPart::ForwardedFor => {
            if let Some(list) = further.field("x-forwarded-for").filter(|list| !list.is_empty()) {
                escaped(out, escape, Some(list));
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(record.client.as_bytes());
        }
        LogPart::TimeLocal => out.extend_from_slice(&local(record.time.div_euclid(1_000_000_000))),
        LogPart::TimeIso => out.extend_from_slice(&moment::iso(record.time)),
        LogPart::Msec => moment::msec(out, record.time),
        LogPart::Status => padded(out, u32::from(record.status), 3),
        LogPart::BodyBytesSent => number(out, record.bytes_out),
        LogPart::RequestLength => number(out, record.bytes_in),
        LogPart::RequestTime => seconds(out, record.elapsed),
        LogPart::UpstreamAddr => {
            each(out, record.attempts, |out, attempt| out.extend_from_slice(attempt.address.as_bytes()));
        }
        LogPart::UpstreamLength => each(out, record.attempts, |out, attempt| number(out, attempt.bytes)),
        LogPart::ConnectTime => each(out, record.attempts, |out, attempt| seconds_of(out, attempt.connect)),
        LogPart::HeaderTime => each(out, record.attempts, |out, attempt| seconds_of(out, attempt.header)),
        LogPart::UpstreamTime => each(out, record.attempts, |out, attempt| seconds(out, attempt.elapsed)),
        LogPart::UpstreamStatus => each(out, record.attempts, |out, attempt| match attempt.status {
            Some(status) => padded(out, u32::from(status), 3),
            None => out.push(b'-'),
        }),
    }
}

fn seconds_of(out: &mut Vec<u8>, elapsed: Option<Duration>) {
    match elapsed {
        Some(elapsed) => seconds(out, elapsed),
        None => out.push(b'-'),
    }
}

fn escaped(out: &mut Vec<u8>, escape: Escape, value: Option<&[u8]>) {
    match (escape, value) {
        (Escape::Hex, value) => hex_escaped(out, value),
        (Escape::Json, Some(value)) => json::escaped(out, value),
        // A line end in a value would begin another line.
        (Escape::Raw, Some(value)) => out.extend(value.iter().filter(|octet| !matches!(octet, b'\r' | b'\n'))),
        (Escape::Json | Escape::Raw, None) => {}
    }
}
