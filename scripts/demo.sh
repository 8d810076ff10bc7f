#!/usr/bin/env bash
# Shows an upgrade while clients give: what `make demo` runs once all is built.
# Takes the folder with the built programs. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -eq 1 ] || { echo 'usage: scripts/demo.sh TARGET' >&2; exit 2; }
. scripts/scratch.sh
scripts/home.sh "$scratch/home" "$1" > /dev/null
# The demonstration copies the home to where temporary files go.
waits_for env E2E_HOME="$scratch/home" TMPDIR="$scratch" "$1/demo"
