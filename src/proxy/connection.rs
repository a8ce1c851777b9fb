//! One client connection from its socket to its protocol.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::client_auth::Presented;
use super::downstream::proxy_header::{self, Step};
use super::downstream::{Peer, TlsFacts, http1};
use super::io::Stream;
use super::listener::Arrival;
use super::passthrough::{self, Destination, Unopened};
use super::tls::{self, ServerConfigs};
use super::worker::Worker;
use crate::ir::ProxyProtocol;
use crate::settings::Limit;
use crate::telemetry::Failure;

/// Serves a connection to its end.
pub(super) async fn serve(worker: Rc<Worker>, config: Arc<ServerConfigs>, arrival: Arrival) {
    let waker = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let _registered = worker.register(waker);
    // What is needed only to begin is boxed: an idle connection keeps no room for it.
    let begun = match Box::pin(begin(&worker, config, arrival)).await {
        Some(Begun::Http1(client)) => match http1::serve(client).await {
            http1::Served::Http2(begun) => begun,
            http1::Served::Done => return,
        },
        Some(Begun::Http2(begun)) => begun,
        Some(Begun::Unopened(unopened, client)) => {
            return Box::pin(passthrough::serve(&worker, *unopened, client)).await;
        }
        None => return,
    };
    let (stream, peer, read) = *begun;
    Box::pin(super::downstream::http2::serve(worker, stream, peer, read.freeze())).await;
}

/// A connection whose client said what it speaks.
enum Begun {
    /// HTTP/1.1, unless it begins with the preface of HTTP/2.
    Http1(Box<http1::Http1Client>),
    /// HTTP/2, with the bytes read so far.
    Http2(Box<(Stream, Peer, BytesMut)>),
    /// TLS that is not ours to open, of a client at this address.
    Unopened(Box<Unopened>, IpAddr),
}

/// Looks at the addresses and makes the TLS handshake, if there is one to make.
async fn begin(worker: &Rc<Worker>, config: Arc<ServerConfigs>, arrival: Arrival) -> Option<Begun> {
    let client = |stream, peer| Box::new(http1::Http1Client::new(Rc::clone(worker), stream, peer));
    let Arrival { mut stream, peer: address, is_tls } = arrival;
    let local = stream.local_addr().ok()?;
    let table = worker.table();
    let told = match &table.globals().proxy_protocol {
        Some(rule) => told(worker, rule, &mut stream, address.ip()).await?,
        None => None,
    };
    let passes_on = table.passes_on();
    drop(table);
    if !is_tls {
        return Some(Begun::Http1(client(Stream::Plain(stream), Peer::new(address, local, None).told(told))));
    }
    let deadline = Instant::now() + worker.limits().tls_handshake_time;
    match tokio::time::timeout_at(deadline, speaks_clear_text(&stream)).await {
        Ok(false) => {}
        Ok(true) => {
            worker.metrics().handshake("", false, false);
            let lost = client(Stream::Plain(stream), Peer::new(address, local, None).told(told));
            return Some(Begun::Http1(Box::new(lost.astray())));
        }
        Err(_) => {
            worker.metrics().handshake("", false, false);
            worker.metrics().limit_hit(Limit::tls_handshake_time);
            return None;
        }
    }
    let mut demand = None;
    let choose = |name: Option<&str>| {
        let table = worker.table();
        let (asked, tls) = table.handshake(name.unwrap_or_default());
        demand = asked.cloned();
        config.of(asked, tls)
    };
    let destination = |name: &str| worker.table().passthrough(name).cloned();
    let elsewhere = passes_on.then_some(&destination as Destination<'_>);
    let accepted = match tls::accept(choose, elsewhere, stream, deadline, worker.metrics()).await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(unopened)) => {
            let client = told.map_or(address, |(client, _)| client);
            return Some(Begun::Unopened(unopened, client.ip()));
        }
        Err(tls::HandshakeError::Late) => {
            worker.metrics().limit_hit(Limit::tls_handshake_time);
            return None;
        }
        Err(tls::HandshakeError::Failed(_)) => return None,
    };
    let tls::Accepted { stream, version, cipher, server_name, is_http2 } = accepted;
    let is_self_made = worker.table().is_self_made(server_name.as_deref());
    let presented = demand.map(|demand| {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Rc::new(Presented::new(demand, chain))
    });
    let facts = TlsFacts { version, cipher, server_name, is_self_made, presented };
    let peer = Peer::new(address, local, Some(facts)).told(told);
    let stream = Stream::Tls(Box::new(stream.into()));
    Some(match is_http2 {
        true => Begun::Http2(Box::new((stream, peer, BytesMut::new()))),
        false => Begun::Http1(client(stream, peer)),
    })
}

/// Whether a client of the https port begins with a letter, as a method of HTTP does. The first octet of TLS, the type of a
/// record, is no letter (RFC 8446 5.1). What was looked at stays to be read.
async fn speaks_clear_text(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1)) && first[0].is_ascii_alphabetic()
}

/// Reads the PROXY header; `None` if the connection is to be closed. What it says is forgotten unless the peer is believed.
async fn told(
    worker: &Worker,
    rule: &ProxyProtocol,
    stream: &mut TcpStream,
    hop: IpAddr,
) -> Option<Option<(SocketAddr, SocketAddr)>> {
    match tokio::time::timeout(rule.time, read_header(stream)).await {
        Ok(Some(told)) => Some(told.filter(|_| rule.networks.contains(hop))),
        Ok(None) => {
            worker.metrics().failure(Failure::BadRequest);
            None
        }
        Err(_) => {
            worker.metrics().limit_hit(Limit::head_time);
            None
        }
    }
}

/// Reads to the end of the header and no further; `None` if it is none, or the connection ends.
async fn read_header(stream: &mut TcpStream) -> Option<Option<(SocketAddr, SocketAddr)>> {
    let mut header = Vec::new();
    loop {
        match proxy_header::step(&header).ok()? {
            Step::Done(told) => return Some(told),
            Step::More(more) => {
                let read = header.len();
                header.resize(read + more, 0);
                stream.read_exact(header.get_mut(read..)?).await.ok()?;
            }
        }
    }
}
