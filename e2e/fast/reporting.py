"""What is written back to the cluster: the status of Ingresses and Events."""

from __future__ import annotations

import datetime
import json
import time

from cluster.api import path_of
from harness import objects, rights
from harness.case import FastCase
from harness.controller import Controller

PUBLISH = ("--publish-status-address", "192.0.2.10")
OURS, THEIRS = "192.0.2.10", "192.0.2.99"
NGINX = "nginx.ingress.kubernetes.io/"
EVENTS_BURST, EVENTS_A_SECOND = 50, 5


class Status(FastCase):
    """`status.loadBalancer`: when, with which addresses, and when not."""

    def addresses(self, name: str) -> list[str]:
        """The addresses that an Ingress shows."""
        status = self.api.get("Ingress", self.namespace, name)["status"]
        return [each.get("ip") or each["hostname"] for each in status["loadBalancer"].get("ingress", [])]

    def version(self, name: str) -> str:
        """Changes with whatever is written."""
        return self.api.get("Ingress", self.namespace, name)["metadata"]["resourceVersion"]

    def fellows(self, *ready: bool) -> None:
        """Pods named as the replicas are, each on a Node of its own with the addresses 192.0.2.N and 10.0.0.N."""
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        self.apply({**account, "metadata": {"namespace": rights.NAMESPACE, "name": "default"}})
        for number, is_ready in enumerate(ready, 1):
            addresses = (("ExternalIP", f"192.0.2.{number}"), ("ExternalIP", f"2001:db8::{number}"))
            node = objects.node(f"node-{number}", *addresses, ("InternalIP", f"10.0.0.{number}"))
            name, labels = f"fairlead-{number}", {"app": "fairlead", "pod-template-hash": str(number)}
            pod = objects.pod(rights.NAMESPACE, name, f"node-{number}", labels, ready=is_ready)
            for made in (node, pod):
                status = made.pop("status")
                self.apply(made)
                self.api.merge(made, {"status": status}, "status")

    def test_a_status_is_written_only_after_the_route_is_served(self) -> None:
        fairlead = self.controller(*PUBLISH)
        for number in range(10):
            name, host = f"web{number}", f"a{number}.example"
            self.serve(name, host)
            self.eventually(lambda name=name: self.addresses(name))
            self.assertEqual(fairlead.get(host).pod, name)

    def test_an_address_is_a_host_name_or_an_ip_of_either_family(self) -> None:
        self.serve("web", "a.example")
        for given, expected in (
            ("lb.example.com", [{"hostname": "lb.example.com"}]),
            ("2001:db8::1", [{"ip": "2001:db8::1"}]),
            ("192.0.2.1,192.0.2.2", [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}]),
        ):  # fmt: skip
            with self.subTest(given):
                fairlead = self.controller("--publish-status-address", given, "--disable-leader-election")
                status = lambda: self.api.get("Ingress", self.namespace, "web")["status"]["loadBalancer"]  # noqa: E731
                self.eventually(lambda e=expected: status().get("ingress") == e, what=str(expected))
                fairlead.terminate()

    def test_the_address_of_a_load_balancer_service_is_published(self) -> None:
        self.serve("web", "a.example")
        front = objects.service(rights.NAMESPACE, "front", kind="LoadBalancer")
        self.apply(front)
        self.controller("--publish-service", f"{rights.NAMESPACE}/front")
        self.assertEqual(self.addresses("web"), [])
        self.api.merge(front, {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.20"}]}}}, "status")
        self.eventually(lambda: self.addresses("web") == ["192.0.2.20"])

    def test_without_a_service_the_nodes_of_our_ready_pods_are_published(self) -> None:
        self.serve("web", "a.example")
        self.fellows(True, False, True)
        self.controller()
        expected = ["192.0.2.1", "192.0.2.3", "2001:db8::1", "2001:db8::3"]
        self.eventually(lambda: self.addresses("web") == expected)
        self.replicas[0].terminate()
        self.controller("--report-node-internal-ip-address")
        self.eventually(lambda: self.addresses("web") == ["10.0.0.1", "10.0.0.3"])

    def test_a_status_stays_on_exit_and_is_not_written_again_when_equal(self) -> None:
        self.serve("web", "a.example")
        self.controller(*PUBLISH)
        self.eventually(lambda: self.addresses("web"))
        version = self.version("web")
        self.assertEqual(self.replicas[0].terminate(), 0)
        second = self.controller(*PUBLISH)
        self.eventually(lambda: second.metric("^fairlead_leader") == 1)
        self.holds_for(2, lambda: self.version("web") == version)

    def test_a_status_is_cleared_on_exit_if_asked_and_only_by_the_last_one(self) -> None:
        self.serve("web", "a.example")
        self.fellows(True, True)
        asked = (*PUBLISH, "--update-status-on-shutdown")
        first, second = self.controller(*asked), self.controller(*asked)
        self.eventually(lambda: self.addresses("web") == [OURS])
        first.terminate()
        self.assertEqual(self.addresses("web"), [OURS])
        self.api.delete({"kind": "Pod", "metadata": {"namespace": rights.NAMESPACE, "name": first.name}})
        self.eventually(lambda: second.metric("^fairlead_leader") == 1)
        second.terminate()
        self.assertEqual(self.addresses("web"), [])

    def test_a_status_changed_by_somebody_else_is_put_right_once_in_an_interval(self) -> None:
        made = self.serve("web", "a.example")
        self.controller(*PUBLISH, "--status-update-interval", "5s")
        self.eventually(lambda: self.addresses("web"))
        theirs = {"status": {"loadBalancer": {"ingress": [{"ip": THEIRS}]}}}
        for _ in range(2):
            self.api.merge({"kind": "Ingress", **made}, theirs, "status")
            took = self.eventually(lambda: self.addresses("web") == [OURS], 15)
        self.assertGreater(took, 3, "two writers do not fight")

    def test_a_foreign_class_is_neither_served_nor_touched(self) -> None:
        self.apply(objects.ingress_class("foreign", "example.com/other"))
        self.serve("web", "a.example")
        self.apply(objects.ingress(self.namespace, "theirs", "b.example", "web", class_name="foreign"))
        self.apply(objects.ingress(self.namespace, "unclassed", "c.example", "web", class_name=None))
        versions = {name: self.version(name) for name in ("theirs", "unclassed")}
        fairlead = self.controller(*PUBLISH)
        self.eventually(lambda: self.addresses("web"))
        for host, name in (("b.example", "theirs"), ("c.example", "unclassed")):
            self.assertEqual(fairlead.get(host).status, 404)
            self.assertEqual(self.version(name), versions[name])

    def test_a_status_is_owned_by_the_controller_class(self) -> None:
        made = self.serve("web", "a.example")
        self.controller(*PUBLISH)
        self.eventually(lambda: self.addresses("web"))
        kept = self.api.call("GET", path_of({"kind": "Ingress", **made})).json()["metadata"]["managedFields"]
        owners = [each["manager"] for each in kept if each.get("subresource") == "status"]
        self.assertEqual(owners, [objects.CONTROLLER])

    def test_nothing_is_written_in_shadow(self) -> None:
        self.serve("web", "a.example")
        self.apply(objects.ingress(self.namespace, "broken", "b.example", "nowhere"))
        before = self.cluster.audit.stat().st_size
        fairlead = self.controller(*PUBLISH, "--update-status=false", "--events=false")
        self.assertEqual(fairlead.get("a.example").pod, "web")
        time.sleep(2)
        with self.cluster.audit.open() as log:
            log.seek(before)
            ours = [json.loads(line) for line in log if f'"username":"{rights.USER}"' in line]
        self.assertEqual({each["verb"] for each in ours} - {"get", "list", "watch"}, set())


class Events(FastCase):
    """`kubectl describe` answers why it does not work."""

    def told(self) -> list[dict]:
        """Our Events in the test's namespace."""
        return [event for event in self.events() if event["reportingController"] == objects.CONTROLLER]

    def reasons(self) -> list[str]:
        """Their reasons."""
        return [event["reason"] for event in self.told()]

    def untold(self, fairlead: Controller) -> list[str]:
        """Errors and warnings about objects of the namespace of which no Event tells."""
        problems = fairlead.admin(f"problems?namespace={self.namespace}")["problems"]
        told = {(event["regarding"]["kind"], event["regarding"]["name"], event["reason"], event["note"])
                for event in self.told()}  # fmt: skip
        found = []
        for each in problems:
            about, note = each["object"], f"{each['message']}; {each['hint']}"
            if each["severity"] != "info" and (about["kind"], about["name"], each["reason"], note) not in told:
                found.append(f"{about['kind']} {about['name']} {each['reason']}: {note}")
        return found

    def test_every_error_and_warning_is_told_on_the_object_to_blame_with_what_to_do(self) -> None:
        self.serve("web", "a.example")
        pair, other = (objects.certificate(self.work, host) for host in ("a.example", "other.example"))
        weighed = objects.pod(self.namespace, "weighed", "nowhere", {"fairlead.dev/weight": "much"})
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        empty = objects.service(self.namespace, "empty")
        outside = objects.service(self.namespace, "outside")
        outside["spec"] = {"type": "ExternalName", "externalName": "localhost"}
        slices = objects.endpoints(self.namespace, "web", ["10.244.1.1"])
        slices["endpoints"][0]["targetRef"] = {"kind": "Pod", "namespace": self.namespace, "name": "weighed"}
        junk = {name: "anVuaw==" for name in ("tls.crt", "tls.key")}
        self.apply(
            {**account, "metadata": {"namespace": self.namespace, "name": "default"}}, weighed, empty, outside, slices,
            objects.tls_secret(self.namespace, "good", *pair), objects.tls_secret(self.namespace, "other", *other),
            {**objects.tls_secret(self.namespace, "junk", *pair), "data": junk},
        )  # fmt: skip
        port = objects.ingress(self.namespace, "port", "port.example", "web")
        port["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = {"number": 81}
        host = objects.ingress(self.namespace, "host", None, "web")
        only = {"service": {"name": "web", "port": {"number": 80}}}
        host["spec"] = {"ingressClassName": objects.CLASS, "defaultBackend": only}
        resource = objects.ingress(self.namespace, "resource", "resource.example", "web")
        resource["spec"]["rules"][0]["http"]["paths"][0]["backend"] = {
            "resource": {"apiGroup": "example.com", "kind": "Bucket", "name": "b"}
        }
        made = {
            "ServiceNotFound": objects.ingress(self.namespace, "service", "service.example", "wbe"),
            "PortNotFound": port,
            "NoEndpoints": objects.ingress(self.namespace, "empty", "empty.example", "empty"),
            "ExternalNameRefused": objects.ingress(self.namespace, "outside", "outside.example", "outside"),
            "ResourceBackend": resource,
            "SecretNotFound": objects.ingress(self.namespace, "secret", "secret.example", "web", tls="nowhere"),
            "CertificateUnusable": objects.ingress(self.namespace, "junk", "junk.example", "web", tls="junk"),
            "CertificateMismatch": objects.ingress(self.namespace, "mismatch", "b.example", "web", tls="other"),
            "ClassNotFound": objects.ingress(self.namespace, "class", "class.example", "web", class_name="nowhere"),
            "HostInvalid": host,
            "PathConflict": objects.ingress(self.namespace, "path", "a.example", "web"),
            "AnnotationUnknown": self.annotated("unknown", "proxy-body-sise", "1m"),
            "AnnotationInvalid": self.annotated("invalid", "proxy-body-size", "much"),
            "SnippetRefused": self.annotated("snippet", "server-snippet", "if ($host) { return 200; }"),
            "AccessRuleBroken": self.annotated("access", "whitelist-source-range", "nobody"),
        }
        # The creation times of two that are compared have whole seconds.
        time.sleep(1.1)
        self.apply(*made.values())
        fairlead = self.controller(*PUBLISH, "--disable-catch-all")
        self.eventually(lambda: not self.untold(fairlead), 15, "every problem is told")
        reasons = set(self.reasons())
        self.assertEqual({*made, "WeightInvalid"} - reasons, set())
        for event in self.told():
            self.assertEqual((event["type"], event["action"]), ("Warning", "Compile"))
            self.assertEqual(event["reportingInstance"], fairlead.name)
            about = event["regarding"]
            stored = self.api.get(about["kind"], self.namespace, about["name"])
            self.assertEqual(about["uid"], stored["metadata"]["uid"])

    def annotated(self, name: str, annotation: str, value: str) -> dict:
        """An Ingress with one annotation."""
        return objects.ingress(
            self.namespace, name, f"{name}.example", "web", annotations={f"{NGINX}{annotation}": value}
        )

    def test_describe_says_why_a_broken_ingress_does_not_work(self) -> None:
        self.serve("web", "a.example")
        self.apply(objects.ingress(self.namespace, "broken", "b.example", "wbe"))
        self.controller(*PUBLISH)
        self.eventually(lambda: "ServiceNotFound" in self.reasons())
        text = self.kubectl("describe", "ingress", "broken")
        events = text.split("Events:")[1]
        self.assertIn("ServiceNotFound", events)
        self.assertIn("wbe", events)
        self.assertIn("web", events, "the hint names the Service that was meant")

    def test_a_certificate_that_ends_soon_is_told_on_the_ingress(self) -> None:
        self.apply(objects.tls_secret(self.namespace, "tls", *objects.certificate(self.work, "a.example")))
        self.serve("web", "a.example", tls="tls")
        self.controller(*PUBLISH)
        self.eventually(lambda: "CertificateExpiring" in self.reasons())
        self.assertEqual(self.told()[0]["regarding"]["name"], "web")

    def test_an_event_is_told_once_again_in_other_words_and_not_by_a_restart(self) -> None:
        self.serve("web", "a.example")
        self.apply(objects.ingress(self.namespace, "broken", "b.example", "nowhere"))
        self.controller(*PUBLISH)
        self.eventually(self.reasons)
        before = self.told()
        self.apply(objects.ingress(self.namespace, "other", "c.example", "web"))
        self.holds_for(1, lambda: self.told() == before)
        self.replicas[0].terminate()
        second = self.controller(*PUBLISH)
        self.eventually(lambda: second.metric("^fairlead_leader") == 1)
        self.holds_for(2, lambda: self.told() == before)
        self.apply(objects.ingress(self.namespace, "broken", "b.example", "elsewhere"))
        self.eventually(lambda: len(self.told()) == 2)

    def test_many_problems_are_told_at_a_pace(self) -> None:
        self.serve("web", "a.example")
        count = 60
        self.apply(*(objects.ingress(self.namespace, f"b{n}", f"b{n}.example", "nowhere") for n in range(count)))
        self.controller(*PUBLISH)
        self.eventually(lambda: len(self.told()) == count, 60)
        times = sorted(datetime.datetime.fromisoformat(event["eventTime"]) for event in self.told())
        least = (count - EVENTS_BURST) / EVENTS_A_SECOND
        self.assertGreater((times[-1] - times[0]).total_seconds(), least - 0.5)

    def test_an_object_made_again_is_told_of_anew(self) -> None:
        self.serve("web", "a.example")
        broken = objects.ingress(self.namespace, "broken", "b.example", "nowhere")
        self.apply(broken)
        self.controller(*PUBLISH)
        self.eventually(self.reasons)
        self.api.delete(broken)
        self.apply(broken)
        self.eventually(lambda: len({event["regarding"]["uid"] for event in self.told()}) == 2)
