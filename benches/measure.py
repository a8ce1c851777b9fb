"""What the benchmarks share: the load generator, certificates, medians, and a figure printed beside its goal."""

from __future__ import annotations

import base64
import functools
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOST = "bench.example"
missed: list[str] = []


@functools.cache
def load_generator() -> str:
    """The path of the `peers` bench, built with the release profile."""
    built = subprocess.run(
        ["cargo", "build", "--release", "--bench", "peers", "--message-format=json", "--quiet"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    messages = (json.loads(line) for line in built.stdout.splitlines() if line.startswith("{"))
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "peers")


def load(*options: object, cpu: int | None = None) -> dict:
    """One run of the load generator; its report. An error in a run spoils the figure, so it ends the benchmark."""
    pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
    command = [*pin, load_generator(), *map(str, options)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600)
    report = json.loads(done.stdout.splitlines()[-1])
    if report["errors"]:
        raise SystemExit(f"{report['errors']} errors in: {' '.join(command)}")
    return report


def manifests(folder: pathlib.Path, origin: int) -> None:
    """One host with one route to the origin, and a certificate for it (`cert.pem` and `key.pem` beside the folder)."""
    folder.mkdir(exist_ok=True)
    certificate, key = folder.parent / "cert.pem", folder.parent / "key.pem"
    make_certificate(certificate, key, HOST)
    encoded = {path: base64.b64encode(path.read_bytes()).decode() for path in (certificate, key)}
    folder.joinpath("bench.yaml").write_text(
        f"""apiVersion: v1
kind: Secret
metadata: {{name: tls}}
type: kubernetes.io/tls
data: {{tls.crt: {encoded[certificate]}, tls.key: {encoded[key]}}}
---
{objects("bench", HOST, "127.0.0.1", origin)}"""
    )


def objects(name: str, host: str, address: str, port: int, **annotations: str) -> str:
    """An Ingress with its Service and endpoint, and `fairlead.dev/` annotations by name (`_` for `-`). No redirect to
    https, so that plain and TLS do the same work."""
    more = "".join(f', fairlead.dev/{name.replace("_", "-")}: "{value}"' for name, value in annotations.items())
    return f"""apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{name: http, port: 80, targetPort: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: {port}, protocol: TCP}}]
endpoints: [{{addresses: ["{address}"], conditions: {{ready: true}}}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {name}
  annotations: {{nginx.ingress.kubernetes.io/ssl-redirect: "false"{more}}}
spec:
{f"  tls: [{{hosts: [{host}], secretName: tls}}]" if host == HOST else "  ingressClassName: fairlead"}
  rules:
  - host: {host}
    http:
      paths:
      - {{path: /, pathType: Prefix, backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}
---
"""


def make_certificate(certificate: pathlib.Path, key: pathlib.Path, host: str) -> None:
    """A self-signed P-256 certificate."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "5",
         "-keyout", key, "-out", certificate, "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"],
        check=True, capture_output=True,
    )  # fmt: skip


def resident(pid: int) -> int:
    """Bytes of the process in memory."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"no VmRSS of {pid}")


median = statistics.median


def figure(name: str, value: float, unit: str, must: float, aim: float | None = None) -> None:
    """Prints a figure that must be at most `must`."""
    verdict = "PASS" if value <= must else "FAIL"
    aimed = f", aim {aim:,g}" if aim is not None else ""
    print(f"{verdict}  {name}: {value:,.5g} {unit} (at most {must:,g}{aimed})", flush=True)
    if value > must:
        missed.append(name)


def finish() -> None:
    """Exit 1 if a figure missed its goal."""
    sys.exit(1 if missed else 0)
