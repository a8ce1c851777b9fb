"""Objects that tests apply. Names are the test's, everything else is what the simplest user would write."""

from __future__ import annotations

import base64
import datetime
import pathlib
import subprocess
from collections.abc import Sequence

CLASS, CONTROLLER = "fairlead", "fairlead.dev/ingress-controller"


def ingress_class(name: str = CLASS, controller: str = CONTROLLER, is_default: bool = False) -> dict:
    """An IngressClass."""
    marks = {"ingressclass.kubernetes.io/is-default-class": "true"} if is_default else {}
    return _object("IngressClass", None, name, spec={"controller": controller}, annotations=marks)


def ingress(
    namespace: str,
    name: str,
    host: str | None,
    service: str,
    paths: Sequence[str] = ("/",),
    *,
    tls: str | None = None,
    class_name: str | None = CLASS,
    annotations: dict[str, str] | None = None,
    kind: str = "Prefix",
) -> dict:
    """An Ingress of one host whose paths go to the port `http` of one Service."""
    backend = {"service": {"name": service, "port": {"name": "http"}}}
    rule: dict = {"http": {"paths": [{"path": path, "pathType": kind, "backend": backend} for path in paths]}}
    if host:
        rule["host"] = host
    spec: dict = {"rules": [rule]}
    if class_name:
        spec["ingressClassName"] = class_name
    if tls:
        spec["tls"] = [{"hosts": [host] if host else [], "secretName": tls}]
    return _object("Ingress", namespace, name, spec=spec, annotations=annotations or {})


def service(namespace: str, name: str, *, kind: str = "ClusterIP", selector: dict | None = None) -> dict:
    """A Service with one port, `http`, 80 to 8080."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    spec = {"type": kind, "ports": ports} | ({"selector": selector} if selector else {})
    return _object("Service", namespace, name, spec=spec)


def endpoints(namespace: str, of: str, addresses: Sequence[str], *, ready: bool = True, part: int = 1) -> dict:
    """An EndpointSlice of a Service; `part` numbers the slices of one Service."""
    return {
        **_object("EndpointSlice", namespace, f"{of}-{part}", labels={"kubernetes.io/service-name": of}),
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [each], "conditions": {"ready": ready}} for each in addresses],
    }


def tls_secret(namespace: str, name: str, certificate: bytes, key: bytes) -> dict:
    """A Secret of type kubernetes.io/tls."""
    data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
    return {**_object("Secret", namespace, name), "type": "kubernetes.io/tls", "data": data}


def certificate(
    work: pathlib.Path,
    host: str,
    algorithm: Sequence[str] = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
) -> tuple[bytes, bytes]:
    """A new self-signed certificate and its key, both PEM."""
    files = work / "certificate.pem", work / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *algorithm, "-nodes", "-days", "5", "-out", files[0],
         "-keyout", files[1], "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"],
        check=True, capture_output=True,
    )  # fmt: skip
    return files[0].read_bytes(), files[1].read_bytes()


def certificate_until(work: pathlib.Path, host: str, end: datetime.datetime) -> tuple[bytes, bytes]:
    """A self-signed certificate that ends at that second, and its key, both PEM."""
    folder = work / "authority"
    folder.mkdir(exist_ok=True)
    (folder / "index").write_text("")
    start = end - datetime.timedelta(days=60)
    (folder / "config").write_text(
        "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\ndefault_md = sha256\n"
        "policy = any\nx509_extensions = more\n[any]\ncommonName = supplied\n[req]\ndistinguished_name = any\n"
        f"[more]\nsubjectAltName = DNS:{host}\nbasicConstraints = critical, CA:true\n"
    )
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for words in (
        ("req", "-new", *curve, "-config", "config", "-keyout", "key", "-out", "request", "-subj", "/CN=first"),
        ("ca", "-batch", "-selfsign", "-notext", "-config", "config", "-keyfile", "key", "-in", "request",
         "-startdate", f"{start:%Y%m%d%H%M%SZ}", "-enddate", f"{end:%Y%m%d%H%M%SZ}", "-out", "certificate"),
    ):  # fmt: skip
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
    return (folder / "certificate").read_bytes(), (folder / "key").read_bytes()


def node(name: str, *addresses: tuple[str, str]) -> dict:
    """A Node with (type, address) pairs, as its cloud would report them."""
    status = {"addresses": [{"type": kind, "address": address} for kind, address in addresses]}
    return {**_object("Node", None, name), "status": status}


def pod(namespace: str, name: str, on: str, labels: dict[str, str], *, ready: bool = True) -> dict:
    """A Pod that runs on a Node, as the kubelet there would report it."""
    container = {"name": "controller", "image": "none"}
    spec = {"nodeName": on, "containers": [container], "automountServiceAccountToken": False}
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status = {"phase": "Running", "conditions": [condition]}
    return {**_object("Pod", namespace, name, spec=spec, labels=labels), "status": status}


def deployment(
    namespace: str,
    name: str,
    image: str,
    replicas: int,
    *,
    arguments: Sequence[str] = (),
    grace: int = 30,
    pre_stop: int = 0,
    gate: str = "",
) -> dict:
    """A Deployment of the echo program with a readiness probe every second; `pre_stop`: seconds before SIGTERM; `gate`: a
    condition that somebody else must set before a Pod is ready."""
    names = {name: {"fieldRef": {"fieldPath": field}} for name, field in _DOWNWARD.items()}
    container = {
        "name": "echo",
        "image": image,
        "imagePullPolicy": "Never",
        "args": list(arguments),
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": variable, "valueFrom": source} for variable, source in names.items()]
        + [{"name": "SERVICE_NAME", "value": name}],
        # Patient, and with a share of the processor: on a busy machine no Pod may look as if it were broken.
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": "http"},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
            "failureThreshold": 30,
        },
        "resources": {"requests": {"cpu": "20m"}},
    }
    if pre_stop:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": pre_stop}}}
    labels = {"app": name}
    pod: dict = {"terminationGracePeriodSeconds": grace, "containers": [container]}
    if gate:
        pod["readinessGates"] = [{"conditionType": gate}]
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return _object("Deployment", namespace, name, spec=spec)


_DOWNWARD = {"POD_NAME": "metadata.name", "NAMESPACE": "metadata.namespace"}

_GROUPS = {
    "Deployment": "apps/v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "Ingress": "networking.k8s.io/v1",
    "IngressClass": "networking.k8s.io/v1",
}


def _object(
    kind: str,
    namespace: str | None,
    name: str,
    *,
    spec: dict | None = None,
    labels: dict | None = None,
    annotations: dict | None = None,
) -> dict:
    metadata: dict = {"name": name}
    for key, value in (("namespace", namespace), ("labels", labels), ("annotations", annotations)):
        if value:
            metadata[key] = value
    made: dict = {"apiVersion": _GROUPS.get(kind, "v1"), "kind": kind, "metadata": metadata}
    return made if spec is None else {**made, "spec": spec}
