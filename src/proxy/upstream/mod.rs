//! The back end's side of an exchange: pooled connections that speak HTTP/1.1 or HTTP/2.

pub mod connect;
pub mod http1;
pub mod http2;
pub mod pool;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use self::http1::Http1Upstream;
use self::http2::Http2Upstream;
use self::pool::PoolKey;
use super::downstream::Part;
use super::error::UpstreamFault;
use super::forward::Outgoing;
use super::worker::Worker;
use crate::http1::{Fields, ResponseHead};
use crate::ir::Protocol;
use crate::live::TlsIdentity;
use crate::settings::limits::POOL_IDLE_CONNECTIONS;

/// The other end of a connection.
#[derive(Clone, Copy)]
pub struct Far<'a> {
    /// Address of the endpoint.
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
    /// TLS, where that is more than a connection to whoever answers.
    pub identity: Option<&'a Arc<TlsIdentity>>,
}

impl Far<'_> {
    /// Which connections are alike.
    fn key(&self) -> PoolKey {
        let identity = self.identity.filter(|_| self.protocol.is_tls()).map_or(0, |identity| identity.number);
        PoolKey { address: self.address, protocol: self.protocol, identity }
    }
}

/// An exchange on a connection that is there already, if one is usable and has room.
pub fn pooled(worker: &Worker, far: Far<'_>, now: Instant) -> Option<Upstream> {
    let key = far.key();
    if key.protocol.is_http2() {
        return worker.http2_pool().take(&key, worker.limits()).map(|upstream| Upstream::Http2(Box::new(upstream)));
    }
    let mut upstream = worker.pool().take(&key, now)?;
    upstream.lend(worker.spare());
    Some(Upstream::Http1(upstream))
}

/// An exchange on a new connection to the endpoint, made within `longest`. `is_news` is false when what becomes of it is
/// told by another request already.
pub async fn connect(
    worker: &Rc<Worker>,
    far: Far<'_>,
    longest: Duration,
    is_news: &Cell<bool>,
) -> Result<Upstream, UpstreamFault> {
    let key = far.key();
    if key.protocol.is_http2() {
        let upstream = worker.http2_pool().stream(worker, key, far.identity, longest, is_news).await?;
        return Ok(Upstream::Http2(Box::new(upstream)));
    }
    let stream = connect::connect(worker, &key, far.identity.map(Arc::as_ref), longest).await?;
    let mut upstream = Box::new(Http1Upstream::new(stream, key, worker.limits(), Instant::now()));
    upstream.lend(worker.spare());
    Ok(Upstream::Http1(upstream))
}

/// One request at one endpoint.
pub enum Upstream {
    /// Over an HTTP/1.1 connection of its own for the time of the exchange.
    Http1(Box<Http1Upstream>),
    /// On a stream of a shared HTTP/2 connection.
    Http2(Box<Http2Upstream>),
}

impl Upstream {
    /// Queues the request head. `end`: no body follows.
    pub fn queue_head(&self, request: &Outgoing<'_>, end: bool) {
        match self {
            Upstream::Http1(upstream) => upstream.queue_head(request, end),
            Upstream::Http2(upstream) => upstream.queue_head(request, end),
        }
    }

    /// Queues body bytes.
    pub fn queue_data(&self, data: Bytes) {
        match self {
            Upstream::Http1(upstream) => upstream.queue_data(data),
            Upstream::Http2(upstream) => upstream.queue_data(data),
        }
    }

    /// Queues the end of the request body.
    pub fn queue_end(&self, trailers: Option<&Fields>) {
        match self {
            Upstream::Http1(upstream) => upstream.queue_end(trailers),
            Upstream::Http2(upstream) => upstream.queue_end(trailers),
        }
    }

    /// Writes what is queued.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamFault>> {
        match self {
            Upstream::Http1(upstream) => upstream.poll_flush(cx),
            Upstream::Http2(upstream) => upstream.poll_flush(cx),
        }
    }

    /// The next response head, interim ones (1xx) included.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, UpstreamFault>> {
        match self {
            Upstream::Http1(upstream) => upstream.poll_head(cx),
            Upstream::Http2(upstream) => upstream.poll_head(cx),
        }
    }

    /// Whether nobody else has told yet that the connection below broke: one break is one fault, however many requests it ends.
    pub fn is_first_to_break(&self) -> bool {
        match self {
            Upstream::Http1(_) => true,
            Upstream::Http2(upstream) => upstream.is_first_to_break(),
        }
    }

    /// The next part of the response body, after the final head.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Result<Part, UpstreamFault>> {
        match self {
            Upstream::Http1(upstream) => upstream.poll_body(cx),
            Upstream::Http2(upstream) => upstream.poll_body(cx),
        }
    }

    /// Lets go of the connection after the answer: back to the pool if it is clean, else it closes.
    pub fn give_back(self, worker: &Worker, now: Instant) {
        match self {
            Upstream::Http1(upstream) => {
                let pool = worker.table().globals().pool;
                if let Some(upstream) = upstream.into_idle(worker.spare(), now, &pool) {
                    worker.pool().put(upstream, pool.connections.unwrap_or(POOL_IDLE_CONNECTIONS));
                }
            }
            // A stream is over with its exchange; the connection never left the pool.
            Upstream::Http2(upstream) => drop(upstream),
        }
    }
}
