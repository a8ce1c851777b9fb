//! The text line: ingress-nginx's default format, to the byte, since log pipelines parse it.

use std::sync::Arc;
use std::time::Duration;

use super::record::{Attempt, Record};
use super::write::{any_must_escape, must_escape, number, padded};

/// Appends one line in the form of ingress-nginx's `log_format upstreaminfo`. `stamp` is [`stamp`] of the record's
/// second.
pub(super) fn line(out: &mut Vec<u8>, record: &Record<'_>, stamp: &[u8]) {
    out.extend_from_slice(record.client.as_bytes());
    match record.user {
        None => out.extend_from_slice(b" - - ["),
        user => {
            out.extend_from_slice(b" - ");
            escaped(out, user);
            out.extend_from_slice(b" [");
        }
    }
    out.extend_from_slice(stamp);
    out.extend_from_slice(b"] \"");
    if record.protocol.is_empty() {
        unread(out, record);
    } else {
        // A method is a token (RFC 9110 5.6.2): there is nothing in it to escape.
        out.extend_from_slice(record.method.as_bytes());
        out.push(b' ');
        escaped(out, Some(record.target));
        out.push(b' ');
        out.extend_from_slice(record.protocol.as_bytes());
    }
    out.extend_from_slice(b"\" ");
    padded(out, u32::from(record.status), 3);
    out.push(b' ');
    number(out, record.bytes_out);
    out.extend_from_slice(b" \"");
    escaped(out, record.referer);
    out.extend_from_slice(b"\" \"");
    escaped(out, record.user_agent);
    out.extend_from_slice(b"\" ");
    number(out, record.bytes_in);
    out.push(b' ');
    seconds(out, record.elapsed);
    out.extend_from_slice(b" [");
    out.extend_from_slice(record.upstream_name.unwrap_or("-").as_bytes());
    // ingress-nginx prints an empty text without a canary.
    out.extend_from_slice(b"] [");
    out.extend_from_slice(record.alternative.unwrap_or_default().as_bytes());
    out.extend_from_slice(b"] ");
    each(out, record.attempts, |out, attempt| out.extend_from_slice(attempt.address.as_bytes()));
    out.push(b' ');
    each(out, record.attempts, |out, attempt| number(out, attempt.bytes));
    out.push(b' ');
    each(out, record.attempts, |out, attempt| seconds(out, attempt.elapsed));
    out.push(b' ');
    each(out, record.attempts, |out, attempt| match attempt.status {
        Some(status) => padded(out, u32::from(status), 3),
        None => out.push(b'-'),
    });
    out.push(b' ');
    escaped(out, Some(record.request_id));
    out.push(b'\n');
}

/// What is known of a first line without a protocol.
#[cold]
fn unread(out: &mut Vec<u8>, record: &Record<'_>) {
    if record.method.is_empty() {
        return out.push(b'-');
    }
    out.extend_from_slice(record.method.as_bytes());
    if !record.target.is_empty() {
        out.push(b' ');
        escaped(out, Some(record.target));
    }
}

/// `$proxy_upstream_name` of a Service port, escaped as it stands in the line: made once a route, not once a request.
pub fn upstream_name(namespace: &str, service: &str, port: &str) -> Arc<str> {
    let mut out = Vec::new();
    escaped(&mut out, Some(format!("{namespace}-{service}-{port}").as_bytes()));
    String::from_utf8_lossy(&out).into()
}

/// `25/Nov/2026:23:10:55 +0000`, in UTC, as in a container. `second` is in seconds since the epoch.
pub(super) fn stamp(second: i64) -> Vec<u8> {
    let time = jiff::Timestamp::from_second(second).unwrap_or_default();
    time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string().into_bytes()
}

/// One value for each attempt, separated as nginx does; `-` without any.
pub(super) fn each(out: &mut Vec<u8>, attempts: &[Attempt<'_>], print: impl Fn(&mut Vec<u8>, &Attempt<'_>)) {
    for (index, attempt) in attempts.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        print(out, attempt);
    }
    if attempts.is_empty() {
        out.push(b'-');
    }
}

/// Seconds with three decimals, cut, not rounded.
pub(in crate::telemetry) fn seconds(out: &mut Vec<u8>, elapsed: Duration) {
    let (seconds, millis) = (elapsed.as_secs(), elapsed.subsec_millis());
    let digit = |value: u32| b'0' + (value % 10) as u8;
    if seconds < 10 {
        let whole = digit(u32::try_from(seconds).unwrap_or(0));
        return out.extend_from_slice(&[whole, b'.', digit(millis / 100), digit(millis / 10), digit(millis)]);
    }
    number(out, seconds);
    out.push(b'.');
    padded(out, millis, 3);
}

/// A value as nginx escapes it: quote, backslash, control octets and everything from 0x7F on as `\xNN`.
pub(super) fn escaped(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(value) = value else { return out.push(b'-') };
    if !any_must_escape(value) {
        return out.extend_from_slice(value);
    }
    for octet in value {
        if must_escape(*octet) {
            out.extend_from_slice(b"\\x");
            out.extend([octet >> 4, octet & 15].map(|digit| if digit < 10 { b'0' + digit } else { b'A' - 10 + digit }));
        } else {
            out.push(*octet);
        }
    }
}
