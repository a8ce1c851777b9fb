//! Annotations about redirects, paths and hosts.

use super::table::Effect::Honoured;
use super::table::{Row, both, differs, differs_unless};

pub(super) const ROWS: &[Row] = &[
    both("app-root", differs("redirect / in the backend")),
    both("force-ssl-redirect", Honoured(|value, to| value.boolean().map(|is| to.force_ssl_redirect = Some(is))))
        .takes("one of: true, false"),
    both("from-to-www-redirect", differs_unless("false", "add a rule for the other host")),
    both("permanent-redirect", differs("redirect in the backend")),
    both("permanent-redirect-code", differs("redirect in the backend")),
    both("preserve-trailing-slash", differs_unless("false", "the redirect to https cuts one trailing slash")),
    both("relative-redirects", differs_unless("false", "redirects are absolute")),
    both("server-alias", differs("add a rule for each host")),
    both("ssl-redirect", Honoured(|value, to| value.boolean().map(|is| to.ssl_redirect = Some(is))))
        .takes("one of: true, false"),
    both("temporal-redirect", differs("redirect in the backend")),
    both("temporal-redirect-code", differs("redirect in the backend")),
    both("use-port-in-redirects", differs("redirects carry the https port for folders only")),
];
