//! New connections to endpoints.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::http1::is_timeout;
use crate::ir::Protocol;
use crate::proxy::error::{UpstreamFault, is_ours};
use crate::proxy::io::Stream;
use crate::proxy::worker::Worker;

/// Connects to `address`, TLS handshake included, within `longest`.
pub async fn connect(
    worker: &Worker,
    address: SocketAddr,
    protocol: Protocol,
    longest: Duration,
) -> Result<Stream, UpstreamFault> {
    match tokio::time::timeout(longest, open(worker, address, protocol)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if is_timeout(&error) => Err(UpstreamFault::ConnectTimeout),
        Ok(Err(error)) if is_ours(&error) => Err(UpstreamFault::Exhausted),
        Ok(Err(_)) => Err(UpstreamFault::Connect),
        Err(_) => Err(UpstreamFault::ConnectTimeout),
    }
}

async fn open(worker: &Worker, address: SocketAddr, protocol: Protocol) -> std::io::Result<Stream> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    if !protocol.is_tls() {
        return Ok(Stream::Plain(tcp));
    }
    let tls = worker.connector().connect(tcp, address.ip(), protocol.is_http2()).await?;
    Ok(Stream::Tls(Box::new(tls.into())))
}
