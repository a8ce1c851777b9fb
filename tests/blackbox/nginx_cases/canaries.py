"""Canaries: by header, cookie and weight, and what goes before what."""

from .table import ask, case, group, ing, path

CANARY = {"canary": "true"}


def pair(canary, *paths, main=None, kind="Prefix", service="NAME-canary"):
    """An Ingress, and a canary beside it."""
    at = paths[0] if paths else "/info"
    return ing(main, path(at, "NAME-web", kind), name="NAME-main"), ing(CANARY | canary, path(at, service, kind),
        name="NAME-canary")


HEADER = {"canary-by-header": "CanaryByHeader"}
COOKIE = {"canary-by-cookie": "Canary-By-Cookie"}
VALUE = HEADER | {"canary-by-header-value": "DoCanary"}
PATTERN = HEADER | {"canary-by-header-pattern": "^Do[A-Z][a-z]+y$"}


def on(value, by, **more):
    return ask("/info", by=by, fields={"CanaryByHeader": value} | more)


def with_cookie(value, by, **more):
    return ask("/info", by=by, fields={"Cookie": f"Canary-By-Cookie={value}"} | more)


CANARIES = group(
    "canary",
    case("a header as a variable of nginx names it", *pair({"canary-by-header": "Canary_By_It"}),
        ask("/info", by="canary", fields={"Canary-By-It": "always"}), ask("/info", by="web")),
    case("by header", *pair(HEADER), ask("/info", by="web"), on("always", "canary"), on("never", "web"),
        on("badheadervalue", "web"), on("Always", "web"), on("", "web")),
    case("of the same name in other letters", *pair(HEADER),
        ask("/info", by="canary", fields={"canarybyheader": "always"})),
    case("made before the main one",
        ing(CANARY | HEADER, path("/info", "NAME-canary"), name="NAME-a", created="2020-01-01T00:00:00Z"),
        ing(None, path("/info", "NAME-web"), name="NAME-b", created="2021-01-01T00:00:00Z"), on("always", "canary"),
        on("never", "web")),
    case("alone", ing(CANARY | HEADER, path("/info", "NAME-canary")),
        ask("/info", 404, fields={"CanaryByHeader": "always"}), ask("/info", 404)),
    case("of another path", ing(None, path("/info", "NAME-web"), name="NAME-a"),
        ing(CANARY | HEADER, path("/other", "NAME-canary"), name="NAME-b"), on("always", "web"),
        ask("/other", 404, fields={"CanaryByHeader": "always"})),
    case("of another kind of path", ing(None, path("/info", "NAME-web"), name="NAME-a"),
        ing(CANARY | HEADER, path("/info", "NAME-canary", "Exact"), name="NAME-b"), on("always", "web")),
    case("of another host", ing(None, path("/info", "NAME-web"), name="NAME-a"),
        ing(CANARY | HEADER, path("/info", "NAME-canary"), host="x.HOST", name="NAME-b"), on("always", "web"),
        ask("/info", 404, host="x.HOST")),
    case("header with a value", *pair(VALUE), on("DoCanary", "canary"), on("always", "web"), on("never", "web"),
        on("docanary", "web"), on("other", "web"), ask("/info", by="web")),
    case("header with a pattern", *pair(PATTERN), on("DoCanary", "canary"), on("Docanary", "web"), on("always", "web")),
    case("a pattern is found anywhere", *pair(HEADER | {"canary-by-header-pattern": "an+a"}), on("banana", "canary"),
        on("b", "web")),
    case("a value goes before a pattern", *pair(PATTERN | {"canary-by-header-value": "DoCanary"}),
        on("DoCananry", "web"), on("DoCanary", "canary")),
    case("a pattern that is none: the main one at once",
        *pair(HEADER | COOKIE | {"canary-by-header-pattern": "[][**da?$&*"}),
        on("DoCanary", "web", Cookie="Canary-By-Cookie=always")),
    case("header with a value, then cookie", *pair(VALUE | {"canary-by-cookie": "Canary-By-Cookie"}),
        on("other", "canary", Cookie="Canary-By-Cookie=always"),
        on("DoCanary", "canary", Cookie="Canary-By-Cookie=never")),
    case("header, then cookie", *pair(HEADER | COOKIE), on("never", "web", Cookie="Canary-By-Cookie=always"),
        on("always", "canary", Cookie="Canary-By-Cookie=never"), on("x", "canary", Cookie="Canary-By-Cookie=always"),
        with_cookie("always", "canary")),
    case("by cookie", *pair(COOKIE), with_cookie("always", "canary"), with_cookie("never", "web"),
        with_cookie("badcookievalue", "web"), ask("/info", by="web")),
    case("cookie, then weight", *pair(COOKIE | {"canary-weight": "100"}), with_cookie("never", "web"),
        with_cookie("x", "canary"), ask("/info", by="canary")),
    case("header, then weight", *pair(HEADER | {"canary-weight": "100"}), on("never", "web"), on("x", "canary"),
        ask("/info", by="canary")),
    case("value, then weight", *pair(VALUE | {"canary-weight": "100"}), on("x", "canary"), on("never", "canary")),
    case("weight 0", *pair({"canary-weight": "0"}), ask("/info", by="web", times=20)),
    case("weight 100", *pair({"canary-weight": "100"}), ask("/info", by="canary", times=20)),
    case("weight of a total", *pair({"canary-weight": "1000", "canary-weight-total": "1000"}),
        ask("/info", by="canary", times=20)),
    case("a total under 100 counts as 100", *pair({"canary-weight": "10", "canary-weight-total": "10"}),
        ask("/info", (200,))),
    case("weight over 100", *pair({"canary-weight": "150"}), ask("/info", by="canary", times=10)),
    case("a bad weight is none", *pair({"canary-weight": "half"}), ask("/info", by="web", times=10)),
    case("without rules", *pair({}), ask("/info", by="web", times=5)),
    case("false", ing(None, path("/info", "NAME-web"), name="NAME-b"),
        ing({"canary": "false"} | HEADER, path("/info", "NAME-canary"), name="NAME-a"), on("always", "web")),
    case("switched off with a weight", ing(None, path("/info", "NAME-web"), name="NAME-b"),
        ing({"canary": "false", "canary-weight": "100"}, path("/info", "NAME-canary"), name="NAME-a"),
        ask("/info", by="web", times=5)),
    case("without a Service", *pair(HEADER, service="no-such-service"), on("always", "web")),
    case("without endpoints", *pair(HEADER, service="gone"), on("always", "web")),
    case("the main one without endpoints", ing(None, path("/info", "gone"), name="NAME-a"),
        ing(CANARY | HEADER, path("/info", "NAME-canary"), name="NAME-b"),
        ask("/info", 503, fields={"CanaryByHeader": "always"}), ask("/info", 503)),
    case("only of the balancing",
        *pair(HEADER | {"rewrite-target": "/else", "permanent-redirect": "https://b.example"}),
        ask("/info", by="canary", path="/info", fields={"CanaryByHeader": "always"})),
    case("settings of the main one hold", *pair(HEADER, main={"rewrite-target": "/main"}),
        ask("/info", by="canary", path="/main", fields={"CanaryByHeader": "always"}),
        ask("/info", by="web", path="/main")),
    case("authentication of the main one holds", *pair(HEADER, main={"auth-type": "basic", "auth-secret": "users"}),
        ask("/info", 401, fields={"CanaryByHeader": "always"}),
        ask("/info", by="canary", login=("foo", "bar"), fields={"CanaryByHeader": "always"})),
    case("of the first of two", ing(None, path("/info", "NAME-web"), name="NAME-main"),
        ing(CANARY | HEADER, path("/info", "NAME-canary"), name="NAME-b", created="2020-01-01T00:00:00Z"),
         ing(CANARY | {"canary-by-header": "Other"}, path("/info", "NAME-api"), name="NAME-a",
             created="2021-01-01T00:00:00Z"), on("always", "canary"),
             ask("/info", by="web", fields={"Other": "always"})),
    case("of a regular expression",
        ing({"use-regex": "true"}, path("/v[0-9]+", "NAME-web", "ImplementationSpecific"), name="NAME-a"),
        ing(CANARY | HEADER, path("/v[0-9]+", "NAME-canary", "ImplementationSpecific"), name="NAME-b"),
         ask("/v1", by="web"), ask("/v1", by="canary", fields={"CanaryByHeader": "always"})),
    case("another port of the same Service",
        ing(None, path("/info", "NAME-web"), name="NAME-main"),
        ing(CANARY | HEADER, path("/info", "NAME-canary", port="http"), name="NAME-canary"), on("always", "canary")),
    case("over TLS", ing(None, path("/info", "NAME-web"), name="NAME-main", tls="tls"),
        ing(CANARY | HEADER, path("/info", "NAME-canary"), name="NAME-canary"),
        ask("/info", by="canary", tls=True, fields={"CanaryByHeader": "always"}), ask("/info", 308)),
    case("asked for by a service", *pair(HEADER, main={"auth-url": "http://AUTH/"}), on("always", "canary")),
    case("beside a redirect of the main one", *pair(HEADER, main={"permanent-redirect": "https://b.example"}),
        ask("/info", 301, fields={"CanaryByHeader": "always"})),
    case("of two hosts", ing(None, path("/info", "NAME-web"), name="NAME-main", more=[("two.HOST", [path("/info", "NAME-web")])]),
        ing(CANARY | HEADER, path("/info", "NAME-canary"), name="NAME-canary"), on("always", "canary"),
        ask("/info", by="canary", host="two.HOST", fields={"CanaryByHeader": "always"})),
    case("of a header that comes twice", *pair(HEADER),
        ask("/info", (200,), fields={"CanaryByHeader": ["always", "always"]})),
)

GROUPS = [CANARIES]
