"""An API server that dies, lies or is slow."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

from harness import faults, objects, rights
from harness.case import ELECTION, IS_FULL_LENGTH, FastCase
from harness.controller import Controller
from harness.proxy import Proxy

REQUIRED = ("ingresses", "services", "endpointslices", "secrets")
OPTIONAL = ("ingressclasses", "pods")
OUTAGE_SECONDS, RATE = (600, 500) if IS_FULL_LENGTH else (20, 200)
MANY = 10_000 if IS_FULL_LENGTH else 600


class ChaosServer(FastCase):
    """One replica, mostly behind the fault proxy, with a load that must lose nothing."""

    seconds = 900 if IS_FULL_LENGTH else FastCase.seconds

    def served(self, *flags: str) -> tuple[Controller, Proxy]:
        """A replica that serves a.example, behind a proxy."""
        self.serve("web", "a.example")
        proxy = self.proxy()
        fairlead = self.controller(*flags, proxy=proxy)
        self.assertEqual(fairlead.get("a.example").pod, "web")
        return fairlead, proxy

    def steady(self, fairlead: Controller, rate: int = 200):
        """A load on a.example."""
        return self.load(f"http://{fairlead.address}/", "a.example", rate=rate)

    def add(self, name: str) -> str:
        """One more Ingress to the same Service; its host."""
        self.api.apply(objects.ingress(self.namespace, name, f"{name}.example", "web"))
        return f"{name}.example"

    def is_served(self, fairlead: Controller, host: str = "a.example") -> bool:
        """Whether the back end answers for a host."""
        return fairlead.get(host).pod == "web"

    def test_c1_no_server_at_start_means_not_ready_no_404_and_a_start_by_itself_later(self) -> None:
        self.serve("web", "a.example")
        proxy = self.proxy()
        proxy.down()
        fairlead = self.controller(proxy=proxy, wait=False)
        self.eventually(lambda: fairlead.health("/healthz") == 200)
        for _ in range(20):
            self.assertEqual(fairlead.health("/readyz"), 503)
            self.assertEqual(fairlead.get("a.example").status, 0, "connections are refused, nothing answers 404")
            time.sleep(0.1)
        self.assertIn("waiting for the first table: ingresses.networking.k8s.io, services, ", fairlead.reason())
        proxy.up()
        up = time.monotonic()
        fairlead.wait_ready()
        first = min(each.at for each in proxy.seen if each.at > up)
        self.assertLess(first - up, 12, "back-off is at most 10 s")
        self.assertTrue(self.is_served(fairlead))

    def test_c1_a_server_that_refuses_all_while_it_starts_leads_to_no_404(self) -> None:
        self.serve("web", "a.example")
        proxy = self.proxy()
        kinds = (*REQUIRED, *OPTIONAL)
        with proxy.during(faults.stall(), lambda request: request.plural == "ingressclasses" and has_begun):
            has_begun = False
            with proxy.during(faults.refuse(403)):
                fairlead = self.controller(proxy=proxy, wait=False)
                self.eventually(lambda: all(proxy.count(faults.listing(each)) for each in kinds))
                has_begun = True
            self.eventually(lambda: _kinds(fairlead.reason()) == ["ingressclasses"], what="all the rest is there")
            self.holds_for(2, lambda: fairlead.get("a.example").status == 0, "nothing is of a class yet")
        fairlead.wait_ready()
        self.assertTrue(self.is_served(fairlead))

    def test_c1_back_off_grows_and_has_jitter(self) -> None:
        proxy = self.proxy()
        with proxy.during(faults.refuse(503)):
            self.controller(proxy=proxy, wait=False)
            time.sleep(8)
        tries = {plural: [each.at for each in proxy.seen if each.plural == plural] for plural in REQUIRED}
        for plural, times in tries.items():
            self.assertTrue(3 <= len(times) <= 15, f"{plural}: {times}")
        # The server asks for a second at least, so of the first waits all may be as long.
        waits = zip(*([after - before for before, after in itertools.pairwise(times)] for times in tries.values()))
        spreads = [max(each) - min(each) for each in waits]
        self.assertGreater(max(spreads), 0.1, f"jitter: {tries}")

    def test_c2_a_server_that_is_away_costs_no_request_and_ready_stays(self) -> None:
        self.serve("web", "a.example")
        addresses = [self.backend("web"), self.backend("web")]
        self.apply(objects.endpoints(self.namespace, "web", addresses))
        fairlead = self.controller()
        with self.steady(fairlead, rate=RATE) as load:
            self.cluster.stop_api()
            self.holds_for(OUTAGE_SECONDS / 2, lambda: fairlead.health("/readyz") == 200)
            self.end_backend(addresses[0])  # passive health goes on
            self.holds_for(OUTAGE_SECONDS / 2, lambda: fairlead.health("/readyz") == 200)
            for kind in ("Ingress", "Service", "EndpointSlice", "Secret"):
                age = fairlead.metric(f'^fairlead_watch_age_seconds{{kind="{kind}"}}')
                self.assertGreater(age, OUTAGE_SECONDS - 5, kind)
            self.cluster.start_api()
            host = self.add("later")
            self.eventually(lambda: self.is_served(fairlead, host), 90)
            self.assertLess(fairlead.metric('^fairlead_watch_age_seconds{kind="Ingress"}'), 30)
        print(f"      {load}")
        self.assert_lost_nothing(load, RATE * OUTAGE_SECONDS // 5)

    def test_c3_a_new_history_is_relisted_without_a_flap(self) -> None:
        fairlead, proxy = self.served()
        kept, generation = fairlead.config(), fairlead.metric("^fairlead_table_generation")
        for fault in (faults.refuse(410), faults.gone_in_stream()):
            with self.subTest(type(fault).__name__), self.steady(fairlead) as load:
                since = time.monotonic()
                with proxy.during(fault, faults.watch()):
                    proxy.drop()
                    time.sleep(3)
                self.eventually(lambda since=since: proxy.count(faults.listing("ingresses"), since))
                self.eventually(lambda: fairlead.metric("^fairlead_watch_age_seconds") < 60)
            self.assert_lost_nothing(load, 300)
        self.assertEqual(fairlead.config(), kept)
        self.assertEqual(fairlead.metric("^fairlead_table_generation"), generation, "no route went and came again")
        host = self.add("later")
        self.eventually(lambda: self.is_served(fairlead, host))

    def test_c3_a_store_that_is_wiped_and_later_restored_costs_no_request(self) -> None:
        fairlead, _ = self.served()
        with self.steady(fairlead, rate=RATE) as load:
            self.write_much()
            gone = self.add("gone")
            self.eventually(lambda: self.is_served(fairlead, gone))
            self.cluster.wipe()
            self.api.apply(*rights.all_objects(ELECTION))
            self.make_namespace(self.namespace)
            self.serve("web", "a.example")
            host = self.add("anew")
            self.eventually(lambda: self.is_served(fairlead, host), 90, "what is new after the wipe")
            self.assertTrue(self.is_served(fairlead, gone), "what the store lacks counts for a minute")
            self.cluster.save()
            self.write_much()
            gone = self.add("gone-too")
            self.eventually(lambda: self.is_served(fairlead, gone), 90)
            self.cluster.restore()
            host = self.add("later")
            self.eventually(lambda: self.is_served(fairlead, host), 90, "what is new after the restore")
            self.assertTrue(self.is_served(fairlead, gone), "what the backup lacks counts for a minute")
        print(f"      {load}")
        self.assert_lost_nothing(load, 1000)

    def write_much(self) -> None:
        """A thousand writes, as a cluster in use has them in minutes: more than an API server makes when it starts."""
        made = [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"w{n}", "namespace": self.namespace}}
            for n in range(8)
        ]
        self.api.apply(*made)
        with ThreadPoolExecutor(len(made)) as pool:
            for number in range(1000):
                pool.submit(self.api.merge, made[number % len(made)], {"data": {"number": str(number)}})

    def test_c4_an_empty_watch_is_no_busy_loop(self) -> None:
        fairlead, proxy = self.served()
        with proxy.during(faults.empty(), faults.watch("ingresses")):
            proxy.drop()
            since = time.monotonic()
            time.sleep(6)
            self.assertLessEqual(proxy.count(faults.listing("ingresses"), since), 6)
            self.assertLessEqual(proxy.count(faults.any_of("ingresses"), since), 12)
        host = self.add("later")
        self.eventually(lambda: self.is_served(fairlead, host))

    def test_c5_bookmarks_may_be_missing_or_be_all_there_is(self) -> None:
        fairlead, proxy = self.served()
        for fault in (faults.without_bookmarks(), faults.replay()):
            with self.subTest(type(fault).__name__), proxy.during(fault, faults.watch()):
                proxy.drop()
                host = self.add(type(fault).__name__.replace("_", "-"))
                self.eventually(lambda host=host: self.is_served(fairlead, host))

    def test_c5_a_cut_watch_resumes_without_a_list(self) -> None:
        fairlead, proxy = self.served()
        since = time.monotonic()
        for number in range(3):
            proxy.drop()
            host = self.add(f"later-{number}")
            self.eventually(lambda host=host: self.is_served(fairlead, host))
        self.assertGreaterEqual(proxy.count(faults.watch("ingresses"), since), 3)
        self.assertEqual(proxy.count(faults.listing("ingresses"), since) - self.checks(proxy, since), 0)

    def checks(self, proxy: Proxy, since: float) -> int:
        """Lists of one object, which only ask where the server stands."""
        return proxy.count(lambda each: each.plural == "ingresses" and each.query.get("limit") == "1", since)

    def test_c6_slow_kinds_hold_up_readiness_but_not_each_other(self) -> None:
        self.serve("web", "a.example")
        for plural in REQUIRED:
            with self.subTest(plural):
                proxy = self.proxy()
                with proxy.during(faults.stall(), faults.any_of(plural)):
                    fairlead = self.controller(proxy=proxy, wait=False)
                    others = [each for each in REQUIRED if each != plural]
                    self.eventually(lambda p=proxy, o=others: all(p.count(faults.listing(each)) for each in o))
                    self.eventually(lambda f=fairlead, p=plural: _kinds(f.reason()) == [p], what="what is missing")
                    self.holds_for(2, lambda f=fairlead: f.health("/readyz") == 503 and f.get("a.example").status == 0)
                fairlead.wait_ready()
                self.assertTrue(self.is_served(fairlead))
                fairlead.kill()

    def test_c6_kinds_without_which_one_can_serve_hold_up_readiness_for_a_while_only(self) -> None:
        self.serve("web", "a.example", class_name=None, annotations={"kubernetes.io/ingress.class": "fairlead"})
        proxy = self.proxy()
        with (
            proxy.during(faults.stall(), faults.any_of("ingressclasses")),
            proxy.during(faults.stall(), faults.any_of("pods")),
        ):
            fairlead = self.controller(proxy=proxy, wait=False)
            self.eventually(lambda: _kinds(fairlead.reason()) == list(OPTIONAL))
            fairlead.wait_ready()
            self.assertTrue(self.is_served(fairlead))
        host = self.add("by-class")
        self.eventually(lambda: self.is_served(fairlead, host), what="the class is known as soon as it comes")

    def test_c6_c7_a_relist_in_slow_pages_that_break_off_deletes_nothing(self) -> None:
        fairlead, proxy = self.served()
        for number in range(MANY):
            self.api.create(objects.ingress(self.namespace, f"n{number}", f"n{number}.example", "web"))
        self.eventually(lambda: self.is_served(fairlead, f"n{MANY - 1}.example"))
        for fault in (faults.refuse(500), faults.refuse(410), faults.cut(), faults.slow(2)):
            with self.subTest(type(fault).__name__), self.steady(fairlead) as load:
                since = time.monotonic()
                with (
                    proxy.during(faults.refuse(400), faults.streaming_list()),
                    proxy.during(faults.refuse(410), faults.watch()),
                    proxy.during(fault, faults.next_page("ingresses")),
                ):
                    proxy.drop()
                    self.eventually(lambda since=since: proxy.count(faults.next_page("ingresses"), since), 60)
                    self.holds_for(2, lambda: self.is_served(fairlead, "n0.example"))
                    self.assertTrue(self.is_served(fairlead, f"n{MANY - 1}.example"))
            self.assert_lost_nothing(load)
        self.starts_with_the_last_page()

    def starts_with_the_last_page(self) -> None:
        """A new replica serves nothing before the list is whole."""
        proxy = self.proxy()
        with (
            proxy.during(faults.refuse(400), faults.streaming_list()),
            proxy.during(faults.stall(), faults.next_page("ingresses")),
        ):
            fairlead = self.controller(proxy=proxy, wait=False)
            self.eventually(lambda: proxy.count(faults.next_page("ingresses")))
            self.eventually(lambda: _kinds(fairlead.reason()) == ["ingresses"])
            self.assertEqual(fairlead.get("n0.example").status, 0)
        fairlead.wait_ready()
        self.assertTrue(self.is_served(fairlead, "n0.example") and self.is_served(fairlead, f"n{MANY - 1}.example"))

    def test_c8_a_watch_whose_packets_are_lost_is_noticed_in_less_than_five_minutes(self) -> None:
        fairlead, proxy = self.served()
        with self.steady(fairlead, rate=50) as load:
            proxy.lose_open()
            host = self.add("later")
            took = self.eventually(lambda: self.is_served(fairlead, host), 290)
        print(f"      noticed after {took:.0f} s")
        self.assert_lost_nothing(load, 50)

    def test_too_many_requests_is_waited_out(self) -> None:
        fairlead, proxy = self.served()
        with proxy.during(faults.refuse(429, retry_after=2)):
            proxy.drop()
            since = time.monotonic()
            time.sleep(6)
            self.assertLessEqual(proxy.count(faults.any_of("ingresses"), since), 8)
        host = self.add("later")
        self.eventually(lambda: self.is_served(fairlead, host))

    def test_garbage_in_a_watch_loses_nothing(self) -> None:
        fairlead, proxy = self.served()
        with self.steady(fairlead) as load, proxy.during(faults.garbage(), faults.watch()):
            proxy.drop()
            time.sleep(5)
        host = self.add("later")
        self.eventually(lambda: self.is_served(fairlead, host))
        self.assert_lost_nothing(load)


def _kinds(reason: str) -> list[str]:
    """The resources that `/readyz` says it waits for, without their groups."""
    awaited = reason.removeprefix("waiting for the first table: ").split(", ")
    return [each.split(" ")[0].split(".")[0] for each in awaited]
