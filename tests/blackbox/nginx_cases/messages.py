"""Messages as such: methods, forms of targets, lengths; and what stands on answers that are ours."""

import re

from .table import ask, case, config_map, group, ing, path, thing

A = "https://a.example"
CORS = {"enable-cors": "true"}
ALLOWED = {"access-control-allow-origin": "*"}
SET = {"custom-headers": "default/set"}
THERE = {"x-set": "yes"}
USERS = {"auth-type": "basic", "auth-secret": "users"}
NOT_HERE = {"whitelist-source-range": "10.0.0.0/8"}
ONCE = {"limit-rpm": "1", "limit-burst-multiplier": "1"}
CLOSE = "Connection: close\r\n\r\n"


def raw(line: str, status, *fields: str, **more):
    text = "\r\n".join([line, *(fields or ("Host: HOST",))]) + "\r\n" + CLOSE
    return ask(line, status, raw=text, **more)


MESSAGES = group(
    "messages",
    case("methods that are none for a proxy", {}, raw("TRACE / HTTP/1.1", 405),
        raw("CONNECT a.example:443 HTTP/1.1", (400, 405))),
    case("a method of its own", {}, ask("/", method="PURGE", verb="PURGE"),
        ask("/", method="PROPFIND", verb="PROPFIND")),
    case("an absolute target", {}, raw("GET http://HOST/x?y HTTP/1.1", 200, path="/x?y")),
    case("HTTP/1.0", {}, raw("GET / HTTP/1.0", 200)),
    case("HTTP/1.0 without a host", {}, raw("GET / HTTP/1.0", 404, "X-A: b")),
    case("HTTP/1.1 without a host", {}, raw("GET / HTTP/1.1", 400, "X-A: b")),
    case("two hosts", {}, raw("GET / HTTP/1.1", 400, "Host: HOST", "Host: HOST")),
    case("a host that is none", {}, raw("GET / HTTP/1.1", 400, "Host: a b")),
    case("no version that we know", {}, raw("GET / HTTP/9.9", (400, 505))),
    case("a target that is too long", {}, raw("GET /" + "x" * 40000 + " HTTP/1.1", 414)),
    case("a head that is too long", {}, raw("GET / HTTP/1.1", (400, 431), "Host: HOST", "X-Long: " + "x" * 40000)),
    case("a target that climbs", {}, raw("GET /../x HTTP/1.1", 400)),
    case("a bad escape", {}, raw("GET /%zz HTTP/1.1", 400)),
    case("a zero octet", {}, raw("GET /%00 HTTP/1.1", 400)),
    case("OPTIONS of the server", {}, raw("OPTIONS * HTTP/1.1", (200, 400, 404))),
    case("parts and conditions pass", {},
        ask("/", Range="bytes=0-1", If_None_Match='"a"', sent={"range": "bytes=0-1", "if-none-match": '"a"'})),
    case("304 passes", {},
        ask("/", 304, want={"status": 304, "text": "", "fields": [["ETag", '"a"']]}, answer={"etag": '"a"'})),
    case("204 passes", {}, ask("/", 204, want={"status": 204, "text": ""})),
    case("HEAD has no body", {}, ask("/", method="HEAD", answer={"content-type": "application/json"})),
    case("fields of answers pass", {},
        ask("/", want={"fields": [["X-A", "1"], ["X-A", "2"], ["Cache-Control", "no-store"]]},
        answer={"x-a": ["1", "2"], "cache-control": "no-store"})),
    case("a page of ours", ing(None, path("/a")),
        ask("/b", 404, text="<center><h1>404 Not Found</h1></center>",
        answer={"content-type": re.compile("^text/html")})),
    case("a body in chunks", {}, ask("/", method="POST", body=b"x" * 3000, chunked=True, received=3000)),
    case("upstream-hash-by keeps to one", ing({"upstream-hash-by": "$arg_user"}, path("/", "NAME-two")),
        ask("/?user=7"), ask("/?user=7", by="THE-LAST", times=6)),
)

ON_OURS = group(
    "fields of answers that are ours",
    *(case(f"{name} on {what}", ing(common | more, *paths, tls=tls), *asks)
      for name, common, expected in (("custom-headers", SET, THERE), ("CORS", CORS, ALLOWED))
      for what, more, paths, tls, asks in (
          ("401", USERS, (), False, [ask("/", 401, answer=expected)]),
          ("403", NOT_HERE, (), False, [ask("/", 403, answer=expected)]),
          ("a limit", ONCE, (), False, [ask("/", times=2), ask("/", 503, answer=expected)]),
          ("no endpoint", {}, (path("/", "gone"),), False, [ask("/", 503, answer=expected)]),
          ("502", {}, (path("/", "refused"),), False, [ask("/", 502, answer=expected)]),
          ("the redirect to https", {}, (), "tls", [ask("/", 308, answer=expected)]),
          ("a redirect", {"permanent-redirect": "https://b.example"}, (), False, [ask("/", 301, answer=expected)]),
          ("413", {"proxy-body-size": "1k"}, (), False,
              [ask("/", 413, method="POST", body=b"x" * 2000, answer=expected)]),
          ("an error of the back end", {}, (), False, [ask("/", 500, want={"status": 500}, answer=expected)]),
      )),
    case("HSTS on a redirect", ing({"permanent-redirect": "https://b.example"}, tls="tls"),
        ask("/", 301, tls=True, answer={"strict-transport-security": "max-age=31536000; includeSubDomains"})),
    case("HSTS on 401", ing(USERS, tls="tls"),
        ask("/", 401, tls=True, answer={"strict-transport-security": "max-age=31536000; includeSubDomains"})),
    case("a preflight has both", ing(CORS | SET), ask("/", 204, method="OPTIONS", Origin=A, answer=ALLOWED | THERE)),
    keys={"global-allowed-response-headers": "X-Set"},
    flags=["--default-ssl-certificate", "default/tls"],
    things=[config_map("set", **{"X-Set": "yes"})],
)

ACROSS = group(
    "other namespaces",
    case("auth-secret", {"auth-type": "basic", "auth-secret": "other/users"}, ask("/", 401),
        ask("/", login=("foo", "bar"))),
    case("auth-proxy-set-headers", {"auth-url": "http://AUTH/", "auth-proxy-set-headers": "other/sends"},
        ask("/", asked={"x-sent": "1"})),
    case("one that is missing", {"auth-type": "basic", "auth-secret": "other/missing"}, ask("/", 503)),
    keys={"allow-cross-namespace-resources": "true"},
    things=[
        config_map("sends", **{"X-Sent": "1"}).within("other"),
        thing("Secret", "users", data={"auth": "Zm9vOntTSEF9WXMyM0FnLzVJT1dxWkN3OVFHYVZEZEh3SDAwPQo="}).within("other"),
    ],
)

PREFIX = group(
    "annotations-prefix",
    case("another", ing({"my.example/permanent-redirect": "https://b.example"}), ask("/", 301)),
    case("the usual one is none", ing({"nginx.ingress.kubernetes.io/permanent-redirect": "https://b.example"}),
        ask("/")),
    flags=["--annotations-prefix", "my.example"],
)
NO_HTTP2 = group("keep-alive: 0", case("ends each connection", {}, ask("/", answer={"connection": "close"})),
    keys={"keep-alive": "0", "use-http2": "false"})
SNIPPETS = group(
    "snippets of keys",
    case("http-snippet, location-snippet", {}, ask("/", answer={"x-http": "h", "x-location": "l"})),
    keys={"http-snippet": 'more_set_headers "X-Http: h";', "location-snippet": 'more_set_headers "X-Location: l";'},
)

GROUPS = [MESSAGES, ON_OURS, ACROSS, PREFIX, NO_HTTP2, SNIPPETS]
