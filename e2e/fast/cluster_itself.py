"""The fast half itself: the API server, the fault proxy, the back ends and the load."""

from __future__ import annotations

import http.client
import json
import threading
import time

from cluster.api import UNREACHABLE, Api, Refused, path
from harness import faults, objects, rights
from harness.case import FastCase
from harness.proxy import Proxy


class ClusterItself(FastCase):
    """Facts that every other test builds on."""

    def through(self, proxy: Proxy) -> Api:
        """The API with the controller's rights, through the proxy."""
        host, port = proxy.url.removeprefix("https://").split(":")
        return Api(host, int(port), self.cluster.pki / "ca.crt", rights.TOKEN)

    def watch(self, proxy: Proxy, query: str = "") -> tuple[list[dict], threading.Thread]:
        """The events of a two-second watch of Ingresses, filled by a thread."""
        events: list[dict] = []

        def follow() -> None:
            where = path("Ingress", self.namespace)
            answer = self.through(proxy).call("GET", f"{where}?watch=1&timeoutSeconds=2{query}")
            events.extend(json.loads(line) for line in answer.body.splitlines())

        thread = threading.Thread(target=follow)
        thread.start()
        self.eventually(lambda: proxy.count(faults.watch()), what="the watch has begun")
        return events, thread

    def test_an_ingress_is_taken_and_gone_with_its_namespace(self) -> None:
        self.apply(objects.ingress_class(), objects.ingress(self.namespace, "web", "a.example", "web"))
        self.assertIn("a.example", self.kubectl("get", "ingress", "web"))
        self.api.drop_namespace(self.namespace)
        self.assertIsNone(self.api.find("Ingress", self.namespace, "web"))
        self.assertIsNone(self.api.find("Namespace", None, self.namespace))

    def test_the_controller_may_read_but_not_write_an_ingress(self) -> None:
        user = self.through(self.proxy())
        self.assertEqual(user.list("Ingress"), [])
        with self.assertRaises(Refused) as refused:
            user.apply(objects.ingress(self.namespace, "web", "a.example", "web"))
        self.assertEqual(refused.exception.status, 403)

    def test_a_new_history_forgets_every_object(self) -> None:
        self.apply(objects.ingress_class("other"))
        self.cluster.wipe()
        self.assertIsNone(self.api.find("IngressClass", None, "other"))

    def test_a_restored_cluster_is_as_it_was_saved(self) -> None:
        self.apply(objects.ingress_class("kept"))
        self.cluster.save()
        self.apply(objects.ingress_class("later"))
        self.cluster.restore()
        self.assertIsNotNone(self.api.find("IngressClass", None, "kept"))
        self.assertIsNone(self.api.find("IngressClass", None, "later"))

    def test_the_proxy_refuses_what_a_fault_matches_and_nothing_else(self) -> None:
        proxy = self.proxy()
        user = self.through(proxy)
        with proxy.during(faults.refuse(403), faults.any_of("secrets")):
            with self.assertRaises(Refused) as refused:
                user.list("Secret")
            self.assertEqual(refused.exception.status, 403)
            user.list("Service")
        user.list("Secret")
        self.assertEqual(proxy.count(faults.listing("secrets")), 2)

    def test_the_proxy_when_down_refuses_connections_and_comes_back_at_the_same_port(self) -> None:
        proxy = self.proxy()
        user = self.through(proxy)
        user.list("Service")
        proxy.down()
        with self.assertRaises(UNREACHABLE):
            user.list("Service")
        proxy.up()
        user.list("Service")

    def test_the_proxy_when_frozen_lets_nothing_through_and_loses_nothing(self) -> None:
        proxy = self.proxy()
        events, thread = self.watch(proxy)
        proxy.freeze()
        self.apply(objects.ingress(self.namespace, "web", "a.example", "web"))
        thread.join(0.5)
        self.assertEqual(events, [])
        proxy.thaw()
        thread.join()
        self.assertEqual([event["type"] for event in events], ["ADDED"])

    def test_the_proxy_changes_lines_of_a_watch(self) -> None:
        for fault, expected in (
            (faults.replay(), ["ADDED", "ADDED"]),
            (faults.only_bookmarks(), []),
            (faults.without_bookmarks(), ["ADDED"]),
        ):
            with self.subTest(fault=type(fault).__name__):
                proxy = self.proxy()
                with proxy.during(fault, faults.watch()):
                    events, thread = self.watch(proxy)
                    time.sleep(0.2)
                    self.apply(objects.ingress(self.namespace, "web", "a.example", "web"))
                    thread.join()
                self.assertEqual([event["type"] for event in events], expected)
                self.api.delete(objects.ingress(self.namespace, "web", "a.example", "web"))

    def test_the_proxy_answers_an_expired_watch_in_three_ways(self) -> None:
        proxy = self.proxy()
        where = path("Ingress") + "?watch=1&resourceVersion=1"
        for fault, status, body in (
            (faults.refuse(410), 410, b'"Expired"'),
            (faults.gone_in_stream(), 200, b'"type": "ERROR"'),
            (faults.empty(), 200, b""),
        ):
            with self.subTest(fault=type(fault).__name__), proxy.during(fault, faults.watch("ingresses")):
                answer = self.through(proxy).call("GET", where)
                self.assertEqual(answer.status, status)
                self.assertIn(body, answer.body)

    def test_the_proxy_cuts_stalls_and_slows(self) -> None:
        proxy = self.proxy()
        user = self.through(proxy)
        with proxy.during(faults.cut()), self.assertRaises((OSError, http.client.HTTPException)):
            user.list("Service")
        for fault in (faults.slow(0.5), faults.stall()):
            started = time.monotonic()
            with proxy.during(fault):
                thread = threading.Thread(target=user.list, args=("Service",))
                thread.start()
                thread.join(0.3)
                self.assertTrue(thread.is_alive(), fault)
            thread.join()
            self.assertLess(time.monotonic() - started, 2)

    def test_load_counts_what_fails(self) -> None:
        address = self.backend("web")
        with self.load(f"http://{address}:8080/", "a.example", rate=200) as good:
            time.sleep(1)
        self.assert_lost_nothing(good, 150)
        with self.load(f"http://{address}:8080/status?code=503", "a.example", rate=200) as bad:
            time.sleep(0.5)
        self.assertEqual(bad.result["failures"], {"503 Service Unavailable": bad.result["sent"]})
