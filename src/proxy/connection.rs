//! One client connection from its socket to its protocol.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use rustls::ServerConfig;

use super::downstream::{Peer, TlsFacts, http1};
use super::io::Stream;
use super::listener::Arrival;
use super::tls;
use super::worker::Worker;
use crate::settings::Limit;

/// Serves a connection to its end.
pub(super) async fn serve(worker: Rc<Worker>, config: Arc<ServerConfig>, arrival: Arrival) {
    let waker = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let _registered = worker.register(waker);
    let Arrival { stream, peer: address, is_tls } = arrival;
    let Ok(local) = stream.local_addr() else { return };
    if !is_tls {
        return speak_http1(worker, Stream::Plain(stream), Peer::new(address, local, None)).await;
    }
    let longest = worker.limits().tls_handshake_time;
    // Boxed, as what comes once is: an idle connection should not keep room for it.
    let handshake = Box::pin(tls::accept(&config, stream, longest, worker.metrics()));
    let accepted = match handshake.await {
        Ok(accepted) => accepted,
        Err(tls::HandshakeError::Late) => return worker.metrics().limit_hit(Limit::tls_handshake_time),
        Err(tls::HandshakeError::Failed(_)) => return,
    };
    let tls::Accepted { stream, version, server_name, is_http2 } = accepted;
    let is_self_made = worker.table().is_self_made(server_name.as_deref());
    let facts = TlsFacts { version, server_name, is_self_made };
    let peer = Peer::new(address, local, Some(facts));
    let stream = Stream::Tls(Box::new(stream.into()));
    if is_http2 {
        return Box::pin(super::downstream::http2::serve(worker, stream, peer, bytes::Bytes::new())).await;
    }
    speak_http1(worker, stream, peer).await;
}

async fn speak_http1(worker: Rc<Worker>, stream: Stream, peer: Peer) {
    if let http1::Served::Http2(begun) = http1::serve(Rc::clone(&worker), stream, peer).await {
        let (stream, peer, read) = *begun;
        Box::pin(super::downstream::http2::serve(worker, stream, peer, read.freeze())).await;
    }
}
