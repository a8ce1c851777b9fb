//! The filters that routes get from their host: the redirect to https and HSTS.

use std::sync::{Arc, LazyLock};

use super::claim::Redirect;
use crate::ir::{Filters, Hsts, TlsRedirect};
use crate::settings::CompileOptions;

static HSTS: LazyLock<Arc<str>> = LazyLock::new(|| "max-age=31536000; includeSubDomains".into());

/// The filters of a route that nobody set anything for.
pub(super) fn plain(options: &CompileOptions) -> Filters {
    let hsts = options.https_port.map(|_| Hsts { value: Arc::clone(&HSTS) });
    Filters { tls_redirect: None, hsts, slash_redirect: None, rewrite: None }
}

/// The filters that an Ingress asks for with what its host adds; `has_tls` says that some Ingress of it has a `tls`
/// section.
pub(super) fn settle(own: &Filters, redirect: Redirect, has_tls: bool, options: &CompileOptions) -> Filters {
    let is_redirected = match redirect {
        Redirect::Always => true,
        Redirect::Never => false,
        Redirect::WithTls => has_tls,
    };
    let tls_redirect = options.https_port.filter(|_| is_redirected).map(|https_port| TlsRedirect {
        status: 308,
        // In a cluster the port that clients see is the load balancer's, which is not known here.
        port: (options.folder && https_port != 443).then_some(https_port),
        only_from: options.http_port.filter(|_| options.folder),
    });
    Filters { tls_redirect, ..own.clone() }
}
