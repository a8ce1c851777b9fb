#!/usr/bin/env python3
"""Writes what is made from the chart's values: its README, its schema, the list of its keys, and `manifests/`.

    scripts/chart.py write [HELM]    write the files; manifests/ too if a helm is given
    scripts/chart.py check [HELM]    say which of them are out of date, and fail if any is

Python's standard library only. values.yaml is read line by line in the one style it is written in; its head says how.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "fairlead"
WIDTH = 118
# A Helm 3 built without its release flags thinks of Kubernetes 1.20, which the chart refuses. Nothing else depends on it.
KUBERNETES = "1.37.0"
KEY = re.compile(r"^( *)([A-Za-z0-9_./-]+):(?: (.*))?$")
SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
# Keys that Helm and umbrella charts put beside ours.
FOREIGN = {"enabled": {"type": "boolean"}, "tags": {"type": "object"}}


@dataclasses.dataclass
class Value:
    """One key of values.yaml."""

    path: tuple[str, ...]
    text: str = ""
    schema: dict = dataclasses.field(default_factory=dict)
    default: str | None = None
    """As written; None if it is not set by default."""
    closed: bool = False
    children: list[Value] = dataclasses.field(default_factory=list)
    block: list[str] = dataclasses.field(default_factory=list)
    """The lines of a default that spans several."""


def read_values(lines: list[str]) -> Value:
    """The tree of values.yaml. A line that is not in its style ends the program with its number."""
    root = Value((), closed=True)
    open_values = [(-1, root)]
    pending = Value(())
    describing = False
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if not stripped:
            pending, describing = Value(()), False
            continue
        indent = len(line) - len(line.lstrip())
        parent = next(value for depth, value in reversed(open_values) if depth < indent)
        if stripped.startswith("#"):
            word, _, rest = stripped[1:].strip().partition(" ")
            if word == "--":
                pending.text, describing = rest, True
            elif word == "@schema":
                pending.schema, describing = json.loads(rest), False
            elif word == "@closed":
                pending.closed = True
            elif word == "@key":
                name, _, schema = rest.partition(" ")
                parent.children.append(Value((*parent.path, name), pending.text, json.loads(schema)))
                pending, describing = Value(()), False
            elif describing:
                pending.text += " " + stripped[1:].strip()
            continue
        if parent.text:
            parent.block.append(line)
            continue
        match = KEY.match(line)
        if not match:
            sys.exit(f"values.yaml:{number}: not a key in the style of this file: {stripped}")
        value = dataclasses.replace(pending, path=(*parent.path, match[2]), default=match[3] or "", children=[], block=[])
        parent.children.append(value)
        while open_values[-1][0] >= indent:
            open_values.pop()
        open_values.append((indent, value))
        pending, describing = Value(()), False
    return root


def leaves(value: Value) -> list[Value]:
    """The values that carry a description, in the order of the file."""
    return [value] if value.text else [leaf for child in value.children for leaf in leaves(child)]


def undocumented(value: Value) -> list[str]:
    """Keys without a description."""
    if value.text:
        return []
    if not value.children:
        return [".".join(value.path)]
    return [path for child in value.children for path in undocumented(child)]


def scalar(text: str) -> object:
    """A default as data."""
    if text.startswith("{") or text.startswith("["):
        return json.loads(text)
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    return text.strip("\"'")


def no_effect() -> dict[str, dict]:
    """The table of keys without effect, from the template that holds it."""
    rows = {}
    for line in (CHART / "templates" / "_no-effect.tpl").read_text().splitlines():
        match = re.match(r"^([A-Za-z.]+): (\{.*\})$", line)
        if match:
            rows[match[1]] = json.loads(match[2])
    return rows


def schema() -> str:
    """values.schema.json."""
    root = _node(read_values(_values_lines()))
    for path, row in no_effect().items():
        node = root
        *parents, last = path.split(".")
        for name in parents:
            node = node["properties"].setdefault(name, {"type": "object", "properties": {}})
        types = row["type"] if isinstance(row["type"], list) else [row["type"]]
        node["properties"][last] = {"description": f"No effect: {row['why']}.", "type": [*types, "null"]}
    root["properties"].update(FOREIGN)
    # Umbrella charts put more below `global`, and YAML anchors stand in keys that begin with x-.
    root["patternProperties"] = {"^x-": {}}
    root = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the Fairlead chart", **root}
    return json.dumps(root, indent=2) + "\n"


def _node(value: Value) -> dict:
    if value.children and not value.text:
        node = {"type": "object", "properties": {child.path[-1]: _node(child) for child in value.children}}
        return {**node, "additionalProperties": False} if value.closed else node
    node: dict = {"description": value.text}
    if value.default:
        node["type"] = SCALARS[type(scalar(value.default))]
    elif value.default == "":
        node["type"] = "array" if value.block and value.block[0].strip().startswith("- ") else "object"
    return {**node, **value.schema}


def known() -> str:
    """The template with the names of keys and flags."""
    tree = _names(read_values(_values_lines()))
    for path in no_effect():
        node = tree
        *parents, last = path.split(".")
        for name in parents:
            if not isinstance(node.get(name), dict):
                node[name] = {}
            node = node[name]
        node[last] = 0
    flags = re.findall(r"`--([a-z0-9-]+)[ `]", (ROOT / "docs" / "defaults.md").read_text().split("## Limits")[0])
    # `--x` stands in the text above the tables as an example of any flag.
    names = sorted({flag for flag in flags if flag != "x"})
    return (
        "{{/* Made from values.yaml, _no-effect.tpl and docs/defaults.md by `make chart-write`. */}}\n"
        '{{- define "fairlead.known" -}}\n' + _wrapped(json.dumps(tree, separators=(",", ":"))) + "\n{{- end -}}\n"
        '{{- define "fairlead.knownFlags" -}}\n' + _wrapped(json.dumps(names, separators=(",", ":"))) + "\n{{- end -}}\n"
    )


def _names(value: Value) -> dict | int:
    return {child.path[-1]: _names(child) for child in value.children} if value.children else 0


def _wrapped(text: str) -> str:
    lines, line = [], ""
    for part in re.split(r"(?<=,)", text):
        if len(line) + len(part) > WIDTH:
            lines.append(line)
            line = ""
        line += part
    return "\n".join([*lines, line])


def readme() -> str:
    """README.md: the text of README.head.md, and a table of every value."""
    page = (CHART / "README.head.md").read_text().rstrip() + "\n\n## Values\n"
    group = None
    for value in leaves(read_values(_values_lines())):
        if _group(value) != group:
            group = _group(value)
            page += f"\n### {group}\n\n| key | default | |\n|---|---|---|\n"
        text = value.text.replace("|", "\\|")
        page += f"| `{'.'.join(value.path)}` | {_shown(value)} | {text} |\n"
    page += (
        "\n## Keys of ingress-nginx's chart without effect\n\n"
        "They are accepted; NOTES lists those that are set, and `strict: true` refuses them.\n\n| key | why |\n|---|---|\n"
    )
    for path, row in no_effect().items():
        page += f"| `{path}` | {row['why']} |\n"
    return page


def _group(value: Value) -> str:
    first = value.path[0]
    if first == "controller" and len(value.path) > 2:
        nested = value.path[1] in ("admissionWebhooks", "autoscaling", "image", "ingressClassResource", "metrics", "service")
        return f"`controller.{value.path[1]}`" if nested else "`controller`"
    return f"`{first}`" if len(value.path) > 1 else "Everywhere"


def _shown(value: Value) -> str:
    if value.block:
        return "see `values.yaml`" if len(value.block) > 3 else f"`{_inline(value.block)}`"
    return f"`{value.default}`" if value.default else "–"


def _inline(block: list[str]) -> str:
    """A block of at most two levels on one line."""
    text, depth = "", len(block[0]) - len(block[0].lstrip())
    closing = ""
    for line in block:
        key, _, rest = line.strip().partition(":")
        if len(line) - len(line.lstrip()) > depth:
            depth, text, closing = len(line) - len(line.lstrip()), text.removesuffix(", "), closing + "}"
        text += f"{key}: {rest.strip()}, " if rest else f"{key}: {{"
    return "{" + text.removesuffix(", ") + closing + "}"


def manifest(helm: str) -> str:
    """The chart's defaults as plain objects, without what only Helm needs."""
    namespace = "fairlead"
    command = [helm, "template", "fairlead", str(CHART), "--namespace", namespace, "--kube-version", KUBERNETES]
    rendered = subprocess.run(command, capture_output=True, text=True, check=False)
    if rendered.returncode:
        sys.exit(f"helm template failed:\n{rendered.stderr}")
    lines = rendered.stdout.splitlines()
    only_helm = re.compile(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): ")
    # Helm 3 and Helm 4 set empty lines differently.
    kept = [line for line in lines if line and not only_helm.match(line) and not line.startswith("# Source: ")]
    return (
        "# Fairlead with the chart's defaults, for `kubectl apply -f`. Made from charts/fairlead by `make chart-write`.\n"
        f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n" + "\n".join(kept).strip() + "\n"
    )


def _values_lines() -> list[str]:
    return (CHART / "values.yaml").read_text().splitlines()


def main(arguments: list[str]) -> None:
    """The command line."""
    if arguments[:1] not in (["write"], ["check"]) or len(arguments) > 2:
        sys.exit(__doc__)
    missing = undocumented(read_values(_values_lines()))
    if missing:
        sys.exit(f"values.yaml: no description (\"# -- …\") for {', '.join(missing)}")
    made = {
        CHART / "README.md": readme(),
        CHART / "values.schema.json": schema(),
        CHART / "templates" / "_known.tpl": known(),
    }
    if arguments[0] == "write":
        for path, text in made.items():
            path.write_text(text)
        made = {}
    # The manifest last: it is rendered with the schema and the list of keys as they are on disk.
    if len(arguments) == 2:
        made[ROOT / "manifests" / "fairlead.yaml"] = manifest(arguments[1])
    if arguments[0] == "write":
        for path, text in made.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return
    stale = [str(path.relative_to(ROOT)) for path, text in made.items() if not path.exists() or path.read_text() != text]
    if stale:
        sys.exit(f"out of date: {', '.join(stale)}. Run:  make chart-write")


if __name__ == "__main__":
    main(sys.argv[1:])
