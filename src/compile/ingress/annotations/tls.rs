//! Annotations about TLS to clients.

use std::sync::Arc;

use super::table::Effect::Honoured;
use super::table::{Row, both};
use super::value::{Refusal, SWITCH, Value};
use super::{Finding, Settings};
use crate::compile::ciphers;
use crate::compile::ground::Ground;
use crate::ir::Severity;

/// What they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::compile) struct Said {
    /// `ssl-passthrough` is `true`: its full name.
    pub(in crate::compile) passthrough: Option<Arc<str>>,
}

pub(super) const ROWS: &[Row] = &[
    both("ssl-ciphers", Honoured(list))
        .takes("write a list of OpenSSL, as in ECDHE-RSA-AES128-GCM-SHA256:ECDHE+CHACHA20:!aNULL")
        .for_host()
        .does("", "cipher suites of TLS 1.2, in their order; the oldest Ingress of the host that has it counts")
        .unlike("suites without ECDHE and AEAD are not offered"),
    both(
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
    .unlike_for("true", "clients that say nothing of TLS 1.2 or later are refused"),
    both(
        "ssl-prefer-server-ciphers",
        Honoured(|value, to| value.boolean().map(|is| to.front.server_order = Some(value.told(is)))),
    )
    .takes(SWITCH)
    .for_host()
    .does("true", "`false`: of the suites the client's first counts, not ours; the oldest Ingress of the host that has it counts"),
];

fn list(value: &Value<'_>, to: &mut Settings) -> Result<(), Refusal> {
    ciphers::take(value, |suites| to.front.ciphers = Some(value.told(suites)))
}

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
