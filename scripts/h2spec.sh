#!/usr/bin/env bash
# Runs the HTTP/2 conformance test h2spec against a built binary, in clear text and over TLS. 145 of 145 each, or 1.
#
#   scripts/h2spec.sh target/debug/fairlead
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 scripts/h2spec.py "$1" .tools/bin/h2spec
