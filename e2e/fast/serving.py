"""What a user of a cluster sees first: an Ingress is served soon, has an address, and follows its endpoints."""

from __future__ import annotations

import ssl
import statistics
import time

from harness import objects
from harness.case import FastCase

# PERFORMANCE.md and the goals of issue 4, milliseconds.
CREATED_MEAN, CREATED_MAX = 17, 75
UNREADY_P99 = 200


class Serving(FastCase):
    """One replica against the API server."""

    def test_an_ingress_is_served_and_gets_its_address_and_both_go_with_it(self) -> None:
        made = self.serve("web", "a.example")
        fairlead = self.controller("--publish-status-address", "192.0.2.10")
        self.assertEqual(fairlead.get("a.example").pod, "web")
        self.assertEqual(fairlead.get("b.example").status, 404)

        def shown() -> list[str]:
            return self.kubectl("get", "ingress", "web", "--no-headers").split()[:4]

        self.eventually(lambda: shown() == ["web", objects.CLASS, "a.example", "192.0.2.10"])
        self.api.delete(made)
        self.eventually(lambda: fairlead.get("a.example").status == 404)

    def test_a_certificate_of_a_secret_is_served_and_its_change_too(self) -> None:
        certificates = [objects.certificate(self.work, "a.example") for _ in range(2)]
        self.apply(objects.tls_secret(self.namespace, "tls", *certificates[0]))
        self.serve("web", "a.example", tls="tls")
        fairlead = self.controller()
        served = lambda: fairlead.get_tls("a.example").certificate  # noqa: E731
        der = [ssl.PEM_cert_to_DER_cert(each[0].decode()) for each in certificates]
        self.assertEqual(served(), der[0])
        self.apply(objects.tls_secret(self.namespace, "tls", *certificates[1]))
        self.eventually(lambda: served() == der[1], 1)

    def test_a_new_ingress_answers_soon_and_no_other_host_notices(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.controller()
        made = 0

        def measure() -> dict[str, float]:
            nonlocal made
            took = []
            for _ in range(100):
                name, made = f"n{made}", made + 1
                self.api.create(objects.ingress(self.namespace, name, f"{name}.example", "web"))
                started = time.monotonic()
                while fairlead.get(f"{name}.example").status != 200:
                    self.assertLess(time.monotonic() - started, 5)
                took.append((time.monotonic() - started) * 1000)
            return {"mean": statistics.mean(took), "max": max(took)}

        with self.load(f"http://{fairlead.address}/", "a.example", rate=100) as load:
            self.within_marks(measure, mean=CREATED_MEAN, max=CREATED_MAX)
        self.assert_lost_nothing(load)

    def test_an_endpoint_that_turns_unready_gets_nothing_new(self) -> None:
        self.serve("web", "a.example")
        stays, leaves = self.backend("stays"), self.backend("leaves")
        fairlead = self.controller()

        def measure() -> dict[str, float]:
            return {"max": max(late() for _ in range(20))}

        def late() -> float:
            both = objects.endpoints(self.namespace, "web", [stays, leaves])
            self.apply(both)
            self.eventually(lambda: fairlead.get("a.example").pod == "leaves")
            both["endpoints"][1]["conditions"] = {"ready": False}
            self.apply(both)
            changed = last = time.monotonic()
            while (asked := time.monotonic()) < changed + 0.3:
                if fairlead.get("a.example").pod == "leaves":
                    last = asked
            return (last - changed) * 1000

        self.within_marks(measure, max=UNREADY_P99)
