//! The flags of the commands besides `serve`.

use std::sync::LazyLock;

use crate::settings::flag::{Flag, Value};
use crate::settings::flags::SERVE;

use Value::{Address, Choice, Count, Duration, Port, Switch, Text, Texts};

const RUNNING: &str = "Running Fairlead";
const OUTPUT: &str = "Output";
const REQUEST: &str = "Request";
const SOURCE: &str = "Objects";
const DEMO_GROUP: &str = "Demo";

const ADMIN: Flag = Flag::new("admin", Address, "127.0.0.1:10246", RUNNING, "its admin address");

const CLUSTER: &str = "Cluster";

const ALL_REPLICAS: Flag =
    Flag::new("cluster", Switch, "false", CLUSTER, "ask every replica in a cluster, as kubectl fairlead does");
const POD: Flag = Flag::new("pod", Text("NAME"), "", CLUSTER, "ask only this Pod, NAME or NAMESPACE/NAME");
const CONTROLLER_NAMESPACE: Flag =
    Flag::new("controller-namespace", Text("NAME"), "", CLUSTER, "namespace of Fairlead's Pods; all if not set");
/// As the chart sets them.
const SELECTOR: Flag = Flag::new(
    "selector",
    Text("LABELS"),
    "app.kubernetes.io/name=fairlead,app.kubernetes.io/component=controller",
    CLUSTER,
    "labels of Fairlead's Pods",
)
.short('l');
const KUBECONFIG: Flag =
    Flag::new("kubeconfig", Text("FILE"), "", CLUSTER, "how to reach the API; the usual files if not set");
const CONTEXT: Flag = Flag::new("context", Text("NAME"), "", CLUSTER, "context of the kubeconfig");

/// Flags of `routes`, `backends`, `certificates` and `problems`.
pub(super) const LISTING: &[Flag] = &[
    ADMIN,
    ALL_REPLICAS,
    POD,
    CONTROLLER_NAMESPACE,
    SELECTOR,
    KUBECONFIG,
    CONTEXT,
    Flag::new("output", Choice(&["table", "json"]), "table", OUTPUT, "table or json").short('o'),
    Flag::new("namespace", Text("NAME"), "", OUTPUT, "only this namespace").short('n'),
    Flag::new("host", Text("HOST"), "", OUTPUT, "only this host"),
];

/// Flags of `demo`.
pub(super) const DEMO: &[Flag] = &[
    Flag::new("dir", Text("PATH"), "", DEMO_GROUP, "folder of the manifests; kept, and used as it is if it exists"),
    Flag::new("http-port", Port, "8080", DEMO_GROUP, "port for HTTP; 0 = any free one"),
    Flag::new("https-port", Port, "8443", DEMO_GROUP, "port for HTTPS; 0 = any free one"),
    Flag::new("health-port", Port, "10254", DEMO_GROUP, "port for health and metrics; 0 = any free one"),
    Flag::new("admin-address", Address, "127.0.0.1:10246", DEMO_GROUP, "JSON API and dashboard; port 0 = any free one"),
    Flag::new("workers", Count(1), "", DEMO_GROUP, "data-plane threads; the cores the process may use, if not set"),
    Flag::new("drain-timeout", Duration, "10s", DEMO_GROUP, "longest wait for open requests after Ctrl-C"),
];

/// Flags of `check`.
pub(super) fn check() -> &'static [Flag] {
    static FLAGS: LazyLock<Vec<Flag>> = LazyLock::new(|| {
        let own = [
            Flag::new("output", Choice(&["text", "json"]), "text", OUTPUT, "text or json").short('o'),
            Flag::new(
                "from-ingress-nginx",
                Switch,
                "false",
                OUTPUT,
                "say what becomes of each annotation, key, flag and Helm value of an ingress-nginx",
            ),
            Flag::new("cluster", Switch, "false", CLUSTER, "read the objects of a cluster"),
            Flag::new("namespace", Text("NAME"), "", CLUSTER, "only those of this namespace").short('n'),
            KUBECONFIG,
            CONTEXT,
        ];
        own.into_iter().chain(compile_flags()).collect()
    });
    &FLAGS
}

/// Flags of `explain`.
pub(super) fn explain() -> &'static [Flag] {
    static FLAGS: LazyLock<Vec<Flag>> = LazyLock::new(|| {
        let own = [
            Flag::new("request", Text("METHOD"), "GET", REQUEST, "method of the request").short('X'),
            Flag::new("header", Texts("NAME: VALUE"), "", REQUEST, "header field of the request; repeatable")
                .short('H'),
            Flag::new(
                "client-ip",
                Text("IP"),
                "127.0.0.1",
                REQUEST,
                "address of the client, or of the last proxy before us",
            ),
            Flag::new("manifests", Value::Paths("PATH"), "", SOURCE, "answer from this file or folder; repeatable"),
            ADMIN,
            ALL_REPLICAS,
            POD,
            CONTROLLER_NAMESPACE,
            SELECTOR,
            KUBECONFIG,
            CONTEXT,
        ];
        own.into_iter().chain(compile_flags()).collect()
    });
    &FLAGS
}

/// The flags of `serve` that change what objects mean.
fn compile_flags() -> impl Iterator<Item = Flag> {
    const NAMES: [&str; 15] = [
        "configmap",
        "http-port",
        "https-port",
        "limit",
        "ingress-class",
        "controller-class",
        "watch-ingress-without-class",
        "ingress-class-by-name",
        "annotations-prefix",
        "disable-catch-all",
        "disable-svc-external-name",
        "enable-ssl-passthrough",
        "enable-topology-aware-routing",
        "default-backend-service",
        "default-ssl-certificate",
    ];
    SERVE.iter().filter(|flag| NAMES.contains(&flag.name)).copied()
}
