//! Who gets in nowhere.

use super::{Reply, Request};
use crate::http1::Known;
use crate::ir::Blocked;

/// The refusal of a request that a global list names.
pub fn blocked(blocked: &Blocked, request: &Request<'_>) -> Option<Reply> {
    let Blocked { clients, agents, referers } = blocked;
    let value = |known| request.head.fields.get(known).unwrap_or_default();
    let is_blocked = agents.iter().any(|pattern| pattern.matches(value(Known::UserAgent)))
        || referers.iter().any(|pattern| pattern.matches(value(Known::Referer)))
        || clients.as_ref().is_some_and(|clients| clients.contains(request.client));
    is_blocked.then(|| Reply::denied(403))
}
