"""The words that the tables are written in: an Ingress, a request with what is to come of it, and a case of both.

`HOST` stands for the host of a case and `NAME` for what its objects are called, `HTTP` and `HTTPS` for our ports, `AUTH` and
`COPIES` for the addresses of the service that is asked and of the one that gets copies.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence

PREFIX = "nginx.ingress.kubernetes.io/"
# Expected of a field: this text, one that the expression is found in, none at all, or these lines.
Expected = str | re.Pattern | None | list[str]


@dataclasses.dataclass(frozen=True)
class Path:
    path: str | None
    service: str = "web"
    kind: str = "Prefix"
    port: str | int = 80


def path(path: str | None, service: str = "web", kind: str = "Prefix", port: str | int = 80) -> Path:
    return Path(path, service, kind, port)


@dataclasses.dataclass(frozen=True)
class Thing:
    """An object, as JSON with the words above in it."""

    text: str

    def within(self, namespace: str) -> Thing:
        made = json.loads(self.text)
        return Thing(json.dumps(made | {"metadata": made["metadata"] | {"namespace": namespace}}))


def thing(kind: str, name: str, api: str = "v1", **rest: object) -> Thing:
    metadata = {"name": name, **rest.pop("metadata", {})}
    return Thing(json.dumps({"apiVersion": api, "kind": kind, "metadata": metadata, **rest}))


def config_map(name: str, **data: str) -> Thing:
    return thing("ConfigMap", name, data={key.replace("__", "-"): value for key, value in data.items()})


def ing(
    annotations: Mapping[str, str] | None = None,
    *paths: Path,
    host: str | None = "HOST",
    name: str = "NAME",
    tls: str | bool = False,
    default: str | None = None,
    created: str | None = None,
    more: Sequence[tuple[str, Sequence[Path]]] = (),
) -> Thing:
    """An Ingress of one host; without paths `/` goes to `web`, unless it has a `default` backend. `tls`: of a Secret, or of
    none."""

    def backend(service: str, port: str | int) -> dict:
        return {"service": {"name": service, "port": {"number" if isinstance(port, int) else "name": port}}}

    def rule(host: str | None, paths: Sequence[Path]) -> dict:
        rows = []
        for each in paths:
            row = {"pathType": each.kind, "backend": backend(each.service, each.port)}
            rows.append(row if each.path is None else row | {"path": each.path})
        return ({"host": host} if host else {}) | ({"http": {"paths": rows}} if rows else {})

    spec: dict = {}
    if not paths and default is None:
        paths = (path("/"),)
    if host or paths:
        spec["rules"] = [rule(host, paths), *(rule(*each) for each in more)]
    if default is not None:
        spec["defaultBackend"] = backend(default, 80)
    if tls:
        spec["tls"] = [{"hosts": [host]} | ({"secretName": tls} if isinstance(tls, str) else {})]
    named = {key if "/" in key else PREFIX + key: value for key, value in (annotations or {}).items()}
    metadata: dict = {"annotations": named}
    if created:
        metadata["creationTimestamp"] = created
    return thing("Ingress", name, "networking.k8s.io/v1", metadata=metadata, spec=spec)


@dataclasses.dataclass(frozen=True)
class Ask:
    """A request, and what is to come of it."""

    target: str
    status: int | tuple[int, ...]
    method: str
    host: str
    fields: Mapping[str, str | list[str]]
    body: bytes | None
    tls: bool
    # Of the answer: its fields, the back end that made it, a text of its body.
    answer: Mapping[str, Expected]
    by: str | None
    text: str | None
    # Of what the back end got: its fields, path and query, method, octets of body.
    sent: Mapping[str, Expected]
    path: str | None
    verb: str | None
    received: int | None
    # Of what the service that is asked got, and of the copy.
    asked: Mapping[str, Expected]
    copied: Mapping[str, Expected]
    login: tuple[str, str] | None
    times: int
    # The client's certificate, a line that goes before all else, how many such requests go at once and their statuses.
    shows: str | None
    proxied: str | None
    at_once: int
    counts: Mapping[int, int]
    chunked: bool
    # In the place of all that: octets to send as they are.
    raw: str | None


def ask(
    target: str = "/",
    status: int | tuple[int, ...] = 200,
    *,
    method: str = "GET",
    host: str = "HOST",
    fields: Mapping[str, str | list[str]] | None = None,
    body: bytes | None = None,
    tls: bool = False,
    answer: Mapping[str, Expected] | None = None,
    location: Expected = "",
    by: str | None = None,
    text: str | None = None,
    sent: Mapping[str, Expected] | None = None,
    path: str | None = None,
    verb: str | None = None,
    received: int | None = None,
    asked: Mapping[str, Expected] | None = None,
    copied: Mapping[str, Expected] | None = None,
    login: tuple[str, str] | None = None,
    want: Mapping[str, object] | None = None,
    times: int = 1,
    shows: str | None = None,
    proxied: str | None = None,
    at_once: int = 1,
    counts: Mapping[int, int] | None = None,
    chunked: bool = False,
    raw: str | None = None,
    **short: str,
) -> Ask:
    """`want` tells the back end what to answer; other keywords are fields of the request with `_` for `-`. `JAR` in one is
    the cookie that was given last, and `by="THE-LAST"` the back end that answered last."""
    sends = {key.replace("_", "-"): value for key, value in short.items()} | dict(fields or {})
    if want:
        sends["X-Want"] = json.dumps(want)
    expected = dict(answer or {})
    if location != "":
        expected["location"] = location
    return Ask(target, status, method, host, sends, body, tls, expected, by, text, sent or {}, path, verb, received,
               asked or {}, copied or {}, login, times, shows, proxied, at_once, counts or {}, chunked, raw)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    things: tuple[Thing, ...]
    asks: tuple[Ask, ...]


def case(name: str, *parts: Mapping[str, str] | Thing | Ask) -> Case:
    """A mapping is annotations of an Ingress with `/` alone."""
    things = tuple(ing(part) if isinstance(part, Mapping) else part for part in parts if not isinstance(part, Ask))
    return Case(name, things or (ing(),), tuple(part for part in parts if isinstance(part, Ask)))


@dataclasses.dataclass(frozen=True)
class Group:
    """Cases that are served by one process."""

    name: str
    cases: tuple[Case, ...]
    keys: Mapping[str, str]
    flags: tuple[str, ...]
    things: tuple[Thing, ...]


def group(
    name: str,
    *cases: Case,
    keys: Mapping[str, str] | None = None,
    flags: Sequence[str] = (),
    things: Sequence[Thing] = (),
) -> Group:
    return Group(name, cases, keys or {}, tuple(flags), tuple(things))
