//! What flags and IngressClasses come to: the default backend, the default certificate.

use std::sync::Arc;

use super::claim::{BackendClaim, problem};
use super::ground::Ground;
use super::ingress::tls;
use super::merge::Fallback;
use super::resolve::{Resolution, first_port, resolve};
use super::view::{Classes, View, is_ours};
use crate::ir::{Certificate, Kind, Name, Object, Origin, PortKey, Problem, Reason, Severity, Target};
use crate::snapshot::Snapshot;

/// What the flags and IngressClasses come to.
#[derive(PartialEq)]
pub(super) struct Flags {
    /// What answers where no Ingress does.
    pub(super) fallback: Fallback,
    /// The claim on the backend of that, if there is one.
    pub(super) backend: Option<Arc<BackendClaim>>,
    /// `--default-ssl-certificate`, if it can be served.
    pub(super) certificate: Option<Arc<Certificate>>,
    /// What is wrong with them.
    pub(super) problems: Vec<Problem>,
}

impl Flags {
    /// Before anything was looked at.
    pub(super) fn none() -> Flags {
        Flags { fallback: no_fallback(), backend: None, certificate: None, problems: Vec::new() }
    }

    /// What they come to for the objects of `snapshot`.
    pub(super) fn read(snapshot: &Snapshot, classes: Classes, ground: &Ground) -> Flags {
        let mut view = View::new(snapshot, classes, ground);
        let options = &ground.options;
        let mut problems = ground.problems.clone();
        let mut fallback = no_fallback();
        let mut backend = None;
        if let Some(name) = &options.default_backend_service {
            let flag = flag("--default-backend-service");
            fallback.origin.object = Arc::clone(&flag);
            let found = default_backend(name, &mut view);
            problems.extend(found.notes);
            if let Some(fault) = found.fault {
                let message = format!("{}; unknown hosts and paths get 404", fault.message);
                problems.push(problem(&flag, fault.severity, fault.reason, "", message, fault.hint));
            } else {
                fallback.target = Target::Backend(found.id.clone());
                backend = Some(Arc::new(BackendClaim {
                    id: found.id,
                    origin: fallback.origin.clone(),
                    facts: found.facts,
                    said: None,
                }));
            }
        }
        let mut certificate = None;
        if let Some(name) = &options.default_ssl_certificate {
            let flag = flag("--default-ssl-certificate");
            let (found, mut more) = tls::default_certificate(view.secret(name), name, &flag);
            certificate = found;
            problems.append(&mut more);
        }
        if let Some(name) = options.config_map.as_ref().filter(|name| view.config_map(name).is_none()) {
            problems.push(problem(
                &flag("--configmap"),
                Severity::Warning,
                Reason::ConfigKeyInvalid,
                "",
                format!("no ConfigMap {name}; the defaults of its keys serve"),
                "create it, or name another",
            ));
        }
        for class in snapshot.classes.values().filter(|class| class.has_parameters && is_ours(class, options)) {
            problems.push(problem(
                &class.meta.object,
                Severity::Info,
                Reason::ClassParametersIgnored,
                "spec.parameters",
                "spec.parameters has no effect",
                "set what it asks for in the controller's ConfigMap or flags",
            ));
        }
        Flags { fallback, backend, certificate, problems }
    }
}

fn default_backend(name: &Name, view: &mut View<'_>) -> Resolution {
    let port = view.service(name).map_or(PortKey::Number(80), first_port);
    let mut found = resolve(view, name, &port);
    // That the Host is kept is known to whoever makes an external default backend.
    found.fault = found.fault.filter(|fault| fault.severity != Severity::Info);
    found
}

fn no_fallback() -> Fallback {
    Fallback {
        target: Target::NotFound,
        origin: Origin { object: flag("--default-backend-service"), field: "".into() },
    }
}

fn flag(name: &str) -> Arc<Object> {
    Arc::new(Object { kind: Kind::Flag, name: Name::new("", name), file: None, line: None })
}
