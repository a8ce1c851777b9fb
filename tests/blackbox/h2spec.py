"""Serves one route with the given binary and runs h2spec against it: h2spec.py FAIRLEAD H2SPEC."""

import pathlib
import re
import subprocess
import sys
import tempfile

from served import Backend, Fairlead, ingress, service

CASES = 145


def main() -> int:
    binary, h2spec = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as work, Backend("web") as web:
        folder = pathlib.Path(work, "manifests")
        folder.mkdir()
        folder.joinpath("web.yaml").write_text(service(web) + ingress("web", None, [("/", "Prefix", "web")]))
        with Fairlead(binary, folder, pathlib.Path(work)) as proxy:
            roads = {"clear text": ["-p", str(proxy.http)], "TLS": ["-p", str(proxy.https), "-t", "-k"]}
            return max(run(h2spec, road, options) for road, options in roads.items())


def run(h2spec: str, road: str, options: list[str]) -> int:
    """Prints what failed and the last line; 0 if every case passed."""
    done = subprocess.run(
        [h2spec, "-h", "127.0.0.1", "-o", "5", *options], capture_output=True, text=True, timeout=900, check=False
    )
    found = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
    passed = found is not None and int(found[2]) == CASES and int(found[4]) == 0
    if not passed:
        print(done.stdout[done.stdout.find("Failures:") :], done.stderr, sep="\n")
    print(f"h2spec over {road}: {found[2] if found else 0} of {CASES} passed", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
