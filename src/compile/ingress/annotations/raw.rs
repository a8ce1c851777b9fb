//! Annotations that guard access by what is not here yet, and raw configuration, which often does: each closes the paths.

use super::table::Guard::{Access, Authentication, Snippet};
use super::table::{Row, both, guards, guards_unless, nginx, ours, tunes_nothing};
use crate::ir::Kind;

pub(super) const ROWS: &[Row] = &[
    both("auth-always-set-cookie", guards(Authentication)),
    nginx("auth-cache-duration", guards(Authentication)),
    nginx("auth-cache-key", guards(Authentication)),
    both("auth-keepalive", guards(Authentication)),
    both("auth-keepalive-requests", guards(Authentication)),
    both("auth-keepalive-share-vars", guards(Authentication)),
    both("auth-keepalive-timeout", guards(Authentication)),
    both("auth-method", guards(Authentication)),
    both("auth-proxy-set-headers", guards(Authentication)).names(Kind::ConfigMap),
    nginx("auth-request-redirect", guards(Authentication)),
    both("auth-response-headers", guards(Authentication)),
    nginx("auth-signin", guards(Authentication)),
    both("auth-signin-redirect-param", guards(Authentication)),
    nginx("auth-snippet", guards(Snippet)),
    both("auth-tls-error-page", guards(Access)),
    both("auth-tls-match-cn", guards(Access)),
    both("auth-tls-pass-certificate-to-upstream", guards(Access)),
    both("auth-tls-secret", guards(Access)),
    both("auth-tls-verify-client", guards(Access)),
    both("auth-tls-verify-depth", guards(Access)),
    nginx("auth-url", guards(Authentication)),
    nginx("configuration-snippet", guards(Snippet)),
    ours("connections-per-client", guards_unless("0", Access)),
    both("enable-global-auth", tunes_nothing("there is no global authentication")),
    both("enable-modsecurity", guards_unless("false", Access)),
    both("enable-owasp-core-rules", guards_unless("false", Access)),
    both("limit-rate", guards_unless("0", Access)),
    both("limit-rate-after", guards_unless("0", Access)),
    nginx("modsecurity-snippet", guards(Snippet)),
    nginx("modsecurity-transaction-id", guards(Access)),
    nginx("server-snippet", guards(Snippet)),
    nginx("stream-snippet", guards(Snippet)),
];
