//! What several Ingresses ask for on one host, and of one backend, into one answer: the oldest wins.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::affinity::affinity;
use super::age::Age;
use super::balancing::{balancing, unheeded};
use super::canary;
use super::claim::{BackendClaim, CanaryClaim, HostClaim, Redirect, RouteClaim, problem};
use super::filters::{ClearText, of_nobody, plain, tls_redirect};
use super::front::{self, Names};
use super::ground::Ground;
use super::host_rules;
use super::ingress::default_policy;
use super::names;
use super::passthrough;
use super::said::{AskedTls, Decided};
use super::shared::Shared;
use crate::ir::{
    Backend, BackendId, BackendTls, Certificate, EndpointSource, Filters, HostPattern, HostTls, Origin, PathKind,
    PathMatch, PathPattern, Problem, Protocol, Reason, Rejected, Route, Severity, Speech, Target, VirtualHost,
};

/// One host with everything that was decided about it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MergedHost {
    /// Its routes.
    pub(super) host: Arc<VirtualHost>,
    /// Its certificate.
    pub(super) certificate: Choice,
    /// Conflicts.
    pub(super) problems: Vec<Problem>,
    /// Who lost.
    pub(super) rejected: Vec<Arc<Rejected>>,
    /// Further names that it asks for.
    pub(super) names: Option<Names>,
    /// Canaries by the backends beside which they stand.
    pub(super) canaries: Vec<(BackendId, Arc<Age>, Arc<CanaryClaim>)>,
}

/// Which certificate a host gets.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    /// The default one, be it asked for or because its own cannot be served.
    Default,
    /// That of its Secret.
    Own(Arc<Certificate>),
    /// Nobody says: that of a wildcard host which means it, else the default one.
    Unsaid,
}

/// What a request for no declared path gets where no Ingress of the host says it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fallback {
    /// A backend (`--default-backend-service`) or 404.
    pub(super) target: Target,
    /// The flag that names it.
    pub(super) origin: Origin,
}

/// Merges claims on one host and what canaries ask for there, oldest first. Routes that are equal to those of `previous` are the same `Arc`.
pub(super) fn host<'a>(
    pattern: &HostPattern,
    (claims, canaries): (
        impl Iterator<Item = &'a Arc<HostClaim>> + Clone,
        impl Iterator<Item = (&'a Arc<Age>, &'a Arc<CanaryClaim>)>,
    ),
    fallback: &Fallback,
    ground: &Ground,
    shared: &mut Shared,
    previous: Option<&VirtualHost>,
) -> MergedHost {
    let mut merge = Merge {
        clear_text: ClearText {
            has_tls: claims.clone().any(|claim| claim.has_tls),
            asks_certificates: claims
                .clone()
                .filter_map(|claim| claim.front.as_ref())
                .any(|own| own.client_auth.is_some()),
        },
        ground,
        shared,
        taken: BTreeMap::new(),
        losers: Vec::new(),
        problems: Vec::new(),
    };
    for is_catch_all in [false, true] {
        for claim in claims.clone() {
            for route in claim.routes.iter().filter(|route| route.is_catch_all == is_catch_all) {
                merge.take(route);
            }
        }
    }
    merge.root(pattern, claims.clone().next(), fallback);
    let (mut attached, mut alone) = (Vec::new(), Vec::new());
    for (age, claim) in canaries {
        let beside = claim.paths.iter().find_map(|path| merge.taken.get(path)).filter(|taken| !taken.route.implicit);
        match beside.map(|taken| &taken.route.target) {
            Some(Target::Backend(main)) => attached.push((main.clone(), Arc::clone(age), Arc::clone(claim))),
            // Why it answers nobody was told.
            Some(Target::Closed(_)) => {}
            Some(Target::NotFound) | None => alone.push(canary::alone(pattern, claim)),
        }
    }
    let owner = claims.clone().next().map(|claim| Arc::clone(&claim.origin.object.name.namespace));
    let fronts = claims.clone().filter_map(|claim| Some((&claim.origin.object, claim.front.as_ref()?)));
    let mut front = front::decide(owner.as_ref(), fronts, &mut merge.problems);
    let passthrough = front.passthrough.and_then(|asked| merge.passthrough(pattern, asked));
    let (certificate, problems) = certificate(pattern, claims);
    merge.problems.extend(problems);
    let mut rejected = Vec::new();
    for (lonely, why) in alone {
        merge.problems.push(lonely);
        rejected.push(Arc::new(why));
    }
    for (loser, winner) in &merge.losers {
        let (conflict, shadowed) = shadowed(pattern, loser, winner);
        merge.problems.push(conflict);
        rejected.push(Arc::new(shadowed));
    }
    let mut routes = if merge.taken.values().any(|taken| taken.is_regex) {
        merge.regexes(pattern)
    } else {
        let mut routes: Vec<_> = std::mem::take(&mut merge.taken).into_values().map(|taken| taken.route).collect();
        routes.sort_by(|a, b| place(&a.path).cmp(&place(&b.path)));
        routes
    };
    let problems = merge.problems;
    let is_within =
        |route: &Route| front.reach.as_ref().is_none_or(|namespace| route.origin.object.name.namespace == *namespace);
    let of_all = host_rules::of(front.rules.as_deref().filter(|_| front.reach.is_none()), ground);
    if let Some(rules) = &of_all {
        host_rules::apply(rules, &mut routes, shared, |route| front.reach.is_none() || !is_within(route));
    }
    if front.reach.is_some()
        && let Some(rules) = host_rules::of(front.rules.as_deref(), ground)
    {
        host_rules::apply(&rules, &mut routes, shared, is_within);
    }
    // nginx answers before it looks for a path.
    front.app_root = front.app_root.filter(|_| of_all.is_none_or(|rules| rules.reply.is_none()));
    if let Some(previous) = previous {
        share(&mut routes, &previous.routes);
    }
    let host = VirtualHost {
        host: pattern.clone(),
        routes,
        redirect: front.app_root,
        client_auth: front.client_auth.map(|auth| shared.client_auth(auth)),
        tls: (front.tls != HostTls::default()).then(|| shared.host_tls(front.tls)),
        passthrough,
    };
    MergedHost { host: Arc::new(host), certificate, problems, rejected, names: front.names, canaries: attached }
}

/// The host of all unknown names where no Ingress speaks for it: everything goes to the default backend.
pub(super) fn unclaimed(fallback: &Fallback, ground: &Ground, shared: &mut Shared) -> VirtualHost {
    let policy = shared.policy(default_policy(ground));
    let mut routes = vec![Arc::new(Route {
        path: PathMatch { kind: PathKind::Prefix, path: "/".into() },
        implicit: true,
        origin: fallback.origin.clone(),
        target: fallback.target.clone(),
        port: None,
        speech: None,
        filters: shared.filters(of_nobody(ground)),
        policy,
    })];
    if let Some(rules) = host_rules::of(None, ground) {
        host_rules::apply(&rules, &mut routes, shared, |_| true);
    }
    VirtualHost { host: HostPattern::Any, routes, redirect: None, client_auth: None, tls: None, passthrough: None }
}

struct Merge<'a> {
    clear_text: ClearText,
    ground: &'a Ground,
    shared: &'a mut Shared,
    taken: BTreeMap<PathMatch, Taken>,
    losers: Vec<(RouteClaim, Arc<Route>)>,
    problems: Vec<Problem>,
}

/// A path that nobody older asked for.
struct Taken {
    route: Arc<Route>,
    /// As written.
    written: Arc<str>,
    /// It is a regular expression.
    is_regex: bool,
    /// It would take too much memory.
    is_costly: bool,
    /// How many paths were taken before.
    number: usize,
}

impl Merge<'_> {
    fn take(&mut self, claim: &RouteClaim) {
        if let Some(winner) = self.taken.get(&claim.route.path) {
            self.losers.push((claim.clone(), Arc::clone(&winner.route)));
            return;
        }
        let filters = self.redirected(&claim.route.filters, claim.redirect);
        let route = if claim.route.filters == filters {
            Arc::clone(&claim.route)
        } else {
            Arc::new(Route { filters, ..Route::clone(&claim.route) })
        };
        self.enter(route, &claim.written, claim.is_regex, claim.is_costly);
    }

    fn enter(&mut self, route: Arc<Route>, written: &Arc<str>, is_regex: bool, is_costly: bool) {
        let taken = Taken { written: Arc::clone(written), is_regex, is_costly, number: self.taken.len(), route };
        self.taken.insert(taken.route.path.clone(), taken);
    }

    /// Where TLS goes that is passed on unopened.
    fn passthrough(&mut self, pattern: &HostPattern, asked: passthrough::Asked<'_>) -> Option<Arc<Route>> {
        let Merge { clear_text, taken, shared, problems, .. } = self;
        let is_guarded = clear_text.asks_certificates || taken.values().any(|taken| taken.route.filters.is_guarded());
        let route = |path: &PathMatch| taken.get(path).map(|taken| &taken.route);
        passthrough::route(pattern, asked, route, is_guarded, shared, problems)
    }

    /// The routes as regular expressions in the order in which ingress-nginx tries them: the longest text first, of equally
    /// long ones the last in the alphabet. What is no regular expression is taken for one as it stands.
    fn regexes(&mut self, host: &HostPattern) -> Vec<Arc<Route>> {
        let mut taken: Vec<&Taken> = self.taken.values().collect();
        taken.sort_by_key(|taken| (Reverse(taken.written.len()), Reverse(&taken.written), taken.number));
        let mut routes = Vec::with_capacity(taken.len());
        for Taken { route, is_regex, is_costly, .. } in taken {
            let exact = PathMatch { kind: PathKind::Exact, path: Arc::clone(&route.path.path) };
            let is_prefix = route.path.kind == PathKind::Prefix && !is_regex;
            let text = &route.path.path;
            // The exact path belongs to another route: what is below it is left.
            let text = match is_prefix && !text.ends_with('/') && self.taken.contains_key(&exact) {
                true => format!("{text}/").into(),
                false => Arc::clone(text),
            };
            let compiled = match is_costly {
                true => Err("with the other paths of its Ingress it takes too much memory".into()),
                false => self.shared.pattern(&text),
            };
            let (pattern, fault) = match compiled {
                Ok(pattern) => (pattern, None),
                Err(why) => (PathPattern::beginning(&text), Some(why)),
            };
            let mut route = Route::clone(route);
            if let Some(why) = fault {
                self.problems.push(uncompiled(host, &route.origin, &pattern, &why));
                route.target = Target::Closed(Reason::RegexInvalid);
                route.filters = self.shared.filters(plain(self.ground));
            }
            route.path = PathMatch { kind: PathKind::Regex(pattern), path: text };
            routes.push(Arc::new(route));
        }
        routes
    }

    /// The filters with the redirect to https that is due on this host.
    fn redirected(&mut self, filters: &Arc<Filters>, redirect: Redirect) -> Arc<Filters> {
        let tls_redirect = tls_redirect(redirect, self.clear_text, self.ground);
        if filters.tls_redirect == tls_redirect {
            return Arc::clone(filters);
        }
        self.shared.filters(Filters { tls_redirect, ..Filters::clone(filters) })
    }

    /// The root that a host has until some Ingress declares `/`; the host's first Ingress decides what it does.
    fn root(&mut self, pattern: &HostPattern, first: Option<&Arc<HostClaim>>, fallback: &Fallback) {
        let path = PathMatch { kind: PathKind::Prefix, path: "/".into() };
        let Some(first) = first else { return };
        if self.taken.contains_key(&path) {
            return;
        }
        let root = &first.root;
        let is_silent = *pattern == HostPattern::Any && root.own.is_none();
        let target = match root.own.as_ref().map_or(&fallback.target, |own| &own.target) {
            Target::NotFound => Target::NotFound,
            target @ (Target::Backend(_) | Target::Closed(_)) => {
                root.closed.map_or_else(|| target.clone(), Target::Closed)
            }
        };
        let origin = match (&root.own, is_silent && target != Target::NotFound) {
            (Some(_), _) => Origin { field: Route::DEFAULT_BACKEND.into(), ..first.origin.clone() },
            (None, true) => fallback.origin.clone(),
            (None, false) => first.origin.clone(),
        };
        let redirect = if matches!(target, Target::Closed(_)) { Redirect::NEVER } else { root.redirect };
        let filters = self.redirected(&root.filters, redirect);
        let (port, speech) = root.own.as_ref().map(|own| (own.port.clone(), own.speech.clone())).unwrap_or_default();
        let policy = Arc::clone(&root.policy);
        let mut route = Route { path: path.clone(), implicit: true, origin, target, port, speech, filters, policy };
        let mut filters = Filters::clone(&route.filters);
        names::fill(&mut filters, &route);
        route.filters = self.shared.filters(filters);
        self.enter(Arc::new(route), &path.path, false, false);
    }
}

/// What is said of a path that cannot be compiled.
fn uncompiled(host: &HostPattern, origin: &Origin, pattern: &PathPattern, why: &str) -> Problem {
    problem(
        &origin.object,
        Severity::Error,
        Reason::RegexInvalid,
        &*origin.field,
        format!(
            "path {} of host {host} is no regular expression here: {why}; what begins with {} gets 503",
            pattern.as_str(),
            if pattern.start().is_empty() { "anything" } else { pattern.start() },
        ),
        "all paths of a host are regular expressions where one has use-regex or rewrite-target; write it without \
         look-around and back-references",
    )
}

/// The certificate that the oldest Ingress with a `tls` section wants; others that want another one are told.
fn certificate<'a>(pattern: &HostPattern, claims: impl Iterator<Item = &'a Arc<HostClaim>>) -> (Choice, Vec<Problem>) {
    let mut asked = claims.filter_map(|claim| claim.certificate.as_ref().map(|certificate| (claim, certificate)));
    let Some((owner, decides)) = asked.next() else { return (Choice::Unsaid, Vec::new()) };
    let mut problems = decides.problems.clone();
    for (claim, other) in asked {
        let Some(secret) = other.secret.as_ref().filter(|_| other.secret != decides.secret) else { continue };
        problems.push(problem(
            &claim.origin.object,
            Severity::Warning,
            Reason::HostConflict,
            format!("{}.secretName", other.field),
            format!(
                "the certificate of {pattern} is chosen by the older {}, so Secret {secret} is not used",
                owner.origin.object
            ),
            "let the Ingresses of one host name one certificate",
        ));
    }
    (decides.certificate.clone().map_or(Choice::Default, Choice::Own), problems)
}

/// Two claims on one path: what the loser is told.
fn shadowed(pattern: &HostPattern, loser: &RouteClaim, winner: &Route) -> (Problem, Rejected) {
    let origin = &loser.route.origin;
    let winning = &winner.origin.object;
    let by = match () {
        () if winning == &origin.object => "an earlier path of the same ingress".to_owned(),
        () if loser.is_catch_all && *winner.origin.field != *origin.field => format!("a rule of {winning}"),
        () => format!("older {winning}"),
    };
    let path = &loser.route.path;
    let conflict = problem(
        &origin.object,
        Severity::Error,
        Reason::PathConflict,
        &*origin.field,
        format!("path {path} of host {pattern} is shadowed by {by}"),
        "remove one of the two, or change its path or host",
    );
    let rejected = Rejected {
        host: pattern.clone(),
        path: Some(Arc::clone(&loser.written)),
        origin: origin.clone(),
        why: format!("shadowed by {by}"),
    };
    (conflict, rejected)
}

/// The order of the routes of a host: as precedence has it for any request that several of them match.
fn place(path: &PathMatch) -> (&PathKind, Reverse<usize>, &str) {
    let trimmed = path.path.strip_suffix('/').unwrap_or(&path.path);
    (&path.kind, Reverse(trimmed.len()), &path.path)
}

fn share(routes: &mut [Arc<Route>], previous: &[Arc<Route>]) {
    let is_regex =
        |routes: &[Arc<Route>]| routes.first().is_some_and(|first| matches!(first.path.kind, PathKind::Regex(_)));
    if is_regex(routes) {
        let old: BTreeMap<_, _> = previous.iter().map(|old| ((&*old.path.path, &old.origin), old)).collect();
        for route in routes {
            if let Some(same) = old.get(&(&*route.path.path, &route.origin)).filter(|old| ***old == *route) {
                *route = Arc::clone(same);
            }
        }
        return;
    }
    let mut old = previous.iter().peekable();
    for route in routes {
        while old.next_if(|old| place(&old.path) < place(&route.path)).is_some() {}
        if let Some(same) = old.peek().filter(|old| ***old == *route) {
            *route = Arc::clone(same);
        }
    }
}

/// Merges claims on one backend, oldest first.
pub(super) fn backend<'a>(
    claims: impl Iterator<Item = (&'a Claimant, &'a Arc<BackendClaim>)> + Clone,
    canary: Option<&CanaryClaim>,
    ground: &Ground,
    shared: &mut Shared,
) -> Option<(Backend, Vec<Problem>)> {
    let (_, first) = claims.clone().next()?;
    let mut problems = Vec::new();
    // What the Service says itself goes before what any Ingress says.
    let sources = first.facts.said.iter().chain(claims.filter_map(|(_, claim)| claim.said.as_ref()));
    let sources = sources.chain(&ground.backend);
    let decided = Decided::of(&first.id, &sources.collect::<Vec<_>>(), &mut problems);
    let protocol = decided.protocol.map_or(first.facts.protocol, |word| word.value.protocol);
    let affinity = affinity(&first.id, &decided, shared);
    let source = &first.facts.source;
    let tls = backend_tls(&first.id, protocol, source, decided.tls.map(|word| word.value), shared);
    let plain = Speech {
        protocol: first.facts.protocol,
        tls: backend_tls(&first.id, first.facts.protocol, source, None, shared),
    };
    let own_address = first.facts.own_address.filter(|_| decided.own_address.is_some_and(|word| *word.value));
    match own_address {
        // The cluster chooses the endpoint then, and heeds what the Service says of it.
        Some(_) => problems.extend(decided.affinity.map(|word| {
            let why = "has no effect beside service-upstream: the cluster chooses the endpoint of each connection";
            word.told(Reason::AnnotationIgnored, why, "remove one of the two")
        })),
        None => problems.extend(unheeded(&first.facts, &decided, &ground.options)),
    }
    let merged = Backend {
        id: first.id.clone(),
        protocol,
        unsaid: (plain.protocol != protocol || plain.tls != tls).then_some(plain),
        tls,
        balancing: shared.balancing(balancing(&decided, protocol, &ground.options, &mut problems)),
        canary: canary.map(|claim| Arc::new(canary::beside(claim, &decided, affinity.as_ref()))),
        affinity,
        source: own_address.map_or_else(|| first.facts.source.clone(), EndpointSource::Fixed),
        origin: first.origin.clone(),
    };
    Some((merged, problems))
}

/// TLS towards a backend, where that is more than a connection to whoever answers. An external name is sent, since a server
/// of many names needs it; of pods some refuse a name that they do not know.
pub(super) fn backend_tls(
    id: &BackendId,
    protocol: Protocol,
    source: &EndpointSource,
    asked: Option<&AskedTls>,
    shared: &mut Shared,
) -> Option<Arc<BackendTls>> {
    if !protocol.is_tls() && protocol != Protocol::Auto {
        return None;
    }
    let (mut tls, sends_name) = asked.map(|asked| (asked.tls.clone(), asked.sends_name)).unwrap_or_default();
    let external = match source {
        EndpointSource::Dns { name, .. } => Some(name),
        EndpointSource::Fixed(_) | EndpointSource::None | EndpointSource::Slices { .. } => None,
    };
    tls.sends_name = sends_name.unwrap_or(external.is_some());
    if tls.name.is_none() && (tls.sends_name || tls.verified.is_some()) {
        let service = || format!("{}.{}.svc", id.service.name, id.service.namespace).into();
        tls.name = Some(external.map_or_else(service, Arc::clone));
    }
    (tls != BackendTls::default()).then(|| shared.backend_tls(tls))
}

/// Who names a backend, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claimant {
    /// `--default-backend-service`.
    Flag,
    /// An Ingress.
    Ingress(Arc<Age>),
}
