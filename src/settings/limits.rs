//! Every limit in time and size with its name and default: the one place where they stand.

use std::time::Duration;

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $name:literal;)*) => {
        /// Limits of the data plane, set by `--limit NAME=VALUE`. Every breach is counted under its name in
        /// `fairlead_limit_hits_total{limit}`.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Limits { $($(#[doc = $doc])+ pub $field: $type,)* }

        impl Default for Limits {
            fn default() -> Self {
                Limits { $($field: $default,)* }
            }
        }

        /// A limit by name, as an index into per-worker counters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(non_camel_case_types, missing_docs, reason = "one variant for each field of Limits, named like it")]
        pub enum Limit { $($field,)* }

        impl Limit {
            /// Every limit, in the order of the table.
            pub const ALL: &'static [Limit] = &[$(Limit::$field,)*];

            /// The name in `--limit` and in the metric.
            pub fn name(self) -> &'static str {
                match self { $(Limit::$field => $name,)* }
            }

            /// One sentence part for `docs/defaults.md`.
            pub fn description(self) -> &'static str {
                match self { $(Limit::$field => concat!($($doc,)+).trim_ascii(),)* }
            }
        }

        impl Limits {
            /// Sets the limit `name` from its text form. Durations are `250ms`, `10s`, `5m`, `1h` or seconds; sizes take
            /// `k`, `m`, `g`; 0 switches an optional limit off. `Err` is one line that says what is wrong.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
                match name {
                    $($name => { self.$field = <$type as LimitValue>::parse(value).map_err(|why| format!("limit {name}: {why}"))?; Ok(()) })*
                    _ => Err(unknown(name)),
                }
            }

            /// Sets what `NAME=VALUE`, or several with commas between, says. `Err` is one line, and some may be set then.
            pub fn set_list(&mut self, text: &str) -> Result<(), String> {
                for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                    let (name, value) =
                        part.split_once('=').ok_or_else(|| format!("{part:?} is not NAME=VALUE, as in head=64k"))?;
                    self.set(name.trim(), value.trim())?;
                }
                Ok(())
            }

            /// The text form of the limit's present value.
            pub fn show(&self, limit: Limit) -> String {
                match limit { $(Limit::$field => LimitValue::show(&self.$field),)* }
            }
        }
    };
}

limits! {
    /// connections, total; 0 = 0.8 × the file limit / 2
    connections: u64 = 0, "connections";
    /// connections for each client address; 0 = off
    connections_per_client: u64 = 0, "connections-per-client";
    /// TLS handshake time
    tls_handshake_time: Duration = Duration::from_secs(10), "tls-handshake-time";
    /// time for the whole request head
    head_time: Duration = Duration::from_secs(10), "head-time";
    /// HTTP/1.1 keep-alive idle
    keep_alive_idle: Duration = Duration::from_secs(75), "keep-alive-idle";
    /// HTTP/2 idle (no streams), then GOAWAY
    h2_idle: Duration = Duration::from_secs(180), "h2-idle";
    /// request body: gap between reads
    body_gap: Duration = Duration::from_secs(60), "body-gap";
    /// request body: minimum rate in bytes a second; 0 = off
    body_min_rate: u64 = 0, "body-min-rate";
    /// response write stall (client does not read)
    write_stall: Duration = Duration::from_secs(60), "write-stall";
    /// upstream connect
    connect_time: Duration = Duration::from_secs(5), "connect-time";
    /// upstream response head
    response_head_time: Duration = Duration::from_secs(60), "response-head-time";
    /// upstream gap between body reads
    response_gap: Duration = Duration::from_secs(60), "response-gap";
    /// upstream write stall
    upstream_write_stall: Duration = Duration::from_secs(60), "upstream-write-stall";
    /// tunnel (after a 101) idle
    tunnel_idle: Duration = Duration::from_secs(3600), "tunnel-idle";
    /// requests for each client connection, ± 10 %
    requests_per_connection: u64 = 10_000, "requests-per-connection";
    /// request line, bytes
    request_line: Size = Size(16 << 10), "request-line";
    /// one field line, bytes
    field_line: Size = Size(16 << 10), "field-line";
    /// request head, bytes
    head: Size = Size(64 << 10), "head";
    /// fields of a request head
    fields: u64 = 128, "fields";
    /// clients that each limit of an Ingress remembers
    limit_keys: u64 = 100_000, "limit-keys";
    /// requests for an Ingress that wait for a password to be compared, for each worker
    password_queue: u64 = 64, "password-queue";
    /// how long a request waits for its turn to have its password compared
    password_time: Duration = Duration::from_secs(5), "password-time";
    /// trailers, bytes
    trailers: Size = Size(8 << 10), "trailers";
    /// trailer fields
    trailer_fields: u64 = 32, "trailer-fields";
    /// chunk-size line, bytes
    chunk_line: Size = Size(256), "chunk-line";
    /// chunk extensions of one message, bytes
    chunk_extensions: Size = Size(16 << 10), "chunk-extensions";
    /// interim (1xx) answers for each request
    interim: u64 = 16, "interim";
    /// response head from upstream, bytes
    response_head: Size = Size(64 << 10), "response-head";
    /// fields of a response head
    response_fields: u64 = 256, "response-fields";
    /// request body, bytes; 0 = unlimited (`proxy-body-size`)
    body: Size = Size(1 << 20), "body";
    /// buffered bytes for each direction and stream
    buffer: Size = Size(64 << 10), "buffer";
    /// copies of requests under way, for each worker (`mirror-target`)
    mirror_copies: u64 = 128, "mirror-copies";
    /// HTTP/2 concurrent streams
    h2_streams: u64 = 128, "h2-streams";
    /// HTTP/2 header list, decoded bytes
    h2_header_list: Size = Size(64 << 10), "h2-header-list";
    /// HTTP/2 resets by the client, or by us for the client's fault, in 10 s
    h2_resets: u64 = 100, "h2-resets";
    /// HTTP/2 control frames in a minute
    h2_control_frames: u64 = 10_000, "h2-control-frames";
    /// HTTP/2 stream window, bytes
    h2_stream_window: Size = Size(256 << 10), "h2-stream-window";
    /// HTTP/2 connection window, bytes
    h2_connection_window: Size = Size(1 << 20), "h2-connection-window";
}

/// Idle upstream connections that one worker keeps.
pub const POOL_IDLE_CONNECTIONS: usize = 320;
/// How long an upstream connection may be idle.
pub const POOL_IDLE_TIME: Duration = Duration::from_secs(60);
/// Requests on one upstream connection.
pub const POOL_REQUESTS: u64 = 10_000;
/// Age of an upstream connection after which it takes no further request.
pub const POOL_AGE: Duration = Duration::from_secs(3600);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// As a length in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

trait LimitValue: Sized {
    fn parse(text: &str) -> Result<Self, String>;
    fn show(&self) -> String;
}

impl LimitValue for u64 {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is not a whole number"))
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl LimitValue for Size {
    fn parse(text: &str) -> Result<Self, String> {
        super::units::size(text).map(Size)
    }
    fn show(&self) -> String {
        super::units::show_size(self.0)
    }
}

impl LimitValue for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        super::units::duration(text)
    }
    fn show(&self) -> String {
        super::units::show_duration(*self)
    }
}

fn unknown(name: &str) -> String {
    let known: Vec<&str> = Limit::ALL.iter().map(|limit| limit.name()).collect();
    format!("no limit is named {name}; the limits are {}", known.join(", "))
}
