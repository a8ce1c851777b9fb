"""Runs Helm on the chart, without a cluster, and reads what it renders."""

from __future__ import annotations

import copy
import functools
import json
import os
import pathlib
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "fairlead"
# The oldest and the newest Kubernetes that the chart is for; the schemas of both check every object.
KUBERNETES = ("1.33.0", "1.37.0")
# Objects of others, whose schemas are not Kubernetes' own.
FOREIGN = ("cert-manager.io/v1", "monitoring.coreos.com/v1")
HELMS = os.environ["HELMS"].split()
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def cases() -> dict[str, pathlib.Path]:
    """The values files in `ci/`, by name."""
    return {file.name.removesuffix("-values.yaml"): file for file in sorted((CHART / "ci").glob("*-values.yaml"))}


def run(helm: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """One run of Helm, without the settings of whoever runs the tests."""
    environment = {"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir()}
    command = [helm, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def render(values: dict | pathlib.Path, helm: str = HELMS[0], version: str = KUBERNETES[1]) -> list[dict]:
    """The objects of a release called `fairlead` in namespace `edge`."""
    if isinstance(values, pathlib.Path):
        return copy.deepcopy(_rendered(values, helm, version))
    return _parsed(_template(values, helm, version), values)


@functools.cache
def _rendered(file: pathlib.Path, helm: str, version: str) -> list[dict]:
    return _parsed(_template(file, helm, version), file)


def _parsed(done: subprocess.CompletedProcess[str], values: object) -> list[dict]:
    if done.returncode:
        raise AssertionError(f"{values}: {done.stderr}")
    if "warning" in done.stderr.lower():
        raise AssertionError(f"{values}: {done.stderr}")
    return [document for document in yaml.load_all(done.stdout, LOADER) if document]


def refusal(values: dict, version: str = KUBERNETES[1]) -> str:
    """What Helm says when it refuses; fails if it does not."""
    done = _template(values, HELMS[0], version)
    if not done.returncode:
        raise AssertionError(f"not refused: {values}")
    return done.stderr


def notes(values: dict | pathlib.Path) -> str:
    """NOTES as an installation prints them. Only Helm 4 shows them without a cluster."""
    with _file(values) as file:
        done = run(HELMS[0], "install", "fairlead", CHART, "--namespace", "edge", "--dry-run=client", "-f", file)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout.split("\nNOTES:\n", 1)[1]


def one(objects: list[dict], kind: str, name: str | None = None) -> dict:
    """The only object of a kind, or of a kind and name."""
    found = of_kind(objects, kind)
    if name:
        found = [item for item in found if item["metadata"]["name"] == name]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} objects {kind} {name or ''}")
    return found[0]


def of_kind(objects: list[dict], kind: str) -> list[dict]:
    """All objects of a kind."""
    return [item for item in objects if item["kind"] == kind]


def container(objects: list[dict], kind: str = "Deployment") -> dict:
    """The controller's container."""
    return one(objects, kind, "fairlead-controller")["spec"]["template"]["spec"]["containers"][0]


def flags(objects: list[dict], kind: str = "Deployment") -> list[str]:
    """The controller's arguments."""
    return container(objects, kind)["args"]


def rules(objects: list[dict], kind: str, name: str) -> set[tuple[str, str, str]]:
    """What a role allows: (resource with group, verb, name or empty)."""
    return {
        (f"{group}/{resource}".lstrip("/"), verb, name)
        for rule in one(objects, kind, name)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def _template(values: dict | pathlib.Path, helm: str, version: str) -> subprocess.CompletedProcess[str]:
    with _file(values) as file:
        options = ("--namespace", "edge", "--kube-version", version, "-f", file)
        return run(helm, "template", "fairlead", CHART, *options)


class _file:
    """The values as a file: JSON is YAML."""

    def __init__(self, values: dict | pathlib.Path) -> None:
        self.values = values

    def __enter__(self) -> str:
        if isinstance(self.values, pathlib.Path):
            return str(self.values)
        self.made = tempfile.NamedTemporaryFile("w", suffix=".yaml")  # noqa: SIM115
        json.dump(self.values, self.made)
        self.made.flush()
        return self.made.name

    def __exit__(self, *_: object) -> None:
        if not isinstance(self.values, pathlib.Path):
            self.made.close()


@functools.cache
def defaults() -> dict[str, str]:
    """Flags of the program and their defaults, from docs/defaults.md."""
    found = {}
    for line in (ROOT / "docs" / "defaults.md").read_text().split("## Limits")[0].splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 3 and cells[1].startswith("`--"):
            for name in cells[1].split(", "):
                default = cells[2].strip("`") if len(cells) > 4 else ""
                found[name.strip("`").split()[0].removeprefix("--")] = default.replace("–", "")
    return found
