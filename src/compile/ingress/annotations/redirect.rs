//! Annotations about redirects, paths and hosts.

use super::table::Effect::Honoured;
use super::table::{Row, both, differs, differs_unless, ours};

pub(super) const ROWS: &[Row] = &[
    both("force-ssl-redirect", Honoured(|value, to| value.boolean().map(|is| to.force_ssl_redirect = Some(is))))
        .takes("one of: true, false"),
    both("permanent-redirect", differs("redirect in the backend")),
    both("permanent-redirect-code", differs("redirect in the backend")),
    both("preserve-trailing-slash", differs_unless("false", "the redirect to https cuts one trailing slash")),
    both("relative-redirects", differs_unless("false", "redirects are absolute")),
    both("ssl-redirect", Honoured(|value, to| value.boolean().map(|is| to.ssl_redirect = Some(is))))
        .takes("one of: true, false"),
    both("temporal-redirect", differs("redirect in the backend")),
    both("temporal-redirect-code", differs("redirect in the backend")),
    both("use-port-in-redirects", differs("redirects carry the https port for folders only")),
    ours("trailing-slash-redirect", Honoured(|value, to| value.boolean().map(|is| to.slash_redirect = Some(is))))
        .takes("one of: true, false"),
];
