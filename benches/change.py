"""Time from a changed file to the first answer that shows it, at 1,000 Ingresses: change.py FAIRLEAD."""

from __future__ import annotations

import http.client
import math
import os
import pathlib
import sys
import tempfile
import time

import measure
from served import Backend, Fairlead

INGRESSES = 1_000
CHANGES = 200
HOST = "changing.example"
PATIENCE = 10.0


def main() -> None:
    seconds = sorted(changes(sys.argv[1]))
    p50, p99 = (seconds[math.ceil(len(seconds) * share) - 1] for share in (0.5, 0.99))
    measure.figure(f"file changed to served at {INGRESSES:,} Ingresses, p99", p99 * 1000, "ms", 100)
    print(f"      p50 {p50 * 1000:.1f} ms, max {seconds[-1] * 1000:.1f} ms, {len(seconds)} changes")
    measure.finish()


def changes(binary: str) -> list[float]:
    """Seconds that each change took."""
    with tempfile.TemporaryDirectory() as work, Backend("changed") as origin:
        folder = pathlib.Path(work, "manifests")
        folder.mkdir()
        for n in range(1, INGRESSES):
            address = f"10.0.{n >> 8}.{n & 255}"
            folder.joinpath(f"{n:04}.yaml").write_text(measure.objects(f"app-{n}", f"app-{n}.example", address, 8080))
        place(folder, origin, 0)
        with Fairlead(binary, folder, pathlib.Path(work), ready_seconds=60) as proxy:
            connection = http.client.HTTPConnection("127.0.0.1", proxy.http, timeout=PATIENCE)
            return [change(folder, origin, connection, turn) for turn in range(1, CHANGES + 1)]


def place(folder: pathlib.Path, origin: Backend, turn: int) -> float:
    """Puts the changing file in place, whose only path tells `turn`; when that was."""
    written = folder.parent / "next.yaml"
    text = measure.objects("changing", HOST, "127.0.0.1", origin.port)
    written.write_text(text.replace("path: /,", f"path: /{turn},"))
    at = time.monotonic()
    os.replace(written, folder / "changing.yaml")
    return at


def change(folder: pathlib.Path, origin: Backend, connection: http.client.HTTPConnection, turn: int) -> float:
    """Changes the file, and asks until the answer shows it."""
    if not is_served(connection, turn - 1) or is_served(connection, turn):
        raise SystemExit(f"before change {turn} something else is served than the change before it")
    started = place(folder, origin, turn)
    while not is_served(connection, turn):
        if time.monotonic() > started + PATIENCE:
            raise SystemExit(f"change {turn} is not served after {PATIENCE:.0f} s")
        time.sleep(0.0005)  # leaves the processor to what is measured
    seconds = time.monotonic() - started
    time.sleep(0.05)  # the next change is one of its own
    return seconds


def is_served(connection: http.client.HTTPConnection, turn: int) -> bool:
    """Whether the path of `turn` has a route."""
    connection.request("GET", f"/{turn}", headers={"Host": HOST})
    answer = connection.getresponse()
    answer.read()
    return answer.status == 200


if __name__ == "__main__":
    main()
