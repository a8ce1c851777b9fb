//! Annotations about answers, logs and TLS that are known and not honoured.

use super::table::{Row, both, differs, differs_unless, nginx, ours, tunes_nothing};

const CORS: &str = "have the backend answer CORS requests";
const ERRORS: &str = "errors are answered with a plain page";
const FASTCGI: &str = "FastCGI is not spoken to backends";
const MIRROR: &str = "requests are not copied";
const TRACES: &str = "no spans are sent";

pub(super) const ROWS: &[Row] = &[
    both("connection-proxy-header", differs("connections to backends are kept open")),
    both("cors-allow-credentials", differs(CORS)),
    both("cors-allow-headers", differs(CORS)),
    both("cors-allow-methods", differs(CORS)),
    both("cors-allow-origin", differs(CORS)),
    both("cors-expose-headers", differs(CORS)),
    both("cors-max-age", differs(CORS)),
    both("custom-headers", differs("have the backend set the headers")),
    both("custom-http-errors", differs(ERRORS)),
    both("default-backend", differs(ERRORS)),
    both("disable-proxy-intercept-errors", tunes_nothing("the backend's own errors pass through")),
    both("enable-access-log", differs_unless("true", "every request is logged")),
    both("enable-cors", differs_unless("false", CORS)),
    both("enable-opentelemetry", differs_unless("false", TRACES)),
    both("enable-rewrite-log", tunes_nothing("remove it; fairlead explain says how a request is routed")),
    both("fastcgi-index", differs(FASTCGI)),
    both("fastcgi-params-configmap", differs(FASTCGI)),
    both("http2-push-preload", tunes_nothing("remove it; browsers no longer take pushed answers")),
    both("mirror-host", differs(MIRROR)),
    both("mirror-request-body", differs(MIRROR)),
    nginx("mirror-target", differs(MIRROR)),
    both("opentelemetry-operation-name", differs(TRACES)),
    both("opentelemetry-trust-incoming-span", differs(TRACES)),
    both("ssl-ciphers", differs("cipher suites with AEAD and forward secrecy are offered")),
    both("ssl-passthrough", differs_unless("false", "TLS ends here, with the certificate of spec.tls")),
    both("ssl-prefer-server-ciphers", tunes_nothing("remove it; the server's order always counts")),
    ours("trailing-slash-redirect", differs_unless("false", "a prefix p/ answers for p too")),
    nginx("upstream-vhost", differs("requests keep the client's Host")),
];
