//! How the access log is written.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Pattern;

/// `log-format-*`, `disable-access-log`, `skip-access-log-urls`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logging {
    /// Nothing is logged.
    pub is_off: bool,
    /// `log-format-upstream`.
    pub format: Option<LineFormat>,
    /// The format is that of the default line of text, whose values are escaped in another way: what is written in JSON stays
    /// as it is.
    pub is_default: bool,
    /// `enable-access-log-for-default-backend`: what no Ingress speaks for is logged too.
    pub unrouted: bool,
    /// `skip-access-log-urls`: path and query of requests that are not logged.
    pub skipped: Box<[Pattern]>,
}

/// A line of the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFormat {
    /// Its parts.
    pub parts: Box<[LogPart]>,
    /// How values are escaped.
    pub escape: Escape,
    /// The fields of answers that it names as the client gets them, in lower case.
    pub sent: Box<[Arc<str>]>,
    /// Those that it names as back ends send them.
    pub received: Box<[Arc<str>]>,
}

impl LineFormat {
    /// The line of these parts.
    pub fn new(parts: Box<[LogPart]>, escape: Escape) -> LineFormat {
        let (mut sent, mut received) = (BTreeSet::new(), BTreeSet::new());
        for part in &parts {
            match part {
                LogPart::Sent(name) => sent.insert(Arc::clone(name)),
                LogPart::Received(name) => received.insert(Arc::clone(name)),
                _ => false,
            };
        }
        LineFormat { parts, escape, sent: sent.into_iter().collect(), received: received.into_iter().collect() }
    }
}

/// How the values of variables are escaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// `\xNN`; what is absent is `-`.
    #[default]
    Hex,
    /// As the inside of a JSON string; what is absent is empty.
    Json,
    /// Not at all; what is absent is empty.
    Raw,
}

macro_rules! variables {
    ($($variant:ident $name:literal)*) => {
        /// A part of a line.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum LogPart {
            /// Stands as it is.
            Text(Arc<str>),
            /// A field of the request, in lower case with hyphens: `$http_NAME`.
            Field(Arc<str>),
            /// A field of the answer as the client gets it: `$sent_http_NAME`.
            Sent(Arc<str>),
            /// A field of the answer as the back end sends it: `$upstream_http_NAME`.
            Received(Arc<str>),
            /// `$cookie_NAME`.
            Cookie(Arc<str>),
            /// `$arg_NAME`.
            Argument(Arc<str>),
            $(#[doc = concat!("`$", $name, "`.")] $variant,)*
        }

        impl LogPart {
            /// The names of the variables that are one thing.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// The variable of this name, which is in lower case.
            pub fn named(name: &str) -> Option<LogPart> {
                match name {
                    $($name => Some(LogPart::$variant),)*
                    _ => LogPart::of_a_name(name),
                }
            }
        }
    };
}

impl LogPart {
    /// How the names of variables begin whose rest is the name of something.
    pub const BEGINNINGS: [&str; 5] = ["http_", "sent_http_", "upstream_http_", "cookie_", "arg_"];

    fn of_a_name(name: &str) -> Option<LogPart> {
        let (begin, rest) = Self::BEGINNINGS.iter().find_map(|begin| Some((*begin, name.strip_prefix(begin)?)))?;
        let field = || rest.replace('_', "-").into();
        (!rest.is_empty()).then(|| match begin {
            "sent_http_" => LogPart::Sent(field()),
            "upstream_http_" => LogPart::Received(field()),
            "cookie_" => LogPart::Cookie(rest.into()),
            "arg_" => LogPart::Argument(rest.into()),
            _ => LogPart::Field(field()),
        })
    }
}

variables! {
    RemoteAddr "remote_addr"
    ForwardedFor "proxy_add_x_forwarded_for"
    RemoteUser "remote_user"
    TimeLocal "time_local"
    TimeIso "time_iso8601"
    Msec "msec"
    Request "request"
    RequestMethod "request_method"
    RequestUri "request_uri"
    Uri "uri"
    Args "args"
    Scheme "scheme"
    Host "host"
    ServerProtocol "server_protocol"
    Status "status"
    BodyBytesSent "body_bytes_sent"
    RequestLength "request_length"
    RequestTime "request_time"
    UpstreamName "proxy_upstream_name"
    AlternativeUpstreamName "proxy_alternative_upstream_name"
    UpstreamAddr "upstream_addr"
    UpstreamLength "upstream_response_length"
    UpstreamTime "upstream_response_time"
    UpstreamStatus "upstream_status"
    RequestId "req_id"
    Namespace "namespace"
    IngressName "ingress_name"
    ServiceName "service_name"
    ServicePort "service_port"
    TlsVersion "ssl_protocol"
    ServerName "ssl_server_name"
    Failure "failure_reason"
    Authority "best_http_host"
    Connection "connection"
    ConnectionRequests "connection_requests"
    Hostname "hostname"
    RulePath "location_path"
    RemotePort "remote_port"
    Completion "request_completion"
    ServerAddr "server_addr"
    ServerPort "server_port"
    Cipher "ssl_cipher"
    ConnectTime "upstream_connect_time"
    HeaderTime "upstream_header_time"
}
