//! The filters that the annotations of an Ingress ask for.

use super::annotations::Settings;
use crate::ir::Filters;

/// The filters of the routes of an Ingress with these settings, but for the redirect to https, in which its host has a
/// say. `plain` are those of a route that nobody set anything for.
pub(super) fn of_routes(settings: &Settings, plain: Filters) -> Filters {
    Filters {
        tls_redirect: None,
        hsts: plain.hsts,
        redirect: settings.redirects.filter(),
        cors: settings.cors.filter(),
        access: settings.access.filter(),
    }
}

/// Those of `filters` that also act on paths which nobody declared.
pub(super) fn of_implicit_root(filters: &Filters) -> Filters {
    let Filters { tls_redirect: _, hsts, redirect: _, cors: _, access } = filters;
    Filters { hsts: hsts.clone(), access: access.clone(), ..Filters::default() }
}
