//! The alternative to a backend, or the backend itself.

use std::sync::Arc;

use super::affinity;
use crate::filter::{self, canary};
use crate::table::{BackendRef, CanaryRef};

/// Which of the two takes a request.
pub enum Choice<'b> {
    /// The alternative.
    Canary(&'b Arc<CanaryRef>),
    /// A draw decides.
    Draw(&'b Arc<CanaryRef>),
    /// The backend itself.
    Main,
}

/// The alternative, if it takes the request.
#[inline]
pub fn choose<'b>(backend: &'b BackendRef, request: &filter::Request<'_>) -> Option<&'b Arc<CanaryRef>> {
    backend.canary.as_ref()?;
    match consider(backend, request) {
        Choice::Canary(canary) => Some(canary),
        Choice::Draw(canary) => (fastrand::u32(..canary.rule.total) < canary.rule.weight).then_some(canary),
        Choice::Main => None,
    }
}

/// Which of the two takes the request, as far as that is certain. Who has the cookie of one of the two stays there. While one
/// of the two has no endpoint there is no choice: without the backend itself there is no answer, as in ingress-nginx.
pub fn consider<'b>(backend: &'b BackendRef, request: &filter::Request<'_>) -> Choice<'b> {
    let Some(canary) = &backend.canary else { return Choice::Main };
    let is_empty = |backend: &BackendRef| backend.live.endpoints.load().candidates.is_empty();
    if is_empty(backend) || is_empty(&canary.backend) {
        return Choice::Main;
    }
    let has_cookie = |backend: &BackendRef| {
        backend.settings.affinity.as_ref().is_some_and(|affinity| affinity::named(request.head, affinity).is_some())
    };
    if has_cookie(backend) {
        return Choice::Main;
    }
    match has_cookie(&canary.backend).then_some(true).or_else(|| canary::said(&canary.rule, request)) {
        Some(true) => Choice::Canary(canary),
        Some(false) => Choice::Main,
        None => Choice::Draw(canary),
    }
}
