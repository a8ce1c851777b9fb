"""The report of a conformance run, as a document."""

from __future__ import annotations

import datetime
import pathlib
import re

from cluster import tools

from conformance.scenarios import Scenario


def write(file: pathlib.Path, kubernetes: str, passed: dict[Scenario, bool]) -> None:
    """One row for each scenario, and how to run them again."""
    version = re.search(r'^version = "(.+)"', (tools.CHECKOUT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    today = datetime.datetime.now(datetime.UTC).date()
    good = sum(passed.values())
    rows = [
        f"| {number} | {one.feature} | {one.fact} | {_asked(one)} | {'pass' if is_good else '**fail**'} |"
        for number, (one, is_good) in enumerate(passed.items(), 1)
    ]
    lines = [
        "# Ingress conformance", "",
        f"Fairlead {version} on Kubernetes {kubernetes}, {today}: **{good} of {len(passed)} scenarios pass**, one of them",
        "without a field that it wants (below).", "",
        "The scenarios are those of kubernetes-sigs/ingress-controller-conformance, written again in",
        "`e2e/conformance/scenarios.py` by what they state. They run on a whole node: kubelet, pods, kube-proxy, the image of",
        "the Dockerfile, installed by the Helm chart with its defaults. Each waits for the address in the Ingress's status and",
        "then asks that address. A back end says in its answer which Service it belongs to and what it received: path, host and",
        "method must be as they were sent.", "",
        "Run it again and write this page (Linux, root; about 10 minutes more the first time):", "",
        "```text", "make conformance", "```", "",
        "One thing is left out: the suite also wants a `Server` field on the answers of the default back end. Fairlead removes",
        "the back end's and sends none of its own; the ConfigMap's `server-tokens`, which asks for one, has no effect in this",
        "version.", "",
        "| | feature | scenario | asked | result |", "|---|---|---|---|---|", *rows,
    ]  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def _asked(scenario: Scenario) -> str:
    asked = [f"{request.method} `{request.url}`" for request in scenario.requests]
    return f"{len(asked)} times {asked[0]}" if len(set(asked)) < len(asked) else ", ".join(asked)
