//! The alternative to a backend, or the backend itself.

use std::sync::Arc;

use super::affinity;
use crate::filter::{self, canary};
use crate::table::{BackendRef, CanaryRef};

/// The alternative, if it takes the request. Who has the cookie of one of the two stays there. While one of the two has no
/// endpoint there is no choice: without the backend itself there is no answer, as in ingress-nginx.
pub fn choose<'b>(backend: &'b BackendRef, request: &filter::Request<'_>) -> Option<&'b Arc<CanaryRef>> {
    let canary = backend.canary.as_ref()?;
    let is_empty = |backend: &BackendRef| backend.live.endpoints.load().candidates.is_empty();
    if is_empty(backend) || is_empty(&canary.backend) {
        return None;
    }
    let has_cookie = |backend: &BackendRef| {
        backend.settings.affinity.as_ref().is_some_and(|affinity| affinity::named(request.head, affinity).is_some())
    };
    if has_cookie(backend) {
        return None;
    }
    let is_taken = has_cookie(&canary.backend) || canary::takes(&canary.rule, request, |total| fastrand::u32(..total));
    is_taken.then_some(canary)
}
