//! From what the flags of `fairlead serve` were given to [`Settings`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use super::arguments::{Given, Unusable};
use super::flag::{self, Effect};
use super::{
    ClusterSettings, CompileOptions, Election, Limits, LogFormat, LogLevel, Own, Published, ReportSettings, Settings,
    WebhookCertificate, WebhookSettings, units,
};
use crate::ir::{Kind, Name, Object, Problem, Reason, Severity};

impl Settings {
    /// The settings that `given` says. `Err` is one line: a value that cannot be read, or two that contradict.
    pub fn read(given: &Given) -> Result<Settings, Unusable> {
        refuse_contradictions(given)?;
        let manifests: Vec<PathBuf> = given.all("manifests").iter().map(PathBuf::from).collect();
        let own = Some(own(given)?);
        let options = CompileOptions { folder: !manifests.is_empty(), own, ..CompileOptions::read(given)? };
        let duration = |name| given.read(name, units::duration).map(Option::unwrap_or_default);
        let settings = Settings {
            manifests,
            cluster: cluster(given),
            report: report(given, &options)?,
            http_port: options.http_port,
            https_port: options.https_port,
            bind_addresses: addresses(given, "bind-address")?,
            health_addresses: health_addresses(given, port(given, "health-port")?)?,
            health_check_path: given.text("health-check-path").unwrap_or_default().to_owned(),
            admin_address: admin_address(given)?,
            workers: match given.read("workers", |text| text.parse().map_err(|_| format!("{text:?} is too many")))? {
                Some(workers) => workers,
                None => available_parallelism().map_or(1, usize::from),
            },
            cache_size: given.read("cache-size", units::size)?.unwrap_or_default(),
            limits: options.limits.clone(),
            webhook: webhook(given)?,
            options,
            shutdown_grace_period: duration("shutdown-grace-period")?,
            drain_timeout: duration("drain-timeout")?,
            is_drain_timeout_given: given.is_set("drain-timeout"),
            metrics: given.is_on("enable-metrics")?,
            metrics_per_ingress: given.is_on("metrics-per-ingress")?,
            log_level: log_level(given)?,
            log_format: match given.text("log-format") {
                Some("json") => LogFormat::Json,
                _ => LogFormat::Text,
            },
            problems: ignored(given),
        };
        refuse_equal_ports(&settings)?;
        Ok(settings)
    }
}

impl CompileOptions {
    /// The options that `given` says, of `serve` or of a command that compiles without serving.
    pub fn read(given: &Given) -> Result<CompileOptions, Unusable> {
        let mut limits = Limits::default();
        for text in given.all("limit") {
            limits.set_list(text).map_err(|why| Unusable(format!("--limit: {why}")))?;
        }
        let text = |name| Arc::from(given.text(name).unwrap_or_default());
        Ok(CompileOptions {
            ingress_class: text("ingress-class"),
            controller_class: text("controller-class"),
            watch_ingress_without_class: given.is_on("watch-ingress-without-class")?,
            ingress_class_by_name: given.is_on("ingress-class-by-name")?,
            annotations_prefix: given.text("annotations-prefix").unwrap_or_default().trim_end_matches('/').into(),
            disable_catch_all: given.is_on("disable-catch-all")?,
            disable_external_name: given.is_on("disable-svc-external-name")?,
            topology_aware: given.is_on("enable-topology-aware-routing")?,
            ssl_passthrough: given.is_on("enable-ssl-passthrough")?,
            config_map: given.read("configmap", flag::object)?,
            default_backend_service: given.read("default-backend-service", flag::object)?,
            default_ssl_certificate: given.read("default-ssl-certificate", flag::object)?,
            // Whoever reads from a cluster says so.
            folder: true,
            http_port: port(given, "http-port")?,
            https_port: port(given, "https-port")?,
            limits,
            own: None,
        })
    }
}

fn own(given: &Given) -> Result<Own, Unusable> {
    let pod = given.surrounding("POD_NAMESPACE").zip(given.surrounding("POD_NAME"));
    let pod = pod.map(|(namespace, name)| Name::new(namespace, name));
    Ok(Own { service: given.read("publish-service", flag::object)?, pod })
}

fn cluster(given: &Given) -> ClusterSettings {
    let text = |name| given.text(name).map(str::to_owned);
    ClusterSettings {
        kubeconfig: given.text("kubeconfig").map(PathBuf::from),
        context: text("context"),
        apiserver_host: text("apiserver-host"),
        certificate_authority: given.text("certificate-authority").map(PathBuf::from),
        watch_namespace: given.text("watch-namespace").map(Arc::from),
        watch_namespace_selector: text("watch-namespace-selector"),
        node_name: given.surrounding("NODE_NAME").map(Arc::from),
    }
}

fn report(given: &Given, options: &CompileOptions) -> Result<ReportSettings, Unusable> {
    let duration = |name| given.read(name, units::duration).map(Option::unwrap_or_default);
    let texts = given.all("publish-status-address").iter().flat_map(|text| text.split(','));
    let addresses: Vec<String> = texts.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect();
    Ok(ReportSettings {
        pod_name: given.surrounding("POD_NAME").map(str::to_owned),
        pod_namespace: given.surrounding("POD_NAMESPACE").map(str::to_owned),
        controller_class: Arc::clone(&options.controller_class),
        election: match given.is_on("disable-leader-election")? {
            true => None,
            false => Some(Election {
                id: given.text("election-id").unwrap_or_default().to_owned(),
                ttl: duration("election-ttl")?,
            }),
        },
        update_status: given.is_on("update-status")?,
        clear_on_exit: given.is_on("update-status-on-shutdown")?,
        status_interval: duration("status-update-interval")?.max(LEAST_STATUS_INTERVAL),
        published: match given.read("publish-service", flag::object)? {
            Some(service) => Published::Service(service),
            None if !addresses.is_empty() => Published::Addresses(addresses),
            None => Published::Nodes { only_internal: given.is_on("report-node-internal-ip-address")? },
        },
        events: given.is_on("events")?,
    })
}

/// As in ingress-nginx.
const LEAST_STATUS_INTERVAL: Duration = Duration::from_secs(5);

fn port(given: &Given, name: &str) -> Result<Option<u16>, Unusable> {
    given.read(name, flag::port).map(|port| port.filter(|port| *port != 0))
}

/// Pairs of which one makes the other meaningless, as in ingress-nginx's own checks.
fn refuse_contradictions(given: &Given) -> Result<(), Unusable> {
    for (one, other) in [
        ("admin-address", "status-port"),
        ("publish-service", "publish-status-address"),
        ("watch-namespace", "watch-namespace-selector"),
    ] {
        if given.is_set(one) && given.is_set(other) {
            return Err(Unusable(format!("--{one} and --{other} exclude each other; give one of them")));
        }
    }
    Ok(())
}

fn webhook(given: &Given) -> Result<Option<WebhookSettings>, Unusable> {
    let Some(addresses) = given.read("validating-webhook", flag::listen)? else { return Ok(None) };
    let file = |name| given.text(name).map(PathBuf::from);
    let files = (file("validating-webhook-certificate"), file("validating-webhook-key"));
    let configuration = given.text("validating-webhook-configuration").map(str::to_owned);
    let own = (configuration, given.read("validating-webhook-secret", flag::object)?);
    let certificate = match (files, own) {
        ((Some(certificate), Some(key)), _) => WebhookCertificate::Files { certificate, key },
        ((None, None), (Some(configuration), Some(secret))) => WebhookCertificate::Own { configuration, secret },
        _ => {
            return Err(Unusable(
                "--validating-webhook needs --validating-webhook-certificate and --validating-webhook-key, or \
                 --validating-webhook-configuration and --validating-webhook-secret for a certificate of its own"
                    .to_owned(),
            ));
        }
    };
    Ok(Some(WebhookSettings { addresses, certificate }))
}

/// Two listeners cannot share a port, unless their addresses differ; only ports of the same process are compared.
fn refuse_equal_ports(settings: &Settings) -> Result<(), Unusable> {
    let health = settings.health_addresses.first().map(SocketAddr::port);
    let admin = settings.admin_address.port();
    if settings.http_port.is_none() && settings.https_port.is_none() {
        return Err(Unusable("--http-port and --https-port are both 0: nothing would be served".to_owned()));
    }
    let ports = [
        ("--http-port", settings.http_port),
        ("--https-port", settings.https_port),
        ("--health-port", health),
        ("--admin-address", Some(admin).filter(|port| *port != 0)),
        (
            "--validating-webhook",
            settings
                .webhook
                .iter()
                .flat_map(|webhook| &webhook.addresses)
                .map(SocketAddr::port)
                .find(|port| *port != 0),
        ),
    ];
    for (at, (name, port)) in ports.iter().enumerate() {
        let Some(port) = port else { continue };
        if let Some((other, _)) = ports.iter().skip(at + 1).find(|(_, other)| *other == Some(*port)) {
            return Err(Unusable(format!("{name} and {other} are both {port}; give one of them another port")));
        }
    }
    Ok(())
}

fn addresses(given: &Given, name: &str) -> Result<Vec<IpAddr>, Unusable> {
    let mut found = Vec::new();
    for text in given.all(name) {
        found.extend(flag::ips(text).map_err(|why| Unusable(format!("--{name}: {why}")))?);
    }
    Ok(found)
}

fn health_addresses(given: &Given, port: Option<u16>) -> Result<Vec<SocketAddr>, Unusable> {
    let mut hosts = addresses(given, "healthz-host")?;
    if hosts.is_empty() {
        hosts = vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    }
    Ok(port.map_or_else(Vec::new, |port| hosts.into_iter().map(|host| (host, port).into()).collect()))
}

fn admin_address(given: &Given) -> Result<SocketAddr, Unusable> {
    if let Some(port) = given.read("status-port", flag::port)? {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let address = given.read("admin-address", flag::address)?;
    address.ok_or_else(|| Unusable("--admin-address is empty".to_owned()))
}

fn log_level(given: &Given) -> Result<LogLevel, Unusable> {
    let verbosity: u64 =
        given.read("v", |text| text.parse().map_err(|_| format!("{text:?} is no number")))?.unwrap_or(0);
    Ok(match given.text("log-level") {
        _ if verbosity >= 2 => LogLevel::Debug,
        Some("error") => LogLevel::Error,
        Some("warn") => LogLevel::Warn,
        Some("debug") => LogLevel::Debug,
        _ => LogLevel::Info,
    })
}

/// One problem for each flag that was set and does nothing.
fn ignored(given: &Given) -> Vec<Problem> {
    let later = given.with_effect(Effect::Later).map(|flag| (flag, "this version does not act on it".to_owned()));
    let never = given.with_effect(Effect::Ignored).map(|flag| (flag, format!("it has no effect here: {}", flag.help)));
    later
        .chain(never)
        .map(|(flag, message)| Problem {
            object: Arc::new(Object {
                kind: Kind::Flag,
                name: Name::new("", &format!("--{}", flag.name)),
                file: None,
                line: None,
            }),
            severity: Severity::Warning,
            reason: Reason::FlagIgnored,
            field: String::new(),
            message,
            hint: "remove the flag".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::arguments::{arguments, normalise};
    use super::super::flags::SERVE;
    use super::*;

    fn read_with(words: &[&str], environment: &[(&str, &str)]) -> Result<Settings, Unusable> {
        let words = normalise(words.iter().map(|word| (*word).to_owned()).collect(), SERVE);
        let command = clap::Command::new("serve").no_binary_name(true).args(arguments(SERVE));
        let matches = command.try_get_matches_from(words).map_err(|error| Unusable(error.to_string()))?;
        let lookup =
            |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::read(&Given::collect(SERVE, &matches, &lookup)?)
    }

    fn read(words: &[&str]) -> Settings {
        read_with(words, &[]).unwrap()
    }

    #[test]
    fn without_flags_the_options_are_the_defaults_of_compile() {
        let options = CompileOptions { own: Some(Own::default()), ..CompileOptions::default() };
        assert_eq!(read(&["--manifests", "x"]).options, options);
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_default() {
        let environment =
            [("FAIRLEAD_HTTP_PORT", "81"), ("FAIRLEAD_LIMIT", "head=1k,body=0"), ("FAIRLEAD_WORKERS", "")];
        let settings = read_with(&["--http-port=82"], &environment).unwrap();
        assert_eq!(settings.http_port, Some(82));
        let settings = read_with(&[], &environment).unwrap();
        assert_eq!(settings.http_port, Some(81));
        assert_eq!(settings.https_port, Some(443));
        assert_eq!((settings.limits.head.0, settings.limits.body.0), (1024, 0));
        assert!(settings.workers >= 1);
    }

    #[test]
    fn a_service_link_of_kubernetes_is_no_setting() {
        let settings = read_with(&[], &[("FAIRLEAD_HTTP_PORT", "tcp://10.0.0.1:80")]).unwrap();
        assert_eq!(settings.http_port, Some(80));
    }

    #[test]
    fn the_last_value_wins_and_times_are_seconds_or_have_a_unit() {
        let settings = read(&["-drain-timeout", "5", "--drain-timeout=90s", "--shutdown-grace-period", "1m"]);
        assert_eq!(settings.drain_timeout, Duration::from_secs(90));
        assert_eq!(settings.shutdown_grace_period, Duration::from_secs(60));
    }

    #[test]
    fn zero_turns_a_port_off_and_status_port_is_loopback() {
        let settings = read(&["--https-port=0", "--healthz-port", "0", "--status-port", "1234"]);
        assert_eq!((settings.https_port, settings.health_addresses), (None, Vec::new()));
        assert_eq!(settings.admin_address.to_string(), "127.0.0.1:1234");
    }

    #[test]
    fn what_is_written_back_is_as_the_flags_and_the_pod_say() {
        let environment = [("POD_NAME", "fairlead-0"), ("POD_NAMESPACE", "edge")];
        let report = read_with(&["--controller-class=x.example/y"], &environment).unwrap().report;
        assert_eq!(report.pod_name.as_deref(), Some("fairlead-0"));
        assert_eq!((report.pod_namespace.as_deref(), &*report.controller_class), (Some("edge"), "x.example/y"));
        let settings = read_with(&["--publish-service=edge/web"], &environment).unwrap();
        let own = Own { service: Some(Name::new("edge", "web")), pod: Some(Name::new("edge", "fairlead-0")) };
        assert_eq!((settings.options.own, read(&[]).options.own), (Some(own), Some(Own::default())));
        let election = report.election.unwrap();
        assert_eq!((election.id.as_str(), election.ttl), ("fairlead-leader", Duration::from_secs(30)));
        assert_eq!((report.update_status, report.events, report.clear_on_exit), (true, true, false));
        assert_eq!((report.status_interval, report.published), (Duration::from_secs(60), nodes(false)));
        for (words, published) in [
            (&["--publish-service=a/b"][..], Published::Service(Name::new("a", "b"))),
            (&["--publish-status-address=192.0.2.1, lb.example"], Published::Addresses(texts("192.0.2.1 lb.example"))),
            (&["--report-node-internal-ip-address"], nodes(true)),
        ] {
            assert_eq!(read(words).report.published, published);
        }
        let report = read(&["--disable-leader-election", "--status-update-interval=1"]).report;
        assert_eq!((report.election, report.status_interval), (None, Duration::from_secs(5)));
    }

    fn nodes(only_internal: bool) -> Published {
        Published::Nodes { only_internal }
    }

    fn texts(words: &str) -> Vec<String> {
        words.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn verbosity_of_two_is_debug() {
        assert_eq!(read(&["--v=2"]).log_level, LogLevel::Debug);
        assert_eq!(read(&["--v=1", "--log-level=warn"]).log_level, LogLevel::Warn);
    }

    #[test]
    fn a_flag_without_effect_is_one_warning_that_says_why() {
        let settings =
            read(&["--profiling=false", "--sync-period", "10h", "--kubeconfig=x", "--metrics-per-host=false"]);
        let names: Vec<String> = settings.problems.iter().map(|problem| problem.object.to_string()).collect();
        assert_eq!(names, ["flag --metrics-per-host", "flag --sync-period", "flag --profiling"]);
        assert!(settings.problems.iter().all(|problem| problem.reason == Reason::FlagIgnored));
    }

    #[test]
    fn the_webhook_has_a_certificate_of_files_or_its_own() {
        let webhook = |words: &[&str]| read(&[&["--validating-webhook=:9443"], words].concat()).webhook.unwrap();
        let own = webhook(&["--validating-webhook-configuration=w", "--validating-webhook-secret=a/b"]);
        assert_eq!(own.addresses.len(), 2, "IPv4 and IPv6");
        let expected = WebhookCertificate::Own { configuration: "w".to_owned(), secret: Name::new("a", "b") };
        assert_eq!(own.certificate, expected);
        let files = webhook(&["--validating-webhook-certificate=c", "--validating-webhook-key=k"]);
        assert_eq!(files.certificate, WebhookCertificate::Files { certificate: "c".into(), key: "k".into() });
    }

    #[test]
    fn what_cannot_be_used_is_said_in_one_line_that_names_the_flag() {
        for (words, part) in [
            (&["--http-port=x"][..], "--http-port: \"x\" is not a port"),
            (&["--http-port=70000"], "--http-port"),
            (&["--http-port=0", "--https-port=0"], "nothing would be served"),
            (&["--http-port=443"], "both 443"),
            (&["--workers=0"], "--workers: \"0\" is not a whole number of at least 1"),
            (&["--drain-timeout=1d"], "--drain-timeout"),
            (&["--election-ttl=soon"], "--election-ttl"),
            (&["--enable-metrics=maybe"], "--enable-metrics"),
            (&["--limit=heads=1"], "no limit is named heads"),
            (&["--limit=head"], "NAME=VALUE"),
            (&["--limit=head=x"], "limit head"),
            (&["--default-ssl-certificate=tls"], "namespace/name"),
            (&["--log-format=xml"], "text, json"),
            (&["--bind-address=all"], "--bind-address"),
            (&["--admin-address=10246"], "--admin-address"),
            (&["--admin-address=127.0.0.1:1", "--status-port=2"], "exclude each other"),
            (&["--publish-service=a/b", "--publish-status-address=1.2.3.4"], "exclude each other"),
            (&["--validating-webhook=127.0.0.1:1"], "needs"),
            (&["--validating-webhook=127.0.0.1:1", "--validating-webhook-key=k"], "needs"),
            (&["--validating-webhook=8443"], "--validating-webhook"),
            (&["--validating-webhook=:x"], "after a colon"),
            (&["--health-check-path=x"], "--health-check-path"),
        ] {
            let Unusable(line) = read_with(words, &[]).unwrap_err();
            assert!(line.contains(part) && !line.contains('\n'), "{words:?}: {line}");
        }
        let Unusable(line) = read_with(&[], &[("FAIRLEAD_WORKERS", "many")]).unwrap_err();
        assert!(line.starts_with("FAIRLEAD_WORKERS: "), "{line}");
    }
}
