"""Certificates of clients, PROXY headers, classes, what a ConfigMap has wrong."""

import re

from .table import ask, case, group, ing, path, thing

TO = "https://b.example/no-certificate"


def asks_certificate(**more):
    named = {"auth-tls-secret": "default/clients"} | {key.replace("_", "-"): value for key, value in more.items()}
    return ing(named, tls="tls")


SUCCESS = {"ssl-client-verify": "SUCCESS", "ssl-client-subject-dn": "CN=authtls,O=cases",
    "ssl-client-issuer-dn": "CN=authority"}
CERTIFICATES = group(
    "client certificates",
    case("asked for", asks_certificate(), ask("/", 400, tls=True),
        ask("/", tls=True, shows="good", sent=SUCCESS | {"ssl-client-cert": None}),
        ask("/", 400, tls=True, shows="stranger"), ask("/", 308)),
    case("off", asks_certificate(auth_tls_verify_client="off"), ask("/", tls=True)),
    case("optional", asks_certificate(auth_tls_verify_client="optional"),
        ask("/", tls=True, sent={"ssl-client-verify": "NONE"}), ask("/", tls=True, shows="good", sent=SUCCESS),
        ask("/", 400, tls=True, shows="stranger")),
    case("optional_no_ca", asks_certificate(auth_tls_verify_client="optional_no_ca"), ask("/", tls=True),
        ask("/", tls=True, shows="stranger", sent={"ssl-client-verify": re.compile("^FAILED")}),
        ask("/", tls=True, shows="good", sent=SUCCESS)),
    case("a bad word is on", asks_certificate(auth_tls_verify_client="maybe"), ask("/", (400, 403, 503), tls=True)),
    case("an error page", asks_certificate(auth_tls_error_page=TO), ask("/", 302, tls=True, location=TO),
        ask("/", tls=True, shows="good")),
    case("passed on", asks_certificate(auth_tls_pass_certificate_to_upstream="true"),
        ask("/", tls=True, shows="good", sent={"ssl-client-cert": re.compile("^-----BEGIN%20CERTIFICATE-----%0A")})),
    case("a name that does not match", asks_certificate(auth_tls_match_cn="CN=notgonnamatch"),
        ask("/", 403, tls=True, shows="good")),
    case("a name that matches", asks_certificate(auth_tls_match_cn="CN=authtls"), ask("/", tls=True, shows="good")),
    case("one of names", asks_certificate(auth_tls_match_cn="CN=(itwillmatch|withthenextoption|authtls)"),
        ask("/", tls=True, shows="good")),
    case("a name in clear text", asks_certificate(auth_tls_match_cn="CN=authtls", ssl_redirect="false"), ask("/", 403)),
    case("the service that is asked hears of it", asks_certificate(auth_url="http://AUTH/"),
        ask("/", tls=True, shows="good",
            asked={"ssl-client-verify": "SUCCESS", "ssl-client-subject-dn": "CN=authtls,O=cases"})),
    case("with a password too", asks_certificate(auth_type="basic", auth_secret="users"), ask("/", 400, tls=True),
        ask("/", 401, tls=True, shows="good"), ask("/", tls=True, shows="good", login=("foo", "bar"))),
    case("a depth of 0", asks_certificate(auth_tls_verify_depth="0"), ask("/", tls=True, shows="good")),
    case("a bad depth", asks_certificate(auth_tls_verify_depth="deep"),
        ask("/", (200, 403, 503), tls=True, shows="good")),
    case("a Secret that is missing", asks_certificate(auth_tls_secret="default/missing"), ask("/", 403, tls=True)),
    case("a Secret of another namespace", asks_certificate(auth_tls_secret="other/clients"), ask("/", 403, tls=True)),
    case("other Ingresses of the host",
        ing({"auth-tls-secret": "default/clients"}, path("/a"), tls="tls", name="NAME-a"),
        ing(None, path("/b"), name="NAME-b"), ask("/b", 400, tls=True), ask("/b", tls=True, shows="good")),
    case("clear text is not guarded", asks_certificate(ssl_redirect="false"), ask("/")),
    case("what a client says itself", asks_certificate(),
        ask("/", tls=True, shows="good", fields={"ssl-client-subject-dn": "CN=eve"}, sent=SUCCESS)),
)

PROXIED = "PROXY TCP4 192.168.0.1 192.168.0.11 56324 1234"
PROXY = group(
    "proxy protocol",
    case("address and port", {},
        ask("/", proxied=PROXIED,
        sent={"x-forwarded-for": "192.168.0.1", "x-forwarded-port": "1234", "x-forwarded-proto": "http",
        "x-real-ip": "192.168.0.1"})),
    case("443 is https", {},
        ask("/", proxied="PROXY TCP4 192.168.0.1 192.168.0.11 56324 443",
        sent={"x-forwarded-port": "443", "x-forwarded-proto": "https"})),
    case("over TLS", ing(tls="tls"),
        ask("/", tls=True, proxied=PROXIED,
        sent={"x-forwarded-for": "192.168.0.1", "x-forwarded-port": "1234", "x-forwarded-proto": "https",
        "x-scheme": "https"})),
    case("for lists", {"whitelist-source-range": "192.168.0.0/24"}, ask("/", proxied=PROXIED),
        ask("/", 403, proxied="PROXY TCP4 10.0.0.1 10.0.0.2 1 80")),
    case("fields are not believed", {},
        ask("/", proxied=PROXIED, X_Forwarded_For="9.9.9.9", sent={"x-forwarded-for": "192.168.0.1"})),
    case("without one", {}, ask("/", 0)),
    keys={"use-proxy-protocol": "true"},
)


def of_class(name, annotation=None, **more):
    made = ing({"kubernetes.io/ingress.class": annotation} if annotation else None, **more)
    return thing_with_class(made, name)


def thing_with_class(made, name):
    return type(made)(made.text.replace('"spec": {', f'"spec": {{"ingressClassName": "{name}", ', 1)) if name else made


CLASSES = group(
    "classes",
    case("by name", of_class("nginx"), ask("/")),
    case("of another controller", of_class("other"), ask("/", 404)),
    case("that is not there", of_class("missing"), ask("/", 404)),
    case("none", ing(), ask("/", 404)),
    case("by annotation", of_class(None, "nginx"), ask("/")),
    case("by another annotation", of_class(None, "other"), ask("/", 404)),
    flags=["--ingress-class", "nginx", "--controller-class", "k8s.io/ingress-nginx"],
    things=[thing("IngressClass", "nginx", "networking.k8s.io/v1", spec={"controller": "k8s.io/ingress-nginx"}),
        thing("IngressClass", "other", "networking.k8s.io/v1", spec={"controller": "example.com/other"})],
)
CLASSLESS = group(
    "watch-ingress-without-class",
    case("none", ing(), ask("/")),
    case("another", of_class(None, "other"), ask("/", 404)),
    case("a slash at the end of a prefix", ing(None, path("/p/")),
        ask("/p", 301, location=re.compile("^http://HOST/p/$"))),
    flags=["--ingress-class", "nginx", "--controller-class", "k8s.io/ingress-nginx", "--watch-ingress-without-class"],
    things=[thing("IngressClass", "nginx", "networking.k8s.io/v1", spec={"controller": "k8s.io/ingress-nginx"})],
)
BY_NAME = group(
    "ingress-class-by-name",
    case("the name counts", of_class("nginx"), ask("/")),
    case("another", of_class(None, "other"), ask("/", 404)),
    flags=["--ingress-class", "nginx", "--controller-class", "k8s.io/ingress-nginx", "--ingress-class-by-name"],
    things=[thing("IngressClass", "nginx", "networking.k8s.io/v1", spec={"controller": "example.com/other"})],
)
NO_CATCH_ALL = group(
    "disable-catch-all",
    case("a default backend alone", ing(None, host=None, default="api"), ing(None, path("/a"), name="NAME-x"),
        ask("/", 404, host="nobody.at.all"), ask("/a")),
    case("beside rules", ing(None, path("/a"), default="api"), ask("/a", 404), ask("/b", 404)),
    flags=["--disable-catch-all"],
)
NO_EXTERNAL = group("disable-svc-external-name",
    case("refused", ing(None, path("/", "external", port="p")), ask("/", 503)), flags=["--disable-svc-external-name"])
REJECTED = group("ssl-reject-handshake",
    case("unknown names", ing(tls="tls"), ask("/", 0, tls=True, host="nobody.at.all"), ask("/", tls=True)),
    keys={"ssl-reject-handshake": "true"})

WRONG = group(
    "wrong keys",
    case("serve the default", {}, ask("/", answer={"strict-transport-security": None}),
        ask("/", 413, method="POST", body=b"x" * 1_048_577)),
    case("redirects too", ing(tls="tls"), ask("/", 308)),
    case("limits too", {"limit-rpm": "1", "limit-burst-multiplier": "1"}, ask("/", times=2), ask("/", 503)),
    keys={"proxy-body-size": "15r", "http-redirect-code": "999", "ssl-redirect": "maybe", "hsts": "perhaps",
        "hsts-max-age": "long", "limit-req-status-code": "99", "proxy-connect-timeout": "50k",
        "proxy-read-timeout": "20k",
          "use-gzip": "ja", "gzip-level": "99", "load-balance": "fair", "use-forwarded-headers": "ok",
          "no-such-key": "x", "keep-alive": "x", "add-headers": "missing", "proxy-set-headers": "no/such",
          "custom-http-errors": "a,b", "error-log-level": "debug", "worker-processes": "11"},
)

GROUPS = [CERTIFICATES, PROXY, CLASSES, CLASSLESS, BY_NAME, NO_CATCH_ALL, NO_EXTERNAL, REJECTED, WRONG]
