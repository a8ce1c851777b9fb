"""What the API server says of a kind, and when it said so: the clock that others are measured by."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time

from cluster import api


class Watch:
    """A running watch; `seen` has (monotonic seconds, type, object) of each event, those there are at the start included."""

    def __init__(self, of: api.Api, kind: str, namespace: str):
        self.seen: list[tuple[float, str, dict]] = []
        self._connection = http.client.HTTPSConnection(of.host, of.port, timeout=3600, context=of.trust)
        self._connection.request(
            "GET", f"{api.path(kind, namespace)}?watch=1", headers={"Authorization": f"Bearer {of.token}"}
        )
        self._thread = threading.Thread(target=self._follow, args=(self._connection.getresponse(),), daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection.sock:
            self._connection.sock.shutdown(2)
        self._thread.join(10)
        self._connection.close()

    def _follow(self, answer: http.client.HTTPResponse) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while line := answer.readline():
                event = json.loads(line)
                self.seen.append((time.monotonic(), event["type"], event["object"]))
