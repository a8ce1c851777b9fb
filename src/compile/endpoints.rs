//! The second road: the endpoints of one backend from slices, Pods and DNS, with no new table.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::claim::problem;
use super::ingress::annotations::is_number;
use super::keys::Keys;
use super::resolve::refused_address;
use crate::ir::{Backend, Endpoint, EndpointSet, EndpointSource, Name, Object, Problem, Reason, Severity, Unready};
use crate::snapshot::{AddressFamily, EndpointSlice, SliceEndpoint, Snapshot, Uid};

/// Addresses that a DNS name resolved to, with the port left to the backend. Absent = never answered.
pub type Resolved = BTreeMap<Arc<str>, Vec<IpAddr>>;

/// Weight of an endpoint whose Pod has no label.
const DEFAULT_WEIGHT: u16 = 1;
/// The largest weight.
const HEAVIEST: u16 = 1000;

/// The endpoints of one backend. The problem says why there is none.
pub fn endpoints(snapshot: &Snapshot, backend: &Backend, resolved: &Resolved) -> (EndpointSet, Vec<Problem>) {
    match &backend.source {
        // What is wrong was said when it was compiled.
        EndpointSource::None => (EndpointSet::default(), Vec::new()),
        // Which Pod is behind it the cluster says anew with each connection, so there is nothing to keep a client at.
        EndpointSource::Fixed(address) => {
            let only = Endpoint {
                address: *address,
                pod: None,
                weight: DEFAULT_WEIGHT,
                key: None,
                draining: false,
                elsewhere: false,
            };
            (EndpointSet::of(vec![only]), Vec::new())
        }
        EndpointSource::Slices { port_name, target_port, prefer_ipv6 } => {
            let port = SlicePortRule { name: port_name, number: *target_port };
            from_slices(snapshot, backend, &port, *prefer_ipv6)
        }
        EndpointSource::Dns { name, port, allow_loopback } => {
            from_dns(snapshot, backend, name, *port, *allow_loopback, resolved)
        }
    }
}

/// How the port of an endpoint is found in its slice.
struct SlicePortRule<'a> {
    name: &'a str,
    number: Option<u16>,
}

impl SlicePortRule<'_> {
    /// The slice port of that name; in a slice without it a numeric target port.
    fn port(&self, slice: &EndpointSlice) -> Option<u16> {
        let named = slice.ports.iter().find(|port| port.is_tcp && *port.name == *self.name);
        named.and_then(|port| port.port).or(self.number)
    }
}

/// How much an endpoint can be used, from the least to the most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// Neither ready nor serving.
    None,
    /// Serving, not ready: taken when nothing else is there, since it may still answer (kube-proxy's rule).
    LastResort,
    /// Ready, or nothing said about it.
    Ready,
}

/// One address, as the best of the slice entries that have it.
struct Candidate<'a> {
    pod: Option<Arc<str>>,
    pod_uid: Option<&'a Uid>,
    zones: &'a [Arc<str>],
    best: Use,
    is_terminating: bool,
}

fn from_slices(
    snapshot: &Snapshot,
    backend: &Backend,
    port: &SlicePortRule<'_>,
    prefer_ipv6: bool,
) -> (EndpointSet, Vec<Problem>) {
    let slices = snapshot.slices.get(&backend.id.service);
    let candidates = candidates(slices.into_iter().flatten(), port);
    let object = blamed(snapshot, backend);
    let keys = Keys::of(snapshot, backend);
    // A Pod with two addresses must not count twice, so one family is used as long as it has something to use.
    let best = |ipv6: bool| {
        candidates.iter().filter(|(at, _)| at.is_ipv6() == ipv6).map(|(_, found)| found.best).max().unwrap_or(Use::None)
    };
    let ipv6 = if best(!prefer_ipv6) > best(prefer_ipv6) { !prefer_ipv6 } else { prefer_ipv6 };
    let chosen = best(ipv6);
    let own = candidates.iter().filter(|(at, _)| at.is_ipv6() == ipv6);
    let ready = own.clone().map(|(_, found)| found).filter(|found| found.best == Use::Ready);
    let zone = our_zone(snapshot, backend, ready);
    // What still serves is for when nothing else is there, or for who is at it already.
    let is_idle = |found: &Candidate<'_>| found.best == Use::None || (found.best < chosen && !found.is_terminating);
    let mut problems = Vec::new();
    let mut endpoints = Vec::new();
    for (address, found) in own {
        // Where none is ready all drain, and are taken as a last resort.
        let draining = found.best < Use::Ready;
        if is_idle(found) {
            continue;
        }
        let elsewhere = found.best == Use::Ready && zone.is_some_and(|zone| !found.zones.contains(zone));
        let weight = match found.pod.as_ref().map_or(Ok(DEFAULT_WEIGHT), |pod| weight(snapshot, backend, pod)) {
            Ok(weight) => weight,
            Err(written) => {
                problems.push(problem(
                    &object,
                    Severity::Warning,
                    Reason::WeightInvalid,
                    "",
                    format!(
                        "Pod {}: weight {written:?} is none; it counts as 1",
                        found.pod.as_deref().unwrap_or_default()
                    ),
                    right_weight(written),
                ));
                DEFAULT_WEIGHT
            }
        };
        let key = keys.as_ref().map(|keys| keys.key(found.pod_uid, *address));
        endpoints.push(Endpoint { address: *address, pod: found.pod.clone(), weight, key, draining, elsewhere });
    }
    let idle = candidates.iter().filter(|(_, found)| is_idle(found));
    let unready = idle.map(|(at, found)| Unready { address: *at, terminating: found.is_terminating }).collect();
    if chosen == Use::None {
        let (message, hint) = why_none(backend, slices, &candidates);
        problems.push(problem(&object, Severity::Error, Reason::NoEndpoints, "", message, hint));
    }
    problems.sort_unstable();
    problems.dedup();
    (EndpointSet { endpoints, unready }, problems)
}

/// Our zone, if it is preferred and every ready endpoint says for which zones it is meant.
fn our_zone<'a, 'c: 'a>(
    snapshot: &'a Snapshot,
    backend: &Backend,
    mut ready: impl Iterator<Item = &'a Candidate<'c>>,
) -> Option<&'a Arc<str>> {
    let zone = snapshot.zone.as_ref().filter(|_| backend.balancing.prefer_zone)?;
    ready.all(|found| !found.zones.is_empty()).then_some(zone)
}

fn candidates<'a>(
    slices: impl Iterator<Item = &'a Arc<EndpointSlice>>,
    port: &SlicePortRule<'_>,
) -> BTreeMap<SocketAddr, Candidate<'a>> {
    let mut candidates: BTreeMap<SocketAddr, Candidate<'a>> = BTreeMap::new();
    for slice in slices {
        let Some(port) = port.port(slice) else { continue };
        for endpoint in &slice.endpoints {
            for address in endpoint.addresses.iter().filter(|address| is_of(**address, slice.family)) {
                let found = Candidate {
                    pod: endpoint.pod.clone(),
                    pod_uid: endpoint.pod_uid.as_ref(),
                    zones: &endpoint.zones,
                    best: usable(endpoint),
                    is_terminating: endpoint.terminating,
                };
                // While an endpoint moves between slices it is in two of them; the better word counts.
                let is_better =
                    |old: &Candidate<'_>| (found.best, &found.pod, found.pod_uid) > (old.best, &old.pod, old.pod_uid);
                let at = SocketAddr::new(*address, port);
                if candidates.get(&at).is_none_or(is_better) {
                    candidates.insert(at, found);
                }
            }
        }
    }
    candidates
}

fn usable(endpoint: &SliceEndpoint) -> Use {
    match (endpoint.ready, endpoint.serving) {
        (true, _) => Use::Ready,
        (false, true) => Use::LastResort,
        (false, false) => Use::None,
    }
}

fn is_of(address: IpAddr, family: AddressFamily) -> bool {
    match family {
        AddressFamily::Other => false,
        AddressFamily::V4 => address.is_ipv4(),
        AddressFamily::V6 => address.is_ipv6(),
    }
}

/// The weight of a Pod; `Err` is the label that is none.
fn weight<'a>(snapshot: &'a Snapshot, backend: &Backend, pod: &Arc<str>) -> Result<u16, &'a str> {
    let name = Name { namespace: Arc::clone(&backend.id.service.namespace), name: Arc::clone(pod) };
    let Some(pod) = snapshot.pods.get(&name) else { return Ok(DEFAULT_WEIGHT) };
    match pod.weight.parse() {
        Ok(weight @ DEFAULT_WEIGHT..=HEAVIEST) => Ok(weight),
        _ => Err(&pod.weight),
    }
}

/// What to write in place of a label that is no weight.
fn right_weight(written: &str) -> String {
    let digits = written.trim_start_matches('0');
    match () {
        () if is_number(written) && digits.is_empty() => format!("write {DEFAULT_WEIGHT}, the least"),
        () if is_number(digits) => format!("write {HEAVIEST}, the most"),
        () => format!("label it fairlead.dev/weight with a whole number from {DEFAULT_WEIGHT} to {HEAVIEST}"),
    }
}

fn why_none(
    backend: &Backend,
    slices: Option<&Vec<Arc<EndpointSlice>>>,
    candidates: &BTreeMap<SocketAddr, Candidate<'_>>,
) -> (String, String) {
    let service = &backend.id.service;
    let is_read = |slice: &Arc<EndpointSlice>| slice.family != AddressFamily::Other && !slice.endpoints.is_empty();
    let has_endpoints = slices.is_some_and(|slices| slices.iter().any(is_read));
    if !has_endpoints {
        let message = format!("Service {service} has no endpoint, so requests get 503");
        let hint = "check that its selector matches Pods, or add an EndpointSlice labelled kubernetes.io/service-name";
        return (message, hint.to_owned());
    }
    if candidates.is_empty() {
        let message =
            format!("no EndpointSlice of Service {service} has port {}, so requests get 503", backend.id.port);
        return (message, "give the slice's port the name of the Service's port".to_owned());
    }
    let message = format!("none of {} endpoints of Service {service} is ready, so requests get 503", candidates.len());
    (message, "look at the Pods' readiness".to_owned())
}

fn from_dns(
    snapshot: &Snapshot,
    backend: &Backend,
    name: &Arc<str>,
    port: u16,
    allow_loopback: bool,
    resolved: &Resolved,
) -> (EndpointSet, Vec<Problem>) {
    let object = blamed(snapshot, backend);
    // The backend of a URL has no Service.
    let is_url = backend.id.service.namespace.is_empty();
    let field = if is_url { &*backend.origin.field } else { "spec.externalName" };
    let literal = name.parse::<IpAddr>().ok().map(|address| vec![address]);
    let addresses = literal.as_ref().or_else(|| resolved.get(name)).map_or(&[] as &[IpAddr], Vec::as_slice);
    if addresses.is_empty() {
        let unresolved = problem(
            &object,
            Severity::Error,
            Reason::ExternalNameUnresolved,
            field,
            format!("{name} has no address, so {}", if is_url { "nobody answers there" } else { "requests get 503" }),
            "check the name, and that DNS answers here",
        );
        return (EndpointSet::default(), vec![unresolved]);
    }
    let keys = Keys::of(snapshot, backend);
    let mut problems = Vec::new();
    let mut endpoints = Vec::new();
    for address in addresses {
        if let Some(why) = refused_address(*address, allow_loopback) {
            problems.push(problem(
                &object,
                Severity::Error,
                Reason::ExternalNameRefused,
                field,
                format!("{name} resolves to {address}, which {why}"),
                "name a host outside this machine and its link",
            ));
            continue;
        }
        let address = SocketAddr::new(*address, port);
        let key = keys.as_ref().map(|keys| keys.key(None, address));
        endpoints.push(Endpoint { address, pod: None, weight: DEFAULT_WEIGHT, key, draining: false, elsewhere: false });
    }
    endpoints.sort_unstable();
    endpoints.dedup();
    problems.sort_unstable();
    (EndpointSet::of(endpoints), problems)
}

/// The Service, or if it is gone what names it.
fn blamed(snapshot: &Snapshot, backend: &Backend) -> Arc<Object> {
    match snapshot.services.get(&backend.id.service) {
        Some(service) => Arc::clone(&service.meta.object),
        None => Arc::clone(&backend.origin.object),
    }
}
