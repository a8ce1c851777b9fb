"""No request is lost by any change: 500 requests a second all the while, the defaults of the chart, 0 failed."""

from __future__ import annotations

import calendar
import http.client
import re
import threading
import time

from harness import client, objects
from harness.case import IS_FULL_LENGTH
from harness.chart import CONTROLLER, ECHO, ChartCase
from harness.client import Tunnel
from harness.load import Load

RATE = 500
RESTARTS = 8
# Chart default: how long a Pod that ends serves on, seconds.
GRACE = 10
# Of the tests: the longest wait for open tunnels after that.
DRAIN = 20
PLAIN = {"nginx.ingress.kubernetes.io/ssl-redirect": "false"}


class ZeroLoss(ChartCase):
    """Loads go through the LoadBalancer address."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster.add_program(ECHO, self.program("echo"))

    def serve(self, replicas: int, *, pre_stop: int = 0, tls: bool = False, **values: object) -> str:
        """Fairlead before a back end, answering; its address."""
        self.backend("web", replicas, pre_stop=pre_stop)
        if not IS_FULL_LENGTH:
            # A Pod that ends is no endpoint at once, whatever its probe says; on a busy machine no other may seem unready.
            values["controller__readinessProbe__failureThreshold"] = 30
        self.install(**values)
        if tls:
            secret, _ = self.certificate(self.host)
            self.apply(secret)
        route = objects.ingress(
            self.namespace, "web", self.host, "web", ("/",), tls="tls" if tls else None, annotations=PLAIN
        )
        self.apply(route)
        address = self.balancer(CONTROLLER)
        self.eventually(lambda: client.get(address, self.host).status == 200, 20, "the route answers")
        return address

    def under(self, address: str, rate: int = RATE, mode: str = "keep-alive", scheme: str = "http") -> Load:
        """A load on the route. Slow is no failure here: the machine may be busy."""
        return self.load(f"{scheme}://{address}/", self.host, rate=rate, mode=mode, timeout=60)

    def lost_nothing(self, *loads: Load) -> None:
        """No request failed, and the rate was held."""
        for load in loads:
            print(f"      {self._testMethodName[5:]}: {load}", flush=True)
            self.assert_lost_nothing(load)
        sent = sum(load.result["sent"] / load.result["seconds"] for load in loads)
        self.assertGreater(sent, RATE * 0.95, "requests a second")

    def metric(self, name: str) -> float:
        """A counter, summed over labels and Pods."""
        total = 0.0
        for pod in self.pods():
            connection = http.client.HTTPConnection(pod["status"]["podIP"], 10254, timeout=10)
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            total += sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))
        return total

    def restart(self, deployment: str) -> None:
        """A rolling restart to its end: the old Pods are gone."""
        old = {pod["metadata"]["name"] for pod in self.api.list("Pod", self.namespace)}
        old = {name for name in old if name.startswith(f"{deployment}-")}
        self.kubectl("rollout", "restart", f"deployment/{deployment}")
        self.roll_out(deployment)
        self.eventually(lambda: not old & self.names(), 90, f"{old} are gone")

    def names(self) -> set[str]:
        """Of all Pods here."""
        return {pod["metadata"]["name"] for pod in self.api.list("Pod", self.namespace)}

    def test_a_rolling_restart_of_a_back_end_that_closes_two_seconds_after_its_removal(self) -> None:
        address = self.serve(6, pre_stop=2)
        with self.under(address) as load:
            self.restart("web")
        self.lost_nothing(load)

    def test_scaling_a_back_end_from_2_to_20_and_back(self) -> None:
        address = self.serve(2, pre_stop=2)
        with self.under(address) as load:
            for replicas in (20, 2):
                self.kubectl("scale", "deployment/web", f"--replicas={replicas}")
                self.roll_out("web")
                count = lambda: sum(name.startswith("web-") for name in self.names())  # noqa: E731
                self.eventually(lambda: count() == replicas, 90, f"{replicas} Pods")  # noqa: B023
        self.lost_nothing(load)

    def test_a_rolling_restart_of_a_back_end_that_closes_at_once_is_retried_elsewhere(self) -> None:
        address = self.serve(6)
        # Whether a request meets a Pod between its end and the news of it is a race: restarts until one did.
        for _ in range(RESTARTS):
            with self.under(address) as load:
                self.restart("web")
            self.lost_nothing(load)
            if self.metric("fairlead_retries_total") > 0:
                return
        self.fail(f"nothing was refused in {RESTARTS} restarts: no test of retries")

    def test_a_rolling_restart_of_fairlead_under_connections_of_every_kind(self) -> None:
        address = self.serve(2, tls=True, controller__replicaCount=2, controller__extraArgs={"drain-timeout": f"{DRAIN}s"})
        old = {pod["status"]["podIP"]: pod["metadata"]["name"] for pod in self.pods()}
        ended: dict[str, float] = {}
        download: list[client.Answer] = []
        size = 4_000_000
        with (
            self.under(address, 100, "close") as single,
            self.under(address, 200) as kept,
            self.under(address, 200, "h2", "https") as streams,
        ):
            tunnels = [Tunnel(address, self.host) for _ in range(8)]
            for tunnel in tunnels:
                self.addCleanup(tunnel.close)
            path = f"/bytes?count={size}&seconds=20"
            thread = threading.Thread(target=lambda: download.append(client.get(address, self.host, path)))
            thread.start()
            self.kubectl("rollout", "restart", f"deployment/{CONTROLLER}")

            def all_old_are_gone() -> bool:
                pods = {pod["metadata"]["name"]: pod["metadata"] for pod in self.pods()}
                for name, metadata in pods.items():
                    # The first that is seen counts: the kubelet's last request sets both fields anew just before the Pod is gone.
                    if "deletionTimestamp" in metadata:
                        ended.setdefault(name, _ended(metadata))
                return not pods.keys() & set(old.values())

            self.roll_out(CONTROLLER)
            self.eventually(all_old_are_gone, 150, "the old Pods are gone")
            thread.join(30)
        self.lost_nothing(single, kept, streams)
        self.assertEqual((download[0].status, len(download[0].body)), (200, size), download)
        self.eventually(lambda: all(tunnel.closed for tunnel in tunnels), 5, "tunnels are closed")
        lasted = [tunnel.closed - ended[old[tunnel.peer]] for tunnel in tunnels]
        print(f"      tunnels closed after {', '.join(f'{each:.1f}' for each in sorted(lasted))} s", flush=True)
        self.assertGreaterEqual(min(lasted), GRACE + DRAIN)
        self.assertEqual([tunnel.lost for tunnel in tunnels], [""] * len(tunnels))

    def test_a_secret_replaced_every_second_for_30_seconds(self) -> None:
        address = self.serve(2, tls=True)
        with self.under(address, 100, "close", "https") as single, self.under(address, 400, "h2", "https") as streams:
            for second in range(30):
                begun = time.monotonic()
                secret, trust = self.certificate(self.host)
                self.apply(secret)
                if second == 29:
                    served = lambda: client.get(address, self.host, trust=trust).status == 200  # noqa: E731
                    print(f"      the last is served after {self.eventually(served, 5, 'it is served'):.2f} s", flush=True)
                time.sleep(max(0.0, begun + 1 - time.monotonic()))
        self.lost_nothing(single, streams)


def _ended(metadata: dict) -> float:
    """When a Pod was told to end, no later than that: the API keeps whole seconds."""
    until = calendar.timegm(time.strptime(metadata["deletionTimestamp"], "%Y-%m-%dT%H:%M:%SZ"))
    return until - metadata["deletionGracePeriodSeconds"]
