"""Where ingress-nginx is left on purpose: guards fail closed, nobody is believed unasked, answers say more."""

import re

from .table import ask, case, group, ing, path

AUTH = {"auth-url": "http://AUTH/verify"}
BASIC = {"auth-type": "basic", "auth-secret": "users"}
NAMED = re.compile(".")


def closed(name, annotations):
    return case(f"{name} closes", annotations, ask("/", 503))


CLOSED = group(
    "guards fail closed",
    closed("auth-cache-duration, bad", AUTH | {"auth-cache-key": "x", "auth-cache-duration": "soon"}),
    closed("auth-request-redirect, bad", AUTH | {"auth-request-redirect": "$nobody"}),
    closed("auth-always-set-cookie, bad", AUTH | {"auth-always-set-cookie": "maybe"}),
    closed("auth-method, bad", AUTH | {"auth-method": "FETCH"}),
    closed("auth-secret-type, bad", BASIC | {"auth-secret-type": "auth-maps"}),
    closed("auth-realm with quotes", BASIC | {"auth-realm": 'a"b'}),
    closed("satisfy, bad", BASIC | {"satisfy": "some"}),
    closed("limit-rps, negative", {"limit-rps": "-1"}),
    closed("limit-rpm, bad", {"limit-rpm": "1.5"}),
    closed("limit-connections, bad", {"limit-connections": "x"}),
    closed("limit-whitelist, bad", {"limit-rps": "5", "limit-whitelist": "a.example"}),
    closed("allowlist-source-range, bad", {"allowlist-source-range": "10.0.0.0/8 and more"}),
    closed("enable-modsecurity", {"enable-modsecurity": "true"}),
    closed("enable-owasp-core-rules", {"enable-owasp-core-rules": "true"}),
    closed("modsecurity-snippet", {"modsecurity-snippet": "SecRuleEngine On"}),
    closed("auth-snippet with lua", AUTH | {"auth-snippet": "access_by_lua_block { }"}),
    case("only the paths of the Ingress", ing(BASIC | {"auth-secret": "missing"}, path("/a"), name="NAME-a"),
        ing(None, path("/b"), name="NAME-b"), ask("/a", 503), ask("/b")),
    case("also over its redirect to https", ing(BASIC | {"auth-secret": "missing"}, tls="tls"), ask("/", 503),
        ask("/", 503, tls=True)),
    case("what tunes keeps its default", {"proxy-read-timeout": "x", "proxy-body-size": "y", "proxy-buffering": "z",
        "proxy-next-upstream": "w", "load-balance": "v", "affinity": "u", "ssl-redirect": "t", "use-regex": "s",
        "enable-cors": "r", "canary-weight": "q", "upstream-vhost": "p p", "proxy-http-version": "9"}, ask("/")),
)

MORE = group(
    "answers say more",
    case("Vary where a list of origins decides", {"enable-cors": "true", "cors-allow-origin": "https://a.example"},
        ask("/", Origin="https://a.example", answer={"vary": "Origin"}), ask("/", answer={"vary": "Origin"})),
    case("no Vary where none does", {"enable-cors": "true"},
        ask("/", Origin="https://a.example", answer={"vary": None})),
    case("when to come back", {"limit-rpm": "1", "limit-burst-multiplier": "1"}, ask("/", times=2),
        ask("/", 503, answer={"retry-after": NAMED, "ratelimit": NAMED})),
    case("no HSTS with a certificate that we made", {}, ask("/", tls=True, answer={"strict-transport-security": None})),
    case("HSTS with one of a Secret", ing(tls="tls"), ask("/", tls=True, answer={"strict-transport-security": NAMED})),
    case("no version in pages", ing(None, path("/a")), ask("/b", 404, answer={"server": None})),
)

BELIEVED = group(
    "nobody is believed unasked",
    case("a prefix", {}, ask("/", X_Forwarded_Prefix="/x", sent={"x-forwarded-prefix": None})),
    case("Forwarded", {}, ask("/", Forwarded="for=1.2.3.4", sent={"forwarded": None})),
    case("an original URI", {}, ask("/", X_Original_URI="/x", sent={"x-original-uri": None})),
    case("a request id that is none", {},
        ask("/", X_Request_ID="a b;c", sent={"x-request-id": re.compile("^[0-9a-f]{32}$")})),
    case("names that look like ours", {},
        ask("/", fields={"X_Forwarded_For": "1.2.3.4"}, sent={"x_forwarded_for": None})),
    case("fields that Connection names", {}, ask("/", fields={"Connection": "X-A", "X-A": "1"}, sent={"x-a": None})),
)

SLASH = group(
    "trailing-slash-redirect",
    case("a prefix with a slash", ing(None, path("/p/"), path("/", "api")), ask("/p", 301, location="http://HOST/p/"),
        ask("/p/x", by="web"), ask("/q", by="api")),
    case("not where another path is that one", ing(None, path("/p/"), path("/p", "api", "Exact")), ask("/p", by="api")),
    keys={"trailing-slash-redirect": "true"},
)

GROUPS = [CLOSED, MORE, BELIEVED, SLASH]
