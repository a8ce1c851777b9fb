"""Compression and cache beside nginx, one worker each on CPU 0, the load on CPU 1: features.py FAIRLEAD.

Interleaved and judged as in side_by_side.py. nginx has what ingress-nginx gives it: gzip at level 1, brotli at level 4,
with Google's module; its cache lies in memory too.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile

import measure
from served import Fairlead, free_ports
from side_by_side import LOAD_CPU, PROXY_CPU, STEM, Nginx, processes

CODED = 1.0
"""nginx's CPU for each of ours, at least, where the bodies are as small."""
SIZE = 1.01
"""Our bodies for each of nginx's, at most."""
HIT = 0.6
"""CPU of an answer from the cache for each of a proxied one, at most; at the same rate, since one that waits costs more."""
RATE = 0.97
"""Our requests a second for each of nginx's, at least: where both wait for the load the rest is noise."""

MODULE = "/usr/lib/nginx/modules/ngx_http_brotli_filter_module.so"

NGINX = (
    f"load_module {MODULE};"
    + STEM
    + """
    gzip_comp_level 1; gzip_min_length 256; gzip_proxied any; gzip_vary on;
    brotli_comp_level 4; brotli_min_length 20;
    proxy_cache_path {work}/kept keys_zone=kept:16m max_size=64m use_temp_path=off;
    server {{
        listen 127.0.0.1:{plain} reuseport backlog=4096; server_name plain.{host};
        location / {{ proxy_pass http://origin; }}
    }}
    server {{
        listen 127.0.0.1:{plain}; server_name gzip.{host};
        location / {{ gzip on; proxy_pass http://origin; }}
    }}
    server {{
        listen 127.0.0.1:{plain}; server_name br.{host};
        location / {{ brotli on; proxy_pass http://origin; }}
    }}
    server {{
        listen 127.0.0.1:{plain}; server_name kept.{host};
        location / {{ proxy_buffering on; proxy_cache kept; proxy_pass http://origin; }}
    }}
    server {{ listen 127.0.0.1:{tls}; return 404; }}
}}
"""
)

HOSTS: dict[str, dict[str, str]] = {"plain": {}, "gzip": {"compress": "gzip"}, "br": {"compress": "br"}, "kept": {"cache": "on"}}
# Encoders of brotli are large, and what they may hold together is bounded: no more answers at once than have room.
LOADS = {
    "gzip, 64 KiB of HTML": ("gzip", ["--path", "/text/65536", "--encodings", "gzip"]),
    "gzip, 8 KiB of HTML": ("gzip", ["--path", "/text/8192", "--encodings", "gzip"]),
    "brotli, 64 KiB of HTML": ("br", ["--path", "/text/65536", "--encodings", "br", "--connections", "16"]),
    "brotli, 8 KiB of HTML": ("br", ["--path", "/text/8192", "--encodings", "br", "--connections", "16"]),
    "proxied at the same rate, 1 KiB": ("plain", ["--path", "/bytes/1024", "--rate", "50000"]),
    "cached at the same rate, 1 KiB": ("kept", ["--path", "/kept/1024", "--rate", "50000"]),
    "from the cache, 1 KiB": ("kept", ["--path", "/kept/1024"]),
    "proxied at the same rate, 64 KiB": ("plain", ["--path", "/bytes/65536", "--rate", "6000"]),
    "cached at the same rate, 64 KiB": ("kept", ["--path", "/kept/65536", "--rate", "6000"]),
    "from the cache, 64 KiB": ("kept", ["--path", "/kept/65536"]),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("binary")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--only", default="", help="cases whose name contains this")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        work = pathlib.Path(name)
        (origin,) = free_ports(1)
        folder = work / "manifests"
        folder.mkdir()
        for label, annotations in HOSTS.items():
            host = f"{label}.{measure.HOST}"
            folder.joinpath(f"{label}.yaml").write_text(
                measure.objects(label, host, "127.0.0.1", origin, **annotations)
            )
        pin = ["taskset", "-c", str(PROXY_CPU)]
        with (
            Nginx(work, origin, NGINX) as nginx,
            Fairlead(chosen.binary, folder, work, "--workers", "1", wrap=pin) as fairlead,
        ):
            proxies = {"nginx": nginx, "fairlead": fairlead}
            proxied: dict[str, float] = {}
            for case, (label, load) in LOADS.items():
                if chosen.only in case:
                    judge(case, run(case, label, load, origin, proxies, chosen), proxied)
    measure.finish()


def run(case: str, label: str, load: list, origin: int, proxies: dict, chosen) -> dict[str, dict[str, float]]:
    """Prints the medians of one case, by proxy."""
    runs: dict[str, list[dict]] = {name: [] for name in proxies}
    for _ in range(chosen.rounds):
        for name, proxy in proxies.items():
            watched = [part for pid in processes(proxy.process.pid) for part in ("--watch-pid", pid)]
            report = measure.load(
                "--origin", f"127.0.0.1:{origin}", "--target", f"127.0.0.1:{proxy.http}",
                "--seconds", chosen.seconds, "--host", f"{label}.{measure.HOST}", *watched, *load, cpu=LOAD_CPU,
            )  # fmt: skip
            report["rate"] = report["requests"] / report["seconds"]
            report["octets"] /= report["requests"]
            runs[name].append(report)
    print(case)
    found = {}
    for name, reports in runs.items():
        middle = {key: measure.median(report[key] for report in reports) for key in ("cpu_us", "rate", "octets", "p99_us")}
        found[name] = middle
        print(
            f"      {name:9} {middle['cpu_us']:7.2f} us CPU a request, {middle['rate']:9,.0f} requests/s, "
            f"{middle['octets']:,.0f} octets, p99 {middle['p99_us']:,.0f} us",
            flush=True,
        )
    return found


def judge(case: str, found: dict[str, dict[str, float]], proxied: dict[str, float]) -> None:
    """Prints how the case stands to its goals."""
    nginx, ours = found["nginx"], found["fairlead"]
    kind, _, size = case.partition(", ")
    if kind.startswith("proxied"):
        proxied[size] = ours["cpu_us"]
        return
    if kind.startswith("cached"):
        if size in proxied:
            verdict(f"{case}: CPU, of a proxied request", ours["cpu_us"] / proxied[size], most=HIT)
        return
    if kind != "from the cache":
        verdict(f"{case}: octets, fairlead / nginx", ours["octets"] / nginx["octets"], most=SIZE)
        verdict(f"{case}: CPU, nginx / fairlead", nginx["cpu_us"] / ours["cpu_us"], least=CODED)
    verdict(f"{case}: rate, fairlead / nginx", ours["rate"] / nginx["rate"], least=RATE)


def verdict(name: str, value: float, least: float | None = None, most: float | None = None) -> None:
    passed = (least is None or value >= least) and (most is None or value <= most)
    goal = f"at least {least}" if least is not None else f"at most {most}"
    print(f"{'PASS' if passed else 'FAIL'}  {name}: {value:.2f} ({goal})", flush=True)
    if not passed:
        measure.missed.append(name)


if __name__ == "__main__":
    main()
