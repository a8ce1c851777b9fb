"""The node itself: pods, images, services, clean-up."""

from __future__ import annotations

import http.client
import json

from cluster.control_plane import NODE
from harness import objects
from harness.case import FullCase

IMAGE = "localhost/echo:e2e"


def ask(address: str, port: int = 80, path: str = "/") -> dict:
    """The echo of a pod."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


class NodeItself(FullCase):
    """Facts that every other test builds on."""

    def test_the_node_is_ready(self) -> None:
        self.assertIn(" Ready", self.kubectl("get", "node", NODE))

    def test_a_deployment_answers_on_its_balancer_address_and_its_logs_can_be_read(self) -> None:
        self.cluster.add_program(IMAGE, self.program("echo"))
        self.apply(
            objects.deployment(self.namespace, "web", IMAGE, 3),
            objects.service(self.namespace, "web", kind="LoadBalancer", selector={"app": "web"}),
        )
        self.roll_out("web")
        address = self.balancer("web")
        pods = set()
        self.eventually(lambda: pods.add(ask(address)["pod"]) or len(pods) == 3, 20, "an answer of every pod")
        with self.load(f"http://{address}/", "a.example", rate=100, mode="close") as load:
            self.eventually(lambda: ask(address, path="/x")["path"] == "/x")
        self.assert_lost_nothing(load, 1)
        self.kubectl("logs", "deployment/web")

    def test_helm_3_and_helm_4_are_there(self) -> None:
        self.assertTrue(self.helm("version", "--short", version=3).startswith("v3."))
        self.assertTrue(self.helm("version", "--short", version=4).startswith("v4."))
