"""Ways for the API server to misbehave, and which requests they hit; `proxy` puts them in force."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.proxy import Exchange


@dataclasses.dataclass(frozen=True)
class Request:
    """What a client asked. `at` is monotonic seconds."""

    at: float
    method: str
    path: str
    query: dict[str, str]

    @property
    def is_watch(self) -> bool:
        """A watch, also one that begins with a streaming list."""
        return self.query.get("watch") in ("1", "true")

    @property
    def is_list(self) -> bool:
        """A read of a whole collection: a list, or a watch that sends the initial state."""
        streams = self.is_watch and self.query.get("sendInitialEvents") == "true"
        return self.method == "GET" and self.plural == self.path.split("/")[-1] and (streams or not self.is_watch)

    @property
    def plural(self) -> str:
        """`ingresses`, `secrets`, …"""
        words = self.path.strip("/").split("/")
        words = words[2:] if words[0] == "api" else words[3:]
        return words[2] if len(words) > 2 and words[0] == "namespaces" else (words[0] if words else "")


Match = Callable[[Request], bool]


def watch(plural: str = "") -> Match:
    """Watches of a kind, or of every kind."""
    return lambda request: request.is_watch and plural in ("", request.plural)


def listing(plural: str = "") -> Match:
    """Lists of a kind, or of every kind."""
    return lambda request: request.is_list and plural in ("", request.plural)


def streaming_list() -> Match:
    """Watches that begin with the objects there are."""
    return lambda request: request.query.get("sendInitialEvents") == "true"


def any_of(plural: str = "") -> Match:
    """Every request about a kind, or every request."""
    return lambda request: plural in ("", request.plural)


def next_page(plural: str) -> Match:
    """Second and later pages of a list."""
    return lambda request: request.plural == plural and "continue" in request.query


class Fault:
    """Does nothing. `answer` may answer a request itself; `line` may change one line of a watch."""

    def answer(self, exchange: Exchange) -> bool:
        """True if the request is answered (or the connection is to be closed)."""
        return False

    def line(self, exchange: Exchange, line: bytes) -> list[bytes]:
        """What to send instead of a line of a watch."""
        return [line]


class refuse(Fault):
    """An error status with the API server's own kind of body."""

    def __init__(self, status: int, reason: str = "", retry_after: int | None = None):
        self.status, self.reason, self.retry_after = (
            status,
            reason or _REASONS.get(status, "InternalError"),
            retry_after,
        )

    def answer(self, exchange: Exchange) -> bool:
        """Answers."""
        more = [] if self.retry_after is None else [f"Retry-After: {self.retry_after}"]
        exchange.send(self.status, json.dumps(status_object(self.status, self.reason)).encode(), *more)
        return True


class empty(Fault):
    """200 without a body: an expired watch in some versions (kubernetes issue 104171)."""

    def answer(self, exchange: Exchange) -> bool:
        """Answers."""
        exchange.send(200, b"")
        return True


class gone_in_stream(Fault):
    """200, then an ERROR event with code 410: how a running watch learns that it is too old."""

    def answer(self, exchange: Exchange) -> bool:
        """Answers."""
        event = {"type": "ERROR", "object": status_object(410, "Expired")}
        exchange.send(200, json.dumps(event).encode() + b"\n")
        return True


class garbage(Fault):
    """200 and a line that is no JSON."""

    def answer(self, exchange: Exchange) -> bool:
        """Answers."""
        exchange.send(200, b'{"type": "ADDED", "object": <html>\n')
        return True


class cut(Fault):
    """The connection is reset instead of an answer."""

    def answer(self, exchange: Exchange) -> bool:
        """Resets."""
        exchange.reset()
        return True


class slow(Fault):
    """Each answer begins this much later."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def answer(self, exchange: Exchange) -> bool:
        """Waits, then lets the request through."""
        exchange.proxy.closed.wait(self.seconds)
        return False


class stall(Fault):
    """No answer as long as the fault holds; the connection stays open."""

    def answer(self, exchange: Exchange) -> bool:
        """Waits for the end of the fault."""
        while exchange.proxy.holds(self):
            exchange.proxy.closed.wait(0.05)
        return False


class without_bookmarks(Fault):
    """Bookmarks are left out, but for the one that ends a streaming list."""

    def line(self, exchange: Exchange, line: bytes) -> list[bytes]:
        """Drops bookmarks."""
        is_bookmark = b'"type":"BOOKMARK"' in line and b"initial-events-end" not in line
        return [] if is_bookmark else [line]


class only_bookmarks(Fault):
    """Only bookmarks come through: the server lives, but events are lost until the next list."""

    def line(self, exchange: Exchange, line: bytes) -> list[bytes]:
        """Drops everything else."""
        return [line] if b'"type":"BOOKMARK"' in line else []


class replay(Fault):
    """Every line of a watch comes twice, as after a reconnect from an old resource version."""

    def line(self, exchange: Exchange, line: bytes) -> list[bytes]:
        """Doubles it."""
        return [line, line]


_REASONS = {
    401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired", 429: "TooManyRequests",
    503: "ServiceUnavailable", 504: "Timeout",
}  # fmt: skip


def status_object(code: int, reason: str) -> dict:
    """A `Status` as the API server sends it."""
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": f"made by the fault proxy: {reason}",
    }  # fmt: skip
