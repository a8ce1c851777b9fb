//! An answer of our own.

use bytes::Bytes;
use smallvec::SmallVec;

/// An answer that a filter gives in place of the upstream. The body is the page that belongs to its
/// status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Fields beside those that every answer of ours has, values without line breaks.
    pub fields: SmallVec<[(&'static str, Bytes); 1]>,
}

impl Reply {
    /// A redirect.
    pub(super) fn redirect(status: u16, location: Vec<u8>) -> Reply {
        Reply { status, fields: SmallVec::from_buf([("Location", location.into())]) }
    }
}
