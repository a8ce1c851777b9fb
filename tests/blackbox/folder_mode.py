"""Folder mode seen from outside, on the built binary: folder_mode.py FAIRLEAD. Last line: N passed, M failed.

What a user relies on: which route answers, TLS, what back ends receive, changes without a lost request, broken files,
the commands, the exit codes, draining. Every wait is for a condition and has an end.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import pathlib
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from checks import check, eventually, finish
from served import Backend, Fairlead, free_ports, ingress, service

SHOP, WILD = "shop.example", "a.wild.example"
CHANGES = 30
SERVED_WITHIN_SECONDS = 0.15


class Folder:
    """The manifests; files appear whole, as editors and git write them."""

    def __init__(self, work: pathlib.Path):
        self.path = work / "manifests"
        self.path.mkdir()
        self.spare = work / "spare"

    def write(self, name: str, text: str) -> None:
        self.spare.write_text(text)
        self.spare.rename(self.path / name)

    def remove(self, name: str) -> None:
        (self.path / name).unlink()


class Answer:
    """A status, the fields in lower case, the JSON of a back end if it is one, and the certificate if there was one."""

    def __init__(self, status: int, fields: dict[str, str], body: bytes, certificate: bytes | None):
        self.status, self.fields, self.body, self.certificate = status, fields, body, certificate
        try:
            self.echo = json.loads(body)
        except ValueError:
            self.echo = {}

    @property
    def server(self) -> str | None:
        return self.echo.get("server")


class Site:
    """Requests to a running proxy."""

    def __init__(self, proxy: Fairlead):
        self.proxy = proxy

    def get(self, host: str, path: str, method: str = "GET", body: object = None, **fields: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.http, timeout=10)
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        return self._ask(connection, method, path, {"Host": host, **named}, body)

    def get_tls(self, host: str, path: str) -> Answer:
        connection = http.client.HTTPSConnection("127.0.0.1", self.proxy.https, timeout=10)
        connection.sock = self.handshake(host, ["http/1.1"])
        return self._ask(connection, "GET", path, {"Host": host}, None)

    def handshake(self, host: str, protocols: list[str]) -> ssl.SSLSocket:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        trust.set_alpn_protocols(protocols)
        plain = socket.create_connection(("127.0.0.1", self.proxy.https), 10)
        return trust.wrap_socket(plain, server_hostname=host)

    def raw(self, text: str) -> bytes:
        """Everything that comes back until the proxy closes."""
        with socket.create_connection(("127.0.0.1", self.proxy.http), 10) as stream:
            stream.sendall(text.encode())
            received = b""
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while part := stream.recv(65536):
                    received += part
            return received

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, fields: dict, body: object
    ) -> Answer:
        try:
            certificate = connection.sock.getpeercert(True) if isinstance(connection.sock, ssl.SSLSocket) else None
            connection.request(
                method, path, body=body, headers=fields, encode_chunked=not isinstance(body, (bytes, type(None)))
            )
            answer = connection.getresponse()
            received = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, received, answer.read(), certificate)
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, {}, repr(error).encode(), None)
        finally:
            connection.close()


def secret(work: pathlib.Path, host: str) -> tuple[str, bytes]:
    """A new certificate: the Secret `tls` as YAML, and the certificate in DER."""
    certificate, key = work / "cert.pem", work / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "5",
         "-keyout", key, "-out", certificate, "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"],
        check=True, capture_output=True,
    )  # fmt: skip
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in (certificate, key)]
    text = f"""apiVersion: v1
kind: Secret
metadata: {{name: tls}}
type: kubernetes.io/tls
data: {{tls.crt: {encoded[0]}, tls.key: {encoded[1]}}}
---
"""
    return text, ssl.PEM_cert_to_DER_cert(certificate.read_text())


def routes(site: Site) -> None:
    """Which route answers."""
    for path, server in (
        ("/", "web"), ("/x/y", "web"), ("/api", "api"), ("/api/", "api"), ("/api/v1", "api"), ("/apix", "web"),
        ("/exact", "other"), ("/exact/", "web"), ("/exact?a=b", "other"), ("/api?x=/exact", "api"),
    ):  # fmt: skip
        answer = site.get_tls(SHOP, path)
        check(f"{SHOP}{path} is answered by {server}", answer.server == server, (answer.status, answer.body))
    check(
        "the path reaches the back end as sent",
        site.get_tls(SHOP, "/api/a%20b?q=%2F").echo.get("path") == "/api/a%20b?q=%2F",
    )
    check("hosts ignore case and port", site.get("A.Wild.EXAMPLE:8080", "/").server == "other")
    check("a wildcard takes one label", site.get(WILD, "/").server == "other")
    for host in ("a.b.wild.example", "wild.example", "nobody.example"):
        check(f"{host}: 404", site.get(host, "/").status == 404)
    redirect = site.get(SHOP, "/api?x=1")
    check(
        "plain http to a host with TLS is sent to https, with the port",
        redirect.status == 308 and redirect.fields.get("location") == f"https://{SHOP}:{site.proxy.https}/api?x=1",
        (redirect.status, redirect.fields),
    )


def tls(site: Site, expected: bytes) -> None:
    """Certificates by name, and the protocol."""
    check("the Secret's certificate is served", site.get_tls(SHOP, "/").certificate == expected)
    with site.handshake("nobody.example", ["http/1.1"]) as stream:
        check("an unknown name gets another certificate", stream.getpeercert(True) not in (None, expected))
    for offered, chosen in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (["h2"], "h2")):
        with site.handshake(SHOP, offered) as stream:
            check(f"{offered} offered: {chosen}", stream.selected_alpn_protocol() == chosen)
    curl = ["curl", "-sk", "--max-time", "10", "-w", " %{http_version}", "--resolve"]
    address = f"{SHOP}:{site.proxy.https}:127.0.0.1"
    done = subprocess.run([*curl, address, f"https://{SHOP}:{site.proxy.https}/api"], capture_output=True, text=True)
    check("curl gets an answer over HTTP/2", '"server": "api"' in done.stdout and done.stdout.endswith(" 2"), done)


def messages(site: Site) -> None:
    """What back ends and clients see of a message."""
    got = site.get(WILD, "/", X_Forwarded_For="6.6.6.6", X_Custom="1", X_Real_IP="6.6.6.6", TE="trailers").echo.get(
        "headers", {}
    )
    check("X-Forwarded-For is not believed", got.get("x-forwarded-for") == "127.0.0.1", got)
    check("X-Real-IP is the client", got.get("x-real-ip") == "127.0.0.1", got)
    check("Host is kept, other fields pass", got.get("host") == WILD and got.get("x-custom") == "1", got)
    check(
        "X-Request-ID and the scheme are added",
        len(got.get("x-request-id", "")) == 32 and got.get("x-forwarded-proto") == "http",
        got,
    )
    check("hop-by-hop fields stay here", not {"te", "keep-alive"} & got.keys(), got)
    check(
        "a request id that fits is kept",
        site.get(WILD, "/", X_Request_ID="mine").echo["headers"].get("x-request-id") == "mine",
    )

    head = site.get(WILD, "/", "HEAD")
    check(
        "HEAD: fields and no body",
        head.status == 200 and int(head.fields["content-length"]) > 0 and head.body == b"",
        head.fields,
    )
    for size in (0, 1000, 300_000):
        check(f"a body of {size} bytes arrives", site.get(WILD, "/", "POST", b"x" * size).echo.get("received") == size)
    over = site.raw(f"POST / HTTP/1.1\r\nHost: {WILD}\r\nContent-Length: {(1 << 20) + 1}\r\n\r\n")
    check("a body over 1 MiB: 413 before it is sent", over.startswith(b"HTTP/1.1 413 "), over)
    twice = f"GET /1 HTTP/1.1\r\nHost: {WILD}\r\n\r\nGET /2 HTTP/1.1\r\nHost: {WILD}\r\nConnection: close\r\n\r\n"
    answers = site.raw(twice)
    check("pipelined requests are answered in order", 0 < answers.find(b'"/1"') < answers.find(b'"/2"'), answers)
    for name, text in (
        ("two lengths", f"POST / HTTP/1.1\r\nHost: {WILD}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        (
            "a length and chunks",
            f"POST / HTTP/1.1\r\nHost: {WILD}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("a bare line feed", f"GET / HTTP/1.1\nHost: {WILD}\n\n"),
        ("a space before the colon", f"GET / HTTP/1.1\r\nHost : {WILD}\r\n\r\n"),
        ("junk", "\x01\x02\x03\r\n\r\n"),
    ):
        answer = site.raw(text)
        check(
            f"{name}: 400 and closed", answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1, answer
        )


class Clients:
    """Keep-alive clients that count what goes wrong while everything changes."""

    def __init__(self, site: Site, count: int = 4):
        self.site, self.stopping, self.lock = site, threading.Event(), threading.Lock()
        self.requests, self.wrong = 0, []
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(count)]

    def __enter__(self) -> Clients:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _run(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.site.proxy.http, timeout=10)
        round_ = 0
        while not self.stopping.is_set():
            round_ += 1
            path, problem = f"/client-{number}/{round_}", None
            try:
                connection.request("GET", path, headers={"Host": WILD})
                answer = connection.getresponse()
                echo = json.loads(answer.read())
                if answer.status != 200 or echo["path"] != path or echo["server"] != "other":
                    problem = (answer.status, path, echo)
            except (OSError, http.client.HTTPException, ValueError) as error:
                problem = (path, repr(error))
                connection.close()
            with self.lock:
                self.requests += 1
                if problem:
                    self.wrong.append(problem)


def changes(site: Site, folder: Folder, work: pathlib.Path, backends: list[Backend]) -> None:
    """Everything changes while clients watch."""
    services = "".join(map(service, backends))
    with Clients(site) as clients:
        served = []
        for n in range(CHANGES):
            folder.write("new.yaml", ingress("new", f"n{n}.example", [("/", "Prefix", "api")]))
            served.append(eventually(lambda n=n: site.get(f"n{n}.example", "/").server == "api") or 5.0)
        middle = statistics.median(served)
        check(
            f"a changed file is served: median {middle * 1000:.0f} ms", middle <= SERVED_WITHIN_SECONDS, sorted(served)
        )
        check("the rule before is gone", site.get(f"n{CHANGES - 2}.example", "/").status == 404)
        folder.remove("new.yaml")
        check(
            "a deleted file takes its route along",
            eventually(lambda: site.get(f"n{CHANGES - 1}.example", "/").status == 404),
        )

        unready = "".join(service(each, ready=each.name != "api") for each in backends)
        folder.write("services.yaml", unready)
        check("no usable endpoint: 503", eventually(lambda: site.get_tls(SHOP, "/api").status == 503))
        folder.write("services.yaml", services)
        check("usable again: 200", eventually(lambda: site.get_tls(SHOP, "/api").server == "api"))

        for _ in range(3):
            text, certificate = secret(work, SHOP)
            folder.write("secret.yaml", text)
            check(
                "a new certificate is served",
                eventually(lambda c=certificate: site.get_tls(SHOP, "/").certificate == c),
            )

        for n in range(200):
            folder.write(f"many-{n}.yaml", ingress(f"many-{n}", f"m{n}.example", [("/", "Prefix", "web")]))
        check(
            "two hundred files at once are all served",
            eventually(lambda: site.get("m199.example", "/").server == "web", 10),
        )
        for n in range(200):
            folder.remove(f"many-{n}.yaml")
        check("and all gone", eventually(lambda: site.get("m199.example", "/").status == 404, 10))
    check(
        f"none of {clients.requests} requests was lost or mixed up in all these changes",
        not clients.wrong and clients.requests > 200,
        clients.wrong[:5],
    )


def broken_files(site: Site, folder: Folder, shop: str, run: Callable) -> None:
    """A file that cannot be read hurts nobody."""
    folder.write("bad.yaml", "kind: Ingress\nmetadata: {name: shop\nspec: ][")
    names_it = lambda: "bad.yaml" in run("problems", "--admin", site.proxy.admin).stdout  # noqa: E731
    check("problems names the broken file", eventually(names_it, 10), run("problems", "--admin", site.proxy.admin))
    check("and the rest is served", site.get_tls(SHOP, "/api").server == "api")
    folder.write("shop.yaml", ":::not yaml")
    both = lambda: "shop.yaml" in run("problems", "--admin", site.proxy.admin).stdout  # noqa: E731
    check("a file that breaks is a problem", eventually(both, 10))
    check("and keeps its last good objects", site.get_tls(SHOP, "/exact").server == "other")
    folder.write("shop.yaml", shop)
    check("mended: the problem is gone", eventually(lambda: not both(), 10))


def commands(site: Site, folder: Folder, run: Callable) -> None:
    """What the other commands print and how they exit."""
    for command, expected in (("routes", SHOP), ("backends", "api"), ("certificates", SHOP), ("problems", "bad.yaml")):
        done = run(command, "--admin", site.proxy.admin)
        check(f"fairlead {command}", done.returncode == 0 and expected in done.stdout, done)
    offline = run("explain", f"https://{SHOP}/api/x", "--manifests", folder.path)
    running = run("explain", f"https://{SHOP}/api/x", "--admin", site.proxy.admin)
    first = f"GET https://{SHOP}/api/x → 200 default/api"
    for name, done in (("a folder", offline), ("a running proxy", running)):
        check(
            f"explain from {name}: exit 0, the answer first",
            done.returncode == 0 and done.stdout.startswith(first),
            done,
        )
    done = run("explain", "http://nobody.example/", "--manifests", folder.path)
    check("explain without a route: exit 1", done.returncode == 1 and "404" in done.stdout, done)
    done = run("check", folder.path)
    check("check: exit 1 with errors, names the file", done.returncode == 1 and "bad.yaml" in done.stdout, done)
    last = done.stdout.strip().splitlines()[-1:] or [""]
    check("check ends with the counts", "error" in last[0] and "warning" in last[0], last)
    done = run("check", folder.path, "-o", "json")
    check(
        "check -o json is JSON",
        isinstance(json.loads(done.stdout or "null"), dict) and "routes" in json.loads(done.stdout),
        done,
    )
    for name, arguments in (
        ("an unknown flag", ["serve", "--no-such-flag"]),
        ("a value that is none", ["serve", "--http-port", "many"]),
        ("a folder that is not there", ["serve", "--manifests", "/nonexistent-folder"]),
        ("an unknown command", ["no-such-command"]),
    ):
        done = run(*arguments)
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        check(
            f"{name}: exit 2, one line",
            done.returncode == 2 and len(lines) == 1 and "panicked" not in done.stderr,
            done,
        )
    ports = free_ports(3)
    taken = [
        f"--http-port={site.proxy.http}",
        f"--https-port={ports[0]}",
        f"--health-port={ports[1]}",
        f"--admin-address=127.0.0.1:{ports[2]}",
    ]
    done = run("serve", "--manifests", folder.path, "--bind-address=127.0.0.1", *taken)
    check("a port in use: exit 1, names it", done.returncode == 1 and str(site.proxy.http) in done.stderr, done)
    for command in ("serve", "demo", "check", "explain", "routes", "backends", "certificates", "problems"):
        done = run(command, "--help")
        check(f"fairlead {command} --help", done.returncode == 0 and "Usage" in done.stdout, done)
    check("fairlead --version", run("--version").stdout.startswith("fairlead "))


def pipelining(site: Site) -> None:
    """Clients that send far ahead cost few descriptors of their own, and none once they have their answers."""
    folder = f"/proc/{site.proxy.process.pid}/fd"

    def twins() -> int:
        """Descriptors beyond the first of one socket."""
        held = []
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                held.append(os.readlink(f"{folder}/{name}"))
        sockets = [link for link in held if link.startswith("socket:")]
        return len(sockets) - len(set(sockets))

    before, workers = twins(), os.cpu_count() or 1
    ahead = 96 * 1024
    text = f"GET /slow HTTP/1.1\r\nHost: {WILD}\r\n\r\nPOST / HTTP/1.1\r\nHost: {WILD}\r\nContent-Length: {ahead}\r\n\r\n"
    clients = [socket.create_connection(("127.0.0.1", site.proxy.http), 10) for _ in range(34 * workers)]
    for client in clients:
        client.sendall(text.encode() + b"x" * ahead)
    check("clients that send ahead are watched", eventually(lambda: twins() > before, 2))
    time.sleep(0.5)
    check("not more than 32 of one worker", twins() - before <= 32 * workers, twins() - before)
    served = 0
    for client in clients:
        received = b""
        while received.count(b"HTTP/1.1 200 ") < 2 and (part := client.recv(65536)):
            received += part
        served += received.count(b"HTTP/1.1 200 ")
    check("all are served", served == 2 * len(clients), served)
    check("none of them is watched any more", eventually(lambda: twins() == before, 2), twins() - before)
    for client in clients:
        client.close()


def seeing(site: Site) -> None:
    """Health, metrics, access log."""
    check("/healthz is 200", site.proxy.status("/healthz") == 200)
    connection = http.client.HTTPConnection("127.0.0.1", site.proxy.health, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    for name in (
        "fairlead_requests_total{",
        "fairlead_table_generation",
        "fairlead_build_info{",
        "fairlead_connections_total{",
    ):
        check(f"/metrics has {name.rstrip('{')}", name in text, text)
    check(
        "no panic was counted",
        "fairlead_panics_total 0" in text,
        [line for line in text.splitlines() if "panic" in line],
    )
    lines = lambda: [line for line in site.proxy.out.read_text().splitlines() if '"GET /api/v1 HTTP/1.1" 200' in line]  # noqa: E731
    check("the access log has the requests", eventually(lines, 3), site.proxy.out.read_text()[-300:])


def drain(site: Site) -> None:
    """SIGTERM: not ready at once, what is open finishes, exit 0."""
    slow: list[Answer] = []
    request = threading.Thread(target=lambda: slow.append(site.get(WILD, "/slow")))
    request.start()
    time.sleep(0.5)
    started = time.monotonic()
    site.proxy.terminate()
    check("not ready while draining", eventually(lambda: site.proxy.status("/readyz") == 503, 1))
    request.join()
    check("the request in flight finishes", slow[0].status == 200, slow[0].body)
    try:
        code = site.proxy.process.wait(10)
    except subprocess.TimeoutExpired:
        code = "still running"
    check("exits 0 soon after", code == 0 and time.monotonic() - started < 5, (code, time.monotonic() - started))
    errors = site.proxy.err.read_text()
    check("no panic in the log", "panicked" not in errors, errors)


def main() -> int:
    binary = str(pathlib.Path(sys.argv[1]).resolve())

    def run(*arguments: object) -> subprocess.CompletedProcess:
        return subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False)

    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        work = pathlib.Path(name)
        folder = Folder(work)
        backends = [stack.enter_context(Backend(each)) for each in ("web", "api", "other")]
        folder.write("services.yaml", "".join(map(service, backends)))
        text, certificate = secret(work, SHOP)
        folder.write("secret.yaml", text)
        paths = [("/", "Prefix", "web"), ("/api", "Prefix", "api"), ("/exact", "Exact", "other")]
        shop = ingress("shop", SHOP, paths, tls="tls")
        folder.write("shop.yaml", shop)
        folder.write("wild.yaml", ingress("wild", "*.wild.example", [("/", "Prefix", "other")]))

        site = Site(stack.enter_context(Fairlead(binary, folder.path, work)))
        routes(site)
        tls(site, certificate)
        messages(site)
        changes(site, folder, work, backends)
        broken_files(site, folder, shop, run)
        commands(site, folder, run)
        pipelining(site)
        seeing(site)
        drain(site)
    return finish()


if __name__ == "__main__":
    sys.exit(main())
