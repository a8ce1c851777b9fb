#!/usr/bin/env bash
# Runs every fuzz target for the given number of seconds; new findings stay in fuzz/artifacts.
#
#   scripts/fuzz.sh SECONDS
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.tools/bin:$PATH"
seconds=$1
targets=$(cargo +nightly fuzz list)
[ -n "$targets" ] || { echo "fuzz: no targets" >&2; exit 1; }
for target in $targets; do
    echo "fuzz: $target for $seconds s"
    mkdir -p "fuzz/corpus/$target" "target/fuzz-corpus/$target"
    # New inputs go to target/, so that a run leaves the committed corpus alone.
    cargo +nightly fuzz run "$target" "target/fuzz-corpus/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
