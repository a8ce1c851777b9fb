"""The fast half: etcd and kube-apiserver, up in about three seconds."""

from __future__ import annotations

import http.client
import shutil
import subprocess
from collections.abc import Sequence

from cluster import api, certificates, processes, sandbox, tools

NODE, ADDRESS = "e2e-node", "10.200.0.1"
SERVICES, API_SERVICE = "10.96.0.0/16", "10.96.0.1"
# In the fast half every address of this network is a local one, so that a test's own back end can stand in for a pod.
PODS = "10.244.0.0/16"
ETCD = "http://127.0.0.1:2379"
SERVER = f"https://{ADDRESS}:6443"


class ControlPlane:
    """etcd and the API server. `users` are (name, token) pairs without any right of their own."""

    def __init__(self, users: Sequence[tuple[str, str]] = (), half: str = "fast"):
        self.half = half
        self.state = sandbox.state()
        self.pki = self.state / "pki"
        self.audit = self.state / "audit.log"
        self.programs = processes.Processes([*tools.folders(half), tools.CHECKOUT / ".tools" / "bin"])
        certificates.make(self.pki, NODE, ADDRESS, API_SERVICE)
        rows = [
            f'{certificates.ADMIN},admin,admin,"system:masters"',
            *(f"{token},{name},{name}" for name, token in users),
        ]
        (self.state / "tokens.csv").write_text("\n".join(rows) + "\n")
        (self.state / "audit.yaml").write_text(_AUDIT)
        self.kubeconfig = certificates.kubeconfig(
            self.state / "kubeconfig", SERVER, self.pki / "ca.crt", certificates.ADMIN
        )
        self.api = api.Api(ADDRESS, 6443, self.pki / "ca.crt", certificates.ADMIN)
        self._network()

    def start(self) -> None:
        """Starts what is not running and waits until the API server is ready."""
        self.start_etcd()
        self.start_api()

    def start_etcd(self) -> None:
        """Starts etcd on the data it had, or on none."""
        if self.programs.is_running("etcd"):
            return
        self.programs.start(
            "etcd", "etcd", "--data-dir", self.state / "etcd", "--listen-client-urls", ETCD,
            "--advertise-client-urls", ETCD, "--listen-peer-urls", "http://127.0.0.1:2380", "--unsafe-no-fsync",
            "--log-level", "warn",
        )  # fmt: skip
        self.programs.until("etcd", _is_etcd_ready, of="etcd")

    def start_api(self) -> None:
        """Starts the API server and waits until it is ready."""
        if self.programs.is_running("kube-apiserver"):
            return
        pki = self.pki
        self.programs.start(
            "kube-apiserver", "kube-apiserver", f"--etcd-servers={ETCD}", "--secure-port=6443",
            f"--advertise-address={ADDRESS}", "--bind-address=0.0.0.0", f"--service-cluster-ip-range={SERVICES}",
            f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt", f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc", f"--token-auth-file={self.state}/tokens.csv",
            "--authorization-mode=Node,RBAC", "--allow-privileged=true",
            f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key", "--kubelet-preferred-address-types=InternalIP",
            f"--audit-policy-file={self.state}/audit.yaml", f"--audit-log-path={self.audit}", "--profiling=false",
        )  # fmt: skip
        self.programs.until("the API server", self.is_ready, of="kube-apiserver")

    def stop_api(self) -> None:
        """The API server dies; etcd and its data stay."""
        self.programs.stop("kube-apiserver")

    def save(self) -> None:
        """Keeps a copy of etcd's data as it is now, for `restore`."""
        self.stop_api()
        self.programs.stop("etcd")
        shutil.copytree(self.state / "etcd", self.state / "etcd-saved", dirs_exist_ok=True)
        self.start()

    def restore(self) -> None:
        """Goes back to the saved data: resource versions go backwards, as after a restore from a backup."""
        self._replace_data()
        shutil.copytree(self.state / "etcd-saved", self.state / "etcd")
        self.start()

    def wipe(self) -> None:
        """Starts again with nothing: a new history."""
        self._replace_data()
        self.start()

    def is_ready(self) -> bool:
        """Whether the API server says so itself."""
        try:
            return self.api.call("GET", "/readyz").status == 200
        except api.UNREACHABLE:
            return False

    def _replace_data(self) -> None:
        self.stop_api()
        self.programs.stop("etcd")
        shutil.rmtree(self.state / "etcd")

    def _network(self) -> None:
        commands = [
            "link add e2e0 type bridge", f"addr add {ADDRESS}/24 dev e2e0", "link set e2e0 up",
            # Without a route the service addresses never reach the output hook of kube-proxy's rules.
            f"route add {SERVICES} dev e2e0",
        ]  # fmt: skip
        if self.half == "fast":
            commands.append(f"route add local {PODS} dev lo")
        for words in commands:
            subprocess.run(["ip", *words.split()], check=True)


def _is_etcd_ready() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", 2379, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


_AUDIT = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: ["system:authenticated"]}
"""
