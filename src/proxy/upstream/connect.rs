//! New connections to endpoints.

use std::time::Duration;

use tokio::net::TcpStream;

use super::http1::is_timeout;
use super::pool::PoolKey;
use crate::live::TlsIdentity;
use crate::proxy::error::{UpstreamFault, is_ours};
use crate::proxy::io::Stream;
use crate::proxy::worker::Worker;

/// Connects to the endpoint of `key`, TLS handshake included, within `longest`.
pub async fn connect(
    worker: &Worker,
    key: &PoolKey,
    identity: Option<&TlsIdentity>,
    longest: Duration,
) -> Result<Stream, UpstreamFault> {
    match tokio::time::timeout(longest, open(worker, key, identity)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if is_timeout(&error) => Err(UpstreamFault::ConnectTimeout),
        Ok(Err(error)) if is_ours(&error) => Err(UpstreamFault::Exhausted),
        Ok(Err(_)) => Err(UpstreamFault::Connect),
        Err(_) => Err(UpstreamFault::ConnectTimeout),
    }
}

async fn open(worker: &Worker, key: &PoolKey, identity: Option<&TlsIdentity>) -> std::io::Result<Stream> {
    let PoolKey { address, protocol, .. } = *key;
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    if !protocol.is_tls() {
        return Ok(Stream::Plain(tcp));
    }
    let tls = worker.connector().connect(tcp, address.ip(), protocol.is_http2(), identity).await?;
    Ok(Stream::Tls(Box::new(tls.into())))
}
