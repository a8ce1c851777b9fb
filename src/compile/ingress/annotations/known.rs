//! Annotations about answers and logs that are known and not honoured.

use super::table::{Row, both, differs, tunes_nothing};
use crate::ir::Kind;

const FASTCGI: &str = "FastCGI is not spoken to backends";

pub(super) const ROWS: &[Row] = &[
    both("enable-rewrite-log", tunes_nothing("remove it; fairlead explain says how a request is routed")),
    both("fastcgi-index", differs(FASTCGI)),
    both("fastcgi-params-configmap", differs(FASTCGI)).names(Kind::ConfigMap),
    both("http2-push-preload", tunes_nothing("remove it; browsers no longer take pushed answers")),
];
