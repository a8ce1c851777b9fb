"""What the API server says of a kind, and when it said so: the clock that others are measured by."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import threading
import time

from cluster import api


class Watch:
    """A running watch; `seen` has (seconds since 1970, object) of each event, those there are at the start included.

    It is a process of its own: busy threads of the test must not make it late.
    """

    def __init__(self, of: api.Api, kind: str, namespace: str):
        self.seen: list[tuple[float, dict]] = []
        forked = multiprocessing.get_context("fork")
        self._heard, self._tell = forked.Pipe(duplex=False)
        self._process = forked.Process(target=_follow, args=(of, api.path(kind, namespace), self._tell), daemon=True)
        self._thread = threading.Thread(target=self._hear, daemon=True)

    def __enter__(self) -> Watch:
        self._process.start()
        self._tell.close()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join(10)
        self._thread.join(10)
        self._heard.close()

    def _hear(self) -> None:
        try:
            while True:
                self.seen.append(self._heard.recv())
        except EOFError:
            return


def _follow(of: api.Api, path: str, tell: multiprocessing.connection.Connection) -> None:
    connection = http.client.HTTPSConnection(of.host, of.port, context=of.trust)
    connection.request("GET", f"{path}?watch=1", headers={"Authorization": f"Bearer {of.token}"})
    answer = connection.getresponse()
    while line := answer.readline():
        tell.send((time.time(), json.loads(line)["object"]))
