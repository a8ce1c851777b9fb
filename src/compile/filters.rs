//! The filters that a route gets from its host as a whole: the redirect to https, and HSTS.

use super::claim::{Redirect, When};
use super::ground::Ground;
use crate::ir::{Filters, Hsts, TlsRedirect};

/// The filters of a route that nobody set anything for.
pub(super) fn plain(ground: &Ground) -> Filters {
    let hsts = ground.keys.hsts.value().filter(|_| ground.options.https_port.is_some());
    Filters { hsts: hsts.map(|value| Hsts { value }), ..Filters::default() }
}

/// Those of the route for hosts that no Ingress speaks for.
pub(super) fn of_nobody(ground: &Ground) -> Filters {
    let is_logged = ground.globals.access_log.as_ref().is_some_and(|log| log.unrouted);
    Filters { is_silent: !is_logged, ..plain(ground) }
}

/// What a host says of requests in clear text.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClearText {
    /// Some Ingress of it has a `tls` section.
    pub(super) has_tls: bool,
    /// It asks for certificates of clients.
    pub(super) asks_certificates: bool,
}

/// The redirect of requests in clear text.
pub(super) fn tls_redirect(redirect: Redirect, host: ClearText, ground: &Ground) -> Option<TlsRedirect> {
    let options = &ground.options;
    let https_port = options.https_port?;
    let is_redirected = match redirect.when {
        When::Always => true,
        When::Never => false,
        When::WithTls => host.has_tls,
    };
    let is_forced = redirect.when == When::Always || host.asks_certificates;
    // In a cluster the port that clients see is the load balancer's, which is not known here.
    let has_port = redirect.has_port.unwrap_or(options.folder) && https_port != 443;
    is_redirected.then_some(TlsRedirect {
        status: ground.keys.redirect_code,
        port: has_port.then_some(https_port),
        only_from: options.http_port.filter(|_| options.folder && !is_forced),
        keeps_slash: redirect.keeps_slash,
    })
}
