//! Annotations that guard access by what is not here yet, and raw configuration, which often does: each closes the paths.

use super::table::Guard::{Firewall, Snippet};
use super::table::{Row, both, guards, guards_unless, nginx};

pub(super) const ROWS: &[Row] = &[
    both("enable-modsecurity", guards_unless("false", Firewall)).for_ingress(),
    both("enable-owasp-core-rules", guards_unless("false", Firewall)).for_ingress(),
    nginx("modsecurity-snippet", guards(Snippet)).for_ingress().critical(),
    nginx("modsecurity-transaction-id", guards(Firewall)).for_ingress().high(),
    nginx("stream-snippet", guards(Snippet)).for_ingress().critical(),
];
