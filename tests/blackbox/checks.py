"""Facts that are counted and printed, and waiting for one."""

from __future__ import annotations

import time
from collections.abc import Callable

_passed = 0
_failed: list[str] = []


def check(name: str, holds: object, detail: object = "") -> None:
    """Counts and prints one fact; the detail only if it does not hold."""
    global _passed
    if holds:
        _passed += 1
        print(f"ok    {name}", flush=True)
    else:
        _failed.append(name)
        print(f"FAIL  {name}: {str(detail)[-600:]}", flush=True)


def eventually(holds: Callable[[], object], seconds: float = 5) -> float | None:
    """Seconds (never 0) until `holds` was true; None if it was not within `seconds`."""
    started = time.monotonic()
    while time.monotonic() < started + seconds:
        if holds():
            return time.monotonic() - started
        time.sleep(0.002)
    return None


def finish() -> int:
    """Prints the counts, names what failed; the exit code."""
    for name in _failed:
        print(f"failed: {name}")
    print(f"{_passed} passed, {len(_failed)} failed", flush=True)
    return 1 if _failed else 0
