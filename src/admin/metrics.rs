//! The metrics page: what is counted, and the present state of the backends.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::View;
use crate::telemetry::exposition::{Exposition, Kind, Page};

/// The page in `form`. `now` is in seconds since the epoch.
pub(super) fn page(view: &View, form: Exposition, now: i64) -> String {
    let mut page = Page::new(form);
    view.metrics.write(&mut page, now);
    write_backends(&mut page, view);
    page.finish()
}

#[derive(Default)]
struct Totals {
    ready: u64,
    draining: u64,
    in_flight: u64,
}

fn write_backends(page: &mut Page, view: &View) {
    let backends = view.registry.backends();
    let mut totals: BTreeMap<(&str, &str, String), Totals> = BTreeMap::new();
    for backend in &backends {
        let service = &backend.id.service;
        let (namespace, name) =
            if view.metrics.is_per_ingress() { (&*service.namespace, &*service.name) } else { ("", "") };
        let total = totals.entry((namespace, name, backend.id.port.to_string())).or_default();
        let set = backend.endpoints.load();
        total.ready += set.candidates.len() as u64;
        total.draining += set.draining.len() as u64;
        total.in_flight += set.iter().map(|one| u64::from(one.in_flight.load(Ordering::Relaxed))).sum::<u64>();
    }
    let mut endpoints = page.family(Kind::Gauge, "fairlead_backend_endpoints", "Endpoints now, by state.");
    for ((namespace, service, port), total) in &totals {
        let labels = |state| [("namespace", *namespace), ("service", *service), ("port", port), ("state", state)];
        endpoints.count(&labels("ready"), total.ready);
        if total.draining > 0 {
            endpoints.count(&labels("draining"), total.draining);
        }
    }
    let mut in_flight = page.family(Kind::Gauge, "fairlead_backend_in_flight", "Requests at endpoints now.");
    for ((namespace, service, port), total) in &totals {
        in_flight.count(&[("namespace", namespace), ("service", service), ("port", port)], total.in_flight);
    }
}
