//! The metrics page: what is counted, and the present state of the backends.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::View;
use super::state::{self, State};
use crate::telemetry::exposition::{Exposition, Kind, Page};

/// The page in `form`. `now` is in seconds since the epoch.
pub(super) fn page(view: &View, form: Exposition, now: i64) -> String {
    let mut page = Page::new(form);
    view.metrics.write(&mut page, now);
    write_backends(&mut page, view);
    page.family(Kind::Gauge, "fairlead_cache_bytes", "Memory of the answers that are kept.")
        .count(&[], view.registry.cache().octets());
    page.finish()
}

#[derive(Default)]
struct Totals {
    endpoints: BTreeMap<State, u64>,
    in_flight: u64,
}

fn write_backends(page: &mut Page, view: &View) {
    let backends = view.registry.backends();
    let table = view.table.load();
    let settings = &table.config().backends;
    let mut totals: BTreeMap<(&str, &str, String), Totals> = BTreeMap::new();
    for backend in &backends {
        let service = &backend.id.service;
        let (namespace, name) =
            if view.metrics.is_per_ingress() { (&*service.namespace, &*service.name) } else { ("", "") };
        let total = totals.entry((namespace, name, backend.id.port.to_string())).or_default();
        let set = backend.endpoints.load();
        let balancing = settings.get(&backend.id).map(|settings| &*settings.balancing);
        let mut count = |state| *total.endpoints.entry(state).or_default() += 1;
        for endpoint in &set.candidates {
            count(balancing.map_or(State::Ready, |balancing| state::of_candidate(balancing, backend, endpoint)));
        }
        for endpoint in &set.elsewhere {
            count(balancing.map_or(State::Ready, |balancing| state::of_elsewhere(balancing, backend, endpoint)));
        }
        *total.endpoints.entry(State::Draining).or_default() += set.draining.len() as u64;
        total.in_flight += set.iter().map(|one| u64::from(one.in_flight.load(Ordering::Relaxed))).sum::<u64>();
    }
    let mut endpoints = page.family(Kind::Gauge, "fairlead_backend_endpoints", "Endpoints now, by state.");
    for ((namespace, service, port), total) in &totals {
        for state in State::ALL {
            let count = total.endpoints.get(&state).copied().unwrap_or_default();
            let labels = [("namespace", *namespace), ("service", *service), ("port", port), ("state", state.as_str())];
            if count > 0 || state == State::Ready {
                endpoints.count(&labels, count);
            }
        }
    }
    let mut in_flight = page.family(Kind::Gauge, "fairlead_backend_in_flight", "Requests at endpoints now.");
    for ((namespace, service, port), total) in &totals {
        in_flight.count(&[("namespace", namespace), ("service", service), ("port", port)], total.in_flight);
    }
}
