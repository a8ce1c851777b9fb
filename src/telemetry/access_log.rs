//! The access log: one line a request, formatted on the worker into its own buffer, written by one thread.
//!
//! A worker never waits for the log: full buffers go through a bounded channel, and when it is full the lines are
//! counted as dropped.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Failure;

/// The sink: where workers send full buffers.
pub struct AccessLog {}

impl AccessLog {
    /// A writer for one worker.
    pub fn writer(self: &Arc<Self>) -> AccessWriter {
        unimplemented!()
    }
}

/// One worker's end of the access log.
pub struct AccessWriter {}

impl AccessWriter {
    /// Appends one line to the buffer; hands the buffer on when it is full.
    pub fn write(&mut self, record: &Record<'_>) {
        let _ = record;
        unimplemented!()
    }

    /// Hands on what the buffer holds. Called when the worker has nothing else to do, and at least every 100 ms.
    pub fn flush(&mut self) {
        unimplemented!()
    }
}

/// One attempt at an endpoint, as in `$upstream_addr`, `$upstream_status` and so on.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// `address:port`.
    pub address: &'a str,
    /// Status of the response head; `None` when none came.
    pub status: Option<u16>,
    /// From the choice of the endpoint to the end of its answer.
    pub elapsed: Duration,
    /// Body bytes received.
    pub bytes: u64,
}

/// Everything a line can hold. Texts are as received, unescaped.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the request ended, nanoseconds since the epoch.
    pub time: i128,
    /// X-Request-ID.
    pub request_id: &'a str,
    /// Client address.
    pub client: IpAddr,
    /// `GET`; empty if the head could not be read.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host as received, without port.
    pub host: &'a str,
    /// Request target as received, path and query.
    pub target: &'a str,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub protocol: &'static str,
    /// Status sent; 499 when the client went away first.
    pub status: u16,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// Request bytes, head and body.
    pub bytes_in: u64,
    /// Body bytes sent.
    pub bytes_out: u64,
    /// From the first byte of the head to the last byte sent.
    pub elapsed: Duration,
    /// Namespace, Ingress name, Service name, port of the route; `None` without a route.
    pub route: Option<(&'a str, &'a str, &'a str, &'a str)>,
    /// Attempts in order.
    pub attempts: &'a [Attempt<'a>],
    /// `TLSv1.3`, over TLS.
    pub tls: Option<&'static str>,
    /// Server name of the handshake.
    pub sni: Option<&'a str>,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
}
