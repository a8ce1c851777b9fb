"""The rights that the controller runs with in the tests: those of the chart and no other."""

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

WRITTEN = [
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["patch"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
]


def cluster_role(without: str = "") -> dict:
    """The ClusterRole, without the right to read one kind."""
    rules = [
        {"apiGroups": [group], "resources": [plural], "verbs": READ}
        for plural, group in WATCHED.items()
        if plural != without
    ]
    return {"apiVersion": _GROUP, "kind": "ClusterRole", "metadata": {"name": USER}, "rules": [*rules, *WRITTEN]}


def all_objects(election: str) -> list[dict]:
    """Namespace, roles and bindings."""
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    rules = [{**leases, "verbs": ["create"]}, {**leases, "verbs": ["get", "update"], "resourceNames": [election]}]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        *_granted("ClusterRole", USER, cluster_role()["rules"]),
        *_granted("Role", USER, rules, NAMESPACE),
    ]


def inside(namespace: str) -> list[dict]:
    """What the chart's `rbac.scope` gives in place of the ClusterRole: the same in one namespace."""
    has_no_namespace = ("ingressclasses", "namespaces", "nodes")
    rules = [
        {"apiGroups": [group], "resources": [plural], "verbs": READ}
        for plural, group in WATCHED.items()
        if plural not in has_no_namespace
    ]
    return _granted("Role", "served", [*rules, *WRITTEN], namespace)


def classes() -> list[dict]:
    """The right to read IngressClasses, which are in no namespace."""
    rules = [{"apiGroups": ["networking.k8s.io"], "resources": ["ingressclasses"], "verbs": READ}]
    return _granted("ClusterRole", "fairlead-classes", rules)


def one_secret(namespace: str, name: str) -> list[dict]:
    """The right to read one Secret that a flag names."""
    rules = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": READ}]
    return _granted("Role", "certificate", rules, namespace)


def webhook(configuration: str, secret: str) -> list[dict]:
    """What a webhook needs that keeps its own certificate."""
    told = {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["validatingwebhookconfigurations"]}
    kept = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get", "update"]}
    rules = [{**told, "resourceNames": [configuration], "verbs": ["get", "patch"]}]
    return _granted("ClusterRole", "fairlead-webhook", rules) + _granted("Role", "webhook", [kept], NAMESPACE)


def _granted(kind: str, name: str, rules: list[dict], namespace: str | None = None) -> list[dict]:
    """A role and its binding to the controller."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return [
        {"apiVersion": _GROUP, "kind": kind, "metadata": metadata, "rules": rules},
        {"apiVersion": _GROUP, "kind": f"{kind}Binding", "metadata": metadata,
         "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": USER}],
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}},
    ]  # fmt: skip


_GROUP = "rbac.authorization.k8s.io/v1"
