"""The Ingress conformance scenarios on the node, with the chart's defaults."""

from __future__ import annotations

import os
import pathlib
import urllib.parse

from conformance import report, scenarios
from conformance.scenarios import Request, Scenario
from harness import client, objects
from harness.chart import ECHO, ChartCase

REPORT = "FAIRLEAD_E2E_REPORT"


class Conformance(ChartCase):
    """One installation, a namespace for each feature."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster.add_program(ECHO, self.program("echo"))
        self.install()
        self.passed: dict[Scenario, bool] = {}

    def test_every_scenario_passes(self) -> None:
        self.assertEqual(len(scenarios.ALL), 25)
        self._hosts()
        self._rules("path-rules", scenarios.PATH_RULES, scenarios.PATHS)
        self._foreign_class()
        self._default_backend()
        self._balancing()
        self.assertEqual(tuple(self.passed), scenarios.ALL)
        if file := os.environ.get(REPORT):
            kubernetes = self.api.call("GET", "/version").json()["gitVersion"].lstrip("v")
            report.write(pathlib.Path(file), kubernetes, self.passed)
        self.assertEqual([one.fact for one, is_good in self.passed.items() if not is_good], [])

    def _default_backend(self) -> None:
        namespace = self.feature("default-backend")
        self.serve(namespace, "echo-service")
        address = self.published(namespace, "default-backend", scenarios.DEFAULT_BACKEND)
        with self.scenario(scenarios.DEFAULT):
            for request in scenarios.DEFAULT.requests:
                answer = self.ask(address, request)
                self.assertEqual(answer.version, 11)
                for field in scenarios.REQUIRED_FIELDS:
                    self.assertIn(field, answer.fields)
                self.assertEqual(answer.echo["proto"], "HTTP/1.1")
                self.assertEqual(answer.echo["headers"]["User-Agent"], [client.AGENT])
        # The next default back end comes at once, while the rest of this namespace is still going away. The Ingress itself
        # would stay until the last Pod is gone, and being older it would answer.
        self._namespaces.remove(namespace)
        self.kubectl("delete", "ingress", "--all", "-n", namespace)
        self.api.delete({"kind": "Namespace", "metadata": {"name": namespace}})

    def _hosts(self) -> None:
        certificate, key = objects.certificate(self.work, "foo.bar.com")
        self.trust = self.work / "foo.bar.com.pem"
        self.trust.write_bytes(certificate)
        namespace = self.feature("host-rules")
        self.apply(objects.tls_secret(namespace, "tls", certificate, key))
        self._rules(namespace, scenarios.HOST_RULES, scenarios.HOSTS)

    def _rules(self, name: str, spec: dict, all_of_it: tuple[Scenario, ...]) -> None:
        namespace = self.feature(name)
        self.serve(namespace, *sorted(_services(spec)))
        address = self.published(namespace, name, spec)
        for scenario in all_of_it:
            with self.scenario(scenario):
                self.ask(address, scenario.requests[0])

    def _foreign_class(self) -> None:
        namespace = self.feature("ingress-class")
        self.serve(namespace, "echo-service")
        self.apply(scenarios.ingress(namespace, "ingress-class", scenarios.FOREIGN_CLASS))
        # One of ours that comes later and has its address: the other was seen by then.
        ours = scenarios.rule("ours", ("/", "Prefix", scenarios.backend("echo-service")))
        address = self.published(namespace, "ours", {"rules": [ours]})
        with self.scenario(scenarios.CLASS):
            self.ask(address, scenarios.CLASS.requests[0])
            foreign = self.api.get("Ingress", namespace, "ingress-class")
            self.assertEqual(foreign["status"]["loadBalancer"], {})

    def _balancing(self) -> None:
        namespace = self.feature("load-balancing")
        self.serve(namespace, "echo-service")
        address = self.published(namespace, "load-balancing", scenarios.DEFAULT_BACKEND)
        self.kubectl("scale", "deployment/echo-service", f"--replicas={scenarios.PODS}", "-n", namespace)
        self.kubectl("rollout", "status", "deployment/echo-service", "-n", namespace, "--timeout=120s")
        with self.scenario(scenarios.BALANCING):
            pods = {self.ask(address, request).pod for request in scenarios.BALANCING.requests}
            self.assertEqual(len(pods), scenarios.PODS)

    def scenario(self, scenario: Scenario):
        """The checks of one scenario: counted as passed unless one of them fails."""
        return _Counted(self, scenario)

    def feature(self, name: str) -> str:
        """A namespace that goes away with the test."""
        return name if name in self._namespaces else self.make_namespace(name)

    def serve(self, namespace: str, *services: str) -> None:
        """One Pod for each Service, rolled out."""
        for service in services:
            deployment = objects.deployment(namespace, service, ECHO, 1)
            made = objects.service(namespace, service, selector={"app": service})
            made["spec"]["ports"][0]["port"] = scenarios.PORT
            self.apply(deployment, made)
        for service in services:
            self.kubectl("rollout", "status", f"deployment/{service}", "-n", namespace, "--timeout=120s")

    def published(self, namespace: str, name: str, spec: dict) -> str:
        """Applies an Ingress; the address that its status shows."""
        self.apply(scenarios.ingress(namespace, name, spec))
        shown = lambda: self.api.get("Ingress", namespace, name)["status"]["loadBalancer"].get("ingress")  # noqa: E731
        self.eventually(shown, 30, f"{name} has an address")
        return shown()[0]["ip"]

    def ask(self, address: str, request: Request) -> client.Answer:
        """The answer to a request, which is the right one."""
        url = urllib.parse.urlsplit(request.url)
        host, path = url.netloc or address, url.path
        answer = client.get(address, host, path, request.method, trust=self.trust if url.scheme == "https" else None)
        if answer.status == 308:
            url = urllib.parse.urlsplit(answer.fields["location"])
            self.assertEqual((url.scheme, url.netloc), ("https", host))
            answer = client.get(address, host, url.path or "/", request.method, trust=client.ANYBODY)
        self.assertEqual(answer.status, 200 if request.service else 404, f"{request}: {answer}")
        if request.service:
            expected = {"service": request.service, "path": path, "host": host, "method": request.method}
            self.assertEqual({name: answer.echo[name] for name in expected}, expected)
        return answer


class _Counted:
    def __init__(self, case: Conformance, scenario: Scenario) -> None:
        self._case, self._scenario = case, scenario

    def __enter__(self) -> None:
        self._case.passed[self._scenario] = False

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> bool:
        self._case.passed[self._scenario] = kind is None
        print(f"      {'pass' if kind is None else 'fail'}  {self._scenario.feature}: {self._scenario.fact}", flush=True)
        if error is not None:
            print(f"      {error}", flush=True)
        return kind is not None and issubclass(kind, (AssertionError, OSError))


def _services(spec: dict) -> set[str]:
    return {path["backend"]["service"]["name"] for rule in spec["rules"] for path in rule["http"]["paths"]}
