"""The same load on nginx and on Fairlead, one worker each on CPU 0, the load on CPU 1: side_by_side.py FAIRLEAD.

Runs are interleaved (A B A B A B) and the medians compared. The figure is CPU time of the proxy's processes for each
request: it does not depend on which side is saturated first.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import tempfile
import time

import measure
from served import Fairlead, free_ports

PROXY_CPU, LOAD_CPU = 0, 1

# name: load options, whether TLS, and nginx's CPU for each of ours that must be reached (None = shown only).
CASES = {
    "h1 1 KiB, 64 connections": (["--connections", 64], False, 1.0),
    "h2 over TLS 1 KiB, 16 x 32 streams": (["--connections", 16, "--streams", 32], True, 1.0),
    "h1 over TLS 1 KiB, 64 connections": (["--connections", 64], True, None),
    "h1 100 KiB, 64 connections": (["--connections", 64, "--path", "/bytes/102400"], False, None),
    "h1 POST 64 KiB, 64 connections": (["--connections", 64, "--post", 65536], False, None),
}

# As ingress-nginx configures it: the same fields added, the same log line, keep-alive on both sides. Its log is
# buffered and request bodies stay in memory, so that it pays no write of its own for each request.
STEM = """
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/nginx.err warn;
daemon off;
user root;
events {{ worker_connections 16384; multi_accept on; }}
http {{
    log_format line '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
        '"$http_user_agent" $request_length $request_time [$server_name] [] $upstream_addr $upstream_response_length '
        '$upstream_response_time $upstream_status $request_id';
    access_log {work}/nginx.log line buffer=64k flush=1s;
    client_body_temp_path {work}; proxy_temp_path {work};
    fastcgi_temp_path {work}; uwsgi_temp_path {work}; scgi_temp_path {work};
    server_tokens off;
    keepalive_requests 1000000000;
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 320; keepalive_requests 1000000000; }}
    proxy_http_version 1.1;
    proxy_buffering off;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Request-ID $request_id;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Scheme $scheme;
    proxy_set_header X-Scheme $scheme;
    proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;
    proxy_set_header Proxy "";
"""

NGINX = (
    STEM
    + """
    gzip off;
    keepalive_timeout 75s;
    http2_max_concurrent_streams 128;
    client_body_buffer_size 128k;
    server {{
        listen 127.0.0.1:{plain} reuseport backlog=4096;
        listen 127.0.0.1:{tls} ssl http2 reuseport backlog=4096;
        server_name {host};
        ssl_certificate {work}/cert.pem;
        ssl_certificate_key {work}/key.pem;
        ssl_session_cache shared:SSL:10m;
        client_max_body_size 1m;
        location / {{ proxy_pass http://origin; }}
    }}
}}
"""
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("binary")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--only", default="", help="cases whose name contains this")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        (origin,) = free_ports(1)
        measure.manifests(work / "manifests", origin)
        pin = ["taskset", "-c", str(PROXY_CPU)]
        with (
            Nginx(work, origin) as nginx,
            Fairlead(chosen.binary, work / "manifests", work, "--workers", "1", wrap=pin) as fairlead,
        ):
            for case, (load, tls, goal) in CASES.items():
                if chosen.only in case:
                    compare(case, load, tls, goal, origin, {"nginx": nginx, "fairlead": fairlead}, chosen)
    measure.finish()


def compare(case: str, load: list, tls: bool, goal: float | None, origin: int, proxies: dict, chosen) -> None:
    """Prints the medians of one case."""
    runs: dict[str, list[dict]] = {name: [] for name in proxies}
    for _ in range(chosen.rounds):
        for name, proxy in proxies.items():
            watched = [part for pid in processes(proxy.process.pid) for part in ("--watch-pid", pid)]
            runs[name].append(
                measure.load(
                    "--origin",
                    f"127.0.0.1:{origin}",
                    "--target",
                    f"127.0.0.1:{proxy.https if tls else proxy.http}",
                    "--seconds",
                    chosen.seconds,
                    "--warm-up",
                    1,
                    "--host",
                    measure.HOST,
                    *watched,
                    *(["--tls"] if tls else []),
                    *load,
                    cpu=LOAD_CPU,
                )  # fmt: skip
            )
    print(case)
    cpu = {}
    for name, reports in runs.items():
        middle = {key: measure.median(report[key] for report in reports) for key in ("cpu_us", "p50_us", "p99_us")}
        rate = measure.median(report["requests"] / report["seconds"] for report in reports)
        cpu[name] = middle["cpu_us"]
        print(
            f"      {name:9} {middle['cpu_us']:7.2f} us CPU a request, {rate:9,.0f} requests/s, "
            f"p50 {middle['p50_us']:,.0f} us, p99 {middle['p99_us']:,.0f} us"
        )
    ratio = cpu["nginx"] / cpu["fairlead"]
    if goal is None:
        print(f"      nginx / fairlead: {ratio:.2f}", flush=True)
        return
    passed = ratio >= goal
    print(f"{'PASS' if passed else 'FAIL'}  nginx / fairlead: {ratio:.2f} (at least {goal})", flush=True)
    if not passed:
        measure.missed.append(case)


def processes(pid: int) -> list[int]:
    """The process and its children."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


class Nginx:
    """nginx on free loopback ports, pinned."""

    def __init__(self, work: pathlib.Path, origin: int, template: str = NGINX):
        self.http, self.https = free_ports(2)
        self.work = work
        text = template.format(work=work, origin=origin, plain=self.http, tls=self.https, host=measure.HOST)
        self.config = work / "nginx.conf"
        self.config.write_text(text)

    def __enter__(self) -> Nginx:
        self.process = subprocess.Popen(["taskset", "-c", str(PROXY_CPU), "/usr/sbin/nginx", "-c", str(self.config)])
        end = time.monotonic() + 10
        while len(processes(self.process.pid)) < 2:
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit("nginx did not start")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


if __name__ == "__main__":
    main()
