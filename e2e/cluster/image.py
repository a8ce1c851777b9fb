"""Writes a one-layer OCI image archive that holds one static program; no registry and no builder needed."""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import tarfile

USER = 65532


def write(archive: pathlib.Path, reference: str, program: pathlib.Path) -> None:
    """An image named `reference` (NAME:TAG) whose entry point is the program, run as a user without rights."""
    layer = _layer(program)
    config = json.dumps({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"], "User": str(USER), "Env": ["PATH=/"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }).encode()  # fmt: skip
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _blob("application/vnd.oci.image.config.v1+json", config),
        "layers": [_blob("application/vnd.oci.image.layer.v1.tar", layer)],
    }).encode()  # fmt: skip
    index = json.dumps({
        "schemaVersion": 2,
        "manifests": [_blob("application/vnd.oci.image.manifest.v1+json", manifest) | {
            "annotations": {
                "io.containerd.image.name": reference,
                "org.opencontainers.image.ref.name": reference.rsplit(":", 1)[1],
            },
            "platform": {"architecture": "amd64", "os": "linux"},
        }],
    }).encode()  # fmt: skip
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, "index.json", index)
        for blob in (config, manifest, layer):
            _add(tar, f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}", blob)


def _layer(program: pathlib.Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode in (("etc", 0o755), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        _add(tar, "etc/passwd", f"root:x:0:0:root:/:/bin/false\nnonroot:x:{USER}:{USER}::/:/bin/false\n".encode())
        _add(tar, program.name, program.read_bytes(), 0o755)
    return buffer.getvalue()


def _blob(kind: str, content: bytes) -> dict:
    return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
