//! The filters that a route gets from its host as a whole: the redirect to https, and HSTS.

use std::sync::{Arc, LazyLock};

use super::claim::{Redirect, When};
use crate::ir::{Filters, Hsts, TlsRedirect};
use crate::settings::CompileOptions;

static HSTS: LazyLock<Arc<str>> = LazyLock::new(|| "max-age=31536000; includeSubDomains".into());

/// The filters of a route that nobody set anything for.
pub(super) fn plain(options: &CompileOptions) -> Filters {
    Filters { hsts: options.https_port.map(|_| Hsts { value: Arc::clone(&HSTS) }), ..Filters::default() }
}

/// The redirect of requests in clear text; `has_tls` says that some Ingress of the host has a `tls` section.
pub(super) fn tls_redirect(redirect: Redirect, has_tls: bool, options: &CompileOptions) -> Option<TlsRedirect> {
    let https_port = options.https_port?;
    let is_redirected = match redirect.when {
        When::Always => true,
        When::Never => false,
        When::WithTls => has_tls,
    };
    // In a cluster the port that clients see is the load balancer's, which is not known here.
    let has_port = redirect.has_port.unwrap_or(options.folder) && https_port != 443;
    is_redirected.then_some(TlsRedirect {
        status: 308,
        port: has_port.then_some(https_port),
        only_from: options.http_port.filter(|_| options.folder),
        keeps_slash: redirect.keeps_slash,
    })
}
