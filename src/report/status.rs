//! Which Ingresses get `status.loadBalancer`, and when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::address;
use super::pace::{Pace, Paced};
use crate::ir::Name;
use crate::snapshot::Ingress;

/// Shortest time between two writes.
const APART: Duration = Duration::from_millis(100);

/// One status to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) name: Name,
    uid: Arc<str>,
    addresses: Arc<[String]>,
}

/// What is to be written, and what was written lately.
#[derive(Debug)]
pub(super) struct Statuses {
    interval: Duration,
    /// What is to be written.
    pub(super) todo: Paced<Write>,
    /// What was written in the last interval: the Ingress that we know may not show it yet, and if somebody else writes
    /// too, we answer once in an interval.
    lately: BTreeMap<Name, (Write, Instant)>,
}

impl Statuses {
    /// Nothing written yet. A status that differs is written again after `interval`.
    pub(super) fn new(interval: Duration) -> Statuses {
        Statuses { interval, todo: Paced::new(Pace::new(APART, 1)), lately: BTreeMap::new() }
    }

    /// From here on the Ingresses whose status is not exactly `addresses` are to be written, the newest first: somebody waits
    /// for it. Without addresses nothing is.
    pub(super) fn plan(&mut self, ingresses: &[Arc<Ingress>], addresses: &[String], now: Instant) {
        self.lately.retain(|_, (_, at)| now.saturating_duration_since(*at) < self.interval);
        if addresses.is_empty() {
            return self.todo.plan(Vec::new());
        }
        self.want(ingresses, addresses);
    }

    /// From here on all that have a status are to lose it.
    pub(super) fn plan_clearing(&mut self, ingresses: &[Arc<Ingress>]) {
        self.lately.clear();
        self.want(ingresses, &[]);
    }

    fn want(&mut self, ingresses: &[Arc<Ingress>], addresses: &[String]) {
        let differs = |ingress: &&Arc<Ingress>| {
            let published = &ingress.published.0;
            published.len() != addresses.len() || published.iter().zip(addresses).any(|(a, b)| **a != **b)
        };
        let mut differing: Vec<&Arc<Ingress>> = ingresses.iter().filter(differs).collect();
        differing.sort_by_key(|ingress| ingress.meta.created);
        let addresses: Arc<[String]> = addresses.into();
        let write = |ingress: &Arc<Ingress>| Write {
            name: ingress.meta.object.name.clone(),
            uid: Arc::clone(&ingress.meta.uid),
            addresses: Arc::clone(&addresses),
        };
        let is_late = |write: &Write| self.lately.get(&write.name).is_none_or(|(before, _)| before != write);
        self.todo.plan(differing.into_iter().map(write).filter(is_late).collect());
    }

    /// It was written, or the API server has said no for good.
    pub(super) fn written(&mut self, write: Write, now: Instant) {
        self.lately.insert(write.name.clone(), (write, now));
    }

    /// Nothing is to be written any more.
    pub(super) fn forget(&mut self) {
        self.todo.plan(Vec::new());
        self.lately.clear();
    }
}

impl Write {
    /// Path of the status.
    pub(super) fn path(&self) -> String {
        let Name { namespace, name } = &self.name;
        format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/{name}/status")
    }

    /// What is applied: the whole list, which has one owner. An Ingress of the same name that is another one is refused by
    /// its uid.
    pub(super) fn object(&self) -> Value {
        let Name { namespace, name } = &self.name;
        let uid = Some(&*self.uid).filter(|uid| !uid.is_empty());
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"namespace": &**namespace, "name": &**name, "uid": uid},
            "status": {"loadBalancer": {"ingress": address::entries(&self.addresses)}},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::yaml;

    const INTERVAL: Duration = Duration::from_secs(60);

    /// Name, second of creation, addresses in the status.
    fn ingresses(all: &[(&str, u32, &str)]) -> Vec<Arc<Ingress>> {
        let one = |(name, second, status): &(&str, u32, &str)| {
            format!(
                "---\n{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: {name}, uid: u-{name},\n \
                 creationTimestamp: '2026-01-02T03:04:{second:02}Z'}}, spec: {{}}, status: {{loadBalancer: {{ingress: [{status}]}}}}}}\n"
            )
        };
        let text: String = all.iter().map(one).collect();
        let parsed = yaml::read(&text, "f.yaml");
        assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
        parsed.into_snapshot().ingresses.into_values().collect()
    }

    fn drain(statuses: &mut Statuses, now: &mut Instant) -> Vec<String> {
        let mut written = Vec::new();
        while let Some(due) = statuses.todo.due(*now) {
            *now = due;
            let write = statuses.todo.next(*now).unwrap();
            written.push(write.name.name.to_string());
            statuses.written(write, *now);
        }
        written
    }

    #[test]
    fn what_differs_is_written_the_newest_first_ten_a_second() {
        let start = Instant::now();
        let mut now = start;
        let mut statuses = Statuses::new(INTERVAL);
        let all = ingresses(&[
            ("old", 1, ""),
            ("new", 9, ""),
            ("equal", 5, "{ip: 192.0.2.1}, {hostname: lb.example}"),
            ("order", 4, "{hostname: lb.example}, {ip: 192.0.2.1}"),
            ("more", 3, "{ip: 192.0.2.1}, {hostname: lb.example}, {ip: 192.0.2.2}"),
        ]);
        statuses.plan(&all, &["192.0.2.1".to_owned(), "lb.example".to_owned()], now);
        assert_eq!(drain(&mut statuses, &mut now), ["new", "order", "more", "old"]);
        assert_eq!(now - start, Duration::from_millis(300));
    }

    #[test]
    fn the_same_is_written_again_after_an_interval_and_something_else_at_once() {
        let start = Instant::now();
        let mut statuses = Statuses::new(INTERVAL);
        let all = ingresses(&[("a", 1, "{ip: 192.0.2.9}")]);
        for (address, second, is_written) in [
            ("192.0.2.1", 0, true),
            ("192.0.2.1", 1, false),
            ("192.0.2.2", 2, true),
            ("192.0.2.2", 61, false),
            ("192.0.2.2", 63, true),
            ("192.0.2.9", 64, false),
        ] {
            let mut now = start + Duration::from_secs(second);
            statuses.plan(&all, &[address.to_owned()], now);
            assert_eq!(drain(&mut statuses, &mut now).len(), usize::from(is_written), "{address} at {second} s");
        }
    }

    #[test]
    fn without_an_address_nothing_is_written_and_clearing_writes_those_that_have_one() {
        let mut now = Instant::now();
        let mut statuses = Statuses::new(INTERVAL);
        let all = ingresses(&[("a", 1, "{ip: 192.0.2.1}"), ("b", 2, "")]);
        statuses.plan(&all, &[], now);
        assert_eq!(statuses.todo.due(now), None);
        statuses.plan_clearing(&all);
        let write = statuses.todo.next(now).unwrap();
        assert_eq!(write.object()["status"], json!({"loadBalancer": {"ingress": []}}));
        assert_eq!(drain(&mut statuses, &mut now), [""; 0]);
    }

    #[test]
    fn what_is_applied_names_the_very_ingress_and_the_whole_list() {
        let now = Instant::now();
        let mut statuses = Statuses::new(INTERVAL);
        statuses.plan(&ingresses(&[("a", 1, "")]), &["192.0.2.1".to_owned(), "lb.example".to_owned()], now);
        let write = statuses.todo.next(now).unwrap();
        assert_eq!(write.path(), "/apis/networking.k8s.io/v1/namespaces/default/ingresses/a/status");
        assert_eq!(
            write.object(),
            json!({
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"namespace": "default", "name": "a", "uid": "u-a"},
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.example"}]}},
            })
        );
    }
}
