"""The admission webhook, switched on by a value of the chart."""

from __future__ import annotations

from harness import objects
from harness.chart import CONTROLLER, ChartCase

PREFIX = "nginx.ingress.kubernetes.io"


class Webhook(ChartCase):
    """What kubectl shows of it."""

    def test_it_refuses_and_warns_and_when_it_is_down_blocks_nothing(self) -> None:
        self.install(controller__admissionWebhooks__enabled=True)
        broken = objects.ingress(
            self.namespace, "broken", self.host, "web",
            annotations={f"{PREFIX}/server-snippet": "if ($host) { return 200; }"},
        )
        said = lambda: self.kubectl_apply(broken)  # noqa: E731
        # The controller makes the certificate and tells the API server, which then asks it.
        self.eventually(lambda: "denied the request" in said() or self.kubectl("delete", "ingress", "broken") == "", 60)
        self.assertIn("server-snippet", said())
        self.assertNotIn("ingress/broken", self.kubectl("get", "ingress", "-o", "name"))

        dubious = objects.ingress(
            self.namespace, "dubious", self.host, "web", annotations={f"{PREFIX}/proxy-bodysize": "1m"}
        )
        shown = self.kubectl_apply(dubious)
        warnings = [line for line in shown.splitlines() if line.startswith("Warning:")]
        self.assertTrue(any("proxy-bodysize" in line for line in warnings), shown)
        self.assertIn("dubious created", shown)

        self.kubectl("scale", f"deployment/{CONTROLLER}", "--replicas=0")
        self.kubectl("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=controller", "--timeout=60s")
        self.assertIn("broken created", said())
