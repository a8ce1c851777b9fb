"""Snippets: what is understood of them, what is left out, what closes."""

from .table import ask, case, group, ing, path


def snippet(text, **more):
    return {"configuration-snippet": text} | {key.replace("_", "-"): value for key, value in more.items()}


KNOWN = group(
    "snippets",
    case("more_set_headers", snippet('more_set_headers "Foo1: Bar1";'), ask("/", answer={"foo1": "Bar1"}),
        ask("/", want={"fields": [["Foo1", "x"]]}, answer={"foo1": "Bar1"})),
    case("several", snippet('more_set_headers "Foo: Bar";\nmore_set_headers "Xpto: Lalala";\n'),
        ask("/", answer={"foo": "Bar", "xpto": "Lalala"})),
    case("with variables", snippet('more_set_headers "ExpectedHost: $http_host";'),
        ask("/", answer={"expectedhost": "HOST"})),
    case("without the last semicolon", snippet('more_set_headers "Custom-Header: $proxy_host"'),
        ask("/", answer={"custom-header": "default-web-80"})),
    case("proxy_host beside upstream-vhost",
        snippet('more_set_headers "Custom-Header: $proxy_host";', upstream_vhost="different.host"),
        ask("/", answer={"custom-header": "default-web-80"})),
    case("more_set_input_headers",
        snippet('more_set_input_headers "pathType: exact"; more_set_input_headers "service-name: $service_name";'),
        ask("/", sent={"pathtype": "exact", "service-name": "web"})),
    case("add_header", snippet("add_header X-Frame-Options SAMEORIGIN always;"),
        ask("/", answer={"x-frame-options": "SAMEORIGIN"}),
        ask("/", 404, want={"status": 404}, answer={"x-frame-options": "SAMEORIGIN"})),
    case("add_header without always", snippet('add_header X-A "b c";'), ask("/", answer={"x-a": "b c"}),
        ask("/", 404, want={"status": 404}, answer={"x-a": None})),
    case("more_clear_headers", snippet('more_clear_headers "X-Powered-By";'),
        ask("/", want={"fields": [["X-Powered-By", "php"]]}, answer={"x-powered-by": None})),
    case("proxy_hide_header", snippet("proxy_hide_header X-Powered-By;"),
        ask("/", want={"fields": [["X-Powered-By", "php"]]}, answer={"x-powered-by": None})),
    case("proxy_set_header", snippet("proxy_set_header X-Own $remote_addr;\nproxy_set_header Accept-Encoding \"\";"),
        ask("/", Accept_Encoding="gzip", sent={"x-own": "127.0.0.1", "accept-encoding": None})),
    case("proxy_set_header Host", snippet("proxy_set_header Host other.example;"),
        ask("/", sent={"host": "other.example"})),
    case("proxy_set_header that we send",
        snippet("proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;"),
        ask("/", sent={"x-real-ip": "127.0.0.1", "x-forwarded-proto": "http"})),
    case("return a status", snippet("return 403;"), ask("/", 403)),
    case("return a text", snippet('default_type text/plain; return 200 "hello $host";'),
        ask("/", text="hello HOST", answer={"content-type": "text/plain"})),
    case("return a URL", snippet("return 301 https://b.example$request_uri;"),
        ask("/x?y", 301, location="https://b.example/x?y")),
    case("return a URL alone", snippet("return https://b.example/;"), ask("/", 302, location="https://b.example/")),
    case("deny all", snippet("deny all;"), ask("/", 403)),
    case("allow, deny", snippet("allow 127.0.0.1; deny all;"), ask("/")),
    case("deny, allow", snippet("deny 127.0.0.1; allow all;"), ask("/", 403)),
    case("times and sizes", snippet("proxy_read_timeout 20s; client_max_body_size 1k; gzip on;"), ask("/"),
        ask("/", 413, method="POST", body=b"x" * 1025)),
    case("comments", snippet("# nothing here\n"), ask("/")),
    case("a comment behind a statement", snippet('more_set_headers "A: b"; # set a\n'), ask("/", answer={"a": "b"})),
    case("words that only tune", snippet("proxy_buffers 8 16k; proxy_intercept_errors off; sub_filter_once off;"),
        ask("/")),
    case("if", snippet("if ($host = 'x') { return 403; }"), ask("/", 503)),
    case("lua", snippet('content_by_lua_block { ngx.say("x") }'), ask("/", 503)),
    case("location", snippet("location /x { deny all; }"), ask("/", 503)),
    case("what is no configuration", snippet("more_set_headers \"a"), ask("/", 503)),
    case("server-snippet", {"server-snippet": 'more_set_headers "Foo: Bar";\nmore_set_headers "Xpto: Lalala";'},
        ask("/", answer={"foo": "Bar", "xpto": "Lalala"})),
    case("server-snippet of the host",
        ing({"server-snippet": 'more_set_headers "Foo: Bar";'}, path("/a"), name="NAME-a"),
        ing(None, path("/b"), name="NAME-b"), ask("/b", answer={"foo": "Bar"})),
    case("both", {"server-snippet": 'more_set_headers "A: server";',
        "configuration-snippet": 'more_set_headers "B: location";'}, ask("/", answer={"a": "server", "b": "location"})),
    case("empty", snippet(""), ask("/")),
    case("modsecurity closes", {"enable-modsecurity": "true"}, ask("/", 503)),
    case("modsecurity off", {"enable-modsecurity": "false"}, ask("/")),
    case("stream-snippet closes", {"stream-snippet": "server {listen 8000; proxy_pass 127.0.0.1:80;}"}, ask("/", 503)),
    case("of each rule",
        ing(snippet('more_set_input_headers "service-name: $service_name";'), path("/", "web"),
        more=[("second.HOST", [path("/", "api")])]), ask("/", sent={"service-name": "web"}),
        ask("/", host="second.HOST", sent={"service-name": "api"})),
)

BY_KEY = group(
    "server-snippet by key",
    case("on every host", {}, ask("/", answer={"globalfoo": "Foooo"})),
    case("beside an annotation", {"server-snippet": 'more_set_headers "Foo: Bar";'},
        ask("/", answer={"globalfoo": "Foooo", "foo": "Bar"})),
    keys={"server-snippet": 'more_set_headers "Globalfoo: Foooo";', "allow-snippet-annotations": "true",
        "annotations-risk-level": "Critical"},
)
FORBIDDEN = group(
    "snippets that are not allowed",
    case("leave out what tunes", snippet('more_set_headers "Foo1: Bar1";'), ask("/", answer={"foo1": None})),
    case("close else", snippet("deny all;"), ask("/", 503)),
    case("the key's own is", {}, ask("/", answer={"globalfoo": "Foooo"})),
    keys={"allow-snippet-annotations": "false", "server-snippet": 'more_set_headers "Globalfoo: Foooo";'},
)
IGNORED = group("snippets: ignore", case("serve without", snippet("if ($host = 'x') { return 403; }"), ask("/")),
    case("modsecurity too", {"enable-modsecurity": "true"}, ask("/")), keys={"snippets": "ignore"})

GROUPS = [KNOWN, BY_KEY, FORBIDDEN, IGNORED]
