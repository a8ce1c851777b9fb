"""Builds the programs of the cluster from the Go modules in `tools/` and keeps them in the user's cache.

Each module is cached by a hash of what it is built from, so a changed Helm does not build Kubernetes again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent

# What each module gives: the names of the programs and the packages they are built from.
FAST = {
    "programs": {name: f"fairlead.dev/e2e/programs/{name}" for name in ("echo", "load")},
    "etcd": {"etcd": "go.etcd.io/etcd/server/v3"},
    "kubernetes": {
        name: f"k8s.io/kubernetes/cmd/{name}"
        for name in ("kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet")
    },
}
FULL = {
    **FAST,
    "containerd": {
        name: f"github.com/containerd/containerd/v2/cmd/{name}"
        for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    },
    "pause": {"pause": "pause.c"},
}
HALVES = {"fast": FAST, "full": FULL}


@functools.cache
def folders(half: str) -> list[pathlib.Path]:
    """The folders that hold the programs of one half; builds what is not there yet."""
    return [_built(module, programs) for module, programs in HALVES[half].items()]


def program(half: str, name: str) -> pathlib.Path:
    """The path of one program."""
    return next(folder / name for folder in folders(half) if (folder / name).exists())


def cache() -> pathlib.Path:
    """`FAIRLEAD_E2E_CACHE`, or a folder of ours in the user's cache."""
    base = os.environ.get("FAIRLEAD_E2E_CACHE") or pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "fairlead-e2e"
    )
    return pathlib.Path(base)


def _sources(module: str) -> pathlib.Path:
    return {"programs": HERE.parent / "programs", "pause": HERE / "pause.c"}.get(module, HERE / "tools" / module)


def _built(module: str, programs: dict[str, str]) -> pathlib.Path:
    source = _sources(module)
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    content = hashlib.sha256(json.dumps(programs).encode())
    for file in files:
        content.update(file.read_bytes())
    final = cache() / f"{module}-{content.hexdigest()[:16]}"
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    print(f"cluster: building {' '.join(programs)} into {final.parent} (once; Kubernetes takes minutes)", flush=True)
    # Built aside and renamed, so that a build that broke off is never taken for a whole one.
    with tempfile.TemporaryDirectory(dir=final.parent) as aside:
        out = pathlib.Path(aside, "bin")
        out.mkdir()
        if module == "pause":
            _run([os.environ.get("CC", "cc"), "-static", "-Os", "-o", out / "pause", source], source.parent)
        else:
            _go_build(source, programs, out)
        try:
            out.rename(final)
        except OSError:
            if not final.is_dir():  # else somebody else built the same at the same time
                raise
    print(f"cluster: {module} built in {time.monotonic() - started:.0f} s", flush=True)
    return final


def _go_build(source: pathlib.Path, programs: dict[str, str], out: pathlib.Path) -> None:
    flags = "-s -w"
    if source.name == "kubernetes":
        version = _required_version(source / "go.mod", "k8s.io/kubernetes")
        stamp = {"gitVersion": version, "gitMajor": version[1:].split(".")[0], "gitMinor": version.split(".")[1]}
        flags += "".join(f" -X k8s.io/component-base/version.{name}={value}" for name, value in stamp.items())
    # One call for all programs of a module builds in parallel; only a single one can be named by -o.
    target = [out / next(iter(programs))] if len(programs) == 1 else [f"{out}/"]
    _run([go(), "build", "-trimpath", "-ldflags", flags, "-o", *target, *programs.values()], source)


def _required_version(module_file: pathlib.Path, module: str) -> str:
    words = next(line.split() for line in module_file.read_text().splitlines() if f"{module} v" in line)
    return words[words.index(module) + 1]


def go() -> str:
    """The Go of `.tools/`, which the set-up installs where the system's is too old, or else the system's."""
    own = CHECKOUT / ".tools" / "go" / "bin" / "go"
    found = str(own) if own.exists() else shutil.which("go")
    return found or sys.exit("cluster: go is missing. Run:  make cluster-tools")


def _run(command: list[object], where: pathlib.Path) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    done = subprocess.run(
        [str(word) for word in command], cwd=where, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"cluster: {' '.join(map(str, command[:2]))} in {where} failed:\n{done.stdout[-3000:]}")
