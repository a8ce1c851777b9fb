"""The Kubernetes API for tests: objects are plain dicts, kinds are known by one table."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import ssl
import threading
import urllib.parse

# Kind → group and version, plural, whether it lives in a namespace.
KINDS = {
    "ClusterRole": ("apis/rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ClusterRoleBinding": ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
    "ConfigMap": ("api/v1", "configmaps", True),
    "Deployment": ("apis/apps/v1", "deployments", True),
    "EndpointSlice": ("apis/discovery.k8s.io/v1", "endpointslices", True),
    "Event": ("apis/events.k8s.io/v1", "events", True),
    "Ingress": ("apis/networking.k8s.io/v1", "ingresses", True),
    "IngressClass": ("apis/networking.k8s.io/v1", "ingressclasses", False),
    "Lease": ("apis/coordination.k8s.io/v1", "leases", True),
    "Namespace": ("api/v1", "namespaces", False),
    "Node": ("api/v1", "nodes", False),
    "Pod": ("api/v1", "pods", True),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles", True),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings", True),
    "Secret": ("api/v1", "secrets", True),
    "Service": ("api/v1", "services", True),
    "ServiceAccount": ("api/v1", "serviceaccounts", True),
    "ValidatingWebhookConfiguration": (
        "apis/admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", False,
    ),
}  # fmt: skip
UNREACHABLE = (OSError, http.client.HTTPException)
FIELD_MANAGER = "e2e"


class Refused(Exception):
    """An answer of 400 or more."""

    def __init__(self, status: int, text: str):
        super().__init__(f"{status}: {text[:1000]}")
        self.status, self.text = status, text


class Answer:
    """A status and a body."""

    def __init__(self, status: int, body: bytes):
        self.status, self.body = status, body

    def json(self) -> dict:
        """The body as JSON; `Refused` if the status says so."""
        if self.status >= 400:
            raise Refused(self.status, self.body.decode(errors="replace"))
        return json.loads(self.body)


class Api:
    """A user of the API server at one address. Safe for threads: each has its own connection."""

    def __init__(self, host: str, port: int, authority: pathlib.Path, token: str):
        self.host, self.port, self.token = host, port, token
        self.trust = ssl.create_default_context(cafile=authority)
        self._own = threading.local()

    def call(self, method: str, path: str, body: object = None, content: str = "application/json") -> Answer:
        """One exchange; tried once more if a kept connection turns out to be closed."""
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        fields = {"Authorization": f"Bearer {self.token}", "Content-Type": content}
        for is_fresh in (not hasattr(self._own, "connection"), True):
            connection = self._own.__dict__.setdefault("connection", self._connection())
            try:
                connection.request(method, path, data, fields)
                answer = connection.getresponse()
                return Answer(answer.status, answer.read())
            except UNREACHABLE:
                connection.close()
                del self._own.connection
                if is_fresh:
                    raise
        raise AssertionError("unreachable")

    def get(self, kind: str, namespace: str | None, name: str) -> dict:
        """One object."""
        return self.call("GET", path(kind, namespace, name)).json()

    def find(self, kind: str, namespace: str | None, name: str) -> dict | None:
        """One object, None if there is none."""
        try:
            return self.get(kind, namespace, name)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def list(self, kind: str, namespace: str | None = None) -> list[dict]:
        """All objects of a kind, of one namespace or of all."""
        return self.call("GET", path(kind, namespace)).json()["items"]

    def apply(self, *objects: dict) -> list[dict]:
        """Server-side apply, as `kubectl apply --server-side --force-conflicts`."""
        query = urllib.parse.urlencode({"fieldManager": FIELD_MANAGER, "force": "true"})
        return [
            self.call("PATCH", f"{path_of(each)}?{query}", each, "application/apply-patch+yaml").json()
            for each in objects
        ]

    def create(self, *objects: dict) -> list[dict]:
        """Creates; refused if one is there already."""
        return [self.call("POST", path(each["kind"], _namespace(each)), each).json() for each in objects]

    def merge(self, target: dict, change: dict, subresource: str = "") -> dict:
        """A merge patch."""
        where = path_of(target) + (f"/{subresource}" if subresource else "")
        return self.call("PATCH", where, change, "application/merge-patch+json").json()

    def set_condition(self, pod: dict, condition: str, holds: bool) -> None:
        """Gives a Pod a condition of its own kind, beside those of the kubelet."""
        status = {"conditions": [{"type": condition, "status": str(holds)}]}
        where = path("Pod", _namespace({"kind": "Pod", **pod}), pod["metadata"]["name"]) + "/status"
        self.call("PATCH", where, {"status": status}, "application/strategic-merge-patch+json").json()

    def delete(self, *objects: dict) -> None:
        """Deletes; one that is gone already is fine."""
        for each in objects:
            answer = self.call("DELETE", path_of(each))
            if answer.status != 404:
                answer.json()

    def drop_namespace(self, name: str) -> None:
        """Deletes a namespace and what is in it, where no controller does the rest."""
        for kind, (_, _, is_namespaced) in KINDS.items():
            if is_namespaced:
                # A Pod on a Node would wait for the kubelet there.
                self.call("DELETE", f"{path(kind, name)}?gracePeriodSeconds=0").json()
        self.delete({"kind": "Namespace", "metadata": {"name": name}})
        if left := self.find("Namespace", None, name):
            left["spec"]["finalizers"] = []
            with contextlib.suppress(Refused):
                self.call("PUT", f"{path('Namespace', None, name)}/finalize", left).json()

    def _connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.host, self.port, timeout=30, context=self.trust)


def path(kind: str, namespace: str | None = None, name: str | None = None) -> str:
    """The URL path of a collection or of one object."""
    group, plural, is_namespaced = KINDS[kind]
    place = f"/namespaces/{namespace}" if is_namespaced and namespace else ""
    return f"/{group}{place}/{plural}" + (f"/{name}" if name else "")


def path_of(target: dict) -> str:
    """The URL path of an object; a list item without a kind needs `{"kind": …, **item}`."""
    return path(target["kind"], _namespace(target), target["metadata"]["name"])


def _namespace(target: dict) -> str | None:
    return target["metadata"].get("namespace", "default") if KINDS[target["kind"]][2] else None
