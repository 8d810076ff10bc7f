#!/usr/bin/env bash
# What takes long: the whole matrix of an upgrade's steps and of faults, a thousand cycles
# up and down with flat memory, kill -9 under load, two versions at once with 10,000
# campaigns, and a page in Chromium through 40 switches. What `make soak` runs once all is built. Takes the folder with the built
# programs.
#
# ROUNDS times through the matrix (1), or as often as MINUTES allow; CYCLES up and down
# (1000); CRASH_MINUTES of kills (MINUTES, or 5) on each store; CASES of random steps held
# against the model (30); SEED=n repeats the choices of a run;
# SOAK_PARTS names some of the parts: matrix cycles crash model steps browser.
set -uo pipefail
cd "$(dirname "$0")/.."

[ $# -eq 1 ] || { echo 'usage: scripts/soak.sh TARGET' >&2; exit 2; }
target=$1
parts=${SOAK_PARTS:-matrix cycles crash model steps browser}
export SEED=${SEED:-$(date +%s)}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
scripts/home.sh "$scratch/home" "$target" > /dev/null || exit 1
export E2E_HOME=$scratch/home
failed=

# part NAME COMMAND...: runs it if it is wanted, and remembers whether it failed.
part() {
    local name=$1
    shift
    case " $parts " in *" $name "*) ;; *) return ;; esac
    printf '\n=== %s\n' "$name"
    "$@" || failed="$failed $name"
}

# `tests/two_steps` is a test of the profile dev, with a home of its own.
steps() {
    env -u E2E_HOME E2E_CAMPAIGNS="${E2E_CAMPAIGNS:-10000}" \
        cargo test -p e2e --test e2e two_steps -- --nocapture
}

model() {
    env E2E_CASES="${CASES:-30}" E2E_SEED="$SEED" \
        cargo test -p e2e --test e2e model:: -- --nocapture
}

browser() {
    env E2E_CYCLES=20 cargo test -p e2e --test e2e browser:: -- --nocapture
}

part matrix env CYCLES=0 "$target/soak"
part cycles env ROUNDS=0 MINUTES= "$target/soak"
part crash env MINUTES="${CRASH_MINUTES:-${MINUTES:-5}}" "$target/crash"
part crash env MINUTES="${CRASH_MINUTES:-${MINUTES:-5}}" STORE=postgres "$target/crash"
part model model
part steps steps
part browser browser

printf '\nSEED=%s: ' "$SEED"
[ -z "$failed" ] || { echo "not all of it holds:$failed"; exit 1; }
echo 'all of it holds'
