//! What is set for all hosts at once, in the ConfigMap of `--configmap`.

use std::sync::Arc;
use std::time::Duration;

use super::{Logging, Networks, Regex, Template, Traces};

/// `None` and `Default` everywhere mean that nobody set it; what is done then stands where it is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Globals {
    /// Whose word about a client is taken.
    pub trust: Option<Arc<Trust>>,
    /// Connections begin with a PROXY header.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Who gets 403 on every host.
    pub blocked: Option<Arc<Blocked>>,
    /// The access log.
    pub access_log: Option<Arc<Logging>>,
    /// What is done to requests.
    pub requests: Requests,
    /// What is done to answers.
    pub answers: Option<Arc<Answers>>,
    /// Connections of clients.
    pub clients: Clients,
    /// Idle connections to back ends.
    pub pool: Pool,
    /// TLS to clients.
    pub tls: Tls,
    /// Where spans go.
    pub traces: Traces,
    /// Longest wait for open requests while draining (`worker-shutdown-timeout`).
    pub drain: Option<Duration>,
}

/// Whose `X-Forwarded-*` fields are believed, and which of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Trust {
    /// `proxy-real-ip-cidr`: peers in these are believed.
    pub networks: Networks,
    /// `forwarded-for-header`, in lower case: the field that names the client.
    pub field: Arc<str>,
    /// `forwarded-host-header`, in lower case: the field that names the host.
    pub host_field: Arc<str>,
    /// `use-forwarded-headers`: scheme, host, port and prefix too.
    pub forwarded: bool,
    /// `compute-full-forwarded-for`: send on the whole list, and the peer behind it.
    pub full_chain: bool,
}

impl Trust {
    /// The default `host_field`.
    pub const HOST_FIELD: &'static str = "x-forwarded-host";
}

/// `use-proxy-protocol`.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyProtocol {
    /// Peers in these are believed; the header of others is read and forgotten.
    pub networks: Networks,
    /// `proxy-protocol-header-timeout`: longest wait for the whole header.
    pub time: Duration,
}

/// Who gets 403 on every host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    /// `block-cidrs`.
    pub clients: Option<Networks>,
    /// `block-user-agents`.
    pub agents: Box<[Pattern]>,
    /// `block-referers`.
    pub referers: Box<[Pattern]>,
}

/// What a value is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// An expression that is searched for in it.
    Regex(Regex),
    /// All of it, in any letter case.
    Text(Arc<str>),
}

impl Pattern {
    /// Whether the value is one.
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Pattern::Regex(regex) => regex.is_match(value),
            Pattern::Text(text) => value.eq_ignore_ascii_case(text.as_bytes()),
        }
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        match self {
            Pattern::Regex(regex) => regex.as_str(),
            Pattern::Text(text) => text,
        }
    }
}

/// What is done to every request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requests {
    /// `generate-request-id` is `false`.
    pub no_request_id: bool,
    /// `enable-underscores-in-headers`.
    pub underscores: bool,
    /// `proxy-add-original-uri-header`.
    pub original_uri: bool,
    /// `proxy-set-headers`: in the place of what the client sent under these names.
    pub set: Option<Arc<[SetField]>>,
}

/// A field that is set.
#[derive(Clone, Debug, PartialEq)]
pub struct SetField {
    /// Its name, as written.
    pub name: Arc<str>,
    /// Its value; nothing but literal text if it has no variable. Empty: the field of a request is taken away.
    pub value: Template,
}

/// What is done to every answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// `allow-backend-server-header`.
    pub keeps_server: bool,
    /// `server-tokens`: `Server: fairlead` where the back end's is not kept.
    pub names_us: bool,
    /// `hide-headers`, in lower case: fields of back ends that are not passed on.
    pub hidden: Box<[Arc<str>]>,
    /// `add-headers`, in the place of what the back end sent under the name.
    pub set: Box<[SetField]>,
}

/// Connections of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clients {
    /// `keep-alive`; zero: a connection takes one request.
    pub keep_alive: Option<Duration>,
    /// `keep-alive-requests`.
    pub requests: Option<u64>,
    /// `client-header-timeout`.
    pub head_time: Option<Duration>,
    /// `client-body-timeout`.
    pub body_gap: Option<Duration>,
    /// `large-client-header-buffers`: octets of a line, if that is more than the limit.
    pub line: Option<u64>,
    /// `use-http2` is `false`.
    pub no_http2: bool,
    /// `http2-max-concurrent-streams`.
    pub streams: Option<u32>,
}

/// Idle connections to back ends, for each worker.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pool {
    /// `upstream-keepalive-connections`; zero: none is kept.
    pub connections: Option<usize>,
    /// `upstream-keepalive-timeout`.
    pub idle: Option<Duration>,
    /// `upstream-keepalive-requests`.
    pub requests: Option<u64>,
    /// `upstream-keepalive-time`.
    pub age: Option<Duration>,
}

/// TLS to clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tls {
    /// `ssl-protocols` has no 1.2.
    pub no_tls12: bool,
    /// `ssl-protocols` has no 1.3.
    pub no_tls13: bool,
    /// `ssl-ciphers`: cipher suites of TLS 1.2, in their order.
    pub ciphers: Option<Box<[Cipher]>>,
    /// `ssl-ecdh-curve`: groups for the exchange of keys.
    pub groups: Option<Box<[Group]>>,
    /// `ssl-session-tickets` is `false`.
    pub no_tickets: bool,
    /// `ssl-session-cache` is `false`.
    pub no_cache: bool,
    /// `ssl-reject-handshake`: names that no host has get no certificate.
    pub rejects_unknown: bool,
}

/// A cipher suite of TLS 1.2: ECDHE, with AEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cipher {
    /// As OpenSSL names it.
    pub name: &'static str,
    /// Its number (IANA, "TLS Cipher Suites").
    pub number: u16,
}

impl Cipher {
    /// All of them, in the order in which they are offered where nobody sets one.
    pub const ALL: [Cipher; 6] = [
        Cipher { name: "ECDHE-ECDSA-AES128-GCM-SHA256", number: 0xc02b },
        Cipher { name: "ECDHE-RSA-AES128-GCM-SHA256", number: 0xc02f },
        Cipher { name: "ECDHE-ECDSA-AES256-GCM-SHA384", number: 0xc02c },
        Cipher { name: "ECDHE-ECDSA-CHACHA20-POLY1305", number: 0xcca9 },
        Cipher { name: "ECDHE-RSA-AES256-GCM-SHA384", number: 0xc030 },
        Cipher { name: "ECDHE-RSA-CHACHA20-POLY1305", number: 0xcca8 },
    ];
}

/// A group for the exchange of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// As OpenSSL names it.
    pub name: &'static str,
    /// Its number (IANA, "TLS Supported Groups").
    pub number: u16,
}

impl Group {
    const ALL: [Group; 4] = [
        Group { name: "X25519MLKEM768", number: 0x11ec },
        Group { name: "X25519", number: 0x001d },
        Group { name: "prime256v1", number: 0x0017 },
        Group { name: "secp384r1", number: 0x0018 },
    ];
    /// Other names of these.
    const ALIASES: [(&'static str, &'static str); 3] =
        [("P-256", "prime256v1"), ("secp256r1", "prime256v1"), ("P-384", "secp384r1")];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Group> {
        let alias = Group::ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
        let name = alias.map_or(name, |(_, name)| name);
        Group::ALL.into_iter().find(|group| group.name.eq_ignore_ascii_case(name))
    }
}
