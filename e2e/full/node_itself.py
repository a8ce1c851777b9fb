"""The node itself: pods, images, services, clean-up."""

from __future__ import annotations

from cluster.control_plane import NODE
from harness import client, objects
from harness.case import FullCase
from harness.chart import ECHO


class NodeItself(FullCase):
    """Facts that every other test builds on."""

    def test_the_node_is_ready(self) -> None:
        self.assertIn(" Ready", self.kubectl("get", "node", NODE))

    def test_a_deployment_answers_on_its_balancer_address_and_its_logs_can_be_read(self) -> None:
        self.cluster.add_program(ECHO, self.program("echo"))
        self.apply(
            objects.deployment(self.namespace, "web", ECHO, 3),
            objects.service(self.namespace, "web", kind="LoadBalancer", selector={"app": "web"}),
        )
        self.roll_out("web")
        address = self.balancer("web")
        pods = set()
        ask = lambda path: client.get(address, "a.example", path)  # noqa: E731
        self.eventually(lambda: pods.add(ask("/").pod) or len(pods - {None}) == 3, 20, "an answer of every pod")
        with self.load(f"http://{address}/", "a.example", rate=100, mode="close") as load:
            self.holds_for(1, lambda: ask("/x").echo["path"] == "/x")
        self.assert_lost_nothing(load, 90)
        self.kubectl("logs", "deployment/web")

    def test_helm_3_and_helm_4_are_there(self) -> None:
        self.assertTrue(self.helm("version", "--short", version=3).startswith("v3."))
        self.assertTrue(self.helm("version", "--short", version=4).startswith("v4."))
