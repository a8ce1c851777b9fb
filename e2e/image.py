#!/usr/bin/env python3
"""Builds the container image from the Dockerfile with buildah: no daemon, no registry.

    image.py [--profile release|quick] [--binary FILE] [--out ARCHIVE]

Without --binary every step of the Dockerfile runs, with this machine's compiler in place of the image that it names;
that takes minutes, and the result is kept by a hash of the sources. `quick` is what the tests deploy. With --binary
only the last stage runs, around a static binary that is built already. Prints the path of a docker-archive that holds
`localhost/fairlead:e2e`.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

from cluster import tools  # noqa: E402

ROOT = HERE.parent
REFERENCE = "localhost/fairlead:e2e"
# Names the archive that the tests deploy.
ARCHIVE = "FAIRLEAD_E2E_IMAGE"
KEPT = 3
# What the binary is made of. Tests and documents are not.
SOURCES = (
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    ".dockerignore",
    "rust-toolchain.toml",
    "scripts/image-files.sh",
    "src",
)
FOLDERS = ("etc", "tmp", "usr", "toolchain", "cargo", "proc", "dev", "sys", "root")
LINKS = ("bin", "lib", "lib64", "sbin")


def archive(profile: str) -> pathlib.Path:
    """The image of the sources as they are now, from the cache or built."""
    kept = tools.cache() / f"image-{profile}-{_hash()}.tar"
    with open(tools.cache() / "image.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            started = time.monotonic()
            print(f"image: building from the Dockerfile, profile {profile} (minutes, once for these sources)", flush=True)
            with tempfile.TemporaryDirectory(dir=tools.cache()) as work:
                _build_whole(pathlib.Path(work), kept, profile)
            print(f"image: {kept.stat().st_size >> 20} MiB, built in {time.monotonic() - started:.0f} s", flush=True)
            _forget_old(profile)
    return kept


def from_binary(binary: pathlib.Path, out: pathlib.Path) -> pathlib.Path:
    """The last stage of the Dockerfile around a static binary."""
    last = re.split(r"^FROM scratch$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1]
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        context = work / "context"
        _run(ROOT / "scripts" / "image-files.sh", binary, context / "out")
        (context / "Dockerfile").write_text("FROM scratch" + last.replace("--from=build /out/", "out/"))
        _bud(work, context, out)
    return out


def _forget_old(profile: str) -> None:
    """Keeps the newest archives: a change of the sources makes a new one every time."""
    kept = sorted(tools.cache().glob(f"image-{profile}-*.tar"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in kept[KEPT:]:
        file.unlink()


def _build_whole(work: pathlib.Path, out: pathlib.Path, profile: str) -> None:
    first = next(line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("FROM "))
    _compiler_image(work, f"localhost/{first.split()[1]}")
    sysroot = _output("rustc", "--print", "sysroot")
    cargo = _cargo_home() / "registry"
    cargo.mkdir(parents=True, exist_ok=True)
    target = tools.cache() / "image-target"
    target.mkdir(exist_ok=True)
    # Cargo compares times of files only, and this folder is shared by all checkouts: an older file may be another text.
    for made in target.glob("*/*/.fingerprint/fairlead-*"):
        shutil.rmtree(made)
    volumes = ["/usr:/usr:ro", "/etc/alternatives:/etc/alternatives:ro", "/etc/ssl:/etc/ssl:ro",
               f"{sysroot}:/toolchain:ro", f"{cargo}:/cargo/registry", f"{target}:/src/target"]  # fmt: skip
    mounts = [word for volume in volumes for word in ("-v", volume)]
    _bud(work, ROOT, out, "--build-arg", f"PROFILE={profile}", *mounts)


def _cargo_home() -> pathlib.Path:
    """Cargo's own, which holds what is downloaded already; not a user's for root, who would leave files in it."""
    if "SUDO_UID" in os.environ:
        return tools.cache() / "cargo"
    return pathlib.Path(os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo")


def _compiler_image(work: pathlib.Path, reference: str) -> None:
    """Stands in for the image that the Dockerfile begins from: empty places where the machine's own are mounted."""
    skeleton = work / "skeleton"
    for folder in FOLDERS:
        (skeleton / folder).mkdir(parents=True)
    for link in LINKS:
        (skeleton / link).symlink_to(f"usr/{link}")
    (skeleton / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    for file in ("ld.so.cache", "resolv.conf"):
        shutil.copy(pathlib.Path("/etc", file), skeleton / "etc" / file)
    container = _buildah(work, "from", "--pull-never", "scratch")
    _buildah(work, "copy", container, skeleton, "/")
    _buildah(
        work,
        "config",
        "--env",
        "PATH=/toolchain/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "--env",
        "CARGO_HOME=/cargo",
        container,
    )
    _buildah(work, "commit", "--rm", container, reference)


def _bud(work: pathlib.Path, context: pathlib.Path, out: pathlib.Path, *more: object) -> None:
    _buildah(
        work, "bud", "--isolation", "chroot", "--pull-never", "--format", "docker", "--network", "host",
        "--signature-policy", _policy(work), *more, "-t", REFERENCE, "-f", context / "Dockerfile", context,
    )  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_suffix(".part")
    part.unlink(missing_ok=True)
    _buildah(work, "push", "--signature-policy", _policy(work), REFERENCE, f"docker-archive:{part}:{REFERENCE}")
    part.rename(out)


def _buildah(work: pathlib.Path, *words: object) -> str:
    # Storage of its own: nothing of the machine's is read, and it goes away with the work folder.
    return _output("buildah", "--root", work / "storage", "--runroot", work / "run", "--storage-driver", "vfs", *words)


def _policy(work: pathlib.Path) -> pathlib.Path:
    file = work / "policy.json"
    file.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    return file


def _hash() -> str:
    content = hashlib.sha256()
    for source in (ROOT / name for name in SOURCES):
        for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if file.is_file():
                content.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return content.hexdigest()[:16]


def _run(*words: object) -> None:
    _output(*words)


def _output(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        sys.exit(f"image: {' '.join(map(str, words[:8]))}…\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout.strip()


def main() -> int:
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--profile", choices=("release", "quick"), default="release")
    arguments.add_argument("--binary", type=pathlib.Path)
    arguments.add_argument("--out", type=pathlib.Path, default=ROOT / "target" / "image" / "fairlead.tar")
    given = arguments.parse_args()
    if given.binary:
        print(from_binary(given.binary.resolve(), given.out))
        return 0
    given.out.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(archive(given.profile), given.out)
    print(given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
