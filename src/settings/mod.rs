//! Flags and environment into [`Settings`], parsed once.

pub mod units;
pub mod limits;
pub mod flag;
pub mod flags;
pub mod arguments;
mod read;
pub mod document;
pub mod suggest;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::arguments::{Given, Unusable};
pub use self::limits::{Limit, Limits, Size};
use crate::ir::{Name, Problem};

/// Everything that `fairlead serve` can be told, parsed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `--manifests`: files and folders; empty = the Kubernetes API.
    pub manifests: Vec<PathBuf>,
    /// How the Kubernetes API is reached and what is watched there.
    pub cluster: ClusterSettings,
    /// What is written back there.
    pub report: ReportSettings,
    /// `--http-port`; `None` = off.
    pub http_port: Option<u16>,
    /// `--https-port`; `None` = off.
    pub https_port: Option<u16>,
    /// `--bind-address`; empty = all addresses, IPv4 and IPv6.
    pub bind_addresses: Vec<IpAddr>,
    /// `--healthz-host` and `--health-port`; empty = health is off.
    pub health_addresses: Vec<SocketAddr>,
    /// `--health-check-path`.
    pub health_check_path: String,
    /// `--admin-address`.
    pub admin_address: SocketAddr,
    /// `--workers`.
    pub workers: usize,
    /// `--limit`.
    pub limits: Limits,
    /// `--cache-size`, octets.
    pub cache_size: u64,
    /// `--validating-webhook`; `None` = off.
    pub webhook: Option<WebhookSettings>,
    /// What the compiler needs to know.
    pub options: CompileOptions,
    /// `--shutdown-grace-period`.
    pub shutdown_grace_period: Duration,
    /// `--drain-timeout`.
    pub drain_timeout: Duration,
    /// It was given, so that no ConfigMap changes it.
    pub is_drain_timeout_given: bool,
    /// `--enable-metrics`.
    pub metrics: bool,
    /// `--metrics-per-ingress`.
    pub metrics_per_ingress: bool,
    /// `--log-level`.
    pub log_level: LogLevel,
    /// `--log-format`.
    pub log_format: LogFormat,
    /// Flags that were accepted without effect.
    pub problems: Vec<Problem>,
}

/// How the Kubernetes API is reached, and what is watched there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterSettings {
    /// `--kubeconfig`; `None` = the Pod's service account, else the usual files.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// `--apiserver-host`.
    pub apiserver_host: Option<String>,
    /// `--certificate-authority`.
    pub certificate_authority: Option<PathBuf>,
    /// `--watch-namespace`; `None` = all.
    pub watch_namespace: Option<Arc<str>>,
    /// `--watch-namespace-selector`; only Ingresses of these namespaces count.
    pub watch_namespace_selector: Option<String>,
    /// `NODE_NAME`: where the process runs, to know its zone.
    pub node_name: Option<Arc<str>>,
}

/// What is written back to the cluster, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// `POD_NAME`, which is also the name in the Lease; `None` outside of a Pod.
    pub pod_name: Option<String>,
    /// `POD_NAMESPACE`; `None` = the namespace that the client of the API stands in.
    pub pod_namespace: Option<String>,
    /// `--controller-class`: the manager of the fields that are written.
    pub controller_class: Arc<str>,
    /// `None` with `--disable-leader-election`: always the leader.
    pub election: Option<Election>,
    /// `--update-status`.
    pub update_status: bool,
    /// `--update-status-on-shutdown`.
    pub clear_on_exit: bool,
    /// `--status-update-interval`, 5 s at least.
    pub status_interval: Duration,
    /// Whose addresses are written.
    pub published: Published,
    /// `--events`.
    pub events: bool,
}

/// The Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    /// `--election-id`: its name.
    pub id: String,
    /// `--election-ttl`: how long a holder that is not heard of counts.
    pub ttl: Duration,
}

/// Whose addresses the status of an Ingress shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// `--publish-status-address`: these, IP addresses or host names.
    Addresses(Vec<String>),
    /// Those of the nodes where our Pods run; with `--report-node-internal-ip-address` only the internal ones.
    Nodes {
        /// Only the internal ones.
        only_internal: bool,
    },
    /// `--publish-service`: those of this Service.
    Service(Name),
}

/// The admission webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// `--validating-webhook`.
    pub addresses: Vec<SocketAddr>,
    /// Where its certificate comes from.
    pub certificate: WebhookCertificate,
}

/// Where the certificate of the webhook comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookCertificate {
    /// `--validating-webhook-certificate` and `--validating-webhook-key`: somebody else makes and renews them.
    Files {
        /// Chain in PEM.
        certificate: PathBuf,
        /// Key in PEM.
        key: PathBuf,
    },
    /// Made here.
    Own {
        /// `--validating-webhook-configuration`: the ValidatingWebhookConfiguration that is told the authority.
        configuration: String,
        /// `--validating-webhook-secret`: the Secret in which all replicas find it.
        secret: Name,
    },
}

/// The settings that `compile` reads.
#[derive(Clone, Debug, PartialEq)]
pub struct CompileOptions {
    /// `--ingress-class`.
    pub ingress_class: Arc<str>,
    /// `--controller-class`.
    pub controller_class: Arc<str>,
    /// `--watch-ingress-without-class`.
    pub watch_ingress_without_class: bool,
    /// `--ingress-class-by-name`.
    pub ingress_class_by_name: bool,
    /// `--annotations-prefix`, without the slash.
    pub annotations_prefix: Arc<str>,
    /// `--disable-catch-all`.
    pub disable_catch_all: bool,
    /// `--disable-svc-external-name`.
    pub disable_external_name: bool,
    /// `--enable-topology-aware-routing`: `locality: prefer` where nothing is said.
    pub topology_aware: bool,
    /// `--enable-ssl-passthrough`.
    pub ssl_passthrough: bool,
    /// `--configmap`.
    pub config_map: Option<Name>,
    /// `--default-backend-service`.
    pub default_backend_service: Option<Name>,
    /// `--default-ssl-certificate`.
    pub default_ssl_certificate: Option<Name>,
    /// Objects come from a folder: loopback targets are allowed, redirects carry the https port, without any
    /// IngressClass every Ingress is ours, and a default IngressClass of ours claims Ingresses without class.
    pub folder: bool,
    /// `--http-port` and `--https-port`, for redirects and printing.
    pub http_port: Option<u16>,
    /// See `http_port`.
    pub https_port: Option<u16>,
    /// Defaults of routes.
    pub limits: Limits,
    /// Who we are; `None` for commands that serve nothing.
    pub own: Option<Own>,
}

/// By what we find the replicas that share limits with us (`limit-scope: cluster`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// `--publish-service`.
    pub service: Option<Name>,
    /// `POD_NAMESPACE` and `POD_NAME`.
    pub pod: Option<Name>,
}

impl Default for CompileOptions {
    /// The defaults of the flags, in folder mode.
    fn default() -> Self {
        CompileOptions {
            ingress_class: "fairlead".into(),
            controller_class: "fairlead.dev/ingress-controller".into(),
            watch_ingress_without_class: false,
            ingress_class_by_name: false,
            annotations_prefix: "nginx.ingress.kubernetes.io".into(),
            disable_catch_all: false,
            disable_external_name: false,
            topology_aware: false,
            ssl_passthrough: false,
            config_map: None,
            default_backend_service: None,
            default_ssl_certificate: None,
            folder: true,
            http_port: Some(80),
            https_port: Some(443),
            limits: Limits::default(),
            own: None,
        }
    }
}

/// `--log-level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// `error`.
    Error,
    /// `warn`.
    Warn,
    /// `info`.
    Info,
    /// `debug`.
    Debug,
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// ingress-nginx's default access line; plain process log.
    Text,
    /// One JSON object a line.
    Json,
}
