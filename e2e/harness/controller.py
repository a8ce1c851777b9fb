"""`fairlead serve` as a process that reads from the API server of the fast half."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import time

from cluster import certificates

from harness import rights

READY_SECONDS = 60


class Answer:
    """A status (0: no answer), the fields in lower case, the body, and the JSON of an echo back end if it is one."""

    def __init__(self, status: int, fields: dict[str, str], body: bytes, certificate: bytes | None = None):
        self.status, self.fields, self.body, self.certificate = status, fields, body, certificate

    @property
    def pod(self) -> str | None:
        """Which back end answered."""
        try:
            return json.loads(self.body).get("pod")
        except ValueError:
            return None

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:200]!r}"


class Controller:
    """One replica. Number N has the address 127.0.1.N with the ports 80, 443, 10254 and 10246."""

    def __init__(
        self, binary: pathlib.Path, work: pathlib.Path, server: str, pki: pathlib.Path, number: int, *flags: str
    ):
        self.number, self.address = number, f"127.0.1.{number}"
        self.name = f"fairlead-{number}"
        self.output, self.log = work / f"{self.name}.out", work / f"{self.name}.log"
        kubeconfig = certificates.kubeconfig(work / f"{self.name}.kubeconfig", server, pki / "ca.crt", rights.TOKEN)
        self.arguments = [
            str(binary), "serve", "--kubeconfig", str(kubeconfig), "--bind-address", self.address,
            "--healthz-host", self.address, "--admin-address", f"{self.address}:10246", *flags,
        ]  # fmt: skip
        self.environment = {**os.environ, "POD_NAME": self.name, "POD_NAMESPACE": rights.NAMESPACE}
        self.process: subprocess.Popen | None = None

    def start(self, *, wait: bool = True) -> Controller:
        """Starts it, and waits until it is ready."""
        with self.output.open("ab") as out, self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.arguments, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=log
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds: float = READY_SECONDS) -> float:
        """Seconds until it was ready."""
        started = time.monotonic()
        while self.health("/readyz") != 200:
            assert self.is_running, f"{self.name} ended:\n{self.tail()}"
            assert time.monotonic() < started + seconds, f"{self.name} is not ready after {seconds} s:\n{self.tail()}"
            time.sleep(0.01)
        return time.monotonic() - started

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process is not None and self.process.poll() is None

    def terminate(self, seconds: float = 20) -> int:
        """SIGTERM and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL; fine if it has ended."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def health(self, path: str) -> int:
        """The status of a GET on the health port, 0 without an answer."""
        return self._ask(http.client.HTTPConnection(self.address, 10254, timeout=5), "GET", path, {}).status

    def reason(self) -> str:
        """What the readiness path says."""
        connection = http.client.HTTPConnection(self.address, 10254, timeout=5)
        return self._ask(connection, "GET", "/readyz", {}).body.decode().strip()

    def metrics(self) -> dict[str, float]:
        """Every series, `name{labels}` as printed."""
        text = self._ask(
            http.client.HTTPConnection(self.address, 10254, timeout=5), "GET", "/metrics", {}
        ).body.decode()
        rows = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in rows}

    def metric(self, pattern: str) -> float:
        """The sum of the series that a regular expression finds."""
        return sum(value for name, value in self.metrics().items() if re.search(pattern, name))

    def admin(self, path: str) -> dict:
        """JSON of the admin API: `routes`, `problems`, …"""
        connection = http.client.HTTPConnection(self.address, 10246, timeout=5)
        return json.loads(self._ask(connection, "GET", f"/api/v1/{path}", {"Host": "localhost"}).body)

    def config(self) -> str:
        """What it serves, in the short text form."""
        connection = http.client.HTTPConnection(self.address, 10246, timeout=5)
        return self._ask(connection, "GET", "/api/v1/config", {"Host": "localhost"}).body.decode()

    def get(self, host: str, path: str = "/", method: str = "GET", **fields: str) -> Answer:
        """A request in clear text on a connection of its own."""
        named = {"Host": host, **{name.replace("_", "-"): value for name, value in fields.items()}}
        return self._ask(http.client.HTTPConnection(self.address, 80, timeout=10), method, path, named)

    def get_tls(self, host: str, path: str = "/") -> Answer:
        """A request over TLS with the certificate that was served (DER)."""
        connection = http.client.HTTPSConnection(self.address, 443, timeout=10)
        try:
            connection.sock = self.handshake(host)
        except OSError as error:
            return Answer(0, {}, repr(error).encode())
        return self._ask(connection, "GET", path, {"Host": host})

    def handshake(self, host: str) -> ssl.SSLSocket:
        """A TLS connection that trusts whatever is served."""
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        return trust.wrap_socket(socket.create_connection((self.address, 443), 10), server_hostname=host)

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(text[-lines:])

    def _ask(self, connection: http.client.HTTPConnection, method: str, path: str, fields: dict) -> Answer:
        try:
            certificate = connection.sock.getpeercert(True) if isinstance(connection.sock, ssl.SSLSocket) else None
            connection.request(method, path, headers=fields)
            answer = connection.getresponse()
            received = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, received, answer.read(), certificate)
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, {}, repr(error).encode())
        finally:
            connection.close()
