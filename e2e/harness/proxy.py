"""A proxy in front of the real API server that misbehaves on demand.

It speaks HTTP/1.1 over TLS on both sides and sees each request and each line of a watch:

    proxy.during(refuse(410), watch("ingresses"))     a context: the fault holds inside it
    proxy.down(), proxy.up()                          connections refused, as if the server were gone
    proxy.freeze(), proxy.thaw()                      connections stay open and nothing moves, as if packets were lost
    proxy.lose_open()                                 packets of the open connections are lost for ever, new ones work
"""

from __future__ import annotations

import contextlib
import pathlib
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator

from harness.faults import Fault, Match, Request, any_of

LISTEN = "127.0.0.1"
_ANY = any_of()


class Proxy:
    """Listens at `url`; everything that came through is in `seen`."""

    def __init__(self, pki: pathlib.Path, server: tuple[str, int]):
        self.server = server
        self.seen: list[Request] = []
        self.closed = threading.Event()
        self._moving = threading.Event()
        self._moving.set()
        self._lost = ""
        self._faults: list[tuple[Fault, Match]] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._serving.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        self._serving.set_alpn_protocols(["http/1.1"])
        self._trust = ssl.create_default_context(cafile=pki / "ca.crt")
        self._port = 0
        self.up()

    @property
    def url(self) -> str:
        """What goes into a kubeconfig; the same before and after `down`."""
        return f"https://{LISTEN}:{self._port}"

    @contextlib.contextmanager
    def during(self, fault: Fault, match: Match = _ANY) -> Iterator[Fault]:
        """The fault holds for new requests, and for the lines of open watches, inside the context."""
        with self._lock:
            self._faults.append((fault, match))
        try:
            yield fault
        finally:
            with self._lock:
                self._faults.remove((fault, match))

    def holds(self, fault: Fault) -> bool:
        """Whether the fault is in force."""
        with self._lock:
            return not self.closed.is_set() and any(each is fault for each, _ in self._faults)

    def matching(self, request: Request) -> list[Fault]:
        """The faults in force for a request."""
        with self._lock:
            return [fault for fault, match in self._faults if match(request)]

    def count(self, match: Match, since: float = 0) -> int:
        """How many requests came after `since` (monotonic seconds)."""
        return sum(1 for each in list(self.seen) if each.at >= since and match(each))

    def up(self) -> None:
        """Accepts connections."""
        listener = socket.create_server((LISTEN, self._port), backlog=128)
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def down(self) -> None:
        """Refuses connections and closes the open ones."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """Closes the open connections."""
        with self._lock:
            streams, self._open = self._open, set()
        for each in streams:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Nothing moves any more; connections stay open and new ones are accepted."""
        self._moving.clear()

    def lose_open(self) -> None:
        """Both ways, as behind a firewall that forgot the connections: neither side learns that they are gone."""
        with self._lock:
            # A socket that became a TLS one has no descriptor any more.
            alive = [each for each in self._open if each.fileno() >= 0]
            peers = [each.getpeername()[1] for each in alive if each.getsockname()[1] == self._port]
        ports, table = ", ".join(map(str, peers)), f"inet fairlead_{self._port}"
        rules = (
            f"add table {table}; add chain {table} lost {{ type filter hook output priority 0 ; }}; "
            f"add rule {table} lost tcp sport {self._port} tcp dport {{ {ports} }} drop; "
            f"add rule {table} lost tcp dport {self._port} tcp sport {{ {ports} }} drop"
        )
        subprocess.run(["nft", rules], check=True)
        self._lost = table

    def thaw(self) -> None:
        """Everything moves again."""
        self._moving.set()

    def wait(self) -> None:
        """Returns when nothing is frozen."""
        while not self._moving.wait(0.2) and not self.closed.is_set():
            pass

    def close(self) -> None:
        """Ends every thread."""
        self.closed.set()
        self.thaw()
        if self._lost:
            subprocess.run(["nft", f"delete table {self._lost}"], check=True)
        with contextlib.suppress(OSError):
            self.down()

    def connect(self) -> socket.socket:
        """A connection to the real API server."""
        plain = socket.create_connection(self.server, 10)
        stream = self._trust.wrap_socket(plain, server_hostname=self.server[0])
        stream.settimeout(None)
        return stream

    def keep(self, stream: socket.socket) -> None:
        """Remembers a connection for `drop`."""
        with self._lock:
            self._open.add(stream)

    def forget(self, stream: socket.socket) -> None:
        """The connection is closed."""
        with self._lock:
            self._open.discard(stream)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        self.keep(plain)
        stream = plain
        try:
            self.wait()
            stream = self._serving.wrap_socket(plain, server_side=True)
            self.keep(stream)
            reader = stream.makefile("rb")
            while Exchange(self, stream, reader).run():
                pass
        except (OSError, ValueError):
            pass  # the client went away, or we cut it off
        finally:
            self.forget(plain)
            self.forget(stream)
            stream.close()


class Exchange:
    """One request and its answer."""

    def __init__(self, proxy: Proxy, stream: socket.socket, reader: object):
        self.proxy, self.stream, self.reader = proxy, stream, reader
        self._is_reset = False

    def run(self) -> bool:
        """Whether the connection can take another request."""
        first = self.reader.readline().split()
        if len(first) < 2:
            return False
        method, target = first[0].decode(), urllib.parse.urlsplit(first[1].decode())
        fields = _fields(self.reader)
        body = self.reader.read(int(fields.get(b"content-length", b"0")))
        query = dict(urllib.parse.parse_qsl(target.query, keep_blank_values=True))
        request = Request(time.monotonic(), method, target.path, query)
        self.proxy.seen.append(request)
        self.proxy.wait()
        for fault in self.proxy.matching(request):
            if fault.answer(self):
                return not self._is_reset
        return self._forward(request, first, fields, body)

    def send(self, status: int, body: bytes, *fields: str) -> None:
        """A whole answer of our own."""
        head = [f"HTTP/1.1 {status} Fault", "Content-Type: application/json", f"Content-Length: {len(body)}", *fields]
        self.stream.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    def reset(self) -> None:
        """Closes without an answer."""
        self._is_reset = True
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def _forward(self, request: Request, first: list[bytes], fields: dict[bytes, bytes], body: bytes) -> bool:
        with contextlib.closing(self.proxy.connect()) as upstream:
            self.proxy.keep(upstream)
            try:
                fields |= {b"connection": b"close"}
                # Lines of a watch can only be seen in plain text.
                fields.pop(b"accept-encoding", None)
                head = b"".join(b"%s: %s\r\n" % item for item in fields.items())
                upstream.sendall(b"%s %s HTTP/1.1\r\n%s\r\n%s" % (first[0], first[1], head, body))
                reader = upstream.makefile("rb")
                status = reader.readline()
                answered = _fields(reader)
                return self._relay(request, status, answered, reader)
            finally:
                self.proxy.forget(upstream)

    def _relay(self, request: Request, status: bytes, fields: dict[bytes, bytes], reader: object) -> bool:
        is_chunked = fields.get(b"transfer-encoding") == b"chunked"
        length = int(fields.get(b"content-length", b"0"))
        fields.pop(b"connection", None)
        head = b"".join(b"%s: %s\r\n" % item for item in fields.items())
        self.proxy.wait()
        self.stream.sendall(b"%s%s\r\n" % (status, head))
        if not is_chunked:
            self.stream.sendall(reader.read(length) if request.method != "HEAD" else b"")
            return True
        parts = _lines(_chunks(reader)) if request.is_watch else _chunks(reader)
        for part in parts:
            self.proxy.wait()
            sending = [part]
            for fault in self.proxy.matching(request) if request.is_watch else []:
                sending = [out for line in sending for out in fault.line(self, line)]
            for each in sending:
                self.stream.sendall(b"%x\r\n%s\r\n" % (len(each), each))
        self.stream.sendall(b"0\r\n\r\n")
        return True


def _fields(reader: object) -> dict[bytes, bytes]:
    fields = {}
    while line := reader.readline().strip():
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    return fields


def _chunks(reader: object) -> Iterator[bytes]:
    while line := reader.readline():
        size = int(line.split(b";")[0], 16)
        part = reader.read(size)
        reader.readline()
        if size == 0:
            return
        yield part
    raise ConnectionResetError("the server ended in the middle")


def _lines(parts: Iterator[bytes]) -> Iterator[bytes]:
    kept = b""
    for part in parts:
        *whole, kept = (kept + part).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if kept:
        yield kept
