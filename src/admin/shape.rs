//! The JSON of the admin API, as types: what a key means and in which order the keys stand.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Listener;
use super::state::{self, State};
use crate::proxy::balance;
use crate::{ir, live, table};

/// `/api/v1/routes`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Routes {
    /// Generation of the table that is served.
    pub generation: u64,
    /// Once for each listener.
    pub routes: Vec<Route>,
}

/// One path of one host on one listener.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Route {
    /// `https:443`.
    pub listener: String,
    /// As an Ingress writes it; `*` for any.
    pub host: String,
    /// `exact`, `prefix` or `regex`.
    #[serde(rename = "match")]
    pub kind: String,
    /// The path.
    pub path: String,
    /// `shop/api:80`; left out when the path is closed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backend: Option<String>,
    /// The problem that closes the path; left out when it is open.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub closed: Option<String>,
    /// What happens to a request that comes to this listener, in order.
    pub filters: Vec<String>,
    /// Who asked for it.
    pub origin: Origin,
}

/// An object and a field of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Origin {
    /// `Ingress`.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `spec.rules[0].http.paths[1]`; empty, and left out, for the whole object.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub field: String,
}

/// `/api/v1/backends`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Backends {
    /// By name.
    pub backends: Vec<Backend>,
}

/// One Service port with its endpoints.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Backend {
    /// `shop/api:80`.
    pub name: String,
    /// `http1`, `h2c`, `https`, `h2`.
    pub protocol: String,
    /// `least_conn`, `round_robin`.
    pub balance: String,
    /// Present endpoints, draining ones last.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint at this moment.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Endpoint {
    /// `10.0.0.7:8080`.
    pub address: String,
    /// Name of the Pod, when known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pod: Option<String>,
    /// Relative weight.
    pub weight: u32,
    /// `ready`, `draining`, `unhealthy`, `ejected`, `starting`.
    pub state: String,
    /// Why it is in that state, when there is more to say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Since when it is in that state, RFC 3339: since it became known if it was never in another one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<String>,
    /// When it was checked last, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checked: Option<String>,
    /// Requests in flight.
    pub in_flight: u32,
    /// Mean time to the response head, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency_ms: Option<f64>,
}

/// `/api/v1/certificates`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Certificates {
    /// By Secret; the self-made one first.
    pub certificates: Vec<Certificate>,
}

/// One certificate: names and dates, never keys.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Certificate {
    /// DNS names that it covers.
    pub names: Vec<String>,
    /// `shop/tls`; left out for the one made at start.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<String>,
    /// Hexadecimal.
    pub serial: String,
    /// RFC 3339.
    pub not_before: String,
    /// RFC 3339.
    pub not_after: String,
    /// Hosts that it is served for.
    pub hosts: Vec<String>,
    /// Whether it is served for every other name.
    pub default: bool,
}

/// `/api/v1/problems`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Problems {
    /// In the order of every printed list.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with one object.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Problem {
    /// The object to blame.
    pub object: Object,
    /// `error`, `warning`, `info`.
    pub severity: String,
    /// Stable reason.
    pub reason: String,
    /// The field concerned; empty, and left out, for the whole object.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Since when it stands, RFC 3339; left out where nothing is running.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<String>,
}

/// An object and where it was read.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Object {
    /// `Ingress`.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects and files.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// File, in folder mode.
    pub file: Option<String>,
    /// Line in that file.
    pub line: Option<u32>,
}

/// `/api/v1/explain`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Explanation {
    /// Status of the answer, as far as it is decided here; 200 stands for what the backend says, 0 for no answer.
    pub status: u16,
    /// Who answers.
    pub answer: Answer,
    /// The route that answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub route: Option<Route>,
    /// The backend that answers in place of the route's: its canary, or its default backend.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backend: Option<String>,
    /// Endpoints of the backend that answers; not those of its canary as long as a draw decides between the two.
    pub endpoints: Vec<Endpoint>,
    /// Decisions, in order.
    pub steps: Vec<Step>,
    /// Routes of the same host that do not answer: those that match, nearest first, then others.
    pub lost: Vec<Lost>,
    /// How many further ones are not listed; left out when all are.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub more_lost: usize,
    /// Objects that asked for this host and are not served.
    pub rejected: Vec<Rejected>,
}

/// Who answers a request.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// We do, with an error.
    Refused,
    /// We do, as asked: a redirect.
    Replied,
    /// A backend.
    Routed,
}

/// One stage of a decision.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Step {
    /// `listener`, `method`, `host`, `path`, `filters`, `backend`, `endpoint`.
    pub stage: String,
    /// What was decided.
    pub text: String,
}

/// A candidate that lost.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Lost {
    /// The route.
    pub route: Route,
    /// Why: `shorter prefix`.
    pub why: String,
}

/// An object, or a part of it, that is not served.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Rejected {
    /// The object and field.
    pub origin: Origin,
    /// Why: `class nginx is not ours`.
    pub why: String,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Route {
    /// The route of `rule` on `listener`.
    pub fn new(listener: &Listener, host: &ir::HostPattern, rule: &ir::Route) -> Route {
        let (backend, closed) = match &rule.target {
            ir::Target::Backend(id) => (Some(id.to_string()), None),
            ir::Target::Closed(reason) => (None, Some(reason.to_string())),
            ir::Target::NotFound => (None, None),
        };
        Route {
            listener: listener.to_string(),
            host: host.to_string(),
            kind: rule.path.kind.as_str().to_owned(),
            path: rule.path.path.to_string(),
            backend,
            closed,
            filters: filters(&rule.filters, listener.is_tls()).map(str::to_owned).collect(),
            origin: Origin::new(&rule.origin),
        }
    }

    /// The same of TLS that is passed on unopened by `rule`: nothing acts on requests.
    pub fn passed_on(listener: &Listener, host: &ir::HostPattern, rule: &ir::Route) -> Route {
        Route { filters: vec!["ssl-passthrough".to_owned()], ..Route::new(listener, host, rule) }
    }
}

/// The names of the filters that act on requests in clear text, or on those over TLS, in the order in which they act.
fn filters(filters: &ir::Filters, is_tls: bool) -> impl Iterator<Item = &'static str> {
    let ir::Filters {
        tls_redirect,
        hsts,
        slash_redirect,
        reply,
        redirect,
        rewrite,
        cors,
        limits,
        access,
        fallback,
        errors,
        mirror,
        request,
        response,
        is_silent,
    } = filters;
    let on = [
        (slash_redirect.is_some(), "slash-redirect"),
        (cors.is_some(), "enable-cors"),
        (reply.is_some(), "return"),
        (redirect.is_some(), "redirect"),
        (rewrite.is_some(), "rewrite"),
        (tls_redirect.is_some() && !is_tls, "ssl-redirect"),
        (limits.is_some(), "limits"),
        (access.as_ref().is_some_and(|access| access.denied.is_some()), "denylist-source-range"),
        (access.as_ref().is_some_and(|access| access.allowed.is_some()), "allowlist-source-range"),
        (access.as_ref().is_some_and(|access| !access.rules.is_empty()), "allow-deny"),
        (access.as_ref().is_some_and(|access| access.basic.is_some()), "auth-type"),
        (access.as_ref().is_some_and(|access| access.external.is_some()), "auth-url"),
        (fallback.is_some(), "default-backend"),
        (errors.is_some(), "custom-http-errors"),
        (mirror.is_some(), "mirror-target"),
        (request.is_some(), "request-headers"),
        (response.is_some(), "response-headers"),
        (*is_silent, "enable-access-log"),
        (hsts.is_some() && is_tls, "hsts"),
    ];
    on.into_iter().filter_map(|(is_on, name)| is_on.then_some(name))
}

impl Origin {
    /// The JSON form of an origin.
    pub fn new(origin: &ir::Origin) -> Origin {
        Origin {
            kind: origin.object.kind.as_str().to_owned(),
            namespace: origin.object.name.namespace.to_string(),
            name: origin.object.name.name.to_string(),
            field: origin.field.to_string(),
        }
    }
}

impl Backend {
    /// A backend with its endpoints of this moment.
    pub fn new(backend: &table::BackendRef) -> Backend {
        Backend {
            name: backend.settings.id.to_string(),
            protocol: backend.settings.protocol.as_str().to_owned(),
            balance: backend.settings.balancing.algorithm.as_str().to_owned(),
            endpoints: endpoints(backend, &backend.live.endpoints.load()),
        }
    }
}

/// The endpoints of a backend at this moment, `set`, those of other zones and then draining ones last.
pub fn endpoints(backend: &table::BackendRef, set: &live::EndpointSet) -> Vec<Endpoint> {
    let (balancing, live) = (&backend.settings.balancing, &backend.live);
    let clock = Clock::read();
    let minded = balance::minded(balancing, set);
    let shape = |endpoint: &live::Endpoint, state, reason| Endpoint {
        address: endpoint.text.to_string(),
        pod: endpoint.pod().map(|pod| pod.to_string()),
        weight: endpoint.base(),
        state: State::as_str(state).to_owned(),
        reason,
        since: state::since(state, balancing, live, set, endpoint).map(|moment| clock.print(moment)),
        checked: live.last_check(endpoint).map(|moment| clock.print(moment)),
        in_flight: endpoint.in_flight.load(Ordering::Relaxed),
        latency_ms: endpoint.latency().map(|latency| (latency.as_secs_f64() * 1e4).round() / 10.0),
    };
    let candidate = |endpoint: &Arc<live::Endpoint>| {
        let state = state::of_candidate(balancing, live, endpoint);
        let reason = state::reason(state, balancing, live, minded, endpoint);
        let reason = if set.is_last_resort { state::reason_as_last_resort(state, reason) } else { reason };
        shape(endpoint, state, reason)
    };
    let elsewhere = |endpoint: &Arc<live::Endpoint>| {
        let state = state::of_elsewhere(balancing, live, endpoint);
        shape(endpoint, state, Some(state::reason_elsewhere(state, balancing, live, endpoint)))
    };
    let draining = |endpoint: &Arc<live::Endpoint>| {
        let state = State::Draining;
        shape(endpoint, state, state::reason(state, balancing, live, minded, endpoint))
    };
    let candidates = set.candidates.iter().map(candidate);
    candidates.chain(set.elsewhere.iter().map(elsewhere)).chain(set.draining.iter().map(draining)).collect()
}

/// Both clocks at one moment: moments are kept on the monotonic one and printed in the time of day.
struct Clock {
    now: Instant,
    /// Since the epoch.
    time: Duration,
}

impl Clock {
    fn read() -> Clock {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { now: Instant::now(), time }
    }

    fn print(&self, moment: Instant) -> String {
        let second = self.time.saturating_sub(self.now.saturating_duration_since(moment)).as_secs();
        time(i64::try_from(second).unwrap_or(i64::MAX))
    }
}

impl Problem {
    /// A problem that stands since `since`, in seconds since the epoch.
    pub fn new(problem: &ir::Problem, since: Option<i64>) -> Problem {
        Problem {
            object: Object::new(&problem.object),
            severity: problem.severity.as_str().to_owned(),
            reason: problem.reason.to_string(),
            field: problem.field.clone(),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
            since: since.map(time),
        }
    }
}

impl Object {
    /// The JSON form of an object.
    pub fn new(object: &ir::Object) -> Object {
        Object {
            kind: object.kind.as_str().to_owned(),
            namespace: object.name.namespace.to_string(),
            name: object.name.name.to_string(),
            file: object.file.as_ref().map(ToString::to_string),
            line: object.line,
        }
    }
}

/// RFC 3339 in UTC, from seconds since the epoch.
pub fn time(second: i64) -> String {
    jiff::Timestamp::from_second(second).unwrap_or_default().to_string()
}
