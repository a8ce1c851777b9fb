//! Our HTTP/1.1 codec for both sides: bytes in, message or refusal out. No sockets, no clock.
//!
//! A head is one frozen buffer with its fields as slices of it, in order and letter case as received. What frames a
//! message is decided once, in [`framing`], and written anew by [`serialise`]: what leaves here is canonical, so no two
//! parsers can read it differently.

pub mod body;
pub mod fields;
pub mod framing;
pub mod head;
mod lines;
pub mod scan;
pub mod serialise;

pub use self::body::{BodyLimits, Decoder, Step};
pub use self::fields::{Field, Fields, Known, Span, is_alike};
pub use self::framing::Framing;
pub use self::head::{HeadBuilder, METHOD_REFUSED, RequestHead, ResponseHead, Version, is_refused, options};
pub use self::scan::{HeadLimits, HeadScan};
use crate::telemetry::Failure;

/// A message that is not taken: the status to answer a client with, and the reason for the log. From an upstream every
/// refusal is a 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// 400, 405, 408, 413, 414, 417, 431, 501 or 505.
    pub status: u16,
    /// Reason in log and metric.
    pub failure: Failure,
    /// The limit that was breached, if one was.
    pub limit: Option<crate::settings::Limit>,
    /// What is wrong, for debug logs and tests.
    pub why: &'static str,
}

impl Refusal {
    /// A malformed message: 400.
    pub const fn bad(why: &'static str) -> Refusal {
        Refusal { status: 400, failure: Failure::BadRequest, limit: None, why }
    }
}
