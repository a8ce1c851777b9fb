"""How soon a Pod that is not well is left alone, and that nobody notices: readiness, passive checks, active checks."""

from __future__ import annotations

import datetime
import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import threading
import time

from harness import client, objects
from harness.asking import Asking
from harness.case import IS_FULL_LENGTH
from harness.chart import CONTROLLER, ECHO, ChartCase
from harness.watch import Watch

OURS = "fairlead.dev/"
GATE = "e2e.example/in-use"
# How often a Pod is made unready, to see how soon it is left alone.
TIMES = 20 if IS_FULL_LENGTH else 6
# What a busy machine adds to times, seconds.
SLACK = 1.0


class Health(ChartCase):
    """Requests go through the LoadBalancer address of Fairlead, from the chart with its defaults."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster.add_program(ECHO, self.program("echo"))

    def route(self, name: str, **annotations: str) -> str:
        """An Ingress to the Service of that name, with annotations of ours (`_` for `-`); its host."""
        host = f"{name}.{self.host}"
        named = {OURS + key.replace("_", "-"): value for key, value in annotations.items()}
        self.apply(objects.ingress(self.namespace, name, host, name, annotations=named))
        return host

    def answering(self, host: str) -> str:
        """The address of Fairlead, once a host answers there; `replica` is that of its Pod."""
        address = self.balancer(CONTROLLER)
        self.eventually(lambda: client.get(address, host).status == 200, 20, f"{host} answers")
        self.replica = self.pods()[0]["status"]["podIP"]
        return address

    def pods_of(self, name: str) -> list[dict]:
        """The Pods of a Deployment that have an address, by name."""
        found = [pod for pod in self.api.list("Pod", self.namespace) if pod["metadata"]["labels"].get("app") == name]
        return sorted((pod for pod in found if pod["status"].get("podIP")), key=_name)

    def series(self, name: str, service: str) -> list[tuple[dict[str, str], int]]:
        """Labels and value of the series of a metric that are about a Service."""
        connection = http.client.HTTPConnection(self.replica, 10254, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        found = re.findall(rf"^{name}\{{(.*)\}} (\d+)$", text, re.MULTILINE)
        all_of_it = [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), int(value)) for labels, value in found]
        return [(labels, value) for labels, value in all_of_it if labels["service"] == service]

    def standing(self, service: str) -> dict[str, int]:
        """How many endpoints of a Service are in which state, by the metric."""
        return {labels["state"]: count for labels, count in self.series("fairlead_backend_endpoints", service) if count}

    def fairlead(self, *words: str) -> str:
        """What a command of Fairlead prints that asks the replica in the cluster."""
        command = [str(self.binary), *words, "--cluster", "--kubeconfig", str(self.cluster.kubeconfig)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def endpoint(self, service: str, pod: dict) -> dict:
        """One endpoint as `fairlead backends -o json` shows it."""
        backends = json.loads(self.fairlead("backends", "-o", "json", "--namespace", self.namespace))["backends"]
        name = f"{self.namespace}/{service}:http"
        found = next(each for each in backends if each["name"] == name)["endpoints"]
        return next(each for each in found if each.get("pod") == _name(pod))

    def process(self, pod: dict) -> int:
        """The process of a Pod's container."""
        container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        tasks = self.cluster.programs.run("ctr", "-a", self.cluster.socket, "-n", "k8s.io", "tasks", "ls").stdout
        return next(int(line.split()[1]) for line in tasks.splitlines() if line.startswith(container))

    def hang(self, process: int) -> None:
        """Stops a process, as a hung one stands: the kernel still takes connections for it."""
        os.kill(process, signal.SIGSTOP)
        self.addCleanup(lambda: os.kill(process, signal.SIGCONT))

    def test_a_pod_that_turns_unready_gets_nothing_new_within_200_ms_and_ends_what_it_has(self) -> None:
        self.apply(
            objects.deployment(self.namespace, "web", ECHO, 3, gate=GATE),
            objects.service(self.namespace, "web", selector={"app": "web"}),
        )
        self.install()
        self.eventually(lambda: len(self.pods_of("web")) == 3, 60, "three Pods")
        for pod in self.pods_of("web"):
            self.api.set_condition(pod, GATE, True)
        self.roll_out("web")
        host = self.route("web")
        address = self.answering(host)
        late, back = [], []
        with Watch(self.api, "EndpointSlice", self.namespace) as slices, Asking(address, host) as asking:
            for pod in itertools.islice(itertools.cycle(self.pods_of("web")), TIMES):
                self._is_asked(asking, pod, time.time())
                with Asking(address, host, "/bytes?count=100000&seconds=1", clients=9, pause=0.01) as long:
                    time.sleep(0.3)
                    removed = self._turns(slices, pod, False)
                    time.sleep(0.7)
                there = [each for each in long.at(_name(pod)) if each.received < removed < each.ended]
                self.assertGreater(len(there), 0, "none was in flight there when it left")
                self.assertEqual({each.status for each in long.asked}, {200})
                received = [each.received for each in asking.at(_name(pod)) + long.at(_name(pod))]
                late.append(max(0.0, max(received) - removed))
                added = self._turns(slices, pod, True)
                back.append(self._is_asked(asking, pod, added) - added)
        self.assertEqual([each for each in asking.asked if each.status != 200], [])
        _print("it got its last request", late)
        _print("it got its first again", back)
        self.assertLess(max(late), 0.2)

    def _turns(self, slices: Watch, pod: dict, ready: bool) -> float:
        """Makes a Pod ready or unready; when the API server said so in a slice."""
        begun = time.time()
        self.api.set_condition(pod, GATE, ready)
        address = pod["status"]["podIP"]

        def said() -> float | None:
            for at, each in slices.seen:
                for endpoint in each.get("endpoints") or []:
                    if at > begun and endpoint["addresses"] == [address] and endpoint["conditions"]["ready"] == ready:
                        return at
            return None

        self.eventually(said, 20, f"{_name(pod)} is {'' if ready else 'not '}ready in a slice")
        return said()

    def _is_asked(self, asking: Asking, pod: dict, after: float) -> float:
        """When a Pod got its first request after a moment."""
        found = lambda: [each.received for each in asking.at(_name(pod)) if each.received > after]  # noqa: E731
        self.eventually(found, 10, f"{_name(pod)} gets requests")
        return min(found())

    def test_a_pod_that_hangs_is_ejected_by_passive_and_by_active_checks_and_comes_back(self) -> None:
        # The first four are the defaults.
        consecutive, eject, fall, rise, head, interval = 5, 10, 3, 2, 1, 1
        self.backend("passive", 3)
        self.backend("active", 3)
        self.install()
        hosts = {
            "passive": self.route("passive", proxy_read_timeout=f"{head}s"),
            "active": self.route(
                "active", proxy_read_timeout=f"{head}s", passive_health="off", health_check_path="/check",
                health_check_interval=f"{interval}s", health_check_timeout=f"{head}s",
            ),
        }  # fmt: skip
        address = [self.answering(host) for host in hosts.values()][0]
        for service in hosts:
            self.eventually(lambda: self.standing(service) == {"ready": 3}, 10, "all are checked")  # noqa: B023
        pods = {service: self.pods_of(service)[0] for service in hosts}
        # Found before the clock runs: the program that lists them may take a second when it starts.
        processes = [self.process(pod) for pod in pods.values()]
        out, back = {}, {}
        with (
            self.load(f"http://{address}/", hosts["passive"], rate=100) as passive,
            self.load(f"http://{address}/", hosts["active"], rate=100) as active,
        ):
            hung, hung_at = time.monotonic(), time.time()
            for process in processes:
                self.hang(process)
            wanted = {"passive": "ejected", "active": "unhealthy"}
            out = self._become({name: {"ready": 2, state: 1} for name, state in wanted.items()}, 20)
            for service, (state, reason) in {
                "passive": ("ejected", f"{consecutive} time-outs"),
                "active": ("unhealthy", f"no answer in {head} s"),
            }.items():
                self._is_shown(service, hosts[service], pods[service], state, reason, hung_at)
            for process in processes:
                os.kill(process, signal.SIGCONT)
            well = time.monotonic()
            back = self._become({name: {"ready": 3} for name in hosts}, 20)
        for load in (passive, active):
            print(f"      {load}", flush=True)
            self.assert_lost_nothing(load)
        for service, pod in pods.items():
            self._answers(address, hosts[service], pod)
            # The fewest in flight are at the others: it gets one request after the other, and each is tried elsewhere.
            retries = sum(value for _, value in self.series("fairlead_retries_total", service))
            self.assertLess(retries, 3 * consecutive, f"requests of {service} that were sent to it while it hung")
        print(
            f"      out after {out['passive'] - hung:.2f} s (passive), {out['active'] - hung:.2f} s (active); "
            f"back {back['passive'] - out['passive']:.2f} s after the ejection (passive), "
            f"{back['active'] - well:.2f} s after it went on (active)", flush=True,
        )  # fmt: skip
        self.assertLess(out["passive"] - hung, consecutive * head + SLACK)
        self.assertLess(out["active"] - hung, fall * interval * 1.1 + head + SLACK)
        self.assertGreater(back["passive"] - out["passive"], eject - 0.5)
        self.assertLess(back["passive"] - out["passive"], eject + SLACK)
        self.assertLess(back["active"] - well, rise * interval * 1.1 + head + SLACK)

    def _become(self, wanted: dict[str, dict[str, int]], seconds: float) -> dict[str, float]:
        """When the endpoints of each Service were first seen in these states."""
        found: dict[str, float] = {}

        def all_are() -> bool:
            for service, states in wanted.items():
                if service not in found and self.standing(service) == states:
                    found[service] = time.monotonic()
            return len(found) == len(wanted)

        self.eventually(all_are, seconds, f"the endpoints are {wanted}: {[self.standing(name) for name in wanted]}")
        return found

    def _is_shown(self, service: str, host: str, pod: dict, state: str, reason: str, after: float) -> None:
        """Whoever looks sees that an endpoint is out, why and since when: in two commands and in the log."""
        shown = self.endpoint(service, pod)
        self.assertEqual((shown["state"], shown["reason"]), (state, reason), shown)
        since = _when(shown["since"])
        self.assertTrue(after - 1 <= since <= time.time(), f"{shown} after {after}")
        table = self.fairlead("backends", "--namespace", self.namespace)
        row = next(line for line in table.splitlines() if _name(pod) in line)
        for text in (shown["address"], f" {state} ", shown["since"], reason):
            self.assertIn(text, row)
        story = self.fairlead("explain", f"http://{host}/")
        self.assertIn(f"not {shown['address']}, {state}: {reason}", story)
        line = self._said("set aside", pod)
        for text in (f"{self.namespace}/{service}:", state, reason, "in_use=2", "candidates=3", "WARN"):
            self.assertIn(text, line)

    def _said(self, what: str, pod: dict) -> str:
        """The first line of Fairlead's log that says this of a Pod's endpoint."""
        log = self.kubectl("logs", f"deployment/{CONTROLLER}")
        endpoint = f"endpoint={pod['status']['podIP']}:8080"
        found = [line for line in log.splitlines() if what in line and endpoint in line]
        self.assertTrue(found, f"no word of {what} {endpoint}")
        return found[0]

    def _answers(self, address: str, host: str, pod: dict) -> None:
        """A Pod gets requests again."""
        answered = lambda: client.get(address, host).fields.get("x-pod") == _name(pod)  # noqa: E731
        self.eventually(answered, 10, f"{_name(pod)} answers again")
        self._said("back in use", pod)

    def test_changes_of_other_things_neither_restart_nor_repeat_checks_nor_forget_failures(self) -> None:
        interval, fall, rise, seconds = 0.5, 3, 2, 8
        self.backend("web", 2)
        self.backend("other", 1)
        self.install()
        host = self.route("web", health_check_path="/check", health_check_interval=f"{interval * 1000:.0f}ms")
        address = self.answering(host)
        self.eventually(lambda: self.standing("web") == {"ready": 2}, 10, "both are checked")
        pod = self.pods_of("web")[0]
        over = threading.Event()
        changes = threading.Thread(target=self._change, args=(host, over), daemon=True)
        changes.start()
        try:
            begun = time.time()
            time.sleep(seconds)
            ended = time.time()
            times = [each["at"] / 1000 for each in self._checks(pod, "?fail=true")]
            self.eventually(lambda: self.standing("web").get("unhealthy") == 1, 10, "it is set aside")
            self._checks(pod, "?fail=false")
            self.eventually(lambda: self.standing("web") == {"ready": 2}, 10, "it is taken back")
        finally:
            over.set()
            changes.join(30)
        out, back = (_when(self._said(what, pod)) for what in ("set aside", "back in use"))
        all_of_them = self._checks(pod)
        failed = [each["at"] / 1000 for each in all_of_them if each["status"] == 503]
        succeeded = [each["at"] / 1000 for each in all_of_them if each["at"] / 1000 > failed[-1]]
        times = [at for at in times if begun <= at <= ended]
        apart = [later - sooner for sooner, later in itertools.pairwise(times)]
        print(
            f"      {self._changed} changes; {len(times)} checks in {ended - begun:.1f} s, {min(apart):.2f} to "
            f"{max(apart):.2f} s apart; out {out - failed[0]:.2f} s after the first failure, "
            f"back {back - succeeded[0]:.2f} s after the first success", flush=True,
        )  # fmt: skip
        self.assertGreater(self._changed, 5 * seconds)
        self.assertGreaterEqual(len(times), int(seconds / (interval * 1.1)) - 1)
        self.assertLessEqual(len(times), seconds / (interval * 0.9) + 1)
        self.assertGreater(min(apart), interval / 2, "a burst")
        self.assertEqual(sum(at <= out for at in failed), fall)
        self.assertEqual(sum(at <= back for at in succeeded), rise)
        self.assertEqual(client.get(address, host).status, 200)

    def _checks(self, pod: dict, query: str = "") -> list[dict]:
        """The checks that a Pod got from our replica; one of another test may not have ended yet."""
        got = client.get(pod["status"]["podIP"], "a.example", f"/checks{query}", port=8080).echo
        return [each for each in got if each["from"] == self.replica]

    def _change(self, host: str, over: threading.Event) -> None:
        """Changes everything but what the checks of `web` are made of, as quickly as the API server takes it."""
        self._changed = 0
        for number in itertools.count():
            if over.is_set():
                return
            name = f"more-{number % 5}"
            route = objects.ingress(self.namespace, name, f"{name}.{host}", "other")
            service = objects.service(self.namespace, name, selector={"app": "other"})
            weight = {"metadata": {"labels": {f"{OURS}weight": str(1 + number % 2)}}}
            timeout = {"metadata": {"annotations": {f"{OURS}proxy-read-timeout": f"{30 + number % 20}s"}}}
            self.api.apply(route, service)
            self.api.merge(objects.ingress(self.namespace, "web", host, "web"), timeout)
            self.api.merge({"kind": "Pod", **self.pods_of("web")[number % 2]}, weight)
            self.api.delete(route, service)
            self._changed += 6


def _name(pod: dict) -> str:
    return pod["metadata"]["name"]


def _when(line: str) -> float:
    """The time that a line begins with, as the API and the log of Fairlead write it."""
    return datetime.datetime.fromisoformat(line.split()[0]).timestamp()


def _print(what: str, seconds: list[float]) -> None:
    ordered = sorted(each * 1000 for each in seconds)
    middle, last = ordered[len(ordered) // 2], ordered[-1]
    print(f"      {what} {middle:.0f} ms (p50), {last:.0f} ms (max) after its slice, {len(ordered)} times", flush=True)
