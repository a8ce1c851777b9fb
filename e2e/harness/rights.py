"""The rights that the controller runs with in the tests: those of RELIABILITY.md 5 and no other."""

from __future__ import annotations

USER, TOKEN = "fairlead", "fairlead-token"
NAMESPACE = "fairlead"
READ = ["get", "list", "watch"]
# Kind (plural) → its group. What is read cluster-wide.
WATCHED = {
    "configmaps": "",
    "endpointslices": "discovery.k8s.io",
    "ingressclasses": "networking.k8s.io",
    "ingresses": "networking.k8s.io",
    "namespaces": "",
    "nodes": "",
    "pods": "",
    "secrets": "",
    "services": "",
}


def cluster_role(without: str = "") -> dict:
    """The ClusterRole, without the right to read one kind."""
    rules = [
        {"apiGroups": [group], "resources": [plural], "verbs": READ}
        for plural, group in WATCHED.items()
        if plural != without
    ]
    rules.append({"apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["patch"]})
    rules.append({"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]})
    return {"apiVersion": _GROUP, "kind": "ClusterRole", "metadata": {"name": USER}, "rules": rules}


def all_objects(election: str) -> list[dict]:
    """Namespace, roles and bindings."""
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    rules = [{**leases, "verbs": ["create"]}, {**leases, "verbs": ["get", "update"], "resourceNames": [election]}]
    inside = {"name": USER, "namespace": NAMESPACE}
    subjects = [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": USER}]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        cluster_role(),
        {"apiVersion": _GROUP, "kind": "ClusterRoleBinding", "metadata": {"name": USER}, "subjects": subjects,
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": USER}},
        {"apiVersion": _GROUP, "kind": "Role", "metadata": inside, "rules": rules},
        {"apiVersion": _GROUP, "kind": "RoleBinding", "metadata": inside, "subjects": subjects,
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": USER}},
    ]  # fmt: skip


_GROUP = "rbac.authorization.k8s.io/v1"
