//! The addresses under which we are reached, as the status of an Ingress shows them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::api::at;

/// IP addresses and host names in one list, sorted, each once: the status is compared and written as a whole.
pub(super) fn sorted<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let one_form = |text: &str| match text.trim().parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => text.trim().to_ascii_lowercase(),
    };
    let all: BTreeSet<String> = texts.into_iter().map(one_form).filter(|text| !text.is_empty()).collect();
    all.into_iter().collect()
}

/// `status.loadBalancer.ingress` with these addresses.
pub(super) fn entries(addresses: &[String]) -> Value {
    let entry = |address: &String| match address.parse::<IpAddr>() {
        Ok(_) => json!({ "ip": address }),
        Err(_) => json!({ "hostname": address }),
    };
    addresses.iter().map(entry).collect()
}

/// The addresses of a `v1 Service`, by ingress-nginx's rule: what its load balancer gave and its external IPs; those or the
/// cluster's own for NodePort; the cluster's own; or the external name.
pub(super) fn of_service(service: &Value) -> Vec<String> {
    let spec = at(service, "/spec");
    let external = || texts(at(spec, "/externalIPs"));
    let own = || {
        let all = texts(at(spec, "/clusterIPs"));
        let all = if all.is_empty() { at(spec, "/clusterIP").as_str().into_iter().collect() } else { all };
        all.into_iter().filter(|address| *address != "None").collect::<Vec<_>>()
    };
    match at(spec, "/type").as_str() {
        Some("ExternalName") => sorted(at(spec, "/externalName").as_str()),
        Some("LoadBalancer") => {
            let given = at(service, "/status/loadBalancer/ingress").as_array();
            let given = given.into_iter().flatten().filter_map(|entry| {
                let name = at(entry, "/hostname").as_str().filter(|name| !name.is_empty());
                name.or_else(|| at(entry, "/ip").as_str())
            });
            sorted(given.chain(external()))
        }
        Some("NodePort") if !external().is_empty() => sorted(external()),
        _ => sorted(own()),
    }
}

/// The labels of a Pod that all Pods of its Deployment or DaemonSet have, as a selector; `None` without any.
pub(super) fn selector(pod: &Value) -> Option<String> {
    const OF_ONE_REVISION: [&str; 3] = ["pod-template-hash", "controller-revision-hash", "pod-template-generation"];
    let labels = at(pod, "/metadata/labels").as_object()?;
    let labels = labels.iter().filter(|(name, _)| !OF_ONE_REVISION.contains(&name.as_str()));
    let pairs: Vec<String> =
        labels.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    Some(pairs.join(",")).filter(|pairs| !pairs.is_empty())
}

/// Pods of a list that run and are not going, by name.
pub(super) fn running(pods: &Value) -> BTreeSet<&str> {
    let all = at(pods, "/items").as_array();
    let is_running = |pod: &&Value| {
        at(pod, "/status/phase") == "Running" && at(pod, "/metadata/deletionTimestamp").as_str().is_none()
    };
    all.into_iter().flatten().filter(is_running).filter_map(|pod| at(pod, "/metadata/name").as_str()).collect()
}

/// The nodes on which ready Pods of a list run.
pub(super) fn nodes(pods: &Value) -> BTreeSet<&str> {
    let running = running(pods);
    let all = at(pods, "/items").as_array().into_iter().flatten();
    let is_ready = |pod: &&Value| {
        let conditions = at(pod, "/status/conditions").as_array().into_iter().flatten();
        at(pod, "/metadata/name").as_str().is_some_and(|name| running.contains(name))
            && conditions
                .into_iter()
                .any(|condition| at(condition, "/type") == "Ready" && at(condition, "/status") == "True")
    };
    all.filter(is_ready).filter_map(|pod| at(pod, "/spec/nodeName").as_str()).collect()
}

/// The addresses of a `v1 Node`: the external ones, else the internal ones, or only these.
pub(super) fn of_node(node: &Value, only_internal: bool) -> Vec<String> {
    let of_type = |wanted: &str| {
        let all = at(node, "/status/addresses").as_array().into_iter().flatten();
        let wanted =
            all.filter(|address| at(address, "/type") == wanted).filter_map(|address| at(address, "/address").as_str());
        sorted(wanted)
    };
    let external = if only_internal { Vec::new() } else { of_type("ExternalIP") };
    if external.is_empty() { of_type("InternalIP") } else { external }
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_of_service_has_its_addresses() {
        for (spec, status, expected) in [
            (json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1"}), json!([]), &[][..]),
            (
                json!({"type": "LoadBalancer", "externalIPs": ["192.0.2.9", "192.0.2.1"]}),
                json!([{"ip": "192.0.2.1"}, {"ip": "2001:DB8:0::1"}, {"hostname": "LB.example", "ip": "192.0.2.3"}]),
                &["192.0.2.1", "192.0.2.9", "2001:db8::1", "lb.example"],
            ),
            (json!({"type": "NodePort", "clusterIPs": ["fd00::1", "10.0.0.1"]}), json!([]), &["10.0.0.1", "fd00::1"]),
            (
                json!({"type": "NodePort", "clusterIP": "10.0.0.1", "externalIPs": ["192.0.2.9"]}),
                json!([]),
                &["192.0.2.9"],
            ),
            (json!({"type": "ClusterIP", "clusterIP": "10.0.0.1"}), json!([]), &["10.0.0.1"]),
            (json!({"clusterIP": "None"}), json!([]), &[]),
            (json!({"type": "ExternalName", "externalName": "a.example"}), json!([]), &["a.example"]),
        ] {
            let service = json!({"spec": spec, "status": {"loadBalancer": {"ingress": status}}});
            assert_eq!(of_service(&service), expected, "{service}");
        }
    }

    #[test]
    fn nodes_count_where_a_pod_is_ready_and_stays() {
        let pod = |name: &str, phase: &str, ready: &str, going: Option<&str>| {
            json!({"metadata": {"name": name, "deletionTimestamp": going}, "spec": {"nodeName": format!("node-{name}")},
                   "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}})
        };
        let pods = json!({"items": [
            pod("a", "Running", "True", None),
            pod("b", "Running", "False", None),
            pod("c", "Pending", "True", None),
            pod("d", "Running", "True", Some("2026-01-02T03:04:05Z")),
        ]});
        assert_eq!(nodes(&pods).into_iter().collect::<Vec<_>>(), ["node-a"]);
        assert_eq!(running(&pods).into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn external_addresses_of_a_node_win_unless_only_internal_ones_are_wanted() {
        let address = |kind: &str, address: &str| json!({"type": kind, "address": address});
        let (internal, external) = (address("InternalIP", "10.0.0.1"), address("ExternalIP", "192.0.2.1"));
        let node = json!({"status": {"addresses": [internal, external, address("ExternalIP", "2001:db8::1")]}});
        assert_eq!(of_node(&node, false), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(of_node(&node, true), ["10.0.0.1"]);
        let inside = json!({"status": {"addresses": [internal, address("Hostname", "a")]}});
        assert_eq!(of_node(&inside, false), ["10.0.0.1"]);
    }

    #[test]
    fn pods_of_another_revision_are_ours_too() {
        let labels = json!({"app": "fairlead", "pod-template-hash": "6f", "app.kubernetes.io/name": "x"});
        assert_eq!(
            selector(&json!({"metadata": {"labels": labels}})).unwrap(),
            "app=fairlead,app.kubernetes.io/name=x"
        );
        assert_eq!(selector(&json!({"metadata": {"labels": {"pod-template-hash": "6f"}}})), None);
    }

    #[test]
    fn an_entry_is_an_address_or_a_name() {
        let addresses = sorted(["b.example", "2001:db8:0:0::1", " 192.0.2.1", "192.0.2.1", ""]);
        assert_eq!(entries(&addresses), json!([{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}, {"hostname": "b.example"}]));
    }
}
