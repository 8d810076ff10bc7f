#!/usr/bin/env bash
# Kills a host under load for MINUTES, and looks behind each restart for every gift:
# what `make crash` runs once all is built. Takes the folder with the built programs.
# SEED=n repeats the choices of a run, STORE=postgres kills a PostgreSQL server, too;
# more variables stand in tests/src/bin/crash.rs. Leaves nothing behind but the home, and
# the server's data, of a run that failed.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -eq 1 ] || { echo 'usage: scripts/crash.sh TARGET' >&2; exit 2; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
scripts/home.sh "$scratch/home" "$1" > /dev/null
E2E_HOME=$scratch/home "$1/crash"
