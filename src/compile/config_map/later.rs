//! Keys that are not honoured in this version, so that something is served differently from what they ask for.

use super::table::{Row, later};

const LOG: &str = "logs go to standard output and standard error";
const SOCKETS: &str = "sockets are open before a ConfigMap is read: use --bind-address (for IPv4 alone, 0.0.0.0)";
const STREAMS: &str = "TCP and UDP are not proxied";

pub(super) const ROWS: &[Row] = &[
    later("bind-address", "", SOCKETS),
    later("disable-ipv6", "false", SOCKETS),
    later("disable-stream-access-log", "false", LOG),
    later("enable-auth-access-log", "false", "requests to the service of auth-url have no lines of their own"),
    later("enable-ocsp", "false", "no answers about revocation are stapled"),
    later("enable-syslog", "false", LOG),
    later("error-log-level", "notice", "use --log-level"),
    later("ignore-invalid-headers", "true", "a name that is no token is refused with 400"),
    later("log-format-stream", "[client] [time] protocol status bytes-sent bytes-received session-time", LOG),
    later("proxy-stream-next-upstream", "true", STREAMS),
    later("proxy-stream-next-upstream-timeout", "600s", STREAMS),
    later("proxy-stream-next-upstream-tries", "3", STREAMS),
    later("proxy-stream-responses", "1", STREAMS),
    later("proxy-stream-timeout", "600s", STREAMS),
    later("ssl-session-ticket-key", "", "each process makes its own ticket keys, new every six hours"),
    later("ssl-session-timeout", "10m", "tickets are good for six hours at least"),
    later("stream-access-log-path", "", LOG),
    later("syslog-host", "", LOG),
    later("syslog-port", "514", LOG),
];
