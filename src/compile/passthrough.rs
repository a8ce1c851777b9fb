//! TLS that is passed on unopened (`ssl-passthrough`): where it goes on one host, and what is said where it cannot.

use std::sync::Arc;

use super::claim::problem;
use super::ingress::annotations::field;
use super::said::Told;
use super::shared::Shared;
use crate::ir::{Filters, HostPattern, Object, PathKind, PathMatch, Policy, Problem, Reason, Route, Severity, Target};

/// Who asks for it, and by which times it goes.
pub(super) type Asked<'a> = (&'a Arc<Object>, &'a Told<Arc<Policy>>);

/// The route of the path `/` of `pattern`, without what acts on requests: nobody sees them. `is_guarded`: something on the
/// host keeps clients out.
pub(super) fn route<'r>(
    pattern: &HostPattern,
    (object, told): Asked<'_>,
    routes: impl Fn(&PathMatch) -> Option<&'r Arc<Route>>,
    is_guarded: bool,
    shared: &mut Shared,
    problems: &mut Vec<Problem>,
) -> Option<Arc<Route>> {
    let own = field(&told.annotation);
    let mut tell = |place: &str, message: String, hint: &str| {
        problems.push(problem(object, Severity::Warning, Reason::AnnotationIgnored, place, message, hint));
    };
    if *pattern == HostPattern::Any {
        let message =
            "ssl-passthrough: rules without a host have no name by which a client could ask for them, so TLS ends here";
        tell(&own, message.to_owned(), "write the host");
        return None;
    }
    let kinds = [PathKind::Prefix, PathKind::Exact];
    let mut roots = kinds.into_iter().filter_map(|kind| routes(&PathMatch { kind, path: "/".into() }));
    let Some(root) = roots.find(|root| !root.implicit) else {
        let message = format!("ssl-passthrough: {pattern} has no path /, so TLS ends here");
        tell(&own, message, "add the path / with the Service that TLS is to be passed on to");
        return None;
    };
    if let Target::Closed(reason) = root.target {
        let message = format!(
            "ssl-passthrough: the path / of {pattern} is closed ({reason}), so connections over TLS are closed, and not passed on"
        );
        tell(&own, message, &format!("put right what is told of {}", root.origin.object));
    }
    if is_guarded {
        let message = format!(
            "ssl-passthrough: what guards paths of {pattern} acts on requests in clear text only: those over TLS are not seen"
        );
        // ingress-nginx does the same, so it is not the annotation that differs.
        tell("metadata.annotations", message, "let the Service guard itself, or remove ssl-passthrough");
    }
    let filters = shared.filters(Filters { is_silent: root.filters.is_silent, ..Filters::default() });
    let policy = Arc::clone(&told.value);
    Some(Arc::new(Route { filters, policy, speech: None, ..Route::clone(root) }))
}
