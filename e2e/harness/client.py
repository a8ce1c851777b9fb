"""A client of the full half: requests and tunnels to any address, as the name that the test says."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import pathlib
import select
import socket
import ssl
import threading
import time

from harness import controller

AGENT = "fairlead-e2e"
# For `trust`: over TLS, whoever answers.
ANYBODY = pathlib.Path()


class Answer(controller.Answer):
    """An answer with its version, 11 for HTTP/1.1."""

    version = 0

    @property
    def echo(self) -> dict:
        """What the back end received."""
        return json.loads(self.body)


def get(
    address: str,
    host: str,
    path: str = "/",
    method: str = "GET",
    *,
    body: bytes | None = None,
    trust: pathlib.Path | None = None,
    port: int | None = None,
) -> Answer:
    """One request on a connection of its own; over TLS if there is an authority to trust, which must vouch for `host`."""
    connection = http.client.HTTPConnection(address, port or (443 if trust else 80), timeout=10)
    try:
        connection.connect()
        certificate = None
        if trust:
            context = ssl.create_default_context(cafile=None if trust is ANYBODY else trust)
            if trust is ANYBODY:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection.sock = context.wrap_socket(connection.sock, server_hostname=host)
            certificate = connection.sock.getpeercert(True)
        connection.request(method, path, body, {"Host": host, "User-Agent": AGENT})
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        received = Answer(answer.status, fields, answer.read(), certificate)
        received.version = answer.version
        return received
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, {}, repr(error).encode())
    finally:
        connection.close()


class Tunnel:
    """A WebSocket that sends a byte four times a second, expects it back, and knows when it was closed."""

    def __init__(self, address: str, host: str, path: str = "/tunnel"):
        self.closed: float | None = None
        self.lost = ""
        self._stop = threading.Event()
        self._socket = socket.create_connection((address, 80), 10)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n") and (octet := self._socket.recv(1)):
            head += octet
        lines = head.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        assert lines[0].startswith("HTTP/1.1 101"), head
        self.peer = fields["x-peer"].rsplit(":", 1)[0]
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it from our side."""
        self._stop.set()
        self._thread.join(10)
        self._socket.close()

    def _talk(self) -> None:
        try:
            while not self._stop.wait(0.25):
                self._socket.sendall(b"x")
                if not select.select([self._socket], [], [], 5)[0]:
                    self.lost = "no echo within 5 s"
                if not self._socket.recv(1):
                    break
        except OSError as error:
            with contextlib.suppress(OSError):
                self._socket.close()
            self.lost = self.lost or ("" if isinstance(error, ConnectionError) else repr(error))
        if not self._stop.is_set():
            self.closed = time.time()
