"""The part of a kubelet that forwards ports, for the fast half: Pod `fairlead-N` is the replica at 127.0.1.N.

The API server passes a WebSocket on to the kubelet of the Pod's Node. Each port has two channels, one for bytes and one
for what is wrong; the first message of each names the port.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import pathlib
import socket
import ssl
import struct
import threading
import urllib.parse
from collections.abc import Iterator

from cluster.control_plane import ADDRESS

_BYTES, _FAULT = b"\0", b"\1"
_BINARY, _CLOSE = 2, 8
# RFC 6455, 4.2.2.
_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Kubelet:
    """Listens at `port` of the API server's own address."""

    def __init__(self, pki: pathlib.Path):
        self._trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._trust.load_cert_chain(pki / "kubelet.crt", pki / "kubelet.key")
        self._listener = socket.create_server((ADDRESS, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), self._trust.wrap_socket(plain, server_side=True) as stream:
            reader = stream.makefile("rb")
            target = urllib.parse.urlsplit(reader.readline().split()[1].decode())
            fields = {}
            while line := reader.readline().strip():
                name, _, value = line.decode().partition(":")
                fields[name.lower()] = value.strip()
            accepted = base64.b64encode(hashlib.sha1((fields["sec-websocket-key"] + _MAGIC).encode()).digest()).decode()
            stream.sendall(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                f"Sec-WebSocket-Accept: {accepted}\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n".encode()
            )
            number = target.path.rsplit("-", 1)[-1]
            self._forward(stream, reader, f"127.0.1.{number}", int(urllib.parse.parse_qs(target.query)["port"][0]))

    def _forward(self, stream: socket.socket, reader: object, address: str, port: int) -> None:
        for channel in (_BYTES, _FAULT):
            stream.sendall(_frame(channel + struct.pack("<H", port)))
        try:
            pod = socket.create_connection((address, port), 5)
        except OSError as error:
            stream.sendall(_frame(_FAULT + str(error).encode()))
            return
        with pod:
            threading.Thread(target=_back, args=(pod, stream), daemon=True).start()
            for message in _messages(reader):
                if message[:1] == _BYTES:
                    pod.sendall(message[1:])


def _back(pod: socket.socket, stream: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := pod.recv(16_000):
            stream.sendall(_frame(_BYTES + part))


def _frame(message: bytes) -> bytes:
    """A whole message of a server, which masks nothing (RFC 6455, 5.2)."""
    length = len(message)
    size = struct.pack("!B", length) if length < 126 else struct.pack("!BH", 126, length)
    return bytes([0x80 | _BINARY]) + size + message


def _messages(reader: object) -> Iterator[bytes]:
    """The messages of a client, each in one masked frame, until it closes."""
    while len(head := reader.read(2)) == 2:
        length = head[1] & 0x7F
        if length >= 126:
            length = int.from_bytes(reader.read(2 if length == 126 else 8), "big")
        mask = reader.read(4)
        message = bytes(byte ^ mask[at % 4] for at, byte in enumerate(reader.read(length)))
        if head[0] & 0x0F == _CLOSE:
            return
        if head[0] & 0x0F == _BINARY:
            yield message
