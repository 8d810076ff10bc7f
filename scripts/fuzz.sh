#!/usr/bin/env bash
# Lets a fuzzer look for bytes that break what is read back from disk, and what clients
# send: what `make fuzz` runs. FUZZ_SECONDS for each target (60); FUZZ_TARGETS names some of them.
# Needs a nightly toolchain; cargo-fuzz is installed where it is missing. What it
# finds is kept in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! rustup toolchain list | grep -q '^nightly'; then
    echo 'install a nightly toolchain: rustup toolchain install nightly --profile minimal' >&2
    exit 1
fi
command -v cargo-fuzz > /dev/null || cargo install --locked cargo-fuzz

for target in ${FUZZ_TARGETS:-group sealed ws}; do
    printf '\n=== %s\n' "$target"
    cargo +nightly fuzz run "$target" -- -max_total_time="${FUZZ_SECONDS:-60}" -print_final_stats=1
done
