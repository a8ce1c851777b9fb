"""Starts the built binary on free ports with a folder of manifests, and small back ends to put behind it."""

from __future__ import annotations

import http.client
import json
import pathlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

READY_SECONDS = 20


class Backend(ThreadingHTTPServer):
    """Answers every request with JSON: its own name, the method, the path and the headers it received. With another
    `handler`, as that does."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, name: str, handler: type[BaseHTTPRequestHandler] | None = None):
        super().__init__(("127.0.0.1", 0), handler or _Echo)
        self.name = name
        self.port = self.server_address[1]

    def __enter__(self) -> Backend:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is no news."""


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        received = self.rfile.read(length)
        if self.path.startswith("/slow"):
            time.sleep(2)
        body = json.dumps(
            {
                "server": self.server.name,
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "received": len(received),
            }
        ).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        pass


class Fairlead:
    """A running `fairlead serve` on free loopback ports; its output goes to `out` and `err` in `work`.

    `wrap` is a command to run it under (taskset, valgrind) that becomes it, so that `process` stays its own.
    """

    def __init__(
        self,
        binary: str,
        folder: pathlib.Path,
        work: pathlib.Path,
        *flags: str,
        wrap: Sequence[str] = (),
        ready_seconds: float = READY_SECONDS,
    ):
        self.http, self.https, self.health, admin = free_ports(4)
        self.admin = f"127.0.0.1:{admin}"
        self.out, self.err = work / "out", work / "err"
        self.ready_seconds = ready_seconds
        self.arguments = [
            *wrap, str(pathlib.Path(binary).resolve()), "serve",
            "--manifests", str(folder), "--bind-address", "127.0.0.1",
            "--http-port", str(self.http), "--https-port", str(self.https),
            "--health-port", str(self.health), "--admin-address", self.admin, *flags,
        ]  # fmt: skip

    def __enter__(self) -> Fairlead:
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(self.arguments, stdout=out, stderr=err)
        end = time.monotonic() + self.ready_seconds
        while self.status("/readyz") != 200:
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise SystemExit(f"fairlead did not become ready:\n{self.err.read_text()[-2000:]}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def status(self, path: str) -> int:
        """The status of a GET on the health port; 0 if nobody answers."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.health, timeout=2)
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0

    def terminate(self) -> None:
        """SIGTERM: drain and leave."""
        self.process.send_signal(signal.SIGTERM)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago. None is given out twice: a second caller could else get one on which the first
    has not listened yet."""
    sockets, ports = [], []
    while len(ports) < count:
        sockets.append(socket.socket())
        sockets[-1].bind(("127.0.0.1", 0))
        port = sockets[-1].getsockname()[1]
        if port not in _given:
            ports.append(port)
    _given.update(ports)
    for each in sockets:
        each.close()
    return ports


_given: set[int] = set()


def service(backend: Backend, name: str | None = None, ready: bool = True) -> str:
    """A Service `name` (the back end's own name) with one endpoint: `backend`."""
    name = name or backend.name
    return f"""apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{name: http, port: 80, targetPort: {backend.port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: {backend.port}, protocol: TCP}}]
endpoints: [{{addresses: ["127.0.0.1"], conditions: {{ready: {str(ready).lower()}}}}}]
---
"""


def ingress(name: str, host: str | None, paths: list[tuple[str, str, str]], tls: str | None = None) -> str:
    """An Ingress for one host (`None` = any); each path is (path, pathType, Service); `tls` is a Secret's name."""
    rule = [f"  - host: {json.dumps(host)}\n    http:" if host else "  - http:"]
    rows = [
        f"      - {{path: {path}, pathType: {kind}, backend: {{service: {{name: {to}, port: {{name: http}}}}}}}}"
        for path, kind, to in paths
    ]
    secret = [f"  tls: [{{hosts: [{json.dumps(host)}], secretName: {tls}}}]"] if tls else []
    return "\n".join(
        ["apiVersion: networking.k8s.io/v1", "kind: Ingress", f"metadata: {{name: {name}}}", "spec:"]
        + secret
        + ["  rules:"]
        + rule
        + ["      paths:"]
        + rows
        + ["---\n"]
    )
