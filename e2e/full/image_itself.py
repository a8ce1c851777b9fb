"""The image: what is in it, and what is not."""

from __future__ import annotations

import io
import json
import os
import tarfile

import image
from harness.case import FullCase

MOST_BYTES = 30_000_000
FILES = {"etc", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/ca-certificates.crt", "fairlead", "wait-shutdown"}


class ImageItself(FullCase):
    """Read from the archive that the node runs."""

    def setUp(self) -> None:
        super().setUp()
        archive = tarfile.open(os.environ[image.ARCHIVE])
        self.addCleanup(archive.close)
        manifest = json.load(archive.extractfile("manifest.json"))[0]
        self.config = json.load(archive.extractfile(manifest["Config"]))["config"]
        layers = [archive.extractfile(layer).read() for layer in manifest["Layers"]]
        self.bytes = sum(map(len, layers))
        self.files = {
            entry.name.strip("./"): entry
            for layer in layers
            for entry in tarfile.open(fileobj=io.BytesIO(layer)).getmembers()
            if entry.name.strip("./")
        }

    def test_it_holds_the_binary_and_the_roots_and_no_shell_and_is_small(self) -> None:
        self.assertEqual(set(self.files), FILES)
        self.assertEqual(self.files["wait-shutdown"].linkname, "fairlead")
        self.assertLess(self.bytes, MOST_BYTES)

    def test_it_runs_as_nobody_and_says_what_it_is(self) -> None:
        self.assertEqual(self.config["User"], "65532:65532")
        self.assertEqual((self.config["Entrypoint"], self.config["Cmd"]), (["/fairlead"], ["serve"]))
        self.assertEqual(self.config["Labels"]["org.opencontainers.image.title"], "fairlead")
