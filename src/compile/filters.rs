//! The filters that routes get from their host: the redirect to https and HSTS.

use std::sync::{Arc, LazyLock};

use super::claim::Redirect;
use crate::ir::{Filters, Hsts, TlsRedirect};
use crate::settings::CompileOptions;

static HSTS: LazyLock<Arc<str>> = LazyLock::new(|| "max-age=31536000; includeSubDomains".into());

/// The filters of a route; `has_tls` says that some Ingress of its host has a `tls` section.
pub(super) fn filters(redirect: Redirect, has_tls: bool, options: &CompileOptions) -> Filters {
    let Some(https_port) = options.https_port else { return Filters { tls_redirect: None, hsts: None } };
    let is_redirected = match redirect {
        Redirect::Always => true,
        Redirect::Never => false,
        Redirect::WithTls => has_tls,
    };
    // In a cluster the port that clients see is the load balancer's, which is not known here.
    let port = (options.folder && https_port != 443).then_some(https_port);
    let only_from = options.http_port.filter(|_| options.folder);
    Filters {
        tls_redirect: is_redirected.then_some(TlsRedirect { status: 308, port, only_from }),
        hsts: Some(Hsts { value: Arc::clone(&HSTS) }),
    }
}
