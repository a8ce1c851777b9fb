//! Every flag of `fairlead serve`: the one place where its name and its default stand.
//!
//! ingress-nginx's flags keep their names. Environment names, `--help` and `docs/defaults.md` are made from the rows.

use super::flag::{Effect, Flag, Value};

const OBJECTS: &str = "Objects";
const PORTS: &str = "Ports and workers";
const CLASSES: &str = "What is served";
const SHUTDOWN: &str = "Shutdown";
const SEEING: &str = "Metrics and logs";
const CLUSTER: &str = "In a cluster";
const WEBHOOK: &str = "Admission webhook";
const IGNORED: &str = "Flags of ingress-nginx that have no effect here";

use Value::{Address, Choice, Count, Duration, Ips, Listen, Object, Paths, Port, Size, Switch, Text, Texts, UrlPath};

/// The flags of `fairlead serve`, in the order of `--help`.
pub const SERVE: &[Flag] = &[
    Flag::new("manifests", Paths("PATH"), "", OBJECTS, "read objects from this file or folder of YAML; repeatable"),
    Flag::new("configmap", Object, "", OBJECTS, "ConfigMap with ingress-nginx's global settings"),
    Flag::new("tcp-services-configmap", Object, "", OBJECTS, "ConfigMap that maps TCP ports to Services").later(),
    Flag::new("udp-services-configmap", Object, "", OBJECTS, "ConfigMap that maps UDP ports to Services").later(),
    Flag::new("http-port", Port, "80", PORTS, "port for HTTP; 0 = off"),
    Flag::new("https-port", Port, "443", PORTS, "port for HTTPS; 0 = off"),
    Flag::new(
        "bind-address",
        Ips,
        "",
        PORTS,
        "address of the traffic ports; repeatable; all, IPv4 and IPv6, if not set",
    ),
    Flag::new("health-port", Port, "10254", PORTS, "port for health and metrics; 0 = off").alias(&["healthz-port"]),
    Flag::new("healthz-host", Ips, "", PORTS, "address of the health port; all if not set"),
    Flag::new("health-check-path", UrlPath, "/healthz", PORTS, "liveness path on the health port"),
    Flag::new("admin-address", Address, "127.0.0.1:10246", PORTS, "JSON API and dashboard"),
    Flag::new("status-port", Port, "", PORTS, "the same as --admin-address 127.0.0.1:PORT"),
    Flag::new("workers", Count(1), "", PORTS, "data-plane threads; the cores the process may use, if not set"),
    Flag::new(
        "limit",
        Value::Limits,
        "",
        PORTS,
        "change a limit in time or size; repeatable; docs/defaults.md lists them",
    ),
    Flag::new("cache-size", Size, "64m", PORTS, "memory of the response cache"),
    Flag::new(
        "ingress-class",
        Text("NAME"),
        "fairlead",
        CLASSES,
        "class that is ours when no IngressClass object says so; in files without any IngressClass every class is",
    ),
    Flag::new(
        "controller-class",
        Text("NAME"),
        "fairlead.dev/ingress-controller",
        CLASSES,
        "spec.controller of the IngressClasses that are ours",
    ),
    Flag::new("watch-ingress-without-class", Switch, "false", CLASSES, "serve Ingresses that name no class"),
    Flag::new("ingress-class-by-name", Switch, "false", CLASSES, "an IngressClass named as --ingress-class is ours"),
    Flag::new(
        "annotations-prefix",
        Text("PREFIX"),
        "nginx.ingress.kubernetes.io",
        CLASSES,
        "prefix of the annotations that are read as ingress-nginx's",
    ),
    Flag::new("enable-annotation-validation", Switch, "true", CLASSES, "refuse annotation values that look unsafe")
        .later(),
    Flag::new("disable-catch-all", Switch, "false", CLASSES, "refuse Ingresses that answer for every host"),
    Flag::new("disable-svc-external-name", Switch, "false", CLASSES, "refuse Services of type ExternalName"),
    Flag::new(
        "default-backend-service",
        Object,
        "",
        CLASSES,
        "Service for what no rule takes; a 404 of our own if not set",
    ),
    Flag::new("default-ssl-certificate", Object, "", CLASSES, "Secret for names without one; self-signed if not set"),
    Flag::new("enable-ssl-passthrough", Switch, "false", CLASSES, "pass TLS on unopened where an Ingress asks for it"),
    Flag::new("shutdown-grace-period", Duration, "0", SHUTDOWN, "keep serving this long after SIGTERM before draining"),
    Flag::new("drain-timeout", Duration, "240s", SHUTDOWN, "longest wait for open requests and tunnels while draining"),
    Flag::new("enable-metrics", Switch, "true", SEEING, "serve /metrics on the health port"),
    Flag::new("metrics-per-ingress", Switch, "true", SEEING, "name namespace, ingress and service in metrics"),
    Flag::new("metrics-per-host", Switch, "true", SEEING, "name the host in ingress-nginx's families").later(),
    Flag::new("metrics-per-undefined-host", Switch, "false", SEEING, "the same for hosts that no Ingress owns").later(),
    Flag::new("report-status-classes", Switch, "false", SEEING, "2xx in place of 200 in ingress-nginx's families")
        .later(),
    Flag::new("metrics-compat", Choice(&["nginx"]), "", SEEING, "nginx: serve ingress-nginx's families too").later(),
    Flag::new("log-level", Choice(&["error", "warn", "info", "debug"]), "info", SEEING, "error, warn, info or debug"),
    Flag::new(
        "log-format",
        Choice(&["text", "json"]),
        "text",
        SEEING,
        "text or json; the log is on stderr, access on stdout",
    ),
    Flag::new("v", Count(0), "0", SEEING, "klog's verbosity: 2 and more is --log-level debug"),
    Flag::new("kubeconfig", Text("FILE"), "", CLUSTER, "how to reach the API; in-cluster, else the usual files")
        .in_cluster(),
    Flag::new("context", Text("NAME"), "", CLUSTER, "context of the kubeconfig").in_cluster(),
    Flag::new("apiserver-host", Text("URL"), "", CLUSTER, "address of the API server").in_cluster(),
    Flag::new("certificate-authority", Text("FILE"), "", CLUSTER, "certificate authority of the API server")
        .in_cluster(),
    Flag::new("watch-namespace", Text("NAME"), "", CLUSTER, "only this namespace; all if not set").in_cluster(),
    Flag::new("watch-namespace-selector", Text("SELECTOR"), "", CLUSTER, "only namespaces with these labels")
        .in_cluster(),
    Flag::new("enable-topology-aware-routing", Switch, "false", CLUSTER, "prefer endpoints of our zone").in_cluster(),
    Flag::new("publish-service", Object, "", CLUSTER, "Service whose address goes into the status").in_cluster(),
    Flag::new("publish-status-address", Texts("IP"), "", CLUSTER, "address that goes into the status").in_cluster(),
    Flag::new("report-node-internal-ip-address", Switch, "false", CLUSTER, "the node's internal address in the status")
        .in_cluster(),
    Flag::new("update-status", Switch, "true", CLUSTER, "write the status of Ingresses").in_cluster(),
    Flag::new("update-status-on-shutdown", Switch, "false", CLUSTER, "clear it on exit").in_cluster(),
    Flag::new("status-update-interval", Duration, "60s", CLUSTER, "write it again this often").in_cluster(),
    Flag::new("events", Switch, "true", CLUSTER, "write Events about problems").in_cluster(),
    Flag::new("election-id", Text("NAME"), "fairlead-leader", CLUSTER, "name of the Lease").in_cluster(),
    Flag::new("election-ttl", Duration, "30s", CLUSTER, "duration of the Lease").in_cluster(),
    Flag::new("disable-leader-election", Switch, "false", CLUSTER, "always be the leader").in_cluster(),
    Flag::new("validating-webhook", Listen, "", WEBHOOK, "address of the admission webhook; off if not set")
        .in_cluster(),
    Flag::new("validating-webhook-certificate", Text("FILE"), "", WEBHOOK, "its certificate").in_cluster(),
    Flag::new("validating-webhook-key", Text("FILE"), "", WEBHOOK, "its key").in_cluster(),
    Flag::new(
        "validating-webhook-configuration",
        Text("NAME"),
        "",
        WEBHOOK,
        "without a certificate: the ValidatingWebhookConfiguration to write our own authority into",
    )
    .in_cluster(),
    Flag::new("validating-webhook-secret", Object, "", WEBHOOK, "and the Secret to keep our own certificate in")
        .in_cluster(),
    ignored("sync-period", Text("TIME"), "changes are seen as they happen"),
    ignored("sync-rate-limit", Text("N"), "changes that pile up become one"),
    ignored("disable-sync-events", Switch, "no Sync Events are sent"),
    ignored("profiling", Switch, "there is no profiler"),
    ignored("profiler-address", Text("IP"), "there is no profiler"),
    ignored("profiler-port", Text("PORT"), "there is no profiler"),
    ignored("stream-port", Text("PORT"), "nothing needs an internal port"),
    ignored("default-server-port", Text("PORT"), "nothing needs an internal port"),
    ignored("ssl-passthrough-proxy-port", Text("PORT"), "nothing needs an internal port"),
    ignored("maxmind-edition-ids", Text("IDS"), "there is no GeoIP"),
    ignored("maxmind-license-key", Text("KEY"), "there is no GeoIP"),
    ignored("maxmind-mirror", Text("URL"), "there is no GeoIP"),
    ignored("maxmind-retries-count", Text("N"), "there is no GeoIP"),
    ignored("maxmind-retries-timeout", Text("TIME"), "there is no GeoIP"),
    ignored("internal-logger-address", Text("IP:PORT"), "logs go to stdout and stderr"),
    ignored("dynamic-configuration-retries", Text("N"), "there is nothing to reload"),
    ignored("disable-full-test", Switch, "every configuration that compiles can be served"),
    ignored("deep-inspect", Switch, "no text is handed to another program"),
    ignored("enable-ssl-chain-completion", Switch, "chains are sent as stored"),
    ignored("time-buckets", Text("LIST"), "buckets are fixed"),
    ignored("length-buckets", Text("LIST"), "buckets are fixed"),
    ignored("size-buckets", Text("LIST"), "buckets are fixed"),
    ignored("bucket-factor", Text("N"), "buckets are fixed"),
    ignored("max-buckets", Text("N"), "buckets are fixed"),
    ignored("exclude-socket-metrics", Text("LIST"), "series are bounded without it"),
    ignored("monitor-max-batch-size", Text("N"), "metrics are counted in the process"),
    ignored("post-shutdown-grace-period", Text("TIME"), "the process ends when it has drained"),
    ignored("health-check-timeout", Text("TIME"), "health asks nobody else"),
    ignored("add-dir-header", Switch, "klog"),
    ignored("alsologtostderr", Switch, "klog"),
    ignored("legacy-stderr-threshold-behavior", Switch, "klog"),
    ignored("log-backtrace-at", Text("FILE:LINE"), "klog"),
    ignored("log-dir", Text("PATH"), "klog"),
    ignored("log-file", Text("FILE"), "klog"),
    ignored("log-file-max-size", Text("N"), "klog"),
    ignored("logtostderr", Switch, "klog"),
    ignored("one-output", Switch, "klog"),
    ignored("skip-headers", Switch, "klog"),
    ignored("skip-log-headers", Switch, "klog"),
    ignored("stderrthreshold", Text("LEVEL"), "klog"),
    ignored("vmodule", Text("LIST"), "klog"),
];

/// A flag of ingress-nginx without effect, and why that does no harm.
const fn ignored(name: &'static str, value: Value, why: &'static str) -> Flag {
    Flag { effect: Effect::Ignored, ..Flag::new(name, value, "", IGNORED, why) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_means_two_flags() {
        let mut seen = BTreeSet::new();
        for name in SERVE.iter().flat_map(|flag| flag.aliases.iter().copied().chain([flag.name])) {
            assert!(seen.insert(name), "{name}");
        }
    }

    #[test]
    fn every_default_is_a_value_that_the_flag_takes() {
        for flag in SERVE.iter().filter(|flag| !flag.default.is_empty()) {
            assert_eq!(flag.value.check(flag.default), Ok(()), "{}", flag.name);
        }
    }
}
