//! How many replicas of ours are ready: what `limit-scope: cluster` divides by.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::ir::Name;
use crate::settings::CompileOptions;
use crate::snapshot::{EndpointSlice, SliceEndpoint, Snapshot};

/// The ready endpoints of our own Service, at least one. `None`: no Service is known to be ours, by `--publish-service` or
/// by our own Pod.
pub fn replicas(snapshot: &Snapshot, options: &CompileOptions) -> Option<u32> {
    let own = options.own.as_ref()?;
    let published = own.service.as_ref().and_then(|service| snapshot.slices.get(service));
    if let Some(slices) = published {
        return Some(ready(slices));
    }
    // A Pod may be behind several Services; the widest is the one that clients come by.
    let pod = own.pod.as_ref()?;
    let first = Name { namespace: Arc::clone(&pod.namespace), name: Arc::from("") };
    let here = snapshot.slices.range(first..).take_while(|(service, _)| service.namespace == pod.namespace);
    here.filter(|(_, slices)| entries(slices).any(|entry| entry.pod.as_ref() == Some(&pod.name)))
        .map(|(_, slices)| ready(slices))
        .max()
}

fn entries(slices: &[Arc<EndpointSlice>]) -> impl Iterator<Item = &SliceEndpoint> {
    slices.iter().flat_map(|slice| &slice.endpoints)
}

/// Each Pod once, whatever number of addresses and slices it has.
fn ready(slices: &[Arc<EndpointSlice>]) -> u32 {
    let who = |entry: &SliceEndpoint| -> (Option<Arc<str>>, Option<IpAddr>) {
        match &entry.pod {
            Some(pod) => (Some(Arc::clone(pod)), None),
            None => (None, entry.addresses.first().copied()),
        }
    };
    let all: BTreeSet<_> = entries(slices).filter(|entry| entry.ready).map(who).collect();
    u32::try_from(all.len()).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Own;
    use crate::snapshot::yaml;

    const SLICES: &str = "
        web-1     web     {addresses: [10.0.0.1], targetRef: {kind: Pod, name: p1}}
        web-1     web     {addresses: [10.0.0.2], targetRef: {kind: Pod, name: p2}}
        web-2     web     {addresses: ['fd00::2'], targetRef: {kind: Pod, name: p2}}
        web-2     web     {addresses: [10.0.0.3], targetRef: {kind: Pod, name: p3}, conditions: {ready: false}}
        metrics-1 metrics {addresses: [10.0.0.1], targetRef: {kind: Pod, name: p1}}
        other-1   other   {addresses: [10.0.0.9]}
        other-1   other   {addresses: [10.0.0.8]}
        other-1   other   {addresses: [10.0.0.7]}
        idle-1    idle    {addresses: [10.0.0.7], conditions: {ready: false}}
    ";

    fn snapshot() -> Snapshot {
        let mut objects = std::collections::BTreeMap::<(&str, &str), Vec<&str>>::new();
        for line in SLICES.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.splitn(2, ' ');
            let slice = words.next().unwrap();
            let (service, endpoint) = words.next().unwrap().trim_start().split_once(' ').unwrap();
            objects.entry((slice, service)).or_default().push(endpoint.trim());
        }
        let slice = |((slice, service), endpoints): (&(&str, &str), &Vec<&str>)| {
            let family = if endpoints.iter().any(|endpoint| endpoint.contains("fd00")) { "IPv6" } else { "IPv4" };
            format!(
                "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{namespace: edge, name: {slice}, \
                 labels: {{kubernetes.io/service-name: {service}}}}}\naddressType: {family}\nports: []\nendpoints: [{}]\n---\n",
                endpoints.join(", ")
            )
        };
        yaml::read(&objects.iter().map(slice).collect::<String>(), "test.yaml").into_snapshot()
    }

    #[test]
    fn the_ready_pods_of_our_own_service_are_counted() {
        let snapshot = snapshot();
        let edge = |name: &str| Some(Name::new("edge", name));
        for (service, pod, expected) in [
            (edge("web"), None, Some(2)),
            (edge("other"), edge("p1"), Some(3)),
            (edge("idle"), None, Some(1)),
            (edge("gone"), edge("p1"), Some(2)),
            (None, edge("p1"), Some(2)),
            (None, edge("p3"), Some(2)),
            (None, edge("nobody"), None),
            (None, Some(Name::new("elsewhere", "p1")), None),
            (edge("gone"), None, None),
            (None, None, None),
        ] {
            let shown = format!("{service:?} {pod:?}");
            let options = CompileOptions { own: Some(Own { service, pod }), ..CompileOptions::default() };
            assert_eq!(replicas(&snapshot, &options), expected, "{shown}");
        }
        assert_eq!(replicas(&snapshot, &CompileOptions::default()), None);
    }
}
