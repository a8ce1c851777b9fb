"""Fields that back ends get, and who is believed."""

import re

from .table import ask, case, config_map, group, ing, path

SENT = {"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1", "x-forwarded-host": "HOST",
    "x-forwarded-port": "HTTP", "x-forwarded-proto": "http", "x-forwarded-scheme": "http", "x-scheme": "http",
    "host": "HOST"}
CLIENT = {"X-Forwarded-Port": "1234", "X-Forwarded-Proto": "myproto", "X-Forwarded-Scheme": "myproto",
    "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "myhost"}

NOBODY = group(
    "forwarded fields",
    case("of a client", {},
        ask("/", sent=SENT | {"x-request-id": re.compile("^[0-9a-f]{32}$"), "x-original-forwarded-for": None,
        "connection": None, "x-original-uri": None})),
    case("what it says is not believed", {},
        ask("/", fields=CLIENT,
        sent=SENT | {"x-original-forwarded-for": "1.2.3.4", "x-original-forwarded-host": "myhost"})),
    case("over TLS", ing(tls="tls"),
        ask("/", tls=True,
        sent={"x-forwarded-port": "443", "x-forwarded-proto": "https", "x-scheme": "https",
        "x-forwarded-scheme": "https"})),
    case("a request id that it has", {}, ask("/", X_Request_ID="mine", sent={"x-request-id": "mine"})),
    case("Host with a port", {},
        ask("/", host="HOST:8080", sent={"host": "HOST:8080", "x-forwarded-host": re.compile("^HOST(:8080)?$")})),
    case("X-Real-IP", {}, ask("/", X_Real_IP="9.9.9.9", sent={"x-real-ip": "127.0.0.1"})),
    case("Proxy goes", {}, ask("/", Proxy="x", sent={"proxy": None})),
    case("names with underscores go", {},
        ask("/", fields={"My_Field": "1", "My-Field": "2"}, sent={"my_field": None, "my-field": "2"})),
    case("ssl-client fields go", {},
        ask("/", fields={"ssl-client-verify": "SUCCESS"}, sent={"ssl-client-verify": None})),
    case("upstream-vhost", {"upstream-vhost": "upstreamvhost.bar.com"},
        ask("/", sent={"host": "upstreamvhost.bar.com", "x-forwarded-host": "HOST"})),
    case("upstream-vhost with a variable", {"upstream-vhost": "$http_x_vhost"},
        ask("/", X_Vhost="v.example", sent={"host": "v.example"})),
    case("upstream-vhost with names", {"upstream-vhost": "$service_name.$namespace.svc"},
        ask("/", sent={"host": "web.default.svc"})),
    case("upstream-vhost, bad", {"upstream-vhost": "a b;c"}, ask("/", sent={"host": "HOST"})),
    case("connection-proxy-header", {"connection-proxy-header": "keep-alive"},
        ask("/", sent={"connection": "keep-alive"})),
    case("connection-proxy-header close", {"connection-proxy-header": "close"}, ask("/", sent={"connection": "close"})),
    case("connection-proxy-header, bad", {"connection-proxy-header": "open"}, ask("/", sent={"connection": None})),
    case("connection of the client stays here", {},
        ask("/", fields={"Connection": "x-hop", "X-Hop": "1"}, sent={"connection": None})),
    case("own fields pass", {},
        ask("/", X_Custom="1", Accept="*/*", User_Agent="me", Cookie="a=b", Authorization="Bearer x",
        Referer="http://r",
        sent={"x-custom": "1", "accept": "*/*", "user-agent": "me", "cookie": "a=b", "authorization": "Bearer x",
        "referer": "http://r"})),
)

BELIEVED = group(
    "use-forwarded-headers",
    case("all of it", {},
        ask("/", fields=CLIENT,
        sent={"host": "myhost", "x-forwarded-host": "myhost", "x-forwarded-proto": "myproto",
        "x-forwarded-scheme": "myproto", "x-scheme": "myproto", "x-forwarded-port": "1234",
        "x-forwarded-for": "1.2.3.4", "x-real-ip": "1.2.3.4"})),
    case("the first host", {},
        ask("/", fields=CLIENT | {"X-Forwarded-Host": "myhost.com, another.host,example.net"},
        sent={"host": "myhost.com", "x-forwarded-host": "myhost.com"})),
    case("nothing said", {}, ask("/", sent=SENT)),
    case("https without a port", {},
        ask("/", X_Forwarded_Proto="https", sent={"x-forwarded-proto": "https", "x-forwarded-port": "HTTP"})),
    case("several addresses", {},
        ask("/", X_Forwarded_For="1.2.3.4, 5.6.7.8",
        sent={"x-original-forwarded-for": "1.2.3.4, 5.6.7.8", "x-real-ip": "1.2.3.4", "x-forwarded-for": "1.2.3.4"})),
    case("addresses on several lines", {},
        ask("/", fields={"X-Forwarded-For": ["1.2.3.4", "5.6.7.8"]},
        sent={"x-original-forwarded-for": "1.2.3.4, 5.6.7.8"})),
    case("what is no address", {}, ask("/", X_Forwarded_For="unknown", sent={"x-forwarded-for": "127.0.0.1"})),
    case("a host with a port", {},
        ask("/", X_Forwarded_Host="myhost:8443", sent={"host": "myhost:8443", "x-forwarded-host": "myhost:8443"})),
    case("a prefix", {}, ask("/", X_Forwarded_Prefix="/app", sent={"x-forwarded-prefix": "/app"})),
    case("IPv6", {}, ask("/", X_Forwarded_For="2001:db8::7", sent={"x-real-ip": "2001:db8::7"})),
    case("an address with a port", {}, ask("/", X_Forwarded_For="1.2.3.4:5678", sent={"x-real-ip": "1.2.3.4"})),
    case("upstream-vhost", {"upstream-vhost": "v.example"},
        ask("/", X_Forwarded_Host="myhost", sent={"host": "v.example", "x-forwarded-host": "myhost"})),
    case("the service that is asked hears of it", {"auth-url": "http://AUTH/"}, ask("/x", X_Forwarded_Proto="https",
        X_Forwarded_Host="myhost", asked={"x-original-url": re.compile("^https?://myhost/x$"),
            "x-forwarded-for": "127.0.0.1"})),
    case("routes by Host", {}, ask("/", X_Forwarded_Host="other.example", by="web")),
    keys={"use-forwarded-headers": "true"},
)
FULL = group(
    "compute-full-forwarded-for",
    case("the list and the peer", {},
        ask("/", X_Forwarded_For="1.2.3.4", sent={"x-forwarded-for": "1.2.3.4, 127.0.0.1"}),
        ask("/", X_Forwarded_For="1.2.3.4, 5.6.7.8", sent={"x-forwarded-for": "1.2.3.4, 5.6.7.8, 127.0.0.1"}),
        ask("/", sent={"x-forwarded-for": "127.0.0.1"})),
    keys={"use-forwarded-headers": "true", "compute-full-forwarded-for": "true"},
)
OTHER_FIELD = group(
    "forwarded-for-header",
    case("another field", {},
        ask("/", fields={"CF-Connecting-IP": "1.2.3.4", "X-Forwarded-For": "9.9.9.9"}, sent={"x-real-ip": "1.2.3.4"})),
    case("for lists", {"whitelist-source-range": "1.2.3.4"}, ask("/", CF_Connecting_IP="1.2.3.4"),
        ask("/", 403, CF_Connecting_IP="1.2.3.5"), ask("/", 403)),
    keys={"use-forwarded-headers": "true", "forwarded-for-header": "CF-Connecting-IP"},
)
REAL_IP = group(
    "enable-real-ip",
    case("the address alone", {},
        ask("/", fields=CLIENT,
        sent={"host": "HOST", "x-forwarded-host": "HOST", "x-forwarded-proto": "http", "x-forwarded-port": "HTTP",
        "x-forwarded-for": "1.2.3.4", "x-real-ip": "1.2.3.4"})),
    case("for lists", {"whitelist-source-range": "1.2.3.4"}, ask("/", X_Forwarded_For="1.2.3.4"), ask("/", 403)),
    keys={"enable-real-ip": "true"},
)
OUTSIDE = group(
    "proxy-real-ip-cidr",
    case("others are not believed", {},
        ask("/", fields=CLIENT, sent={"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1"})),
    keys={"use-forwarded-headers": "true", "proxy-real-ip-cidr": "10.0.0.0/8"},
)
INSIDE = group(
    "proxy-real-ip-cidr that has us",
    case("the last that is not in it", {}, ask("/", X_Forwarded_For="1.2.3.4, 5.6.7.8", sent={"x-real-ip": "5.6.7.8"}),
        ask("/", X_Forwarded_For="1.2.3.4, 10.1.1.1", sent={"x-real-ip": "1.2.3.4"})),
    keys={"use-forwarded-headers": "true", "proxy-real-ip-cidr": "10.0.0.0/8,127.0.0.1/32"},
)

VARIABLES = {
    "X-Ns": "$namespace", "X-Ing": "$ingress_name", "X-Svc": "$service_name", "X-Port": "$service_port",
    "X-Host": "$host", "X-Addr": "$remote_addr", "X-Id": "$request_id", "X-Id2": "$req_id",
    "X-Fwd": "$proxy_add_x_forwarded_for", "X-Schema": "$scheme", "X-Pass": "$pass_access_scheme",
    "X-Uri": "$request_uri", "X-Own": "$http_x_mine", "X-Plain": "plain text", "X-Both": "a-$host-b",
    "X-Braces": "${host}x",
    "X-Best": "$best_http_host", "X-Real": "$the_real_ip", "X-Method": "$request_method", "X-Name": "$server_name",
    "X-Path": "$location_path", "X-Pport": "$pass_port", "X-Sport": "$server_port", "X-Up": "$proxy_upstream_name",
}
SET = group(
    "proxy-set-headers",
    case("with variables", ing(None, path("/loc", "api")),
        ask("/loc/x?y", host="HOST", X_Mine="m", X_Request_ID="rid", sent={
        "x-ns": "default", "x-ing": "NAME", "x-svc": "api", "x-port": "80", "x-host": "HOST", "x-addr": "127.0.0.1",
        "x-id2": "rid", "x-fwd": "127.0.0.1", "x-schema": "http", "x-pass": "http", "x-uri": "/loc/x?y", "x-own": "m",
        "x-plain": "plain text", "x-both": "a-HOST-b", "x-braces": "HOSTx", "x-best": "HOST", "x-real": "127.0.0.1",
        "x-method": "GET", "x-name": "HOST", "x-path": "/loc", "x-pport": "HTTP", "x-sport": "HTTP",
        "x-up": "default-api-80"})),
    case("what the client sends does not pass", {},
        ask("/", fields={"X-Plain": "mine"}, sent={"x-plain": "plain text"})),
    case("ours stay ours", {}, ask("/", X_Forwarded_For="1.2.3.4", sent={"x-forwarded-for": "127.0.0.1"})),
    case("underscores pass by key", {}, ask("/", fields={"My_Field": "1"}, sent={"my_field": "1"})),
    case("original uri", {}, ask("/o?p", sent={"x-original-uri": "/o?p"})),
    case("no request id of ours", {}, ask("/", sent={"x-request-id": None})),
    keys={"proxy-set-headers": "default/sets", "enable-underscores-in-headers": "true",
        "proxy-add-original-uri-header": "true", "generate-request-id": "false"},
    things=[config_map("sets", **VARIABLES)],
)

GROUPS = [NOBODY, BELIEVED, FULL, OTHER_FIELD, REAL_IP, OUTSIDE, INSIDE, SET]
