"""A back end that says what it got, and answers what the request wants."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from http.server import BaseHTTPRequestHandler

from served import Backend


class Scripted(Backend):
    """Answers with JSON of what it got. `X-Want` (to the asked service `X-Want-Auth`) holds JSON of what to answer: status,
    fields (pairs), text, sleep, and the `only` one who is to. Who answers in place of an error does not look at it. Keeps
    the last request."""

    def __init__(self, name: str, status: int = 200, context: ssl.SSLContext | None = None):
        super().__init__(name, _Handler)
        self.status, self.last = status, None
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        fields: dict[str, str] = {}
        for name, value in self.headers.items():
            fields[name.lower()] = f"{fields[name.lower()]}, {value}" if name.lower() in fields else value
        body = self._body()
        got = {"server": self.server.name, "method": self.command, "path": self.path, "headers": fields}
        got["received"] = len(body)
        self.server.last = got
        wanted = "x-want-auth" if self.server.name == "auth" else "x-want"
        want = json.loads(self.headers.get(wanted) or "{}")
        if "x-code" in fields or want.get("only", self.server.name) != self.server.name:
            want = {}
        time.sleep(want.get("sleep", 0))
        text = want["text"].encode() if "text" in want else json.dumps(got).encode()
        self.send_response_only(want.get("status", self.server.status))
        own = [(name, value) for name, value in want.get("fields", [])]
        if "content-type" not in {name.lower() for name, _ in own}:
            own.append(("content-type", "application/json"))
        for name, value in own:
            self.send_header(name, value)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        pass
