"""The chart in the node: installed by Helm with the image of the Dockerfile, gone with the test."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess

from cluster import tools
from harness import objects
from harness.case import FullCase

CHART = tools.CHECKOUT / "charts" / "fairlead"
RELEASE, CONTROLLER = "fairlead", "fairlead-controller"
ECHO = "localhost/echo:e2e"
# What comes and goes by itself.
FLEETING = ("events", "events.events.k8s.io", "endpoints")


def image() -> str:
    """The image that the chart asks for by default. The archive of the Dockerfile is imported under this name."""
    version = re.search(r'^appVersion: "?([^"\n]+)', (CHART / "Chart.yaml").read_text(), re.MULTILINE)
    return f"ghcr.io/fairlead-dev/fairlead:{version[1]}"


class ChartCase(FullCase):
    """A test with the chart installed in the test's namespace, as release `fairlead`."""

    @property
    def host(self) -> str:
        """A host of the test's own: Ingresses of the last test may be there for another moment."""
        return f"{self.namespace[:16]}-{self.namespace[-4:]}.example"

    def install(self, *words: str, version: int = 4, wait: bool = True, **values: object) -> None:
        """`helm install` with the chart's defaults, but for values by their dotted names, `__` for each dot."""
        self.addCleanup(self._uninstall)
        waiting = ("--wait", "--timeout", "120s") if wait else ()
        self.helm("install", RELEASE, CHART, *waiting, *words, *self.values(**values), version=version)

    def values(self, **values: object) -> list[str]:
        """Values as flags of Helm."""
        return [
            word
            for name, value in values.items()
            for word in ("--set-json", f"{name.replace('__', '.')}={json.dumps(value)}")
        ]

    def backend(self, name: str, replicas: int = 1, **more: object) -> None:
        """A Deployment of the echo program and its Service, rolled out."""
        self.apply(
            objects.deployment(self.namespace, name, ECHO, replicas, **more),
            objects.service(self.namespace, name, selector={"app": name}),
        )
        self.roll_out(name)

    def kubectl_apply(self, *made: dict) -> str:
        """What `kubectl apply` prints, also when it fails."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
        return self.kubectl("apply", "-f", "-", stdin=text, check=False)

    def certificate(self, host: str) -> tuple[dict, pathlib.Path]:
        """A TLS Secret named `tls` for a host, and the file of the authority to trust."""
        certificate, key = objects.certificate(self.work, host)
        trust = self.work / f"{host.replace('*', '_')}.pem"
        trust.write_bytes(certificate)
        return objects.tls_secret(self.namespace, "tls", certificate, key), trust

    def pods(self) -> list[dict]:
        """The controller's Pods."""
        found = self.api.list("Pod", self.namespace)
        return [pod for pod in found if pod["metadata"]["labels"].get("app.kubernetes.io/component") == "controller"]

    def everything(self) -> set[str]:
        """Every object of the test's namespace and every one of no namespace, but for what comes and goes by itself."""
        kinds = self.kubectl("api-resources", "--verbs=list", "--namespaced=true", "-o", "name").split()
        of_no_namespace = self.kubectl("api-resources", "--verbs=list", "--namespaced=false", "-o", "name").split()
        names = [",".join(kind for kind in part if kind not in FLEETING) for part in (kinds, of_no_namespace)]
        return {line for part in names for line in self.kubectl("get", part, "-o", "name").splitlines()}

    def leaves_nothing(self, before: set[str], version: int = 4) -> None:
        """Uninstalls it and compares the cluster with what it was before; the Ingresses of the test go too."""
        self.kubectl("delete", "ingress", "--all")
        self.helm("uninstall", RELEASE, version=version)
        self.eventually(lambda: not self.everything() - before, 60, "nothing is left but what was there")

    def curl(self, address: str, url: str, *words: str) -> str:
        """What curl prints of a URL whose host is at `address`."""
        host = re.match(r"https?://([^/]+)", url)[1]
        places = [word for port in (80, 443) for word in ("--resolve", f"{host}:{port}:{address}")]
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "10", *places, *words, url], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def _uninstall(self) -> None:
        # Without the wait for Pods that drain: the next test is another namespace.
        self.helm("uninstall", RELEASE, "--ignore-not-found")
