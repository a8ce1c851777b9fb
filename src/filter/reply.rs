//! An answer of our own.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::telemetry::Failure;

/// An answer that a filter gives in place of the upstream. The body is the page that belongs to its
/// status, unless there is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Why the client does not get what it asked for, for log and metric.
    pub failure: Option<Failure>,
    /// Fields beside those that every answer of ours has, values without line breaks.
    pub fields: SmallVec<[(&'static str, Bytes); 1]>,
    /// The body with its media type.
    pub body: Option<(Bytes, Arc<str>)>,
}

impl Reply {
    /// A redirect.
    pub(super) fn redirect(status: u16, location: Vec<u8>) -> Reply {
        Reply { fields: SmallVec::from_buf([("Location", location.into())]), ..Reply::plain(status) }
    }

    /// A status and nothing else.
    pub(super) fn plain(status: u16) -> Reply {
        Reply { status, failure: None, fields: SmallVec::new(), body: None }
    }

    /// The request is not let in.
    pub(super) fn denied(status: u16) -> Reply {
        Reply { failure: Some(Failure::Denied), ..Reply::plain(status) }
    }
}
