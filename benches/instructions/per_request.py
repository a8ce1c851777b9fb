"""User instructions for one HTTP/1.1 request with 1 KiB of answer: per_request.py FAIRLEAD.

Callgrind counts them, so they do not depend on how busy the machine is. Two runs that differ only in the number of
requests are subtracted: start, table, connections and drain cancel out. Everything that a default install does is on:
access log, metrics, limits, time-outs.
"""

from __future__ import annotations

import os
import pathlib
import re
import sys
import tempfile

import measure
from served import Fairlead, free_ports

FEW, MANY = 5_000, 25_000
CONNECTIONS = 16
MUST, AIM = 22_000, 12_000
RECORDED = pathlib.Path(__file__).with_name("recorded.txt")
DRIFT = 1.03


def main() -> None:
    binary = sys.argv[1]
    with tempfile.TemporaryDirectory() as work:
        counts = {requests: instructions(binary, pathlib.Path(work), requests) for requests in (FEW, MANY)}
    per_request = (counts[MANY] - counts[FEW]) / (MANY - FEW)
    measure.figure("user instructions per h1 1 KiB request", per_request, "", MUST, AIM)
    if RECORDED.exists():
        recorded = int(RECORDED.read_text())
        measure.figure("the same against the recorded figure", per_request / recorded, f"times {recorded:,}", DRIFT)
    else:
        print(f"nothing recorded yet; to record:  echo {per_request:.0f} > {os.path.relpath(RECORDED)}")
    measure.finish()


def instructions(binary: str, work: pathlib.Path, requests: int) -> int:
    """All user instructions of a run that serves so many requests."""
    (origin,) = free_ports(1)
    folder = work / "manifests"
    measure.manifests(folder, origin)
    valgrind = [
        "valgrind", "--tool=callgrind", f"--callgrind-out-file={work / f'callgrind.{requests}'}",
        f"--log-file={work / 'valgrind.log'}",
    ]  # fmt: skip
    with Fairlead(binary, folder, work, "--workers", "1", wrap=valgrind, ready_seconds=120) as proxy:
        measure.load(
            "--origin", f"127.0.0.1:{origin}", "--target", f"127.0.0.1:{proxy.http}", "--connections", CONNECTIONS,
            "--requests", requests, "--warm-up", 0,
        )  # fmt: skip
        proxy.terminate()
        proxy.process.wait(timeout=120)
    text = (work / "valgrind.log").read_text()
    found = re.search(r"Collected\s*:\s*(\d+)", text)
    if not found:
        raise SystemExit(f"callgrind counted nothing:\n{text}")
    return int(found[1])


if __name__ == "__main__":
    main()
