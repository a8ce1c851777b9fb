"""Clients that ask without end and note who answered: for when the question is which Pod got a request, and when."""

from __future__ import annotations

import dataclasses
import http.client
import threading
import time


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request. Times are seconds since 1970; status 0: no whole answer."""

    received: float
    """When the back end got it, by its own clock, which is ours; 0 if nobody says so."""
    ended: float
    status: int
    pod: str | None


class Asking:
    """Running clients as a context, each with one connection at a time; `asked` grows while they run."""

    def __init__(self, address: str, host: str, path: str = "/", *, clients: int = 6, pause: float = 0.005):
        self.asked: list[Asked] = []
        self._address, self._host, self._path, self._pause = address, host, path, pause
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def at(self, pod: str) -> list[Asked]:
        """What a Pod answered so far."""
        return [each for each in self.asked if each.pod == pod]

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._address, 80, timeout=30)
        while not self._over.wait(self._pause):
            self.asked.append(self._ask(connection))
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> Asked:
        status, pod, received = 0, None, 0.0
        try:
            connection.request("GET", self._path, headers={"Host": self._host})
            answer = connection.getresponse()
            answer.read()
            status, pod = answer.status, answer.getheader("X-Pod")
            received = int(answer.getheader("X-Received") or 0) / 1000
        except (OSError, http.client.HTTPException):
            connection.close()
        return Asked(received, time.time(), status, pod)
