//! Annotations about TLS to clients.

use std::sync::Arc;

use super::Finding;
use super::table::Effect::Honoured;
use super::table::{Row, both};
use super::value::SWITCH;
use crate::compile::ground::Ground;
use crate::ir::Severity;

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `ssl-passthrough` is `true`: its full name.
    pub(in crate::compile) passthrough: Option<Arc<str>>,
}

pub(super) const ROWS: &[Row] = &[both(
    "ssl-passthrough",
    Honoured(|value, to| value.boolean().map(|is| to.tls.passthrough = is.then(|| Arc::clone(value.full)))),
)
.takes(SWITCH)
.for_host()
.does(
    "false",
    "with `--enable-ssl-passthrough`: connections that name the host are passed on unopened to the Service of its path \
     `/`, if any Ingress of the host says so",
)
.unlike_for("true", "clients that say nothing of TLS 1.2 or later are refused")];

impl Said {
    /// Forgets what only a flag allows. `Some`: what is to be said of it, and of which annotation.
    pub(super) fn settle(&mut self, ground: &Ground) -> Option<(Arc<str>, Finding)> {
        if ground.options.ssl_passthrough {
            return None;
        }
        let message = "ssl-passthrough is not honoured: TLS ends here, with the certificate of spec.tls".to_owned();
        let hint = "start with --enable-ssl-passthrough, or remove it";
        Some((self.passthrough.take()?, Finding::ignored(Severity::Warning, message, hint)))
    }
}
