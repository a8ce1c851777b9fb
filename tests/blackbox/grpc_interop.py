"""Calls grpc-go's interop server with its interop client through the built binary: grpc_interop.py FAIRLEAD TOOLS [PAGE].

TOOLS is where grpc-client, grpc-server and grpc-far are. With PAGE the results are written there. Exit code 1 if a case fails.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from served import Fairlead, free_ports

HOST = "grpc.example"
CASES = [
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
    "timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response", "status_code_and_message",
    "special_status_message", "custom_metadata", "unimplemented_method", "unimplemented_service", "orca_per_rpc", "orca_oob",
    "rpc_soak", "channel_soak",
]  # fmt: skip
"""Every case of the client but those that need accounts of Google's cloud, and `pick_first_unary`, which asks for the name of the
server, and grpc-go's has none."""

ROADS = [("clear text", "GRPC"), ("clear text", "GRPCS"), ("TLS", "GRPC"), ("TLS", "GRPCS")]
"""How the client comes, and the `backend-protocol`."""

CASE_SECONDS = 60

MANIFESTS = """apiVersion: v1
kind: Secret
metadata: {{name: tls}}
type: kubernetes.io/tls
stringData:
  tls.crt: {certificate}
  tls.key: {key}
---
apiVersion: v1
kind: Service
metadata: {{name: grpc}}
spec: {{ports: [{{name: grpc, port: 80, targetPort: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: grpc-1, labels: {{kubernetes.io/service-name: grpc}}}}
addressType: IPv4
ports: [{{name: grpc, port: {port}, protocol: TCP}}]
endpoints: [{{addresses: ["127.0.0.1"]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: grpc
  annotations:
    nginx.ingress.kubernetes.io/backend-protocol: {protocol}
    nginx.ingress.kubernetes.io/ssl-redirect: "false"
spec:
  tls: [{{hosts: [{host}], secretName: tls}}]
  rules:
  - host: {host}
    http:
      paths:
      - {{path: /, pathType: Prefix, backend: {{service: {{name: grpc, port: {{name: grpc}}}}}}}}
  - http:
      paths:
      - {{path: /, pathType: Prefix, backend: {{service: {{name: grpc, port: {{name: grpc}}}}}}}}
"""


def main() -> int:
    binary, tools = sys.argv[1], pathlib.Path(sys.argv[2])
    began = time.monotonic()
    results: dict[tuple[str, str], dict[str, str]] = {}
    far: dict[tuple[str, str], dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        certificate(work)
        for road in ROADS:
            client, protocol = road
            with server(tools, work, protocol) as port, proxy(binary, work, port, protocol) as through:
                results[road] = {case: interop(tools, work, through, client, case) for case in CASES}
            (port,) = free_ports(1)
            with proxy(binary, work, port, protocol) as through:
                far[road] = calls(tools, work, through, client, protocol, port)
    failed = 0
    for client, protocol in ROADS:
        cases = {**results[client, protocol], **far[client, protocol]}
        wrong = {case: why for case, why in cases.items() if why}
        failed += len(wrong)
        print(f"gRPC from {client} to {protocol}: {len(cases) - len(wrong)} of {len(cases)} cases pass", flush=True)
        for case, why in wrong.items():
            print(f"  {case}: {why}")
    print(f"gRPC: {time.monotonic() - began:.0f} s")
    if len(sys.argv) > 3:
        version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
        pathlib.Path(sys.argv[3]).write_text(page(results, far, version))
    return int(failed > 0)


def certificate(work: pathlib.Path) -> None:
    """A new certificate for the proxy and for the server."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "5",
         "-keyout", work / "key.pem", "-out", work / "cert.pem", "-subj", f"/CN={HOST}",
         "-addext", f"subjectAltName=DNS:{HOST}"],
        check=True, capture_output=True,
    )  # fmt: skip


def tls_of_server(work: pathlib.Path, protocol: str, *names: str) -> list[str]:
    """The flags of a server's certificate and key, if it has them."""
    files = [work / "cert.pem", work / "key.pem"]
    return [f"{name}={file}" for name, file in zip(names, files)] if protocol == "GRPCS" else []


@contextlib.contextmanager
def server(tools: pathlib.Path, work: pathlib.Path, protocol: str) -> Iterator[int]:
    """grpc-go's interop server, until the end; gives its port."""
    (port,) = free_ports(1)
    tls = tls_of_server(work, protocol, "--tls_cert_file", "--tls_key_file")
    command = [tools / "grpc-server", f"--port={port}", *(["--use_tls", *tls] if tls else [])]
    with (work / "server").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the interop server does not listen: {(work / 'server').read_text()[-1000:]}")
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def proxy(binary: str, work: pathlib.Path, port: int, protocol: str) -> Iterator[Fairlead]:
    """The proxy before a server at that port."""
    folder = work / "manifests"
    folder.mkdir(exist_ok=True)
    # A string of JSON is one of YAML, whatever lines it has.
    quoted = {name: json.dumps((work / file).read_text()) for name, file in (("certificate", "cert.pem"), ("key", "key.pem"))}
    folder.joinpath("grpc.yaml").write_text(MANIFESTS.format(port=port, protocol=protocol, host=HOST, **quoted))
    with Fairlead(binary, folder, work) as running:
        yield running


def interop(tools: pathlib.Path, work: pathlib.Path, through: Fairlead, client: str, case: str) -> str:
    """Runs one case of the interop client; nothing, or why it fails."""
    command = [
        tools / "grpc-client", f"--test_case={case}", "--server_host=127.0.0.1",
        # The cases about load reports ask for the balancer that reads them.
        '--service_config_json={"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}',
    ]  # fmt: skip
    if client == "TLS":
        command += [
            f"--server_port={through.https}", "--use_tls", "--use_test_ca", f"--ca_file={work / 'cert.pem'}",
            f"--server_host_override={HOST}",
        ]  # fmt: skip
    else:
        command += [f"--server_port={through.http}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CASE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"did not end within {CASE_SECONDS} s"
    return "" if done.returncode == 0 else (last_line(done.stderr) or f"exit code {done.returncode}")


def calls(
    tools: pathlib.Path, work: pathlib.Path, through: Fairlead, client: str, protocol: str, port: int
) -> dict[str, str]:
    """Runs our own cases: for each its name, with nothing or why it fails."""
    to = through.https if client == "TLS" else through.http
    command = [tools / "grpc-far", f"-listen={port}", f"-target=127.0.0.1:{to}"]
    command += tls_of_server(work, protocol, "-cert", "-key")
    if client == "TLS":
        command += [f"-ca={work / 'cert.pem'}", f"-name={HOST}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise SystemExit(f"grpc-far: {done.stderr[-1000:]}")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return {case["name"]: case.get("error", "") for case in told}


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


def page(results: dict, far: dict, version: str) -> str:
    total = sum(len(cases) for cases in (*results.values(), *far.values()))
    passed = sum(not why for cases in (*results.values(), *far.values()) for why in cases.values())
    heads = [f"{client}, {protocol}" for client, protocol in ROADS]
    lines = [
        "# gRPC",
        "",
        f"Fairlead {version}, {datetime.date.today()}: the interop client of grpc-go 1.85 calls its interop server through",
        "`fairlead serve`, in clear text (HTTP/2 with prior knowledge, on the http port) and over TLS, with",
        f"`backend-protocol` GRPC and GRPCS. **{passed} of {total} runs pass.**",
        "",
        "Run it again and write this page (Go; under two minutes, and one more to build the programs once):",
        "",
        "```text",
        "make conformance-grpc",
        "```",
        "",
        "Cases of the interop client that are left out need accounts of Google's cloud, or the name of the server",
        "(`pick_first_unary`), which grpc-go's does not tell.",
        "",
    ]
    for cases, said in ((results, "interop case"), (far, "beyond the interop client")):
        lines += ["| " + " | ".join([said, *heads]) + " |", "|---" * (len(heads) + 1) + "|"]
        for case in cases[ROADS[0]]:
            name = f"`{case}`" if cases is results else case
            found = ["passes" if not cases[road].get(case, "not run") else "**fails**" for road in ROADS]
            lines.append("| " + " | ".join([name, *found]) + " |")
        lines.append("")
    for cases in (results, far):
        for (client, protocol), all_of_road in cases.items():
            lines += [f"- {client}, {protocol}, {case}: {why}" for case, why in all_of_road.items() if why]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
