//! An Ingress that takes a share of the requests of another one: nothing of it counts but its paths, its backends and how
//! endpoints of these are chosen.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Draft, origin, path};
use crate::compile::claim::{Aim, CanaryClaim, CanaryClaims, Outcome, problem};
use crate::ir::{CanaryRule, HostPattern, Reason, Route, Severity, Target};
use crate::snapshot::{IngressBackend, PathType};

/// What the canary of `draft` asks for beside others.
pub(super) fn compile(mut draft: Draft<'_, '_, '_>, rule: CanaryRule) -> Outcome {
    let rule = Arc::new(rule);
    let ingress = draft.ingress;
    let mut hosts: BTreeMap<HostPattern, Vec<Arc<CanaryClaim>>> = BTreeMap::new();
    if let (Some(backend), true) = (&ingress.default_backend, ingress.rules.is_empty()) {
        let claim = claim(&mut draft, &rule, "/", &PathType::Prefix, backend, Route::DEFAULT_BACKEND.into());
        hosts.entry(HostPattern::Any).or_default().extend(claim);
    }
    for (number, written) in ingress.rules.iter().enumerate() {
        let Some(pattern) = draft.host(number) else { continue };
        let claims = hosts.entry(pattern).or_default();
        for (place, path) in written.paths.iter().enumerate() {
            let field = draft.shared.fields.path(number, place);
            let text = path.path.as_deref().filter(|text| !text.is_empty()).unwrap_or("/");
            claims.extend(claim(&mut draft, &rule, text, &path.path_type, &path.backend, field));
        }
    }
    let claims = |(host, paths): (HostPattern, Vec<_>)| Arc::new(CanaryClaims { host, paths: paths.into() });
    Outcome {
        hosts: Box::default(),
        canaries: hosts.into_iter().map(claims).collect(),
        backends: draft.backends.into_values().map(Arc::new).collect(),
        problems: draft.problems,
        rejected: draft.rejected,
    }
}

fn claim(
    draft: &mut Draft<'_, '_, '_>,
    rule: &Arc<CanaryRule>,
    written: &str,
    kind: &PathType,
    backend: &IngressBackend,
    field: Arc<str>,
) -> Option<Arc<CanaryClaim>> {
    // Whether the path is a regular expression says the Ingress beside which it stands.
    let (plain, regex) = (path::parse(written, kind), path::parse_regex(written, kind));
    let paths: Box<[_]> = plain.clone().into_iter().chain(regex).collect();
    if let (true, Err((why, hint))) = (paths.is_empty(), plain) {
        draft.problems.push(problem(draft.object(), Severity::Error, Reason::PathInvalid, &*field, why, hint));
        return None;
    }
    let Ok(Aim { target: Target::Backend(id), port, .. }) = draft.target(backend, &field, None, true) else {
        return None;
    };
    Some(Arc::new(CanaryClaim {
        paths,
        written: written.into(),
        backend: id,
        port,
        rule: Arc::clone(rule),
        is_legacy: draft.settings.canary.is_legacy,
        origin: origin(draft.object(), &field),
    }))
}
