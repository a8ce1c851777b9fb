//! Backends that annotations name beside that of the path: services that are asked, and those that answer errors.

use std::sync::Arc;

use super::annotations::{self, Url, UrlHost, external};
use super::{Draft, Guard};
use crate::compile::claim::{BackendClaim, BackendFacts, problem};
use crate::compile::config_map::{self, GlobalAuth};
use crate::compile::resolve::{first_port, refusal, resolve};
use crate::ir::{
    AuthCache, BackendId, EndpointSource, ErrorPages, External, HostPattern, Mirror, Name, Object, Origin, Part,
    PortKey, Protocol, Reason, Severity, SignIn, Template,
};
use crate::snapshot::{ConfigMap, IngressRule};

/// What to do about a host that is refused.
const OUTSIDE: &str = "name a host outside this machine and its link";

/// Fields of one ConfigMap that are sent with each message, and variables that they may have.
const MOST_FIELDS: usize = 128;
/// Octets of their names and texts together: as many as a head may have that a client sends.
const LONGEST: usize = 64 << 10;

/// Names of fields with what they say.
type Lines<T> = Box<[(Arc<str>, T)]>;

impl Draft<'_, '_, '_> {
    /// The service that says who may come in, if one is asked for and can be asked, and where clients are sent that it does
    /// not know.
    pub(super) fn external(&mut self) -> (Option<Arc<External>>, Option<Arc<SignIn>>) {
        let own = self.settings.external.clone();
        let global = self.view.ground.keys.global_auth.clone();
        let (said, object) = match global {
            _ if own.url.is_some() || own.not_global => (own, None),
            GlobalAuth::None => (own, None),
            GlobalAuth::Asks { said, object } => (external::Said::clone(&said), Some(object)),
            // That it cannot be had is told of the ConfigMap.
            GlobalAuth::Broken => {
                self.settings.close(Guard::Authentication);
                (own, None)
            }
        };
        let sign_in = sign_in(&said, &self.ingress.meta.object.name);
        (self.service(said, object), sign_in)
    }

    /// The service of an annotation, or of the key of the ConfigMap `map`.
    fn service(&mut self, said: external::Said, map: Option<Arc<Object>>) -> Option<Arc<External>> {
        let url = said.url?;
        let origin = match map {
            None => self.told_by(&annotations::field(&url.annotation)),
            Some(object) => {
                self.warn_of_a_circle(&url.value);
                Origin { object, field: config_map::field(GlobalAuth::KEY).into() }
            }
        };
        let (backend, host) = match &url.value.host {
            UrlHost::Named(host) => match self.service_at(&url.value, host, origin.clone()) {
                Ok(backend) => (backend, Arc::clone(host)),
                Err(why) => {
                    self.broken(&origin.field, &why, OUTSIDE);
                    return None;
                }
            },
            // Each rule has another, which takes the place of this one: nobody is there.
            UrlHost::OfRule(..) => {
                let host: Arc<str> = url.value.host.of(Some("$host")).unwrap_or_default();
                let nobody = backend_at(&url.value, &host);
                self.asked_at_own_host = Some((url.value.clone(), origin));
                (nobody, host)
            }
        };
        let mut sends: Vec<_> = match &said.sends {
            None => Vec::new(),
            Some(map) => self.fields_of(&map.value, &annotations::field(&map.annotation))?.into(),
        };
        sends.retain(|(name, _)| !said.lines.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)));
        sends.extend(said.lines);
        let object = &self.ingress.meta.object;
        let named = |template: Template| with_names(template, &object.name);
        Some(Arc::new(External {
            backend,
            host,
            target: named(url.value.target),
            method: said.method,
            fields: said.fields,
            redirect: said.redirect.map(named),
            sends: sends.into(),
            always_cookies: said.always_cookies,
            cache: said.cache_key.map(|key| AuthCache {
                key: named(key),
                times: said.cache_times.unwrap_or_else(annotations::default_times),
            }),
        }))
    }

    /// Asks the service of the paths of a rule at the rule's own host, where `auth-url` says so. What host that is has to be
    /// known: a host of many names closes the paths.
    pub(super) fn ask_at(&mut self, pattern: &HostPattern) {
        let Some((url, origin)) = self.asked_at_own_host.clone() else { return };
        let host = match pattern {
            HostPattern::Exact(host) => host,
            HostPattern::Wildcard(_) | HostPattern::Any => "$host",
        };
        let host = url.host.of(Some(host)).unwrap_or_default();
        // Of the ConfigMap's it is the Ingress that cannot be served.
        let is_own = *origin.object == *self.ingress.meta.object;
        let (name, field) = if is_own { ("auth-url", &*origin.field) } else { (GlobalAuth::KEY, "spec.rules") };
        let found = match pattern {
            HostPattern::Exact(_) => self.service_at(&url, &host, origin.clone()).map_err(|why| (why, OUTSIDE)),
            HostPattern::Wildcard(_) | HostPattern::Any => {
                let why = format!("{name} is at the host of the request, and {pattern} is no single host");
                Err((why, "write the host of the service, or a rule for each host"))
            }
        };
        let backend = found.unwrap_or_else(|(why, hint)| {
            self.closed_by(field, &format!("{why}, so the paths of that rule answer 503"), hint);
            backend_at(&url, &host)
        });
        let access = self.filters.access.as_mut().map(Arc::make_mut);
        if let Some(external) = access.and_then(|access| access.external.as_mut()) {
            *external = Arc::new(External { backend, host, ..External::clone(external) });
        }
    }

    /// A service that is reached through us would be asked whether it may be asked.
    fn warn_of_a_circle(&mut self, url: &Url) {
        let UrlHost::Named(host) = &url.host else { return };
        let is_its = |rule: &IngressRule| rule.host.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(host));
        let Some(index) = self.ingress.rules.iter().position(is_its) else { return };
        let message = format!("{host} is the host of {}, which is asked about its own paths", GlobalAuth::KEY);
        self.warn(
            &format!("spec.rules[{index}].host"),
            Reason::AccessRuleBroken,
            &message,
            "set enable-global-auth: \"false\" on the Ingress of the service",
        );
    }

    /// The backend of `default-backend`, if it is there.
    pub(super) fn fallback(&mut self) -> Option<BackendId> {
        let said = self.settings.answers.default_backend.clone()?;
        let name = Name { namespace: Arc::clone(&self.ingress.meta.object.name.namespace), name: said.value };
        let field = annotations::field(&said.annotation);
        self.named_service(&name, &field)
    }

    /// Whose answer takes the place of errors: that of `default-backend`, else of `--default-backend-service`.
    pub(super) fn errors(&mut self, fallback: Option<&BackendId>) -> Option<Arc<ErrorPages>> {
        let said = self.settings.answers.statuses.clone()?;
        let field = annotations::field(&said.annotation);
        let global = || self.view.options.default_backend_service.clone();
        let backend = match fallback {
            Some(backend) => Some(backend.clone()),
            None => global().and_then(|name| self.named_service(&name, &field)),
        };
        let Some(backend) = backend else {
            self.warn(
                &field,
                Reason::AnnotationIgnored,
                "custom-http-errors: nobody answers in place of errors, so they pass as they are",
                "set default-backend, or start with --default-backend-service",
            );
            return None;
        };
        let intercepts = !self.settings.answers.passes_errors.unwrap_or(false);
        Some(Arc::new(ErrorPages { statuses: said.value, backend, intercepts }))
    }

    /// The first port of a Service, with a claim on it.
    fn named_service(&mut self, name: &Name, field: &str) -> Option<BackendId> {
        let port = self.view.service(name).map(first_port);
        let Some(port) = port else {
            let message = format!("there is no Service {name}, so nobody answers in place of errors");
            self.warn(field, Reason::ServiceNotFound, &message, "create it, or name another one");
            return None;
        };
        let resolution = resolve(self.view, name, &port);
        let origin = self.told_by(field);
        self.claim(&resolution.id, origin, resolution.facts);
        Some(resolution.id)
    }

    /// Who gets copies of requests, if somebody may.
    pub(super) fn mirror(&mut self) -> Option<Arc<Mirror>> {
        let annotations::Mirrored { target, host, has_body } = self.settings.mirror.clone();
        let Some(url) = target else {
            if let Some(host) = host {
                let field = annotations::field(&host.annotation);
                let message = "mirror-host: has no effect without mirror-target";
                self.warn(&field, Reason::AnnotationIgnored, message, "set mirror-target, or remove it");
            }
            return None;
        };
        let field = annotations::field(&url.annotation);
        let UrlHost::Named(name) = &url.value.host else { return None };
        let backend = match self.service_at(&url.value, name, self.told_by(&field)) {
            Ok(backend) => backend,
            Err(why) => {
                let message = format!("mirror-target: {why}, so requests are not copied");
                self.warn(&field, Reason::AnnotationInvalid, &message, OUTSIDE);
                return None;
            }
        };
        let named = |template: Template| with_names(template, &self.ingress.meta.object.name);
        let own = || Template { parts: [Part::Text(Arc::clone(name))].into() };
        Some(Arc::new(Mirror {
            backend,
            host: host.map_or_else(own, |host| named(host.value)),
            target: named(url.value.target.clone()),
            has_body: has_body.unwrap_or(true),
        }))
    }

    /// The backend of a URL with this host, with a claim on it; or why nothing may be sent there.
    fn service_at(&mut self, url: &Url, host: &str, origin: Origin) -> Result<BackendId, String> {
        let name = host.trim_matches(['[', ']']);
        if let Some(why) = refusal(name, self.view.options.folder) {
            return Err(format!("host {name} {why}"));
        }
        let protocol = if url.is_tls { Protocol::Https } else { Protocol::Http1 };
        let id = backend_at(url, host);
        let allow_loopback = self.view.options.folder;
        let source = EndpointSource::Dns { name: name.into(), port: url.port, allow_loopback };
        self.claim(&id, origin, BackendFacts::of(protocol, source));
        Ok(id)
    }

    /// Fields to send, whose texts may have variables, from a ConfigMap. Closes the paths if they are not there.
    fn fields_of(&mut self, text: &str, field: &str) -> Option<Lines<Template>> {
        let anywhere = self.view.ground.keys.crosses_namespaces;
        let found = self.map(text, anywhere).and_then(|map| texts(&map));
        found.map_err(|(message, hint)| self.broken(field, &message, &hint)).ok()
    }

    /// The ConfigMap of that name, in the namespace of the Ingress unless it may be `anywhere`. `Err`: it is not there, or has
    /// more than can be sent with each message.
    fn map(&mut self, text: &str, anywhere: bool) -> Result<ConfigMap, (String, String)> {
        let own = &self.ingress.meta.object.name.namespace;
        let wrong = |message: String, hint: &str| Err((message, hint.to_owned()));
        let name = annotations::reference(text, own).filter(|name| anywhere || name.namespace == *own);
        let Some(name) = name else {
            return wrong("it names no ConfigMap of the namespace of the Ingress".to_owned(), "name one");
        };
        let Some(found) = self.view.config_map(&name).cloned() else {
            return wrong(format!("there is no ConfigMap {name}"), "create it");
        };
        let octets: usize = found.data.iter().map(|(name, text)| name.len() + text.len()).sum();
        if found.data.iter().count() > MOST_FIELDS || octets > LONGEST {
            let message = format!("ConfigMap {name} has more than {MOST_FIELDS} fields or 64 KiB");
            return wrong(message, "remove what need not be sent each time");
        }
        Ok(found)
    }

    /// Fields to set on answers, from a ConfigMap. Closes the paths if they are not there: they may be what protects a page.
    pub(super) fn set_fields(&mut self, text: &str, field: &str) -> Option<Lines<Arc<str>>> {
        let own = &self.ingress.meta.object.name.namespace;
        let is_own = annotations::reference(text, own).is_none_or(|name| name.namespace == *own);
        let may_tell = is_own || self.view.ground.keys.crosses_namespaces;
        let found = self.map(text, true).and_then(|map| settable(&map, &self.view.ground.keys));
        // What there is in a namespace is not for everybody who may write an Ingress in another one.
        let told = found
            .map_err(|told| if may_tell { told } else { (format!("ConfigMap {text} {HIDDEN}"), ALLOWED.to_owned()) });
        told.map_err(|(message, hint)| self.broken(field, &message, &hint)).ok()
    }

    /// A field of the Ingress.
    fn told_by(&self, field: &str) -> Origin {
        Origin { object: Arc::clone(&self.ingress.meta.object), field: field.into() }
    }

    fn claim(&mut self, id: &BackendId, origin: Origin, facts: BackendFacts) {
        let claim = BackendClaim { id: id.clone(), origin, facts, said: None };
        self.backends.entry(id.clone()).or_insert(claim);
    }

    pub(super) fn warn(&mut self, field: &str, reason: Reason, message: &str, hint: &str) {
        let object = &self.ingress.meta.object;
        self.problems.push(problem(object, Severity::Warning, reason, field, message, hint));
    }

    /// The paths are closed: authentication that is asked for cannot be had.
    fn broken(&mut self, field: &str, message: &str, hint: &str) {
        self.closed_by(field, &format!("{message}, so the paths of this Ingress answer 503"), hint);
    }

    fn closed_by(&mut self, field: &str, message: &str, hint: &str) {
        let object = &self.ingress.meta.object;
        self.problems.push(problem(object, Severity::Error, Reason::AccessRuleBroken, field, message, hint));
        self.settings.close(Guard::Authentication);
    }
}

/// Who answers at a URL with this host.
fn backend_at(url: &Url, host: &str) -> BackendId {
    let scheme = if url.is_tls { "https" } else { "http" };
    BackendId::new(Name::new("", &format!("{scheme}://{host}")), PortKey::Number(url.port))
}

/// Where clients are sent that are not known.
fn sign_in(said: &external::Said, name: &Name) -> Option<Arc<SignIn>> {
    said.url.as_ref()?;
    let url = with_names(said.sign_in.clone()?, name);
    let parameter = said.parameter.as_deref().unwrap_or("rd");
    let text = url.to_string();
    let query = text.split_once('?').map(|(_, query)| query);
    let has_it = |query: &str| {
        let value = |pair: &str| pair.strip_prefix(parameter)?.strip_prefix('=').map(str::is_empty);
        query.split('&').any(|pair| value(pair) == Some(false))
    };
    let argument = match query {
        None => Some(format!("?{parameter}=").into()),
        Some(query) if has_it(query) => None,
        Some(_) => Some(format!("&{parameter}=").into()),
    };
    Some(Arc::new(SignIn { url, argument }))
}

/// The text with the names of the Ingress in the place of their variables.
fn with_names(template: Template, name: &Name) -> Template {
    let part = |part: Part| match part {
        Part::Namespace => Part::Text(Arc::clone(&name.namespace)),
        Part::IngressName => Part::Text(Arc::clone(&name.name)),
        part => part,
    };
    Template { parts: template.parts.into_iter().map(part).collect() }
}
/// Of a ConfigMap that is not to be told about.
const HIDDEN: &str = "is not there, or has what may not be sent";
const ALLOWED: &str = "name one whose fields global-allowed-response-headers lists";

/// The fields of a ConfigMap, whose texts may have variables.
fn texts(map: &ConfigMap) -> Result<Lines<Template>, (String, String)> {
    let read = |(name, value): (&Arc<str>, &Arc<str>)| match annotations::field_text(name, value) {
        Some(template) => Ok((Arc::clone(name), template)),
        None => Err(no_field(name)),
    };
    let fields = map.data.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if fields.iter().map(|(_, template)| template.variables()).sum::<usize>() > MOST_FIELDS {
        return Err((format!("its ConfigMap has more than {MOST_FIELDS} variables"), "remove some".to_owned()));
    }
    Ok(fields.into())
}

/// The fields of a ConfigMap, if answers may have them.
fn settable(map: &ConfigMap, keys: &config_map::Keys) -> Result<Lines<Arc<str>>, (String, String)> {
    let read = |(name, value): (&Arc<str>, &Arc<str>)| {
        let value = annotations::field_value(name, value).ok_or_else(|| no_field(name))?;
        if !keys.allows_answer_field(name) {
            let message = format!("its ConfigMap has {name:?}, which global-allowed-response-headers does not list");
            let hint = format!("add {name} to global-allowed-response-headers in the ConfigMap of --configmap");
            return Err((message, hint));
        }
        Ok((Arc::clone(name), value.into()))
    };
    map.data.iter().map(read).collect()
}

fn no_field(name: &str) -> (String, String) {
    (format!("its ConfigMap has {name:?}, which is no header field"), "mend it".to_owned())
}
