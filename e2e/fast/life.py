"""Start, end and company of replicas: C17, C22, C23, C30."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import threading
import time

from harness import faults, objects, rights
from harness.case import ELECTION, IS_FULL_LENGTH, FastCase
from harness.client import Tunnel
from harness.controller import Answer, Controller

CHURN_SECONDS, CHURN_RATE = 60 if IS_FULL_LENGTH else 12, 10
LAST = "/the-last-change"
SHOWN = ("--publish-status-address", "192.0.2.10")
PUBLISH = (*SHOWN, "--election-ttl", "3s")


class Life(FastCase):
    """Replicas that come and go."""

    def writes(self, proxy) -> list[faults.Request]:
        """What a replica wrote about Ingresses."""
        return [each for each in proxy.seen if each.method == "PATCH" and each.path.endswith("/status")]

    def leader(self) -> str | None:
        """The holder of the Lease."""
        lease = self.api.find("Lease", rights.NAMESPACE, ELECTION)
        return lease and lease["spec"].get("holderIdentity")

    def test_c17_a_holder_that_cannot_renew_stops_writing_and_the_other_takes_over(self) -> None:
        self.serve("web", "a.example")
        proxies = self.proxy(), self.proxy()
        first = self.controller(*PUBLISH, proxy=proxies[0])
        self.eventually(lambda: self.leader() == first.name)
        second = self.controller(*PUBLISH, proxy=proxies[1])
        with (
            self.load(f"http://{first.address}/", "a.example", rate=100) as load,
            proxies[0].during(faults.refuse(500), faults.any_of("leases")),
        ):
            self.eventually(lambda: self.leader() == second.name, 10)
            since = time.monotonic()
            self.serve("later", "b.example")
            status = lambda: self.api.get("Ingress", self.namespace, "later")["status"]["loadBalancer"]  # noqa: E731
            self.eventually(lambda: status().get("ingress"))
            self.assertEqual([each for each in self.writes(proxies[0]) if each.at > since], [])
        self.assert_lost_nothing(load)

    def test_c17_a_lease_with_a_time_far_off_is_judged_by_our_own_clock(self) -> None:
        for stamp in ("2001-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z"):
            with self.subTest(stamp):
                spec = {"holderIdentity": "gone", "leaseDurationSeconds": 3, "renewTime": stamp, "acquireTime": stamp}
                lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec,
                         "metadata": {"name": ELECTION, "namespace": rights.NAMESPACE}}  # fmt: skip
                self.api.apply(lease)
                started = time.monotonic()
                fairlead = self.controller(*PUBLISH)
                self.eventually(lambda f=fairlead: self.leader() == f.name, 10)
                self.assertGreater(time.monotonic() - started, 2.5, "not before it was seen unchanged for its duration")
                fairlead.kill()
                self.api.delete(lease)

    def test_c17_the_lease_is_empty_after_a_clean_exit(self) -> None:
        fairlead = self.controller(*PUBLISH)
        self.eventually(lambda: self.leader() == fairlead.name)
        self.assertEqual(fairlead.terminate(), 0)
        self.assertFalse(self.leader())

    def test_c22_open_work_ends_politely_and_the_exit_code_is_0(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.controller("--drain-timeout", "8s")
        answers: dict[str, object] = {}
        work = {
            "download": lambda: fairlead.get("a.example", "/bytes?count=2000000&seconds=3"),
            "events": lambda: fairlead.get("a.example", "/stream?seconds=3"),
            "upload": lambda: upload(fairlead, 30, 20_000),
            "HTTP/2": lambda: over_http2(fairlead, "/bytes?count=1000000&seconds=3"),
        }
        threads = [
            threading.Thread(target=lambda name=name: answers.update({name: work[name]()})) for name in work
        ]
        for each in threads:
            each.start()
        idle = socket.create_connection((fairlead.address, 80), 5)
        idle.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        self.assertIn(b"200", idle.recv(65536))
        half = socket.create_connection((fairlead.address, 80), 5)
        half.sendall(b"GET / HTTP/1.1\r\nHost: a.exa")
        time.sleep(1)
        started = time.monotonic()
        fairlead.process.terminate()
        self.eventually(lambda: fairlead.health("/readyz") == 503, 1)
        with contextlib.closing(idle):
            self.assertEqual(idle.recv(65536), b"", "an idle connection is closed")
        for each in threads:
            each.join()
        self.assertEqual((answers["download"].status, len(answers["download"].body)), (200, 2_000_000), answers)
        self.assertEqual((answers["events"].status, answers["events"].body.count(b"data:")), (200, 30), answers)
        self.assertEqual((answers["upload"].status, answers["upload"].body), (200, b"600000"), answers)
        self.assertEqual(answers["HTTP/2"], "200 2 1000000")
        half.close()
        self.assertEqual(fairlead.process.wait(15), 0)
        self.assertLess(time.monotonic() - started, 8, "no later than the work")

    def test_c22_a_tunnel_is_closed_at_the_limit_and_no_earlier(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.controller("--drain-timeout", "4s")
        tunnel = Tunnel(fairlead.address, "a.example")
        self.addCleanup(tunnel.close)
        time.sleep(1)
        started = time.time()
        self.assertEqual(fairlead.terminate(), 0)
        self.eventually(lambda: tunnel.closed, 5)
        self.assertGreaterEqual(tunnel.closed - started, 4)
        self.assertEqual(tunnel.lost, "")

    def test_c22_a_second_signal_ends_at_once(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.controller()
        thread = threading.Thread(target=fairlead.get, args=("a.example", "/stream?seconds=10"))
        thread.start()
        time.sleep(0.5)
        fairlead.process.terminate()
        time.sleep(0.3)
        self.assertTrue(fairlead.is_running)
        fairlead.process.terminate()
        fairlead.process.wait(1)
        thread.join()

    def test_c23_a_killed_replica_is_ready_again_soon_and_leads_when_its_lease_ran_out(self) -> None:
        self.serve("web", "a.example")
        fairlead = self.controller(*PUBLISH)
        self.eventually(lambda: self.leader() == fairlead.name)
        fairlead.kill()
        fairlead.start(wait=False)
        self.assertLess(fairlead.wait_ready(), 3)
        self.assertEqual(fairlead.get("a.example").pod, "web")
        self.eventually(lambda: fairlead.metric("^fairlead_leader") == 1, 6)

    def test_c30_two_replicas_under_churn_have_one_table_and_one_writer_and_do_not_fight(self) -> None:
        self.serve("web", "a.example")
        proxies = self.proxy(), self.proxy()
        both = [self.controller(*SHOWN, proxy=each) for each in proxies]
        self.eventually(lambda: self.leader(), what="there is a leader")
        leader = [replica.name for replica in both].index(self.leader())
        with self.load(f"http://{both[0].address}/", "a.example", rate=100) as load:
            late = self.churn(CHURN_SECONDS)
        self.assert_lost_nothing(load)
        print(f"      {CHURN_SECONDS * CHURN_RATE} changes, {late} late")
        self.eventually(lambda: both[0].config() == both[1].config() and LAST in both[0].config(), 20, "one table")
        self.assertEqual(*(each.admin("routes")["routes"] for each in both))
        self.assertEqual(*(each.admin("problems")["problems"] for each in both), "and the same is wrong")
        self.eventually(lambda: all(self.ingresses("/status/loadBalancer/ingress")), what="every status is written")
        settled = self.ingresses("/metadata/resourceVersion")
        self.holds_for(
            3, lambda: self.ingresses("/metadata/resourceVersion") == settled, "nobody writes what is equal"
        )
        self.assertEqual(self.writes(proxies[1 - leader]), [], "one writes, the other watches")
        self.assertGreater(len(self.writes(proxies[leader])), 0)
        self.assertEqual(self.leader(), both[leader].name, "the Lease stayed where it was")

    def ingresses(self, field: str) -> list[object]:
        """A field of each Ingress of the test, None where it is not there."""
        found = self.api.list("Ingress", self.namespace)
        for name in field.strip("/").split("/"):
            found = [each and each.get(name) for each in found]
        return found

    def churn(self, seconds: int) -> int:
        """Ten changes a second: Ingresses come, change and go, endpoints too; how many came late."""
        late, started = 0, time.monotonic()
        for number in range(seconds * CHURN_RATE):
            due = started + number / CHURN_RATE
            late += time.monotonic() > due + 1 / CHURN_RATE
            time.sleep(max(0.0, due - time.monotonic()))
            name = f"n{number % 23}"
            made = objects.ingress(self.namespace, name, f"{name}.example", "web", [f"/v{number}"])
            match number % 5:
                case 3:
                    addresses = [f"10.244.9.{number % 250 + 1}"]
                    self.api.apply(objects.endpoints(self.namespace, "unused", addresses))
                case 4:
                    self.api.delete(made)
                case _:
                    self.api.apply(made)
        self.api.apply(objects.ingress(self.namespace, "last", "last.example", "web", [LAST]))
        return late

    def test_who_writes_nothing_asks_for_no_lease(self) -> None:
        self.serve("web", "a.example")
        self.apply(objects.ingress(self.namespace, "broken", "broken.example", "missing"))
        proxy = self.proxy()
        fairlead = self.controller("--update-status=false", "--events=false", proxy=proxy)
        self.assertEqual(fairlead.get("a.example").pod, "web")
        self.holds_for(2, lambda: not any(each.method != "GET" or each.plural == "leases" for each in proxy.seen))
        self.assertNotIn("fairlead_leader", fairlead.metrics(), "there is no Lease to hold")


def upload(fairlead: Controller, parts: int, size: int) -> Answer:
    """Sends a body in parts, ten a second; the answer."""

    def body():
        for _ in range(parts):
            yield bytes(size)
            time.sleep(0.1)

    connection = http.client.HTTPConnection(fairlead.address, 80, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", "/count", body(), {"Host": "a.example"}, encode_chunked=True)
        answer = connection.getresponse()
        return Answer(answer.status, {}, answer.read())


def over_http2(fairlead: Controller, path: str) -> str:
    """Status, version and length of what curl received over HTTP/2 in clear text."""
    told = ["curl", "-s", "-o", "/dev/null", "-w", "%{response_code} %{http_version} %{size_download}"]
    where = ["--http2-prior-knowledge", "-H", "Host: a.example", f"http://{fairlead.address}{path}"]
    return subprocess.run([*told, *where], capture_output=True, text=True, check=False).stdout
