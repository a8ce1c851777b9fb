"""What `helm install` makes of a cluster: an Ingress that answers, and nothing that stays behind."""

from __future__ import annotations

import json

from harness import client, objects
from harness.chart import CHART, CONTROLLER, ECHO, RELEASE, ChartCase


class Install(ChartCase):
    """The chart with its defaults, and the life of a release."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster.add_program(ECHO, self.program("echo"))

    def test_helm_3_installs_upgrades_rolls_back_and_leaves_nothing(self) -> None:
        self._life(version=3)

    def test_helm_4_installs_upgrades_rolls_back_and_leaves_nothing(self) -> None:
        self._life(version=4)

    def _life(self, version: int) -> None:
        self.backend("web")
        secret, trust = self.certificate(self.host)
        before = self.everything()
        self.install(version=version)
        address = self.balancer(CONTROLLER)
        self.kubectl_apply(secret, objects.ingress(self.namespace, "web", self.host, "web", tls="tls"))
        row = ["web", "fairlead", self.host, address, "80,", "443"]
        self.eventually(lambda: self._row() == row, 20, f"{row} is shown")
        # The node's own proxy needs another moment to know the address.
        redirect = lambda: self.curl(address, f"http://{self.host}/a", "-i")  # noqa: E731
        self.eventually(lambda: "308 Permanent" in redirect(), 20, f"a redirect: {redirect()}")
        answer = json.loads(self.curl(address, f"https://{self.host}/a?b", "--cacert", str(trust)))
        self.assertEqual((answer["path"], answer["host"], answer["service"]), ("/a?b", self.host, "web"))

        flags = self.values(controller__replicaCount=2, controller__extraArgs={"log-format": "json"})
        for words, replicas in (("upgrade", RELEASE, CHART, "--reuse-values", *flags), 2), (("rollback", RELEASE, "1"), 1):
            self.helm(*words, "--wait", version=version)
            self.eventually(lambda: self._flags() == [replicas > 1] * replicas, 30, f"{words[0]} acts")
            self.assertEqual(client.get(address, self.host, trust=trust).status, 200)
        self.assertEqual(self._row(), row)

        self.kubectl("delete", "secret/tls")
        self.leaves_nothing(before, version)

    def _row(self) -> list[str]:
        return self.kubectl("get", "ingress", "web", "--no-headers").split()[:-1]

    def _flags(self) -> list[bool]:
        """For each Pod that stays, whether it has the flag of the upgrade."""
        stay = [pod for pod in self.pods() if "deletionTimestamp" not in pod["metadata"]]
        return ["--log-format=json" in pod["spec"]["containers"][0]["args"] for pod in stay]

    def test_describe_says_why_an_ingress_does_not_work(self) -> None:
        self.install()
        self.kubectl_apply(objects.ingress(self.namespace, "web", self.host, "nobody", tls="nothing"))
        for reason, words in (("ServiceNotFound", "nobody"), ("SecretNotFound", "nothing")):
            described = lambda: self.kubectl("describe", "ingress", "web")  # noqa: E731
            self.eventually(lambda: any(words in line for line in described().splitlines() if reason in line), 20, reason)
