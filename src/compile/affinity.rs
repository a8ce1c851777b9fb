//! What was said about the sticky cookie of a Service port into the cookie.

use std::sync::{Arc, LazyLock};

use super::keys;
use super::said::{Decided, Word};
use super::shared::Shared;
use crate::ir::{Affinity, BackendId, Cookie};

/// The name where none is said, as in ingress-nginx.
static NAME: LazyLock<Arc<str>> = LazyLock::new(|| "INGRESSCOOKIE".into());

/// What keeps clients at endpoints of `backend`, if some Ingress asks for it.
pub(super) fn affinity(backend: &BackendId, said: &Decided<'_>, shared: &mut Shared) -> Option<Affinity> {
    said.affinity?;
    Some(Affinity { tag: keys::tag(backend), cookie: shared.cookie(cookie(said)) })
}

fn cookie(said: &Decided<'_>) -> Cookie {
    Cookie {
        name: value(&said.cookie_name).unwrap_or_else(|| Arc::clone(&NAME)),
        path: value(&said.cookie_path),
        domain: value(&said.cookie_domain),
        expires: value(&said.cookie_expires),
        max_age: value(&said.cookie_max_age),
        same_site: value(&said.cookie_same_site),
        conditional_none: value(&said.cookie_conditional_none).unwrap_or(false),
        // To say false is to say nothing: over TLS the cookie is secure.
        secure: value(&said.cookie_secure).filter(|is| *is),
        change_on_failure: value(&said.cookie_change_on_failure).unwrap_or(false),
    }
}

fn value<T: Clone>(word: &Option<Word<'_, T>>) -> Option<T> {
    word.as_ref().map(|word| word.value.clone())
}
