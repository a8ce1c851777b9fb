"""Redirects: to https, by hand, between names, of roots and slashes; HSTS and certificates."""

import re

from .table import ask, case, group, ing, path

TO = "https://b.example/x"
OLD, NEW = "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"
HTTPS = "https://HOST:HTTPS"


def tls(annotations=None, *paths, **more):
    return ing(annotations, *paths, tls="tls", **more)


TO_HTTPS = group(
    "ssl-redirect",
    case("a host with a certificate", tls(), ask("/", 308, location=f"{HTTPS}"),
        ask("/x?a=b", 308, location=f"{HTTPS}/x?a=b"), ask("/x/", 308, location=f"{HTTPS}/x"),
         ask("/x//", 308, location=f"{HTTPS}/x/"), ask("/x/?a=b/", 308, location=f"{HTTPS}/x/?a=b"), ask("/",
             tls=True), ask("/", 308, method="POST", location=HTTPS)),
    case("whatever port the client names", tls(), ask("/x", 308, host="HOST:1234", location=f"{HTTPS}/x")),
    case("a tls section without a Secret", ing(tls=True), ask("/", 308, location=HTTPS)),
    case("a Secret that is missing", ing(tls="missing"), ask("/", 308, location=HTTPS), ask("/", tls=True)),
    case("a Secret that is broken", ing(tls="junk"), ask("/", 308, location=HTTPS), ask("/", tls=True)),
    case("off", tls({"ssl-redirect": "false"}), ask("/")),
    case("off in other words", tls({"ssl-redirect": "0"}), ask("/")),
    case("off in capitals", tls({"ssl-redirect": "FALSE"}), ask("/")),
    case("a bad value is the default", tls({"ssl-redirect": "no"}), ask("/", 308)),
    case("without a certificate", {"ssl-redirect": "true"}, ask("/")),
    case("by another Ingress of the host", ing(None, path("/a"), name="NAME-a"), tls(None, path("/b"), name="NAME-b"),
        ask("/a", 308), ask("/b", 308)),
    case("one path off", tls({"ssl-redirect": "false"}, path("/a"), name="NAME-a"),
        tls(None, path("/b"), name="NAME-b"), ask("/a"), ask("/b", 308)),
    case("hosts of the Ingress that tls does not list", tls(None, path("/"), more=[("other.HOST", [path("/")])]),
        ask("/", 308, host="other.HOST", location="https://other.HOST:HTTPS")),
    case("force", {"force-ssl-redirect": "true"}, ask("/", 308, location=HTTPS), ask("/y/", 308, location=f"{HTTPS}/y"),
        ask("/", tls=True)),
    case("force, bad value", {"force-ssl-redirect": "yes"}, ask("/")),
    case("force goes before off", tls({"force-ssl-redirect": "true", "ssl-redirect": "false"}), ask("/", 308)),
    case("preserve-trailing-slash", tls({"preserve-trailing-slash": "true"}), ask("/", 308, location=f"{HTTPS}/"),
        ask("/x/", 308, location=f"{HTTPS}/x/"), ask("/x", 308, location=f"{HTTPS}/x")),
    case("use-port-in-redirects off", tls({"use-port-in-redirects": "false"}),
        ask("/x", 308, location="https://HOST/x")),
    case("acme challenges stay", tls(None, path("/.well-known/acme-challenge"), path("/")),
        ask("/.well-known/acme-challenge/x"), ask("/", 308)),
    case("what the header says is not believed", tls(), ask("/", 308, X_Forwarded_Proto="https")),
    case("an alias", tls({"server-alias": "alias.HOST"}),
        ask("/x", 308, host="alias.HOST", location="https://alias.HOST:HTTPS/x")),
    case("an unknown path of the host", tls(None, path("/a")), ask("/b", 308), ask("/b", 404, tls=True)),
    case("escapes stay", tls(), ask("/a%20b?c=%2F", 308, location=f"{HTTPS}/a%20b?c=%2F")),
)

HSTS = group(
    "hsts",
    case("over TLS alone", tls(),
        ask("/", tls=True, answer={"strict-transport-security": "max-age=31536000; includeSubDomains"}),
         ask("/", 308, answer={"strict-transport-security": None})),
    case("without TLS none", {}, ask("/", answer={"strict-transport-security": None})),
    case("in place of the back end's", tls(),
        ask("/", tls=True, want={"fields": [["Strict-Transport-Security", "max-age=1"]]},
        answer={"strict-transport-security": "max-age=31536000; includeSubDomains"})),
    case("on errors too", tls(None, path("/", "gone")),
        ask("/", 503, tls=True, answer={"strict-transport-security": "max-age=31536000; includeSubDomains"})),
    case("on a path that is not there", tls(None, path("/a")),
        ask("/b", 404, tls=True, answer={"strict-transport-security": "max-age=31536000; includeSubDomains"})),
    flags=["--default-ssl-certificate", "default/tls"],
)

BY_HAND = group(
    "redirects",
    case("permanent", {"permanent-redirect": TO}, ask("/", 301, location=TO), ask("/a?b=c", 301, location=TO),
        ask("/", 301, method="POST", location=TO)),
    *(case(f"permanent, code {code}", {"permanent-redirect": TO, "permanent-redirect-code": code},
        ask("/", status, location=TO))
      for code, status in (("300", 300), ("302", 302), ("303", 303), ("304", 304), ("307", 307), ("308", 308),
          ("299", 301), ("309", 301), ("418", 301), ("", 301), ("x", 301), ("200", 301))),
    case("permanent to a path", {"permanent-redirect": "/something"},
        ask("/else", 301, location="http://HOST/something")),
    case("permanent to a path, with a port in Host", {"permanent-redirect": "/something"},
        ask("/else", 301, host="HOST:8080", location="http://HOST/something")),
    case("permanent to a path, over TLS", tls({"permanent-redirect": "/something"}),
        ask("/else", 301, tls=True, location="https://HOST/something")),
    case("permanent with a query", {"permanent-redirect": "https://b.example/x?a=b&c=d"},
        ask("/?q", 301, location="https://b.example/x?a=b&c=d")),
    case("temporal with a query, over TLS", tls({"temporal-redirect": "https://b.example/?a=b"}),
        ask("/", 302, tls=True, location="https://b.example/?a=b"), ask("/", 302, location="https://b.example/?a=b")),
    case("permanent beside CORS and a rewrite", {"permanent-redirect": TO, "rewrite-target": "/y"},
        ask("/", 301, location=TO)),
    case("permanent to a path, relative", {"permanent-redirect": "/something", "relative-redirects": "true"},
        ask("/else", 301, location="/something")),
    case("permanent with characters that it must not have", {"permanent-redirect": "https://b.example/$x"},
        ask("/", 200)),
    case("permanent, empty", {"permanent-redirect": ""}, ask("/")),
    case("temporal", {"temporal-redirect": TO}, ask("/a?b=c", 302, location=TO)),
    *(case(f"temporal, code {code}", {"temporal-redirect": TO, "temporal-redirect-code": code},
        ask("/", status, location=TO))
      for code, status in (("301", 301), ("303", 303), ("307", 307), ("308", 302), ("418", 302), ("299", 302),
          ("x", 302))),
    case("temporal before permanent", {"temporal-redirect": TO, "permanent-redirect": "https://c.example"},
        ask("/", 302, location=TO)),
    case("temporal that is no URL", {"temporal-redirect": "ftp://b.example", "permanent-redirect": "https://c.example"},
        ask("/", (200, 301))),
    case("before the redirect to https", tls({"permanent-redirect": TO}), ask("/", 301, location=TO),
        ask("/", 301, location=TO, tls=True)),
    case("before authentication", {"permanent-redirect": TO, "auth-type": "basic", "auth-secret": "users"},
        ask("/", 301, location=TO)),
    case("on its path alone", ing({"permanent-redirect": TO}, path("/old"), name="NAME-a"),
        ing(None, path("/"), name="NAME-b"), ask("/old", 301), ask("/new")),
    case("app-root", {"app-root": "/foo"}, ask("/", 302, location="http://HOST/foo"),
        ask("/?x=1", 302, location="http://HOST/foo"), ask("/bar"), ask("/foo")),
    case("app-root keeps the port of Host", {"app-root": "/foo"},
        ask("/", 302, host="HOST:8080", location="http://HOST:8080/foo")),
    case("app-root over TLS", tls({"app-root": "/foo"}), ask("/", 302, tls=True, location="https://HOST/foo"),
        ask("/", 302, location="http://HOST/foo")),
    case("app-root without a slash", {"app-root": "foo"}, ask("/")),
    case("app-root with a variable", {"app-root": "/foo$is_args$args"},
        ask("/?x=1", 302, location="http://HOST/foo?x=1"), ask("/", 302, location="http://HOST/foo")),
    case("app-root of an Ingress that has not the root", ing({"app-root": "/foo"}, path("/foo"), name="NAME-a"),
        ing(None, path("/"), name="NAME-b"), ask("/", 302)),
    case("from-to-www from www", {"from-to-www-redirect": "true"},
        ask("/foo", 308, host="www.HOST", location="http://HOST:HTTP/foo"),
        ask("/", 308, host="www.HOST", location="http://HOST:HTTP"), ask("/foo")),
    case("from-to-www to www", ing({"from-to-www-redirect": "true"}, host="www.HOST"),
        ask("/foo?a=b", 308, location="http://www.HOST:HTTP/foo?a=b"), ask("/", host="www.HOST")),
    case("from-to-www over TLS", tls({"from-to-www-redirect": "true"}),
        ask("/", 308, host="www.HOST", tls=True, location="https://HOST:HTTPS")),
    case("from-to-www where the other is a host", ing({"from-to-www-redirect": "true"}, name="NAME-a"),
        ing(None, path("/", "api"), host="www.HOST", name="NAME-b"), ask("/", host="www.HOST", by="api"),
        ask("/", by="web")),
    case("from-to-www of a host with a path", ing({"from-to-www-redirect": "true"}, path("/app")),
        ask("/app/x?y", 308, host="www.HOST", location="http://HOST:HTTP/app/x?y"), ask("/app/x"), ask("/", 404)),
    case("from-to-www in any letter case", {"from-to-www-redirect": "true"},
        ask("/x", 308, host="WWW.HOST", location="http://HOST:HTTP/x")),
    case("from-to-www off", {"from-to-www-redirect": "false"}, ask("/", 404, host="www.HOST")),
    case("from-to-www, bad value", {"from-to-www-redirect": "yes"}, ask("/", 404, host="www.HOST"), ask("/")),
    case("a slash at the end of a prefix", ing(None, path("/p/")), ask("/p", (200, 301)), ask("/p/x")),
    case("a slash at the end of a prefix, as nginx", ing({"fairlead.dev/trailing-slash-redirect": "true"}, path("/p/")),
        ask("/p", 301, location=re.compile("^http://HOST(:HTTP)?/p/$")),
        ask("/p?a=b", 301, location=re.compile(r"/p/\?a=b$"))),
)

KEYS = group(
    "redirect keys",
    case("http-redirect-code", tls(), ask("/x", 301)),
    case("http-redirect-code of www", {"from-to-www-redirect": "true"}, ask("/", 301, host="www.HOST")),
    case("no-tls-redirect-locations", tls(None, path("/check-no-tls"), path("/")), ask("/check-no-tls"),
        ask("/check-no-tls/x"), ask("/x", 301)),
    case("it replaces the default", tls(None, path("/.well-known/acme-challenge")),
        ask("/.well-known/acme-challenge", 301)),
    case("preserve-trailing-slash", tls(), ask("/x/", 301, location="https://HOST/x/")),
    case("relative-redirects", {"permanent-redirect": "/y"}, ask("/x", 301, location="/y")),
    case("an annotation goes before", ing({"permanent-redirect": "/y", "relative-redirects": "false"}),
        ask("/x", 301, location="http://HOST/y")),
    case("app-root", {}, ask("/", 302, location="http://HOST/start")),
    case("app-root of an annotation", {"app-root": "/own"}, ask("/", 302, location="http://HOST/own")),
    keys={"http-redirect-code": "301", "no-tls-redirect-locations": "/check-no-tls,/other",
        "preserve-trailing-slash": "true", "relative-redirects": "true", "use-port-in-redirects": "false",
        "app-root": "/start"},
)

OFF = group(
    "ssl-redirect off by key",
    case("nobody is sent to https", tls(), ask("/")),
    case("but who asks for it", tls({"ssl-redirect": "true"}), ask("/", 307)),
    case("or forces it", {"force-ssl-redirect": "true"}, ask("/", 307)),
    case("hsts is off", tls(), ask("/", tls=True, answer={"strict-transport-security": None})),
    case("hsts of the back end passes", tls(),
        ask("/", tls=True, want={"fields": [["Strict-Transport-Security", "max-age=1"]]},
        answer={"strict-transport-security": "max-age=1"})),
    keys={"ssl-redirect": "false", "hsts": "false", "http-redirect-code": "307"},
    flags=["--default-ssl-certificate", "default/tls"],
)

FORCED = group(
    "force-ssl-redirect by key",
    case("everybody is sent to https", {}, ask("/", 308)),
    case("but who says no", {"force-ssl-redirect": "false"}, ask("/")),
    case("hsts words", {}, ask("/", tls=True, answer={"strict-transport-security": "max-age=86400; preload"})),
    keys={"force-ssl-redirect": "true", "hsts-max-age": "86400", "hsts-include-subdomains": "false",
        "hsts-preload": "true", "http-redirect-code": "200"},
    flags=["--default-ssl-certificate", "default/tls"],
)

FORWARDED = group(
    "redirects behind a proxy",
    case("https there is https", tls(), ask("/", X_Forwarded_Proto="https"), ask("/", 308, X_Forwarded_Proto="http"),
        ask("/", 308)),
    case("forced likewise", {"force-ssl-redirect": "true"}, ask("/", X_Forwarded_Proto="https"), ask("/", 308)),
    case("the host that it says", tls({"use-port-in-redirects": "false"}),
        ask("/", 308, X_Forwarded_Host="example.com:80", location="https://example.com")),
    case("another scheme is none", tls(), ask("/", X_Forwarded_Proto="myproto")),
    case("app-root has its scheme", {"app-root": "/foo"},
        ask("/", 302, X_Forwarded_Proto="https", location=re.compile("^https?://HOST/foo$"))),
    keys={"use-forwarded-headers": "true"},
)

GROUPS = [TO_HTTPS, HSTS, BY_HAND, KEYS, OFF, FORCED, FORWARDED]
