"""The full half: the control plane and one real node with kubelet, containerd and kube-proxy."""

from __future__ import annotations

import ipaddress
import json
import pathlib
import subprocess
import threading

from cluster import api, image, tools
from cluster.control_plane import ADDRESS, NODE, ControlPlane

PODS = "10.244.0.0/24"
FIRST_BALANCER = ipaddress.ip_address("10.200.0.100")
PAUSE = "localhost/pause:e2e"


class Node(ControlPlane):
    """A cluster of one node, Ready in about ten seconds."""

    def __init__(self) -> None:
        super().__init__(half="full")
        self.socket = self.state / "containerd.sock"
        self._programs: set[str] = set()
        self._configure()

    def start(self) -> None:
        """Starts what is not running; the first time waits until the node is Ready and pods can be made."""
        if self.programs.is_running("kubelet"):
            super().start()
            return
        pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # of the run's own network
        programs, state, pki = self.programs, self.state, self.pki
        programs.start("containerd", "containerd", "--config", state / "containerd.toml")
        super().start()
        programs.until("containerd", self._containerd_answers, of="containerd")
        self.add_program(PAUSE, tools.program("full", "pause"))
        config = f"--kubeconfig={self.kubeconfig}"
        programs.start(
            "kube-controller-manager", "kube-controller-manager", config, "--leader-elect=false",
            "--bind-address=127.0.0.1", f"--service-account-private-key-file={pki}/sa.key",
            f"--root-ca-file={pki}/ca.crt", "--use-service-account-credentials=true",
            f"--cluster-signing-cert-file={pki}/ca.crt", f"--cluster-signing-key-file={pki}/ca.key",
        )  # fmt: skip
        programs.start("kube-scheduler", "kube-scheduler", config, "--leader-elect=false", "--bind-address=127.0.0.1")
        programs.start(
            "kube-proxy", "kube-proxy", config, "--proxy-mode=nftables", f"--cluster-cidr={PODS}",
            f"--hostname-override={NODE}", "--bind-address=127.0.0.1", "--healthz-bind-address=127.0.0.1:10256",
            "--metrics-bind-address=127.0.0.1:10249", f"--nodeport-addresses={ADDRESS}/32",
            "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
        )  # fmt: skip
        programs.start(
            "kubelet", "kubelet", config, f"--config={state}/kubelet.yaml", f"--root-dir={state}/kubelet",
            f"--cert-dir={state}/kubelet/pki", f"--hostname-override={NODE}", f"--node-ip={ADDRESS}",
        )  # fmt: skip
        programs.until("the node to be Ready", self._is_node_ready, of="kubelet")
        _favour_pods()
        programs.until("the service account", lambda: self.api.find("ServiceAccount", "default", "default"))
        threading.Thread(target=self._load_balancers, daemon=True).start()

    def load(self, archive: pathlib.Path, *names: str) -> None:
        """Imports an image archive (docker-archive or OCI) into the node. Two names: what it has and one more."""
        images = ("ctr", "-a", self.socket, "-n", "k8s.io", "images")
        self.programs.run(*images, "import", archive)
        if names:
            self.programs.run(*images, "tag", *names)

    def add_program(self, reference: str, program: pathlib.Path) -> None:
        """Makes an image of one static program and imports it, once."""
        if reference in self._programs:
            return
        self._programs.add(reference)
        archive = self.state / "image.tar"
        image.write(archive, reference, program)
        self.load(archive)
        archive.unlink()

    def _containerd_answers(self) -> bool:
        words = ["ctr", "-a", str(self.socket), "version"]
        return subprocess.run(words, env=self.programs.environment(), capture_output=True, check=False).returncode == 0

    def _is_node_ready(self) -> bool:
        node = self.api.find("Node", None, NODE) or {}
        conditions = node.get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _load_balancers(self) -> None:
        """Gives every LoadBalancer Service an address of its own; kube-proxy then answers for it."""
        following, given = FIRST_BALANCER, {}
        while True:
            threading.Event().wait(0.2)
            try:
                for service in self.api.list("Service"):
                    uid = service["metadata"]["uid"]
                    if service["spec"].get("type") != "LoadBalancer" or service["status"]["loadBalancer"].get(
                        "ingress"
                    ):
                        continue
                    if uid not in given:
                        given[uid], following = following, following + 1
                        subprocess.run(["ip", "addr", "add", f"{given[uid]}/32", "dev", "e2e0"], check=True)
                    status = {"status": {"loadBalancer": {"ingress": [{"ip": str(given[uid])}]}}}
                    self.api.merge({"kind": "Service", **service}, status, "status")
            except api.UNREACHABLE:
                continue  # an API server that is away for a while is part of the tests

    def _configure(self) -> None:
        state = self.state
        for name in ("cni", "containerd", "kubelet", "podlogs", "volumeplugins"):
            (state / name).mkdir()
        (state / "resolv.conf").touch()
        (state / "cni" / "10-e2e.conflist").write_text(json.dumps(_cni(str(state / "ipam"))))
        (state / "containerd.toml").write_text(_CONTAINERD.format(state=state, pause=PAUSE))
        (state / "kubelet.yaml").write_text(_KUBELET.format(state=state, pki=self.pki, address=ADDRESS))


def _favour_pods() -> None:
    """All pods together weigh as much as two processes of the machine; on a busy one they would hardly run."""
    for file, weight in (("cpu/kubepods/cpu.shares", 200_000), ("kubepods/cpu.weight", 10_000)):
        path = pathlib.Path("/sys/fs/cgroup", file)
        if path.exists():
            path.write_text(str(weight))


def _cni(addresses: str) -> dict:
    pool = {
        "type": "host-local",
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": addresses,
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True, "ipam": pool}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "e2e", "plugins": [bridge, ports]}


# restrict_oom_score_adj: without CAP_SYS_RESOURCE every sandbox would die.
_CONTAINERD = """version = 3
root = "{state}/containerd/root"
state = "{state}/containerd/state"
[grpc]
  address = "{state}/containerd.sock"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{pause}"
[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "{state}/cni"
[plugins.'io.containerd.nri.v1.nri']
  disable = true
"""
_KUBELET = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://{state}/containerd.sock
failCgroupV1: false
cgroupDriver: cgroupfs
failSwapOn: false
oomScoreAdj: 0
authentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}
authorization: {{mode: AlwaysAllow}}
address: {address}
healthzBindAddress: 127.0.0.1
tlsCertFile: {pki}/kubelet.crt
tlsPrivateKeyFile: {pki}/kubelet.key
resolvConf: {state}/resolv.conf
clusterDNS: []
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {{memory.available: "100Mi", nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "1%"}}
podLogsDir: {state}/podlogs
volumePluginDir: {state}/volumeplugins
"""
