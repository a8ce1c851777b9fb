#!/usr/bin/env bash
# Lays out the files of the container image.
#
#   scripts/image-files.sh BINARY FOLDER
set -euo pipefail
binary=$1 folder=$2
roots=/etc/ssl/certs/ca-certificates.crt
[ -s "$roots" ] || { echo "image: $roots is missing. Run:  sudo apt-get install -y ca-certificates" >&2; exit 1; }
if ldd "$binary" 2>&1 | grep -q '=>'; then
    echo "image: $binary is not static; build it with RUSTFLAGS='-C target-feature=+crt-static' and --target" >&2
    exit 1
fi
mkdir -p "$folder/etc/ssl/certs"
install -m 0755 "$binary" "$folder/fairlead"
# ingress-nginx's preStop hook calls it; the same binary, which exits 0 under that name.
ln -sf fairlead "$folder/wait-shutdown"
install -m 0644 "$roots" "$folder$roots"
