//! One Ingress into what it asks for: hosts, routes, backends, certificates.

pub(super) mod annotations;
mod authorities;
mod basic;
mod canary;
mod class;
mod external;
mod filters;
mod host;
mod mutual;
mod path;
mod policy;
pub(super) mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::annotations::{Guard, Settings, Url};
use self::class::Owner;
use super::claim::{
    Aim, BackendClaim, CertificateClaim, Front, HostClaim, Outcome, Redirect, RootClaim, RouteClaim, When, problem,
};
use super::filters::{ClearText, of_nobody, tls_redirect};
use super::merge::backend_tls;
use super::names;
use super::resolve::{Fault, Resolution, resolve};
use super::said::{BackendSettings, Said, Told};
use super::shared::Shared;
use super::view::View;
use crate::ir::{
    BackendId, Filters, HostPattern, LARGEST_PATTERN, Name, Object, Origin, PathKind, PathMatch, Policy, PortKey,
    Problem, Reason, Rejected, Route, Severity, SlashRedirect, Speech, Target, USUAL_PATTERN,
};
use crate::snapshot::{Ingress, IngressBackend, IngressPath};

pub(super) use self::policy::default_policy;

/// What `ingress` asks for. Whatever is wrong with a part of it costs that part only.
pub(super) fn compile(ingress: &Ingress, view: &mut View<'_>, shared: &mut Shared) -> Outcome {
    let object = &ingress.meta.object;
    if let Owner::Foreign(why, missing) = class::owner(ingress, view) {
        return set_aside(ingress, &why, missing);
    }
    if view.options.disable_catch_all && ingress.default_backend.is_some() {
        let refused = problem(
            object,
            Severity::Error,
            Reason::HostInvalid,
            Route::DEFAULT_BACKEND,
            "an Ingress with a default backend is not served under --disable-catch-all",
            "remove spec.defaultBackend, or start without --disable-catch-all",
        );
        return set_aside(ingress, "catch-all Ingresses are disabled", Some(refused));
    }
    let mut problems = Vec::new();
    let mut settings = annotations::read(&ingress.annotations, view.ground, object, &mut problems);
    let rule = settings.canary.rule();
    if rule.is_some() {
        settings.backend = settings.backend.of_canary();
    } else {
        mutual::prepare(&mut settings, ingress, view, &mut problems);
        settings.front.passthrough = settings.tls.passthrough.take().map(|annotation| {
            let policy = policy::of_passthrough(&settings, &view.options.limits);
            Told { value: shared.policy(policy), annotation }
        });
    }
    let policy = shared.policy(policy::policy(&settings, &view.options.limits));
    let said = (settings.backend != BackendSettings::default())
        .then(|| Said { object: Arc::clone(object), settings: shared.backend_settings(settings.backend.clone()) });
    let mut draft = Draft {
        ingress,
        view,
        shared,
        settings,
        filters: Filters::default(),
        policy,
        said,
        problems,
        rejected: Vec::new(),
        hosts: BTreeMap::new(),
        backends: BTreeMap::new(),
        resolved: BTreeMap::new(),
        spent: 0,
        slow: 0,
        asked_at_own_host: None,
    };
    if let Some(rule) = rule {
        return canary::compile(draft, rule);
    }
    draft.prepare();
    draft.default_backend();
    for index in 0..ingress.rules.len() {
        draft.rule(index);
    }
    draft.certificates();
    draft.finish()
}

/// Whether `ingress` is of a class of ours.
pub(super) fn is_ours(ingress: &Ingress, view: &mut View<'_>) -> bool {
    matches!(class::owner(ingress, view), Owner::Us)
}

/// An Ingress that is not served, by host.
fn set_aside(ingress: &Ingress, why: &str, problem: Option<Problem>) -> Outcome {
    let origin = origin(&ingress.meta.object, &Arc::from(""));
    let mut hosts: Vec<HostPattern> =
        ingress.rules.iter().filter_map(|rule| host::parse(rule.host.as_deref()).ok()).collect();
    if ingress.rules.is_empty() {
        hosts.push(HostPattern::Any);
    }
    hosts.sort_unstable();
    hosts.dedup();
    let reject = |host| Arc::new(Rejected { host, path: None, origin: origin.clone(), why: why.to_owned() });
    Outcome {
        hosts: Box::default(),
        canaries: Box::default(),
        backends: Box::default(),
        problems: problem.into_iter().collect(),
        rejected: hosts.into_iter().map(reject).collect(),
    }
}

/// An outcome that is being written.
struct Draft<'a, 'v, 'o> {
    ingress: &'a Ingress,
    view: &'v mut View<'o>,
    shared: &'v mut Shared,
    settings: Settings,
    filters: Filters,
    policy: Arc<Policy>,
    said: Option<Said>,
    problems: Vec<Problem>,
    rejected: Vec<Arc<Rejected>>,
    hosts: BTreeMap<HostPattern, HostDraft>,
    backends: BTreeMap<BackendId, BackendClaim>,
    resolved: BTreeMap<(Arc<str>, PortKey), Resolution>,
    /// Memory that the regular expressions of its paths take, bytes.
    spent: usize,
    /// The same of those that may be slow.
    slow: usize,
    /// A service of `auth-url` at the host of each rule, and who says so.
    asked_at_own_host: Option<(Url, Origin)>,
}

/// Memory for the regular expressions of one Ingress, bytes: room for 4,000 usual ones.
const MOST_MEMORY: usize = 64 << 20;
/// The same for those that may be slow: a request is compared with each of them.
const MOST_SLOW: usize = 2 * LARGEST_PATTERN;

/// What to do about a kept `Host` where another one is asked for.
const NO_PATH: &str =
    "upstream-vhost acts on paths of rules: name the Service in one if the far side needs its own name";

/// What is claimed on one host so far.
struct HostDraft {
    root: RootClaim,
    routes: Vec<RouteClaim>,
    certificate: Option<CertificateClaim>,
}

impl Draft<'_, '_, '_> {
    fn object(&self) -> &Arc<Object> {
        &self.ingress.meta.object
    }

    /// `spec.defaultBackend` of an Ingress without rules: a route for every host that nobody owns.
    fn default_backend(&mut self) {
        let (Some(backend), true) = (&self.ingress.default_backend, self.ingress.rules.is_empty()) else { return };
        let field: Arc<str> = Route::DEFAULT_BACKEND.into();
        self.ask_at(&HostPattern::Any);
        let closed = self.settings.closed(false);
        let aim = match self.target(backend, &field, closed, self.host_kept()) {
            Ok(aim) => aim,
            Err(why) => return self.reject(HostPattern::Any, "/", &field, why),
        };
        let path = PathMatch { kind: PathKind::Prefix, path: "/".into() };
        let route = self.route(path, "/", &field, aim, true);
        self.claim_host(&HostPattern::Any, Some(route));
    }

    /// The host of a rule; what is wrong with it is told.
    fn host(&mut self, index: usize) -> Option<HostPattern> {
        let written = self.ingress.rules.get(index)?.host.as_deref();
        match host::parse(written) {
            Ok(pattern) => Some(pattern),
            Err((why, hint)) => {
                self.problems.push(problem(
                    &self.ingress.meta.object,
                    Severity::Error,
                    Reason::HostInvalid,
                    format!("spec.rules[{index}].host"),
                    format!("host {:?} {why}", written.unwrap_or_default()),
                    hint,
                ));
                None
            }
        }
    }

    fn rule(&mut self, index: usize) {
        let (Some(rule), Some(pattern)) = (self.ingress.rules.get(index), self.host(index)) else { return };
        let reasons = self.settings.reasons();
        self.ask_at(&pattern);
        self.claim_host(&pattern, None);
        for (number, path) in rule.paths.iter().enumerate() {
            let field = self.shared.fields.path(index, number);
            let route = self.path(&pattern, path, &field);
            self.claim_host(&pattern, route);
        }
        self.settings.reopen(reasons);
    }

    fn path(&mut self, host: &HostPattern, path: &IngressPath, field: &Arc<str>) -> Option<RouteClaim> {
        let written = path.path.as_deref().filter(|written| !written.is_empty()).unwrap_or("/");
        let is_regex = self.settings.rewrite.is_regex(written);
        let parse = if is_regex { path::parse_regex } else { path::parse };
        let matched = match parse(written, &path.path_type) {
            Ok(matched) => matched,
            Err((why, hint)) => {
                self.problems.push(problem(self.object(), Severity::Error, Reason::PathInvalid, &**field, why, hint));
                self.reject(host.clone(), written, field, "the path is invalid");
                // What it guards must not fall to a wider path of somebody else.
                let is_guarded = self.filters.is_guarded() || self.settings.closed(false).is_some();
                let beginning = path::beginning(written).filter(|_| is_guarded)?;
                let target = Target::Closed(Reason::PathInvalid);
                return Some(self.route(beginning, written, field, target.into(), false));
            }
        };
        let closed = self.settings.closed(path::begins(&matched, &self.view.ground.keys.no_auth));
        match self.target(&path.backend, field, closed, self.host_kept()) {
            Ok(aim) => {
                let is_costly = self.is_costly(&matched, is_regex);
                Some(RouteClaim { is_regex, is_costly, ..self.route(matched, written, field, aim, false) })
            }
            Err(why) => {
                self.reject(host.clone(), written, field, why);
                None
            }
        }
    }

    /// Whether the expressions of the Ingress take too much memory with this path. Other Ingresses may make it one, where a
    /// repeated group can come to any size.
    fn is_costly(&mut self, path: &PathMatch, is_regex: bool) -> bool {
        if !is_regex && !path.path.contains('{') {
            return false;
        }
        if self.spent > MOST_MEMORY {
            return true;
        }
        let cost = self.shared.pattern(&path.path).map_or(LARGEST_PATTERN, |pattern| pattern.cost());
        self.spent += cost;
        let may_be_slow = cost > USUAL_PATTERN;
        self.slow += if may_be_slow { cost } else { 0 };
        self.spent > MOST_MEMORY || (may_be_slow && self.slow > MOST_SLOW)
    }

    fn route(
        &mut self,
        path: PathMatch,
        written: &str,
        field: &Arc<str>,
        Aim { target, port, speech }: Aim,
        is_catch_all: bool,
    ) -> RouteClaim {
        let redirect = match target {
            _ if path::begins(&path, &self.view.ground.keys.no_tls_redirect) => Redirect::NEVER,
            Target::Closed(_) => Redirect::NEVER,
            Target::Backend(_) | Target::NotFound => self.redirect(),
        };
        let host = ClearText {
            has_tls: !self.ingress.tls.is_empty(),
            asks_certificates: self.settings.front.client_auth.is_some(),
        };
        let tls_redirect = tls_redirect(redirect, host, self.view.ground);
        let mut filters = match is_catch_all {
            true => filters::of_catch_all(&self.filters),
            false => Filters {
                slash_redirect: self.slash_redirect(&path),
                rewrite: self.settings.rewrite.of(written).cloned(),
                ..self.filters.clone()
            },
        };
        if path::begins(&path, &self.view.ground.keys.no_auth) {
            filters = filters::without_login(&filters);
        }
        let route = Route {
            path,
            implicit: false,
            origin: origin(self.object(), field),
            target,
            port,
            speech,
            filters: Arc::default(),
            policy: Arc::clone(&self.policy),
        };
        names::fill(&mut filters, &route);
        let route = Route { filters: self.shared.filters(Filters { tls_redirect, ..filters }), ..route };
        // The path as written is nearly always the path matched, so the text is shared.
        let written = if *written == *route.path.path { Arc::clone(&route.path.path) } else { written.into() };
        RouteClaim { route: Arc::new(route), written, redirect, is_catch_all, is_regex: false, is_costly: false }
    }

    /// What ingress-nginx does with a request for a prefix without the slash at its end. By default only in its place.
    fn slash_redirect(&self, path: &PathMatch) -> Option<SlashRedirect> {
        const NGINX: &str = "k8s.io/ingress-nginx";
        let options = self.view.options;
        let is_asked = self.settings.redirects.slash.unwrap_or(*options.controller_class == *NGINX);
        let has_slash = path.kind == PathKind::Prefix && path.path.len() > 1 && path.path.ends_with('/');
        (is_asked && has_slash).then_some(SlashRedirect { keeps_port: options.folder })
    }

    fn redirect(&self) -> Redirect {
        let said = &self.settings.redirects;
        let when = match (said.force_tls, said.tls) {
            (Some(true), _) => When::Always,
            (_, Some(false)) => When::Never,
            (_, Some(true) | None) => When::WithTls,
        };
        Redirect { when, keeps_slash: said.keeps_slash.unwrap_or(false), has_port: said.has_port }
    }

    /// Makes the claim on a host when the host is first named, and adds `route` to it.
    fn claim_host(&mut self, pattern: &HostPattern, route: Option<RouteClaim>) {
        if !self.hosts.contains_key(pattern) {
            let root = self.root(pattern);
            self.hosts.insert(pattern.clone(), HostDraft { root, routes: Vec::new(), certificate: None });
        }
        if let Some(host) = self.hosts.get_mut(pattern) {
            host.routes.extend(route);
        }
    }

    fn root(&mut self, pattern: &HostPattern) -> RootClaim {
        let closed = self.settings.closed(false);
        let own = match &self.ingress.default_backend {
            Some(backend) if !self.ingress.rules.is_empty() => {
                // What is changed in requests is not for paths that nobody declared.
                self.target(backend, &"spec.defaultBackend".into(), closed, true).ok()
            }
            Some(_) | None => None,
        };
        // Without a host of its own an Ingress does not decide what unknown paths of unknown hosts get.
        let is_silent = *pattern == HostPattern::Any && own.is_none();
        RootClaim {
            policy: if own.is_some() {
                Arc::clone(&self.policy)
            } else {
                self.shared.policy(default_policy(self.view.ground))
            },
            own,
            redirect: if is_silent || closed.is_some() { Redirect::NEVER } else { self.redirect() },
            filters: self.shared.filters(if is_silent {
                of_nobody(self.view.ground)
            } else {
                filters::of_implicit_root(&self.filters)
            }),
            closed: closed.filter(|_| !is_silent),
        }
    }

    /// Whether paths of rules pass on the client's `Host`.
    fn host_kept(&self) -> bool {
        self.filters.request.as_ref().is_none_or(|edits| edits.host.is_none())
    }

    /// What a backend reference leads to; `Err` is why its path is skipped. `keeps_host`: requests get there with the client's
    /// `Host`.
    fn target(
        &mut self,
        backend: &IngressBackend,
        field: &Arc<str>,
        closed: Option<Reason>,
        keeps_host: bool,
    ) -> Result<Aim, &'static str> {
        let incomplete = |reason: Reason, message: &str, hint: &str| {
            problem(&self.ingress.meta.object, Severity::Error, reason, &**field, message, hint)
        };
        let (service, port) = match backend {
            IngressBackend::Service { name, port: Some(port) } => (name, port),
            IngressBackend::Service { name, port: None } => {
                let message = format!("the backend names no port of Service {name}");
                self.problems.push(incomplete(
                    Reason::PortNotFound,
                    &message,
                    "set service.port.name or service.port.number",
                ));
                return Ok(Target::Closed(closed.unwrap_or(Reason::PortNotFound)).into());
            }
            IngressBackend::Resource { kind, name } => {
                let message = format!("the backend is a resource, {kind} {name}, and no resource is served");
                self.problems.push(incomplete(Reason::ResourceBackend, &message, "name a Service"));
                return Err("resource backends are not served");
            }
            IngressBackend::Missing => {
                self.problems.push(incomplete(
                    Reason::ServiceNotFound,
                    "the backend names no Service",
                    "set backend.service",
                ));
                return Ok(Target::Closed(closed.unwrap_or(Reason::ServiceNotFound)).into());
            }
        };
        let (id, is_first) = self.resolve(service, port, field, keeps_host);
        if let Some(reason) = closed {
            return Ok(Target::Closed(reason).into());
        }
        if is_first || !self.backends.contains_key(&id) {
            self.claim_backend(&id, service, port, field);
        }
        let written = (id.port != *port).then(|| port.clone());
        let speech = self.speech(&id, service, port);
        Ok(Aim { target: Target::Backend(id), port: written, speech })
    }

    /// How a Service port is spoken to, if the Ingress says it.
    fn speech(&mut self, id: &BackendId, service: &Arc<str>, port: &PortKey) -> Option<Arc<Speech>> {
        let said = &self.settings.backend;
        let asked = said.tls.as_ref().map(|told| &told.value);
        let facts = &self.resolved.get(&(Arc::clone(service), port.clone()))?.facts;
        let protocol = match &said.protocol {
            None if asked.is_none() => return None,
            None => facts.protocol,
            Some(told) => told.value.protocol,
        };
        Some(Arc::new(Speech { protocol, tls: backend_tls(id, protocol, &facts.source, asked, self.shared) }))
    }

    /// The identity of a Service port, and whether it was met for the first time; says what is wrong with it at the field.
    fn resolve(&mut self, service: &Arc<str>, port: &PortKey, field: &Arc<str>, keeps_host: bool) -> (BackendId, bool) {
        let key = (Arc::clone(service), port.clone());
        let is_first = !self.resolved.contains_key(&key);
        let changes_host = !self.host_kept();
        let namespace = &self.ingress.meta.object.name.namespace;
        let name = Name { namespace: Arc::clone(namespace), name: Arc::clone(service) };
        let view = &mut *self.view;
        let resolution = self.resolved.entry(key).or_insert_with(|| resolve(view, &name, port));
        if is_first {
            self.problems.append(&mut resolution.notes);
            if let Some(said) = &mut resolution.facts.said {
                said.settings = self.shared.backend_settings(BackendSettings::clone(&said.settings));
            }
        }
        // What is wrong is said at every field that it breaks, what is merely to be known once.
        let fault = match &resolution.fault {
            Some(fault) if fault.reason != Reason::ExternalNameHostKept => Some(fault.clone()),
            _ if keeps_host => resolution.fault.take(),
            _ => None,
        };
        if let Some(Fault { severity, reason, message, hint }) = fault {
            let is_said_elsewhere = changes_host && reason == Reason::ExternalNameHostKept;
            let hint = if is_said_elsewhere { NO_PATH.to_owned() } else { hint };
            self.problems.push(problem(&self.ingress.meta.object, severity, reason, &**field, message, hint));
        }
        (resolution.id.clone(), is_first)
    }

    fn claim_backend(&mut self, id: &BackendId, service: &Arc<str>, port: &PortKey, field: &Arc<str>) {
        let Some(resolution) = self.resolved.get(&(Arc::clone(service), port.clone())) else { return };
        let claim = BackendClaim {
            id: id.clone(),
            origin: origin(&self.ingress.meta.object, field),
            facts: resolution.facts.clone(),
            said: self.said.clone(),
        };
        self.backends.entry(id.clone()).or_insert(claim);
    }

    fn certificates(&mut self) {
        let mut listed = tls::Listed::of(self.ingress);
        for (pattern, host) in &mut self.hosts {
            host.certificate = tls::claim(self.ingress, pattern, &mut listed, self.view);
        }
    }

    fn reject(&mut self, host: HostPattern, written: &str, field: &Arc<str>, why: &str) {
        let origin = origin(self.object(), field);
        self.rejected.push(Arc::new(Rejected { host, path: Some(written.into()), origin, why: why.to_owned() }));
    }

    fn finish(self) -> Outcome {
        let whole = origin(&self.ingress.meta.object, &self.shared.fields.whole());
        let has_tls = !self.ingress.tls.is_empty();
        let front = (self.settings.front != Front::default()).then(|| Arc::new(self.settings.front));
        let claim = |(host, draft): (HostPattern, HostDraft)| {
            Arc::new(HostClaim {
                host,
                origin: whole.clone(),
                routes: draft.routes.into(),
                root: draft.root,
                front: front.clone(),
                has_tls,
                certificate: draft.certificate.map(Box::new),
            })
        };
        Outcome {
            hosts: self.hosts.into_iter().map(claim).collect(),
            canaries: Box::default(),
            backends: self.backends.into_values().map(Arc::new).collect(),
            problems: self.problems,
            rejected: self.rejected,
        }
    }
}

fn origin(object: &Arc<Object>, field: &Arc<str>) -> Origin {
    Origin { object: Arc::clone(object), field: Arc::clone(field) }
}
