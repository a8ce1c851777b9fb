//! The back end's side of an exchange: pooled connections that speak HTTP/1.1 or HTTP/2.

pub mod connect;
pub mod http1;
pub mod pool;

use std::task::{Context, Poll};

use bytes::Bytes;

use self::http1::Http1Upstream;
use super::downstream::Part;
use super::error::UpstreamFault;
use super::forward::Outgoing;
use crate::http1::{Fields, ResponseHead};

/// One request at one endpoint.
pub enum Upstream {
    /// Over an HTTP/1.1 connection of its own for the time of the exchange.
    Http1(Box<Http1Upstream>),
}

impl Upstream {
    /// Queues the request head. `end`: no body follows.
    pub fn queue_head(&self, request: &Outgoing<'_>, end: bool) {
        match self {
            Upstream::Http1(upstream) => upstream.queue_head(request, end),
        }
    }

    /// Queues body bytes.
    pub fn queue_data(&self, data: Bytes) {
        match self {
            Upstream::Http1(upstream) => upstream.queue_data(data),
        }
    }

    /// Queues the end of the request body.
    pub fn queue_end(&self, trailers: Option<&Fields>) {
        match self {
            Upstream::Http1(upstream) => upstream.queue_end(trailers),
        }
    }

    /// Writes what is queued.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamFault>> {
        match self {
            Upstream::Http1(upstream) => upstream.poll_flush(cx),
        }
    }

    /// The next response head, interim ones (1xx) included.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, UpstreamFault>> {
        match self {
            Upstream::Http1(upstream) => upstream.poll_head(cx),
        }
    }

    /// The next part of the response body, after the final head.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Result<Part, UpstreamFault>> {
        match self {
            Upstream::Http1(upstream) => upstream.poll_body(cx),
        }
    }

    /// The connection had served a request before this one.
    pub fn is_reused(&self) -> bool {
        match self {
            Upstream::Http1(upstream) => upstream.is_reused(),
        }
    }
}
