//! Which of a backend and its alternative takes a request, and what decides that.

use crate::filter::Request;
use crate::filter::canary::{By, decided};
use crate::proxy::rehearsal::{self, Choice};
use crate::table::{BackendRef, CanaryRef};

/// What makes it certain which of the two takes the request.
pub(super) fn why(backend: &BackendRef, canary: &CanaryRef, choice: &Choice<'_>, request: &Request<'_>) -> String {
    let (main, next) = (backend.live.endpoints.load(), canary.backend.live.endpoints.load());
    let session = |of: &BackendRef| {
        let affinity = of.settings.affinity.as_ref()?;
        rehearsal::pinned(of, request.head)?;
        Some(format!("by the session cookie {} of the client", affinity.cookie.name))
    };
    // In the order in which the proxy looks at them.
    let session = match choice {
        Choice::Main if main.candidates.is_empty() => return format!("since {} has no endpoint", backend.settings.id),
        Choice::Main if next.candidates.is_empty() => return "since it has no endpoint".to_owned(),
        Choice::Main => session(backend),
        Choice::Canary(_) | Choice::Draw(_) => session(&canary.backend),
    };
    if let Some(session) = session {
        return session;
    }
    let rule = &canary.rule;
    match decided(rule, request) {
        _ if next.is_last_resort && !main.is_last_resort => "since none of its endpoints is ready".to_owned(),
        Some((_, By::Field)) => {
            format!("by the field {}", rule.header.as_ref().map_or("", |(name, _)| name))
        }
        Some((_, By::Cookie)) => format!("by the cookie {}", rule.cookie.as_deref().unwrap_or_default()),
        Some((_, By::Weight)) | None => format!("by its weight, {} of {}", rule.weight, rule.total),
    }
}
