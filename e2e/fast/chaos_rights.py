"""Rights that are missing, go away, or come."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

from harness import faults, objects, rights
from harness.case import ELECTION, FastCase
from harness.controller import Controller

REQUIRED = ("ingresses", "services", "endpointslices", "secrets")
OPTIONAL = ("ingressclasses", "pods")
PUBLISH = ("--publish-status-address", "192.0.2.10", "--status-update-interval", "5s", "--election-ttl", "3s")


class ChaosRights(FastCase):
    """What may not be done is said in one line and counted; everything else goes on."""

    def grant(self, *, without: Iterable[str] = ()) -> None:
        """The ClusterRole, without the rules about these resources."""
        role = rights.cluster_role()
        missing = set(without)
        self.api.apply({**role, "rules": [rule for rule in role["rules"] if rule["resources"][0] not in missing]})

    def assert_said_once(self, fairlead: Controller, verb: str, resource: str) -> None:
        """One line names verb and resource, and a metric counts."""
        named = f'^fairlead_api_refusals_total{{verb="{verb}",resource="{resource}",code="403"}}'
        self.eventually(lambda: fairlead.metric(named) > 0, what=f"{verb} {resource}: {fairlead.metrics()}")
        said = (f'resource="{resource}"', "code=403")
        lines = [line for line in fairlead.log.read_text().splitlines() if all(word in line for word in said)]
        self.assertEqual(len(lines), 1, lines)
        self.assertIn(f'verb="{verb}"', lines[0])

    def test_c9_each_missing_right_to_read_is_said_once_and_counted_and_all_heals_by_itself(self) -> None:
        self.serve("web", "a.example")
        self.grant(without=(*REQUIRED, *OPTIONAL))
        fairlead = self.controller(wait=False)
        self.eventually(lambda: fairlead.reason().count("(not allowed to watch)") == 6)
        time.sleep(2)  # several attempts each
        for resource in (
            "ingresses.networking.k8s.io", "services", "endpointslices.discovery.k8s.io", "secrets",
            "ingressclasses.networking.k8s.io", "pods",
        ):  # fmt: skip
            self.assert_said_once(fairlead, "watch", resource)
        self.assertEqual((fairlead.health("/healthz"), fairlead.health("/readyz")), (200, 503))
        self.assertEqual(fairlead.get("a.example").status, 0)
        self.grant(without=OPTIONAL)
        fairlead.wait_ready()
        self.grant()
        self.eventually(lambda: fairlead.get("a.example").pod == "web")
        self.eventually(lambda: fairlead.admin("problems")["problems"] == [])

    def test_c9_a_required_kind_blocks_readiness_and_another_does_not(self) -> None:
        self.serve("web", "a.example", class_name=None, annotations={"kubernetes.io/ingress.class": "fairlead"})
        with contextlib.ExitStack() as stack:
            replicas = {}
            for plural in (*REQUIRED, *OPTIONAL):
                proxy = self.proxy()
                stack.enter_context(proxy.during(faults.refuse(403), faults.any_of(plural)))
                replicas[plural] = self.controller(proxy=proxy, wait=False)
            for plural in OPTIONAL:
                replicas[plural].wait_ready()
                self.assertEqual(replicas[plural].get("a.example").pod, "web")
            for plural in REQUIRED:
                waiting = f"waiting for the first table: {plural}"
                self.eventually(lambda f=replicas[plural], w=waiting: f.reason().startswith(w))
                self.assertIn("(not allowed to watch)", replicas[plural].reason())
        for plural in REQUIRED:
            replicas[plural].wait_ready()
            self.assertEqual(replicas[plural].get("a.example").pod, "web")

    def test_c10_a_right_taken_away_later_keeps_what_was_known(self) -> None:
        self.serve("web", "a.example")
        proxy = self.proxy()
        fairlead = self.controller(proxy=proxy)
        with self.load(f"http://{fairlead.address}/", "a.example", rate=200) as load:
            self.grant(without=(*REQUIRED, *OPTIONAL))
            proxy.drop()
            self.eventually(lambda: len(fairlead.admin("problems")["problems"]) == 6, what="each kind is told")
            self.holds_for(3, lambda: fairlead.get("a.example").pod == "web" and fairlead.health("/readyz") == 200)
            self.grant()
            self.apply(objects.ingress(self.namespace, "later", "later.example", "web"))
            self.eventually(lambda: fairlead.get("later.example").pod == "web")
        self.assert_lost_nothing(load)

    def test_a_missing_right_to_write_is_said_once_and_costs_nothing_else(self) -> None:
        self.serve("web", "a.example")
        self.apply(objects.ingress(self.namespace, "broken", "broken.example", "missing"))
        role = next(each for each in rights.all_objects(ELECTION) if each["kind"] == "Role")
        self.api.apply({**role, "rules": []})
        fairlead = self.controller(*PUBLISH)
        self.assert_said_once(fairlead, "get", "leases.coordination.k8s.io")
        self.assertEqual(fairlead.metric("^fairlead_leader"), 0)
        self.grant(without=("ingresses/status", "events"))
        self.api.apply(role)
        self.eventually(lambda: fairlead.metric("^fairlead_leader") == 1)
        self.assert_said_once(fairlead, "patch", "ingresses/status.networking.k8s.io")
        self.assert_said_once(fairlead, "create", "events.events.k8s.io")
        self.assertEqual(fairlead.get("a.example").pod, "web")
        self.grant()
        balancer = lambda: self.api.get("Ingress", self.namespace, "web")["status"]["loadBalancer"]  # noqa: E731
        self.eventually(lambda: balancer().get("ingress"), what="the status comes as soon as it may")
