"""A steady load from the Go program `load`, started and stopped around what must not lose a request."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import time

# Seconds that a load lasts at least.
LEAST = 0.5


class Load:
    """A running load; `result` after the context is what it counted."""

    def __init__(
        self,
        program: pathlib.Path,
        url: str,
        host: str,
        *,
        rate: int = 500,
        mode: str = "keep-alive",
        expect: int = 200,
        timeout: int = 30,
    ):
        # A request that waits for a processor on a busy machine is not lost.
        self._command = [
            str(program), "-url", url, "-host", host, "-rate", str(rate), "-mode", mode, "-expect", str(expect),
            "-timeout", f"{timeout}s",
        ]  # fmt: skip
        self._patience = timeout + 60
        self._began = 0.0
        self.result: dict = {}

    def __enter__(self) -> Load:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._process.stdout.readline()  # it has begun, and a signal ends it in order
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        # What is quick is looked at for a moment longer, or there are too few requests to say anything.
        time.sleep(max(0.0, LEAST - (time.monotonic() - self._began)))
        self._process.send_signal(signal.SIGTERM)
        said, _ = self._process.communicate(timeout=self._patience)
        self.result = json.loads(said)

    def __str__(self) -> str:
        kept = {name: value for name, value in self.result.items() if value not in ({}, [])}
        return json.dumps(kept)
