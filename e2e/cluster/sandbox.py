"""Namespaces for one run, and the proof that nothing of it is left on the machine.

A run lives in a network, process and mount namespace of its own. When its first process ends, for whatever reason, the
kernel kills every other process in it and drops its mounts and interfaces. What is not namespaced (cgroups, three
sysctls, files) is put back here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

# Also run as a program, by its path: process 1 of the run.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from cluster import tools  # noqa: E402

STATE = "FAIRLEAD_E2E_STATE"
# The kubelet sets these for the whole machine.
SYSCTLS = ("vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops")
# Places outside the state folder that the node writes to; inside the run each is an empty file system.
PRIVATE = ("/run", "/var/log", "/var/lib/cni", "/var/lib/kubelet")
HELMS = tuple(str(tools.CHECKOUT / ".tools" / "bin" / name) for name in ("helm3", "helm4"))
COMMANDS = ("ip", "nft", "openssl", "setpriv", "unshare")
# What sudo would not hand on: where programs, compilers and caches are.
KEPT = ("PATH", "HOME", "RUSTUP_HOME", "XDG_CACHE_HOME")
NODE_COMMANDS = ("/usr/lib/cni/bridge", "conntrack", "runc", *HELMS)


def require(half: str) -> None:
    """Ends the program with the command to run, if something is missing. Who is not root goes on by sudo."""
    if sys.platform != "linux":
        sys.exit("e2e: needs Linux (namespaces, cgroups, containers)")
    if os.geteuid() != 0:
        _go_on_as_root()
    wanted = (*COMMANDS, *NODE_COMMANDS) if half == "full" else COMMANDS
    if missing := [command for command in wanted if not shutil.which(command)]:
        sys.exit(f"e2e: {', '.join(missing)} missing. Run:  scripts/setup.sh e2e")


def _go_on_as_root() -> None:
    """Begins this program again by sudo, which asks for a password where it must, with the user's own tools and cache."""
    if not (sudo := shutil.which("sudo")):
        sys.exit("e2e: needs root (namespaces, cgroups, containers), and there is no sudo. Run as root:  make e2e")
    print("e2e: needs root (namespaces, cgroups, containers); going on with sudo", flush=True)
    kept = [f"{name}={value}" for name, value in os.environ.items() if name in KEPT or name.startswith("FAIRLEAD_")]
    os.execv(sudo, [sudo, "env", *kept, sys.executable, *sys.argv])


def give_back() -> None:
    """What was made by sudo in the user's cache belongs to the user."""
    if owner := os.environ.get("SUDO_UID"):
        subprocess.run(["chown", "-R", f"{owner}:{os.environ['SUDO_GID']}", str(tools.cache())], check=False)


def is_inside() -> bool:
    """Whether the current process is already in the namespaces of a run."""
    return STATE in os.environ


def state() -> pathlib.Path:
    """The folder of the run: sockets, data, logs. Gone when it ends."""
    return pathlib.Path(os.environ[STATE])


def run(half: str, command: list[str]) -> int:
    """Runs `command` in fresh namespaces; its exit code, or 1 if it left something behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with _one_node_at_a_time(half), _sysctls_restored(half), _places_to_cover():
        folder = pathlib.Path(tempfile.mkdtemp(prefix="fairlead-e2e-"))
        before = _left_on_machine(half, folder)
        try:
            code = _inside(folder, command)
        finally:
            _remove_cgroups(half)
            shutil.rmtree(folder)
        if left := sorted(_left_on_machine(half, folder) - before):
            print("e2e: left behind:\n  " + "\n  ".join(left), file=sys.stderr)
            return 1
    return code


def _inside(folder: pathlib.Path, command: list[str]) -> int:
    # PDEATHSIG: even a killed run takes its namespaces with it.
    unshare = [
        "setpriv", "--pdeathsig", "KILL", "--", "unshare", "--net", "--pid", "--mount", "--ipc", "--uts", "--fork",
        "--kill-child", "--mount-proc", "--",
    ]  # fmt: skip
    # Helm and kubectl keep caches at home; those of a run go with it.
    places = {STATE: str(folder), "HOME": str(folder), "FAIRLEAD_E2E_CACHE": str(tools.cache())}
    started = subprocess.Popen(
        [*unshare, sys.executable, str(pathlib.Path(__file__)), *command], env={**os.environ, **places}
    )
    while True:
        try:
            return started.wait()
        except KeyboardInterrupt:
            continue  # the run got it too and ends by itself
        except SystemExit:
            started.kill()
            started.wait()
            raise


def _first_process(command: list[str]) -> int:
    """Process 1 of the run: makes the place, starts `command`, reaps orphans until it ends."""
    for words in (
        # Shared within the run only: the kubelet hands mounts on to pods.
        ["mount", "--make-rshared", "/"],
        *(["mount", "-t", "tmpfs", "tmpfs", place] for place in PRIVATE),
        ["ip", "link", "set", "lo", "up"],
    ):
        subprocess.run(words, check=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main = subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    signal.signal(signal.SIGTERM, lambda *_: main.terminate())
    while True:
        pid, status = os.wait()
        if pid == main.pid:
            return os.waitstatus_to_exitcode(status)


@contextlib.contextmanager
def _one_node_at_a_time(half: str) -> Iterator[None]:
    if half != "full":
        yield
        return
    with open(pathlib.Path(tempfile.gettempdir(), "fairlead-e2e.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("e2e: another node runs on this machine; waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _sysctls_restored(half: str) -> Iterator[None]:
    files = [pathlib.Path("/proc/sys", *name.split(".")) for name in SYSCTLS] if half == "full" else []
    saved = {file: file.read_text() for file in files}
    try:
        yield
    finally:
        for file, text in saved.items():
            if file.read_text() != text:
                file.write_text(text)


@contextlib.contextmanager
def _places_to_cover() -> Iterator[None]:
    """An empty file system needs a folder to be mounted on. The last of several runs removes what was made for it: a folder
    that goes takes the mounts of other runs with it."""
    with open(pathlib.Path(tempfile.gettempdir(), "fairlead-e2e-places"), "a+") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        for path in (path for path in PRIVATE if not os.path.isdir(path)):
            os.makedirs(path, exist_ok=True)
            print(path, file=file, flush=True)
        try:
            yield
        finally:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.seek(0)
                for path in file.read().split():
                    with contextlib.suppress(OSError):
                        os.rmdir(path)
                file.truncate(0)


def _cgroups() -> list[pathlib.Path]:
    """Cgroups of pods, the deepest first."""
    roots = {*pathlib.Path("/sys/fs/cgroup").glob("kubepods*"), *pathlib.Path("/sys/fs/cgroup").glob("*/kubepods*")}
    found = {path for root in roots for path in (root, *root.rglob("*")) if path.is_dir()}
    return sorted(found, key=lambda path: (-len(path.parts), path))


def _remove_cgroups(half: str) -> None:
    """The processes in them are dead, but the kernel may need a moment to take them out."""
    end = time.monotonic() + 5
    while half == "full" and (cgroups := _cgroups()) and time.monotonic() < end:
        for path in cgroups:
            with contextlib.suppress(OSError):
                path.rmdir()
        time.sleep(0.05)


def _left_on_machine(half: str, folder: pathlib.Path) -> set[str]:
    """What a run could leave: processes, mounts, namespaces, cgroups, files."""
    # Without a kubelet there are none, and a node that comes and goes meanwhile is another run's.
    found = {f"cgroup {path}" for path in _cgroups()} if half == "full" else set()
    found |= {f"namespace {path}" for path in pathlib.Path("/run/netns").glob("*")}
    found |= {f"file {path}" for place in PRIVATE[2:] for path in pathlib.Path(place).glob("*")}
    mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    found |= {f"mount {line.split()[1]}" for line in mounts if str(folder) in line}
    mark = f"{STATE}={folder}".encode()
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (process / "environ").read_bytes():
                found.add(f"process {process.name} {(process / 'comm').read_text().strip()}")
    return found


if __name__ == "__main__":
    sys.exit(_first_process(sys.argv[1:]))
