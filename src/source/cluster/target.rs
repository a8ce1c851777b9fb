//! What is watched: kinds, in the namespaces and with the selectors that the settings name.

use std::fmt::Write as _;
use std::sync::Arc;

use super::watch::{Request, WATCH_SECONDS};
use crate::ir::{Kind, Name};
use crate::settings::{ClusterSettings, CompileOptions};

/// Objects in a page of a list.
const PAGE: usize = 500;
/// Secrets that never hold a certificate, and of which a cluster may have thousands.
const SECRET_TYPES: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token";
/// Only Pods that have it are watched.
const WEIGHT: &str = "fairlead.dev/weight";

/// One watch: a kind, where, and which objects of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) kind: Kind,
    /// Without it nothing is served.
    pub(super) is_required: bool,
    /// `None` = all.
    namespace: Option<Arc<str>>,
    /// `None` = all.
    name: Option<Arc<str>>,
    labels: Option<String>,
}

/// Everything to watch. What flags name in other namespaces than the one watched is watched by name.
pub(super) fn targets(settings: &ClusterSettings, options: &CompileOptions) -> Vec<Target> {
    let namespace = settings.watch_namespace.clone();
    let all = |kind, is_required| Target { kind, is_required, namespace: namespace.clone(), name: None, labels: None };
    let named = |kind, name: &Name| Target {
        kind,
        is_required: true,
        namespace: Some(Arc::clone(&name.namespace)),
        name: Some(Arc::clone(&name.name)),
        labels: None,
    };
    let mut targets = vec![
        all(Kind::Ingress, true),
        all(Kind::Service, true),
        all(Kind::EndpointSlice, true),
        all(Kind::Secret, true),
        Target { namespace: None, ..all(Kind::IngressClass, false) },
        Target { labels: Some(WEIGHT.to_owned()), ..all(Kind::Pod, false) },
        all(Kind::ConfigMap, options.config_map.is_some()),
    ];
    if let Some(selector) = &settings.watch_namespace_selector {
        let namespaces = all(Kind::Namespace, true);
        targets.push(Target { labels: Some(selector.clone()), namespace: None, ..namespaces });
    }
    let is_elsewhere = |name: &&Name| namespace.as_ref().is_some_and(|watched| *watched != name.namespace);
    if let Some(secret) = options.default_ssl_certificate.as_ref().filter(is_elsewhere) {
        targets.push(named(Kind::Secret, secret));
    }
    // All of them: what the one of the flag names stands beside it.
    if let Some(map) = options.config_map.as_ref().filter(is_elsewhere) {
        targets.push(Target { name: None, ..named(Kind::ConfigMap, map) });
    }
    if let Some(service) = options.default_backend_service.as_ref().filter(is_elsewhere) {
        targets.push(named(Kind::Service, service));
        let labels = Some(format!("kubernetes.io/service-name={}", service.name));
        targets.push(Target { name: None, labels, ..named(Kind::EndpointSlice, service) });
    }
    targets
}

impl Target {
    /// Whether an object belongs to this watch, and not to another of the same kind.
    pub(super) fn covers(&self, name: &Name) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == name.namespace)
            && self.name.as_ref().is_none_or(|own| *own == name.name)
    }

    /// The resource as RBAC writes it: `ingresses.networking.k8s.io`.
    pub(super) fn resource(&self) -> &'static str {
        match self.kind {
            Kind::ConfigMap => "configmaps",
            Kind::EndpointSlice => "endpointslices.discovery.k8s.io",
            Kind::Ingress => "ingresses.networking.k8s.io",
            Kind::IngressClass => "ingressclasses.networking.k8s.io",
            Kind::Namespace => "namespaces",
            Kind::Pod => "pods",
            Kind::Secret => "secrets",
            Kind::Service => "services",
            Kind::Node => "nodes",
            Kind::File | Kind::Flag => "",
        }
    }

    /// Where: ` in namespace shop`, or nothing for all.
    pub(super) fn place(&self) -> String {
        self.namespace.as_ref().map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default()
    }

    /// The namespace watched; empty for all.
    pub(super) fn namespace(&self) -> Arc<str> {
        self.namespace.clone().unwrap_or_default()
    }

    /// `Accept`: only the metadata where nothing else is read.
    pub(super) fn accept(&self, request: &Request) -> &'static str {
        let is_metadata = matches!(self.kind, Kind::ConfigMap | Kind::Namespace | Kind::Pod | Kind::Secret);
        match request {
            _ if !is_metadata => "application/json",
            Request::Check | Request::Page { .. } => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Request::Stream | Request::Watch { .. } => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        }
    }

    /// Path and query of a request.
    pub(super) fn uri(&self, request: &Request) -> String {
        let (group, resource) = match self.resource().split_once('.') {
            Some((resource, group)) => (format!("/apis/{group}/v1"), resource),
            None => ("/api/v1".to_owned(), self.resource()),
        };
        let namespace = self.namespace.as_ref().map(|name| format!("/namespaces/{name}")).unwrap_or_default();
        let mut uri = format!("{group}{namespace}/{resource}");
        let mut query: Vec<(&str, String)> = Vec::new();
        match request {
            Request::Check => query.push(("limit", "1".to_owned())),
            Request::Page { next, is_whole } => {
                if !is_whole {
                    query.push(("limit", PAGE.to_string()));
                }
                query.extend(next.clone().map(|next| ("continue", next)));
            }
            Request::Stream => query.extend([
                ("sendInitialEvents", "true".to_owned()),
                ("resourceVersionMatch", "NotOlderThan".to_owned()),
            ]),
            Request::Watch { version } => query.push(("resourceVersion", version.clone())),
        }
        if matches!(request, Request::Stream | Request::Watch { .. }) {
            query.extend([
                ("watch", "true".to_owned()),
                ("allowWatchBookmarks", "true".to_owned()),
                ("timeoutSeconds", WATCH_SECONDS.to_string()),
            ]);
        }
        let fields = match (&self.name, self.kind) {
            (Some(name), _) => Some(format!("metadata.name={name}")),
            (None, Kind::Secret) => Some(SECRET_TYPES.to_owned()),
            (None, _) => None,
        };
        query.extend(fields.map(|fields| ("fieldSelector", fields)));
        query.extend(self.labels.clone().map(|labels| ("labelSelector", labels)));
        for (index, (name, value)) in query.iter().enumerate() {
            let _ = write!(uri, "{}{name}={}", if index == 0 { '?' } else { '&' }, escaped(value));
        }
        uri
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(watch_namespace: Option<&str>) -> ClusterSettings {
        ClusterSettings { watch_namespace: watch_namespace.map(Arc::from), ..ClusterSettings::default() }
    }

    #[test]
    fn each_kind_is_asked_for_where_it_is() {
        let targets = targets(&settings(None), &CompileOptions::default());
        let first = Request::Page { next: None, is_whole: false };
        let uris: Vec<String> = targets.iter().map(|target| target.uri(&first)).collect();
        assert_eq!(
            uris,
            [
                "/apis/networking.k8s.io/v1/ingresses?limit=500",
                "/api/v1/services?limit=500",
                "/apis/discovery.k8s.io/v1/endpointslices?limit=500",
                "/api/v1/secrets?limit=500&fieldSelector=type%21%3Dhelm.sh%2Frelease.v1%2Ctype%21%3Dkubernetes.io%2Fservice-account-token",
                "/apis/networking.k8s.io/v1/ingressclasses?limit=500",
                "/api/v1/pods?limit=500&labelSelector=fairlead.dev%2Fweight",
                "/api/v1/configmaps?limit=500",
            ]
        );
    }

    #[test]
    fn each_request_says_what_it_wants() {
        let targets = targets(&settings(Some("shop")), &CompileOptions::default());
        let rest = "watch=true&allowWatchBookmarks=true&timeoutSeconds=290";
        for (request, query) in [
            (Request::Page { next: Some("a+b".to_owned()), is_whole: false }, "limit=500&continue=a%2Bb"),
            (Request::Page { next: None, is_whole: true }, ""),
            (Request::Check, "limit=1"),
            (Request::Stream, &format!("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&{rest}")),
            (Request::Watch { version: "7".to_owned() }, &format!("resourceVersion=7&{rest}")),
        ] {
            let query = if query.is_empty() { String::new() } else { format!("?{query}") };
            assert_eq!(targets[1].uri(&request), format!("/api/v1/namespaces/shop/services{query}"));
        }
    }

    #[test]
    fn what_a_flag_names_elsewhere_is_watched_by_name() {
        let options = CompileOptions {
            config_map: Some(Name::new("web", "global")),
            default_ssl_certificate: Some(Name::new("pki", "tls")),
            default_backend_service: Some(Name::new("shop", "fallback")),
            ..CompileOptions::default()
        };
        let kinds = |settings: &ClusterSettings| -> Vec<String> {
            let all = targets(settings, &options);
            all.iter().skip(7).map(|target| format!("{}{}", target.resource(), target.place())).collect()
        };
        assert_eq!(kinds(&settings(None)), [""; 0]);
        assert_eq!(kinds(&settings(Some("shop"))), ["secrets in namespace pki", "configmaps in namespace web"]);
        let elsewhere = [
            "secrets in namespace pki",
            "services in namespace shop",
            "endpointslices.discovery.k8s.io in namespace shop",
        ];
        assert_eq!(kinds(&settings(Some("web"))), elsewhere);
        let selected = ClusterSettings { watch_namespace_selector: Some("a=b".to_owned()), ..settings(None) };
        assert_eq!(kinds(&selected), ["namespaces"]);
    }
}
