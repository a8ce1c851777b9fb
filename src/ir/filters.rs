//! What happens to a request before and after the upstream.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{BackendId, Networks, RequestEdits, ResponseEdits, Rewrite, Template, Users};

/// One `Option` for each feature. A route that does not use one pays the test of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filters {
    /// Answer requests that came in clear text with a redirect to https.
    pub tls_redirect: Option<TlsRedirect>,
    /// `Strict-Transport-Security` on answers over TLS.
    pub hsts: Option<Hsts>,
    /// Answer a request for the path without its slash at the end with a redirect to the path
    /// (`trailing-slash-redirect`).
    pub slash_redirect: Option<SlashRedirect>,
    /// Send another path upstream, or send the client elsewhere.
    pub rewrite: Option<Arc<Rewrite>>,
    /// Answer every request with this.
    pub reply: Option<Arc<FixedReply>>,
    /// Answer every request with a redirect.
    pub redirect: Option<Arc<Redirect>>,
    /// Answer preflights, and tell browsers which pages may read the answers.
    pub cors: Option<Arc<Cors>>,
    /// How much a client may ask for.
    pub limits: Option<Arc<RateLimits>>,
    /// Who may come in.
    pub access: Option<Arc<Access>>,
    /// `default-backend`: answers where the backend has no endpoint.
    pub fallback: Option<BackendId>,
    /// `custom-http-errors`: whose answer takes the place of errors.
    pub errors: Option<Arc<ErrorPages>>,
    /// `mirror-target`: who gets copies of requests.
    pub mirror: Option<Arc<Mirror>>,
    /// What is changed in requests.
    pub request: Option<Arc<RequestEdits>>,
    /// What is changed in answers.
    pub response: Option<Arc<ResponseEdits>>,
    /// `enable-access-log: false`.
    pub is_silent: bool,
}

impl Filters {
    /// The backends that are asked beside that of the route.
    pub fn backends(&self) -> impl Iterator<Item = &BackendId> {
        let external = self.access.as_ref().and_then(|access| access.external.as_ref());
        let errors = self.errors.as_ref().map(|errors| &errors.backend);
        let mirror = self.mirror.as_ref().map(|mirror| &mirror.backend);
        external.map(|external| &external.backend).into_iter().chain(&self.fallback).chain(errors).chain(mirror)
    }

    /// Whether a request is judged before it goes on.
    pub fn is_guarded(&self) -> bool {
        self.limits.is_some() || self.access.is_some()
    }
}

/// An answer that is always the same but for what a template takes from the request (`return` of nginx).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FixedReply {
    /// 200 to 599.
    pub status: u16,
    /// What is in it.
    pub content: FixedContent,
}

/// What is in a [`FixedReply`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FixedContent {
    /// The page that belongs to the status.
    Page,
    /// `Location`; where it is a path, scheme and host of the request stand before it.
    Location(Template),
    /// A text with its media type.
    Text {
        /// The body.
        text: Template,
        /// `Content-Type`.
        media_type: Arc<str>,
    },
}

/// A redirect from http to https.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsRedirect {
    /// 301, 302, 307 or 308.
    pub status: u16,
    /// The https port to write; `None` when it is 443 or not to be written.
    pub port: Option<u16>,
    /// Redirect only requests whose Host names this port, or none. In a folder: another port says that the client came
    /// through a mapping, and where https is behind that nobody knows, so a redirect would lead nowhere. Not where https is
    /// asked for by force, nor on hosts that ask for certificates of clients: what is served in clear text asks for none.
    pub only_from: Option<u16>,
    /// Keep a slash at the end of the target, which is cut off else (`preserve-trailing-slash`).
    pub keeps_slash: bool,
}

/// A redirect from `p` to the prefix `p/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlashRedirect {
    /// Write the port that the client names.
    pub keeps_port: bool,
}

/// `Strict-Transport-Security` (RFC 6797).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hsts {
    /// The header's value.
    pub value: Arc<str>,
}

/// A redirect of every request (`permanent-redirect`, `temporal-redirect`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redirect {
    /// 300 to 308.
    pub status: u16,
    /// Where to; the query of the request is not added.
    pub location: Arc<str>,
    /// The location is a path, and scheme and host of the request stand before it.
    pub completes: bool,
}

/// Cross-origin requests (WHATWG Fetch, "CORS protocol").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cors {
    /// Who may read answers.
    pub origins: Origins,
    /// `Access-Control-Allow-Methods`.
    pub methods: Arc<str>,
    /// `Access-Control-Allow-Headers`.
    pub headers: Arc<str>,
    /// `Access-Control-Allow-Credentials: true`.
    pub credentials: bool,
    /// `Access-Control-Expose-Headers`.
    pub expose: Option<Arc<str>>,
    /// `Access-Control-Max-Age`, seconds.
    pub max_age: Arc<str>,
}

impl Cors {
    /// The default `methods`.
    pub const METHODS: &'static str = "GET, PUT, POST, DELETE, PATCH, OPTIONS";
    /// The default `headers`.
    pub const HEADERS: &'static str =
        "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization";
    /// The default `max_age`.
    pub const MAX_AGE: &'static str = "1728000";
}

/// The origins of pages that may read answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origins {
    /// `*`.
    Any,
    /// Those that match one of these.
    Listed(Box<[OriginPattern]>),
}

/// An origin, or all that differ in their first label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OriginPattern {
    /// What stands before the label, `https://`; or all of it, in lower case.
    pub start: Arc<str>,
    /// What stands behind the one label that may be anything, `.example.com:8443`; in lower case.
    pub rest: Option<Arc<str>>,
}

/// How much a client may ask for. What it used counts for the Ingress, whatever the path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RateLimits {
    /// `limit-rps`: requests a second.
    pub per_second: Option<u32>,
    /// `limit-rpm`: requests a minute.
    pub per_minute: Option<u32>,
    /// `limit-burst-multiplier`: so many times the rate may come at once.
    pub burst: u32,
    /// `limit-connections`: requests under way.
    pub at_once: Option<u32>,
    /// `connections-per-client`: connections that are open and were used.
    pub connections: Option<u32>,
    /// `limit-scope: cluster`: the rates and `at_once` are those of all replicas together.
    pub is_shared: bool,
    /// `limit-allowlist`: clients without limits.
    pub exempt: Option<Networks>,
    /// Who counts as one client.
    pub by: LimitBy,
    /// Status over a rate.
    pub rate_status: u16,
    /// Status over `at_once`.
    pub at_once_status: u16,
}

/// Who counts as one client (`fairlead.dev/limit-by`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitBy {
    /// An address; of IPv6 the first 64 bits.
    #[default]
    Client,
    /// All together.
    Route,
    /// Equal texts.
    Text(Arc<Template>),
}

/// Who may come in.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// `denylist-source-range`: these clients may not.
    pub denied: Option<Networks>,
    /// `allowlist-source-range`: these clients may, and no other.
    pub allowed: Option<Networks>,
    /// `allow` and `deny` of nginx, where neither list decides: the first that holds the client does.
    pub rules: Box<[AccessRule]>,
    /// `auth-type: basic`: who has a password.
    pub basic: Option<Arc<Basic>>,
    /// `auth-url`: whom else is to be asked.
    pub external: Option<Arc<External>>,
    /// `auth-signin`: where a client is sent that is not known.
    pub sign_in: Option<Arc<SignIn>>,
    /// `satisfy: any`: one of the rules is enough.
    pub any: bool,
}

/// One `allow` or `deny` of nginx.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccessRule {
    /// It lets clients in.
    pub allows: bool,
    /// Which clients it is about; `None`: all.
    pub clients: Option<Networks>,
}

/// A service that says who may come in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct External {
    /// The service.
    pub backend: BackendId,
    /// Its name for `Host`, without port.
    pub host: Arc<str>,
    /// Path and query to ask for.
    pub target: Template,
    /// `auth-method`; `None` = GET.
    pub method: Option<AuthMethod>,
    /// `auth-response-headers`: fields of its answer that the backend gets in place of the client's.
    pub fields: Box<[Arc<str>]>,
    /// `auth-request-redirect`: `X-Auth-Request-Redirect`; `None` = the target of the request.
    pub redirect: Option<Template>,
    /// `auth-proxy-set-headers`: fields for the service.
    pub sends: Box<[(Arc<str>, Template)]>,
    /// `auth-always-set-cookie`: its cookies go to the client whatever the backend answers.
    pub always_cookies: bool,
    /// `auth-cache-key`: its answers are remembered.
    pub cache: Option<AuthCache>,
}

/// The method to ask a service with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuthMethod {
    /// That of the client.
    OfClient,
    /// This one, whatever the client's is.
    Named(Arc<str>),
}

impl fmt::Display for AuthMethod {
    /// As nginx would have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AuthMethod::OfClient => "$request_method",
            AuthMethod::Named(name) => name,
        })
    }
}

/// How long answers of a service are remembered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuthCache {
    /// Requests with the same text get the same answer.
    pub key: Template,
    /// `auth-cache-duration`: statuses with their time.
    pub times: Box<[(Box<[u16]>, Duration)]>,
}

/// Where a client is sent that is not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignIn {
    /// The URL.
    pub url: Template,
    /// The argument that says where the client wanted to go, with `?` or `&` before it and `=` behind it; `None` if the URL
    /// has it.
    pub argument: Option<Arc<str>>,
}

/// Whose answer takes the place of errors.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErrorPages {
    /// Statuses, sorted.
    pub statuses: Box<[u16]>,
    /// Who answers instead.
    pub backend: BackendId,
    /// The backend's own errors too, not only ours (`disable-proxy-intercept-errors`).
    pub intercepts: bool,
}

impl ErrorPages {
    /// Whether an answer of the backend with this status is replaced.
    pub fn replaces(&self, status: u16) -> bool {
        self.intercepts && self.statuses.contains(&status)
    }
}

/// Basic authentication (RFC 7617).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Basic {
    /// Value of `WWW-Authenticate`.
    pub challenge: Arc<str>,
    /// Who may come in.
    pub users: Users,
}

/// Who gets copies of requests. What it answers is thrown away.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mirror {
    /// The service.
    pub backend: BackendId,
    /// `mirror-host`, else its name: `Host` of the copies.
    pub host: Template,
    /// Path and query to ask for.
    pub target: Template,
    /// `mirror-request-body`: with the body.
    pub has_body: bool,
}
