//! The filters that the annotations of an Ingress ask for.

use std::sync::Arc;

use super::annotations::Settings;
use crate::ir::{Access, Basic, Filters};

/// The filters of the routes of an Ingress with these settings, but for the redirect to https, in which its host has a
/// say. `plain` are those of a route that nobody set anything for.
pub(super) fn of_routes(settings: &Settings, plain: Filters, basic: Option<Arc<Basic>>) -> Filters {
    Filters {
        tls_redirect: None,
        hsts: plain.hsts,
        redirect: settings.redirects.filter(),
        cors: settings.cors.filter(),
        limits: settings.limits.filter(),
        access: settings.access.filter(basic),
    }
}

/// Those of `filters` that also act on paths which nobody declared.
pub(super) fn of_implicit_root(filters: &Filters) -> Filters {
    let Filters { tls_redirect: _, hsts, redirect: _, cors: _, limits: _, access } = filters;
    Filters { hsts: hsts.clone(), access: access.clone(), ..Filters::default() }
}

/// Those of `filters` that act on the paths of ACME challenges: nobody is asked who he is there, as ingress-nginx's
/// `no-auth-locations` has it.
pub(super) fn without_login(filters: &Filters) -> Filters {
    let access = filters.access.as_ref().and_then(|access| {
        let access = Access { basic: None, ..Access::clone(access) };
        (access.allowed.is_some() || access.denied.is_some()).then(|| Arc::new(access))
    });
    Filters { access, ..filters.clone() }
}
