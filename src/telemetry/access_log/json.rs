//! The JSON line: one object, keys in a fixed order, what is absent left out.

use std::time::Duration;

use super::record::Record;
use super::write::{any_must_escape, number, padded};

/// Appends one line. `stamp` is [`stamp`] of the record's second, `millis` the rest of it.
pub(super) fn line(out: &mut Vec<u8>, record: &Record<'_>, stamp: &[u8], millis: u32) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(stamp);
    out.push(b'.');
    padded(out, millis, 3);
    out.extend_from_slice(b"Z\"");
    text(out, b",\"request_id\":", record.request_id);
    text(out, b",\"client\":", record.client.as_bytes());
    text(out, b",\"method\":", record.method.as_bytes());
    text(out, b",\"scheme\":", record.scheme.as_bytes());
    text(out, b",\"host\":", record.host);
    let mut parts = record.target.splitn(2, |octet| *octet == b'?');
    let (path, query) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    text(out, b",\"path\":", path);
    text(out, b",\"query\":", query);
    text(out, b",\"protocol\":", record.protocol.as_bytes());
    plain(out, b",\"status\":", u64::from(record.status));
    text(out, b",\"reason\":", record.failure.map_or("", |failure| failure.as_str()).as_bytes());
    plain(out, b",\"bytes_in\":", record.bytes_in);
    plain(out, b",\"bytes_out\":", record.bytes_out);
    millis_of(out, b",\"duration_ms\":", record.elapsed);
    let (namespace, ingress, service, port) = record.route.unwrap_or_default();
    text(out, b",\"namespace\":", namespace.as_bytes());
    text(out, b",\"ingress\":", ingress.as_bytes());
    text(out, b",\"service\":", service.as_bytes());
    text(out, b",\"port\":", port.as_bytes());
    if let Some(last) = record.attempts.last() {
        text(out, b",\"upstream\":", last.address.as_bytes());
        if let Some(status) = last.status {
            plain(out, b",\"upstream_status\":", u64::from(status));
        }
        millis_of(out, b",\"upstream_ms\":", last.elapsed);
        plain(out, b",\"attempts\":", record.attempts.len() as u64);
    }
    text(out, b",\"tls\":", record.tls.unwrap_or_default().as_bytes());
    text(out, b",\"sni\":", record.sni.unwrap_or_default().as_bytes());
    text(out, b",\"referer\":", record.referer.unwrap_or_default());
    text(out, b",\"user_agent\":", record.user_agent.unwrap_or_default());
    out.extend_from_slice(b"}\n");
}

/// RFC 3339 up to the second, without zone: `2026-11-25T23:10:55`.
pub(super) fn stamp(second: i64) -> Vec<u8> {
    let time = jiff::Timestamp::from_second(second).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string().into_bytes()
}

fn plain(out: &mut Vec<u8>, key: &[u8], value: u64) {
    out.extend_from_slice(key);
    number(out, value);
}

/// Milliseconds with three decimals.
fn millis_of(out: &mut Vec<u8>, key: &[u8], elapsed: Duration) {
    out.extend_from_slice(key);
    number(out, u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
    out.push(b'.');
    padded(out, elapsed.subsec_micros() % 1000, 3);
}

/// A key with a text; nothing when the text is empty. Octets that are not UTF-8 become U+FFFD.
fn text(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    if value.is_empty() {
        return;
    }
    out.extend_from_slice(key);
    out.push(b'"');
    if any_must_escape(value) {
        escaped(out, value);
    } else {
        out.extend_from_slice(value);
    }
    out.push(b'"');
}

pub(super) fn escaped(out: &mut Vec<u8>, value: &[u8]) {
    for octet in String::from_utf8_lossy(value).bytes() {
        match octet {
            b'"' | b'\\' => out.extend([b'\\', octet]),
            0..0x20 | 0x7f => {
                out.extend_from_slice(b"\\u00");
                out.extend([octet >> 4, octet & 15].map(|d| if d < 10 { b'0' + d } else { b'a' - 10 + d }));
            }
            _ => out.push(octet),
        }
    }
}
