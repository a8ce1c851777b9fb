"""Runs the public suite http-cache-tests against the built binary: cache_tests.py FAIRLEAD SUITE [PAGE].

SUITE is where the npm package is. With PAGE the results are written there. Exit code 1 if fewer tests pass than did.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator

from served import Fairlead, free_ports

LEAST = {"required": 150, "optimal": 77}
"""So many tests of each kind must pass."""

CLOSED = "the suite wants an answer of the origin from a connection that the origin closed"
COOKIE = "an answer with `Set-Cookie` is kept only if it is `public`"
PARTS = "parts are not kept"
WHY = {
    "stale-close-must-revalidate": CLOSED,
    "stale-close-proxy-revalidate": CLOSED,
    "stale-close-no-cache": CLOSED,
    "stale-close-s-maxage=2": CLOSED,
    "headers-store-Set-Cookie": COOKIE,
    "304-etag-update-response-Set-Cookie": COOKIE,
    "other-set-cookie": COOKIE,
    "headers-store-Transfer-Encoding": "an answer with another transfer coding than `chunked` is a 502",
    "method-POST": "answers to POST are not kept",
    "vary-normalise-lang-select": "languages are not negotiated",
    "conditional-lm-fresh-no-lm": "the answer is of a later date than the one asked for (RFC 9111 4.3.2)",
    "partial-store-partial-reuse-partial": PARTS,
    "partial-store-partial-reuse-partial-byterange": PARTS,
    "partial-store-partial-reuse-partial-absent": PARTS,
    "partial-store-partial-reuse-partial-suffix": PARTS,
    "partial-store-partial-complete": PARTS,
}
"""Why a test does not pass, where that is meant so or cannot be otherwise."""

PEERS = {"apache": "Apache", "nginx": "nginx", "squid": "Squid", "trafficserver": "Traffic Server", "varnish": "Varnish"}

MANIFESTS = """apiVersion: v1
kind: Service
metadata: {{name: origin}}
spec: {{type: ExternalName, externalName: localhost, ports: [{{name: http, port: {port}}}]}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: origin
  annotations: {{fairlead.dev/cache: "on"}}
spec:
  rules:
  - http:
      paths:
      - {{path: /, pathType: Prefix, backend: {{service: {{name: origin, port: {{name: http}}}}}}}}
"""


def main() -> int:
    binary, suite = sys.argv[1], pathlib.Path(sys.argv[2])
    described = json.loads(node("tools/http-cache-tests/suite.mjs", str(suite)).stdout)
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        folder = work / "manifests"
        folder.mkdir()
        with origin(suite, work) as port:
            folder.joinpath("origin.yaml").write_text(MANIFESTS.format(port=port))
            with Fairlead(binary, folder, work) as proxy:
                wait(f"http://127.0.0.1:{proxy.http}/")
                environment = {"npm_config_base": f"http://127.0.0.1:{proxy.http}", "npm_package_config_id": ""}
                done = node("--no-warnings", "cli.mjs", cwd=suite, env=environment)
    results = json.loads(done.stdout)
    passed = count(described["tests"], results)
    for test in described["tests"]:
        result = results.get(test["id"])
        if test["kind"] != "check" and not test["browser_only"] and result is not True:
            print(f"{test['kind']:9} {test['id']}: {' '.join(map(str, result or ['not run']))}")
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    print(f"http-cache-tests: {passed['required']} required and {passed['optimal']} optimal tests pass")
    if len(sys.argv) > 3:
        pathlib.Path(sys.argv[3]).write_text(page(described, results, version))
    return int(any(passed[kind] < least for kind, least in LEAST.items()))


def node(*arguments: str, cwd: pathlib.Path | None = None, env: dict[str, str] | None = None):
    return subprocess.run(
        ["node", *arguments], cwd=cwd, env={**os.environ, **(env or {})},
        capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip


@contextlib.contextmanager
def origin(suite: pathlib.Path, work: pathlib.Path) -> Iterator[int]:
    """The suite's own origin server, until the end; gives its port."""
    (port,) = free_ports(1)
    environment = {
        **os.environ, "npm_config_protocol": "http", "npm_config_port": str(port), "npm_config_pidfile": str(work / "pid"),
    }  # fmt: skip
    with (work / "origin").open("wb") as log:
        process = subprocess.Popen(["node", "server/server.mjs"], cwd=suite, env=environment, stdout=log, stderr=log)
    try:
        wait(f"http://localhost:{port}/")
        yield port
    finally:
        process.kill()
        process.wait()


def wait(url: str) -> None:
    """Until somebody answers there without an error."""
    end = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        if time.monotonic() > end:
            raise SystemExit(f"nobody answers at {url}")
        time.sleep(0.05)


def count(tests: list[dict], results: dict) -> collections.Counter:
    """Tests that pass, by kind."""
    return collections.Counter(test["kind"] for test in tests if results.get(test["id"]) is True)


def page(described: dict, results: dict, version: str) -> str:
    tests = described["tests"]
    passed, total = count(tests, results), collections.Counter(test["kind"] for test in tests)
    in_browsers = collections.Counter(test["kind"] for test in tests if test["browser_only"])
    closed = sum(why == CLOSED for why in WHY.values())
    lines = [
        "# HTTP caching",
        "",
        f"Fairlead {version}, {datetime.date.today()}, the suite http-cache-tests 0.4.5 against `fairlead serve` with the",
        f"annotation `fairlead.dev/cache: \"on\"`: **{passed['required']} of {total['required']} required and "
        f"{passed['optimal']} of {total['optimal']} optimal tests pass**.",
        f"{in_browsers['required']} of the required and {in_browsers['optimal']} of the optimal ones are for caches in browsers",
        f"and are not run against others. {closed} required ones want an answer that no connection brings (`stale-close-*`), so",
        f"{total['required'] - in_browsers['required'] - closed} is the most that a shared cache can reach.",
        "",
        "Run it again and write this page (Node.js and npm; half a minute):",
        "",
        "```text",
        "make conformance-cache",
        "```",
        "",
        "What the suite publishes of others, counted alike:",
        "",
        "| | required | optimal |",
        "|---|---|---|",
        f"| **Fairlead** | **{passed['required']}** | **{passed['optimal']}** |",
    ]
    peers = {name: count(tests, described["published"][name]) for name in PEERS}
    for name, peer in sorted(peers.items(), key=lambda item: -item[1]["required"]):
        lines.append(f"| {PEERS[name]} | {peer['required']} | {peer['optimal']} |")
    lines += ["", "What does not pass:", "", "| test | kind | why |", "|---|---|---|"]
    for test in tests:
        result = results.get(test["id"])
        if test["kind"] != "check" and not test["browser_only"] and result is not True:
            why = WHY.get(test["id"]) or " ".join(map(str, result or ["not run"]))
            lines.append(f"| `{test['id']}` | {test['kind']} | {why} |")
    lines += ["", "Behaviour that the suite asks about without judging it:", "", "| question | |", "|---|---|"]
    for test in tests:
        if test["kind"] == "check" and not test["browser_only"]:
            lines.append(f"| {test['name']} | {'yes' if results.get(test['id']) is True else 'no'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
