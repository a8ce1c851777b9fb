"""Memory of idle connections and of 5,000 Ingresses: memory.py FAIRLEAD."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
import time

import measure
from served import Fairlead, free_ports

CONNECTIONS = 2_000
INGRESSES = 5_000
PER_FILE = 50
KIB, MB = 1024, 1_000_000


def main() -> None:
    binary = sys.argv[1]
    for road, flags, most, aim in (("plain", [], 8, 2), ("TLS", ["--tls"], 15, 8)):
        measure.figure(f"idle {road} connection", idle_connection(binary, flags) / KIB, "KiB", most, aim)
    size, seconds = many_ingresses(binary)
    measure.figure(f"memory at {INGRESSES:,} Ingresses", size / MB, "MB", 46, 25)
    print(f"      start to ready at {INGRESSES:,} Ingresses: {seconds:.2f} s")
    measure.finish()


def idle_connection(binary: str, flags: list[str]) -> float:
    """Bytes for each keep-alive connection that has carried one request."""
    (origin,) = free_ports(1)
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work, "manifests")
        measure.manifests(folder, origin)
        with Fairlead(binary, folder, pathlib.Path(work), "--workers", "1") as proxy:
            target = proxy.https if flags else proxy.http
            address = ["--origin", f"127.0.0.1:{origin}", "--target", f"127.0.0.1:{target}", *flags]
            # Buffers, pools and code pages that any load brings are not the connections' own.
            measure.load(*address, "--connections", 64, "--seconds", 1, "--warm-up", 0)
            before = measure.resident(proxy.process.pid)
            command = [
                measure.load_generator(),
                *address,
                "--connections",
                str(CONNECTIONS),
                "--idle",
                "--warm-up",
                "0",
            ]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as idle:
                idle.stdout.readline()
                time.sleep(8)  # what was only needed to answer goes back to the system within seconds
                after = measure.resident(proxy.process.pid)
                idle.stdin.close()
            return (after - before) / CONNECTIONS


def many_ingresses(binary: str) -> tuple[int, float]:
    """Resident bytes once ready, and seconds until then. Each Ingress has its own host, Service and endpoint."""
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work, "manifests")
        folder.mkdir()
        for first in range(0, INGRESSES, PER_FILE):
            each = (
                measure.objects(f"app-{n}", f"app-{n}.example", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 8080)
                for n in range(first, first + PER_FILE)
            )
            folder.joinpath(f"{first:05}.yaml").write_text("".join(each))
        started = time.monotonic()
        with Fairlead(binary, folder, pathlib.Path(work), ready_seconds=120) as proxy:
            seconds = time.monotonic() - started
            time.sleep(2)
            return measure.resident(proxy.process.pid), seconds


if __name__ == "__main__":
    main()
