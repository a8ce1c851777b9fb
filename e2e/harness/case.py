"""The base of every test: a namespace of its own, everything it starts is ended, and evidence when it fails.

The cluster is started once for a run by `run.py`. A test may stop, wipe or restore it; it is put in order afterwards.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import unittest
import zlib
from collections.abc import Callable
from typing import ClassVar

from cluster import sandbox, tools
from cluster.api import UNREACHABLE, Api, Refused
from cluster.control_plane import ADDRESS, SERVER, ControlPlane
from cluster.node import Node

from harness import objects, rights
from harness.controller import Controller
from harness.load import Load
from harness.proxy import Proxy

ELECTION = "fairlead-leader"
# Outages, churn and rates as acceptance asks for them; otherwise as a busy machine can bear them.
IS_FULL_LENGTH = bool(os.environ.get("FAIRLEAD_E2E_FULL_LENGTH"))


class Case(unittest.TestCase):
    """What both halves share."""

    cluster: ClassVar[ControlPlane]
    binary: ClassVar[pathlib.Path]
    # The longest that one test may take.
    seconds: ClassVar[int] = 300
    maxDiff = None

    @property
    def api(self) -> Api:
        """The API as an administrator."""
        return self.cluster.api

    def setUp(self) -> None:
        work = tempfile.TemporaryDirectory(dir=sandbox.state())
        self.addCleanup(work.cleanup)
        self.work = pathlib.Path(work.name)
        self._namespaces: list[str] = []
        self._global: list[dict] = []
        self.addCleanup(self._clean_cluster)
        words = re.sub(r"[^a-z0-9]+", "-", self._testMethodName.lower())[5:40].strip("-")
        # The end tells tests apart whose names begin alike.
        self.namespace = self.make_namespace(f"{words}-{zlib.crc32(self.id().encode()) % 0x10000:04x}")

    def make_namespace(self, name: str, **labels: str) -> str:
        """A namespace that goes away with the test."""
        metadata = {"name": name, **({"labels": labels} if labels else {})}
        self._namespaces.append(name)
        self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        return name

    def apply(self, *made: dict) -> list[dict]:
        """Applies; what is in no namespace goes away with the test."""
        self._global += [each for each in made if "namespace" not in each["metadata"]]
        return self.api.apply(*made)

    def kubectl(self, *words: str, check: bool = True, stdin: str | None = None) -> str:
        """What kubectl prints, as an administrator in the test's namespace."""
        command = ["kubectl", "--kubeconfig", str(self.cluster.kubeconfig), "-n", self.namespace, *words]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, env=self.cluster.programs.environment(), check=False
        )
        if check:
            self.assertEqual(done.returncode, 0, f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout + ("" if check else done.stderr)

    def eventually(self, holds: Callable[[], object], seconds: float = 30, what: str = "") -> float:
        """Seconds until `holds` was true; the test fails if it does not become so."""
        started = time.monotonic()
        while not holds():
            if time.monotonic() > started + seconds:
                self.fail(f"not within {seconds} s: {what or holds}")
            time.sleep(0.01)
        return time.monotonic() - started

    def holds_for(self, seconds: float, holds: Callable[[], object], what: str = "") -> None:
        """The test fails if `holds` is false at any time in the next seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.assertTrue(holds(), what)
            time.sleep(0.02)

    def program(self, name: str) -> pathlib.Path:
        """A tool of the cluster or of the harness."""
        return tools.program(self.cluster.half, name)

    def load(self, url: str, host: str, **more: object) -> Load:
        """A steady load as a context."""
        return Load(self.program("load"), url, host, **more)

    def assert_lost_nothing(self, load: Load, least: int = 100) -> None:
        """Every request was answered as expected, and there were enough to say so."""
        self.assertEqual(load.result["failed"], 0, str(load))
        self.assertGreaterEqual(load.result["sent"], least, str(load))

    def events(self, namespace: str | None = None) -> list[dict]:
        """Events in the test's namespace."""
        return self.api.list("Event", namespace or self.namespace)

    def evidence(self) -> str:
        """What one needs to see when the test has failed: events and objects; more in each half."""
        parts = []
        for namespace in self._namespaces:
            try:
                for event in self.events(namespace):
                    about = event.get("regarding", {})
                    parts.append(
                        f"event {about.get('kind')}/{about.get('name')} {event.get('reason')}: {event.get('note')}"
                    )
                for kind in ("Ingress", "Service", "EndpointSlice"):
                    parts += [_short({"kind": kind, **each}) for each in self.api.list(kind, namespace)[:10]]
            except (*UNREACHABLE, Refused) as error:
                parts.append(f"no objects of {namespace}: {error}")
        return "\n".join(parts)

    def _clean_cluster(self) -> None:
        self.cluster.start()
        self.api.delete(*self._global)
        for name in self._namespaces:
            if self.cluster.half == "fast":
                self.api.drop_namespace(name)
            else:
                self.api.delete({"kind": "Namespace", "metadata": {"name": name}})


class FastCase(Case):
    """A test with the API server alone: back ends and controllers are processes."""

    def setUp(self) -> None:
        super().setUp()
        self.replicas: list[Controller] = []
        self.proxies: list[Proxy] = []
        self._backends = 0
        self._processes: dict[str, subprocess.Popen] = {}
        self.api.apply(*rights.all_objects(ELECTION))
        self.addCleanup(lambda: self.api.drop_namespace(rights.NAMESPACE))

    def proxy(self) -> Proxy:
        """A fault proxy in front of the API server."""
        made = Proxy(self.cluster.pki, (ADDRESS, 6443))
        self.addCleanup(made.close)
        self.proxies.append(made)
        return made

    def controller(self, *flags: str, proxy: Proxy | None = None, start: bool = True, wait: bool = True) -> Controller:
        """A replica; the first has the address 127.0.1.1, the second 127.0.1.2, …"""
        server = proxy.url if proxy else SERVER
        number = len(self.replicas) + 1
        made = Controller(self.binary, self.work, server, self.cluster.pki, number, *flags)
        self.replicas.append(made)
        self.addCleanup(made.kill)
        return made.start(wait=wait) if start else made

    def backend(self, name: str, *flags: str) -> str:
        """A back end that answers as pod `name`; its address. Port 8080."""
        self._backends += 1
        address = f"10.244.1.{self._backends}"
        command = [str(self.program("echo")), "-listen", f"{address}:8080", *flags]
        process = subprocess.Popen(command, env={"POD_NAME": name, "NAMESPACE": self.namespace})
        self._processes[address] = process
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.eventually(lambda: _listens(address), 20, f"{name} listens")
        return address

    def end_backend(self, address: str) -> None:
        """A back end dies without a word."""
        self._processes[address].kill()
        self._processes[address].wait()

    def serve(self, name: str, host: str, *, paths: tuple[str, ...] = ("/",), **more: object) -> dict:
        """The class, a Service `name` with one back end of that name, and an Ingress of the host to it."""
        address = self.backend(name)
        made = self.apply(
            objects.ingress_class(),
            objects.service(self.namespace, name),
            objects.endpoints(self.namespace, name, [address]),
            objects.ingress(self.namespace, name, host, name, paths, **more),
        )
        return made[-1]

    def evidence(self) -> str:
        """Also the controllers' logs and problems, and the last requests to the API server."""
        parts = [super().evidence()]
        for replica in self.replicas:
            parts.append(
                f"--- {replica.name} {'runs' if replica.is_running else 'has ended'}, end of its log\n{replica.tail()}"
            )
            try:
                parts += ["problems", *(json.dumps(each) for each in replica.admin("problems")["problems"][:20])]
                parts += ["config", *replica.config().splitlines()[:40]]
            except (ValueError, KeyError):
                parts.append("no answer from its admin address")
        for proxy in self.proxies:
            parts.append("--- last requests to the API server")
            parts += [f"{each.at:.3f} {each.method} {each.path} {each.query}" for each in proxy.seen[-20:]]
        parts.append(f"--- kube-apiserver\n{self.cluster.programs.tail('kube-apiserver', 5)}")
        return "\n".join(parts)


class FullCase(Case):
    """A test with a whole node."""

    cluster: ClassVar[Node]

    def roll_out(self, name: str, seconds: int = 180) -> None:
        """Waits until a Deployment is rolled out."""
        self.kubectl("rollout", "status", f"deployment/{name}", f"--timeout={seconds}s")

    def balancer(self, service: str, namespace: str | None = None) -> str:
        """The address of a LoadBalancer Service."""

        def address() -> str | None:
            status = self.api.get("Service", namespace or self.namespace, service)["status"]
            return (status["loadBalancer"].get("ingress") or [{}])[0].get("ip")

        self.eventually(address, 10, f"an address for {service}")
        return address()

    def helm(self, *words: str, version: int = 4) -> str:
        """What Helm 3 or 4 prints."""
        program = tools.CHECKOUT / ".tools" / "bin" / f"helm{version}"
        return self.cluster.programs.run(
            program, "--kubeconfig", self.cluster.kubeconfig, "-n", self.namespace, *words
        ).stdout

    def evidence(self) -> str:
        """Also the pods with their logs, and the end of the node's logs."""
        parts = [super().evidence()]
        for namespace in self._namespaces:
            parts.append(self.kubectl("get", "pods", "-o", "wide", "-n", namespace, check=False))
            for pod in self.api.list("Pod", namespace)[:6]:
                name = pod["metadata"]["name"]
                logs = self.kubectl("logs", name, "-n", namespace, "--all-containers", "--tail=20", check=False)
                parts.append(f"--- {name}\n{logs}")
        parts.append(f"--- kubelet\n{self.cluster.programs.tail('kubelet', 10)}")
        return "\n".join(parts)


def _listens(address: str) -> bool:
    try:
        socket.create_connection((address, 8080), 5).close()
    except OSError:
        return False
    return True


def _short(each: dict) -> str:
    metadata = {name: each["metadata"].get(name) for name in ("name", "annotations", "creationTimestamp")}
    rest = {name: value for name, value in each.items() if name not in ("metadata", "apiVersion")}
    return json.dumps({**rest, "metadata": metadata})[:1500]
