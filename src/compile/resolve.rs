//! A Service port by the name or number an Ingress writes: identity, protocol and where its endpoints come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::claim::{BackendFacts, problem};
use super::ingress::annotations;
use super::view::View;
use crate::ir::{BackendId, EndpointSource, Name, PortKey, Problem, Protocol, Reason, Severity};
use crate::settings::CompileOptions;
use crate::settings::suggest::nearest;
use crate::snapshot::{Service, ServicePort, ServiceType, TargetPort};

/// A Service port as the far side.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Resolution {
    /// Its identity.
    pub(super) id: BackendId,
    /// What the Service says.
    pub(super) facts: BackendFacts,
    /// What is to be said at the field that names it.
    pub(super) fault: Option<Fault>,
    /// What is to be said about the Service itself.
    pub(super) notes: Vec<Problem>,
}

/// A problem that still lacks the object and field that name the Service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    /// How much it hurts.
    pub(super) severity: Severity,
    /// Why.
    pub(super) reason: Reason,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) hint: String,
}

/// Finds port `port` of Service `name`. What cannot be served has no endpoints, so that requests get 503 and not
/// somebody else's answer.
pub(super) fn resolve(view: &mut View<'_>, name: &Name, port: &PortKey) -> Resolution {
    let Some(service) = view.service(name) else {
        let near = nearest(&name.name, view.service_neighbours(name)).join(", ");
        let hint = if near.is_empty() { "create it".to_owned() } else { format!("create it, or name one of: {near}") };
        return nowhere(name, port, Reason::ServiceNotFound, format!("no Service {name}"), hint);
    };
    let found = match service.service_type {
        ServiceType::Cluster => cluster(service, name, port),
        ServiceType::ExternalName => external(service, name, port, view.options),
    };
    let mut resolution = match found {
        Ok(resolution) => resolution,
        Err(fault) => nowhere(name, port, fault.reason, fault.message, fault.hint),
    };
    annotations::read_service(service, &mut resolution);
    if service.client_ip_affinity {
        resolution.notes.push(problem(
            &service.meta.object,
            Severity::Info,
            Reason::ServiceSettingIgnored,
            "spec.sessionAffinity",
            "sessionAffinity ClientIP has no effect: requests go to endpoints directly",
            "for stickiness use the annotation affinity: cookie, or load-balance: ip_hash",
        ));
    }
    resolution
}

/// The first port of a Service, as `--default-backend-service` means it.
pub(super) fn first_port(service: &Service) -> PortKey {
    service.ports.iter().find(|port| port.is_tcp).map_or(PortKey::Number(80), key)
}

fn cluster(service: &Service, name: &Name, port: &PortKey) -> Result<Resolution, Fault> {
    let slices = |port_name: &Arc<str>, target_port| EndpointSource::Slices {
        port_name: Arc::clone(port_name),
        target_port,
        prefer_ipv6: service.prefer_ipv6,
    };
    let traffic = service.traffic_distribution.clone().map(|text| (Arc::clone(&service.meta.object), text));
    if let (true, true, PortKey::Number(number)) = (service.is_headless, service.ports.is_empty(), port) {
        let mut resolution = found(name, PortKey::Number(*number), Protocol::Http1, slices(&"".into(), Some(*number)));
        resolution.facts.traffic = traffic;
        return Ok(resolution);
    }
    let declared = declared(service, name, port)?;
    let target_port = match &declared.target_port {
        Some(TargetPort::Number(number)) => Some(*number),
        Some(TargetPort::Name(_)) => None,
        // The API server would have written `port` here.
        None => Some(declared.port),
    };
    let mut resolution = found(name, key(declared), protocol(declared), slices(&declared.name, target_port));
    resolution.facts.own_address = service.cluster_ip.map(|address| SocketAddr::new(address, declared.port));
    resolution.facts.traffic = traffic;
    Ok(resolution)
}

fn external(service: &Service, name: &Name, port: &PortKey, options: &CompileOptions) -> Result<Resolution, Fault> {
    let refused = |message: String, hint: &str| Fault {
        severity: Severity::Error,
        reason: Reason::ExternalNameRefused,
        message,
        hint: hint.to_owned(),
    };
    if options.disable_external_name {
        return Err(refused(
            format!("Service {name} is of type ExternalName"),
            "start without --disable-svc-external-name, or use a Service with a selector",
        ));
    }
    let written = service.external_name.as_deref().unwrap_or_default();
    let target = written.strip_suffix('.').unwrap_or(written).to_ascii_lowercase();
    if let Some(why) = refusal(&target, options.folder) {
        return Err(refused(
            format!("Service {name}: externalName {written:?} {why}"),
            "name a host outside this machine and its link",
        ));
    }
    let (key, protocol, number) = match (declared(service, name, port), port) {
        (Ok(declared), _) => {
            let number = match declared.target_port {
                Some(TargetPort::Number(number)) => number,
                Some(TargetPort::Name(_)) | None => declared.port,
            };
            (key(declared), protocol(declared), number)
        }
        (Err(_), PortKey::Number(number)) => (PortKey::Number(*number), Protocol::Http1, *number),
        (Err(fault), PortKey::Name(_)) => return Err(fault),
    };
    let source = EndpointSource::Dns { name: target.into(), port: number, allow_loopback: options.folder };
    let mut resolution = found(name, key, protocol, source);
    resolution.fault = Some(Fault {
        severity: Severity::Info,
        reason: Reason::ExternalNameHostKept,
        message: format!("requests to Service {name} keep the client's Host, not {written}"),
        hint: "set the annotation upstream-vhost if the far side needs its own name".to_owned(),
    });
    Ok(resolution)
}

/// The ServicePort that `port` means, if TCP is spoken on it.
fn declared<'a>(service: &'a Service, name: &Name, port: &PortKey) -> Result<&'a ServicePort, Fault> {
    let is_meant = |declared: &&ServicePort| match port {
        PortKey::Name(name) => !declared.name.is_empty() && declared.name == *name,
        PortKey::Number(number) => declared.port == *number,
    };
    let not_found = |message: String| {
        let ports: Vec<String> = service.ports.iter().filter(|port| port.is_tcp).map(describe).collect();
        let hint = if ports.is_empty() {
            "declare the port in spec.ports of the Service".to_owned()
        } else {
            format!("name one of: {}", ports.join(", "))
        };
        Fault { severity: Severity::Error, reason: Reason::PortNotFound, message, hint }
    };
    // Whoever names the port of the Pods means the one that leads there, as in ingress-nginx.
    let is_target = |declared: &&ServicePort| match (port, &declared.target_port) {
        (PortKey::Name(name), Some(TargetPort::Name(target))) => name == target,
        (PortKey::Number(number), Some(TargetPort::Number(target))) => number == target,
        _ => false,
    };
    let ports = service.ports.iter();
    let mut candidates = ports.clone().filter(is_meant).chain(ports.filter(is_target));
    match candidates.clone().find(|port| port.is_tcp).or_else(|| candidates.next()) {
        Some(declared) if declared.is_tcp => Ok(declared),
        Some(_) => Err(not_found(format!("port {port} of Service {name} is not TCP"))),
        None => Err(not_found(format!("Service {name} has no port {port}"))),
    }
}

fn describe(port: &ServicePort) -> String {
    if port.name.is_empty() { port.port.to_string() } else { format!("{} ({})", port.name, port.port) }
}

fn key(port: &ServicePort) -> PortKey {
    if port.name.is_empty() { PortKey::Number(port.port) } else { PortKey::Name(Arc::clone(&port.name)) }
}

/// `appProtocol`, as far as Kubernetes gives it a standard meaning; all else is HTTP/1.1.
fn protocol(port: &ServicePort) -> Protocol {
    match port.app_protocol.as_deref() {
        Some("kubernetes.io/h2c") => Protocol::H2c,
        Some("https" | "kubernetes.io/wss") => Protocol::Https,
        _ => Protocol::Http1,
    }
}

fn found(name: &Name, port: PortKey, protocol: Protocol, source: EndpointSource) -> Resolution {
    Resolution {
        id: BackendId::new(name.clone(), port),
        facts: BackendFacts::of(protocol, source),
        fault: None,
        notes: Vec::new(),
    }
}

fn nowhere(name: &Name, port: &PortKey, reason: Reason, message: String, hint: String) -> Resolution {
    let mut resolution = found(name, port.clone(), Protocol::Http1, EndpointSource::None);
    resolution.fault = Some(Fault { severity: Severity::Error, reason, message, hint });
    resolution
}

/// Why an external name is not asked for, as a sentence part.
pub(super) fn refusal(name: &str, allow_loopback: bool) -> Option<&'static str> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return refused_address(address, allow_loopback);
    }
    let is_local = name == "localhost" || name.ends_with(".localhost");
    if is_local && !allow_loopback {
        return Some("is this machine itself");
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    (name.is_empty() || name.len() > 253 || !name.split('.').all(is_label)).then_some("is no DNS name")
}

/// Why nothing is sent to an address that a DNS name gave, as a sentence part. An IPv4
/// address written as IPv6 counts as what it is.
pub(super) fn refused_address(address: IpAddr, allow_loopback: bool) -> Option<&'static str> {
    let address = address.to_canonical();
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    match () {
        () if address.is_loopback() && !allow_loopback => Some("is this machine itself"),
        () if is_link_local => Some("is a link-local address"),
        () if address.is_unspecified() => Some("is the unspecified address"),
        () if address.is_multicast() => Some("is a multicast address"),
        () if METADATA.contains(&address) => Some("is where clouds tell a machine its secrets"),
        () => None,
    }
}

/// Where clouds tell a machine what it is and may, where that is no link-local address: Alibaba, Oracle, Azure, AWS, Google.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_that_are_never_asked() {
        for (name, in_cluster, in_folder) in [
            ("api.example.com", false, false),
            ("a_b.example", false, false),
            ("localhost", true, false),
            ("x.localhost", true, false),
            ("127.0.0.1", true, false),
            ("::1", true, false),
            ("::ffff:127.0.0.1", true, false),
            ("169.254.169.254", true, true),
            ("fe80::1", true, true),
            ("100.100.100.200", true, true),
            ("192.0.0.192", true, true),
            ("::ffff:168.63.129.16", true, true),
            ("fd00:ec2::254", true, true),
            ("fd20:ce::254", true, true),
            ("fd00:ec2::253", false, false),
            ("0.0.0.0", true, true),
            ("::", true, true),
            ("224.0.0.1", true, true),
            ("ff02::1", true, true),
            ("10.0.0.1", false, false),
            ("", true, true),
            ("a..b", true, true),
            ("a b", true, true),
        ] {
            assert_eq!(refusal(name, false).is_some(), in_cluster, "{name} in a cluster");
            assert_eq!(refusal(name, true).is_some(), in_folder, "{name} in a folder");
        }
    }
}
