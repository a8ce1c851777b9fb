"""The service of ten back ends of docs/balancing.md on real sockets, behind HAProxy and behind Fairlead:
balancing.py FAIRLEAD.

Both get the very same requests (one seed a round: when, whose, how much work), in alternation, and are started anew
for each run. The sick back end has another place among the ten in each round: HAProxy's bound for hashes allows the
last of its list up to twice what it allows the first. Back ends, clients and proxy share the machine, so the load is
small: it is balancing that is measured. The share of the processors that all of it took is printed, and a run in which
back ends and clients were late is done again. On a machine that has other work: `chrt --rr 10 make bench-balancing`.

A row passes when Fairlead's median of the p99s is at most 1.05 times HAProxy's, and its errors are not more than
HAProxy's by over three standard deviations of such a count. Why 1.05: where one endpoint is slow, one request in ten
decides the p99, and which ones they are is chance (for draws) or a matter of who was first (for counts in flight); the
median of ten p99s of 10,000 requests each then differs by 2 % from itself, and the ratio of two by 3 %.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import measure
from served import Fairlead, free_ports

BACK_ENDS = 10
WORKERS = 2
P99_RATIO = 1.05
DEVIATIONS = 3
# A run counts if one in a hundred arrivals and ends of work was later than this at most.
LATE_US = 3_000
ATTEMPTS = 4
HOST = "bench.example"

# What Fairlead is told, and the nearest that HAProxy has. Its draws and hashes go by a ring on which a server has a
# number of points that grows with its weight: 100 is enough for even shares. Its bare `random` is the better of two.
PAIRS = {
    "round_robin": ("load-balance: round_robin", "balance roundrobin"),
    "least_conn": ("load-balance: least_conn", "balance leastconn"),
    "random": ("load-balance: random", "balance random(1)\n    default-server weight 100"),
    "random_two": ("load-balance: random_two", "balance random(2)\n    default-server weight 100"),
    "hash": (
        "hash-by: $http_x_key",
        "balance hdr(x-key)\n    hash-type consistent sdbm avalanche\n    hash-balance-factor 125\n"
        "    default-server weight 100",
    ),
}


@dataclasses.dataclass(frozen=True)
class Scenario:
    """What is wrong with the first back end, and what each proxy is told about health."""

    sick: tuple[str, ...]
    fairlead: str
    haproxy: str
    rounds: int
    # Seconds of a run that do not count, and that count.
    warm_up: int
    seconds: int


# With checks: five failures in a row, and ten seconds away. HAProxy brings a server back by active checks alone: two
# that succeed, five seconds apart. It takes six seconds in the mean until five in a row of those that fail with 30 % have
# failed, often more; after 25 nearly every run has come so far.
SCENARIOS = {
    "one 10 x slower": Scenario(("--slowdown", "10"), "passive-health: off", "", 10, 3, 10),
    "one fails 30 %": Scenario(("--failing", "0.3"), "passive-health: off", "", 10, 3, 10),
    "one fails 30 %, passive checks": Scenario(
        ("--failing", "0.3"),
        "passive-health: consecutive=5, eject=10s, on=5xx",
        "option httpchk GET /check\n"
        "    default-server check inter 5s rise 2 fall 3 observe layer7 error-limit 5 on-error mark-down",
        5,
        25,
        20,
    ),
}

# Two threads as Fairlead has two workers; connections to servers are kept and shared by all; three attempts in all, each
# at another server, of what failed before an answer. So does Fairlead by default, which also writes an access log.
HAPROXY = """
global
    nbthread {workers}
    maxconn 4096
defaults
    mode http
    option forwardfor
    http-reuse always
    retries 2
    retry-on conn-failure empty-response response-timeout
    option redispatch 1
    timeout connect 5s
    timeout server 60s
    timeout client 75s
    timeout http-keep-alive 75s
frontend clients
    bind 127.0.0.1:{port}
    default_backend service
backend service
    {balance}
    {health}
    {servers}
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("binary", help="Fairlead")
    options.add_argument("--pair", action="append", choices=PAIRS, help="only this; repeatable")
    options.add_argument("--scenario", type=int, action="append", choices=range(1, 1 + len(SCENARIOS)), help="only this")
    chosen = options.parse_args()
    print(version("/usr/sbin/haproxy", "-v"), "and", version(chosen.binary, "--version"))
    print(f"\n{Row.TITLE}", flush=True)
    for number, (title, scenario) in enumerate(SCENARIOS.items(), 1):
        for pair in PAIRS:
            if number in (chosen.scenario or [number]) and pair in (chosen.pair or [pair]):
                row = compare(chosen.binary, pair, title, scenario)
                print(row.text, flush=True)
                if not row.passed:
                    measure.missed.append(row.text)
    measure.finish()


def version(*command: str) -> str:
    """The first line that the program prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]


def compare(binary: str, pair: str, title: str, scenario: Scenario) -> Row:
    """Runs both proxies in alternation."""
    runs: dict[str, list[dict]] = {"haproxy": [], "fairlead": []}
    for turn in range(scenario.rounds):
        # Who is first changes, in case the machine does.
        for name in sorted(runs, reverse=bool(turn % 2)):
            runs[name].append(undisturbed(name, binary, pair, scenario, turn))
    return Row(pair, title, runs)


def undisturbed(name: str, *how: object) -> dict:
    """The first run in which nobody was late."""
    for _ in range(ATTEMPTS):
        with tempfile.TemporaryDirectory() as work:
            report = run(name, pathlib.Path(work), *how)
        if report["late_p99_us"] <= LATE_US:
            return report
        print(f"again: late by {report['late_p99_us']} us", file=sys.stderr)
    raise SystemExit("the machine is too busy to measure anything")


class Row:
    """The medians of one pair in one scenario, as a line of a table."""

    TITLE = (
        "| algorithm | scenario | p50: HAProxy, Fairlead | p99: HAProxy, Fairlead | ratio "
        "| errors: HAProxy, Fairlead | processors: HAProxy, Fairlead | |\n"
        "|---|---|--:|--:|--:|--:|--:|---|"
    )

    def __init__(self, pair: str, title: str, runs: dict[str, list[dict]]):
        middle: dict[str, dict[str, float]] = {}
        for name, reports in runs.items():
            middle[name] = {key: measure.median(one[key] for one in reports) for key in ("p50_us", "p99_us", "busy")}
            middle[name]["errors"] = sum(one["errors"] for one in reports)
        theirs, ours = middle["haproxy"], middle["fairlead"]
        asked = sum(one["requests"] + one["errors"] for one in runs["haproxy"])
        ratio = ours["p99_us"] / theirs["p99_us"]
        allowed = theirs["errors"] + DEVIATIONS * math.sqrt(2 * theirs["errors"])
        worse = {"p99": ratio > P99_RATIO, "errors": ours["errors"] > allowed}
        missed = [word for word, is_worse in worse.items() if is_worse]
        self.passed = not missed
        self.text = (
            f"| {pair} | {title} | {theirs['p50_us'] / 1e3:.1f}, {ours['p50_us'] / 1e3:.1f} ms "
            f"| {theirs['p99_us'] / 1e3:.1f}, {ours['p99_us'] / 1e3:.1f} ms | {ratio:.2f} "
            f"| {theirs['errors'] / asked:.2%}, {ours['errors'] / asked:.2%} "
            f"| {theirs['busy']:.0%}, {ours['busy']:.0%} | {'FAIL: ' + ' and '.join(missed) if missed else 'PASS'} |"
        )


def run(name: str, work: pathlib.Path, binary: str, pair: str, scenario: Scenario, turn: int) -> dict:
    """One run of a round: the back ends, then the proxy, then the clients."""
    sick, *sound = free_ports(BACK_ENDS)
    place = turn * BACK_ENDS // scenario.rounds
    ports = [*sound[:place], sick, *sound[place:]]
    told, balance = PAIRS[pair]
    if name == "fairlead":
        folder = work / "manifests"
        folder.mkdir()
        folder.joinpath("service.yaml").write_text(manifests(ports, told, scenario.fairlead))
        proxy = Fairlead(binary, folder, work, "--workers", str(WORKERS))
        target = proxy.http
    else:
        (target,) = free_ports(1)
        proxy = haproxy(work, target, ports, balance, scenario.haproxy)
    command = [measure.load_generator(), "balancing", "--target", f"127.0.0.1:{target}", "--host", HOST]
    command += [part for port in (sick, *sound) for part in ("--station", f"127.0.0.1:{port}")]
    command += ["--seed", str(turn + 1), "--warm-up", str(scenario.warm_up), "--seconds", str(scenario.seconds)]
    before = os.times()
    command += scenario.sick
    clients = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        # The back ends first: a check that finds nobody would begin with a service that is down.
        clients.stdout.readline()
        with proxy:
            out, _ = clients.communicate("the proxy is there\n", timeout=300)
    finally:
        clients.kill()
        clients.wait()
    if clients.returncode:
        raise SystemExit(f"no figures: {' '.join(command)}")
    report = json.loads(out)
    after = os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    busy = spent / (after.elapsed - before.elapsed) / (os.cpu_count() or 1)
    return {**report["clients"], "late_p99_us": report["late_p99_us"], "busy": busy}


@contextmanager
def haproxy(work: pathlib.Path, port: int, ports: list[int], balance: str, health: str) -> Iterator[None]:
    """A running HAProxy."""
    servers = "\n    ".join(f"server s{place} 127.0.0.1:{port}" for place, port in enumerate(ports))
    config = work / "haproxy.cfg"
    config.write_text(HAPROXY.format(workers=WORKERS, port=port, balance=balance, health=health, servers=servers))
    log = work / "haproxy.log"
    with log.open("wb") as out:
        process = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", str(config)], stdout=out, stderr=out)
    try:
        wait_for(port, process, log)
        yield
    finally:
        process.kill()
        process.wait()


def wait_for(port: int, process: subprocess.Popen, log: pathlib.Path) -> None:
    """Until the process listens; its log says why it does not."""
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"nobody listens on {port}\n{log.read_text()[-2000:]}") from None
            time.sleep(0.02)


def manifests(ports: list[int], told: str, health: str) -> str:
    """One host with one route to the back ends: a Service, and a slice for each of them, since their ports differ."""
    slices = "".join(
        f"""---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: service-{place}, labels: {{kubernetes.io/service-name: service}}}}
addressType: IPv4
ports: [{{name: http, port: {port}, protocol: TCP}}]
endpoints: [{{addresses: ["127.0.0.1"], conditions: {{ready: true}}}}]
"""
        for place, port in enumerate(ports)
    )
    return f"""apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: service
  annotations:
    fairlead.dev/{told}
    fairlead.dev/{health.replace(": ", ': "')}"
spec:
  rules:
  - host: {HOST}
    http:
      paths:
      - {{path: /, pathType: Prefix, backend: {{service: {{name: service, port: {{number: 80}}}}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: service}}
spec: {{ports: [{{name: http, port: 80, targetPort: http}}]}}
{slices}"""


if __name__ == "__main__":
    main()
