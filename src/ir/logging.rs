//! How the access log is written.

use std::sync::Arc;

/// `log-format-*`, `disable-access-log`, `skip-access-log-urls`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logging {
    /// Nothing is logged.
    pub is_off: bool,
    /// `log-format-upstream`.
    pub format: Option<LineFormat>,
    /// `enable-access-log-for-default-backend`: what no Ingress speaks for is logged too.
    pub unrouted: bool,
    /// Targets whose requests are not logged, without query.
    pub skipped: Box<[Arc<str>]>,
}

/// A line of the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFormat {
    /// Its parts.
    pub parts: Box<[LogPart]>,
    /// How values are escaped.
    pub escape: Escape,
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
            $(#[doc = concat!("`$", $name, "`.")] $variant,)*
        }

        impl LogPart {
            /// The names of the variables that are one thing.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// The variable of this name.
            pub fn named(name: &str) -> Option<LogPart> {
                match name {
                    $($name => Some(LogPart::$variant),)*
                    _ => name.strip_prefix("http_").map(|name| LogPart::Field(name.replace('_', "-").into())),
                }
            }
        }
    };
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
}
