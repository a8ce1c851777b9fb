//! One copy of each value that most routes and backends repeat: policies, filters, balancing and names of fields.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::fields::Fields;
use super::said::BackendSettings;
use crate::ir::{BackendTls, Balancing, ClientAuth, Cookie, Demand, Filters, HostTls, PathPattern, Policy};

/// Values in use by the routes and backends.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) fields: Fields,
    balancings: BTreeSet<Arc<Balancing>>,
    backend_settings: BTreeSet<Arc<BackendSettings>>,
    backend_tls: BTreeSet<Arc<BackendTls>>,
    cookies: BTreeSet<Arc<Cookie>>,
    demands: BTreeSet<Arc<Demand>>,
    filters: BTreeSet<Arc<Filters>>,
    host_tls: BTreeSet<Arc<HostTls>>,
    patterns: BTreeMap<Arc<str>, Pattern>,
    policies: BTreeSet<Arc<Policy>>,
}

/// A pattern, or why there is none.
type Pattern = Result<PathPattern, Arc<str>>;

impl Shared {
    /// The pattern of `text`, compiled once. `Err` is why there is none.
    pub(super) fn pattern(&mut self, text: &Arc<str>) -> Pattern {
        let compile = || PathPattern::new(text).map_err(Arc::from);
        self.patterns.entry(Arc::clone(text)).or_insert_with(compile).clone()
    }

    /// The one copy of `cookie`.
    pub(super) fn cookie(&mut self, cookie: Cookie) -> Arc<Cookie> {
        share(&mut self.cookies, cookie)
    }

    /// The one copy of `balancing`.
    pub(super) fn balancing(&mut self, balancing: Balancing) -> Arc<Balancing> {
        share(&mut self.balancings, balancing)
    }

    /// The one copy of `settings`.
    pub(super) fn backend_settings(&mut self, settings: BackendSettings) -> Arc<BackendSettings> {
        share(&mut self.backend_settings, settings)
    }

    /// The one copy of `filters`.
    pub(super) fn filters(&mut self, filters: Filters) -> Arc<Filters> {
        share(&mut self.filters, filters)
    }

    /// The one copy of how TLS is spoken on a host.
    pub(super) fn host_tls(&mut self, tls: HostTls) -> Arc<HostTls> {
        share(&mut self.host_tls, tls)
    }

    /// The one copy of `tls`.
    pub(super) fn backend_tls(&mut self, tls: BackendTls) -> Arc<BackendTls> {
        share(&mut self.backend_tls, tls)
    }

    /// The same, with the one copy of what is asked of clients.
    pub(super) fn client_auth(&mut self, auth: Arc<ClientAuth>) -> Arc<ClientAuth> {
        let Some(demand) = &auth.demand else { return auth };
        let demand = Some(share(&mut self.demands, Demand::clone(demand)));
        Arc::new(ClientAuth { demand, ..ClientAuth::clone(&auth) })
    }

    /// The one copy of `policy`.
    pub(super) fn policy(&mut self, policy: Policy) -> Arc<Policy> {
        share(&mut self.policies, policy)
    }

    /// Forgets what nothing has any more.
    pub(super) fn sweep(&mut self) {
        self.backend_tls.retain(|value| Arc::strong_count(value) > 1);
        self.host_tls.retain(|value| Arc::strong_count(value) > 1);
        self.demands.retain(|value| Arc::strong_count(value) > 1);
        self.cookies.retain(|value| Arc::strong_count(value) > 1);
        self.balancings.retain(|value| Arc::strong_count(value) > 1);
        self.backend_settings.retain(|value| Arc::strong_count(value) > 1);
        self.filters.retain(|value| Arc::strong_count(value) > 1);
        self.patterns.retain(|_, pattern| pattern.as_ref().is_ok_and(PathPattern::is_shared));
        self.policies.retain(|value| Arc::strong_count(value) > 1);
    }
}

fn share<T: Ord>(known: &mut BTreeSet<Arc<T>>, value: T) -> Arc<T> {
    let value = Arc::new(value);
    if let Some(known) = known.get(&value) {
        return Arc::clone(known);
    }
    known.insert(Arc::clone(&value));
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::TlsRedirect;

    #[test]
    fn equal_values_are_one_and_unused_ones_go() {
        let mut shared = Shared::default();
        let redirect = |status| TlsRedirect { status, port: None, only_from: None, keeps_slash: false };
        let filters = |status| Filters { tls_redirect: Some(redirect(status)), ..Filters::default() };
        let kept = shared.filters(filters(301));
        assert!(Arc::ptr_eq(&kept, &shared.filters(filters(301))));
        assert!(!Arc::ptr_eq(&kept, &shared.filters(filters(308))));
        shared.sweep();
        assert_eq!(shared.filters.len(), 1);
    }
}
