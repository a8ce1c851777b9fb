//! What can break between us and a back end, and the one mapping to statuses and log reasons.

use std::io;

use rustix::io::Errno;

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
    /// No connection, because this machine has no descriptor, port or memory left for one.
    #[error("nothing left to connect with")]
    Exhausted,
    /// An open HTTP/2 connection took the request not, or no longer (RFC 9113 8.7): nothing was looked at.
    #[error("not taken")]
    NotTaken,
    /// The connection broke before a response head.
    #[error("closed before a response head")]
    Reset,
    /// The back end ended the HTTP/2 stream before a response head.
    #[error("stream reset before a response head")]
    StreamReset,
    /// No response head in time, or the back end takes no bytes.
    #[error("no response head in time")]
    HeadTimeout,
    /// The connection broke in the middle of a response head, or after an interim one.
    #[error("response head breaks off")]
    HeadCut,
    /// What came does not even begin as an HTTP response: something else answers there, whatever is asked.
    #[error("what answers is not HTTP")]
    NotHttp,
    /// What came is no HTTP response.
    #[error("response head is not HTTP")]
    Invalid,
    /// The answer breaks off after its head.
    #[error("response breaks off")]
    Cut,
    /// The answer stalls after its head.
    #[error("response stalls")]
    BodyTimeout,
    /// The time for all of the request is over.
    #[error("not done in time")]
    Overdue,
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
            UpstreamFault::ConnectTimeout
            | UpstreamFault::HeadTimeout
            | UpstreamFault::BodyTimeout
            | UpstreamFault::Overdue => 504,
            UpstreamFault::Connect
            | UpstreamFault::Exhausted
            | UpstreamFault::NotTaken
            | UpstreamFault::Reset
            | UpstreamFault::StreamReset
            | UpstreamFault::HeadCut
            | UpstreamFault::NotHttp
            | UpstreamFault::Invalid
            | UpstreamFault::Cut => 502,
        }
    }

    /// The reason in log and metric.
    pub fn failure(self) -> Failure {
        match self {
            UpstreamFault::Connect | UpstreamFault::NotTaken => Failure::UpstreamRefused,
            UpstreamFault::Exhausted => Failure::Internal,
            UpstreamFault::ConnectTimeout => Failure::TimeoutConnect,
            UpstreamFault::Reset | UpstreamFault::StreamReset | UpstreamFault::HeadCut => Failure::UpstreamReset,
            UpstreamFault::HeadTimeout | UpstreamFault::BodyTimeout | UpstreamFault::Overdue => {
                Failure::TimeoutResponse
            }
            UpstreamFault::NotHttp | UpstreamFault::Invalid => Failure::UpstreamInvalid,
            UpstreamFault::Cut => Failure::UpstreamCut,
        }
    }

    /// Whether another attempt may be made.
    pub fn retry_class(self) -> RetryClass {
        match self {
            UpstreamFault::Connect | UpstreamFault::Exhausted | UpstreamFault::NotTaken => RetryClass::Free,
            UpstreamFault::ConnectTimeout => RetryClass::FreeTimeout,
            UpstreamFault::Reset | UpstreamFault::StreamReset => RetryClass::Error,
            UpstreamFault::HeadTimeout => RetryClass::Timeout,
            UpstreamFault::HeadCut | UpstreamFault::NotHttp | UpstreamFault::Invalid => RetryClass::InvalidHeader,
            UpstreamFault::Cut | UpstreamFault::BodyTimeout | UpstreamFault::Overdue => RetryClass::Never,
        }
    }
}

/// Whether a connection failed because this machine has nothing left to connect with: that says nothing about the other end.
pub fn is_ours(error: &io::Error) -> bool {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|number| ours.iter().any(|errno| errno.raw_os_error() == number))
}

impl From<io::Error> for UpstreamFault {
    /// An I/O error on an open connection.
    fn from(_: io::Error) -> Self {
        UpstreamFault::Reset
    }
}
