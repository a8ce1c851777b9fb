"""Keys, certificates and tokens of one cluster, made new for each."""

from __future__ import annotations

import pathlib
import subprocess

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
ADMIN = "admin-token"


def make(folder: pathlib.Path, node: str, address: str, service: str) -> None:
    """A CA, the API server's, the kubelet's and its client's certificates, the key for service-account tokens."""
    folder.mkdir()
    _openssl(
        folder, "req", "-x509", *CURVE, "-keyout", "ca.key", "-out", "ca.crt", "-days", "30", "-subj", "/CN=e2e-ca"
    )
    local = "IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc"
    for name, subject, names in (
        ("apiserver", "/CN=kube-apiserver", f"IP:{address},IP:{service},{local}"),
        ("kubelet", f"/O=system:nodes/CN=system:node:{node}", f"IP:{address},DNS:{node}"),
        ("kubelet-client", "/O=system:masters/CN=apiserver-kubelet-client", "DNS:kubelet-client"),
    ):
        sign(folder, name, subject, names)
    _openssl(folder, "genrsa", "-out", "sa.key", "2048")
    _openssl(folder, "rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")


def sign(folder: pathlib.Path, name: str, subject: str, names: str) -> None:
    """A certificate NAME.crt with its key, signed by the CA of the folder."""
    (folder / "names").write_text(f"subjectAltName={names}\n")
    _openssl(folder, "req", *CURVE, "-keyout", f"{name}.key", "-out", "request", "-subj", subject)
    _openssl(
        folder, "x509", "-req", "-in", "request", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "30", "-out", f"{name}.crt", "-extfile", "names",
    )  # fmt: skip


def kubeconfig(file: pathlib.Path, server: str, authority: pathlib.Path, token: str) -> pathlib.Path:
    """Writes a kubeconfig for one user of one server."""
    file.write_text(f"""apiVersion: v1
kind: Config
clusters: [{{name: e2e, cluster: {{server: "{server}", certificate-authority: "{authority}"}}}}]
users: [{{name: e2e, user: {{token: "{token}"}}}}]
contexts: [{{name: e2e, context: {{cluster: e2e, user: e2e}}}}]
current-context: e2e
""")
    return file


def _openssl(folder: pathlib.Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
