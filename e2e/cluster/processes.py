"""Programs that a run starts, by name, each with one log file."""

from __future__ import annotations

import collections
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable

from cluster import sandbox


class Processes:
    """Started programs; all of them end with the run, `stop` is for ending one earlier."""

    def __init__(self, folders: list[pathlib.Path]):
        self.path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
        self.logs = sandbox.state() / "log"
        self.logs.mkdir(exist_ok=True)
        self._running: dict[str, subprocess.Popen] = {}

    def environment(self, **more: str) -> dict[str, str]:
        """Our own, with the tools in PATH."""
        return {**os.environ, "PATH": self.path, **more}

    def run(self, *command: object, **more: object) -> subprocess.CompletedProcess:
        """Runs a tool to its end; its output in the error if it fails."""
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, env=self.environment(), check=False, **more
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command[:6]))}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done

    def start(self, name: str, *command: object) -> None:
        """Starts a program in the background."""
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.environment(), start_new_session=True,
            )  # fmt: skip

    def stop(self, name: str, number: int = signal.SIGKILL, seconds: float = 10) -> None:
        """Ends a program and waits for its end; one that is not running is fine."""
        if process := self._running.pop(name, None):
            process.send_signal(number)
            process.wait(seconds)

    def is_running(self, name: str) -> bool:
        """Whether it was started, not stopped, and has not ended by itself."""
        return name in self._running and self._running[name].poll() is None

    def log(self, name: str) -> pathlib.Path:
        """Where its output goes."""
        return self.logs / f"{name}.log"

    def until(self, what: str, holds: Callable[[], object], seconds: float = 180, of: str | None = None) -> None:
        """Waits for a condition; names it, with the end of the logs, if it does not come or the program `of` ends."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if holds():
                return
            if of and not self.is_running(of):
                raise RuntimeError(f"{of} ended while waiting for {what}:\n{self.tail(of, 30)}")
            time.sleep(0.05)
        logs = "\n".join(f"--- {name}\n{self.tail(name)}" for name in self._running)
        raise RuntimeError(f"gave up waiting for {what} after {seconds:.0f} s\n{logs}")

    def tail(self, name: str, lines: int = 8) -> str:
        """The last lines of its log."""
        file = self.log(name)
        return "".join(collections.deque(file.open(errors="replace"), lines)) if file.exists() else ""
