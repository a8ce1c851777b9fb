//! Annotations about answers, logs and TLS that are known and not honoured.

use super::table::{Row, both, differs, differs_unless, tunes_nothing};
use crate::ir::Kind;

const FASTCGI: &str = "FastCGI is not spoken to backends";
const TRACES: &str = "no spans are sent";

pub(super) const ROWS: &[Row] = &[
    both("enable-opentelemetry", differs_unless("false", TRACES)),
    both("enable-rewrite-log", tunes_nothing("remove it; fairlead explain says how a request is routed")),
    both("fastcgi-index", differs(FASTCGI)),
    both("fastcgi-params-configmap", differs(FASTCGI)).names(Kind::ConfigMap),
    both("http2-push-preload", tunes_nothing("remove it; browsers no longer take pushed answers")),
    both("opentelemetry-operation-name", differs(TRACES)),
    both("opentelemetry-trust-incoming-span", differs(TRACES)),
];
