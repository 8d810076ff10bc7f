#!/usr/bin/env bash
# Shows an upgrade while clients give: what `make demo` runs once all is built.
# Takes the folder with the built programs. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -eq 1 ] || { echo 'usage: scripts/demo.sh TARGET' >&2; exit 2; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
scripts/home.sh "$scratch/home" "$1" > /dev/null
E2E_HOME=$scratch/home "$1/demo"
