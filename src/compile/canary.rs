//! Canaries: beside which backend each stands, and which of several counts.

use super::claim::{CanaryClaim, problem};
use super::keys;
use super::said::Decided;
use crate::ir::{Affinity, BackendId, Canary, HostPattern, Problem, Reason, Rejected, Severity};

/// What is said of a canary beside which nothing stands.
pub(super) fn alone(host: &HostPattern, claim: &CanaryClaim) -> (Problem, Rejected) {
    let CanaryClaim { written, origin, .. } = claim;
    let told = problem(
        &origin.object,
        Severity::Error,
        Reason::CanaryWithoutMain,
        &*origin.field,
        format!("no other Ingress has path {written} of host {host} with this pathType, so the canary gets no request"),
        "make an Ingress with the same host, path and pathType, or remove the annotation canary",
    );
    let rejected = Rejected {
        host: host.clone(),
        path: Some(written.clone()),
        origin: origin.clone(),
        why: "a canary beside no other Ingress".to_owned(),
    };
    (told, rejected)
}

/// The canary that counts beside `main`: the first of `claims`, which are in order of age. Others are told.
pub(super) fn choose<'a>(
    main: &BackendId,
    claims: impl Iterator<Item = &'a CanaryClaim>,
    problems: &mut Vec<Problem>,
) -> Option<&'a CanaryClaim> {
    let mut chosen: Option<&CanaryClaim> = None;
    for claim in claims {
        let CanaryClaim { backend, origin, .. } = claim;
        if backend == main {
            problems.push(problem(
                &origin.object,
                Severity::Warning,
                Reason::AnnotationIgnored,
                &*origin.field,
                format!("the canary leads to {main}, as the Ingress does beside which it stands"),
                "name another Service, or remove the Ingress",
            ));
            continue;
        }
        match chosen {
            None => chosen = Some(claim),
            Some(first) if first.origin.object != origin.object || first.backend != *backend => {
                problems.push(problem(
                    &origin.object,
                    Severity::Warning,
                    Reason::SettingShadowed,
                    &*origin.field,
                    format!("{main} has a canary already, {} of {}", first.backend, first.origin.object),
                    "a Service port has one canary: remove one of the two",
                ));
            }
            Some(_) => {}
        }
    }
    chosen
}

/// The canary beside a backend of which `said` is said. The cookie is that of the backend, so that a client who has it
/// stays where it is.
pub(super) fn beside(claim: &CanaryClaim, said: &Decided<'_>, affinity: Option<&Affinity>) -> Canary {
    let remembered = affinity.filter(|_| !claim.is_legacy);
    Canary {
        backend: claim.backend.clone(),
        port: claim.port.clone(),
        rule: claim.rule.clone(),
        protocol: said.protocol.map(|word| word.value.protocol),
        affinity: remembered
            .map(|affinity| Affinity { tag: keys::tag(&claim.backend), cookie: affinity.cookie.clone() }),
        origin: claim.origin.clone(),
    }
}
