//! What can break between us and a back end, and the one mapping to statuses and log reasons.

use std::io;

use crate::telemetry::Failure;

/// Why an attempt at an endpoint failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamFault {
    /// No connection: refused, unreachable, TLS failed.
    #[error("connect failed")]
    Connect,
    /// No connection in time.
    #[error("connect timed out")]
    ConnectTimeout,
    /// The connection broke before a response head.
    #[error("closed before a response head")]
    Reset,
    /// No response head in time, or the back end takes no bytes.
    #[error("no response head in time")]
    HeadTimeout,
    /// The connection broke in the middle of a response head, or after an interim one.
    #[error("response head breaks off")]
    HeadCut,
    /// What came is no HTTP response.
    #[error("response head is not HTTP")]
    Invalid,
    /// The answer breaks off after its head.
    #[error("response breaks off")]
    Cut,
    /// The answer stalls after its head.
    #[error("response stalls")]
    BodyTimeout,
}

/// Whether another attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryClass {
    /// After the head nothing can be repeated.
    Never,
    /// No connection, so no request byte was sent: any method, no charge.
    Free,
    /// The same, by time-out.
    FreeTimeout,
    /// As an `error` of `proxy-next-upstream`.
    Error,
    /// As a `timeout` of `proxy-next-upstream`.
    Timeout,
    /// As an `invalid_header` of `proxy-next-upstream`.
    InvalidHeader,
    /// A response status that `proxy-next-upstream` lists.
    Status,
}

impl UpstreamFault {
    /// The status for the client, if no head was sent yet.
    pub fn status(self) -> u16 {
        match self {
            UpstreamFault::ConnectTimeout | UpstreamFault::HeadTimeout | UpstreamFault::BodyTimeout => 504,
            UpstreamFault::Connect
            | UpstreamFault::Reset
            | UpstreamFault::HeadCut
            | UpstreamFault::Invalid
            | UpstreamFault::Cut => 502,
        }
    }

    /// The reason in log and metric.
    pub fn failure(self) -> Failure {
        match self {
            UpstreamFault::Connect => Failure::UpstreamRefused,
            UpstreamFault::ConnectTimeout => Failure::TimeoutConnect,
            UpstreamFault::Reset | UpstreamFault::HeadCut => Failure::UpstreamReset,
            UpstreamFault::HeadTimeout | UpstreamFault::BodyTimeout => Failure::TimeoutResponse,
            UpstreamFault::Invalid => Failure::UpstreamInvalid,
            UpstreamFault::Cut => Failure::UpstreamCut,
        }
    }

    /// Whether another attempt may be made.
    pub fn retry_class(self) -> RetryClass {
        match self {
            UpstreamFault::Connect => RetryClass::Free,
            UpstreamFault::ConnectTimeout => RetryClass::FreeTimeout,
            UpstreamFault::Reset => RetryClass::Error,
            UpstreamFault::HeadTimeout => RetryClass::Timeout,
            UpstreamFault::HeadCut | UpstreamFault::Invalid => RetryClass::InvalidHeader,
            UpstreamFault::Cut | UpstreamFault::BodyTimeout => RetryClass::Never,
        }
    }
}

impl From<io::Error> for UpstreamFault {
    /// An I/O error on an open connection.
    fn from(_: io::Error) -> Self {
        UpstreamFault::Reset
    }
}
