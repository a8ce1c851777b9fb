//! What Ingresses name and the files do not hold: taken to be there and right, so that only what is there is judged.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::input::Scattered;
use crate::commands::Stop;
use crate::compile;
use crate::ir::{Kind, Name, PortKey};
use crate::settings::CompileOptions;
use crate::snapshot::{Ingress, IngressBackend, Snapshot, yaml};

/// Annotation in which a class stood before Ingresses had a field for it.
const CLASS: &str = "kubernetes.io/ingress.class";
/// The object that an Ingress made of scattered annotations belongs to.
const SCATTERED: &str = "fairlead-check";

/// Annotations whose values name a Secret or a ConfigMap.
const NAMING: [&str; 5] =
    ["auth-secret", "auth-tls-secret", "proxy-ssl-secret", "auth-proxy-set-headers", "custom-headers"];
/// Classes that are somebody else's by their usual names, whatever annotations are there besides.
const OTHERS: [&str; 14] = [
    "alb",
    "apisix",
    "azure-application-gateway",
    "azure/application-gateway",
    "cilium",
    "contour",
    "gce",
    "gce-internal",
    "haproxy",
    "istio",
    "kong",
    "openshift-default",
    "tailscale",
    "traefik",
];

/// Adds an object, whose form is known to be right.
pub(super) fn add(snapshot: &mut Snapshot, object: &Value) {
    for object in yaml::read(&object.to_string(), "").objects {
        snapshot.insert(object);
    }
}

/// A ConfigMap.
pub(super) fn config_map(name: &Name, data: &[(String, String)]) -> Value {
    let data: Value = data.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
    let meta = json!({"namespace": *name.namespace, "name": *name.name});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
}

/// Of what classes Ingresses are.
pub(super) struct Classes {
    /// The classes of those that are somebody else's.
    pub(super) foreign: Vec<String>,
    /// How many name none, and are taken for ingress-nginx's.
    pub(super) unnamed: usize,
}

/// Lets every Ingress that is meant for ingress-nginx belong to a class of ours, and takes the others out. `classes` are
/// names that somebody says are ingress-nginx's.
pub(super) fn classes(snapshot: &mut Snapshot, classes: &BTreeSet<String>, options: &CompileOptions) -> Classes {
    let prefix = format!("{}/", options.annotations_prefix);
    let is_nginx = |name: &str, controller: &str| controller.contains("ingress-nginx") || classes.contains(name);
    for class in snapshot.classes.values_mut() {
        if is_nginx(&class.meta.object.name.name, &class.controller) {
            let mut own = (**class).clone();
            own.controller = options.controller_class.clone();
            *class = own.into();
        }
    }
    let mut missing: BTreeSet<String> = classes.clone();
    let (mut foreign, mut unnamed) = (Vec::new(), 0);
    let mut kept = std::mem::take(&mut snapshot.ingresses);
    kept.retain(|_, ingress| {
        let old = ingress.annotations.get(CLASS);
        let named = ingress.class.as_ref().or(old).cloned();
        unnamed += usize::from(named.is_none());
        let class = named.unwrap_or_else(|| options.ingress_class.clone());
        let known = snapshot.classes.get(&Name::new("", &class)).map(|class| class.controller.clone());
        let is_asked = || ingress.annotations.keys().any(|name| name.starts_with(&prefix));
        let is_ours = match known {
            Some(controller) => controller == options.controller_class,
            None => {
                let is_others = OTHERS.contains(&&*class);
                class.contains("nginx")
                    || *class == *options.ingress_class
                    || classes.contains(&*class)
                    || (is_asked() && !is_others)
            }
        };
        if !is_ours {
            foreign.push(class.to_string());
            return false;
        }
        missing.insert(class.to_string());
        if ingress.class.is_none() {
            let mut own = (**ingress).clone();
            own.class = Some(class);
            *ingress = own.into();
        }
        true
    });
    snapshot.ingresses = kept;
    missing.insert(options.ingress_class.to_string());
    for name in missing {
        let spec = json!({"controller": *options.controller_class});
        let (version, kind) = ("networking.k8s.io/v1", "IngressClass");
        add(snapshot, &json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}));
    }
    Classes { foreign, unnamed }
}

/// The Ingress that stands for the scattered annotations of number `at`, alone on its host.
pub(super) fn ingress(snapshot: &mut Snapshot, at: usize, scattered: &Scattered, options: &CompileOptions) -> Name {
    // They stand in the namespace of what they name.
    let named = scattered.annotations.iter().chain(&scattered.beneath).find_map(|(full, value)| {
        full.split_once('/').filter(|(_, name)| NAMING.contains(name))?;
        let (namespace, object) = value.trim().split_once('/')?;
        let is_name = |text: &str| {
            !text.is_empty() && text.bytes().all(|octet| b"-.".contains(&octet) || octet.is_ascii_alphanumeric())
        };
        (is_name(namespace) && is_name(object)).then_some(namespace)
    });
    let over = scattered.over.as_ref().map(|over| &*over.namespace);
    let namespace = named.or(over).unwrap_or(SCATTERED);
    let name = Name::new(namespace, &format!("{SCATTERED}-{at}"));
    let all = scattered.annotations.iter().chain(&scattered.beneath);
    let annotations: Value = all.map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect();
    let backend = json!({"service": {"name": format!("{SCATTERED}-{at}"), "port": {"number": 80}}});
    let path = json!({"path": "/", "pathType": "ImplementationSpecific", "backend": backend});
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": namespace, "name": *name.name, "annotations": annotations},
        "spec": {
            "ingressClassName": *options.ingress_class,
            "rules": [{"host": format!("{SCATTERED}-{at}.example"), "http": {"paths": [path]}}],
        },
    });
    for object in yaml::Reader::new(&options.annotations_prefix).read(&object.to_string(), "").objects {
        snapshot.insert(object);
    }
    name
}

/// Adds the Services, Secrets and ConfigMaps that Ingresses and flags name. Returns those of Secrets and ConfigMaps.
pub(super) fn objects(snapshot: &mut Snapshot, options: &CompileOptions) -> Result<Vec<String>, Stop> {
    let mut ports: BTreeSet<(Name, Option<PortKey>)> = BTreeSet::new();
    for ingress in snapshot.ingresses.values() {
        let namespace = &ingress.meta.object.name.namespace;
        let paths = ingress.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend);
        for backend in paths.chain(&ingress.default_backend) {
            if let IngressBackend::Service { name, port } = backend {
                ports.insert((Name::new(namespace, name), port.clone()));
            }
        }
        let named = ingress.annotations.iter().filter(|(full, _)| full.ends_with("/default-backend"));
        ports.extend(named.map(|(_, name)| (Name::new(namespace, name.trim()), None)));
    }
    let missing = ports.into_iter().filter(|(name, _)| !snapshot.services.contains_key(name)).collect::<Vec<_>>();
    let mut at = 0;
    while let Some((name, _)) = missing.get(at) {
        let own: Vec<_> = missing.iter().skip(at).take_while(|(other, _)| other == name).collect();
        at += own.len();
        let port = |(place, (_, port)): (usize, &&(Name, Option<PortKey>))| match port {
            Some(PortKey::Number(number)) if own.len() == 1 => json!({"port": number}),
            Some(PortKey::Number(number)) => json!({"name": number.to_string(), "port": number}),
            Some(PortKey::Name(name)) => json!({"name": **name, "port": 10_000 + place}),
            None => json!({"name": format!("any-{place}"), "port": 80}),
        };
        let ports: Vec<Value> = own.iter().enumerate().map(port).collect();
        let meta = json!({"namespace": *name.namespace, "name": *name.name});
        let spec = json!({"clusterIP": "192.0.2.1", "ports": ports});
        add(snapshot, &json!({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}));
    }
    let mut named = compile::flag_references(snapshot, options);
    for ingress in snapshot.ingresses.values() {
        named.extend(compile::references(ingress, snapshot, options));
    }
    // Certificates are made by somebody else more often than not.
    let served: BTreeSet<Name> = snapshot
        .ingresses
        .values()
        .flat_map(|ingress| ingress.tls.iter().map(|tls| (&ingress.meta.object.name.namespace, &tls.secret)))
        .filter_map(|(namespace, secret)| Some(Name::new(namespace, secret.as_ref()?)))
        .collect();
    // What is right for all else is no map of passwords by user.
    let prefix = &options.annotations_prefix;
    let says = |ingress: &Ingress, name: &str| ingress.annotations.get(&format!("{prefix}/{name}")).cloned();
    let by_user =
        snapshot.ingresses.values().filter(|one| says(one, "auth-secret-type").as_deref() == Some("auth-map"));
    let by_user: BTreeSet<Name> = by_user
        .filter_map(|ingress| {
            let secret = says(ingress, "auth-secret")?;
            let own = &ingress.meta.object.name.namespace;
            let (namespace, name) = secret.trim().split_once('/').unwrap_or((own, secret.trim()));
            Some(Name::new(namespace, name))
        })
        .collect();
    let mut assumed = Vec::new();
    let mut secret = None;
    for (kind, name) in named {
        let meta = json!({"namespace": *name.namespace, "name": *name.name});
        if kind == Kind::ConfigMap && !snapshot.config_maps.contains_key(&name) {
            add(snapshot, &config_map(&name, &[]));
        } else if kind == Kind::Secret && !snapshot.secrets.contains_key(&name) {
            let users = json!({"user": "{PLAIN}password"});
            let data = match &secret {
                _ if by_user.contains(&name) => &users,
                Some(data) => data,
                None => secret.insert(any_secret()?),
            };
            add(snapshot, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}));
        } else {
            continue;
        }
        if kind != Kind::Secret || !served.contains(&name) {
            // The namespace of scattered annotations is not known.
            let shown = if *name.namespace == *SCATTERED { name.name.to_string() } else { name.to_string() };
            assumed.push(format!("{} {shown}", kind.as_str()));
        }
    }
    Ok(assumed)
}

/// What a Secret holds that is right for everything: passwords, a certificate with its key, an authority.
fn any_secret() -> Result<Value, Stop> {
    let failed = |error: rcgen::Error| Stop::failed(format!("cannot make a certificate: {error}"));
    let mut params = rcgen::CertificateParams::new(vec!["assumed.invalid".to_owned()]).map_err(failed)?;
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().map_err(failed)?;
    let pem = params.self_signed(&key).map_err(failed)?.pem();
    Ok(json!({"auth": "user:{PLAIN}password", "tls.crt": pem, "tls.key": key.serialize_pem(), "ca.crt": pem}))
}
