//! Which answers of a route are kept, and for how long.

use std::sync::Arc;
use std::time::Duration;

use super::Template;

/// `cache: on` with what stands beside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caching {
    /// `cache-key`: what tells answers apart in place of the query.
    pub key: Option<Arc<Template>>,
    /// `cache-ttl`: how long an answer is fresh that does not say so itself.
    pub ttl: Option<Duration>,
    /// `cache-max-object`: octets of the longest body that is kept.
    pub max_object: u64,
    /// `cache-stale-if-error`: how long past its time an answer is served while the backend fails, unless it says so itself.
    pub stale_if_error: Option<Duration>,
    /// `cache-status`: answers tell what the cache did (RFC 9211).
    pub status: bool,
}

impl Caching {
    /// The default `cache-max-object`.
    pub const MAX_OBJECT: u64 = 1 << 20;
}
