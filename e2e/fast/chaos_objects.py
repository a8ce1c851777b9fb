"""Objects that are broken, hostile, in conflict or moving: C11 to C13, C15, C16, C24, C25, C29, C31, C32."""

from __future__ import annotations

import base64
import contextlib
import datetime
import ssl
import subprocess
import threading
import time
from collections.abc import Sequence

from cluster.api import Refused, path_of
from harness import objects, rights
from harness.case import IS_FULL_LENGTH, FastCase
from harness.controller import Controller
from harness.load import Load

# C25: so many edits, so many a second, over so many Ingresses, and the longest lag of the table.
STORM_EDITS, STORM_RATE, STORM_INGRESSES, STORM_LAG = 6000 if IS_FULL_LENGTH else 1000, 100, 50, 2
# C24: certificates that follow each other. C15: changes of slices a second, and requests.
ROTATIONS = 30 if IS_FULL_LENGTH else 8
SLICE_RATE, ROLLING_RATE = 50, 300 if IS_FULL_LENGTH else 100


class ChaosObjects(FastCase):
    """One replica and objects that a user, an attacker or a roll-out makes."""

    def reasons(self, fairlead: Controller, namespace: str | None = None) -> set[str]:
        """The reasons of the problems in a namespace."""
        problems = fairlead.admin(f"problems?namespace={namespace or self.namespace}")["problems"]
        return {each["reason"] for each in problems}

    def steady(self, fairlead: Controller, rate: int = 100) -> Load:
        """A load on a.example."""
        return self.load(f"http://{fairlead.address}/", "a.example", rate=rate)

    def test_c11_a_malformed_secret_costs_only_its_own_host_the_certificate(self) -> None:
        good = objects.certificate(self.work, "a.example")
        other = objects.certificate(self.work, "a.example")
        rsa = objects.certificate(self.work, "rsa.example", ("rsa:2048",))
        ed25519 = objects.certificate(self.work, "ed.example", ("ed25519",))
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        ended = objects.certificate_until(self.work, "ended.example", yesterday)
        self.apply(objects.tls_secret(self.namespace, "tls", *good))
        self.serve("web", "a.example", tls="tls")
        fairlead = self.controller()
        der = ssl.PEM_cert_to_DER_cert(good[0].decode())
        for number, (what, certificate, key) in enumerate((
            ("the key of another certificate", good[0], other[1]),
            ("junk", b"junk", b"junk"),
            ("an empty key", good[0], b""),
            ("the two swapped", good[1], good[0]),
            ("a chain out of order", other[0] + good[0], good[1]),
            ("900 KiB of text", b"-" * 900_000, good[1]),
            ("no key", good[0], None),
        )):  # fmt: skip
            with self.subTest(what):
                name, host = f"bad{number}", f"bad{number}.example"
                secret = objects.tls_secret(self.namespace, name, certificate, key or b"")
                if key is None:
                    # The API server asks of the type kubernetes.io/tls that both are there.
                    secret = {**secret, "type": "Opaque", "data": {"tls.crt": secret["data"]["tls.crt"]}}
                self.apply(secret, objects.ingress(self.namespace, name, host, "web", tls=name))
                self.eventually(lambda host=host: fairlead.get_tls(host).pod == "web")
                self.assertNotEqual(fairlead.get_tls(host).certificate, der, "the default certificate")
                self.assertEqual(fairlead.get_tls("a.example").certificate, der)
                self.eventually(lambda name=name: self.is_told(name, "CertificateUnusable"), what="an Event")
        for name, pair in (("rsa", rsa), ("ed", ed25519), ("ended", ended)):
            with self.subTest(name):
                self.apply(
                    objects.tls_secret(self.namespace, name, *pair),
                    objects.ingress(self.namespace, name, f"{name}.example", "web", tls=name),
                )
                expected = ssl.PEM_cert_to_DER_cert(pair[0].decode())
                self.eventually(lambda n=name, e=expected: fairlead.get_tls(f"{n}.example").certificate == e)
        self.eventually(lambda: self.is_told("ended", "CertificateExpiring"), what="an Event")

    def is_told(self, ingress: str, reason: str) -> bool:
        """Whether an Event says it of an Ingress."""
        return any(
            event["regarding"]["name"] == ingress and event["reason"] == reason for event in self.events()
        )

    def test_c11_a_bad_rotation_keeps_the_last_good_certificate(self) -> None:
        good = objects.certificate(self.work, "a.example")
        self.apply(objects.tls_secret(self.namespace, "tls", *good))
        self.serve("web", "a.example", tls="tls")
        fairlead = self.controller()
        self.apply(objects.tls_secret(self.namespace, "tls", b"junk", b"junk"))
        self.eventually(lambda: "CertificateUnusable" in self.reasons(fairlead))
        self.assertEqual(fairlead.get_tls("a.example").certificate, ssl.PEM_cert_to_DER_cert(good[0].decode()))

    def test_c12_of_two_ingresses_for_a_path_the_oldest_wins_on_every_replica_and_after_a_restart(self) -> None:
        self.serve("web", "a.example")
        other = self.make_namespace("conflict-other")
        address = self.backend("other")
        time.sleep(1.1)  # creation times have whole seconds
        self.apply(
            objects.service(other, "other"), objects.endpoints(other, "other", [address]),
            objects.ingress(other, "other", "a.example", "other"),
        )  # fmt: skip
        for fairlead in (self.controller(), self.controller()):
            self.assertEqual({fairlead.get("a.example").pod for _ in range(10)}, {"web"})
            self.assertIn("PathConflict", self.reasons(fairlead, other))
            self.assertNotIn("PathConflict", self.reasons(fairlead))
        self.replicas[0].terminate()
        self.eventually(lambda: [each for each in self.events(other) if each["reason"] == "PathConflict"])
        self.api.delete(objects.ingress(self.namespace, "web", "a.example", "web"))
        self.eventually(lambda: self.replicas[1].get("a.example").pod == "other")

    def test_c13_a_hostile_ingress_harms_only_itself(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.controller()
        prefix = "nginx.ingress.kubernetes.io/"
        hostile = {
            "big": {f"{prefix}server-alias": "x" * 200_000},
            "lines": {f"{prefix}rewrite-target": "/a\r\nX-Evil: 1;}\n{{ .Secret }}"},
            "regex": {f"{prefix}use-regex": "true", f"{prefix}server-alias": "~(a+)+$"},
            "snippet": {f"{prefix}configuration-snippet": "}} lua_by_block { os.exit() }"},
            "auth": {f"{prefix}auth-tls-secret": "kube-system/none", f"{prefix}auth-url": "http://169.254.169.254/"},
        }
        with self.steady(fairlead) as load:
            for name, annotations in hostile.items():
                self.apply(objects.ingress(self.namespace, name, f"{name}.example", "web", annotations=annotations))
            paths = [f"/path{number}" for number in range(10_000)]
            self.api.create(objects.ingress(self.namespace, "many", "many.example", "web", paths))
            self.eventually(lambda: fairlead.get("many.example", "/path9999").pod == "web", 10)
        self.assert_lost_nothing(load, 20)
        self.assertNotIn("X-Evil: 1;}\n", fairlead.log.read_text(), "escaped in the log")
        self.assertEqual(fairlead.metric("^fairlead_panics_total"), 0)

    def test_c15_a_rolling_restart_of_200_pods_in_changing_slices_loses_no_request(self) -> None:
        old = [f"10.244.10.{number}" for number in range(1, 201)]
        new = [f"10.244.11.{number}" for number in range(1, 201)]
        fairlead = self.everywhere(old)
        with self.steady(fairlead, ROLLING_RATE) as load:
            started, changes = time.monotonic(), 0
            # In each step ten Pods come, ten older ones stop being ready while they serve on, and ten others are gone.
            for step in range(0, 220, 10):
                coming, going = new[:step], old[step - 10 : step] if step else []
                kept = [*coming, *old[step:]]
                half = len(kept) // 2
                for part in range(5):
                    time.sleep(max(0.0, started + changes / SLICE_RATE - time.monotonic()))
                    # A slice is split and joined, and some addresses are in both.
                    first = kept if part % 2 else kept[: half + 5]
                    self.put(self.slice(first, going), self.slice(kept[half:] if part != 3 else [], part=2))
                    changes += 2
            took = time.monotonic() - started
        print(f"      {changes} changes of slices, {changes / took:.0f} a second", flush=True)
        self.assert_lost_nothing(load)

    def test_c15_connections_to_endpoints_that_did_not_change_stay_open(self) -> None:
        stay = [f"10.244.12.{number}" for number in range(1, 4)]
        fairlead = self.everywhere([*stay, "10.244.12.9"])
        for _ in range(40):
            fairlead.get("a.example")
        before = {address: connections(address) for address in stay}
        self.assertNotIn(set(), before.values())
        with self.steady(fairlead, 50) as load:
            for number in range(40):
                time.sleep(1 / SLICE_RATE)
                # The others come and go, the three move from one slice to the other and are in both.
                first, second = (stay[:2], stay[1:]) if number % 2 else (stay, [])
                self.put(self.slice([f"10.244.13.{number % 7 + 1}", *first]), self.slice(second, part=2))
        self.assert_lost_nothing(load, 10)
        for address in stay:
            self.assertEqual(before[address] - connections(address), set(), address)

    def everywhere(self, addresses: list[str]) -> Controller:
        """A replica whose back end listens on every address; these are in its first slice."""
        process = subprocess.Popen([str(self.program("echo")), "-listen", ":8080"], env={"POD_NAME": "any"})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.apply(
            objects.ingress_class(), objects.service(self.namespace, "web"),
            objects.ingress(self.namespace, "web", "a.example", "web"), self.slice(addresses),
        )  # fmt: skip
        return self.controller()

    def slice(self, ready: list[str], ending: Sequence[str] = (), part: int = 1) -> dict:
        """A slice; of every third endpoint nothing is said of its readiness, which means ready."""
        made = objects.endpoints(self.namespace, "web", ready, part=part)
        for each in made["endpoints"][::3]:
            del each["conditions"]
        conditions = {"ready": False, "serving": True, "terminating": True}
        made["endpoints"] += [{"addresses": [each], "conditions": conditions} for each in ending]
        return made

    def put(self, *made: dict) -> None:
        """Replaces, as the controller of slices does; cheaper for the API server than to apply."""
        for each in made:
            answer = self.api.call("PUT", path_of(each), each)
            if answer.status == 404:
                self.api.create(each)
            else:
                answer.json()

    def test_c15_serving_and_terminating_endpoints_are_used_only_when_nothing_is_ready(self) -> None:
        self.serve("web", "a.example")
        ready, leaving = self.backend("ready"), self.backend("leaving")
        made = objects.endpoints(self.namespace, "web", [ready])
        ending = {"addresses": [leaving], "conditions": {"ready": False, "serving": True, "terminating": True}}
        made["endpoints"].append(ending)
        self.apply(made)
        fairlead = self.controller()
        self.assertEqual({fairlead.get("a.example").pod for _ in range(20)}, {"ready"})
        made["endpoints"] = [ending]
        self.apply(made)
        self.eventually(lambda: fairlead.get("a.example").pod == "leaving")

    def test_c16_no_endpoint_at_all_is_503_at_once(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.controller()
        self.apply(objects.endpoints(self.namespace, "web", []))
        self.eventually(lambda: fairlead.get("a.example").status == 503)
        started = time.monotonic()
        fairlead.get("a.example")
        self.assertLess(time.monotonic() - started, 0.5)
        # Endpoints come by a road of their own, and are out before it is told.
        self.eventually(lambda: "NoEndpoints" in self.reasons(fairlead))
        self.assertGreater(fairlead.metric('^fairlead_failures_total.*"no_endpoints"'), 0)

    def test_c16_endpoints_that_all_failed_are_tried_again(self) -> None:
        self.serve("web", "a.example")
        nobody = [f"10.244.9.{number}" for number in range(1, 4)]
        self.apply(objects.endpoints(self.namespace, "web", nobody))
        fairlead = self.controller()
        for _ in range(30):
            self.assertIn(fairlead.get("a.example").status, (502, 503, 504))
        process = subprocess.Popen(
            [str(self.program("echo")), "-listen", f"{nobody[0]}:8080"], env={"POD_NAME": "back"}
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.eventually(lambda: fairlead.get("a.example").pod == "back", 15)

    def test_c24_a_certificate_of_1000_hosts_that_changes_every_second_fails_no_handshake(self) -> None:
        pairs = [objects.certificate(self.work, "*.shop.example") for _ in range(4)]
        self.apply(objects.tls_secret(self.namespace, "tls", *pairs[0]))
        self.serve("web", "a.shop.example", tls="tls")
        for number in range(10):
            hosts = [f"h{number}-{each}.shop.example" for each in range(100)]
            made = objects.ingress(self.namespace, f"many{number}", hosts[0], "web", tls="tls")
            rule = made["spec"]["rules"][0]
            made["spec"] |= {"rules": [{**rule, "host": each} for each in hosts]}
            made["spec"]["tls"][0]["hosts"] = hosts
            self.api.create(made)
        fairlead = self.controller()
        modes = ("close", "h2", "keep-alive")
        loads = [self.load(f"https://{fairlead.address}/", "a.shop.example", rate=30, mode=mode) for mode in modes]
        with contextlib.ExitStack() as stack:
            for each in loads:
                stack.enter_context(each)
            for number in range(ROTATIONS):
                pair = pairs[number % len(pairs)]
                self.apply(objects.tls_secret(self.namespace, "tls", *pair))
                expected = ssl.PEM_cert_to_DER_cert(pair[0].decode())
                host = f"h{number % 10}-{number}.shop.example"
                took = self.eventually(lambda e=expected, h=host: fairlead.get_tls(h).certificate == e, 1)
                time.sleep(max(0, 1 - took))
        for each in loads:
            self.assert_lost_nothing(each)

    def test_c25_a_storm_of_edits_is_coalesced_and_the_table_lags_little(self) -> None:
        self.serve("web", "a.example")
        for number in range(STORM_INGRESSES):
            self.api.create(objects.ingress(self.namespace, f"storm{number}", f"s{number}.example", "web"))
        fairlead = self.controller()
        edits = iter(range(STORM_EDITS))
        lags: list[float] = []

        def storm() -> None:
            # Each thread takes the next number; two never write one Ingress at once.
            for edit in edits:
                time.sleep(max(0.0, started + edit / STORM_RATE - time.monotonic()))
                name, host = f"storm{edit % STORM_INGRESSES}", f"s{edit % STORM_INGRESSES}.example"
                self.put(objects.ingress(self.namespace, name, host, "web", [f"/v{edit}"]))

        before = fairlead.metric("^process_resident_memory_bytes")
        generation = fairlead.metric("^fairlead_table_generation")
        threads = [threading.Thread(target=storm) for _ in range(4)]
        started = time.monotonic()
        with self.steady(fairlead, 100) as load:
            for each in threads:
                each.start()
            while any(each.is_alive() for each in threads):
                host = f"lag{len(lags)}.example"
                self.api.create(objects.ingress(self.namespace, f"lag{len(lags)}", host, "web"))
                lags.append(self.eventually(lambda host=host: fairlead.get(host).pod == "web", STORM_LAG))
                time.sleep(0.2)
            took = time.monotonic() - started
            last = f"/v{STORM_EDITS - 1}"
            host = f"s{(STORM_EDITS - 1) % STORM_INGRESSES}.example"
            self.eventually(lambda: fairlead.get(host, last).pod == "web", STORM_LAG)
        tables = fairlead.metric("^fairlead_table_generation") - generation
        rate = STORM_EDITS / took
        print(f"      {rate:.0f} edits a second, {tables:.0f} tables, lag at most {max(lags):.3f} s", flush=True)
        self.assert_lost_nothing(load)
        self.assertLess(fairlead.metric("^process_resident_memory_bytes") - before, 30e6)

    def test_c29_a_class_that_is_gone_for_a_moment_removes_nothing(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.controller()
        with self.steady(fairlead) as load:
            self.api.delete(objects.ingress_class())
            self.holds_for(5, lambda: fairlead.get("a.example").pod == "web")
            self.apply(objects.ingress_class())
            self.holds_for(8, lambda: fairlead.get("a.example").pod == "web")
        self.assert_lost_nothing(load)
        self.api.delete(objects.ingress_class())
        took = self.eventually(lambda: fairlead.get("a.example").status == 404, 15)
        self.assertGreater(took, 8)

    def test_c29_a_renamed_class_takes_those_that_name_it_at_once(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.controller()
        with self.steady(fairlead) as load:
            self.api.delete(objects.ingress_class())
            self.apply(objects.ingress_class("renamed"))
            self.apply(objects.ingress(self.namespace, "web", "a.example", "web", class_name="renamed"))
            self.holds_for(11, lambda: fairlead.get("a.example").pod == "web")
        self.assert_lost_nothing(load)

    def test_c29_a_class_given_to_another_controller_acts_at_once(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.controller()
        self.api.delete(objects.ingress_class())
        self.apply(objects.ingress_class(controller="example.com/other"))
        self.eventually(lambda: fairlead.get("a.example").status == 404, 3)

    def test_c29_the_default_class_claims_through_the_server_only(self) -> None:
        self.serve("web", "a.example")
        self.apply(objects.ingress(self.namespace, "before", "b.example", "web", class_name=None))
        fairlead = self.controller()
        self.apply(objects.ingress_class(is_default=True))
        self.apply(objects.ingress(self.namespace, "after", "c.example", "web", class_name=None))
        self.eventually(lambda: fairlead.get("c.example").pod == "web")
        self.assertEqual(fairlead.get("b.example").status, 404)
        # Which of two defaults a new Ingress gets is the API server's matter; who has a class keeps it.
        self.apply(objects.ingress_class("other", "example.com/other", is_default=True))
        self.apply(objects.ingress(self.namespace, "both", "d.example", "web", class_name=None))
        chosen = self.api.get("Ingress", self.namespace, "both")["spec"]["ingressClassName"]
        expected = 200 if chosen == objects.CLASS else 404
        self.eventually(lambda: fairlead.get("d.example").status == expected)
        self.apply(objects.ingress_class())
        self.apply(objects.ingress(self.namespace, "theirs", "e.example", "web", class_name=None))
        self.apply(objects.ingress(self.namespace, "last", "f.example", "web"))
        self.eventually(lambda: fairlead.get("f.example").pod == "web")
        self.assertEqual((fairlead.get("c.example").pod, fairlead.get("e.example").status), ("web", 404))

    def test_c31_a_secret_of_another_namespace_is_never_read(self) -> None:
        other = self.make_namespace("c31-other")
        pair = objects.certificate(self.work, "a.example")
        users = {"auth": base64.b64encode(b"user:$apr1$x$y").decode()}
        self.apply(
            objects.tls_secret(other, "tls", *pair),
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": other, "name": "users"}, "data": users},
        )
        self.serve("web", "a.example")
        prefix = "nginx.ingress.kubernetes.io/"
        for number, marks in enumerate((
            {f"{prefix}auth-type": "basic", f"{prefix}auth-secret": f"{other}/users"},
            {f"{prefix}auth-tls-secret": f"{other}/tls"},
            {f"{prefix}proxy-ssl-secret": f"{other}/tls"},
        )):  # fmt: skip
            made = objects.ingress(self.namespace, f"n{number}", f"n{number}.example", "web", annotations=marks)
            self.apply(made)
        with self.assertRaises(Refused, msg="the API server takes no namespace in a Secret's name"):
            self.api.create(objects.ingress(self.namespace, "slash", "slash.example", "web", tls=f"{other}/tls"))
        before = self.cluster.audit.stat().st_size
        fairlead = self.controller()
        # Passwords and TLS towards the back end close the paths, certificates of clients the whole host.
        for number, status in enumerate((503, 403, 503)):
            self.assertEqual(fairlead.get(f"n{number}.example").status, status, "what guards access fails closed")
        with self.cluster.audit.open() as log:
            log.seek(before)
            ours = [line for line in log if f'"username":"{rights.USER}"' in line]
        self.assertTrue(ours)
        self.assertEqual([line for line in ours if f"/namespaces/{other}/secrets" in line], [])

    def test_c32_an_object_made_again_under_its_name_is_a_new_one(self) -> None:
        self.serve("web", "a.example")
        proxy = self.proxy()
        fairlead = self.controller(proxy=proxy)
        proxy.down()
        self.api.delete(objects.ingress(self.namespace, "web", "a.example", "web"))
        self.api.delete(objects.service(self.namespace, "web"))
        address = self.backend("again")
        self.apply(
            objects.service(self.namespace, "web"),
            objects.endpoints(self.namespace, "web", [address]),
            objects.ingress(self.namespace, "web", "b.example", "web"),
        )
        proxy.up()
        self.eventually(lambda: fairlead.get("b.example").pod == "again", 20)
        self.assertEqual(fairlead.get("a.example").status, 404)

    def test_c32_an_equal_ingress_made_again_gets_a_status_of_its_own_and_is_younger(self) -> None:
        made = self.serve("web", "a.example")
        address = self.backend("other")
        self.apply(
            objects.service(self.namespace, "other"), objects.endpoints(self.namespace, "other", [address]),
            objects.ingress(self.namespace, "other", "a.example", "other"),
        )  # fmt: skip
        proxy = self.proxy()
        fairlead = self.controller("--publish-status-address", "192.0.2.10", proxy=proxy)
        status = lambda: self.api.get("Ingress", self.namespace, "web")["status"]["loadBalancer"]  # noqa: E731
        self.eventually(status)
        proxy.down()
        self.api.delete({"kind": "Ingress", **made})
        time.sleep(1.1)  # creation times have whole seconds
        self.apply(objects.ingress(self.namespace, "web", "a.example", "web"))
        self.assertEqual(status(), {})
        proxy.up()
        self.eventually(status, 20)
        self.assertEqual(fairlead.get("a.example").pod, "other", "the older one wins")


def connections(address: str) -> set[str]:
    """The near ends of the connections that are open to port 8080 of an address."""
    said = subprocess.run(
        ["ss", "-Htn", "state", "established", "dst", f"{address}:8080"], capture_output=True, text=True, check=True
    ).stdout
    return {line.split()[2] for line in said.splitlines()}
