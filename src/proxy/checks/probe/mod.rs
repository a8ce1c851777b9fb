//! One question to one endpoint, and what is wrong with the answer.

mod grpc;
mod http1;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::uri::Scheme;
use tokio::net::TcpStream;

use crate::ir::{ActiveCheck, Probe};
use crate::live::TlsIdentity;
use crate::proxy::error::is_ours;
use crate::proxy::tls::BackendTls;

/// What an endpoint is told that it is asked by.
const USER_AGENT: &str = "fairlead-check";

/// Why a check failed, in the words that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The endpoint closed where an answer was due.
    #[error("closed without an answer")]
    Closed,
    /// The call has another gRPC status than 0.
    #[error("grpc-status {0}")]
    GrpcStatus(u16),
    /// The answer is not in the protocol of the check.
    #[error("no {protocol} answer: {why}")]
    Invalid {
        /// What was expected.
        protocol: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// This machine has nothing left to connect with.
    #[error("nothing left to connect with")]
    Exhausted,
    /// What the kernel says: `connection refused`.
    #[error("{0}")]
    Io(io::ErrorKind),
    /// The whole answer was not there in this time.
    #[error("no answer in {}", Span(*.0))]
    Late(Duration),
    /// The gRPC service says another word than `SERVING`.
    #[error("{0}")]
    NotServing(&'static str),
    /// A status that is not expected.
    #[error("status {0}")]
    Status(u16),
    /// No TLS session.
    #[error("TLS handshake failed")]
    Tls,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            _ if is_ours(&error) => Failure::Exhausted,
            // TLS alone says so. A server of TLS 1.3 refuses our certificate when the handshake is over on our side.
            io::ErrorKind::InvalidData => Failure::Tls,
            kind => Failure::Io(kind),
        }
    }
}

/// Asks `address` what `check` asks, over TLS as `identity`, and takes no longer than it allows.
pub(super) async fn probe(
    check: &ActiveCheck,
    address: SocketAddr,
    tls: &BackendTls,
    identity: Option<&TlsIdentity>,
) -> Result<(), Failure> {
    let asked = ask(&check.probe, address, tls, identity);
    tokio::time::timeout(check.timeout, asked).await.unwrap_or(Err(Failure::Late(check.timeout)))
}

async fn ask(
    probe: &Probe,
    address: SocketAddr,
    tls: &BackendTls,
    identity: Option<&TlsIdentity>,
) -> Result<(), Failure> {
    let mut tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let default_port = if probe.is_tls() { 443 } else { 80 };
    match probe {
        Probe::Tcp => Ok(()),
        Probe::Http { is_tls, path, host, expected } => {
            let host = Authority { given: host.as_deref(), address, default_port };
            let status = if *is_tls {
                let mut stream = tls.connect(tcp, address.ip(), false, identity).await.map_err(|_| Failure::Tls)?;
                http1::status(&mut stream, path, &host).await?
            } else {
                http1::status(&mut tcp, path, &host).await?
            };
            let is_expected = expected.iter().any(|&(first, last)| (first..=last).contains(&status));
            if is_expected { Ok(()) } else { Err(Failure::Status(status)) }
        }
        Probe::Grpc { is_tls, host } => {
            let host = Authority { given: host.as_deref(), address, default_port };
            if *is_tls {
                let stream = tls.connect(tcp, address.ip(), true, identity).await.map_err(|_| Failure::Tls)?;
                grpc::serves(stream, Scheme::HTTPS, &host).await
            } else {
                grpc::serves(tcp, Scheme::HTTP, &host).await
            }
        }
    }
}

/// The name that an endpoint is asked under.
struct Authority<'a> {
    given: Option<&'a str>,
    address: SocketAddr,
    default_port: u16,
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.given, self.address) {
            (Some(given), _) => f.write_str(given),
            (None, address) if address.port() != self.default_port => address.fmt(f),
            (None, SocketAddr::V4(address)) => address.ip().fmt(f),
            (None, SocketAddr::V6(address)) => write!(f, "[{}]", address.ip()),
        }
    }
}

/// Prints as `2 s` or `250 ms`.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 if self.0.as_secs() > 0 => write!(f, "{} s", self.0.as_secs()),
            _ => write!(f, "{} ms", self.0.as_millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_said_in_plain_words() {
        for (failure, text) in [
            (Failure::Io(io::ErrorKind::ConnectionRefused), "connection refused"),
            (Failure::Io(io::ErrorKind::HostUnreachable), "host unreachable"),
            (Failure::Late(Duration::from_secs(2)), "no answer in 2 s"),
            (Failure::Late(Duration::from_millis(1_500)), "no answer in 1500 ms"),
            (Failure::Status(503), "status 503"),
            (Failure::NotServing("NOT_SERVING"), "NOT_SERVING"),
            (Failure::GrpcStatus(12), "grpc-status 12"),
            (Failure::Invalid { protocol: "HTTP/1.1", why: "no status line" }, "no HTTP/1.1 answer: no status line"),
        ] {
            assert_eq!(failure.to_string(), text);
        }
    }

    #[test]
    fn an_endpoint_is_asked_under_the_given_name_or_its_address() {
        let name = |given, address: &str, default_port| {
            Authority { given, address: address.parse().unwrap(), default_port }.to_string()
        };
        assert_eq!(name(Some("a.example"), "10.0.0.7:8080", 80), "a.example");
        assert_eq!(name(None, "10.0.0.7:8080", 80), "10.0.0.7:8080");
        assert_eq!(name(None, "10.0.0.7:80", 80), "10.0.0.7");
        assert_eq!(name(None, "[fd00::7]:443", 443), "[fd00::7]");
        assert_eq!(name(None, "[fd00::7]:80", 443), "[fd00::7]:80");
    }
}
