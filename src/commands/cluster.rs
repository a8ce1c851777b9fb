//! The Fairlead Pods of a cluster: how they are found, and how their admin address is reached.
//!
//! The admin address is loopback inside a Pod. The API server forwards a port there for whoever may use
//! `pods/portforward`, so nothing has to be installed or opened for it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::{Call, Stop, admin_client};
use crate::ir::Name;
use crate::settings::{ClusterSettings, Given};
use crate::source::cluster;

/// Longest wait for the API server, and for a whole answer of a Pod.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where `--admin-address` is by default.
const ADMIN_PORT: u16 = 10246;
/// Names the release of a chart.
const INSTANCE: &str = "app.kubernetes.io/instance";

/// Whether the command is about a cluster: it was said, or it is kubectl's plugin and nothing else was said.
pub(super) fn is_meant(call: &Call<'_>) -> Result<bool, Stop> {
    let is_said = ["kubeconfig", "context", "pod", "controller-namespace"].iter().any(|name| call.given.is_set(name));
    if call.given.is_set("cluster") {
        return Ok(call.given.is_on("cluster")?);
    }
    Ok(is_said || call.program == "kubectl fairlead")
}

/// What the flags say of the API server. `namespace`: only its objects are to be read.
pub(super) fn settings(given: &Given, namespace: Option<&str>) -> ClusterSettings {
    ClusterSettings {
        kubeconfig: given.text("kubeconfig").map(Into::into),
        context: given.text("context").map(str::to_owned),
        apiserver_host: None,
        certificate_authority: None,
        watch_namespace: namespace.map(Into::into),
        watch_namespace_selector: None,
        node_name: None,
    }
}

/// A runtime, and a client that was asked nothing yet.
pub(super) fn client(settings: &ClusterSettings) -> Result<(Runtime, Client), Stop> {
    // Somebody else in this process may have chosen one before; then that one is used.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::failed(format!("cannot start: {error}")))?;
    let client = runtime.block_on(cluster::connect(settings)).map_err(|error| Stop::unusable(error.to_string()))?;
    Ok((runtime, client))
}

/// What the API server says of a request, with its refusal or failure as one line.
pub(super) async fn answer<T>(what: &str, asked: impl Future<Output = kube::Result<T>>) -> Result<T, Refusal> {
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => {
            Err(Refusal { code: status.code, line: format!("cannot {what}: {}", first_line(&status.message)) })
        }
        Ok(Err(error)) => Err(Refusal { code: 0, line: format!("cannot {what}: {}", cluster::causes(&error)) }),
        Err(_) => Err(Refusal { code: 0, line: format!("cannot {what}: no answer within {} s", PATIENCE.as_secs()) }),
    }
}

/// Why the API server does not do it.
pub(super) struct Refusal {
    /// HTTP status; 0 if there was none.
    pub(super) code: u16,
    pub(super) line: String,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::failed(refusal.line)
    }
}

/// The Pods of one installation.
pub(super) struct Replicas {
    runtime: Runtime,
    client: Client,
    pods: Vec<Replica>,
}

/// One Pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Replica {
    name: Name,
    /// The release that it belongs to.
    instance: String,
    /// Port of its admin address.
    port: u16,
}

impl Replicas {
    /// Finds those that `given` means.
    pub(super) fn find(given: &Given) -> Result<Replicas, Stop> {
        let (runtime, client) = client(&settings(given, None))?;
        let pods = runtime.block_on(pods(&client, given))?;
        Ok(Replicas { runtime, client, pods: choose(pods, given)? })
    }

    /// The answer of each for a path with its query, with the name of the Pod.
    pub(super) fn ask(&self, path: &str) -> Vec<(String, Result<String, Stop>)> {
        let asked = self.pods.iter().map(|replica| async move {
            let who = replica.name.to_string();
            let answer = match timeout(PATIENCE, exchange(&self.client, replica, path)).await {
                Ok(Ok(answer)) => admin_client::body(&who, &answer),
                Ok(Err(why)) => Err(Stop::failed(format!("{who} cannot be asked: {why}"))),
                Err(_) => Err(Stop::failed(format!("{who} does not answer within {} s", PATIENCE.as_secs()))),
            };
            (who, answer)
        });
        self.runtime.block_on(join_all(asked))
    }
}

/// All Fairlead Pods that run. Who may not look in all namespaces looks in that of the context.
async fn pods(client: &Client, given: &Given) -> Result<Vec<Replica>, Stop> {
    let selector = given.text("selector").unwrap_or_default();
    let wanted = ListParams::default().labels(selector);
    let namespace = given.text("controller-namespace");
    let namespace = namespace.or_else(|| given.text("pod").and_then(|pod| Some(pod.split_once('/')?.0)));
    let within = |namespace: &str| Api::<Pod>::namespaced(client.clone(), namespace);
    let what = "list the Pods of Fairlead";
    let found = match namespace {
        Some(namespace) => answer(what, within(namespace).list(&wanted)).await?,
        None => match answer(what, Api::<Pod>::all(client.clone()).list(&wanted)).await {
            Err(Refusal { code: 403, line }) => {
                let own = answer(what, within(client.default_namespace()).list(&wanted)).await;
                let found = own.map_err(|_| Stop::failed(format!("{line}; give --controller-namespace")))?;
                if found.items.is_empty() {
                    return Err(Stop::failed(format!("{line}; give --controller-namespace")));
                }
                found
            }
            found => found?,
        },
    };
    if found.items.is_empty() {
        let place = namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
        return Err(Stop::failed(format!("no Pod{place} has the labels {selector}; is Fairlead installed there?")));
    }
    let mut running: Vec<Replica> = found.items.iter().filter_map(replica).collect();
    running.sort();
    if running.is_empty() {
        return Err(Stop::failed(format!("none of the {} Pods of Fairlead runs", found.items.len())));
    }
    Ok(running)
}

/// A Pod that can answer.
fn replica(pod: &Pod) -> Option<Replica> {
    let metadata = &pod.metadata;
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase != Some("Running") || metadata.deletion_timestamp.is_some() {
        return None;
    }
    let labels = metadata.labels.as_ref();
    Some(Replica {
        name: Name::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref()?),
        instance: labels.and_then(|labels| labels.get(INSTANCE)).cloned().unwrap_or_default(),
        port: admin_port(pod),
    })
}

/// As the flags of the Pod say: a chart's `extraArgs` may have moved it.
fn admin_port(pod: &Pod) -> u16 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let words = containers.flat_map(|container| container.args.iter().flatten());
    let mut ports = words.filter_map(|word| {
        let (name, value) = word.trim_start_matches('-').split_once('=')?;
        match name {
            "admin-address" => value.rsplit_once(':')?.1.parse().ok(),
            "status-port" => value.parse().ok(),
            _ => None,
        }
    });
    ports.next_back().unwrap_or(ADMIN_PORT)
}

/// The one that `--pod` names, else all of the only installation.
fn choose(pods: Vec<Replica>, given: &Given) -> Result<Vec<Replica>, Stop> {
    if let Some(wanted) = given.text("pod") {
        let name = wanted.rsplit_once('/').map_or(wanted, |(_, name)| name);
        let names: Vec<String> = pods.iter().map(|replica| replica.name.to_string()).collect();
        let chosen: Vec<Replica> = pods.into_iter().filter(|replica| *replica.name.name == *name).collect();
        return match chosen.len() {
            1 => Ok(chosen),
            0 => Err(Stop::failed(format!(
                "no running Pod of Fairlead is named {wanted}; there are {}",
                names.join(", ")
            ))),
            _ => Err(Stop::failed(format!("{wanted} is there in several namespaces; write --pod NAMESPACE/NAME"))),
        };
    }
    let installations: BTreeSet<_> = pods.iter().map(|pod| (&pod.name.namespace, &pod.instance)).collect();
    if installations.len() > 1 {
        let shown: Vec<String> =
            installations.iter().map(|(namespace, instance)| format!("{instance} in {namespace}")).collect();
        return Err(Stop::failed(format!(
            "Fairlead is installed several times: {}; choose with --controller-namespace, --selector {INSTANCE}=NAME \
             or --pod",
            shown.join(", ")
        )));
    }
    Ok(pods)
}

/// Asks as the admin client does on a socket, through a port that the API server forwards.
async fn exchange(client: &Client, replica: &Replica, path: &str) -> Result<String, String> {
    let Replica { name, port, .. } = replica;
    let pods = Api::<Pod>::namespaced(client.clone(), &name.namespace);
    let forwarded = pods.portforward(&name.name, &[*port]).await;
    let mut forwarder = forwarded.map_err(|error| match error {
        kube::Error::Api(status) => first_line(&status.message).to_owned(),
        error => cluster::causes(&error),
    })?;
    let (Some(mut stream), Some(failed)) = (forwarder.take_stream(*port), forwarder.take_error(*port)) else {
        return Err("its port is not forwarded".to_owned());
    };
    let asked = async {
        stream.write_all(admin_client::request(&format!("127.0.0.1:{port}"), path).as_bytes()).await?;
        let mut answer = Vec::new();
        while !admin_client::is_whole(&answer) && stream.read_buf(&mut answer).await? > 0 {}
        Ok(answer)
    };
    let answer: std::io::Result<Vec<u8>> = tokio::select! {
        biased;
        answer = asked => answer,
        Some(why) = failed => Err(std::io::Error::other(first_line(&why).to_owned())),
    };
    forwarder.abort();
    let answer = answer.map_err(|error| error.to_string())?;
    String::from_utf8(answer).map_err(|_| "its answer is no text".to_owned())
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::flags::LISTING;
    use super::*;

    fn pod(namespace: &str, name: &str, instance: &str, more: serde_json::Value) -> Pod {
        let mut pod = json!({
            "metadata": {"namespace": namespace, "name": name, "labels": {INSTANCE: instance}},
            "spec": {"containers": [{"name": "controller"}]},
            "status": {"phase": "Running"},
        });
        for (key, value) in more.as_object().unwrap() {
            pod[key] = value.clone();
        }
        serde_json::from_value(pod).unwrap()
    }

    fn chosen(pods: &[Pod], said: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let said: Vec<(&str, String)> = said.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        let given = Given::of(LISTING, &said).unwrap();
        let chosen = choose(pods.iter().filter_map(replica).collect(), &given).map_err(|stop| stop.line)?;
        Ok(chosen.iter().map(|replica| replica.name.to_string()).collect())
    }

    #[test]
    fn only_pods_that_run_are_asked() {
        let pods = [
            pod("a", "x", "f", json!({})),
            pod("a", "y", "f", json!({"status": {"phase": "Pending"}})),
            pod("a", "z", "f", json!({"metadata": {"name": "z", "deletionTimestamp": "2026-01-01T00:00:00Z"}})),
        ];
        assert_eq!(chosen(&pods, &[]).unwrap(), ["a/x"]);
    }

    #[test]
    fn two_installations_are_never_compared_with_each_other() {
        let pods = [pod("a", "x", "f", json!({})), pod("b", "x", "f", json!({})), pod("b", "y", "g", json!({}))];
        let line = chosen(&pods, &[]).unwrap_err();
        assert!(line.contains("f in a, f in b, g in b; choose with --controller-namespace"), "{line}");
        assert_eq!(chosen(&pods[..1], &[]).unwrap(), ["a/x"]);
        assert_eq!(chosen(&pods, &[("pod", "y")]).unwrap(), ["b/y"]);
        assert!(chosen(&pods, &[("pod", "x")]).unwrap_err().contains("several namespaces"));
        assert!(chosen(&pods, &[("pod", "q")]).unwrap_err().contains("there are a/x, b/x, b/y"));
    }

    #[test]
    fn the_admin_port_is_where_the_flags_of_the_pod_put_it() {
        for (args, port) in [
            (json!([]), 10246),
            (json!(["serve", "--admin-address=127.0.0.1:9000"]), 9000),
            (json!(["serve", "-status-port=9001"]), 9001),
        ] {
            let spec = json!({"containers": [{"name": "controller", "args": args}]});
            assert_eq!(admin_port(&pod("a", "x", "f", json!({"spec": spec}))), port);
        }
    }
}
