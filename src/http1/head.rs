//! Message heads: find the end, tokenise, frame.

use super::{Fields, Framing};

/// The version a message is treated as. 1.x with x > 1 counts as 1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2 (heads that the h2 side fills).
    Http2,
}

/// A request head. Both front protocols fill it.
#[derive(Debug)]
pub struct RequestHead {
    /// Field lines and the buffer.
    pub fields: Fields,
    /// Version.
    pub version: Version,
    /// How its body ends.
    pub framing: Framing,
}

/// A response head.
#[derive(Debug)]
pub struct ResponseHead {
    /// Field lines and the buffer.
    pub fields: Fields,
    /// Version.
    pub version: Version,
    /// Status, 100 to 999.
    pub status: u16,
    /// How its body ends.
    pub framing: Framing,
}
