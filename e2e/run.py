#!/usr/bin/env python3
"""Runs the tests on a real Kubernetes, in namespaces that leave nothing behind.

    run.py fast [NAME...]      etcd and API server, controllers as processes; only tests whose name holds a NAME
    run.py full [NAME...]      a whole node: kubelet, pods, Helm, images
    run.py figures [NAME...]   how soon changes are served and what many objects cost, on the fast half; give it the
                               optimised binary
    run.py tools [fast|full]   builds the programs of the cluster, if they are not in the cache
    run.py shell fast|full [COMMAND...]
                               starts the cluster and a shell (or COMMAND) in it, with kubectl, helm3, helm4 and ctr
                               ready to use; everything is gone when it ends

FAIRLEAD_E2E_BINARY names the binary to test (default: target/debug/fairlead), FAIRLEAD_E2E_IMAGE the archive of the image
that the full half deploys (default: built from the Dockerfile for tests), FAIRLEAD_E2E_CACHE where programs and images
are kept (default: ~/.cache/fairlead-e2e).
"""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import image  # noqa: E402
from cluster import sandbox, tools  # noqa: E402
from cluster.control_plane import ControlPlane  # noqa: E402
from cluster.node import Node  # noqa: E402
from harness import chart, rights  # noqa: E402
from harness.case import Case  # noqa: E402


def main(words: list[str]) -> int:
    """What the command line asks for."""
    command, rest = (words[0], words[1:]) if words else ("", [])
    if command == "tools":
        for half in rest or tools.HALVES:
            print(*tools.folders(half), sep="\n")
        return 0
    half = rest[0] if command == "shell" and rest else {"figures": "fast"}.get(command, command)
    if half not in tools.HALVES:
        print(__doc__, file=sys.stderr)
        return 2
    if not sandbox.is_inside():
        sandbox.require(half)
        tools.folders(half)
        try:
            if half == "full":
                os.environ[image.ARCHIVE] = os.environ.get(image.ARCHIVE) or str(image.archive("quick"))
            return sandbox.run(half, [sys.executable, str(HERE / "run.py"), *words])
        finally:
            sandbox.give_back()
    started = time.monotonic()
    cluster = Node() if half == "full" else ControlPlane([(rights.USER, rights.TOKEN)])
    cluster.start()
    if isinstance(cluster, Node):
        cluster.load(pathlib.Path(os.environ[image.ARCHIVE]), image.REFERENCE, chart.image())
    print(f"e2e: {half} cluster up in {time.monotonic() - started:.1f} s", flush=True)
    return shell(cluster, rest[1:]) if command == "shell" else test(cluster, command, rest)


def shell(cluster: ControlPlane, command: list[str]) -> int:
    """A shell, or one command, in the running cluster."""
    environment = cluster.programs.environment(
        KUBECONFIG=str(cluster.kubeconfig), CONTAINERD_ADDRESS=str(cluster.state / "containerd.sock"),
        CONTAINERD_NAMESPACE="k8s.io", PS1=f"({cluster.half}) \\w # ",
    )  # fmt: skip
    return subprocess.run(command or ["bash", "--norc"], env=environment, check=False).returncode


def test(cluster: ControlPlane, folder: str, names: list[str]) -> int:
    """Runs the tests of a folder."""
    Case.cluster = cluster
    Case.binary = pathlib.Path(os.environ.get("FAIRLEAD_E2E_BINARY") or HERE.parent / "target" / "debug" / "fairlead")
    found = list(_each(unittest.TestLoader().discover(str(HERE / folder), "*.py", str(HERE))))
    chosen = [case for case in found if not names or any(name in case.id() for name in names)]
    if not chosen:
        print(f"e2e: no test of {folder} has {' or '.join(names) or 'a name'}", file=sys.stderr)
        return 2
    result = Result()
    unittest.TestSuite(chosen).run(result)
    for name in result.bad:
        print(f"failed: {name}")
    print(f"e2e {folder}: {result.testsRun - len(result.bad)} passed, {len(result.bad)} failed", flush=True)
    return 1 if result.bad else 0


def _each(suite: unittest.TestSuite):
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from _each(part)
        else:
            yield part


class Result(unittest.TestResult):
    """Prints each fact with its time; the evidence at once, while what failed still runs."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._started = time.monotonic()
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(getattr(test, "seconds", Case.seconds))

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        signal.alarm(0)

    def addSuccess(self, test: unittest.TestCase) -> None:
        print(f"ok    {_fact(test)} ({time.monotonic() - self._started:.1f} s)", flush=True)

    def addFailure(self, test: unittest.TestCase, err: tuple) -> None:
        name = _fact(test)
        if name not in self.bad:
            self.bad.append(name)
        print(f"FAIL  {name}\n{self._exc_info_to_string(err, test)}", flush=True)
        if hasattr(test, "evidence") and hasattr(test, "namespace"):
            try:
                print(test.evidence(), flush=True)
            except Exception as error:
                print(f"(no evidence: {error!r})", flush=True)

    addError = addFailure

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: tuple | None) -> None:
        if err:
            print(f"in    {subtest}")
            self.addFailure(test, err)


def _fact(test: unittest.TestCase) -> str:
    words = test.id().split(".")
    return f"{words[1] if len(words) > 2 else words[0]}: {words[-1].removeprefix('test_').replace('_', ' ')}"


def _too_long(*_: object) -> None:
    raise TimeoutError("the test took longer than it may")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
