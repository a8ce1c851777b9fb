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
/// of the two has no endpoint there is no choice: without the backend itself there is no answer, as in ingress-nginx. An
/// alternative that is being scaled to nothing has no endpoint either, but for those who are kept at one that is still there.
pub fn consider<'b>(backend: &'b BackendRef, request: &filter::Request<'_>) -> Choice<'b> {
    let Some(canary) = &backend.canary else { return Choice::Main };
    let (main, next) = (backend.live.endpoints.load(), canary.backend.live.endpoints.load());
    if main.candidates.is_empty() || next.candidates.is_empty() {
        return Choice::Main;
    }
    let named = |backend: &BackendRef| affinity::named(request.head, backend.settings.affinity.as_ref()?);
    if named(backend).is_some() {
        return Choice::Main;
    }
    let kept = named(&canary.backend);
    if next.is_last_resort && !main.is_last_resort {
        let is_there = kept.is_some_and(|key| next.keyed(&key).is_some());
        return if is_there { Choice::Canary(canary) } else { Choice::Main };
    }
    match kept.map(|_| true).or_else(|| canary::said(&canary.rule, request)) {
        Some(true) => Choice::Canary(canary),
        Some(false) => Choice::Main,
        None => Choice::Draw(canary),
    }
}
