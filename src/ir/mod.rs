//! What the configuration means: plain data between `compile`, which makes it, and `table`, which serves it.
//!
//! Everything here is parsed: no text is left to be parsed later, so building a table cannot fail and the request
//! path parses no configuration. Maps are ordered, so that one snapshot always prints the same bytes.

mod backend;
mod balancing;
mod canary;
mod caching;
mod certificate;
mod compression;
mod edits;
mod filters;
mod front;
mod globals;
mod host;
mod logging;
mod mutual;
pub mod networks;
mod object;
mod password;
mod pattern;
mod problem;
mod rewrite;
mod route;
pub mod text;
mod traces;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use self::backend::{
    Backend, BackendId, BackendKey, Endpoint, EndpointSet, EndpointSets, EndpointSource, PortKey, Protocol, Speech,
    Unready,
};
pub use self::balancing::{
    ActiveCheck, Affinity, Algorithm, Balancing, Cookie, Part, PassiveCheck, Probe, SameSite, Template,
};
pub use self::caching::Caching;
pub use self::canary::{Canary, CanaryRule, HeaderTest};
pub use self::certificate::{Certificate, CertificateOrigin};
pub use self::compression::{Coding, Compression, Tuning};
pub use self::edits::{AnswerAct, AnswerRule, InputEdit, RequestEdits, ResponseEdits};
pub use self::filters::{
    Access, AccessRule, AuthCache, AuthMethod, Basic, Cors, ErrorPages, External, Filters, FixedContent, FixedReply,
    Hsts, LimitBy, Mirror, OriginPattern, Origins, RateLimits, Redirect, SignIn, SlashRedirect, TlsRedirect,
};
pub use self::front::{Alias, Aliases, HostRedirect};
pub use self::globals::{
    Answers, Blocked, Cipher, Clients, Globals, Group, Pattern, Pool, ProxyProtocol, Requests, SetField, Tls, Trust,
};
pub use self::host::HostPattern;
pub use self::logging::{Escape, LineFormat, LogPart, Logging};
pub use self::mutual::{Authorities, BackendTls, ClientAuth, ClientMode, Demand, HostTls, Verified};
pub use self::networks::Networks;
pub use self::object::{Kind, Name, Object, Origin};
pub use self::password::{Password, Users};
pub use self::pattern::{Groups, LARGEST as LARGEST_PATTERN, PathPattern, Regex, SLOW_TEXT, USUAL as USUAL_PATTERN};
pub use self::problem::{Problem, Reason, Severity};
pub use self::rewrite::{Piece, Rewrite, Wording};
pub use self::route::{
    BodyLimit, Pace, PathKind, PathMatch, Policy, Rank, Retry, RetryOn, Route, Target, Timeouts, Upgrade, VirtualHost,
};
pub use self::traces::{Sampler, Traces, Tracing};

/// Everything that is served, compiled from one snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Virtual hosts by pattern. `HostPattern::Any` answers names that no other host owns.
    pub hosts: BTreeMap<HostPattern, Arc<VirtualHost>>,
    /// Further names of the hosts. Shared as `backends`.
    pub aliases: Arc<Aliases>,
    /// Every Service port that a route leads to, and no other. Shared with the configuration before where nothing of it
    /// changed.
    pub backends: Arc<BTreeMap<BackendId, Arc<Backend>>>,
    /// The certificate served for a server name; names without an entry get the default certificate. Shared as `backends`.
    pub certificates: Arc<BTreeMap<HostPattern, Arc<Certificate>>>,
    /// Exact names that get the default certificate even where a wildcard has one: their own cannot be served, or they ask
    /// for it.
    pub defaulted: BTreeSet<HostPattern>,
    /// `--default-ssl-certificate`, if it is set and usable; else the self-made one is served.
    pub default_certificate: Option<Arc<Certificate>>,
    /// What is set for all hosts at once.
    pub globals: Arc<Globals>,
    /// Objects and paths that were considered and are not served, for `explain`.
    pub rejected: Vec<Arc<Rejected>>,
}

/// One thing that somebody asked for and that is not served, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejected {
    /// The host it was meant for.
    pub host: HostPattern,
    /// The path it was meant for, as written; `None` when the whole object was rejected.
    pub path: Option<Arc<str>>,
    /// The object and field.
    pub origin: Origin,
    /// Why, as a sentence part: `class nginx is not ours`.
    pub why: String,
}
