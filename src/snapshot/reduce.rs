//! Kubernetes' own types reduced to the fields that are read; all else is dropped, which is most of the memory.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{
    AddressFamily, Annotations, ConfigMap, EndpointSlice, Ingress, IngressBackend, IngressClass, IngressPath,
    IngressRule, IngressTls, Meta, PathType, Pod, Published, Secret, SecretParts, Service, ServicePort, ServiceType,
    SliceEndpoint, SlicePort, Strings, TargetPort, Uid, Version, raw, secret,
};
use crate::ir::{Kind, Name, Object, PortKey};

/// The namespace of an object in a folder that names none.
const DEFAULT_NAMESPACE: &str = "default";
const SERVICE_OF_SLICE: &str = "kubernetes.io/service-name";
const WEIGHT: &str = "fairlead.dev/weight";
const OURS: &str = "fairlead.dev/";

/// Where a document stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) file: &'a Arc<str>,
    pub(super) line: u32,
}

/// Reduces objects. `Err` is a sentence part: what the API server would have refused.
pub(super) struct Reducer<'a> {
    pub(super) strings: &'a mut Strings,
    /// `--annotations-prefix` with the slash.
    pub(super) prefix: &'a str,
    /// `None` for what the API server sent.
    pub(super) place: Option<Place<'a>>,
}

impl Reducer<'_> {
    pub(super) fn ingress(&mut self, from: raw::Ingress) -> Result<Ingress, String> {
        let meta = self.meta(Kind::Ingress, &from.metadata)?;
        let networking::IngressSpec { default_backend, ingress_class_name, rules, tls } = from.spec.unwrap_or_default();
        let annotations = self.annotations(from.metadata.annotations, |name, prefix| {
            name.starts_with(OURS) || name.starts_with(prefix) || name == "kubernetes.io/ingress.class"
        });
        let default_backend = match default_backend {
            Some(backend) => Some(self.backend(backend, "spec.defaultBackend")?),
            None => None,
        };
        let tls = tls.unwrap_or_default().into_iter().map(|entry| IngressTls {
            hosts: entry.hosts.unwrap_or_default().into_iter().map(Arc::from).collect(),
            secret: entry.secret_name.filter(|name| !name.is_empty()).map(|name| self.strings.share(&name)),
        });
        let tls = tls.collect();
        let mut reduced = Vec::new();
        for (index, rule) in rules.unwrap_or_default().into_iter().enumerate() {
            reduced.push(self.rule(rule, index)?);
        }
        let class = ingress_class_name.map(|class| self.strings.share(&class));
        let published = self.published(from.status);
        let mut ingress = Ingress { meta, annotations, class, default_backend, tls, rules: reduced, published };
        ingress.rules.shrink_to_fit();
        ingress.meta.version = Version::of(&ingress);
        Ok(ingress)
    }

    fn published(&mut self, status: Option<networking::IngressStatus>) -> Published {
        let balancer = status.and_then(|status| status.load_balancer).unwrap_or_default();
        let entries = balancer.ingress.unwrap_or_default().into_iter();
        let address = |entry: networking::IngressLoadBalancerIngress| entry.ip.or(entry.hostname);
        Published(entries.filter_map(address).map(|address| self.strings.share(&address)).collect())
    }

    fn rule(&mut self, rule: networking::IngressRule, index: usize) -> Result<IngressRule, String> {
        let mut paths = Vec::new();
        for (number, path) in rule.http.unwrap_or_default().paths.into_iter().enumerate() {
            let field = format_args!("spec.rules[{index}].http.paths[{number}].backend").to_string();
            paths.push(IngressPath {
                path: path.path.map(|path| self.strings.share(&path)),
                path_type: match path.path_type.as_str() {
                    "Exact" => PathType::Exact,
                    "Prefix" => PathType::Prefix,
                    "ImplementationSpecific" | "" => PathType::ImplementationSpecific,
                    other => PathType::Unknown(self.strings.share(other)),
                },
                backend: self.backend(path.backend, &field)?,
            });
        }
        paths.shrink_to_fit();
        Ok(IngressRule { host: rule.host.map(Arc::from), paths })
    }

    fn backend(&mut self, from: networking::IngressBackend, field: &str) -> Result<IngressBackend, String> {
        if let Some(resource) = from.resource {
            return Ok(IngressBackend::Resource { kind: resource.kind.into(), name: resource.name.into() });
        }
        let Some(service) = from.service else { return Ok(IngressBackend::Missing) };
        let port = service.port.unwrap_or_default();
        let port = match (port.name.filter(|name| !name.is_empty()), port.number.filter(|&number| number != 0)) {
            (Some(name), _) => Some(PortKey::Name(self.strings.share(&name))),
            (None, Some(number)) => {
                Some(PortKey::Number(port_number(number, || format!("{field}.service.port.number"))?))
            }
            (None, None) => None,
        };
        Ok(IngressBackend::Service { name: self.strings.share(&service.name), port })
    }

    pub(super) fn class(&mut self, from: raw::IngressClass) -> Result<IngressClass, String> {
        let meta = self.meta(Kind::IngressClass, &from.metadata)?;
        let spec = from.spec.unwrap_or_default();
        let annotations = from.metadata.annotations.unwrap_or_default();
        let mut class = IngressClass {
            meta,
            controller: spec.controller.unwrap_or_default().into(),
            is_default: annotations.get("ingressclass.kubernetes.io/is-default-class").is_some_and(|v| v == "true"),
            has_parameters: spec.parameters.is_some(),
        };
        class.meta.version = Version::of(&class);
        Ok(class)
    }

    pub(super) fn service(&mut self, from: raw::Service) -> Result<Service, String> {
        let meta = self.meta(Kind::Service, &from.metadata)?;
        let spec = from.spec.unwrap_or_default();
        let mut ports = Vec::new();
        for (index, port) in spec.ports.unwrap_or_default().into_iter().enumerate() {
            ports.push(ServicePort {
                name: self.strings.share(&port.name.unwrap_or_default()),
                port: port_number(port.port, || format!("spec.ports[{index}].port"))?,
                target_port: self.target_port(port.target_port, index)?,
                is_tcp: is_tcp(port.protocol.as_deref()),
                app_protocol: port.app_protocol.map(|protocol| self.strings.share(&protocol)),
            });
        }
        ports.shrink_to_fit();
        let mut service = Service {
            meta,
            annotations: self.annotations(from.metadata.annotations, |name, _| name.starts_with(OURS)),
            service_type: match spec.type_.as_deref() {
                Some("ExternalName") => ServiceType::ExternalName,
                _ => ServiceType::Cluster,
            },
            is_headless: spec.cluster_ip.as_deref() == Some("None"),
            cluster_ip: spec.cluster_ip.as_deref().and_then(|address| address.parse().ok()),
            external_name: spec.external_name.filter(|name| !name.is_empty()).map(Arc::from),
            prefer_ipv6: spec.ip_families.unwrap_or_default().first().is_some_and(|family| family == "IPv6"),
            client_ip_affinity: spec.session_affinity.as_deref() == Some("ClientIP"),
            traffic_distribution: spec
                .traffic_distribution
                .filter(|text| !text.is_empty())
                .map(|text| self.strings.share(&text)),
            ports,
        };
        service.meta.version = Version::of(&service);
        Ok(service)
    }

    fn target_port(&mut self, from: Option<IntOrString>, index: usize) -> Result<Option<TargetPort>, String> {
        Ok(match from {
            None | Some(IntOrString::Int(0)) => None,
            Some(IntOrString::Int(number)) => {
                Some(TargetPort::Number(port_number(number, || format!("spec.ports[{index}].targetPort"))?))
            }
            Some(IntOrString::String(name)) if name.is_empty() => None,
            Some(IntOrString::String(name)) => Some(TargetPort::Name(self.strings.share(&name))),
        })
    }

    /// `None` for a slice of no Service.
    pub(super) fn slice(&mut self, from: raw::EndpointSlice) -> Result<Option<EndpointSlice>, String> {
        let meta = self.meta(Kind::EndpointSlice, &from.metadata)?;
        let labels = from.metadata.labels.unwrap_or_default();
        let Some(service) = labels.get(SERVICE_OF_SLICE).filter(|name| !name.is_empty()) else { return Ok(None) };
        let mut ports = Vec::new();
        for (index, port) in from.ports.unwrap_or_default().into_iter().enumerate() {
            ports.push(SlicePort {
                name: self.strings.share(&port.name.unwrap_or_default()),
                port: match port.port {
                    None => None,
                    Some(number) => Some(port_number(number, || format!("ports[{index}].port"))?),
                },
                is_tcp: is_tcp(port.protocol.as_deref()),
            });
        }
        ports.shrink_to_fit();
        let endpoints = from.endpoints.into_iter().map(|endpoint| {
            let conditions = endpoint.conditions.unwrap_or_default();
            let ready = conditions.ready.unwrap_or(true);
            let pod = endpoint.target_ref.filter(|target| target.kind.as_deref() == Some("Pod"));
            let pod_uid = pod.as_ref().and_then(|pod| Uid::new(pod.uid.as_deref()?));
            let mut addresses: Vec<IpAddr> = endpoint.addresses.iter().filter_map(|text| text.parse().ok()).collect();
            addresses.shrink_to_fit();
            let zones = endpoint.hints.and_then(|hints| hints.for_zones).unwrap_or_default();
            SliceEndpoint {
                addresses,
                ready,
                serving: conditions.serving.unwrap_or(ready),
                terminating: conditions.terminating.unwrap_or(false),
                pod: pod.and_then(|pod| pod.name).map(Arc::from),
                pod_uid,
                zones: zones.iter().map(|zone| self.strings.share(&zone.name)).collect(),
            }
        });
        // Collected in the memory of the endpoints as received, which is a multiple of what is kept.
        let mut endpoints: Vec<_> = endpoints.collect();
        endpoints.shrink_to_fit();
        let mut slice = EndpointSlice {
            meta,
            service: self.strings.share(service),
            family: match from.address_type.as_str() {
                "IPv4" => AddressFamily::V4,
                "IPv6" => AddressFamily::V6,
                _ => AddressFamily::Other,
            },
            ports,
            endpoints,
        };
        slice.meta.version = Version::of(&slice);
        Ok(Some(slice))
    }

    pub(super) fn config_map(&mut self, from: raw::ConfigMap) -> Result<ConfigMap, String> {
        let meta = self.meta(Kind::ConfigMap, &from.metadata)?;
        let data = from.data.unwrap_or_default().into_iter();
        let data = data.map(|(key, value)| (self.strings.share(&key), Arc::from(value))).collect();
        let mut map = ConfigMap { meta, data };
        map.meta.version = Version::of(&map);
        Ok(map)
    }

    pub(super) fn secret(&mut self, from: raw::Secret) -> Result<Secret, String> {
        let meta = self.meta(Kind::Secret, &from.metadata)?;
        let mut data: BTreeMap<String, Vec<u8>> =
            from.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
        data.extend(from.string_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes())));
        let current = secret::read(&meta.object.name, &data);
        Ok(Secret::new(meta, current, SecretParts::of(data), None))
    }

    /// `None` for a Pod without a weight.
    pub(super) fn pod(&mut self, from: raw::Named) -> Result<Option<Pod>, String> {
        let meta = self.meta(Kind::Pod, &from.metadata)?;
        let labels = from.metadata.labels.unwrap_or_default();
        let Some(weight) = labels.get(WEIGHT) else { return Ok(None) };
        let mut pod = Pod { meta, weight: self.strings.share(weight) };
        pod.meta.version = Version::of(&pod);
        Ok(Some(pod))
    }

    fn meta(&mut self, kind: Kind, from: &raw::Metadata) -> Result<Meta, String> {
        let name = from.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Err("metadata.name is missing".to_owned());
        }
        let namespace = match from.namespace.as_deref() {
            _ if kind == Kind::IngressClass => "",
            None | Some("") => DEFAULT_NAMESPACE,
            Some(namespace) => namespace,
        };
        for (field, value) in [("name", name), ("namespace", namespace)] {
            if !is_name(value) {
                return Err(format!(
                    "metadata.{field} {value:?} is not a name: lower-case letters, digits, '-' and '.' are allowed"
                ));
            }
        }
        let name = Name { namespace: self.strings.share(namespace), name: self.strings.share(name) };
        let (file, line) = (self.place.map(|place| Arc::clone(place.file)), self.place.map(|place| place.line));
        Ok(Meta {
            object: Arc::new(Object { kind, name, file, line }),
            uid: self.strings.share(from.uid.as_deref().unwrap_or_default()),
            created: from.creation_timestamp.as_ref().map(|time| time.0.as_second()),
            version: Version::default(),
        })
    }

    fn annotations(
        &mut self,
        from: Option<BTreeMap<String, String>>,
        is_read: impl Fn(&str, &str) -> bool,
    ) -> Annotations {
        let read = from.unwrap_or_default().into_iter().filter(|(name, _)| is_read(name, self.prefix));
        let read: Vec<(String, String)> = read.collect();
        read.into_iter().map(|(name, value)| (self.strings.share(&name), self.strings.share(&value))).collect()
    }
}

/// DNS-1123 subdomain, as the API server demands of names; empty is the namespace of what has none.
fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let edges = [text.bytes().next(), text.bytes().next_back()];
    text.len() <= 253
        && text.bytes().all(|byte| inner(byte) || matches!(byte, b'-' | b'.'))
        && edges.into_iter().flatten().all(inner)
}

fn port_number(number: i32, field: impl Fn() -> String) -> Result<u16, String> {
    match u16::try_from(number) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(format!("{} is {number}; a port is 1 to 65535", field())),
    }
}

fn is_tcp(protocol: Option<&str>) -> bool {
    matches!(protocol, None | Some("" | "TCP"))
}
