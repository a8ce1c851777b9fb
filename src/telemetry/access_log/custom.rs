//! A line as `log-format-upstream` has it.

use super::json;
use super::record::{FieldsOf, Record};
use super::text::{each, escaped as hex_escaped, seconds, stamp as local};
use super::write::{number, padded};
use crate::ir::{Escape, LineFormat, LogPart};
use crate::telemetry::moment;

/// Appends one line.
pub(super) fn line(out: &mut Vec<u8>, format: &LineFormat, record: &Record<'_>, fields: FieldsOf<'_>) {
    for part in &format.parts {
        value(out, part, format.escape, record, fields);
    }
    out.push(b'\n');
}

fn value(out: &mut Vec<u8>, part: &LogPart, escape: Escape, record: &Record<'_>, fields: FieldsOf<'_>) {
    let mut write = |value: Option<&[u8]>| escaped(out, escape, value.filter(|value| !value.is_empty()));
    let (namespace, ingress, service, port) = record.route.unwrap_or_default();
    let mut parts = record.target.splitn(2, |octet| *octet == b'?');
    let (path, query) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match part {
        LogPart::Text(text) => out.extend_from_slice(text.as_bytes()),
        LogPart::Field(name) => write(fields.find(name)),
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
            if let Some(list) = fields.find("x-forwarded-for").filter(|list| !list.is_empty()) {
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
        LogPart::UpstreamTime => each(out, record.attempts, |out, attempt| seconds(out, attempt.elapsed)),
        LogPart::UpstreamStatus => each(out, record.attempts, |out, attempt| match attempt.status {
            Some(status) => padded(out, u32::from(status), 3),
            None => out.push(b'-'),
        }),
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
