"""`kubectl fairlead` against an installation: found by itself, reached through the API server, every replica asked."""

from __future__ import annotations

import subprocess

from harness import objects
from harness.chart import CONTROLLER, ECHO, ChartCase


class Plugin(ChartCase):
    """The plugin, as kubectl runs it for somebody who gave no flags."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster.add_program(ECHO, self.program("echo"))
        (self.work / "kubectl-fairlead").symlink_to(self.binary.resolve())

    def fairlead(self, *words: str) -> tuple[int, str]:
        """Exit code and output of `kubectl fairlead`."""
        environment = self.cluster.programs.environment(KUBECONFIG=str(self.cluster.kubeconfig))
        environment["PATH"] = f"{self.work}:{environment['PATH']}"
        done = subprocess.run(["kubectl", "fairlead", *words], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def shows(self, *words: str, text: str) -> None:
        """All replicas say the same, and the text is in it."""
        said = lambda: self.fairlead(*words)  # noqa: E731
        self.eventually(lambda: (found := said())[0] == 0 and text in found[1], 20, f"{words} shows {text}: {said()}")

    def test_each_command_asks_every_replica_and_names_those_that_disagree(self) -> None:
        self.backend("web")
        self.install(controller__replicaCount=2)
        secret, _ = self.certificate(self.host)
        broken = objects.ingress(self.namespace, "broken", f"broken.{self.host}", "nobody")
        self.apply(secret, objects.ingress(self.namespace, "web", self.host, "web", tls="tls"), broken)
        self.shows("routes", text=self.host)
        self.shows("backends", text=f"{self.namespace}/web")
        self.shows("certificates", text=f"{self.namespace}/tls")
        self.shows("problems", text="ServiceNotFound")
        self.shows("explain", f"https://{self.host}/x", text=f"{self.namespace}/web")
        code, report = self.fairlead("check", "--namespace", self.namespace)
        self.assertEqual((code, "ServiceNotFound" in report), (1, True), report)

        self.apply(self._stray())
        self.kubectl("wait", "--for=condition=Ready", "pod/stray", "--timeout=60s")
        code, said = self.fairlead("routes")
        self.assertEqual(code, 1, said)
        names = sorted(f"{self.namespace}/{pod['metadata']['name']}" for pod in self.pods())
        self.assertEqual(len(names), 3)
        for name in names:
            self.assertIn(name, said)
        self.assertIn(f"the replicas disagree: {', '.join(names[:2])} against {self.namespace}/stray", said)

    def _stray(self) -> dict:
        """A Pod of the installation that sees another namespace."""
        template = self.api.get("Deployment", self.namespace, CONTROLLER)["spec"]["template"]
        metadata = {"name": "stray", "namespace": self.namespace, "labels": template["metadata"]["labels"]}
        template["spec"]["containers"][0]["args"].append("--watch-namespace=default")
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
