"""ingress-nginx's behaviour seen from outside, on the built binary: ingress_nginx.py FAIRLEAD [WORD...]. Last line:
N passed, M failed.

The cases stand in `nginx_cases/`. Those of one group are served by one process, each under a host of its own. With words
only the cases are run whose name, or group, has one of them.
"""

from __future__ import annotations

import base64
import collections
import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Mapping

import nginx_cases
from checks import check, eventually, finish
from nginx_cases.backend import Scripted
from nginx_cases.table import Ask, Case, Expected, Group
from served import Fairlead, free_ports, service

BACKENDS = ("web", "api", "canary", "errors", "auth", "copies", "target", "two-a", "two-b")


class Words:
    """What stands for what in the texts of a case."""

    def __init__(self, words: Mapping[str, str]):
        self.words = {"JAR": "", "THE-LAST": ""} | dict(words)
        self.pattern = re.compile("|".join(sorted(self.words, key=len, reverse=True)))

    def __call__(self, text: str) -> str:
        return self.pattern.sub(lambda found: self.words[found[0]], text)


class World:
    """The back ends of all cases."""

    def __init__(self, work: pathlib.Path, stack: contextlib.ExitStack):
        self.work = work
        self.backends = {name: stack.enter_context(Scripted(name)) for name in BACKENDS}
        self.certificate, self.key = work / "cert.pem", work / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "5",
             "-keyout", self.key, "-out", self.certificate, "-subj", "/CN=cases", "-addext",
             "subjectAltName=DNS:*.example,DNS:a.example,DNS:localhost"],
            check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        self.backends["secure"] = stack.enter_context(Scripted("secure", context=context))
        self.refused = free_ports(1)[0]
        self.clients = authorities(work)

    def objects(self) -> str:
        """Services and Secrets that every group has."""
        port = lambda name: self.backends[name].port  # noqa: E731
        made = [service(backend) for name, backend in self.backends.items() if not name.startswith("two-")]
        made.append(_service("gone", None, []))
        made.append(_service("refused", self.refused, [self.refused]))
        made.append(_service("two", 80, [port("two-a"), port("two-b")]))
        ports = [{"port": port("target")}]
        made.append(_plain("external", {"type": "ExternalName", "externalName": "localhost", "ports": ports}))
        made.append(_plain("dotted", {"type": "ExternalName", "externalName": "localhost."}))
        made.append(_plain("nowhere", {"type": "ExternalName", "externalName": "no-such-name.invalid"}))
        pair = [base64.b64encode(each.read_bytes()).decode() for each in (self.certificate, self.key)]
        made.append(_secret("tls", {"tls.crt": pair[0], "tls.key": pair[1]}))
        made.append(_secret("authority", {"ca.crt": pair[0]}))
        made.append(_secret("clients", {"ca.crt": base64.b64encode((self.work / "ca.pem").read_bytes()).decode()}))
        made.append(_service("half", 80, [self.refused, port("two-b")]))
        made.append(_secret("junk", {"tls.crt": _b64("no certificate"), "tls.key": _b64("no key")}))
        # The password of foo is bar, in SHA-1; that of mallory is none.
        made.append(_secret("users", {"auth": _b64("foo:{SHA}Ys23Ag/5IOWqZCw9QGaVDdHwH00=\nmallory:\n")}))
        made.append(_secret("apr", {"auth": _b64("foo:$apr1$r31.....$bIPsnQhLqqwaf2dCQX3CS1\n")}))
        made.append(_secret("map", {"foo": _b64("{SHA}Ys23Ag/5IOWqZCw9QGaVDdHwH00=")}))
        made.append(_secret("wrong-keys", {"other": _b64("x")}))
        return "---\n".join(made)

    def own(self, name: str, text: str) -> list[str]:
        """Services that a case has for itself: what is said of a Service port holds for all that name it."""
        named = {each: [backend.port] for each, backend in self.backends.items()}
        named["two"] = [self.backends[each].port for each in ("two-a", "two-b")]
        return [_service(f"{name}-{each}", 80, ports) for each, ports in named.items() if f'"{name}-{each}"' in text]


def authorities(work: pathlib.Path) -> dict[str, pathlib.Path]:
    """An authority in `ca.pem`; a certificate of it, and one of nobody's, each with its key."""
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    made = {"good": work / "good.pem", "stranger": work / "stranger.pem"}

    def run(*arguments: object) -> None:
        subprocess.run([str(each) for each in arguments], check=True, capture_output=True)

    run(*new, "-x509", "-days", "5", "-subj", "/CN=authority", "-keyout", work / "ca.key", "-out", work / "ca.pem")
    run(*new, "-subj", "/O=cases/CN=authtls", "-keyout", work / "good.key", "-out", work / "good.csr")
    (work / "good.ext").write_text("basicConstraints=CA:FALSE\n")
    run("openssl", "x509", "-req", "-days", "5", "-in", work / "good.csr", "-CA", work / "ca.pem",
        "-CAkey", work / "ca.key", "-CAcreateserial", "-extfile", work / "good.ext", "-out", work / "good.crt")  # fmt: skip
    run(*new, "-x509", "-days", "5", "-subj", "/CN=stranger", "-addext", "basicConstraints=CA:FALSE",
        "-keyout", work / "stranger.key", "-out", work / "stranger.crt")  # fmt: skip
    for name, path in made.items():
        path.write_text((work / f"{name}.crt").read_text() + (work / f"{name}.key").read_text())
    return made


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _plain(name: str, spec: dict) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}) + "\n"


def _secret(name: str, data: dict[str, str]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}) + "\n"


def _service(name: str, target: int | None, ports: list[int]) -> str:
    """A Service with an endpoint for each of these ports."""
    made = [_plain(name, {"ports": [{"name": "http", "port": 80, "targetPort": target or 80}]})]
    for index, port in enumerate(ports or [80]):
        endpoint = {"addresses": ["127.0.0.1"], "conditions": {"ready": True}}
        made.append(json.dumps({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": f"{name}-{index}", "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}], "endpoints": [endpoint] if ports else [],
        }) + "\n")  # fmt: skip
    return "---\n".join(made)


class Answer:
    """Status, fields in lower case with all their lines, body."""

    def __init__(self, status: int, fields: list[tuple[str, str]], body: bytes):
        self.status, self.body = status, body
        self.fields: dict[str, list[str]] = {}
        for name, value in fields:
            self.fields.setdefault(name.lower(), []).append(value)
        try:
            echo = json.loads(body)
        except ValueError:
            echo = {}
        self.echo = echo if isinstance(echo, dict) else {}


def exchange(proxy: Fairlead, ask: Ask, world: World, words: Words) -> Answer:
    """Sends the request; status 0 if nothing comes back."""
    if ask.raw is not None:
        return said(proxy, ask.raw.replace("HOST", words("HOST")))
    host = words(ask.host)
    port = proxy.https if ask.tls else proxy.http
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        plain = connection.sock = socket.create_connection(("127.0.0.1", port), 20)
        if ask.proxied:
            plain.sendall(ask.proxied.encode() + b"\r\n")
        if ask.tls:
            trust = ssl.create_default_context()
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
            if ask.shows:
                trust.load_cert_chain(world.clients[ask.shows])
            connection.sock = trust.wrap_socket(plain, server_hostname=host.split(":")[0])
        connection.putrequest(ask.method, words(ask.target), skip_host=True, skip_accept_encoding=True)
        if host:
            connection.putheader("Host", host)
        if ask.login:
            connection.putheader("Authorization", "Basic " + _b64(":".join(ask.login)))
        for name, value in ask.fields.items():
            for line in value if isinstance(value, list) else [value]:
                connection.putheader(name, words(line))
        if ask.chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif ask.body is not None:
            connection.putheader("Content-Length", str(len(ask.body)))
        connection.endheaders(ask.body, encode_chunked=ask.chunked)
        got = connection.getresponse()
        return Answer(got.status, got.getheaders(), got.read())
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, [], repr(error).encode())
    finally:
        connection.close()


def said(proxy: Fairlead, text: str) -> Answer:
    """Sends these octets, and reads the answer that comes first."""
    with socket.create_connection(("127.0.0.1", proxy.http), 20) as stream:
        try:
            stream.sendall(text.encode())
            got = http.client.HTTPResponse(stream)
            got.begin()
            return Answer(got.status, got.getheaders(), got.read())
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, [], repr(error).encode())


def wrong(what: str, expected: Mapping[str, Expected], got: Mapping[str, list[str] | str], words: Words) -> list[str]:
    """What is not as expected of these fields."""
    found = []
    for name, value in expected.items():
        lines = got.get(name)
        lines = [lines] if isinstance(lines, str) else lines
        match value:
            case None:
                right = lines is None
            case str():
                right = lines == [words(value)]
            case list():
                right = lines == [words(each) for each in value]
            case _:
                right = lines is not None and len(lines) == 1 and re.search(words(value.pattern), lines[0])
        if not right:
            found.append(f"{what} {name}: {lines}, not {value if not isinstance(value, re.Pattern) else value.pattern}")
    return found


def judge(proxy: Fairlead, ask: Ask, world: World, words: Words) -> list[str]:
    """What is wrong with what came of a request."""
    for name in ("auth", "copies"):
        world.backends[name].last = None
    if ask.at_once > 1:
        with concurrent.futures.ThreadPoolExecutor(ask.at_once) as pool:
            answers = list(pool.map(lambda _: exchange(proxy, ask, world, words).status, range(ask.at_once)))
        counts = dict(collections.Counter(answers))
        return [] if counts == ask.counts else [f"{counts}, not {dict(ask.counts)}"]
    answer = exchange(proxy, ask, world, words)
    statuses = (ask.status,) if isinstance(ask.status, int) else ask.status
    found = [] if answer.status in statuses else [f"status {answer.status}, not {ask.status}: {answer.body[-200:]!r}"]
    found += wrong("answer", ask.answer, answer.fields, words)
    for what, expected, got in (
        ("by", ask.by and words(ask.by), answer.echo.get("server")),
        ("path", ask.path and words(ask.path), answer.echo.get("path")),
        ("method", ask.verb, answer.echo.get("method")),
        ("received", ask.received, answer.echo.get("received")),
    ):
        if expected is not None and expected != got:
            found.append(f"{what} {got}, not {expected}")
    if ask.text is not None and words(ask.text) not in answer.body.decode(errors="replace"):
        found.append(f"body {answer.body[:200]!r}, without {ask.text!r}")
    if answer.echo.get("server"):
        words.words["THE-LAST"] = answer.echo["server"]
    for cookie in answer.fields.get("set-cookie", []):
        words.words["JAR"] = cookie.split(";")[0]
    found += wrong("sent", ask.sent, answer.echo.get("headers", {}), words)
    for name, expected in (("auth", ask.asked), ("copies", ask.copied)):
        if not expected:
            continue
        backend = world.backends[name]
        if not eventually(lambda backend=backend: backend.last, 2):
            found.append(f"{name} got nothing")
            continue
        last = backend.last
        found += wrong(name, expected, last["headers"] | {":path": last["path"], ":method": last["method"]}, words)
    return found


def run(binary: str, group: Group, cases: list[tuple[int, Case]], world: World, work: pathlib.Path) -> None:
    folder = work / group.name.replace(" ", "-")
    folder.mkdir()
    addresses = {
        name: f"127.0.0.1:{world.backends[backend].port}"
        for name, backend in (("AUTH", "auth"), ("COPIES", "copies"), ("TARGET", "target"), ("SECURE", "secure"))
    }
    addresses["AUTHPORT"] = str(world.backends["auth"].port)
    addresses["TARGETPORT"] = addresses['"TARGETPORT"'] = str(world.backends["target"].port)
    flags = [Words(addresses)(flag) for flag in group.flags]
    process = Fairlead(binary, folder, work, "--configmap", "default/global", *flags)
    addresses["OWNPORT"] = str(process.http)
    keys = {key: Words(addresses)(value) for key, value in group.keys.items()}
    made = [json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "global"}, "data": keys}) + "\n"]
    made += [each.text + "\n" for each in group.things]
    served = []
    for number, each in cases:
        words = Words(addresses | {"HOST": f"c{number}.example", "NAME": f"c{number}"})
        texts = [words(thing.text) + "\n" for thing in each.things]
        made += texts + world.own(f"c{number}", "".join(texts))
        served.append((number, each))
    (folder / "all.yaml").write_text(world.objects() + "---\n" + "---\n".join(made))
    with process as proxy:
        ports = {"HTTPS": str(proxy.https), "HTTP": str(proxy.http)}
        for number, each in served:
            words = Words(addresses | ports | {"HOST": f"c{number}.example", "NAME": f"c{number}"})
            for ask in each.asks:
                way = "https" if ask.tls else "http"
                name = f"{group.name}: {each.name}: {ask.method} {way}://{ask.host}{ask.target} {ask.status}"
                for _ in range(ask.times):
                    found = judge(proxy, ask, world, words)
                    if found:
                        break
                check(name, not found, "; ".join(found))
    errors = (work / "err").read_text()
    check(f"{group.name}: no panic", "panicked" not in errors, errors)


def main() -> int:
    binary, only = str(pathlib.Path(sys.argv[1]).resolve()), sys.argv[2:]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        work = pathlib.Path(name)
        world = World(work, stack)
        number = 0
        for group in nginx_cases.groups():
            cases = []
            for each in group.cases:
                number += 1
                if not only or any(word in f"{group.name}: {each.name}" for word in only):
                    cases.append((number, each))
            if cases:
                run(binary, group, cases, world, work)
    return finish()


if __name__ == "__main__":
    sys.exit(main())
