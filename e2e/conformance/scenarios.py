"""What the conformance suite asks of an Ingress controller: objects, requests and the answers that are right.

The suite is kubernetes-sigs/ingress-controller-conformance (2021, the last there is). It is not run itself, since nobody
publishes its program; its 25 scenarios are written again here, by what they state.
"""

from __future__ import annotations

import dataclasses

from harness import objects

PORT = 8080
# The suite also wants a Server field. The setting that sends one, `server-tokens` of the ConfigMap, has no effect in this
# version; the report says so.
REQUIRED_FIELDS = ("content-length", "content-type", "date")
PODS, REQUESTS = 10, 100


@dataclasses.dataclass(frozen=True)
class Request:
    """A request, and the Service that must answer it; none means 404."""

    url: str
    service: str | None = None
    method: str = "GET"


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One scenario: a fact and the requests that show it."""

    feature: str
    fact: str
    requests: tuple[Request, ...]


def ingress(namespace: str, name: str, spec: dict) -> dict:
    """An Ingress of our class."""
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata,
        "spec": {"ingressClassName": objects.CLASS, **spec},
    }


def backend(service: str, port: int | str = PORT) -> dict:
    """A back end of an Ingress."""
    return {"service": {"name": service, "port": {"name" if isinstance(port, str) else "number": port}}}


def rule(host: str, *paths: tuple[str, str, dict]) -> dict:
    """A rule of an Ingress: path, type, back end."""
    return {"host": host, "http": {"paths": [{"path": a, "pathType": b, "backend": c} for a, b, c in paths]}}


DEFAULT_BACKEND = {"defaultBackend": backend("echo-service")}
HOST_RULES = {
    "tls": [{"hosts": ["foo.bar.com"], "secretName": "tls"}],
    "rules": [
        rule("*.foo.com", ("/", "Prefix", backend("wildcard-foo-com"))),
        rule("foo.bar.com", ("/", "Prefix", backend("foo-bar-com", "http"))),
    ],
}
PATH_RULES = {
    "rules": [
        rule("exact-path-rules", ("/foo", "Exact", backend("foo-exact"))),
        rule(
            "prefix-path-rules",
            ("/foo", "Prefix", backend("foo-prefix")),
            ("/aaa/bbb", "Prefix", backend("aaa-slash-bbb-prefix")),
            ("/aaa", "Prefix", backend("aaa-prefix")),
        ),
        rule(
            "mixed-path-rules",
            ("/foo", "Prefix", backend("foo-prefix")),
            ("/foo", "Exact", backend("foo-exact")),
        ),
        rule(
            "trailing-slash-path-rules",
            ("/aaa/bbb/", "Prefix", backend("aaa-slash-bbb-slash-prefix")),
            ("/foo/", "Exact", backend("foo-slash-exact")),
        ),
    ]
}
FOREIGN_CLASS = {
    "ingressClassName": "some-invalid-class-name",
    "rules": [rule("ingress-class", ("/", "Prefix", backend("echo-service")))],
}

DEFAULT = Scenario(
    "Default backend",
    "an Ingress without rules sends every request to its default back end",
    tuple(
        Request(f"http://{host}/{path}", "echo-service", method)
        for method, host, path in (
            ("GET", "my-host", ""),
            ("GET", "my-host", "sub-path"),
            ("POST", "some-host", ""),
            ("PUT", "", "resource"),
            ("DELETE", "some-host", "resource"),
            ("PATCH", "my-host", "resource"),
        )
    ),
)
HOSTS = tuple(
    Scenario("Host rules", fact, (Request(url, service),))
    for fact, url, service in (
        ("a host's requests go to its Service over TLS, with its certificate", "https://foo.bar.com/", "foo-bar-com"),
        ("and without TLS (a redirect is followed)", "http://foo.bar.com/", "foo-bar-com"),
        ("another host below the same domain is not matched", "http://subdomain.bar.com/", None),
        ("a wildcard matches one label in its place", "http://bar.foo.com/", "wildcard-foo-com"),
        ("a wildcard does not match two labels", "http://baz.bar.foo.com/", None),
        ("a wildcard does not match no label", "http://foo.com/", None),
    )
)
PATHS = tuple(
    Scenario("Path rules", fact, (Request(f"http://{host}-path-rules{path}", service),))
    for fact, host, path, service in (
        ("Exact /foo matches /foo", "exact", "/foo", "foo-exact"),
        ("Exact /foo does not match /foo/", "exact", "/foo/", None),
        ("Exact /foo does not match /FOO", "exact", "/FOO", None),
        ("Exact /foo does not match /bar", "exact", "/bar", None),
        ("Prefix /foo matches /foo", "prefix", "/foo", "foo-prefix"),
        ("Prefix /foo matches /foo/", "prefix", "/foo/", "foo-prefix"),
        ("Prefix /foo does not match /FOO", "prefix", "/FOO", None),
        ("of Prefix /aaa and /aaa/bbb the longer takes /aaa/bbb", "prefix", "/aaa/bbb", "aaa-slash-bbb-prefix"),
        ("and what is below it, /aaa/bbb/ccc", "prefix", "/aaa/bbb/ccc", "aaa-slash-bbb-prefix"),
        ("and the shorter takes /aaa/ccc", "prefix", "/aaa/ccc", "aaa-prefix"),
        ("Prefix /aaa does not match /aaaccc", "prefix", "/aaaccc", None),
        ("Prefix /foo keeps the slash of /foo/ for the back end", "prefix", "/foo/", "foo-prefix"),
        ("of Exact and Prefix /foo the Exact one takes /foo", "mixed", "/foo", "foo-exact"),
        ("Prefix /aaa/bbb/ matches /aaa/bbb", "trailing-slash", "/aaa/bbb", "aaa-slash-bbb-slash-prefix"),
        ("Prefix /aaa/bbb/ matches /aaa/bbb/", "trailing-slash", "/aaa/bbb/", "aaa-slash-bbb-slash-prefix"),
        ("Exact /foo/ does not match /foo", "trailing-slash", "/foo", None),
    )
)
CLASS = Scenario(
    "Ingress class",
    "an Ingress of a class that is not ours gets no address and is not served",
    (Request("http://ingress-class/"),),
)
BALANCING = Scenario(
    "Load balancing",
    f"after scaling from 1 to {PODS} Pods, {REQUESTS} requests reach every Pod",
    (Request("http://load-balancing/", "echo-service"),) * REQUESTS,
)
# The default back ends come last: an Ingress that is still going away with its namespace would answer everything else.
ALL = (*HOSTS, *PATHS, CLASS, DEFAULT, BALANCING)
