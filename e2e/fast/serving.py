"""What a user of a cluster sees first: an Ingress is served soon, has an address, and follows its endpoints."""

from __future__ import annotations

import ssl

from harness import objects
from harness.case import FastCase


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

    def test_new_ingresses_answer_and_no_other_host_notices(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.controller()
        with self.load(f"http://{fairlead.address}/", "a.example", rate=100) as load:
            for name in (f"n{number}" for number in range(50)):
                self.api.create(objects.ingress(self.namespace, name, f"{name}.example", "web"))
                self.eventually(lambda name=name: fairlead.get(f"{name}.example").status == 200)
        self.assert_lost_nothing(load, 20)

    def test_an_endpoint_that_turns_unready_gets_nothing_new(self) -> None:
        self.serve("web", "a.example")
        addresses = [self.backend("stays"), self.backend("leaves")]
        fairlead = self.controller()
        for _ in range(10):
            both = objects.endpoints(self.namespace, "web", addresses)
            self.apply(both)
            self.eventually(lambda: fairlead.get("a.example").pod == "leaves")
            both["endpoints"][1]["conditions"] = {"ready": False}
            self.apply(both)
            # Whoever takes turns has asked both after two requests.
            self.eventually(lambda: {fairlead.get("a.example").pod for _ in range(10)} == {"stays"})
            self.holds_for(0.2, lambda: fairlead.get("a.example").pod == "stays")
