//! Annotations that guard access by what is not here yet, and raw configuration, which often does: each closes the paths.

use super::table::Guard::{Access, Snippet};
use super::table::{Row, both, guards, guards_unless, nginx, ours, tunes_nothing};

pub(super) const ROWS: &[Row] = &[
    nginx("auth-snippet", guards(Snippet)),
    nginx("configuration-snippet", guards(Snippet)),
    ours("connections-per-client", guards_unless("0", Access)),
    both("enable-global-auth", tunes_nothing("there is no global authentication")),
    both("enable-modsecurity", guards_unless("false", Access)),
    both("enable-owasp-core-rules", guards_unless("false", Access)),
    nginx("modsecurity-snippet", guards(Snippet)),
    nginx("modsecurity-transaction-id", guards(Access)),
    nginx("server-snippet", guards(Snippet)),
    nginx("stream-snippet", guards(Snippet)),
];
