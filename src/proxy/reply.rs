//! Answers of our own: refusals, redirects, errors.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use smallvec::SmallVec;

use super::downstream::{Answer, BodySize, Client};
use super::error::UpstreamFault;
use crate::filter::{self, rules::Ruled};
use crate::http1::{Refusal, serialise};
use crate::settings::Limit;
use crate::telemetry::Failure;

/// Why an exchange ends without an upstream's answer, or before its end.
#[derive(Debug)]
pub enum Stop {
    /// We answer this.
    Reply(Box<Reply>),
    /// No endpoint could be made to answer.
    Upstream(UpstreamFault),
    /// The client went away.
    ClientGone,
    /// The upstream's answer breaks off after its head.
    Cut(UpstreamFault),
}

/// An answer of our own.
#[derive(Debug, Default)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Reason for log and metric, when it is a failure.
    pub failure: Option<Failure>,
    /// The limit that was breached, if one was.
    pub limit: Option<Limit>,
    /// Further fields.
    pub fields: SmallVec<[(&'static str, Bytes); 2]>,
    /// A line for the body's reader, under the title.
    pub detail: Option<String>,
    /// The whole body with its media type, in the place of the page of the status.
    pub body: Option<(Bytes, Arc<str>)>,
    /// The connection must end, since its next bytes cannot be trusted.
    pub closes: bool,
}

impl Reply {
    /// An answer that is no failure.
    pub fn plain(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    /// An answer that says what failed.
    pub fn failed(status: u16, failure: Failure) -> Reply {
        Reply { status, failure: Some(failure), ..Reply::default() }
    }

    /// The answer to a request in clear text on the https port. A browser shows it where a broken handshake says nothing.
    pub fn clear_text() -> Reply {
        let detail = Some("The plain HTTP request was sent to HTTPS port".to_owned());
        Reply { detail, closes: true, ..Reply::failed(400, Failure::BadRequest) }
    }

    /// The type of its body.
    pub fn media_type(&self) -> &[u8] {
        self.body.as_ref().map_or(b"text/html", |(_, media_type)| media_type.as_bytes())
    }

    /// The answer where a backend has as many requests as it may have. Most take less than a second, and then there is
    /// room again.
    pub fn in_flight() -> Reply {
        let mut reply = Reply::failed(503, Failure::LimitInFlight);
        reply.fields.push(("Retry-After", Bytes::from_static(b"1")));
        reply
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Reply {
        let Refusal { status, failure, limit, .. } = refusal;
        let mut fields = SmallVec::new();
        if status == 405 {
            // RFC 9110 15.5.6 asks for Allow; what a path allows only its back end knows.
            fields.push(("Allow", Bytes::from_static(b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")));
        }
        Reply { status, failure: Some(failure), limit, fields, detail: None, body: None, closes: true }
    }
}

impl From<filter::Reply> for Reply {
    fn from(reply: filter::Reply) -> Reply {
        let filter::Reply { status, failure, fields, body } = reply;
        Reply { failure, fields: fields.into_iter().collect(), body, ..Reply::plain(status) }
    }
}

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Stop {
        Stop::Reply(Box::new(reply))
    }
}

impl From<Box<Reply>> for Stop {
    fn from(reply: Box<Reply>) -> Stop {
        Stop::Reply(reply)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Reply(Box::new(refusal.into()))
    }
}

/// The page of a status: nothing in it but the code and its phrase, and a detail if there is one.
fn page(reply: &Reply) -> Bytes {
    if let Some((body, _)) = &reply.body {
        return body.clone();
    }
    let title = format!("{} {}", reply.status, serialise::phrase(reply.status));
    let detail = reply.detail.as_ref().map(|detail| format!("<p>{detail}</p>")).unwrap_or_default();
    let body = format!(
        "<html><head><title>{title}</title></head><body><center><h1>{title}</h1>{detail}</center></body></html>"
    );
    Bytes::from(body)
}

/// Queues `reply` whole; `set` is what the route sets on every answer, `ruled` what it changes of this one.
pub fn queue<C: Client>(
    client: &C,
    method: Option<&Method>,
    reply: &Reply,
    request_id: &[u8],
    set: &filter::ResponseFields<'_>,
    ruled: Option<&Ruled<'_>>,
    close: bool,
) -> u64 {
    let has_body = reply.status != 204 && reply.status != 304;
    let mut fields: SmallVec<[(&str, &[u8]); 8]> = SmallVec::new();
    if has_body {
        fields.push(("Content-Type", reply.media_type()));
    }
    if !request_id.is_empty() {
        fields.push(("X-Request-ID", request_id));
    }
    fields.extend(reply.fields.iter().map(|(name, value)| (*name, &**value)));
    fields.retain(|(name, _)| !set.iter().any(|field| field.replaces && field.name.eq_ignore_ascii_case(name)));
    fields.extend(set.iter().filter(|field| !field.value.is_empty()).map(|field| (field.name, &*field.value)));
    if let Some(ruled) = ruled {
        fields.retain(|(name, _)| ruled.keeps(name.as_bytes()));
        fields.extend(ruled.fields().map(|(name, value)| (name, &**value)));
    }
    let is_head = method == Some(&Method::HEAD);
    let body = if has_body { page(reply) } else { Bytes::new() };
    let length = body.len() as u64;
    let answer = Answer {
        status: reply.status,
        reason: b"",
        fields: None,
        extra: &fields,
        body: match has_body {
            true if is_head => BodySize::None { length: Some(length) },
            true => BodySize::Length(length),
            false => BodySize::None { length: None },
        },
        has_date: false,
        upgrade: None,
    };
    client.queue_head(&answer, close);
    if !is_head {
        client.queue_data(body);
    }
    client.queue_end(None);
    if is_head { 0 } else { length }
}
